---@meta vortex.asyncqueue

--- Queues between handlers and the main script. Values come out in the order in which they went in, and identical: every
--- Lua value, booleans and nil included.
---
--- ```lua
--- local queue = vortex.asyncqueue.new ()
--- conn:set_on_close (function (conn, queue) queue:push ("closed") end, queue)
--- print (queue:pop ())
--- ```
---@class vortex.asyncqueue
local asyncqueue = {}

--- A queue: see `vortex.asyncqueue`. New: `#queue` is the number of its values.
---@class vortex.AsyncQueue : vortex.asyncqueue
---@field ref_count integer Always 1.
---@operator len: integer

--- Makes an empty queue. It needs no ctx.
---@return vortex.AsyncQueue queue
function asyncqueue.new () end

--- Puts a value into a queue. Does not wait.
---@param queue vortex.AsyncQueue
---@param value any May be nil, but has to be given.
function asyncqueue.push (queue, value) end

--- Takes the oldest value. Waits while the queue is empty and runs handlers meanwhile.
---
--- New: raises when nothing can fill the queue any more (no ctx runs, no timer is set, no handler is pending), instead
--- of waiting for ever.
---@param queue vortex.AsyncQueue
---@return any value
function asyncqueue.pop (queue) end

--- Takes the oldest value. Waits a while when the queue is empty and runs handlers meanwhile.
---@param queue vortex.AsyncQueue
---@param us number The longest wait in microseconds; 0 and less: does not wait.
---@return any value Nothing when the time is over: `select ("#", queue:timedpop (us))` is 0 then, and 1 for a nil that was pushed.
function asyncqueue.timedpop (queue, us) end

--- The same as `timedpop`, under the name that the manual of the older library has for it.
---@param queue vortex.AsyncQueue
---@param us number The longest wait in microseconds; 0 and less: does not wait.
---@return any value Nothing when the time is over.
function asyncqueue.timedout (queue, us) end

--- How many values are in a queue.
---@param queue vortex.AsyncQueue
---@return integer count
function asyncqueue.items (queue) end

--- Whether a value is a queue. Never raises.
---@param value any
---@return boolean is_asyncqueue
function asyncqueue.check (value) end

return asyncqueue

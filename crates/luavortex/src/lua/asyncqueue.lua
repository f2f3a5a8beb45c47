-- vortex.asyncqueue: queues between handlers and the main script. Values come out as they went in.
local raw, lib = ...

local error, select, setmetatable = error, select, setmetatable
local scheduler, checked = lib.scheduler, lib.checked
local complete, await = scheduler.complete, scheduler.await

local class = lib.class ("asyncqueue")
local queue = class.methods
lib.asyncqueue = queue

local HOPELESS = "pop would wait for ever: the queue is empty and nothing can fill it any more: "
  .. "no context is running, no timer is set and no handler is pending"

-- What is in a queue: `first` to `last` are values, `waiters` those that wait for some, the oldest first. The queue's
-- userdata holds it, where Lua's collector sees it; this table only makes finding it quick, and holds neither.
local contents = setmetatable ({}, { __mode = "kv" })

local function content_of (object, name, level)
  local content = contents[object]
  if not content then
    local _
    _, content = checked (level or 3, raw.queue_content (object, name))
    contents[object] = content
  end
  return content
end

function queue.new ()
  return raw.queue_new { first = 1, last = 0, waiters = {}, first_waiter = 1, last_waiter = 0 }
end

local function next_waiter (content)
  while content.first_waiter <= content.last_waiter do
    local waiter = content.waiters[content.first_waiter]
    content.waiters[content.first_waiter] = nil
    content.first_waiter = content.first_waiter + 1
    if not waiter.done then
      return waiter
    end
  end
end

function queue.push (object, ...)
  local content = content_of (object, "push")
  if select ("#", ...) == 0 then
    error ("bad argument #2 to 'push' (value: expected, nil if that is meant)", 2)
  end
  local value = ...
  local waiter = next_waiter (content)
  if waiter then
    waiter.has_value = true
    complete (waiter, value)
    return
  end
  content.last = content.last + 1
  content[content.last] = value
end

local function take (content)
  local value = content[content.first]
  content[content.first] = nil
  if content.first == content.last then
    content.first, content.last = 1, 0
  else
    content.first = content.first + 1
  end
  return value
end

-- Waiters whose time was over are dropped at both ends, so that polling an empty queue costs no memory.
local function add_waiter (content)
  local waiters = content.waiters
  while content.first_waiter <= content.last_waiter and waiters[content.first_waiter].done do
    waiters[content.first_waiter] = nil
    content.first_waiter = content.first_waiter + 1
  end
  while content.last_waiter >= content.first_waiter and waiters[content.last_waiter].done do
    waiters[content.last_waiter] = nil
    content.last_waiter = content.last_waiter - 1
  end
  if content.first_waiter > content.last_waiter then
    content.first_waiter, content.last_waiter = 1, 0
  end
  local waiter = {}
  content.last_waiter = content.last_waiter + 1
  waiters[content.last_waiter] = waiter
  return waiter
end

function queue.pop (object)
  local content = content_of (object, "pop")
  if content.first <= content.last then
    return take (content)
  end
  local waiter = add_waiter (content)
  waiter.hopeless = HOPELESS
  local value = await (waiter)
  return value
end

-- Without limit to wait: nothing that is there, or nothing.
local function timedpop (object, us, name)
  local content = content_of (object, name, 4)
  local _, limit = checked (3, raw.microseconds (us, name, 2))
  if content.first <= content.last then
    return true, take (content)
  end
  if limit <= 0 then
    return false
  end
  local waiter = add_waiter (content)
  scheduler.limit (waiter, limit)
  local value = await (waiter)
  return waiter.has_value, value
end

function queue.timedpop (object, us)
  local has_value, value = timedpop (object, us, "timedpop")
  if has_value then
    return value
  end
end

function queue.timedout (object, us)
  local has_value, value = timedpop (object, us, "timedout")
  if has_value then
    return value
  end
end

function queue.items (object)
  local content = content_of (object, "items")
  return content.last - content.first + 1
end

function class.getters.ref_count ()
  return 1
end

raw.leave_metamethod ("asyncqueue", "__len", queue.items)

-- What crates/luavortex/benches/dispatch.rs measures: the work between the engine and Lua, with both ends in one Lua
-- state. Returns a table of functions that do a workload so many times.
local vortex = require "vortex"

local PROFILE = "urn:example:bench:"
local PAYLOAD = string.rep ("x", 64)
local SERIES = 100
-- Messages that are sent before their handlers get a turn.
local BATCH = 20
local DONE = {}

local ctx = vortex.ctx.new ()
assert (ctx:init ())

local listener = vortex.create_listener (ctx, "127.0.0.1", 0)
assert (listener:is_ok (), listener.error_msg)

local function connect ()
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
   assert (conn:is_ok (), conn.error_msg)
   return conn
end

local function open (conn, profile, handler)
   return assert (conn:open_channel (0, PROFILE .. profile, handler))
end

-- Sends `count` messages, a batch at a time, and waits after each until `arrived` was called so often.
local function send (channel, count, arrivals)
   while count > 0 do
      local batch = math.min (count, BATCH)
      arrivals.expected = batch
      for _ = 1, batch do
         assert (channel:send_msg (PAYLOAD))
      end
      assert (arrivals.queue:pop ())
      count = count - batch
   end
end

local function new_arrivals ()
   return { expected = 0, queue = vortex.asyncqueue.new () }
end

local function arrived (arrivals)
   arrivals.expected = arrivals.expected - 1
   if arrivals.expected == 0 then
      arrivals.queue:push (true)
   end
end

local received, replied = new_arrivals (), new_arrivals ()
local there, back = vortex.asyncqueue.new (), vortex.asyncqueue.new ()

vortex.register_profile (ctx, PROFILE .. "silent", function ()
   arrived (received)
end)

vortex.register_profile (ctx, PROFILE .. "echo", function (_, channel, frame)
   channel:send_rpy (frame.payload, -1, frame.msg_no)
end)

vortex.register_profile (ctx, PROFILE .. "series", function (_, channel, frame)
   for _ = 1, SERIES do
      channel:send_ans (PAYLOAD, -1, frame.msg_no)
   end
   channel:finalize_ans (frame.msg_no)
end)

vortex.register_profile (ctx, PROFILE .. "queue", function (_, channel, frame)
   for value in function () return there:pop () end do
      if value == DONE then
         break
      end
      back:push (value)
   end
   channel:send_rpy ("", -1, frame.msg_no)
end)

local workloads = {}

-- A connection of its own, as nothing else forgets messages that were never answered.
workloads["lua-handler"] = function (count)
   local conn = connect ()
   send (open (conn, "silent"), count, received)
   conn:shutdown ()
end

workloads["lua-replies"] = function (count)
   local conn = connect ()
   local channel = open (conn, "echo", function (_, _, frame)
      assert (frame.type == "RPY")
      arrived (replied)
   end)
   send (channel, count, replied)
   assert (conn:close ())
end

workloads["lua-requests"] = function (count)
   local conn = connect ()
   local channel = open (conn, "echo")
   for _ = 1, count do
      assert (assert (channel:request (PAYLOAD)).payload_size == #PAYLOAD)
   end
   assert (conn:close ())
end

workloads["lua-answers"] = function (count)
   local conn = connect ()
   local channel = open (conn, "series")
   for _ = 1, count do
      local answers = 0
      for _ in assert (channel:answers ("")) do
         answers = answers + 1
      end
      assert (answers == SERIES)
   end
   assert (conn:close ())
end

workloads["lua-queues"] = function (count)
   local conn = connect ()
   -- With a handler of its own: else the reply would go to the profile's, as both ends share the context.
   local channel = open (conn, "queue", function () end)
   assert (channel:send_msg (""))
   for index = 1, count do
      there:push (index)
      assert (back:pop () == index)
   end
   there:push (DONE)
   assert (conn:close ())
end

return workloads

-- A channel pool: channels that are opened once and used again and again.
--
-- Opening a channel costs a round trip, and a channel that waits for a reply is
-- better not given a second question. A pool lends channels that are ready, takes
-- them back, and opens another one when all are lent.
--
-- Run it with:  lua channel_pool.lua
--
-- expect: the pool begins with 2 channels, 2 available
-- expect: lent channel 3
-- expect: none left without growing: nil
-- expect: the pool grew to 3 channels
-- expect: after release: 3 available
-- expect: 20 questions answered
-- expect: the pool has no more than 5 channels: true
-- expect: after the connection ended: nil

local vortex = require "vortex"

local ECHO = "urn:example:echo"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")
vortex.register_profile (ctx, ECHO, function (conn, channel, frame)
   if frame.type == "MSG" then
      channel:send_rpy (frame.payload, -1, frame.msgno)
   end
end)
local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)
local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
assert (conn:is_ok (), conn.error_msg)

-- two channels to begin with; the create handler decides how they are opened
local pool = assert (conn:channel_pool_new (ECHO, 2, function (conn, number, profile)
   return conn:open_channel (number, profile)
end))
print ("the pool begins with " .. pool.channel_count .. " channels, " .. pool.channel_available .. " available")

local first, second = assert (pool:next_ready ()), assert (pool:next_ready ())
print ("lent channel " .. first.number .. ", lent channel " .. second.number)

-- false: do not open another one
print ("none left without growing: " .. tostring ((pool:next_ready (false))))
local third = assert (pool:next_ready ())
print ("the pool grew to " .. pool.channel_count .. " channels")

pool:release (first)
pool:release (second)
pool:release (third)
print ("after release: " .. pool.channel_available .. " available")

-- five workers share the pool; each borrows a channel for all its questions
local done = vortex.asyncqueue.new ()
for worker = 1, 5 do
   vortex.spawn (function ()
      local channel = assert (pool:next_ready ())
      for question = 1, 4 do
         local text = "question " .. question .. " of worker " .. worker
         local frame = assert (channel:request (text))
         assert (frame.payload == text)
         done:push (true)
      end
      pool:release (channel)
   end)
end
for _ = 1, 20 do
   done:pop ()
end
print "20 questions answered"
print ("the pool has no more than 5 channels: " .. tostring (pool.channel_count <= 5))

assert (conn:close ())
print ("after the connection ended: " .. tostring ((pool:next_ready ())))
ctx:exit ()

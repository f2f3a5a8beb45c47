-- A BEEP listener and a client in one script.
--
-- The listener serves a profile that sends back whatever it gets. The client
-- connects, opens a channel running that profile, sends some messages and shows
-- the replies. Everything runs in one Lua state: while the client waits, the
-- handlers of the listener run.
--
-- Run it with:  lua echo.lua
--
-- expect: listening
-- expect: connected as initiator
-- expect: channel 3 is open
-- expect: the listener got "first"
-- expect: reply 0: first
-- expect: reply 1: second
-- expect: reply 2: third
-- expect: channel closed: true
-- expect: connection closed: true
-- expect: 3 messages sent, 3 replies received

local vortex = require "vortex"

local ECHO = "urn:example:echo"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- the listener's side: this handler runs for every frame that comes in
vortex.register_profile (ctx, ECHO, function (conn, channel, frame)
   if frame.type == "MSG" then
      print (string.format ("the listener got %q", frame.payload))
      channel:send_rpy (frame.payload, -1, frame.msgno)
   end
end)

-- port "0" picks a free one
local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)
print "listening"

-- the client's side
local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
assert (conn:is_ok (), conn.error_msg)
print ("connected as " .. conn.role)

-- replies are put in a queue, from where the main code takes them
local replies = vortex.asyncqueue.new ()
local channel = assert (conn:open_channel (0, ECHO, function (conn, channel, frame, queue)
   queue:push (frame)
end, replies))
print ("channel " .. channel.number .. " is open")

local texts = { "first", "second", "third" }
for _, text in ipairs (texts) do
   assert (channel:send_msg (text))
end

local received = 0
for _ = 1, #texts do
   local frame = replies:pop ()
   received = received + 1
   print ("reply " .. frame.msg_no .. ": " .. frame.payload)
end

print ("channel closed: " .. tostring (channel:close ()))
print ("connection closed: " .. tostring (conn:close ()))
print (#texts .. " messages sent, " .. received .. " replies received")

ctx:exit ()

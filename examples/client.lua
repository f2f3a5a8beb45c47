-- A client for listener.lua.
--
-- It opens a channel for each of the listener's two profiles and asks both the
-- same question. ch:request sends a message and waits for its reply.
--
-- Run it with:  lua client.lua [host] [port]
-- Without a port it has no listener to talk to and starts one of its own.
--
-- expect: connected
-- expect: echo: Hello, BEEP
-- expect: upper case: HELLO, BEEP
-- expect: closed: true

local vortex = require "vortex"

local ECHO = "urn:example:echo"
local UPPER = "urn:example:upper-case"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

local host, port = arg and arg[1] or "127.0.0.1", arg and arg[2]
if not port then
   local function answer_with (f)
      return function (conn, channel, frame)
         if frame.type == "MSG" then
            channel:send_rpy (f (frame.payload), -1, frame.msgno)
         end
      end
   end
   vortex.register_profile (ctx, ECHO, answer_with (function (text) return text end))
   vortex.register_profile (ctx, UPPER, answer_with (string.upper))
   local listener = vortex.create_listener (ctx, host, "0")
   assert (listener:is_ok (), listener.error_msg)
   port = listener.port
end

local conn = vortex.connection.new (ctx, host, port)
if not conn:is_ok () then
   -- status and error_msg tell what went wrong
   io.stderr:write (conn.error_msg, " (status ", conn.status, ")\n")
   os.exit (1)
end
print "connected"

-- asks one question on a channel of its own
local function ask (profile, question)
   local channel, message = conn:open_channel (0, profile)
   if not channel then
      return "no channel: " .. message
   end
   -- give up after five seconds
   local frame, failure = channel:request (question, 5 * 1000000)
   channel:close ()
   return frame and frame.payload or failure
end

print ("echo: " .. ask (ECHO, "Hello, BEEP"))
print ("upper case: " .. ask (UPPER, "Hello, BEEP"))
print ("closed: " .. tostring (conn:close ()))

ctx:exit ()

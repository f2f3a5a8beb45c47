-- A BEEP listener that serves two profiles until it is interrupted.
--
-- One profile sends back what it gets, the other sends it back in upper case.
-- client.lua is made to talk to it.
--
-- Run it with:  lua listener.lua [port]        (Ctrl-C ends it)
-- Without a port a free one is picked and printed.
--
-- expect: listening on port
-- expect: goodbye

local vortex = require "vortex"

local ECHO = "urn:example:echo"
local UPPER = "urn:example:upper-case"

io.stdout:setvbuf "line"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- makes a frame handler that answers with f (payload)
local function answer_with (f)
   return function (conn, channel, frame)
      if frame.type == "MSG" then
         channel:send_rpy (f (frame.payload), -1, frame.msgno)
      end
   end
end

vortex.register_profile (ctx, ECHO, answer_with (function (text) return text end))
vortex.register_profile (ctx, UPPER, answer_with (string.upper))

local listener = vortex.create_listener (ctx, "127.0.0.1", arg and arg[1] or "0")
if not listener:is_ok () then
   io.stderr:write (listener.error_msg, "\n")
   os.exit (1)
end
print ("listening on port " .. listener.port)

-- runs the handlers; true: SIGINT, SIGTERM and SIGQUIT end the wait
vortex.wait_listeners (ctx, true)

print "goodbye"
ctx:exit ()
os.exit (0)

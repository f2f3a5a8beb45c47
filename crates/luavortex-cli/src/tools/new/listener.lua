-- Serves the profile until Ctrl-C.
--
-- Run it with:  luavortex listener.lua [port]      (10288 if you name none)

local vortex = require "vortex"
local greeter = require "greeter"

io.stdout:setvbuf "line"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")
greeter.serve (ctx)

local listener = vortex.create_listener (ctx, "127.0.0.1", arg and arg[1] or "10288")
if not listener:is_ok () then
   io.stderr:write (listener.error_msg, "\n")
   os.exit (1)
end
print ("listening on port " .. listener.port)

-- runs the handlers; true: Ctrl-C and SIGTERM end the wait
vortex.wait_listeners (ctx, true)
ctx:exit ()

-- Asks the listener for a greeting.
--
-- Run it with:  luavortex client.lua [name] [port]

local vortex = require "vortex"
local greeter = require "greeter"

local name, port = arg and arg[1] or "BEEP", arg and arg[2] or "10288"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

local conn = vortex.connection.new (ctx, "127.0.0.1", port)
if not conn:is_ok () then
   io.stderr:write (conn.error_msg, "; does listener.lua run?\n")
   os.exit (1)
end

local greeting, reason = greeter.ask (conn, name)
conn:close ()
ctx:exit ()
if not greeting then
   io.stderr:write ("no greeting: ", tostring (reason), "\n")
   os.exit (1)
end
print (greeting)

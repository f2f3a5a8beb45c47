-- Tests of the service, with a listener and a client in one script.
--
-- Run them with:  luavortex test.lua

local vortex = require "vortex"
local greeter = require "greeter"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")
greeter.serve (ctx)

-- port "0" picks a free one
local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)

local failed = 0

---@param what string
---@param run fun(conn: vortex.Connection)
local function test (what, run)
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
   assert (conn:is_ok (), conn.error_msg)
   local passed, reason = pcall (run, conn)
   conn:close ()
   print ((passed and "passed: " or "FAILED: ") .. what)
   if not passed then
      failed = failed + 1
      print ("   " .. tostring (reason))
   end
end

test ("a name is greeted", function (conn)
   local greeting = greeter.ask (conn, "Ann")
   assert (greeting == "Hello, Ann!", greeting)
end)

test ("nobody is not greeted", function (conn)
   local greeting, reason = greeter.ask (conn, "")
   assert (greeting == nil)
   assert (reason == "there is no name in the message", reason)
end)

ctx:exit ()
os.exit (failed == 0 and 0 or 1)

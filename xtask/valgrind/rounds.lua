-- The life of a listener, a session, its channels and their messages, as many times as the first argument says. What it
-- leaves behind in memory must not depend on that number.

local vortex = require "vortex"

local ECHO = "urn:example:echo"
local SECOND = 1000000

local function answer (_, channel, frame)
   if frame.type ~= "MSG" then
      return
   end
   if frame.payload == "refuse" then
      channel:send_err ("refused", -1, frame.msgno)
   elseif frame.payload == "fail" then
      channel:send_rpy ("failing", -1, frame.msgno)
      error ("a handler that fails")
   else
      channel:send_rpy (frame.payload, -1, frame.msgno)
   end
end

local function round ()
   local ctx = vortex.ctx.new ()
   assert (ctx:init ())
   vortex.register_profile (ctx, ECHO, answer)
   local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
   assert (conn:is_ok (), conn.error_msg)
   conn:set_on_close (function () end)

   local channel = assert (conn:open_channel (0, ECHO))
   assert (channel:request (("x"):rep (100000), 60 * SECOND))
   assert (channel:request ("refuse", 60 * SECOND).type == "ERR")
   assert (channel:request ("fail", 60 * SECOND))
   assert (not conn:open_channel (0, "urn:example:unknown"))

   local queue = vortex.asyncqueue.new ()
   for number = 1, 5 do
      vortex.spawn (function ()
         queue:push (channel:request ("number " .. number, 60 * SECOND).payload)
      end)
   end
   for _ = 1, 5 do
      assert (queue:pop ())
   end
   local pool = conn:channel_pool_new (ECHO, 2)
   assert (pool:next_ready ())
   vortex.sleep (1)

   assert (channel:close ())
   assert (conn:close ())
   assert (not vortex.connection.new (ctx, "127.0.0.1", "1"):is_ok ()) -- nobody listens there
   ctx:exit ()
   collectgarbage ()
   collectgarbage ()
end

vortex.set_error_handler (function () end) -- nothing on the screen
for _ = 1, tonumber (arg[1]) do
   round ()
end
os.exit (0, true) -- closes the state

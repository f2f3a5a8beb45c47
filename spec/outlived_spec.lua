-- Handlers that are still under way when what they belong to ends (contract 10 and 11).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:outlived"

-- a handler that waits at a gate, and the queue it reports to
local function waiting (answer)
   local gate, trace = vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   return function (...)
      trace:push ("waits")
      gate:pop ()
      trace:push ("goes on")
      return answer (...)
   end, gate, trace
end

-- has `finish` happen while the handler waits; then the handler comes to its end in peace
local function check_outlives (gate, trace, finish)
   t.equal (t.pop (trace), "waits")
   finish ()
   gate:push (true)
   t.equal (t.pop (trace), "goes on")
   -- what follows the handler's end must raise nothing: the harness looks at that
   vortex.yield (1000)
end

for _, finish in ipairs { "shutdown", "close" } do
   test ("a start handler may outlive its session after a " .. finish, function ()
      local handler, gate, trace = waiting (function () return true, "content" end)
      local conn, listener, client = t.session (function (ctx) vortex.register_profile (ctx, URI, nil, nil, handler) end)
      conn:open_channel (0, URI, nil, nil, t.expect_calls (1, function (number) t.equal (number, -1) end, "on_channel"))
      check_outlives (gate, trace, function () vortex.spawn (conn[finish], conn) vortex.sleep (2000) conn:shutdown () end)
      t.still_works (t.connect (client, listener))
   end)

   test ("a close handler may outlive its session after a " .. finish, function ()
      local handler, gate, trace = waiting (function () return false end)
      local conn, listener, client = t.session (function (ctx)
         vortex.register_profile (ctx, URI, nil, nil, nil, nil, handler)
      end)
      local channel, closed = t.ok (conn:open_channel (0, URI)), vortex.asyncqueue.new ()
      vortex.spawn (function () closed:push ((channel:close ())) end)
      check_outlives (gate, trace, function () vortex.spawn (conn[finish], conn) vortex.sleep (2000) conn:shutdown () end)
      t.is_type (t.pop (closed), "boolean")
      t.still_works (t.connect (client, listener))
   end)
end

test ("a frame handler may outlive its session, and hears of it when it answers", function ()
   local handler, gate, trace = waiting (function (_, channel, frame)
      t.failure (false, channel:send_rpy ("late", nil, frame.msgno))
   end)
   local conn, peer = t.both_ends (function (ctx) vortex.register_profile (ctx, URI, handler) end)
   t.ok (conn:open_channel (0, URI)):send_msg ("x")
   check_outlives (gate, trace, function ()
      conn:shutdown ()
      t.wait_until (function () return not peer:is_ok () end)
   end)
end)

test ("a create handler may outlive its connection", function ()
   for _, in_background in ipairs { false, true } do
      local handler, gate, trace = waiting (function (conn, number, profile) return conn:open_channel (number, profile) end)
      local conn, pools = t.session (), vortex.asyncqueue.new ()
      local on_created = in_background and function (pool) pools:push (pool) end or nil
      vortex.spawn (function ()
         local pool = conn:channel_pool_new (t.ECHO, 3, handler, nil, nil, nil, nil, nil, on_created)
         if not in_background then
            pools:push (pool)
         end
      end)
      -- the first channel is made, the second one not any more
      t.equal (t.pop (trace), "waits")
      gate:push (true)
      t.equal (t.pop (trace), "goes on")
      check_outlives (gate, trace, function () conn:shutdown () end)
      local pool = t.pop (pools)
      t.equal (pool.channel_available, 0)
      t.failure (nil, pool:next_ready ())
   end
end)

test ("a create handler may close the connection it makes channels on", function ()
   local conn = t.session ()
   local pool = conn:channel_pool_new (t.ECHO, 3, function (its_conn, number, profile)
      local channel = its_conn:open_channel (number, profile)
      its_conn:shutdown ()
      return channel
   end)
   t.equal (pool.channel_available, 0)
   t.failure (nil, pool:next_ready ())
end)

test ("a timer's handler and an on_close handler may outlive their ctx", function ()
   for _, kind in ipairs { "timer", "on_close" } do
      local handler, gate, trace = waiting (function () return false end)
      local conn, _, client = t.session ()
      if kind == "timer" then
         client:new_event (1000, t.expect_calls (1, handler, "the timer"))
      else
         conn:set_on_close (t.expect_calls (1, handler, "on_close"))
         conn:shutdown ()
      end
      check_outlives (gate, trace, function () client:exit () end)
      vortex.sleep (5000)
   end
end)

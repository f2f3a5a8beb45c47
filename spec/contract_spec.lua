-- Promises of the contract that only show when several things happen at once:
-- two waits for one end, exit while handlers are under way, a flood beside a
-- trickle, memory over many rounds.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local MUTE = "urn:example:luavortex:mute"
local WAIT = 5 * 1000000

-- runs f in a handler; the test fails when it does not come to its end
local function finishes (f, what)
   local done = vortex.asyncqueue.new ()
   vortex.spawn (function ()
      f ()
      done:push (true)
   end)
   t.equal (done:timedpop (WAIT), true, what)
end

-- lets handlers run until nothing is left to do, at most 10000 times
local function drain ()
   for _ = 1, 10000 do
      if not vortex.wait_events (1000) then
         return
      end
      vortex.yield (1000)
   end
end

-- KiB of Lua memory that `rounds` calls of f leave behind
local function growth (rounds, f)
   for _ = 1, rounds / 10 do
      f ()
   end
   drain ()
   collectgarbage ()
   collectgarbage ()
   local before = collectgarbage ("count")
   for _ = 1, rounds do
      f ()
   end
   drain ()
   collectgarbage ()
   collectgarbage ()
   return collectgarbage ("count") - before
end

-- ------------------------------------------------- two waits for one event

test ("two handlers that close one channel both come back", function ()
   local conn = t.session ()
   local channel = t.echo_channel (conn)
   local results = vortex.asyncqueue.new ()
   for _ = 1, 2 do
      vortex.spawn (function () results:push ((channel:close ())) end)
   end
   for number = 1, 2 do
      t.is_type (results:timedpop (WAIT), "boolean", "close number " .. number)
   end
end)

test ("two handlers that close one connection both come back", function ()
   local conn = t.session ()
   local results = vortex.asyncqueue.new ()
   for _ = 1, 2 do
      vortex.spawn (function () results:push ((conn:close ())) end)
   end
   for number = 1, 2 do
      t.equal (results:timedpop (WAIT), true, "close number " .. number)
   end
end)

-- ------------------------------------------------------------------- exit

test ("exit inside an on_close handler comes back", function ()
   local conn, _, ctx = t.session ()
   local done = vortex.asyncqueue.new ()
   conn:set_on_close (function ()
      ctx:exit ()
      done:push (true)
   end)
   conn:shutdown ()
   t.equal (done:timedpop (WAIT), true, "the end of exit")
end)

test ("exit does not wait for ever for an on_close handler that waits", function ()
   local conn, _, ctx = t.session ()
   local never = vortex.asyncqueue.new ()
   conn:set_on_close (function () never:pop () end)
   conn:shutdown ()
   finishes (function () ctx:exit () end, "the end of exit")
   never:push (true)
end)

-- ------------------------------------------------- everybody gets a turn

test ("timers that are always due do not keep frames away", function ()
   local conn, _, ctx = t.session ()
   local channel, replies = t.echo_channel (conn)
   local over = false
   local function busy ()
      local before = os.clock ()
      while os.clock () - before < 0.002 do
      end
      return over
   end
   for _ = 1, 3 do
      ctx:new_event (1000, busy)
   end
   vortex.sleep (20000)
   channel:send_msg ("x")
   local frame = replies:timedpop (2000000)
   over = true
   t.ok (frame, "the reply")
end)

test ("a handler that sleeps 0 again and again does not keep frames away", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   local over = false
   vortex.spawn (function ()
      while not over do
         vortex.sleep (0)
      end
   end)
   channel:send_msg ("x")
   local frame = replies:timedpop (2000000)
   over = true
   t.ok (frame, "the reply")
end)

test ("two handlers that wake each other keep neither frames nor time limits away", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   local one, other, over = vortex.asyncqueue.new (), vortex.asyncqueue.new (), false
   local deadline = os.time () + 6
   local function play (mine, yours)
      while not over and os.time () < deadline do
         yours:push (true)
         mine:pop ()
      end
      yours:push (true)
   end
   vortex.spawn (play, one, other)
   vortex.spawn (play, other, one)
   channel:send_msg ("x")
   local frame = replies:timedpop (2000000)
   over = true
   t.ok (frame, "the reply")
   t.ok (os.time () < deadline, "the limit of timedpop")
end)

test ("handlers that yield while nothing happens do not keep the processor busy", function ()
   local over, rounds = false, 0
   for _ = 1, 2 do
      vortex.spawn (function ()
         while not over do
            rounds = rounds + 1
            vortex.yield ()
         end
      end)
   end
   vortex.asyncqueue.new ():timedpop (200000)
   over = true
   vortex.spawn (function () end)
   drain ()
   t.ok (rounds < 1000, "as many rounds as events, not " .. rounds)
end)

-- ---------------------------------------------------------------- memory

test ("a queue that is polled in vain does not grow", function ()
   local queue = vortex.asyncqueue.new ()
   local kib = growth (2000, function () queue:timedpop (1) end)
   t.ok (kib < 50, "it grew by " .. kib .. " KiB")
end)

test ("a pool whose channels are closed by their users does not grow", function ()
   local conn = t.session ()
   local pool = conn:channel_pool_new (t.ECHO, 1)
   local kib = growth (500, function ()
      t.ok (t.ok (pool:next_ready ()):close ())
   end)
   t.ok (kib < 50, "it grew by " .. kib .. " KiB")
end)

test ("answers that nobody takes hold up their sender", function ()
   local sent, series = 0, string.rep ("z", 10000)
   local conn = t.session (function (ctx)
      ctx:set_limits { send_queue_octets = 1000000 }
      vortex.register_profile (ctx, MUTE, function (_, channel, frame)
         while sent < 5000 and channel.conn:is_ok () do
            if channel:send_ans (series, nil, frame.msgno) then
               sent = sent + 1
            else
               vortex.sleep (1000)
            end
         end
         channel:finalize_ans (frame.msgno)
      end)
   end)
   local channel = t.ok (conn:open_channel (0, MUTE))
   local iterator = t.ok (channel:answers ("go"))
   t.ok (iterator (), "the first answer")
   vortex.sleep (1000000)
   t.ok (sent < 5000, "50 MB were sent to somebody who took 10 kB")
   conn:shutdown ()
end)

-- --------------------------------------------------------------- handlers

test ("no handler runs inside set_serialize, and no frame is overtaken", function ()
   local inside, ran_inside, seen = false, false, {}
   local conn = t.session ()
   local done = vortex.asyncqueue.new ()
   local channel = t.ok (conn:open_channel (0, t.ECHO, function (_, _, frame)
      ran_inside = ran_inside or inside
      seen[#seen + 1] = frame.payload
      vortex.sleep (20000)
      done:push (true)
   end))
   channel:set_serialize (true)
   for number = 1, 3 do
      channel:send_msg (tostring (number))
   end
   t.wait_until (function () return seen[1] end)
   vortex.sleep (5000)
   inside = true
   channel:set_serialize (false)
   inside = false
   for _ = 1, 3 do
      t.pop (done)
   end
   t.equal (ran_inside, false)
   t.equal (table.concat (seen), "123")
end)

test ("frames that wait when the session ends come with their connection and channel", function ()
   local got, gate = vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, MUTE, function (peer, channel, frame)
         channel:set_serialize (true)
         got:push (frame.payload .. tostring (vortex.connection.check (peer)) .. tostring (vortex.channel.check (channel)))
         gate:pop ()
         -- an error, so that nothing of this handler refers to the objects any more
         error "on purpose"
      end, nil, function (_, peer)
         peer:set_on_close (function () got:push "on_close" end)
         return true
      end)
   end)
   local reported = 0
   vortex.set_error_handler (function ()
      reported = reported + 1
      collectgarbage ()
      collectgarbage ()
   end)
   local channel = t.ok (conn:open_channel (0, MUTE))
   for number = 1, 3 do
      channel:send_msg (tostring (number))
   end
   t.equal (t.pop (got), "1truetrue")
   conn:shutdown ()
   t.wait_until (function () return not conn:is_ok () end)
   while vortex.wait_events (-1) do vortex.yield () end
   for _, expected in ipairs { "2truetrue", "3truetrue", "on_close" } do
      gate:push (true)
      t.equal (t.pop (got), expected)
   end
   -- the session may end while the last handler waits, and then on_close does not wait for it
   t.wait_until (function () return reported == 3 end, "the end of every handler")
   vortex.set_error_handler (nil)
end)

test ("frames that a serialized channel holds come before on_close", function ()
   local order = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, MUTE, function (_, channel, frame)
         channel:set_serialize (true)
         vortex.sleep (50000)
         order:push (frame.payload)
      end, nil, function (_, peer)
         peer:set_on_close (function () order:push ("on_close") end)
         return true
      end)
   end)
   local channel = t.ok (conn:open_channel (0, MUTE))
   for number = 1, 3 do
      channel:send_msg (tostring (number))
   end
   vortex.sleep (20000)
   conn:shutdown ()
   local last
   repeat
      local word = order:timedpop (300000)
      t.ok (last ~= "on_close" or word == nil, "nothing follows on_close")
      last = word or last
   until word == nil
   t.equal (last, "on_close")
end)

test ("a start handler that waits sees the name that its own start asks for", function ()
   local names = vortex.asyncqueue.new ()
   local server = t.new_ctx ()
   for _, wait in ipairs { 60000, 20000 } do
      vortex.register_profile (server, MUTE .. wait, nil, nil, function (_, peer)
         vortex.sleep (wait)
         names:push (tostring (peer.server_name))
         return false
      end)
   end
   local listener = t.listen (server)
   local conn = vortex.connection.new (t.new_ctx (), "127.0.0.1", listener.port, "one.example")
   for _, wait in ipairs { 60000, 20000 } do
      conn:open_channel (0, MUTE .. wait, nil, nil, function () end)
   end
   t.equal (t.pop (names), "one.example")
   t.equal (t.pop (names), "one.example")
end)

test ("a start handler whose content cannot be sent is reported", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, MUTE, nil, nil, function () return true, {} end)
   end)
   local errors = t.handler_errors ()
   t.equal (conn:open_channel (0, MUTE), nil)
   t.ok (#errors > 0, "an error for the error handler")
end)

test ("what a handler that failed left to be closed is closed", function ()
   if not (_VERSION == "Lua 5.4" or _VERSION == "Lua 5.5") then
      t.skip ("this Lua has no variables that are closed")
   end
   local closed = false
   t.handler_errors ()
   local load_text = rawget (_G, "loadstring") or load
   local fail = assert (load_text ([[
      local mark = ...
      local guard <close> = setmetatable ({}, { __close = mark })
      error ("on purpose")
   ]]))
   vortex.spawn (fail, function () closed = true end)
   drain ()
   t.equal (closed, true)
end)

-- ------------------------------------------------------ old scripts, errors

test ("a handler that closes its connection leaves the script's object readable", function ()
   local conn = t.session ()
   local host, id = conn.host, conn.id
   local done = vortex.asyncqueue.new ()
   local channel = t.ok (conn:open_channel (0, t.ECHO, function (peer, its_channel)
      its_channel:close ()
      peer:close ()
      done:push (true)
   end))
   channel:send_msg ("x")
   t.pop (done)
   t.equal (conn:is_ok (), false)
   t.equal (conn.host, host)
   t.equal (conn.id, id)
   t.equal (channel.profile, t.ECHO)
end)

test ("a channel of a connection that was just shut down closes", function ()
   local conn = t.session ()
   local channel = t.echo_channel (conn)
   conn:shutdown ()
   t.equal (channel:close (), true)
end)

test ("the failure of an open is stacked on a connection that ended long ago, too", function ()
   local conn = t.session ()
   conn:shutdown ()
   drain ()
   t.failure (nil, conn:open_channel (0, t.ECHO))
   t.is_type (conn:pop_channel_error (), "table")
end)

test ("data of a connection can be read as long as the connection is referenced", function ()
   local conn, _, ctx = t.session ()
   conn:set_data ("key", "value")
   conn:shutdown ()
   drain ()
   t.equal (conn:get_data ("key"), "value")
   local failed = vortex.connection.new (ctx, "127.0.0.1", "1")
   failed:set_data ("key", "value")
   t.equal (failed:get_data ("key"), "value")
end)

test ("a pool on a listener is refused where the script stands, and leaves nothing", function ()
   local _, listener = t.session ()
   local message = t.raises ("channel_pool_new", function ()
      local pool = listener:channel_pool_new (t.ECHO, 1)
      return pool
   end)
   t.ok (message:find ("contract_spec", 1, true), message)
   t.equal (listener:pool (1), nil)
end)

test ("a wrong value for the attribute set_serialize is refused where the script stands", function ()
   local conn = t.session ()
   local channel = t.echo_channel (conn)
   local message = t.raises ("set_serialize", function () channel.set_serialize = 1 end)
   t.ok (message:find ("contract_spec", 1, true), message)
end)

test ("a value that a pop too deep to wait would have got stays in the queue", function ()
   local _ = t.handler_errors ()
   local ctx, queue, got, count = t.new_ctx (), vortex.asyncqueue.new (), 0, 40
   local failed = 0
   ctx:new_event (50000, function ()
      for number = 1, count do
         queue:push (number)
      end
      return true
   end)
   for _ = 1, count do
      vortex.spawn (function ()
         table.sort ({ 1, 2 }, function ()
            local ok = pcall (queue.pop, queue)
            if ok then
               got = got + 1
            else
               failed = failed + 1
            end
            return false
         end)
      end)
   end
   t.wait_until (function () return got + failed == count end)
   t.equal (queue:items (), failed, "values for those that could not wait")
end)

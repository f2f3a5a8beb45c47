-- How handlers run: coroutines, order, errors (contract 10, the execution model).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:handlers"

-- runs f once as a timer's handler of a fresh ctx
local function in_handler (f, ...)
   local ctx = t.new_ctx ()
   ctx:new_event (0, function (...)
      f (...)
      return true
   end, ...)
   return ctx
end

test ("a handler that waits stops neither main nor other handlers", function ()
   local gate, trace = vortex.asyncqueue.new (), {}
   in_handler (function ()
      trace[#trace + 1] = "waiting"
      local value = gate:pop ()
      trace[#trace + 1] = value
   end)
   t.wait_until (function () return trace[1] end)
   in_handler (function () trace[#trace + 1] = "another" end)
   t.wait_until (function () return trace[2] end)
   t.equal (gate:items (), 0, "main goes on")
   gate:push ("resumed")
   t.wait_until (function () return trace[3] end)
   t.equal (table.concat (trace, " "), "waiting another resumed")
end)

test ("handlers never run while main computes", function ()
   local ctx, ran = t.new_ctx (), false
   local conn = t.session ()
   ctx:new_event (0, function () ran = true return true end)
   local channel = t.echo_channel (conn)
   ran = false
   ctx:new_event (0, function () ran = true return true end)
   channel:send_msg ("x")
   for index = 1, 200000 do
      if ran then
         t.fail ("a handler ran in round " .. index)
      end
   end
   vortex.wait_events (t.LIMIT)
   t.equal (ran, false, "wait_events runs none")
   t.wait_until (function () return ran end)
end)

test ("two handlers that wait for each other go on", function ()
   local ping, pong, done = vortex.asyncqueue.new (), vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   in_handler (function ()
      for round = 1, 100 do
         ping:push (round)
         t.equal (pong:pop (), round)
      end
      done:push (true)
   end)
   in_handler (function ()
      for round = 1, 100 do
         t.equal (ping:pop (), round)
         pong:push (round)
      end
   end)
   t.pop (done)
end)

test ("B16: a handler runs in a coroutine of its own", function ()
   local seen = vortex.asyncqueue.new ()
   local main = coroutine.running ()
   for _ = 1, 2 do
      in_handler (function ()
         seen:push (coroutine.running ())
         vortex.sleep (2000)
      end)
   end
   local first, second = t.pop (seen), t.pop (seen)
   t.is_type (first, "thread")
   t.ok (first ~= second and first ~= main and second ~= main)
end)

test ("handlers share the globals of the script", function ()
   t.allow_globals ()
   shared_value = 1
   in_handler (function () shared_value = shared_value + 1 end)
   t.wait_until (function () return shared_value == 2 end)
end)

test ("a handler may be made by coroutine.wrap", function ()
   local ctx, seen = t.new_ctx (), vortex.asyncqueue.new ()
   ctx:new_event (1000, coroutine.wrap (function (_, data)
      for round = 1, 3 do
         seen:push (data .. round)
         coroutine.yield (round == 3)
      end
   end), "round ")
   for round = 1, 3 do
      t.equal (t.pop (seen), "round " .. round)
   end
   vortex.sleep (5000)
   t.equal (seen:items (), 0)
end)

test ("coroutine.yield in a handler hangs nothing", function ()
   t.handler_errors ()
   local reached = vortex.asyncqueue.new ()
   vortex.spawn (function ()
      reached:push (1)
      coroutine.yield ("nobody asked for this")
   end)
   t.equal (t.pop (reached), 1)
   in_handler (function () reached:push (2) end)
   t.equal (t.pop (reached), 2)
end)

test ("a handler may use coroutines as it likes", function ()
   local done = vortex.asyncqueue.new ()
   in_handler (function ()
      local sum = 0
      for value in coroutine.wrap (function ()
         for index = 1, 10 do
            coroutine.yield (index)
         end
      end) do
         sum = sum + value
      end
      done:push (sum)
   end)
   t.equal (t.pop (done), 55)
end)

test ("a handler set inside a handler is called", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = t.session ()
   in_handler (function (ctx)
      ctx:new_event (0, function ()
         local channel = conn:open_channel (0, t.ECHO, function (_, mine, frame)
            mine:set_frame_received (function (_, _, second) seen:push (frame.payload .. second.payload) end)
            mine:send_msg ("two")
         end)
         channel:send_msg ("one ")
         return true
      end)
   end)
   t.equal (t.pop (seen), "one two")
end)

test ("H4: a handler set after waiting inside a handler is called", function ()
   local seen, never = vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   in_handler (function (ctx)
      never:timedpop (1000)
      ctx:new_event (0, function () seen:push (true) return true end)
   end)
   t.pop (seen)
end)

test ("one ctx may hold the client and the listener with handlers on both sides", function ()
   local ctx, done = t.new_ctx (), vortex.asyncqueue.new ()
   vortex.register_profile (ctx, URI, t.echo, nil, function () return true end, nil, function () return true end)
   local conn = t.connect (ctx, t.listen (ctx))
   local channel = t.ok (conn:open_channel (0, URI, function (_, _, frame) done:push (frame.payload) end))
   channel:send_msg ("hello")
   t.equal (t.pop (done), "hello")
   t.equal (channel:close (), true)
   t.equal (conn:close (), true)
end)

test ("a start handler may talk to its own listener before it answers", function ()
   local conn, listener, client = t.session (function (ctx)
      vortex.register_profile (ctx, URI, t.echo, nil, function (_, peer)
         local other = vortex.connection.new (peer.ctx, "127.0.0.1", peer.local_port)
         local channel = t.ok (other:open_channel (0, t.ECHO))
         t.equal (channel:request ("from a start handler", t.LIMIT).payload, "from a start handler")
         t.equal (other:close (), true)
         return true
      end)
   end)
   t.ok (conn:open_channel (0, URI))
   t.ok (t.connect (client, listener):open_channel (0, URI))
end)

test ("objects that handlers were given may be kept and used later", function ()
   ---@type any
   local kept
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (...) kept = { ... } end)
   end)
   local channel = conn:open_channel (0, URI)
   vortex.spawn (function ()
      t.wait_until (function () return kept end)
      kept[2]:send_rpy (kept[3].payload, -1, kept[3].msgno)
   end)
   t.equal (channel:request ("kept", t.LIMIT).payload, "kept")
   t.equal (kept[1]:is_ok (), true)
end)

test ("frames of one channel reach the handler in order even when main is busy elsewhere", function ()
   local conn, order = t.session (), {}
   local channel = conn:open_channel (0, t.ECHO, function (_, _, frame) order[#order + 1] = frame.msg_no end)
   for _ = 1, 200 do
      channel:send_msg ("x")
   end
   t.wait_until (function () return #order == 200 end)
   for index = 1, 200 do
      t.equal (order[index], index - 1)
   end
end)

-- ------------------------------------------------------------------- errors

test ("B5: an error in a handler is reported with message, traceback and name", function ()
   local errors, conn = t.handler_errors (), t.session ()
   local function break_down ()
      error ("the frame was too heavy")
   end
   local channel = conn:open_channel (0, t.ECHO, function () break_down () end)
   channel:send_msg ("x")
   t.wait_until (function () return errors[1] end)
   local report = errors[1]
   t.ok (report.message:find ("the frame was too heavy", 1, true), report.message)
   t.ok (report.message:find ("handlers_spec.lua:", 1, true), report.message)
   t.ok (report.traceback:find ("handlers_spec.lua:", 1, true), report.traceback)
   t.ok (#t.is_type (report.handler_name, "string") > 0)
   t.still_works (conn)
   t.equal (#errors, 1)
end)

test ("errors that are no strings are reported too", function ()
   local errors = t.handler_errors ()
   local values = { {}, false, 17, setmetatable ({}, { __tostring = function () error "twice" end }) }
   for index = 1, #values do
      vortex.spawn (function () error (values[index]) end)
   end
   vortex.spawn (function () error () end)
   t.wait_until (function () return #errors == #values + 1 end)
   for _, report in ipairs (errors) do
      t.is_type (report.traceback, "string")
   end
end)

test ("without an error handler errors go to standard error", function ()
   local ok, text = t.run_script ([[
      local vortex = require "vortex"
      vortex.spawn (function () error "spilled milk" end)
      vortex.yield (100000)
      print "going on"
   ]])
   t.ok (ok, text)
   t.ok (text:find ("spilled milk", 1, true), text)
   t.ok (text:find ("going on", 1, true), text)
   t.ok (text:find ("traceback", 1, true), text)
end)

test ("an error in the error handler hangs nothing", function ()
   local ok, text = t.run_script ([[
      local vortex = require "vortex"
      local count = 0
      vortex.set_error_handler (function () count = count + 1 error "again" end)
      for _ = 1, 2 do
         vortex.spawn (function () error "first" end)
      end
      for _ = 1, 100 do
         if count < 2 then vortex.yield (100000) end
      end
      print ("count " .. count)
   ]])
   t.ok (ok and text:find ("count 2\n", 1, true), text)
end)

test ("set_error_handler with nil goes back to standard error", function ()
   local ok, text = t.run_script ([[
      local vortex = require "vortex"
      vortex.set_error_handler (function () print "unexpected" end)
      vortex.set_error_handler (nil)
      vortex.spawn (function () error "spilled milk" end)
      vortex.yield (100000)
   ]])
   t.ok (ok and text:find ("spilled milk", 1, true) and not text:find ("unexpected", 1, true), text)
end)

test ("an error handler may call blocking functions", function ()
   local seen = vortex.asyncqueue.new ()
   vortex.set_error_handler (function (message)
      vortex.sleep (1000)
      seen:push (message)
   end)
   vortex.spawn (function () error ("slow to report", 0) end)
   t.equal (t.pop (seen), "slow to report")
end)

test ("every kind of handler that raises is reported and nothing else is disturbed", function ()
   local errors, conn = t.handler_errors (), nil
   local function raise () error "broken" end
   conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, raise, nil, nil, nil, raise)
      vortex.register_profile (ctx, URI .. "/2", nil, nil, raise)
   end)
   local names = {}
   local function reported (what)
      t.wait_until (function () return errors[#names + 1] end, "the report about " .. what)
      t.is_type (errors[#names + 1].handler_name, "string", what)
      names[#names + 1] = what
   end
   local channel = conn:open_channel (0, URI, raise)
   channel:send_msg ("x")
   reported ("a profile's frame handler")
   conn:open_channel (0, URI .. "/2")
   reported ("a start handler")
   conn:open_channel (0, t.ECHO, raise):send_msg ("x")
   reported ("a channel's frame handler")
   conn:open_channel (0, t.ECHO, nil, nil, raise)
   reported ("on_channel")
   conn:channel_pool_new (t.ECHO, 1, nil, nil, nil, nil, nil, nil, raise)
   reported ("on_created")
   vortex.spawn (raise)
   reported ("a spawned function")
   t.still_works (conn)
   conn:set_on_close (raise)
   conn:shutdown ()
   reported ("on_close")
end)

-- -------------------------------------------------------------- spawn, sleep

test ("spawn runs a function with its arguments in a coroutine of its own", function ()
   local seen = vortex.asyncqueue.new ()
   vortex.spawn (function (...)
      seen:push (t.pack (...))
      seen:push (coroutine.running ())
   end, 1, nil, "three", nil)
   local got = t.pop (seen)
   t.equal (got.n, 4)
   t.equal (got[1], 1)
   t.equal (got[2], nil)
   t.equal (got[3], "three")
   t.is_type (t.pop (seen), "thread")
end)

test ("spawned functions may spawn others, a thousand of them at once", function ()
   local gate, done = vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   vortex.spawn (function ()
      for index = 1, 1000 do
         vortex.spawn (function ()
            gate:pop ()
            done:push (index)
         end)
      end
   end)
   vortex.yield (1000)
   for _ = 1, 1000 do
      gate:push (true)
   end
   local seen = {}
   for _ = 1, 1000 do
      seen[t.pop (done)] = true
   end
   t.equal (#seen, 1000)
end)

test ("sleep lets others run", function ()
   local count = 0
   local ctx = t.new_ctx ()
   ctx:new_event (1000, function ()
      count = count + 1
      return count == 3
   end)
   for _ = 1, 1000 do
      if count < 3 then
         t.equal (t.pack (vortex.sleep (10000)).n, 0)
      end
   end
   t.equal (count, 3)
   vortex.sleep (0)
end)

test ("sleepers wake up in the order of their times", function ()
   local order = vortex.asyncqueue.new ()
   for _, time in ipairs { 150000, 1000, 75000 } do
      vortex.spawn (function ()
         vortex.sleep (time)
         order:push (time)
      end)
   end
   t.equal (t.pop (order), 1000)
   t.equal (t.pop (order), 75000)
   t.equal (t.pop (order), 150000)
end)

-- Loops: yield, wait_events, event_fd, wait_listeners (contract 2).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local has_ffi, ffi = pcall (require, "ffi")
if has_ffi then
   has_ffi = pcall (ffi.cdef, [[
      struct luavortex_pollfd { int fd; short events; short revents; };
      int poll (struct luavortex_pollfd *fds, unsigned long nfds, int timeout);
   ]])
end

-- whether the descriptor becomes readable within milliseconds
local function readable (milliseconds)
   local entry = ffi.new ("struct luavortex_pollfd[1]")
   entry[0].fd = vortex.event_fd ()
   entry[0].events = 1 -- POLLIN
   return ffi.C.poll (entry, 1, milliseconds) == 1
end

-- runs what still waits, so that a test begins in silence
local function drain ()
   while vortex.wait_events (1000) do
      vortex.yield (1000)
   end
end

test ("yield runs a waiting handler and returns early", function ()
   local ctx, ran = t.new_ctx (), false
   local before = os.time ()
   ctx:new_event (1000, function () ran = true return true end)
   for _ = 1, 100 do
      if not ran then
         t.equal (t.pack (vortex.yield (30 * 1000000)).n, 0)
      end
   end
   t.equal (ran, true)
   t.ok (os.time () - before < 25, "not the whole time was used")
end)

test ("yield runs everything that is ready", function ()
   local count = 0
   for _ = 1, 10 do
      vortex.spawn (function () count = count + 1 end)
   end
   vortex.yield (1000000)
   t.equal (count, 10)
end)

test ("yield returns at its limit when nothing happens", function ()
   drain ()
   vortex.yield (1)
   vortex.yield (2000)
end)

test ("D18: yield without a limit waits for the next handler", function ()
   local ctx, count = t.new_ctx (), 0
   ctx:new_event (1000, function ()
      count = count + 1
      return count == 3
   end)
   while count < 3 do
      vortex.yield ()
   end
   t.equal (count, 3)
end)

test ("wait_events is false at its limit and runs no handler", function ()
   drain ()
   t.equal (vortex.wait_events (2000), false)
   local ctx, ran = t.new_ctx (), false
   ctx:new_event (1000, function () ran = true return true end)
   t.equal (vortex.wait_events (t.LIMIT), true)
   t.equal (vortex.wait_events (t.LIMIT), true, "it stays true")
   t.equal (ran, false)
   t.wait_until (function () return ran end)
end)

test ("wait_events with a negative limit does not wait", function ()
   drain ()
   t.equal (vortex.wait_events (-1), false)
   t.equal (vortex.wait_events (-1000000), false)
end)

test ("wait_events without a limit waits for an event", function ()
   local ctx, ran = t.new_ctx (), false
   ctx:new_event (2000, function () ran = true return true end)
   t.equal (vortex.wait_events (), true)
   t.wait_until (function () return ran end)
end)

test ("D19: wait_events works in a program that never asked for the descriptor", function ()
   t.script_prints ("false true", [[
      local vortex = require "vortex"
      local idle = vortex.wait_events (1000)
      local ctx = vortex.ctx.new ()
      ctx:init ()
      ctx:new_event (1000, function () return true end)
      print (tostring (idle) .. " " .. tostring (vortex.wait_events (15000000)))
   ]])
end)

test ("D18: the documented loop ends with every handler run", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   for round = 1, 100 do
      for _ = 1, 5 do
         channel:send_msg ("round " .. round)
      end
      -- the answers need the listener's handlers and then ours
      while replies:items () < 5 do
         t.equal (vortex.wait_events (t.LIMIT), true, "round " .. round)
         while vortex.wait_events (1) do
            vortex.yield ()
         end
      end
      for _ = 1, 5 do
         replies:pop ()
      end
   end
   drain ()
   t.equal (vortex.wait_events (1000), false)
end)

test ("the documented loop never hangs, whatever the moment", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   local got = 0
   for round = 1, 500 do
      channel:send_msg ("x")
      if round % 3 == 0 then
         vortex.spawn (function () vortex.sleep (round % 7 * 100) end)
      end
      while vortex.wait_events (round % 5 == 0 and -1 or 50) do
         vortex.yield ()
      end
      got = got + #replies
      while #replies > 0 do
         replies:pop ()
      end
   end
   t.wait_until (function () return got + #replies == 500 end)
end)

test ("the documented loop works inside handlers and coroutines", function ()
   local conn, done = t.session (), vortex.asyncqueue.new ()
   local function exchange ()
      local channel, replies = t.echo_channel (conn)
      channel:send_msg ("x")
      for _ = 1, 10000 do
         if #replies == 0 then
            while vortex.wait_events (1000) do
               vortex.yield (1000)
            end
            vortex.yield (1000)
         end
      end
      t.equal (t.pop (replies).payload, "x")
      done:push (true)
   end
   coroutine.wrap (exchange) ()
   t.pop (done)
   vortex.spawn (exchange)
   t.pop (done)
end)

-- -------------------------------------------------------------- descriptors

test ("event_fd is the same whole number each time and everywhere", function ()
   local number = t.is_whole (vortex.event_fd ())
   t.ok (number >= 0)
   t.new_ctx ()
   t.equal (vortex.event_fd (), number)
   t.equal (coroutine.wrap (function () return vortex.event_fd () end) (), number)
   local seen = vortex.asyncqueue.new ()
   vortex.spawn (function () seen:push (vortex.event_fd ()) end)
   t.equal (t.pop (seen), number)
end)

test ("event_fd works before any ctx exists", function ()
   t.script_prints ("true", [[
      local vortex = require "vortex"
      print (vortex.event_fd () >= 0 and vortex.event_fd () == vortex.event_fd ())
   ]])
end)

test ("the descriptor is readable exactly while handlers wait", function ()
   if not has_ffi then
      t.skip ("poll needs LuaJIT's ffi")
   end
   drain ()
   t.equal (readable (0), false)
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   for round = 1, 50 do
      drain ()
      t.equal (readable (0), false, "idle in round " .. round)
      channel:send_msg ("x")
      t.equal (readable (15000), true, "busy in round " .. round)
      t.equal (vortex.wait_events (-1), true)
      t.equal (readable (0), true, "still busy")
      while #replies == 0 do
         t.ok (readable (15000), "the answer in round " .. round)
         vortex.yield (1000000)
      end
      replies:pop ()
   end
   drain ()
   t.equal (readable (0), false)
end)

test ("the descriptor tells of timers", function ()
   if not has_ffi then
      t.skip ("poll needs LuaJIT's ffi")
   end
   drain ()
   local ctx, ran = t.new_ctx (), false
   ctx:new_event (20000, function () ran = true return true end)
   t.equal (readable (0), false, "before its time")
   t.equal (readable (15000), true)
   vortex.yield (1000000)
   t.equal (ran, true)
   t.equal (readable (0), false)
end)

test ("what a handler that goes on needs is shown by the descriptor too", function ()
   if not has_ffi then
      t.skip ("poll needs LuaJIT's ffi")
   end
   drain ()
   local queue, done = vortex.asyncqueue.new (), false
   vortex.spawn (function ()
      queue:pop ()
      done = true
   end)
   drain ()
   t.equal (readable (0), false)
   queue:push (true)
   t.equal (readable (15000), true)
   drain ()
   t.equal (done, true)
   t.equal (readable (0), false)
end)

-- ------------------------------------------------------------ wait_listeners

local function unlock_by_timer (ctx, us)
   ctx:new_event (us or 1000, function (handler_ctx)
      vortex.unlock_listeners (handler_ctx)
      return true
   end)
end

test ("wait_listeners waits without any listener until a timer unlocks it", function ()
   local ctx = t.new_ctx ()
   unlock_by_timer (ctx)
   t.equal (t.pack (vortex.wait_listeners (ctx)).n, 0)
end)

test ("an unlock is remembered until somebody waits, once", function ()
   local ctx = t.new_ctx ()
   t.equal (t.pack (vortex.unlock_listeners (ctx)).n, 0)
   vortex.wait_listeners (ctx)
   local ran = false
   ctx:new_event (20000, function (handler_ctx)
      ran = true
      vortex.unlock_listeners (handler_ctx)
      return true
   end)
   vortex.wait_listeners (ctx, false)
   t.equal (ran, true, "the second wait needed an unlock of its own")
end)

test ("waits may be nested, each unlock ends one", function ()
   local ctx, trace = t.new_ctx (), {}
   vortex.spawn (function ()
      vortex.wait_listeners (ctx)
      trace[#trace + 1] = "inner"
   end)
   vortex.yield (1000)
   unlock_by_timer (ctx, 1000)
   unlock_by_timer (ctx, 2000)
   vortex.wait_listeners (ctx)
   t.wait_until (function () return trace[1] end)
end)

test ("wait_listeners serves handlers", function ()
   local conn, _, _, server = t.session ()
   local channel = conn:open_channel (0, t.ECHO, function (_, _, frame)
      t.equal (frame.payload, "hello")
      vortex.unlock_listeners (server)
   end)
   channel:send_msg ("hello")
   vortex.wait_listeners (server)
end)

test ("wait_listeners ends with its ctx, and after it returns at once", function ()
   local ctx = t.new_ctx ()
   ctx:new_event (1000, function (handler_ctx)
      handler_ctx:exit ()
      return true
   end)
   vortex.wait_listeners (ctx)
   vortex.wait_listeners (ctx, true)
   vortex.unlock_listeners (ctx)
   vortex.wait_listeners (vortex.ctx.new ())
end)

test ("listener: a signal ends wait_listeners when it is asked to", function ()
   local ok, text = t.run_script ([[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      ctx:new_event (1000, function ()
         os.execute "kill -TERM $PPID"
         return true
      end)
      vortex.wait_listeners (ctx, true)
      print "goodbye"
   ]])
   t.ok (ok and text == "goodbye\n", text)
end)

test ("the usual meaning of a signal is back after the wait", function ()
   local ok, text = t.run_script ([[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      vortex.unlock_listeners (ctx)
      vortex.wait_listeners (ctx, true)
      io.stdout:write "before\n"
      io.stdout:flush ()
      os.execute "kill -TERM $PPID"
      for _ = 1, 100 do vortex.sleep (100000) end
      print "after"
   ]])
   t.ok (not ok and not text:find ("after", 1, true), text)
end)

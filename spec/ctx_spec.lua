-- vortex.ctx: life, timers, attributes (contract 3).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

test ("a ctx is made, initialised and ended by functions of the module", function ()
   local ctx = vortex.ctx.new ()
   t.equal (vortex.ctx.check (ctx), true)
   t.equal (ctx.ref_count, 1)
   t.equal (vortex.ctx.init (ctx), true)
   t.equal (t.pack (vortex.ctx.exit (ctx)).n, 0)
end)

test ("a ctx is initialised and ended by its methods", function ()
   local ctx = vortex.ctx.new ()
   t.equal (ctx:init (), true)
   t.equal (ctx:check (), true)
   ctx:exit ()
end)

test ("init may be repeated", function ()
   local ctx = t.new_ctx ()
   t.equal (ctx:init (), true)
   t.equal (ctx:init (), true)
end)

test ("exit may be repeated, and after it init is false", function ()
   local ctx = t.new_ctx ()
   ctx:exit ()
   ctx:exit ()
   vortex.ctx.exit (ctx)
   t.equal (ctx:init (), false)
   t.is_whole (ctx.ref_count)
   t.is_type (tostring (ctx), "string")
end)

test ("exit of a ctx that was never initialised is harmless", function ()
   local ctx = vortex.ctx.new ()
   ctx:exit ()
   ctx:exit ()
   t.equal (vortex.ctx.check (ctx), true)
end)

test ("unref is harmless at any time", function ()
   local fresh = vortex.ctx.new ()
   vortex.ctx.unref (fresh)
   vortex.ctx.unref (fresh)
   local ctx = t.new_ctx ()
   ctx:unref ()
   local fired = vortex.asyncqueue.new ()
   ctx:new_event (1000, function ()
      fired:push (true)
      return true
   end)
   t.equal (t.pop (fired), true)
   ctx:exit ()
   ctx:unref ()
end)

test ("check is false for everything that is no ctx", function ()
   for _, other in ipairs { false, true, 1, "ctx", {}, print, io.stdout, vortex.asyncqueue.new () } do
      t.equal (vortex.ctx.check (other), false)
   end
   t.equal (vortex.ctx.check (nil), false)
end)

test ("a ctx tells its type", function ()
   t.ok (tostring (vortex.ctx.new ()):find ("ctx", 1, true))
end)

test ("D9: the log switches are booleans that can be read and written", function ()
   local ctx = t.new_ctx ()
   for _, name in ipairs { "log", "log2", "color_log" } do
      t.equal (ctx[name], false, name)
   end
   ctx.color_log = true
   t.equal (ctx.color_log, true)
   ctx.color_log = false
   t.equal (ctx.color_log, false)
   ctx.log = false
   ctx.log2 = false
   t.raises ("log", function () ctx.log = 1 end)
   t.raises ("log2", function () ctx.log2 = nil end)
   t.equal (ctx.log, false)
end)

test ("a log that is switched on stays out of standard output", function ()
   local ok, text = t.run_script ([[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx.log, ctx.log2 = true, true
      assert (ctx.log == true and ctx.log2 == true)
      assert (ctx:init ())
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      assert (conn:is_ok ())
      ctx:exit ()
   ]])
   t.ok (ok, text)
end)

-- ------------------------------------------------------------------- timers

test ("a timer repeats until its handler returns true", function ()
   local ctx, done, count = t.new_ctx (), vortex.asyncqueue.new (), 0
   local id = ctx:new_event (1000, t.expect_calls (5, function ()
      count = count + 1
      if count == 5 then
         done:push (true)
         return true
      end
      return false
   end, "the timer"))
   t.is_whole (id, "the id")
   t.pop (done)
   t.equal (ctx:remove_event (id), false, "removing a timer that ended by itself")
end)

test ("only true ends a timer", function ()
   local ctx, done = t.new_ctx (), vortex.asyncqueue.new ()
   local answers, count = { 1, "true", {}, false, true }, 0
   ctx:new_event (1000, t.expect_calls (6, function ()
      count = count + 1
      if count == 1 then
         return
      elseif count == 6 then
         done:push (true)
      end
      return answers[count - 1]
   end, "the timer"))
   t.pop (done)
end)

test ("a timer passes its ctx and both data values on", function ()
   local ctx, seen, key = t.new_ctx (), vortex.asyncqueue.new (), {}
   vortex.ctx.new_event (ctx, 1000, function (...)
      seen:push (t.pack (...))
      return true
   end, key, false)
   local got = t.pop (seen)
   t.equal (got.n, 3)
   t.equal (vortex.ctx.check (got[1]), true)
   t.equal (got[2], key)
   t.equal (got[3], false)
end)

test ("a timer without data passes nil", function ()
   local ctx, seen = t.new_ctx (), vortex.asyncqueue.new ()
   ctx:new_event (1000, function (...)
      seen:push (t.pack (...))
      return true
   end)
   local got = t.pop (seen)
   t.equal (got.n, 3)
   t.equal (got[2], nil)
   t.equal (got[3], nil)
end)

test ("remove_event ends a timer, once", function ()
   local ctx, ticks = t.new_ctx (), vortex.asyncqueue.new ()
   local id = ctx:new_event (1000, function ()
      ticks:push (true)
   end)
   t.pop (ticks)
   t.equal (ctx:remove_event (id), true)
   t.equal (ctx:remove_event (id), false)
   while ticks:items () > 0 do
      ticks:pop ()
   end
   t.equal (ticks:timedpop (30000), nil, "a tick after the end")
end)

test ("remove_event from inside the handler ends the timer", function ()
   local ctx, id = t.new_ctx (), nil
   local other = vortex.asyncqueue.new ()
   id = ctx:new_event (1000, t.expect_calls (1, function (handler_ctx)
      t.equal (handler_ctx:remove_event (id), true)
   end, "the timer that removes itself"))
   local count = 0
   ctx:new_event (1000, function ()
      count = count + 1
      if count == 10 then
         other:push (true)
      end
      return count == 10
   end)
   t.pop (other)
end)

test ("remove_event knows no timer of another ctx and no made-up number", function ()
   local ctx, other = t.new_ctx (), t.new_ctx ()
   local id = ctx:new_event (3600 * 1000000, function () end)
   t.equal (ctx:remove_event (id + 1000), false)
   t.equal (ctx:remove_event (-5), false)
   local other_id = other:new_event (3600 * 1000000, function () end)
   other:remove_event (other_id)
   t.equal (ctx:remove_event (id), true)
end)

test ("several timers have numbers of their own and keep apart", function ()
   local ctx, done = t.new_ctx (), vortex.asyncqueue.new ()
   local ids = {}
   for index = 1, 20 do
      local id = ctx:new_event (1000, function (_, data)
         done:push (data)
         return true
      end, index)
      t.ok (not ids[id], "a fresh id")
      ids[id] = true
   end
   local seen = {}
   for _ = 1, 20 do
      seen[t.pop (done)] = true
   end
   for index = 1, 20 do
      t.ok (seen[index], "timer " .. index)
   end
end)

test ("a timer that is over may be followed by another one", function ()
   local ctx, done = t.new_ctx (), vortex.asyncqueue.new ()
   for round = 1, 5 do
      ctx:new_event (0, function (_, data)
         done:push (data)
         return true
      end, round)
      t.equal (t.pop (done), round)
   end
end)

test ("a shorter timer fires before a longer one", function ()
   local ctx, done = t.new_ctx (), vortex.asyncqueue.new ()
   ctx:new_event (300000, function () done:push ("long") return true end)
   ctx:new_event (1000, function () done:push ("short") return true end)
   t.equal (t.pop (done), "short")
   t.equal (t.pop (done), "long")
end)

test ("a handler that raises is reported and its timer goes on", function ()
   local ctx, done, count = t.new_ctx (), vortex.asyncqueue.new (), 0
   local errors = t.handler_errors ()
   ctx:new_event (1000, function ()
      count = count + 1
      if count == 1 then
         error ("broken on purpose")
      end
      done:push (count)
      return true
   end)
   t.equal (t.pop (done), 2)
   t.equal (#errors, 1)
   t.ok (errors[1].message:find ("broken on purpose", 1, true))
end)

test ("exit ends the timers of its own ctx only", function ()
   local ctx, other = t.new_ctx (), t.new_ctx ()
   local ticks = vortex.asyncqueue.new ()
   ctx:new_event (1000, function () ticks:push ("first") end)
   other:new_event (1000, function () ticks:push ("second") end)
   t.pop (ticks)
   ctx:exit ()
   while ticks:items () > 0 do
      ticks:pop ()
   end
   for _ = 1, 10 do
      t.equal (t.pop (ticks), "second")
   end
end)

test ("a timer may end its own ctx", function ()
   local ctx, done = t.new_ctx (), vortex.asyncqueue.new ()
   t.new_ctx ()
   ctx:new_event (1000, t.expect_calls (1, function (handler_ctx)
      handler_ctx:exit ()
      done:push (true)
   end, "the last tick"))
   t.pop (done)
   t.equal (ctx:init (), false)
end)

test ("a timer cannot be set on a ctx that does not run", function ()
   local ended = t.new_ctx ()
   ended:exit ()
   for _, ctx in ipairs { vortex.ctx.new (), ended } do
      local id = ctx:new_event (1000, function () end)
      t.ok (id == nil or id == -1, "the id is " .. tostring (id))
   end
end)

-- ------------------------------------------------- a ctx that does not run

test ("connections and listeners of a ctx that does not run fail with a reason", function ()
   local ended = t.new_ctx ()
   ended:exit ()
   for _, ctx in ipairs { vortex.ctx.new (), ended } do
      local conn = vortex.connection.new (ctx, "127.0.0.1", "1")
      t.equal (conn:is_ok (), false)
      t.ok (conn.status ~= vortex.status_OK)
      t.ok (#t.is_type (conn.error_msg, "string") > 0)
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      t.equal (listener:is_ok (), false)
      t.ok (#t.is_type (listener.error_msg, "string") > 0)
   end
end)

test ("a ctx is collected while its connections are still referenced", function ()
   local conns = {}
   local function make ()
      local ctx = vortex.ctx.new ()
      ctx:init ()
      local listener = t.listen (ctx)
      conns[1] = t.connect (ctx, listener)
      conns[2] = listener
   end
   make ()
   collectgarbage ()
   collectgarbage ()
   for _, conn in ipairs (conns) do
      t.is_type (conn:is_ok (), "boolean")
      t.is_whole (conn.status)
   end
   conns[1]:shutdown ()
   conns[2]:shutdown ()
end)

test ("limits can be read and set", function ()
   local ctx = t.new_ctx ()
   local limits = t.is_type (ctx:limits (), "table")
   t.ok (next (limits) ~= nil, "there are some")
   local same = {}
   for name, value in pairs (limits) do
      t.is_type (name, "string")
      same[name] = value
   end
   ctx:set_limits (same)
   for name, value in pairs (ctx:limits ()) do
      t.equal (value, same[name], name)
   end
   t.raises ("no_such_limit", ctx.set_limits, ctx, { no_such_limit = 1 })
end)

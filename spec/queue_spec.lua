-- vortex.asyncqueue (contract 6).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local asyncqueue = vortex.asyncqueue

test ("values come out of a queue in the order they went in", function ()
   local queue = asyncqueue.new ()
   for index = 1, 100 do
      queue:push (index)
   end
   for index = 1, 100 do
      t.equal (queue:pop (), index)
   end
end)

test ("every type of value comes back identical", function ()
   local queue = asyncqueue.new ()
   local values = {
      true, false, 0, -1, 1.5, 2 ^ 53, "", "text", "nul\0octets\255", {}, print, function () end,
      coroutine.create (function () end), io.stdout, queue, vortex.ctx.new (), math.huge
   }
   for _, value in ipairs (values) do
      queue:push (value)
   end
   for index, value in ipairs (values) do
      local got = t.pack (queue:pop ())
      t.equal (got.n, 1, "results for value " .. index)
      t.ok (rawequal (got[1], value), "value " .. index .. " is the same")
   end
end)

test ("nil goes through a queue and counts as an item", function ()
   local queue = asyncqueue.new ()
   queue:push (nil)
   queue:push ("after")
   t.equal (queue:items (), 2)
   local got = t.pack (queue:pop ())
   t.equal (got.n, 1)
   t.equal (got[1], nil)
   t.equal (queue:pop (), "after")
end)

test ("nil that was pushed can be told from a time out", function ()
   local queue = asyncqueue.new ()
   queue:push (nil)
   t.equal (t.pack (queue:timedpop (t.LIMIT)).n, 1)
   t.equal (t.pack (queue:timedpop (1000)).n, 0)
end)

test ("whole numbers stay whole numbers", function ()
   local queue = asyncqueue.new ()
   queue:push (3)
   t.equal (tostring (queue:pop ()), "3")
end)

test ("not a number comes back as not a number", function ()
   local queue = asyncqueue.new ()
   queue:push (0 / 0)
   local got = queue:pop ()
   t.ok (got ~= got)
end)

test ("items and the length operator count what waits", function ()
   local queue = asyncqueue.new ()
   t.equal (queue:items (), 0)
   t.equal (#queue, 0)
   queue:push ("a")
   queue:push ("b")
   t.equal (queue:items (), 2)
   t.equal (#queue, 2)
   queue:pop ()
   t.equal (asyncqueue.items (queue), 1)
   t.equal (#queue, 1)
end)

test ("the functions of the module do what the methods do", function ()
   local queue = asyncqueue.new ()
   asyncqueue.push (queue, "one")
   asyncqueue.push (queue, "two")
   asyncqueue.push (queue, "three")
   t.equal (asyncqueue.pop (queue), "one")
   t.equal (asyncqueue.timedpop (queue, t.LIMIT), "two")
   t.equal (asyncqueue.timedout (queue, t.LIMIT), "three")
end)

test ("push returns nothing", function ()
   local queue = asyncqueue.new ()
   t.equal (t.pack (queue:push (1)).n, 0)
end)

test ("D13: timedpop gives up after its limit", function ()
   local queue = asyncqueue.new ()
   t.equal (queue:timedpop (2000), nil)
   t.equal (queue:timedout (2000), nil)
end)

test ("timedpop with no time to wait takes what is there", function ()
   local queue = asyncqueue.new ()
   for _, limit in ipairs { 0, -1, -1000000 } do
      t.equal (queue:timedpop (limit), nil)
      queue:push (limit)
      t.equal (queue:timedpop (limit), limit)
   end
end)

test ("timedpop returns as soon as a handler pushes", function ()
   local queue, ctx = asyncqueue.new (), t.new_ctx ()
   ctx:new_event (2000, function ()
      queue:push ("from a timer")
      return true
   end)
   t.equal (queue:timedpop (t.LIMIT), "from a timer")
end)

test ("pop waits for a handler that pushes", function ()
   local queue, ctx = asyncqueue.new (), t.new_ctx ()
   ctx:new_event (2000, function ()
      queue:push (false)
      return true
   end)
   t.equal (queue:pop (), false)
end)

test ("pop raises when nothing can ever fill the queue", function ()
   -- in a state of its own: whatever is alive here could fill a queue
   t.script_prints ("string pop", [[
      local vortex = require "vortex"
      local ok, message = pcall (vortex.asyncqueue.pop, vortex.asyncqueue.new ())
      print (type (message) .. " " .. (not ok and tostring (message):match ("pop") or "?"))
   ]])
   t.script_prints ("raised", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      assert (ctx:init ())
      ctx:exit ()
      local queue = vortex.asyncqueue.new ()
      queue:push (1)
      assert (queue:pop () == 1)
      print (pcall (queue.pop, queue) and "returned" or "raised")
   ]])
end)

test ("pop waits for a spawned handler even when there is no ctx", function ()
   t.script_prints ("filled", [[
      local vortex = require "vortex"
      local queue = vortex.asyncqueue.new ()
      vortex.spawn (function ()
         vortex.sleep (2000)
         queue:push ("filled")
      end)
      print (queue:pop ())
   ]])
end)

test ("timedpop without any ctx waits for its limit and does not raise", function ()
   t.script_prints ("nil", [[
      local vortex = require "vortex"
      print (tostring ((vortex.asyncqueue.new ():timedpop (2000))))
   ]])
end)

test ("two handlers can wait on one queue and each gets one value", function ()
   local queue, got = asyncqueue.new (), asyncqueue.new ()
   t.new_ctx ()
   for _ = 1, 2 do
      vortex.spawn (function ()
         got:push (queue:pop ())
      end)
   end
   vortex.yield (1000)
   queue:push ("a")
   queue:push ("b")
   local first, second = t.pop (got), t.pop (got)
   t.equal (first .. second == "ab" or first .. second == "ba", true)
   t.equal (got:items (), 0)
end)

test ("check knows a queue from everything else", function ()
   local queue = asyncqueue.new ()
   t.equal (asyncqueue.check (queue), true)
   t.equal (queue:check (), true)
   for _, other in ipairs { false, 0, "queue", {}, print, io.stdout, vortex.ctx.new () } do
      t.equal (asyncqueue.check (other), false)
   end
   t.equal (asyncqueue.check (nil), false)
end)

test ("a queue shows what it is and how often it is held", function ()
   local queue = asyncqueue.new ()
   t.ok (tostring (queue):find ("asyncqueue", 1, true))
   t.is_whole (queue.ref_count)
end)

test ("a queue may hold itself and may be dropped full", function ()
   for _ = 1, 50 do
      local queue = asyncqueue.new ()
      queue:push (queue)
      queue:push ({ queue })
   end
   collectgarbage ()
end)

test ("many queues can be made", function ()
   for _ = 1, 20000 do
      asyncqueue.new ():push (1)
   end
end)

test ("a queue keeps its values alive and lets go of them when they are taken", function ()
   local queue = asyncqueue.new ()
   local weak = setmetatable ({}, { __mode = "v" })
   local function fill ()
      local value = {}
      weak[1] = value
      queue:push (value)
   end
   fill ()
   collectgarbage ()
   t.ok (weak[1], "the value in the queue")
   local function take ()
      t.is_type (queue:pop (), "table")
   end
   take ()
   collectgarbage ()
   collectgarbage ()
   t.equal (weak[1], nil)
end)

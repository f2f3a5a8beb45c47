-- Every blocking call works wherever Lua code can be (contract 11).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:asked"

-- each needs handlers to run while it waits
local CALLS = {
   pop = function (e)
      local queue = vortex.asyncqueue.new ()
      e.ctx:new_event (1000, function () queue:push ("value") return true end)
      t.equal (queue:pop (), "value")
   end,
   timedpop = function (e)
      local queue = vortex.asyncqueue.new ()
      e.ctx:new_event (1000, function () queue:push ("value") return true end)
      t.equal (queue:timedpop (t.LIMIT), "value")
      t.equal (queue:timedpop (1000), nil)
   end,
   yield = function (e)
      local ran = false
      e.ctx:new_event (1000, function () ran = true return true end)
      t.wait_until (function () return ran end)
   end,
   sleep = function (e)
      local ran = false
      e.ctx:new_event (0, function () ran = true return true end)
      for _ = 1, 1000 do
         if not ran then
            vortex.sleep (10000)
         end
      end
      t.ok (ran)
   end,
   wait_listeners = function (e)
      e.ctx:new_event (1000, function (ctx) vortex.unlock_listeners (ctx) return true end)
      t.equal (t.pack (vortex.wait_listeners (e.ctx)).n, 0)
   end,
   connection_new_and_close = function (e)
      local conn = t.connect (e.ctx, e.listener)
      t.ok (conn:open_channel (0, URI))
      t.equal (conn:close (), true)
   end,
   open_channel_and_close = function (e)
      local channel = t.ok (e.conn:open_channel (0, URI))
      t.equal (channel:close (), true)
   end,
   refused = function (e)
      t.failure (nil, e.conn:open_channel (0, URI .. "/no"))
   end,
   request = function (e)
      local channel = e.conn:open_channel (0, URI)
      t.equal (channel:request ("question", t.LIMIT).payload, "question")
   end,
   answers = function (e)
      local channel, seen = e.conn:open_channel (0, URI .. "/many"), 0
      for _ in channel:answers ("?", t.LIMIT) do
         seen = seen + 1
      end
      t.equal (seen, 3)
   end,
   channel_pool = function (e)
      local pool = e.conn:channel_pool_new (URI, 1, function (conn, number, profile)
         return conn:open_channel (number, profile)
      end)
      t.equal (pool.channel_count, 1)
      t.ok (pool:next_ready () and pool:next_ready ())
   end,
   exit = function ()
      local ctx = vortex.ctx.new ()
      t.equal (ctx:init (), true)
      vortex.register_profile (ctx, URI, t.echo)
      local conn, closed = t.connect (ctx, t.listen (ctx)), false
      conn:set_on_close (function () closed = true end)
      ctx:exit ()
      t.equal (conn:is_ok (), false)
      t.wait_until (function () return closed end)
   end
}

local function environment ()
   local conn, listener, ctx = t.session (function (server)
      local function agree ()
         return true
      end
      vortex.register_profile (server, URI, t.echo, nil, agree, nil, agree)
      vortex.register_profile (server, URI .. "/no", nil, nil, function () return false end)
      vortex.register_profile (server, URI .. "/many", function (_, channel, frame)
         for index = 1, 3 do
            channel:send_ans (tostring (index), -1, frame.msgno)
         end
         channel:finalize_ans (frame.msgno)
      end)
   end)
   return { conn = conn, listener = listener, ctx = ctx }
end

local function must (ok, ...)
   if not ok then
      error ((...), 0)
   end
   return ...
end

local function with_sort (f)
   local called = false
   table.sort ({ 3, 1, 2 }, function (a, b)
      if not called then
         called = true
         f ()
      end
      return a < b
   end)
   t.ok (called)
end

-- runs f in a handler and waits for it
local function handle (f)
   local done = vortex.asyncqueue.new ()
   vortex.spawn (function () done:push (t.pack (pcall (f))) end)
   local result = done:timedpop (4 * t.LIMIT)
   if not result then
      t.fail ("the handler did not come to its end")
   end
   must (result[1], result[2])
end

local function unprotected (f)
   local done, errors = vortex.asyncqueue.new (), t.handler_errors ()
   vortex.spawn (function ()
      f ()
      done:push (true)
   end)
   t.wait_until (function () return done:items () > 0 or errors[1] end, "the handler", 4 * t.LIMIT)
   if errors[1] then
      error (errors[1].message, 0)
   end
end

local PLACES = {
   { "in main", function (f) f () end },
   { "in pcall", function (f) must (pcall (f)) end },
   { "in a coroutine of main", function (f) coroutine.wrap (f) () end },
   { "in a pcall in a coroutine in a pcall", function (f)
      must (pcall (coroutine.wrap (function () must (pcall (f)) end)))
   end },
   { "in a table.sort callback", with_sort },
   { "in a string.gsub callback", function (f) string.gsub ("x", "x", function () f () end) end },
   { "in a metamethod", function (f)
      local object = setmetatable ({}, { __index = function () f () return 1 end })
      t.equal (object.anything, 1)
   end },
   { "in an iterator of a for loop", function (f)
      local rounds = 0
      for _ in function () rounds = rounds + 1 f () return rounds < 2 or nil end do
         rounds = rounds + 0
      end
      t.equal (rounds, 2)
   end },
   { "in a handler", unprotected },
   { "in a pcall in a handler", handle },
   { "in a coroutine in a handler", function (f) handle (function () coroutine.wrap (f) () end) end },
   { "in a table.sort callback in a handler", function (f) handle (function () with_sort (f) end) end },
   { "in a string.gsub callback in a handler", function (f)
      handle (function () string.gsub ("x", "x", function () f () end) end)
   end },
   { "in a handler made by coroutine.wrap", function (f)
      local done = vortex.asyncqueue.new ()
      vortex.spawn (coroutine.wrap (function () done:push (t.pack (pcall (f))) end))
      local result = t.ok (done:timedpop (4 * t.LIMIT), "the end of the handler")
      must (result[1], result[2])
   end },
   { "in a timer's handler", function (f)
      local done, ctx = vortex.asyncqueue.new (), t.new_ctx ()
      ctx:new_event (0, function ()
         done:push (t.pack (pcall (f)))
         return true
      end)
      local result = t.ok (done:timedpop (4 * t.LIMIT), "the end of the handler")
      must (result[1], result[2])
   end }
}

local names = {}
for name in pairs (CALLS) do
   names[#names + 1] = name
end
table.sort (names)

for _, place in ipairs (PLACES) do
   test ("every blocking call works " .. place[1], function ()
      local e = environment ()
      for _, name in ipairs (names) do
         local ok, message = pcall (place[2], function () CALLS[name] (e) end)
         if not ok then
            t.fail (name .. ": " .. tostring (message))
         end
      end
   end)
end

test ("all blocking calls work in handlers that run at the same time", function ()
   local e, done = environment (), vortex.asyncqueue.new ()
   local count = 0
   for _, name in ipairs (names) do
      -- a wait for one ctx ends with any unlock of it: that one stays alone
      if name ~= "wait_listeners" then
         for _ = 1, 5 do
            count = count + 1
            vortex.spawn (function ()
               local ok, message = pcall (CALLS[name], e)
               done:push (ok and name or name .. ": " .. tostring (message))
            end)
         end
      end
   end
   for _ = 1, count do
      local result = t.ok (done:timedpop (4 * t.LIMIT), "the end of a handler")
      t.ok (CALLS[result], result)
   end
end)

test ("values and failures of blocking calls pass through a handler's pcall", function ()
   local conn, done = t.session (), vortex.asyncqueue.new ()
   vortex.spawn (function ()
      done:push (t.pack (pcall (function ()
         vortex.sleep (1000)
         return 1, nil, conn:open_channel (0, t.ECHO).number, nil
      end)))
      done:push (t.pack (pcall (function ()
         vortex.sleep (1000)
         error ("after a rest", 0)
      end)))
   end)
   local good, bad = t.pop (done), t.pop (done)
   t.equal (good.n, 5)
   t.ok (good[1] == true and good[2] == 1 and good[3] == nil and good[4] == 3)
   t.equal (bad[1], false)
   t.equal (bad[2], "after a rest")
end)

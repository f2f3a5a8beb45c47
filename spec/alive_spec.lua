-- vortex.alive: watching whether the other side still answers (contract 9, and row 24 of
-- what scripts of the field depend on).

local vortex = require "vortex"
local alive = require "vortex.alive"
local t = require "harness"
local describe = require "each_handler"
local test = t.test

local unpack = table.unpack or unpack

local PROFILE = "urn:aspl.es:beep:profiles:ALIVE"

-- a session whose listener answers to ALIVE
local function watched ()
   return t.both_ends (function (ctx) t.equal (alive.init (ctx), true) end)
end

-- has a connection watched, and waits until that has begun
local function watch (conn, ...)
   t.equal (alive.enable_check (conn, ...), true)
   t.wait_until (function () return #conn:find_by_uri (PROFILE) > 0 end, "the channel of ALIVE")
end

test ("vortex.alive is a part of the module, with its functions", function ()
   t.equal (vortex.alive, alive)
   t.equal (package.loaded["vortex.alive"], alive)
   for _, name in ipairs { "init", "enable_check" } do
      t.is_type (alive[name], "function", name)
   end
end)

test ("C3: vortex.alive may be required at any time, and the program ends well", function ()
   for _, source in ipairs {
      [[ local alive = require "vortex.alive" local vortex = require "vortex" local ctx = vortex.ctx.new () ]],
      [[ local vortex = require "vortex" local ctx = vortex.ctx.new () local alive = require "vortex.alive" ]],
      [[ local vortex = require "vortex" local ctx = vortex.ctx.new () ctx:init () local alive = require "vortex.alive" ]]
   } do
      t.script_prints ("true true", source .. [[
         ctx:init ()
         assert (alive.init (ctx) == true and alive.init (ctx) == true)
         listener = vortex.create_listener (ctx, "127.0.0.1", "0")
         conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
         print (tostring (alive.enable_check (conn, 1000, 10)) .. " " .. tostring (conn:is_ok ()))
      ]])
   end
end)

test ("misuse of the functions raises where the script stands", function ()
   local conn, _, _, client = watched ()
   for name, calls in pairs {
      init = { {}, { conn }, { 1 } },
      enable_check = {
         {}, { conn }, { conn, 1000 }, { client, 1000, 1 }, { conn, {}, 1 }, { conn, 1000, {} }, { conn, 1000, 1.5 },
         { conn, "soon", 1 }, { conn, 1000, 1, "no function" }, { conn, 1000, 1, {} }
      }
   } do
      for index, given in ipairs (calls) do
         local message = t.raises (name, function ()
            local result = alive[name] (unpack (given, 1, 5))
            return result
         end)
         t.ok (message:find ("alive_spec.lua:", 1, true), name .. " " .. index .. ": " .. message)
      end
   end
   t.still_works (conn)
end)

test ("D17: the period and the number of unanswered checks must be positive", function ()
   local conn = watched ()
   for _, numbers in ipairs { { 0, 1 }, { -1000, 1 }, { 1000, 0 }, { 1000, -1 } } do
      local ok, enabled, message = pcall (alive.enable_check, conn, numbers[1], numbers[2])
      t.equal (ok and enabled or false, false, "period " .. numbers[1] .. ", unanswered " .. numbers[2])
      t.is_type (ok and message or enabled, "string")
   end
   t.equal (alive.enable_check (conn, 1000000, 1), true, "afterwards")
   t.still_works (conn)
end)

test ("24: who answers is alive, who is not heard any more is reported by its handler", function ()
   local conn, queue = watched (), vortex.asyncqueue.new ()
   conn:set_data ("queue", queue)
   watch (conn, 20000, 10, function (dead)
      dead:get_data ("queue"):push (dead.id)
   end)
   t.equal (t.pack (queue:timedpop (200000)).n, 0, "nothing while it answers")
   conn:block ()
   t.equal (conn:is_blocked (), true)
   t.equal (t.pop (queue), conn.id)
   t.equal (conn:is_ok (), true, "the connection is the handler's business")
   conn:block (false)
   t.still_works (conn)
end)

test ("without a handler the connection is shut down, and on_close is called", function ()
   local conn = watched ()
   conn:set_on_close (t.expect_calls (1, function (dead) t.equal (dead:is_ok (), false) end, "on_close"))
   watch (conn, 10000, 2)
   conn:block ()
   t.wait_until (function () return not conn:is_ok () end, "the end of the connection")
   t.ok (conn.status ~= vortex.status_OK)
   t.ok (#t.is_type (conn.error_msg, "string") > 0)
end)

test ("a handler that only notes the failure is called once, and nothing is watched any more", function ()
   local conn = watched ()
   local seen = 0
   local handler = t.expect_calls (1, function () seen = seen + 1 end, "the failure handler")
   watch (conn, 5000, 1, handler)
   conn:block ()
   t.wait_until (function () return seen == 1 end)
   -- many periods later it is still the only time
   vortex.sleep (100000)
   t.equal (seen, 1)
   t.equal (conn:is_ok (), true)
   conn:block (false)
   t.still_works (conn)
   t.equal (alive.enable_check (conn, 1000000, 1), true, "it may be watched again")
end)

test ("B12: a peer without ALIVE fails the check", function ()
   local conn, called = t.both_ends (), vortex.asyncqueue.new ()
   local ok, message = alive.enable_check (conn, 10000, 2, function (dead) called:push (dead.id) end)
   if ok then
      t.equal (t.pop (called, "the failure handler"), conn.id)
   else
      t.equal (ok, false)
      t.ok (#t.is_type (message, "string") > 0)
   end
   t.equal (conn:is_ok (), true)
   t.still_works (conn)
end)

test ("a connection is watched once at a time", function ()
   local conn = watched ()
   t.equal (alive.enable_check (conn, 1000000, 3), true)
   local again, message = alive.enable_check (conn, 1000000, 3)
   t.equal (again, false)
   t.ok (#t.is_type (message, "string") > 0)
end)

test ("a connection that is over, and a listener, cannot be watched", function ()
   local down, _, listener = watched ()
   down:shutdown ()
   local closed = watched ()
   t.equal (closed:close (), true)
   local failed = vortex.connection.new (t.new_ctx (), "127.0.0.1", "none")
   for _, conn in ipairs { down, closed, failed, listener } do
      local ok, enabled, message = pcall (alive.enable_check, conn, 1000, 1, t.expect_calls (0))
      t.equal (ok and enabled or false, false)
      t.is_type (ok and message or enabled, "string")
   end
end)

test ("watching disturbs nothing: traffic goes on, and the session closes", function ()
   local conn, peer = watched ()
   local handler = t.expect_calls (0, nil, "the failure handler")
   t.equal (alive.enable_check (conn, 2000, 1000, handler), true)
   local channel, replies = t.echo_channel (conn)
   for round = 1, 20 do
      channel:send_msg (("x"):rep (50000))
      t.equal (t.pop (replies).payload_size, 50000, "round " .. round)
      vortex.sleep (2000)
   end
   t.ok (#conn:find_by_uri (PROFILE) <= 1, "one channel at most")
   t.equal (conn:close (), true)
   t.wait_until (function () return not peer:is_ok () end)
end)

test ("both sides may watch each other", function ()
   local _, _, listener, client, server = watched ()
   alive.init (client)
   local seen = vortex.asyncqueue.new ()
   vortex.register_profile (server, "urn:test:watcher", nil, nil, function (_, other)
      seen:push (other)
      return true
   end)
   local conn = t.connect (client, listener)
   t.ok (conn:open_channel (0, "urn:test:watcher"))
   local peer = t.pop (seen, "the other end")
   local failed = t.expect_calls (0, nil, "the failure handler")
   t.equal (alive.enable_check (conn, 5000, 1000, failed), true)
   t.equal (alive.enable_check (peer, 5000, 1000, failed), true)
   vortex.sleep (50000)
   t.still_works (conn)
end)

test ("a session that ends while it is watched is told by on_close alone", function ()
   local conn, peer = watched ()
   local failed = t.expect_calls (0, nil, "the failure handler")
   t.equal (alive.enable_check (conn, 5000, 1000, failed), true)
   conn:set_on_close (t.expect_calls (1))
   vortex.sleep (10000)
   peer:shutdown ()
   t.wait_until (function () return not conn:is_ok () end)
   vortex.sleep (20000)
end)

test ("a watched connection is collected like any other", function ()
   local peers, uri = vortex.asyncqueue.new (), "urn:example:luavortex:watched"
   local _, listener, ctx = t.session (function (server)
      alive.init (server)
      vortex.register_profile (server, uri, nil, nil, function (_, peer)
         peers:push (peer)
         return true
      end)
   end)
   local function use ()
      local conn = t.connect (ctx, listener)
      t.ok (conn:open_channel (0, uri))
      t.equal (alive.enable_check (conn, 1000, 1000, function () return conn end), true)
   end
   use ()
   local peer = t.pop (peers)
   t.equal (peer:is_ok (), true)
   vortex.sleep (5000)
   collectgarbage ()
   t.is_type (peer:is_ok (), "boolean")
end)

describe {
   name = "alive failure",
   reported = "alive",
   -- its connection is not heard while it runs
   elsewhere = true,
   setup = function (ctx) alive.init (ctx) end,
   cause = function (e, handler, data)
      watch (e.conn, 10000, 2, handler, data)
      e.conn:block ()
      return function ()
         t.equal (e.conn:is_ok (), true)
         e.conn:block (false)
      end
   end,
   arguments = function (e, data)
      -- the count is what was not answered, not what was configured
      return { n = 4, e.conn, 10000, function (count) return count == 2 or count == 3 end, data }
   end
}

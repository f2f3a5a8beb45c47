-- The ends of connections: close, shutdown, on_close handlers, collection (contract 4).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

-- the ways a connection can end, seen from the side called `conn`
local ENDS = {
   { "its own close", function (conn) t.equal (conn:close (), true) end },
   { "its own shutdown", function (conn) conn:shutdown () end },
   { "the peer's close", function (_, peer) t.equal (peer:close (), true) end },
   { "the peer's shutdown", function (_, peer) peer:shutdown () end },
   { "the end of its ctx", function (_, _, client_ctx) client_ctx:exit () end },
   { "the end of the peer's ctx", function (_, _, _, server_ctx) server_ctx:exit () end }
}

for _, case in ipairs (ENDS) do
   local name, finish = case[1], case[2]
   test ("on_close handlers are called once each, in order, after " .. name, function ()
      local conn, peer, _, client_ctx, server_ctx = t.both_ends ()
      local order = {}
      for index = 1, 3 do
         t.ok (conn:set_on_close (t.expect_calls (1, function (dead, data)
            t.equal (dead:is_ok (), false, "is_ok in the handler")
            t.ok (dead == conn, "the connection handed over")
            t.ok (dead.status ~= vortex.status_OK)
            t.equal (dead.role, "initiator")
            order[#order + 1] = data
         end, "on_close handler " .. index), index), "the handle")
      end
      finish (conn, peer, client_ctx, server_ctx)
      t.wait_until (function () return #order == 3 end, "the handlers")
      t.equal (table.concat (order, " "), "1 2 3")
      t.equal (conn:is_ok (), false)
   end)

   test ("the accepted side's on_close handler is called too after " .. name, function ()
      local conn, peer, _, client_ctx, server_ctx = t.both_ends ()
      t.expect_closed (peer)
      peer:set_on_close (t.expect_calls (1, nil, "on_close on the accepted side"))
      finish (conn, peer, client_ctx, server_ctx)
   end)
end

test ("D7: an on_close handler needs no data and gets nil then", function ()
   local conn = t.session ()
   conn:set_on_close (t.expect_calls (1, function (...)
      t.equal (select ("#", ...), 2)
      t.equal ((select (2, ...)), nil)
   end))
   conn:shutdown ()
end)

test ("on_close data keeps its identity", function ()
   local conn, key, seen = t.session (), {}, vortex.asyncqueue.new ()
   vortex.connection.set_on_close (conn, function (_, data) seen:push (data) end, key)
   conn:shutdown ()
   t.equal (t.pop (seen), key)
end)

test ("D7 D8: remove_on_close takes one handler away, once", function ()
   local conn = t.session ()
   local handle = conn:set_on_close (t.expect_calls (0, nil, "the removed handler"))
   local other = conn:set_on_close (t.expect_calls (1, nil, "the handler that stays"))
   t.ok (handle ~= other, "handles differ")
   t.equal (conn:remove_on_close (handle), true)
   t.equal (conn:remove_on_close (handle), false)
   conn:shutdown ()
   vortex.yield (1000)
   t.equal (vortex.connection.remove_on_close (conn, other), false)
end)

test ("a handle of one connection removes nothing from another", function ()
   local conn, listener, ctx = t.session ()
   local other = t.connect (ctx, listener)
   local handle = conn:set_on_close (t.expect_calls (1))
   t.equal (other:remove_on_close (handle), false)
   conn:shutdown ()
end)

test ("on a dead connection an on_close handler is called at once", function ()
   local conn = t.session ()
   conn:shutdown ()
   conn:set_on_close (t.expect_calls (1, function (dead, data)
      t.equal (dead:is_ok (), false)
      t.equal (data, "late")
   end), "late")
   local failed = vortex.connection.new (t.new_ctx (), "127.0.0.1", "none")
   failed:set_on_close (t.expect_calls (1))
end)

test ("an on_close handler that raises keeps no other from being called", function ()
   local conn, errors = t.session (), t.handler_errors ()
   conn:set_on_close (t.expect_calls (1, function () error "on purpose" end))
   conn:set_on_close (t.expect_calls (1))
   conn:shutdown ()
   t.wait_until (function () return #errors == 1 end)
end)

test ("an on_close handler may set another one, which is called too", function ()
   local conn = t.session ()
   conn:set_on_close (t.expect_calls (1, function (dead)
      dead:set_on_close (t.expect_calls (1, nil, "the inner handler"))
   end))
   conn:shutdown ()
end)

test ("a connection may be ended inside its own on_close handler", function ()
   local conn = t.session ()
   conn:set_on_close (t.expect_calls (1, function (dead)
      dead:shutdown ()
      t.equal (dead:close (), true)
   end))
   conn:shutdown ()
end)

-- ------------------------------------------------------------ shutdown, close

test ("shutdown drops the session at once and may be repeated", function ()
   local conn, peer = t.both_ends ()
   t.expect_closed (peer)
   t.equal (t.pack (conn:shutdown ()).n, 0)
   t.equal (conn:is_ok (), false)
   t.equal (conn.status, 13)
   conn:shutdown ()
   vortex.connection.shutdown (conn)
   t.equal (conn.host, "127.0.0.1", "still readable")
end)

test ("a peer that leaves without a close is told from a local shutdown", function ()
   local conn, peer = t.both_ends ()
   peer:shutdown ()
   t.wait_until (function () return not conn:is_ok () end)
   t.equal (conn.status, 17)
   t.ok (#t.is_type (conn.error_msg, "string") > 0)
end)

test ("a peer that closes politely is not taken for one that vanished", function ()
   local conn, peer = t.both_ends ()
   t.equal (peer:close (), true)
   t.wait_until (function () return not conn:is_ok () end)
   t.ok (conn.status == 12 or conn.status == 13, "status " .. conn.status)
end)

test ("close ends the session with a true value and may be repeated", function ()
   local conn, peer = t.both_ends ()
   t.expect_closed (peer)
   t.echo_channel (conn)
   t.equal (vortex.connection.close (conn), true)
   t.equal (conn:is_ok (), false)
   t.equal (conn:close (), true)
   t.equal (conn:close (), true)
   conn:shutdown ()
end)

test ("close of a connection that is down or failed is true", function ()
   local conn = t.session ()
   conn:shutdown ()
   t.equal (conn:close (), true)
   t.equal (vortex.connection.new (t.new_ctx (), "127.0.0.1", "none"):close (), true)
end)

test ("close waits for the replies that are on their way", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   for index = 1, 20 do
      channel:send_msg ("message " .. index)
   end
   t.equal (conn:close (), true)
   t.wait_until (function () return replies:items () == 20 end, "the replies")
end)

test ("both sides may close at the same moment", function ()
   local conn, peer = t.both_ends ()
   local results = vortex.asyncqueue.new ()
   vortex.spawn (function () results:push (conn:close ()) end)
   vortex.spawn (function () results:push (peer:close ()) end)
   t.equal (t.pop (results), true)
   t.equal (t.pop (results), true)
   t.equal (conn:is_ok (), false)
   t.wait_until (function () return not peer:is_ok () end)
end)

local STUBBORN = "urn:example:luavortex:stubborn"

test ("a close that the peer refuses leaves the connection usable", function ()
   local willing = false
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, STUBBORN, t.echo, nil, function () return true end, nil, function ()
         return willing
      end)
   end)
   local channel = t.ok (conn:open_channel (0, STUBBORN))
   for _ = 1, 2 do
      local _, code = t.failure (false, conn:close ())
      t.equal (code, 550)
      t.equal (conn:is_ok (), true)
      t.equal (channel.is_ready, true)
      t.equal (channel:request ("still there", t.LIMIT).payload, "still there")
   end
   t.ok (conn:pop_channel_error (), "the failure is stacked")
   t.still_works (conn)
   willing = true
   t.equal (conn:close (), true)
   t.equal (conn:is_ok (), false)
end)

-- --------------------------------------------------------------- collection

local function gone (peer)
   return function ()
      collectgarbage ()
      return not peer:is_ok ()
   end
end

test ("a connection nobody refers to is ended by the collector", function ()
   local seen = vortex.asyncqueue.new ()
   local _, listener, ctx = t.session (function (server)
      vortex.register_profile (server, STUBBORN, nil, nil, function (_, peer)
         seen:push (peer)
         return true
      end)
   end)
   local function use ()
      local conn = t.connect (ctx, listener)
      conn:set_on_close (t.expect_calls (1, nil, "on_close of the collected connection"))
      t.ok (conn:open_channel (0, STUBBORN))
   end
   use ()
   t.wait_until (gone (t.pop (seen)), "the session to end")
end)

test ("a channel that is referenced keeps its connection alive", function ()
   local _, listener, ctx = t.session ()
   local function open ()
      local conn = t.connect (ctx, listener)
      return conn:open_channel (0, t.ECHO)
   end
   local channel = open ()
   collectgarbage ()
   collectgarbage ()
   vortex.yield (10000)
   t.equal (channel.conn:is_ok (), true)
   t.equal (channel:request ("hello", t.LIMIT).payload, "hello")
   t.equal (channel.conn:close (), true)
end)

test ("D8: skip_conn_close lets a session outlive its owner, and can be taken back", function ()
   local seen = vortex.asyncqueue.new ()
   local _, listener, ctx = t.session (function (server)
      vortex.register_profile (server, STUBBORN, nil, nil, function (_, peer)
         seen:push (peer)
         return true
      end)
   end)
   local function use (...)
      local conn = t.connect (ctx, listener)
      conn:skip_conn_close (...)
      t.ok (conn:open_channel (0, STUBBORN))
      return t.pop (seen)
   end
   local kept, kept_too, ended = use (), use (true), use (false)
   t.wait_until (gone (ended), "the session of the owner that does close")
   t.equal (kept:is_ok (), true)
   t.equal (kept_too:is_ok (), true)
   kept:shutdown ()
   kept_too:shutdown ()
end)

test ("wrappers that handlers got may be dropped, the session stays", function ()
   local conn, peer = t.both_ends ()
   for _ = 1, 10 do
      t.ok (t.echo_channel (conn).conn:is_ok ())
   end
   collectgarbage ()
   collectgarbage ()
   t.equal (conn:is_ok (), true)
   t.equal (peer:is_ok (), true)
   t.still_works (conn)
end)

test ("a listener keeps listening when its wrapper is collected", function ()
   ---@type any
   local port
   local server, client = t.new_ctx (), t.new_ctx ()
   vortex.register_profile (server, t.ECHO, t.echo)
   local function listen ()
      port = t.listen (server).port
   end
   listen ()
   collectgarbage ()
   collectgarbage ()
   local conn = vortex.connection.new (client, "127.0.0.1", port)
   t.ok (conn:is_ok (), conn.error_msg)
   t.still_works (conn)
end)

-- ---------------------------------------------------------------- listeners

test ("a listener that ends takes no new connection and keeps the old ones", function ()
   for _, finish in ipairs { "close", "shutdown" } do
      local conn, listener, ctx = t.session ()
      local result = listener[finish] (listener)
      t.ok (finish == "shutdown" or result == true, "close gives true")
      t.equal (listener:is_ok (), false)
      t.still_works (conn)
      t.equal (vortex.connection.new (ctx, "127.0.0.1", conn.port):is_ok (), false)
      listener[finish] (listener)
      t.is_type (listener.role, "string")
   end
end)

test ("a listener that cannot listen says why", function ()
   local ctx = t.new_ctx ()
   local listener = t.listen (ctx)
   for _, place in ipairs {
      { "127.0.0.1", listener.port, 3 }, { "no-such-host.invalid", "0", 5 }, { "127.0.0.1", "seventy" }
   } do
      local failed = vortex.create_listener (ctx, place[1], place[2])
      t.equal (vortex.connection.check (failed), true)
      t.equal (failed:is_ok (), false, place[2])
      t.ok (failed.status ~= vortex.status_OK and failed.status == (place[3] or failed.status),
         "status " .. failed.status .. " for " .. place[1] .. " " .. place[2])
      t.ok (#t.is_type (failed.error_msg, "string") > 0)
      failed:shutdown ()
      t.equal (failed:close (), true)
   end
end)

test ("a listener serves names, IPv4 and IPv6 where the machine has them", function ()
   local ctx = t.new_ctx ()
   vortex.register_profile (ctx, t.ECHO, t.echo)
   for _, host in ipairs { "localhost", "0.0.0.0", "::1" } do
      local listener = vortex.create_listener (ctx, host, "0")
      if listener:is_ok () then
         local to = host == "0.0.0.0" and "127.0.0.1" or host
         local conn = vortex.connection.new (ctx, to, listener.port)
         t.ok (conn:is_ok (), host)
         t.still_works (conn)
      else
         t.equal (host, "::1", "only IPv6 may be missing")
      end
   end
end)

test ("a port may be used again after its listener ended", function ()
   local ctx = t.new_ctx ()
   local listener = t.listen (ctx)
   local port = listener.port
   t.still_works ((function ()
      vortex.register_profile (ctx, t.ECHO, t.echo)
      local conn = t.connect (ctx, listener)
      listener:shutdown ()
      return conn
   end) ())
   local again = vortex.create_listener (ctx, "127.0.0.1", port)
   t.ok (again:is_ok (), again.error_msg)
end)

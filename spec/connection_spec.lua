-- vortex.connection: making connections, attributes, data, look-ups (contract 4).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local UNKNOWN = "urn:example:luavortex:nobody-serves-this"
local DENIED = "urn:example:luavortex:denied"

local ATTRIBUTES = {
   "id", "ctx", "error_msg", "status", "host", "host_ip", "port", "server_name", "local_addr", "local_port",
   "num_channels", "role", "ref_count"
}

local function deny (ctx)
   vortex.register_profile (ctx, DENIED, nil, nil, function () return false end)
end

test ("a connection that works tells all about itself", function ()
   local conn, listener = t.session ()
   t.equal (conn:is_ok (), true)
   t.equal (vortex.connection.is_ok (conn), true)
   t.equal (vortex.connection.check (conn), true)
   t.equal (conn:check (), true)
   t.equal (conn.status, vortex.status_OK)
   t.is_type (conn.error_msg, "string", "error_msg")
   t.equal (conn.host, "127.0.0.1")
   t.equal (conn.port, t.port_to (listener))
   t.is_type (conn.port, "string", "port")
   t.equal (conn.host_ip, "127.0.0.1")
   t.equal (conn.local_addr, "127.0.0.1")
   t.ok (tonumber (t.is_type (conn.local_port, "string", "local_port")))
   t.equal (conn.role, "initiator")
   t.equal (conn.num_channels, 1)
   t.is_whole (conn.id, "id")
   t.is_whole (conn.ref_count, "ref_count")
   t.equal (vortex.ctx.check (conn.ctx), true)
   t.ok (tostring (conn):find ("connection", 1, true))
end)

test ("a port may be given as a number", function ()
   local _, listener, ctx = t.session ()
   local conn = vortex.connection.new (ctx, "127.0.0.1", assert (tonumber (listener.port)))
   t.equal (conn:is_ok (), true)
   t.equal (conn.port, listener.port)
end)

test ("a host may be given by name", function ()
   local _, listener, ctx = t.session ()
   local conn = vortex.connection.new (ctx, "localhost", listener.port)
   t.ok (conn:is_ok (), conn.error_msg)
   t.equal (conn.host, "localhost")
   t.is_type (conn.host_ip, "string")
end)

test ("a connection that nobody accepts fails with status 8 and says why", function ()
   local ctx = t.new_ctx ()
   local listener = t.listen (ctx)
   local port = listener.port
   listener:shutdown ()
   local conn = vortex.connection.new (ctx, "127.0.0.1", port)
   t.equal (vortex.connection.check (conn), true)
   t.equal (conn:is_ok (), false)
   t.equal (conn.status, 8)
   t.ok (#t.is_type (conn.error_msg, "string") > 0)
   t.equal (conn.host, "127.0.0.1")
   t.equal (conn.port, port)
   t.equal (conn.role, "initiator")
end)

test ("a host name that does not exist fails with status 5", function ()
   local conn = vortex.connection.new (t.new_ctx (), "no-such-host.invalid", "10")
   t.equal (conn:is_ok (), false)
   t.equal (conn.status, 5)
   t.ok (#t.is_type (conn.error_msg, "string") > 0)
   t.equal (conn.host, "no-such-host.invalid")
end)

test ("a port that is none gives a failed connection that says why", function ()
   local ctx = t.new_ctx ()
   for _, port in ipairs { "seventy", "", "80 81", "99999" } do
      local conn = vortex.connection.new (ctx, "127.0.0.1", port)
      t.equal (conn:is_ok (), false, "port " .. port)
      t.ok (conn.status ~= vortex.status_OK)
      t.ok (#t.is_type (conn.error_msg, "string") > 0)
   end
end)

test ("every attribute can be read in every state", function ()
   local conn, peer, listener, ctx = t.both_ends ()
   local closed = t.connect (ctx, listener)
   t.equal (closed:close (), true)
   local dropped = t.connect (ctx, listener)
   dropped:shutdown ()
   local states = {
      connected = conn, accepted = peer, listening = listener, closed = closed, dropped = dropped,
      failed = vortex.connection.new (ctx, "127.0.0.1", "none"),
      ["never initialised"] = vortex.connection.new (vortex.ctx.new (), "127.0.0.1", "1"),
      ["failed listener"] = vortex.create_listener (ctx, "127.0.0.1", listener.port)
   }
   for state, object in pairs (states) do
      for _, name in ipairs (ATTRIBUTES) do
         local ok, value = pcall (function () return object[name] end)
         t.ok (ok, state .. ", " .. name .. ": " .. tostring (value))
      end
      t.is_whole (object.id, state .. ", id")
      t.is_whole (object.status, state .. ", status")
      t.is_whole (object.num_channels, state .. ", num_channels")
      t.is_type (object.role, "string", state .. ", role")
      t.is_type (object.error_msg, "string", state .. ", error_msg")
      t.is_type (object:is_ok (), "boolean", state .. ", is_ok")
      t.is_type (object:is_blocked (), "boolean", state .. ", is_blocked")
      t.is_type (object:is_tls (), "boolean", state .. ", is_tls")
      t.is_type (object:find_by_uri (t.ECHO), "table", state .. ", find_by_uri")
      t.equal (object.no_such_attribute, nil, state)
   end
   t.equal (closed:is_ok (), false)
   t.ok (closed.status ~= vortex.status_OK)
   t.equal (dropped.status, 13)
end)

test ("a listener is told from a connection by its role", function ()
   local conn, peer, listener = t.both_ends ()
   t.equal (listener.role, "master-listener")
   t.equal (conn.role, "initiator")
   t.equal (peer.role, "listener")
   t.equal (listener.num_channels, -1)
   t.equal (listener:is_ok (), true)
   t.ok (tonumber (t.is_type (listener.port, "string")) > 0)
end)

test ("the accepted side sees where its peer comes from", function ()
   t.not_through_a_relay ()
   local conn, peer = t.both_ends ()
   t.equal (peer.host, "127.0.0.1")
   t.equal (peer.port, conn.local_port)
   t.equal (peer.host_ip, "127.0.0.1")
   t.equal (peer.local_port, conn.port)
end)

test ("attributes cannot be written", function ()
   local conn = t.session ()
   t.raises ("host", function () conn.host = "elsewhere" end)
   t.raises ("anything", function () conn.anything = 1 end)
   t.equal (conn.host, "127.0.0.1")
end)

test ("connections of one ctx have different ids", function ()
   local first, listener, ctx = t.session ()
   local second, third = t.connect (ctx, listener), t.connect (ctx, listener)
   t.ok (first.id ~= second.id and second.id ~= third.id and first.id ~= third.id)
end)

test ("D8: two wrappers of one connection are equal, those of two connections are not", function ()
   local conn, listener, ctx = t.session ()
   local other = t.connect (ctx, listener)
   local channel = t.echo_channel (conn)
   t.ok (channel.conn == conn, "channel.conn and the connection")
   t.ok (channel.conn ~= other, "channel.conn and another connection")
   t.ok (conn ~= other)
   t.ok (not (conn == ctx) and conn ~= 1 and conn ~= nil)
   t.ok (conn.ctx == ctx, "conn.ctx and the ctx")
   t.ok (conn:find_by_uri (t.ECHO)[1] == channel, "the channel found and the channel")
end)

test ("server_name is nil at first and then the host of the first start", function ()
   local conn = t.session ()
   t.equal (conn.server_name, nil)
   t.echo_channel (conn)
   t.equal (conn.server_name, "127.0.0.1")
end)

test ("D6: the server name given to new reaches the other side", function ()
   local names = vortex.asyncqueue.new ()
   local uri = "urn:example:luavortex:names"
   local _, listener, ctx = t.session (function (server)
      vortex.register_profile (server, uri, nil, nil, function (_, conn)
         names:push (conn.server_name)
         return true
      end)
   end)
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port, "www.example.org")
   t.ok (conn:open_channel (0, uri))
   t.equal (t.pop (names), "www.example.org")
   t.equal (conn.server_name, "www.example.org")
   t.ok (conn:open_channel (0, uri))
   t.equal (t.pop (names), "www.example.org", "in a second start")
end)

-- --------------------------------------------------------------------- data

test ("every type of data is kept and given back identical", function ()
   local conn = t.session ()
   local values = {
      true, false, 0, 1.5, "text", "nul\0", {}, print, coroutine.create (function () end), io.stdout, conn,
      vortex.asyncqueue.new ()
   }
   for index, value in ipairs (values) do
      t.equal (t.pack (conn:set_data ("key", value)).n, 0)
      t.ok (rawequal (conn:get_data ("key"), value), "value " .. index)
   end
   vortex.connection.set_data (conn, "key", nil)
   t.equal (vortex.connection.get_data (conn, "key"), nil)
   t.equal (conn:get_data ("never set"), nil)
end)

test ("a key may be a text or a number, and they keep apart", function ()
   local conn = t.session ()
   conn:set_data ("", "empty")
   conn:set_data ("a\0b", "nul")
   conn:set_data (5, "number")
   conn:set_data ("6", "text")
   t.equal (conn:get_data (""), "empty")
   t.equal (conn:get_data ("a\0b"), "nul")
   t.equal (conn:get_data ("a"), nil)
   t.equal (conn:get_data (5), "number")
   t.equal (conn:get_data ("5"), "number", "a number used as a text")
   t.equal (conn:get_data (6), "text", "a text used as a number")
end)

test ("data is shared by the wrappers of a connection and by nobody else", function ()
   local conn, peer, listener, ctx = t.both_ends ()
   local other = t.connect (ctx, listener)
   conn:set_data ("key", "mine")
   t.equal (t.echo_channel (conn).conn:get_data ("key"), "mine")
   t.equal (other:get_data ("key"), nil)
   t.equal (peer:get_data ("key"), nil)
end)

test ("data outlives the session", function ()
   local conn = t.session ()
   conn:set_data ("key", "kept")
   conn:shutdown ()
   t.equal (conn:get_data ("key"), "kept")
   conn:set_data ("late", 1)
   t.equal (conn:get_data ("late"), 1)
end)

test ("data of a collected connection is released", function ()
   local weak = setmetatable ({}, { __mode = "v" })
   local _, listener, ctx = t.session ()
   local function use ()
      local conn = t.connect (ctx, listener)
      weak[1] = {}
      conn:set_data ("key", weak[1])
      conn:close ()
   end
   use ()
   t.wait_until (function ()
      collectgarbage ()
      return weak[1] == nil
   end, "the data to be released")
end)

-- ----------------------------------------------------------------- look-ups

test ("num_channels counts the management channel and what is open", function ()
   local conn = t.session ()
   t.equal (conn.num_channels, 1)
   local first = t.echo_channel (conn)
   t.equal (conn.num_channels, 2)
   t.echo_channel (conn)
   t.equal (conn.num_channels, 3)
   t.equal (first:close (), true)
   t.equal (conn.num_channels, 2)
end)

test ("find_by_uri lists the open channels of a profile in ascending order", function ()
   local conn = t.session ()
   t.equal (#conn:find_by_uri (t.ECHO), 0)
   local late = conn:open_channel (21, t.ECHO)
   local early = conn:open_channel (7, t.ECHO)
   local found = vortex.connection.find_by_uri (conn, t.ECHO)
   t.equal (#found, 2)
   t.equal (vortex.channel.check (found[1]), true)
   t.equal (found[1].number, early.number)
   t.equal (found[2].number, late.number)
   t.equal (found[1].profile, t.ECHO)
   t.equal (#conn:find_by_uri (UNKNOWN), 0)
   early:close ()
   t.equal (#conn:find_by_uri (t.ECHO), 1)
end)

test ("what the other side's greeting offers can be read", function ()
   local conn, peer = t.both_ends (deny)
   local offered = {}
   for _, uri in ipairs (conn:profiles ()) do
      offered[uri] = true
   end
   t.ok (offered[t.ECHO] and offered[t.WITNESS] and offered[DENIED])
   t.is_type (peer:profiles (), "table")
   for _, name in ipairs { "features", "localize" } do
      local value = conn[name] (conn)
      t.ok (value == nil or type (value) == "string", name)
   end
   t.equal (conn:is_tls (), false)
end)

-- ------------------------------------------------------------------- errors

test ("failures are stacked with code and text, the newest first", function ()
   local conn = t.session (deny)
   t.equal (conn:pop_channel_error (), nil)
   local _, code = t.failure (nil, conn:open_channel (0, UNKNOWN))
   t.equal (code, 554)
   _, code = t.failure (nil, conn:open_channel (0, DENIED))
   t.equal (code, 421)
   local newest = conn:pop_channel_error ()
   t.equal (newest[1], 421)
   t.is_type (newest[2], "string")
   local oldest = vortex.connection.pop_channel_error (conn)
   t.equal (oldest[1], 554)
   t.is_type (oldest[2], "string")
   t.equal (conn:pop_channel_error (), nil)
   t.still_works (conn)
end)

test ("an asynchronous failure is stacked too", function ()
   local conn, done = t.session (), vortex.asyncqueue.new ()
   conn:open_channel (0, UNKNOWN, nil, nil, function () done:push (true) end)
   t.pop (done)
   t.equal (conn:pop_channel_error ()[1], 554)
end)

test ("opening a channel on a dead connection fails and is stacked", function ()
   local conn = t.session ()
   conn:shutdown ()
   t.failure (nil, conn:open_channel (0, t.ECHO))
   local stacked = conn:pop_channel_error ()
   t.is_whole (stacked[1])
   t.is_type (stacked[2], "string")
end)

-- ----------------------------------------------------------------- blocking

test ("a blocked connection reads nothing and loses nothing", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   t.equal (conn:is_blocked (), false)
   conn:block ()
   t.equal (conn:is_blocked (), true)
   for index = 1, 5 do
      t.equal (channel:send_msg ("message " .. index), index - 1)
   end
   t.equal (replies:timedpop (50000), nil)
   conn:block (false)
   t.equal (conn:is_blocked (), false)
   for index = 1, 5 do
      t.equal (t.pop (replies).payload, "message " .. index)
   end
   vortex.connection.block (conn, true)
   t.equal (vortex.connection.is_blocked (conn), true)
   vortex.connection.block (conn, false)
   conn:block (nil)
   t.equal (conn:is_blocked (), true, "nil is the default")
end)

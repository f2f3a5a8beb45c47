-- vortex.tls: turning a session into a secured one (contract 8, and rows 22 and 23 of what
-- scripts of the field depend on). Trust and the handlers have specs of their own.

local vortex = require "vortex"
local tls = require "vortex.tls"
local t = require "harness"
local session = require "tls_session"
local test = t.test

local unpack = table.unpack or unpack

local URI = "urn:example:luavortex:secured"

-- -------------------------------------------------------------------- module

test ("vortex.tls is a part of the module, with its functions", function ()
   t.equal (vortex.tls, tls)
   t.equal (package.loaded["vortex.tls"], tls)
   for _, name in ipairs {
      "init", "start_tls", "accept_tls", "is_enabled", "set_trust", "set_identity", "verify_cert", "peer_digest", "info"
   } do
      t.is_type (tls[name], "function", name)
   end
end)

test ("C3: vortex.tls may be required at any time, and the program ends well", function ()
   for _, source in ipairs {
      [[ local tls = require "vortex.tls" local vortex = require "vortex" local ctx = vortex.ctx.new () ]],
      [[ local vortex = require "vortex" local ctx = vortex.ctx.new () local tls = require "vortex.tls" ]],
      [[ local vortex = require "vortex" local ctx = vortex.ctx.new () ctx:init () local tls = require "vortex.tls" ]]
   } do
      t.script_prints ("true true", source .. [[
         ctx:init ()
         assert (tls.init (ctx) == true and tls.init (ctx) == true)
         kept = { ctx, vortex.create_listener (ctx, "127.0.0.1", "0") }
         print (tostring (require "vortex".tls == tls) .. " " .. tostring (kept[2]:is_ok ()))
      ]])
   end
end)

test ("misuse of the functions raises where the script stands", function ()
   local conn, _, client = session.open ()
   local queue = vortex.asyncqueue.new ()
   for name, calls in pairs {
      init = { {}, { conn }, { 1 } },
      start_tls = { {}, { client }, { conn, {} }, { conn, nil, "no function" }, { conn, "localhost", {} } },
      accept_tls = {
         {}, { conn }, { client, "no function" }, { client, nil, nil, "cert.pem" }, { client, nil, nil, nil, nil, "key.pem" }
      },
      is_enabled = { {}, { client } },
      set_trust = { {}, { client }, { client, "system" }, { client, { ca = 17 } }, { client, { no_such_option = true } }, { conn, {} } },
      set_identity = { {}, { client }, { client, "cert" }, { conn, "cert", "key" } },
      verify_cert = { {}, { queue } },
      peer_digest = { {}, { client }, { conn, 256 }, { conn, "sha9" } },
      info = { {}, { client } }
   } do
      for index, given in ipairs (calls) do
         local message = t.raises (name, function ()
            local result = tls[name] (unpack (given, 1, 8))
            return result
         end)
         t.ok (message:find ("tls_spec.lua:", 1, true), name .. " " .. index .. ": " .. message)
      end
   end
   t.still_works (conn)
end)

-- ------------------------------------------------------------------- success

test ("22: a session is secured, and a hundred messages keep their order", function ()
   local conn, _, client = session.open ()
   t.equal (tls.init (client), true)
   local queue = vortex.asyncqueue.new ()
   local status, message
   conn, status, message = tls.start_tls (conn)
   collectgarbage ()
   collectgarbage ()
   session.check_secured (conn, status, message)
   local channel = t.ok (conn:open_channel (0, t.ECHO, function (_, _, frame, data) data:push (frame) end, queue))
   channel:set_serialize (true)
   for index = 1, 100 do
      t.ok (channel:send_msg ("message " .. index, -1))
   end
   for index = 1, 100 do
      t.equal (t.pop (queue).payload, "message " .. index)
   end
   t.equal (queue:items (), 0)
   t.equal (conn:close (), true)
end)

test ("23: a session is secured in the background", function ()
   local conn, queue = session.open (), vortex.asyncqueue.new ()
   t.ok (not tls.start_tls (conn, nil, function (secured, status, message, data)
      data:push (secured)
      data:push (status)
      data:push (message)
   end, queue))
   local secured, status, message = t.pop (queue), t.pop (queue), t.pop (queue)
   conn = session.check_secured (secured, status, message)
   collectgarbage ()
   collectgarbage ()
   local channel, replies = t.echo_channel (conn)
   for index = 1, 100 do
      channel:send_msg ("message " .. index, -1)
   end
   for index = 1, 100 do
      t.equal (t.pop (replies).payload, "message " .. index)
   end
end)

test ("the new connection is a fresh session to the same place", function ()
   local conn, listener, client = session.open ()
   t.echo_channel (conn)
   local id, host, port = conn.id, conn.host, conn.port
   local secured, status, message = tls.start_tls (conn)
   t.equal (status, vortex.status_OK, tostring (message))
   t.ok (secured.id ~= id)
   t.is_type (host, "string")
   t.is_type (secured.host, "string")
   t.equal (secured.host_ip, "127.0.0.1")
   t.equal (secured.port, port)
   t.equal (secured.port, t.port_to (listener))
   t.equal (secured.role, "initiator")
   t.equal (secured.status, vortex.status_OK)
   t.equal (secured.num_channels, 1)
   t.ok (secured.ctx == client)
   t.equal (#secured:find_by_uri (t.ECHO), 0)
   session.check_secured (secured, status, message)
   t.equal (secured:close (), true)
end)

test ("the old connection is over, tells so, and its on_close handlers are called once", function ()
   local conn = session.open ()
   local channel = t.echo_channel (conn)
   local id = conn.id
   conn:set_on_close (t.expect_calls (1, function (dead)
      t.equal (dead.id, id)
      t.equal (dead:is_ok (), false)
   end, "on_close of the old connection"))
   local secured, status, message = tls.start_tls (conn)
   session.check_secured (secured, status, message)
   t.equal (conn:is_ok (), false)
   t.equal (conn.status, vortex.status_CONNECTION_CLOSE_CALLED)
   t.equal (tls.is_enabled (conn), false)
   t.equal (channel.is_ready, false)
   t.failure (nil, channel:send_msg ("x"))
   t.failure (nil, conn:open_channel (0, t.ECHO))
   conn:shutdown ()
   t.equal (conn:close (), true)
   collectgarbage ()
   t.still_works (secured)
   -- the handlers were not carried over
   secured:shutdown ()
end)

test ("data of the connection survives, on both sides", function ()
   local peers = vortex.asyncqueue.new ()
   local conn = session.open (nil, function (ctx)
      vortex.register_profile (ctx, URI, nil, nil, function (_, peer)
         if not tls.is_enabled (peer) then
            peer:set_data ("key", "theirs")
         end
         peers:push (peer)
         return true
      end)
   end)
   local value = {}
   conn:set_data ("key", value)
   t.ok (conn:open_channel (0, URI))
   local peer = t.pop (peers)
   local secured, status, message = tls.start_tls (conn)
   t.equal (status, vortex.status_OK, tostring (message))
   t.equal (secured:get_data ("key"), value)
   t.ok (secured:open_channel (0, URI))
   local secured_peer = t.pop (peers)
   t.equal (tls.is_enabled (secured_peer), true)
   t.equal (secured_peer:get_data ("key"), "theirs")
   t.equal (secured_peer.role, "listener")
   t.equal (secured_peer:is_ok (), true)
   t.wait_until (function () return not peer:is_ok () end, "the end of the old session")
end)

test ("the server name reaches both sides of the secured session", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = session.open ("a.example", function (ctx)
      vortex.register_profile (ctx, URI, nil, nil, function (_, peer)
         seen:push (tostring (peer.server_name))
         return true
      end)
   end)
   local secured, status, message = tls.start_tls (conn, "a.example")
   session.check_secured (secured, status, message)
   t.equal (secured.server_name, "a.example")
   t.ok (secured:open_channel (0, URI))
   t.equal (t.pop (seen), "a.example")
end)

test ("large messages pass both ways at the same time", function ()
   local conn = session.open (nil, function (ctx) vortex.register_profile (ctx, URI, t.echo) end)
   local secured, status, message = tls.start_tls (conn)
   session.check_secured (secured, status, message)
   local content, done = ("0123456789abcde\0"):rep (65536), vortex.asyncqueue.new ()
   for _ = 1, 3 do
      vortex.spawn (function ()
         local frame = t.ok (secured:open_channel (0, URI)):request (content, t.LIMIT)
         done:push (frame.payload == content)
      end)
   end
   for _ = 1, 3 do
      t.equal (t.pop (done), true)
   end
end)

test ("info tells version, cipher and peer, and nothing of a session in clear", function ()
   local conn = session.open ()
   t.ok (not tls.info (conn))
   local secured, status, message = tls.start_tls (conn)
   session.check_secured (secured, status, message)
   local info = t.is_type (tls.info (secured), "table")
   t.ok (t.is_type (info.version, "string", "version"):find ("1%.[23]"), info.version)
   t.ok (#t.is_type (info.cipher, "string", "cipher") > 0)
end)

test ("peer_digest gives the digest of the certificate in hexadecimal", function ()
   local digests = {}
   for _, name in ipairs { "a.example", "b.example", "a.example" } do
      local conn = session.open (name)
      t.ok (not tls.peer_digest (conn, "sha256"))
      local secured, status, message = tls.start_tls (conn, name)
      session.check_secured (secured, status, message)
      for algorithm, digits in pairs { sha256 = 64, sha1 = 40 } do
         local digest = t.is_type (tls.peer_digest (secured, algorithm), "string")
         local bare = digest:gsub (":", "")
         t.ok (#bare == digits and bare:find ("^%x+$"), digest)
      end
      local digest = tls.peer_digest (secured, "sha256")
      t.equal (digests[name] or digest, digest, "the digest of the same certificate")
      digests[name] = digest
   end
   t.ok (digests["a.example"] ~= digests["b.example"])
end)

test ("D15: is_enabled tells whether a connection is secured, in every state", function ()
   local conn, listener = session.open ()
   t.equal (tls.is_enabled (conn), false)
   t.equal (tls.is_enabled (listener), false)
   t.equal (conn:is_tls (), false)
   local secured, status, message = tls.start_tls (conn)
   session.check_secured (secured, status, message)
   secured:shutdown ()
   t.is_type (tls.is_enabled (secured), "boolean")
   t.equal (tls.is_enabled (vortex.connection.new (t.new_ctx (), "127.0.0.1", "none")), false)
end)

test ("H6: both sides of a secured session live in one ctx, with handlers", function ()
   local ctx = t.new_ctx ()
   vortex.register_profile (ctx, t.ECHO, t.echo)
   session.accept (ctx, "localhost", function () return true end)
   local conn = t.connect (ctx, t.listen (ctx))
   local secured, status, message = tls.start_tls (conn)
   session.check_secured (secured, status, message)
   t.equal (secured:close (), true)
end)

-- ------------------------------------------------------------------- failure

test ("a listener without TLS refuses, and the session goes on", function ()
   local conn = t.session ()
   session.check_refused (conn, tls.start_tls (conn))
   session.check_refused (conn, tls.start_tls (conn, "localhost"))
end)

test ("accept_tls without handlers has no certificate, so it refuses", function ()
   local conn = t.session (function (ctx) t.equal (tls.accept_tls (ctx), true) end)
   session.check_refused (conn, tls.start_tls (conn))
end)

test ("accept_tls takes nil for any handler, and the last call counts", function ()
   local conn, listener, client, server = t.session (function (ctx)
      t.equal (tls.accept_tls (ctx, function () return false end, nil, nil, nil, nil, nil), true)
   end)
   session.check_refused (conn, tls.start_tls (conn))
   session.accept (server, "localhost")
   local secured, status, message = tls.start_tls (t.connect (client, listener))
   session.check_secured (secured, status, message)
end)

test ("C4: start_tls without init works, or fails without harm", function ()
   local ok, text = t.run_script (([[
      local vortex, tls = require "vortex", require "vortex.tls"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      local certificates = %q
      tls.accept_tls (ctx, nil, nil, function () return certificates .. "localhost.crt" end, nil,
         function () return certificates .. "localhost.key" end, nil)
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      local secured, status = tls.start_tls (conn)
      print ("status " .. status .. " " .. tostring (secured:is_ok ()))
   ]]):format (session.path ("")))
   t.ok (ok and text:find ("status 2 true", 1, true), text)
end)

test ("C4: what is left of a handshake that failed is used and collected without harm", function ()
   t.handler_errors ()
   for _, key in ipairs { "a.example.key", "none.key", "localhost.crt" } do
      local conn = t.session (function (ctx)
         tls.accept_tls (ctx, nil, nil, function () return session.path ("localhost.crt") end, nil,
            function () return session.path (key) end, nil)
      end)
      local left, status, message = tls.start_tls (conn)
      t.equal (status, vortex.status_ERROR, tostring (message))
      for _, one in ipairs { conn, left } do
         t.is_whole (one.status)
         t.is_type (one.error_msg, "string")
         t.is_type (one.role, "string")
         t.is_whole (one.num_channels)
         t.is_type (one:is_ok (), "boolean")
         one:set_data ("key", 1)
         t.equal (one:get_data ("key"), 1)
      end
      conn = nil
      collectgarbage ()
      collectgarbage ()
      t.is_type (left:is_ok (), "boolean")
      left:shutdown ()
      left = nil
      collectgarbage ()
   end
end)

test ("a connection that is over cannot be secured, and says so", function ()
   local down, closed = session.open (), session.open ()
   down:shutdown ()
   t.equal (closed:close (), true)
   local failed = vortex.connection.new (t.new_ctx (), "127.0.0.1", "none")
   for _, conn in ipairs { down, closed, failed } do
      local left, status, message = tls.start_tls (conn)
      t.ok (left == nil or not left:is_ok ())
      t.equal (status, vortex.status_ERROR)
      t.ok (#t.is_type (message, "string") > 0)
      tls.start_tls (conn, nil, t.expect_calls (1, function (_, later, why)
         t.equal (later, vortex.status_ERROR)
         t.is_type (why, "string")
      end, "tls_notify"))
   end
end)

test ("a secured session is not secured again, and goes on", function ()
   local conn = session.open ()
   local secured, status, message = tls.start_tls (conn)
   session.check_secured (secured, status, message)
   local again
   again, status, message = tls.start_tls (secured)
   t.equal (status, vortex.status_ERROR)
   t.ok (#t.is_type (message, "string") > 0)
   session.check_secured (again, vortex.status_OK, "still")
   session.check_secured (secured, vortex.status_OK, "still")
end)

test ("a session that ends meanwhile fails", function ()
   local conn = t.session (function (ctx)
      session.accept (ctx, "localhost", function (peer)
         peer:shutdown ()
         return true
      end)
   end)
   session.check_broken (conn, tls.start_tls (conn))
end)

test ("securing never waits longer than the limit", function ()
   t.script_prints ("1 string", [[
      local vortex, tls = require "vortex", require "vortex.tls"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      tls.accept_tls (ctx, function () vortex.sleep (20000000) return true end)
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      tls.set_trust (ctx, { verify = false })
      local _, status, message = tls.start_tls (conn)
      print (status .. " " .. type (message))
      os.exit (0)
   ]], "VORTEX_SYNC_TIMEOUT=300000")
end)

-- ---------------------------------------------------------------- collection

test ("B13: the secured session ends with the last object for it, however it was made", function ()
   for _, in_background in ipairs { false, true } do
      local peers, held = vortex.asyncqueue.new (), {}
      local conn = session.open (nil, function (ctx)
         vortex.register_profile (ctx, URI, nil, nil, function (_, peer)
            peers:push (peer)
            return true
         end)
      end)
      if in_background then
         tls.start_tls (conn, nil, function (secured) held[1] = secured end)
         t.wait_until (function () return held[1] end)
      else
         held[1] = tls.start_tls (conn)
      end
      collectgarbage ()
      collectgarbage ()
      t.ok ((held[1]:open_channel (0, URI)))
      local peer = t.pop (peers)
      t.equal (held[1]:is_ok (), true)
      held[1] = nil
      t.wait_until (function ()
         collectgarbage ()
         return not peer:is_ok ()
      end, "the session to end")
   end
end)

test ("a start_tls while another one is under way fails alone: the first one ends as it would have", function ()
   local decided = vortex.asyncqueue.new ()
   local conn = session.open (nil, function (ctx)
      session.accept (ctx, "localhost", function () return decided:pop () end)
   end)
   local results, told = {}, 0
   local function note (name)
      return function (new, status)
         results[name] = { conn = new, status = status }
         told = told + 1
      end
   end
   tls.start_tls (conn, nil, note "first")
   tls.start_tls (conn, nil, note "second")
   local same, status, message = tls.start_tls (conn)
   t.equal (same, conn)
   t.equal (status, vortex.status_ERROR)
   t.ok (t.is_type (message, "string"):find ("already", 1, true), message)
   t.wait_until (function () return results.second end, "the second to fail")
   t.equal (results.second.status, vortex.status_ERROR)
   t.equal (results.first, nil)
   decided:push (true)
   t.wait_until (function () return results.first end, "the first to end")
   t.equal (results.first.status, vortex.status_OK)
   t.equal (told, 2)
   t.equal (tls.is_enabled (results.first.conn), true)
   t.still_works (results.first.conn)
end)

test ("a program may end right after it began to secure a session", function ()
   for _ = 1, 5 do
      local ok, text = t.run_script (([[
         vortex, tls = require "vortex", require "vortex.tls"
         ctx = vortex.ctx.new ()
         ctx:init ()
         certificates = %q
         tls.accept_tls (ctx, nil, nil, function () return certificates .. "localhost.crt" end, nil,
            function () return certificates .. "localhost.key" end, nil)
         listener = vortex.create_listener (ctx, "127.0.0.1", "0")
         conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
         tls.start_tls (conn, nil, function () end)
         print "leaving"
      ]]):format (session.path ("")))
      t.ok (ok and text:find ("leaving", 1, true), text)
   end
end)

-- vortex.sasl: authentication on both sides (contract 7, and rows 17 to 20 and 25 of what
-- scripts of the field depend on). Its handlers have a spec of their own.

local vortex = require "vortex"
local sasl = require "vortex.sasl"
local t = require "harness"
local session = require "sasl_session"
local test = t.test

local unpack = table.unpack or unpack
local CHALLENGES, documented_handler, accept_all = session.CHALLENGES, session.documented_handler, session.accept_all
local authenticate, check_status = session.authenticate, session.check_status
local check_authenticated, check_not_authenticated = session.check_authenticated, session.check_not_authenticated

-- -------------------------------------------------------------------- module

test ("vortex.sasl is a part of the module, with its functions and constants", function ()
   t.equal (vortex.sasl, sasl)
   t.equal (package.loaded["vortex.sasl"], sasl)
   for _, name in ipairs { "init", "start_auth", "is_authenticated", "method_used", "auth_id", "peer_identity",
      "accept_mech", "require_tls" } do
      t.is_type (sasl[name], "function", name)
   end
   for _, name in ipairs { "PLAIN", "ANONYMOUS", "EXTERNAL", "CRAM_MD5", "DIGEST_MD5", "SCRAM_SHA_1", "SCRAM_SHA_256" } do
      t.equal (sasl[name], "http://iana.org/beep/SASL/" .. name:gsub ("_", "-"), name)
   end
end)

test ("C3: vortex.sasl may be required at any time, and the program ends well", function ()
   for _, source in ipairs {
      [[ local sasl = require "vortex.sasl" local vortex = require "vortex" local ctx = vortex.ctx.new () ]],
      [[ local vortex = require "vortex" local ctx = vortex.ctx.new () local sasl = require "vortex.sasl" ]],
      [[ local vortex = require "vortex" local ctx = vortex.ctx.new () ctx:init () local sasl = require "vortex.sasl" ]]
   } do
      t.script_prints ("true true", source .. [[
         ctx:init ()
         assert (sasl.init (ctx) == true and sasl.init (ctx) == true)
         kept = { ctx, vortex.create_listener (ctx, "127.0.0.1", "0") }
         print (tostring (require "vortex".sasl == sasl) .. " " .. tostring (kept[2]:is_ok ()))
      ]])
   end
end)

test ("misuse of the functions raises where the script stands", function ()
   local conn, _, client = t.session ()
   local queue = vortex.asyncqueue.new ()
   for name, calls in pairs {
      init = { {}, { conn }, { 1 } },
      start_auth = {
         {}, { conn }, { conn, sasl.PLAIN }, { client, sasl.PLAIN, "bob" }, { conn, {}, "bob" }, { conn, sasl.PLAIN, {} },
         { conn, sasl.PLAIN, "bob", {} }, { conn, sasl.PLAIN, "bob", "x", {} }, { conn, sasl.PLAIN, "bob", "x", nil, {} },
         { conn, sasl.PLAIN, "bob", "x", nil, nil, "no function" }
      },
      is_authenticated = { {}, { client }, { "conn" } },
      method_used = { {}, { queue } },
      auth_id = { {}, { 1 } },
      peer_identity = { {}, { client }, { "conn" } },
      accept_mech = { {}, { client }, { client, "plain" }, { client, "plain", "no function" }, { conn, "plain", print }, { client, {}, print } },
      require_tls = { {}, { conn, true }, { client, "yes" } }
   } do
      for _, given in ipairs (calls) do
         local message = t.raises (name, function ()
            local result = sasl[name] (unpack (given, 1, 7))
            return result
         end)
         t.ok (message:find ("sasl_spec.lua:", 1, true), message)
      end
   end
   t.still_works (conn)
end)

test ("D23: init is not needed, and may be repeated", function ()
   local conn, _, client, server = t.session (accept_all)
   check_status (2, authenticate (conn, sasl.PLAIN))
   for _ = 1, 2 do
      t.equal (sasl.init (client), true)
      t.equal (sasl.init (server), true)
   end
end)

-- ---------------------------------------------------------------- mechanisms

local function round (mech, id)
   return function ()
      local seen = vortex.asyncqueue.new ()
      local function handler (...)
         seen:push ((...))
         return documented_handler (...)
      end
      local conn, _, client, server = t.session (function (ctx) accept_all (ctx, handler) end)
      t.equal (sasl.init (client), true)
      t.equal (sasl.init (server), true)
      check_not_authenticated (conn)
      check_status (2, authenticate (conn, mech))
      check_authenticated (conn, mech, id)
      local peer = t.pop (seen)
      t.wait_until (function () return sasl.is_authenticated (peer) end, "the other side")
      check_authenticated (peer, mech, id)
      t.still_works (conn)
      t.equal (conn:close (), true)
   end
end

local function wrong (mech, given)
   return function ()
      local conn, peer = t.both_ends (accept_all)
      check_status (1, sasl.start_auth (conn, mech, unpack (given, 1, 4)))
      check_not_authenticated (conn)
      check_not_authenticated (peer)
      t.equal (conn.num_channels, 1, "no channel is left")
      t.is_type (conn:pop_channel_error (), "table", "the reason on the stack")
      t.still_works (conn)
      -- a second try is free
      check_status (2, authenticate (conn, mech))
      t.equal (conn:close (), true)
   end
end

test ("17: PLAIN with the right password", round (sasl.PLAIN, "bob"))
test ("17: PLAIN with a wrong password", wrong (sasl.PLAIN, { "bob", "wrong" }))
test ("18: ANONYMOUS with a token that is taken", round (sasl.ANONYMOUS, nil))
test ("18: ANONYMOUS with one that is not", wrong (sasl.ANONYMOUS, { "somebody" }))
test ("19: DIGEST-MD5 with the right password and a realm", round (sasl.DIGEST_MD5, "bob"))
test ("19: DIGEST-MD5 with a wrong password", wrong (sasl.DIGEST_MD5, { "bob", "wrong", nil, "example.org" }))
test ("20: CRAM-MD5 with the right password", round (sasl.CRAM_MD5, "bob"))
test ("20: CRAM-MD5 with a wrong password", wrong (sasl.CRAM_MD5, { "bob", "wrong" }))
test ("SCRAM-SHA-1 with the right password", round (sasl.SCRAM_SHA_1, "bob"))
test ("SCRAM-SHA-1 with a wrong password", wrong (sasl.SCRAM_SHA_1, { "bob", "wrong" }))
test ("SCRAM-SHA-256 with the right password", round (sasl.SCRAM_SHA_256, "bob"))
test ("SCRAM-SHA-256 with a wrong password", wrong (sasl.SCRAM_SHA_256, { "bob", "wrong" }))

test ("a user that nobody knows is refused by every mechanism with users", function ()
   for _, name in ipairs { "PLAIN", unpack (CHALLENGES) } do
      local conn = t.session (accept_all)
      check_status (1, sasl.start_auth (conn, sasl[name], "mallory", "secret"))
      check_not_authenticated (conn)
   end
end)

test ("a mechanism that the other side does not offer fails and leaves the connection", function ()
   local conn = t.session (function (ctx) sasl.accept_mech (ctx, "plain", documented_handler) end)
   for _, name in ipairs { "ANONYMOUS", "EXTERNAL", unpack (CHALLENGES) } do
      check_status (1, authenticate (conn, sasl[name]))
      check_not_authenticated (conn)
   end
   t.equal (conn:pop_channel_error ()[1], 554)
   t.still_works (conn)
end)

test ("the greeting offers the mechanisms that are accepted, and no others", function ()
   local conn = t.session (function (ctx) sasl.accept_mech (ctx, sasl.CRAM_MD5, documented_handler) end)
   local offered = table.concat (conn:profiles (), " ")
   t.ok (offered:find (sasl.CRAM_MD5, 1, true), offered)
   t.ok (not offered:find (sasl.PLAIN, 1, true), offered)
end)

test ("listener: mechanisms are accepted by short name in any case, and by URI", function ()
   for _, name in ipairs { "plain", "PLAIN", "Plain", sasl.PLAIN } do
      local conn = t.session (function (ctx)
         t.equal (sasl.accept_mech (ctx, name, documented_handler), true)
      end)
      for _, asked in ipairs { "plain", "pLAIN", sasl.PLAIN } do
         check_status (1, sasl.start_auth (conn, asked, "bob", "wrong"))
      end
      check_status (2, sasl.start_auth (conn, name, "bob", "secret"))
   end
end)

test ("B11: an unknown mechanism is refused by name on both sides", function ()
   local conn, _, _, server = t.session (accept_all)
   for _, name in ipairs { "kerberos-9", "", "http://iana.org/beep/SASL/", "http://iana.org/beep/SASL/NOPE", "plain " } do
      local ok, message = sasl.accept_mech (server, name, documented_handler)
      t.equal (ok, false, name)
      t.ok (#t.is_type (message, "string") > 0)
      check_status (1, sasl.start_auth (conn, name, "bob", "secret"))
   end
   t.still_works (conn)
end)

test ("B11: a second authentication never weakens the first", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      accept_all (ctx, function (...)
         seen:push ((...))
         return documented_handler (...)
      end)
   end)
   check_status (2, authenticate (conn, sasl.PLAIN))
   local peer = t.pop (seen)
   for _, name in ipairs { "PLAIN", "ANONYMOUS", "CRAM_MD5" } do
      check_status (1, authenticate (conn, sasl[name], "wrong"))
      check_authenticated (conn, sasl.PLAIN, "bob")
      check_authenticated (peer, sasl.PLAIN, "bob")
   end
   check_status (1, authenticate (conn, sasl.CRAM_MD5))
   check_authenticated (conn, sasl.PLAIN, "bob")
   t.still_works (conn)
end)

test ("peer_identity tells who the peer is, and nothing of this side", function ()
   for name, uri in pairs { PLAIN = sasl.PLAIN, ANONYMOUS = sasl.ANONYMOUS, ["DIGEST-MD5"] = sasl.DIGEST_MD5 } do
      local conn, listener = t.both_ends (accept_all)
      t.equal (sasl.peer_identity (listener), nil)
      check_status (vortex.status_ERROR, authenticate (conn, uri == sasl.ANONYMOUS and sasl.PLAIN or uri, "wrong"))
      t.equal (sasl.peer_identity (listener), nil, "after a failure")
      check_status (vortex.status_OK, authenticate (conn, uri))
      local peer = sasl.peer_identity (listener)
      t.equal (peer.mech, uri)
      t.equal (peer.auth_id, name ~= "ANONYMOUS" and "bob" or nil)
      t.equal (peer.realm, name == "DIGEST-MD5" and "example.org" or nil)
      t.equal (sasl.is_authenticated (conn), true)
      t.equal (sasl.peer_identity (conn), nil, "the other side proved nothing")
      peer.auth_id = "somebody else"
      t.ok (sasl.peer_identity (listener).auth_id ~= "somebody else", "a copy")
      conn:shutdown ()
      t.equal (sasl.peer_identity (conn), nil)
   end
end)

test ("a profile guarded by peer_identity stays closed to a peer to whom only this side proved something", function ()
   local URI = "urn:test:guarded"
   local function guard (ctx)
      vortex.register_profile (ctx, URI, function () end, nil, function (_, conn)
         return sasl.peer_identity (conn) ~= nil
      end)
   end
   local conn, listener, _, client = t.both_ends (function (server)
      accept_all (server)
      guard (server)
   end)
   guard (client)
   t.equal (conn:open_channel (0, URI), nil)
   check_status (vortex.status_OK, authenticate (conn, sasl.SCRAM_SHA_256))
   t.equal (sasl.is_authenticated (listener), true)
   t.equal (listener:open_channel (0, URI), nil, "the listener is nobody")
   t.ok (conn:open_channel (0, URI), "the client is bob")
end)

test ("a mechanism registered again is replaced", function ()
   local conn, _, _, server = t.session (accept_all)
   sasl.accept_mech (server, "plain", function (_, props, data) return props.password == data end, "other")
   check_status (1, authenticate (conn, sasl.PLAIN))
   check_status (2, authenticate (conn, sasl.PLAIN, "other"))
end)

test ("names and passwords of all octets arrive as they were given", function ()
   local id, password = "b\195\182b <&> '\"", ("\226\130\172 p,=n \\"):rep (20)
   for _, name in ipairs { "PLAIN", unpack (CHALLENGES) } do
      local seen = vortex.asyncqueue.new ()
      local conn = t.session (function (ctx)
         sasl.accept_mech (ctx, sasl[name], function (_, props)
            seen:push (props)
            if props.mech == sasl.PLAIN then
               return props.password == password
            end
            return password
         end)
      end)
      local realm = name == "DIGEST_MD5" and "b\195\182b's" or nil
      local status, message = sasl.start_auth (conn, sasl[name], id, password, nil, realm)
      t.equal (status, 2, name .. ": " .. tostring (message))
      t.equal (t.pop (seen).auth_id, id, name)
      t.equal (sasl.auth_id (conn), id, name)
   end
end)

test ("an authorization id and a realm reach the handler", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      accept_all (ctx, function (_, props)
         seen:push (props)
         return false
      end)
   end)
   sasl.start_auth (conn, sasl.PLAIN, "bob", "secret", "alice")
   t.equal (t.pop (seen).authorization_id, "alice")
   sasl.start_auth (conn, sasl.DIGEST_MD5, "bob", "secret", nil, "example.org")
   t.equal (t.pop (seen).realm, "example.org")
end)

test ("the server name of the session reaches the handler", function ()
   local seen = vortex.asyncqueue.new ()
   local _, listener, client = t.session (function (ctx)
      accept_all (ctx, function (_, props)
         seen:push (tostring (props.server_name))
         return true
      end)
   end)
   local conn = vortex.connection.new (client, "127.0.0.1", t.port_to (listener), "www.example.org")
   check_status (2, authenticate (conn, sasl.PLAIN))
   t.equal (t.pop (seen), "www.example.org")
end)

-- ------------------------------------------------------------ waits and ends

test ("25: with a notification the call returns nil at once", function ()
   local conn, queue, called = t.session (accept_all), vortex.asyncqueue.new (), false
   local result = sasl.start_auth (conn, sasl.PLAIN, "bob", "secret", nil, nil, function (done, status, message, data)
      called = true
      data:push (done)
      data:push (status)
      data:push (message)
   end, queue)
   t.equal (result, nil)
   t.equal (called, false)
   t.ok (t.pop (queue) == conn)
   t.equal (t.pop (queue), 2)
   t.is_type (t.pop (queue), "string")
   check_authenticated (conn, sasl.PLAIN, "bob")
end)

test ("C5: a program may end right after it began to authenticate", function ()
   for _ = 1, 5 do
      t.script_prints ("leaving", [[
         local vortex, sasl = require "vortex", require "vortex.sasl"
         ctx = vortex.ctx.new ()
         ctx:init ()
         sasl.init (ctx)
         sasl.accept_mech (ctx, "plain", function () return true end)
         listener = vortex.create_listener (ctx, "127.0.0.1", "0")
         conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
         sasl.start_auth (conn, sasl.PLAIN, "bob", "secret", nil, nil, function () end)
         print "leaving"
      ]])
   end
end)

test ("H6: both sides of an authentication live in one ctx, with handlers", function ()
   local ctx = t.new_ctx ()
   accept_all (ctx)
   local conn = t.connect (ctx, t.listen (ctx))
   check_status (2, authenticate (conn, sasl.SCRAM_SHA_256))
   t.equal (conn:close (), true)
end)

test ("authenticating on a connection that is over fails at once", function ()
   local down, closed = t.session (accept_all), t.session (accept_all)
   down:shutdown ()
   t.equal (closed:close (), true)
   local failed = vortex.connection.new (t.new_ctx (), "127.0.0.1", "none")
   for _, conn in ipairs { down, closed, failed } do
      check_status (1, authenticate (conn, sasl.PLAIN))
      check_not_authenticated (conn)
   end
end)

test ("a session that ends meanwhile fails the authentication", function ()
   local conn = t.session (function (ctx)
      accept_all (ctx, function (peer)
         peer:shutdown ()
         return true
      end)
   end)
   check_status (1, authenticate (conn, sasl.PLAIN))
   check_not_authenticated (conn)
end)

test ("authenticating never waits longer than the limit", function ()
   t.script_prints ("1 string", [[
      local vortex, sasl = require "vortex", require "vortex.sasl"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      sasl.accept_mech (ctx, "plain", function () vortex.sleep (20000000) return true end)
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      local status, message = sasl.start_auth (conn, sasl.PLAIN, "bob", "secret")
      print (status .. " " .. type (message))
      os.exit (0)
   ]], "VORTEX_SYNC_TIMEOUT=300000")
end)

test ("require_tls hides what sends a password in clear, and can be taken back", function ()
   local conn, listener, client, server = t.session (function (ctx)
      accept_all (ctx)
      sasl.require_tls (ctx, true)
   end)
   check_status (1, authenticate (conn, sasl.PLAIN))
   t.ok (not table.concat (conn:profiles (), " "):find (sasl.PLAIN, 1, true))
   check_status (2, authenticate (conn, sasl.SCRAM_SHA_256))
   sasl.require_tls (server, false)
   check_status (2, authenticate (t.connect (client, listener), sasl.PLAIN))
end)

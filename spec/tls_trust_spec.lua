-- Whom vortex.tls trusts: certificates of servers and clients (contract 8).

local vortex = require "vortex"
local tls = require "vortex.tls"
local sasl = require "vortex.sasl"
local t = require "harness"
local session = require "tls_session"
local test = t.test

local path, pem = session.path, session.pem

-- a session to a server with the certificate `name`, whose client trusts as told
local function trusting (name, trust)
   local conn, listener, client, server = session.open (name)
   tls.set_trust (client, trust)
   return conn, listener, client, server
end

local function check_trusted (conn, server_name)
   local secured, status, message = tls.start_tls (conn, server_name)
   session.check_secured (secured, status, message)
   t.equal (tls.verify_cert (secured), true)
   return secured
end

test ("a certificate of a trusted authority is taken, given as file and as text", function ()
   for _, ca in ipairs { path ("ca.crt"), pem ("ca.crt") } do
      check_trusted ((trusting ("server", { ca = ca, verify = true })))
      check_trusted ((trusting ("server", { ca = ca })))
      check_trusted ((trusting ("server", { ca = ca, verify = true })), "localhost")
   end
end)

test ("a certificate that signed itself is taken when it is trusted itself", function ()
   check_trusted ((trusting ("a.example", { ca = path ("a.example.crt"), verify = true })), "a.example")
end)

for _, case in ipairs {
   { "of an authority that is not trusted", "localhost", "ca.crt" },
   { "that signed itself and is not trusted", "a.example", "b.example.crt", "a.example" },
   { "of another name", "server", "ca.crt", "a.example" },
   { "that is over", "expired", "expired.crt" }
} do
   test ("a certificate " .. case[1] .. " is not taken, and the session is over", function ()
      local conn = trusting (case[2], { ca = path (case[3]), verify = true })
      session.check_broken (conn, tls.start_tls (conn, case[4]))
      -- the same in the background
      conn = trusting (case[2], { ca = path (case[3]), verify = true })
      tls.start_tls (conn, case[4], t.expect_calls (1, function (left, status, message)
         session.check_broken (conn, left, status, message)
      end, "tls_notify"))
   end)

   test ("a certificate " .. case[1] .. " is taken by who verifies nothing, and verify_cert tells", function ()
      local conn = trusting (case[2], { ca = path (case[3]), verify = false })
      local secured, status, message = tls.start_tls (conn, case[4])
      session.check_secured (secured, status, message)
      t.ok (tls.verify_cert (secured) ~= true)
   end)
end

test ("a server that failed to convince one client serves the next", function ()
   local conn, listener, client, server = trusting ("localhost", { ca = path ("ca.crt") })
   session.check_broken (conn, tls.start_tls (conn))
   session.accept (server, "server")
   check_trusted (t.connect (client, listener))
end)

test ("the system's authorities do not know the test's", function ()
   local conn = trusting ("server", { ca = "system", verify = true })
   session.check_broken (conn, tls.start_tls (conn))
end)

test ("trust that cannot be read is misuse and changes nothing", function ()
   local conn, _, client = trusting ("server", { ca = path ("ca.crt") })
   for _, ca in ipairs { path ("none.crt"), path ("client.key"), "no file and no certificate", "" } do
      local ok, value = pcall (tls.set_trust, client, { ca = ca })
      t.ok (not ok and type (value) == "string" or not value, "trust in " .. ca)
   end
   check_trusted (conn)
end)

-- what a script of its own, which knows nothing of trust, prints when it secures two sessions
local function old_script (environment)
   local _, text = t.run_script (([[
      local vortex, tls = require "vortex", require "vortex.tls"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      local certificates = %q
      tls.accept_tls (ctx, nil, nil, function () return certificates .. "localhost.crt" end, nil,
         function () return certificates .. "localhost.key" end, nil)
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      for _ = 1, 2 do
         local _, status = tls.start_tls (vortex.connection.new (ctx, "127.0.0.1", listener.port))
         print ("status " .. status)
      end
   ]]):format (path ("")), environment)
   return text
end

test ("old scripts verify nothing, and are told so once", function ()
   local text = old_script ()
   t.equal (select (2, text:gsub ("status 2\n", "")), 2, text)
   t.equal (select (2, text:lower ():gsub ("verif", "")) > 0, true, text)
   local lines = 0
   for line in text:gmatch ("[^\n]+") do
      if not line:find ("^status") then
         lines = lines + 1
      end
   end
   t.ok (lines >= 1 and lines <= 3, "one short notice: " .. text)
end)

test ("LUAVORTEX_TLS_VERIFY=system turns verification on for old scripts", function ()
   local text = old_script ("LUAVORTEX_TLS_VERIFY=system")
   t.equal (select (2, text:gsub ("status 1\n", "")), 2, text)
end)

-- -------------------------------------------------------------- client certificates

local WHO = "urn:example:luavortex:who"

-- a listener that asks its clients for certificates of the authority, and the queue of the secured ends it saw
local function asking (setup)
   local peers = vortex.asyncqueue.new ()
   local conn, listener, client, server = session.open ("server", function (ctx)
      tls.set_trust (ctx, { ca = path ("ca.crt"), verify = true })
      vortex.register_profile (ctx, WHO, nil, nil, function (_, peer)
         peers:push (peer)
         return true
      end)
      if setup then
         setup (ctx)
      end
   end)
   tls.set_trust (client, { ca = path ("ca.crt"), verify = true })
   return conn, peers, client, server, listener
end

test ("a client shows its certificate, given as files and as texts", function ()
   for _, identity in ipairs {
      { path ("client.crt"), path ("client.key") }, { pem ("client.crt"), pem ("client.key") }
   } do
      local conn, peers, client = asking ()
      tls.set_identity (client, identity[1], identity[2])
      local secured = check_trusted (conn)
      t.ok (secured:open_channel (0, WHO))
      local peer = t.pop (peers)
      t.equal (tls.verify_cert (peer), true)
      t.is_type (tls.peer_digest (peer, "sha256"), "string")
   end
end)

test ("a client without a certificate is not taken for one that has one", function ()
   local conn, peers = asking ()
   local secured, status = tls.start_tls (conn)
   if status == vortex.status_OK then
      local channel = secured:open_channel (0, WHO)
      if channel then
         t.ok (tls.verify_cert (t.pop (peers)) ~= true)
      end
   end
end)

test ("a client's certificate that nobody signed is not trusted", function ()
   local conn, peers, client = asking ()
   tls.set_identity (client, path ("a.example.crt"), path ("a.example.key"))
   local secured, status = tls.start_tls (conn)
   -- TLS 1.3 lets the client go on until it hears of the refusal
   if status == vortex.status_OK and secured:open_channel (0, WHO) then
      t.ok (tls.verify_cert (t.pop (peers)) ~= true)
   end
end)

test ("an identity that cannot be read is refused where it is set", function ()
   local client = t.new_ctx ()
   for _, identity in ipairs {
      { path ("none.crt"), path ("client.key") }, { path ("client.crt"), path ("none.key") },
      { path ("client.key"), path ("client.crt") }, { path ("client.crt"), path ("server.key") }, { "", "" }
   } do
      local ok, value = pcall (tls.set_identity, client, identity[1], identity[2])
      t.ok (not ok and type (value) == "string" or not value)
   end
end)

test ("SASL EXTERNAL stands on the client's certificate, PLAIN on a secured session", function ()
   local seen = vortex.asyncqueue.new ()
   local conn, _, client = asking (function (ctx)
      sasl.require_tls (ctx, true)
      sasl.accept_mech (ctx, "external", function (peer, props)
         seen:push (tls.verify_cert (peer))
         return props.mech == sasl.EXTERNAL
      end)
      sasl.accept_mech (ctx, "plain", function (_, props) return props.password == "secret" end)
   end)
   tls.set_identity (client, path ("client.crt"), path ("client.key"))
   t.equal (sasl.start_auth (conn, sasl.PLAIN, "bob", "secret"), vortex.status_ERROR)
   local secured = check_trusted (conn)
   local status, message = sasl.start_auth (secured, sasl.EXTERNAL, "bob")
   t.equal (status, vortex.status_OK, tostring (message))
   t.equal (t.pop (seen), true)
   local other = asking (function (ctx)
      sasl.require_tls (ctx, true)
      sasl.accept_mech (ctx, "plain", function (_, props) return props.password == "secret" end)
   end)
   local secured_too, ok, why = tls.start_tls (other)
   if ok == vortex.status_OK then
      status, message = sasl.start_auth (secured_too, sasl.PLAIN, "bob", "secret")
      t.equal (status, vortex.status_OK, tostring (message))
   else
      t.is_type (why, "string", "a listener may insist on certificates")
   end
end)

-- Handlers of vortex.sasl and vortex.tls that do to the connection what nobody expects of them, and what becomes of
-- whoever waits for their word: nobody is let in by accident, and nobody waits for ever.

local vortex = require "vortex"
local sasl, tls = require "vortex.sasl", require "vortex.tls"
local t = require "harness"
local secured = require "tls_session"
local test = t.test

local SECOND = 1000000

-- bob is accepted, after `act (conn, ctx)`
local function bob_after (act)
   local ctx
   local conn = t.session (function (server)
      ctx = server
      server:set_limits { authentication_timeout = SECOND, tls_timeout = SECOND }
      t.ok (sasl.accept_mech (server, "plain", function (peer)
         act (peer, ctx)
         return true
      end))
      secured.accept (server, "localhost", function (peer)
         act (peer, ctx)
         return true
      end)
   end)
   return conn, ctx
end

local ACTS = {
   shutdown = function (peer) peer:shutdown () end,
   close = function (peer) peer:close () end,
   exit = function (_, ctx) ctx:exit () end,
   collect = function () collectgarbage () collectgarbage () end,
   start_tls = function (peer) tls.start_tls (peer) end,
   start_auth = function (peer) sasl.start_auth (peer, "plain", "bob", "secret") end,
   ["wait for ever"] = function () vortex.asyncqueue.new ():pop () end
}

for name, act in pairs (ACTS) do
   test ("an auth handler may " .. name .. ": there is a word for whoever waits, and it is the truth", function ()
      local conn = bob_after (act)
      local status, message = sasl.start_auth (conn, "plain", "bob", "secret")
      t.is_type (message, "string", "the message")
      t.equal (sasl.is_authenticated (conn), status == vortex.status_OK)
      if name == "collect" then
         t.equal (status, vortex.status_OK)
      elseif name == "wait for ever" then
         t.equal (status, vortex.status_ERROR)
         t.still_works (conn)
      end
   end)

   test ("a TLS accept handler may " .. name .. ": start_tls ends, and says what became of the session", function ()
      local conn = bob_after (act)
      local new, status, message = tls.start_tls (conn)
      t.is_type (message, "string", "the message")
      t.equal (tls.is_enabled (new), status == vortex.status_OK)
      t.equal (sasl.is_authenticated (new), false)
      if name == "collect" then
         t.equal (status, vortex.status_OK)
      elseif name == "wait for ever" then
         t.equal (status, vortex.status_ERROR)
         t.equal (new, conn)
         t.still_works (conn)
      end
   end)
end

test ("nobody who waits for a word outlives the ctx that waits", function ()
   for _, begin in ipairs {
      function (conn, notify) sasl.start_auth (conn, "plain", "bob", "secret", nil, nil, notify) end,
      function (conn, notify) tls.start_tls (conn, nil, notify) end
   } do
      local asked = vortex.asyncqueue.new ()
      local conn, listener, client = t.session (function (server)
         t.ok (sasl.accept_mech (server, "plain", function () asked:push (true) vortex.sleep (SECOND / 10) return true end))
         secured.accept (server, "localhost", function () asked:push (true) vortex.sleep (SECOND / 10) return true end)
      end)
      begin (conn, function () end)
      t.pop (asked, "the question")
      client:exit ()
      conn = nil
      collectgarbage ()
      collectgarbage ()
      vortex.sleep (SECOND / 5)
      t.equal (listener:is_ok (), true)
   end
end)

-- A listener that talks to nobody before TLS and a password, and its client, in one script.
--
-- The certificates are those of the tests; make your own for anything else.
--
-- Run it with:  luavortex secure.lua
--
-- expect: client: in the clear: refused (authenticate yourself first)
-- expect: listener: TLS asked for localhost
-- expect: client: TLSv1.3 with localhost
-- expect: listener: bob wants in
-- expect: client: wrong password: the peer refused: 535 authentication failure
-- expect: client: I am bob
-- expect: client: counted 3

local vortex = require "vortex"

local COUNTER = "urn:example:counter"
local here = (arg and arg[0] or ""):match ("^(.*)/") or "."
local certificates = here .. "/../spec/certificates/"

-- The listener ----------------------------------------------------------------------------------------------------

local listener_ctx = vortex.ctx.new ()
assert (listener_ctx:init ())

-- TLS: certificate and key by the name that the client asks for. The handlers may wait, for a database say.
vortex.tls.accept_tls (listener_ctx, function (_, server_name)
   print ("listener: TLS asked for " .. server_name)
   return server_name == "localhost"
end, nil, function ()
   return certificates .. "localhost.crt"
end, nil, function ()
   return certificates .. "localhost.key"
end)

-- Passwords: PLAIN shows them, so it waits for TLS; with SCRAM they never cross the wire.
local passwords = { bob = "secret" }
vortex.sasl.require_tls (listener_ctx, true)
vortex.sasl.accept_mech (listener_ctx, "scram-sha-256", function (_, auth_props)
   print ("listener: " .. auth_props.auth_id .. " wants in")
   return passwords[auth_props.auth_id]
end)

-- The service is there for those who are known.
local count = 0
vortex.register_profile (listener_ctx, COUNTER, function (_, channel, frame)
   count = count + 1
   channel:send_rpy (tostring (count), -1, frame.msg_no)
end, nil, function (_, conn)
   if vortex.tls.is_enabled (conn) and vortex.sasl.peer_identity (conn) then
      return true
   end
   return false, 530, "authenticate yourself first"
end)
local listener = vortex.create_listener (listener_ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)

-- The client ------------------------------------------------------------------------------------------------------

local ctx = vortex.ctx.new ()
assert (ctx:init ())
-- Whose certificates are good: here that of the listener, elsewhere { ca = "system" } or the file of your own CA.
assert (vortex.tls.set_trust (ctx, { ca = certificates .. "localhost.crt" }))

local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port, "localhost")
assert (conn:is_ok (), conn.error_msg)
local refused, why = conn:open_channel (0, COUNTER)
assert (not refused)
print ("client: in the clear: refused (" .. why .. ")")

local status, message
conn, status, message = vortex.tls.start_tls (conn, "localhost")
assert (status == vortex.status_OK, message)
local info = assert (vortex.tls.info (conn))
print ("client: " .. info.version .. " with " .. info.peer_name)

status, message = vortex.sasl.start_auth (conn, vortex.sasl.SCRAM_SHA_256, "bob", "wrong")
assert (status == vortex.status_ERROR)
print ("client: wrong password: " .. message)
status, message = vortex.sasl.start_auth (conn, vortex.sasl.SCRAM_SHA_256, "bob", "secret")
assert (status == vortex.status_OK, message)
print ("client: I am " .. vortex.sasl.auth_id (conn))

local channel = assert (conn:open_channel (0, COUNTER))
for _ = 1, 3 do
   local answer = assert (channel:request ("count"))
   print ("client: counted " .. answer.payload)
end
conn:close ()
ctx:exit ()
listener_ctx:exit ()

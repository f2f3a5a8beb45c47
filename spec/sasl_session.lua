-- What the specs of SASL share: a listener that accepts bob, and checks.

local sasl = require "vortex.sasl"
local t = require "harness"

local unpack = table.unpack or unpack

local session = {
   -- the mechanisms whose handler is asked for the password
   CHALLENGES = { "CRAM_MD5", "DIGEST_MD5", "SCRAM_SHA_1", "SCRAM_SHA_256" }
}

-- The handler of the documentation, with the mechanisms that came later
function session.documented_handler (_, props)
   if props.mech == sasl.PLAIN then
      return props.auth_id == "bob" and props.password == "secret"
   elseif props.mech == sasl.ANONYMOUS then
      return props.anonymous_token == "test@example.org"
   elseif props.mech == sasl.EXTERNAL then
      return true
   end
   if props.auth_id == "bob" then
      props.return_password = true
      return "secret"
   end
   return false
end

local MECHANISMS = { "plain", "anonymous", "external", "cram-md5", "digest-md5", "scram-sha-1", "scram-sha-256" }

-- Every mechanism, by its short name.
function session.accept_all (ctx, handler, data)
   for _, name in ipairs (MECHANISMS) do
      t.equal (sasl.accept_mech (ctx, name, handler or session.documented_handler, data), true, name)
   end
end

-- the arguments of start_auth behind the connection, for bob and a password
local function credentials (mech, password)
   if mech == sasl.ANONYMOUS then
      return { mech, "test@example.org" }
   elseif mech == sasl.EXTERNAL then
      return { mech, "bob" }
   end
   return { mech, "bob", password or "secret", nil, mech == sasl.DIGEST_MD5 and "example.org" or nil, n = 5 }
end

-- Authenticates bob; the password is the right one unless another is given.
function session.authenticate (conn, mech, password)
   local given = credentials (mech, password)
   ---@diagnostic disable-next-line: missing-parameter -- they are in the table
   return sasl.start_auth (conn, unpack (given, 1, given.n or #given))
end

function session.check_authenticated (conn, mech, id)
   t.equal (sasl.is_authenticated (conn), true)
   t.equal (sasl.method_used (conn), mech)
   t.equal (sasl.auth_id (conn), id)
end

function session.check_not_authenticated (conn)
   t.equal (sasl.is_authenticated (conn), false)
   t.equal (sasl.method_used (conn), nil)
   t.equal (sasl.auth_id (conn), nil)
end

function session.check_status (wanted, status, message)
   t.equal (status, wanted, tostring (message))
   t.ok (#t.is_type (message, "string", "the message") > 0)
end

return session

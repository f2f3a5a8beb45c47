-- The handlers of vortex.sasl: each_handler.lua says what is tested for every one, the
-- rows of return values are contract 7.

local vortex = require "vortex"
local sasl = require "vortex.sasl"
local t = require "harness"
local describe = require "each_handler"
local session = require "sasl_session"
local test = t.test

local CHALLENGES, accept_all, authenticate = session.CHALLENGES, session.accept_all, session.authenticate
local check_status, check_not_authenticated = session.check_status, session.check_not_authenticated

local function notify (result, password, prepare, ends)
   describe {
      name = "SASL status (" .. result .. ")",
      reported = "sasl",
      ends = ends,
      prepare = function (e)
         accept_all (e.server)
         if prepare then
            prepare (e)
         end
      end,
      cause = function (e, handler, data)
         t.equal (sasl.start_auth (e.conn, sasl.PLAIN, "bob", password, nil, nil, handler, data), nil)
      end,
      arguments = function (e, data)
         return {
            n = 4, e.conn, result == "accepted" and 2 or 1, function (message) return type (message) == "string" end, data
         }
      end
   }
end

notify ("accepted", "secret")
notify ("refused", "wrong")
notify ("on a dead connection", "secret", function (e) e.conn:shutdown () end, true)

local function returning (value, returns_password)
   return function (_, props)
      props.return_password = returns_password
      return value
   end
end

-- a group for a mechanism whose handler answers with `answer` as is usual
local function auth (mech, answer, returns, check_props)
   describe {
      name = "SASL auth (" .. mech:match ("[^/]+$") .. ")",
      reported = "sasl",
      on_server = true,
      cause = function (e, handler, data)
         t.equal (sasl.accept_mech (e.server, mech, handler, data), true)
         local status, message = authenticate (e.conn, mech)
         check_status (status == 2 and 2 or 1, status, message)
         t.equal (sasl.is_authenticated (e.conn), status == 2)
         return status == 2 and "accepted" or "refused"
      end,
      arguments = function (e, data)
         return { n = 3, e.peer, function (props)
            return type (props) == "table" and props.mech == mech and check_props (props)
         end, data }
      end,
      answer = function () return answer end,
      outcome = "accepted",
      returns = returns,
      after_error = "refused"
   }
end

-- B14: only true accepts; a text is a password only where one was asked for
local ONLY_TRUE = {
   { "accepted", returning (true) }, { "refused", returning (false) }, { "refused", function () end },
   { "refused", returning (nil) }, { "refused", returning (1) }, { "refused", returning ("true") },
   { "refused", returning ("secret") }, { "refused", returning ({}) }, { "refused", returning (12345) }
}

local function and_also (list, more)
   local all = {}
   for _, part in ipairs { list, more } do
      for _, case in ipairs (part) do
         all[#all + 1] = case
      end
   end
   return all
end

auth (sasl.PLAIN, true, and_also (ONLY_TRUE, {
   { "accepted", returning ("secret", true) }, { "refused", returning ("wrong", true) }, { "refused", returning ("", true) },
   { "refused", returning ("secre", true) }, { "accepted", returning (true, true) }, { "refused", returning (false, true) }
}), function (props)
   return props.auth_id == "bob" and props.password == "secret" and props.anonymous_token == nil
end)

auth (sasl.ANONYMOUS, true, and_also (ONLY_TRUE, { { "refused", returning ("test@example.org", true) } }), function (props)
   return props.anonymous_token == "test@example.org" and props.password == nil
end)

auth (sasl.EXTERNAL, true, and_also (ONLY_TRUE, { { "refused", returning ("secret", true) } }), function (props)
   return props.password == nil and (props.authorization_id == "bob" or props.auth_id == "bob")
end)

for _, name in ipairs (CHALLENGES) do
   -- D20: return_password may be set, as documented, or not
   local keys = name:find ("SCRAM", 1, true)
   auth (sasl[name], "secret", {
      { "accepted", returning ("secret") }, { "accepted", returning ("secret", true) }, { "refused", returning ("wrong") },
      { "refused", returning ("wrong", true) }, { "refused", returning ("") }, { "refused", returning (true) },
      { "refused", returning (true, true) }, { "refused", returning (false) }, { "refused", returning (nil) },
      { "refused", function () end }, { "refused", returning (keys and 12345 or {}) }
   }, function (props)
      return props.auth_id == "bob" and props.password == nil
   end)
end

test ("stored keys that are none are reported, and let nobody in", function ()
   local errors, given = t.handler_errors (), nil
   local conn = t.session (function (ctx)
      sasl.accept_mech (ctx, "scram-sha-256", function () return given end)
   end)
   for index, keys in ipairs {
      {}, { salt = "salt", iterations = 4096, stored_key = ("k"):rep (32) },
      { salt = "salt", iterations = 0, stored_key = ("k"):rep (32), server_key = ("k"):rep (32) },
      { salt = {}, iterations = 4096, stored_key = ("k"):rep (32), server_key = ("k"):rep (32) }
   } do
      given = keys
      check_status (1, authenticate (conn, sasl.SCRAM_SHA_256))
      t.wait_until (function () return errors[index] end, "the report")
      t.ok (errors[index].message:find ("stored keys", 1, true), errors[index].message)
   end
end)

test ("D20: return_password makes PLAIN compare the password that is returned", function ()
   local conn = t.session (function (ctx)
      sasl.accept_mech (ctx, "plain", function (_, props)
         props.return_password = true
         return "secret"
      end)
   end)
   check_status (1, authenticate (conn, sasl.PLAIN, "wrong"))
   check_status (1, authenticate (conn, sasl.PLAIN, "secret and more"))
   check_status (2, authenticate (conn, sasl.PLAIN))
end)

test ("B14: a text or a number returned for PLAIN, ANONYMOUS or EXTERNAL accepts nobody", function ()
   for _, name in ipairs { "PLAIN", "ANONYMOUS", "EXTERNAL" } do
      for _, value in ipairs { "secret", "true", "bob", 1, 0 } do
         ---@diagnostic disable-next-line: return-type-mismatch -- it is what the test is about
         local conn = t.session (function (ctx) sasl.accept_mech (ctx, sasl[name], function () return value end) end)
         check_status (1, authenticate (conn, sasl[name]))
         check_not_authenticated (conn)
      end
   end
end)

test ("a connection that ends during an authentication tells the notify handler, and gives it the connection", function ()
   -- at different moments, among them those when keys are computed in the background
   for moment = 0, 30 do
      local outcome = vortex.asyncqueue.new ()
      local conn = t.session (function (ctx)
         accept_all (ctx)
      end)
      t.equal (sasl.start_auth (conn, sasl.SCRAM_SHA_256, "bob", "secret", nil, nil, function (peer, status)
         outcome:push { peer, status }
      end), nil)
      vortex.sleep (moment * 100)
      conn:shutdown ()
      local given = t.pop (outcome, "the outcome")
      t.equal (given[1], conn)
      t.ok (given[2] == vortex.status_ERROR or moment > 0, "authenticated before anything was sent")
   end
end)

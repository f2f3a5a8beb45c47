-- The handlers of vortex.tls: each_handler.lua says what is tested for every one, the
-- rows of return values are contract 8 and 10.

local vortex = require "vortex"
local tls = require "vortex.tls"
local t = require "harness"
local describe = require "each_handler"
local session = require "tls_session"
local test = t.test

local path, pem = session.path, session.pem

local function is_text (value)
   return type (value) == "string" and value ~= ""
end

local function returning (...)
   local values = t.pack (...)
   return function ()
      return (table.unpack or unpack) (values, 1, values.n)
   end
end

-- ------------------------------------------------------------------- status

describe {
   name = "TLS status (secured)",
   reported = "tls",
   ends = true,
   prepare = function (e) session.accept (e.server, "localhost") end,
   cause = function (e, handler, data)
      t.ok (not tls.start_tls (e.conn, nil, handler, data))
   end,
   arguments = function (_, data)
      return { n = 4, function (conn) return conn:is_ok () and tls.is_enabled (conn) end, vortex.status_OK, is_text, data }
   end
}

describe {
   name = "TLS status (refused)",
   reported = "tls",
   cause = function (e, handler, data)
      t.ok (not tls.start_tls (e.conn, nil, handler, data))
   end,
   arguments = function (_, data)
      return { n = 4, function (conn) return conn:is_ok () and not tls.is_enabled (conn) end, vortex.status_ERROR, is_text, data }
   end
}

describe {
   name = "TLS status (on a dead connection)",
   reported = "tls",
   ends = true,
   cause = function (e, handler, data)
      e.conn:shutdown ()
      t.ok (not tls.start_tls (e.conn, nil, handler, data))
   end,
   arguments = function (_, data)
      return { n = 4, function (conn) return conn == nil or not conn:is_ok () end, vortex.status_ERROR, is_text, data }
   end
}

-- ------------------------------------------------- accept, certificate, key

-- what came of a try to secure the session, having looked whether the rest is right
local function outcome (e, conn, status, message)
   if status == vortex.status_OK then
      session.check_secured (conn, status, message)
      return "secured"
   end
   session.check_refused (e.conn, conn, status, message)
   return "refused"
end

-- a group for one of the three handlers; `accept (ctx, handler, data)` sets it
local function describe_asked (name, accept, answer, returns)
   describe {
      name = "TLS " .. name,
      reported = "tls",
      ends = true, -- the old connection does
      cause = function (e, handler, data)
         t.equal (accept (e.server, handler, data), true)
         return outcome (e, tls.start_tls (e.conn, "localhost"))
      end,
      arguments = function (e, data)
         return { n = 3, e.peer, "localhost", data }
      end,
      answer = answer,
      outcome = "secured",
      returns = returns,
      complains = true,
      after_error = "refused"
   }
end

local localhost_crt, localhost_key = returning (path ("localhost.crt")), returning (path ("localhost.key"))

describe_asked ("accept", function (ctx, handler, data)
   return tls.accept_tls (ctx, handler, data, localhost_crt, nil, localhost_key, nil)
end, returning (true), {
   { "secured", returning (true) }, { "secured", returning (true, false) },
   { "refused", returning (false) }, { "refused", returning (nil) }, { "refused", function () end },
   { "refused", returning (1) }, { "refused", returning ("true") }, { "refused", returning ({}) }
})

-- B5: an error in one of these is reported and refuses; its text is no file name
describe_asked ("certificate", function (ctx, handler, data)
   return tls.accept_tls (ctx, nil, nil, handler, data, localhost_key, nil)
end, localhost_crt, {
   { "secured", localhost_crt }, { "secured", returning (pem ("localhost.crt")) },
   { "refused", returning (nil) }, { "refused", function () end }, { "refused", returning (false) },
   { "refused", returning (true) }, { "refused", returning ({}) }, { "refused", returning (17) },
   { "refused", returning ("") }, { "refused", returning (path ("no-such-file.crt")) },
   { "refused", returning (path ("")) }, { "refused", localhost_key },
   { "refused", returning ("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n") }
})

describe_asked ("key", function (ctx, handler, data)
   return tls.accept_tls (ctx, nil, nil, localhost_crt, nil, handler, data)
end, localhost_key, {
   { "secured", localhost_key }, { "secured", returning (pem ("localhost.key")) },
   { "refused", returning (nil) }, { "refused", function () end }, { "refused", returning (false) },
   { "refused", returning (true) }, { "refused", returning ({}) }, { "refused", returning (17) },
   { "refused", returning ("") }, { "refused", returning (path ("no-such-file.key")) },
   { "refused", localhost_crt }, { "refused", returning (path ("a.example.key")) }
})

test ("B5: an error in a certificate or key handler is reported and refuses with 421", function ()
   local errors = t.handler_errors ()
   local function break_down ()
      error (path ("localhost.crt"), 0)
   end
   for index, handlers in ipairs { { break_down, localhost_key }, { localhost_crt, break_down } } do
      local conn = t.session (function (ctx) tls.accept_tls (ctx, nil, nil, handlers[1], nil, handlers[2], nil) end)
      session.check_refused (conn, tls.start_tls (conn))
      t.equal (#errors, index)
      t.equal (conn:pop_channel_error ()[1], 421)
   end
end)

test ("accept, certificate and key are asked in this order, and only as far as needed", function ()
   local trace, accepts, certificate = {}, true, path ("localhost.crt")
   local conn, listener, client = t.session (function (ctx)
      tls.accept_tls (ctx, function (_, _, data)
         trace[#trace + 1] = data
         return accepts
      end, "accept", function (_, _, data)
         trace[#trace + 1] = data
         return certificate
      end, "certificate", function (_, _, data)
         trace[#trace + 1] = data
         return path ("localhost.key")
      end, "key")
   end)
   accepts = false
   session.check_refused (conn, tls.start_tls (conn))
   t.equal (table.concat (trace, " "), "accept")
   accepts, certificate, trace = true, nil, {}
   session.check_refused (conn, tls.start_tls (conn))
   t.equal (table.concat (trace, " ", 1, 2), "accept certificate")
   certificate, trace = path ("localhost.crt"), {}
   local secured, status, message = tls.start_tls (t.connect (client, listener))
   session.check_secured (secured, status, message)
   t.equal (table.concat (trace, " "), "accept certificate key")
end)

test ("each server name can have a certificate of its own", function ()
   local conn, listener, client = t.session (function (ctx)
      tls.accept_tls (ctx, function (_, name) return name == "a.example" or name == "b.example" end, nil,
         function (_, name) return path (name .. ".crt") end, nil, function (_, name) return path (name .. ".key") end, nil)
   end)
   session.check_refused (conn, tls.start_tls (conn, "c.example"))
   local digests = {}
   for _, name in ipairs { "a.example", "b.example" } do
      tls.set_trust (client, { ca = path (name .. ".crt"), verify = true })
      local secured, status, message = tls.start_tls (t.connect (client, listener), name)
      session.check_secured (secured, status, message)
      digests[#digests + 1] = tls.peer_digest (secured, "sha256")
   end
   t.ok (digests[1] ~= digests[2])
end)

test ("listener: accept_tls takes its seven arguments and file names of the current folder", function ()
   -- the specs may be started from anywhere; a file name without a folder is looked for where the program was
   local name = "luavortex-spec-" .. tostring ({}):match ("%x+$")
   local function put (file, text)
      local out = io.open (file, "w")
      if not out then
         t.skip ("the current folder cannot be written")
      end
      out:write (text)
      out:close ()
   end
   put (name .. ".crt", pem ("localhost.crt"))
   put (name .. ".key", pem ("localhost.key"))
   local conn = t.session (function (ctx)
      t.equal (tls.accept_tls (ctx, function () return true end, nil, returning (name .. ".crt"), nil,
         returning (name .. ".key"), nil), true)
   end)
   local secured, status, message = tls.start_tls (conn)
   os.remove (name .. ".crt")
   os.remove (name .. ".key")
   session.check_secured (secured, status, message)
end)

test ("TLS handlers of several sessions that wait do not disturb each other", function ()
   local gate, results = vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   local _, listener, client = t.session (function (ctx)
      session.accept (ctx, "localhost", function () return gate:pop () end)
   end)
   for _ = 1, 5 do
      vortex.spawn (function ()
         local secured, status = tls.start_tls (t.connect (client, listener))
         results:push (status == vortex.status_OK and tls.is_enabled (secured))
      end)
   end
   vortex.yield (20000)
   t.equal (results:items (), 0)
   for _ = 1, 5 do
      gate:push (true)
   end
   for _ = 1, 5 do
      t.equal (t.pop (results), true)
   end
end)

test ("no certificate is asked for once the session has ended while the accept handler waited", function ()
   local asked, ended, done = 0, vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      tls.accept_tls (ctx, function (peer)
         peer:set_on_close (function () ended:push (true) end)
         peer:shutdown ()
         t.pop (ended, "the end of the session")
         vortex.spawn (function () done:push (true) end)
         return true
      end, nil, function ()
         asked = asked + 1
         return path ("localhost.crt")
      end)
   end)
   local outcome = vortex.asyncqueue.new ()
   tls.start_tls (conn, nil, function (_, status) outcome:push (status) end)
   t.pop (done, "the end of the accept handler")
   t.equal (t.pop (outcome, "the outcome for the client"), vortex.status_ERROR)
   t.equal (asked, 0)
end)

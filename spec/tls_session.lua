-- What the specs of TLS share: certificates (see certificates/README.md), sessions that
-- can be secured, and checks.

local vortex = require "vortex"
local tls = require "vortex.tls"
local t = require "harness"

local session = {}

local folder = (debug.getinfo (1, "S").source:match ("^@(.*[/\\])") or "./") .. "certificates/"

-- The file of a certificate ("localhost.crt") or key ("localhost.key").
function session.path (name)
   return folder .. name
end

-- Its text.
function session.pem (name)
   local file = assert (io.open (folder .. name))
   local text = file:read ("*a")
   file:close ()
   return text
end

-- Lets a listener's ctx do TLS with the certificate of this name.
function session.accept (ctx, name, handler, data)
   t.equal (tls.accept_tls (ctx, handler, data, function () return session.path (name .. ".crt") end, nil,
      function () return session.path (name .. ".key") end, nil), true)
end

-- A session whose listener has the certificate of this name, "localhost" if none is given; not secured yet. Returns
-- the connection, the listener and both ctx.
function session.open (name, setup)
   return t.session (function (ctx)
      session.accept (ctx, name or "localhost")
      if setup then
         setup (ctx)
      end
   end)
end

-- start_tls gave these: the session is secured, and works. Returns the new connection.
function session.check_secured (conn, status, message)
   t.equal (status, vortex.status_OK, tostring (message))
   t.ok (#t.is_type (message, "string", "the message") > 0)
   t.equal (vortex.connection.check (conn), true)
   t.equal (conn:is_ok (), true)
   t.equal (tls.is_enabled (conn), true)
   t.equal (conn:is_tls (), true)
   t.still_works (conn)
   return conn
end

-- start_tls gave these: the peer or this side refused before anything was changed; the session works as before.
function session.check_refused (old, conn, status, message)
   t.equal (status, vortex.status_ERROR, tostring (message))
   t.ok (#t.is_type (message, "string", "the message") > 0)
   for _, one in ipairs { old, conn } do
      t.equal (one:is_ok (), true)
      t.equal (tls.is_enabled (one), false)
   end
   t.equal (vortex.connection.check (conn), true)
   t.still_works (conn)
   t.still_works (old)
end

-- start_tls gave these: the handshake failed, so the session is over; its objects stay safe.
function session.check_broken (old, conn, status, message)
   t.equal (status, vortex.status_ERROR, tostring (message))
   t.ok (#t.is_type (message, "string", "the message") > 0)
   for _, one in ipairs { old, conn } do
      t.wait_until (function () return not one:is_ok () end, "the end of the session")
      t.equal (tls.is_enabled (one), false)
      t.ok (one.status ~= vortex.status_OK)
      t.failure (nil, one:open_channel (0, t.ECHO))
   end
end

return session

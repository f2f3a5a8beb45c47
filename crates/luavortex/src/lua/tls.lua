-- vortex.tls: encryption of sessions. After TLS a session begins anew, and a new connection stands for it.
local raw, lib = ...

local scheduler, checked = lib.scheduler, lib.checked
local sessions, contexts = lib.sessions, lib.contexts
local dispatch = scheduler.dispatch

local tls = {}
lib.tls = tls

local OK, FAILED = raw.constants.status_OK, raw.constants.status_ERROR

tls.init = lib.try (raw.tls_init)
tls.set_trust = lib.try (raw.tls_set_trust)
tls.set_identity = lib.try (raw.tls_set_identity)
tls.verify_cert = lib.try (raw.tls_verify_cert)
tls.peer_digest = lib.call (raw.tls_peer_digest)
tls.info = lib.call (raw.tls_info)

function tls.is_enabled (object)
  local _, is_tls = checked (2, raw.is_tls (object, "is_enabled"))
  return is_tls
end

-- ---------------------------------------------------------------------------------------------------------------
-- This side asks for TLS

-- The operation of a session is over. `object` is what the script goes on with.
local function started (operation, object, status, message)
  if operation.notify then
    scheduler.run ("TLS status", nil, nil, operation.notify, object, status, message, operation.data)
  else
    scheduler.complete (operation, object, status, message)
  end
end

-- Nothing was begun: `object` is as it was.
local function not_started (object, notify, data, message)
  if notify then
    scheduler.run_later ("TLS status", nil, nil, notify, object, FAILED, message, data)
    return nil
  end
  return object, FAILED, message
end

function tls.start_tls (object, server_name, notify, data)
  lib.check_handler (notify, 2, "start_tls", 3, "tls_notify")
  local session = lib.session_of (object, "start_tls")
  if session and session.starting_tls then
    -- The first one goes on. The engine is not asked: what it says of this one would be taken for the first one's end.
    return not_started (object, notify, data, "TLS is being started already")
  end
  local ok, key, code = checked (2, raw.tls_start (object, server_name))
  if not ok then
    raw.stack_error (object, code, key)
    return not_started (object, notify, data, key)
  end
  local operation = { notify = notify, data = data, object = object }
  sessions[key].starting_tls = operation
  if notify then
    return nil
  end
  return scheduler.await (operation)
end

-- There is no TLS. The session may be as it was, or over.
dispatch[21] = function (key, message)
  local session = sessions[key]
  local operation = session and session.starting_tls
  if operation then
    session.starting_tls = nil
    started (operation, operation.object, FAILED, message)
  end
end

-- The handshake is done; the greetings follow.
dispatch[20] = function (old_key, key, ctx_key)
  local old = sessions[old_key]
  local session = lib.new_session (key, ctx_key, old and old.data or {})
  local operation = old and old.starting_tls
  if not operation then
    return
  end
  old.starting_tls = nil
  local _, object = raw.wrap_connection_as_owner (key)
  raw.keep_connection_data (object, session.data)
  operation.object = object
  -- Called with nothing when the session can be used, with the reason when it has ended before.
  function session.on_greeted (reason)
    session.on_greeted = nil
    started (operation, object, reason and FAILED or OK, reason or "TLS is on")
  end
end

-- ---------------------------------------------------------------------------------------------------------------
-- The peer asks for TLS

function tls.accept_tls (ctx, accept, accept_data, certificate, certificate_data, key, key_data)
  lib.check_handler (accept, 2, "accept_tls", 2, "accept_handler")
  lib.check_handler (certificate, 2, "accept_tls", 4, "cert_handler")
  lib.check_handler (key, 2, "accept_tls", 6, "key_handler")
  local _, ctx_key = checked (2, raw.tls_accept (ctx))
  local record = contexts[ctx_key]
  if record then
    record.tls = {
      accept = accept, accept_data = accept_data,
      certificate = certificate, certificate_data = certificate_data,
      key = key, key_data = key_data,
    }
  end
  return true
end

local function answer (request)
  local ok, problem = raw.tls_answer (request.number, request.certificate, request.key)
  if not ok then
    scheduler.report ("TLS certificate", problem)
  end
end

-- Asks the next handler, which `name` is of, and goes on with `finish (request, ok, result)`; after the end of the session
-- nobody is asked.
local function ask (request, name, handler, data, finish)
  local session = request.session
  if session.has_ended then
    answer (request)
  else
    scheduler.run (name, finish, request, handler, lib.connection_object (session.key), request.server_name, data)
  end
end

local function key_given (request, ok, path)
  request.key = ok and lib.type (path) == "string" and path or nil
  answer (request)
end

local function certificate_given (request, ok, path)
  request.certificate = ok and lib.type (path) == "string" and path or nil
  local handlers = request.handlers
  if not request.certificate or not handlers.key then
    answer (request)
  else
    ask (request, "TLS key", handlers.key, handlers.key_data, key_given)
  end
end

local function accepted (request, ok, accepts)
  local handlers = request.handlers
  if not (ok and accepts == true) or not handlers.certificate then
    answer (request)
  else
    ask (request, "TLS certificate", handlers.certificate, handlers.certificate_data, certificate_given)
  end
end

dispatch[19] = function (connection_key, number, server_name)
  local session = sessions[connection_key]
  local ctx = session and contexts[session.ctx_key]
  local request = { number = number, session = session, server_name = server_name }
  request.handlers = ctx and ctx.tls
  if not request.handlers then
    answer (request)
  elseif request.handlers.accept then
    ask (request, "TLS accept", request.handlers.accept, request.handlers.accept_data, accepted)
  else
    accepted (request, true, true)
  end
end

-- vortex.sasl: authentication, in both directions.
local raw, lib = ...

local pairs = pairs
local scheduler, checked = lib.scheduler, lib.checked
local sessions, contexts = lib.sessions, lib.contexts
local dispatch = scheduler.dispatch

local sasl = {}
lib.sasl = sasl
for name, uri in pairs (raw.sasl_mechanisms) do
  sasl[name] = uri
end

local OK, FAILED = raw.constants.status_OK, raw.constants.status_ERROR

-- Authentications of this side that are under way, by number.
local operations = {}

sasl.init = lib.try (raw.sasl_init)
sasl.require_tls = lib.call (raw.sasl_require_tls)
sasl.set_realm = lib.call (raw.sasl_set_realm)
sasl.peer_identity = lib.call (raw.sasl_peer_identity)

function sasl.start_auth (object, profile, id, password, authorization_id, realm, notify, data)
  lib.check_handler (notify, 2, "start_auth", 7, "auth_notify")
  local ok, number, code = checked (2, raw.sasl_start (object, profile, id, password, authorization_id, realm))
  if not ok then
    raw.stack_error (object, code, number)
    if notify then
      scheduler.run_later ("SASL status", nil, nil, notify, object, FAILED, number, data)
      return nil
    end
    return FAILED, number, code
  end
  local operation = { notify = notify, data = data }
  operations[number] = operation
  if notify then
    -- Taken now: the outcome may come after the end of the connection, which leaves nothing to find it by.
    local _, key = lib.session_of (object, "start_auth")
    operation.conn = lib.connection_object (key)
    return nil
  end
  local status, message, reason = scheduler.await (operation)
  return status, message, reason
end

-- What came of an authentication of this side.
dispatch[17] = function (_, number, message, code)
  local operation = operations[number]
  operations[number] = nil
  local status = message and FAILED or OK
  message = message or "authenticated"
  if operation.notify then
    scheduler.run ("SASL status", nil, nil, operation.notify, operation.conn, status, message,
      operation.data)
  else
    scheduler.complete (operation, status, message, code)
  end
end

function sasl.is_authenticated (object)
  local _, mechanism = checked (2, raw.sasl_identity (object, "is_authenticated"))
  return mechanism ~= nil
end

function sasl.method_used (object)
  local _, mechanism = checked (2, raw.sasl_identity (object, "method_used"))
  return mechanism
end

function sasl.auth_id (object)
  local _, _, id = checked (2, raw.sasl_identity (object, "auth_id"))
  return id
end

-- The last handler of a mechanism wins.
function sasl.accept_mech (ctx, profile, handler, data)
  lib.need_handler (handler, 2, "accept_mech", 3, "auth_handler")
  local ok, key, uri = checked (2, raw.sasl_accept (ctx, profile))
  if not ok then
    return false, key, uri
  end
  local record = contexts[key]
  if record then
    record.mechanisms = record.mechanisms or {}
    record.mechanisms[uri] = { handler = handler, data = data }
  end
  return true
end

local function decided (request, ok, result)
  local properties = request.properties
  local status, problem = raw.sasl_answer (request.number, ok and result or false, properties.return_password)
  if status == nil then
    scheduler.report ("SASL auth", problem)
  end
end

-- A peer wants to be authenticated.
dispatch[18] = function (key, number, properties)
  local session = sessions[key]
  local ctx = session and contexts[session.ctx_key]
  local accepted = ctx and ctx.mechanisms and ctx.mechanisms[properties.mech]
  if not accepted then
    raw.sasl_answer (number, false)
    return
  end
  -- The handler may keep its table, and change it later.
  local request = { number = number, properties = properties }
  scheduler.run ("SASL auth", decided, request, accepted.handler, lib.connection_object (key), properties, accepted.data)
end

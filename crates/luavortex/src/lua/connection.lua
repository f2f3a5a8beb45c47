-- vortex.connection: sessions and listeners.
local raw, lib = ...

local error, ipairs, pairs, setmetatable = error, ipairs, pairs, setmetatable
local scheduler, checked = lib.scheduler, lib.checked
local run, run_later, complete, await = scheduler.run, scheduler.run_later, scheduler.complete, scheduler.await
local dispatch = scheduler.dispatch

-- What the Lua side keeps for each connection until its end was handled, by key: handlers, data, channels, pools.
local sessions = {}
lib.sessions = sessions
-- The userdata of each connection that is referenced, by key.
local objects = setmetatable ({}, { __mode = "v" })

local class = lib.class ("connection")
local connection = class.methods
lib.connection = connection

local function new_session (key, ctx_key, data)
  local session = { key = key, ctx_key = ctx_key, data = data, on_close = {}, last_handle = 0, channels = {}, pools = {} }
  sessions[key] = session
  return session
end

lib.new_session = new_session

-- The object that handlers are given for a connection. Not the one that the script made: what a handler closes, the
-- script can still ask for its name and number.
local function object_of (key)
  local object = objects[key]
  if not object then
    local _
    _, object = raw.wrap_connection (key)
    raw.keep_connection_data (object, sessions[key].data)
    objects[key] = object
  end
  return object
end
lib.connection_object = object_of

-- The record of the connection that a script's call is about, or nil when its end was handled, and its key.
-- `level` is where the script is, seen from here.
local function session_of (object, name, level)
  local _, key, is_known, ctx_key = checked (level or 3, raw.connection_key (object, name))
  return is_known and sessions[key] or nil, key, ctx_key
end
lib.session_of = session_of

-- ---------------------------------------------------------------------------------------------------------------
-- Begin

-- Gives an object that was just made what belongs to it. Returns its session; nil when it has failed already.
local function adopt (object, key, name)
  local data = {}
  raw.keep_connection_data (object, data)
  if key then
    local _, _, _, ctx_key = raw.connection_key (object, name)
    return new_session (key, ctx_key, data)
  end
end

function connection.new (ctx, host, port, server_name)
  local ok, object, key = raw.connect (ctx, host, port, server_name)
  if not ok then
    error (object, 2)
  end
  local session = adopt (object, key, "new")
  if session then
    session.connecting = {}
    await (session.connecting)
  end
  return object
end

function lib.create_listener (ctx, host, port)
  local ok, object, key = raw.listen (ctx, host, port)
  if not ok then
    error (object, 2)
  end
  local session = adopt (object, key, "create_listener")
  if session then
    session.is_listener = true
  end
  return object
end

-- The greetings are exchanged.
dispatch[1] = function (key)
  local session = sessions[key]
  if not session then
    return
  end
  if session.connecting then
    complete (session.connecting)
  end
  if session.on_greeted then
    session.on_greeted ()
  end
end

-- There will be no connection; its object tells why.
dispatch[2] = function (key)
  local session = sessions[key]
  if session then
    lib.session_ended (session, "no connection")
  end
end

-- A listener accepted a connection.
dispatch[3] = function (key, ctx_key)
  new_session (key, ctx_key, {})
end

-- ---------------------------------------------------------------------------------------------------------------
-- End

-- Calls `watcher ()` when the end of the session was handled, on_close handlers and all.
function lib.when_gone (session, watcher)
  session.watchers = session.watchers or {}
  lib.table_insert (session.watchers, watcher)
end

-- Tells everybody who waits for something of a session that nothing will come.
function lib.session_ended (session, reason, code)
  if session.has_ended then
    return
  end
  session.has_ended = true
  -- Channels with frames that were not handed over yet.
  local held = 0
  for _, channel in pairs (session.channels) do
    if channel.held then
      held = held + 1
    end
    lib.channel_gone (channel, reason, code or 13)
  end
  session.channels = {}
  if session.connecting then
    complete (session.connecting)
  end
  if session.on_greeted then
    session.on_greeted (reason)
  end
  if session.releasing then
    complete (session.releasing, true)
  end
  local left = 1
  local function gone ()
    left = left - 1
    if left == 0 then
      sessions[session.key] = nil
      raw.forget_connection (session.key)
      for _, watcher in ipairs (session.watchers or {}) do
        watcher ()
      end
    end
  end
  local handlers = session.on_close
  local function call_handlers ()
    for _, entry in ipairs (handlers) do
      left = left + 1
      run ("connection close", gone, nil, entry.handler, object_of (session.key), entry.data)
    end
    gone ()
  end
  if held == 0 then
    call_handlers ()
    return
  end
  -- Frames that wait for the handler before them were there first; but not for ever.
  local drained = {}
  function session.on_drained ()
    held = held - 1
    if held == 0 then
      session.on_drained = nil
      scheduler.cancel_timer (drained.timer)
      call_handlers ()
    end
  end
  drained.timer = scheduler.after (lib.reply_timeout (session.ctx_key), function ()
    held = 1
    session.on_drained ()
  end)
end

dispatch[11] = function (key, code, reason)
  local session = sessions[key]
  if session then
    lib.session_ended (session, reason, code)
  else
    raw.forget_connection (key)
  end
end

-- The release of the session was refused or not answered.
dispatch[14] = function (key, code, text)
  local session = sessions[key]
  local releasing = session and session.releasing
  if releasing then
    session.releasing = nil
    complete (releasing, false, text, code)
  end
end

function connection.shutdown (object)
  checked (2, raw.shutdown (object))
end

-- Closes every channel, then the session. Everything is asked at once; one refusal keeps the session.
local function close (object)
  local session, key = session_of (object, "close", 4)
  local _, is_alive = raw.is_alive (key)
  if not session or not is_alive or session.is_listener then
    raw.shutdown (object)
    raw.empty_connection (object)
    return true
  end
  local closing = {}
  for _, channel in pairs (session.channels) do
    closing[#closing + 1] = lib.close_channel (channel)
  end
  local done, message, code = true, nil, nil
  for _, operation in ipairs (closing) do
    local ok, why, number = await (operation)
    if not ok and done then
      done, message, code = false, why, number
    end
  end
  if done and not session.has_ended then
    local releasing = session.releasing
    if not releasing then
      local ok, asked, number = raw.release_connection (key)
      if not ok then
        return false, asked, number
      end
      releasing = {}
      if asked then
        session.releasing = releasing
      else
        complete (releasing, true)
      end
    end
    done, message, code = await (releasing)
  end
  if not done and not session.has_ended then
    return false, message, code
  end
  raw.empty_connection (object)
  return true
end

function connection.close (object)
  local done, message, code = close (object)
  if done then
    return true
  end
  return false, message, code
end
raw.leave_metamethod ("connection", "__close", function (object)
  close (object)
end)

function connection.set_on_close (object, handler, data)
  local session = session_of (object, "set_on_close")
  lib.need_handler (handler, 2, "set_on_close", 2, "handler")
  if not session or session.has_ended then
    run_later ("connection close", nil, nil, handler, object, data)
    return 0
  end
  local handle = session.last_handle + 1
  session.last_handle = handle
  local handlers = session.on_close
  handlers[#handlers + 1] = { handler = handler, data = data, handle = handle }
  return handle
end

function connection.remove_on_close (object, handle)
  local session = session_of (object, "remove_on_close")
  local _, number = checked (2, raw.whole (handle, "remove_on_close", 2, "handle"))
  if session and not session.has_ended then
    for index, entry in ipairs (session.on_close) do
      if entry.handle == number then
        lib.table_remove (session.on_close, index)
        return true
      end
    end
  end
  return false
end

connection.skip_conn_close = lib.call (raw.skip_conn_close)

-- ---------------------------------------------------------------------------------------------------------------
-- Questions and data

connection.is_ok = lib.call (raw.is_ok)
connection.block = lib.call (raw.block)
connection.is_blocked = lib.call (raw.is_blocked)
connection.pop_channel_error = lib.call (raw.pop_error)

-- Data is a table that all objects of a connection keep, as a value that Lua's collector sees: it may refer to its own
-- connection, and it is there as long as one of them is.
function connection.set_data (object, key, value)
  local _, data = checked (2, raw.connection_data (object, "set_data"))
  local _, name = checked (2, raw.data_key (key, "set_data"))
  data[name] = value
end

function connection.get_data (object, key)
  local _, data = checked (2, raw.connection_data (object, "get_data"))
  local _, name = checked (2, raw.data_key (key, "get_data"))
  return data[name]
end

function connection.find_by_uri (object, profile)
  if profile == nil then
    error (raw.complaint (profile, "find_by_uri", 2, "profile", "string"), 2)
  end
  local _, uids = checked (2, raw.channel_uids (object, profile, "find_by_uri"))
  local found = {}
  for _, uid in ipairs (uids) do
    local channel = lib.channels[uid]
    if channel then
      found[#found + 1] = lib.channel_object (channel)
    end
  end
  return found
end

function connection.features (object)
  local _, features = checked (2, raw.peer_greeting (object, "features"))
  return features
end

function connection.localize (object)
  local _, _, localize = checked (2, raw.peer_greeting (object, "localize"))
  return localize
end

function connection.profiles (object)
  local _, _, _, profiles = checked (2, raw.peer_greeting (object, "profiles"))
  return profiles
end

function connection.is_tls (object)
  local _, is_tls = checked (2, raw.is_tls (object, "is_tls"))
  return is_tls
end

-- Inside a start handler also the name that this start asks for.
local SERVER_NAME = raw.connection_slots.server_name

function class.getters.server_name (object)
  local _, name = raw.connection_attribute (object, SERVER_NAME)
  return name or lib.asked_server_name (object)
end

function class.getters.ctx (object)
  local _, _, _, ctx_key = raw.connection_key (object, "ctx")
  return lib.ctx_object (ctx_key)
end

-- vortex.channelpool: channels of one profile, lent and given back.
local raw, lib = ...

local error, ipairs, setmetatable, type = error, ipairs, setmetatable, type
local scheduler, checked = lib.scheduler, lib.checked
local sessions, connection = lib.sessions, lib.connection

local class = lib.class ("channelpool")
local channelpool = class.methods
lib.channelpool = channelpool

-- The userdata of each pool that is referenced, by pool record.
local objects = setmetatable ({}, { __mode = "kv" })

local ENDED = "the connection of the pool has ended"

local function object_of (pool)
  local object = objects[pool]
  if not object then
    local _
    _, object = raw.pool_new (pool.session.key, pool.id)
    objects[pool] = object
  end
  return object
end

-- The pool that a script's call is about; nil when it went with its connection.
local function pool_of (object, name, level)
  local _, key, id = checked (level or 3, raw.pool_id (object, name))
  local session = sessions[key]
  local pool = session and not session.has_ended and session.pools[id]
  return pool or nil, id
end

local function create_done (operation, ok, opened, message, code)
  if ok then
    scheduler.complete (operation, opened, message, code)
  else
    scheduler.complete (operation, nil, "the create handler of the pool raised an error", 1)
  end
end

-- Opens one channel more: with the create handler if there is one. Returns its record, or nil, message, code.
local function add_channel (pool, next_data)
  -- A session that was shut down is over, although its end may still be on its way.
  local _, is_alive = raw.is_alive (pool.session.key)
  if pool.session.has_ended or not is_alive then
    return nil, ENDED, 13
  end
  local object = lib.connection_object (pool.session.key)
  local opened, message, code
  if pool.create then
    -- A handler like any other: in a coroutine of its own, its errors reported.
    local operation = {}
    scheduler.run ("pool create", create_done, operation, pool.create, object, 0, pool.profile, pool.received,
      pool.received_data, pool.close, pool.close_data, pool.create_data, next_data)
    opened, message, code = scheduler.await (operation)
    if raw.class_of (opened) ~= "channel" then
      if opened == nil and type (message) == "string" then
        return nil, message, code
      end
      return nil, "the create handler of the pool returned no channel, but " .. lib.describe (opened), 1
    end
  else
    opened, message, code = connection.open_channel (object, 0, pool.profile, pool.received, pool.received_data,
      nil, nil, pool.close, pool.close_data)
    if not opened then
      return nil, message, code
    end
  end
  local _, uid, is_usable = raw.channel_uid (opened, "next_ready")
  local record = is_usable and lib.channels[uid]
  if not record then
    return nil, "the create handler of the pool returned a channel that is closed", 13
  end
  local channels = pool.channels
  channels[#channels + 1] = record
  pool.count = pool.count + 1
  record.pool = pool
  return record
end

-- A channel of a pool is gone.
function lib.leave_pool (record)
  local pool = record.pool
  pool.lent[record.uid] = nil
  for index, channel in ipairs (pool.channels) do
    if channel == record then
      lib.table_remove (pool.channels, index)
      return
    end
  end
end

local function check_text (value, name, position, argument)
  if type (value) ~= "string" or value == "" then
    error (raw.complaint (value, name, position, argument, "a profile URI (string)"), 3)
  end
end

function connection.channel_pool_new (object, profile, init_num, create, create_data, received, received_data, close,
                                      close_data, on_created, user_data)
  local session = lib.session_of (object, "channel_pool_new")
  if session and session.is_listener then
    error ("bad argument #1 to 'channel_pool_new' (connection: a listener has no channels, its connections do)", 2)
  end
  check_text (profile, "channel_pool_new", 2, "profile")
  local _, count = checked (2, raw.whole (init_num, "channel_pool_new", 3, "init_num"))
  if count < 1 then
    error ("bad argument #3 to 'channel_pool_new' (init_num: at least 1 expected, got " .. count .. ")", 2)
  end
  lib.check_handler (create, 2, "channel_pool_new", 4, "create_channel")
  lib.check_handler (received, 2, "channel_pool_new", 6, "received")
  lib.check_handler (close, 2, "channel_pool_new", 8, "close")
  lib.check_handler (on_created, 2, "channel_pool_new", 10, "on_created")
  if not session or session.has_ended then
    if on_created then
      scheduler.run_later ("pool created", nil, nil, on_created, nil, user_data)
      return nil
    end
    return nil, "the connection is not open", 13
  end
  session.last_pool = (session.last_pool or 0) + 1
  local pool = {
    id = session.last_pool, session = session, profile = profile, channels = {}, count = 0, lent = {},
    create = create, create_data = create_data, received = received, received_data = received_data,
    close = close, close_data = close_data,
  }
  session.pools[pool.id] = pool
  -- Made now: while the channels are opened the connection may end.
  local pool_object = object_of (pool)
  local function fill ()
    for _ = 1, count do
      if not add_channel (pool) then
        break
      end
    end
  end
  if not on_created then
    fill ()
    return pool_object
  end
  -- In the background: an error in the create handler is reported there, and the pool comes with what it has.
  scheduler.run_later ("pool create", function ()
    scheduler.run ("pool created", nil, nil, on_created, pool_object, user_data)
  end, nil, fill)
  return nil
end

function connection.pool (object, id)
  local session = lib.session_of (object, "pool")
  local number = 1
  if id ~= nil then
    local _
    _, number = checked (2, raw.whole (id, "pool", 2, "id"))
  end
  local pool = session and not session.has_ended and session.pools[number]
  return pool and object_of (pool) or nil
end

local function is_available (pool, record)
  if record.is_gone or pool.lent[record.uid] then
    return false
  end
  local _, is_idle = raw.is_channel_idle (pool.session.key, record.uid)
  return is_idle
end

-- Lends a channel that is open and owes nothing; without one, and unless `auto_inc` is false, opens one more.
function channelpool.next_ready (object, auto_inc, user_data)
  local pool = pool_of (object, "next_ready")
  if auto_inc ~= nil and type (auto_inc) ~= "boolean" then
    error (raw.complaint (auto_inc, "next_ready", 2, "auto_inc", "boolean"), 2)
  end
  if not pool then
    return nil, ENDED, 13
  end
  for _, record in ipairs (pool.channels) do
    if is_available (pool, record) then
      pool.lent[record.uid] = true
      return lib.channel_object (record)
    end
  end
  if auto_inc == false then
    return nil, "all channels of the pool are lent or wait for replies", 1
  end
  local record, message, code = add_channel (pool, user_data)
  if not record then
    return nil, message, code
  end
  pool.lent[record.uid] = true
  return lib.channel_object (record)
end

-- Takes a channel back; one that is not lent is left alone.
function channelpool.release (object, channel)
  local pool = pool_of (object, "release")
  if raw.class_of (channel) ~= "channel" then
    error (raw.complaint (channel, "release", 2, "channel", "vortex.channel"), 2)
  end
  local _, uid = raw.channel_uid (channel, "release")
  if pool then
    pool.lent[uid] = nil
  end
end

function class.getters.id (object)
  local _, _, id = raw.pool_id (object, "id")
  return id
end

function class.getters.conn (object)
  local _, key, _, wrapped = raw.pool_id (object, "conn")
  return sessions[key] and lib.connection_object (key) or wrapped
end

function class.getters.ctx (object)
  local pool = pool_of (object, "ctx")
  return pool and lib.ctx_object (pool.session.ctx_key)
end

function class.getters.channel_count (object)
  local pool = pool_of (object, "channel_count")
  return pool and pool.count or 0
end

function class.getters.channel_available (object)
  local pool = pool_of (object, "channel_available")
  local count = 0
  for _, record in ipairs (pool and pool.channels or {}) do
    if is_available (pool, record) then
      count = count + 1
    end
  end
  return count
end

class.getters.ref_count = function ()
  return 1
end

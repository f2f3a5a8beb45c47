-- vortex.channel: messages, requests, starts and closes.
local raw, lib = ...

local error, setmetatable, type = error, setmetatable, type
local scheduler, checked = lib.scheduler, lib.checked
local run, run_later, complete, await = scheduler.run, scheduler.run_later, scheduler.complete, scheduler.await
local dispatch = scheduler.dispatch
local sessions, contexts = lib.sessions, lib.contexts
local connection = lib.connection

-- What the Lua side keeps for each channel, by uid: handlers and what waits for answers.
local channels = {}
lib.channels = channels
-- The userdata of each channel that is referenced, by uid.
local objects = setmetatable ({}, { __mode = "v" })
-- The record of each userdata that stands for an open channel: what most calls are about is found without Rust. Holds
-- neither: handlers of a record may refer to the object.
local record_by_object = setmetatable ({}, { __mode = "kv" })

local NOT_OPEN = "the channel is closed"

local class = lib.class ("channel")
local channel = class.methods
lib.channel = channel

local function new_channel (session, uid, number, profile)
  local record = { uid = uid, session = session, number = number, profile = profile, busy = 0 }
  channels[uid] = record
  session.channels[uid] = record
  return record
end

-- A new object for a channel.
local function wrap (record)
  local _, object = raw.wrap_channel (record.session.key, record.uid)
  if object then
    record_by_object[object] = record
  end
  return object
end

-- The object that handlers are given for a channel.
local function object_of (record)
  local object = objects[record.uid]
  if not object then
    object = wrap (record)
    objects[record.uid] = object
  end
  return object
end
lib.channel_object = object_of

-- The record of the channel that a script's call is about, or nil when the channel is closed.
local function record_of (object, name, level)
  local record = record_by_object[object]
  if record and not record.is_gone then
    return record, record.uid
  end
  local _, uid, is_usable = checked (level or 3, raw.channel_uid (object, name))
  return is_usable and channels[uid] or nil, uid
end
lib.channel_record = record_of

-- ---------------------------------------------------------------------------------------------------------------
-- Frames

local hand_over

-- Hands over the next frame that was held back.
local function hand_over_held (record)
  local held = record.held
  if not held or (record.is_serialized and record.busy > 0) then
    return
  end
  local following = held[held.first]
  held[held.first] = nil
  held.first = held.first + 1
  if held.first > held.last then
    record.held = nil
  end
  hand_over (record, following)
end

-- A channel whose session has ended while frames were held back: they have been handled.
local function check_drained (record)
  if record.is_gone and not record.held and record.busy == 0 then
    channels[record.uid] = nil
    if record.session.on_drained then
      record.session.on_drained ()
    end
  end
end

-- The handler of the frame has ended: its octets may come again, and a frame that waits for it may be handed over.
local function frame_done (frame)
  local _, uid = raw.consume_frame (frame)
  local record = channels[uid]
  if record then
    record.busy = record.busy - 1
    hand_over_held (record)
    check_drained (record)
  end
end

-- Runs the frame handler of a channel: its own, or the one of the profile.
hand_over = function (record, frame)
  local handler, data = record.frame, record.frame_data
  local session = record.session
  if not handler then
    local ctx = contexts[session.ctx_key]
    local profile = ctx and ctx.profiles[record.profile]
    if profile then
      handler, data = profile.frame, profile.frame_data
    end
  end
  if not handler then
    raw.consume_frame (frame)
    hand_over_held (record)
    return
  end
  record.busy = record.busy + 1
  run ("frame received", frame_done, frame, handler, lib.connection_object (session.key), object_of (record), frame, data)
end

dispatch[10] = function (uid, frame, is_msg, is_last, msgno)
  local record = channels[uid]
  if not record then
    raw.consume_frame (frame)
    return
  end
  if not is_msg then
    local request = record.first_request
    if request and request.msgno == msgno then
      return lib.answer (record, frame, is_last)
    end
  end
  if record.held or (record.is_serialized and record.busy > 0) then
    -- The handler of the frame before has not finished.
    local held = record.held
    if not held then
      -- With the objects that the handler will be given: there are no others once the session has ended.
      held = { first = 1, last = 0, channel = object_of (record), conn = lib.connection_object (record.session.key) }
      record.held = held
    end
    held.last = held.last + 1
    held[held.last] = frame
    return
  end
  hand_over (record, frame)
end

-- nil removes the handler; the profile's takes its place again.
function channel.set_frame_received (object, handler, data)
  local record = record_of (object, "set_frame_received")
  lib.check_handler (handler, 2, "set_frame_received", 2, "handler")
  if record then
    record.frame, record.frame_data = handler, data
  end
end

-- `level` is where the script is, seen from the caller.
local function set_serialize (object, flag, level)
  local record = record_of (object, "set_serialize", level + 2)
  if type (flag) ~= "boolean" then
    error (raw.complaint (flag, "set_serialize", 2, "serialize", "boolean"), level + 1)
  end
  if record then
    record.is_serialized = flag
    -- What was held back while it was on comes with the next wait, one after the other.
    local held = not flag and record.held
    for _ = 1, held and held.last - held.first + 1 or 0 do
      scheduler.later (hand_over_held, record)
    end
  end
end

function channel.set_serialize (object, flag)
  set_serialize (object, flag, 2)
end

function class.setters.set_serialize (object, flag)
  set_serialize (object, flag, 3)
end

function class.setters.automatic_mime (object, flag)
  checked (3, raw.set_automatic_mime (object, flag))
end

-- Not by `lib.call` and `lib.try`: every message passes here, and calls with `...` cost more.
function channel.send_msg (object, content, size)
  local status, msgno, code = raw.send_msg (object, content, size)
  if status then
    return msgno
  end
  if status == nil then
    error (msgno, 2)
  end
  return nil, msgno, code
end

local function sender_of (primitive)
  return function (object, content, size, msgno)
    local status, message, code = primitive (object, content, size, msgno)
    if status then
      return true
    end
    if status == nil then
      error (message, 2)
    end
    return false, message, code
  end
end

channel.send_rpy = sender_of (raw.send_rpy)
channel.send_err = sender_of (raw.send_err)
channel.send_ans = sender_of (raw.send_ans)
channel.finalize_ans = lib.try (raw.finalize_ans)
channel.set_complete_flag = lib.call (raw.set_complete_flag)
channel.pending = lib.call (raw.pending)

-- ---------------------------------------------------------------------------------------------------------------
-- Start

-- Everybody who waits for something of the channel is told that nothing will come.
function lib.channel_gone (record, message, code)
  -- Frames that are held back still come.
  if not record.held then
    channels[record.uid] = nil
  end
  record.session.channels[record.uid] = nil
  record.is_gone = true
  local opening = record.opening
  if opening then
    record.opening = nil
    if record.on_channel then
      run_later ("on channel", nil, nil, record.on_channel, -1, nil,
        lib.connection_object (record.session.key), record.on_channel_data)
    else
      complete (opening, nil, message, code)
    end
  end
  if record.closing then
    complete (record.closing, true)
  end
  lib.requests_failed (record, message, code)
  if record.pool then
    lib.leave_pool (record)
  end
end

function connection.open_channel (object, number, profile, frame, frame_data, on_channel, on_channel_data, on_close,
                                  on_close_data, encoding, content)
  lib.check_handler (frame, 2, "open_channel", 4, "frame_received")
  lib.check_handler (on_channel, 2, "open_channel", 6, "on_channel")
  lib.check_handler (on_close, 2, "open_channel", 8, "on_close")
  local session = lib.session_of (object, "open_channel")
  local ok, uid, code = checked (2, raw.start (object, number, profile, encoding, content))
  if not ok then
    raw.stack_error (object, code, uid)
    if on_channel then
      run_later ("on channel", nil, nil, on_channel, -1, nil, object, on_channel_data)
      return nil
    end
    return nil, uid, code
  end
  local record = new_channel (session, uid, nil, profile)
  record.frame, record.frame_data = frame, frame_data
  record.close, record.close_data = on_close, on_close_data
  local operation = {}
  record.opening = operation
  if on_channel then
    record.on_channel, record.on_channel_data = on_channel, on_channel_data
    return nil
  end
  local opened, message, reason = await (operation)
  if opened then
    return opened
  end
  return nil, message, reason
end

-- The peer took the start. `content`: a frame with what rode in its answer.
dispatch[5] = function (key, uid, number, content)
  local record = channels[uid]
  if not record then
    return
  end
  record.number = number
  local opening = record.opening
  record.opening = nil
  -- The script's own object, not the one that frame handlers get: see `object_of` in connection.lua.
  local object = wrap (record)
  if record.on_channel then
    run ("on channel", nil, nil, record.on_channel, number, object, lib.connection_object (key), record.on_channel_data)
  elseif opening then
    complete (opening, object)
  end
  if content then
    hand_over (record, content)
  end
end

-- The peer refused the start, or did not answer.
dispatch[6] = function (_, uid, code, text)
  local record = channels[uid]
  if record then
    lib.channel_gone (record, text, code)
  end
end

-- What a start handler returned: true and content accept, everything else refuses.
local function start_decided (record, ok, accepts, second, third)
  if record.is_gone then
    return
  end
  local accept = ok and accepts and true or false
  if not ok then
    second, third = nil, nil
  end
  local key, offer = record.session.key, record.offer
  record.offer = nil
  local status, problem = raw.answer_start (key, record.uid, offer, accept, second, third)
  if accept and status == nil then
    -- Content that cannot be sent; the answer is still owed.
    scheduler.report ("channel start", problem)
    raw.answer_start (key, record.uid, offer, false, nil, nil)
    accept = false
  end
  if not accept then
    lib.channel_gone (record, "the start was refused", 421)
  end
end

-- The peer starts a channel. Without `offer` the engine has accepted it.
dispatch[4] = function (key, uid, number, profile, offer, content, encoding, server_name)
  local session = sessions[key]
  if not session then
    return
  end
  local record = new_channel (session, uid, number, profile)
  if not offer then
    return
  end
  record.offer, record.server_name = offer, server_name
  local ctx = contexts[session.ctx_key]
  local registered = ctx and ctx.profiles[profile]
  if registered and registered.start then
    run ("channel start", start_decided, record, registered.start, number, lib.connection_object (key),
      registered.start_data, content, encoding)
  else
    start_decided (record, registered ~= nil, true)
  end
end

-- ---------------------------------------------------------------------------------------------------------------
-- Close

-- The name that the start asks for whose handler runs, if it is one of this connection.
function lib.asked_server_name (object)
  local record = scheduler.context_of (start_decided)
  if record then
    local _, key = raw.connection_key (object, "server_name")
    return record.session.key == key and record.server_name or nil
  end
end

-- Asks the peer to close; the operation completes with true, or with false, message, code.
function lib.close_channel (record)
  if record.closing then
    return record.closing
  end
  local operation = {}
  if record.is_gone then
    complete (operation, true)
    return operation
  end
  if record.opening then
    -- Nothing to close yet; its start is answered to nobody.
    complete (operation, true)
    return operation
  end
  if record.offer then
    -- The start handler still thinks; this is the answer.
    start_decided (record, true, false)
    complete (operation, true)
    return operation
  end
  local key = record.session.key
  local ok, message, code = raw.close_channel (key, record.uid)
  local _, is_alive = raw.is_alive (key)
  if ok then
    record.closing = operation
  elseif not is_alive then
    -- It went with its connection.
    complete (operation, true)
  else
    complete (operation, false, message, code)
  end
  return operation
end

-- True, or false, message, code. A channel that its peer closed, or that went with its connection, is closed.
local function close (object)
  local _, uid, is_usable, _, is_emptied = checked (3, raw.channel_uid (object, "close"))
  if is_emptied then
    return false, NOT_OPEN, 13
  end
  local record = is_usable and channels[uid]
  if record then
    local done, message, code = await (lib.close_channel (record))
    if not done then
      return false, message, code
    end
  end
  raw.empty_channel (object)
  record_by_object[object] = nil
  return true
end

function channel.close (object)
  local done, message, code = close (object)
  if done then
    return true
  end
  return false, message, code
end
raw.leave_metamethod ("channel", "__close", function (object)
  close (object)
end)

dispatch[8] = function (_, uid)
  local record = channels[uid]
  if record then
    lib.channel_gone (record, NOT_OPEN, 13)
  end
end

-- The peer refused the close, or did not answer: the channel can be used on.
dispatch[9] = function (_, uid, code, text)
  local record = channels[uid]
  local closing = record and record.closing
  if closing then
    record.closing = nil
    complete (closing, false, text, code)
  end
end

local function close_decided (record, ok, accepts)
  if not record.is_gone then
    raw.answer_close (record.session.key, record.uid, ok and accepts ~= false)
  end
end

-- The peer wants to close the channel: the channel's own handler is asked, or the one of its profile.
dispatch[7] = function (key, uid, number)
  local record = channels[uid]
  if not record then
    raw.answer_close (key, uid, true)
    return
  end
  local handler, data = record.close, record.close_data
  if not handler then
    local ctx = contexts[record.session.ctx_key]
    local profile = ctx and ctx.profiles[record.profile]
    if profile then
      handler, data = profile.close, profile.close_data
    end
  end
  if handler then
    run ("channel close", close_decided, record, handler, number, lib.connection_object (key), data)
  else
    close_decided (record, true, true)
  end
end

-- nil removes the handler; the profile's takes its place again.
function channel.on_close_request (object, handler, data)
  local record = record_of (object, "on_close_request")
  lib.check_handler (handler, 2, "on_close_request", 2, "handler")
  if record then
    record.close, record.close_data = handler, data
  end
end

function class.getters.conn (object)
  local _, wrapped, key = raw.channel_connection (object)
  if sessions[key] then
    return lib.connection_object (key)
  end
  return wrapped
end

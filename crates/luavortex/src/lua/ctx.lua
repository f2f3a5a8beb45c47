-- vortex.ctx: contexts, profiles, timers.
local raw, lib = ...

local error, next, pairs, setmetatable = error, next, pairs, setmetatable
local scheduler, checked = lib.scheduler, lib.checked
local run = scheduler.run

-- What the Lua side keeps for each context, by key: profiles with their handlers, timers, whether it runs.
local contexts = {}
lib.contexts = contexts
-- The userdata of each context that is referenced, by key.
local objects = setmetatable ({}, { __mode = "v" })

local class = lib.class ("ctx")
local ctx = class.methods
lib.ctx = ctx

-- The smallest time between two calls of a timer, in us.
local PERIOD_MIN = 1000
-- How long ctx:exit waits for the peers' consent, in us; then it hangs up.
local EXIT_LIMIT = 1000000

function ctx.new ()
  local _, object, key = raw.ctx_new ()
  contexts[key] = { key = key, profiles = {}, timers = {}, listeners_unlocked = 0, waits = {} }
  objects[key] = object
  return object
end

-- The context's record and userdata state: record, runs, exited. `level` above here is the script.
local function record_of (object, name)
  local _, key, runs, exited = checked (3, raw.ctx_state (object, name))
  return contexts[key], runs, exited
end

-- The object of a context, for handlers; nil when the context is gone.
local function object_of (key)
  local object = objects[key]
  if not object then
    local _
    _, object = raw.wrap_ctx (key)
    objects[key] = object
  end
  return object
end
lib.ctx_object = object_of

-- The last object that needed the context was collected.
scheduler.dispatch[15] = function (key)
  local record = contexts[key]
  if record then
    lib.end_record (record)
  end
end

-- The limit of waits for a reply, in us.
function lib.reply_timeout (key)
  local object = key and object_of (key)
  if not object then
    return 60000000
  end
  local _, limit = raw.reply_timeout (object)
  return limit
end

function ctx.init (object)
  local ok, value = checked (2, raw.ctx_init (object))
  if not ok then
    return false, value
  end
  record_of (object, "init").runs = true
  return true
end

-- Harmless, and without effect: a context lives as long as something refers to it.
function ctx.unref (object)
  record_of (object, "unref")
end

-- Nothing of the engine is left that could cause an event.
function lib.is_over ()
  if next (lib.sessions) ~= nil then
    return false
  end
  for _, record in pairs (contexts) do
    if record.runs then
      return false
    end
  end
  return true
end

-- ---------------------------------------------------------------------------------------------------------------
-- The end

-- Nothing begins any more, nobody waits, and the handlers are let go.
function lib.end_record (record)
  contexts[record.key] = nil
  record.runs = false
  for id in pairs (record.timers) do
    lib.remove_timer (record, id)
  end
  lib.end_waits (record)
end

function ctx.exit (object)
  local record, runs = record_of (object, "exit")
  raw.ctx_exit (object)
  if not record then
    return
  end
  lib.end_record (record)
  if not runs then
    return
  end
  local open, left = {}, 0
  for key, session in pairs (lib.sessions) do
    -- What has ended waits for its on_close handlers, of which this may be one.
    if session.ctx_key == record.key and not session.has_ended then
      open[key] = session
      left = left + 1
    end
  end
  -- In order where the peers agree soon enough, by force otherwise.
  local operation = {}
  local function one_less ()
    left = left - 1
    if left == 0 then
      scheduler.complete (operation)
    end
  end
  for key, session in pairs (open) do
    lib.when_gone (session, one_less)
    local ok, asked = raw.release_connection (key)
    if not (ok and asked) then
      raw.shutdown_connection (key)
      if session.is_listener then
        lib.session_ended (session, "the listener was shut down")
      end
    end
  end
  if left > 0 then
    local timer
    timer = scheduler.after (EXIT_LIMIT, function ()
      raw.ctx_shutdown (object)
      -- An on_close handler that waits for something keeps nobody from going on.
      timer = scheduler.after (EXIT_LIMIT, function ()
        scheduler.complete (operation)
      end)
    end)
    scheduler.await (operation)
    scheduler.cancel_timer (timer)
  end
end

-- ---------------------------------------------------------------------------------------------------------------
-- Profiles

-- Registering again replaces.
function lib.register_profile (object, uri, frame, frame_data, start, start_data, close, close_data)
  record_of (object, "register_profile")
  lib.check_handler (frame, 2, "register_profile", 3, "frame_received")
  lib.check_handler (start, 2, "register_profile", 5, "start")
  lib.check_handler (close, 2, "register_profile", 7, "close")
  local _, key, name = checked (2, raw.serve (object, uri, start ~= nil))
  local record = contexts[key]
  if not record then
    return
  end
  record.profiles[name] = {
    frame = frame, frame_data = frame_data,
    start = start, start_data = start_data,
    close = close, close_data = close_data,
  }
end

-- ---------------------------------------------------------------------------------------------------------------
-- Timers

local function arm (record, id, timer)
  timer.number = scheduler.after (timer.period, function ()
    timer.number = nil
    local object = object_of (record.key)
    if not object or record.timers[id] ~= timer then
      record.timers[id] = nil
      return
    end
    run ("timer", timer.finish, timer, timer.handler, object, timer.data, timer.data2)
  end)
end

function lib.remove_timer (record, id)
  local timer = record.timers[id]
  if not timer then
    return false
  end
  record.timers[id] = nil
  if timer.number then
    scheduler.cancel_timer (timer.number)
  end
  return true
end

local last_timer = 0

-- Calls `handler (ctx, data, data2)` every `us` until it returns true. Returns the timer's id, or -1.
function ctx.new_event (object, us, handler, data, data2)
  local record, runs = record_of (object, "new_event")
  local _, period = checked (2, raw.microseconds (us, "new_event", 2))
  lib.need_handler (handler, 2, "new_event", 3, "handler")
  if not record or not runs then
    return -1
  end
  local id = last_timer + 1
  last_timer = id
  local timer = { period = period < PERIOD_MIN and PERIOD_MIN or period, handler = handler, data = data, data2 = data2 }
  function timer.finish (_, ok, result)
    if record.timers[id] ~= timer then
      return
    end
    if ok and result == true then
      record.timers[id] = nil
    else
      arm (record, id, timer)
    end
  end
  record.timers[id] = timer
  arm (record, id, timer)
  return id
end

function ctx.remove_event (object, id)
  local record = record_of (object, "remove_event")
  local _, number = checked (2, raw.whole (id, "remove_event", 2, "id"))
  return record ~= nil and lib.remove_timer (record, number)
end

ctx.set_limits = lib.call (raw.set_limits)
ctx.limits = lib.call (raw.limits)

local function set_attribute (name)
  class.setters[name] = function (object, value)
    checked (3, raw.ctx_set_attribute (object, name, value))
  end
end
for _, name in lib.ipairs { "log", "log2", "color_log", "features", "localize" } do
  set_attribute (name)
end

-- ---------------------------------------------------------------------------------------------------------------
-- wait_listeners

function lib.wait_listeners (object, unlock_on_signal)
  local record, runs = record_of (object, "wait_listeners")
  if not record or not runs then
    return
  end
  if record.listeners_unlocked > 0 then
    record.listeners_unlocked = record.listeners_unlocked - 1
    return
  end
  local operation = {}
  record.waits[#record.waits + 1] = operation
  local watch
  if unlock_on_signal then
    local ok, value = raw.watch_signals ()
    if not ok then
      error (value, 3)
    end
    watch = value
    lib.signal_waits[operation] = true
  end
  -- Not under pcall, which Lua 5.1 cannot suspend; should the wait raise, the watch ends when it is collected.
  scheduler.await (operation)
  lib.signal_waits[operation] = nil
  if watch then
    raw.unwatch_signals (watch)
  end
end

-- Operations of wait_listeners that a signal ends.
lib.signal_waits = {}

scheduler.dispatch[13] = function ()
  for operation in pairs (lib.signal_waits) do
    lib.signal_waits[operation] = nil
    scheduler.complete (operation)
  end
end

-- Ends the wait that began last, or the next one.
function lib.unlock_listeners (object)
  local record = record_of (object, "unlock_listeners")
  if not record then
    return
  end
  local waits = record.waits
  while #waits > 0 do
    local operation = waits[#waits]
    waits[#waits] = nil
    if scheduler.complete (operation) then
      return
    end
  end
  record.listeners_unlocked = 1
end

function lib.end_waits (record)
  for _, operation in lib.ipairs (record.waits) do
    scheduler.complete (operation)
  end
  record.waits = {}
end


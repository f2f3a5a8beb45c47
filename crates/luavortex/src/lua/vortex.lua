-- The module: what scripts get from `require "vortex"`.
local raw, lib = ...

local pairs, error = pairs, error
local scheduler, checked = lib.scheduler, lib.checked

local vortex = {
  ctx = lib.ctx,
  connection = lib.connection,
  channel = lib.channel,
  channelpool = lib.channelpool,
  frame = lib.frame,
  asyncqueue = lib.asyncqueue,
  sasl = lib.sasl,
  tls = lib.tls,
  alive = lib.alive,
  create_listener = lib.create_listener,
  register_profile = lib.register_profile,
  wait_listeners = lib.wait_listeners,
  unlock_listeners = lib.unlock_listeners,
}
for name, number in pairs (raw.constants) do
  vortex[name] = number
end

-- Microseconds that may be left out; 0 and less stand for no limit.
local function limit (us, name)
  if us == nil then
    return nil
  end
  local _, number = checked (3, raw.microseconds (us, name, 1))
  return number > 0 and number or nil
end

function vortex.yield (us)
  scheduler.yield (limit (us, "yield"))
end

function vortex.wait_events (us)
  if us ~= nil then
    local _, number = checked (2, raw.microseconds (us, "wait_events", 1))
    us = number ~= 0 and number or nil
  end
  return scheduler.wait_events (us)
end

function vortex.event_fd ()
  local ok, fd = raw.event_fd ()
  if not ok then
    error (fd, 2)
  end
  scheduler.use_event_fd ()
  return fd
end

function vortex.set_error_handler (handler)
  lib.check_handler (handler, 2, "set_error_handler", 1, "handler")
  scheduler.set_error_handler (handler)
end

function vortex.spawn (handler, ...)
  lib.need_handler (handler, 2, "spawn", 1, "handler")
  scheduler.run_later ("spawn", nil, nil, handler, ...)
end

function vortex.sleep (us)
  local _, number = checked (2, raw.microseconds (us, "sleep", 1))
  local operation = {}
  scheduler.limit (operation, number > 0 and number or 0)
  scheduler.await (operation)
end

function vortex.version ()
  return raw.version
end

return vortex

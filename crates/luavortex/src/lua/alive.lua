-- vortex.alive: watching whether peers are there.
local raw, lib = ...

local scheduler, checked = lib.scheduler, lib.checked
local sessions = lib.sessions

local alive = {}
lib.alive = alive

alive.init = lib.try (raw.alive_init)

function alive.enable_check (object, period, max, handler, data)
  lib.check_handler (handler, 2, "enable_check", 4, "failure_handler")
  local ok, key, code = checked (2, raw.alive_watch (object, period, max, handler ~= nil))
  if not ok then
    return false, key, code
  end
  sessions[key].watch = { period = period, handler = handler, data = data }
  return true
end

-- The peer did not answer.
scheduler.dispatch[16] = function (key, unreplied)
  local session = sessions[key]
  local watch = session and session.watch
  if not watch then
    return
  end
  session.watch = nil
  if watch.handler then
    scheduler.run ("alive failure", nil, nil, watch.handler, lib.connection_object (key), watch.period, unreplied,
      watch.data)
  end
end

-- The scheduler: runs handlers as coroutines, and lets blocking calls wait.
--
-- A handler runs in a coroutine of its own. A blocking call suspends that coroutine until its operation is
-- complete; the main script, and code that no Lua can suspend (a user's coroutine, a table.sort callback, anything
-- inside pcall on Lua 5.1), runs the scheduler in place instead, one level deeper.
--
-- An operation is a table: `done`, its results `first` to `third`, and who waits for it: `waiter`, `other_waiters`.
local raw, lib = ...

local create, resume, yield, running = coroutine.create, coroutine.resume, coroutine.yield, coroutine.running
local close_coroutine = coroutine.close -- from Lua 5.4 on
local traceback = debug.traceback
local error, ipairs, next, pcall, setmetatable, tostring, type = error, ipairs, next, pcall, setmetatable, tostring, type
local stderr, table_remove = io.stderr, table.remove

-- Deeper than this nothing good comes: every level holds up the ones below it, and Lua allows 200 C calls, of which
-- a level takes two on 5.1 and about five from 5.2 on.
local DEPTH_MAX = _VERSION == "Lua 5.1" and 60 or 32
-- Coroutines that are kept for the next handlers.
local IDLE_MAX = 64

-- What a coroutine of ours yields: it wants another handler, or it waits for an operation.
local IDLE, WAIT = {}, {}

local NONE = {}
-- The task of each coroutine that runs handlers: `co`, `name` of the handler that runs in it, and `finish` and
-- `context`: what to call when it has ended, and with what. The coroutine holds its task. The table holds neither: Lua 5.1
-- and LuaJIT would keep a key for ever that only its value refers to, and with it every handler that nobody resumes.
local task_of = setmetatable ({}, { __mode = "kv" })

local idle, idle_count = {}, 0                   -- tasks without a handler
local ready, ready_first, ready_last = {}, 1, 0  -- what can go on: coroutines, and calls that were put off
local batch_last = 0                             -- up to here `ready` runs before the next event is taken
local depth = 0                                  -- schedulers that run in place
local events_run = 0                             -- counts what the scheduler let happen
local yielders = {}                              -- operations of `yield` inside handlers
local timers = {}                                -- timer number -> function, or operation that it limits
local error_handler
local event_fd_is_used = false

local scheduler = { dispatch = {} }
local dispatch = scheduler.dispatch
lib.scheduler = scheduler

-- ---------------------------------------------------------------------------------------------------------------
-- Errors in handlers

local function report (name, message, trace)
  if error_handler then
    local ok, problem = pcall (error_handler, message, trace, name)
    if ok then
      return
    end
    trace = trace .. "\n(and the error handler raised: " .. tostring (problem) .. ")"
  end
  stderr:write ("vortex: error in the ", name, " handler: ", trace, "\n")
end

-- What was raised, as a string; objects may know how to show themselves.
local function describe (value)
  if type (value) == "string" then
    return value
  end
  local ok, text = pcall (tostring, value)
  return ok and text or "(error object is a " .. type (value) .. " value)"
end

function scheduler.set_error_handler (handler)
  error_handler = handler
end

-- For what a handler returned and cannot be used.
function scheduler.report (name, message)
  report (name, message, message)
end

-- ---------------------------------------------------------------------------------------------------------------
-- Running handlers

local function conclude (task, ok, a, b, c)
  local finish, context = task.finish, task.context
  task.finish, task.context = nil, nil
  if finish then
    finish (context, ok, a, b, c)
  end
end

local next_handler

-- The body of every handler coroutine: one handler after the other.
local function work (task, handler, ...)
  conclude (task, true, handler (...))
  -- A tail call, so that a coroutine which waits for work holds on to nothing that its last handler was given.
  return next_handler (task)
end

next_handler = function (task)
  return work (task, yield (IDLE))
end

-- A handler that ended badly gives the safe answer; its coroutine is not used again. `raised` is what it raised.
local function abandon (task, message, trace, raised)
  local co = task.co
  task_of[co] = nil
  report (task.name, message, trace)
  if close_coroutine then
    -- Variables declared <close> are closed; what that raises is one more error.
    local ok, closed, problem = pcall (close_coroutine, co)
    if ok and not closed and problem ~= raised then
      report (task.name, describe (problem), describe (problem))
    end
  end
  conclude (task, false)
end

-- After a coroutine was resumed: it is idle, waits, or is done for.
local function settle (task, ok, signal)
  if not ok then
    local message = describe (signal)
    abandon (task, message, traceback (task.co, message), signal)
  elseif signal == IDLE then
    if idle_count < IDLE_MAX then
      idle_count = idle_count + 1
      idle[idle_count] = task
    end
  elseif signal ~= WAIT then
    local message = "attempt to yield from a handler: coroutine.yield works only in coroutines of your own"
    abandon (task, message, traceback (task.co, message))
  end
end

-- Runs `handler (...)` in a coroutine of its own, now. `finish (context, ok, ...)` follows when it has ended, with
-- what it returned, or with false after an error, which has been reported by then.
local function run (name, finish, context, handler, ...)
  if idle_count > 0 then
    local task = idle[idle_count]
    idle[idle_count] = nil
    idle_count = idle_count - 1
    task.name, task.finish, task.context = name, finish, context
    return settle (task, resume (task.co, handler, ...))
  end
  local task = { co = create (work), name = name, finish = finish, context = context }
  task_of[task.co] = task
  return settle (task, resume (task.co, task, handler, ...))
end
scheduler.run = run

local function make_ready (entry)
  ready_last = ready_last + 1
  ready[ready_last] = entry
  if event_fd_is_used and ready_first == ready_last then
    raw.set_coroutines_ready (true)
  end
end

-- Calls `call (a, b)`, which may run a handler, like an event that came just now: with the next wait, after what is
-- ready already.
function scheduler.later (call, a, b)
  make_ready { call = call, a, b }
end

-- Runs a handler with exactly these arguments, like an event that came just now.
function scheduler.run_later (name, finish, context, handler, ...)
  local call = lib.bind (handler, ...)
  scheduler.later (function ()
    run (name, finish, context, call)
  end)
end

-- What the handler that runs was given as context, if it ends in `finish`.
function scheduler.context_of (finish)
  local co = running ()
  local task = co and task_of[co]
  return task and task.finish == finish and task.context or nil
end

-- ---------------------------------------------------------------------------------------------------------------
-- One step

local function take_ready ()
  local entry = ready[ready_first]
  ready[ready_first] = nil
  ready_first = ready_first + 1
  if ready_first > ready_last then
    ready_first, ready_last, batch_last = 1, 0, 0
    if event_fd_is_used then
      raw.set_coroutines_ready (false)
    end
  end
  return entry
end

local function handle (kind, ...)
  if not kind then
    return kind
  end
  events_run = events_run + 1
  local handler = dispatch[kind]
  if handler then
    handler (...)
  end
  return true
end

-- Nothing is ready: handlers that yielded go on, if anything ran since. True when one does.
local function wake_yielders ()
  local woken = false
  for index = #yielders, 1, -1 do
    local operation = yielders[index]
    if operation.done or events_run > operation.seen then
      table_remove (yielders, index)
      operation.is_quiet = true
      woken = scheduler.complete (operation) or woken
    end
  end
  return woken
end

local function run_ready ()
  local entry = take_ready ()
  if entry.co then
    events_run = events_run + 1
    settle (entry, resume (entry.co))
  elseif entry.yielded then
    -- Goes on after a `yield`: no event that others who yield have waited for.
    settle (entry.yielded, resume (entry.yielded.co))
  else
    events_run = events_run + 1
    entry.call (entry[1], entry[2])
  end
end

-- Lets one thing happen. When there is nothing: nil; with `block` it waits for something, and false means that the
-- wait was interrupted.
--
-- What was ready before an event came runs before its handlers, and what they make ready after them; so neither
-- handlers that wake each other nor a flood of events keeps the other kind from running.
local function step (block)
  if ready_first > batch_last then
    local handled = handle (raw.next (block and ready_first > ready_last and not yielders[1]))
    batch_last = ready_last
    if handled then
      return true
    end
    if ready_first > ready_last then
      if yielders[1] then
        return wake_yielders () or nil
      end
      return handled
    end
  end
  run_ready ()
  return true
end

-- ---------------------------------------------------------------------------------------------------------------
-- Operations and waiting

-- Completes an operation; whoever waits for it goes on.
local function complete (operation, a, b, c)
  if operation.done then
    return false
  end
  operation.done, operation.first = true, a
  if b ~= nil or c ~= nil then
    operation.second, operation.third = b, c
  end
  local timer = operation.timer
  if timer then
    timers[timer] = nil
    raw.cancel_timer (timer)
  end
  local waiter = operation.waiter
  if waiter then
    make_ready (operation.is_quiet and { yielded = waiter } or waiter)
    for _, other in ipairs (operation.other_waiters or NONE) do
      make_ready (operation.is_quiet and { yielded = other } or other)
    end
  end
  return true
end
scheduler.complete = complete

-- Nobody waits any more: what completes the operation later must not find a waiter.
local function give_up (operation)
  operation.done = true
  if operation.timer then
    timers[operation.timer] = nil
    raw.cancel_timer (operation.timer)
  end
end

-- Calls `handler ()` once, `us` from now, directly from the scheduler. Returns the timer's number.
local function after (us, handler)
  local ok, timer = raw.add_timer (us)
  if not ok then
    error (timer, 0)
  end
  timers[timer] = handler
  return timer
end
scheduler.after = after

function scheduler.cancel_timer (timer)
  if timers[timer] then
    timers[timer] = nil
    raw.cancel_timer (timer)
  end
end

-- Completes the operation when the engine's timer is due; `late` is a table with the results as in an operation, if
-- there are some.
function scheduler.limit_by (operation, timer, late)
  operation.timer, operation.late = timer, late
  timers[timer] = operation
end

-- Completes the operation when `us` are over.
function scheduler.limit (operation, us, late)
  scheduler.limit_by (operation, after (us, operation), late)
end

-- The operation's timer was taken back together with something else.
function scheduler.timer_is_gone (operation)
  timers[operation.timer] = nil
  operation.timer = nil
end

dispatch[12] = function (timer)
  local handler = timers[timer]
  timers[timer] = nil
  if not handler then
    return
  end
  if type (handler) == "function" then
    return handler ()
  end
  local late = handler.late
  handler.timer = nil
  if late then
    complete (handler, late.first, late.second, late.third)
  else
    complete (handler)
  end
end

local can_yield = lib.can_yield_within (work)

-- The task of the handler that runs, if it can be suspended here.
local function suspendable_task ()
  local co = running ()
  local task = co and task_of[co]
  return task and can_yield () and task
end

-- Waits for the engine. Raises when the wait is interrupted (Ctrl-C under the luavortex command).
local function wait (us)
  local ok, outcome = raw.wait (us)
  if not ok or outcome == nil then
    error (outcome or "interrupted!", 0)
  end
  return outcome
end

-- Runs the scheduler in place until `operation` is complete.
local function run_until (operation)
  if depth >= DEPTH_MAX then
    give_up (operation)
    error ("blocking calls are nested " .. DEPTH_MAX .. " deep: each waits, in a place that cannot be suspended, "
      .. "inside a handler that the one before let run", 0)
  end
  depth = depth + 1
  local hopeless = operation.hopeless
  while not operation.done do
    local happened = step (not hopeless)
    if not happened then
      local problem
      if happened == false then
        problem = "interrupted!"
      elseif hopeless and lib.is_over () and next (timers) == nil then
        problem = hopeless
      else
        local ok, outcome = raw.wait ()
        problem = not ok and outcome or outcome == nil and "interrupted!"
      end
      if problem then
        depth = depth - 1
        give_up (operation)
        error (problem, 0)
      end
    end
  end
  depth = depth - 1
end

-- Lets one thing happen that waits already, where the caller would run the scheduler in place anyway. False when
-- nothing does: then the caller has to wait.
function scheduler.run_one ()
  if depth >= DEPTH_MAX or suspendable_task () then
    return false
  end
  depth = depth + 1
  local happened = step ()
  depth = depth - 1
  return happened
end

-- Waits until `operation` is complete and returns its results.
local function await (operation)
  if not operation.done then
    local task = suspendable_task ()
    if task then
      if operation.waiter then
        local others = operation.other_waiters or {}
        operation.other_waiters = others
        others[#others + 1] = task
      else
        operation.waiter = task
      end
      -- Again, should the script have resumed the coroutine behind our back.
      repeat
        yield (WAIT)
      until operation.done
    else
      run_until (operation)
    end
  end
  return operation.first, operation.second, operation.third
end
scheduler.await = await

-- ---------------------------------------------------------------------------------------------------------------
-- What vortex.yield and vortex.wait_events are made of

local function clock ()
  local _, now = raw.now ()
  return now
end

-- Lets waiting handlers run; see the contract, vortex.yield.
function scheduler.yield (us)
  if suspendable_task () then
    local operation = { seen = events_run }
    yielders[#yielders + 1] = operation
    if us then
      scheduler.limit (operation, us)
    end
    await (operation)
    return
  end
  local started = us and clock ()
  raw.turn ()
  while true do
    local steps = 0
    while step () do
      steps = steps + 1
      -- A flood of events must not keep the caller for ever.
      if steps >= 1024 or (us and steps % 16 == 0 and clock () - started >= us) then
        break
      end
    end
    if steps > 0 then
      raw.turn ()
      return
    end
    local left = us and us - (clock () - started)
    if (left and left <= 0) or not wait (left) then
      return
    end
  end
end

-- Whether events wait, after at most `us`; runs no handler.
function scheduler.wait_events (us)
  if ready_first <= ready_last then
    return true
  end
  if us and us <= 0 then
    local _, events = raw.has_events ()
    return events
  end
  return wait (us)
end

-- From here on the descriptor shows coroutines that can go on, too.
function scheduler.use_event_fd ()
  event_fd_is_used = true
  raw.set_coroutines_ready (ready_first <= ready_last)
end

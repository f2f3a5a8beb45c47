-- channel:request and channel:answers: MSGs whose replies come to the caller instead of the frame handler.
local raw, lib = ...

local error, setmetatable = error, setmetatable
local scheduler, checked = lib.scheduler, lib.checked
local complete, await = scheduler.complete, scheduler.await
local channel, record_of = lib.channel, lib.channel_record

local NOT_OPEN = "the channel is closed"
-- Events that may run before the iterator over answers waits with a limit.
local LOOKS_MAX = 32
local WEAK_VALUES = { __mode = "v" }

-- Lets what answers message `msgno` come to `waiting`. Replies come in the order of the messages (RFC 3080 §2.6.1), so
-- the requests of a channel are a list, `first_request` to `last_request` by `following`.
local function expect (record, msgno, waiting)
  waiting.msgno = msgno
  if record.first_request then
    record.last_request.following = waiting
  else
    record.first_request = waiting
  end
  record.last_request = waiting
end

-- What comes of a request that nobody answers in time.
local NO_REPLY = { second = "no reply in time", third = 9 }
local NO_ANSWER = { second = "no answer in time", third = 9 }

-- Sends a MSG and waits for its reply: a frame (RPY or ERR), or nil, message, code.
function channel.request (object, content, us)
  local record = record_of (object, "request")
  local status, msgno, third = raw.send_request (object, content, us)
  if not status then
    if status == nil then
      error (msgno, 2)
    end
    return nil, msgno, third
  end
  if not record then
    raw.cancel_timer (third)
    return nil, NOT_OPEN, 13
  end
  -- With room for everything that it will hold.
  local operation = { done = false, first = nil, timer = third, late = NO_REPLY, msgno = msgno, following = nil }
  scheduler.limit_by (operation, third, NO_REPLY)
  expect (record, msgno, operation)
  return await (operation)
end

-- Puts a frame into the queue of a series.
local function push (stream, frame, is_last)
  local queue = stream.queue
  if stream.is_over or (is_last and lib.frame_type (frame) == "NUL") then
    raw.consume_frame (frame)
  else
    queue.last = queue.last + 1
    queue[queue.last] = frame
  end
  stream.is_over = stream.is_over or is_last
  if stream.waiter then
    complete (stream.waiter)
  end
end

-- A frame that the first request of the channel is about. `is_last`: it ends the reply.
function lib.answer (record, frame, is_last)
  local waiting = record.first_request
  if is_last then
    record.first_request = waiting.following
  end
  if waiting.series then
    local stream = waiting.series.stream
    if stream then
      push (stream, frame, is_last)
    else
      -- The iterator was collected.
      raw.consume_frame (frame)
    end
  elseif waiting.done then
    -- Nobody waits any more.
    raw.consume_frame (frame)
  else
    raw.consume_frame (frame, waiting.timer)
    scheduler.timer_is_gone (waiting)
    complete (waiting, frame)
  end
end

local function request_failed (waiting, message, code)
  local stream = waiting.series and waiting.series.stream
  if stream then
    if not stream.is_over then
      stream.is_over, stream.problem, stream.code = true, message, code
    end
    if stream.waiter then
      complete (stream.waiter)
    end
  elseif not waiting.series then
    complete (waiting, nil, message, code)
  end
end

-- There will be no reply to a request, nor to those behind it.
function lib.requests_failed (record, message, code)
  local waiting = record.first_request
  record.first_request = nil
  while waiting do
    request_failed (waiting, message, code)
    waiting = waiting.following
  end
end

-- Sends a MSG and returns an iterator over the answers to it, one ANS frame after the other. A reply that is no
-- series comes as the one frame it is. The iterator ends with nil, message, code when no answer came in time.
--
-- Answers count against the window of the channel until the iterator has handed them out: a slow reader slows its
-- peer. The channel holds the series weakly, so that one which is left alone early is noticed.
function channel.answers (object, content, us)
  local record = record_of (object, "answers")
  local limit
  if us ~= nil then
    local _
    _, limit = checked (2, raw.microseconds (us, "answers", 3))
  else
    limit = lib.reply_timeout (record and record.session.ctx_key)
  end
  local status, msgno, code = raw.send_msg (object, content)
  if status == nil then
    error ((lib.gsub (msgno, "'send_msg'", "'answers'")), 2)
  end
  if not status then
    return nil, msgno, code
  end
  if not record then
    return nil, NOT_OPEN, 13
  end
  local stream = { queue = { first = 1, last = 0 } }
  expect (record, msgno, { series = setmetatable ({ stream = stream }, WEAK_VALUES) })
  return function ()
    local queue = stream.queue
    local looks = 0
    while queue.first > queue.last do
      if stream.is_over then
        return nil, stream.problem, stream.code
      end
      -- Most answers of a series are here already, and need no wait with a limit. Others' events do not put that off
      -- for ever.
      if looks < LOOKS_MAX and scheduler.run_one () then
        looks = looks + 1
      else
        local operation = {}
        stream.waiter = operation
        scheduler.limit (operation, limit, NO_ANSWER)
        local _, why, number = await (operation)
        stream.waiter = nil
        if why then
          stream.is_over = true
          return nil, why, number
        end
      end
    end
    local frame = queue[queue.first]
    queue[queue.first] = nil
    queue.first = queue.first + 1
    raw.consume_frame (frame)
    return frame
  end
end

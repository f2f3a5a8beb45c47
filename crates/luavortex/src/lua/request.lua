-- channel:request and channel:answers: MSGs whose replies come to the caller instead of the frame handler.
local raw, lib = ...

local error, setmetatable = error, setmetatable
local scheduler, checked = lib.scheduler, lib.checked
local complete, await = scheduler.complete, scheduler.await
local channel, record_of = lib.channel, lib.channel_record

local NOT_OPEN = "the channel is closed"
local WEAK_VALUES = { __mode = "v" }

-- Sends a MSG whose reply goes to `waiting`. Returns the message number, or nil, message, code; and the channel.
local function ask (object, content, name, waiting)
  local record = record_of (object, name, 4)
  local ok, msgno, code = raw.send_msg (object, content)
  if ok == nil then
    error ((lib.gsub (msgno, "'send_msg'", "'" .. name .. "'")), 3)
  end
  if not ok then
    return nil, msgno, code
  end
  if not record then
    return nil, NOT_OPEN, 13
  end
  local requests = record.requests
  if not requests then
    requests = {}
    record.requests = requests
  end
  requests[msgno] = waiting
  return msgno, nil, nil, record
end

-- How long to wait: `us`, or what the context allows for replies.
local function limit_of (us, object, name)
  local record = record_of (object, name, 4)
  if us ~= nil then
    local _, limit = checked (3, raw.microseconds (us, name, 3))
    return limit
  end
  return lib.reply_timeout (record and record.session.ctx_key)
end

-- A reply that nobody waits for any more: its frames are dropped.
local NOBODY = false

-- Sends a MSG and waits for its reply: a frame (RPY or ERR), or nil, message, code.
function channel.request (object, content, us)
  local limit = limit_of (us, object, "request")
  local operation = {}
  local msgno, message, code, record = ask (object, content, "request", operation)
  if not msgno then
    return nil, message, code
  end
  scheduler.limit (operation, limit, nil, "no reply in time", 9)
  local frame, why, number = await (operation)
  if frame then
    return frame
  end
  if record.requests and record.requests[msgno] then
    record.requests[msgno] = NOBODY
  end
  return nil, why, number
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

-- A frame that somebody asked for. `is_last`: it ends the reply.
function lib.answer (record, waiting, msgno, frame, is_last)
  if is_last then
    record.requests[msgno] = nil
  end
  if waiting and waiting.series then
    local stream = waiting.series.stream
    if stream then
      return push (stream, frame, is_last)
    end
    -- The iterator was collected.
    waiting = NOBODY
  end
  raw.consume_frame (frame)
  if waiting then
    complete (waiting, frame)
  end
end

-- There will be no reply.
function lib.request_failed (waiting, message, code)
  if not waiting then
    return
  end
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

-- Sends a MSG and returns an iterator over the answers to it, one ANS frame after the other. A reply that is no
-- series comes as the one frame it is. The iterator ends with nil, message, code when no answer came in time.
--
-- Answers count against the window of the channel until the iterator has handed them out: a slow reader slows its
-- peer. The channel holds the series weakly, so that one which is left alone early is noticed.
function channel.answers (object, content, us)
  local limit = limit_of (us, object, "answers")
  local stream = { queue = { first = 1, last = 0 } }
  local waiting = { series = setmetatable ({ stream = stream }, WEAK_VALUES) }
  local msgno, message, code = ask (object, content, "answers", waiting)
  if not msgno then
    return nil, message, code
  end
  return function ()
    local queue = stream.queue
    while queue.first > queue.last do
      if stream.is_over then
        return nil, stream.problem, stream.code
      end
      local operation = {}
      stream.waiter = operation
      scheduler.limit (operation, limit, nil, "no answer in time", 9)
      local _, why, number = await (operation)
      stream.waiter = nil
      if why then
        stream.is_over = true
        return nil, why, number
      end
    end
    local frame = queue[queue.first]
    queue[queue.first] = nil
    queue.first = queue.first + 1
    raw.consume_frame (frame)
    return frame
  end
end

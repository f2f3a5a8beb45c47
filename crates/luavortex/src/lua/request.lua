-- channel:request and channel:answers: MSGs whose replies come to the caller instead of the frame handler.
local raw, lib = ...

local error = error
local scheduler, checked = lib.scheduler, lib.checked
local complete, await = scheduler.complete, scheduler.await
local channel, record_of = lib.channel, lib.channel_record

local NOT_OPEN = "the channel is closed"

-- Sends a MSG whose reply goes to `waiting`. Returns the message number, or nil, message, code.
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
  return msgno
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

-- Sends a MSG and waits for its reply: a frame (RPY or ERR), or nil, message, code.
function channel.request (object, content, us)
  local limit = limit_of (us, object, "request")
  local operation = {}
  local msgno, message, code = ask (object, content, "request", operation)
  if not msgno then
    return nil, message, code
  end
  -- The reply that comes too late is for nobody.
  scheduler.limit (operation, limit, nil, "no reply in time", 9)
  local frame, why, number = await (operation)
  if frame then
    return frame
  end
  return nil, why, number
end

-- The frames of one reply, for `answers`.
function lib.stream_push (stream, frame, is_last)
  local queue = stream.queue
  if not is_last or lib.frame_type (frame) ~= "NUL" then
    queue.last = queue.last + 1
    queue[queue.last] = frame
  end
  if is_last then
    stream.is_over = true
  end
  if stream.waiter then
    complete (stream.waiter)
  end
end

-- Sends a MSG and returns an iterator over the answers to it, one ANS frame after the other. A reply that is no
-- series comes as the one frame it is. The iterator ends with nil, message, code when no answer came in time.
function channel.answers (object, content, us)
  local limit = limit_of (us, object, "answers")
  local stream = { queue = { first = 1, last = 0 } }
  local msgno, message, code = ask (object, content, "answers", stream)
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
    return frame
  end
end


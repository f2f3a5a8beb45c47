-- One question, many answers: ANS and NUL; partial frames; MIME headers (contract 5, 6).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:answers"

-- a channel to a listener that hands every MSG to `handler`
local function channel_to (handler, on_frame)
   local conn = t.session (function (ctx) vortex.register_profile (ctx, URI, handler) end)
   return t.ok (conn:open_channel (0, URI, on_frame)), conn
end

-- answers a MSG with as many ANS as its content says
local function count_up (_, channel, frame)
   for index = 1, tonumber (frame.payload) do
      t.equal (channel:send_ans ("answer " .. index, -1, frame.msgno), true)
   end
   t.equal (channel:finalize_ans (frame.msgno), true)
end

test ("D10: answers arrive as ANS with numbers from 0, then a NUL", function ()
   local frames = vortex.asyncqueue.new ()
   local channel = channel_to (count_up, function (_, _, frame) frames:push (frame) end)
   channel:send_msg ("3")
   for index = 1, 3 do
      local frame = t.pop (frames)
      t.equal (frame.type, "ANS")
      t.equal (frame.payload, "answer " .. index)
      t.equal (frame.ans_no, index - 1)
      t.equal (frame.msg_no, 0)
   end
   local last = t.pop (frames)
   t.equal (last.type, "NUL")
   t.equal (last.payload, "")
   t.equal (last.payload_size, 0)
   t.equal (channel.is_ready, true)
end)

test ("the functions of the module do what the methods do", function ()
   local channel = channel_to (function (_, theirs, frame)
      vortex.channel.send_ans (theirs, "whole and more", 5, frame.msgno)
      vortex.channel.send_ans (theirs, "nil size", nil, frame.msgno)
      vortex.channel.finalize_ans (theirs, frame.msgno)
   end)
   local got = {}
   for frame in vortex.channel.answers (channel, "?", t.LIMIT) do
      got[#got + 1] = frame.payload
   end
   t.equal (table.concat (got, ","), "whole,nil size")
end)

test ("answers goes through them and ends at the NUL", function ()
   local channel = channel_to (count_up, t.expect_calls (0, nil, "the frame handler"))
   for _, count in ipairs { 3, 0, 1, 100 } do
      local seen = 0
      for frame in channel:answers (tostring (count), t.LIMIT) do
         t.equal (frame.type, "ANS")
         t.equal (frame.ans_no, seen)
         seen = seen + 1
         t.equal (frame.payload, "answer " .. seen)
      end
      t.equal (seen, count)
   end
end)

test ("a loop over answers may be left early and the channel goes on", function ()
   local channel = channel_to (count_up)
   for _ = 1, 3 do
      for frame in channel:answers ("10", t.LIMIT) do
         if frame.ans_no == 2 then
            break
         end
      end
   end
   local seen = 0
   for _ in channel:answers ("4", t.LIMIT) do
      seen = seen + 1
   end
   t.equal (seen, 4)
   t.equal (channel:close (), true)
end)

test ("answers may be produced slowly, from other handlers", function ()
   local asked = vortex.asyncqueue.new ()
   local channel = channel_to (function (_, theirs, frame)
      asked:push ({ theirs, frame.msgno })
   end)
   vortex.spawn (function ()
      local question = asked:pop ()
      for index = 1, 3 do
         vortex.sleep (1000)
         question[1]:send_ans (tostring (index), -1, question[2])
      end
      vortex.sleep (1000)
      question[1]:finalize_ans (question[2])
   end)
   local got = {}
   for frame in channel:answers ("?", t.LIMIT) do
      got[#got + 1] = frame.payload
   end
   t.equal (table.concat (got), "123")
end)

test ("answers to several questions keep the order of the questions", function ()
   local frames = vortex.asyncqueue.new ()
   local channel = channel_to (count_up, function (_, _, frame) frames:push (frame) end)
   for _ = 1, 5 do
      channel:send_msg ("2")
   end
   for number = 0, 4 do
      for _, kind in ipairs { "ANS", "ANS", "NUL" } do
         local frame = t.pop (frames)
         t.equal (frame.type .. " " .. frame.msg_no, kind .. " " .. number)
      end
   end
end)

test ("large answers arrive whole", function ()
   local content = ("0123456789"):rep (10000)
   local channel = channel_to (function (_, theirs, frame)
      for _ = 1, 3 do
         theirs:send_ans (content, -1, frame.msgno)
      end
      theirs:finalize_ans (frame.msgno)
   end)
   local seen = 0
   for frame in channel:answers ("?", t.LIMIT) do
      t.ok (frame.payload == content)
      seen = seen + 1
   end
   t.equal (seen, 3)
end)

test ("after the NUL no answer can be given, after an ANS no RPY", function ()
   local results = vortex.asyncqueue.new ()
   local channel = channel_to (function (_, theirs, frame)
      t.equal (theirs:send_ans ("one", -1, frame.msgno), true)
      t.failure (false, theirs:send_rpy ("mixed", -1, frame.msgno))
      t.failure (false, theirs:send_err ("mixed", -1, frame.msgno))
      t.equal (theirs:finalize_ans (frame.msgno), true)
      t.failure (false, theirs:send_ans ("late", -1, frame.msgno))
      t.failure (false, theirs:finalize_ans (frame.msgno))
      results:push (true)
   end)
   local seen = 0
   for _ in channel:answers ("?", t.LIMIT) do
      seen = seen + 1
   end
   t.equal (seen, 1)
   t.pop (results)
end)

test ("a wrong size raises in the answering functions too", function ()
   local results = vortex.asyncqueue.new ()
   local channel = channel_to (function (_, theirs, frame)
      for _, name in ipairs { "send_rpy", "send_err", "send_ans" } do
         for _, size in ipairs { 4, -2 } do
            results:push (t.raises (name, theirs[name], theirs, "abc", size, frame.msgno))
         end
      end
      theirs:send_rpy ("abc", 2, frame.msgno)
   end)
   t.equal (channel:request ("?", t.LIMIT).payload, "ab")
   t.equal (results:items (), 6)
end)

test ("answers on a dead channel end without hanging", function ()
   local channel, conn = channel_to (count_up)
   conn:shutdown ()
   local seen = 0
   pcall (function ()
      for _ in channel:answers ("3", 1000000) do
         seen = seen + 1
      end
   end)
   t.equal (seen, 0)
end)

-- ------------------------------------------------------------- partial frames

test ("with set_complete_flag false the pieces of a message are handed over as they come", function ()
   local pieces = vortex.asyncqueue.new ()
   local channel = channel_to (t.echo, function (_, _, frame) pieces:push (frame) end)
   channel:set_complete_flag (false)
   local content = ("0123456789abcdef"):rep (65536)
   channel:send_msg (content)
   local parts, count, sequence = {}, 0, nil
   while true do
      local frame = t.pop (pieces)
      count = count + 1
      parts[count] = frame.payload
      t.equal (frame.type, "RPY")
      t.ok (sequence == nil or frame.seq_no == sequence, "the pieces follow each other")
      sequence = frame.seq_no + frame.content_size
      t.is_type (frame.more_flag, "boolean")
      if not frame.more_flag then
         break
      end
   end
   t.ok (count > 1, "more than one piece")
   t.ok (table.concat (parts) == content, "the pieces make the whole")
   vortex.channel.set_complete_flag (channel, true)
   channel:send_msg (content)
   local whole = t.pop (pieces)
   t.equal (whole.more_flag, false)
   t.ok (whole.payload == content)
end)

-- ---------------------------------------------------------------------- MIME

test ("headers are the sender's business when automatic_mime is off", function ()
   local seen = vortex.asyncqueue.new ()
   local channel = channel_to (function (_, theirs, frame)
      seen:push (frame)
      theirs:send_rpy ("", -1, frame.msgno)
   end)
   t.equal (channel.automatic_mime, true)
   channel.automatic_mime = false
   t.equal (channel.automatic_mime, false)
   channel:send_msg ("Content-Type: text/plain; charset=utf-8\r\nX-Kind: test\r\n\r\nthe body")
   local frame = t.pop (seen)
   t.equal (frame.payload, "the body")
   t.equal (frame.payload_size, 8)
   t.equal (frame.content, "Content-Type: text/plain; charset=utf-8\r\nX-Kind: test\r\n\r\nthe body")
   t.equal (frame.content_size, #frame.content)
   t.equal (frame.content_type, "text/plain; charset=utf-8")
   t.equal (frame:header ("x-kind"), "test")
   t.equal (vortex.frame.header (frame, "X-KIND"), "test")
   t.equal (frame:header ("X-Other"), nil)
   channel:send_msg ("no header line at all")
   frame = t.pop (seen)
   t.equal (frame.payload, "no header line at all")
   t.equal (frame.content, "no header line at all")
   channel.automatic_mime = true
   channel:send_msg ("Content-Type: text/plain\r\n\r\nx")
   t.equal (t.pop (seen).payload, "Content-Type: text/plain\r\n\r\nx")
end)

test ("automatic_mime takes booleans only", function ()
   local channel = channel_to (t.echo)
   for _, value in ipairs { 0, 1, "true", {} } do
      t.raises ("automatic_mime", function () channel.automatic_mime = value end)
   end
   t.equal (channel.automatic_mime, true)
end)

test ("the iterator over answers tells why there are no more when the connection ends", function ()
   -- whether its end waits already when the next answer is asked for, or comes later
   for round = 1, 20 do
      local channel = channel_to (function (conn, channel, frame)
         channel:send_ans ("first", -1, frame.msgno)
         conn:shutdown ()
      end)
      local next_answer = t.ok (channel:answers ("go"))
      t.equal (t.ok (next_answer ()).payload, "first")
      for _ = 1, round do
         vortex.wait_events (100)
      end
      local frame, message, code = next_answer ()
      t.equal (frame, nil)
      t.ok (#t.is_type (message, "string") > 0)
      t.is_type (code, "number")
   end
end)

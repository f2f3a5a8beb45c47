-- vortex.frame (contract 6). Headers are tested in answers_spec.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

-- one frame of each side: what the listener got and what it answered
local function exchange (content)
   local seen = vortex.asyncqueue.new ()
   local uri = "urn:example:luavortex:frames"
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, uri, function (_, channel, frame)
         seen:push (frame)
         channel:send_rpy (frame.payload, -1, frame.msgno)
      end)
   end)
   local channel = conn:open_channel (0, uri)
   local reply = channel:request (content, t.LIMIT)
   return t.pop (seen), reply, channel, conn
end

test ("a frame tells type, numbers, payload and content", function ()
   local question, reply = exchange ("hello")
   t.equal (question.type, "MSG")
   t.equal (reply.type, "RPY")
   for _, frame in ipairs { question, reply } do
      t.equal (frame.payload, "hello")
      t.equal (frame.payload_size, 5)
      t.equal (frame.content, "\r\nhello")
      t.equal (frame.content_size, 7)
      t.equal (frame.msgno, 0)
      t.equal (frame.msg_no, 0)
      t.equal (frame.seqno, 0)
      t.equal (frame.seq_no, 0)
      t.equal (frame.ansno, 0)
      t.equal (frame.ans_no, 0)
      t.equal (frame.more_flag, false)
      t.is_whole (frame.id)
      t.is_whole (frame.ref_count)
      t.ok (tostring (frame):find ("frame", 1, true))
   end
   t.ok (question.id ~= reply.id)
end)

test ("numbers of frames are printed as whole numbers", function ()
   local question = exchange ("hello")
   t.equal (question.type .. question.msgno .. question.seqno .. question.payload_size, "MSG005")
end)

test ("seq_no counts the octets before a message, headers included", function ()
   local _, reply, channel = exchange ("hello")
   t.equal (reply.seq_no, 0)
   local second = channel:request ("second", t.LIMIT)
   t.equal (second.seq_no, 7)
   t.equal (second.msg_no, 1)
   t.equal (channel:request ("", t.LIMIT).seq_no, 7 + 8)
end)

test ("an empty payload is an empty string", function ()
   local question, reply = exchange ("")
   for _, frame in ipairs { question, reply } do
      t.equal (frame.payload, "")
      t.equal (frame.payload_size, 0)
      t.equal (frame.content, "\r\n")
   end
end)

test ("a frame without headers has none to give", function ()
   local frame = exchange ("hello")
   t.equal (frame:header ("Content-Type"), nil)
   t.equal (frame:header (""), nil)
   local kind = frame.content_type
   t.ok (kind == nil or type (kind) == "string")
end)

test ("check knows a frame from everything else", function ()
   local frame, _, channel = exchange ("x")
   t.equal (vortex.frame.check (frame), true)
   t.equal (frame:check (), true)
   for _, other in ipairs { false, 1, "frame", {}, print, channel, io.stdout } do
      t.equal (vortex.frame.check (other), false)
   end
   t.equal (vortex.frame.check (nil), false)
end)

test ("a frame cannot be changed and knows no other attribute", function ()
   local frame = exchange ("x")
   t.equal (frame.no_such_attribute, nil)
   t.raises ("payload", function () frame.payload = "y" end)
   t.equal (frame.payload, "x")
end)

test ("a frame stays readable when everything it came from is gone", function ()
   ---@type any
   local kept
   local function use ()
      local question, reply, channel, conn = exchange ("kept")
      kept = { question, reply }
      channel:close ()
      conn:close ()
   end
   use ()
   collectgarbage ()
   collectgarbage ()
   for _, frame in ipairs (kept) do
      t.equal (frame.payload, "kept")
      t.equal (frame.content_size, 6)
   end
end)

test ("the payload is the same text each time it is read", function ()
   local content = ("nul\0"):rep (50000)
   local _, reply = exchange (content)
   t.ok (reply.payload == content)
   t.ok (reply.payload == reply.payload)
   t.equal (reply.payload_size, 200000)
   t.equal (#reply.content, 200002)
end)

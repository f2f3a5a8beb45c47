-- Sending and receiving on channels (contract 5).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:traffic"

-- a channel to a listener that hands every MSG to `handler`, and the queue
-- of the frames that come back
local function channel_to (handler)
   local conn = t.session (function (ctx) vortex.register_profile (ctx, URI, handler) end)
   local replies = vortex.asyncqueue.new ()
   local channel = t.ok (conn:open_channel (0, URI, function (_, _, frame) replies:push (frame) end))
   return channel, replies, conn
end

-- a listener that keeps the MSGs in a queue, with the channel they came on
local function holding_channel ()
   local held = vortex.asyncqueue.new ()
   local channel, replies, conn = channel_to (function (_, their_channel, frame)
      held:push ({ channel = their_channel, frame = frame })
   end)
   return channel, replies, held, conn
end

test ("send_msg gives the message numbers 0, 1, 2 on every channel", function ()
   local conn = t.session ()
   for _ = 1, 2 do
      local channel, replies = t.echo_channel (conn)
      for number = 0, 9 do
         t.equal (channel:send_msg ("text"), number)
         local frame = t.pop (replies)
         t.equal (frame.msg_no, number)
         t.equal (frame.type, "RPY")
      end
   end
   t.equal (vortex.channel.send_msg (t.echo_channel (conn), "module form"), 0)
end)

test ("D11: the size may be left out, nil, -1, the whole length or a prefix", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   local text = "nul \0 and \195\164\255 end"
   channel:send_msg (text)
   channel:send_msg (text, nil)
   channel:send_msg (text, -1)
   channel:send_msg (text, #text)
   channel:send_msg (text, 5)
   channel:send_msg (text, 0)
   for _, want in ipairs { text, text, text, text, "nul \0", "" } do
      local frame = t.pop (replies)
      t.equal (frame.payload, want)
      t.equal (frame.payload_size, #want)
   end
end)

test ("C14: a size beyond the content or below -1 raises and sends nothing", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   for _, size in ipairs { 6, 1000000000, -2, -1000 } do
      t.raises ("send_msg", channel.send_msg, channel, "12345", size)
   end
   t.equal (channel:send_msg ("after"), 0)
   t.equal (t.pop (replies).payload, "after")
end)

test ("a number is sent as its text", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   channel:send_msg (12345)
   t.equal (t.pop (replies).payload, "12345")
end)

test ("all octets and all sizes around a frame's and a window's edge survive", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   local octets = {}
   for code = 0, 255 do
      octets[#octets + 1] = string.char (code)
   end
   local all = table.concat (octets)
   for _, size in ipairs { 0, 1, 2, 255, 4093, 4094, 4095, 4096, 4097, 8190, 8192, 65535, 65536, 65537 } do
      local content = all:rep (math.ceil (size / 256) + 1):sub (1, size)
      t.ok (channel:send_msg (content))
      t.ok (t.pop (replies).payload == content, "content of " .. size .. " octets")
   end
end)

test ("content that looks like headers, frames or trailers is content", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   for _, content in ipairs {
      "Content-Type: text/plain\r\n\r\nbody", "\r\n\r\n", "\r\n", "END\r\n", "MSG 3 0 . 0 0\r\nEND\r\n", "\n\nx"
   } do
      channel:send_msg (content)
      t.equal (t.pop (replies).payload, content)
   end
end)

test ("a message of a mebibyte arrives in one piece", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   local content = ("0123456789abcde\0"):rep (65536)
   t.ok (channel:send_msg (content))
   local frame = t.pop (replies)
   t.equal (frame.payload_size, #content)
   t.ok (frame.payload == content, "the content")
   t.equal (frame.more_flag, false)
   t.equal (channel:pending (), 0)
end)

test ("five hundred messages sent in a row are answered in order", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   for index = 1, 500 do
      t.equal (channel:send_msg ("message " .. index), index - 1)
   end
   for index = 1, 500 do
      local frame = t.pop (replies)
      t.equal (frame.payload, "message " .. index)
      t.equal (frame.msg_no, index - 1)
   end
end)

test ("messages of several channels do not disturb each other", function ()
   local conn = t.session ()
   local channels = {}
   for index = 1, 5 do
      channels[index] = t.pack (t.echo_channel (conn))
   end
   for round = 1, 20 do
      for index, pair in ipairs (channels) do
         pair[1]:send_msg ((index .. "/" .. round .. " "):rep (500))
      end
   end
   for index, pair in ipairs (channels) do
      for round = 1, 20 do
         t.ok (t.pop (pair[2]).payload == (index .. "/" .. round .. " "):rep (500))
      end
   end
end)

test ("both sides send messages on one channel at the same time", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         if frame.type == "MSG" then
            channel:send_rpy ("answer to " .. frame.payload, -1, frame.msgno)
            t.ok (channel:send_msg ("question about " .. frame.payload))
         end
      end)
   end)
   local seen = {}
   local channel = conn:open_channel (0, URI, t.expect_calls (20, function (_, mine, frame)
      seen[frame.type .. " " .. frame.payload] = true
      if frame.type == "MSG" then
         mine:send_rpy ("ok", -1, frame.msgno)
      end
   end, "the frame handler"))
   for index = 1, 10 do
      channel:send_msg ("m" .. index)
   end
   t.wait_until (function () return seen["MSG question about m10"] and seen["RPY answer to m10"] end)
end)

-- ------------------------------------------------------------------- replies

test ("replies are RPY or ERR and give true", function ()
   local channel, replies, held = holding_channel ()
   channel:send_msg ("one")
   channel:send_msg ("two")
   local first, second = t.pop (held), t.pop (held)
   t.equal (first.channel:send_rpy ("yes", 3, first.frame.msgno), true)
   t.equal (vortex.channel.send_err (second.channel, "no and more", 2, second.frame.msgno), true)
   local rpy, err = t.pop (replies), t.pop (replies)
   t.equal (rpy.type .. " " .. rpy.payload, "RPY yes")
   t.equal (err.type .. " " .. err.payload, "ERR no")
end)

test ("replies leave in the order of the questions, however they were given", function ()
   local channel, replies, held = holding_channel ()
   for index = 1, 3 do
      channel:send_msg ("question " .. index)
   end
   local all = { t.pop (held), t.pop (held), t.pop (held) }
   for index = 3, 1, -1 do
      t.equal (all[index].channel:send_rpy ("answer " .. index, -1, all[index].frame.msgno), true)
   end
   for index = 1, 3 do
      local frame = t.pop (replies)
      t.equal (frame.payload, "answer " .. index)
      t.equal (frame.msgno, index - 1)
   end
end)

test ("a reply to nothing is refused and disturbs nothing", function ()
   local channel, replies, held = holding_channel ()
   channel:send_msg ("question")
   local one = t.pop (held)
   for _, number in ipairs { 1, 7, 2147483647 } do
      t.failure (false, one.channel:send_rpy ("x", -1, number))
      t.failure (false, one.channel:send_err ("x", -1, number))
      t.failure (false, one.channel:send_ans ("x", -1, number))
      t.failure (false, one.channel:finalize_ans (number))
   end
   t.equal (one.channel:send_rpy ("answer", nil, one.frame.msgno), true)
   t.failure (false, one.channel:send_rpy ("again", -1, one.frame.msgno))
   t.failure (false, channel:send_rpy ("nobody asked", -1, 0))
   t.equal (t.pop (replies).payload, "answer")
   t.still_works (channel.conn)
end)

test ("D11: sending on a dead channel fails with the documented values", function ()
   local channel, _, held, conn = holding_channel ()
   channel:send_msg ("question")
   local one = t.pop (held)
   conn:shutdown ()
   t.wait_until (function () return not one.channel.conn:is_ok () end)
   t.failure (nil, channel:send_msg ("x"))
   t.failure (false, one.channel:send_rpy ("x", -1, 0))
   t.failure (false, one.channel:send_err ("x", -1, 0))
   t.failure (false, one.channel:send_ans ("x", -1, 0))
   t.failure (false, one.channel:finalize_ans (0))
   t.failure (nil, channel:request ("x", 1000000))
end)

-- ------------------------------------------------------------ frame handlers

test ("set_frame_received replaces the handler and its data", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   local other = vortex.asyncqueue.new ()
   channel:send_msg ("first")
   t.equal (t.pop (replies).payload, "first")
   t.equal (t.pack (channel:set_frame_received (function (conn, mine, frame, data)
      t.ok (conn == channel.conn and mine == channel)
      other:push (data .. frame.payload)
   end, "data ")).n, 0)
   channel:send_msg ("second")
   t.equal (t.pop (other), "data second")
   vortex.channel.set_frame_received (channel, function (_, _, frame, data)
      other:push ({ frame.payload, data })
   end)
   channel:send_msg ("third")
   local third = t.pop (other)
   t.equal (third[1], "third")
   t.equal (third[2], nil)
   t.equal (replies:items (), 0)
end)

test ("set_frame_received with nil or nothing removes the handler", function ()
   local channel = t.echo_channel ((t.session ()))
   local other = vortex.asyncqueue.new ()
   for round = 1, 2 do
      channel:set_frame_received (t.expect_calls (0))
      if round == 1 then
         channel:set_frame_received (nil)
      else
         channel:set_frame_received ()
      end
      t.ok (channel:send_msg ("to nobody"))
      t.wait_until (function () return channel.is_ready end, "the reply")
   end
   -- the reply is there, and what is there is handed over before the next wait is over
   while vortex.wait_events (-1) do vortex.yield () end
   channel:set_frame_received (function (_, _, frame) other:push (frame.payload) end)
   channel:send_msg ("to somebody")
   t.equal (t.pop (other), "to somebody")
end)

test ("a frame handler gets exactly four values", function ()
   local seen, key = vortex.asyncqueue.new (), {}
   local conn = t.session ()
   local channel = conn:open_channel (0, t.ECHO, function (...) seen:push (t.pack (...)) end, key)
   channel:send_msg ("x")
   local got = t.pop (seen)
   t.equal (got.n, 4)
   t.ok (got[1] == conn and got[2] == channel and vortex.frame.check (got[3]))
   t.equal (got[4], key)
end)

-- ----------------------------------------------------------------- serialize

-- what a handler that rests in the middle writes down for three messages,
-- of which `starts` are begun before the first one goes on
local function trace_of (starts, set)
   local channel = t.echo_channel ((t.session ()))
   local gate, trace, done = vortex.asyncqueue.new (), {}, vortex.asyncqueue.new ()
   set (channel)
   channel:set_frame_received (function (_, _, frame)
      trace[#trace + 1] = "+" .. frame.payload
      gate:pop ()
      trace[#trace + 1] = "-" .. frame.payload
      done:push (true)
   end)
   for index = 1, 3 do
      channel:send_msg (tostring (index))
   end
   t.wait_until (function () return #trace >= starts end, "the handlers to start")
   vortex.yield (20000)
   local before = table.concat (trace, " ")
   for _ = 1, 3 do
      gate:push (true)
   end
   for _ = 1, 3 do
      t.pop (done)
   end
   return before, table.concat (trace, " ")
end

test ("without serialize frames are delivered in order to handlers that overlap", function ()
   local before, after = trace_of (3, function () end)
   t.equal (before, "+1 +2 +3")
   t.equal (after, "+1 +2 +3 -1 -2 -3")
end)

test ("D12: with serialize the next frame waits until the last handler is done", function ()
   local ordered = "+1 -1 +2 -2 +3 -3"
   local before, after = trace_of (1, function (channel) channel:set_serialize (true) end)
   t.equal (before, "+1")
   t.equal (after, ordered)
   t.equal (select (2, trace_of (1, function (channel) channel.set_serialize = true end)), ordered)
   t.equal (select (2, trace_of (1, function (channel) vortex.channel.set_serialize (channel, true) end)), ordered)
end)

test ("serialize may be switched off and on again and no frame is held back", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   for round = 1, 5 do
      channel:set_serialize (true)
      channel:send_msg ("a" .. round)
      channel.set_serialize = false
      channel:send_msg ("b" .. round)
      channel:set_serialize (true)
      channel:send_msg ("c" .. round)
      for _, letter in ipairs { "a", "b", "c" } do
         t.equal (t.pop (replies).payload, letter .. round)
      end
   end
   t.is_type (channel.set_serialize, "function", "the method is still there")
end)

-- -------------------------------------------------------------------- state

test ("is_ready is false while a reply is outstanding", function ()
   local channel, replies, held = holding_channel ()
   t.equal (channel.is_ready, true)
   channel:send_msg ("question")
   t.equal (channel.is_ready, false)
   local one = t.pop (held)
   t.equal (channel.is_ready, false)
   one.channel:send_rpy ("answer", -1, one.frame.msgno)
   t.pop (replies)
   t.equal (channel.is_ready, true)
end)

test ("pending counts the octets that are not on the wire yet", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   t.equal (channel:pending (), 0)
   channel.conn:block ()
   local content = ("x"):rep (1024 * 1024)
   t.ok (channel:send_msg (content))
   t.ok (t.is_whole (channel:pending ()) > 0)
   channel.conn:block (false)
   t.equal (t.pop (replies).payload_size, #content)
   t.equal (channel:pending (), 0)
end)

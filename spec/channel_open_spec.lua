-- Opening channels and registering profiles (contract 2 and 4).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:opening"
local UNKNOWN = "urn:example:luavortex:nobody-serves-this"

-- a session whose listener has `handler` as start handler of URI
local function session_with_start (handler, data)
   return t.session (function (ctx)
      vortex.register_profile (ctx, URI, t.echo, nil, handler, data)
   end)
end

test ("a channel opens and tells its number, profile and connection", function ()
   local conn = t.session ()
   local channel = conn:open_channel (0, t.ECHO)
   t.equal (vortex.channel.check (channel), true)
   t.equal (channel:check (), true)
   t.equal (channel.number, 3)
   t.equal (channel.profile, t.ECHO)
   t.equal (channel.is_ready, true)
   t.ok (channel.conn == conn)
   t.is_whole (channel.ref_count)
   t.ok (tostring (channel):find ("channel", 1, true))
end)

test ("automatic numbers are 3, 5, 7 and are not used again", function ()
   local conn = t.session ()
   local first = t.ok (vortex.connection.open_channel (conn, 0, t.ECHO))
   t.equal (first.number, 3)
   t.equal (conn:open_channel (0, t.ECHO).number, 5)
   t.equal (first:close (), true)
   t.equal (conn:open_channel (0, t.ECHO).number, 7)
end)

test ("the listening side opens channels with even numbers from 4", function ()
   local conn, peer, _, client_ctx = t.both_ends ()
   vortex.register_profile (client_ctx, URI, t.echo)
   local first = t.ok (peer:open_channel (0, URI))
   t.equal (first.number, 4)
   t.equal (peer:open_channel (0, URI).number, 6)
   t.equal (first:request ("from the listener", t.LIMIT).payload, "from the listener")
   t.equal (#conn:find_by_uri (URI), 2)
end)

test ("a number may be chosen, and does not move the automatic ones", function ()
   t.not_through_a_relay () -- an even number is the listener's to choose
   local conn = t.session ()
   for _, number in ipairs { 1, 10, 99, 2147483647 } do
      t.equal (conn:open_channel (number, t.ECHO).number, number)
   end
   t.equal (conn:open_channel (0, t.ECHO).number, 3)
end)

test ("a number in use fails and is stacked, the channel that has it goes on", function ()
   local conn = t.session ()
   local channel = conn:open_channel (11, t.ECHO)
   t.failure (nil, conn:open_channel (11, t.ECHO))
   t.ok (conn:pop_channel_error ())
   t.equal (channel:request ("fine", t.LIMIT).payload, "fine")
   t.equal (conn.num_channels, 2)
end)

test ("a chosen number is free again after its channel was closed", function ()
   local conn = t.session ()
   for _ = 1, 3 do
      t.equal (conn:open_channel (15, t.ECHO):close (), true)
   end
end)

test ("automatic numbers step over a number that was chosen", function ()
   local conn = t.session ()
   t.ok (conn:open_channel (3, t.ECHO))
   local channel = t.ok (conn:open_channel (0, t.ECHO))
   t.ok (channel.number > 3 and channel.number % 2 == 1)
end)

test ("a denied channel gives nil, a message and a code", function ()
   local conn = session_with_start (function () return false end)
   local message, code = t.failure (nil, conn:open_channel (0, URI))
   t.equal (code, 421)
   t.ok (#message > 0)
   t.equal (select (2, t.failure (nil, conn:open_channel (0, UNKNOWN))), 554)
   t.equal (conn.num_channels, 1)
   t.still_works (conn)
end)

-- ------------------------------------------------------------ asynchronously

test ("with on_channel the call returns nil at once and the handler gets the channel", function ()
   local conn, seen, key = t.session (), vortex.asyncqueue.new (), {}
   local on_channel = t.expect_calls (1, function (...) seen:push (t.pack (...)) end, "on_channel")
   t.equal (conn:open_channel (0, t.ECHO, nil, nil, on_channel, key), nil)
   local got = t.pop (seen)
   t.equal (got.n, 4)
   t.equal (got[1], 3)
   t.equal (got[2].number, 3)
   t.ok (got[3] == conn)
   t.equal (got[4], key)
   t.equal (got[2]:request ("hello", t.LIMIT).payload, "hello")
end)

test ("a failed asynchronous opening hands over -1 and nil", function ()
   local conn = session_with_start (function () return false end)
   for _, uri in ipairs { URI, UNKNOWN } do
      local seen = vortex.asyncqueue.new ()
      conn:open_channel (0, uri, nil, nil, t.expect_calls (1, function (...) seen:push (t.pack (...)) end), "data")
      local got = t.pop (seen)
      t.equal (got[1], -1)
      t.equal (got[2], nil)
      t.ok (got[3] == conn)
      t.equal (got[4], "data")
   end
   t.still_works (conn)
end)

test ("B3: on_channel is called once on a dead connection too", function ()
   local conn, seen = t.session (), vortex.asyncqueue.new ()
   local failed = vortex.connection.new (t.new_ctx (), "127.0.0.1", "none")
   local closed = t.session ()
   conn:shutdown ()
   t.equal (closed:close (), true)
   for _, dead in ipairs { conn, failed, closed } do
      t.equal (dead:open_channel (0, t.ECHO, nil, nil, t.expect_calls (1, function (...)
         seen:push (t.pack (...))
      end)), nil)
      local got = t.pop (seen)
      t.equal (got[1], -1)
      t.equal (got[2], nil)
      t.equal (vortex.connection.check (got[3]), true)
   end
end)

test ("on_channel is called once when the session ends before the answer", function ()
   local conn = session_with_start (function (_, peer)
      peer:shutdown ()
      return true
   end)
   conn:open_channel (0, URI, nil, nil, t.expect_calls (1, function (number, channel)
      t.equal (number, -1)
      t.equal (channel, nil)
   end, "on_channel"))
end)

test ("a number in use reaches on_channel", function ()
   local conn = t.session ()
   local channel = t.ok (conn:open_channel (0, t.ECHO))
   conn:open_channel (channel.number, t.ECHO, nil, nil, t.expect_calls (1, function (number, none)
      t.equal (number, -1)
      t.equal (none, nil)
   end))
end)

test ("many channels can be asked for at once", function ()
   local conn, seen = t.session (), vortex.asyncqueue.new ()
   for _ = 1, 30 do
      conn:open_channel (0, t.ECHO, nil, nil, function (number) seen:push (number) end)
   end
   local numbers = {}
   for _ = 1, 30 do
      local number = t.pop (seen)
      t.ok (number > 0 and not numbers[number])
      numbers[number] = true
   end
   t.equal (conn.num_channels, 31)
end)

-- ------------------------------------------------------------ start handlers

test ("a start handler gets number, connection, data, content and encoding", function ()
   local seen, key = vortex.asyncqueue.new (), {}
   local conn = session_with_start (function (...)
      seen:push (t.pack (...))
      return true
   end, key)
   t.ok (conn:open_channel (9, URI, nil, nil, nil, nil, nil, nil, nil, "what rides along"))
   local got = t.pop (seen)
   t.equal (got.n, 5)
   t.equal (got[1], 9)
   t.equal (got[2].role, "listener")
   t.equal (got[3], key)
   t.equal (got[4], "what rides along")
   t.ok (got[5] == nil or got[5] == vortex.encoding_NONE or got[5] == 0, "the encoding")
end)

test ("a start without content hands over no content", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = session_with_start (function (...)
      seen:push (t.pack (...))
      return true
   end)
   t.ok (conn:open_channel (0, URI))
   local got = t.pop (seen)
   t.equal (got[3], nil)
   t.ok (got[4] == nil or got[4] == "", "the content")
end)

test ("D2: content with encoding base64 arrives as it was given, and says so", function ()
   for _, encoding in ipairs { 1, 3 } do
      local seen = vortex.asyncqueue.new ()
      local conn = session_with_start (function (_, _, _, content, got_encoding)
         seen:push (content)
         seen:push (got_encoding)
         return true
      end)
      t.ok (conn:open_channel (0, URI, nil, nil, nil, nil, nil, nil, encoding, "aGVsbG8="))
      t.equal (t.pop (seen), "aGVsbG8=")
      t.equal (t.pop (seen), vortex.encoding_BASE64)
   end
end)

test ("content with XML characters arrives as it was given", function ()
   local content = "<a b='1'>&amp; \"]]>\" <![CDATA[ \195\164 ]]></a>"
   local seen = vortex.asyncqueue.new ()
   local conn = session_with_start (function (_, _, _, got)
      seen:push (got)
      return true, got
   end)
   local answers = vortex.asyncqueue.new ()
   t.ok (conn:open_channel (0, URI, function (_, _, frame)
      answers:push (frame.payload)
   end, nil, nil, nil, nil, nil, 0, content))
   t.equal (t.pop (seen), content)
   t.equal (t.pop (answers), content)
end)

test ("D2: content given back by the start handler reaches the frame handler as RPY 0", function ()
   local conn = session_with_start (function () return true, "welcome" end)
   for _, asynchronous in ipairs { false, true } do
      local frames, channel = vortex.asyncqueue.new (), nil
      local on_channel = asynchronous and function (_, opened) channel = opened end or nil
      local on_frame = t.expect_calls (2, function (_, _, frame, data)
         t.equal (data, "data")
         frames:push (frame)
      end, "the frame handler")
      channel = conn:open_channel (0, URI, on_frame, "data", on_channel)
      local frame = t.pop (frames)
      t.equal (frame.type, "RPY")
      t.equal (frame.msg_no, 0)
      t.equal (frame.payload, "welcome")
      t.wait_until (function () return channel end)
      t.ok (channel:send_msg ("and now a message"))
      t.equal (t.pop (frames).payload, "and now a message")
   end
end)

test ("any true value accepts a channel, everything else denies it", function ()
   local answer
   local conn = session_with_start (function () return answer end)
   for _, value in ipairs { true, 1, "false", {} } do
      answer = value
      t.ok (conn:open_channel (0, URI), "accepted with " .. tostring (value))
   end
   answer = false
   t.equal (select (2, t.failure (nil, conn:open_channel (0, URI))), 421)
   answer = nil
   t.equal (select (2, t.failure (nil, conn:open_channel (0, URI))), 421)
end)

test ("a start handler that raises denies the channel and is reported", function ()
   local errors = t.handler_errors ()
   local conn = session_with_start (function () error ("no such luck") end)
   t.equal (select (2, t.failure (nil, conn:open_channel (0, URI))), 421)
   t.equal (#errors, 1)
   t.ok (errors[1].message:find ("no such luck", 1, true))
   t.still_works (conn)
end)

test ("a start handler can choose code and text of its refusal", function ()
   local conn = session_with_start (function () return false, 450, "come back <later> & 'knock'" end)
   local message, code = t.failure (nil, conn:open_channel (0, URI))
   t.equal (code, 450)
   t.ok (message:find ("come back <later> & 'knock'", 1, true), message)
   local stacked = conn:pop_channel_error ()
   t.equal (stacked[1], 450)
   t.equal (stacked[2], "come back <later> & 'knock'")
end)

test ("a start handler may take its time, others go on meanwhile", function ()
   local gate = vortex.asyncqueue.new ()
   local conn = session_with_start (function ()
      return gate:pop ()
   end)
   local opened = vortex.asyncqueue.new ()
   conn:open_channel (0, URI, nil, nil, function (number) opened:push (number) end)
   -- replies on channel 0 keep their order, so nothing else is opened meanwhile
   vortex.yield (5000)
   t.equal (opened:items (), 0)
   gate:push (true)
   t.equal (t.pop (opened), 3)
end)

test ("a start handler sees the new name, and the connection the start came from", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = session_with_start (function (_, peer)
      seen:push (peer.server_name)
      seen:push (peer:is_ok ())
      return true
   end)
   t.ok (conn:open_channel (0, URI))
   t.equal (t.pop (seen), "127.0.0.1")
   t.equal (t.pop (seen), true)
end)

-- ------------------------------------------------------------------ profiles

test ("a profile may have no handler at all", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI)
      vortex.register_profile (ctx, UNKNOWN, nil, nil, nil, nil, nil, nil)
   end)
   local channel = t.ok (conn:open_channel (0, URI))
   t.equal (channel:send_msg ("nobody listens"), 0)
   t.ok (conn:open_channel (0, UNKNOWN))
end)

test ("a profile registered again is replaced", function ()
   local conn, _, _, server = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         channel:send_rpy ("old", -1, frame.msgno)
      end)
   end)
   t.equal (conn:open_channel (0, URI):request ("?", t.LIMIT).payload, "old")
   vortex.register_profile (server, URI, function (_, channel, frame, data)
      channel:send_rpy (data, -1, frame.msgno)
   end, "new")
   t.equal (conn:open_channel (0, URI):request ("?", t.LIMIT).payload, "new")
end)

test ("a profile may be registered before init and after the listener was made", function ()
   local server, client = vortex.ctx.new (), t.new_ctx ()
   vortex.register_profile (server, t.ECHO, t.echo)
   t.equal (server:init (), true)
   local listener = t.listen (server)
   local conn = t.connect (client, listener)
   t.still_works (conn)
   vortex.register_profile (server, URI, t.echo)
   t.ok (conn:open_channel (0, URI))
   server:exit ()
end)

test ("opening a channel registers nothing", function ()
   local conn, peer, _, client = t.both_ends (function (ctx) vortex.register_profile (ctx, URI, t.echo) end)
   t.ok (conn:open_channel (0, URI))
   t.equal (select (2, t.failure (nil, peer:open_channel (0, URI))), 554)
   vortex.register_profile (client, URI, t.echo)
   t.ok (peer:open_channel (0, URI))
end)

test ("the profile's handler serves channels this side opened without one of their own", function ()
   local conn, _, client = t.session ()
   local frames = vortex.asyncqueue.new ()
   vortex.register_profile (client, t.ECHO, function (_, _, frame, data)
      frames:push (data .. frame.payload)
   end, "fallback: ")
   conn:open_channel (0, t.ECHO):send_msg ("hello")
   t.equal (t.pop (frames), "fallback: hello")
end)

test ("a profile name with quotes and markup opens like any other", function ()
   local uri = "urn:example:it's \"<quoted>\" & more"
   local conn = t.session (function (ctx) vortex.register_profile (ctx, uri, t.echo) end)
   local channel = t.ok (conn:open_channel (0, uri))
   t.equal (channel.profile, uri)
   t.equal (channel:request ("fine", t.LIMIT).payload, "fine")
end)

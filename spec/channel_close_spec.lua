-- Closing channels and asking on them (contract 5).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:closing"

-- a session whose listener asks `close` about closing channels of URI
local function session_with_close (close, data)
   return t.session (function (ctx)
      vortex.register_profile (ctx, URI, t.echo, nil, nil, nil, close, data)
   end)
end

test ("close ends a channel with a true value", function ()
   local conn = t.session ()
   local channel = t.echo_channel (conn)
   t.equal (channel:close (), true)
   t.equal (channel.is_ready, false)
   t.equal (conn.num_channels, 1)
   t.equal (vortex.channel.close (t.echo_channel (conn)), true)
   t.equal (conn:is_ok (), true)
end)

test ("a closed channel stays safe to use", function ()
   local conn = t.session ()
   local channel = t.echo_channel (conn)
   channel:close ()
   t.is_type (channel:close (), "boolean")
   t.failure (nil, channel:send_msg ("x"))
   t.failure (false, channel:send_rpy ("x", -1, 0))
   t.failure (nil, channel:request ("x", 1000000))
   channel:set_frame_received (function () end)
   channel:set_serialize (true)
   channel:on_close_request (function () end)
   t.equal (channel:check (), true)
   t.is_type (channel.number, "number")
   t.is_type (tostring (channel), "string")
   t.equal (channel:pending (), 0)
   t.equal (channel.is_ready, false)
end)

test ("both ends of a closed channel know it", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         seen:push (channel)
         t.echo (nil, channel, frame)
      end)
   end)
   local channel = conn:open_channel (0, URI)
   t.ok (channel:request ("x", t.LIMIT))
   local theirs = t.pop (seen)
   t.equal (theirs.is_ready, true)
   t.equal (channel:close (), true)
   t.wait_until (function () return theirs.is_ready == false end)
   t.failure (nil, theirs:send_msg ("x"))
end)

test ("is_ready is false when the connection is gone, on either side's wish", function ()
   for _, finish in ipairs { "shutdown", "close" } do
      local conn, peer = t.both_ends ()
      local mine, other = t.echo_channel (conn), t.echo_channel (conn)
      t.equal (mine.is_ready, true)
      peer[finish] (peer)
      t.wait_until (function () return not conn:is_ok () end)
      t.equal (mine.is_ready, false)
      t.equal (other.is_ready, false)
   end
end)

test ("the listening side may close a channel too", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         t.echo (nil, channel, frame)
         seen:push (channel:close ())
      end)
   end)
   local channel = conn:open_channel (0, URI)
   t.ok (channel:request ("please close", t.LIMIT))
   t.equal (t.pop (seen), true)
   t.wait_until (function () return not channel.is_ready end)
   t.equal (conn.num_channels, 1)
end)

test ("both sides may close one channel at the same moment", function ()
   local conn, peer = t.both_ends ()
   local results = vortex.asyncqueue.new ()
   local channel = t.echo_channel (conn)
   local theirs = peer:find_by_uri (t.ECHO)[1]
   for _, one in ipairs { channel, theirs } do
      vortex.spawn (function () results:push (one:close ()) end)
   end
   t.is_type (t.pop (results), "boolean")
   t.is_type (t.pop (results), "boolean")
   t.wait_until (function () return conn.num_channels == 1 and peer.num_channels == 1 end)
   t.still_works (conn)
end)

-- ------------------------------------------------------------ close handlers

test ("D1: a profile's close handler gets number, connection and data", function ()
   local seen, key = vortex.asyncqueue.new (), {}
   local conn = session_with_close (function (...)
      seen:push (t.pack (...))
      return true
   end, key)
   local channel = conn:open_channel (0, URI)
   local number = channel.number
   t.equal (channel:close (), true)
   local got = t.pop (seen)
   t.equal (got.n, 3)
   t.equal (got[1], number)
   t.equal (got[2].role, "listener")
   t.equal (got[3], key)
end)

test ("true or nothing accepts a close, false or an error refuses it", function ()
   local errors = t.handler_errors ()
   local answer
   local conn = session_with_close (function () return answer () end)
   for _, accept in ipairs { function () return true end, function () end } do
      answer = accept
      t.equal (conn:open_channel (0, URI):close (), true)
   end
   for _, refuse in ipairs { function () return false end, function () error "not now" end } do
      answer = refuse
      local channel = conn:open_channel (0, URI)
      local _, code = t.failure (false, channel:close ())
      t.equal (code, 550)
      t.equal (conn:pop_channel_error ()[1], 550)
      answer = function () return true end
      t.equal (channel:close (), true)
   end
   t.equal (#errors, 1)
end)

test ("a channel that may not be closed can still be used, and closed later", function ()
   local willing = false
   local conn = session_with_close (function () return willing end)
   local channel = conn:open_channel (0, URI)
   for round = 1, 3 do
      t.equal (select (2, t.failure (false, channel:close ())), 550)
      t.equal (channel.is_ready, true)
      t.equal (channel:send_msg ("message"), (round - 1) * 2)
      t.wait_until (function () return channel.is_ready end, "the reply")
      t.equal (channel:request ("question", t.LIMIT).payload, "question")
   end
   t.equal (conn.num_channels, 2)
   willing = true
   t.equal (channel:close (), true)
   t.equal (conn.num_channels, 1)
end)

test ("a close handler may wait before it answers", function ()
   local gate = vortex.asyncqueue.new ()
   local conn = session_with_close (function () return gate:pop () end)
   local channel, result = conn:open_channel (0, URI), vortex.asyncqueue.new ()
   vortex.spawn (function () result:push (channel:close ()) end)
   t.equal (result:timedpop (10000), nil)
   gate:push (true)
   t.equal (t.pop (result), true)
end)

test ("D2: the on_close handler of open_channel is asked when the peer closes", function ()
   local seen, key, willing = vortex.asyncqueue.new (), {}, false
   local conn, peer = t.both_ends ()
   local channel = conn:open_channel (0, t.ECHO, nil, nil, nil, nil, function (...)
      seen:push (t.pack (...))
      return willing
   end, key)
   local theirs = peer:find_by_uri (t.ECHO)[1]
   t.equal (select (2, t.failure (false, theirs:close ())), 550)
   local got = t.pop (seen)
   t.equal (got.n, 3)
   t.equal (got[1], channel.number)
   t.ok (got[2] == conn)
   t.equal (got[3], key)
   t.equal (channel:request ("still open", t.LIMIT).payload, "still open")
   willing = true
   t.equal (theirs:close (), true)
   t.equal (channel.is_ready, false)
end)

test ("on_close_request sets the close handler of one channel, and nil removes it", function ()
   local seen, answer = vortex.asyncqueue.new (), false
   local conn, peer = t.both_ends ()
   local guarded, other = conn:open_channel (0, t.ECHO), conn:open_channel (0, t.ECHO)
   guarded:on_close_request (function (number, handler_conn, data)
      t.equal (number, guarded.number)
      t.ok (handler_conn == conn)
      seen:push (data)
      return answer
   end, "data")
   local theirs = peer:find_by_uri (t.ECHO)
   t.equal (theirs[2]:close (), true)
   t.equal (other.is_ready, false)
   t.equal (select (2, t.failure (false, theirs[1]:close ())), 550)
   t.equal (t.pop (seen), "data")
   vortex.channel.on_close_request (guarded, nil)
   t.equal (theirs[1]:close (), true)
   t.equal (seen:items (), 0)
end)

-- ------------------------------------------------- replies that are still owed

test ("close waits for the replies that are owed", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   for _ = 1, 50 do
      channel:send_msg ("message")
   end
   t.equal (channel:close (), true)
   t.wait_until (function () return replies:items () == 50 end, "the replies")
end)

test ("H7: closing never waits longer than the limit for replies that do not come", function ()
   t.script_prints ("false string number\nfalse string number\ntrue", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      vortex.register_profile (ctx, "urn:example:silent")
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      local channel = conn:open_channel (0, "urn:example:silent")
      channel:send_msg ("is anybody there?")
      for _, object in ipairs { channel, conn } do
         local done, message, code = object:close ()
         print (tostring (done) .. " " .. type (message) .. " " .. type (code))
      end
      print (tostring (conn:is_ok ()))
   ]], "VORTEX_SYNC_TIMEOUT=300000")
end)

test ("B3: opening a channel never waits longer than the limit", function ()
   t.script_prints ("nil string number\nnumber string", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      vortex.register_profile (ctx, "urn:example:slow", nil, nil, function () vortex.sleep (20000000) end)
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      local channel, message, code = conn:open_channel (0, "urn:example:slow")
      print (tostring (channel) .. " " .. type (message) .. " " .. type (code))
      local stacked = conn:pop_channel_error ()
      print (type (stacked[1]) .. " " .. type (stacked[2]))
      os.exit (0)
   ]], "VORTEX_SYNC_TIMEOUT=300000")
end)

-- ------------------------------------------------------------------ requests

test ("request sends a message and gives the frame that answers it", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   local frame = channel:request ("question", t.LIMIT)
   t.equal (vortex.frame.check (frame), true)
   t.equal (frame.type, "RPY")
   t.equal (frame.payload, "question")
   t.equal (vortex.channel.request (channel, "module form").payload, "module form")
   t.equal (channel:send_msg ("and an ordinary one"), 2)
   t.equal (t.pop (replies).payload, "and an ordinary one")
   t.equal (replies:items (), 0, "answers of requests do not go to the handler as well")
end)

test ("an ERR answer of a request is a frame of type ERR", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         channel:send_err ("no", -1, frame.msgno)
      end)
   end)
   local frame = conn:open_channel (0, URI):request ("please", t.LIMIT)
   t.equal (frame.type, "ERR")
   t.equal (frame.payload, "no")
end)

test ("a request that is not answered in time fails", function ()
   local held = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         held:push ({ channel, frame })
      end)
   end)
   local channel = conn:open_channel (0, URI)
   t.failure (nil, channel:request ("first", 20000))
   -- the late answer to the first must not be taken for that of the second
   local late = t.pop (held)
   t.equal (late[1]:send_rpy ("late", -1, late[2].msgno), true)
   vortex.spawn (function ()
      local next_one = t.pop (held)
      next_one[1]:send_rpy ("in time", -1, next_one[2].msgno)
   end)
   t.equal (channel:request ("second", t.LIMIT).payload, "in time")
end)

test ("a request ends when the connection does", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (peer) peer:shutdown () end)
   end)
   t.failure (nil, conn:open_channel (0, URI):request ("please hang up", t.LIMIT))
   t.equal (conn:is_ok (), false)
end)

test ("requests of several handlers on one channel get their own answers", function ()
   local channel, done = t.echo_channel ((t.session ())), vortex.asyncqueue.new ()
   for index = 1, 20 do
      vortex.spawn (function ()
         local frame = channel:request ("question " .. index, t.LIMIT)
         done:push (frame and frame.payload == "question " .. index)
      end)
   end
   for _ = 1, 20 do
      t.equal (t.pop (done), true)
   end
end)

-- Attributes: each one in every state an object can be in, with its value, and none of
-- them written by accident (contract 3 to 6).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:attributes"

-- judges of values that are not known beforehand
local function whole (value)
   return type (value) == "number" and value % 1 == 0
end

local function counted (value)
   return whole (value) and value > 0
end

local function text (value)
   return type (value) == "string" and value ~= ""
end

local function port (value)
   return type (value) == "string" and tonumber (value) > 0
end

local NONE = {} -- stands for nil in the lists below

-- compares each attribute with its value in `wanted`: a value, NONE, or a function that judges
local function check (state, object, wanted)
   for name, want in pairs (wanted) do
      local got = object[name]
      local what = state .. ", " .. name
      if type (want) == "function" then
         t.ok (want (got), what .. ", which is " .. tostring (got))
      elseif want == NONE then
         t.equal (got, nil, what)
      else
         t.equal (got, want, what)
      end
   end
   t.equal (object.no_such_attribute, nil, state)
   t.equal (object[""], nil, state)
   t.equal (object[1], nil, state)
end

-- writing raises an error that names the attribute and the line, and changes nothing
local function check_read_only (state, object, wanted)
   for name in pairs (wanted) do
      local message = t.raises (name, function () object[name] = "written" end)
      t.ok (message:find ("attributes_spec.lua:", 1, true), message)
      t.ok (object[name] ~= "written", state .. ", " .. name)
   end
   t.raises ("no_such_attribute", function () object.no_such_attribute = 1 end)
   t.equal (object.no_such_attribute, nil, state)
end

-- what an object tells must depend neither on having been asked before nor on a try to write
local function check_state (state, object, wanted)
   check (state, object, wanted)
   check_read_only (state, object, wanted)
   check (state, object, wanted)
end

-- --------------------------------------------------------------- connections

local function with (wanted, changes)
   local all = {}
   for name, want in pairs (wanted) do
      all[name] = want
   end
   for name, want in pairs (changes) do
      all[name] = want
   end
   return all
end

-- a connection that works, made by `ctx`
local function connected (conn, listener, ctx)
   return {
      id = counted, ctx = ctx, status = vortex.status_OK, error_msg = text, role = "initiator",
      host = "127.0.0.1", port = t.port_to (listener), host_ip = "127.0.0.1", local_addr = "127.0.0.1", local_port = port,
      server_name = "127.0.0.1", num_channels = 1, ref_count = counted
   }
end

-- the addresses of one that is over may still be told, or not
local function maybe (judge)
   return function (value)
      return value == nil or judge (value)
   end
end

local function over (wanted, status)
   return with (wanted, {
      status = status, host_ip = maybe (text), local_addr = maybe (text), local_port = maybe (port),
      server_name = maybe (text), num_channels = whole
   })
end

local function check_over (state, conn, wanted)
   check_state (state, conn, wanted)
   t.equal (conn:is_ok (), false, state)
   t.equal (conn:is_blocked (), false, state)
   t.equal (conn:is_tls (), false, state)
end

test ("attributes of a connection that works", function ()
   local conn, _, listener, ctx = t.both_ends ()
   check_state ("connected", conn, connected (conn, listener, ctx))
   t.equal (conn:is_ok (), true)
   check_state ("through a channel", t.echo_channel (conn).conn,
      with (connected (conn, listener, ctx), { id = conn.id, num_channels = 2, local_port = conn.local_port }))
end)

test ("attributes of a connection before its first channel", function ()
   local conn, listener, ctx = t.session ()
   check_state ("fresh", conn, with (connected (conn, listener, ctx), { server_name = NONE }))
   local named = vortex.connection.new (ctx, "127.0.0.1", t.port_to (listener), "www.example.org")
   t.equal (named.host, "127.0.0.1")
   t.ok (named.server_name == nil or named.server_name == "www.example.org")
   t.ok (named:open_channel (0, t.ECHO))
   check_state ("named", named, with (connected (named, listener, ctx),
      { server_name = "www.example.org", num_channels = 2 }))
end)

test ("attributes of a connection that was accepted", function ()
   t.not_through_a_relay ()
   local conn, peer, listener, _, server = t.both_ends ()
   check_state ("accepted", peer, with (connected (conn, listener, server),
      { role = "listener", port = conn.local_port, local_port = conn.port }))
   t.equal (peer:is_ok (), true)
end)

test ("attributes of a listener, while it listens and afterwards", function ()
   local _, listener, _, server = t.session ()
   local wanted = {
      id = counted, ctx = server, status = vortex.status_OK, error_msg = text, role = "master-listener",
      host = "127.0.0.1", port = port, host_ip = "127.0.0.1", local_addr = "127.0.0.1", local_port = listener.port,
      server_name = NONE, num_channels = -1, ref_count = counted
   }
   check_state ("listening", listener, wanted)
   t.equal (listener:is_ok (), true)
   listener:shutdown ()
   check_over ("shut down listener", listener, with (over (wanted, vortex.status_CONNECTION_FORCED_CLOSE), { host_ip = NONE }))
end)

test ("attributes of a listener that cannot listen", function ()
   local _, listener, _, server = t.session ()
   for place, status in pairs { ["127.0.0.1"] = vortex.status_BIND_ERROR, ["no-such-host.invalid"] = vortex.status_NAME_RESOLVE_ERROR } do
      local failed = vortex.create_listener (server, place, listener.port)
      check_over ("failed listener on " .. place, failed, {
         id = whole, ctx = maybe (vortex.ctx.check), status = status, error_msg = text, role = text,
         host = maybe (function (host) return host == place end), port = maybe (text), host_ip = NONE, local_addr = maybe (text),
         local_port = maybe (text), server_name = NONE, num_channels = -1, ref_count = whole
      })
   end
end)

test ("attributes of a connection that could not be made", function ()
   local ctx = t.new_ctx ()
   local listener = t.listen (ctx)
   local dead_port = listener.port
   listener:shutdown ()
   for _, case in ipairs {
      { "127.0.0.1", dead_port, vortex.status_CONNECTION_ERROR },
      { "no-such-host.invalid", "10288", vortex.status_NAME_RESOLVE_ERROR }
   } do
      local failed = vortex.connection.new (ctx, case[1], case[2])
      check_over ("failed on " .. case[1], failed, {
         id = counted, ctx = ctx, status = case[3], error_msg = text, role = "initiator", host = case[1], port = case[2],
         host_ip = NONE, local_addr = maybe (text), local_port = maybe (text), server_name = NONE, num_channels = 1,
         ref_count = counted
      })
   end
end)

test ("attributes of a connection of a ctx that does not run", function ()
   local exited = t.new_ctx ()
   exited:exit ()
   for state, ctx in pairs { fresh = vortex.ctx.new (), exited = exited } do
      check_over (state .. " ctx", vortex.connection.new (ctx, "127.0.0.1", "1"), {
         id = whole, ctx = maybe (vortex.ctx.check), status = function (status) return status ~= vortex.status_OK end,
         error_msg = text, role = text, host = maybe (text), port = maybe (text), host_ip = NONE, local_addr = NONE,
         local_port = NONE, server_name = NONE, num_channels = whole, ref_count = whole
      })
   end
end)

test ("attributes of a connection that was closed", function ()
   local conn, peer, _, ctx = t.both_ends ()
   local id, other = conn.id, t.echo_channel (conn).conn
   t.equal (conn:close (), true)
   -- the object that was closed stands for nothing any more
   check_over ("closed", conn, {
      id = -1, ctx = maybe (vortex.ctx.check), status = 4, error_msg = text, role = "unknown", host = NONE, port = NONE,
      host_ip = NONE, local_addr = NONE, local_port = NONE, server_name = NONE, num_channels = -1, ref_count = -1
   })
   -- the one of a handler still tells what it was
   t.equal (other.id, id)
   t.equal (other.role, "initiator")
   t.equal (other.host, "127.0.0.1")
   t.equal (other.status, vortex.status_CONNECTION_CLOSE_CALLED)
   t.wait_until (function () return not peer:is_ok () end)
   t.equal (peer.status, vortex.status_CONNECTION_CLOSE_CALLED)
   t.equal (peer.role, "listener")
   t.ok (ctx)
end)

-- the ways in which a connection ends without the script having closed it, and the status that tells
for _, case in ipairs {
   { "shut down", vortex.status_CONNECTION_FORCED_CLOSE, function (conn) conn:shutdown () end },
   { "shut down by the peer", vortex.status_UNNOTIFIED_CONNECTION_CLOSE, function (_, peer) peer:shutdown () end },
   { "closed by the peer", vortex.status_CONNECTION_CLOSE_CALLED, function (_, peer) peer:close () end },
   { "ended by its ctx", whole, function (_, _, ctx) ctx:exit () end }
} do
   test ("attributes of a connection that was " .. case[1], function ()
      local conn, peer, listener, ctx = t.both_ends ()
      local id = conn.id
      local channel = t.echo_channel (conn)
      case[3] (conn, peer, ctx)
      t.wait_until (function () return not conn:is_ok () end)
      local wanted = with (over (connected (conn, listener, ctx), case[2]), { id = id, host_ip = NONE, ctx = maybe (vortex.ctx.check) })
      check_over (case[1], conn, wanted)
      check_over (case[1] .. ", through its channel", channel.conn, wanted)
   end)
end

test ("attributes of a blocked connection", function ()
   local conn, _, listener, ctx = t.both_ends ()
   conn:block ()
   check_state ("blocked", conn, connected (conn, listener, ctx))
   t.equal (conn:is_ok (), true)
   t.equal (conn:is_blocked (), true)
   conn:block (false)
   check_state ("unblocked", conn, connected (conn, listener, ctx))
end)

test ("attributes of a connection inside its on_close handler", function ()
   local conn, _, listener, ctx = t.both_ends ()
   local wanted = over (connected (conn, listener, ctx), vortex.status_CONNECTION_FORCED_CLOSE)
   conn:set_on_close (t.expect_calls (1, function (dead)
      check_over ("in on_close", dead, with (wanted, { id = conn.id }))
   end))
   conn:shutdown ()
end)

-- ------------------------------------------------------------------- channels

local function open_channel (channel, conn, number)
   return { number = number, profile = t.ECHO, is_ready = true, conn = conn, ref_count = whole }
end

test ("attributes of a channel that is open, on both sides", function ()
   local conn, peer = t.both_ends ()
   local channel = t.ok (conn:open_channel (11, t.ECHO))
   local theirs = peer:find_by_uri (t.ECHO)[1]
   check_state ("open", channel, open_channel (channel, conn, 11))
   check_state ("opened by the peer", theirs, open_channel (theirs, peer, 11))
   t.equal (channel.automatic_mime, true)
end)

test ("attributes of a channel that waits for a reply", function ()
   local held = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame) held:push ({ channel, frame }) end)
   end)
   local channel = t.ok (conn:open_channel (0, URI))
   channel:send_msg ("x")
   local one = t.pop (held)
   check_state ("waiting", channel, { number = 3, profile = URI, is_ready = false, conn = conn, ref_count = whole })
   t.equal (one[1].is_ready, true, "the side that owes a reply waits for none")
   t.ok (one[1]:send_rpy ("", nil, one[2].msgno))
   t.wait_until (function () return channel.is_ready end)
end)

test ("attributes of a channel that was closed", function ()
   local conn, peer = t.both_ends ()
   local channel = t.ok (conn:open_channel (11, t.ECHO))
   local theirs = peer:find_by_uri (t.ECHO)[1]
   t.equal (channel:close (), true)
   check_state ("closed", channel,
      { number = -1, profile = NONE, is_ready = false, conn = vortex.connection.check, ref_count = whole })
   t.wait_until (function () return not theirs.is_ready end)
   check_state ("closed by the peer", theirs,
      { number = 11, profile = t.ECHO, is_ready = false, conn = peer, ref_count = whole })
end)

test ("attributes of a channel that may not be closed", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, t.ECHO, t.echo, nil, nil, nil, function () return false end)
   end)
   local channel = t.ok (conn:open_channel (11, t.ECHO))
   t.failure (false, channel:close ())
   check_state ("refused", channel, open_channel (channel, conn, 11))
   conn:shutdown ()
end)

for _, case in ipairs {
   { "shut down", function (conn) conn:shutdown () end },
   { "closed", function (conn) conn:close () end },
   { "shut down by the peer", function (_, peer) peer:shutdown () end },
   { "ended by its ctx", function (_, _, ctx) ctx:exit () end }
} do
   test ("attributes of a channel whose connection was " .. case[1], function ()
      local conn, peer, _, ctx = t.both_ends ()
      local channel = t.ok (conn:open_channel (11, t.ECHO))
      case[2] (conn, peer, ctx)
      t.wait_until (function () return not conn:is_ok () end)
      check_state (case[1], channel,
         { number = 11, profile = t.ECHO, is_ready = false, conn = vortex.connection.check, ref_count = whole })
      t.equal (channel.conn:is_ok (), false)
      t.equal (channel:pending (), 0)
   end)
end

test ("attributes of a channel inside its handlers", function ()
   local seen = vortex.asyncqueue.new ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (peer, channel, frame)
         check_state ("in the frame handler", channel,
            { number = 11, profile = URI, is_ready = true, conn = peer, ref_count = whole })
         channel:send_rpy ("", nil, frame.msgno)
      end, nil, function (number, peer)
         local channel = peer:find_by_uri (URI)[1]
         if channel then
            check ("in the start handler", channel, { number = number, profile = URI, conn = peer, ref_count = whole })
         end
         seen:push (number)
         return true
      end)
   end)
   local channel = t.ok (conn:open_channel (11, URI))
   t.equal (t.pop (seen), 11)
   t.ok (channel:request ("x", t.LIMIT))
end)

test ("automatic_mime is written with booleans, in every state", function ()
   local conn = t.session ()
   local channel = t.echo_channel (conn)
   channel.automatic_mime = false
   t.equal (channel.automatic_mime, false)
   t.raises ("automatic_mime", function () channel.automatic_mime = "no" end)
   t.equal (channel.automatic_mime, false)
   channel:close ()
   t.ok (pcall (function () channel.automatic_mime = true end))
   t.ok (pcall (function () return channel.automatic_mime end))
end)

-- ------------------------------------------------------- ctx, pools, queues

test ("attributes of a ctx that is fresh, runs and has ended", function ()
   local ctx = vortex.ctx.new ()
   local function switches (state)
      for _, name in ipairs { "log", "log2", "color_log" } do
         t.equal (ctx[name], false, state .. ", " .. name)
         ctx[name] = false
         for _, value in ipairs { 0, 1, "true", {} } do
            local message = t.raises (name, function () ctx[name] = value end)
            t.ok (message:find ("attributes_spec.lua:", 1, true), message)
         end
         t.equal (ctx[name], false, state .. ", " .. name)
      end
      ctx.color_log = true
      t.equal (ctx.color_log, true, state)
      ctx.color_log = false
   end
   check_state ("fresh", ctx, { ref_count = 1 })
   switches ("fresh")
   t.equal (ctx:init (), true)
   check_state ("running", ctx, { ref_count = counted })
   switches ("running")
   ctx:exit ()
   check_state ("exited", ctx, { ref_count = whole })
   switches ("exited")
end)

test ("attributes of a pool that is fresh, lent out and without its connection", function ()
   local conn, _, _, ctx = t.both_ends ()
   local pool = conn:channel_pool_new (t.ECHO, 2)
   local function wanted (count, available)
      return { id = 1, ctx = ctx, conn = conn, channel_count = count, channel_available = available, ref_count = whole }
   end
   check_state ("fresh", pool, wanted (2, 2))
   local channel = pool:next_ready ()
   check_state ("one lent", pool, wanted (2, 1))
   pool:next_ready ()
   pool:next_ready ()
   check_state ("one added", pool, wanted (3, 0))
   pool:release (channel)
   check_state ("one given back", pool, wanted (3, 1))
   check_state ("found again", conn:pool (1), wanted (3, 1))
   conn:shutdown ()
   t.wait_until (function () return not conn:is_ok () end)
   check_state ("without its connection", pool, {
      id = 1, ctx = maybe (vortex.ctx.check), conn = vortex.connection.check, channel_count = whole,
      channel_available = 0, ref_count = whole
   })
   t.equal (pool.conn:is_ok (), false)
   ctx:exit ()
   check ("without its ctx", pool, { id = 1, channel_available = 0, conn = vortex.connection.check })
end)

test ("attributes of a queue that is empty, filled and waited for", function ()
   local queue = vortex.asyncqueue.new ()
   check_state ("empty", queue, { ref_count = counted })
   queue:push (1)
   check_state ("filled", queue, { ref_count = counted })
   queue:pop ()
   vortex.spawn (function () queue:pop () end)
   vortex.yield (1000)
   check_state ("waited for", queue, { ref_count = counted })
   queue:push (1)
end)

-- --------------------------------------------------------------------- frames

test ("attributes of frames of every type, before and after everything is gone", function ()
   local conn, frames = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         if frame.payload == "many" then
            channel:send_ans ("first", nil, frame.msgno)
            channel:send_ans ("second", nil, frame.msgno)
            channel:finalize_ans (frame.msgno)
         else
            channel[frame.payload] (channel, "reply", nil, frame.msgno)
         end
      end)
   end), vortex.asyncqueue.new ()
   local channel = t.ok (conn:open_channel (0, URI, function (_, _, frame) frames:push (frame) end))
   for _, question in ipairs { "send_rpy", "send_err", "many" } do
      channel:send_msg (question)
   end
   local ids = {}
   local function frame_like (type, msgno, seqno, ansno, payload, content)
      return {
         type = type, msgno = msgno, msg_no = msgno, seqno = seqno, seq_no = seqno, ansno = ansno, ans_no = ansno,
         more_flag = false, payload = payload, payload_size = #payload, content = content, content_size = #content,
         ref_count = whole, content_type = maybe (text), id = counted
      }
   end
   local wanted = {
      frame_like ("RPY", 0, 0, 0, "reply", "\r\nreply"), frame_like ("ERR", 1, 7, 0, "reply", "\r\nreply"),
      frame_like ("ANS", 2, 14, 0, "first", "\r\nfirst"), frame_like ("ANS", 2, 21, 1, "second", "\r\nsecond"),
      frame_like ("NUL", 2, 29, 0, "", "")
   }
   local got = {}
   for index, want in ipairs (wanted) do
      got[index] = t.pop (frames)
      check_state (want.type, got[index], want)
      t.ok (not ids[got[index].id], "an id of its own")
      ids[got[index].id] = true
   end
   conn:close ()
   conn, channel = nil, nil
   collectgarbage ()
   for index, want in ipairs (wanted) do
      check_state (want.type .. " after the end", got[index], want)
   end
end)

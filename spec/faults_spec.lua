-- What crashed (C), hung (H) or lied (B) in the older C binding, row by row; the names
-- of the tests begin with the row. Rows that other specs pin down already are named
-- there: B3 in channel_open_spec, B5, B16 and H4 in handlers_spec, C8 and C15 in
-- odd_objects_spec, C14 in channel_spec, H7 in channel_close_spec, and C3, C4, C5,
-- B5, B11 to B14 and H6 in the specs of SASL, TLS and ALIVE.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:regression"

-- --------------------------------------------------------------- once crashes

test ("C1: host_ip of a closed connection and of a failed listener can be read", function ()
   local conn, listener, ctx = t.session ()
   t.equal (conn:close (), true)
   local ip = conn.host_ip
   t.ok (ip == nil or type (ip) == "string")
   ip = vortex.create_listener (ctx, "127.0.0.1", listener.port).host_ip
   t.ok (ip == nil or type (ip) == "string")
end)

test ("C2: a listener can be closed", function ()
   local _, listener = t.session ()
   t.equal (listener:close (), true)
   t.equal (listener:close (), true)
end)

test ("C6: a ctx initialised twice ends well", function ()
   t.script_prints ("done", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      assert (ctx:init () and ctx:init ())
      ctx:exit ()
      print "done"
   ]])
end)

test ("C7: a pool outlives its connection without harm", function ()
   local pool
   local function make (conn)
      pool = conn:channel_pool_new (t.ECHO, 2)
      conn:close ()
   end
   make ((t.session ()))
   collectgarbage ()
   collectgarbage ()
   t.failure (nil, pool:next_ready ())
   t.equal (pool.id, 1)
end)

test ("C9: hundreds of on_close handlers run in one wait", function ()
   local conn, listener, ctx = t.session ()
   for _ = 1, 300 do
      conn:set_on_close (t.expect_calls (1))
   end
   conn:shutdown ()
   local conns, count = {}, 0
   for index = 1, 100 do
      conns[index] = t.connect (ctx, listener)
      conns[index]:set_on_close (function () count = count + 1 end)
   end
   for index = 1, 100 do
      conns[index]:shutdown ()
   end
   t.wait_until (function () return count == 100 end)
end)

test ("C10: a running ctx is collected inside one of its own handlers", function ()
   local done = vortex.asyncqueue.new ()
   local function make ()
      local ctx = vortex.ctx.new ()
      ctx:init ()
      ctx:new_event (1000, function ()
         ctx = nil
         collectgarbage ()
         collectgarbage ()
         done:push (true)
         return true
      end)
   end
   make ()
   t.new_ctx ()
   t.pop (done)
end)

test ("C11: handlers set in handlers and coroutines run under load", function ()
   local conn, done = t.session (), vortex.asyncqueue.new ()
   local function exchange (rounds)
      conn:open_channel (0, t.ECHO, nil, nil, function (_, channel)
         local left = rounds
         channel:set_frame_received (function (_, mine)
            left = left - 1
            if left == 0 then
               done:push (true)
            else
               mine:send_msg (tostring (left))
            end
         end)
         channel:send_msg ("start")
      end)
   end
   for _ = 1, 5 do
      coroutine.wrap (exchange) (50)
      vortex.spawn (exchange, 50)
   end
   for _ = 1, 10 do
      t.pop (done)
   end
end)

test ("C12: main goes on as usual after wait_listeners", function ()
   local conn, _, _, server = t.session ()
   local channel, replies = t.echo_channel (conn)
   for round = 1, 20 do
      channel:send_msg ("round " .. round)
      server:new_event (0, function (ctx) vortex.unlock_listeners (ctx) return true end)
      vortex.wait_listeners (server)
      local garbage = {}
      for index = 1, 1000 do
         garbage[index] = { round, index }
      end
      t.equal (t.pop (replies).payload, "round " .. round)
   end
end)

test ("C12: main goes on as usual after a create handler that raised", function ()
   local conn, errors = t.session (), t.handler_errors ()
   local channel, replies = t.echo_channel (conn)
   for round = 1, 20 do
      channel:send_msg ("round " .. round)
      local pool = conn:channel_pool_new (t.ECHO, 1, function ()
         if round % 2 == 0 then
            error "on purpose"
         end
         return {}
      end)
      t.equal (pool.channel_count, 0)
      local garbage = {}
      for index = 1, 1000 do
         garbage[index] = { round, index }
      end
      t.equal (t.pop (replies).payload, "round " .. round)
   end
   t.equal (#errors, 10)
end)

test ("C13: data of connections that die while main works is released, and main goes on", function ()
   local weak, ended, COUNT = setmetatable ({}, { __mode = "k" }), 0, 40
   local peers = vortex.asyncqueue.new ()
   local _, listener, ctx = t.session (function (server)
      vortex.register_profile (server, URI, nil, nil, function (_, peer)
         peers:push (peer)
         return true
      end)
   end)
   local function make (index)
      local conn = t.connect (ctx, listener)
      local data = { conn, index }
      weak[data] = true
      conn:set_data ("data", data)
      conn:set_data (index, function () return data end)
      conn:set_on_close (function () ended = ended + 1 end, data)
      t.ok (conn:open_channel (0, URI, function () return data end, data))
      conn:skip_conn_close ()
   end
   for index = 1, COUNT do
      make (index)
   end
   -- the other side hangs up while main makes garbage
   while peers:items () > 0 do
      peers:pop ():shutdown ()
      local garbage = {}
      for index = 1, 500 do
         garbage[index] = { index }
      end
      collectgarbage ()
   end
   t.wait_until (function () return ended == COUNT end, "the on_close handlers")
   t.wait_until (function ()
      collectgarbage ()
      collectgarbage ()
      local left = 0
      for _ in pairs (weak) do
         left = left + 1
      end
      return left <= 2
   end, "the data to be released")
end)

-- ----------------------------------------------------------------- once hangs

test ("H1: wait_events that saw a finished handler does not make yield hang", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   for _ = 1, 50 do
      channel:send_msg ("x")
      t.pop (replies)
      while vortex.wait_events (10) do
         vortex.yield ()
      end
   end
end)

test ("H2: pop inside a handler lets others push", function ()
   local queue, done, ctx = vortex.asyncqueue.new (), vortex.asyncqueue.new (), t.new_ctx ()
   ctx:new_event (0, function () done:push (queue:pop ()) return true end)
   ctx:new_event (2000, function () queue:push ("pushed") return true end)
   t.equal (t.pop (done), "pushed")
end)

test ("H3: pop inside a coroutine of main returns", function ()
   local queue, ctx = vortex.asyncqueue.new (), t.new_ctx ()
   ctx:new_event (1000, function () queue:push ("pushed") return true end)
   t.equal (coroutine.wrap (function () return queue:pop () end) (), "pushed")
end)

test ("H5: one ctx ends inside handlers of itself and of another", function ()
   local first, second = t.new_ctx (), t.new_ctx ()
   local waiting = vortex.asyncqueue.new ()
   first:new_event (0, function ()
      waiting:timedpop (1000)
      return true
   end)
   second:new_event (1000, function (ctx)
      first:exit ()
      ctx:exit ()
      return true
   end)
   vortex.wait_listeners (second)
   vortex.wait_listeners (first)
end)

test ("H5: a ctx is collected inside a handler of another while one of its own waits", function ()
   local waiting, done = vortex.asyncqueue.new (), vortex.asyncqueue.new ()
   local held = { vortex.ctx.new () }
   t.equal (held[1]:init (), true)
   held[1]:new_event (0, function ()
      waiting:pop ()
      return true
   end)
   vortex.yield (5000)
   t.new_ctx ():new_event (1000, function ()
      held[1] = nil
      collectgarbage ()
      collectgarbage ()
      done:push (true)
      return true
   end)
   t.pop (done)
   waiting:push (true)
end)

test ("H6: client and server with a start handler live in one script", function ()
   local before = os.time ()
   local ctx = t.new_ctx ()
   vortex.register_profile (ctx, URI, t.echo, nil, function () return true end)
   local conn = t.connect (ctx, t.listen (ctx))
   for _ = 1, 10 do
      t.ok (conn:open_channel (0, URI))
   end
   t.ok (os.time () - before < 30, "no time limit was waited for")
end)

test ("H8: a second close after a refused one returns", function ()
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, nil, nil, nil, nil, function () return false end)
   end)
   t.ok (conn:open_channel (0, URI))
   for _ = 1, 3 do
      t.failure (false, conn:close ())
   end
   conn:shutdown ()
   t.equal (conn:close (), true)
end)

test ("H9: unref on a running ctx does not keep the program from ending", function ()
   t.script_prints ("done", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      vortex.ctx.unref (ctx)
      vortex.ctx.unref (ctx)
      print "done"
   ]])
end)

test ("H10: wait_listeners on a ctx that was never initialised returns", function ()
   vortex.wait_listeners (vortex.ctx.new ())
end)

-- the port of a socket of this machine that takes connections and never says a word
local function silent_port ()
   local has_ffi, ffi = pcall (require, "ffi")
   if not has_ffi or ffi.os ~= "Linux" then
      t.skip ("a socket that says nothing needs LuaJIT's ffi on Linux")
   end
   pcall (ffi.cdef, [[
      struct luavortex_address { uint16_t family; uint8_t port[2]; uint8_t host[4]; uint8_t zero[8]; };
      int socket (int domain, int type, int protocol);
      int bind (int fd, const struct luavortex_address *address, unsigned length);
      int listen (int fd, int backlog);
      int getsockname (int fd, struct luavortex_address *address, unsigned *length);
      int close (int fd);
   ]])
   local address = ffi.new ("struct luavortex_address")
   address.family = 2 -- AF_INET
   address.host[0], address.host[3] = 127, 1
   local fd = ffi.C.socket (2, 1, 0) -- SOCK_STREAM
   local length = ffi.new ("unsigned[1]", ffi.sizeof (address))
   t.ok (fd >= 0 and ffi.C.bind (fd, address, length[0]) == 0 and ffi.C.listen (fd, 8) == 0)
   t.equal (ffi.C.getsockname (fd, address, length), 0)
   return address.port[0] * 256 + address.port[1], function () ffi.C.close (fd) end
end

test ("H10: connecting to a server that never greets fails within the limit", function ()
   local port, close = silent_port ()
   local ctx = t.new_ctx ()
   ctx:set_limits { greeting_timeout = 200000 }
   local conn = vortex.connection.new (ctx, "127.0.0.1", port)
   t.equal (conn:is_ok (), false)
   t.ok (conn.status == vortex.status_GREETINGS_FAILURE or conn.status == vortex.status_CONNECTION_TIMEOUT_ERROR,
      "status " .. conn.status)
   t.ok (#t.is_type (conn.error_msg, "string") > 0)
   t.script_prints ("false", ([[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      print (tostring (vortex.connection.new (ctx, "127.0.0.1", "%d"):is_ok ()))
   ]]):format (port), "VORTEX_CONNECT_TIMEOUT=200000")
   close ()
end)

-- ------------------------------------------------------------ once lies

test ("B1: a timer that said false many times ends when it says true", function ()
   local ctx, count, other = t.new_ctx (), 0, 0
   ctx:new_event (0, t.expect_calls (21, function ()
      count = count + 1
      return count > 20
   end, "the timer"))
   ctx:new_event (0, function ()
      other = other + 1
      return other > 40
   end)
   t.wait_until (function () return count == 21 and other == 41 end)
end)

test ("B2: booleans pass through queues and calls return what they say", function ()
   local queue, ctx = vortex.asyncqueue.new (), t.new_ctx ()
   queue:push (false)
   queue:push (true)
   t.equal (queue:pop (), false)
   t.equal (queue:timedpop (1000), true)
   t.equal (t.pack (vortex.yield (1)).n, 0)
   t.equal (t.pack (vortex.unlock_listeners (ctx)).n, 0)
   t.equal (t.pack (vortex.wait_listeners (ctx)).n, 0)
end)

test ("B3: closing a connection that reads nothing is no success by time out", function ()
   t.script_prints ("false string", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      ctx:init ()
      vortex.register_profile (ctx, "urn:example:e")
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      conn:open_channel (0, "urn:example:e")
      conn:block ()
      local done, message = conn:close ()
      print (tostring (done) .. " " .. type (message))
      os.exit (0)
   ]], "VORTEX_SYNC_TIMEOUT=300000")
end)

test ("B4: serialize on, off and on again holds back no frame", function ()
   local channel, replies = t.echo_channel ((t.session ()))
   for index, flag in ipairs { true, false, true, true, false, false, true } do
      channel:set_serialize (flag)
      channel:send_msg (tostring (index))
   end
   for index = 1, 7 do
      t.equal (t.pop (replies).payload, tostring (index))
   end
end)

test ("B6: the reason a session ended is told where scripts look for it", function ()
   local conn, peer, listener, ctx = t.both_ends ()
   local mine = t.connect (ctx, listener)
   mine:shutdown ()
   peer:shutdown ()
   t.wait_until (function () return not conn:is_ok () end)
   t.ok (mine.status ~= conn.status)
   t.ok (mine.error_msg ~= conn.error_msg)
end)

test ("B7: a port that is no number makes no listener on some other port", function ()
   local listener = vortex.create_listener (t.new_ctx (), "127.0.0.1", "http-or-so")
   t.equal (listener:is_ok (), false)
   t.ok (#listener.error_msg > 0)
end)

test ("B8: registering a profile counts whenever it happens", function ()
   local ctx = vortex.ctx.new ()
   local function answer (text)
      return function (_, channel, frame)
         if frame.type == "MSG" then
            channel:send_rpy (text, -1, frame.msgno)
         end
      end
   end
   vortex.register_profile (ctx, URI, answer ("before init"))
   t.equal (ctx:init (), true)
   local conn = t.connect (ctx, t.listen (ctx))
   local function ask ()
      return conn:open_channel (0, URI):request ("?", t.LIMIT).payload
   end
   t.equal (ask (), "before init")
   vortex.register_profile (ctx, URI, answer ("after an opening"))
   t.equal (ask (), "after an opening")
   conn:close ()
   ctx:exit ()
end)

test ("B9: a channel refused to close still sends, one the peer closed is not ready", function ()
   local conn, peer = t.both_ends (function (ctx)
      vortex.register_profile (ctx, URI, t.echo, nil, nil, nil, function () return false end)
   end)
   local refused, closed = conn:open_channel (0, URI), conn:open_channel (0, t.ECHO)
   t.failure (false, refused:close ())
   t.equal (refused:send_msg ("still"), 0)
   t.equal (peer:find_by_uri (t.ECHO)[1]:close (), true)
   t.equal (closed.is_ready, false)
   peer:shutdown ()
end)

test ("B10: a profile name with a quote opens and closes", function ()
   local uri = "urn:example:o'clock \"<&>\""
   local conn = t.session (function (ctx) vortex.register_profile (ctx, uri, t.echo) end)
   t.equal (t.ok (conn:open_channel (0, uri)):close (), true)
end)

test ("B15: handlers that were replaced or are over are released", function ()
   local weak = setmetatable ({}, { __mode = "k" })
   local conn, _, ctx = t.session ()
   local channel, replies = t.echo_channel (conn)
   -- a closure over a table of its own, so that every call makes a new function
   local function marked (f)
      local mark = {}
      local function handler (...)
         return f (mark, ...)
      end
      weak[handler] = true
      return handler
   end
   local function use ()
      for index = 1, 50 do
         channel:set_frame_received (marked (function (_, _, _, frame) replies:push (frame) end))
         channel:send_msg (tostring (index))
         t.pop (replies)
         t.equal (conn:open_channel (0, t.ECHO, marked (t.pack)):close (), true)
         local ran = false
         ctx:new_event (0, marked (function () ran = true return true end))
         t.wait_until (function () return ran end)
         conn:remove_on_close (conn:set_on_close (marked (t.pack)))
      end
      channel:set_frame_received (nil)
   end
   use ()
   t.wait_until (function ()
      collectgarbage ()
      collectgarbage ()
      local left = 0
      for _ in pairs (weak) do
         left = left + 1
      end
      -- the last of a kind may still be on its way out
      return left <= 4
   end, "the handlers to be released")
end)

test ("B15: a handler that waits for what nobody can bring is released once its session is gone", function ()
   local COUNT = 20
   local waiting = setmetatable ({}, { __mode = "k" })
   local begun = vortex.asyncqueue.new ()
   local conn = t.session (function (server)
      vortex.register_profile (server, "urn:test:never", function (_, _, frame)
         waiting[frame] = true
         begun:push (true)
         vortex.asyncqueue.new ():pop ()
         return frame
      end)
   end)
   local channel = conn:open_channel (0, "urn:test:never")
   for _ = 1, COUNT do
      t.ok (channel:send_msg ("hello"))
   end
   for _ = 1, COUNT do
      t.pop (begun, "the handler")
   end
   conn:shutdown ()
   local rounds = 0
   while next (waiting) and rounds < 1000 do
      rounds = rounds + 1
      vortex.sleep (1000)
      collectgarbage ()
   end
   t.equal (next (waiting), nil, "a frame of a handler that waits")
end)

test ("B15: objects do not pile up over many sessions", function ()
   local _, listener, ctx = t.session ()
   local function used ()
      collectgarbage ()
      collectgarbage ()
      return collectgarbage ("count")
   end
   local function sessions (count)
      for _ = 1, count do
         local conn = t.connect (ctx, listener)
         conn:set_on_close (function () end)
         t.still_works (conn)
         t.equal (conn:close (), true)
      end
   end
   sessions (20)
   local before = used ()
   sessions (100)
   vortex.yield (1000)
   local growth = used () - before
   t.ok (growth < 200, "the memory of Lua grew by " .. math.floor (growth) .. " KiB")
end)

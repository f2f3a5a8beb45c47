-- The way scripts of the field are written: globals for everything, functions of
-- the module and methods mixed, sizes by hand, objects dropped in any order.
-- Each test stands for one habit that scripts depend on.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local REGULAR = "urn:example:wild:regular"
local DENIED = "urn:example:wild:denied"
local UNKNOWN = "urn:example:wild:unknown"

local real = { error = error, print = print, table = table, collectgarbage = collectgarbage }

-- the listener such scripts talk to; registered with three and with five values
local function start_listener ()
   local server = t.new_ctx ()
   vortex.register_profile (server, REGULAR, function (peer, channel, frame)
      if not channel:send_rpy (frame.payload, frame.payload_size, frame.msgno) and peer:is_ok () then
         real.error ("the reply was not sent")
      end
   end)
   vortex.register_profile (server, DENIED, t.echo, nil, function () return false end)
   local listener = vortex.create_listener (server, "0.0.0.0", "0")
   t.ok (listener:is_ok ())
   return listener
end

-- a test as such scripts have them: it works on globals, afterwards the
-- garbage is collected with everything still in flight
local function wild (name, body)
   test (name, function ()
      t.allow_globals ()
      error = function (message) real.error (message, 0) end
      info = function () end
      printf = function () end
      port = start_listener ().port
      ctx = vortex.ctx.new ()
      t.ok (vortex.ctx.init (ctx))
      conn = vortex.connection.new (ctx, "localhost", port)
      t.ok (conn:is_ok (), "the connection")
      queue = vortex.asyncqueue.new ()
      body ()
      local last = ctx
      conn, queue, channel, pool, ctx = nil, nil, nil, nil, nil
      real.collectgarbage ("collect")
      last:exit ()
      last:exit ()
   end)
end

local function queue_reply (_, _, frame, data)
   data:push (frame)
end

wild ("01 02 03: a ctx may be counted, dropped and checked before it is initialised", function ()
   ctx2 = vortex.ctx.new ()
   t.equal (ctx2.ref_count, 1)
   vortex.ctx.unref (ctx2)
   vortex.ctx.unref (ctx2)
   ctx2 = vortex.ctx.new ()
   ctx2 = vortex.ctx.new ()
   t.equal (vortex.ctx.check (ctx2), true)
   ctx2 = nil
end)

wild ("04: host and port read back as the texts they were given as", function ()
   t.ok (vortex.connection.check (conn))
   t.ok (vortex.connection.is_ok (conn))
   t.equal (conn.host, "localhost")
   t.equal (conn.port, port)
end)

wild ("04-a: values are stored in a connection, a connection among them", function ()
   local message = "status " .. conn.status .. ", " .. conn.error_msg
   t.ok (#message > 0)
   conn2 = vortex.connection.new (ctx, "localhost", port)
   conn:set_data ("number", 4)
   conn:set_data ("boolean", true)
   conn:set_data ("connection", conn2)
   t.equal (conn:get_data ("number"), 4)
   t.equal (conn:get_data ("boolean"), true)
   t.equal (conn:get_data ("connection").id, conn2.id)
   conn2 = nil
   real.collectgarbage ()
   t.ok (conn:get_data ("connection"):is_ok ())
end)

wild ("05: the function of the module closes a connection", function ()
   t.equal (vortex.connection.close (conn), true)
end)

wild ("06: a queue keeps numbers, texts and tables, table is overwritten meanwhile", function ()
   table = { "mine" }
   vortex.asyncqueue.push (queue, 17)
   vortex.asyncqueue.push (queue, "text")
   vortex.asyncqueue.push (queue, table)
   t.equal (vortex.asyncqueue.items (queue), 3)
   t.equal (vortex.asyncqueue.pop (queue), 17)
   t.equal (vortex.asyncqueue.pop (queue), "text")
   t.equal (vortex.asyncqueue.pop (queue), table)
   for _ = 1, 10 do
      vortex.asyncqueue.push (queue, { 1, 2 })
   end
   t.equal (queue:items (), 10)
end)

wild ("07: a shutdown calls the on_close handler with its table", function ()
   local data = { queue = queue }
   conn:set_on_close (function (closed, handler_data)
      t.ok (#tostring (closed) > 0)
      t.equal (handler_data, data)
      vortex.asyncqueue.push (handler_data.queue, 1)
   end, data)
   vortex.connection.shutdown (conn)
   t.equal (vortex.asyncqueue.pop (queue), 1)
end)

wild ("08: a frame is used after its handler, by way of a queue", function ()
   channel = conn:open_channel (0, REGULAR, function (handler_conn, handler_channel, frame, data)
      if not handler_conn:is_ok () or not handler_channel:check () then
         error ("bad objects")
      end
      data:push (frame)
   end, queue)
   t.equal ("channel " .. channel.number .. " runs " .. channel.profile, "channel 3 runs " .. REGULAR)
   t.ok (channel:send_msg ("This is a test", 14) ~= nil)
   local frame = queue:pop ()
   t.equal (frame.payload, "This is a test")
   t.equal (frame.type, "RPY")
   t.ok (#tostring (frame) > 0)
end)

wild ("09: octets that are zero survive with a size given", function ()
   local content = "a\0b\0\0c"
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   channel:send_msg (content, #content)
   t.equal (queue:pop ().payload, content)
end)

wild ("09-a: a channel opened asynchronously is used from main", function ()
   conn:open_channel (0, REGULAR, nil, nil, function (number, opened, handler_conn, data)
      t.equal (number, opened.number)
      t.ok (handler_conn:is_ok ())
      data:push (opened)
   end, queue)
   channel = queue:pop ()
   local prefix = "got "
   channel:set_frame_received (function (_, _, frame, data)
      data:push (prefix .. frame.payload)
   end, queue)
   for round = 1, 10 do
      channel:send_msg ("round " .. round, -1)
      t.equal (queue:pop (), "got round " .. round)
   end
end)

wild ("09-b: a denied asynchronous opening hands nil through a queue", function ()
   local called = vortex.asyncqueue.new ()
   conn:open_channel (0, DENIED, nil, nil, function (_, opened, _, data)
      data:push (opened)
      called:push (1)
   end, queue)
   called:pop ()
   t.equal (queue:items (), 1)
   t.equal (queue:pop (), nil)
   t.ok (conn:is_ok ())
   t.ok (conn:open_channel (0, REGULAR))
end)

wild ("10: pools are counted, lend and take back, and use a create handler", function ()
   pool = conn:channel_pool_new (REGULAR, 1)
   t.equal (pool.channel_count, 1)
   t.equal (pool.id, 1)
   channel = pool:next_ready ()
   t.equal (channel.number, 3)
   t.equal (pool.channel_available, 0)
   pool:release (channel)
   t.equal (pool.channel_available, 1)
   pool2 = conn:channel_pool_new (REGULAR, 1, function (handler_conn, number, profile, _, _, _, _, data)
      t.equal (number, 0)
      t.equal (data, 17)
      return vortex.connection.open_channel (handler_conn, number, profile)
   end, 17)
   t.equal (pool2.id, 2)
   ---@diagnostic disable-next-line: param-type-mismatch
   channel = pool2:next_ready ()
   t.equal (channel.number, 5)
   t.equal (conn:pool ().id, 1)
   t.equal (conn:pool (1).id, 1)
   t.equal (conn:pool (2).id, 2)
   t.ok (#tostring (pool) > 0)
   pool2 = nil
end)

wild ("11: yield lets the reply come in", function ()
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   channel:send_msg ("yield", 5)
   vortex.yield (1000000)
   t.ok (vortex.frame.check (queue:pop ()))
   vortex.yield (1)
   vortex.yield (2)
end)

wild ("12: everything may be dropped with messages in flight", function ()
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   channel:send_msg ("one", 3)
   channel:send_msg ("two", 3)
end)

wild ("13: the loop on wait_events and yield brings replies and the end", function ()
   vortex.event_fd ()
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   channel:send_msg ("loop", 4)
   while queue:items () == 0 do
      t.ok (vortex.wait_events (t.LIMIT))
      while vortex.wait_events (100) do
         vortex.yield ()
      end
   end
   t.equal (queue:pop ().payload, "loop")
   t.equal (vortex.wait_events (10000), false)
   conn:set_on_close (function (_, data)
      queue:push (data)
   end, 127)
   conn:shutdown ()
   t.equal (vortex.wait_events (t.LIMIT), true)
   while vortex.wait_events (1) do
      vortex.yield (1)
   end
   t.equal (t.pop (queue), 127)
end)

test ("13: the descriptor may be asked for before a ctx exists", function ()
   t.script_prints ("true", [[
      require "vortex"
      local fd = vortex.event_fd ()
      ctx = vortex.ctx.new ()
      ctx:init ()
      print (fd == vortex.event_fd ())
   ]])
end)

wild ("14: refusals give a false value and a code on the stack", function ()
   channel = conn:open_channel (0, UNKNOWN, queue_reply, queue)
   t.ok (not channel)
   t.equal (conn:pop_channel_error ()[1], 554)
   channel = conn:open_channel (0, DENIED, queue_reply, queue)
   t.ok (not channel)
   t.equal (conn:pop_channel_error ()[1], 421)
   t.equal (conn:pop_channel_error (), nil)
   t.ok (conn:close ())
   ctx:exit ()
   ctx:exit ()
end)

wild ("15: channels are found by their profile and counted", function ()
   t.equal (#conn:find_by_uri (REGULAR), 0)
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   local found = conn:find_by_uri (REGULAR)
   t.equal (#found, 1)
   for _, one in ipairs (found) do
      t.ok (vortex.channel.check (one))
      t.equal (one.number, channel.number)
      t.equal (one.profile, channel.profile)
   end
   t.ok (channel.is_ready)
   t.equal (conn.num_channels, 2)
   t.equal (channel:close (), true)
   t.equal (conn.num_channels, 1)
end)

wild ("16: a timer ends a wait for listeners that are not there", function ()
   ctx:new_event (10, function (handler_ctx)
      vortex.unlock_listeners (handler_ctx)
      return true
   end)
   vortex.wait_listeners (ctx)
end)

wild ("21: a size of -1 is the whole length of a text of several octets a letter", function ()
   local text = "\195\161\195\169 \226\130\172"
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   channel:send_msg (text, -1)
   local frame = queue:pop ()
   t.equal (frame.payload, text)
   t.equal (frame.payload_size, 8)
end)

wild ("22: a hundred messages come back in order with serialize", function ()
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   channel:set_serialize (true)
   for index = 1, 100 do
      channel:send_msg ("message " .. index, -1)
   end
   for index = 1, 100 do
      t.equal (queue:pop ().payload, "message " .. index)
   end
   t.equal (queue:items (), 0)
end)

wild ("24: a blocked connection keeps its replies until it is unblocked", function ()
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   conn:block ()
   t.ok (conn:is_blocked ())
   channel:send_msg ("later", 5)
   t.equal (queue:timedpop (20000), nil)
   conn:block (false)
   t.ok (not conn:is_blocked ())
   t.equal (queue:pop ().payload, "later")
end)

wild ("25: handlers written as nil are no handlers", function ()
   channel = conn:open_channel (0, REGULAR, nil, nil, nil, nil)
   t.ok (channel)
   channel:set_frame_received (queue_reply, queue)
   channel:send_msg ("x", 1)
   t.equal (queue:pop ().payload, "x")
end)

wild ("listener: it survives clients that vanish at any moment", function ()
   for index = 1, 20 do
      local client = vortex.ctx.new ()
      client:init ()
      local gone = vortex.connection.new (client, "localhost", port)
      t.ok (gone:is_ok ())
      if index % 3 ~= 0 then
         channel = gone:open_channel (0, REGULAR, queue_reply, queue)
         channel:send_msg (("x"):rep (100000), 100000)
      end
      if index % 2 == 0 then
         gone:shutdown ()
      end
      gone, channel = nil, nil
      real.collectgarbage ()
      client:exit ()
   end
   channel = conn:open_channel (0, REGULAR, queue_reply, queue)
   while queue:items () > 0 do
      queue:pop ()
   end
   channel:send_msg ("still there", 11)
   t.equal (queue:pop ().payload, "still there")
end)

wild ("prelude: what is left of a test is collected in any order, with work in flight", function ()
   local order = { "ctx", "conn", "queue", "channel", "pool" }
   for first = 1, #order do
      ctx2 = vortex.ctx.new ()
      ctx2:init ()
      things = { ctx = ctx2, conn = vortex.connection.new (ctx2, "localhost", port), queue = vortex.asyncqueue.new () }
      things.channel = things.conn:open_channel (0, REGULAR, queue_reply, things.queue)
      things.pool = things.conn:channel_pool_new (REGULAR, 1)
      t.ok (things.channel):send_msg ("one", 3)
      things.conn:open_channel (0, REGULAR, nil, nil, function () end)
      ctx2 = nil
      for step = 0, #order - 1 do
         things[order[(first + step - 1) % #order + 1]] = nil
         real.collectgarbage ("collect")
      end
      vortex.yield (1000)
   end
end)

test ("a whole script of the old kind runs unchanged", function ()
   t.script_prints ("reply: hello from the old days", [[
      require "vortex"
      function frame_received (conn, channel, frame, data)
         if frame.type == "MSG" then
            channel:send_rpy (frame.payload, frame.payload_size, frame.msgno)
            return
         end
         vortex.asyncqueue.push (data, frame)
      end
      ctx = vortex.ctx.new ()
      if not vortex.ctx.init (ctx) then
         error ("no ctx")
      end
      vortex.register_profile (ctx, "urn:example:old", frame_received)
      listener = vortex.create_listener (ctx, "localhost", "0")
      conn = vortex.connection.new (ctx, "localhost", listener.port)
      if not vortex.connection.is_ok (conn) then
         error (conn.error_msg)
      end
      queue = vortex.asyncqueue.new ()
      channel = vortex.connection.open_channel (conn, 0, "urn:example:old", frame_received, queue)
      text = "hello from the old days"
      if vortex.channel.send_msg (channel, text, #text) == nil then
         error ("not sent")
      end
      frame = vortex.asyncqueue.pop (queue)
      print ("reply: " .. frame.payload)
      vortex.connection.close (conn)
      vortex.ctx.exit (ctx)
   ]])
end)

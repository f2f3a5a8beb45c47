-- What the documentation of the older binding promised and its code did not do: one row
-- (D) each, in the order of that list. The names of the tests begin with the row. Most
-- rows are tested where their subject is:
--
--    D1, D2    close handlers, start content      channel_close_spec, channel_open_spec
--    D3 to D5  pools                              pool_spec
--    D6 to D8  server name, on_close, skip, ctx   connection_spec, connection_end_spec
--    D9        log switches                       ctx_spec
--    D10, D11  ANS, sizes and failures            answers_spec, channel_spec
--    D12, D14  here
--    D13       timedout                           queue_spec
--    D15       tls.is_enabled                     tls_spec
--    D16, D22  status_OK, what require returns    module_spec
--    D17       ALIVE                              alive_spec
--    D18, D19  yield, wait_events                 loop_spec
--    D20, D23  return_password, sasl.init         sasl_spec
--    D21       a colon is needed                  misuse_spec

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:documented"

test ("D12: set_serialize is an attribute to write, more_flag a boolean, no frame is of type SEQ", function ()
   local types, replies = {}, vortex.asyncqueue.new ()
   local function note (_, channel, frame)
      types[frame.type] = true
      t.is_type (frame.more_flag, "boolean")
      if frame.type == "MSG" then
         channel:send_rpy (frame.payload, nil, frame.msgno)
      elseif not frame.more_flag then
         replies:push (frame)
      end
   end
   local conn = t.session (function (ctx) vortex.register_profile (ctx, URI, note) end)
   local channel = t.ok (conn:open_channel (0, URI, note))
   channel.set_serialize = true
   -- more than any window takes, so that the peer has to say SEQ, in pieces and in one
   for _, complete in ipairs { false, true } do
      channel:set_complete_flag (complete)
      t.ok (channel:send_msg (("x"):rep (3000000)))
      t.equal (t.pop (replies).more_flag, false)
   end
   channel.set_serialize = false
   for name in pairs (types) do
      t.ok (name == "MSG" or name == "RPY", name)
   end
end)

test ("D14: check is a method, true for its own type and false for everything else", function ()
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   channel:send_msg ("x")
   local objects = {
      ctx = conn.ctx, connection = conn, channel = channel, frame = t.pop (replies),
      channelpool = conn:channel_pool_new (t.ECHO, 1), asyncqueue = vortex.asyncqueue.new ()
   }
   local others = {
      false, true, 0, 1.5, "", "vortex.connection", {}, print, io.stdout, coroutine.create (function () end), vortex,
      vortex.connection
   }
   for part in pairs (objects) do
      local check = vortex[part].check
      for other, object in pairs (objects) do
         t.equal (check (object), part == other, part .. ".check of a " .. other)
         t.equal (object:check (), true)
      end
      for _, value in ipairs (others) do
         t.equal (check (value), false, part .. ".check of " .. tostring (value))
      end
      t.equal (check (nil), false)
      ---@diagnostic disable-next-line: redundant-parameter -- further arguments do no harm
      t.equal (check (conn, "more", "arguments"), part == "connection")
   end
end)

test ("D1 to D13 in one script as the documentation would have it", function ()
   t.script_prints ("start close content serialize pool 3 3 handle removed timedout end", [[
      local vortex = require "vortex"
      local ctx = vortex.ctx.new ()
      assert (vortex.ctx.init (ctx))
      local said = {}
      local function say (...)
         for _, word in ipairs { ... } do said[#said + 1] = tostring (word) end
      end
      vortex.register_profile (ctx, "urn:example:d",
         function (conn, channel, frame, data)
            channel:send_ans ("a", 1, frame.msgno)
            channel:finalize_ans (frame.msgno)
         end, nil,
         function (channel_num, conn, data) if data then say (data) end return true end, "start",
         function (channel_num, conn, data) if data then say (data) end return true end, "close")
      local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port, "d.example")
      assert (conn:is_ok () and conn.ctx == ctx)
      local channel = conn:open_channel (0, "urn:example:d", function () end, nil, nil, nil,
         function () return true end, nil, vortex.encoding_NONE, "content")
      assert (channel.is_ready and conn.server_name == "d.example")
      assert (channel:close () == true)
      say "content"
      vortex.register_profile (ctx, "urn:example:d", function (conn, channel, frame)
         channel:send_ans ("a", nil, frame.msgno)
         channel:finalize_ans (frame.msgno)
      end)
      local queue = vortex.asyncqueue.new ()
      channel = conn:open_channel (0, "urn:example:d", function (conn, channel, frame, data) data:push (frame) end, queue)
      channel.set_serialize = true
      assert (channel:send_msg ("question") == 0)
      assert (queue:pop ().type == "ANS" and queue:pop ().type == "NUL")
      say "serialize"
      local created = vortex.asyncqueue.new ()
      assert (conn:channel_pool_new ("urn:example:d", 1, nil, nil, nil, nil, nil, nil,
         function (pool, data) data:push (pool) end, created) == nil)
      local pool = created:pop ()
      say "pool"
      pool:next_ready ()
      assert (pool:next_ready (false) == nil)
      pool:next_ready (true)
      pool:next_ready ()
      say (pool.channel_count, #conn:find_by_uri ("urn:example:d") - 1)
      local handle = conn:set_on_close (function () say "unexpected" end)
      assert (handle)
      say "handle"
      assert (conn:remove_on_close (handle) == true)
      say "removed"
      assert (queue:timedout (1000) == nil)
      say "timedout"
      conn:skip_conn_close ()
      conn:close ()
      ctx:exit ()
      say "end"
      print (table.concat (said, " "))
   ]])
end)

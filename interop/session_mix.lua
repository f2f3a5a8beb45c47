-- A mix of nearly everything BEEP can do, for listening in between both sides.
--
--    lua session_mix.lua listen             prints `port N` and serves until told to stop
--    lua session_mix.lua connect HOST PORT  runs the mix against such a listener
--    lua session_mix.lua                    does both in one script
--
-- The connecting side checks every answer; it ends with an error if one is wrong.
--
-- expect: replies
-- expect: sizes
-- expect: pipelined
-- expect: interleaved
-- expect: answers
-- expect: starts
-- expect: closes
-- expect: reopened
-- expect: both ways
-- expect: several connections
-- expect: all is well

local vortex = require "vortex"

local BASE = "urn:example:mix:"
local ECHO, ERRORS, COUNT = BASE .. "echo", BASE .. "errors", BASE .. "count"
local DENIED, WELCOME, STUBBORN = BASE .. "denied", BASE .. "welcome", BASE .. "stubborn"
local CALLBACK, CONTROL = BASE .. "callback", BASE .. "control"
local UNKNOWN = BASE .. "unknown"
local LIMIT = 20 * 1000000

io.stdout:setvbuf "line"

local function echo (conn, channel, frame)
   if frame.type == "MSG" then
      channel:send_rpy (frame.payload, -1, frame.msgno)
   end
end

-- ------------------------------------------------------- the listening side

local function register (ctx)
   vortex.register_profile (ctx, ECHO, echo)

   vortex.register_profile (ctx, ERRORS, function (conn, channel, frame)
      channel:send_err ("no: " .. frame.payload, -1, frame.msgno)
   end)

   -- as many answers as the message says
   vortex.register_profile (ctx, COUNT, function (conn, channel, frame)
      for number = 1, tonumber (frame.payload) do
         channel:send_ans (("answer " .. number .. " "):rep (number), -1, frame.msgno)
      end
      channel:finalize_ans (frame.msgno)
   end)

   vortex.register_profile (ctx, DENIED, nil, nil, function ()
      return false, 450, "not <today>"
   end)

   vortex.register_profile (ctx, WELCOME, echo, nil, function (number, conn, data, content)
      return true, "welcome, " .. content
   end)

   -- each channel refuses to be closed once
   local refused = {}
   vortex.register_profile (ctx, STUBBORN, echo, nil, nil, nil, function (number, conn)
      local key = conn.id .. "/" .. number
      if not refused[key] then
         refused[key] = true
         return false
      end
      return true
   end)

   -- opens channels to the side that asks, and talks on them
   vortex.register_profile (ctx, CALLBACK, function (conn, channel, frame)
      if frame.type ~= "MSG" then
         return
      end
      local numbers = {}
      for index = 1, tonumber (frame.payload) do
         local back = assert (conn:open_channel (0, CALLBACK))
         local answer = assert (back:request ("question " .. index, LIMIT))
         assert (answer.payload == "answer to question " .. index)
         numbers[index] = tostring (back.number)
         if index % 2 == 0 then
            assert (back:close ())
         end
      end
      channel:send_rpy (table.concat (numbers, " "), -1, frame.msgno)
   end)

   vortex.register_profile (ctx, CONTROL, function (conn, channel, frame)
      if frame.type == "MSG" then
         channel:send_rpy ("ok", -1, frame.msgno)
         if frame.payload == "stop" then
            -- the answer has to leave first: the asking side hangs up
            conn:set_on_close (function () vortex.unlock_listeners (ctx) end)
         end
      end
   end)
end

local function start_listener (ctx)
   register (ctx)
   local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
   assert (listener:is_ok (), listener.error_msg)
   return listener
end

-- ------------------------------------------------------ the connecting side

local function connect (ctx, host, port)
   local conn = vortex.connection.new (ctx, host, port)
   assert (conn:is_ok (), conn.error_msg)
   return conn
end

-- a channel that puts its frames in a queue
local function open (conn, profile)
   local queue = vortex.asyncqueue.new ()
   return assert (conn:open_channel (0, profile, function (conn, channel, frame)
      queue:push (frame)
   end)), queue
end

local function take (queue)
   return assert (queue:timedpop (LIMIT), "no frame came in time")
end

local octets = {}
for code = 0, 255 do
   octets[#octets + 1] = string.char (code)
end
octets = table.concat (octets)

local steps = {}

local function step (name, f)
   steps[#steps + 1] = { name = name, run = f }
end

step ("replies", function (conn)
   local channel = open (conn, ECHO)
   assert (channel:request ("a question", LIMIT).payload == "a question")
   local refusing = open (conn, ERRORS)
   local frame = refusing:request ("a question", LIMIT)
   assert (frame.type == "ERR" and frame.payload == "no: a question")
   assert (channel:close () and refusing:close ())
end)

step ("sizes", function (conn)
   local channel = open (conn, ECHO)
   for _, size in ipairs { 0, 1, 2, 100, 4093, 4094, 4095, 4096, 4097, 8192, 65535, 65536, 1000000 } do
      local content = octets:rep (math.ceil (size / 256) + 1):sub (1, size)
      assert (channel:request (content, LIMIT).payload == content)
   end
   assert (channel:close ())
end)

step ("pipelined", function (conn)
   local channel, queue = open (conn, ECHO)
   for index = 1, 300 do
      assert (channel:send_msg (("message " .. index .. " "):rep (index % 40)) == index - 1)
   end
   for index = 1, 300 do
      local frame = take (queue)
      assert (frame.msg_no == index - 1 and frame.payload == ("message " .. index .. " "):rep (index % 40))
   end
   assert (channel:close ())
end)

step ("interleaved", function (conn)
   local channels = {}
   for index = 1, 6 do
      local channel, queue = open (conn, index % 3 == 0 and COUNT or ECHO)
      channels[index] = { channel = channel, queue = queue, counts = index % 3 == 0 }
   end
   for round = 1, 10 do
      for index, one in ipairs (channels) do
         one.channel:send_msg (one.counts and "5" or (index .. "/" .. round .. " "):rep (3000))
      end
   end
   for round = 1, 10 do
      for index, one in ipairs (channels) do
         if one.counts then
            for _ = 1, 5 do
               assert (take (one.queue).type == "ANS")
            end
            assert (take (one.queue).type == "NUL")
         else
            assert (take (one.queue).payload == (index .. "/" .. round .. " "):rep (3000))
         end
      end
   end
   for _, one in ipairs (channels) do
      assert (one.channel:close ())
   end
end)

step ("answers", function (conn)
   local channel = open (conn, COUNT)
   for _, count in ipairs { 0, 1, 3, 100 } do
      local seen = 0
      for frame in channel:answers (tostring (count), LIMIT) do
         assert (frame.ans_no == seen)
         seen = seen + 1
         assert (frame.payload == ("answer " .. seen .. " "):rep (seen))
      end
      assert (seen == count)
   end
   assert (channel:close ())
end)

step ("starts", function (conn)
   local channel, message, code = conn:open_channel (0, DENIED)
   assert (channel == nil and code == 450, message)
   channel, message, code = conn:open_channel (0, UNKNOWN)
   assert (channel == nil and code == 554, message)
   local queue = vortex.asyncqueue.new ()
   channel = assert (conn:open_channel (0, WELCOME, function (conn, mine, frame)
      queue:push (frame.payload)
   end, nil, nil, nil, nil, nil, nil, "<guest> & 'co'"))
   assert (take (queue) == "welcome, <guest> & 'co'")
   assert (channel:close ())
   -- several starts on their way at once, with numbers chosen and not
   local opened = vortex.asyncqueue.new ()
   for _, number in ipairs { 0, 101, 0, 103, 0 } do
      conn:open_channel (number, ECHO, nil, nil, function (number, channel)
         opened:push (channel)
      end)
   end
   for _ = 1, 5 do
      local one = take (opened)
      assert (one:request ("hello", LIMIT).payload == "hello")
      assert (one:close ())
   end
end)

step ("closes", function (conn)
   local channel = open (conn, STUBBORN)
   local closed, _, code = channel:close ()
   assert (closed == false and code == 550)
   assert (channel:request ("still open", LIMIT).payload == "still open")
   assert (channel:close ())
   -- a close that waits for the replies that are owed
   local busy, queue = open (conn, ECHO)
   for _ = 1, 50 do
      busy:send_msg (octets)
   end
   assert (busy:close ())
   for _ = 1, 50 do
      assert (take (queue).payload == octets)
   end
end)

step ("reopened", function (conn)
   for _ = 1, 5 do
      local channel = assert (conn:open_channel (77, ECHO))
      assert (channel:request ("again", LIMIT).payload == "again")
      assert (channel:close ())
   end
   assert (conn.num_channels == 1)
end)

step ("both ways", function (conn, ctx)
   vortex.register_profile (ctx, CALLBACK, function (conn, channel, frame)
      if frame.type == "MSG" then
         channel:send_rpy ("answer to " .. frame.payload, -1, frame.msgno)
      end
   end)
   local channel = open (conn, CALLBACK)
   assert (channel:request ("4", LIMIT).payload == "4 6 8 10")
   -- two of the listener's channels are still open
   assert (#conn:find_by_uri (CALLBACK) == 3)
   assert (channel:close ())
end)

step ("several connections", function (conn, ctx, host, port)
   local done = vortex.asyncqueue.new ()
   for index = 1, 5 do
      vortex.spawn (function ()
         local other = connect (ctx, host, port)
         local channel = open (other, ECHO)
         local text = ("connection " .. index .. " "):rep (1000)
         done:push (channel:request (text, LIMIT).payload == text)
         if index % 2 == 0 then
            channel:close ()
         end
         done:push (other:close ())
      end)
   end
   for _ = 1, 10 do
      assert (take (done) == true)
   end
   assert (conn:is_ok ())
end)

local function run_mix (ctx, host, port)
   local conn = connect (ctx, host, port)
   for _, one in ipairs (steps) do
      one.run (conn, ctx, host, port)
      print (one.name)
   end
   assert (open (conn, CONTROL):request ("stop", LIMIT).payload == "ok")
   assert (conn:close ())
   print "all is well"
end

-- -------------------------------------------------------------------- main

local mode, host, port = arg and arg[1], arg and arg[2], arg and arg[3]
local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

if mode == "listen" then
   print ("port " .. start_listener (ctx).port)
   vortex.wait_listeners (ctx, true)
elseif mode == "connect" then
   run_mix (ctx, host, port)
else
   local server_ctx = vortex.ctx.new ()
   assert (server_ctx:init (), "the second ctx did not start")
   run_mix (ctx, "127.0.0.1", start_listener (server_ctx).port)
   server_ctx:exit ()
end
ctx:exit ()

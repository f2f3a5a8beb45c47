-- The client of the benchmarks: see docs/performance.md.
--
--    luavortex bench/client.lua WORKLOAD[,WORKLOAD...] PORT[,PORT...]
--
-- WORKLOAD may be "all". Several ports share the connections. Prints a line of JSON for each workload, with the keys of
-- raw_limit.c. Its environment:
--
--    BENCH_SECONDS     how long each workload measures (default 1; 0: as little as it can)
--    BENCH_SERVER_PID  the listener's process, for its CPU time and memory
--    BENCH_WINDOW      messages outstanding on a channel in pipe64, pipe1k (default 100) and load (default 1)
--    BENCH_CHANNELS    channels in chan100, chan100_par (default 100), and on each connection in load (default 1)
--    BENCH_CONNECTIONS connections in load (default 1)
--    BENCH_SIZE        octets of a message in load (default 64)
--    BENCH_ANS         answers to one message in ans64 and ans1k (default 10000)
--    BENCH_FLOOD       messages of one flood in handler (default 50000)
--    BENCH_IDLE        idle connections in idle (default 1000), and the most of them in among1k and among10k

package.path = (arg[0]:match "^(.*/)" or "./") .. "?.lua;" .. package.path

local vortex = require "vortex"
local measure = require "measure"

local now, begin, latency, report = measure.now, measure.begin, measure.latency, measure.report

local PROFILE = "urn:example:bench:"

local function setting (name, default)
   return tonumber (os.getenv ("BENCH_" .. name) or default)
end

local seconds = setting ("SECONDS", 1)
local ports = {}
for port in assert (arg[2], "usage: client.lua WORKLOAD[,WORKLOAD...] PORT[,PORT...]"):gmatch "[^,]+" do
   ports[#ports + 1] = port
end

local ctx = vortex.ctx.new ()
assert (ctx:init ())

local connected = 0

local function connect ()
   connected = connected + 1
   local conn = vortex.connection.new (ctx, "127.0.0.1", ports[connected % #ports + 1])
   assert (conn:is_ok (), conn.error_msg)
   return conn
end

-- What the certificate is worth does not matter here, and the raw client does not look at it either.
vortex.tls.set_trust (ctx, { verify = false })

local function secure (conn)
   local secured, status, message = vortex.tls.start_tls (conn)
   assert (status == vortex.status_OK, message)
   return secured
end

local function open (conn, profile, handler, data)
   return assert (conn:open_channel (0, PROFILE .. profile, handler, data))
end

-- Fails for a reply that is none. Frames of another type than RPY are never expected.
local function reply (frame, message)
   if not frame or frame.type ~= "RPY" then
      error (message or "the reply is a " .. frame.type)
   end
   return frame
end

local function megabytes (_, mb_s)
   return mb_s
end

-- -------------------------------------------------------------------------------------------------------------------
-- One message at a time

-- Repeats `once (n)`, which is what is measured, for the time that is set, at least twice. Returns how often it was.
local function repeat_timed (once)
   local n, last = 0, begin ()
   local stop = last + seconds
   while last < stop or n < 2 do
      once (n)
      local time = now ()
      latency (time - last)
      n, last = n + 1, time
   end
   return n
end

local function ping_pong (name, is_secured, profile, size, unit)
   local conn = connect ()
   if is_secured then
      conn = secure (conn)
   end
   local channel = open (conn, profile)
   local payload = string.rep ("x", size)
   local expected = profile == "echo" and size or 0
   local function once ()
      if reply (channel:request (payload)).payload_size ~= expected then
         error "the reply has another size"
      end
   end
   for _ = 1, size > 100000 and 1 or 50 do
      once ()
   end
   local n = repeat_timed (once)
   report (name, n, size, unit or "msgs/s", unit == "MB/s" and megabytes)
   conn:close ()
end

-- Channels in turn, each with one message at a time.
local function channels_in_turn (name)
   local conn, channels = connect (), {}
   for index = 1, setting ("CHANNELS", 100) do
      channels[index] = open (conn, "echo")
   end
   local payload, count = string.rep ("x", 64), #channels
   local n = repeat_timed (function (n)
      reply (channels[n % count + 1]:request (payload))
   end)
   report (name, n, 64, "msgs/s")
   conn:close ()
end

local function open_close (name)
   local conn = connect ()
   local n = repeat_timed (function ()
      assert (open (conn, "echo"):close ())
   end)
   report (name, n, 0, "pairs/s")
   conn:close ()
end

-- -------------------------------------------------------------------------------------------------------------------
-- Many messages at a time

-- Keeps `window` messages outstanding on each channel, with a handler that sends the next as a reply comes.
local function pipelined (name, profile, connections, channels, window, size)
   local payload = string.rep ("x", size)
   local going, outstanding, n = true, 0, 0
   local done = vortex.asyncqueue.new ()
   local function replied (_, channel, frame)
      if frame.type ~= "RPY" then
         done:push ("the reply is a " .. frame.type)
         return
      end
      n = n + 1
      if going then
         assert (channel:send_msg (payload))
      else
         outstanding = outstanding - 1
         if outstanding == 0 then
            done:push (true)
         end
      end
   end
   local conns, opened = {}, {}
   for index = 1, connections do
      conns[index] = connect ()
      for _ = 1, channels do
         opened[#opened + 1] = open (conns[index], profile, replied)
      end
   end
   begin ()
   ctx:new_event (math.max (seconds * 1e6, 1000), function ()
      going = false
      return true
   end)
   for _, channel in ipairs (opened) do
      for _ = 1, window do
         assert (channel:send_msg (payload))
         outstanding = outstanding + 1
      end
   end
   local outcome = done:pop ()
   if outcome ~= true then
      error (outcome)
   end
   report (name, n, size, "msgs/s")
   for _, conn in ipairs (conns) do
      conn:close ()
   end
end

local function answers (name, size)
   local conn = connect ()
   local count = setting ("ANS", 10000)
   local question = string.format ("%d %d", count, size)
   local done, n = vortex.asyncqueue.new (), 0
   local channel = open (conn, "stream", function (_, _, frame)
      if frame.type == "ANS" then
         n = n + 1
      else
         done:push (frame.type)
      end
   end)
   local series = repeat_timed (function ()
      assert (channel:send_msg (question))
      local last = done:pop ()
      assert (last == "NUL", last)
   end)
   assert (n == series * count, "answers are missing")
   report (name, n, size, "ANS/s")
   conn:close ()
end

-- What the listener's CPU does for a message that goes to an empty handler: messages are sent as fast as they are taken,
-- none is answered, and the listener counts them and its CPU time.
local function handler (name)
   local payload, count = string.rep ("x", 64), setting ("FLOOD", 50000)
   local control_conn = connect ()
   local control = open (control_conn, "dispatched")
   local function counted ()
      local dispatched, cpu = reply (control:request "").payload:match "^(%S+) (%S+)$"
      return tonumber (dispatched), tonumber (cpu)
   end
   local n, cpu, stop = 0, 0, begin () + seconds
   repeat
      local conn = connect ()
      local channel = open (conn, "flood")
      local dispatched, before = counted ()
      local target, after = dispatched + count
      for _ = 1, count do
         assert (channel:send_msg (payload))
      end
      repeat
         vortex.sleep (10000)
         dispatched, after = counted ()
      until dispatched >= target or not conn:is_ok ()
      assert (conn:is_ok (), conn.error_msg)
      n, cpu = n + count, cpu + after - before
      conn:shutdown ()
   until now () >= stop
   report (name, n, 64, "us", cpu / n * 1e6)
   control_conn:close ()
end

-- -------------------------------------------------------------------------------------------------------------------
-- Connections

local function repeat_connections (name, unit, once)
   for _ = 1, 3 do
      once ()
   end
   report (name, repeat_timed (once), 0, unit)
end

local function connect_and_use ()
   local conn = connect ()
   local channel = open (conn, "echo")
   reply (channel:request (string.rep ("x", 64)))
   assert (channel:close ())
   assert (conn:close ())
end

local function connect_and_secure ()
   assert (secure (connect ()):close ())
end

local function connect_and_authenticate ()
   local conn = connect ()
   local status, message = vortex.sasl.start_auth (conn, "plain", "bob", "secret")
   assert (status == vortex.status_OK, message)
   assert (conn:close ())
end

-- Connections with a channel that has been used.
local function connect_idle (count)
   local conns, channels, payload = {}, {}, string.rep ("x", 64)
   for index = 1, count do
      conns[index] = connect ()
      channels[index] = open (conns[index], "echo")
      reply (channels[index]:request (payload))
   end
   return conns, channels
end

local function close_all (conns)
   for _, conn in ipairs (conns) do
      conn:close ()
   end
end

-- Memory of the listener for an idle connection.
local function idle (name)
   local count = setting ("IDLE", 1000)
   local first = connect_idle (1)
   vortex.sleep (100000)
   local memory = measure.server_memory ()
   local start = begin ()
   local conns, channels = connect_idle (count)
   local rate = count / (now () - start)
   vortex.sleep (300000)
   local each = (measure.server_memory () - memory) / count
   local payload = string.rep ("x", 64)
   for _, channel in ipairs (channels) do
      local time = now ()
      reply (channel:request (payload))
      latency (now () - time)
   end
   report (name, count, 64, "KiB/conn", each, { "open_per_s", open_per_s = rate })
   close_all (conns)
   close_all (first)
end

-- How much slower a round trip is while other connections are open and idle: before them, among them, after them.
local function among (name, count)
   local conn = connect ()
   local channel = open (conn, "echo")
   local payload = string.rep ("x", 64)
   local function once ()
      reply (channel:request (payload))
   end
   local function seconds_each ()
      local start = now ()
      local n = repeat_timed (once)
      return (now () - start) / n
   end
   seconds_each ()
   local before = seconds_each ()
   local conns = connect_idle (count)
   local inside = seconds_each ()
   close_all (conns)
   local after = seconds_each ()
   report (name, count, 64, "times", inside / ((before + after) / 2),
      { "before_us", "among_us", "after_us", before_us = before * 1e6, among_us = inside * 1e6, after_us = after * 1e6 })
   conn:close ()
end

-- -------------------------------------------------------------------------------------------------------------------

local window = setting ("WINDOW", 100)

local workloads = {
   rtt64 = function (name) ping_pong (name, false, "echo", 64) end,
   rtt1k = function (name) ping_pong (name, false, "echo", 1024) end,
   rtt16k = function (name) ping_pong (name, false, "echo", 16384) end,
   bulk1m_echo = function (name) ping_pong (name, false, "echo", 2 ^ 20, "MB/s") end,
   bulk1m_sink = function (name) ping_pong (name, false, "sink", 2 ^ 20, "MB/s") end,
   bulk16m_echo = function (name) ping_pong (name, false, "echo", 2 ^ 24, "MB/s") end,
   bulk16m_sink = function (name) ping_pong (name, false, "sink", 2 ^ 24, "MB/s") end,
   pipe64 = function (name) pipelined (name, "echo", 1, 1, window, 64) end,
   pipe1k = function (name) pipelined (name, "echo", 1, 1, window, 1024) end,
   fan8 = function (name) pipelined (name, "echo", 8, 1, 8, 64) end,
   chan100 = channels_in_turn,
   chan100_par = function (name) pipelined (name, "echo", 1, setting ("CHANNELS", 100), 1, 64) end,
   open_close = open_close,
   connect = function (name) repeat_connections (name, "conn/s", connect_and_use) end,
   ans64 = function (name) answers (name, 64) end,
   ans1k = function (name) answers (name, 1024) end,
   tls_rtt64 = function (name) ping_pong (name, true, "echo", 64) end,
   tls_bulk16m_sink = function (name) ping_pong (name, true, "sink", 2 ^ 24, "MB/s") end,
   tls_handshake = function (name) repeat_connections (name, "handshakes/s", connect_and_secure) end,
   sasl_plain = function (name) repeat_connections (name, "auths/s", connect_and_authenticate) end,
   handler = handler,
   idle = idle,
   among1k = function (name) among (name, math.min (1000, setting ("IDLE", 1000))) end,
   among10k = function (name) among (name, math.min (10000, setting ("IDLE", 10000))) end,
   -- What raw_limit.c does not know.
   load = function (name)
      pipelined (name, "echo", setting ("CONNECTIONS", 1), setting ("CHANNELS", 1), setting ("WINDOW", 1), setting ("SIZE", 64))
   end,
   work = function (name) pipelined (name, "work", 8, 1, 4, 1024) end
}

local wanted = {}
if arg[1] == "all" then
   for name in pairs (workloads) do
      wanted[#wanted + 1] = name
   end
   table.sort (wanted)
else
   for name in arg[1]:gmatch "[^,]+" do
      wanted[#wanted + 1] = name
   end
end

local failed = false
for _, name in ipairs (wanted) do
   local ok, problem
   if workloads[name] then
      ok, problem = pcall (workloads[name], name)
   else
      problem = "no such workload"
   end
   if not ok then
      measure.failed (name, problem)
      failed = true
   end
end
ctx:exit ()
os.exit (failed and 1 or 0)

-- Sessions without end: messages, SASL and TLS in any order, with peers that go away in the middle of everything.
--
--    luavortex soak.lua [SECONDS [WORKERS [CERTIFICATES]]]     default: 60 s, 8 workers, spec/certificates/ beside this folder
--
-- Every message that was sent on a session which ended well has to be answered, nobody may get into the vault without
-- a password, and memory and descriptors have to be at the end what they were after the first round. It prints its
-- figures every tenth of the time, and ends with an error if one is wrong.

local vortex = require "vortex"
local sasl, tls = require "vortex.sasl", require "vortex.tls"

local SECONDS, WORKERS = tonumber (arg[1]) or 60, tonumber (arg[2]) or 8
local HERE = arg[0]:match "^(.*[/\\])" or "./"
local CERTIFICATES = arg[3] or HERE .. "../spec/certificates/"
local ECHO, VAULT = "urn:example:soak:echo", "urn:example:soak:vault"
-- How much memory may grow after the first round. Allocators keep some.
local GROWTH_MAX_KIB, DESCRIPTORS_MORE_MAX = 16 * 1024, 8

local MECHANISMS = { "PLAIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "ANONYMOUS" }

io.stdout:setvbuf "line"
math.randomseed (os.time ())

local random = math.random

-- ------------------------------------------------------------- the listener

local server = vortex.ctx.new ()
assert (server:init ())

local function echo (conn, channel, frame)
   if frame.type == "MSG" then
      channel:send_rpy (frame.payload, -1, frame.msgno)
   end
end

vortex.register_profile (server, ECHO, echo)
vortex.register_profile (server, VAULT, echo, nil, function (number, conn)
   return sasl.peer_identity (conn) ~= nil
end)

for _, name in ipairs (MECHANISMS) do
   assert (sasl.accept_mech (server, name, function (conn, props)
      if random (3) == 1 then
         vortex.sleep (random (2000))
      end
      if name == "ANONYMOUS" then
         return props.anonymous_token == "guest"
      end
      if name == "PLAIN" then
         return props.auth_id == "bob" and props.password == "secret"
      end
      return props.auth_id == "bob" and "secret" or nil
   end))
end

sasl.set_realm (server, "soak")

tls.accept_tls (server, function ()
   if random (3) == 1 then
      vortex.sleep (random (2000))
   end
   return random (6) > 1
end, nil, function () return CERTIFICATES .. "localhost.crt" end, nil,
   function () return CERTIFICATES .. "localhost.key" end, nil)

local listener = vortex.create_listener (server, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)

-- -------------------------------------------------------------- the workers

local client = vortex.ctx.new ()
assert (client:init ())
tls.set_trust (client, { verify = false })

local count = { sessions = 0, cut = 0, sent = 0, answered = 0, secured = 0, refused = 0, let_in = 0, kept_out = 0 }
local running, stop = 0, os.time () + SECONDS

local function add (name)
   count[name] = count[name] + 1
end

-- Goes away without a word, or while something is under way.
local function cut (conn)
   if random (3) == 1 then
      sasl.start_auth (conn, MECHANISMS[random (5)], "bob", "secret", nil, nil, function () end)
   elseif random (2) == 1 then
      tls.start_tls (conn, nil, function () end)
   end
   if random (2) == 1 then
      vortex.sleep (random (3000))
   end
   conn:shutdown ()
   add "cut"
end

local function authenticate (conn)
   local name, knows = MECHANISMS[random (#MECHANISMS)], random (2) == 1
   local before = sasl.is_authenticated (conn)
   local status
   if name == "ANONYMOUS" then
      status = sasl.start_auth (conn, name, knows and "guest" or "burglar")
   else
      status = sasl.start_auth (conn, name, "bob", knows and "secret" or "wrong")
   end
   if conn:is_ok () then
      assert ((status == vortex.status_OK) == (knows and not before), name)
      assert (sasl.is_authenticated (conn) == (knows or before), name)
   end
end

local function secure (conn)
   local new, status = tls.start_tls (conn)
   add (status == vortex.status_OK and "secured" or "refused")
   if status == vortex.status_OK then
      assert (not sasl.is_authenticated (new), "authenticated by TLS")
   end
   return new
end

local function talk (conn)
   local is_in = sasl.is_authenticated (conn)
   local vault = conn:open_channel (0, VAULT)
   if conn:is_ok () then
      assert ((vault ~= nil) == is_in, "the vault")
      add (is_in and "let_in" or "kept_out")
   end
   local channel = vault or conn:open_channel (0, ECHO)
   for _ = 1, channel and random (20) or 0 do
      local text = ("x"):rep (random (4) == 1 and random (100000) or random (200))
      add "sent"
      local reply = assert (channel:request (text))
      assert (reply.type == "RPY" and reply.payload == text, "another answer")
      add "answered"
   end
end

local function session ()
   local conn = vortex.connection.new (client, "127.0.0.1", listener.port)
   assert (conn:is_ok (), conn.error_msg)
   add "sessions"
   for _ = 1, random (5) do
      local dice = random (10)
      if dice == 1 then
         return cut (conn)
      elseif dice <= 4 then
         authenticate (conn)
      elseif dice <= 6 and not tls.is_enabled (conn) then
         conn = secure (conn)
      else
         talk (conn)
      end
      assert (conn:is_ok (), "the session ended by itself")
   end
   assert (conn:close ())
end

local problem
local function worker ()
   local ok, message = xpcall (session, debug.traceback)
   if not ok then
      problem = problem or message
   end
   if problem or os.time () >= stop then
      running = running - 1
      return true
   end
end

-- ------------------------------------------------------------- the figures

local function first_number (path, pattern)
   local file = assert (io.open (path))
   local number = file:read "*a":match (pattern)
   file:close ()
   return tonumber (number)
end

local PID = first_number ("/proc/self/stat", "^(%d+)")

local function figures ()
   collectgarbage ()
   collectgarbage ()
   local list = io.popen ("ls /proc/" .. PID .. "/fd")
   local _, descriptors = list:read "*a":gsub ("\n", "")
   list:close ()
   return first_number ("/proc/self/status", "VmRSS:%s*(%d+)"), descriptors, collectgarbage "count"
end

local function show (what, seconds)
   local rss, descriptors, lua = figures ()
   print (("%-6s %5d s  %6d sessions (%d cut)  %7d sent  %7d answered  %6d secured  %5d TLS refused  %6d let in  %6d kept out"
      .. "  RSS %6d KiB  %4d descriptors  Lua %5d KiB"):format (what, seconds, count.sessions, count.cut, count.sent,
      count.answered, count.secured, count.refused, count.let_in, count.kept_out, rss, descriptors, lua))
   return rss, descriptors
end

-- Runs all workers for so long.
local function run (seconds)
   stop = os.time () + seconds
   for _ = 1, WORKERS do
      running = running + 1
      assert (client:new_event (1000, worker) >= 0)
   end
   while running > 0 do
      vortex.sleep (50000)
   end
   -- What was cut is noticed at the other end.
   vortex.sleep (500000)
   assert (not problem, problem)
end

local round = math.max (1, math.floor (SECONDS / 10))
local began = os.time ()
show ("begin", 0)
run (round)
local rss, descriptors = show ("first", os.time () - began)
local last_rss, last_descriptors
while os.time () - began < SECONDS do
   run (round)
   last_rss, last_descriptors = show ("then", os.time () - began)
end
assert (count.sent == count.answered, "messages without an answer")
assert (last_rss - rss < GROWTH_MAX_KIB, "memory grows")
assert (last_descriptors - descriptors < DESCRIPTORS_MORE_MAX, "descriptors are left")
print "all is well"

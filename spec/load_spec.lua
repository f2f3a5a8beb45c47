-- Much of everything: it arrives exactly once and in order, and memory stays flat.
--
-- Every workload runs twice in one process. The second round may not end on a
-- higher level than the first, which has made room for everything that is kept.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local URI = "urn:example:luavortex:load"
local MIB = 1024 * 1024

-- a bound for failure only, in microseconds: these run in slow builds as well
local LONG = 120 * 1000 * 1000

-- under constant garbage collection, or watched by a relay, less will do
local function scaled (count)
   return (t.options.gc or t.getenv "SPEC_RELAY_PORT") and math.ceil (count / 50) or count
end

-- ------------------------------------------------------------------ memory

-- the first number behind `name` in a file of /proc/self; nil where there is none
local function proc_number (file, name)
   local status = io.open ("/proc/self/" .. file)
   if not status then
      return nil
   end
   local text = status:read ("*a")
   status:close ()
   return tonumber (text:match (name .. "%s*(%d+)"))
end

-- what the process and what Lua has in use, in KiB, when nobody needs anything
local function memory ()
   -- what ended is taken leave of with the next waits
   for _ = 1, 3 do
      vortex.yield (1000)
   end
   -- some versions give what they work with back by halves, one with each collection
   local before
   repeat
      before = collectgarbage ("count")
      collectgarbage ()
      collectgarbage ()
   until collectgarbage ("count") > before - 1
   return { process = proc_number ("status", "VmRSS:"), lua = collectgarbage ("count") }
end

local function check_growth (what, before, after, margin)
   if after > before + margin then
      t.fail (("%s grew from %.0f KiB to %.0f KiB"):format (what, before, after))
   end
end

local function measured (round, number)
   local began = os.clock ()
   round (number)
   local took, level = os.clock () - began, memory ()
   if t.options.verbose then
      print (("   round %d: %.2f s of processor time, Lua %.0f KiB, process %.0f KiB (at most %.0f KiB)"):format (number, took,
         level.lua, level.process or 0, proc_number ("status", "VmHWM:") or 0))
   end
   return level
end

-- Runs `round (number)` twice or more often; each kind of memory may differ by its margin (KiB). What leaks, leaks in
-- every round. The process alone may grow in one round: how much waits at the same time depends on who runs when.
local function flat (round, process_margin, lua_margin)
   local MOST = 5
   local before = measured (round, 1)
   for number = 2, MOST do
      local after = measured (round, number)
      check_growth ("the memory of Lua", before.lua, after.lua, lua_margin or 512)
      if not before.process then
         print ("   no /proc/self/status: the size of the process is not looked at")
         return
      end
      if after.process <= before.process + process_margin then
         return
      end
      if number == MOST then
         check_growth ("the process", before.process, after.process, process_margin)
      end
      before = after
   end
end

-- ------------------------------------------------------------------- bulk

-- a channel to a listener that takes the messages `content (1)`, `content (2)`...
-- in this order and answers each with its number and size; the queue of the answers
local function counting_channel (content)
   local taken = { count = 0 }
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         taken.count = taken.count + 1
         t.ok (frame.payload == content (taken.count), "content of message " .. taken.count)
         t.ok (channel:send_rpy (taken.count .. " " .. frame.payload_size, -1, frame.msgno))
      end)
   end)
   local replies = vortex.asyncqueue.new ()
   local channel = t.ok (conn:open_channel (0, URI, function (_, _, frame)
      replies:push (frame.payload)
   end))
   return channel, replies, taken
end

test ("a hundred messages of a mebibyte arrive once, in order, and leave nothing behind", function ()
   local COUNT, OUTSTANDING = scaled (100), 4
   local text = ("0123456789abcde\0"):rep (MIB / 16 - 1)
   local function content (index)
      return text .. ("%016d"):format (index)
   end
   local channel, replies, taken = counting_channel (content)
   flat (function (round)
      local sent, answered = (round - 1) * COUNT, (round - 1) * COUNT
      while answered < round * COUNT do
         while sent < round * COUNT and sent - answered < OUTSTANDING do
            sent = sent + 1
            t.ok (channel:send_msg (content (sent)))
         end
         answered = answered + 1
         t.equal (t.pop (replies), answered .. " " .. MIB)
      end
      t.equal (taken.count, round * COUNT)
      t.equal (replies:items (), 0)
      t.equal (channel:pending (), 0)
   end, 64 * 1024)
end)

test ("a message of a hundred mebibytes arrives whole and leaves nothing behind", function ()
   local size = scaled (100) * MIB
   local text
   local channel, replies, taken = counting_channel (function () return text end)
   flat (function (round)
      text = (("%015d\0"):format (round)):rep (math.floor (size / 16))
      t.ok (channel:send_msg (text))
      t.equal (replies:timedpop (LONG), round .. " " .. size)
      t.equal (taken.count, round)
      t.equal (channel:pending (), 0)
      text = nil
   end, 64 * 1024)
end)

test ("messages that no handler reads do not pile up", function ()
   if not proc_number ("status", "VmRSS:") then
      t.skip ("no /proc/self/status: the size of the process is not known")
   end
   local COUNT, MOST = scaled (400), 128 * 1024
   local taken = 0
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         taken = taken + 1
         t.ok (channel:send_rpy ("", 0, frame.msgno))
      end)
   end)
   local channel, text = t.ok (conn:open_channel (0, URI)), ("x"):rep (MIB)
   local before = memory ().process
   for _ = 1, COUNT do
      t.ok (channel:request (text))
   end
   t.equal (taken, COUNT)
   -- as it is, without a collection that the script asks for
   check_growth ("the process", before, proc_number ("status", "VmRSS:"), MOST)
end)

-- --------------------------------------------------------------- channels

test ("ten thousand channels come and go on one session", function ()
   local COUNT, TOGETHER = scaled (5000), 50
   local started, closed = 0, 0
   local conn, peer = t.both_ends (function (ctx)
      vortex.register_profile (ctx, URI, t.echo, nil, function (number)
         started = started + 1
         -- channel 3 was the one that showed the other end
         t.equal (number, 3 + 2 * started, "the number of a channel")
         return true
      end, nil, function ()
         closed = closed + 1
         return true
      end)
   end)
   flat (function (round)
      local done = 0
      while done < COUNT do
         local opened = vortex.asyncqueue.new ()
         for _ = 1, TOGETHER do
            conn:open_channel (0, URI, nil, nil, function (_, channel)
               opened:push (channel)
            end)
         end
         for index = 1, TOGETHER do
            done = done + 1
            local channel = t.ok (t.pop (opened), "channel " .. done)
            -- the last of each batch shows that it works
            if index == TOGETHER then
               t.equal (t.ok (channel:request ("number " .. done)).payload, "number " .. done)
            end
            t.ok (channel:close ())
         end
      end
      t.equal (started, round * done)
      t.equal (closed, started)
      t.equal (conn.num_channels, 1)
      t.equal (peer.num_channels, 1)
   end, 4 * 1024)
   t.still_works (conn)
end)

-- --------------------------------------------------------------- sessions

-- how many sessions, with both ends in this process, the descriptors allow
local function sessions_allowed (wanted)
   local limit = proc_number ("limits", "Max open files")
   if not limit and io.popen then
      local shell = io.popen ("ulimit -n")
      limit = tonumber ((shell:read ("*l")))
      shell:close ()
   end
   -- some are for everything else
   local count = limit and math.min (wanted, math.floor ((limit - 64) / 2)) or wanted
   if count < wanted then
      print (("   %d descriptors: %d sessions instead of %d"):format (limit, count, wanted))
   end
   return count
end

test ("a thousand sessions at once, each with its own messages", function ()
   local COUNT = sessions_allowed (scaled (1000))
   local server_ctx, client_ctx = t.new_ctx (), t.new_ctx ()
   local served = {}
   local count = 0
   vortex.register_profile (server_ctx, URI, t.echo, nil, function (_, conn)
      if not served[conn.id] then
         served[conn.id] = true
         count = count + 1
      end
      return true
   end)
   local listener = t.listen (server_ctx)
   flat (function (round)
      local replies = vortex.asyncqueue.new ()
      local sessions = {}
      for index = 1, COUNT do
         local session = { conn = t.connect (client_ctx, listener), replies = 0 }
         sessions[index] = session
         session.channel = t.ok (session.conn:open_channel (0, URI, function (_, _, frame)
            session.replies = session.replies + 1
            t.equal (frame.payload, index .. "/" .. session.replies)
            replies:push (index)
         end))
      end
      for number = 1, 3 do
         for index, session in ipairs (sessions) do
            t.equal (session.channel:send_msg (index .. "/" .. number), number - 1)
         end
      end
      for _ = 1, 3 * COUNT do
         t.pop (replies, "a reply")
      end
      for _, session in ipairs (sessions) do
         t.equal (session.replies, 3)
         t.ok (session.conn:is_ok ())
         t.ok (session.conn:close ())
      end
      t.equal (replies:items (), 0)
      t.equal (count, round * COUNT, "sessions that the listener has seen")
   end, 8 * 1024)
end)

-- --------------------------------------------------------------- messages

test ("a hundred thousand small messages, none of which waits for another", function ()
   local COUNT = scaled (100000)
   local function content (number)
      return ("%064d"):format (number)
   end
   local taken, answered = 0, 0
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, function (_, channel, frame)
         t.ok (frame.payload == content (taken), "the order of the messages")
         t.ok (channel:send_rpy (frame.payload, -1, frame.msgno))
         taken = taken + 1
      end)
   end)
   local done = vortex.asyncqueue.new ()
   local channel = t.ok (conn:open_channel (0, URI, function (_, _, frame)
      t.equal (frame.type, "RPY")
      t.equal (frame.msgno, answered)
      t.ok (frame.payload == content (answered), "the order of the replies")
      answered = answered + 1
      if answered % COUNT == 0 then
         done:push (answered)
      end
   end))
   flat (function (round)
      for number = (round - 1) * COUNT, round * COUNT - 1 do
         t.equal (channel:send_msg (content (number)), number)
      end
      t.equal (done:timedpop (LONG), round * COUNT)
      t.equal (taken, round * COUNT)
      t.equal (channel:pending (), 0)
   end, 20 * 1024)
end)

-- Log transport after RFC 3195: the RAW profile of syslog over BEEP.
--
-- The device connects and opens a channel. Then the collector asks: it sends one MSG,
-- and the device answers with ANS frames, each with one or more entries as syslog has
-- them ("<PRI>TIME HOST TAG: TEXT"), and with a NUL when there is nothing more to say.
--
-- Run it with:  luavortex syslog_raw.lua                          both sides, and the end
--               luavortex syslog_raw.lua collect [PORT]           until Ctrl-C; the port of RFC 3195 is 601
--               luavortex syslog_raw.lua send HOST PORT           entries from standard input, as `logger` writes them:
--               logger --no-act --stderr hello 2>&1 | luavortex syslog_raw.lua send 127.0.0.1 601
--
-- expect: collector: daemon notice: Oct 27 13:21:08 ductwork imxpd[141]: Heating emergency.
-- expect: collector: user notice: a line without a priority
-- expect: collector: auth crit: Oct 27 13:22:15 ductwork su: who is that?
-- expect: collector: 3 entries from 127.0.0.1

local vortex = require "vortex"

local RAW = "http://xml.resource.org/profiles/syslog/RAW"
local ENTRY_MAX = 1024 -- octets, RFC 3164 §4.1
local FACILITIES = {
   [0] = "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
   "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
}
local SEVERITIES = { [0] = "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" }

io.stdout:setvbuf "line"
local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- The collector -----------------------------------------------------------------------------------------------------

local function show (entry)
   local priority, text = entry:match "^<(%d%d?%d?)>(.*)$"
   -- RFC 3164 §4.3.3: without a priority it is user.notice
   local number = tonumber (priority) or 13
   local facility = FACILITIES[math.floor (number / 8)] or "?"
   -- what strangers write does not steer our terminal
   text = (text or entry):gsub ("%c", "?")
   print ("collector: " .. facility .. " " .. SEVERITIES[number % 8] .. ": " .. text)
end

-- Asks a device for its entries, to the last one.
---@param conn vortex.Connection
---@param channel vortex.Channel
local function collect_from (conn, channel)
   local count = 0
   -- a device may be silent for a day. (Lua 5.1 cannot suspend a `for` that waits; it can this call.)
   local next_answer = assert (channel:answers ("", 24 * 3600 * 1000000))
   local frame = next_answer ()
   while frame do
      for entry in frame.payload:gmatch "[^\r\n]+" do
         show (entry:sub (1, ENTRY_MAX))
         count = count + 1
      end
      frame = next_answer ()
   end
   print ("collector: " .. count .. " entries from " .. conn.host)
end

local collected = vortex.asyncqueue.new ()
local function collector (host, port)
   -- an entry has at most 1024 octets, an answer some of them
   ctx:set_limits { message_max = 65536, channels_max = 2 }
   vortex.register_profile (ctx, RAW, nil, nil, function (number, conn)
      -- The channel can be used as soon as this handler has accepted it.
      vortex.spawn (function ()
         for _, channel in ipairs (conn:find_by_uri (RAW)) do
            if channel.number == number then
               collect_from (conn, channel)
            end
         end
         collected:push (true)
      end)
      return true
   end)
   local listener = vortex.create_listener (ctx, host, port)
   assert (listener:is_ok (), listener.error_msg)
   return listener
end

-- The device --------------------------------------------------------------------------------------------------------

-- Sends what `lines` gives. The answers begin when the collector asks.
local function send (host, port, lines)
   local conn = vortex.connection.new (ctx, host, port)
   assert (conn:is_ok (), conn.error_msg)
   local asked = vortex.asyncqueue.new ()
   local channel = assert (conn:open_channel (0, RAW, function (_, _, frame)
      asked:push (frame.msg_no)
   end))
   local msg_no = asked:pop ()
   for line in lines do
      assert (channel:send_ans (line:sub (1, ENTRY_MAX), -1, msg_no))
      -- lets the entry out before the next line is waited for, and waits while the collector is slow
      repeat
         vortex.sleep (channel:pending () > 0 and 1000 or 0)
      until channel:pending () < 65536
   end
   assert (channel:finalize_ans (msg_no))
   assert (conn:close ())
end

if arg and arg[1] == "collect" then
   print ("collecting on port " .. collector ("0.0.0.0", arg[2] or "0").port)
   vortex.wait_listeners (ctx, true)
elseif arg and arg[1] == "send" then
   send (arg[2], arg[3], io.lines ())
else
   local entries = "<29>Oct 27 13:21:08 ductwork imxpd[141]: Heating emergency.\na line without a priority\n"
      .. "<34>Oct 27 13:22:15 ductwork su: who is that?\n"
   send ("127.0.0.1", collector ("127.0.0.1", "0").port, entries:gmatch "[^\n]+")
   collected:pop ()
end
ctx:exit ()

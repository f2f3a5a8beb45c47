-- A chat room: what one says, all others hear.
--
-- In BEEP either side may ask, so one channel is enough for each member: on it the
-- member sends lines to the room, and the room sends what the others said. Both are
-- MSGs, and each is answered.
--
-- Run it with:  luavortex chat_room.lua            three members who talk, and the end
--               luavortex chat_room.lua 10288      a room on that port, until Ctrl-C
--
-- expect: room: ann is here
-- expect: room: ben is here
-- expect: room: eve is here
-- expect: eve is refused: somebody here is called ann
-- expect: room: ben has left
-- expect: ann heard: ben is here / eve is here / ben: hello / ben has left
-- expect: ben heard: eve is here
-- expect: eve heard: ben: hello / ben has left

local vortex = require "vortex"

local CHAT = "urn:example:chat"
local SECOND = 1000000

io.stdout:setvbuf "line"

-- The room ----------------------------------------------------------------------------------------------------------

local room = vortex.ctx.new ()
assert (room:init (), "the ctx did not start")
-- Strangers write here: nobody needs more than a few lines on the way.
room:set_limits { message_max = 4096, channels_max = 4, idle_timeout = 3600 * SECOND }

local members = {} -- { name = ..., channel = ... }, in the order of their coming

local function tell_others (speaker, text)
   for _, member in ipairs (members) do
      if member.channel ~= speaker and member.channel:pending () < 65536 then
         -- whoever does not read misses something; the others do not wait for them
         member.channel:send_msg (text)
      end
   end
end

local function member_of (channel)
   for place, member in ipairs (members) do
      if member.channel == channel then
         return member, place
      end
   end
end

local function join (conn, channel, name)
   for _, member in ipairs (members) do
      if member.name == name then
         return nil, "somebody here is called " .. name
      end
   end
   table.insert (members, { name = name, channel = channel })
   -- however the connection ends, the others are told
   conn:set_on_close (function ()
      local _, place = member_of (channel)
      table.remove (members, place)
      print ("room: " .. name .. " has left")
      tell_others (channel, name .. " has left")
   end)
   print ("room: " .. name .. " is here")
   tell_others (channel, name .. " is here")
   return "welcome"
end

vortex.register_profile (room, CHAT, function (conn, channel, frame)
   if frame.type ~= "MSG" then
      return -- a member confirms what it heard
   end
   local member, answer, refusal = member_of (channel), "said", nil
   if member then
      tell_others (channel, member.name .. ": " .. frame.payload)
   else -- the first line of a channel is the name
      answer, refusal = join (conn, channel, frame.payload)
   end
   local send = answer and channel.send_rpy or channel.send_err
   send (channel, answer or refusal, -1, frame.msg_no)
end)

local listener = vortex.create_listener (room, arg and arg[1] and "0.0.0.0" or "127.0.0.1", arg and arg[1] or "0")
assert (listener:is_ok (), listener.error_msg)
if arg and arg[1] then
   print ("room: open on port " .. listener.port)
   vortex.wait_listeners (room, true)
   os.exit (0)
end

-- Members -----------------------------------------------------------------------------------------------------------

local function enter (name)
   local conn = vortex.connection.new (room, "127.0.0.1", listener.port)
   assert (conn:is_ok (), conn.error_msg)
   local heard = vortex.asyncqueue.new ()
   local channel = assert (conn:open_channel (0, CHAT, function (_, channel, frame)
      heard:push (frame.payload)
      channel:send_rpy ("", -1, frame.msg_no)
   end))
   return { conn = conn, channel = channel, heard = heard, answer = assert (channel:request (name)) }
end

local function show (name, member, count)
   local texts = {}
   for place = 1, count do texts[place] = member.heard:pop () end
   print (name .. " heard: " .. table.concat (texts, " / "))
end

local ann, ben, eve = enter "ann", enter "ben", enter "eve"
print ("eve is refused: " .. enter "ann".answer.payload)
assert (ben.channel:request "hello")
ben.conn:close ()
show ("ann", ann, 4)
show ("ben", ben, 1)
show ("eve", eve, 2)
room:exit ()

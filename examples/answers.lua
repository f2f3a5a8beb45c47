-- One question, many answers.
--
-- BEEP lets a listener answer one MSG with any number of ANS and a NUL at the end.
-- Here the listener sends the lines of a poem, a few at a time, and the client goes
-- through them with ch:answers, which sends the question and gives the answers
-- as they come.
--
-- Run it with:  lua answers.lua
--
-- expect: answer 0: A lantern hangs above the door,
-- expect: answer 3: but still the light is there.
-- expect: 4 answers
-- expect: unknown poem: 0 answers

local vortex = require "vortex"

local POEMS = "urn:example:poems"
local poems = {
   lantern = {
      "A lantern hangs above the door,", "its light falls on the stair;", "nobody climbs it any more,",
      "but still the light is there."
   }
}

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

vortex.register_profile (ctx, POEMS, function (conn, channel, frame)
   if frame.type ~= "MSG" then
      return
   end
   for _, line in ipairs (poems[frame.payload] or {}) do
      channel:send_ans (line, -1, frame.msgno)
      -- answers may come slowly
      vortex.sleep (10000)
   end
   -- the NUL: that was the last answer
   channel:finalize_ans (frame.msgno)
end)

local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)
local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
assert (conn:is_ok (), conn.error_msg)
local channel = assert (conn:open_channel (0, POEMS))

local count = 0
for frame in channel:answers ("lantern") do
   print ("answer " .. frame.ans_no .. ": " .. frame.payload)
   count = count + 1
end
print (count .. " answers")

count = 0
for _ in channel:answers ("something else") do
   count = count + 1
end
print ("unknown poem: " .. count .. " answers")

assert (conn:close ())
ctx:exit ()

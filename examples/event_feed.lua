-- A feed of events: one publisher, many subscribers.
--
-- A subscriber sends one MSG that names a topic. It is never answered to the end: each
-- event is one more answer (ANS) to it, and the NUL comes when the feed is over. A
-- subscriber that cannot keep up is cut off, so that it costs no memory.
--
-- Run it with:  luavortex event_feed.lua
--
-- expect: publisher: 3 subscribers
-- expect: publisher: a subscriber is gone, 2 left
-- expect: weather: sun
-- expect: weather: rain
-- expect: weather: the feed is over
-- expect: all: weather sun
-- expect: all: trains the 9:15 is late
-- expect: all: weather rain
-- expect: all: the feed is over
-- expect: refused: a topic is a word

local vortex = require "vortex"

local FEED = "urn:example:feed"
local QUEUED_MAX = 1024 * 1024

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- The publisher -----------------------------------------------------------------------------------------------------

local subscribers = {} -- keys are { channel, msg_no, topic }
local count, changed = 0, vortex.asyncqueue.new ()

local function remove (subscriber)
   if subscribers[subscriber] then
      subscribers[subscriber] = nil
      count = count - 1
      changed:push (count)
   end
end

local function publish (topic, text)
   for subscriber in pairs (subscribers) do
      local channel = subscriber.channel
      local wanted = subscriber.topic == "all" or subscriber.topic == topic
      if wanted and channel:pending () > QUEUED_MAX then
         channel.conn:shutdown () -- a more patient publisher would leave events out
      elseif wanted then
         local line = subscriber.topic == "all" and topic .. " " .. text or text
         channel:send_ans (line, -1, subscriber.msg_no)
      end
   end
end

local function finish ()
   for subscriber in pairs (subscribers) do
      subscriber.channel:finalize_ans (subscriber.msg_no)
      remove (subscriber)
   end
end

vortex.register_profile (ctx, FEED, function (conn, channel, frame)
   local topic = frame.payload:match "^subscribe (%w+)$"
   if not topic then
      return channel:send_err ("a topic is a word", -1, frame.msg_no)
   end
   local subscriber = { channel = channel, msg_no = frame.msg_no, topic = topic }
   subscribers[subscriber] = true
   count = count + 1
   changed:push (count)
   -- an answer that is owed keeps a channel from being closed, so subscribers leave with their connection
   conn:set_on_close (function () remove (subscriber) end)
end)
local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)

-- Subscribers -------------------------------------------------------------------------------------------------------

-- Runs in a handler of its own until the feed is over. `printed` gets the lines: three subscribers at once would mix them.
local over = vortex.asyncqueue.new ()
local function subscribe (topic, printed)
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
   assert (conn:is_ok (), conn.error_msg)
   local channel = assert (conn:open_channel (0, FEED))
   vortex.spawn (function ()
      -- each event may be an hour away from the last. (Lua 5.1 cannot suspend a `for` that waits; it can this call.)
      local next_event = assert (channel:answers ("subscribe " .. topic, 3600 * 1000000))
      local frame = next_event ()
      while frame do
         table.insert (printed, topic .. ": " .. frame.payload)
         frame = next_event ()
      end
      table.insert (printed, topic .. ": the feed is over")
      over:push (true)
   end)
   return conn
end

local weather, all, leaving = {}, {}, {}
local connections = { subscribe ("weather", weather), subscribe ("all", all), subscribe ("all", leaving) }
repeat until changed:pop () == 3
print "publisher: 3 subscribers"
connections[3]:shutdown ()
repeat until changed:pop () == 2
print "publisher: a subscriber is gone, 2 left"

publish ("weather", "sun")
publish ("trains", "the 9:15 is late")
publish ("weather", "rain")
finish ()
for _ = 1, 3 do
   over:pop ()
end
print (table.concat (weather, "\n"))
print (table.concat (all, "\n"))
local asking = assert (connections[1]:open_channel (0, FEED))
print ("refused: " .. assert (asking:request "anything").payload)
ctx:exit ()

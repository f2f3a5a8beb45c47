-- Timers: handlers that run every so many microseconds.
--
-- A timer repeats until its handler returns true, until it is removed from
-- outside, or until its ctx ends.
--
-- Run it with:  lua timers.lua
--
-- expect: tick 1 of the clock
-- expect: tick 2 of the clock
-- expect: tick 3 of the clock
-- expect: the clock has stopped
-- expect: the alarm was removed: true
-- expect: removing it again: false
-- expect: time to go
-- expect: the wait is over

local vortex = require "vortex"

local MILLISECOND = 1000

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- the two values after the handler are handed to it
local stopped = vortex.asyncqueue.new ()
local count = 0
ctx:new_event (10 * MILLISECOND, function (ctx, name, queue)
   count = count + 1
   print ("tick " .. count .. " of " .. name)
   if count == 3 then
      queue:push (true)
      return true
   end
end, "the clock", stopped)

-- while the main code waits here, the timer's handler runs
stopped:pop ()
print "the clock has stopped"

-- an alarm in an hour, which is not wanted after all
local alarm = ctx:new_event (3600 * 1000 * MILLISECOND, function ()
   print "this is never printed"
   return true
end)
print ("the alarm was removed: " .. tostring (ctx:remove_event (alarm)))
print ("removing it again: " .. tostring (ctx:remove_event (alarm)))

-- a timer may end the wait of a program that has nothing else to do
ctx:new_event (20 * MILLISECOND, function (ctx)
   print "time to go"
   vortex.unlock_listeners (ctx)
   return true
end)
vortex.wait_listeners (ctx)
print "the wait is over"

ctx:exit ()

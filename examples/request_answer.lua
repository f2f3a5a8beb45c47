-- Questions and answers: a small calculator.
--
-- The listener answers each MSG with a RPY, or with an ERR when it does not
-- understand the question. The client uses ch:request, which sends a MSG and waits
-- for the frame that answers it. Several requests may be under way at the same
-- time: each runs in a handler of its own, started with vortex.spawn.
--
-- Run it with:  lua request_answer.lua
--
-- expect: 2 + 3 = 5
-- expect: 7 * 6 = 42
-- expect: 1 / 0: refused (division by zero)
-- expect: two plus two: refused (not understood)
-- expect: no answer in time: true
-- expect: ten squares: 1 4 9 16 25 36 49 64 81 100

local vortex = require "vortex"

local CALCULATOR = "urn:example:calculator"
local SECOND = 1000000

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

local operations = {
   ["+"] = function (a, b) return a + b end,
   ["-"] = function (a, b) return a - b end,
   ["*"] = function (a, b) return a * b end,
   ["/"] = function (a, b)
      if b == 0 then
         return nil, "division by zero"
      end
      return a / b
   end
}

local function calculate (question)
   local a, operation, b = question:match ("^(%d+) ([-+*/]) (%d+)$")
   if not a then
      return nil, "not understood"
   end
   return operations[operation] (tonumber (a), tonumber (b))
end

vortex.register_profile (ctx, CALCULATOR, function (conn, channel, frame)
   if frame.type ~= "MSG" then
      return
   end
   if frame.payload == "wait" then
      -- a handler may rest; nobody else is held up
      vortex.sleep (SECOND / 5)
   end
   local result, reason = calculate (frame.payload)
   if result then
      channel:send_rpy (string.format ("%g", result), -1, frame.msgno)
   else
      channel:send_err (reason, -1, frame.msgno)
   end
end)

local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)
local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
assert (conn:is_ok (), conn.error_msg)
local channel = assert (conn:open_channel (0, CALCULATOR))

for _, question in ipairs { "2 + 3", "7 * 6", "1 / 0", "two plus two" } do
   local frame = assert (channel:request (question, 5 * SECOND))
   if frame.type == "RPY" then
      print (question .. " = " .. frame.payload)
   else
      print (question .. ": refused (" .. frame.payload .. ")")
   end
end

-- a request that takes too long gives nil, a message and a code
local frame = channel:request ("wait", SECOND / 100)
print ("no answer in time: " .. tostring (frame == nil))

-- ten requests at once, on one channel; replies keep their order, and each
-- request gets its own
local squares, done = {}, vortex.asyncqueue.new ()
for number = 1, 10 do
   vortex.spawn (function ()
      local answer = assert (channel:request (number .. " * " .. number, 5 * SECOND))
      squares[number] = answer.payload
      done:push (number)
   end)
end
for _ = 1, 10 do
   done:pop ()
end
print ("ten squares: " .. table.concat (squares, " "))

assert (conn:close ())
ctx:exit ()

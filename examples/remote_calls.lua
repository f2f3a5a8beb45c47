-- Remote procedure calls with time-outs and retries, over a pool of channels.
--
-- A channel answers in order, so a slow call holds up what is behind it: each call borrows a
-- channel of a pool. Without an answer in time it is tried again on another channel. Every
-- call has a number, and the listener does none twice: only the answer may have been late.
--
-- Run it with:  luavortex remote_calls.lua
--
-- expect: upper (beep) = BEEP
-- expect: divide (1, 0) failed: division by zero
-- expect: fly () failed: there is no fly
-- expect: ten at once: 1 4 9 16 25 36 49 64 81 100
-- expect: order (tea): try 1 had no answer in time
-- expect: order (tea) = here it is
-- expect: tea was ordered 1 time

local vortex = require "vortex"

local CALLS = "urn:example:calls"

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- The listener ------------------------------------------------------------------------------------------------------

local ordered = 0
---@type table<string, (fun(...: any): any)?>
local procedures = {
   upper = string.upper,
   square = function (x) return string.format ("%d", x * x) end,
   divide = function (a, b)
      return tonumber (b) ~= 0 and a / b or error ("division by zero", 0)
   end,
   order = function ()
      ordered = ordered + 1
      return "here it is"
   end
}

local done = {} -- what came of the calls, by number; a service that runs for long forgets them after a while
local late -- the answer that is held back here to show a late one

local function perform (id, name, arguments)
   if not done[id] then
      local procedure = procedures[name] or function () error ("there is no " .. name, 0) end
      local ok, result = pcall (procedure, (unpack or table.unpack) (arguments))
      done[id] = { ok = ok, text = tostring (result) }
   end
   return done[id]
end

vortex.register_profile (ctx, CALLS, function (_, channel, frame)
   -- a line each: number, name, arguments
   local words = {}
   for word in frame.payload:gmatch "[^\n]+" do words[#words + 1] = word end
   local id, name = table.remove (words, 1), table.remove (words, 1) or "?"
   local result = perform (id, name, words)
   local function answer ()
      local send = result.ok and channel.send_rpy or channel.send_err
      send (channel, result.text, -1, frame.msg_no)
   end
   if name ~= "order" then
      answer ()
   elseif not late then
      late = answer -- nobody waits for it any more when it comes
   else
      answer ()
      late ()
   end
end)
local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)

-- The client --------------------------------------------------------------------------------------------------------

local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
assert (conn:is_ok (), conn.error_msg)
local pool = assert (conn:channel_pool_new (CALLS, 2))

-- Calls a procedure. Returns its result, or nil and why there is none.
local last_id = 0
local function call (name, ...)
   last_id = last_id + 1
   local shown = name .. " (" .. table.concat ({ ... }, ", ") .. ")"
   local text = table.concat ({ last_id, name, ... }, "\n")
   local wait = 250000 -- µs
   for try = 1, 7 do
      -- a channel that still awaits an answer is not lent; the pool opens another one then
      local channel = assert (pool:next_ready ())
      local frame, reason, code = channel:request (text, wait)
      pool:release (channel)
      if frame then
         return frame.type == "RPY" and frame.payload or nil, shown .. " failed: " .. frame.payload
      elseif try == 7 or code ~= vortex.status_CONNECTION_TIMEOUT_ERROR then
         return nil, shown .. " failed: " .. reason
      end
      print (shown .. ": try " .. try .. " had no answer in time")
      wait = wait * 2 -- a peer with too much to do has no use for haste
   end
end

print ("upper (beep) = " .. assert (call ("upper", "beep")))
print ((select (2, call ("divide", 1, 0))))
print ((select (2, call "fly")))

-- Many at once: each in a handler of its own.
local squares, finished = {}, vortex.asyncqueue.new ()
for number = 1, 10 do
   vortex.spawn (function ()
      squares[number] = assert (call ("square", number))
      finished:push (true)
   end)
end
for _ = 1, 10 do finished:pop () end
print ("ten at once: " .. table.concat (squares, " "))
print ("order (tea) = " .. assert (call ("order", "tea")))
print ("tea was ordered " .. ordered .. " time")
conn:close ()
ctx:exit ()

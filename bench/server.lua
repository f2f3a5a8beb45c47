-- The listener of the benchmarks: see docs/performance.md.
--
--    luavortex bench/server.lua [PORT]        (default: a free one)
--
-- Prints "READY PORT" and serves until it is interrupted. BENCH_CERT and BENCH_KEY name the PEM files for the
-- workloads with TLS.

local vortex = require "vortex"

local PROFILE = "urn:example:bench:"

local ctx = vortex.ctx.new ()
assert (ctx:init ())

vortex.register_profile (ctx, PROFILE .. "echo", function (_, channel, frame)
   channel:send_rpy (frame.payload, -1, frame.msg_no)
end)

vortex.register_profile (ctx, PROFILE .. "sink", function (_, channel, frame)
   channel:send_rpy ("", -1, frame.msg_no)
end)

-- "COUNT SIZE" is answered with so many answers of so many octets.
vortex.register_profile (ctx, PROFILE .. "stream", function (_, channel, frame)
   local count, size = frame.payload:match ("^(%d+) (%d+)$")
   local answer, msg_no = string.rep ("x", tonumber (size)), frame.msg_no
   for _ = 1, tonumber (count) do
      channel:send_ans (answer, -1, msg_no)
   end
   channel:finalize_ans (msg_no)
end)

-- What a handler costs that does nothing, "flood", and how many ran at what price, "dispatched".
local dispatched = 0

vortex.register_profile (ctx, PROFILE .. "flood", function ()
   dispatched = dispatched + 1
end)

vortex.register_profile (ctx, PROFILE .. "dispatched", function (_, channel, frame)
   channel:send_rpy (string.format ("%d %.6f", dispatched, os.clock ()), -1, frame.msg_no)
end)

-- A handler with something to do: the checksum of a payload.
vortex.register_profile (ctx, PROFILE .. "work", function (_, channel, frame)
   local payload, a, b = frame.payload, 1, 0
   for _ = 1, 16 do
      for index = 1, #payload do
         a = (a + payload:byte (index)) % 65521
         b = (b + a) % 65521
      end
   end
   channel:send_rpy (string.format ("%d", b * 65536 + a), -1, frame.msg_no)
end)

vortex.sasl.accept_mech (ctx, "plain", function (_, props)
   return props.auth_id == "bob" and props.password == "secret"
end)

local certificate, key = os.getenv "BENCH_CERT", os.getenv "BENCH_KEY"
if certificate and key then
   local function give (_, _, path)
      return path
   end
   vortex.tls.accept_tls (ctx, nil, nil, give, certificate, give, key)
end

local listener = vortex.create_listener (ctx, "127.0.0.1", arg and arg[1] or "0")
assert (listener:is_ok (), listener.error_msg)
io.stdout:write ("READY ", listener.port, "\n")
io.stdout:flush ()

vortex.wait_listeners (ctx, true)
ctx:exit ()

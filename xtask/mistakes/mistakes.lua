-- Mistakes, each of which the checker has to find: `cargo xtask types` compares what it reports with the remarks here.
-- This file is never run.

local vortex = require "vortex"

local ctx = vortex.ctx.new ()
local conn = vortex.connection.new (ctx, "127.0.0.1", "44010")
local channel = assert (conn:open_channel (0, "urn:example:x"))
local queue = vortex.asyncqueue.new ()

-- Wrong types of arguments, as a method and as a function.
conn:open_channel ("first", "urn:example:x") -- expect: param-type-mismatch
vortex.connection.open_channel (conn, "first", "urn:example:x") -- expect: param-type-mismatch
vortex.connection.new ("ctx", "127.0.0.1", "44010") -- expect: param-type-mismatch
vortex.channel.close (conn) -- expect: param-type-mismatch
channel:send_rpy ("text", -1, "0") -- expect: param-type-mismatch
ctx:new_event ("soon", function () end) -- expect: param-type-mismatch
queue:timedpop {} -- expect: param-type-mismatch
vortex.create_listener (ctx, "127.0.0.1", {}) -- expect: param-type-mismatch
vortex.sasl.start_auth (conn, "plain", true) -- expect: param-type-mismatch
vortex.tls.peer_digest (conn, "md5") -- expect: param-type-mismatch
vortex.alive.enable_check (conn, 1000, "often") -- expect: param-type-mismatch

-- Arguments left out.
conn:open_channel (0) -- expect: missing-parameter
channel:send_rpy ("text") -- expect: missing-parameter

-- Names that do not exist.
conn:open_chanel (0, "urn:example:x") -- expect: undefined-field
channel:send ("text") -- expect: undefined-field
queue:put (1) -- expect: undefined-field
vortex.listen (ctx) -- expect: undefined-field
vortex.connection.connect (ctx) -- expect: undefined-field
print (conn.hostname) -- expect: undefined-field
print (vortex.status_FINE) -- expect: undefined-field
print (vortex.connection.host) -- expect: undefined-field

-- Attributes and limits of the wrong type or name.
channel.automatic_mime = "yes" -- expect: assign-type-mismatch
ctx.log = 1 -- expect: assign-type-mismatch
ctx:set_limits { message_max = "much" } -- expect: assign-type-mismatch

-- Handlers: what is no function, what expects other arguments, and what takes an argument for something else.
conn:set_on_close ("closed") -- expect: param-type-mismatch
---@param frame vortex.Frame
local function frame_first (frame)
   print (frame.payload)
end
channel:set_frame_received (frame_first) -- expect: param-type-mismatch
---@param answer integer
local function by_number (answer)
   print (answer)
end
vortex.register_profile (ctx, "urn:example:x", nil, nil, nil, nil, frame_first) -- expect: param-type-mismatch
ctx:new_event (1000, by_number) -- expect: param-type-mismatch
vortex.register_profile (ctx, "urn:example:x", function (peer, opened, frame)
   peer:send_rpy (frame.payload, -1, frame.msg_no) -- expect: undefined-field
   opened:send_rpy (frame.payload, -1, frame.number) -- expect: undefined-field
end)
conn:open_channel (0, "urn:example:x", nil, nil, function (number, opened)
   opened:close () -- expect: need-check-nil param-type-mismatch
end)

-- Results that may be nil.
print (conn:open_channel (0, "urn:example:x").number) -- expect: need-check-nil
print (channel:request ("text").payload) -- expect: need-check-nil

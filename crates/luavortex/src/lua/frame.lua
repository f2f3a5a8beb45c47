-- vortex.frame: what was received.
local raw, lib = ...

local class = lib.class ("frame")
lib.frame = class.methods

lib.frame.header = lib.call (raw.frame_header)

local TYPE = raw.frame_slots.type

function lib.frame_type (frame)
  local _, kind = raw.frame_attribute (frame, TYPE)
  return kind
end

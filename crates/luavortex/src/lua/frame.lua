-- vortex.frame: what was received.
local raw, lib = ...

local class = lib.class ("frame", raw.frame_attribute)
lib.frame = class.methods

lib.frame.header = lib.call (raw.frame_header)

function lib.frame_type (frame)
  local _, kind = raw.frame_attribute (frame, "type")
  return kind
end

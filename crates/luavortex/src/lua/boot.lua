-- Puts the Lua side together. Called once a Lua state with the primitives and the sources of the other files.
local raw, sources = ...

-- Scripts overwrite globals: whatever the library needs later is taken now.
local lib = {
  ipairs = ipairs,
  tostring = tostring,
  type = type,
  gsub = string.gsub,
  table_insert = table.insert,
  table_remove = table.remove,
}

local select, type, unpack = select, type, table.unpack or unpack

-- `f` with its arguments, nil ones too.
function lib.bind (f, ...)
  local count, arguments = select ("#", ...), { ... }
  if count == 0 then
    return f
  end
  return function ()
    return f (unpack (arguments, 1, count))
  end
end

function lib.describe (value)
  return raw.class_of (value) and "a vortex." .. raw.class_of (value) or value == nil and "nil" or "a " .. type (value)
end

local vortex
for _, chunk in ipairs (sources) do
  vortex = chunk (raw, lib)
end
return vortex

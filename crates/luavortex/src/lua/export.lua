-- How results of the Rust side become what the contract asks for; see export.rs for the other half.
--
-- Standard functions are captured when the library is loaded: scripts overwrite globals.
local raw, lib = ...

local error, type = error, type

-- For functions that cannot fail in normal operation.
function lib.call (primitive)
  return function (...)
    local status, a, b, c = primitive (...)
    if status == nil then
      error (a, 2)
    end
    if not status then
      return nil, a, b
    end
    if b == nil and c == nil then
      return a
    end
    return a, b, c
  end
end

-- For functions that return false, message, code when they fail.
function lib.try (primitive)
  return function (...)
    local status, a, b = primitive (...)
    if status then
      return a
    end
    if status == nil then
      error (a, 2)
    end
    return false, a, b
  end
end

-- For use inside the library, `level` above the script's call: raises misuse there, passes the rest on.
-- Returns true and the results, or false, message and code.
function lib.checked (level, status, ...)
  if status == nil then
    error ((...), level + 1)
  end
  return status, ...
end

-- An optional handler: nil or a function, nothing that can only be called like one.
function lib.check_handler (value, level, name, position, argument)
  if value ~= nil and type (value) ~= "function" then
    error (raw.complaint (value, name, position, argument, "function"), level + 1)
  end
end

-- A handler that has to be there.
function lib.need_handler (value, level, name, position, argument)
  if type (value) ~= "function" then
    error (raw.complaint (value, name, position, argument, "function"), level + 1)
  end
end

-- A class: a table of functions that are methods as well, and attributes that are read through Rust.
--
-- `getters` are attributes that need the Lua side; `setters` are those that can be written.
function lib.class (name)
  local attribute, slots = raw[name .. "_attribute"], raw[name .. "_slots"] or {}
  local class = { methods = {}, getters = {}, setters = {} }
  local methods, getters, setters = class.methods, class.getters, class.setters

  raw.leave_metamethod (name, "__index", function (object, key)
    local method = methods[key]
    if method ~= nil then
      return method
    end
    local getter = getters[key]
    if getter then
      return getter (object)
    end
    local slot = slots[key]
    if slot then
      local status, value = attribute (object, slot)
      if status == nil then
        error (value, 2)
      end
      return value
    end
  end)
  raw.leave_metamethod (name, "__newindex", function (object, key, value)
    local setter = setters[key]
    if not setter then
      error ("a vortex." .. name .. " has no attribute '" .. lib.tostring (key) .. "' that can be written", 2)
    end
    setter (object, value)
  end)
  function methods.check (value)
    return raw.class_of (value) == name
  end
  return class
end

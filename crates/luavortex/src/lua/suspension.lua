-- Whether a handler can be suspended where it stands.
local _, lib = ...

local getinfo, isyieldable = debug.getinfo, coroutine.isyieldable
local IS_51 = _VERSION == "Lua 5.1"
-- Lua 5.2 suspends through these; 5.1 through no C function at all.
local TRANSPARENT = IS_51 and {} or { [pcall] = true, [xpcall] = true }

-- A function that tells whether the handler that runs can be suspended, two calls above it; `work` is the body of the
-- coroutine. Lua 5.3 and LuaJIT tell; before, the stack has to be read: no C function may stand in between.
function lib.can_yield_within (work)
  if isyieldable then
    return isyieldable
  end
  return function ()
    local level, after_tail_call = 3, false
    while true do
      local info = getinfo (level, "Snf")
      if not info or info.func == work then
        return true
      end
      if info.what == "C" and not TRANSPARENT[info.func] then
        return false
      end
      -- 5.1 does not show whether a metamethod or an iterator was called through C. What was called by name was
      -- not; anything else is taken for it, which is safe: the scheduler runs in place then. The callers that a
      -- tail call lost were called by the next function there is, which is certain only for `work`.
      if IS_51 then
        if info.what == "tail" then
          after_tail_call = true
        elseif after_tail_call or info.name == "(for generator)" then
          return false
        elseif info.namewhat == "" then
          local caller = getinfo (level + 1, "S")
          if not caller or caller.what ~= "tail" then
            return false
          end
        end
      end
      level = level + 1
    end
  end
end

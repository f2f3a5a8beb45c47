-- Runs the specs:
--
--    lua spec/run.lua [--filter PATTERN] [--gc] [--verbose] [FILE...]
--
-- Without files all of spec/all.lua run. --filter takes the tests whose name
-- matches a Lua pattern, --gc collects garbage all the time, --verbose shows
-- tracebacks. The module `vortex` is found as usual (LUA_CPATH). The last line is
-- `N passed, N failed`, and the exit code 1 when a test failed or none was run.

local folder = (arg and arg[0] or ""):match ("^(.*[/\\])") or "./"
package.path = folder .. "?.lua;" .. package.path
io.stdout:setvbuf ("line")

local t = require "harness"
local exit, print = os.exit, print

---@diagnostic disable: param-type-mismatch, redundant-parameter -- of other Lua versions

local function tune_collector ()
   t.options.gc = true
   if not pcall (collectgarbage, "setpause", 1) then
      pcall (collectgarbage, "param", "pause", 1)
   end
   if not pcall (collectgarbage, "setstepmul", 1000) then
      pcall (collectgarbage, "param", "stepmul", 1000)
   end
end

local files = {}
local index = 1
while arg[index] do
   local word = arg[index]
   if word == "--filter" then
      index = index + 1
      t.options.filter = arg[index] or error ("--filter needs a pattern")
   elseif word == "--gc" then
      tune_collector ()
   elseif word == "--verbose" then
      t.options.verbose = true
   else
      files[#files + 1] = word
   end
   index = index + 1
end
if not files[1] then
   for _, name in ipairs (require "all") do
      files[#files + 1] = folder .. name .. ".lua"
   end
end

for _, file in ipairs (files) do
   t.run_file (file)
end

local counts = t.counts
local summary = counts.passed .. " passed, " .. counts.failed .. " failed"
if counts.skipped > 0 then
   summary = summary .. ", " .. counts.skipped .. " skipped"
end
print (summary)
-- true closes the state where the version knows how to (5.2 and later, LuaJIT)
exit ((counts.failed > 0 or counts.passed == 0) and 1 or 0, true)

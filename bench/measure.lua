-- Clocks, and the line that a workload prints: the keys are those of raw_limit.c.

local measure = {}

local server_pid = os.getenv "BENCH_SERVER_PID"

-- The time in seconds: LuaJIT asks the system itself, other Luas need the module made of clock.c.
local has_ffi, ffi = pcall (require, "ffi")
if has_ffi then
   ffi.cdef [[ int clock_gettime (int clock, void *time); ]]
   -- Read as halves: a number of 64 bits would make garbage with every look.
   local time = ffi.new "int32_t [4]"
   local low, high = ffi.abi "le" and 0 or 1, ffi.abi "le" and 2 or 3
   local monotonic, read = 1, ffi.C.clock_gettime
   function measure.now ()
      read (monotonic, time)
      return time[low] + time[high] * 1e-9
   end
else
   local found, clock = pcall (require, "bench_clock")
   if not found then
      error ("this Lua has no fine clock: cc -O2 -shared -fPIC -o bench_clock.so bench/clock.c, and its directory on LUA_CPATH")
   end
   measure.now = clock
end
local now = measure.now

local function read_line (path, pattern)
   local file = io.open (path)
   local found = file and file:read "*a":match (pattern)
   if file then
      file:close ()
   end
   return found
end

-- Seconds of CPU that the server has taken, or -1.
local function server_cpu ()
   if not server_pid then
      return -1
   end
   local user, system = 0, 0
   local fields = read_line ("/proc/" .. server_pid .. "/stat", "%) (.*)") or ""
   local index = 0
   for field in fields:gmatch "%S+" do
      index = index + 1
      if index == 12 then
         user = tonumber (field)
      elseif index == 13 then
         system = tonumber (field)
      end
   end
   return (user + system) / 100
end

-- KiB of memory that the server occupies, or -1.
function measure.server_memory ()
   return server_pid and tonumber (read_line ("/proc/" .. server_pid .. "/status", "VmRSS:%s*(%d+)")) or -1
end

local wall, cpu, server, latencies

function measure.begin ()
   latencies = {}
   server, cpu, wall = server_cpu (), os.clock (), now ()
   return wall
end

function measure.latency (seconds)
   latencies[#latencies + 1] = seconds
end

local function percentile (part)
   if #latencies == 0 then
      return 0
   end
   return latencies[math.ceil (part * #latencies)] * 1e6
end

-- Prints the line of a workload since `begin`. `value` may be a function of the messages a second and the MB a second;
-- default are the messages a second.
function measure.report (workload, n, size, unit, value, extra)
   local took = now () - wall
   local client_cpu, server_took = os.clock () - cpu, server_cpu () - server
   table.sort (latencies)
   local msgs_s, mb_s = n / took, n * size / took / 1e6
   if type (value) == "function" then
      value = value (msgs_s, mb_s)
   end
   local fields = {}
   for _, name in ipairs (extra or {}) do
      fields[#fields + 1] = string.format (',"%s":%.3f', name, extra[name])
   end
   io.stdout:write (string.format (
      '{"workload":"%s","ok":true,"n":%.0f,"size":%.0f,"wall_s":%.6f,"client_cpu_s":%.6f,"server_cpu_s":%.3f,'
      .. '"lat_med_us":%.2f,"lat_p99_us":%.2f,"msgs_s":%.2f,"mb_s":%.3f,"value":%.3f,"unit":"%s","better":"%s"%s}\n',
      workload, n, size, took, client_cpu, server_took, percentile (0.5), percentile (0.99), msgs_s, mb_s,
      value or msgs_s, unit, (unit:find "/s$") and "high" or "low", table.concat (fields)))
   io.stdout:flush ()
end

function measure.failed (workload, problem)
   local text = tostring (problem):gsub ('[%c"\\]', " ")
   io.stdout:write (string.format ('{"workload":"%s","ok":false,"error":"%s"}\n', workload, text))
   io.stdout:flush ()
end

return measure

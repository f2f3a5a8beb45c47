-- Runs chunks the way the `lua` command does: the errors come out as the text `lua` prints, so that
-- nothing of mlua's own wording reaches the user.
--
-- Every function of the returned table gives nil when all went well, else the text of the error.
-- Whatever is used here is captured now: scripts overwrite globals.

local interrupted = ... -- asks whether Ctrl-C wants the running line to stop, and forgets it

local debug, io, jit, rawget, globals = debug, io, jit, rawget, _G
local error, getmetatable, load, loadfile, pcall = error, debug.getmetatable, loadstring or load, loadfile, pcall
local require, select, tostring, type, unpack, xpcall = require, select, tostring, type, unpack or table.unpack, xpcall
local getenv, gethook, sethook, traceback = os.getenv, debug.gethook, debug.sethook, debug.traceback
local stdin, stdout = io.stdin, io.stdout
local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match, string.sub

local driver = {}

-- Lua 5.1's xpcall passes no arguments on.
local xpcall_passes_arguments = select (2, xpcall (function (...) return ... end, tostring, true)) == true

-- The lines of a traceback that belong to this file: xpcall, `call` and its caller; on Lua 5.1 also
-- the tail call that passes the arguments. `lua` has its own C frame in their place.
local own_lines = xpcall_passes_arguments and 3 or 4
local c_frame = (_VERSION == "Lua 5.1") and "\n\t[C]: ?" or "\n\t[C]: in ?"

-- Interactive lines look at Ctrl-C after so many instructions.
local instructions_per_check = 1000

local function explain (message)
	local kind = type (message)
	if kind == "number" then
		message = tostring (message)
	elseif kind ~= "string" then
		local metatable = getmetatable (message)
		local convert = type (metatable) == "table" and rawget (metatable, "__tostring")
		if convert then
			local converted, text = pcall (convert, message)
			if converted and type (text) == "string" then
				return text
			end
		end
		message = format ("(error object is a %s value)", kind)
	end

	local text = traceback (message, 2)
	for _ = 1, own_lines do
		text = gsub (text, "\n[^\n]*$", "")
	end
	return text .. c_frame
end

local function outcome (ok, ...)
	if ok then
		return nil, ...
	end
	return (...)
end

-- nil and the chunk's results, or the text of its error.
local function call (chunk, ...)
	if xpcall_passes_arguments then
		return outcome (xpcall (chunk, explain, ...))
	end
	local arguments, count = { ... }, select ("#", ...)
	return outcome (xpcall (function () return chunk (unpack (arguments, 1, count)) end, explain))
end

-- The functions below keep the result in a local instead of a tail call, so that `own_lines` is true.

-- Runs a file, or standard input when there is no path.
function driver.file (path, ...)
	local chunk, message = loadfile (path)
	if not chunk then
		return message
	end
	local failure = call (chunk, ...)
	return failure
end

function driver.text (code, name)
	local chunk, message = load (code, name)
	if not chunk then
		return message
	end
	local failure = call (chunk)
	return failure
end

-- `-l module` and `-l global=module`.
function driver.library (text)
	local global, name = match (text, "^([^=]+)=(.+)$")
	local failure, library = call (require, name or text)
	if failure then
		-- Lua 5.1 takes the line in this file that passes the arguments for the caller's.
		return (gsub (failure, "^luavortex:%d+: ", ""))
	end
	if global then
		globals[global] = library
	elseif rawget (globals, text) == nil then
		globals[text] = library
	end
end

-- What the environment asks to run first: code, or @file.
function driver.environment ()
	local name = "LUA_INIT" .. gsub (match (_VERSION, "%d+%.%d+"), "(%d+)%.(%d+)", "_%1_%2")
	local code = name ~= "LUA_INIT_5_1" and getenv (name)
	if not code then
		name, code = "LUA_INIT", getenv ("LUA_INIT")
	end
	if not code then
		return nil
	end

	local chunk, message
	if sub (code, 1, 1) == "@" then
		chunk, message = loadfile (sub (code, 2))
	else
		chunk, message = load (code, "=" .. name)
	end
	if not chunk then
		return message
	end
	local failure = call (chunk)
	return failure
end

local function check_interrupt ()
	if interrupted () then
		error ("interrupted!", 0)
	end
end

-- What was typed, as an expression if it is one.
local function compile (code)
	local chunk = load ("return " .. code, "=stdin")
	if not chunk then
		return load (code, "=stdin")
	end
	-- `return f ()` is a tail call, which hides the line from messages and tracebacks.
	return load ("local values = ... return values (" .. code .. "\n)", "=stdin") or chunk
end

local function values (...)
	return ...
end

-- Runs what was typed at the prompt and prints its values. `true` asks for another line.
function driver.line (text)
	local chunk, message = compile ((gsub (text, "^=", "")))
	if not chunk then
		if find (message, "<eof>'?$") then
			return true
		end
		return message
	end
	if jit then
		jit.off (chunk, true) -- compiled code looks at no hook
	end

	local function finish (failure, ...)
		if gethook () == check_interrupt then
			sethook ()
		end
		if not failure and select ("#", ...) > 0 then
			local printed, problem = pcall (globals.print, ...)
			if not printed then
				failure = format ("error calling 'print' (%s)", tostring (problem))
			end
		end
		pcall (stdout.flush, stdout)
		return failure
	end

	sethook (check_interrupt, "", instructions_per_check)
	local failure = finish (call (chunk, values))
	return failure
end

-- A line from standard input that is no terminal; through Lua's own buffer, which `io.read` shares.
function driver.read (prompt)
	pcall (stdout.write, stdout, prompt)
	pcall (stdout.flush, stdout)
	local ok, line = pcall (stdin.read, stdin, "*l")
	return ok and line or nil
end

return driver

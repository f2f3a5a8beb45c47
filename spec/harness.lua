-- The test harness of the LuaVortex specs: small, without dependencies, in the
-- subset of Lua shared by 5.1 to 5.5 and LuaJIT.
--
--    local t = require "harness"
--    t.test ("a connection knows its port", function () ... end)
--
-- Around every test the harness counts the callbacks that were promised
-- (expect_calls), collects errors raised in handlers, compares the globals,
-- ends every ctx made through it and collects garbage twice.

-- the specs replace globals the way old scripts do: keep what is used here
local assert, error, ipairs, next, pairs, pcall = assert, error, ipairs, next, pairs, pcall
local print, rawset, require, select, tostring, type = print, rawset, require, select, tostring, type
local xpcall, loadfile, collectgarbage = xpcall, loadfile, collectgarbage
local concat = table.concat
local execute, getenv, remove, time, tmpname = os.execute, os.getenv, os.remove, os.time, os.tmpname
local open = io.open
local find, format, gsub, rep = string.find, string.format, string.gsub, string.rep
local traceback = debug and debug.traceback
local globals, loaded, arguments = _G, package.loaded, arg
local package = package

local t = {
   -- a bound for failure only: no test waits this long when all is well
   LIMIT = 15 * 1000 * 1000,
   ECHO = "urn:example:luavortex:echo",
   WITNESS = "urn:example:luavortex:witness",
   options = {},
   counts = { passed = 0, failed = 0, skipped = 0 }
}

local cases = {}
---@type any
local current

-- ------------------------------------------------------------------ checks

local function show (value)
   if type (value) == "string" then
      if #value > 60 then
         value = value:sub (1, 57) .. "..."
      end
      return format ("%q", value)
   end
   return tostring (value)
end

local function fail (message, what, level)
   error ((what and (what .. ": ") or "") .. message, (level or 1) + 2)
end

function t.fail (message)
   error (message, 2)
end

function t.ok (value, what)
   if not value then
      fail ("expected a true value, got " .. show (value), what)
   end
   return value
end

function t.equal (got, want, what)
   if got ~= want then
      fail ("expected " .. show (want) .. ", got " .. show (got), what)
   end
end

function t.is_type (value, name, what)
   if type (value) ~= name then
      fail ("expected a " .. name .. ", got " .. type (value) .. " " .. show (value), what)
   end
   return value
end

function t.is_whole (value, what)
   if type (value) ~= "number" or value % 1 ~= 0 then
      fail ("expected a whole number, got " .. show (value), what)
   end
   return value
end

function t.pack (...)
   return { n = select ("#", ...), ... }
end

-- t.failure (nil, conn:open_channel (...)): the first value is the documented
-- failure value, then come a text and a whole number, which are returned
function t.failure (first, ...)
   local got, message, code = ...
   if got ~= first then
      fail ("expected a failure, got " .. show (got))
   end
   if type (message) ~= "string" or message == "" then
      fail ("the failure value is not followed by a message but by " .. show (message))
   end
   if type (code) ~= "number" or code % 1 ~= 0 then
      fail ("the failure message is not followed by a whole number but by " .. show (code))
   end
   return message, code
end

-- t.raises (text, f, ...): f raises a string that contains text; returns it
function t.raises (text, f, ...)
   local ok, message = pcall (f, ...)
   if ok then
      fail ("expected an error about " .. show (text) .. ", but nothing was raised")
   end
   if type (message) ~= "string" then
      fail ("expected a string to be raised, got a " .. type (message))
   end
   if not find (message, text, 1, true) then
      fail ("expected an error about " .. show (text) .. ", got " .. show (message))
   end
   return message
end

function t.skip (reason)
   error ({ skipped = reason }, 0)
end

-- a function that must be called `expected` times before the test is over
-- (cleaning up included), and that passes everything on to `handler`
function t.expect_calls (expected, handler, what)
   local record = { expected = expected, count = 0, what = what or "a callback" }
   current.counted[#current.counted + 1] = record
   return function (...)
      record.count = record.count + 1
      if handler then
         return handler (...)
      end
   end
end

-- the errors raised in handlers so far; a test that calls this expects some
---@return { message: string, traceback: string, handler_name: string }[]
function t.handler_errors ()
   current.allow_handler_errors = true
   return current.handler_errors
end

-- the test makes globals on purpose, as old scripts do; they are taken back
function t.allow_globals ()
   current.allow_globals = true
end

-- the test promises that this session is over when its body ends
function t.expect_closed (conn)
   current.closing[#current.closing + 1] = conn
   return conn
end

-- ----------------------------------------------------------------- waiting

-- runs handlers until condition () is true
function t.wait_until (condition, what, limit_us)
   local vortex = require "vortex"
   local deadline = time () + (limit_us or t.LIMIT) / 1000000 + 1
   while true do
      if t.options.gc then
         collectgarbage ()
      end
      local value = condition ()
      if value then
         return value
      end
      if time () > deadline then
         fail ("waited in vain for " .. (what or "a condition"))
      end
      vortex.yield (20000)
   end
end

-- the next value of a queue, which has to come
function t.pop (queue, what)
   local got = t.pack (queue:timedpop (t.LIMIT))
   if t.options.gc then
      collectgarbage ()
   end
   if got.n == 0 then
      fail ("nothing arrived in the queue", what)
   end
   return got[1]
end

-- ----------------------------------------------------- contexts and sessions

function t.new_ctx ()
   local vortex = require "vortex"
   local ctx = vortex.ctx.new ()
   if not vortex.ctx.init (ctx) then
      fail ("the ctx did not start")
   end
   current.contexts[#current.contexts + 1] = ctx
   return ctx
end

-- answers every MSG with its own content
function t.echo (_, channel, frame)
   if frame.type == "MSG" then
      local sent, message = channel:send_rpy (frame.payload, frame.payload_size, frame.msgno)
      -- a test may be over before its last message is answered
      if not sent and channel.conn:is_ok () and channel.is_ready then
         fail ("the echo was not sent: " .. tostring (message))
      end
   end
end

-- a listener on a free port of this machine
-- With these set, a relay that judges what passes stands between both sides: it
-- takes connections on one port and goes on to the other. A second listener at
-- the same time does without.
local LISTEN_PORT, RELAY_PORT = os.getenv "SPEC_LISTEN_PORT", os.getenv "SPEC_RELAY_PORT"

-- For tests that a relay would disturb, or that do on purpose what it objects to.
function t.not_through_a_relay ()
   if RELAY_PORT then
      t.skip ("the relay stands in between")
   end
end

function t.listen (ctx)
   local vortex = require "vortex"
   local listener = vortex.create_listener (ctx, "127.0.0.1", LISTEN_PORT or "0")
   if LISTEN_PORT and not listener:is_ok () then
      listener = vortex.create_listener (ctx, "127.0.0.1", "0")
   end
   if not listener:is_ok () then
      fail ("no listener: " .. tostring (listener.error_msg))
   end
   return listener
end

-- the port by which a listener is reached
function t.port_to (listener)
   return listener.port == LISTEN_PORT and RELAY_PORT or listener.port
end

function t.connect (ctx, listener)
   local vortex = require "vortex"
   local conn = vortex.connection.new (ctx, "127.0.0.1", t.port_to (listener))
   if not conn:is_ok () then
      fail ("no connection: " .. tostring (conn.error_msg))
   end
   return conn
end

-- a listener and a connection to it, each with a ctx of its own; `setup (ctx)`
-- registers more profiles than the echo on the listener's side
function t.session (setup)
   local vortex = require "vortex"
   local server_ctx, client_ctx = t.new_ctx (), t.new_ctx ()
   vortex.register_profile (server_ctx, t.ECHO, t.echo)
   if setup then
      setup (server_ctx)
   end
   local listener = t.listen (server_ctx)
   return t.connect (client_ctx, listener), listener, client_ctx, server_ctx
end

-- the same, with the listener's side of the connection as second value; one
-- channel (number 3) has come and gone by then
function t.both_ends (setup)
   local vortex = require "vortex"
   local seen = vortex.asyncqueue.new ()
   local conn, listener, client_ctx, server_ctx = t.session (function (ctx)
      vortex.register_profile (ctx, t.WITNESS, nil, nil, function (_, peer)
         seen:push (peer)
         return true
      end)
      if setup then
         setup (ctx)
      end
   end)
   local witness = conn:open_channel (0, t.WITNESS)
   t.ok (witness, "opening the channel that shows the other end")
   local peer = t.pop (seen, "the other end")
   t.ok (witness:close (), "closing the channel that shows the other end")
   return conn, peer, listener, client_ctx, server_ctx
end

-- a channel to the echo profile and the queue its frames arrive in
function t.echo_channel (conn)
   local vortex = require "vortex"
   local replies = vortex.asyncqueue.new ()
   local channel, message = conn:open_channel (0, t.ECHO, function (_, _, frame)
      replies:push (frame)
   end)
   if not channel then
      fail ("no echo channel: " .. tostring (message))
   end
   return channel, replies
end

-- shows that a connection still does its work
function t.still_works (conn)
   local channel, replies = t.echo_channel (conn)
   t.ok (channel:send_msg ("still there"))
   t.equal (t.pop (replies, "the answer").payload, "still there")
   t.ok (channel:close ())
end

-- ------------------------------------------------------------ other programs

local function quoted (text)
   return "'" .. gsub (text, "'", "'\\''") .. "'"
end

local function command_line ()
   local lowest = 0
   for index in pairs (arguments or {}) do
      if type (index) == "number" and index < lowest then
         lowest = index
      end
   end
   if lowest == 0 then
      return nil
   end
   local words = {}
   for index = lowest, -1 do
      words[#words + 1] = quoted (arguments[index])
   end
   return concat (words, " ")
end

local limiter

-- runs Lua source in an interpreter of its own, the one that runs the specs;
-- returns whether it ended well, and what it wrote to both outputs.
-- `environment` is put in front of the command: "NAME=value"
function t.run_script (source, environment)
   local command = command_line ()
   if not command then
      t.skip ("the interpreter does not tell its own name")
   end
   if limiter == nil then
      local found = execute ("timeout 5 true >/dev/null 2>&1")
      limiter = (found == true or found == 0) and "timeout 60 " or ""
   end
   local script, output = tmpname (), tmpname ()
   local file = assert (open (script, "w"))
   file:write (format ("package.path, package.cpath = %q, %q\n", package.path, package.cpath), source)
   file:close ()
   local status = execute ((environment and (environment .. " ") or "") .. limiter .. command .. " "
      .. quoted (script) .. " >" .. quoted (output) .. " 2>&1")
   file = assert (open (output, "rb"))
   local text = file:read ("*a")
   file:close ()
   remove (script)
   remove (output)
   return status == true or status == 0, text
end

-- the same for source that must end well and print exactly `expected`
function t.script_prints (expected, source, environment)
   local ok, text = t.run_script (source, environment)
   if not ok or text ~= expected .. "\n" then
      fail ("a script of its own " .. (ok and "printed " or "failed and printed ") .. text)
   end
end

-- ----------------------------------------------------------------- running

function t.test (name, body)
   cases[#cases + 1] = { name = name, body = body }
end

local function copy_globals ()
   local copy = {}
   for name, value in next, globals do
      copy[name] = value
   end
   return copy
end

local function restore_globals (before)
   local new = {}
   for name, value in next, copy_globals () do
      if before[name] == nil and not (name == "vortex" and value == loaded.vortex) then
         new[#new + 1] = tostring (name)
         rawset (globals, name, nil)
      end
   end
   for name, value in next, before do
      rawset (globals, name, value)
   end
   return new
end

local function collect_handler_errors ()
   local vortex = loaded.vortex
   if type (vortex) ~= "table" or not vortex.set_error_handler then
      return
   end
   local errors = current.handler_errors
   vortex.set_error_handler (function (message, trace, handler_name)
      errors[#errors + 1] = { message = message, traceback = trace, handler_name = handler_name }
   end)
end

local function end_contexts ()
   for index = #current.contexts, 1, -1 do
      current.contexts[index]:exit ()
   end
end

local function check_promises ()
   for _, record in ipairs (current.counted) do
      t.wait_until (function ()
         return record.count >= record.expected
      end, format ("%d calls of %s (%d came)", record.expected, record.what, record.count))
   end
   for _, conn in ipairs (current.closing) do
      t.wait_until (function ()
         return not conn:is_ok ()
      end, "the end of a session")
   end
end

local function check_afterwards (new_globals)
   for _, record in ipairs (current.counted) do
      if record.count > record.expected then
         error (format ("%s was called %d times, not %d", record.what, record.count, record.expected), 0)
      end
   end
   if not current.allow_handler_errors and current.handler_errors[1] then
      local first = current.handler_errors[1]
      error ("in a handler (" .. tostring (first.handler_name) .. "): " .. tostring (first.message), 0)
   end
   if not current.allow_globals and new_globals[1] then
      error ("new globals: " .. concat (new_globals, ", "), 0)
   end
end

local function describe (message)
   if type (message) == "table" and message.skipped then
      return message
   end
   if t.options.verbose and traceback then
      return traceback (tostring (message), 2)
   end
   return tostring (message)
end

local function run_case (case)
   current = { counted = {}, contexts = {}, closing = {}, handler_errors = {} }
   local before = copy_globals ()
   collect_handler_errors ()
   local ok, message = xpcall (case.body, describe)
   if ok then
      ok, message = xpcall (check_promises, describe)
   end
   local new_globals = restore_globals (before)
   local clean, clean_message = xpcall (end_contexts, describe)
   if ok and not clean then
      ok, message = false, "while cleaning up: " .. tostring (clean_message)
   end
   if ok then
      ok, message = xpcall (function () check_afterwards (new_globals) end, describe)
   end
   if not ok and type (message) ~= "table" and current.handler_errors[1] and not current.allow_handler_errors then
      message = message .. " (first handler error: " .. tostring (current.handler_errors[1].message) .. ")"
   end
   current = nil
   collectgarbage ()
   collectgarbage ()
   if ok then
      t.counts.passed = t.counts.passed + 1
      print ("ok " .. case.name)
   elseif type (message) == "table" then
      t.counts.skipped = t.counts.skipped + 1
      print ("skipped " .. case.name .. ": " .. message.skipped)
   else
      t.counts.failed = t.counts.failed + 1
      print ("FAIL " .. case.name .. ": " .. message)
   end
end

function t.run_file (path)
   cases = {}
   local chunk, message = loadfile (path)
   if chunk then
      local ok
      ok, message = xpcall (chunk, describe)
      chunk = ok and chunk
   end
   if not chunk then
      t.counts.failed = t.counts.failed + 1
      print ("FAIL loading " .. path .. ": " .. tostring (message))
      return
   end
   for _, case in ipairs (cases) do
      if not t.options.filter or find (case.name, t.options.filter) then
         run_case (case)
      end
   end
end

t.rep, t.getenv = rep, getenv

return t

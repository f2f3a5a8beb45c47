-- Loading the module, its globals, its names (contract 1 and 2).

local t = require "harness"
local test = t.test

local SUBMODULES = { "ctx", "connection", "channel", "frame", "asyncqueue", "channelpool" }

-- what every script of its own starts with to make sure that sessions work
local SESSION = [[
local function session_works (vortex)
   local ctx = vortex.ctx.new ()
   if not ctx:init () then return false, "init" end
   vortex.register_profile (ctx, "urn:example:e", function (conn, channel, frame)
      if frame.type == "MSG" then channel:send_rpy (frame.payload, -1, frame.msgno) end
   end)
   local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
   local queue = vortex.asyncqueue.new ()
   local channel = conn:open_channel (0, "urn:example:e", function (conn, channel, frame, data)
      data:push (frame.payload)
   end, queue)
   channel:send_msg ("hello", 5)
   return queue:timedpop (15000000) == "hello"
end
]]

test ("one part of the module can be required before everything else", function ()
   if package.loaded["vortex"] then
      t.skip ("the module is loaded already")
   end
   local connection = require "vortex.connection"
   t.is_type (connection, "table")
   t.is_type (connection.new, "function")
   t.equal ((require "vortex").connection, connection)
end)

test ("D22: require returns the module table, again and again", function ()
   local vortex = require "vortex"
   t.is_type (vortex, "table")
   t.equal (package.loaded["vortex"], vortex)
   t.equal (require "vortex", vortex)
   t.is_type (vortex.create_listener, "function")
end)

test ("every part is a table of the module and can be required by its own name", function ()
   local vortex = require "vortex"
   for _, name in ipairs (SUBMODULES) do
      t.is_type (vortex[name], "table", name)
      t.equal (require ("vortex." .. name), vortex[name], name)
      t.equal (package.loaded["vortex." .. name], vortex[name], name)
   end
end)

test ("every part can be required first", function ()
   for _, name in ipairs (SUBMODULES) do
      t.script_prints ("true", string.format ([[
         local part = require "vortex.%s"
         print (type (part) == "table" and require "vortex".%s == part)
      ]], name, name))
   end
end)

test ("the parts can be required in any order, before and after the whole", function ()
   t.script_prints ("true", [[
      local frame, pool = require "vortex.frame", require "vortex.channelpool"
      local vortex = require "vortex"
      local queue = require "vortex.asyncqueue"
      print (vortex.frame == frame and vortex.channelpool == pool and vortex.asyncqueue == queue)
   ]])
end)

test ("the only global that loading makes is vortex, and it is the module", function ()
   t.script_prints ("vortex", [[
      local before = {}
      for name in pairs (_G) do before[name] = true end
      local module = require "vortex"
      local new = {}
      for name, value in pairs (_G) do
         if not before[name] then new[#new + 1] = name .. (value == module and "" or " is something else") end
      end
      print (table.concat (new, " "))
   ]])
end)

test ("a global vortex that exists is left alone", function ()
   t.script_prints ("mine", [[
      vortex = "mine"
      local module = require "vortex"
      print (vortex)
      assert (type (module) == "table")
   ]])
end)

test ("LUAVORTEX_NO_GLOBAL=1 keeps the module out of the globals", function ()
   t.script_prints ("nil", [[
      local module = require "vortex"
      assert (type (module.ctx) == "table")
      print (tostring (rawget (_G, "vortex")))
   ]], "LUAVORTEX_NO_GLOBAL=1")
end)

test ("globals may be overwritten before the module is loaded", function ()
   t.script_prints ("true", [[
      local say = print
      error, print, info, printf = function () end, nil, 7, false
      table = { "mine" }
   ]] .. SESSION .. [[
      say (session_works (require "vortex"))
   ]])
end)

test ("globals may be overwritten after the module was loaded", function ()
   t.script_prints ("true", SESSION .. [[
      -- print itself calls the global tostring
      local all, out = _G, io.stdout
      local function say (value) out:write (value and "true" or "false", "\n") end
      local vortex = require "vortex"
      for name in pairs ({ error = 1, print = 1, table = 1, string = 1, coroutine = 1, math = 1, debug = 1,
         pcall = 1, xpcall = 1, select = 1, type = 1, tostring = 1, tonumber = 1, assert = 1, pairs = 1, ipairs = 1,
         next = 1, unpack = 1, rawget = 1, rawset = 1, rawequal = 1, setmetatable = 1, getmetatable = 1,
         require = 1, package = 1, collectgarbage = 1, os = 1, io = 1 }) do
         all[name] = false
      end
      say (session_works (vortex))
   ]])
end)

test ("a script that ends with everything alive ends well", function ()
   local ok, text = t.run_script (SESSION .. [[
      local vortex = require "vortex"
      kept = { session_works (vortex) }
      ctx = vortex.ctx.new ()
      ctx:init ()
      listener = vortex.create_listener (ctx, "127.0.0.1", "0")
      conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
      ctx:new_event (1000, function () end)
      vortex.spawn (function () vortex.asyncqueue.new ():pop () end)
      vortex.yield (1000)
   ]])
   t.ok (ok, "the exit code (" .. text .. ")")
   t.equal (text, "")
end)

test ("os.exit keeps its exit code while sessions are open", function ()
   t.script_prints ("leaving", SESSION .. [[
      session_works (require "vortex")
      print "leaving"
      os.exit (0)
   ]])
   t.script_prints ("leaving", SESSION .. [[
      session_works (require "vortex")
      print "leaving"
      os.exit (0, true)
   ]])
end)

test ("a script that raises with sessions open ends as any script that raises", function ()
   local ok, text = t.run_script (SESSION .. [[
      session_works (require "vortex")
      error "on purpose"
   ]])
   t.ok (not ok, "the exit code")
   t.ok (text:find ("on purpose", 1, true), "the message")
end)

test ("D16: the status constants are the documented numbers", function ()
   local vortex = require "vortex"
   t.equal (vortex.status_OK, 2)
   t.equal (vortex.status_ERROR, 1)
   local numbers, names = {}, {}
   for name, value in pairs (vortex) do
      if type (name) == "string" and name:find ("^status_") then
         t.is_whole (value, name)
         t.ok (not names[value], name .. " and " .. tostring (names[value]) .. " are different numbers")
         names[value] = name
         numbers[#numbers + 1] = value
      end
   end
   table.sort (numbers)
   for number = 1, 17 do
      t.ok (names[number], "a name for status " .. number)
   end
   t.equal (#numbers, 17, "how many there are")
end)

test ("the encoding constants are the documented numbers", function ()
   local vortex = require "vortex"
   t.equal (vortex.encoding_NONE, 2)
   t.equal (vortex.encoding_BASE64, 3)
end)

test ("the version is a text with digits", function ()
   local vortex = require "vortex"
   t.ok (t.is_type (vortex.version (), "string"):find ("^%d+%.%d+"))
end)

local FUNCTIONS = {
   [""] = "create_listener wait_listeners unlock_listeners register_profile yield event_fd wait_events"
      .. " set_error_handler spawn sleep version",
   ctx = "new init exit unref check new_event remove_event set_limits limits",
   connection = "new is_ok check open_channel channel_pool_new pop_channel_error set_on_close remove_on_close"
      .. " find_by_uri set_data get_data pool block is_blocked close shutdown skip_conn_close features localize"
      .. " profiles is_tls",
   channel = "send_msg send_rpy send_err send_ans finalize_ans set_frame_received set_serialize close check request"
      .. " answers set_complete_flag on_close_request pending",
   channelpool = "next_ready release check",
   frame = "check header",
   asyncqueue = "new push pop timedpop timedout items check"
}

test ("every documented function exists in its table", function ()
   local vortex = require "vortex"
   for part, list in pairs (FUNCTIONS) do
      local home = part == "" and vortex or vortex[part]
      for name in list:gmatch ("%S+") do
         t.is_type (home[name], "function", part .. "." .. name)
      end
   end
end)

test ("every documented function of an object exists as its method", function ()
   local vortex = require "vortex"
   local conn = t.session ()
   local channel, replies = t.echo_channel (conn)
   channel:send_msg ("x")
   local objects = {
      ctx = t.new_ctx (), connection = conn, channel = channel, frame = t.pop (replies),
      asyncqueue = vortex.asyncqueue.new (), channelpool = conn:channel_pool_new (t.ECHO, 1)
   }
   for part, object in pairs (objects) do
      for name in FUNCTIONS[part]:gmatch ("%S+") do
         if name ~= "new" then
            t.is_type (object[name], "function", part .. " object, " .. name)
         end
      end
   end
end)

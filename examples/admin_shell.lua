-- An administrator's shell in a running service: over TLS, for those who have a password.
--
-- Nothing happens in the clear: first TLS, then SCRAM, then the shell. What a user may do
-- depends on who it is, and everything goes into a log. The certificates are those of the
-- tests; make your own for anything else.
--
-- Run it with:  luavortex admin_shell.lua
--
-- expect: without TLS: start TLS and authenticate yourself first
-- expect: ann> help: get, help, set
-- expect: ann> set motd be nice: motd is now be nice
-- expect: ben> get motd: be nice
-- expect: ben> set motd be rude: error: ben may not use set
-- expect: ben> reboot: error: there is no command reboot
-- expect: log: ann: set motd be nice
-- expect: log: ben: set motd be rude: ben may not use set

local vortex = require "vortex"

local SHELL = "urn:example:admin-shell"
local here = (arg and arg[0] or ""):match "^(.*)/" or "."
local certificates = here .. "/../spec/certificates/"

-- The service -------------------------------------------------------------------------------------------------------

-- A real one keeps the keys of SCRAM instead of passwords: see vortex.ScramKeys.
local users = {
   ann = { password = "correct horse", commands = { get = true, help = true, set = true } },
   ben = { password = "battery staple", commands = { get = true, help = true, set = false } }
}
local settings, log = {}, {}

local commands = {
   get = function (_, name) return settings[name] or "" end,
   set = function (_, rest)
      local name, value = rest:match "^(%w+) (.+)$"
      settings[name or ""] = value
      return name and name .. " is now " .. value, "usage: set NAME VALUE"
   end,
   help = function (user)
      local names = {}
      for name, may_use in pairs (user.commands) do names[#names + 1] = may_use and name or nil end
      table.sort (names)
      return table.concat (names, ", ")
   end
}

local function execute (name, line)
   local command, rest = line:match "^(%w+) ?(.*)$"
   local may_use = users[name].commands[command]
   if may_use == nil then
      return nil, "there is no command " .. tostring (command)
   elseif not may_use then
      return nil, name .. " may not use " .. command
   end
   return commands[command] (users[name], rest)
end

local service = vortex.ctx.new ()
assert (service:init ())
service:set_limits { message_max = 4096, channels_max = 2, authentication_failures_max = 3 }
vortex.tls.accept_tls (service, nil, nil,
   function () return certificates .. "localhost.crt" end, nil,
   function () return certificates .. "localhost.key" end)
vortex.sasl.require_tls (service, true)
vortex.sasl.accept_mech (service, "scram-sha-256", function (_, auth_props)
   local user = users[auth_props.auth_id]
   return user and user.password
end)

vortex.register_profile (service, SHELL, function (conn, channel, frame)
   local name = vortex.sasl.auth_id (conn)
   local answer, refusal = execute (name, frame.payload)
   log[#log + 1] = name .. ": " .. frame.payload .. (answer and "" or ": " .. refusal)
   local send = answer and channel.send_rpy or channel.send_err
   send (channel, answer or refusal, -1, frame.msg_no)
end, nil, function (_, conn)
   if not vortex.tls.is_enabled (conn) or not users[vortex.sasl.auth_id (conn)] then
      return false, 530, "start TLS and authenticate yourself first"
   end
   return true
end)
local listener = vortex.create_listener (service, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)

-- Administrators ----------------------------------------------------------------------------------------------------

local ctx = vortex.ctx.new ()
assert (ctx:init ())
assert (vortex.tls.set_trust (ctx, { ca = certificates .. "localhost.crt" }))

-- A shell for a user: a function that takes a line and prints what came of it.
local function login (name, password)
   local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port, "localhost")
   assert (conn:is_ok (), conn.error_msg)
   local status, message
   conn, status, message = vortex.tls.start_tls (conn, "localhost")
   assert (status == vortex.status_OK, message)
   local known, why = vortex.sasl.start_auth (conn, vortex.sasl.SCRAM_SHA_256, name, password)
   assert (known == vortex.status_OK, why)
   local channel = assert (conn:open_channel (0, SHELL))
   return function (line)
      local frame = assert (channel:request (line))
      print (name .. "> " .. line .. ": " .. (frame.type == "ERR" and "error: " or "") .. frame.payload)
   end
end

local plain = vortex.connection.new (ctx, "127.0.0.1", listener.port)
print ("without TLS: " .. select (2, plain:open_channel (0, SHELL)))
local ann, ben = login ("ann", "correct horse"), login ("ben", "battery staple")
ann "help"
ann "set motd be nice"
ben "get motd"
ben "set motd be rude"
ben "reboot"
print ("log: " .. table.concat (log, "\nlog: "))
ctx:exit ()
service:exit ()

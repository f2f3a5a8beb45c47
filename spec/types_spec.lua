-- The editor definitions in types/ tell what the module has, no more and no less.
--
-- Attributes that Rust answers for cannot be listed from here: whether types/ has
-- all of those is tested in crates/luavortex/tests/types.rs.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local PARTS = { "ctx", "connection", "channel", "channelpool", "frame", "asyncqueue", "sasl", "tls", "alive" }

-- the part that has the functions of each class
local CLASSES = {
   Ctx = "ctx", Connection = "connection", Channel = "channel", ChannelPool = "channelpool", Frame = "frame",
   AsyncQueue = "asyncqueue"
}

local folder = debug.getinfo (1, "S").source:match ("^@(.*)[/\\][^/\\]*$") .. "/../types/"

-- ------------------------------------------------------------ what types/ tells

-- file: functions and constants of its module, the name `require` knows it by, and
-- the fields of each class: name -> { optional, text }
local function read_types (file)
   local told = { functions = {}, constants = {}, classes = {} }
   local class
   for line in io.lines (folder .. file .. ".lua") do
      local owner, name = line:match ("^function ([%w_]+)%.([%w_]+) %(")
      if owner == file then
         told.functions[name] = true
      end
      local value
      owner, name, value = line:match ("^([%w_]+)%.([%w_]+) = (.+)$")
      if owner == file then
         told.constants[name] = tonumber (value) or value:match ('^"(.*)"$')
      end
      told.meta = told.meta or line:match ("^%-%-%-@meta (%S+)")
      class = line:match ("^%-%-%-@class %(exact%) ([%w.]+)") or line:match ("^%-%-%-@class ([%w.]+)") or class
      local field, mark, text = line:match ("^%-%-%-@field ([%w_]+)(%??) (.*)$")
      if field then
         told.classes[class] = told.classes[class] or {}
         told.classes[class][field] = { optional = mark == "?", text = text }
      end
   end
   return told
end

local TYPES = { vortex = read_types ("vortex") }
for _, part in ipairs (PARTS) do
   TYPES[part] = read_types (part)
end

-- ---------------------------------------------------------------- comparing

local function names (list)
   table.sort (list)
   return table.concat (list, ", ")
end

-- both are tables whose keys are compared
local function same_names (told, real, what)
   local missing, surplus = {}, {}
   for name in pairs (real) do
      if not told[name] then
         missing[#missing + 1] = tostring (name)
      end
   end
   for name in pairs (told) do
      if real[name] == nil then
         surplus[#surplus + 1] = name
      end
   end
   local problems = {}
   if missing[1] then
      problems[1] = "types/ does not tell of " .. names (missing)
   end
   if surplus[1] then
      problems[#problems + 1] = "types/ tells of what there is not: " .. names (surplus)
   end
   if problems[1] then
      t.fail (what .. ": " .. table.concat (problems, "; "))
   end
end

local function is_there (part)
   t.is_type (vortex[part], "table", "vortex." .. part)
   return true
end

-- what a module table has, by type: functions, tables, everything else
local function contents (module)
   local functions, tables, others = {}, {}, {}
   for name, value in pairs (module) do
      local kind = type (value)
      local list = kind == "function" and functions or kind == "table" and tables or others
      list[name] = value
   end
   return functions, tables, others
end

local function compare_module (module, told, what)
   local functions, tables, constants = contents (module)
   same_names (told.functions, functions, what)
   same_names (told.constants, constants, what)
   for name, value in pairs (told.constants) do
      t.equal (constants[name], value, what .. "." .. name)
   end
   return tables
end

test ("types/ tells of every function, constant and part of vortex, and of no other", function ()
   local tables = compare_module (vortex, TYPES.vortex, "vortex")
   local parts = {}
   for name in pairs (TYPES.vortex.classes["vortex"]) do
      parts[name] = is_there (name) or nil
   end
   same_names (parts, tables, "vortex")
   for _, name in ipairs (PARTS) do
      t.ok (TYPES.vortex.classes["vortex"][name], "vortex." .. name .. " in types/vortex.lua")
   end
end)

test ("types/ tells of every function and constant of each part, and of no other", function ()
   for _, part in ipairs (PARTS) do
      if is_there (part) then
         local tables = compare_module (vortex[part], TYPES[part], "vortex." .. part)
         t.equal (next (tables), nil, "tables in vortex." .. part)
      end
   end
end)

test ("each file of types/ has the name by which require finds its module", function ()
   t.equal (TYPES.vortex.meta, "vortex")
   for _, part in ipairs (PARTS) do
      t.equal (TYPES[part].meta, "vortex." .. part)
   end
end)

-- ------------------------------------------------------------------- objects

-- one of each class, in a state in which every attribute has a value
local function objects ()
   local seen = vortex.asyncqueue.new ()
   local conn, _, ctx = t.session (function (server)
      server.features, server.localize = "x-types", "en"
      vortex.register_profile (server, "urn:example:luavortex:types", function (_, channel, frame)
         channel.automatic_mime = false
         channel:send_rpy ("Content-Type: text/plain\r\n\r\ntext", -1, frame.msgno)
         seen:push (true)
      end)
   end)
   ctx.features, ctx.localize = "x-types", "en"
   local channel = assert (conn:open_channel (0, "urn:example:luavortex:types"))
   local frame = assert (channel:request ("x", t.LIMIT))
   return {
      Ctx = ctx, Connection = conn, Channel = channel, ChannelPool = assert (conn:channel_pool_new (t.ECHO, 1)),
      Frame = frame, AsyncQueue = seen
   }
end

local function attributes (class)
   return TYPES[CLASSES[class]].classes["vortex." .. class]
end

-- a local variable that a metamethod refers to
local function upvalue (object, metamethod, wanted)
   local f = debug.getmetatable (object)[metamethod]
   for index = 1, math.huge do
      local name, value = debug.getupvalue (f, index)
      if name == wanted then
         return value
      end
      if not name then
         t.fail ("the metamethod " .. metamethod .. " refers to nothing that is called " .. wanted)
      end
   end
end

test ("every function of an object's module is its method", function ()
   for class, object in pairs (objects ()) do
      for name in pairs (TYPES[CLASSES[class]].functions) do
         t.equal (object[name], vortex[CLASSES[class]][name], class .. ":" .. name)
      end
   end
end)

test ("every attribute that types/ tells of is one", function ()
   for class, object in pairs (objects ()) do
      for name in pairs (attributes (class)) do
         if object[name] == nil then
            t.fail ("types/ tells of " .. class .. "." .. name .. ", which is nil")
         end
      end
   end
end)

test ("types/ tells of every attribute that the Lua side answers for", function ()
   for class, object in pairs (objects ()) do
      for name in pairs (upvalue (object, "__index", "getters")) do
         if not attributes (class)[name] then
            t.fail ("types/ does not tell of " .. class .. "." .. name)
         end
      end
   end
end)

test ("types/ tells which attributes can be written", function ()
   for class, object in pairs (objects ()) do
      local setters = upvalue (object, "__newindex", "setters")
      for name, told in pairs (attributes (class)) do
         local is_writable = told.text:find ("Read/write.", 1, true) ~= nil
         t.equal (setters[name] ~= nil, is_writable, class .. "." .. name .. " can be written")
         local taken = pcall (function () object[name] = object[name] end)
         t.equal (taken, is_writable, class .. "." .. name .. " takes its own value")
      end
      for name in pairs (setters) do
         if not (attributes (class)[name] or TYPES[CLASSES[class]].functions[name]) then
            t.fail ("types/ does not tell of " .. class .. "." .. name .. ", which can be written")
         end
      end
   end
end)

-- -------------------------------------------------------------------- limits

test ("types/ tells of every limit and its default", function ()
   local told = TYPES.ctx.classes["vortex.Limits"]
   local limits = vortex.ctx.new ():limits ()
   same_names (told, limits, "vortex.Limits")
   for name, field in pairs (told) do
      local default = field.text:match ("Default ([%d,]+)"):gsub (",", "")
      local variable = field.text:match ("`(VORTEX_[%u_]+)`")
      if not (variable and os.getenv (variable)) then
         t.equal (limits[name], tonumber (default), name)
      end
   end
end)

-- -------------------------------------------------------------- descriptions

-- calls visit (line, block) for each line of a file that is no comment, with the
-- comment above it; aliases and classes end a comment as well
local function each_described (file, visit)
   local block = {}
   for line in io.lines (folder .. file .. ".lua") do
      if line:find ("^%-%-%-@alias") then
         visit (line, block)
      elseif line:find ("^%-%-%-") then
         block[#block + 1] = line
      else
         if line ~= "" then
            visit (line, block)
         end
         block = {}
      end
   end
end

local FILES = { "vortex", "handlers" }
for _, part in ipairs (PARTS) do
   FILES[#FILES + 1] = part
end

test ("every name in types/ has a description", function ()
   for _, file in ipairs (FILES) do
      each_described (file, function (line, block)
         local is_ours = line:find ("^function [%w_]+%.") or line:find ("^[%w_]+%.[%w_]+ =") or line:find ("^local ")
            or line:find ("@alias", 1, true)
         if is_ours and not (block[1] and block[1]:find ("^%-%-%- %u")) then
            t.fail ("types/" .. file .. ".lua does not describe: " .. line)
         end
      end)
   end
   for file, told in pairs (TYPES) do
      for class, fields in pairs (told.classes) do
         for name, field in pairs (fields) do
            t.ok (field.text:find ("%S %u"), "a description of " .. class .. "." .. name .. " in types/" .. file .. ".lua")
         end
      end
   end
end)

test ("every argument in types/ has a type, in the order of the arguments", function ()
   for _, file in ipairs (FILES) do
      local pending, documented = nil, {}
      local function visit (line, block)
         local head = line:match ("^function [%w_.]+ %((.*)")
         if head then
            pending, documented = "", {}
            for _, text in ipairs (block) do
               documented[#documented + 1] = text:match ("^%-%-%-@param ([%w_.]+)")
            end
         end
         if pending then
            pending = pending .. (head or line)
            local arguments = pending:match ("^(.-)%) end$")
            if arguments then
               t.equal (table.concat (documented, ", "), (arguments:gsub ("%s+", " ")), "the arguments above: " .. line)
               pending = nil
            end
         end
      end
      each_described (file, visit)
   end
end)

-- ------------------------------------------------------------------ handlers

test ("every handler that types/ describes is one that some function takes", function ()
   local used = {}
   for _, file in ipairs { "vortex", "ctx", "connection", "channel", "channelpool", "sasl", "tls", "alive" } do
      for line in io.lines (folder .. file .. ".lua") do
         used[line:match ("^%-%-%-@param [%w_]+ vortex%.(%w+Handler)") or ""] = true
      end
   end
   local count = 0
   for line in io.lines (folder .. "handlers.lua") do
      local name = line:match ("^%-%-%-@alias vortex%.(%w+) ")
      if name then
         count = count + 1
         if not used[name] then
            t.fail ("no function takes a " .. name)
         end
      end
   end
   -- those of the handlers page, and of timers, ALIVE, errors
   t.equal (count, 16, "how many handlers there are")
end)

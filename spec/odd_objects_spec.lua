-- Objects in odd hands: forged, dead, closed, collected, written to.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local function objects ()
   local conn, listener, client = t.session ()
   local channel, replies = t.echo_channel (conn)
   channel:send_msg ("x")
   return {
      ctx = client, connection = conn, channel = channel, frame = t.pop (replies),
      channelpool = conn:channel_pool_new (t.ECHO, 1), asyncqueue = vortex.asyncqueue.new ()
   }, listener
end

local ATTRIBUTES = {
   ctx = "log log2 color_log ref_count",
   connection = "id ctx error_msg status host host_ip port server_name local_addr local_port num_channels role"
      .. " ref_count",
   channel = "number profile is_ready conn ref_count automatic_mime",
   channelpool = "id ctx conn channel_count channel_available",
   frame = "type msgno msg_no seqno seq_no ansno ans_no more_flag payload payload_size content content_size id"
      .. " ref_count content_type",
   asyncqueue = "ref_count"
}

test ("an unknown attribute reads as nil on every type, a write raises", function ()
   for part, object in pairs ((objects ())) do
      t.equal (object.no_such_thing, nil, part)
      t.equal (object[1], nil, part)
      t.equal (object[true], nil, part)
      t.raises ("no_such_thing", function () object.no_such_thing = 1 end)
      t.equal (object.no_such_thing, nil, part)
   end
end)

test ("attributes and methods cannot be overwritten on any type", function ()
   local writable = { log = true, log2 = true, color_log = true, automatic_mime = true }
   for part, object in pairs ((objects ())) do
      for name in ATTRIBUTES[part]:gmatch ("%S+") do
         if not writable[name] then
            local before = object[name]
            t.raises (name, function () object[name] = 17 end)
            t.ok (object[name] == before, part .. "." .. name)
         end
      end
      t.raises ("check", function () object.check = print end)
      t.equal (object:check (), true, part)
   end
end)

test ("every object tells its type in text and has no pairs of its own", function ()
   for part, object in pairs ((objects ())) do
      local text = tostring (object)
      t.ok (text:find (part == "channelpool" and "pool" or part, 1, true), text)
      t.equal (tostring (object), text, "the text stays the same")
      t.equal (type (object), "userdata")
      t.raises ("", next, object)
   end
end)

test ("objects compare, hash and refuse arithmetic", function ()
   local all = objects ()
   local keys = {}
   for part, object in pairs (all) do
      keys[object] = part
      t.ok (object == object and object ~= 1 and object ~= part and object ~= nil)
      t.ok (not pcall (function () return object + 1 end), part)
      t.ok (not pcall (function () return object < object end), part)
      t.ok (not pcall (function () return object () end), part)
      for other_part, other in pairs (all) do
         t.equal (object == other, part == other_part, part .. " and " .. other_part)
      end
   end
   for part, object in pairs (all) do
      t.equal (keys[object], part)
   end
end)

-- ------------------------------------------------------------------- forging

local function forgeries (part)
   local fields = { ["vortex.type"] = "vortex." .. part, __name = "vortex." .. part, type = "vortex." .. part }
   fields.__index = fields
   local all = { setmetatable ({}, fields), fields }
   if newproxy then
      local proxy = newproxy (true)
      local metatable = getmetatable (proxy)
      for name, value in pairs (fields) do
         metatable[name] = value
      end
      all[#all + 1] = proxy
   end
   return all
end

test ("C15: forged tables and userdata are no objects", function ()
   for part, object in pairs ((objects ())) do
      for _, forged in ipairs (forgeries (part)) do
         t.equal (vortex[part].check (forged), false, part)
         for name, f in pairs (vortex[part]) do
            if type (f) == "function" and name ~= "check" and name ~= "new" then
               local ok, message = pcall (f, forged, 1, "x")
               t.ok (not ok, part .. "." .. name .. " took a forged object")
               t.is_type (message, "string")
            end
         end
      end
      t.equal (object:check (), true)
   end
end)

test ("metatables of objects cannot be used to break them", function ()
   local all = objects ()
   for part, object in pairs (all) do
      local metatable = getmetatable (object)
      if type (metatable) == "table" then
         for _, name in ipairs { "__gc", "__close", "__index", "__newindex", "__tostring", "__eq" } do
            ---@type any
            local f = rawget (metatable, name)
            if type (f) == "function" then
               ---@diagnostic disable-next-line: missing-fields
               for _, value in ipairs { 1, "x", {}, io.stdout, print } do
                  pcall (f, value, value, value)
               end
            end
         end
      end
      t.ok (not pcall (setmetatable, object, {}), part)
      t.equal (object:check (), true, part)
   end
   t.still_works (all.connection)
end)

test ("an object that was finalised by hand is dead but safe", function ()
   for part, object in pairs ((objects ())) do
      local metatable = getmetatable (object)
      local finalise = type (metatable) == "table" and rawget (metatable, "__gc")
      if type (finalise) == "function" then
         pcall (finalise, object)
         pcall (finalise, object)
         for name in ATTRIBUTES[part]:gmatch ("%S+") do
            pcall (function () return object[name] end)
         end
         for _, f in pairs (vortex[part]) do
            if type (f) == "function" and f ~= vortex[part].new and f ~= vortex.asyncqueue.pop then
               pcall (f, object)
            end
         end
      end
   end
end)

-- ------------------------------------------------------------- constructors

test ("C8: a constructor called with a colon or with arguments breaks nothing", function ()
   for _, part in ipairs { vortex.ctx, vortex.asyncqueue } do
      ---@diagnostic disable: redundant-parameter
      for _, call in ipairs {
         function () return part:new () end,
         function () return part.new (17) end,
         function () return part.new ("text") end,
         function () return part.new ({}) end,
         function () return part.new (nil) end
      } do
         local ok, made = pcall (call)
         t.ok (part.check (made) or not ok and type (made) == "string")
      end
      t.equal (getmetatable (17), nil)
      t.equal (getmetatable (part), nil)
      t.equal (part.check (part.new ()), true)
   end
   t.equal (("x"):upper (), "X")
end)

-- ---------------------------------------------------------------- dead things

local function nothing () end

-- calls every function of a table with an object and some usual arguments
local function try_everything (part, object, skip)
   for name, f in pairs (vortex[part]) do
      if type (f) == "function" and name ~= "new" and not (skip and skip[name]) then
         for _, arguments in ipairs { {}, { 1 }, { "x" }, { 1, "x" }, { "x", 1 }, { "x", 1, 1 }, { nothing } } do
            local ok, message = pcall (f, object, arguments[1], arguments[2], arguments[3])
            if not ok then
               t.is_type (message, "string", part .. "." .. name)
            end
         end
      end
   end
   for name in ATTRIBUTES[part]:gmatch ("%S+") do
      local ok, message = pcall (function () return object[name] end)
      t.ok (ok, part .. "." .. name .. ": " .. tostring (message))
   end
   t.is_type (tostring (object), "string")
   t.equal (object:check (), true)
end

local DEATHS = {
   { "closed", function (all) t.equal (all.connection:close (), true) end },
   { "shut down", function (all) all.connection:shutdown () end },
   { "of an ended ctx", function (all) all.ctx:exit () end },
   { "of a collected ctx", function (all)
      all.ctx:exit ()
      all.ctx = nil
      collectgarbage ()
      collectgarbage ()
   end }
}

for _, death in ipairs (DEATHS) do
   test ("every call on objects that are " .. death[1] .. " raises a text or returns", function ()
      t.handler_errors ()
      local all = objects ()
      death[2] (all)
      for _, part in ipairs { "connection", "channel", "channelpool", "frame" } do
         try_everything (part, all[part])
      end
   end)
end

test ("every call on a listener raises a text or returns", function ()
   t.handler_errors ()
   local _, listener = objects ()
   local before = listener.port
   for name, f in pairs (vortex.connection) do
      if type (f) == "function" and name ~= "new" and name ~= "close" and name ~= "shutdown" then
         ---@diagnostic disable-next-line: param-type-mismatch
         local ok, message = pcall (f, listener, 1, "x")
         t.ok (ok or type (message) == "string", name)
      end
   end
   t.equal (listener.port, before)
   listener:shutdown ()
   try_everything ("connection", listener)
end)

test ("opening a channel on a listener fails", function ()
   local _, listener = objects ()
   local ok, channel = pcall (listener.open_channel, listener, 0, t.ECHO)
   t.ok (not ok or channel == nil)
end)

test ("every call on a failed connection raises a text or returns", function ()
   t.handler_errors ()
   local ctx = t.new_ctx ()
   try_everything ("connection", vortex.connection.new (ctx, "127.0.0.1", "none"))
   try_everything ("connection", vortex.create_listener (ctx, "127.0.0.1", "none"))
   try_everything ("connection", vortex.connection.new (vortex.ctx.new (), "127.0.0.1", "1"))
end)

test ("every call on an ended and on a fresh ctx raises a text or returns", function ()
   t.handler_errors ()
   local ended = t.new_ctx ()
   ended:exit ()
   try_everything ("ctx", ended)
   try_everything ("ctx", vortex.ctx.new (), { init = true })
end)

test ("objects may hold each other in circles and be collected in any order", function ()
   for round = 1, 5 do
      local all = objects ()
      local queue = all.asyncqueue
      for part, object in pairs (all) do
         queue:push (object)
         all.connection:set_data (part, all)
      end
      all.connection:set_on_close (function () return all end, all)
      all.channel:set_frame_received (function () return all end, all)
      all.ctx:new_event (3600 * 1000000, function () return all end, all, all)
      if round % 2 == 0 then
         all.connection:shutdown ()
      end
      all = nil
      collectgarbage ()
   end
   collectgarbage ()
end)

test ("a to-be-closed variable ends what it holds, and only once", function ()
   if _VERSION < "Lua 5.4" then
      t.skip ("needs Lua 5.4")
   end
   local conn = t.session ()
   local load_text = loadstring or load
   local use = load_text ("local conn = ... do local held <close> = conn end return conn:is_ok ()")
   t.equal (use (conn), false)
   t.equal (conn:close (), true)
end)

-- Wrong arguments: every function checks every argument and raises a string that
-- names the function and the caller's line (contract, conventions).

local vortex = require "vortex"
local t = require "harness"
local test = t.test

local unpack = table.unpack or unpack

local URI = "urn:example:luavortex:misuse"

-- "?" marks what may be left out or nil; "any" takes everything
local SIGNATURES = {
   ["create_listener"] = "ctx string string",
   ["wait_listeners"] = "ctx any?",
   ["unlock_listeners"] = "ctx",
   ["register_profile"] = "ctx string function? any? function? any? function? any?",
   ["yield"] = "time?",
   ["wait_events"] = "time?",
   ["set_error_handler"] = "function?",
   ["spawn"] = "function",
   ["sleep"] = "time",
   ["ctx.init"] = "ctx",
   ["ctx.exit"] = "ctx",
   ["ctx.unref"] = "ctx",
   ["ctx.new_event"] = "ctx time function any? any?",
   ["ctx.remove_event"] = "ctx number",
   ["ctx.set_limits"] = "ctx table",
   ["ctx.limits"] = "ctx",
   ["connection.new"] = "ctx string string string?",
   ["connection.is_ok"] = "conn",
   ["connection.open_channel"] =
      "conn number string function? any? function? any? function? any? number? string?",
   ["connection.channel_pool_new"] =
      "conn string number function? any? function? any? function? any? function? any?",
   ["connection.pop_channel_error"] = "conn",
   ["connection.set_on_close"] = "conn function any?",
   ["connection.remove_on_close"] = "conn",
   ["connection.find_by_uri"] = "conn string",
   ["connection.set_data"] = "conn key any?",
   ["connection.get_data"] = "conn key",
   ["connection.pool"] = "conn number?",
   ["connection.block"] = "conn boolean?",
   ["connection.is_blocked"] = "conn",
   ["connection.close"] = "conn",
   ["connection.shutdown"] = "conn",
   ["connection.skip_conn_close"] = "conn boolean?",
   ["connection.features"] = "conn",
   ["connection.localize"] = "conn",
   ["connection.profiles"] = "conn",
   ["connection.is_tls"] = "conn",
   ["channel.send_msg"] = "channel string number?",
   ["channel.send_rpy"] = "channel string number? number",
   ["channel.send_err"] = "channel string number? number",
   ["channel.send_ans"] = "channel string number? number",
   ["channel.finalize_ans"] = "channel number",
   ["channel.set_frame_received"] = "channel function? any?",
   ["channel.set_serialize"] = "channel boolean",
   ["channel.close"] = "channel",
   ["channel.request"] = "channel string time?",
   ["channel.answers"] = "channel string time?",
   ["channel.set_complete_flag"] = "channel boolean",
   ["channel.on_close_request"] = "channel function? any?",
   ["channel.pending"] = "channel",
   ["channelpool.next_ready"] = "pool boolean? any?",
   ["channelpool.release"] = "pool channel",
   ["frame.header"] = "frame string",
   ["asyncqueue.push"] = "queue any",
   ["asyncqueue.pop"] = "queue",
   ["asyncqueue.timedpop"] = "queue time",
   ["asyncqueue.timedout"] = "queue time",
   ["asyncqueue.items"] = "queue"
}

local callable = setmetatable ({}, { __call = function () end })

local WRONG = {
   string = { true, false, {}, print, io.stdout },
   number = { "abc", "", "1x", true, {}, print, 1.5, -0.5, 0 / 0, 1 / 0, -1 / 0 },
   -- microseconds come out of divisions: fractions are fine, and for ever is a long time
   time = { "abc", "", "1x", true, {}, print, 0 / 0 },
   ["function"] = { 1, "f", true, {}, callable },
   boolean = { 1, 0, "true", {}, print },
   table = { 1, "t", true, print },
   key = { true, {}, print },
   object = { 1, "object", true, false, {}, print, io.stdout, coroutine.create (function () end) }
}

local OBJECTS = { ctx = true, conn = true, channel = true, pool = true, frame = true, queue = true }

local function fixture ()
   local conn, _, client, server = t.session ()
   local channel, replies = t.echo_channel (conn)
   channel:send_msg ("x")
   local things = {
      ctx = client, conn = conn, channel = channel, frame = t.pop (replies),
      pool = conn:channel_pool_new (t.ECHO, 1), queue = vortex.asyncqueue.new (),
      string = URI, number = 1, time = 1, ["function"] = print, boolean = true, table = {}, key = "key", any = 1
   }
   vortex.register_profile (server, URI)
   return things
end

local function parse (signature)
   local kinds, optional, mandatory = {}, {}, 0
   for kind, mark in signature:gmatch ("(%a+)(%??)") do
      kinds[#kinds + 1] = kind
      optional[#kinds] = mark == "?"
      if mark == "" then
         mandatory = #kinds
      end
   end
   return kinds, optional, mandatory
end

local function look_up (path)
   local part, name = path:match ("^(%w+)%.([%w_]+)$")
   if part then
      return vortex[part][name], name
   end
   return vortex[path], path
end

-- calls f so that the error has to name a line of this file
local function must_raise (what, name, f, arguments, count)
   local ok, message = pcall (function ()
      local result = f (unpack (arguments, 1, count))
      return result
   end)
   if ok then
      t.fail (what .. " was taken")
   end
   if type (message) ~= "string" then
      t.fail (what .. " raised a " .. type (message))
   end
   local said = name == "timedout" and "timed" or name
   if not message:find (said, 1, true) then
      t.fail (what .. ": the function is not named in " .. message)
   end
   if not message:find ("misuse_spec%.lua:%d+:") then
      t.fail (what .. ": no line of the caller in " .. message)
   end
   return message
end

local function wrong_values (kind, things)
   if not OBJECTS[kind] then
      return WRONG[kind] or {}
   end
   local values = {}
   for _, value in ipairs (WRONG.object) do
      values[#values + 1] = value
   end
   for other in pairs (OBJECTS) do
      if other ~= kind then
         values[#values + 1] = things[other]
      end
   end
   return values
end

local paths = {}
for path in pairs (SIGNATURES) do
   paths[#paths + 1] = path
end
table.sort (paths)

for _, path in ipairs (paths) do
   local kinds, optional, mandatory = parse (SIGNATURES[path])

   test (path .. " checks each of its arguments", function ()
      local f, name = look_up (path)
      local things = fixture ()
      for position, kind in ipairs (kinds) do
         local arguments = {}
         for index, other in ipairs (kinds) do
            arguments[index] = things[other]
         end
         for _, value in ipairs (wrong_values (kind, things)) do
            arguments[position] = value
            local message = must_raise (tostring (value) .. " as argument " .. position, name, f, arguments, #kinds)
            t.ok (message:find ("#%d") or message:find ("argument", 1, true), "the argument is named in " .. message)
            -- the last argument given is checked like the others
            must_raise (tostring (value) .. " as last argument " .. position, name, f, arguments, position)
         end
         if not optional[position] and kind ~= "any" then
            arguments[position] = nil
            must_raise ("nil as argument " .. position, name, f, arguments, #kinds)
         end
      end
      t.still_works (things.conn)
   end)

   if mandatory > 0 then
      test (path .. " misses what was left out", function ()
         local f, name = look_up (path)
         local things = fixture ()
         for count = 0, mandatory - 1 do
            local arguments = {}
            for index = 1, count do
               arguments[index] = things[kinds[index]]
            end
            must_raise (count .. " arguments", name, f, arguments, count)
         end
         t.still_works (things.conn)
      end)
   end
end

test ("numeric texts are numbers and numbers are texts", function ()
   local conn = t.session ()
   local channel = conn:open_channel ("17", t.ECHO)
   t.equal (channel.number, 17)
   channel:send_msg (123, "2")
   local replies = vortex.asyncqueue.new ()
   channel:set_frame_received (function (_, _, frame) replies:push (frame.payload) end)
   t.equal (t.pop (replies), "12")
   ---@diagnostic disable-next-line: param-type-mismatch
   t.equal (replies:timedpop ("1000"), nil)
end)

test ("whole numbers written as fractions are whole numbers", function ()
   local conn = t.session ()
   t.equal (conn:open_channel (2 ^ 4 + 1, t.ECHO).number, 17)
   t.equal (vortex.asyncqueue.new ():timedpop (10 ^ 3), nil)
end)

test ("numbers beyond every range raise or fail and end nothing", function ()
   local things = fixture ()
   local conn, channel, pool = things.conn, things.channel, things.pool
   for _, number in ipairs { -1, -2 ^ 31, 2 ^ 31, 2 ^ 32 + 3, 2 ^ 53, 2 ^ 63, 2 ^ 64, -2 ^ 63, 1e300 } do
      for what, f in pairs {
         open_channel = function () return conn:open_channel (number, t.ECHO) end,
         pool = function () return conn:pool (number) end,
         send_rpy = function () return channel:send_rpy ("x", -1, number) end,
         finalize_ans = function () return channel:finalize_ans (number) end,
         remove_event = function () return things.ctx:remove_event (number) end
      } do
         local ok, value, message, code = pcall (f)
         if not ok then
            t.is_type (value, "string", what)
         else
            t.ok (not value, what .. " took " .. number)
            t.ok (message == nil or (type (message) == "string" and type (code) == "number"), what)
         end
      end
      if number > 0 then
         t.raises ("send_msg", channel.send_msg, channel, "x", number)
         pcall (conn.channel_pool_new, conn, URI .. "/unknown", number < 2 ^ 31 and number or 1e300)
      end
   end
   t.ok (pool:next_ready ())
   t.still_works (conn)
end)

test ("empty profile names and unknown encodings raise", function ()
   local conn = t.session ()
   t.raises ("open_channel", function () conn:open_channel (0, "") end)
   t.raises ("open_channel", function () conn:open_channel (0, t.ECHO, nil, nil, nil, nil, nil, nil, 7, "x") end)
   t.raises ("register_profile", function () vortex.register_profile (conn.ctx, "") end)
   t.still_works (conn)
end)

test ("D21: a method called with a dot raises and says so", function ()
   local conn = t.session ()
   local message = t.raises ("open_channel", function () conn.open_channel (0, t.ECHO) end)
   t.ok (message:find ("misuse_spec.lua:", 1, true), message)
   t.raises ("is_ok", function () conn.is_ok () end)
end)

test ("more arguments than needed harm nothing", function ()
   ---@diagnostic disable: redundant-parameter
   local things = fixture ()
   for _, call in ipairs {
      function () return things.conn:is_ok (1, 2, 3) end,
      function () return things.queue:items ({}) end,
      function () return things.queue:push (1, 2) end,
      function () return things.channel:check (nil, nil) end,
      function () return things.ctx:limits (1) end,
      function () return things.conn:pop_channel_error (print) end
   } do
      pcall (call)
   end
   t.still_works (things.conn)
end)

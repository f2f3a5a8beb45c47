-- Every handler of the core, one group each (contract 10); each_handler.lua says what is
-- tested. Those of SASL, TLS and ALIVE have their groups in the specs of these modules.

local vortex = require "vortex"
local t = require "harness"
local describe = require "each_handler"

local URI = "urn:example:luavortex:each"

local function returning (...)
   local values = t.pack (...)
   return function ()
      return (table.unpack or unpack) (values, 1, values.n)
   end
end

local function nothing () end

-- the peer's object of a channel
local function other_end (peer, channel)
   for _, one in ipairs (peer:find_by_uri (channel.profile)) do
      if one.number == channel.number then
         return one
      end
   end
end

-- ------------------------------------------------------------- channel start

local function opening (channel, message, code)
   return channel and "accepted" or "refused " .. select (2, t.failure (nil, channel, message, code))
end

describe {
   name = "channel start",
   reported = "start",
   on_server = true,
   cause = function (e, handler, data)
      vortex.register_profile (e.server, URI, nil, nil, handler, data)
      return opening (e.conn:open_channel (9, URI))
   end,
   arguments = function (e, data)
      return { n = 5, 9, e.peer, data, nil, nil }
   end,
   answer = function () return true end,
   outcome = "accepted",
   returns = {
      { "accepted", returning (true) }, { "accepted", returning (1) }, { "accepted", returning ("false") },
      { "accepted", returning ({}) }, { "accepted", returning (true, "content") }, { "accepted", returning (true, nil) },
      { "refused 421", returning (false) }, { "refused 421", returning (nil) }, { "refused 421", nothing },
      { "refused 450", returning (false, 450, "later") }, { "refused 504", returning (nil, 504) },
      { "refused 421", returning (false, nil, "later") }, { "refused 421", returning (false, "no number") },
      { "refused 421", returning (false, 7) }, { "refused 450", returning (false, 450, {}) }
   },
   after_error = "refused 421"
}

t.test ("channel start handler: code, text and content reach the side that asked", function ()
   local answer
   local conn = t.session (function (ctx)
      vortex.register_profile (ctx, URI, nil, nil, function () return answer () end)
   end)
   for _, case in ipairs {
      { returning (false, 450, "come back <later>"), 450, "come back <later>" },
      { returning (false, nil, "only a text"), 421, "only a text" },
      { returning (nil, 535, "not you"), 535, "not you" }
   } do
      answer = case[1]
      local message, code = t.failure (nil, conn:open_channel (0, URI))
      t.equal (code, case[2])
      t.ok (message:find (case[3], 1, true), message)
      local stacked = conn:pop_channel_error ()
      t.equal (stacked[1], case[2])
      t.equal (stacked[2], case[3])
   end
   for _, content in ipairs { "welcome", "", "a\tb <&> ]]>", ("long "):rep (2000) } do
      answer = returning (true, content)
      local seen = vortex.asyncqueue.new ()
      t.ok (conn:open_channel (0, URI, function (_, _, frame) seen:push (frame) end), content)
      if content ~= "" then
         local frame = t.pop (seen)
         t.equal (frame.payload, content)
         t.equal (frame.type .. frame.msg_no, "RPY0")
      end
   end
end)

-- ------------------------------------------------------------- channel close

local function closing (channel)
   local done, message, code = channel:close ()
   return done == true and "closed" or "refused " .. select (2, t.failure (false, done, message, code))
end

local CLOSE_RETURNS = {
   { "closed", returning (true) }, { "closed", returning (nil) }, { "closed", nothing },
   { "closed", returning (1) }, { "closed", returning ("false") }, { "closed", returning ({}) },
   { "refused 550", returning (false) }, { "refused 550", returning (false, 450, "not the code of the contract") }
}

local function describe_close (how, kind)
   kind.name = "channel close (" .. how .. ")"
   kind.reported = "close"
   kind.answer = function () return true end
   kind.outcome = "closed"
   kind.returns = CLOSE_RETURNS
   kind.after_error = "refused 550"
   describe (kind)
end

describe_close ("of a profile", {
   on_server = true,
   cause = function (e, handler, data)
      vortex.register_profile (e.server, URI, nil, nil, nil, nil, handler, data)
      return closing (t.ok (e.conn:open_channel (9, URI)))
   end,
   arguments = function (e, data)
      return { n = 3, 9, e.peer, data }
   end
})

describe_close ("of open_channel", {
   cause = function (e, handler, data)
      local channel = t.ok (e.conn:open_channel (9, t.ECHO, nil, nil, nil, nil, handler, data))
      return closing (other_end (e.peer, channel))
   end,
   arguments = function (e, data)
      return { n = 3, 9, e.conn, data }
   end
})

describe_close ("of on_close_request", {
   cause = function (e, handler, data)
      local channel = t.ok (e.conn:open_channel (9, t.ECHO))
      channel:on_close_request (handler, data)
      return closing (other_end (e.peer, channel))
   end,
   arguments = function (e, data)
      return { n = 3, 9, e.conn, data }
   end
})

describe_close ("of a pool", {
   cause = function (e, handler, data)
      e.pool = e.conn:channel_pool_new (t.ECHO, 1, nil, nil, nil, nil, handler, data)
      local channel = e.pool:next_ready ()
      e.number = channel.number
      return closing (other_end (e.peer, channel))
   end,
   arguments = function (e, data)
      return { n = 3, e.number, e.conn, data }
   end
})

-- ---------------------------------------------------------------- on channel

describe {
   name = "on channel (opened)",
   reported = "channel",
   cause = function (e, handler, data)
      t.equal (e.conn:open_channel (9, t.ECHO, nil, nil, handler, data), nil)
   end,
   arguments = function (e, data)
      return { n = 4, 9, function (channel) return channel == e.conn:find_by_uri (t.ECHO)[2] end, e.conn, data }
   end
}

describe {
   name = "on channel (refused)",
   reported = "channel",
   cause = function (e, handler, data)
      t.equal (e.conn:open_channel (9, URI, nil, nil, handler, data), nil)
   end,
   arguments = function (e, data)
      return { n = 4, -1, nil, e.conn, data }
   end
}

describe {
   name = "on channel (on a dead connection)",
   reported = "channel",
   ends = true,
   cause = function (e, handler, data)
      e.conn:shutdown ()
      t.equal (e.conn:open_channel (9, URI, nil, nil, handler, data), nil)
   end,
   arguments = function (e, data)
      return { n = 4, -1, nil, e.conn, data }
   end
}

-- ------------------------------------------------------------ frame received

local function describe_frame (how, kind)
   kind.name = "frame received (" .. how .. ")"
   kind.reported = "frame"
   kind.arguments = kind.arguments or function (e, data)
      return { n = 4, e.conn, e.channel, vortex.frame.check, data }
   end
   describe (kind)
end

describe_frame ("of open_channel", {
   cause = function (e, handler, data)
      e.channel = t.ok (e.conn:open_channel (0, t.ECHO, handler, data))
      t.equal (e.channel:send_msg ("x"), 0)
   end
})

describe_frame ("of set_frame_received", {
   cause = function (e, handler, data)
      e.channel = t.ok (e.conn:open_channel (0, t.ECHO))
      e.channel:set_frame_received (handler, data)
      t.equal (e.channel:send_msg ("x"), 0)
   end
})

describe_frame ("of a pool", {
   cause = function (e, handler, data)
      e.pool = e.conn:channel_pool_new (t.ECHO, 1, nil, nil, handler, data)
      e.channel = e.pool:next_ready ()
      t.equal (e.channel:send_msg ("x"), 0)
   end
})

describe_frame ("of the profile on the side that opened", {
   cause = function (e, handler, data)
      vortex.register_profile (e.client, t.ECHO, handler, data)
      e.channel = t.ok (e.conn:open_channel (0, t.ECHO))
      t.equal (e.channel:send_msg ("x"), 0)
   end
})

describe_frame ("of a profile", {
   on_server = true,
   cause = function (e, handler, data)
      local frame
      vortex.register_profile (e.server, URI, function (...)
         frame = select (3, ...)
         return handler (...)
      end, data)
      local asking = t.ok (e.conn:open_channel (9, URI))
      e.channel = e.peer:find_by_uri (URI)[1]
      asking:send_msg ("x")
      return function ()
         -- whatever became of the handler, the message is still to be answered, once
         t.equal (asking.is_ready, false)
         t.equal (e.channel:send_rpy ("", 0, frame.msgno), true)
         t.wait_until (function () return asking.is_ready end, "the reply")
      end
   end,
   arguments = function (e, data)
      return { n = 4, e.peer, e.channel, vortex.frame.check, data }
   end
})

-- ---------------------------------------------------------- connection close

local function on_close_arguments (e, data)
   return { n = 2, function (conn) return conn == e.conn and not conn:is_ok () end, data }
end

describe {
   name = "connection close",
   reported = "close",
   ends = true,
   cause = function (e, handler, data)
      e.conn:set_on_close (handler, data)
      e.conn:shutdown ()
   end,
   arguments = on_close_arguments
}

describe {
   name = "connection close (by the peer)",
   reported = "close",
   ends = true,
   cause = function (e, handler, data)
      e.conn:set_on_close (handler, data)
      t.equal (e.peer:close (), true)
   end,
   arguments = on_close_arguments
}

describe {
   name = "connection close (set on a dead connection)",
   reported = "close",
   ends = true,
   cause = function (e, handler, data)
      e.conn:shutdown ()
      t.wait_until (function () return not e.peer:is_ok () end)
      e.conn:set_on_close (handler, data)
   end,
   arguments = on_close_arguments
}

-- --------------------------------------------------------------------- pools

local POOL_GIVEN = { received = function () end, close = function () end }

describe {
   name = "pool create",
   reported = "create",
   cause = function (e, handler, data)
      e.pool = e.conn:channel_pool_new (t.ECHO, 1, handler, data, POOL_GIVEN.received, "received", POOL_GIVEN.close,
         "close")
      return e.pool.channel_count
   end,
   arguments = function (e, data)
      local function is (wanted)
         return function (value) return value == wanted end
      end
      return { n = 9, e.conn, 0, t.ECHO, is (POOL_GIVEN.received), "received", is (POOL_GIVEN.close), "close", data, nil }
   end,
   answer = function (conn, number, profile) return conn:open_channel (number, profile) end,
   outcome = 1,
   returns = {
      { 1, function (conn, _, profile) return conn:open_channel (0, profile) end },
      { 0, nothing }, { 0, returning (nil) }, { 0, returning (nil, "none today", 450) }, { 0, returning (false) },
      { 0, returning (true) }, { 0, returning (17) }, { 0, returning ({}) }, { 0, function (conn) return conn end },
      { 0, function (conn, _, profile)
         local channel = conn:open_channel (0, profile)
         channel:close ()
         return channel
      end }
   },
   after_error = 0
}

describe {
   name = "pool create (for next_ready)",
   reported = "create",
   cause = function (e, handler)
      local first = true
      e.pool = e.conn:channel_pool_new (t.ECHO, 1, function (...)
         if first then
            first = false
            local conn, number, profile = ...
            return conn:open_channel (number, profile)
         end
         return handler (...)
      end, "data")
      t.ok (e.pool:next_ready ())
      local channel, message, code = e.pool:next_ready (true, "next")
      if not channel then
         t.failure (nil, channel, message, code)
      end
      return channel and channel.profile
   end,
   arguments = function (e)
      return { n = 9, e.conn, 0, t.ECHO, nil, nil, nil, nil, "data", "next" }
   end,
   answer = function (conn, number, profile) return conn:open_channel (number, profile) end,
   outcome = t.ECHO,
   returns = { { nil, nothing }, { nil, returning (true) }, { nil, returning (nil, "none today", 450) } }
}

describe {
   name = "pool created",
   reported = "created",
   cause = function (e, handler, data)
      t.equal (e.conn:channel_pool_new (t.ECHO, 2, nil, nil, nil, nil, nil, nil, handler, data), nil)
   end,
   arguments = function (e, data)
      return { n = 2, function (pool) return pool.channel_count == 2 and pool.id == e.conn:pool ().id end, data }
   end
}

describe {
   name = "pool created (on a dead connection)",
   reported = "created",
   ends = true,
   cause = function (e, handler, data)
      e.conn:shutdown ()
      t.equal (e.conn:channel_pool_new (t.ECHO, 1, nil, nil, nil, nil, nil, nil, handler, data), nil)
   end,
   arguments = function (_, data)
      -- what is left depends on whether the end was noticed before
      return { n = 2, function (pool) return pool == nil or pool.channel_count == 0 end, data }
   end
}

-- ---------------------------------------------------------- timers, spawning

describe {
   name = "timer",
   reported = "timer",
   repeats = true,
   cause = function (e, handler, data)
      local id = e.client:new_event (1000, handler, data)
      return function ()
         return e.client:remove_event (id) and "kept" or "removed"
      end
   end,
   arguments = function (e, data)
      return { n = 3, e.client, data, nil }
   end,
   answer = function () return true end,
   outcome = "removed",
   returns = {
      { "removed", returning (true) }, { "removed", returning (true, false) }, { "kept", returning (false) },
      { "kept", returning (nil) }, { "kept", nothing }, { "kept", returning (1) }, { "kept", returning ("true") },
      { "kept", returning ({}) }, { "kept", returning (false, true) }
   },
   after_error = "kept"
}

describe {
   name = "spawned",
   reported = "spawn",
   cause = function (_, handler, data)
      vortex.spawn (handler, data, "more")
   end,
   arguments = function (_, data)
      return { n = 2, data, "more" }
   end
}

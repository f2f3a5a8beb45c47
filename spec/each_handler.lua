-- The tests that every handler has, whatever calls it: what it is called with, what
-- comes of each return value and of an error, that it may wait, and that it may be set
-- inside another handler.
--
--    local describe = require "each_handler"
--    describe {
--       name = "channel start",       -- in the names of the tests
--       reported = "start",           -- a word of the name that an error is reported with
--       cause = function (e, handler, data) ... end,
--       arguments = function (e, data) return { n = 2, e.conn, data } end,
--       answer = function (...) return true end,
--       outcome = "accepted",
--       returns = { { "refused", function () return false end }, ... },
--       after_error = "refused"
--    }
--
-- `cause` makes the handler be called and returns what came of it, or a function that
-- tells it once the handler has ended. `e` is a session seen from both ends, see below.
-- `arguments` are values to compare with, or functions that judge one. `answer` is what
-- a handler does that answers as is usual, which leads to `outcome`. Optional are:
-- `ends`: the connection of `e` does not work any more afterwards; `repeats`: the handler
-- is called again and again; `on_server`, `elsewhere`: where it asks on another channel;
-- `prepare (e)`: comes first.

local vortex = require "vortex"
local t = require "harness"
local test = t.test

-- for handlers whose return values mean nothing
local IGNORED = {
   { nil, function () end },
   { nil, function () return nil end },
   { nil, function () return true end },
   { nil, function () return false end },
   { nil, function () return 17, "text", {} end }
}

-- both ends of a session with a channel of each that the other one answers on
local function environment (kind)
   local e = {}
   e.conn, e.peer, e.listener, e.client, e.server = t.both_ends (kind.setup)
   e.spare = t.ok (e.conn:open_channel (0, t.ECHO, t.echo))
   e.peer_spare = e.peer:find_by_uri (t.ECHO)[1]
   if kind.prepare then
      kind.prepare (e)
   end
   return e
end

local function check_still_works (kind, e)
   if not kind.ends then
      t.still_works (e.conn)
   end
end

local function outcome_of (outcome)
   if type (outcome) == "function" then
      return outcome ()
   end
   return outcome
end

local function pass_on (queue, ...)
   queue:push (true)
   return ...
end

-- has `body` called as handler, waits until it has ended and returns what came of it
local function play (kind, e, body, data)
   local ended = vortex.asyncqueue.new ()
   local outcome = kind.cause (e, function (...)
      return pass_on (ended, body (...))
   end, data)
   t.pop (ended, "the end of the " .. kind.name .. " handler")
   return outcome_of (outcome)
end

local function check_arguments (kind, data)
   local e, got = environment (kind), nil
   play (kind, e, function (...)
      got = got or t.pack (...)
      return kind.answer (...)
   end, data)
   local want = kind.arguments (e, data)
   t.equal (got.n, want.n, "the number of arguments")
   for index = 1, want.n do
      if type (want[index]) == "function" then
         t.ok (want[index] (got[index]), "argument " .. index .. ", " .. tostring (got[index]))
      else
         t.equal (got[index], want[index], "argument " .. index)
      end
   end
   check_still_works (kind, e)
end

local function check_error (kind, raised)
   local errors, e = t.handler_errors (), environment (kind)
   local before = #errors
   local function break_down ()
      error (raised)
   end
   local outcome = kind.cause (e, function ()
      break_down ()
   end)
   t.wait_until (function () return errors[before + 1] end, "the report")
   t.equal (outcome_of (outcome), kind.after_error, "the answer")
   local report = errors[before + 1]
   t.ok (report.traceback:find ("each_handler.lua:", 1, true), report.traceback)
   t.ok (report.handler_name:lower ():find (kind.reported, 1, true), report.handler_name)
   check_still_works (kind, e)
   t.ok (kind.repeats or #errors == before + 1, "it is reported once")
   return report
end

-- what handlers wait for
local WAITS = {
   { "sleep", function () vortex.sleep (2000) end },
   { "yield", function () vortex.yield (2000) end },
   { "wait for a queue", function ()
      local gate = vortex.asyncqueue.new ()
      vortex.spawn (function ()
         vortex.sleep (2000)
         gate:push (true)
      end)
      t.equal (gate:pop (), true)
   end },
   { "ask on another channel", function (kind, e)
      local channel
      if kind.elsewhere or kind.ends then
         channel = t.echo_channel ((t.session ()))
      else
         channel = kind.on_server and e.peer_spare or e.spare
      end
      t.equal (t.ok (channel:request ("from a handler", t.LIMIT)).payload, "from a handler")
   end }
}

local function describe (kind)
   local name = kind.name .. " handler: "
   kind.answer = kind.answer or function () end

   test (name .. "gets exactly its arguments", function ()
      check_arguments (kind, {})
      check_arguments (kind, false)
   end)

   test (name .. "gets nil for data that was not given", function ()
      check_arguments (kind, nil)
   end)

   test (name .. "each return value has its effect", function ()
      if kind.complains then
         -- of what a handler returned and cannot be used
         t.handler_errors ()
      end
      for index, case in ipairs (kind.returns or IGNORED) do
         local e = environment (kind)
         t.equal (play (kind, e, case[2]), case[1], "return value " .. index)
         check_still_works (kind, e)
      end
   end)

   test (name .. "an error is reported and gives the safe answer", function ()
      local report = check_error (kind, "it broke down")
      t.ok (report.message:find ("it broke down", 1, true), report.message)
      check_error (kind, {})
      check_error (kind, nil)
   end)

   for _, wait in ipairs (WAITS) do
      test (name .. "may " .. wait[1], function ()
         local e = environment (kind)
         local waited = false
         local outcome = play (kind, e, function (...)
            if not waited then
               waited = true
               wait[2] (kind, e)
            end
            return kind.answer (...)
         end)
         t.equal (outcome, kind.outcome)
         check_still_works (kind, e)
      end)
   end

   test (name .. "may be set inside a handler and inside a coroutine", function ()
      local e, done = environment (kind), vortex.asyncqueue.new ()
      vortex.spawn (function ()
         done:push (t.pack (play (kind, e, kind.answer)))
      end)
      t.equal (t.pop (done)[1], kind.outcome)
      check_still_works (kind, e)
      e = environment (kind)
      t.equal (coroutine.wrap (function () return play (kind, e, kind.answer) end) (), kind.outcome)
      check_still_works (kind, e)
   end)
end

return describe

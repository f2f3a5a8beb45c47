-- The service of this project: a profile whose messages are names, and whose
-- replies are greetings. Listener, client and test share this file.

local vortex = require "vortex"

local greeter = {}

--- The URI that names the profile. Take one of your own before others use it.
greeter.PROFILE = "urn:example:NAME"

--- What is said to a name.
---@param name string
---@return string|nil greeting nil when there is nobody to greet
function greeter.greet (name)
   if name == "" then
      return nil
   end
   return "Hello, " .. name .. "!"
end

--- Serves the profile on every listener of the ctx.
---@param ctx vortex.Ctx
function greeter.serve (ctx)
   vortex.register_profile (ctx, greeter.PROFILE, function (conn, channel, frame)
      local greeting = greeter.greet (frame.payload)
      if greeting then
         channel:send_rpy (greeting, -1, frame.msg_no)
      else
         channel:send_err ("there is no name in the message", -1, frame.msg_no)
      end
   end)
end

--- Asks a listener for a greeting.
---@param conn vortex.Connection
---@param name string
---@return string|nil greeting
---@return string|nil reason why there is none
function greeter.ask (conn, name)
   local channel, reason = conn:open_channel (0, greeter.PROFILE)
   if not channel then
      return nil, reason
   end
   -- five seconds, in microseconds
   local frame
   frame, reason = channel:request (name, 5 * 1000000)
   channel:close ()
   if not frame then
      return nil, reason
   end
   if frame.type ~= "RPY" then
      return nil, frame.payload
   end
   return frame.payload
end

return greeter

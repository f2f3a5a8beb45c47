---@meta vortex.alive

--- Finding out that a peer is gone: `require "vortex.alive"`, or `vortex.alive`.
---@class vortex.alive
local alive = {}

--- Answers the checks of the peers of a ctx. Needed on the watched side.
---@param ctx vortex.Ctx
---@return boolean ok
function alive.init (ctx) end

--- Checks again and again that the peer of a connection is there. Whatever arrives from it counts.
---
--- A peer without the profile makes the check fail. After a failure checking stops.
---@param conn vortex.Connection
---@param check_period number The time between two checks in microseconds; more than 0.
---@param max_unreply integer Checks without an answer that make it fail.
---@param failure_handler vortex.AliveFailureHandler Called once when the peer is gone. Default: the connection is shut down.
---@param data? any Handed to `failure_handler`.
---@return boolean enabled False when the connection is down, or checked already, or a number cannot be.
---@return string? message Why not.
function alive.enable_check (conn, check_period, max_unreply, failure_handler, data) end

return alive

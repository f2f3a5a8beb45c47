---@meta vortex.channelpool

--- Pools of channels of one profile, made by `conn:channel_pool_new`: they are lent and given back.
---
--- ```lua
--- local channel = assert (pool:next_ready ())
--- channel:send_msg ("hello")
--- pool:release (channel)
--- ```
---@class vortex.channelpool
local channelpool = {}

--- A pool: see `vortex.channelpool`. It ends with its connection. Two objects of one pool are equal (`==`).
---@class vortex.ChannelPool : vortex.channelpool
---@field id integer Its number: 1, 2, 3, ... per connection.
---@field ctx vortex.Ctx The context of its connection. (Nil once the connection has ended.)
---@field conn vortex.Connection Its connection.
---@field channel_count integer How many channels it opened, closed ones included; 0 once the connection has ended.
---@field channel_available integer How many channels could be lent now.
---@field ref_count integer Always 1.

--- Lends a channel that is open, awaits no reply and is not lent. Without one, opens one more and runs handlers meanwhile.
---@param pool vortex.ChannelPool
---@param auto_inc? boolean False: do not open one more. Default true (the manual of the older library said false; it did true).
---@param user_data? any Handed to the create handler of the pool as `next_data`.
---@return vortex.Channel? channel Nil on failure.
---@return string? message Why there is none.
---@return integer? code The peer's BEEP reply code, or a `vortex.status_...` number: 1 all are lent, 13 the connection has ended.
function channelpool.next_ready (pool, auto_inc, user_data) end

--- Gives a channel back. One that is not lent is left alone.
---@param pool vortex.ChannelPool
---@param channel vortex.Channel
function channelpool.release (pool, channel) end

--- Whether a value is a pool. Never raises.
---@param value any
---@return boolean is_channelpool
function channelpool.check (value) end

return channelpool

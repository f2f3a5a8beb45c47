---@meta vortex.connection

--- Sessions with a peer, and listeners.
---
--- ```lua
--- local conn = vortex.connection.new (ctx, "127.0.0.1", 10288)
--- assert (conn:is_ok (), conn.error_msg)
--- ```
---@class vortex.connection
local connection = {}

--- What a connection is: `"initiator"` was made by `connection.new`, `"listener"` was accepted, `"master-listener"` was
--- made by `create_listener`, and `"unknown"` was closed.
---@alias vortex.Role "initiator"|"listener"|"master-listener"|"unknown"

--- A connection: see `vortex.connection`. Two objects of one connection are equal (`==`).
---
--- A connection made by `connection.new` is shut down when the last object that stands for it or for one of its channels
--- is collected. From Lua 5.4 on `local conn <close> = ...` closes it at the end of the block.
---@class vortex.Connection : vortex.connection
---@field id integer Its number: 1, 2, 3, ... per ctx, listeners and accepted connections included; -1 once closed.
---@field ctx vortex.Ctx Its context. (Nil when the context is gone.)
---@field error_msg string Why the connection is not usable, or a short text when it is.
---@field status integer How it is: 2 (`vortex.status_OK`) when usable, else why not, another of the `vortex.status_...` numbers.
---@field host string The host as given to `connection.new` or `create_listener`; of an accepted connection the peer's address. (Nil once closed.)
---@field port string The port, as a string: of a listener the real one, of an accepted connection the peer's. (Nil once closed.)
---@field host_ip string? The peer's address as numbers, of a listener its own. Nil once the connection is down.
---@field server_name string? The name the session serves: what the first start asked for. Nil before. In a start handler the name which that start asks for.
---@field local_addr string This side's address. (Nil when there is none.)
---@field local_port string This side's port, as a string. (Nil when there is none.)
---@field num_channels integer Open channels, channel 0 included: 1 on a fresh connection, -1 for a listener and once closed.
---@field role vortex.Role What the connection is.
---@field ref_count integer A detail of the engine; -1 once closed.

--- Connects, and waits for the peer's greeting. Runs handlers meanwhile.
---
--- Always returns a connection: test it with `is_ok`. Resolving, connecting and the greeting are limited together by
--- the limit `greeting_timeout` of the ctx.
---@param ctx vortex.Ctx An initialised ctx.
---@param host string An IPv4 or IPv6 address, or a name.
---@param port string|number
---@param server_name? string The name to ask for with the first channel. Default: `host`.
---@return vortex.Connection conn When it failed `conn.error_msg` and `conn.status` tell why.
function connection.new (ctx, host, port, server_name) end

--- Whether a connection can be used.
---@param conn vortex.Connection
---@return boolean ok
function connection.is_ok (conn) end

--- Whether a value is a connection, usable or not. Never raises.
---@param value any
---@return boolean is_connection
function connection.check (value) end

--- Opens a channel.
---
--- Without `on_channel` waits for the peer's answer and runs handlers meanwhile. With it returns nil at once, and the
--- handler is called exactly once, with the channel or, when it failed, with -1 and nil. Every failure is also put on
--- the error stack, see `pop_channel_error`. Frequent codes: 554 the peer does not serve the profile, or the number is in
--- use; 421 its start handler refused.
---@param conn vortex.Connection Not a listener; one of those it accepted.
---@param number integer The channel's number. 0: the next free one (3, 5, 7, ... on the initiator, 4, 6, ... on the listener).
---@param profile string The profile's URI.
---@param frame_received vortex.FrameReceivedHandler Called for each frame of the channel. Default: the one registered for the profile.
---@param frame_received_data? any Handed to `frame_received`.
---@param on_channel vortex.OnChannelHandler Told how the start went.
---@param on_channel_data? any Handed to `on_channel`.
---@param on_close vortex.ChannelCloseHandler Decides when the peer wants to close the channel. Default: the one registered for the profile.
---@param on_close_data? any Handed to `on_close`.
---@param encoding? integer How `profile_content` is written: 0 or nil as it stands, 1 or `vortex.encoding_BASE64` base64.
---@param profile_content? string Sent with the start. Text that XML can carry; encode everything else as base64. The content of the peer's answer reaches the frame handler as a RPY with message number 0.
---@return vortex.Channel? channel Nil on failure, and always with `on_channel`.
---@return string? message Why there is no channel.
---@return integer? code The peer's BEEP reply code, or a `vortex.status_...` number.
function connection.open_channel (conn, number, profile, frame_received, frame_received_data, on_channel,
                                  on_channel_data, on_close, on_close_data, encoding, profile_content) end

--- Makes a pool of channels of one profile. Waits until the first ones are open and runs handlers meanwhile.
---
--- The pool has fewer channels, perhaps none, when opening fails; `pop_channel_error` tells why.
---@param conn vortex.Connection
---@param profile string The profile's URI.
---@param init_num integer How many channels to open at once; at least 1.
---@param create_channel vortex.ChannelCreateHandler Opens a channel of the pool. Default: `conn:open_channel` with the handlers below.
---@param create_channel_data? any Handed to `create_channel` as `user_data`.
---@param received vortex.FrameReceivedHandler Called for each frame of the pool's channels.
---@param received_data? any Handed to `received`.
---@param close vortex.ChannelCloseHandler Decides when the peer wants to close a channel of the pool.
---@param close_data? any Handed to `close`.
---@param on_created vortex.PoolCreatedHandler With it the call returns nil at once, and the handler gets the pool.
---@param user_data? any Handed to `on_created`.
---@return vortex.ChannelPool? pool Nil when the connection is not usable, and always with `on_created`.
---@return string? message Why there is no pool.
---@return integer? code A `vortex.status_...` number.
function connection.channel_pool_new (conn, profile, init_num, create_channel, create_channel_data, received,
                                      received_data, close, close_data, on_created, user_data) end

--- Takes the newest failure of a channel operation off the error stack of a connection.
---@param conn vortex.Connection
---@return { [1]: integer, [2]: string }? failure The code at 1, the text at 2. Nil when there is none (any more).
function connection.pop_channel_error (conn) end

--- Sets a handler for the end of a connection, however it ends. Each handler that was set is called once, in the order of
--- setting; on a connection that has ended already, soon.
---@param conn vortex.Connection
---@param handler vortex.ConnectionCloseHandler
---@param data? any Handed to the handler.
---@return integer handle For `remove_on_close`.
function connection.set_on_close (conn, handler, data) end

--- New. Takes a handler for the end of a connection back.
---@param conn vortex.Connection
---@param handle integer What `set_on_close` returned.
---@return boolean removed False when it is not set (any more).
function connection.remove_on_close (conn, handle) end

--- The open channels of a profile.
---@param conn vortex.Connection
---@param profile string The profile's URI.
---@return vortex.Channel[] channels Ascending by number; empty when there are none.
function connection.find_by_uri (conn, profile) end

--- Keeps a value with a connection. All objects of the connection share it, and it survives TLS.
---@param conn vortex.Connection
---@param key string|number 5 and `"5"` are the same key.
---@param value any Nil removes.
function connection.set_data (conn, key, value) end

--- A value kept with `set_data`, identical to what was given.
---@param conn vortex.Connection
---@param key string|number
---@return any value Nil when there is none.
function connection.get_data (conn, key) end

--- A pool of a connection.
---@param conn vortex.Connection
---@param id? integer Its `id`: 1, 2, 3, ... in the order of making. Default 1.
---@return vortex.ChannelPool? pool Nil when there is no such pool.
function connection.pool (conn, id) end

--- Stops reading from the peer, or goes on. Sending goes on; nothing is lost.
---@param conn vortex.Connection
---@param flag? boolean True: stop. False: go on. Default true.
function connection.block (conn, flag) end

--- Whether reading from the peer was stopped with `block`.
---@param conn vortex.Connection
---@return boolean blocked
function connection.is_blocked (conn) end

--- Closes a connection in order: each channel, then the session. Runs handlers while it waits for the peer.
---
--- May be repeated. A listener stops listening.
---@param conn vortex.Connection
---@return boolean closed False when a channel may not be closed: the connection can be used on.
---@return string? message The peer's reason.
---@return integer? code The peer's BEEP reply code, or a `vortex.status_...` number.
function connection.close (conn) end

--- Drops a connection at once, without asking the peer. Does not wait; may be repeated.
---@param conn vortex.Connection
function connection.shutdown (conn) end

--- New. Lets a session live on when the last object that stands for it is collected.
---@param conn vortex.Connection
---@param skip? boolean True: it lives on. False: it is shut down then. Default true.
function connection.skip_conn_close (conn, skip) end

--- New. The `features` of the peer's greeting.
---@param conn vortex.Connection
---@return string? features Nil when the peer named none.
function connection.features (conn) end

--- New. The `localize` of the peer's greeting: languages in which it takes texts.
---@param conn vortex.Connection
---@return string? localize Nil when the peer named none.
function connection.localize (conn) end

--- New. The profiles that the peer's greeting offers.
---@param conn vortex.Connection
---@return string[] profiles URIs; empty when it offers none.
function connection.profiles (conn) end

--- New. Whether the session is encrypted.
---@param conn vortex.Connection
---@return boolean is_tls
function connection.is_tls (conn) end

return connection

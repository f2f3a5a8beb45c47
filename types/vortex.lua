---@meta vortex

--- BEEP (RFC 3080/3081) for Lua.
---
--- `local vortex = require "vortex"` returns this table. The global `vortex` is set to it as well when it is nil, for old
--- scripts; the environment variable `LUAVORTEX_NO_GLOBAL=1` turns that off.
---
--- Every function of a type works as `vortex.connection.is_ok (conn)` and as `conn:is_ok ()`. An optional argument may
--- always be nil, and nil means "not given". Times are in microseconds. Strings are byte strings. Misuse (a wrong type, a
--- mandatory argument left out, a value out of range) raises a string error with the caller's file and line. What can
--- fail in normal operation returns its failure value, then a message for people, then a code for programs.
---@class vortex
---@field ctx vortex.ctx Contexts: profiles, timers, limits, log.
---@field connection vortex.connection Sessions with a peer, and listeners.
---@field channel vortex.channel Channels: messages, replies, requests.
---@field channelpool vortex.channelpool Pools of channels of one profile.
---@field frame vortex.frame What was received.
---@field asyncqueue vortex.asyncqueue Queues between handlers and the main script.
---@field sasl vortex.sasl Authentication.
---@field tls vortex.tls Encryption.
---@field alive vortex.alive Finding out that a peer is gone.
local vortex = {}

--- Listens for connections. Never raises for an address that cannot be used: test the result with `is_ok`.
---
--- The listener is a connection with the role `"master-listener"`. It goes on until `shutdown`, `close` or the end of its
--- ctx; dropping the object does not end it.
---@param ctx vortex.Ctx An initialised ctx.
---@param host string The local address: IPv4, IPv6 or a name. `"0.0.0.0"` is every IPv4 address of this machine.
---@param port string|number The port; 0 picks a free one, which `.port` tells.
---@return vortex.Connection listener When it failed `listener.error_msg` and `listener.status` tell why.
function vortex.create_listener (ctx, host, port) end

--- Runs handlers until the wait is ended: by `vortex.unlock_listeners`, by the end of the ctx, or by a signal.
---
--- Works without any listener, too. Returns at once when the ctx is not running.
---@param ctx vortex.Ctx
---@param unlock_on_signal? any Any true value: SIGINT, SIGTERM and SIGQUIT end the wait. Afterwards the signals do what they did before.
function vortex.wait_listeners (ctx, unlock_on_signal) end

--- Ends one `vortex.wait_listeners`: the one that began last. Remembered for the next one when nobody waits.
---@param ctx vortex.Ctx
function vortex.unlock_listeners (ctx) end

--- Serves a profile: peers may open channels that run it. Registering a URI again replaces; before `ctx:init` is fine.
---@param ctx vortex.Ctx
---@param uri string The profile's URI.
---@param frame_received vortex.FrameReceivedHandler Called for each frame of a channel with this profile that has no handler of its own; also for channels which this side opened.
---@param frame_received_data? any Handed to `frame_received`.
---@param start vortex.ChannelStartHandler Decides about each channel that the peer wants to open. Without it every one is accepted.
---@param start_data? any Handed to `start`.
---@param close vortex.ChannelCloseHandler Decides when the peer wants to close a channel that has no handler of its own. Without it the close is accepted.
---@param close_data? any Handed to `close`.
function vortex.register_profile (ctx, uri, frame_received, frame_received_data, start, start_data, close, close_data) end

--- Runs waiting handlers. Returns as soon as at least one ran and none is ready, or when the time is over.
---
--- With nothing waiting it waits for the next event. In the loop `while vortex.wait_events (t) do vortex.yield () end` it
--- never hangs.
---@param us? number The longest wait in microseconds. Nil, 0 and less: no limit.
function vortex.yield (us) end

--- A file descriptor that is readable exactly while events wait for Lua. For poll, select, epoll, libuv, cqueues.
---
--- The same number each time. Do not read from it and do not close it: `vortex.yield` takes the events.
---@return integer fd
function vortex.event_fd () end

--- Waits until events wait for Lua. Runs no handler; `vortex.yield` does.
---@param us? number The longest wait in microseconds. Nil and 0: no limit. Less than 0: looks without waiting.
---@return boolean events True when events wait, false when the time is over.
function vortex.wait_events (us) end

--- New. Sets the function that is told about errors raised in handlers. Nil: they are written to standard error again.
---@param handler vortex.ErrorHandler Nil: standard error.
function vortex.set_error_handler (handler) end

--- New. Runs a function like a handler: soon, in its own coroutine, so that its blocking calls hold up nobody else.
---@param handler fun(...: any) What to run.
---@param ... any Its arguments.
function vortex.spawn (handler, ...) end

--- New. Waits, and runs handlers meanwhile.
---@param us number How long, in microseconds; 0 and less: lets ready handlers run once.
function vortex.sleep (us) end

--- New. The version of this library, such as `"0.1.0"`.
---@return string version
function vortex.version () end

--- Status: an error that has no number of its own; also: SASL or TLS failed.
vortex.status_ERROR = 1
--- Status: fine; also: SASL or TLS succeeded.
vortex.status_OK = 2
--- Status: the listener cannot have its address, for example because it is in use.
vortex.status_BIND_ERROR = 3
--- Status: the object stands for nothing any more, as a connection after `close`.
vortex.status_WRONG_REFERENCE = 4
--- Status: the host's name could not be resolved.
vortex.status_NAME_RESOLVE_ERROR = 5
--- Status: no socket could be made. A number of the older library; not given by this one.
vortex.status_SOCKET_CREATION_ERROR = 6
--- Status: a socket was refused by a check. A number of the older library; not given by this one.
vortex.status_SOCKET_SANITY_ERROR = 7
--- Status: the connection was refused, or the host cannot be reached.
vortex.status_CONNECTION_ERROR = 8
--- Status: connecting took too long; also the code of a request whose reply did not come in time.
vortex.status_CONNECTION_TIMEOUT_ERROR = 9
--- Status: the peer's greeting was an error, no greeting, or did not come in time.
vortex.status_GREETINGS_FAILURE = 10
--- Status: a document could not be read. A number of the older library; not given by this one.
vortex.status_XML_VALIDATION_ERROR = 11
--- Status: the session was closed in order; the state of the old connection after TLS, too.
vortex.status_CONNECTION_CLOSE_CALLED = 12
--- Status: the connection was shut down, or is gone.
vortex.status_CONNECTION_FORCED_CLOSE = 13
--- Status: the peer broke the protocol.
vortex.status_PROTOCOL_ERROR = 14
--- Status: the connection was turned away.
vortex.status_CONNECTION_FILTERED = 15
--- Status: a limit was reached, see `ctx:set_limits`; or there is no memory left.
vortex.status_MEMORY_FAIL = 16
--- Status: the peer left without closing the session.
vortex.status_UNNOTIFIED_CONNECTION_CLOSE = 17

--- Profile content as it stands. `conn:open_channel` takes 0 and nil for the same.
vortex.encoding_NONE = 2
--- Profile content is base64. `conn:open_channel` takes 1 for the same.
vortex.encoding_BASE64 = 3

return vortex

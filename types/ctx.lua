---@meta vortex.ctx

--- Contexts. A ctx groups connections, listeners, the profiles they serve, timers and limits. Most scripts have one.
---
--- ```lua
--- local ctx = vortex.ctx.new ()
--- assert (ctx:init ())
--- ```
---@class vortex.ctx
local ctx = {}

--- A context: see `vortex.ctx`. Two objects of one ctx are equal (`==`).
---@class vortex.Ctx : vortex.ctx
---@field log boolean Read/write. Whether the engine logs on standard error what happens to connections and channels. One switch for the whole process; default false (`VORTEX_DEBUG=1`: true).
---@field log2 boolean Read/write. Whether the engine logs every frame, too. One switch for the whole process; default false (`VORTEX_DEBUG2=1`: true).
---@field color_log boolean Read/write. Whether the log has ANSI colours. One switch for the whole process; default false (`VORTEX_DEBUG_COLOR=1`: true).
---@field features string? Read/write. New. The `features` of the greeting that connections made from now on send; nil: none.
---@field localize string? Read/write. New. The `localize` of the greeting that connections made from now on send: languages for texts, such as `"de en"`; nil: none.
---@field ref_count integer Always 1, and -1 after `exit`.

--- Makes a context. It does nothing before `init`; profiles and limits may be set before.
---@return vortex.Ctx ctx
function ctx.new () end

--- Starts a context. May be repeated.
---@param ctx vortex.Ctx
---@return boolean ok False after `exit`.
---@return string? message Why not.
function ctx.init (ctx) end

--- Ends a context: closes its connections and listeners in order, or by force when a peer takes longer than a second.
---
--- Handlers for the end of connections run; waits of `vortex.wait_listeners` end; timers stop. Runs handlers while it
--- waits. May be repeated, and called inside handlers.
---@param ctx vortex.Ctx
function ctx.exit (ctx) end

--- Does nothing: a ctx lives as long as something refers to it. Old scripts call it.
---@param ctx vortex.Ctx
function ctx.unref (ctx) end

--- Whether a value is a ctx. Never raises.
---@param value any
---@return boolean is_ctx
function ctx.check (value) end

--- Calls a handler again and again until it returns true, `remove_event` is called, or the ctx ends.
---@param ctx vortex.Ctx
---@param us number The time between the end of one call and the next, in microseconds; at least 1000.
---@param handler vortex.EventHandler
---@param data? any Handed to the handler.
---@param data2? any Handed to the handler.
---@return integer id For `remove_event`; -1 when the ctx is not running.
function ctx.new_event (ctx, us, handler, data, data2) end

--- New. Stops a timer.
---@param ctx vortex.Ctx
---@param id integer What `new_event` returned.
---@return boolean removed False when there is no such timer any more.
function ctx.remove_event (ctx, id) end

--- New. Sets limits for connections made from now on: all that are named or, when one is wrong, none.
---
--- Raises for a name that does not exist and for a number that cannot be.
---@param ctx vortex.Ctx
---@param limits vortex.Limits
function ctx.set_limits (ctx, limits) end

--- New. All limits of a ctx.
---@param ctx vortex.Ctx
---@return vortex.Limits limits
function ctx.limits (ctx) end

--- What peers can make grow, and how long they can take. Octets, messages, channels or microseconds; beyond a limit the
--- session alone is affected.
---@class (exact) vortex.Limits
---@field window_on_open? integer Octets. The receive window offered as soon as a channel is open. Default 65,536.
---@field window_max? integer Octets. The window grows up to this with use; the peer waits while so much is not consumed. Default 1,048,576.
---@field frame_max? integer Octets. Larger messages are sent in several frames. Default 32,768.
---@field header_max? integer Octets. A longer frame header ends the session. Default 128.
---@field message_max? integer Octets. A longer message ends the session. Default 134,217,728.
---@field joining_max? integer Octets. More in messages that are being joined, over all channels, ends the session. Default 268,435,456.
---@field answers_interleaved_max? integer Answers. More answers of one message arriving at the same time end the session. Default 256.
---@field messages_unanswered_max? integer Messages a channel. More MSGs of the peer without a reply end the session, and so do four times as many on all channels. Default 131,072.
---@field messages_held_max? integer Messages a channel. More messages that no handler has finished end the session. Default 1,048,576.
---@field octets_held_max? integer Octets. More in messages that no handler has finished, over all channels, ends the session. Default 536,870,912.
---@field outstanding_max? integer Messages a channel. `send_msg` fails while so many await replies. Default 131,072.
---@field send_queue_octets? integer Octets a channel. Sending fails while so much is queued. Default 268,435,456.
---@field send_queue_messages? integer Messages a channel. Sending fails while so many are queued. Default 131,072.
---@field send_queue_octets_session? integer Octets. Sending fails while so much is queued on all channels. Default 536,870,912.
---@field channels_max? integer Channels a session. A further start is refused (554). Default 10,240.
---@field management_octets? integer Octets. A longer document on channel 0 ends the session. Default 65,536.
---@field greeting_octets? integer Octets. A longer greeting ends the session. Default 4,096.
---@field xml_depth_max? integer Elements. A deeper document on channel 0 is refused (500). Default 16.
---@field xml_nodes_max? integer Nodes. A larger document on channel 0 is refused (500). Default 4,096.
---@field management_pending_max? integer Requests. The peer may send no further start or close until some are answered. Default 1,024.
---@field greeting_timeout? integer Microseconds. The connection fails; covers resolving and connecting, too. Default 60,000,000 (`VORTEX_CONNECT_TIMEOUT`).
---@field reply_timeout? integer Microseconds. A start, a close or a request fails. Default 60,000,000 (`VORTEX_SYNC_TIMEOUT`).
---@field tls_timeout? integer Microseconds for the handlers that decide about a start of TLS, and for the handshake. Default 30,000,000.
---@field authentication_timeout? integer Microseconds in which an authentication has to be complete. Default 60,000,000 (`VORTEX_SYNC_TIMEOUT`).
---@field authentication_failures_max? integer Failed authentications of the peer before none is taken any more. Default 16.
---@field release_linger? integer Microseconds. We end the connection ourselves when the peer that released the session does not. Default 10,000,000.
---@field idle_timeout? integer Microseconds. A session whose peer is silent so long ends. Default 0: never.
---@field connections_max? integer Connections a listener. One more is closed as soon as it is accepted. Default 16,384.
---@field half_open_max? integer Connections a listener. The same for connections whose greeting is not complete. Default 8,192.

return ctx

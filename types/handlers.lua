---@meta _

-- The handlers that scripts give to the library.
--
-- Each runs in its own coroutine, one at a time, in the order of the events of a connection, and may call every function
-- of this API, blocking ones included. An error in a handler is reported with a traceback, gives the safe answer, and
-- disturbs nothing else. A handler may take fewer arguments than it is given.
--
-- Those that may be left out say `|nil` here instead of `?` where they are used: EmmyLua knows the types of the arguments
-- of `function (conn, channel, frame) ... end` in a call only that way.

--- Set by `vortex.register_profile`. Decides about a channel that the peer wants to open.
---
--- Any true value accepts. Nil, false and an error refuse (421). In it `conn.server_name` is the name that the start asks for.
---
--- `channel_num` is the number of the channel, which cannot be used yet; `data` is what was set with the handler;
--- `profile_content` is what the start carries, nil if nothing, and `encoding` is `vortex.encoding_NONE` or
--- `vortex.encoding_BASE64`, nil without content.
---
--- To answer with content it returns true and the content; to refuse in other words false, a BEEP reply code and a text.
---@alias vortex.ChannelStartHandler (fun(channel_num: integer, conn: vortex.Connection, data: any, profile_content: string?, encoding: integer?): (accept: any, content_or_code: string|integer|nil, text: string?))|nil

--- Set by `vortex.register_profile`, `conn:open_channel`, `conn:channel_pool_new` and `channel:on_close_request`. Decides when
--- the peer wants to close a channel.
---
--- False and an error refuse (550). True accepts, and so does returning nothing.
---
--- `channel_num` is the number of the channel; `data` is what was set with the handler.
---@alias vortex.ChannelCloseHandler (fun(channel_num: integer, conn: vortex.Connection, data: any): (accept: boolean?))|nil

--- Set by `conn:open_channel`. Told once how an open went that did not wait.
---
--- `number` is the channel's number, -1 on failure; `channel` is nil on failure (`conn:pop_channel_error` tells why); `data`
--- is what was set with the handler.
---@alias vortex.OnChannelHandler (fun(number: integer, channel: vortex.Channel?, conn: vortex.Connection, data: any))|nil

--- Set by `vortex.register_profile`, `conn:open_channel`, `conn:channel_pool_new` and `channel:set_frame_received`. Called for
--- each frame that arrives.
---
--- A `frame` of type MSG is answered with `channel:send_rpy` or its like, now or later; `data` is what was set with the
--- handler.
---@alias vortex.FrameReceivedHandler (fun(conn: vortex.Connection, channel: vortex.Channel, frame: vortex.Frame, data: any))|nil

--- Set by `conn:set_on_close`. Called when a connection has ended, in whatever way.
---
--- `conn` is not usable any more but can be asked for its attributes; `data` is what was set with the handler.
---@alias vortex.ConnectionCloseHandler fun(conn: vortex.Connection, data: any)

--- Set by `vortex.sasl.start_auth`. Told how the authentication went.
---
--- `status` is 2 (`vortex.status_OK`) when authenticated and 1 (`vortex.status_ERROR`) when not; `status_msg` says what
--- happened; `data` is what was set with the handler.
---@alias vortex.AuthNotifyHandler (fun(conn: vortex.Connection, status: integer, status_msg: string, data: any))|nil

--- Set by `vortex.sasl.accept_mech`. Decides whether the peer is who it says; it may block, for example to look into a data base.
---
--- PLAIN, ANONYMOUS, EXTERNAL: true accepts, and nothing else. For PLAIN it may also set `auth_props.return_password` to true
--- and return the right password, which is then compared. CRAM-MD5, DIGEST-MD5, SCRAM: it returns the right password,
--- and for SCRAM alternatively a table of stored keys. Everything else, and an error, refuses.
---
--- `auth_props` tells about the request; `user_data` is what was set with the handler.
---@alias vortex.AuthHandler fun(conn: vortex.Connection, auth_props: vortex.AuthProps, user_data: any): (answer: boolean|string|vortex.ScramKeys|nil)

--- Set by `vortex.tls.start_tls`. Told how it went.
---
--- `conn` is the connection to use from now on; `status` is 2 (`vortex.status_OK`) when it is encrypted and 1
--- (`vortex.status_ERROR`) when not; `status_msg` says what happened; `data` is what was set with the handler.
---@alias vortex.TlsNotifyHandler (fun(conn: vortex.Connection, status: integer, status_msg: string, data: any))|nil

--- Set by `vortex.tls.accept_tls`. Decides about a request for TLS: true accepts, and nothing else.
---
--- `server_name` is the name that the peer asks for, nil if none; `data` is what was set with the handler.
---@alias vortex.TlsAcceptHandler (fun(conn: vortex.Connection, server_name: string?, data: any): (accept: boolean?))|nil

--- Set by `vortex.tls.accept_tls`. Tells the certificate, with the chain behind it: a path or PEM text.
---
--- Nil, an error and a file that cannot be read refuse TLS (421). `server_name` is the name that the peer asks for, nil if
--- none; `data` is what was set with the handler.
---@alias vortex.TlsCertHandler (fun(conn: vortex.Connection, server_name: string?, data: any): (cert: string?))|nil

--- Set by `vortex.tls.accept_tls`. Tells the private key of the certificate: a path or PEM text.
---
--- Nil, an error and a file that cannot be read refuse TLS (421). `server_name` is the name that the peer asks for, nil if
--- none; `data` is what was set with the handler.
---@alias vortex.TlsKeyHandler (fun(conn: vortex.Connection, server_name: string?, data: any): (key: string?))|nil

--- Set by `conn:channel_pool_new`. Opens a channel for a pool: it returns what `conn:open_channel (channel_num, profile)` does.
---
--- `channel_num` is always 0, the next free one; `received` to `close_data` and `user_data` are what was given to
--- `channel_pool_new`; `next_data` is what was given to `pool:next_ready`, nil at the beginning.
---@alias vortex.ChannelCreateHandler (fun(conn: vortex.Connection, channel_num: integer, profile: string, received: vortex.FrameReceivedHandler, received_data: any, close: vortex.ChannelCloseHandler, close_data: any, user_data: any, next_data: any): (channel: vortex.Channel?, message: string?, code: integer?))|nil

--- Set by `conn:channel_pool_new`. Told when the pool has its first channels.
---
--- `pool` is nil when the connection was not usable; `data` is what was set with the handler.
---@alias vortex.PoolCreatedHandler (fun(pool: vortex.ChannelPool?, data: any))|nil

--- Set by `ctx:new_event`. Called again and again: true ends that, everything else, and an error, does not.
---
--- `data` and `data2` are what was set with the handler.
---@alias vortex.EventHandler fun(ctx: vortex.Ctx, data: any, data2: any): (finished: any)

--- Set by `vortex.alive.enable_check`. Called once when the peer is gone; the connection is left as it is.
---
--- `check_period` is the configured time in microseconds; `unreply_count` tells how many checks had no answer; `data` is
--- what was set with the handler.
---@alias vortex.AliveFailureHandler (fun(conn: vortex.Connection, check_period: number, unreply_count: integer, data: any))|nil

--- Set by `vortex.set_error_handler`. Told about each error in a handler.
---
--- `message` is what was raised, as a string; `traceback` begins with it; `handler_name` says which handler it was:
--- `"frame received"`, `"channel start"`, `"channel close"`, `"on channel"`, `"connection close"`, `"pool create"`,
--- `"pool created"`, `"timer"`, `"spawn"`, ...
---@alias vortex.ErrorHandler (fun(message: string, traceback: string, handler_name: string))|nil

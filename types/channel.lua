---@meta vortex.channel

--- Channels: messages, replies, requests. A channel comes from `conn:open_channel`, from a pool, or with a handler.
---
--- ```lua
--- local channel = assert (conn:open_channel (0, "urn:example:echo"))
--- local frame = assert (channel:request ("hello"))
--- print (frame.payload)
--- ```
---@class vortex.channel
local channel = {}

--- A channel: see `vortex.channel`. Two objects of one channel are equal (`==`).
---
--- A channel that is referenced keeps its connection alive. From Lua 5.4 on `local channel <close> = ...` closes it at
--- the end of the block.
---@class vortex.Channel : vortex.channel
---@field number integer Its number on the connection; -1 once closed.
---@field profile string The URI of its profile. (Nil once closed.)
---@field is_ready boolean Whether it is open and awaits no reply. False once the channel or its connection is gone.
---@field conn vortex.Connection Its connection.
---@field automatic_mime boolean Read/write. New. Whether an empty header line is put in front of what is sent. False: content is sent as it is, and the script writes the MIME headers. Default true.
---@field ref_count integer A detail of the engine.

--- Sends a message. Does not wait: the reply comes to the frame handler. `request` waits for it instead.
---@param channel vortex.Channel
---@param content string
---@param size? integer How many octets of `content` to send. Default, and -1: all.
---@return integer? msg_no The message's number: 0, 1, 2, ... Nil on failure.
---@return string? message Why it was not sent.
---@return integer? code A `vortex.status_...` number: 13 the channel is gone, 16 a limit was reached.
function channel.send_msg (channel, content, size) end

--- Answers a message of the peer with a reply.
---@param channel vortex.Channel
---@param content string
---@param size? integer How many octets of `content` to send. Nil, and -1: all.
---@param msg_no integer The number of the message that is answered: `frame.msg_no`.
---@return boolean sent False on failure, also when that message awaits no reply.
---@return string? message Why it was not sent.
---@return integer? code A `vortex.status_...` number.
function channel.send_rpy (channel, content, size, msg_no) end

--- Answers a message of the peer with an error.
---@param channel vortex.Channel
---@param content string
---@param size? integer How many octets of `content` to send. Nil, and -1: all.
---@param msg_no integer The number of the message that is answered: `frame.msg_no`.
---@return boolean sent False on failure, also when that message awaits no reply.
---@return string? message Why it was not sent.
---@return integer? code A `vortex.status_...` number.
function channel.send_err (channel, content, size, msg_no) end

--- Answers a message of the peer with one answer of a series. `finalize_ans` ends the series.
---@param channel vortex.Channel
---@param content string
---@param size? integer How many octets of `content` to send. Nil, and -1: all.
---@param msg_no integer The number of the message that is answered: `frame.msg_no`.
---@return boolean sent False on failure, also when that message awaits no reply.
---@return string? message Why it was not sent.
---@return integer? code A `vortex.status_...` number.
function channel.send_ans (channel, content, size, msg_no) end

--- Ends the series of answers to a message of the peer: sends the NUL.
---@param channel vortex.Channel
---@param msg_no integer The number of the message that was answered: `frame.msg_no`.
---@return boolean sent False on failure, also when that message awaits no reply.
---@return string? message Why it was not sent.
---@return integer? code A `vortex.status_...` number.
function channel.finalize_ans (channel, msg_no) end

--- Sets the frame handler of a channel. It comes before the one registered for the profile.
---@param channel vortex.Channel
---@param handler vortex.FrameReceivedHandler Nil removes the handler.
---@param data? any Handed to the handler.
function channel.set_frame_received (channel, handler, data) end

--- Whether the next frame of a channel waits until the handler of the last one has finished, blocking calls included.
--- Default false. Frames are handed over in wire order either way.
---
--- The same as a write attribute: `channel.set_serialize = true`.
---@param channel vortex.Channel
---@param serialize boolean
function channel.set_serialize (channel, serialize) end

--- Closes a channel. Waits for the replies that are owed and for the peer's consent, within the limit `reply_timeout`, and
--- runs handlers meanwhile.
---@param channel vortex.Channel
---@return boolean closed False on failure: the channel can be used on.
---@return string? message The peer's reason.
---@return integer? code 550 when the peer refused, or a `vortex.status_...` number.
function channel.close (channel) end

--- Whether a value is a channel, open or not. Never raises.
---@param value any
---@return boolean is_channel
function channel.check (value) end

--- New. Sends a message and waits for its reply, which no frame handler gets. Runs handlers meanwhile.
---
--- An ERR is a reply: test `frame.type`. Of a series of answers the first is returned and the others are dropped; see
--- `answers`.
---@param channel vortex.Channel
---@param content string
---@param us? number The longest wait in microseconds. Default: the limit `reply_timeout` of the ctx.
---@return vortex.Frame? frame The reply. Nil on failure.
---@return string? message Why there is no reply.
---@return integer? code A `vortex.status_...` number: 9 no reply in time, 13 the channel is gone.
function channel.request (channel, content, us) end

--- New. Sends a message and returns an iterator over the answers to it, which no frame handler gets.
---
--- ```lua
--- for frame in assert (channel:answers ("list")) do
---    print (frame.payload)
--- end
--- ```
---
--- A RPY or ERR comes as the one frame it is. The iterator waits for the next answer and runs handlers meanwhile; it ends
--- with nil, and a message and a code when the answers stopped early. On stock Lua 5.1 a handler that waits in such a `for` holds
--- up what waited before it; one that calls the iterator itself, in a `while`, does not.
---@param channel vortex.Channel
---@param content string
---@param us? number The longest wait for each answer in microseconds. Default: the limit `reply_timeout` of the ctx.
---@return (fun(): vortex.Frame?, string?, integer?)? iterator Nil when the message was not sent.
---@return string? message Why it was not sent.
---@return integer? code A `vortex.status_...` number.
function channel.answers (channel, content, us) end

--- New. Whether the frames of a message are joined before the handler gets it. Default true. False: every frame is handed
--- over as it arrives; `frame.more_flag` tells whether more follow.
---@param channel vortex.Channel
---@param complete boolean
function channel.set_complete_flag (channel, complete) end

--- New. Sets the handler that decides when the peer wants to close a channel. It comes before the one registered for the
--- profile.
---@param channel vortex.Channel
---@param handler vortex.ChannelCloseHandler Nil removes the handler.
---@param data? any Handed to the handler.
function channel.on_close_request (channel, handler, data) end

--- New. What was sent and is not on the wire yet.
---@param channel vortex.Channel
---@return integer octets 0 also when the channel is gone.
function channel.pending (channel) end

return channel

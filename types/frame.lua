---@meta vortex.frame

--- What was received: a whole message or, after `channel:set_complete_flag (false)`, a part of one.
---@class vortex.frame
local frame = {}

--- What kind of message: `"MSG"` asks; `"RPY"` and `"ERR"` answer; `"ANS"` is one answer of a series, `"NUL"` its end.
---@alias vortex.FrameType "MSG"|"RPY"|"ERR"|"ANS"|"NUL"

--- A frame: see `vortex.frame`. It stays readable after its channel and connection are gone.
---@class vortex.Frame : vortex.frame
---@field type vortex.FrameType What kind of message it is.
---@field msgno integer The message number: what `send_rpy` and its like want back.
---@field msg_no integer The same as `msgno`.
---@field seqno integer The sequence number of its first octet.
---@field seq_no integer The same as `seqno`.
---@field ansno integer The number of an answer within its series; 0 when it is no ANS.
---@field ans_no integer The same as `ansno`.
---@field more_flag boolean Whether more of the message follows. False unless `channel:set_complete_flag (false)` was called.
---@field payload string The octets without the MIME headers.
---@field payload_size integer The length of `payload`.
---@field content string The octets as received, MIME headers included.
---@field content_size integer The length of `content`.
---@field content_type string? New. The value of the header Content-Type; nil when there is none.
---@field id integer A number of its own, for telling frames apart.
---@field ref_count integer Always 1.

--- Whether a value is a frame. Never raises.
---@param value any
---@return boolean is_frame
function frame.check (value) end

--- New. The value of a MIME header.
---@param frame vortex.Frame
---@param name string In any case.
---@return string? value Nil when the frame has no such header.
function frame.header (frame, name) end

return frame

-- Fetching a file, with progress.
--
-- One question ("get NAME") has many answers: the first tells the size, the others carry
-- the octets. The listener waits while the client is slow, so that neither side ever has
-- the whole file in memory.
--
-- Run it with:  luavortex file_transfer.lua                          serves and fetches a file of its own
--               luavortex file_transfer.lua serve DIRECTORY [PORT]   until Ctrl-C
--               luavortex file_transfer.lua get HOST PORT NAME       into the current directory
--
-- expect: fetching 8388608 octets
-- expect: 75 %
-- expect: 100 %
-- expect: received 8388608 octets
-- expect: the same as what was sent: true
-- expect: refused: there is no file ../secret

local vortex = require "vortex"

local FILES = "urn:example:files"
local PIECE = 65536
local QUEUED_MAX = 16 * PIECE

io.stdout:setvbuf "line"
local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")

-- The listener's side: sends the file `name` of `directory` as the answers to a message.
local function send_file (channel, msg_no, directory, name)
   -- a name, and no way out of the directory
   local file = name:match "^[%w_-][%w._-]*$" and io.open (directory .. "/" .. name, "rb")
   local size = file and file:seek "end"
   if not file or not size then
      return channel:send_err ("there is no file " .. name, -1, msg_no)
   end
   file:seek "set"
   local piece, sent = tostring (size), true
   while piece and sent do -- nothing is sent any more when the client is gone
      sent = channel:send_ans (piece, -1, msg_no)
      -- send_ans does not wait; whoever sends much looks how much is not on the wire yet
      while channel:pending () > QUEUED_MAX do vortex.sleep (2000) end
      piece = file:read (PIECE)
   end
   channel:finalize_ans (msg_no)
   file:close ()
end

local function serve (directory, host, port)
   vortex.register_profile (ctx, FILES, function (_, channel, frame)
      send_file (channel, frame.msg_no, directory, frame.payload:match "^get (.*)$" or "")
   end)
   local listener = vortex.create_listener (ctx, host, port)
   assert (listener:is_ok (), listener.error_msg)
   return listener
end

-- Each quarter on a line of its own; for a terminal each percent behind a "\r" looks better.
local told = 0
local function progress (received, size)
   while told < math.floor (received * 4 / size) do
      told = told + 1
      print (told * 25 .. " %")
   end
end

-- The client's side: true, or nil and why not. `write` takes each piece.
---@param write fun(piece: string)
local function fetch (channel, name, write)
   local received, size = 0, nil
   for frame in assert (channel:answers ("get " .. name)) do
      if frame.type == "ERR" then
         return nil, frame.payload
      elseif not size then
         size = assert (tonumber (frame.payload))
         print ("fetching " .. size .. " octets")
      else
         write (frame.payload)
         received = received + frame.payload_size
         progress (received, size)
      end
   end
   -- the answers end early when the connection does
   if received ~= size then
      return nil, "not all of it came"
   end
   print ("received " .. received .. " octets")
   return true
end

local function connect (host, port)
   local conn = vortex.connection.new (ctx, host, port)
   assert (conn:is_ok (), conn.error_msg)
   return assert (conn:open_channel (0, FILES))
end

if arg and arg[1] == "serve" then
   print ("serving on port " .. serve (arg[2], "0.0.0.0", arg[3] or "0").port)
   vortex.wait_listeners (ctx, true)
elseif arg and arg[1] == "get" then
   local name = assert (arg[4], "the name of a file is missing")
   local file = assert (io.open (name, "wb"))
   assert (fetch (connect (arg[2], arg[3]), name, function (piece) assert (file:write (piece)) end))
   file:close ()
else
   local path = os.tmpname ()
   local directory, name = assert (path:match "^(.*)/([^/]*)$")
   local content = string.rep (string.char (0, 1, 2, 3, 10, 13, 254, 255), 1024 * 1024)
   local file = assert (io.open (path, "wb"))
   file:write (content)
   file:close ()
   local channel = connect ("127.0.0.1", serve (directory, "127.0.0.1", "0").port)
   local pieces = {}
   assert (fetch (channel, name, function (piece) pieces[#pieces + 1] = piece end))
   print ("the same as what was sent: " .. tostring (table.concat (pieces) == content))
   print ("refused: " .. select (2, fetch (channel, "../secret", print)))
   os.remove (path)
end
ctx:exit ()

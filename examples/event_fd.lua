-- A BEEP client inside an event loop that belongs to somebody else.
--
-- vortex.event_fd gives a descriptor that is readable exactly while handlers wait
-- to be run: put it beside your other descriptors into poll, select, epoll, libuv
-- or the like, and call vortex.yield when it is readable. With luaposix this script
-- uses its poll, with LuaJIT poll(2) itself; a Lua that has neither waits in
-- vortex.wait_events instead. The book has libuv and cqueues.
--
-- Run it with:  lua event_fd.lua
--
-- expect: connected
-- expect: sent 3 messages
-- expect: handler: reply to one
-- expect: handler: reply to two
-- expect: handler: reply to three
-- expect: the loop is over

local vortex = require "vortex"

local PROFILE = "urn:example:slow-reply"

local wait

local has_posix, posix = pcall (require, "posix.poll")
local has_ffi, ffi = pcall (require, "ffi")
if has_posix then
   local entries = { [vortex.event_fd ()] = { events = { IN = true } } }
   function wait (milliseconds)
      return posix.poll (entries, milliseconds) > 0
   end
elseif has_ffi then
   ffi.cdef [[
      struct example_pollfd { int fd; short events; short revents; };
      int poll (struct example_pollfd *fds, unsigned long nfds, int timeout);
   ]]
   local POLLIN = 1
   local entries = ffi.new ("struct example_pollfd[1]")
   entries[0].fd, entries[0].events = vortex.event_fd (), POLLIN
   -- true as soon as handlers wait, false after so many milliseconds
   function wait (milliseconds)
      return ffi.C.poll (entries, 1, milliseconds) > 0
   end
else
   function wait (milliseconds)
      return vortex.wait_events (milliseconds * 1000)
   end
end

local ctx = vortex.ctx.new ()
assert (ctx:init (), "the ctx did not start")
vortex.register_profile (ctx, PROFILE, function (conn, channel, frame)
   if frame.type == "MSG" then
      vortex.sleep (5000)
      channel:send_rpy ("reply to " .. frame.payload, -1, frame.msgno)
   end
end)
local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
assert (listener:is_ok (), listener.error_msg)
local conn = vortex.connection.new (ctx, "127.0.0.1", listener.port)
assert (conn:is_ok (), conn.error_msg)
print "connected"

local missing = 3
local channel = assert (conn:open_channel (0, PROFILE, function (conn, channel, frame)
   print ("handler: " .. frame.payload)
   missing = missing - 1
end))
for _, text in ipairs { "one", "two", "three" } do
   channel:send_msg (text)
end
print "sent 3 messages"

-- the loop: wait for anything to do, do it, and go on
local idle = 0
while missing > 0 do
   if wait (1000) then
      -- runs the handlers that wait, and returns
      vortex.yield (1000)
   else
      idle = idle + 1
      assert (idle < 30, "no reply in half a minute")
   end
end
print "the loop is over"

assert (conn:close ())
ctx:exit ()

//! The scripts that the peers talk to.

use crate::support::{Outcome, Running, luavortex};

use nix::sys::signal::Signal::SIGTERM;

/// What every script begins with.
///
/// `watch` tells of the end of a connection, under its server name, and `finish` how often each end was told of.
const PRELUDE: &str = r#"
local vortex = require "vortex"
io.stdout:setvbuf "no"
local ECHO = "urn:test:echo"
local ctx = vortex.ctx.new ()
assert (ctx:init ())

local ends = {}
local function watch (conn, name)
   if conn:get_data "watched" then return end
   conn:set_data ("watched", true)
   conn:set_on_close (function (conn)
      ends[name] = (ends[name] or 0) + 1
      print ("end of " .. name .. ": " .. conn.status .. " " .. conn.error_msg)
   end)
end

local function echo (conn, channel, frame)
   if frame.type == "MSG" then
      channel:send_rpy (frame.payload, -1, frame.msgno)
   end
end

local function serve (uri, handler)
   vortex.register_profile (ctx, uri, handler, nil, function (number, conn)
      watch (conn, conn.server_name or "nobody")
      return true
   end)
end

local function listen ()
   serve (ECHO, echo)
   local listener = vortex.create_listener (ctx, "127.0.0.1", "0")
   assert (listener:is_ok (), listener.error_msg)
   print ("port " .. listener.port)
end

local function finish ()
   ctx:exit ()
   for name, count in pairs (ends) do
      print (name .. " ended " .. count .. " times")
   end
   print "finished"
end
"#;

/// A script that runs.
pub(crate) fn start(code: &str) -> Running {
    start_with(code, &[])
}

/// A script that runs with these environment variables.
pub(crate) fn start_with(code: &str, environment: &[(&str, &str)]) -> Running {
    let mut command = luavortex(["-e", &format!("{PRELUDE}\n{code}")]);
    Running::start(command.envs(environment.iter().copied()))
}

/// A script that runs, and the port that it listens on.
#[track_caller]
pub(crate) fn start_listener(code: &str) -> (Running, u16) {
    let mut running = start(code);
    let port = port_of(&mut running);
    (running, port)
}

#[track_caller]
pub(crate) fn port_of(running: &mut Running) -> u16 {
    running.wait_for(|line| line.strip_prefix("port ")?.parse().ok())
}

/// A listener that serves the echo profile after this code was run, and waits for SIGTERM by now.
#[track_caller]
pub(crate) fn echo_listener(code: &str) -> (Running, u16) {
    let (mut running, port) = start_listener(&format!(
        "{code}
         listen ()
         ctx:new_event (1, function () print 'waiting' return true end)
         vortex.wait_listeners (ctx, true)
         finish ()"
    ));
    running.wait_for_line("waiting");
    (running, port)
}

/// Ends an `echo_listener`, which has to end well.
#[track_caller]
pub(crate) fn stop(running: Running) -> Outcome {
    running.signal(SIGTERM);
    check(running)
}

/// The script ends well by itself, and nothing was raised in a handler.
#[track_caller]
pub(crate) fn check(running: Running) -> Outcome {
    let outcome = running.finish().expect_code(0);
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    assert!(outcome.stdout.ends_with("finished\n"), "{outcome:?}");
    outcome
}

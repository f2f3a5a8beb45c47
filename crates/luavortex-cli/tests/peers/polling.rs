//! A script that waits in poll(2), with the descriptor of `vortex.event_fd`.

use crate::by_hand::{CHANNEL, Peer};
use crate::scripts::{check, port_of, start};

/// `poll (ms)`: whether the descriptor is readable within that time.
const POLL: &str = r#"
local ffi = require "ffi"
ffi.cdef [[
   struct test_pollfd { int fd; short events; short revents; };
   int poll (struct test_pollfd *fds, unsigned long nfds, int timeout);
]]
local entries = ffi.new ("struct test_pollfd[1]")
entries[0].fd, entries[0].events = vortex.event_fd (), 1
local function poll (ms) return ffi.C.poll (entries, 1, ms) > 0 end

-- Runs handlers until the descriptor is not readable any more.
local function settle ()
   repeat
      while poll (0) do vortex.yield (1000) end
   until not vortex.wait_events (-1)
   assert (not poll (0))
end
"#;

#[test]
#[cfg_attr(not(feature = "luajit"), ignore = "poll needs LuaJIT's ffi")]
fn the_descriptor_wakes_a_script_that_sits_in_poll() {
    let mut running = start(&format!(
        "{POLL}
         local got = 0
         serve ('urn:test:count', function (conn, channel, frame)
            got = got + 1
            channel:send_rpy (tostring (got), -1, frame.msgno)
         end)
         listen ()
         settle ()
         print 'quiet'
         -- the greetings and the start need no handler but the last one
         while got == 0 do
            assert (poll (60000))
            settle ()
         end
         for round = 2, 20 do
            assert (not poll (0))
            print ('round ' .. round)
            assert (poll (60000), 'not woken')
            assert (poll (0), 'still readable until the handlers have run')
            settle ()
            assert (got == round, got)
         end
         finish ()"
    ));
    let port = port_of(&mut running);
    running.wait_for_line("quiet");
    running.wait_until_asleep();
    // The keeper serves those who come while Lua sits in a call that is not ours.
    let mut peer = Peer::greeted(port);
    let start = format!("<start number='{CHANNEL}'><profile uri='urn:test:count' /></start>");
    assert!(peer.ask(&start).header.starts_with("RPY"));
    peer.send(&format!("MSG {CHANNEL} 0 ."), "\r\n");
    assert_eq!(peer.expect(&format!("RPY {CHANNEL} 0")).text(), "\r\n1");
    for round in 2..=20 {
        running.wait_for_line(&format!("round {round}"));
        if round % 2 == 0 {
            running.wait_until_asleep();
        }
        peer.send(&format!("MSG {CHANNEL} {} .", round - 1), "\r\n");
        let reply = peer.expect(&format!("RPY {CHANNEL} {}", round - 1));
        assert_eq!(reply.text(), format!("\r\n{round}"));
    }
    drop(peer);
    check(running);
}

#[test]
#[cfg_attr(not(feature = "luajit"), ignore = "poll needs LuaJIT's ffi")]
fn the_descriptor_tells_of_a_peer_that_vanishes() {
    let mut running = start(&format!(
        "{POLL}
         listen ()
         while not next (ends) do
            assert (poll (60000), 'not woken')
            settle ()
         end
         finish ()"
    ));
    let peer = Peer::honest(port_of(&mut running), "peer");
    running.wait_until_asleep();
    peer.reset();
    running.wait_for_text("end of peer: 17 ");
    let outcome = check(running);
    assert!(outcome.stdout.contains("peer ended 1 times"), "{outcome:?}");
}

//! Scripts that fail in every handler, and processes that are stopped or killed on either side.

use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP, SIGTERM};
use std::time::Instant;

use crate::by_hand::{CHANNEL, Peer};
use crate::scripts::{echo_listener, start, stop};
use crate::support::{LIMIT, Running};

/// A client that asks again and again, and tells of each answer.
const CLIENT: &str = r#"
local conn = vortex.connection.new (ctx, "127.0.0.1", PORT, "client")
assert (conn:is_ok (), conn.error_msg)
watch (conn, "session")
local channel = assert (conn:open_channel (0, ECHO))
print "asking"
repeat local frame = channel:request "again" until not frame
finish ()
"#;

fn client(port: u16) -> Running {
    let mut client = start(&CLIENT.replace("PORT", &port.to_string()));
    client.wait_for_line("asking");
    client
}

/// A signal takes its time to all threads.
#[track_caller]
fn wait_until_stopped(process: u32) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // The state stands behind the name in parentheses.
        if stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
        {
            return;
        }
        assert!(Instant::now() < deadline, "the process does not stop");
        std::thread::yield_now();
    }
}

#[test]
fn a_script_with_an_error_in_every_handler_keeps_serving() {
    let (mut running, port) = echo_listener(
        r#"
        local wrong = "urn:test:wrong"
        local function fail (what) return function () error ("failed in " .. what) end end
        vortex.set_error_handler (function (message) print ("reported " .. message:match "failed in (.*)") error "and again" end)
        vortex.register_profile (ctx, wrong, fail "frame", nil, function (number, conn)
           conn:set_on_close (fail "end")
           return true
        end, nil, fail "close")
        vortex.register_profile (ctx, wrong .. ":start", fail "frame", nil, fail "start")
        ctx:new_event (1000, fail "timer")
        "#,
    );
    let mut honest = Peer::honest(port, "honest");
    for round in 0..20 {
        let mut peer = Peer::greeted(port);
        let start = |uri: &str| format!("<start number='1'><profile uri='{uri}' /></start>");
        let denied = peer.ask(&start("urn:test:wrong:start"));
        assert_eq!(denied.error_code(), 421, "{denied:?}");
        let granted = peer.ask(&start("urn:test:wrong"));
        assert!(granted.header.starts_with("RPY"), "{granted:?}");
        let refused = peer.ask("<close number='1' code='200' />");
        assert_eq!(refused.error_code(), 550, "{refused:?}");
        peer.send(&format!("MSG {CHANNEL} 0 ."), "\r\nanything");
        peer.barrier();
        drop(peer);
        honest.exchange(&format!("still here in round {round}"));
    }
    for what in ["start", "close", "frame", "end", "timer"] {
        running.wait_for_line(&format!("reported {what}"));
    }
    honest.release();
    running.signal(SIGTERM);
    let outcome = running.finish().expect_code(0);
    assert!(outcome.stdout.ends_with("finished\n"), "{outcome:?}");
    let reports = |what: &str| {
        outcome
            .stdout
            .matches(&format!("reported {what}\n"))
            .count()
    };
    for what in ["start", "close", "frame", "end"] {
        assert_eq!(reports(what), 20, "{what}: {outcome:?}");
    }
}

#[test]
fn a_killed_client_is_reported_once_and_the_listener_goes_on() {
    let (mut running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    for signal in [SIGKILL, SIGTERM, SIGKILL] {
        let client = client(port);
        client.signal(signal);
        drop(client.finish());
        honest.exchange("still here");
    }
    running.wait_for(|line| line.starts_with("end of client").then_some(()));
    honest.release();
    let outcome = stop(running);
    assert!(
        outcome.stdout.contains("client ended 3 times"),
        "{outcome:?}"
    );
}

#[test]
fn a_killed_listener_is_reported_once_to_its_clients() {
    let (running, port) = echo_listener("");
    let client = client(port);
    running.signal(SIGKILL);
    drop(running.finish());
    let outcome = client.finish().expect_code(0);
    assert!(
        outcome.stdout.contains("session ended 1 times"),
        "{outcome:?}"
    );
}

#[test]
fn a_stopped_process_loses_nothing() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "peer");
    let mut waiting = client(port);
    for process in [&running, &waiting] {
        process.signal(SIGSTOP);
        wait_until_stopped(process.id());
    }
    for msgno in 0..20 {
        peer.send(&format!("MSG {CHANNEL} {msgno} ."), "\r\nhello");
    }
    for process in [&running, &waiting] {
        process.signal(SIGCONT);
    }
    for msgno in 0..20 {
        assert_eq!(
            peer.expect(&format!("RPY {CHANNEL} {msgno}")).text(),
            "\r\nhello"
        );
    }
    // The other session goes on as well, until its listener leaves.
    peer.ask("<close number='0' code='200' />");
    drop(peer);
    running.signal(SIGTERM);
    waiting.wait_for(|line| line.starts_with("end of session").then_some(()));
    let outcome = waiting.finish().expect_code(0);
    assert!(
        outcome.stdout.contains("session ended 1 times"),
        "{outcome:?}"
    );
    running.finish().expect_code(0);
}

//! Signals, with a session open.

use nix::sys::signal::Signal::{self, SIGINT, SIGQUIT, SIGTERM};
use std::os::unix::process::ExitStatusExt;

use crate::by_hand::{HEADERS, Peer};
use crate::scripts::{check, port_of, start, start_listener};
use crate::support::Running;

/// A listener that waits for a signal, and says when it does.
const WAIT: &str = r#"
listen ()
ctx:new_event (1000, function () print "waiting" return true end)
vortex.wait_listeners (ctx, true)
print "signalled"
"#;

fn start_waiting(rest: &str) -> (Running, u16) {
    let (mut running, port) = start_listener(&format!("{WAIT}\n{rest}"));
    running.wait_for_line("waiting");
    (running, port)
}

#[test]
fn each_signal_ends_the_wait_and_the_script_goes_on() {
    for signal in [SIGINT, SIGTERM, SIGQUIT] {
        let (mut running, port) = start_waiting("finish ()");
        let mut peer = Peer::honest(port, "peer");
        peer.exchange("hello");
        running.signal(signal);
        running.wait_for_line("signalled");
        // The end of the context asks the peer.
        let close = peer.frame();
        assert!(close.text().contains("<close number='0'"), "{close:?}");
        peer.send(
            &format!("RPY 0 {} .", close.number(2)),
            &format!("{HEADERS}<ok />"),
        );
        peer.expect_end();
        let outcome = check(running);
        assert!(outcome.stdout.contains("peer ended 1 times"), "{outcome:?}");
    }
}

#[test]
fn one_wait_after_the_other_can_be_ended_by_signals() {
    let mut running = start(
        "listen ()
         for round = 1, 6 do
            ctx:new_event (1000, function () print ('round ' .. round) return true end)
            vortex.wait_listeners (ctx, true)
         end
         finish ()",
    );
    let port = port_of(&mut running);
    let mut peer = Peer::honest(port, "peer");
    for (index, signal) in [SIGINT, SIGTERM, SIGQUIT, SIGINT, SIGTERM, SIGQUIT]
        .into_iter()
        .enumerate()
    {
        running.wait_for_line(&format!("round {}", index + 1));
        peer.exchange("hello");
        running.signal(signal);
    }
    let close = peer.frame();
    assert!(close.text().contains("<close number='0'"), "{close:?}");
    peer.send(
        &format!("RPY 0 {} .", close.number(2)),
        &format!("{HEADERS}<ok />"),
    );
    check(running);
}

#[test]
fn after_the_wait_a_signal_means_what_it_meant_before() {
    for (first, second) in [(SIGTERM, SIGTERM), (SIGINT, SIGTERM), (SIGQUIT, SIGTERM)] {
        let (mut running, _) = start_waiting("print 'after' vortex.sleep (60e6) print 'too far'");
        running.signal(first);
        running.wait_for_line("after");
        running.wait_until_asleep();
        running.signal(second);
        let outcome = running.finish();
        assert_eq!(outcome.status.signal(), Some(second as i32), "{outcome:?}");
        assert!(!outcome.stdout.contains("too far"), "{outcome:?}");
    }
}

#[track_caller]
fn check_interrupted(running: Running) {
    let outcome = running.finish().expect_code(1);
    assert!(
        outcome.stderr.starts_with("luavortex: interrupted!\n"),
        "{outcome:?}"
    );
    assert!(!outcome.stdout.contains("too far"), "{outcome:?}");
}

#[test]
fn after_the_wait_ctrl_c_interrupts_again() {
    for first in [SIGINT, SIGTERM] {
        let (mut running, port) =
            start_waiting("print 'after' vortex.sleep (60e6) print 'too far'");
        let mut peer = Peer::honest(port, "peer");
        running.signal(first);
        running.wait_for_line("after");
        running.wait_until_asleep();
        // It still serves: the sleep lets handlers run.
        peer.exchange("hello");
        running.wait_until_asleep();
        running.signal(SIGINT);
        check_interrupted(running);
    }
}

#[test]
fn ctrl_c_interrupts_a_script_that_waits_for_its_peer() {
    let waits: [&str; 5] = [
        "vortex.asyncqueue.new ():pop ()",
        "vortex.asyncqueue.new ():timedpop (60e6)",
        "vortex.wait_listeners (ctx)",
        "vortex.yield (60e6)",
        "vortex.wait_events (60e6)",
    ];
    for wait in waits {
        let (mut running, port) = start_listener(&format!("listen () {wait} print 'too far'"));
        // An event ends the last two by itself.
        let peer = (!wait.contains("60e6)") || wait.contains("pop")).then(|| Peer::greeted(port));
        running.wait_until_asleep();
        running.signal(SIGINT);
        check_interrupted(running);
        drop(peer);
    }
}

#[test]
fn a_signal_that_is_not_waited_for_ends_the_script() {
    // Not SIGHUP: what runs the tests may have it ignored, and that is inherited.
    let signals: [Signal; 2] = [SIGTERM, Signal::SIGUSR1];
    for signal in signals {
        let (running, port) = start_listener("listen () vortex.wait_listeners (ctx)");
        let mut peer = Peer::honest(port, "peer");
        peer.exchange("hello");
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.status.signal(), Some(signal as i32), "{outcome:?}");
        peer.expect_end();
    }
}

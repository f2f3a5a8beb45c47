//! What a peer can make grow has its limit, and reaching it concerns its session alone.

use std::process::Command;

use crate::by_hand::{CHANNEL, HEADERS, Peer};
use crate::scripts::{echo_listener, stop};
use crate::support::Running;

#[track_caller]
fn check_limit(running: &mut Running, name: &str, limit: &str) {
    let head = format!("end of {name}: ");
    let end = running.wait_for(|line| line.strip_prefix(&head).map(str::to_owned));
    assert!(end.starts_with("16 ") && end.contains(limit), "{end}");
}

#[test]
fn a_peer_that_asks_more_than_is_answered_runs_into_the_limit() {
    let (mut running, port) = echo_listener(
        "ctx:set_limits { messages_unanswered_max = 1000 }
         serve ('urn:test:never', function () vortex.asyncqueue.new ():pop () end)",
    );
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::honest(port, "waiting");
    let reply = peer.ask("<start number='3'><profile uri='urn:test:never' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    // Messages without octets, which no window stops.
    let mut octets = Vec::new();
    for msgno in 0..2000 {
        octets.extend(peer.compose(&format!("MSG 3 {msgno} ."), b"", ""));
    }
    peer.try_octets(octets);
    peer.read_to_end();
    honest.exchange("still here");
    check_limit(&mut running, "waiting", "messages_unanswered_max");
    honest.release();
    stop(running);
}

#[test]
fn a_message_without_end_runs_into_the_limit() {
    let (mut running, port) = echo_listener("ctx:set_limits { message_max = 100000 }");
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::honest(port, "endless");
    // In frames without octets it may go on; they cost nothing.
    let mut octets = Vec::new();
    for _ in 0..10_000 {
        octets.extend(peer.compose("MSG 1 0 *", b"", ""));
    }
    peer.octets(octets);
    peer.barrier();
    while peer.sent(CHANNEL) <= 100_000 {
        peer.wait_for_room(CHANNEL, 1000);
        let frame = peer.compose("MSG 1 0 *", &[b'x'; 1000], "");
        peer.try_octets(frame);
    }
    peer.read_to_end();
    check_limit(&mut running, "endless", "message_max");
    honest.exchange("still here");
    honest.release();
    stop(running);
}

#[test]
fn one_channel_too_many_is_refused() {
    let (running, port) = echo_listener("ctx:set_limits { channels_max = 3 }");
    let mut peer = Peer::greeted(port);
    for number in [1, 3, 5] {
        peer.start(number, "");
    }
    let start = format!(
        "<start number='7'><profile uri='{}' /></start>",
        crate::by_hand::ECHO
    );
    assert_eq!(peer.ask(&start).error_code(), 554);
    peer.close(3, &format!("{HEADERS}<close number='3' code='200' />"));
    assert!(peer.ask(&start).header.starts_with("RPY"));
    peer.release();
    stop(running);
}

#[test]
fn one_connection_too_many_is_closed_at_once() {
    let (running, port) = echo_listener("ctx:set_limits { connections_max = 3 }");
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::honest(port, "within")).collect();
    for _ in 0..5 {
        Peer::connect(port).expect_end();
    }
    for peer in &mut peers {
        peer.exchange("still here");
    }
    let mut leaver = peers.pop().unwrap();
    leaver.exchange("bye");
    leaver.release();
    // Its place is free as soon as the other side has seen it leave.
    let mut next = loop {
        let mut peer = Peer::connect(port);
        if peer.greeting_or_end() {
            break peer;
        }
    };
    next.greet_back();
    next.start(CHANNEL, "");
    next.exchange("hello");
    next.release();
    for peer in peers {
        peer.release();
    }
    stop(running);
}

#[test]
fn many_who_do_not_greet_leave_room_for_those_who_do() {
    let (running, port) = echo_listener("ctx:set_limits { half_open_max = 10 }");
    let mut honest = Peer::honest(port, "honest");
    let mut silent: Vec<Peer> = (0..10).map(|_| Peer::connect(port)).collect();
    for peer in &mut silent {
        peer.expect("RPY 0 0");
    }
    Peer::connect(port).expect_end();
    honest.exchange("still here");
    silent.pop().unwrap().greet_back();
    let mut next = loop {
        let mut peer = Peer::connect(port);
        if peer.greeting_or_end() {
            break peer;
        }
    };
    next.greet_back();
    next.start(CHANNEL, "");
    next.exchange("hello");
    next.release();
    honest.release();
    drop(silent);
    stop(running);
}

#[test]
fn a_listener_without_descriptors_serves_those_it_has_and_the_others_later() {
    const MORE: u32 = 8;
    let (running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    let used = std::fs::read_dir(format!("/proc/{}/fd", running.id())).unwrap();
    let most = u32::try_from(used.count()).unwrap() + MORE;
    let limited = Command::new("prlimit")
        .args(["--pid", &running.id().to_string()])
        .arg(format!("--nofile={most}:{most}"))
        .status();
    assert!(limited.unwrap().success());
    let mut peers: Vec<Peer> = (0..2 * MORE).map(|_| Peer::connect(port)).collect();
    for peer in &mut peers[..MORE as usize] {
        peer.expect("RPY 0 0");
    }
    honest.exchange("still here");
    let mut waiting = peers.split_off(MORE as usize);
    drop(peers);
    for peer in &mut waiting {
        peer.expect("RPY 0 0");
        peer.greet_back();
    }
    honest.exchange("still here");
    honest.release();
    drop(waiting);
    stop(running);
}

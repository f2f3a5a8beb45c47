//! Flow control between a script and a peer that is slow, stingy or deaf.

use std::fs;

use crate::by_hand::{CHANNEL, HEADERS, Peer, WINDOW};
use crate::listening::ByHandListener;
use crate::scripts::{check, echo_listener, start, stop};
use crate::support::Running;

/// A profile whose handlers wait for `release`, another profile, to be started.
const SLOW: &str = r#"
ctx:set_limits { window_on_open = 8192, window_max = 16384 }
local gate = vortex.asyncqueue.new ()
local is_open = false
serve ("urn:test:slow", function (conn, channel, frame)
   if not is_open then gate:pop () end
   assert (channel:send_rpy (frame.payload, -1, frame.msgno))
end)
vortex.register_profile (ctx, "urn:test:release", nil, nil, function ()
   is_open = true
   for _ = 1, 1000 do gate:push (true) end
   return true
end)
"#;

/// The `window_max` of `SLOW`.
const BIG_WINDOW_MAX: u32 = 16_384;

/// Sends MSGs until there is no window left and none is coming.
#[track_caller]
fn fill_window(peer: &mut Peer) -> u32 {
    let mut count = 0;
    loop {
        peer.barrier();
        if peer.room(CHANNEL) == 0 {
            return count;
        }
        let size = peer.room(CHANNEL).min(500) as usize;
        let payload = format!("\r\n{count} {}", "x".repeat(500));
        let content = payload.get(..size).unwrap();
        peer.send(&format!("MSG {CHANNEL} {count} ."), content);
        count += 1;
        assert!(count < 10_000, "the window never closes");
    }
}

#[test]
fn a_handler_that_does_not_end_closes_its_peers_window_until_it_does() {
    let (running, port) = echo_listener(SLOW);
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::greeted(port);
    let start = format!("<start number='{CHANNEL}'><profile uri='urn:test:slow' /></start>");
    assert!(peer.ask(&start).header.starts_with("RPY"));
    let count = fill_window(&mut peer);
    let sent = peer.sent(CHANNEL);
    assert!(sent >= WINDOW, "{sent}");
    assert!(sent <= 2 * BIG_WINDOW_MAX, "{sent}");
    // The other session has windows of its own, and so has another channel of this one.
    for _ in 0..50 {
        honest.exchange(&"x".repeat(1000));
    }
    peer.start(3, "");
    peer.exchange_on(3, "hello");
    assert_eq!(peer.room(CHANNEL), 0);

    assert!(
        honest
            .ask("<start number='5'><profile uri='urn:test:release' /></start>")
            .header
            .starts_with("RPY")
    );
    peer.wait_for_room(CHANNEL, WINDOW);
    for msgno in 0..count {
        peer.expect(&format!("RPY {CHANNEL} {msgno}"));
    }
    // It is as usable as before.
    for msgno in count..count + 100 {
        peer.send(&format!("MSG {CHANNEL} {msgno} ."), &"y".repeat(1000));
        peer.expect(&format!("RPY {CHANNEL} {msgno}"));
    }
    peer.release();
    honest.release();
    stop(running);
}

#[test]
fn a_session_with_a_closed_window_ends_like_any_other() {
    let (running, port) = echo_listener(SLOW);
    for index in 0..20 {
        let mut peer = Peer::greeted(port);
        let start = format!("<start number='{CHANNEL}'><profile uri='urn:test:slow' /></start>");
        assert!(peer.ask(&start).header.starts_with("RPY"));
        fill_window(&mut peer);
        match index % 3 {
            0 => peer.reset(),
            1 => peer.octets("rubbish\r\n"),
            _ => drop(peer),
        }
    }
    let mut honest = Peer::honest(port, "honest");
    honest.exchange("hello");
    honest.ask("<start number='5'><profile uri='urn:test:release' /></start>");
    honest.exchange("hello");
    honest.release();
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let outcome = running.finish().expect_code(0);
    // The handlers that were waiting could not reply any more, and that is what their errors say.
    assert!(outcome.stdout.ends_with("finished\n"), "{outcome:?}");
}

#[test]
fn a_peer_with_a_window_of_one_octet_gets_everything_octet_by_octet() {
    const REST: u32 = 60;
    let (running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "stingy");
    peer.grants = false;
    let payload: String = ('a'..='z')
        .cycle()
        .take((WINDOW + REST - 2) as usize)
        .collect();
    let content = format!("\r\n{payload}");
    peer.wait_for_room(CHANNEL, WINDOW + REST);
    peer.send(&format!("MSG {CHANNEL} 0 ."), &content);
    let mut received = String::new();
    while received.len() < WINDOW as usize {
        let frame = peer.frame();
        assert_eq!(frame.head(), format!("RPY {CHANNEL} 0"));
        assert!(!frame.is_last());
        received += &frame.text();
    }
    for left in (0..REST).rev() {
        peer.grant(CHANNEL, 1);
        let frame = peer.frame();
        assert_eq!(frame.head(), format!("RPY {CHANNEL} 0"));
        assert_eq!(frame.content.len(), 1, "{frame:?}");
        assert_eq!(frame.is_last(), left == 0, "{frame:?}");
        received += &frame.text();
    }
    assert_eq!(received, content);
    // Nor is a window of none taken for one; a request on channel 0 passes by.
    peer.send(&format!("MSG {CHANNEL} 1 ."), "\r\nhello");
    peer.barrier();
    peer.grant(CHANNEL, 100);
    assert_eq!(peer.expect(&format!("RPY {CHANNEL} 1")).text(), "\r\nhello");
    peer.grants = true;
    peer.release();
    stop(running);
}

/// Sends until that fails, tells of it, and goes on when the peer reads again.
const SENDER: &str = r#"
ctx:set_limits { send_queue_octets = 1000000 }
local conn = vortex.connection.new (ctx, "127.0.0.1", PORT)
local replies = 0
local channel = assert (conn:open_channel (0, ECHO, function () replies = replies + 1 end))
local payload = string.rep ("x", 10000)
local count, number, message, code = 0
repeat
   number, message, code = channel:send_msg (payload)
   if number then count = count + 1 end
   if count % 10 == 0 then vortex.yield (1) end
until not number or count > 100000
print ("sent " .. count, number, message, code, channel:pending ())
while replies < count do vortex.yield () end
print ("answered " .. replies, channel:pending (), conn:is_ok (), channel:send_msg "again" ~= nil)
while replies <= count do vortex.yield () end
conn:shutdown ()
finish ()
"#;

/// Most memory that the process had at any time, in KiB.
fn peak_memory(running: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = peak.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

#[track_caller]
fn check_deaf_peer(window: Option<u32>) {
    let listener = ByHandListener::with_small_buffers();
    let mut running = start(&SENDER.replace("PORT", &listener.port().to_string()));
    let mut peer = listener.accept_started();
    if let Some(window) = window {
        peer.grants = false;
        peer.grant(3, window);
    }
    let (count, rest) = running.wait_for(|line| {
        let (count, rest) = line.strip_prefix("sent ")?.split_once('\t')?;
        Some((count.parse::<u32>().ok()?, rest.to_owned()))
    });
    let words: Vec<&str> = rest.split('\t').collect();
    assert_eq!(words[0], "nil");
    assert!(words[1].contains("limit"), "{rest}");
    assert_eq!(words[2], "16", "{rest}");
    let pending: u32 = words[3].parse().unwrap();
    assert!(pending <= 1_000_000, "{rest}");
    // What the kernel's buffers take comes on top.
    assert!((90..5_000).contains(&count), "{count}");
    let peak = peak_memory(&running);
    assert!(peak < 200_000, "{peak} KiB");
    // It reads after all.
    let mut total = 0;
    for msgno in 0..=count {
        loop {
            let frame = peer.frame();
            assert_eq!(frame.head(), format!("MSG 3 {msgno}"));
            total += frame.content.len();
            if frame.is_last() {
                break;
            }
        }
        peer.send(&format!("RPY 3 {msgno} ."), "\r\n");
    }
    assert_eq!(total, count as usize * 10_002 + 7);
    let line = running.wait_for(|line| line.starts_with("answered ").then(|| line.to_owned()));
    assert_eq!(line, format!("answered {count}\t0\ttrue\ttrue"));
    check(running);
}

#[test]
fn sending_to_a_peer_that_grants_no_window_fails_at_the_limit() {
    check_deaf_peer(None);
}

#[test]
fn sending_to_a_peer_that_does_not_read_fails_at_the_limit() {
    check_deaf_peer(Some(i32::MAX as u32));
}

#[test]
fn a_peer_that_asks_and_never_reads_is_not_answered_without_limit() {
    let (mut running, port) = echo_listener(
        "ctx:set_limits { send_queue_octets = 200000 }
         serve ('urn:test:generous', function (conn, channel, frame)
            local done, message, code
            repeat
               done, message, code = channel:send_ans (string.rep ('x', 10000), -1, frame.msgno)
            until not done
            print ('refused', done, message, code)
         end)",
    );
    let mut honest = Peer::honest(port, "honest");
    let mut deaf = Peer::greeted(port);
    deaf.grants = false;
    let reply = deaf.ask("<start number='1'><profile uri='urn:test:generous' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    for msgno in 0..3 {
        deaf.send(&format!("MSG 1 {msgno} ."), "\r\ngive");
    }
    for _ in 0..3 {
        running.wait_for_text("refused\tfalse\t");
    }
    honest.exchange("still here");
    // Requests that ask for answers nobody reads, too: they are not taken for ever.
    let start = format!("{HEADERS}<start number='3'><profile uri='urn:test:none' /></start>");
    for msgno in 2..100 {
        if deaf.room(0) < 1000 {
            break;
        }
        deaf.send(&format!("MSG 0 {msgno} ."), &start);
    }
    honest.exchange("still here");
    let peak = peak_memory(&running);
    assert!(peak < 200_000, "{peak} KiB");
    deaf.reset();
    honest.exchange("still here");
    honest.release();
    stop(running);
}

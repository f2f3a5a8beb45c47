//! Peers that break the protocol, or vanish: their session ends with its reason, and no other session notices.

use std::time::Duration;

use crate::by_hand::{CHANNEL, HEADERS, Peer, WINDOW};
use crate::scripts::{echo_listener, stop};

const PROTOCOL_ERROR: u32 = 14;
const PEER_LEFT: u32 = 17;
const LIMIT_REACHED: u32 = 16;

type Act = fn(&mut Peer);

/// What a peer with an open channel sends, and the status that its session ends with.
const ACTS: &[(&str, u32, Act)] = &[
    ("garbage", PROTOCOL_ERROR, |peer| {
        peer.octets("\0\u{1}\u{2} what is this?\r\n\r\n")
    }),
    ("another protocol", PROTOCOL_ERROR, |peer| {
        peer.octets("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    }),
    ("a header without end", PROTOCOL_ERROR, |peer| {
        peer.octets("M".repeat(1000))
    }),
    ("zeros", PROTOCOL_ERROR, |peer| peer.octets([0; 1000])),
    ("a wrong trailer", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0 2\r\n\r\nDNE\r\n");
    }),
    ("a payload longer than its size", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0 2\r\n\r\nhelloEND\r\n");
    }),
    ("lower case", PROTOCOL_ERROR, |peer| {
        peer.octets("msg 1 0 . 0 2\r\n\r\nEND\r\n")
    }),
    ("two blanks", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG  1 0 . 0 2\r\n\r\nEND\r\n")
    }),
    ("a bare LF", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0 2\n\r\nEND\n")
    }),
    ("a missing field", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0\r\n\r\nEND\r\n")
    }),
    ("an unknown continuation", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 + 0 2\r\n\r\nEND\r\n");
    }),
    ("a negative size", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0 -2\r\n\r\nEND\r\n")
    }),
    ("a huge size", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0 4294967295\r\n")
    }),
    ("a size of too many digits", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 0 99999999999999999999\r\n");
    }),
    ("a wrong sequence number", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 1 0 . 7 2\r\n\r\nEND\r\n");
    }),
    ("more than the window", PROTOCOL_ERROR, |peer| {
        peer.octets(format!("MSG 1 0 . 0 {}\r\n", 2_000_000));
    }),
    ("a channel that is not open", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 7 0 . 0 2\r\n\r\nEND\r\n");
    }),
    ("a channel number out of range", PROTOCOL_ERROR, |peer| {
        peer.octets("MSG 2147483648 0 . 0 2\r\n\r\nEND\r\n");
    }),
    ("a foreign fragment", PROTOCOL_ERROR, |peer| {
        peer.send("MSG 1 0 *", "\r\nhalf");
        peer.send("MSG 1 1 .", "\r\nother");
    }),
    ("a reply to nothing", PROTOCOL_ERROR, |peer| {
        peer.send("RPY 1 0 .", "\r\n")
    }),
    ("a NUL to nothing", PROTOCOL_ERROR, |peer| {
        peer.send("NUL 1 0 .", "")
    }),
    ("an ANS without its number", PROTOCOL_ERROR, |peer| {
        peer.send("ANS 1 0 .", "")
    }),
    ("a reply on channel 0 to nothing", PROTOCOL_ERROR, |peer| {
        peer.send("RPY 0 5 .", &format!("{HEADERS}<ok />"));
    }),
    ("a second greeting", PROTOCOL_ERROR, |peer| {
        peer.send("RPY 0 0 .", &format!("{HEADERS}<greeting />"));
    }),
    ("an ANS on channel 0", PROTOCOL_ERROR, |peer| {
        let frame = peer.compose("ANS 0 0 .", b"", " 0");
        peer.octets(frame);
    }),
    ("a SEQ for nobody", PROTOCOL_ERROR, |peer| {
        peer.octets("SEQ 7 0 4096\r\n")
    }),
    ("a SEQ beyond what was sent", PROTOCOL_ERROR, |peer| {
        peer.octets("SEQ 1 1 4096\r\n")
    }),
    ("a SEQ that takes back", PROTOCOL_ERROR, |peer| {
        peer.octets("SEQ 1 0 4095\r\n")
    }),
    ("a SEQ with letters", PROTOCOL_ERROR, |peer| {
        peer.octets("SEQ 1 0 many\r\n")
    }),
    ("a SEQ out of range", PROTOCOL_ERROR, |peer| {
        peer.octets("SEQ 1 0 2147483648\r\n")
    }),
    ("a management document without end", LIMIT_REACHED, |peer| {
        // Of 64 KiB the listener wants to see no more; the window is opened that far.
        loop {
            let room = peer.room(0).min(WINDOW);
            let frame = peer.compose("MSG 0 2 *", &b"x".repeat(room as usize), "");
            peer.try_octets(frame);
            if peer.sent(0) > 65_536 {
                return;
            }
            peer.wait_for_room(0, 1);
        }
    }),
    ("FIN between frames", PEER_LEFT, Peer::hang_up),
    ("FIN in a header", PEER_LEFT, |peer| {
        peer.octets("MSG 1 0 ");
        peer.hang_up();
    }),
    ("FIN in a payload", PEER_LEFT, |peer| {
        peer.octets("MSG 1 0 . 0 100\r\n\r\nhalf of it");
        peer.hang_up();
    }),
    ("FIN in a trailer", PEER_LEFT, |peer| {
        peer.octets("MSG 1 0 . 0 2\r\n\r\nEN");
        peer.hang_up();
    }),
    ("FIN between fragments", PEER_LEFT, |peer| {
        peer.send("MSG 1 0 *", "\r\nhalf");
        peer.hang_up();
    }),
];

#[test]
fn a_session_that_a_peer_breaks_ends_with_its_reason_once_and_in_silence() {
    let (mut running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    for (index, (what, status, act)) in ACTS.iter().enumerate() {
        let mut peer = Peer::honest(port, &format!("odd{index}"));
        honest.exchange("before");
        act(&mut peer);
        honest.exchange("while");
        peer.expect_end();
        let end = running.wait_for(|line| {
            let end = line.strip_prefix(&format!("end of odd{index}: "))?;
            Some(end.to_owned())
        });
        assert!(
            end.starts_with(&format!("{status} ")) && end.len() > 5,
            "{what}: {end}"
        );
        honest.exchange("after");
    }
    honest.release();
    let outcome = stop(running);
    for index in 0..ACTS.len() {
        let once = format!("odd{index} ended 1 times");
        assert!(outcome.stdout.contains(&once), "{once}: {outcome:?}");
    }
    assert!(outcome.stdout.contains("end of honest: 12 "), "{outcome:?}");
}

#[test]
fn a_peer_that_is_reset_has_left_without_a_close() {
    let (mut running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    Peer::honest(port, "idle").reset();
    running.wait_for_text("end of idle: 17 ");
    let mut peer = Peer::honest(port, "halfway");
    peer.octets("MSG 1 0 . 0 100\r\n\r\nhalf of it");
    peer.reset();
    running.wait_for_text("end of halfway: 17 ");
    let mut peer = Peer::honest(port, "asking");
    for msgno in 0..20 {
        peer.send(&format!("MSG 1 {msgno} ."), "\r\nanswer me");
    }
    peer.reset();
    running.wait_for_text("end of asking: 17 ");
    honest.exchange("still here");
    honest.release();
    let outcome = stop(running);
    for name in ["idle", "halfway", "asking"] {
        let once = format!("{name} ended 1 times");
        assert!(outcome.stdout.contains(&once), "{outcome:?}");
    }
}

#[test]
fn whatever_comes_in_place_of_a_greeting_ends_that_session_alone() {
    let (running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    let bad_greeting = |content: &str| format!("RPY 0 0 . 0 {}\r\n{content}END\r\n", content.len());
    let long = bad_greeting(&format!(
        "{HEADERS}<greeting>{}</greeting>",
        " ".repeat(5000)
    ));
    for octets in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned() + &"\0".repeat(200),
        "SEQ 0 0 4096 \r\n".to_owned(),
        "MSG 0 0 . 0 0\r\nEND\r\n".to_owned(),
        "RPY 0 1 . 0 0\r\nEND\r\n".to_owned(),
        "RPY 1 0 . 0 0\r\nEND\r\n".to_owned(),
        "RPY 0 0 . 1 0\r\nEND\r\n".to_owned(),
        bad_greeting(""),
        bad_greeting("hello"),
        bad_greeting(&format!("{HEADERS}<ok />")),
        bad_greeting(&format!("{HEADERS}<greeting>")),
        bad_greeting("Content-Type: text/plain\r\n\r\n<greeting />"),
        bad_greeting(&format!("{HEADERS}<greeting><profile /></greeting>")),
        bad_greeting(&format!("{HEADERS}<!DOCTYPE greeting><greeting />")),
        format!(
            "ERR 0 0 . 0 {}\r\n{HEADERS}<error code='550' />END\r\n",
            HEADERS.len() + 20
        ),
        long,
    ] {
        let mut peer = Peer::connect(port);
        peer.expect("RPY 0 0");
        peer.try_octets(&octets);
        honest.exchange("while");
        peer.expect_end();
        honest.exchange("after");
    }
    // Those that leave instead.
    for octets in ["", "RPY 0", "RPY 0 0 . 0 100\r\nContent"] {
        let mut peer = Peer::connect(port);
        peer.octets(octets);
        peer.hang_up();
        // Too late for a greeting, maybe.
        peer.read_to_end();
        let mut peer = Peer::connect(port);
        peer.octets(octets);
        peer.reset();
        honest.exchange("still here");
    }
    honest.release();
    stop(running);
}

#[test]
fn a_peer_that_never_greets_is_left_when_its_time_is_over() {
    let (running, port) = echo_listener("ctx:set_limits { greeting_timeout = 200000 }");
    let mut honest = Peer::honest(port, "honest");
    let mut silent = Peer::connect(port);
    let mut slow = Peer::connect(port);
    slow.octets("RPY 0 0 . 0 ");
    for peer in [&mut silent, &mut slow] {
        peer.expect("RPY 0 0");
        peer.expect_end();
    }
    honest.exchange("much longer here");
    honest.release();
    stop(running);
}

#[test]
fn a_peer_that_greets_and_falls_silent_is_kept_unless_a_limit_says_otherwise() {
    let (mut running, port) = echo_listener("");
    let mut silent = Peer::honest(port, "silent");
    for _ in 0..10 {
        let mut honest = Peer::honest(port, "honest");
        honest.exchange("hello");
        honest.release();
    }
    silent.exchange("not forgotten");
    silent.hang_up();
    running.wait_for_text("end of silent: 17 ");
    stop(running);

    let (mut running, port) = echo_listener("ctx:set_limits { idle_timeout = 200000 }");
    let mut silent = Peer::honest(port, "silent");
    silent.expect_end();
    running.wait_for_text("end of silent: 13 ");
    let outcome = stop(running);
    assert!(
        outcome.stdout.contains("silent ended 1 times"),
        "{outcome:?}"
    );
}

#[test]
fn many_peers_that_vanish_at_once_leave_nothing_behind() {
    const PEERS: usize = 100;
    let (mut running, port) = echo_listener(
        "serve ('urn:test:count', function (conn, channel, frame)
            local count = 0
            for _ in pairs (ends) do count = count + 1 end
            channel:send_rpy (tostring (count), -1, frame.msgno)
         end)",
    );
    let mut honest = Peer::honest(port, "honest");
    let reply = honest.ask("<start number='9'><profile uri='urn:test:count' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    let peers: Vec<Peer> = (0..PEERS)
        .map(|index| Peer::honest(port, &format!("many{index}")))
        .collect();
    for (index, mut peer) in peers.into_iter().enumerate() {
        match index % 4 {
            0 => peer.reset(),
            1 => drop(peer),
            2 => peer.octets(format!("MSG {CHANNEL} 0 . 0 10\r\nhalf")),
            _ => peer.octets("rubbish\r\n"),
        }
    }
    for index in 0..PEERS {
        let wanted = format!("end of many{index}: ");
        running.wait_for(|line| line.starts_with(&wanted).then_some(()));
    }
    let msgno = honest.next_msgno(9);
    honest.send(&format!("MSG 9 {msgno} ."), "\r\n");
    assert_eq!(honest.frame().text(), format!("\r\n{PEERS}"));
    honest.release();
    let outcome = stop(running);
    assert_eq!(
        outcome.stdout.matches(" ended 1 times").count(),
        PEERS + 1,
        "{outcome:?}"
    );
}

#[test]
fn a_client_that_is_killed_has_left_without_a_close() {
    let (mut running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    let mut client = crate::scripts::start(&format!(
        "local conn = vortex.connection.new (ctx, '127.0.0.1', {port}, 'victim')
         local channel = assert (conn:open_channel (0, ECHO))
         print (channel:request ('hello').payload)
         vortex.sleep (60e6)"
    ));
    client.wait_for_text("hello");
    client.signal(nix::sys::signal::Signal::SIGKILL);
    running.wait_for_text("end of victim: 17 ");
    honest.exchange("still here");
    honest.release();
    let outcome = stop(running);
    assert!(
        outcome.stdout.contains("victim ended 1 times"),
        "{outcome:?}"
    );
}

#[test]
fn a_peer_that_agreed_to_the_end_may_still_be_waited_for() {
    let (mut running, port) = echo_listener("ctx:set_limits { release_linger = 200000 }");
    let mut peer = Peer::honest(port, "lingerer");
    let reply = peer.ask("<close number='0' code='200' />");
    assert_eq!(reply.text(), format!("{HEADERS}<ok />"));
    // It was told `<ok />` and does not hang up: the other side does, in the end.
    peer.expect_end();
    running.wait_for_text("end of lingerer: 12 ");
    stop(running);

    let (mut running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "lingerer");
    let reply = peer.ask("<close number='0' code='200' />");
    assert_eq!(reply.text(), format!("{HEADERS}<ok />"));
    peer.expect_silence(Duration::from_millis(300));
    peer.hang_up();
    peer.expect_end();
    running.wait_for_text("end of lingerer: 12 ");
    stop(running);
}

#[test]
fn a_session_that_was_released_stays_so_however_its_connection_ends() {
    let (mut running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "hasty");
    peer.ask("<close number='0' code='200' />");
    peer.reset();
    running.wait_for_text("end of hasty: 12 ");
    let mut peer = Peer::honest(port, "slow");
    peer.ask("<close number='0' code='200' />");
    // The script ends before the peer has hung up.
    let outcome = stop(running);
    assert!(outcome.stdout.contains("end of slow: 12 "), "{outcome:?}");
    peer.expect_end();
}

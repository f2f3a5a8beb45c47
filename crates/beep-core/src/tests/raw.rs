//! One session against octets written by hand: what ends it, what it takes, what it answers.

use std::sync::Arc;
use std::time::Instant;

use crate::MessageKind::{Ans, Msg, Nul, Rpy};
use crate::{
    ChannelNumber, Config, Event, Greeting, Outgoing, ProtocolError, Role, Session, SessionEnd,
    StartRequest,
};

use proptest::prelude::*;

use super::pair::{Dice, ECHO, kinds, number, offer};

pub(super) const HEADERS: &str = "Content-Type: application/beep+xml\r\n\r\n";

/// A session and a hand that writes to it, keeping the sequence numbers.
pub(super) struct Hand {
    pub(super) session: Session,
    pub(super) now: Instant,
    seqnos: std::collections::HashMap<u32, u32>,
}

impl Hand {
    pub(super) fn new(config: Config) -> Self {
        let now = Instant::now();
        let config: Arc<Config> = config.checked().unwrap();
        let mut session = Session::new(Role::Listener, config, now);
        session.greet(&Greeting::default()).unwrap();
        Hand {
            session,
            now,
            seqnos: Default::default(),
        }
    }

    /// Greeted, and channel 1 open.
    fn with_channel() -> Self {
        let mut hand = Hand::new(Config {
            window_on_open: 4096,
            window_max: 4096,
            ..Config::default()
        });
        hand.frame("RPY 0 0 .", &format!("{HEADERS}<greeting />"), "");
        hand.frame(
            "MSG 0 1 .",
            &format!("{HEADERS}<start number='1'><profile uri='{ECHO}' /></start>"),
            "",
        );
        assert_eq!(hand.events().len(), 2);
        hand.session.accept_start(number(1), 0, None).unwrap();
        hand.output();
        hand
    }

    pub(super) fn feed(&mut self, octets: &str) {
        let taken = self.session.handle_input(self.now, octets.as_bytes());
        assert!(taken == octets.len() || self.session.end().is_some());
    }

    /// `head` is `MSG 1 0 .`; the rest of the header is worked out.
    pub(super) fn frame(&mut self, head: &str, payload: &str, tail: &str) {
        let channel = head.split(' ').nth(1).unwrap().parse().unwrap();
        let seqno = self.seqnos.entry(channel).or_default();
        let frame = format!("{head} {seqno} {}{tail}\r\n{payload}END\r\n", payload.len());
        *seqno += payload.len() as u32;
        self.feed(&frame);
    }

    pub(super) fn output(&mut self) -> String {
        let mut chunks = Vec::new();
        self.session
            .poll_transmit(self.now, &mut chunks, usize::MAX);
        String::from_utf8(chunks.concat()).unwrap()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    pub(super) fn messages(&mut self) -> Vec<crate::Message> {
        let messages = self.events().into_iter();
        messages
            .filter_map(|event| {
                if let Event::Message { message, .. } = event {
                    Some(message)
                } else {
                    None
                }
            })
            .collect()
    }

    /// The session ended in silence because the peer broke the protocol.
    #[track_caller]
    fn assert_broken(&mut self, is_expected: impl Fn(&ProtocolError) -> bool) {
        match self.session.end() {
            Some(SessionEnd::Protocol(error)) if is_expected(error) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(self.output(), "");
        assert!(self.session.should_hang_up());
        assert!(matches!(
            self.events().last(),
            Some(Event::Ended(SessionEnd::Protocol(_)))
        ));
    }

    #[track_caller]
    fn assert_alive(&mut self) {
        assert_eq!(self.session.end(), None);
    }
}

#[test]
fn frames_that_break_the_rules_end_the_session_in_silence() {
    type Act = fn(&mut Hand);
    type Check = fn(&ProtocolError) -> bool;
    let cases: [(Act, Check); 20] = [
        (
            |h| h.feed("MSG 1 0 . 1 0\r\nEND\r\n"),
            |e| matches!(e, ProtocolError::WrongSeqno { .. }),
        ),
        (
            |h| h.feed("MSG 1 0 . 0 4097\r\n"),
            |e| matches!(e, ProtocolError::WindowExceeded { .. }),
        ),
        (
            |h| h.feed("MSG 5 0 . 0 1\r\n"),
            |e| matches!(e, ProtocolError::ChannelNotOpen { .. }),
        ),
        (
            |h| h.feed("RPY 1 0 . 0 1\r\n"),
            |e| matches!(e, ProtocolError::UnexpectedReply { .. }),
        ),
        (
            |h| h.feed("NUL 1 0 . 0 0\r\n"),
            |e| matches!(e, ProtocolError::UnexpectedReply { .. }),
        ),
        (|h| h.feed("RPY 0 0 . 170 0\r\n"), |_| true),
        (
            |h| {
                h.frame("MSG 1 0 .", "", "");
                h.frame("MSG 1 0 .", "", "");
            },
            |e| matches!(e, ProtocolError::MsgnoInUse { .. }),
        ),
        (
            |h| {
                h.frame("MSG 1 0 *", "a", "");
                h.frame("MSG 1 1 .", "b", "");
            },
            |e| matches!(e, ProtocolError::ForeignFragment { .. }),
        ),
        (
            |h| {
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.output();
                h.frame("RPY 1 0 *", "a", "");
                h.frame("ERR 1 0 .", "b", "");
            },
            |e| {
                matches!(
                    e,
                    ProtocolError::ReplyKindChanged { .. } | ProtocolError::ForeignFragment { .. }
                )
            },
        ),
        (
            |h| {
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.output();
                h.frame("ANS 1 0 .", "a", " 0");
                h.frame("RPY 1 0 .", "b", "");
            },
            |e| matches!(e, ProtocolError::ReplyKindChanged { .. }),
        ),
        (
            |h| {
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.frame("RPY 1 0 .", "before it was sent", "");
            },
            |e| matches!(e, ProtocolError::UnexpectedReply { .. }),
        ),
        (
            |h| {
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.output();
                h.frame("RPY 1 1 .", "out of order", "");
            },
            |e| matches!(e, ProtocolError::UnexpectedReply { .. }),
        ),
        (
            |h| {
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.output();
                h.frame("NUL 1 0 .", "ab", "");
            },
            |e| matches!(e, ProtocolError::NulNotEmpty { .. }),
        ),
        (
            |h| {
                h.session.send_msg(number(1), Outgoing::new("")).unwrap();
                h.output();
                h.frame("NUL 1 0 *", "", "");
            },
            |_| true,
        ),
        (
            |h| h.feed("SEQ 9 0 4096\r\n"),
            |e| matches!(e, ProtocolError::SeqForUnknownChannel { .. }),
        ),
        (
            |h| h.feed("SEQ 1 1 4096\r\n"),
            |e| matches!(e, ProtocolError::SeqBeyondSent { .. }),
        ),
        (
            |h| h.feed("SEQ 1 0 4095\r\n"),
            |e| matches!(e, ProtocolError::WindowShrinks { .. }),
        ),
        (
            |h| h.feed("hello\r\n"),
            |e| matches!(e, ProtocolError::Frame(_)),
        ),
        (
            |h| h.feed("MSG 1 0 . 0 1\r\naEND\n"),
            |e| matches!(e, ProtocolError::Frame(_)),
        ),
        (
            |h| h.frame("ANS 0 0 .", "", " 0"),
            |e| matches!(e, ProtocolError::UnexpectedReply { .. }),
        ),
    ];
    for (at, (act, check)) in cases.into_iter().enumerate() {
        println!("case {at}");
        let mut hand = Hand::with_channel();
        act(&mut hand);
        hand.assert_broken(check);
    }
}

#[test]
fn a_session_that_begins_with_anything_but_a_greeting_is_over() {
    for first in [
        "MSG 0 0 . 0 0\r\n",
        "RPY 0 1 . 0 0\r\n",
        "RPY 1 0 . 0 0\r\n",
        "ANS 0 0 . 0 0 0\r\n",
    ] {
        let mut hand = Hand::new(Config::default());
        hand.feed(first);
        hand.assert_broken(|error| matches!(error, ProtocolError::NoGreeting { .. }));
    }
    let mut hand = Hand::new(Config::default());
    hand.frame("RPY 0 0 .", &format!("{HEADERS}<hello />"), "");
    hand.assert_broken(|error| matches!(error, ProtocolError::BadGreeting(_)));
}

#[test]
fn equal_grants_are_taken_and_any_window_is_obeyed_down_to_one_octet() {
    let mut hand = Hand::with_channel();
    hand.feed("SEQ 1 0 4096\r\nSEQ 1 0 4096\r\n");
    hand.session
        .send_msg(number(1), Outgoing::raw(vec![b'x'; 4100]))
        .unwrap();
    assert!(hand.output().contains("MSG 1 0 * 0 4096\r\n"));
    for octet in 0..4 {
        assert_eq!(hand.output(), "");
        hand.feed(&format!("SEQ 1 {} 1\r\n", 4096 + octet));
        let more = if octet < 3 { '*' } else { '.' };
        assert_eq!(
            hand.output(),
            format!("MSG 1 0 {more} {} 1\r\nxEND\r\n", 4096 + octet)
        );
    }
    hand.assert_alive();
}

#[test]
fn nul_is_taken_with_no_octets_and_with_an_empty_header_line() {
    let mut hand = Hand::with_channel();
    for nul in ["", "\r\n"] {
        hand.session.send_msg(number(1), Outgoing::new("")).unwrap();
        hand.output();
        let msgno = if nul.is_empty() { 0 } else { 1 };
        hand.frame(&format!("NUL 1 {msgno} ."), nul, "");
        assert_eq!(kinds(&hand.messages()), [(Nul, msgno)]);
    }
}

#[test]
fn interleaved_answers_are_told_apart_by_their_numbers() {
    let mut hand = Hand::with_channel();
    hand.session.send_msg(number(1), Outgoing::new("")).unwrap();
    hand.output();
    hand.frame("ANS 1 0 *", "one ", " 0");
    hand.frame("ANS 1 0 *", "two ", " 1");
    hand.frame("ANS 1 0 .", "more", " 0");
    hand.frame("ANS 1 0 .", "too", " 1");
    hand.frame("NUL 1 0 .", "", "");
    let messages = hand.messages();
    assert_eq!(kinds(&messages), [(Ans, 0), (Ans, 0), (Nul, 0)]);
    assert_eq!(&messages[0].content()[..], b"one more");
    assert_eq!(&messages[1].content()[..], b"two too");
}

#[test]
fn a_refusal_in_the_middle_of_a_message_cuts_it_short() {
    let mut hand = Hand::with_channel();
    hand.session
        .send_msg(number(1), Outgoing::raw(vec![b'x'; 5000]))
        .unwrap();
    assert!(hand.output().contains("MSG 1 0 * 0 4096\r\n"));
    hand.frame("ERR 1 0 .", "no", "");
    assert_eq!(hand.output(), "MSG 1 0 . 4096 0\r\nEND\r\n");
    assert_eq!(
        hand.session.channel(number(1)).unwrap().awaited_replies(),
        0
    );
    hand.session.send_msg(number(1), Outgoing::raw("")).unwrap();
    assert_eq!(hand.output(), "MSG 1 1 . 4096 0\r\nEND\r\n");
    hand.frame("RPY 1 1 .", "yes", "");
    hand.assert_alive();
    assert_eq!(
        hand.messages().last().map(|message| message.kind),
        Some(Rpy)
    );
}

#[test]
fn what_is_wrong_with_a_request_is_answered_and_the_session_goes_on() {
    let starting =
        |attributes: &str| format!("{HEADERS}<start {attributes}><profile uri='{ECHO}' /></start>");
    let cases = [
        ("no xml at all".to_owned(), "500"),
        (format!("{HEADERS}<hello />"), "50"),
        (format!("{HEADERS}<ok />"), "50"),
        (starting(""), "501"),
        (starting("number='1'"), "554"),
        (format!("{HEADERS}<close number='77' code='200' />"), "554"),
    ];
    let mut hand = Hand::with_channel();
    for (at, (request, code)) in cases.iter().enumerate() {
        hand.frame(&format!("MSG 0 {} .", at + 2), request, "");
        let answer = hand.output();
        assert!(answer.contains(&format!("ERR 0 {} ", at + 2)), "{answer}");
        assert!(answer.contains(&format!("code='{code}")), "{answer}");
        hand.assert_alive();
    }
    hand.frame("MSG 1 0 .", "still here", "");
    assert_eq!(kinds(&hand.messages()), [(Msg, 0)]);
}

#[test]
fn an_answer_that_does_not_fit_the_request_ends_the_session() {
    for answer in [
        "<ok />",
        "<profile uri='urn:x-test:other' />",
        "no xml",
        "<error code='550'>in RPY</error>",
    ] {
        let mut hand = Hand::with_channel();
        let profiles = vec![offer(ECHO)];
        let request = StartRequest {
            profiles,
            ..StartRequest::default()
        };
        hand.session.start(hand.now, request).unwrap();
        assert!(hand.output().contains("MSG 0 0 . "));
        hand.frame("RPY 0 0 .", &format!("{HEADERS}{answer}"), "");
        hand.assert_broken(|_| true);
    }
}

#[test]
fn a_seq_for_a_channel_just_closed_is_not_held_against_the_peer() {
    let mut hand = Hand::with_channel();
    hand.frame(
        "MSG 0 2 .",
        &format!("{HEADERS}<close number='1' code='200' />"),
        "",
    );
    hand.session.accept_close(number(1)).unwrap();
    assert!(hand.output().contains("<ok />"));
    hand.feed("SEQ 1 0 8192\r\n");
    hand.assert_alive();
    hand.feed("MSG 1 0 . 0 0\r\n");
    hand.assert_broken(|error| matches!(error, ProtocolError::ChannelNotOpen { .. }));
}

#[test]
fn a_close_without_a_number_releases_the_session() {
    let mut hand = Hand::with_channel();
    hand.frame("MSG 0 2 .", &format!("{HEADERS}<close code='200' />"), "");
    assert!(matches!(
        hand.events()[..],
        [Event::ReleaseRequested { .. }]
    ));
    hand.session
        .accept_close(ChannelNumber::MANAGEMENT)
        .unwrap();
    assert!(hand.output().ends_with("<ok />END\r\n"));
    hand.session.handle_end_of_stream(hand.now);
    assert_eq!(
        hand.session.end(),
        Some(&SessionEnd::Released { by_peer: true })
    );
}

#[test]
fn the_end_of_the_connection_tells_whether_a_frame_was_cut() {
    for (octets, mid_frame) in [("", false), ("MSG 1 0 . 0 5\r\nab", true), ("MS", true)] {
        let mut hand = Hand::with_channel();
        hand.feed(octets);
        hand.session.handle_end_of_stream(hand.now);
        assert_eq!(
            hand.session.end(),
            Some(&SessionEnd::PeerHungUp { mid_frame })
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn frames_in_any_order_never_panic_and_leave_nothing_behind(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let mut hand = Hand::with_channel();
        let documents = ["<start number='5'><profile uri='a' /></start>", "<close number='1' code='200' />",
            "<close code='200' />", "<ok />", "<profile uri='a' />", "<error code='550' />", "x"];
        for _ in 0..60 {
            let kind = ["MSG", "MSG", "RPY", "ERR", "ANS", "NUL"][dice.below(6)];
            let channel = [0, 1, 1, 1, 5][dice.below(5)];
            let more = ['.', '.', '*'][dice.below(3)];
            let payload = match (kind, channel) {
                ("NUL", _) => String::new(),
                (_, 0) => format!("{HEADERS}{}", documents[dice.below(documents.len())]),
                _ => "y".repeat(dice.below(500)),
            };
            let tail = if kind == "ANS" { format!(" {}", dice.below(3)) } else { String::new() };
            let head = format!("{kind} {channel} {} {more}", dice.below(6));
            // Many frames end the session at once, so many cases run.
            match dice.below(4) {
                0 => hand.frame(&head, &payload, &tail),
                1 => {
                    let _ = hand.session.send_msg(number(1), Outgoing::new("ask"));
                    let _ = hand.session.start(hand.now, StartRequest { profiles: vec![offer("a")], ..Default::default() });
                }
                2 => {
                    let _ = hand.session.close(hand.now, number(1), crate::ReplyCode::SUCCESS, None);
                    hand.now += std::time::Duration::from_secs(dice.below(30) as u64);
                    hand.session.handle_timeout(hand.now);
                }
                _ => {
                    hand.output();
                    for event in hand.events() {
                        match event {
                            Event::StartRequested { number, .. } => drop(hand.session.accept_start(number, 0, None)),
                            Event::CloseRequested { number, .. } => drop(hand.session.accept_close(number)),
                            Event::ReleaseRequested { .. } => drop(hand.session.accept_close(ChannelNumber::MANAGEMENT)),
                            Event::Message { channel, message } => {
                                hand.session.consume(channel, message.content().len());
                                let _ = hand.session.send_rpy(channel, message.msgno, Outgoing::new("answer"));
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        hand.session.abort();
        prop_assert!(hand.session.should_hang_up());
        prop_assert_eq!(hand.session.buffered_octets(), 0);
        prop_assert!(matches!(hand.events().last(), Some(Event::Ended(_)) | None));
    }
}

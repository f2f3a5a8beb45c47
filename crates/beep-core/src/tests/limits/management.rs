//! Channel 0: headers, greetings, documents, and the channels they ask for.

use super::*;

#[test]
fn channels_max() {
    let (mut pair, _) = limited(Config {
        channels_max: 3,
        ..Config::default()
    });
    pair.open();
    let last = pair.open();
    let initiator = &mut pair.initiator.session;
    let refused = initiator.start(pair.now, start_of(ECHO)).unwrap();
    pair.settle();
    let events = pair.initiator.take();
    let [
        Event::StartFailed {
            number,
            why: ChannelFailure::Refused(error),
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(*number, refused);
    assert_eq!(error.code, ReplyCode::TRANSACTION_FAILED);
    let own = pair.listener.session.start(pair.now, start_of(ECHO));
    assert_eq!(own, Err(UsageError::TooManyChannels(3)));
    // One that is closed makes room.
    let initiator = &mut pair.initiator.session;
    let closed = initiator.close(pair.now, last, ReplyCode::SUCCESS, None);
    closed.unwrap();
    pair.settle();
    pair.listener.session.accept_close(last).unwrap();
    pair.settle();
    pair.initiator.take();
    pair.listener.take();
    pair.open();
}

#[test]
fn header_max() {
    // The zeros in front of a number are what makes a header long.
    for (length, is_within) in [(64, true), (65, false)] {
        let mut hand = Hand::new(Config {
            header_max: 64,
            ..Config::default()
        });
        let payload = format!("{HEADERS}<greeting />");
        let head = format!("RPY 0 0 . 0 {}\r\n", payload.len());
        let zeros = "0".repeat(length - head.len());
        hand.feed(&head.replace("0 0 .", &format!("{zeros}0 0 .")));
        hand.feed(&format!("{payload}END\r\n"));
        assert_eq!(hand.session.end().is_none(), is_within, "{length}");
        assert_eq!(hand.session.peer_greeting().is_some(), is_within);
    }
}

#[test]
fn greeting_octets() {
    const MOST: usize = 300;
    for (length, is_within) in [(MOST, true), (MOST + 1, false)] {
        let mut hand = Hand::new(Config {
            greeting_octets: MOST as u32,
            ..Config::default()
        });
        let mut greeting = format!("{HEADERS}<greeting />");
        greeting.extend(std::iter::repeat_n(' ', length - greeting.len()));
        // In two frames, of which neither is too long by itself.
        let (first, second) = greeting.split_at(200);
        hand.frame("RPY 0 0 *", first, "");
        hand.frame("RPY 0 0 .", second, "");
        assert_eq!(hand.session.peer_greeting().is_some(), is_within);
        if !is_within {
            let what = "greeting_octets";
            let limit = Limit { what, most: MOST };
            assert_eq!(hand.session.end(), Some(&SessionEnd::LimitReached(limit)));
        }
    }
}

/// Greeted; a document of channel 0 is answered, or ends the session.
fn ask(config: &Config, content: &str) -> Result<String, SessionEnd> {
    let mut hand = Hand::new(config.clone());
    hand.frame("RPY 0 0 .", &format!("{HEADERS}<greeting />"), "");
    hand.output();
    hand.frame("MSG 0 1 .", content, "");
    match hand.session.end() {
        None => Ok(hand.output()),
        Some(end) => Err(end.clone()),
    }
}

#[test]
fn management_octets() {
    const MOST: usize = 1000;
    let config = Config {
        management_octets: MOST,
        ..Config::default()
    };
    let document = format!("{HEADERS}<close number='5' code='200' />");
    let padded = |length: usize| document.clone() + &" ".repeat(length - document.len());
    let answer = ask(&config, &padded(MOST)).unwrap();
    assert!(answer.contains("<error code='554'"), "{answer}");
    let (what, most) = ("management_octets", MOST);
    assert_eq!(
        ask(&config, &padded(MOST + 1)),
        Err(SessionEnd::LimitReached(Limit { what, most }))
    );
}

#[test]
fn xml_depth_max_and_xml_nodes_max() {
    let config = Config {
        xml_depth_max: 4,
        xml_nodes_max: 20,
        ..Config::default()
    };
    let code = |document: &str| {
        let answer = ask(&config, &format!("{HEADERS}{document}")).unwrap();
        let (_, code) = answer.split_once("<error code='").unwrap();
        code[..3].to_owned()
    };
    // Within the limits it is only no request.
    let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    assert_eq!([code(&nested(4)), code(&nested(5))], ["501", "500"]);
    // The document is a node, too.
    let wide = |nodes: usize| format!("<a>{}</a>", "<b/>".repeat(nodes - 2));
    assert_eq!([code(&wide(20)), code(&wide(21))], ["501", "500"]);
}

/// A hand that has asked for so many channels, and nobody answers.
fn pending(config: Config, starts: u32, padding: usize) -> Hand {
    let mut hand = Hand::new(config);
    hand.frame("RPY 0 0 .", &format!("{HEADERS}<greeting />"), "");
    hand.output();
    for msgno in 1..=starts {
        let channel = msgno * 2 + 1;
        let start = format!(
            "{HEADERS}<start number='{channel}'><profile uri='{ECHO}' /></start>{}",
            " ".repeat(padding)
        );
        hand.frame(&format!("MSG 0 {msgno} ."), &start, "");
    }
    hand
}

#[test]
fn management_pending_max_withholds_window_until_a_request_is_answered() {
    const MOST: u32 = 3;
    let config = Config {
        management_pending_max: MOST as usize,
        ..Config::default()
    };
    // Half of the window is used up, so more of it is due.
    let grants = |hand: &mut Hand| hand.output().contains("SEQ 0 ");
    assert!(grants(&mut pending(config.clone(), MOST - 1, 1500)));
    let mut hand = pending(config, MOST, 800);
    assert!(!grants(&mut hand));
    hand.session.accept_start(number(3), 0, None).unwrap();
    assert!(grants(&mut hand));
}

#[test]
fn a_request_longer_than_the_window_arrives_where_one_may_be_pending() {
    let mut pair = Pair::configured(Config {
        management_pending_max: 1,
        ..Config::default()
    });
    for _ in 0..2 {
        let mut start = start_of(ECHO);
        let long = "x".repeat(10_000);
        start.profiles[0].content = Some(crate::ProfileContent::new(long));
        let initiator = &mut pair.initiator.session;
        let channel = initiator.start(pair.now, start).unwrap();
        pair.settle();
        assert_eq!(pair.listener.take().len(), 1);
        let listener = &mut pair.listener.session;
        listener.accept_start(channel, 0, None).unwrap();
        pair.settle();
    }
}

#[test]
fn long_requests_that_nobody_answers_withhold_window_as_well() {
    const LONGEST: usize = 1000;
    let mut pair = Pair::asymmetric(
        Config::default(),
        Config {
            management_octets: LONGEST,
            ..Config::default()
        },
        Default::default(),
    )
    .greet();
    let mut start = start_of(ECHO);
    let long = "x".repeat(LONGEST / 2);
    start.profiles[0].content = Some(crate::ProfileContent::new(long));
    for _ in 0..100 {
        let initiator = &mut pair.initiator.session;
        initiator.start(pair.now, start.clone()).unwrap();
    }
    pair.settle();
    let mut asked = pair.listener.take();
    // Sixteen of the longest, and what the window let through beside them.
    let most = 2 * 16 + 4096 / (LONGEST / 2);
    assert!((16..=most).contains(&asked.len()), "{}", asked.len());
    let mut answered = 0;
    while !asked.is_empty() {
        for event in asked {
            let Event::StartRequested { number, .. } = event else {
                panic!("{event:?}");
            };
            answered += 1;
            pair.listener.session.accept_start(number, 0, None).unwrap();
        }
        pair.settle();
        asked = pair.listener.take();
    }
    assert_eq!(answered, 100);
}

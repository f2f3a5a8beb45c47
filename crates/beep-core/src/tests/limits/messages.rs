//! Messages that arrive, and their replies.

use super::*;

#[test]
fn message_max() {
    let config = Config {
        message_max: 50_000,
        ..Config::default()
    };
    check(&config, "message_max", 50_000, [50_000, 50_001], send);
}

#[test]
fn joining_max_bounds_all_messages_being_joined_together() {
    let config = Config {
        joining_max: 50_000,
        ..Config::default()
    };
    check(&config, "joining_max", 50_000, [50_000, 50_001], send);
    // Two of them, neither of which is complete.
    for (second, is_within) in [(20_000, true), (20_001, false)] {
        let (mut pair, first_channel) = limited(config.clone());
        let second_channel = pair.open();
        let mut hand = By::new(&pair);
        hand.begin(&mut pair, first_channel, 30_000);
        hand.begin(&mut pair, second_channel, second);
        assert_eq!(reached(&pair).is_none(), is_within);
    }
}

/// Frames written beside the initiator, which knows nothing of them.
struct By {
    now: std::time::Instant,
}

impl By {
    fn new(pair: &Pair) -> By {
        By { now: pair.now }
    }

    /// Begins a message that is not complete.
    fn begin(&mut self, pair: &mut Pair, channel: ChannelNumber, octets: usize) {
        let frame = format!(
            "MSG {channel} 0 * 0 {octets}\r\n{}END\r\n",
            "x".repeat(octets)
        );
        pair.listener
            .session
            .handle_input(self.now, frame.as_bytes());
    }
}

#[test]
fn answers_interleaved_max() {
    const MOST: usize = 3;
    for (answers, is_within) in [(MOST, true), (MOST + 1, false)] {
        let mut pair = Pair::configured(Config {
            answers_interleaved_max: MOST,
            ..Config::default()
        });
        let channel = pair.open();
        send_empty(&mut pair, channel, 1);
        let initiator = &mut pair.initiator.session;
        for ansno in 0..answers {
            let frame = format!("ANS {channel} 0 * {ansno} 1 {ansno}\r\nxEND\r\n");
            initiator.handle_input(pair.now, frame.as_bytes());
        }
        // One of them ends, and another one may begin.
        if is_within {
            for frame in [
                format!("ANS {channel} 0 . {answers} 0 0\r\nEND\r\n"),
                format!("ANS {channel} 0 * {answers} 0 9\r\nEND\r\n"),
            ] {
                initiator.handle_input(pair.now, frame.as_bytes());
            }
        }
        assert_eq!(initiator.end().is_none(), is_within);
        if let Some(end) = initiator.end() {
            let (what, most) = ("answers_interleaved_max", MOST);
            assert_eq!(end, &SessionEnd::LimitReached(Limit { what, most }));
        }
    }
}

#[test]
fn messages_unanswered_max() {
    let config = Config {
        messages_unanswered_max: 10,
        ..Config::default()
    };
    let what = "messages_unanswered_max";
    check(&config, what, 10, [10, 11], send_empty);
    // An answer makes room.
    check(&config, what, 10, [10, 11], |pair, channel, count| {
        send_empty(pair, channel, 1);
        pair.listener
            .session
            .send_rpy(channel, MsgNo::ZERO, Outgoing::raw(""))
            .unwrap();
        send_empty(pair, channel, count);
    });
}

#[test]
fn four_channels_full_of_unanswered_messages_are_the_most_of_a_session() {
    let config = Config {
        messages_unanswered_max: 10,
        ..Config::default()
    };
    check(
        &config,
        "messages_unanswered_max",
        40,
        [1, 2],
        |pair, channel, last| {
            let others: Vec<_> = (0..5).map(|_| pair.open()).collect();
            // Those of a channel that is closed do not count.
            send_empty(pair, others[4], 10);
            for msgno in 0..10 {
                let msgno = MsgNo::new(msgno).unwrap();
                let reply = Outgoing::raw("");
                let listener = &mut pair.listener.session;
                listener.send_rpy(others[4], msgno, reply).unwrap();
            }
            pair.settle();
            for other in &others[..3] {
                send_empty(pair, *other, 10);
            }
            send_empty(pair, others[3], 9);
            send_empty(pair, channel, last);
        },
    );
}

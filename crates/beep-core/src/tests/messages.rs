//! MSG and replies: their order, kinds and fragments.

use super::pair::{Delivery, Pair, content, kinds, number, pattern};
use crate::MessageKind::{Ans, Err, Msg, Nul, Rpy};
use crate::{Config, MsgNo, Outgoing, SendError};

fn msgno(value: u32) -> MsgNo {
    MsgNo::new(value).unwrap()
}

#[test]
fn a_message_and_its_reply_pass_however_the_octets_are_cut() {
    for delivery in [Delivery::Whole, Delivery::OneOctet, Delivery::Random] {
        let (mut pair, channel) = Pair::with_channel();
        pair.delivery = delivery;
        for size in [0, 1, 4093, 4094, 4095, 4096, 20_000] {
            let asked = pair
                .initiator
                .session
                .send_msg(channel, content(size, 1))
                .unwrap();
            pair.settle();
            let messages = pair.listener.messages();
            assert_eq!(kinds(&messages), [(Msg, asked.value())]);
            assert_eq!(messages[0].payload(), pattern(size, 1));
            pair.listener
                .session
                .send_rpy(channel, asked, content(size, 2))
                .unwrap();
            pair.settle();
            let messages = pair.initiator.messages();
            assert_eq!(kinds(&messages), [(Rpy, asked.value())]);
            assert_eq!(messages[0].payload(), pattern(size, 2));
        }
        pair.release();
    }
}

#[test]
fn replies_given_early_are_kept_until_it_is_their_turn() {
    let (mut pair, channel) = Pair::with_channel();
    for _ in 0..3 {
        pair.initiator
            .session
            .send_msg(channel, Outgoing::new("ask"))
            .unwrap();
    }
    pair.settle();
    assert_eq!(pair.listener.messages().len(), 3);
    let listener = &mut pair.listener.session;
    listener
        .send_rpy(channel, msgno(2), Outgoing::new("third"))
        .unwrap();
    listener
        .send_ans(channel, msgno(1), Outgoing::new("second"))
        .unwrap();
    listener.send_nul(channel, msgno(1)).unwrap();
    pair.settle();
    assert!(pair.initiator.messages().is_empty());
    pair.listener
        .session
        .send_err(channel, msgno(0), Outgoing::new("first"))
        .unwrap();
    pair.settle();
    assert_eq!(
        kinds(&pair.initiator.messages()),
        [(Err, 0), (Ans, 1), (Nul, 1), (Rpy, 2)]
    );
}

#[test]
fn answers_of_the_oldest_message_leave_as_they_are_given() {
    let (mut pair, channel) = Pair::with_channel();
    let asked = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::new("ask"))
        .unwrap();
    pair.settle();
    pair.listener.messages();
    for answer in 0..3 {
        let ansno = pair
            .listener
            .session
            .send_ans(channel, asked, content(10_000, answer))
            .unwrap();
        assert_eq!(ansno.value() as usize, answer);
        pair.settle();
        let messages = pair.initiator.messages();
        assert_eq!(messages[0].payload(), pattern(10_000, answer));
        assert_eq!(messages[0].ansno, Some(ansno));
    }
    pair.listener.session.send_nul(channel, asked).unwrap();
    pair.settle();
    assert_eq!(kinds(&pair.initiator.messages()), [(Nul, 0)]);
    assert!(
        pair.listener.sent_text().contains(" 0\r\nEND\r\n"),
        "NUL carries no octet"
    );
}

#[test]
fn a_reply_that_no_message_awaits_is_refused() {
    let (mut pair, channel) = Pair::with_channel();
    for _ in 0..3 {
        pair.initiator
            .session
            .send_msg(channel, Outgoing::new("ask"))
            .unwrap();
    }
    pair.settle();
    pair.listener.messages();
    let listener = &mut pair.listener.session;
    let refused = |value| {
        Result::Err(SendError::NoSuchMessage {
            channel,
            msgno: msgno(value),
        })
    };
    assert_eq!(
        listener.send_rpy(channel, msgno(3), Outgoing::new("")),
        refused(3)
    );
    listener
        .send_rpy(channel, msgno(1), Outgoing::new(""))
        .unwrap();
    assert_eq!(
        listener.send_rpy(channel, msgno(1), Outgoing::new("")),
        refused(1)
    );
    listener
        .send_ans(channel, msgno(0), Outgoing::new(""))
        .unwrap();
    assert_eq!(
        listener.send_rpy(channel, msgno(0), Outgoing::new("")),
        refused(0)
    );
    listener.send_nul(channel, msgno(0)).unwrap();
    assert_eq!(
        listener
            .send_ans(channel, msgno(0), Outgoing::new(""))
            .map(|_| ()),
        refused(0)
    );
    assert_eq!(listener.send_nul(channel, msgno(0)), refused(0));
    let closed = number(77);
    assert_eq!(
        listener.send_nul(closed, msgno(0)),
        Result::Err(SendError::NotOpen(closed))
    );
}

#[test]
fn both_ends_ask_on_one_channel() {
    let (mut pair, channel) = Pair::with_channel();
    for seed in 0..5 {
        pair.initiator
            .session
            .send_msg(channel, content(9000, seed))
            .unwrap();
        pair.listener
            .session
            .send_msg(channel, content(7000, seed))
            .unwrap();
    }
    pair.settle();
    for end in [&mut pair.initiator, &mut pair.listener] {
        let asked = end.messages();
        assert_eq!(asked.len(), 5);
        for message in asked {
            end.session
                .send_rpy(
                    channel,
                    message.msgno,
                    Outgoing::raw(message.content().clone()),
                )
                .unwrap();
        }
    }
    pair.settle();
    for (end, size) in [(&mut pair.initiator, 9000), (&mut pair.listener, 7000)] {
        let payloads: Vec<_> = end
            .messages()
            .iter()
            .map(|message| message.payload())
            .collect();
        assert_eq!(
            payloads,
            (0..5).map(|seed| pattern(size, seed)).collect::<Vec<_>>()
        );
    }
    pair.release();
}

#[test]
fn without_joining_each_frame_is_an_event() {
    let mut pair = Pair::configured(Config {
        frame_max: 10,
        ..Config::default()
    });
    let channel = pair.open();
    pair.listener.session.set_reassembly(channel, false);
    let asked = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::raw(pattern(25, 0)))
        .unwrap();
    pair.settle();
    let frames = pair.listener.messages();
    let facts: Vec<_> = frames
        .iter()
        .map(|frame| (frame.seqno.value(), frame.content().len(), frame.more))
        .collect();
    assert_eq!(facts, [(0, 10, true), (10, 10, true), (20, 5, false)]);
    pair.listener
        .session
        .send_rpy(channel, asked, Outgoing::new(""))
        .unwrap();
    pair.settle();
    assert_eq!(pair.initiator.messages().len(), 1);
}

#[test]
fn a_message_without_octets_needs_no_window() {
    let mut pair = Pair::configured(Config {
        window_on_open: 4096,
        window_max: 4096,
        ..Config::default()
    });
    let channel = pair.open();
    for _ in 0..4 {
        pair.initiator
            .session
            .send_msg(channel, Outgoing::raw(pattern(1024, 0)))
            .unwrap();
    }
    pair.initiator
        .session
        .send_msg(channel, Outgoing::raw(""))
        .unwrap();
    pair.settle();
    assert_eq!(pair.listener.take().len(), 5);
}

#[test]
fn the_queue_of_a_channel_is_bounded() {
    let mut pair = Pair::configured(Config {
        send_queue_octets: 1000,
        send_queue_messages: 3,
        outstanding_max: 3,
        ..Config::default()
    });
    let channel = pair.open();
    let initiator = &mut pair.initiator.session;
    initiator
        .send_msg(channel, Outgoing::raw(pattern(5000, 0)))
        .unwrap();
    let full = initiator.send_msg(channel, Outgoing::raw("x"));
    assert!(matches!(
        full,
        Result::Err(SendError::QueueFull {
            octets: 5000,
            messages: 1,
            ..
        })
    ));
    pair.settle();
    pair.initiator
        .session
        .send_msg(channel, Outgoing::raw("x"))
        .unwrap();
    pair.initiator
        .session
        .send_msg(channel, Outgoing::raw("x"))
        .unwrap();
    let many = pair.initiator.session.send_msg(channel, Outgoing::raw("x"));
    assert!(matches!(
        many,
        Result::Err(SendError::TooManyOutstanding { awaited: 3, .. })
    ));
}

#[test]
fn a_full_queue_takes_the_reply_that_it_waits_for() {
    let mut pair = Pair::configured(Config {
        send_queue_messages: 3,
        ..Config::default()
    });
    let channel = pair.open();
    let asked: Vec<_> = (0..2)
        .map(|_| {
            pair.initiator
                .session
                .send_msg(channel, content(1, 0))
                .unwrap()
        })
        .collect();
    pair.settle();
    let listener = &mut pair.listener.session;
    for _ in 0..3 {
        listener.send_ans(channel, asked[1], content(1, 1)).unwrap();
    }
    let full = listener.send_nul(channel, asked[1]);
    assert!(matches!(full, Result::Err(SendError::QueueFull { .. })));
    // Nothing can leave before it.
    listener.send_rpy(channel, asked[0], content(1, 2)).unwrap();
    pair.settle();
    pair.listener.session.send_nul(channel, asked[1]).unwrap();
    pair.settle();
    let replies = kinds(&pair.initiator.messages());
    assert_eq!(replies, [(Rpy, 0), (Ans, 1), (Ans, 1), (Ans, 1), (Nul, 1)]);
}

#[test]
fn channels_take_turns() {
    let mut pair = Pair::configured(Config {
        frame_max: 1000,
        ..Config::default()
    });
    let first = pair.open();
    let second = pair.open();
    pair.initiator.sent.clear();
    pair.initiator
        .session
        .send_msg(first, Outgoing::raw(pattern(3000, 0)))
        .unwrap();
    pair.initiator
        .session
        .send_msg(second, Outgoing::raw(pattern(3000, 0)))
        .unwrap();
    pair.settle();
    let text = pair.initiator.sent_text();
    let order: Vec<_> = text
        .match_indices("MSG ")
        .map(|(at, _)| &text[at + 4..at + 5])
        .collect();
    assert_eq!(order, ["3", "5", "3", "5", "3", "5"]);
}

//! Closing channels.

use std::time::Duration;

use super::pair::{Delivery, Pair, content};
use crate::{ChannelFailure, ErrorReply, Event, MsgNo, Outgoing, ReplyCode, SendError};

fn refusal(text: &str) -> ErrorReply {
    ErrorReply::new(ReplyCode::ACTION_REFUSED, text)
}

#[test]
fn a_close_waits_for_replies_and_for_the_queue() {
    let (mut pair, channel) = Pair::with_channel();
    let asked = pair
        .initiator
        .session
        .send_msg(channel, content(10_000, 0))
        .unwrap();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    let closing = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::new("late"));
    assert_eq!(closing, Err(SendError::Closing(channel)));
    pair.settle();
    assert_eq!(pair.listener.messages().len(), 1);
    pair.listener
        .session
        .send_rpy(channel, asked, Outgoing::new(""))
        .unwrap();
    pair.settle();
    assert!(matches!(
        pair.listener.take()[..],
        [Event::CloseRequested { .. }]
    ));
    pair.listener.session.accept_close(channel).unwrap();
    pair.settle();
    assert!(matches!(
        pair.initiator.take()[..],
        [Event::Message { .. }, Event::Closed { by_peer: false, .. }]
    ));
    assert!(matches!(
        pair.listener.take()[..],
        [Event::Closed { by_peer: true, .. }]
    ));
    assert!(pair.initiator.session.channel(channel).is_none());
    pair.release();
}

#[test]
fn an_ok_waits_until_everything_is_answered_at_both_ends() {
    let (mut pair, channel) = Pair::with_channel();
    let asked = pair
        .listener
        .session
        .send_msg(channel, Outgoing::new("one more thing"))
        .unwrap();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.listener.session.accept_close(channel).unwrap();
    pair.settle();
    assert!(!pair.listener.sent_text().contains("<ok"));
    pair.initiator
        .session
        .send_rpy(channel, asked, Outgoing::new(""))
        .unwrap();
    pair.settle();
    assert!(pair.listener.sent_text().contains("<ok />"));
    pair.release();
}

#[test]
fn a_refused_close_leaves_the_channel_usable() {
    let (mut pair, channel) = Pair::with_channel();
    for _ in 0..2 {
        pair.initiator
            .session
            .close(pair.now, channel, ReplyCode::SUCCESS, None)
            .unwrap();
        pair.settle();
        pair.listener
            .session
            .refuse_close(channel, refusal("still working"))
            .unwrap();
        pair.settle();
        let events = pair.initiator.take();
        assert!(
            matches!(
                events[..],
                [Event::CloseFailed {
                    why: ChannelFailure::Refused(_),
                    ..
                }]
            ),
            "{events:?}"
        );
        pair.initiator
            .session
            .send_msg(channel, Outgoing::new("again"))
            .unwrap();
        pair.settle();
        let message = pair.listener.messages().remove(0);
        pair.listener
            .session
            .send_rpy(channel, message.msgno, Outgoing::new(""))
            .unwrap();
        pair.settle();
        assert_eq!(pair.initiator.messages().len(), 1);
    }
}

#[test]
fn crossed_closes_end_the_channel_once_at_each_end() {
    for delivery in [Delivery::Whole, Delivery::OneOctet] {
        let (mut pair, channel) = Pair::with_channel();
        pair.delivery = delivery;
        pair.initiator
            .session
            .close(pair.now, channel, ReplyCode::SUCCESS, None)
            .unwrap();
        pair.listener
            .session
            .close(pair.now, channel, ReplyCode::SUCCESS, None)
            .unwrap();
        pair.settle();
        for end in [&mut pair.initiator, &mut pair.listener] {
            assert!(matches!(end.take()[..], [Event::Closed { number, .. }] if number == channel));
            assert_eq!(end.sent_text().matches("<ok />").count(), 1);
            assert!(end.session.channel(channel).is_none());
        }
        pair.release();
    }
}

#[test]
fn a_close_that_waits_joins_the_close_of_the_peer() {
    let (mut pair, channel) = Pair::with_channel();
    let asked = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::new("ask"))
        .unwrap();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.listener.messages();
    pair.listener
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    assert!(pair.initiator.take().is_empty());
    pair.listener
        .session
        .send_rpy(channel, asked, Outgoing::new(""))
        .unwrap();
    pair.settle();
    assert!(matches!(
        pair.initiator.take()[..],
        [Event::Message { .. }, Event::Closed { .. }]
    ));
    assert!(matches!(pair.listener.take()[..], [Event::Closed { .. }]));
}

#[test]
fn a_close_that_finds_no_time_fails_and_leaves_the_channel_usable() {
    let (mut pair, channel) = Pair::with_channel();
    let asked = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::new("ask"))
        .unwrap();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.pass(Duration::from_secs(60));
    assert!(matches!(
        pair.initiator.take()[..],
        [Event::CloseFailed {
            why: ChannelFailure::TimedOut,
            ..
        }]
    ));
    pair.initiator
        .session
        .send_msg(channel, Outgoing::new("another"))
        .unwrap();
    pair.listener
        .session
        .send_rpy(channel, asked, Outgoing::new(""))
        .unwrap();
    pair.settle();
    assert_eq!(pair.initiator.messages().len(), 1);
    assert!(!pair.initiator.sent_text().contains("<close"));
}

#[test]
fn an_accepted_close_whose_conditions_stay_away_is_refused_with_550() {
    let (mut pair, channel) = Pair::with_channel();
    pair.listener
        .session
        .send_msg(channel, Outgoing::new("unanswered"))
        .unwrap();
    pair.settle();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.listener.session.accept_close(channel).unwrap();
    pair.pass(Duration::from_secs(59));
    pair.listener
        .session
        .handle_timeout(pair.now + Duration::from_secs(1));
    pair.settle();
    let events = pair.initiator.take();
    assert!(
        matches!(&events[..], [_, Event::CloseFailed { why: ChannelFailure::Refused(error), .. }]
        if error.text == "still working"),
        "{events:?}"
    );
    pair.initiator
        .session
        .send_rpy(channel, MsgNo::ZERO, Outgoing::new(""))
        .unwrap();
    pair.listener
        .session
        .send_msg(channel, Outgoing::new("more"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.listener.messages().len(), 1);
}

#[test]
fn a_close_of_what_the_peer_closes_already_is_told_when_that_fails() {
    let (mut pair, channel) = Pair::with_channel();
    // The listener owes a reply, so its agreement to the peer's close waits.
    pair.listener
        .session
        .send_msg(channel, Outgoing::new("never answered"))
        .unwrap();
    pair.settle();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.listener.session.accept_close(channel).unwrap();
    pair.listener
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.listener.take();
    pair.pass(Duration::from_secs(61));
    pair.settle();
    assert!(matches!(
        pair.listener.take()[..],
        [Event::CloseFailed {
            why: ChannelFailure::TimedOut,
            ..
        }]
    ));
}

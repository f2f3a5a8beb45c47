//! Releasing the session, and the other ways in which it ends.

use std::time::Duration;

use super::pair::{ECHO, Pair, start_of};
use crate::{
    ChannelFailure, ChannelNumber, Deadline, ErrorReply, Event, Outgoing, ReplyCode, SendError,
    SessionEnd, UsageError,
};

#[test]
fn a_session_is_released_with_channels_open() {
    let (mut pair, channel) = Pair::with_channel();
    pair.release();
    assert!(pair.listener.sent_text().ends_with("<ok />END\r\n"));
    let after = pair.initiator.session.send_msg(channel, Outgoing::new(""));
    assert_eq!(after, Err(SendError::SessionEnded));
}

#[test]
fn the_side_that_agreed_hangs_up_by_itself_after_a_while() {
    let mut pair = Pair::new();
    pair.initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.listener
        .session
        .accept_close(ChannelNumber::MANAGEMENT)
        .unwrap();
    pair.settle();
    pair.listener
        .session
        .handle_timeout(pair.now + Duration::from_secs(9));
    assert!(!pair.listener.session.should_hang_up());
    pair.listener
        .session
        .handle_timeout(pair.now + Duration::from_secs(10));
    assert_eq!(
        pair.listener.session.end(),
        Some(&SessionEnd::Released { by_peer: true })
    );
    assert!(pair.listener.session.should_hang_up());
}

#[test]
fn a_session_that_only_lingers_is_released_when_it_is_aborted() {
    let mut pair = Pair::new();
    pair.initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    let listener = &mut pair.listener.session;
    listener.accept_close(ChannelNumber::MANAGEMENT).unwrap();
    // Before the `<ok />` is out there is nothing to count on.
    assert_eq!(listener.end(), None);
    pair.settle();
    pair.listener.session.abort();
    assert_eq!(
        pair.listener.session.end(),
        Some(&SessionEnd::Released { by_peer: true })
    );
}

#[test]
fn a_release_waits_for_replies_and_can_be_refused() {
    let (mut pair, channel) = Pair::with_channel();
    let asked = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::new("ask"))
        .unwrap();
    pair.initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    let again = pair
        .initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None);
    assert_eq!(
        again,
        Err(UsageError::AlreadyClosing(ChannelNumber::MANAGEMENT))
    );
    pair.settle();
    assert_eq!(pair.listener.messages().len(), 1);
    pair.listener
        .session
        .send_rpy(channel, asked, Outgoing::new(""))
        .unwrap();
    pair.settle();
    assert!(matches!(
        pair.listener.take()[..],
        [Event::ReleaseRequested { .. }]
    ));
    let error = ErrorReply::new(ReplyCode::ACTION_REFUSED, "still working");
    pair.listener
        .session
        .refuse_close(ChannelNumber::MANAGEMENT, error)
        .unwrap();
    pair.settle();
    let events = pair.initiator.take();
    assert!(matches!(
        events[..],
        [
            Event::Message { .. },
            Event::CloseFailed {
                why: ChannelFailure::Refused(_),
                ..
            }
        ]
    ));
    pair.initiator
        .session
        .send_msg(channel, Outgoing::new("on we go"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.listener.messages().len(), 1);
}

#[test]
fn crossed_releases_end_both_ends_with_one_answer() {
    let mut pair = Pair::new();
    pair.initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.listener
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    // Only the listener answered: its `<ok />` is the last frame, and the initiator hangs up on it.
    assert!(pair.initiator.session.should_hang_up());
    assert!(pair.listener.session.end().is_none());
    pair.listener.session.handle_end_of_stream(pair.now);
    for end in [&mut pair.initiator, &mut pair.listener] {
        assert!(matches!(
            end.session.end(),
            Some(SessionEnd::Released { .. })
        ));
        assert!(matches!(end.take()[..], [Event::Ended(_)]));
    }
}

#[test]
fn a_peer_that_answers_the_release_by_ending_the_connection_has_agreed() {
    let mut pair = Pair::new();
    pair.initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.initiator.session.handle_end_of_stream(pair.now);
    assert_eq!(
        pair.initiator.session.end(),
        Some(&SessionEnd::Released { by_peer: false })
    );
}

#[test]
fn a_release_that_is_not_answered_ends_the_session_in_the_end() {
    let mut pair = Pair::new();
    pair.initiator
        .session
        .release(pair.now, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.pass(Duration::from_secs(60));
    assert_eq!(
        pair.initiator.session.end(),
        Some(&SessionEnd::TimedOut(Deadline::Release))
    );
}

#[test]
fn who_waits_for_an_answer_is_told_that_the_session_ended() {
    let (mut pair, channel) = Pair::with_channel();
    pair.initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    pair.initiator
        .session
        .close(pair.now, channel, ReplyCode::SUCCESS, None)
        .unwrap();
    pair.settle();
    pair.initiator.session.abort();
    pair.initiator.session.abort();
    let events = pair.initiator.take();
    assert!(matches!(
        events[..],
        [
            Event::StartFailed {
                why: ChannelFailure::SessionEnded,
                ..
            },
            Event::CloseFailed {
                why: ChannelFailure::SessionEnded,
                ..
            },
            Event::Ended(SessionEnd::Aborted)
        ]
    ));
    assert!(!pair.initiator.session.wants_transmit());
    assert_eq!(pair.initiator.session.handle_input(pair.now, b"MSG"), 0);
}

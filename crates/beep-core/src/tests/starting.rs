//! Starting channels.

use std::time::Duration;

use super::pair::{ECHO, Pair, number, offer, start_of};
use crate::{
    ChannelFailure, Config, ErrorReply, Event, Outgoing, ProfileContent, ReplyCode, SendError,
    StartRequest, UsageError,
};

fn refusal(text: &str) -> ErrorReply {
    ErrorReply::new(ReplyCode::ACTION_REFUSED, text)
}

#[test]
fn initiators_take_odd_numbers_from_3_and_listeners_even_ones_from_4() {
    let mut pair = Pair::new();
    let now = pair.now;
    let explicit = StartRequest {
        number: Some(number(5)),
        ..start_of(ECHO)
    };
    let initiator = &mut pair.initiator.session;
    assert_eq!(initiator.start(now, explicit.clone()), Ok(number(5)));
    assert_eq!(
        initiator.start(now, explicit),
        Err(UsageError::NumberInUse(number(5)))
    );
    for expected in [3, 7, 9] {
        assert_eq!(initiator.start(now, start_of(ECHO)), Ok(number(expected)));
    }
    for expected in [4, 6] {
        assert_eq!(
            pair.listener.session.start(now, start_of(ECHO)),
            Ok(number(expected))
        );
    }
    assert_eq!(
        pair.initiator.session.start(now, StartRequest::default()),
        Err(UsageError::NoProfile)
    );
}

#[test]
fn a_start_may_be_asked_for_before_the_greeting_and_leaves_after_it() {
    let mut pair = Pair::silent();
    let channel = pair
        .initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    pair.initiator
        .session
        .greet(&crate::Greeting::default())
        .unwrap();
    pair.settle();
    assert!(!pair.initiator.sent_text().contains("<start"));
    pair.listener
        .session
        .greet(&crate::Greeting::default())
        .unwrap();
    pair.settle();
    let events = pair.listener.take();
    assert!(
        matches!(&events[1], Event::StartRequested { number, .. } if *number == channel),
        "{events:?}"
    );
}

#[test]
fn nothing_is_sent_on_a_channel_before_its_start_is_answered() {
    let mut pair = Pair::new();
    let channel = pair
        .initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    let early = pair
        .initiator
        .session
        .send_msg(channel, Outgoing::new("early"));
    assert_eq!(early, Err(SendError::NotOpen(channel)));
    pair.settle();
    pair.listener.take();
    assert_eq!(
        pair.listener.session.send_msg(channel, Outgoing::new("x")),
        Err(SendError::NotOpen(channel))
    );
    pair.listener
        .session
        .accept_start(channel, 0, None)
        .unwrap();
    // The acceptor may speak at once; the octets leave behind the answer.
    pair.listener
        .session
        .send_msg(channel, Outgoing::new("hello"))
        .unwrap();
    pair.settle();
    let events = pair.initiator.take();
    assert!(
        matches!(events[..], [Event::Started { .. }, Event::Message { .. }]),
        "{events:?}"
    );
}

#[test]
fn answers_to_starts_leave_in_the_order_of_the_requests() {
    let mut pair = Pair::new();
    let channels: Vec<_> = (0..3)
        .map(|_| {
            pair.initiator
                .session
                .start(pair.now, start_of(ECHO))
                .unwrap()
        })
        .collect();
    pair.settle();
    pair.listener
        .session
        .refuse_start(channels[2], refusal("no"))
        .unwrap();
    pair.listener
        .session
        .accept_start(channels[1], 0, None)
        .unwrap();
    pair.settle();
    assert!(pair.initiator.take().is_empty());
    let content = Some(ProfileContent::new("riding along"));
    pair.listener
        .session
        .accept_start(channels[0], 0, content.clone())
        .unwrap();
    pair.settle();
    let events = pair.initiator.take();
    match &events[..] {
        [
            Event::Started {
                number: first,
                profile,
            },
            Event::Started { number: second, .. },
            Event::StartFailed {
                number: third,
                why: ChannelFailure::Refused(error),
            },
        ] => {
            assert_eq!([*first, *second, *third], channels[..]);
            assert_eq!(profile.content, content);
            assert_eq!(error.text, "no");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_accepted_start_with_a_server_name_fixes_it_for_both_ends() {
    let mut pair = Pair::new();
    let named = |name: &str| StartRequest {
        server_name: Some(name.to_owned()),
        ..start_of(ECHO)
    };
    let refused = pair
        .initiator
        .session
        .start(pair.now, named("one.example:602"))
        .unwrap();
    pair.settle();
    pair.listener
        .session
        .refuse_start(refused, refusal("no"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.initiator.session.server_name(), None);
    let accepted = pair
        .initiator
        .session
        .start(pair.now, named("two.example:602"))
        .unwrap();
    pair.settle();
    pair.listener
        .session
        .accept_start(accepted, 0, None)
        .unwrap();
    pair.settle();
    for end in [&pair.initiator, &pair.listener] {
        assert_eq!(end.session.server_name(), Some("two.example"));
    }
    pair.listener.take();
    pair.initiator
        .session
        .start(pair.now, named("three.example"))
        .unwrap();
    pair.settle();
    assert!(matches!(
        pair.listener.take()[..],
        [Event::StartRequested {
            server_name: None,
            ..
        }]
    ));
}

#[test]
fn too_many_channels_are_refused_with_554() {
    let few = Config {
        channels_max: 1,
        ..Config::default()
    };
    let mut pair = Pair::asymmetric(Config::default(), few, Default::default()).greet();
    pair.open();
    pair.initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    pair.settle();
    match &pair.initiator.take()[..] {
        [
            Event::StartFailed {
                why: ChannelFailure::Refused(error),
                ..
            },
        ] => {
            assert_eq!(error.code, ReplyCode::TRANSACTION_FAILED);
        }
        other => panic!("{other:?}"),
    }
    let own = pair.listener.session.start(pair.now, start_of(ECHO));
    assert_eq!(own, Err(UsageError::TooManyChannels(1)));
}

#[test]
fn the_profile_chosen_is_the_one_answered() {
    let mut pair = Pair::new();
    let profiles = vec![offer("urn:x-test:first"), offer("urn:x-test:second")];
    let channel = pair
        .initiator
        .session
        .start(
            pair.now,
            StartRequest {
                profiles,
                ..Default::default()
            },
        )
        .unwrap();
    pair.settle();
    let listener = &mut pair.listener.session;
    assert_eq!(
        listener.accept_start(channel, 2, None),
        Err(UsageError::NoSuchProfile(2))
    );
    listener.accept_start(channel, 1, None).unwrap();
    assert_eq!(
        listener.accept_start(channel, 1, None),
        Err(UsageError::NoSuchStart(channel))
    );
    pair.settle();
    for end in [&pair.initiator, &pair.listener] {
        assert_eq!(
            end.session.channel(channel).unwrap().profile(),
            "urn:x-test:second"
        );
    }
}

#[test]
fn a_late_answer_to_a_start_that_timed_out_is_closed_silently() {
    let mut pair = Pair::new();
    let channel = pair
        .initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    pair.settle();
    pair.listener.take();
    pair.pass(Duration::from_secs(60));
    assert!(matches!(
        pair.initiator.take()[..],
        [Event::StartFailed {
            why: ChannelFailure::TimedOut,
            ..
        }]
    ));
    pair.listener
        .session
        .accept_start(channel, 0, None)
        .unwrap();
    pair.listener
        .session
        .send_msg(channel, Outgoing::new("anyone there?"))
        .unwrap();
    pair.settle();
    assert!(pair.initiator.session.channel(channel).is_none());
    let events = pair.listener.take();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::CloseRequested { .. })),
        "{events:?}"
    );
    pair.listener.session.accept_close(channel).unwrap();
    pair.settle();
    assert!(matches!(
        pair.listener.take()[..],
        [Event::Closed { by_peer: true, .. }]
    ));
    assert!(pair.initiator.take().is_empty());
    pair.release();
}

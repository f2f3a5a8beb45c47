//! Tuning: the hand-over to a security layer.

use super::pair::{ECHO, Pair, start_of};
use crate::{
    ChannelFailure, Config, ErrorReply, Event, Outgoing, ReplyCode, SessionEnd, StartRequest,
};

const TLS: &str = "http://iana.org/beep/TLS";

fn tuning_pair() -> Pair {
    let mut pair = Pair::configured(Config {
        tuning_profiles: vec![TLS.to_owned()],
        ..Config::default()
    });
    let named = StartRequest {
        server_name: Some("host.example".to_owned()),
        ..start_of(ECHO)
    };
    let channel = pair.initiator.session.start(pair.now, named).unwrap();
    pair.settle();
    pair.listener
        .session
        .accept_start(channel, 0, None)
        .unwrap();
    pair.settle();
    pair.initiator.take();
    pair.listener.take();
    pair
}

/// Whoever is in the middle can have had the listener take another one before.
#[test]
fn a_tuning_start_tells_the_name_that_is_in_force_here() {
    let mut pair = tuning_pair();
    let name = Some("host.example".to_owned());
    assert_eq!(pair.initiator.session.server_name(), name.as_deref());
    let start = StartRequest {
        tuning: true,
        server_name: name.clone(),
        ..start_of(TLS)
    };
    pair.initiator.session.start(pair.now, start).unwrap();
    pair.settle();
    let events = pair.listener.take();
    assert!(
        matches!(&events[..], [Event::StartRequested { server_name, .. }] if *server_name == name),
        "{events:?}"
    );
}

#[test]
fn nothing_is_taken_or_sent_around_the_answer_and_everything_begins_anew() {
    let mut pair = tuning_pair();
    let start = StartRequest {
        tuning: true,
        ..start_of(TLS)
    };
    let channel = pair.initiator.session.start(pair.now, start).unwrap();
    pair.step();
    // Asked for, so nothing else may leave before the answer.
    pair.initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    pair.settle();
    assert!(pair.listener.session.is_input_held());
    assert_eq!(
        pair.listener
            .session
            .handle_input(pair.now, b"\x16\x03\x01"),
        0
    );
    pair.listener
        .session
        .accept_start(channel, 0, None)
        .unwrap();
    assert!(pair.listener.session.is_input_held() && !pair.listener.session.is_tuning_agreed());
    pair.settle();
    assert!(
        !pair
            .initiator
            .sent_text()
            .contains(&format!("number='{}'", channel.value() + 2))
    );
    assert!(matches!(pair.initiator.take()[..], [Event::Started { .. }]));
    for end in [&mut pair.initiator, &mut pair.listener] {
        assert!(end.session.is_input_held());
        assert!(!end.session.wants_transmit());
        end.take();
        assert!(end.session.is_tuning_agreed());
        let tuned = end.session.tune(pair.now, None).unwrap();
        let old = std::mem::replace(&mut end.session, tuned);
        assert_eq!(old.end(), Some(&SessionEnd::Tuned));
        assert!(!end.session.is_input_held());
        assert_eq!(end.session.server_name(), Some("host.example"));
        assert_eq!(end.session.channel_numbers().count(), 1);
    }
    let mut pair = pair.greet();
    assert_eq!(pair.open().value(), 3);
    pair.release();
}

#[test]
fn what_the_old_session_still_waited_for_fails_before_it_ends() {
    let mut pair = tuning_pair();
    let start = StartRequest {
        tuning: true,
        ..start_of(TLS)
    };
    let channel = pair.initiator.session.start(pair.now, start).unwrap();
    pair.step();
    let late = pair
        .initiator
        .session
        .start(pair.now, start_of(ECHO))
        .unwrap();
    pair.settle();
    pair.listener
        .session
        .accept_start(channel, 0, None)
        .unwrap();
    pair.settle();
    pair.initiator.take();
    let old = &mut pair.initiator.session;
    assert!(old.tune(pair.now, None).is_some());
    let events = pair.initiator.take();
    assert!(
        matches!(
            &events[..],
            [
                Event::StartFailed { number, why: ChannelFailure::SessionEnded },
                Event::Ended(SessionEnd::Tuned),
            ] if *number == late
        ),
        "{events:?}"
    );
    let old = &mut pair.initiator.session;
    assert_eq!(old.handle_input(pair.now, b"RPY 0 1 . 0 0\r\n"), 0);
    assert!(!old.wants_transmit() && old.poll_timeout().is_none());
    assert!(old.tune(pair.now, None).is_none());
}

#[test]
fn a_refused_tuning_start_lets_the_session_go_on() {
    let mut pair = tuning_pair();
    let start = StartRequest {
        tuning: true,
        ..start_of(TLS)
    };
    let channel = pair.initiator.session.start(pair.now, start).unwrap();
    pair.settle();
    let error = ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "no");
    pair.listener.session.refuse_start(channel, error).unwrap();
    pair.settle();
    assert!(!pair.listener.session.is_input_held() && !pair.initiator.session.is_input_held());
    pair.initiator.take();
    pair.listener.take();
    pair.open();
}

#[test]
fn a_negotiation_that_failed_politely_leaves_the_session_as_it_was() {
    let mut pair = tuning_pair();
    let start = StartRequest {
        tuning: true,
        ..start_of(TLS)
    };
    let channel = pair.initiator.session.start(pair.now, start).unwrap();
    pair.settle();
    pair.listener
        .session
        .accept_start(channel, 0, None)
        .unwrap();
    pair.settle();
    pair.initiator.session.resume_after_tuning();
    pair.listener.session.resume_after_tuning();
    pair.settle();
    pair.initiator.take();
    pair.listener.take();
    let channel = pair.open();
    pair.initiator
        .session
        .send_msg(channel, Outgoing::new("still here"))
        .unwrap();
    pair.settle();
    assert_eq!(pair.listener.messages().len(), 1);
}

#[test]
fn tuning_starts_that_cross_are_both_answered() {
    let mut pair = tuning_pair();
    let start = || StartRequest {
        tuning: true,
        ..start_of(TLS)
    };
    let now = pair.now;
    let from_initiator = pair.initiator.session.start(now, start()).unwrap();
    let from_listener = pair.listener.session.start(now, start()).unwrap();
    pair.settle();
    for (end, number) in [
        (&mut pair.initiator, from_listener),
        (&mut pair.listener, from_initiator),
    ] {
        // The octets behind it are not those of another layer: the peer waits for an answer of its own.
        assert!(!end.session.is_input_held());
        let error = ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "after you");
        end.session.refuse_start(number, error).unwrap();
    }
    pair.settle();
    for end in [&mut pair.initiator, &mut pair.listener] {
        let events = end.take();
        assert!(
            matches!(
                &events[..],
                [
                    Event::StartRequested { .. },
                    Event::StartFailed {
                        why: ChannelFailure::Refused(_),
                        ..
                    }
                ]
            ),
            "{events:?}"
        );
    }
    pair.open();
}

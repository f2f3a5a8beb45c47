//! Greetings, refusals and what comes instead of them.

use std::time::Duration;

use super::pair::Pair;
use crate::{Config, Deadline, ErrorReply, Event, Greeting, ReplyCode, SessionEnd, UsageError};

#[test]
fn both_ends_greet_in_either_order() {
    for initiator_first in [true, false] {
        let mut pair = Pair::silent();
        let greeting = Greeting {
            profiles: vec!["urn:x-test:a".into()],
            ..Greeting::default()
        };
        let (first, second) = if initiator_first {
            (&mut pair.initiator, &mut pair.listener)
        } else {
            (&mut pair.listener, &mut pair.initiator)
        };
        first.session.greet(&greeting).unwrap();
        assert_eq!(
            first.session.greet(&greeting),
            Err(UsageError::AlreadyGreeted)
        );
        assert!(first.session.wants_transmit());
        assert!(!second.session.wants_transmit());
        pair.settle();
        let late = if initiator_first {
            &mut pair.listener
        } else {
            &mut pair.initiator
        };
        assert_eq!(late.session.peer_greeting(), Some(&greeting));
        late.session.greet(&greeting).unwrap();
        pair.settle();
        assert_eq!(
            pair.initiator.session.peer_greeting(),
            pair.listener.session.peer_greeting()
        );
    }
}

#[test]
fn a_refusal_takes_the_place_of_the_greeting_and_ends_both_ends() {
    let mut pair = Pair::silent();
    pair.initiator.session.greet(&Greeting::default()).unwrap();
    let error = ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "closed on Sundays");
    pair.listener.session.refuse(error.clone());
    assert!(!pair.listener.session.should_hang_up());
    pair.settle();
    assert_eq!(
        pair.listener.session.end(),
        Some(&SessionEnd::Refused(error.clone()))
    );
    assert_eq!(
        pair.initiator.session.end(),
        Some(&SessionEnd::GreetingRefused(error))
    );
    assert!(pair.listener.session.should_hang_up());
    assert!(matches!(pair.initiator.take()[..], [Event::Ended(_)]));
}

#[test]
fn a_peer_that_does_not_greet_is_waited_for_a_minute() {
    let mut pair = Pair::silent();
    pair.initiator.session.greet(&Greeting::default()).unwrap();
    assert_eq!(
        pair.initiator.session.poll_timeout(),
        Some(pair.now + Duration::from_secs(60))
    );
    pair.pass(Duration::from_secs(60));
    assert_eq!(
        pair.initiator.session.end(),
        Some(&SessionEnd::TimedOut(Deadline::Greeting))
    );
    assert_eq!(pair.initiator.session.poll_timeout(), None);
}

#[test]
fn a_greeting_over_4096_octets_needs_a_setting() {
    let profiles: Vec<_> = (0..200)
        .map(|at| format!("urn:x-test:a-rather-long-profile-name-{at}"))
        .collect();
    let greeting = Greeting {
        profiles,
        ..Greeting::default()
    };
    for (greeting_octets, is_taken) in [(4096, false), (20_000, true)] {
        let config = Config {
            greeting_octets,
            ..Config::default()
        };
        let mut pair = Pair::asymmetric(config, Config::default(), Default::default());
        pair.initiator.session.greet(&Greeting::default()).unwrap();
        pair.listener.session.greet(&greeting).unwrap();
        pair.settle();
        assert_eq!(pair.initiator.session.peer_greeting().is_some(), is_taken);
    }
}

#[test]
fn a_text_that_xml_cannot_carry_is_refused() {
    let mut pair = Pair::silent();
    let greeting = Greeting {
        features: Some("\u{1}".into()),
        ..Greeting::default()
    };
    assert_eq!(
        pair.initiator.session.greet(&greeting),
        Err(UsageError::NotXmlText("greeting"))
    );
}

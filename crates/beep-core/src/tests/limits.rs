//! Everything that a peer can make grow has a limit.

use std::time::Duration;

use super::pair::{Pair, content};
use crate::{Config, Deadline, Limit, Outgoing, SessionEnd};

fn run_into(limited: Config, act: impl Fn(&mut Pair, crate::ChannelNumber)) -> Limit {
    let mut pair = Pair::asymmetric(Config::default(), limited, Default::default()).greet();
    let channel = pair.open();
    act(&mut pair, channel);
    pair.settle();
    match pair.listener.session.end() {
        Some(SessionEnd::LimitReached(limit)) => *limit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_grows_too_large_ends_the_session() {
    let config = Config {
        message_max: 50_000,
        ..Config::default()
    };
    let limit = run_into(config, |pair, channel| {
        pair.initiator
            .session
            .send_msg(channel, content(50_000, 0))
            .unwrap();
    });
    assert_eq!(
        limit,
        Limit {
            what: "message_max",
            most: 50_000
        }
    );
}

#[test]
fn all_messages_being_joined_have_a_limit_together() {
    let config = Config {
        joining_max: 50_000,
        ..Config::default()
    };
    let limit = run_into(config, |pair, channel| {
        pair.initiator
            .session
            .send_msg(channel, content(60_000, 0))
            .unwrap();
    });
    assert_eq!(limit.what, "joining_max");
}

#[test]
fn messages_that_nobody_answers_have_a_limit() {
    let config = Config {
        messages_unanswered_max: 10,
        ..Config::default()
    };
    let limit = run_into(config, |pair, channel| {
        for _ in 0..11 {
            pair.initiator
                .session
                .send_msg(channel, Outgoing::raw(""))
                .unwrap();
        }
    });
    assert_eq!(limit.what, "messages_unanswered_max");
}

#[test]
fn messages_without_octets_that_nobody_consumes_have_a_limit() {
    let config = Config {
        messages_held_max: 10,
        ..Config::default()
    };
    let limit = run_into(config, |pair, channel| {
        for _ in 0..11 {
            pair.initiator
                .session
                .send_msg(channel, Outgoing::raw(""))
                .unwrap();
        }
    });
    assert_eq!(limit.what, "messages_held_max");
}

#[test]
fn a_silent_peer_is_given_up_when_the_config_says_so() {
    let config = Config {
        idle_timeout: Some(Duration::from_secs(5)),
        ..Config::default()
    };
    let mut pair = Pair::configured(config);
    pair.pass(Duration::from_secs(4));
    let channel = pair.open();
    pair.pass(Duration::from_secs(4));
    assert!(pair.initiator.session.channel(channel).is_some());
    pair.pass(Duration::from_secs(1));
    assert_eq!(
        pair.initiator.session.end(),
        Some(&SessionEnd::TimedOut(Deadline::Idle))
    );
}

#[test]
fn a_config_that_cannot_work_is_refused_with_the_name_of_the_field() {
    for (config, field) in [
        (
            Config {
                frame_max: 0,
                ..Config::default()
            },
            "frame_max",
        ),
        (
            Config {
                window_on_open: 4095,
                ..Config::default()
            },
            "window_on_open",
        ),
        (
            Config {
                window_max: 5000,
                ..Config::default()
            },
            "window_max",
        ),
    ] {
        assert_eq!(config.checked().unwrap_err().field, field);
    }
}

#[test]
fn an_idle_session_is_small() {
    assert!(std::mem::size_of::<crate::Session>() <= 640);
    assert!(std::mem::size_of::<crate::channel::Channel>() <= 320);
}

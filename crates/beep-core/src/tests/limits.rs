//! Everything that a peer can make grow has a limit: what is within it passes, and one more does not.

mod deadlines;
mod held;
mod management;
mod messages;
mod sending;

use std::time::Duration;

use super::pair::{ECHO, Pair, number, pattern, start_of};
use super::raw::{HEADERS, Hand};
use crate::{
    ChannelFailure, ChannelNumber, Config, Deadline, Event, Limit, MsgNo, Outgoing, ReplyCode,
    SendError, SessionEnd, UsageError,
};

/// The listener has these limits; one channel is open.
fn limited(config: Config) -> (Pair, ChannelNumber) {
    let mut pair = Pair::asymmetric(Config::default(), config, Default::default()).greet();
    let channel = pair.open();
    (pair, channel)
}

fn reached(pair: &Pair) -> Option<Limit> {
    match pair.listener.session.end() {
        None => None,
        Some(SessionEnd::LimitReached(limit)) => Some(*limit),
        Some(other) => panic!("{other:?}"),
    }
}

/// With `within` nothing happens, with `beyond` the session ends over this limit.
#[track_caller]
fn check<T: Copy>(
    config: &Config,
    what: &'static str,
    most: usize,
    [within, beyond]: [T; 2],
    act: impl Fn(&mut Pair, ChannelNumber, T),
) {
    for (much, expected) in [(within, None), (beyond, Some(Limit { what, most }))] {
        let (mut pair, channel) = limited(config.clone());
        act(&mut pair, channel, much);
        pair.settle();
        assert_eq!(reached(&pair), expected);
    }
}

/// The initiator sends so many MSGs without an octet.
fn send_empty(pair: &mut Pair, channel: ChannelNumber, count: usize) {
    for _ in 0..count {
        let empty = Outgoing::raw("");
        pair.initiator.session.send_msg(channel, empty).unwrap();
    }
    pair.settle();
}

fn send(pair: &mut Pair, channel: ChannelNumber, octets: usize) {
    let message = Outgoing::raw(pattern(octets, 0));
    pair.initiator.session.send_msg(channel, message).unwrap();
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

//! Runs the examples and compares what they print with the `-- expect:` lines of their first comment.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};
use support::{Outcome, Running, luavortex, root, run};

const COVERED: [&str; 9] = [
    "answers.lua",
    "channel_pool.lua",
    "client.lua",
    "echo.lua",
    "event_fd.lua",
    "listener.lua",
    "request_answer.lua",
    "secure.lua",
    "timers.lua",
];

/// What the example promises to print, in order.
fn expectations(name: &str) -> Vec<String> {
    let source = fs::read_to_string(root().join("examples").join(name)).unwrap();
    let comment = source
        .lines()
        .skip_while(|line| line.starts_with("#!"))
        .take_while(|line| line.starts_with("--"));
    let texts: Vec<String> = comment
        .filter_map(|line| line.strip_prefix("-- expect: "))
        .map(|text| text.trim_end().to_owned())
        .collect();
    assert!(
        !texts.is_empty(),
        "{name} does not say what it prints: its first comment needs `-- expect: TEXT`"
    );
    texts
}

#[track_caller]
fn check(name: &str, outcome: Outcome) {
    let outcome = outcome.expect_code(0);
    assert_eq!(outcome.stderr, "", "{name}: {outcome:#?}");
    let mut rest = outcome.stdout.as_str();
    for text in expectations(name) {
        let Some(place) = rest.find(&text) else {
            panic!("{name} did not print {text:?} in its turn: {outcome:#?}")
        };
        rest = rest.get(place + text.len()..).unwrap_or_default();
    }
}

#[track_caller]
fn check_alone(name: &str) {
    let path = format!("examples/{name}");
    check(name, run(luavortex([path]).current_dir(root())));
}

#[test]
fn every_example_is_covered() {
    let files = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let found: BTreeSet<String> = files
        .map(|name| name.into_string().unwrap())
        .filter(|name| name.ends_with(".lua"))
        .collect();
    assert_eq!(found, COVERED.map(str::to_owned).into());
}

#[test]
fn echo() {
    check_alone("echo.lua");
}

#[test]
fn request_answer() {
    check_alone("request_answer.lua");
}

#[test]
fn secure() {
    check_alone("secure.lua");
}

#[test]
fn answers() {
    check_alone("answers.lua");
}

#[test]
fn channel_pool() {
    check_alone("channel_pool.lua");
}

#[test]
fn timers() {
    check_alone("timers.lua");
}

#[test]
fn event_fd() {
    check_alone("event_fd.lua");
}

#[test]
fn listener_and_client_until_ctrl_c() {
    listener_and_client(SIGINT);
}

#[test]
fn listener_and_client_until_termination() {
    listener_and_client(SIGTERM);
}

#[track_caller]
fn listener_and_client(ends_with: Signal) {
    let mut listener =
        Running::start(luavortex(["examples/listener.lua", "0"]).current_dir(root()));
    let port = listener.wait_for(last_number).to_string();
    check(
        "client.lua",
        run(luavortex(["examples/client.lua", "127.0.0.1", &port]).current_dir(root())),
    );
    listener.signal(ends_with);
    check("listener.lua", listener.finish());
}

/// The port in a line that tells it.
fn last_number(line: &str) -> Option<u16> {
    line.rsplit(|character: char| !character.is_ascii_digit())
        .find(|digits| !digits.is_empty())?
        .parse()
        .ok()
}

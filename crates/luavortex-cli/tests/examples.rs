//! Runs the examples and compares what they print with the `-- expect:` lines of their first comment.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::Signal::{self, SIGINT, SIGTERM};
use support::{Directory, Outcome, Running, luavortex, root, run, run_with_input};

const COVERED: [&str; 15] = [
    "admin_shell.lua",
    "answers.lua",
    "channel_pool.lua",
    "chat_room.lua",
    "client.lua",
    "echo.lua",
    "event_fd.lua",
    "event_feed.lua",
    "file_transfer.lua",
    "listener.lua",
    "remote_calls.lua",
    "request_answer.lua",
    "secure.lua",
    "syslog_raw.lua",
    "timers.lua",
];

/// An example that takes longer to read than this is none to start from.
const LINES_MAX: usize = 120;

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
fn no_example_is_long() {
    for name in COVERED {
        let source = fs::read_to_string(root().join("examples").join(name)).unwrap();
        let lines = source.lines().count();
        assert!(lines < LINES_MAX, "{name} has {lines} lines");
    }
}

#[test]
fn admin_shell() {
    check_alone("admin_shell.lua");
}

#[test]
fn chat_room() {
    check_alone("chat_room.lua");
}

#[test]
fn event_feed() {
    check_alone("event_feed.lua");
}

#[test]
fn file_transfer() {
    check_alone("file_transfer.lua");
}

#[test]
fn file_transfer_between_two_processes() {
    let directory = Directory::new("file-transfer");
    let content: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    directory.write("picture.bin", &content);
    let here = Directory::new("file-transfer-here");
    let script = root().join("examples/file_transfer.lua");
    let script = script.to_str().unwrap();
    let mut server = Running::start(&mut luavortex([
        script,
        "serve",
        directory.path().to_str().unwrap(),
    ]));
    let port = server.wait_for(last_number).to_string();
    let get = ["get", "127.0.0.1", &port, "picture.bin"];
    run(luavortex([script]).args(get).current_dir(here.path())).expect_code(0);
    let received = fs::read(here.path().join("picture.bin")).unwrap();
    assert!(
        received == content,
        "{} octets instead of {}",
        received.len(),
        content.len()
    );
    server.signal(SIGINT);
    server.finish().expect_code(0);
}

#[test]
fn remote_calls() {
    check_alone("remote_calls.lua");
}

#[test]
fn syslog_raw() {
    check_alone("syslog_raw.lua");
}

#[test]
fn syslog_raw_takes_what_logger_writes() {
    let script = "examples/syslog_raw.lua";
    let mut collector = Running::start(luavortex([script, "collect"]).current_dir(root()));
    let port = collector.wait_for(last_number).to_string();
    let lines = "<13>Nov 23 04:05:06 root: the first\n<11>Nov 23 04:05:07 root: the \u{7}second\n";
    run_with_input(
        luavortex([script, "send", "127.0.0.1", &port]).current_dir(root()),
        lines,
    )
    .expect_code(0);
    collector.wait_for_line("collector: user notice: Nov 23 04:05:06 root: the first");
    collector.wait_for_line("collector: user err: Nov 23 04:05:07 root: the ?second");
    collector.wait_for_line("collector: 2 entries from 127.0.0.1");
    collector.signal(SIGTERM);
    collector.finish().expect_code(0);
}

#[test]
fn a_chat_room_stays_open() {
    let mut room = Running::start(luavortex(["examples/chat_room.lua", "0"]).current_dir(root()));
    room.wait_for(last_number);
    room.wait_until_asleep();
    room.signal(SIGINT);
    room.finish().expect_code(0);
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

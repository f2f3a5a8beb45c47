//! Ctrl-C.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use nix::sys::signal::Signal::SIGINT;
use support::{Running, luavortex};

const READY: &str = "io.stdout:setvbuf 'no' print 'ready' ";

fn start(code: &str) -> Running {
    let mut running = Running::start(&mut luavortex(["-e", &format!("{READY} {code}")]));
    running.wait_for_line("ready");
    running
}

/// The first wait is over before the line, so that the next one only waits.
fn start_waiting(code: &str) -> Running {
    let code = format!("local vortex = require 'vortex' vortex.sleep(1) {READY} {code}");
    let mut running = Running::start(&mut luavortex(["-e", &code]));
    running.wait_for_line("ready");
    running
}

#[test]
fn a_wait_ends_with_an_error_in_the_script() {
    let mut running = Running::start(&mut luavortex([
        "-e",
        "local vortex = require 'vortex' vortex.sleep(1)
         io.stdout:setvbuf 'no'
         print('caught', pcall(function () print 'ready' vortex.sleep(60e6) end))
         print 'again'
         vortex.sleep(60e6)",
    ]));
    running.wait_for_line("ready");
    // The line comes a moment before the wait; Ctrl-C in between finds a script that computes.
    running.wait_until_asleep();
    running.signal(SIGINT);
    running.wait_for_line("caught\tfalse\tinterrupted!");
    running.signal(SIGINT);
    running.finish().expect_code(130);
}

#[test]
fn an_interrupted_wait_is_told_like_any_error() {
    let mut running = start_waiting("vortex.sleep(60e6)");
    running.wait_until_asleep();
    running.signal(SIGINT);
    let outcome = running.finish().expect_code(1);
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: interrupted!\nstack traceback:\n"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("(command line):1: in main chunk"),
        "{outcome:?}"
    );
}

#[test]
fn a_script_that_computes_is_ended_at_once() {
    let running = start("while true do end");
    running.signal(SIGINT);
    let outcome = running.finish().expect_code(130);
    assert_eq!(outcome.stderr, "luavortex: interrupted!\n");
}

#[test]
fn what_a_script_printed_before_ctrl_c_is_not_lost() {
    let mut running =
        start("io.stdout:setvbuf 'full' print 'buffered' io.stderr:write 'x' while true do end");
    running.wait_for_error("x");
    running.signal(SIGINT);
    let outcome = running.finish().expect_code(130);
    assert_eq!(outcome.stdout, "ready\nbuffered\n");
}

#[test]
fn a_script_that_reads_is_ended_at_once() {
    let mut running =
        Running::start_with_open_input(&mut luavortex(["-e", &format!("{READY} io.read()")]));
    running.wait_for_line("ready");
    running.signal(SIGINT);
    running.finish().expect_code(130);
}

//! Ctrl-C, output that nobody reads, and scripts with the names of tools.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal::SIGINT;

use super::*;
use crate::support::Directory;

#[test]
fn ctrl_c_ends_a_tool_that_waits_for_a_peer() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let silent = by_hand(move |mut stream| {
        let _ = sender.send(());
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for words in [
        vec!["probe", &silent],
        vec!["send", &silent, "--profile", ECHO, "-m", "x"],
        vec!["bench", &silent, "--profile", ECHO],
    ] {
        let running = Running::start(&mut luavortex(&words));
        receiver.recv().unwrap();
        running.signal(SIGINT);
        let outcome = running.finish().expect_code(130);
        assert_eq!(outcome.stderr, "luavortex: interrupted\n", "{words:?}");
    }
}

#[test]
fn a_tool_whose_output_nobody_reads_ends_as_others_do() {
    let listener = Served::echo();
    for words in [
        vec!["probe", &listener.address],
        vec!["send", &listener.address, "--profile", ECHO, "-m", "x"],
        vec!["listen", "--profile", ECHO, "--echo"],
        vec!["completions", "bash"],
        vec!["probe", "--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command: Command = luavortex(&words);
        let child = command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = child.spawn().unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        assert_eq!(
            signal,
            Some(nix::libc::SIGPIPE),
            "{words:?}: {:?} {stderr}",
            output.status
        );
        assert!(!stderr.contains("panic"), "{words:?}: {stderr}");
    }
}

#[test]
fn nothing_is_coloured_in_a_pipe_unless_it_is_asked_for() {
    let listener = Served::echo();
    let words = ["probe", listener.address.as_str()];
    let outcome = run(luavortex(words).env_remove("CLICOLOR_FORCE")).expect_code(0);
    assert!(!outcome.stdout.contains('\u{1b}'), "{outcome:#?}");
    let outcome = run(luavortex(words)
        .env_remove("NO_COLOR")
        .env("CLICOLOR_FORCE", "1"))
    .expect_code(0);
    assert!(outcome.stdout.contains('\u{1b}'), "{outcome:#?}");
    let outcome = run(luavortex(words)
        .env("NO_COLOR", "1")
        .env_remove("CLICOLOR_FORCE"))
    .expect_code(0);
    assert!(!outcome.stdout.contains('\u{1b}'), "{outcome:#?}");
}

#[test]
fn a_script_with_the_name_of_a_tool_runs_by_its_path() {
    let directory = Directory::new("script-named-probe");
    directory.write("probe", "print('script', ...)");
    for words in [["./probe", "x"], ["--", "probe"]] {
        let outcome = run(luavortex(words).current_dir(directory.path())).expect_code(0);
        assert!(outcome.stdout.starts_with("script"), "{outcome:#?}");
    }
}

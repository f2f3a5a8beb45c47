//! The interactive prompt.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use nix::sys::signal::Signal::SIGINT;
use support::{Directory, Outcome, Running, luavortex, run, run_with_input};

/// What the prompt prints for these lines, without the version in front.
#[track_caller]
fn typed(lines: &str) -> Outcome {
    let mut outcome = run_with_input(&mut luavortex(["-i"]), lines).expect_code(0);
    let (version, rest) = outcome.stdout.split_once('\n').unwrap();
    assert!(version.starts_with("LuaVortex "), "{version}");
    outcome.stdout = rest.to_owned();
    outcome
}

#[test]
fn expressions_print_their_values() {
    let outcome =
        typed("1 + 1\n= 'a', nil, 2\nlocal x = 1\nx = 5\nx -- a comment\n2;\nprint 'p'\n");
    assert_eq!(outcome.stdout, "> 2\n> a\tnil\t2\n> > > 5\n> 2\n> p\n> \n");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn an_incomplete_chunk_asks_for_more() {
    let outcome = typed("function f ()\nreturn 7\nend\nf ()\n= [[a\nb]]\n");
    assert_eq!(outcome.stdout, "> >> >> > 7\n> >> a\nb\n> \n");
}

#[test]
fn an_error_prints_and_the_prompt_goes_on() {
    let outcome = typed("error 'message'\nx x\nprint 'on'\n");
    assert_eq!(outcome.stdout, "> > > on\n> \n");
    let [message, traceback, function, chunk, base, syntax] = outcome
        .stderr
        .lines()
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(message, "luavortex: stdin:1: message");
    assert_eq!(traceback, "stack traceback:");
    assert!(
        function.starts_with("\t[C]: in ") && function.ends_with(" 'error'"),
        "{function}"
    );
    assert_eq!(chunk, "\tstdin:1: in main chunk");
    assert!(base.starts_with("\t[C]: "));
    assert!(
        syntax.starts_with("luavortex: stdin:1: ") && syntax.ends_with("near 'x'"),
        "{syntax}"
    );
}

#[test]
fn the_script_runs_before_the_prompt() {
    let directory = Directory::new("prompt-script");
    directory.write("script.lua", "value = ...");
    let mut command = luavortex(["-i", "script.lua", "given"]);
    let outcome = run_with_input(command.current_dir(directory.path()), "value\n").expect_code(0);
    assert!(outcome.stdout.ends_with("\n> given\n> \n"), "{outcome:?}");
}

#[test]
fn an_error_in_the_script_leaves_no_prompt() {
    let outcome =
        run_with_input(&mut luavortex(["-i", "-e", "error 'x'"]), "print 'typed'\n").expect_code(1);
    assert!(!outcome.stdout.contains("typed"), "{outcome:?}");
}

#[test]
fn code_at_the_prompt_reads_the_lines_that_follow() {
    assert_eq!(
        typed("io.read ()\na line\nprint 'on'\n").stdout,
        "> a line\n> on\n> \n"
    );
}

#[test]
fn a_print_that_fails_is_told() {
    let outcome = typed("print = nil\n1\n");
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: error calling 'print' ("),
        "{outcome:?}"
    );
}

#[test]
fn ctrl_c_interrupts_the_line_and_not_the_prompt() {
    let mut running = Running::start_with_open_input(&mut luavortex(["-i"]));
    running.write("io.stdout:setvbuf 'no' print '\\nready' while true do end\n");
    running.wait_for_line("ready");
    running.signal(SIGINT);
    running.wait_for_error("luavortex: interrupted!\n");
    running.write("print '\\nwaits' require 'vortex' .sleep (60e6)\n");
    running.wait_for_line("waits");
    running.wait_until_asleep();
    running.signal(SIGINT);
    running.write("print '\\non'\n");
    running.wait_for_line("on");
    running.close_input();
    let outcome = running.finish().expect_code(0);
    assert_eq!(
        outcome.stderr.matches("luavortex: interrupted!\n").count(),
        2,
        "{outcome:?}"
    );
}

/// The prompt at a terminal, which the command `script` makes.
///
/// `script` has the user's shell run the command. A shell that stays around is interrupted by Ctrl-C as well, and some
/// say so with their exit status in the end: `exec` leaves none.
fn at_a_terminal(directory: &Directory) -> Option<Running> {
    let mut command = std::process::Command::new("script");
    command
        .args(["-q", "-e", "-c", "exec \"$UNDER_TEST\"", "/dev/null"])
        .env("UNDER_TEST", env!("CARGO_BIN_EXE_luavortex"))
        .env("TERM", "xterm")
        .env("LUAVORTEX_HISTORY", directory.path().join("deep/history"));
    if std::process::Command::new("script")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("SKIPPED: needs the command `script`");
        return None;
    }
    Some(Running::start_with_open_input(&mut command))
}

/// Waits for the prompt and types. The terminal passes keys on as they are from the first text on.
#[track_caller]
fn press(terminal: &mut Running, prompt: &str, keys: &str) {
    const LINE_EDITOR_READS: &str = "\u{1b}[?2004h";
    terminal.wait_for_text(LINE_EDITOR_READS);
    terminal.wait_for_text(prompt);
    terminal.write(keys);
}

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";

#[test]
fn a_terminal_keeps_a_history() {
    let directory = Directory::new("history");
    let Some(mut terminal) = at_a_terminal(&directory) else {
        return;
    };
    press(&mut terminal, "> ", "x = 20 +\n");
    press(&mut terminal, ">> ", "22\n");
    press(&mut terminal, "> ", "x\n");
    terminal.wait_for_text("42");
    press(&mut terminal, "> ", CTRL_D);
    terminal.finish().expect_code(0);
    let history = std::fs::read_to_string(directory.path().join("deep/history")).unwrap();
    assert_eq!(history, "#V2\nx = 20 +\\n22\nx\n");

    let mut terminal = at_a_terminal(&directory).unwrap();
    press(&mut terminal, "> ", "x = 7\n");
    press(&mut terminal, "> ", &format!("{UP}{UP} * 6\n"));
    terminal.wait_for_text("\n42");
    press(&mut terminal, "> ", CTRL_D);
    terminal.finish().expect_code(0);
}

#[test]
fn ctrl_c_at_a_terminal_clears_what_was_typed() {
    let directory = Directory::new("clear");
    let Some(mut terminal) = at_a_terminal(&directory) else {
        return;
    };
    press(&mut terminal, "> ", "x = 40 +\n");
    press(&mut terminal, ">> ", CTRL_C);
    press(&mut terminal, "> ", &format!("nonsense{CTRL_C}"));
    press(&mut terminal, "> ", "1 + 2\n");
    terminal.wait_for_text("\n3");
    press(&mut terminal, "> ", CTRL_D);
    let outcome = terminal.finish().expect_code(0);
    assert!(!outcome.stdout.contains("luavortex: "), "{outcome:?}");
}

#[test]
fn ctrl_c_at_a_terminal_interrupts_the_running_line() {
    let directory = Directory::new("running");
    let Some(mut terminal) = at_a_terminal(&directory) else {
        return;
    };
    press(
        &mut terminal,
        "> ",
        "print('run' .. 'ning') while true do end\n",
    );
    terminal.wait_for_text("running");
    terminal.write(CTRL_C);
    terminal.wait_for_text("luavortex: interrupted!");
    press(&mut terminal, "> ", CTRL_D);
    terminal.finish().expect_code(0);
}

#[test]
fn the_prompt_ends_with_the_code_that_a_line_asks_for() {
    run(&mut luavortex(["-e", "os.exit(4)", "-i"])).expect_code(4);
}

//! What goes wrong in a script, and how it is told: as `lua` does it.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::process::Command;

use support::{Directory, Outcome, luavortex, run, run_with_input};

/// The Luas differ in how they name C functions in a traceback.
fn same_on_every_lua(text: &str) -> String {
    let text = text.replace("in global 'error'", "in function 'error'");
    let lines = text.lines().map(|line| match line.strip_prefix("\t[C]: ") {
        Some(place) if place == "in ?" || place.starts_with("at 0x") => "\t[C]: ?\n".to_owned(),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[track_caller]
fn fails_with(outcome: Outcome, expected: &str) {
    let outcome = outcome.expect_code(1);
    assert_eq!(same_on_every_lua(&outcome.stderr), expected);
}

#[test]
fn an_error_in_a_script_names_file_and_line() {
    let directory = Directory::new("error-line");
    directory.write("script.lua", "-- one\n-- two\nerror 'message'\n");
    fails_with(
        run(luavortex(["script.lua"]).current_dir(directory.path())),
        "luavortex: script.lua:3: message\nstack traceback:\n\t[C]: in function 'error'\n\tscript.lua:3: in main chunk\n\t[C]: ?\n",
    );
}

#[test]
fn an_error_in_a_script_with_arguments_has_the_same_traceback() {
    let directory = Directory::new("error-arguments");
    directory.write("script.lua", "error 'message'\n");
    fails_with(
        run(luavortex(["script.lua", "a", "b"]).current_dir(directory.path())),
        "luavortex: script.lua:1: message\nstack traceback:\n\t[C]: in function 'error'\n\tscript.lua:1: in main chunk\n\t[C]: ?\n",
    );
}

#[test]
fn a_first_line_for_the_shell_is_skipped_and_counted() {
    let directory = Directory::new("shebang");
    directory.write(
        "script.lua",
        "#!/usr/bin/env luavortex\nprint 'ran' error('message', 0)\n",
    );
    let outcome = run(luavortex(["script.lua"]).current_dir(directory.path()));
    assert_eq!(outcome.stdout, "ran\n");
    fails_with(
        outcome,
        "luavortex: message\nstack traceback:\n\t[C]: in function 'error'\n\tscript.lua:2: in main chunk\n\t[C]: ?\n",
    );
}

#[test]
fn a_syntax_error_has_no_traceback() {
    fails_with(
        run(&mut luavortex(["-e", "x = = 1"])),
        "luavortex: (command line):1: unexpected symbol near '='\n",
    );
}

#[test]
fn an_error_in_standard_input_names_it() {
    fails_with(
        run_with_input(&mut luavortex(["-"]), "error 'message'"),
        "luavortex: stdin:1: message\nstack traceback:\n\t[C]: in function 'error'\n\tstdin:1: in main chunk\n\t[C]: ?\n",
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let outcome = run(&mut luavortex(["no-such-file.lua"])).expect_code(1);
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: cannot open no-such-file.lua"),
        "{outcome:?}"
    );
    assert_eq!(outcome.stderr.lines().count(), 1);
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let outcome = run(&mut luavortex(["-l", "no_such_module"])).expect_code(1);
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: module 'no_such_module' not found:\n"),
        "{outcome:?}"
    );
    assert_eq!(outcome.stderr.matches("stack traceback:").count(), 1);
}

#[test]
fn an_error_object_can_say_what_it_is() {
    let code = "error(setmetatable({}, { __tostring = function () return 'its own words' end }))";
    fails_with(
        run(&mut luavortex(["-e", code])),
        "luavortex: its own words\n",
    );
}

#[test]
fn an_error_object_without_words_is_named_by_its_type() {
    let traceback = "stack traceback:\n\t[C]: in function 'error'\n\t(command line):1: in main chunk\n\t[C]: ?\n";
    for (object, kind) in [("{}", "table"), ("nil", "nil"), ("print", "function")] {
        let code = format!("error({object})");
        let expected = format!("luavortex: (error object is a {kind} value)\n{traceback}");
        fails_with(run(&mut luavortex(["-e", &code])), &expected);
    }
}

#[test]
fn an_error_object_that_fails_to_speak_is_named_by_its_type() {
    let code = "error(setmetatable({}, { __tostring = function () error 'worse' end }))";
    let outcome = run(&mut luavortex(["-e", code])).expect_code(1);
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: (error object is a table value)\n"),
        "{outcome:?}"
    );
}

#[test]
fn a_message_that_is_no_utf_8_arrives_byte_by_byte() {
    let mut command = luavortex(["-e", r"error('\255\254', 0)"]);
    let output = command.output().unwrap();
    assert!(
        output.stderr.starts_with(b"luavortex: \xff\xfe\n"),
        "{output:?}"
    );
}

#[test]
fn an_endless_recursion_is_an_error_like_others() {
    let outcome = run(&mut luavortex([
        "-e",
        "local function f () return f () + 1 end f ()",
    ]))
    .expect_code(1);
    assert!(outcome.stderr.contains("stack overflow"), "{outcome:?}");
    assert_eq!(
        outcome.stderr.matches("in main chunk").count(),
        1,
        "{outcome:?}"
    );
}

#[test]
fn a_script_that_breaks_the_standard_functions_still_gets_its_error() {
    let code =
        "xpcall, debug, string, tostring, error_ = nil, nil, nil, nil, error error_ 'message'";
    let outcome = run(&mut luavortex(["-e", code])).expect_code(1);
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: (command line):1: message\nstack traceback:\n"),
        "{outcome:?}"
    );
}

#[test]
fn what_follows_an_error_does_not_run() {
    let outcome = run(&mut luavortex([
        "-e",
        "error 'first'",
        "-e",
        "print 'second'",
    ]))
    .expect_code(1);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn the_exit_status_is_the_scripts_own() {
    run(&mut luavortex(["-e", "os.exit(7)"])).expect_code(7);
    run(&mut luavortex(["-e", "os.exit(0)"])).expect_code(0);
    run(&mut luavortex([
        "-e",
        "coroutine.wrap(function () os.exit(3) end) ()",
    ]))
    .expect_code(3);
}

#[test]
fn finalisers_run_at_the_end_also_after_an_error() {
    const FINALISER: &str = "
        local function finalise () print 'finalised' end
        if newproxy then kept = newproxy(true) getmetatable(kept).__gc = finalise
        else kept = setmetatable({}, { __gc = finalise }) end ";
    let outcome = run(&mut luavortex(["-e", FINALISER])).expect_code(0);
    assert_eq!(outcome.stdout, "finalised\n");
    let outcome = run(&mut luavortex(["-e", &format!("{FINALISER} error 'x'")])).expect_code(1);
    assert_eq!(outcome.stdout, "finalised\n");
}

#[test]
fn a_script_that_is_no_utf_8_runs() {
    let directory = Directory::new("bytes");
    directory.write("script.lua", b"io.write('\xff\xfe')\n");
    let output = luavortex(["script.lua"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"\xff\xfe");
}

/// The stock interpreter of the Lua that the command was built with.
fn stock_lua() -> Option<&'static str> {
    let outcome = run(&mut luavortex([
        "-e",
        "io.write(jit and 'LuaJIT' or _VERSION)",
    ]))
    .expect_code(0);
    let name = match outcome.stdout.as_str() {
        "LuaJIT" => "luajit",
        "Lua 5.1" => "lua5.1",
        "Lua 5.2" => "lua5.2",
        "Lua 5.3" => "lua5.3",
        "Lua 5.4" => "lua5.4",
        _ => "lua5.5",
    };
    Command::new(name)
        .arg("-v")
        .output()
        .is_ok()
        .then_some(name)
}

#[test]
fn errors_read_as_those_of_the_stock_interpreter() {
    const CODE: [&str; 8] = [
        "error 'message'",
        "error('message', 0)",
        "error('message', 2)",
        "local t t.x = 1",
        "local function f () error 'inside' end f ()",
        "for i = 1",
        "string.rep ()",
        "local function f (n) if n == 0 then error 'deep' end f (n - 1) return n end f (5)",
    ];
    let Some(stock) = stock_lua() else {
        println!("SKIPPED: the stock interpreter is not installed");
        return;
    };
    for code in CODE {
        let ours = run(&mut luavortex(["-e", code])).expect_code(1).stderr;
        let theirs = run(Command::new(stock).args(["-e", code]))
            .expect_code(1)
            .stderr;
        let theirs = theirs.replacen(stock, "luavortex", 1);
        assert_eq!(
            same_on_every_lua(&ours),
            same_on_every_lua(&theirs),
            "{code}"
        );
    }
}

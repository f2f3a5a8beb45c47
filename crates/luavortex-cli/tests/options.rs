//! The command line: each option, and what scripts see of it.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::process::Stdio;

use support::{Directory, luavortex, run, run_with_input};

#[test]
fn a_script_sees_its_arguments_in_arg_and_as_varargs() {
    let directory = Directory::new("arguments");
    let script = directory.write("a.lua", "print(...) for i = -3, 2 do print(i, arg[i]) end");
    let script = script.to_str().unwrap();
    let outcome = run(&mut luavortex(["-e", "x = 1", script, "a", "-v"])).expect_code(0);
    let program = env!("CARGO_BIN_EXE_luavortex");
    assert_eq!(
        outcome.stdout,
        format!("a\t-v\n-3\t{program}\n-2\t-e\n-1\tx = 1\n0\t{script}\n1\ta\n2\t-v\n")
    );
    assert_eq!(outcome.stderr, "");
}

#[test]
fn code_and_modules_run_in_the_order_given() {
    let directory = Directory::new("order");
    directory.write(
        "order_module.lua",
        "print('module', x) return { name = 'm' }",
    );
    let outcome = run(luavortex([
        "-e",
        "x = 1",
        "-l",
        "order_module",
        "-e",
        "print(order_module.name, x)",
    ])
    .current_dir(directory.path()))
    .expect_code(0);
    assert_eq!(outcome.stdout, "module\t1\nm\t1\n");
}

#[test]
fn a_module_can_get_a_global_of_another_name() {
    let outcome = run(&mut luavortex([
        "-l",
        "s=string",
        "-e",
        "print(s == string)",
    ]))
    .expect_code(0);
    assert_eq!(outcome.stdout, "true\n");
}

#[test]
fn a_hyphen_runs_standard_input_as_the_script() {
    let outcome = run_with_input(&mut luavortex(["-", "a"]), "print(arg[0], ...)").expect_code(0);
    assert_eq!(outcome.stdout, "-\ta\n");
}

#[test]
fn without_arguments_standard_input_runs() {
    let outcome = run_with_input(
        &mut luavortex([""; 0]),
        "#!/usr/bin/luavortex\nprint(...) print(#arg)",
    );
    assert_eq!(outcome.expect_code(0).stdout, "\n0\n");
}

#[test]
fn code_alone_leaves_standard_input_alone() {
    let outcome =
        run_with_input(&mut luavortex(["-e", "print(io.read())"]), "a line").expect_code(0);
    assert_eq!(outcome.stdout, "a line\n");
}

#[test]
fn two_hyphens_end_the_options() {
    let directory = Directory::new("hyphens");
    directory.write("-e", "print('the file -e')");
    let outcome = run(luavortex(["--", "-e"]).current_dir(directory.path())).expect_code(0);
    assert_eq!(outcome.stdout, "the file -e\n");
}

#[test]
fn the_version_names_luavortex_and_its_lua() {
    let outcome = run(&mut luavortex(["-v"])).expect_code(0);
    assert!(
        outcome
            .stdout
            .starts_with(concat!("LuaVortex ", env!("CARGO_PKG_VERSION"), ", Lua")),
        "{outcome:?}"
    );
    assert_eq!(outcome.stdout.lines().count(), 1);
}

#[test]
fn help_goes_to_standard_output() {
    for option in ["--help", "-h"] {
        let outcome = run(&mut luavortex([option])).expect_code(0);
        for word in [
            "luavortex [options] [script [args]]",
            "-e <code>",
            "-l <module>",
            "-i",
            "-v",
        ] {
            assert!(outcome.stdout.contains(word), "{word}: {outcome:?}");
        }
    }
}

#[test]
fn an_unknown_option_is_refused_with_the_usage() {
    let outcome = run(&mut luavortex(["-q"])).expect_code(1);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: unexpected argument '-q' found\n"),
        "{outcome:?}"
    );
    assert!(
        outcome
            .stderr
            .contains("Usage: luavortex [options] [script [args]]"),
        "{outcome:?}"
    );
}

#[test]
fn an_option_without_its_value_is_refused() {
    let outcome = run(&mut luavortex(["-e"])).expect_code(1);
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: a value is required for '-e <code>'"),
        "{outcome:?}"
    );
}

#[test]
fn lua_init_runs_first() {
    let mut command = luavortex(["-e", "print 'then'"]);
    let outcome = run(command.env("LUA_INIT", "print 'first'")).expect_code(0);
    assert_eq!(outcome.stdout, "first\nthen\n");
}

#[test]
fn an_error_in_lua_init_ends_the_command() {
    let mut command = luavortex(["-e", "print 'then'"]);
    let outcome = run(command.env("LUA_INIT", "error 'x'")).expect_code(1);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome
            .stderr
            .starts_with("luavortex: LUA_INIT:1: x\nstack traceback:\n"),
        "{outcome:?}"
    );
}

#[test]
fn all_standard_libraries_are_open() {
    let code = "for _, name in ipairs { 'coroutine', 'debug', 'io', 'math', 'os', 'package', 'string', 'table' } do
                    assert(type(_G[name]) == 'table', name)
                end
                if _G.jit then assert(require 'ffi' and require 'bit') end";
    run(&mut luavortex(["-e", code])).expect_code(0);
}

#[test]
fn the_vortex_module_is_built_in() {
    let code = "package.path, package.cpath = '', '' print(type(require 'vortex'))";
    let outcome = run(&mut luavortex(["-e", code])).expect_code(0);
    assert_eq!(outcome.stdout, "table\n");
}

#[test]
fn c_modules_find_the_lua_of_the_command() {
    if run(&mut luavortex(["-e", "os.exit(jit and 0 or 3)"]))
        .status
        .code()
        == Some(3)
    {
        println!("SKIPPED: needs LuaJIT's ffi to look at the symbols");
        return;
    }
    let code = "local ffi = require 'ffi'
                ffi.cdef 'int lua_gettop (void *); void *luaL_newstate (void); void lua_close (void *);'
                local state = ffi.C.luaL_newstate ()
                print(ffi.C.lua_gettop (state))
                ffi.C.lua_close (state)";
    let outcome = run(&mut luavortex(["-e", code])).expect_code(0);
    assert_eq!(outcome.stdout, "0\n");
}

#[test]
fn a_c_module_loads_with_require() {
    const SOURCE: &str = "typedef struct lua_State lua_State;
        extern void lua_pushlstring (lua_State *, const char *, unsigned long);
        int luaopen_greeting (lua_State *state) { lua_pushlstring (state, \"hello\", 5); return 1; }";
    let directory = Directory::new("c-module");
    directory.write("greeting.c", SOURCE);
    let mut compiler = std::process::Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o", "greeting.so", "greeting.c"])
        .current_dir(directory.path());
    match compiler.status() {
        Ok(status) if status.success() => {}
        _ => {
            println!("SKIPPED: no C compiler");
            return;
        }
    }
    let code = "package.cpath = './?.so' print((require 'greeting'))";
    let outcome = run(luavortex(["-e", code]).current_dir(directory.path())).expect_code(0);
    assert_eq!(outcome.stdout, "hello\n");
}

#[test]
fn a_reader_that_went_away_ends_the_output_quietly() {
    let mut command = luavortex(["-v", "-e", "while true do print 'line' end"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    // Without the signal for broken pipes this would go on for ever.
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), None, "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

//! The `luavortex` command: runs Lua scripts that speak BEEP, with the options, messages and exit statuses of `lua`,
//! and is a box of tools for BEEP besides.

#![deny(unsafe_code)]

mod arguments;
mod descriptors;
mod interpreter;
mod output;
mod prompt;
mod signals;
mod tools;

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use lua_link as _;

use crate::arguments::{Arguments, Refusal, Script};
use crate::interpreter::{Failure, Interpreter};

fn main() -> ExitCode {
    let command_line: Vec<_> = env::args_os().collect();
    if tools::is_meant(&command_line) {
        return tools::run(command_line);
    }
    let arguments = match arguments::parse(command_line) {
        Ok(arguments) => arguments,
        Err(Refusal::Help(text)) => {
            output::text(&text);
            return ExitCode::SUCCESS;
        }
        Err(Refusal::Misuse(text)) => {
            output::error(text.as_bytes());
            return ExitCode::FAILURE;
        }
    };
    descriptors::raise_limit();
    if let Err(error) = signals::watch() {
        output::error(format!("Ctrl-C will not end waits in order: {error}").as_bytes());
    }
    match Interpreter::new(&arguments) {
        // Reported before the state closes, as `lua` does it: finalisers may print as well.
        Ok(interpreter) => report(run(&interpreter, &arguments)),
        Err(failure) => report(Err(failure)),
    }
}

fn report(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            output::error(&message);
            ExitCode::FAILURE
        }
    }
}

/// Whether somebody may have meant a tool: a plain word, and no file.
fn is_unknown_word(path: &[u8]) -> bool {
    !path.is_empty()
        && path.iter().all(u8::is_ascii_alphabetic)
        && !Path::new(OsStr::from_bytes(path)).exists()
}

fn run(interpreter: &Interpreter, arguments: &Arguments) -> Result<(), Failure> {
    let asks_nothing = arguments.script.is_none()
        && arguments.steps.is_empty()
        && !arguments.interactive
        && !arguments.version;
    let prompts = arguments.interactive || (asks_nothing && io::stdin().is_terminal());

    interpreter.run_environment()?;
    if arguments.version || prompts {
        output::text(&format!(
            "LuaVortex {}, {}\n",
            vortex::VERSION,
            interpreter.lua_version()
        ));
    }
    for step in &arguments.steps {
        interpreter.run_step(step)?;
    }
    if let Some(script) = &arguments.script {
        if let Script::File(path) = script
            && is_unknown_word(path)
        {
            let word = String::from_utf8_lossy(path);
            let message = format!(
                "cannot open {word}: there is no such script, and no tool of that name (luavortex --help lists them)"
            );
            return Err(message.into_bytes());
        }
        interpreter.run_script(script, arguments.script_arguments())?;
    } else if asks_nothing && !prompts {
        interpreter.run_script(&Script::StandardInput, &[])?;
    }
    if prompts {
        prompt::run(interpreter);
    }
    Ok(())
}

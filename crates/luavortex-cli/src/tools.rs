//! The tools of the command: subcommands for whoever writes, runs or debugs programs that speak BEEP.

mod bench;
mod completions;
mod endpoint;
mod failure;
mod interrupt;
mod listen;
mod man;
mod new;
mod probe;
mod security;
mod send;
mod terminal;
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime;

use crate::arguments;
use failure::Failure;

/// Behind the help of every tool that talks to a peer.
const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    something on this side failed: a file, a port to listen on, a program
  2    wrong use
  3    no connection: no such name, nobody listens, the connection was lost
  4    the peer does not speak BEEP, breaks the protocol, or TLS could not be had
  5    the peer refused or answered with an error
  6    the peer did not answer within the time limit
  130  Ctrl-C";

#[derive(Parser)]
#[command(name = "luavortex", version = vortex::VERSION)]
struct CommandLine {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    Probe(probe::Arguments),
    Send(send::Arguments),
    Listen(listen::Arguments),
    Trace(trace::Arguments),
    Bench(bench::Arguments),
    New(new::Arguments),
    Man(man::Arguments),
    Completions(completions::Arguments),
}

/// Whether the command line names a tool: the first word does, exactly. Everything else is the script runner's, as is
/// `./probe` for a script of that name.
pub(crate) fn is_meant(command_line: &[OsString]) -> bool {
    let word = command_line.get(1).and_then(|word| word.to_str());
    word.is_some_and(Tool::has_subcommand)
}

/// Runs the tool that the command line names.
pub(crate) fn run(command_line: Vec<OsString>) -> ExitCode {
    let outcome = match CommandLine::try_parse_from(command_line) {
        Ok(CommandLine { tool }) => tool.run(),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                terminal::text(&error.render().ansi().to_string())
            }
            _ => Err(misuse(&error)),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Tool {
    fn run(self) -> Result<(), Failure> {
        match self {
            Tool::Probe(arguments) => in_runtime(probe::run(arguments)),
            Tool::Send(arguments) => in_runtime(send::run(arguments)),
            Tool::Listen(arguments) => in_runtime(listen::run(arguments)),
            Tool::Trace(arguments) => trace::run(arguments),
            Tool::Bench(arguments) => in_runtime(bench::run(arguments)),
            Tool::New(arguments) => new::run(&arguments),
            Tool::Man(arguments) => man::run(&arguments),
            Tool::Completions(arguments) => completions::run(&arguments),
        }
    }
}

/// Runs a tool that does I/O, with as many descriptors as the system gives.
fn in_runtime(tool: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    crate::descriptors::raise_limit();
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(tool);
    // A read of standard input cannot be cut short, and nobody waits for it any more.
    runtime.shutdown_background();
    outcome
}

/// The script runner and the tools as one command, for what documents them.
fn whole_command() -> clap::Command {
    let tools = CommandLine::command();
    // The script runner has a `-v` of its own.
    let with_tools = arguments::command()
        .version(vortex::VERSION)
        .disable_version_flag(true);
    with_tools.subcommands(tools.get_subcommands().cloned())
}

/// One line each, for the help of the whole command.
pub(crate) fn summary() -> String {
    let command = CommandLine::command();
    let lines = command.get_subcommands().map(|tool| {
        let about = tool
            .get_about()
            .map_or_else(String::new, ToString::to_string);
        format!("  {:<12} {about}\n", tool.get_name())
    });
    lines.collect()
}

/// clap's words, without its `error:`: all messages of the command begin with its name.
fn misuse(error: &clap::Error) -> Failure {
    let text = error.render().ansi().to_string();
    let text = match text.split_once("error:") {
        Some((_, text)) => text.trim_start_matches("\u{1b}[0m"),
        None => &text,
    };
    Failure::misuse(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_tool(words: &[&str]) -> bool {
        is_meant(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_line_of_every_tool_is_consistent() {
        CommandLine::command().debug_assert();
        whole_command().debug_assert();
    }

    #[test]
    fn only_the_first_word_names_a_tool() {
        assert!(is_tool(&["luavortex", "probe"]));
        assert!(!is_tool(&["luavortex", "./probe"]));
        assert!(!is_tool(&["luavortex", "--", "probe"]));
        assert!(!is_tool(&["luavortex", "-i", "probe"]));
        assert!(!is_tool(&["luavortex", "probe.lua"]));
        assert!(!is_tool(&["luavortex", "help"]));
        assert!(!is_tool(&["luavortex"]));
    }
}

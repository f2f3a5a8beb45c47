//! The command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::tools;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    /// `-e` and `-l`, in the order given.
    pub(crate) steps: Vec<Step>,
    /// `-i`
    pub(crate) interactive: bool,
    /// `-v`
    pub(crate) version: bool,
    /// The script, if one is named.
    pub(crate) script: Option<Script>,
    /// The whole command line, program first.
    pub(crate) all: Vec<Vec<u8>>,
    /// Where in `all` the script stands; 0 without a script. Lua's table `arg` counts from here.
    pub(crate) script_index: usize,
}

/// Something to do before the script.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// `-e code`
    Execute(Vec<u8>),
    /// `-l module`
    Require(Vec<u8>),
}

/// Where the script comes from.
#[derive(Debug, PartialEq)]
pub(crate) enum Script {
    /// `-`
    StandardInput,
    /// A path.
    File(Vec<u8>),
}

/// Why there is nothing to run.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    /// `--help`: the text for standard output.
    Help(String),
    /// The command line is wrong: the text for standard error.
    Misuse(String),
}

impl Arguments {
    /// What stands behind the script.
    pub(crate) fn script_arguments(&self) -> &[Vec<u8>] {
        match self.script {
            Some(_) => self.all.get(self.script_index + 1..).unwrap_or_default(),
            None => &[],
        }
    }
}

/// Reads the command line.
pub(crate) fn parse(
    command_line: impl IntoIterator<Item = OsString>,
) -> Result<Arguments, Refusal> {
    let all: Vec<OsString> = command_line.into_iter().collect();
    let matches = command().try_get_matches_from(&all).map_err(|error| {
        let text = error.render().to_string();
        match error.kind() {
            ErrorKind::DisplayHelp => Refusal::Help(text),
            _ => Refusal::Misuse(text.strip_prefix("error: ").unwrap_or(&text).to_owned()),
        }
    })?;

    let behind_options = matches.get_raw("script").map_or(0, Iterator::count);
    let script = matches
        .get_raw("script")
        .and_then(|mut words| words.next())
        .map(|script| match script.as_bytes() {
            b"-" => Script::StandardInput,
            path => Script::File(path.to_vec()),
        });
    Ok(Arguments {
        steps: steps(&matches),
        interactive: matches.get_flag("interactive"),
        version: matches.get_flag("version"),
        script_index: if script.is_some() {
            all.len().saturating_sub(behind_options)
        } else {
            0
        },
        script,
        all: all.into_iter().map(OsString::into_vec).collect(),
    })
}

/// The command line of the script runner.
pub(crate) fn command() -> Command {
    Command::new("luavortex")
        .about("Runs Lua scripts that speak BEEP")
        .override_usage("luavortex [options] [script [args]]\n       luavortex TOOL ...")
        .disable_help_flag(true)
        .args([
            step("execute", 'e').value_name("code").help("Run this Lua code"),
            step("require", 'l').value_name("module").help("Require this module, as a global (also: global=module)"),
            flag("interactive", 'i').help("Prompt for Lua code after the script"),
            flag("version", 'v').help("Print the versions of luavortex and of its Lua"),
            Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print this text"),
            Arg::new("script")
                .num_args(0..)
                .trailing_var_arg(true)
                .value_parser(value_parser!(OsString))
                .help("The script to run with its arguments; - is standard input"),
        ])
        .after_help(format!(
            "Without a script and without -e, -i and -v, luavortex prompts for Lua code when standard input is a\n\
             terminal, and runs standard input otherwise.\n\n\
             Tools (luavortex TOOL --help tells more; ./TOOL runs a script of that name):\n{}",
            tools::summary()
        ))
}

fn step(name: &'static str, letter: char) -> Arg {
    // The value may begin with a hyphen: a Lua comment does.
    Arg::new(name)
        .short(letter)
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .value_parser(value_parser!(OsString))
}

fn flag(name: &'static str, letter: char) -> Arg {
    // Given twice it means what it means once, as with `lua`.
    Arg::new(name)
        .short(letter)
        .action(ArgAction::SetTrue)
        .overrides_with(name)
}

fn steps(matches: &ArgMatches) -> Vec<Step> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    collect(matches, "execute", Step::Execute, &mut steps);
    collect(matches, "require", Step::Require, &mut steps);
    steps.sort_by_key(|(index, _)| *index);
    steps.into_iter().map(|(_, step)| step).collect()
}

fn collect(
    matches: &ArgMatches,
    name: &str,
    step: fn(Vec<u8>) -> Step,
    into: &mut Vec<(usize, Step)>,
) {
    let indices = matches.indices_of(name).into_iter().flatten();
    let values = matches.get_raw(name).into_iter().flatten();
    into.extend(
        indices
            .zip(values)
            .map(|(index, value): (usize, &OsStr)| (index, step(value.as_bytes().to_vec()))),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Arguments {
        parse(
            std::iter::once("luavortex")
                .chain(words.iter().copied())
                .map(OsString::from),
        )
        .unwrap()
    }

    fn refused(words: &[&str]) -> Refusal {
        parse(
            std::iter::once("luavortex")
                .chain(words.iter().copied())
                .map(OsString::from),
        )
        .unwrap_err()
    }

    fn execute(code: &str) -> Step {
        Step::Execute(code.into())
    }

    #[test]
    fn options_behind_the_script_belong_to_the_script() {
        let arguments = parsed(&["-i", "a.lua", "-v", "--", "-q", "--help"]);
        assert_eq!(arguments.script, Some(Script::File("a.lua".into())));
        assert_eq!(arguments.script_index, 2);
        assert_eq!(
            arguments.script_arguments(),
            ["-v", "--", "-q", "--help"].map(Vec::from)
        );
        assert!(!arguments.version);
    }

    #[test]
    fn code_and_modules_keep_their_order() {
        let arguments = parsed(&["-e", "a", "-l", "m", "-eb", "-ln", "-e", "-- c"]);
        let module = |name: &str| Step::Require(name.into());
        assert_eq!(
            arguments.steps,
            [
                execute("a"),
                module("m"),
                execute("b"),
                module("n"),
                execute("-- c")
            ]
        );
        assert_eq!(arguments.script, None);
    }

    #[test]
    fn two_hyphens_end_the_options() {
        let arguments = parsed(&["-e", "a", "--", "-script.lua", "x"]);
        assert_eq!(arguments.script, Some(Script::File("-script.lua".into())));
        assert_eq!(arguments.script_index, 4);
    }

    #[test]
    fn two_hyphens_alone_name_no_script() {
        assert_eq!(parsed(&["--"]).script, None);
    }

    #[test]
    fn one_hyphen_is_standard_input() {
        let arguments = parsed(&["-", "-x", "y"]);
        assert_eq!(arguments.script, Some(Script::StandardInput));
        assert_eq!(arguments.script_arguments(), ["-x", "y"].map(Vec::from));
    }

    #[test]
    fn an_unknown_option_is_named_with_the_usage() {
        let Refusal::Misuse(text) = refused(&["-q"]) else {
            panic!("no misuse")
        };
        assert!(
            text.contains("'-q'") && text.contains("Usage: luavortex [options] [script [args]]"),
            "{text}"
        );
    }

    #[test]
    fn an_option_without_its_value_is_refused() {
        assert!(matches!(refused(&["-e"]), Refusal::Misuse(_)));
        assert!(matches!(refused(&["-l"]), Refusal::Misuse(_)));
    }

    #[test]
    fn flags_may_be_repeated_and_joined() {
        let arguments = parsed(&["-v", "-iv"]);
        assert!(arguments.version && arguments.interactive);
    }
}

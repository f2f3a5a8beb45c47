//! Runs the module under valgrind: what is read and written where nothing is, and memory that is lost.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::lua::Lua;
use crate::workspace::Workspace;
use crate::{Failure, child, module, spec, unexpected, value};

/// Valgrind is some thirty times slower than the processor.
const LIMIT: Duration = Duration::from_secs(3600);

/// Rounds of `valgrind/rounds.lua`, and twice as many: what is in use after both was made once and for all.
const ROUNDS: [u32; 2] = [10, 20];

/// What valgrind counted at the end.
struct Counts {
    errors: u64,
    definitely_lost: u64,
    in_use: u64,
    report: String,
}

/// `cargo xtask valgrind`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut lua = Lua::named("lua54")?;
    let mut specs = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--lua" => lua = Lua::named(&value(argument, rest.next())?)?,
            option if option.starts_with('-') => return Err(unexpected(option)),
            spec => specs.push(spec.to_owned()),
        }
    }
    let interpreter = lua
        .interpreter()
        .ok_or_else(|| format!("the interpreter of {} is not installed", lua.feature))?;
    let directory = module::directory(lua)?;
    module::build(lua, &directory, false)?;
    let valgrind = Valgrind {
        interpreter,
        root: Workspace::read()?.root()?,
        directory,
    };

    let mut problems = Vec::new();
    let mut growing = Vec::new();
    for rounds in ROUNDS {
        let counts = valgrind.run(&["xtask/valgrind/rounds.lua".to_owned(), rounds.to_string()])?;
        println!("valgrind {}: {rounds} rounds: {counts}", lua.directory);
        problems.extend(counts.problem(&format!("{rounds} rounds")));
        growing.push(counts);
    }
    if let [once, twice] = growing.as_slice() {
        for (what, once, twice) in [
            ("lost", once.definitely_lost, twice.definitely_lost),
            ("not given back", once.in_use, twice.in_use),
        ] {
            if twice > once {
                problems.push(format!(
                    "memory that is {what} grows with the rounds: {once} octets, then {twice}"
                ));
            }
        }
    }

    // Garbage is collected all the time: what is used after its end shows, and the tests of bulk take less.
    let mut script = ["spec/run.lua", "--gc"].map(str::to_owned).to_vec();
    script.extend(specs);
    let counts = valgrind.run(&script)?;
    println!("valgrind {}: the specs: {counts}", lua.directory);
    problems.extend(counts.problem("the specs"));
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

struct Valgrind {
    interpreter: &'static str,
    root: PathBuf,
    /// Where `vortex.so` is, and the report goes.
    directory: PathBuf,
}

impl Valgrind {
    fn run(&self, script: &[String]) -> Result<Counts, Failure> {
        let report = self.directory.join("valgrind.txt");
        let mut command = Command::new("valgrind");
        command
            .args([
                "--leak-check=full",
                "--show-leak-kinds=definite",
                "--errors-for-leak-kinds=definite",
                "--num-callers=30",
            ])
            .arg(format!("--log-file={}", report.display()))
            .arg(self.interpreter)
            .args(script)
            .current_dir(&self.root);
        spec::without_lua_variables(&mut command);
        command.env("LUA_CPATH", format!("{}/?.so", self.directory.display()));
        child::each_line(&mut command, LIMIT, |line| {
            if !line.starts_with("ok ") {
                println!("{line}");
            }
        })?;
        let text = fs::read_to_string(&report)
            .map_err(|error| format!("cannot read {}: {error}", report.display()))?;
        read(text)
    }
}

impl Counts {
    /// What valgrind complains about, with its report.
    fn problem(&self, what: &str) -> Option<Failure> {
        (self.errors > 0).then(|| format!("{what}: {} errors\n{}", self.errors, self.report))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} errors, {} octets lost, {} in use at the end",
            self.errors, self.definitely_lost, self.in_use
        )
    }
}

/// Reads valgrind's report.
fn read(report: String) -> Result<Counts, Failure> {
    let number_behind = |mark: &str| {
        let (_, rest) = report.split_once(mark)?;
        let digits: String = rest
            .chars()
            .skip_while(|character| *character == ' ')
            .take_while(|character| character.is_ascii_digit() || *character == ',')
            .filter(char::is_ascii_digit)
            .collect();
        digits.parse::<u64>().ok()
    };
    let counted = number_behind("ERROR SUMMARY:").zip(number_behind("in use at exit:"));
    let (errors, in_use) =
        counted.ok_or_else(|| format!("valgrind's report has no summary:\n{report}"))?;
    Ok(Counts {
        errors,
        // Not told when nothing is in use at all.
        definitely_lost: number_behind("definitely lost:").unwrap_or(0),
        in_use,
        report,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: &str = "\
==1== HEAP SUMMARY:
==1==     in use at exit: 5,358 bytes in 14 blocks
==1== LEAK SUMMARY:
==1==    definitely lost: 1,024 bytes in 1 blocks
==1== ERROR SUMMARY: 2 errors from 2 contexts (suppressed: 0 from 0)
";

    #[test]
    fn lost_memory_and_errors_are_counted_and_shown() {
        let counts = read(LOST.to_owned()).unwrap();
        assert_eq!(
            (counts.errors, counts.definitely_lost, counts.in_use),
            (2, 1024, 5358)
        );
        let problem = counts.problem("the specs").unwrap();
        assert!(problem.starts_with("the specs: 2 errors\n") && problem.contains(LOST));
    }

    #[test]
    fn a_report_without_an_end_is_a_failure() {
        assert!(read("==1== Memcheck, a memory error detector\n".to_owned()).is_err());
    }
}

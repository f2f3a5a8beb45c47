//! Runs the Lua specs in every Lua, with `vortex.so` as a user would load it or in the command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Instant;

use crate::lua::{self, Lua};
use crate::workspace::Workspace;
use crate::{Failure, child, module, unexpected, value};

/// The command has a `vortex` of its own. This makes it, and all it starts, look for `vortex.so` like any other Lua.
const WITHOUT_OWN_MODULE: &str = "package.preload.vortex = nil";

/// One run of the specs.
struct Run {
    lua: &'static Lua,
    host: Host,
}

/// What the specs run in.
enum Host {
    /// A stock interpreter, with the module from this file.
    Stock(&'static str, PathBuf),
    /// The command, with the module from this file instead of its own.
    CommandAsStock(PathBuf, PathBuf),
    /// The command as it is.
    Command(PathBuf),
}

/// What came of it.
#[derive(Default)]
struct Report {
    /// The last line: how many passed, failed and were skipped.
    summary: String,
    /// The name of each test that was skipped, and why.
    skipped: Vec<String>,
    seconds: u64,
    problem: Option<Failure>,
}

/// `cargo xtask spec`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut chosen: Vec<&'static Lua> = Vec::new();
    let (mut all, mut require, mut embedded) = (false, false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--lua" => chosen.push(Lua::named(&value(argument, rest.next())?)?),
            "--all" => all = true,
            "--require" => require = true,
            "--embedded" => embedded = true,
            other => return Err(unexpected(other)),
        }
    }
    if chosen.is_empty() {
        chosen.extend(lua::ALL);
    }

    let mut runs = Vec::new();
    for lua in chosen {
        let interpreter = lua.interpreter();
        if embedded || (all && interpreter.is_none()) {
            let command = module::build_command(lua, false)?;
            runs.push(Run {
                lua,
                host: Host::Command(command),
            });
        }
        if embedded {
            continue;
        }
        let host = match interpreter {
            Some(interpreter) => Host::Stock(interpreter, build_module(lua)?),
            None if all => {
                Host::CommandAsStock(module::build_command(lua, false)?, build_module(lua)?)
            }
            None if require => {
                return Err(format!(
                    "spec {}: its interpreter is not installed",
                    lua.feature
                ));
            }
            None => {
                println!(
                    "spec {}: SKIPPED, its interpreter is not installed",
                    lua.feature
                );
                continue;
            }
        };
        runs.push(Run { lua, host });
    }
    let root = Workspace::read()?.root()?;
    let reports = run_all(&runs, &root);
    print_table(&runs, &reports);
    let problems: Vec<String> = runs
        .iter()
        .zip(&reports)
        .filter_map(|(run, report)| Some(format!("spec {run}: {}", report.problem.as_ref()?)))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn build_module(lua: &Lua) -> Result<PathBuf, Failure> {
    module::build(lua, &module::directory(lua)?, false)
}

/// As many at a time as there are processors: a good part of each run is waiting. The reports are in the order of `runs`.
fn run_all(runs: &[Run], root: &Path) -> Vec<Report> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(runs.iter().enumerate());
    let reports = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, run)) = next else { return };
                    let report = run.run(root);
                    reports
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(place, report);
                }
            });
        }
    });
    reports
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect()
}

impl Run {
    fn run(&self, root: &Path) -> Report {
        println!("spec {self}: begins");
        let mut report = Report::default();
        let began = Instant::now();
        let outcome = child::each_line(&mut self.command(root), child::TEST_LIMIT, |line| {
            if !line.starts_with("ok ") {
                println!("spec {self}: {line}");
            }
            if let Some(test) = line.strip_prefix("skipped ") {
                report.skipped.push(test.to_owned());
            }
            line.clone_into(&mut report.summary);
        });
        report.seconds = began.elapsed().as_secs();
        report.problem = outcome.err();
        report
    }

    fn command(&self, root: &Path) -> Command {
        let (program, module) = match &self.host {
            Host::Stock(interpreter, module) => (Path::new(*interpreter), Some(module)),
            Host::CommandAsStock(command, module) => (command.as_path(), Some(module)),
            Host::Command(command) => (command.as_path(), None),
        };
        let mut command = Command::new(program);
        command.arg("spec/run.lua").current_dir(root);
        without_lua_variables(&mut command);
        if let Some(directory) = module.and_then(|module| module.parent()) {
            // Nothing but this one: a module that is installed must not stand in for it.
            command.env("LUA_CPATH", format!("{}/?.so", directory.display()));
        }
        if let Host::CommandAsStock(..) = self.host {
            command.env("LUA_INIT", WITHOUT_OWN_MODULE);
        }
        command
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = match &self.host {
            Host::Stock(interpreter, _) => interpreter,
            Host::CommandAsStock(..) => "luavortex, vortex.so",
            Host::Command(_) => "luavortex",
        };
        formatter.pad(&format!("{} in {host}", self.lua.directory))
    }
}

/// Takes what the user told other Luas out of the environment of this one.
pub(crate) fn without_lua_variables(command: &mut Command) {
    for name in ["LUA_INIT", "LUA_PATH", "LUA_CPATH"] {
        for version in ["", "_5_2", "_5_3", "_5_4", "_5_5"] {
            command.env_remove(format!("{name}{version}"));
        }
    }
}

fn print_table(runs: &[Run], reports: &[Report]) {
    println!();
    let mut skipped: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (run, report) in runs.iter().zip(reports) {
        println!("{run:30} {} ({} s)", report.summary, report.seconds);
        for test in &report.skipped {
            let luas = skipped.entry(test).or_default();
            if !luas.contains(&run.lua.directory) {
                luas.push(run.lua.directory);
            }
        }
    }
    for (test, luas) in skipped {
        println!("skipped in {}: {test}", luas.join(", "));
    }
}

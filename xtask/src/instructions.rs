//! Counts the instructions of fixed work under callgrind, and compares them with those recorded: a change that makes
//! something dearer shows without a clock.
//!
//! The work of a workload is done so many times and then some more; the difference is what one round takes, without what
//! comes before the first and after the last. What is counted depends on the compiler, whose version is recorded along,
//! and a little on the C library's allocator. Its copying of memory is picked by what the processor can do; all that
//! valgrind shows of it is masked out but what every x86-64 processor has.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::workspace::{self, Workspace};
use crate::{Failure, unexpected};

/// Below the workspace's root.
const RECORD: &str = "bench/instructions.json";

/// Per cent that may come and go with the order of hash tables and the addresses of memory.
const TOLERANCE: f64 = 3.0;

/// Leaves every processor with the same functions of the C library.
const ONE_FOR_ALL: &str = "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM";

/// A program that does a workload so many times: `PROGRAM WORKLOAD COUNT`.
struct Program {
    package: &'static str,
    bench: &'static str,
    /// The function within which is counted, in the thread that calls it; everything if there is none.
    within: Option<&'static str>,
    workloads: &'static [Workload],
}

struct Workload {
    name: &'static str,
    /// What one round is, for people.
    round: &'static str,
    /// Rounds of the first and the second run. The first has to be long enough for everything to have happened once.
    rounds: [u32; 2],
}

const fn workload(name: &'static str, round: &'static str, rounds: [u32; 2]) -> Workload {
    Workload {
        name,
        round,
        rounds,
    }
}

const PROGRAMS: &[Program] = &[
    Program {
        package: "beep-session",
        bench: "instructions",
        within: None,
        workloads: &[
            workload("core-messages", "MSG and RPY of 64 octets", [200, 600]),
            workload("core-large", "MSG and RPY of 1 MiB", [4, 12]),
            workload("core-channels", "a channel opened and closed", [100, 300]),
            workload("core-answers", "MSG, 100 ANS of 64 octets, NUL", [4, 12]),
            workload("core-greetings", "two sessions that greet", [40, 120]),
            workload("session-messages", "MSG and RPY over TCP", [200, 600]),
            workload("session-large", "MSG and RPY of 1 MiB over TCP", [4, 12]),
            workload("session-channels", "a channel over TCP", [100, 300]),
            workload("session-connects", "a connection and one request", [20, 60]),
        ],
    },
    Program {
        package: "luavortex",
        bench: "dispatch",
        // The keeper's thread wakes up by the clock.
        within: Some("dispatch::counted"),
        workloads: &[
            workload("lua-handler", "a MSG sent to an empty handler", [500, 3000]),
            workload(
                "lua-replies",
                "MSG and send_rpy, a handler each",
                [200, 1200],
            ),
            workload("lua-requests", "channel:request and send_rpy", [200, 1200]),
            workload("lua-answers", "100 ANS read by channel:answers", [5, 25]),
            workload("lua-queues", "a value to a handler and back", [500, 3000]),
        ],
    },
];

/// `cargo xtask instructions`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut records = false;
    for argument in arguments {
        match argument.as_str() {
            "--record" => records = true,
            other => return Err(unexpected(other)),
        }
    }
    let record = Workspace::read()?.root()?.join(RECORD);
    let compiler = compiler()?;
    let mut counted = BTreeMap::new();
    for program in PROGRAMS {
        let executable = program.build()?;
        for workload in program.workloads {
            counted.insert(workload.name, workload.count(&executable, program.within)?);
        }
    }
    if records {
        return write(&record, &compiler, &counted);
    }
    let recorded = read(&record)?;
    if recorded.compiler != compiler {
        show(&recorded.instructions, &counted);
        println!(
            "instructions: recorded with {}, this is {compiler}: not compared. \
             `cargo xtask instructions --record` makes these the record.",
            recorded.compiler
        );
        return Ok(());
    }
    show(&recorded.instructions, &counted);
    judge(&recorded.instructions, &counted)
}

impl Program {
    /// Builds it and says where it is.
    fn build(&self) -> Result<PathBuf, Failure> {
        let mut cargo = workspace::cargo();
        cargo
            .args([
                "bench",
                "--no-run",
                "--message-format=json-render-diagnostics",
            ])
            .args(["--package", self.package, "--bench", self.bench])
            .stderr(Stdio::inherit());
        let output = cargo
            .output()
            .map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{cargo:?} ended with {}", output.status));
        }
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message.pointer("/target/name") == Some(&json!(self.bench)))
            .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
            .ok_or_else(|| format!("{cargo:?} told no executable"))
    }
}

impl Workload {
    /// Instructions of one round.
    fn count(&self, executable: &Path, within: Option<&str>) -> Result<u64, Failure> {
        let [few, many] = self.rounds;
        let before = self.instructions(executable, within, few)?;
        let after = self.instructions(executable, within, many)?;
        Ok(after.saturating_sub(before) / u64::from(many - few))
    }

    fn instructions(
        &self,
        executable: &Path,
        within: Option<&str>,
        rounds: u32,
    ) -> Result<u64, Failure> {
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(within.map(|function| format!("--toggle-collect={function}")))
            .arg(executable)
            .args([self.name, &rounds.to_string()])
            .env("GLIBC_TUNABLES", ONE_FOR_ALL);
        let output = valgrind.output().map_err(|error| {
            format!("cannot run valgrind, which Debian has as a package: {error}")
        })?;
        let report = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!(
                "{valgrind:?} ended with {}:\n{report}",
                output.status
            ));
        }
        collected(&report).ok_or_else(|| format!("{valgrind:?} counted nothing:\n{report}"))
    }
}

/// The number behind "Collected".
fn collected(report: &str) -> Option<u64> {
    let (_, behind) = report.rsplit_once("Collected :")?;
    behind.split_whitespace().next()?.parse().ok()
}

/// The compiler's version, on one line.
fn compiler() -> Result<String, Failure> {
    let output = Command::new("rustc")
        .arg("--version")
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

struct Recorded {
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

fn read(path: &Path) -> Result<Recorded, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let instructions = value.get("instructions").and_then(Value::as_object);
    Ok(Recorded {
        compiler: value
            .get("compiler")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        instructions: instructions
            .into_iter()
            .flatten()
            .filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)))
            .collect(),
    })
}

fn write(path: &Path, compiler: &str, counted: &BTreeMap<&str, u64>) -> Result<(), Failure> {
    let instructions: Map<String, Value> = counted
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect();
    let record = json!({ "compiler": compiler, "instructions": instructions });
    fs::write(path, format!("{record:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("instructions: recorded in {}", path.display());
    Ok(())
}

fn show(recorded: &BTreeMap<String, u64>, counted: &BTreeMap<&str, u64>) {
    for workload in PROGRAMS.iter().flat_map(|program| program.workloads) {
        let Some(now) = counted.get(workload.name) else {
            continue;
        };
        let change = recorded
            .get(workload.name)
            .map_or("no record".to_owned(), |before| {
                format!("{:+.1} %", change(*before, *now))
            });
        println!(
            "{:17} {now:>9}  {change:>9}  {}",
            workload.name, workload.round
        );
    }
}

/// Per cent more than before.
#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn change(before: u64, now: u64) -> f64 {
    (now as f64 - before as f64) / before.max(1) as f64 * 100.0
}

/// Fails where something became dearer than the tolerance allows, or has no record.
fn judge(recorded: &BTreeMap<String, u64>, counted: &BTreeMap<&str, u64>) -> Result<(), Failure> {
    let mut dearer = Vec::new();
    let mut cheaper = Vec::new();
    for (name, now) in counted {
        match recorded.get(*name).map(|before| change(*before, *now)) {
            None => dearer.push(format!("{name} has no record")),
            Some(change) if change > TOLERANCE => dearer.push(format!(
                "{name} takes {change:.1} % more instructions than recorded"
            )),
            Some(change) if change < -TOLERANCE => cheaper.push(*name),
            Some(_) => {}
        }
    }
    if !dearer.is_empty() {
        return Err(format!(
            "{}\nLook at the change for what it does more often than before. If it is worth that, \
             `cargo xtask instructions --record` makes it the record; commit {RECORD} with it.",
            dearer.join("\n")
        ));
    }
    if !cheaper.is_empty() {
        println!(
            "instructions: {} cheaper than recorded: `cargo xtask instructions --record` keeps it so",
            cheaper.join(", ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(count: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("messages".to_owned(), count)])
    }

    #[test]
    fn the_count_is_read_from_the_end_of_the_report() {
        let report =
            "==1== Events    : Ir\n==1== Collected : 123456\n==1==\n==1== I   refs:      123,456\n";
        assert_eq!(collected(report), Some(123_456));
        assert_eq!(collected("==1== Events    : Ir\n"), None);
    }

    #[test]
    fn more_instructions_than_the_tolerance_fail_and_tell_what_to_do() {
        let now = BTreeMap::from([("messages", 1040)]);
        let told = judge(&recorded(1000), &now).unwrap_err();
        assert!(told.contains("messages takes 4.0 % more"), "{told}");
        assert!(told.contains("--record"), "{told}");
        assert!(judge(&BTreeMap::new(), &now).is_err());
    }

    #[test]
    fn about_as_many_and_fewer_instructions_pass() {
        for before in [1010, 1040, 2000] {
            let now = BTreeMap::from([("messages", 1040)]);
            assert_eq!(judge(&recorded(before), &now), Ok(()));
        }
    }
}

//! Runs the fuzz targets, built with the stable toolchain: what libFuzzer needs are passes of LLVM that every rustc has.
//!
//! The code has no `unsafe`, so no sanitizer is needed: a finding is a panic, too much time or too much memory.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::workspace::{self, Workspace};
use crate::{Failure, child, corpus, value};

/// What cargo-fuzz gives to rustc, less the sanitizer.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// With a platform named, the flags go to what runs there only: not to build scripts.
const PLATFORM: &str = if cfg!(target_arch = "aarch64") {
    "aarch64-unknown-linux-gnu"
} else {
    "x86_64-unknown-linux-gnu"
};

/// Seconds that one input may take, and MiB that the process may.
const INPUT_SECONDS: u32 = 10;
const MEMORY_MIB: u32 = 1024;

/// `cargo xtask fuzz [--target NAME] [--seconds N]`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (mut only, mut seconds) = (None, 4_u64);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--target" => only = Some(value(argument, arguments.next())?),
            "--seconds" => {
                let text = value(argument, arguments.next())?;
                seconds = text
                    .parse()
                    .map_err(|_| format!("--seconds {text}: not a number"))?;
            }
            other => return Err(crate::unexpected(other)),
        }
    }
    let root = Workspace::read()?.root()?;
    let fuzz = root.join("fuzz");
    let targets = targets(&fuzz, only.as_deref())?;
    build(&fuzz)?;
    let seeds = fuzz.join("target/seeds");
    corpus::write(&root.join("crates/beep-core/tests/captures"), &seeds)?;
    for target in &targets {
        run_target(&fuzz, &seeds, target, seconds)?;
    }
    Ok(())
}

fn targets(fuzz: &Path, only: Option<&str>) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(fuzz.join("fuzz_targets"))
        .map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    let names = entries
        .flatten()
        .filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names
        .filter(|name| only.is_none_or(|only| only == name))
        .collect();
    names.sort();
    if names.is_empty() {
        return Err(format!(
            "there is no fuzz target `{}`",
            only.unwrap_or_default()
        ));
    }
    Ok(names)
}

fn build(fuzz: &Path) -> Result<(), Failure> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["build", "--quiet", "--release", "--bins"])
        .args(["--target", PLATFORM, "--target-dir", "target"])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .current_dir(fuzz);
    child::check(&mut cargo, child::BUILD_LIMIT)
}

/// Runs a target on what was found before, which has to pass, and then on what it makes of that.
fn run_target(fuzz: &Path, seeds: &Path, target: &str, seconds: u64) -> Result<(), Failure> {
    let program = fuzz
        .join("target")
        .join(PLATFORM)
        .join("release")
        .join(target);
    let found = fuzz.join("target/found").join(target);
    fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
    let mut command = Command::new(program);
    // New inputs go to the first folder.
    command.arg(&found);
    for folder in [
        fuzz.join("corpus").join(target),
        fuzz.join("crashes").join(target),
        seeds.join(target),
    ] {
        if folder.is_dir() {
            command.arg(folder);
        }
    }
    let dictionary = fuzz.join("beep.dict");
    command
        .arg(format!("-dict={}", dictionary.display()))
        .arg(format!(
            "-artifact_prefix={}/{target}-",
            fuzz.join("target").display()
        ))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .args(["-max_len=4096", "-print_final_stats=1", "-verbosity=0"]);
    let limit = Duration::from_secs(seconds) + child::TEST_LIMIT;
    child::check(&mut command, limit)
        .map_err(|problem| format!("target {target}: {problem}; the input is in fuzz/target"))?;
    println!("fuzz {target}: nothing found");
    Ok(())
}

//! Runs the Lua specs in the command.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;

use support::{luavortex, root, run};

fn spec_files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("spec")).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| PathBuf::from("spec").join(entry.unwrap().file_name()))
        .filter(|path| path.to_str().unwrap().ends_with("_spec.lua"))
        .collect();
    files.sort();
    files
}

/// Runs each file in a process of its own, and tells all that failed.
fn run_specs(options: &[&str]) {
    let files = spec_files();
    assert!(!files.is_empty(), "no specs found");
    let mut failures = String::new();
    for file in files {
        let mut command = luavortex(["spec/run.lua"]);
        let outcome = run(command.args(options).arg(&file).current_dir(root()));
        // The last line counts what passed, failed and was skipped.
        let summary = outcome.stdout.lines().last().unwrap_or_default();
        println!("{}: {summary}", file.display());
        if !outcome.status.success() || !summary.contains(" passed, 0 failed") {
            failures += &format!(
                "\n=== {} {options:?}: {}\n{}\n{}",
                file.display(),
                outcome.status,
                outcome.stdout,
                outcome.stderr
            );
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn all_specs_pass() {
    run_specs(&[]);
}

#[test]
fn all_specs_pass_while_garbage_is_collected_all_the_time() {
    run_specs(&["--gc"]);
}

#[test]
fn the_list_of_specs_names_every_spec() {
    let code =
        "for _, name in ipairs (dofile 'spec/all.lua') do print ('spec/' .. name .. '.lua') end";
    let outcome = run(luavortex(["-e", code]).current_dir(root())).expect_code(0);
    let mut listed: Vec<PathBuf> = outcome.stdout.lines().map(PathBuf::from).collect();
    listed.sort();
    assert_eq!(listed, spec_files());
}

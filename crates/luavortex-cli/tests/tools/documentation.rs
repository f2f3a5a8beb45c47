//! Help, manual pages and completions.

use std::process::Command;

use super::*;
use crate::support::Directory;

const TOOLS: [&str; 8] = [
    "probe",
    "send",
    "listen",
    "trace",
    "bench",
    "new",
    "man",
    "completions",
];

#[test]
fn the_help_of_the_command_names_every_tool() {
    let help = tool(&["--help"]).expect_code(0).stdout;
    for name in TOOLS {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(name)),
            "{name} in {help}"
        );
    }
}

#[test]
fn the_help_of_every_tool_has_examples() {
    for name in TOOLS {
        let outcome = tool(&[name, "--help"]).expect_code(0);
        assert!(
            outcome.stdout.contains("Examples:\n  luavortex "),
            "{outcome:#?}"
        );
        assert!(
            outcome.stdout.contains(&format!("Usage: luavortex {name}")),
            "{outcome:#?}"
        );
    }
    for name in &TOOLS[..6] {
        let help = tool(&[name, "--help"]).stdout;
        assert!(help.contains("Exit status:"), "{help}");
    }
    for action in ["show", "html"] {
        let outcome = tool(&["trace", action, "--help"]).expect_code(0);
        assert!(outcome.stdout.contains("Examples:"), "{outcome:#?}");
    }
}

#[test]
fn there_is_a_manual_page_for_every_tool() {
    let directory = Directory::new("man");
    let pages = directory.path().join("deep/man1");
    tool(&["man", pages.to_str().unwrap()]).expect_code(0);
    let read = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    assert!(
        read("luavortex.1").contains("luavortex\\-probe"),
        "{}",
        read("luavortex.1")
    );
    for name in TOOLS {
        let page = read(&format!("luavortex-{name}.1"));
        assert!(
            page.contains(".SH SYNOPSIS") && page.contains("Examples:"),
            "{page}"
        );
    }
    assert!(read("luavortex-trace-html.1").contains("payload"));
}

#[test]
fn shells_take_the_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = tool(&["completions", shell]).expect_code(0).stdout;
        for name in TOOLS {
            assert!(script.contains(name), "{name} for {shell}");
        }
        assert!(script.contains("password-file"), "{shell}");
        if Command::new(shell).arg("--version").output().is_err() {
            println!("SKIPPED: {shell} is not installed");
            continue;
        }
        let directory = Directory::new(&format!("completions-{shell}"));
        let file = directory.write("script", script);
        run(Command::new(shell).arg("-n").arg(file)).expect_code(0);
    }
}

//! Where `unsafe` is, and that each place says why.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::workspace::Workspace;

/// The files that may have it.
const ALLOWED: &[&str] = &[
    // The state of scripts is as open as that of `lua`.
    "crates/luavortex-cli/src/interpreter.rs",
    // The same state, for a benchmark.
    "crates/luavortex/benches/dispatch.rs",
    // Signal handlers, and those that were there before.
    "crates/luavortex/src/signals.rs",
];

/// Lines above an `unsafe` in which its reason begins.
const REASON_WITHIN: usize = 4;

/// `cargo xtask unsafe`
pub(crate) fn check() -> Result<(), Failure> {
    let root = Workspace::read()?.root()?;
    let (mut problems, mut blocks) = (Vec::new(), 0);
    for file in sources(&root)? {
        let text =
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file
            .strip_prefix(&root)
            .unwrap_or(&file)
            .display()
            .to_string();
        let lines: Vec<&str> = text.lines().collect();
        for (place, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            blocks += 1;
            println!("{name}:{}: {}", place + 1, line.trim());
            if !ALLOWED.contains(&name.as_str()) {
                problems.push(format!("{name}:{}: no unsafe in this file", place + 1));
            }
            let above = lines.get(place.saturating_sub(REASON_WITHIN)..place);
            if !above
                .into_iter()
                .flatten()
                .any(|line| line.contains("// SAFETY:"))
            {
                problems.push(format!("{name}:{}: no SAFETY comment above", place + 1));
            }
        }
    }
    println!("{blocks} places with unsafe");
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// Whether a line of code has the keyword; comments and the name of the lint do not count.
fn is_unsafe(line: &str) -> bool {
    const KEYWORD: &str = "unsafe ";
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices(KEYWORD).any(|(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().last());
        let behind = code.get(at + KEYWORD.len()..).unwrap_or_default();
        let is_word =
            !before.is_some_and(|character| character.is_alphanumeric() || character == '_');
        is_word
            && ["{", "fn", "impl", "extern", "trait"]
                .iter()
                .any(|word| behind.starts_with(word))
    })
}

/// All Rust files of ours.
fn sources(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = vec![root.join("crates"), root.join("xtask"), root.join("fuzz")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

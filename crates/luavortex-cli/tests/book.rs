//! Runs the scripts of the book.
//!
//! A ```` ```lua ```` block of a page with lines `-- expect: TEXT` is a script: it has to print exactly these lines. Any
//! other is a piece of one, and has to be Lua that can be compiled. A line `-- needs: MODULE` names a library that Debian has
//! for Lua; without it the script is skipped.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Directory, luavortex, root, run};

const EXPECT: &str = "-- expect: ";
const NEEDS: &str = "-- needs: ";

/// What the pages tell the reader to make, under the names that their scripts use.
const CERTIFICATES: [&str; 2] = ["localhost.crt", "localhost.key"];

/// What the operating system adds to messages.
const OF_THE_SYSTEM: [&str; 4] = [
    "Address already in use",
    "Cannot assign requested address",
    "Connection refused",
    "Permission denied",
];

/// A block of Lua in a page.
struct Block {
    page: PathBuf,
    /// Where the block begins, counted from 1.
    line: usize,
    text: String,
}

impl Block {
    fn expected(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix(EXPECT))
            .collect()
    }

    fn needed(&self) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(NEEDS))
    }

    fn place(&self) -> String {
        format!("{}:{}", self.page.display(), self.line)
    }
}

/// The files below a directory whose names end in one of these ways, in order.
fn files(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if path
            .extension()
            .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let inside: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        if language == "lua" {
            blocks.push(Block {
                page: page.strip_prefix(root()).unwrap().to_owned(),
                line: number + 1,
                text: inside.join("\n") + "\n",
            });
        }
    }
    blocks
}

fn all_blocks() -> Vec<Block> {
    let mut pages = files(&root().join("docs"), &["md"]);
    pages.push(root().join("README.md"));
    pages.iter().flat_map(|page| blocks(page)).collect()
}

/// Has Lua look where Debian's packages put modules for its version.
fn with_modules_of_debian(command: &mut Command) -> &mut Command {
    let outcome = run(&mut luavortex(["-e", "io.write (_VERSION:match '%d.%d')"])).expect_code(0);
    let version = outcome.stdout;
    let architecture = std::env::consts::ARCH;
    command
        .env(
            "LUA_CPATH",
            format!("/usr/lib/{architecture}-linux-gnu/lua/{version}/?.so;;"),
        )
        .env(
            "LUA_PATH",
            format!("/usr/share/lua/{version}/?.lua;/usr/share/lua/{version}/?/init.lua;;"),
        )
}

fn has_module(name: &str) -> bool {
    let mut command = luavortex(["-e", &format!("require '{name}'")]);
    run(with_modules_of_debian(&mut command)).status.success()
}

#[test]
fn every_script_prints_what_it_promises() {
    let directory = Directory::new("book");
    for name in CERTIFICATES {
        let source = root().join("spec/certificates").join(name);
        directory.write(name, fs::read(source).unwrap());
    }
    let mut problems = Vec::new();
    let mut count = 0;
    for block in all_blocks() {
        let expected = block.expected();
        if expected.is_empty() {
            continue;
        }
        count += 1;
        directory.write("script.lua", &block.text);
        let mut command = luavortex(["script.lua"]);
        if let Some(module) = block.needed() {
            if !has_module(module) {
                println!("SKIPPED: {}: {module} is not installed", block.place());
                continue;
            }
            with_modules_of_debian(&mut command);
        }
        let outcome = run(command.current_dir(directory.path()));
        let printed: Vec<&str> = outcome.stdout.lines().collect();
        if printed != expected || !outcome.stderr.is_empty() || !outcome.status.success() {
            problems.push(format!(
                "{}: expected {expected:#?}, got {outcome:#?}",
                block.place()
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 20, "only {count} scripts were found");
}

#[test]
fn every_piece_of_a_script_can_be_compiled() {
    let directory = Directory::new("book-pieces");
    for block in all_blocks() {
        directory.write("piece.lua", &block.text);
        let outcome =
            run(luavortex(["-e", "assert (loadfile 'piece.lua')"]).current_dir(directory.path()));
        assert!(
            outcome.status.success(),
            "{}: {}",
            block.place(),
            outcome.stderr
        );
    }
}

#[test]
fn every_handler_has_a_page_with_a_script() {
    let types = fs::read_to_string(root().join("types/handlers.lua")).unwrap();
    let handlers: Vec<&str> = types
        .lines()
        .filter_map(|line| line.strip_prefix("---@alias "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(handlers.len() > 15, "{handlers:?}");
    let pages = files(&root().join("docs/handlers"), &["md"]);
    for handler in handlers {
        let page = pages.iter().find(|page| {
            let text = fs::read_to_string(page).unwrap();
            text.lines()
                .any(|line| line.starts_with("Type: ") && line.contains(&format!("`{handler}`")))
        });
        let page = page.unwrap_or_else(|| panic!("no page in docs/handlers has `Type: {handler}`"));
        let has_script = blocks(page)
            .iter()
            .any(|block| !block.expected().is_empty());
        assert!(has_script, "{} has no script", page.display());
    }
}

/// What the page about troubleshooting quotes, in pieces: `…` stands for what differs.
fn quoted_messages(page: &str) -> Vec<&str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("` ").map(|(message, _)| message))
        .collect()
}

#[test]
fn every_message_that_is_explained_is_one_that_scripts_get() {
    let page = fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let messages = quoted_messages(&page);
    assert!(messages.len() > 40, "{messages:?}");
    let sources: Vec<String> = files(&root().join("crates"), &["rs", "lua"])
        .iter()
        .filter(|path| path.components().all(|part| part.as_os_str() != "tests"))
        .map(|path| {
            // Long messages are continued on the next line.
            let source = fs::read_to_string(path).unwrap();
            let joined = source.replace("\"\n", "\n").replace(".. \"", "");
            let words: Vec<&str> = joined.split_whitespace().collect();
            words.join(" ").replace("\\ ", "").replace("\\\"", "\"")
        })
        .collect();
    for message in messages {
        let pieces = message.split('…').flat_map(|part| part.split(": "));
        let pieces = pieces.map(|piece| {
            piece.trim_matches(|end: char| end.is_ascii_digit() || end.is_whitespace())
        });
        for piece in pieces.filter(|piece| piece.len() > 5 && !OF_THE_SYSTEM.contains(piece)) {
            assert!(
                sources.iter().any(|source| source.contains(piece)),
                "no source says {piece:?}, of {message:?}"
            );
        }
    }
}

//! `types/` tells of every attribute that Rust answers for. All else is compared in `spec/types_spec.lua`: there a live
//! object tells what it has, but a `match` cannot be asked for its arms.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A class, the file of `types/` that describes it, and the one with its `ATTRIBUTES` and the function that reads them.
struct Class {
    name: &'static str,
    types: &'static str,
    source: &'static str,
}

const CLASSES: &[Class] = &[
    Class {
        name: "Ctx",
        types: "ctx.lua",
        source: "src/ctx.rs",
    },
    Class {
        name: "Connection",
        types: "connection.lua",
        source: "src/connection/attributes.rs",
    },
    Class {
        name: "Channel",
        types: "channel.lua",
        source: "src/channel.rs",
    },
    Class {
        name: "Frame",
        types: "frame.lua",
        source: "src/frame.rs",
    },
];

fn crate_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names that `---@field` gives to a class.
fn fields(types: &str, class: &str) -> BTreeSet<String> {
    let head = format!("---@class vortex.{class} ");
    let lines = types.lines().skip_while(|line| !line.starts_with(&head));
    let lines = lines.skip(1).take_while(|line| line.starts_with("---@"));
    lines
        .filter_map(|line| line.strip_prefix("---@field "))
        .filter_map(|field| field.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// What stands between two marks.
fn between<'a>(source: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = source.split_once(begin).unwrap();
    rest.split_once(end).unwrap().0
}

/// The string literals of a text.
fn literals(text: &str) -> BTreeSet<String> {
    let literals = text.split('"').skip(1).step_by(2);
    literals.map(str::to_owned).collect()
}

/// The string literals that arms of `match` begin with.
fn arms(source: &str) -> BTreeSet<String> {
    source
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('"'))
        .filter_map(|line| line.split_once("=>"))
        .map(|(pattern, _)| pattern.split(" if ").next().unwrap_or(pattern))
        .flat_map(literals)
        .collect()
}

#[test]
fn types_tell_of_every_attribute_that_rust_answers_for() {
    for class in CLASSES {
        let source = read(&crate_directory().join(class.source));
        let answered = arms(between(&source, "fn attribute(", "\n}\n"));
        // A name that is not listed would not be asked for.
        let listed = literals(between(&source, "const ATTRIBUTES", "];"));
        assert_eq!(answered, listed, "{}", class.source);

        let types = crate_directory().join("../../types").join(class.types);
        let told = fields(&read(&types), class.name);
        let missing: Vec<_> = answered.difference(&told).collect();
        assert!(
            missing.is_empty(),
            "types/{} lacks {missing:?}",
            class.types
        );
    }
}

#[test]
fn no_other_class_has_attributes_that_rust_answers_for() {
    let mut directories = vec![crate_directory().join("src")];
    let mut found = BTreeSet::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if read(&path).contains("const ATTRIBUTES") {
                found.insert(path);
            }
        }
    }
    let known: BTreeSet<PathBuf> = CLASSES
        .iter()
        .map(|class| crate_directory().join(class.source))
        .collect();
    assert_eq!(found, known);
}

//! `types/` tells of every attribute that Rust answers for. All else is compared in `spec/types_spec.lua`: there a live
//! object tells what it has, but a `match` cannot be asked for its arms.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A class, the file of `types/` that describes it, and where the function that reads its attributes begins and ends.
struct Class {
    name: &'static str,
    types: &'static str,
    source: &'static str,
    begin: &'static str,
    end: &'static str,
}

const CLASSES: &[Class] = &[
    Class {
        name: "Ctx",
        types: "ctx.lua",
        source: "src/ctx.rs",
        begin: "\"ctx_attribute\"",
        end: "_ => Value::Nil",
    },
    Class {
        name: "Connection",
        types: "connection.lua",
        source: "src/connection/attributes.rs",
        begin: "fn attribute(",
        end: "\n}\n",
    },
    Class {
        name: "Channel",
        types: "channel.lua",
        source: "src/channel.rs",
        begin: "fn attribute(",
        end: "\n}\n",
    },
    Class {
        name: "Frame",
        types: "frame.lua",
        source: "src/frame.rs",
        begin: "fn attribute(",
        end: "\n}\n",
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

/// The string literals that arms of `match` begin with.
fn arms(source: &str) -> BTreeSet<String> {
    source
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('"'))
        .filter_map(|line| line.split_once("=>"))
        .map(|(pattern, _)| pattern.split(" if ").next().unwrap_or(pattern))
        .flat_map(|pattern| pattern.split('"').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn types_tell_of_every_attribute_that_rust_answers_for() {
    for class in CLASSES {
        let source = read(&crate_directory().join(class.source));
        let (_, function) = source.split_once(class.begin).unwrap();
        let (function, _) = function.split_once(class.end).unwrap();
        let answered = arms(function);
        assert!(
            answered.contains("ref_count"),
            "{}: {answered:?}",
            class.source
        );

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
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lua") {
                files.push(path);
            }
        }
    }
    // `lib.class ("frame", raw.frame_attribute)`
    let classes: BTreeSet<String> = files
        .iter()
        .flat_map(|path| {
            let source = read(path);
            let with_attributes = source.lines().filter_map(|line| {
                let (_, rest) = line.split_once("lib.class (\"")?;
                let (name, rest) = rest.split_once('"')?;
                rest.contains("raw.").then(|| name.to_owned())
            });
            with_attributes.collect::<Vec<_>>()
        })
        .collect();
    let known: BTreeSet<String> = CLASSES
        .iter()
        .map(|class| class.name.to_lowercase())
        .collect();
    assert_eq!(classes, known);
}

//! Seeds of the fuzz targets, cut out of recorded sessions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{Failure, value};

/// Longer ones slow the fuzzer down without telling it more.
const LONGEST_SEED: usize = 4096;

/// What stands in front of the octets for `session_octets`: which end the session is, and what its application does.
const LISTENER: u8 = 0;
const INITIATOR: u8 = 1;
const LOOKS_ON: u8 = 2;

/// `cargo xtask corpus [--from DIR] [--into DIR]`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let root = Workspace::read()?.root()?;
    let mut from = root.join("crates/beep-core/tests/captures");
    let mut into = root.join("fuzz/target/seeds");
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--from" => from = PathBuf::from(value(argument, arguments.next())?),
            "--into" => into = PathBuf::from(value(argument, arguments.next())?),
            other => return Err(crate::unexpected(other)),
        }
    }
    let seeds = write(&from, &into)?;
    println!("{seeds} seeds in {}", into.display());
    Ok(())
}

/// Writes seeds from the recordings in `from` to a folder a target in `into`, and tells how many.
pub(crate) fn write(from: &Path, into: &Path) -> Result<usize, Failure> {
    let mut seeds = BTreeSet::new();
    for path in recordings(from)? {
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let is_lines = path.extension().is_some_and(|end| end == "jsonl");
        let documents = if is_lines {
            text.lines().collect()
        } else {
            vec![text.as_str()]
        };
        for document in documents {
            let recording = serde_json::from_str(document)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            collect(&recording, &mut seeds);
        }
    }
    let mut folders = BTreeSet::new();
    for (place, (target, octets)) in seeds.iter().enumerate() {
        let folder = into.join(target);
        if folders.insert(*target) {
            fs::create_dir_all(&folder)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let file = folder.join(format!("seed-{place:04}"));
        fs::write(&file, octets).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(seeds.len())
}

fn recordings(from: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|end| end == "json" || end == "jsonl")
    });
    paths.sort();
    if paths.is_empty() {
        return Err(format!("no recordings in {}", from.display()));
    }
    Ok(paths)
}

type Seeds = BTreeSet<(&'static str, Vec<u8>)>;

fn collect(recording: &Value, seeds: &mut Seeds) {
    let steps = recording.get("steps").and_then(Value::as_array);
    for side in ["initiator", "listener"] {
        let mut sent = Vec::new();
        for step in steps.into_iter().flatten() {
            let text = |key: &str| step.get(key).and_then(Value::as_str);
            let (Some(from), Some(octets)) = (text("from"), text("octets")) else {
                continue;
            };
            if from == side
                && let Ok(octets) = BASE64_STANDARD.decode(octets)
            {
                sent.extend_from_slice(&octets);
            }
        }
        sent.truncate(LONGEST_SEED);
        if sent.is_empty() {
            continue;
        }
        for content in contents(&sent) {
            seeds.insert(("mime", content.to_vec()));
            if let Some(at) = content.windows(5).position(|part| part == b"<blob") {
                seeds.insert(("sasl_blob", content.get(at..).unwrap_or_default().to_vec()));
            }
            if content.contains(&b'<') {
                seeds.insert(("management", content.to_vec()));
            }
        }
        // What the initiator sent is what a listener gets.
        let role = if side == "initiator" {
            LISTENER
        } else {
            INITIATOR
        };
        seeds.insert(("session_octets", [&[role, 1], &sent[..]].concat()));
        seeds.insert((
            "session_octets",
            [&[role | LOOKS_ON, 1], &sent[..]].concat(),
        ));
        seeds.insert(("frames", [&[1], &sent[..]].concat()));
    }
}

/// The payloads of the frames, roughly: what is not right is no seed.
fn contents(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(end) = octets.windows(2).position(|pair| pair == b"\r\n") {
        let (line, rest) = octets.split_at(end + 2);
        let line = String::from_utf8_lossy(line);
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let size = match fields.first() {
            Some(&"SEQ") => {
                octets = rest;
                continue;
            }
            _ => fields.get(5).and_then(|size| size.parse().ok()),
        };
        let Some((content, rest)) = size.and_then(|size: usize| rest.split_at_checked(size)) else {
            break;
        };
        found.push(content);
        octets = rest.strip_prefix(b"END\r\n").unwrap_or_default();
    }
    found
}

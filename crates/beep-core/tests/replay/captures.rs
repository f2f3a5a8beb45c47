//! The recordings, as they lie in `tests/captures`; its README describes their format.

use std::fs;
use std::path::PathBuf;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use beep_core::Role;
use serde_json::Value;

/// One recorded session.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    /// What the applications saw, by side.
    pub(crate) expected: Value,
    /// What is odd about it, for hand-made octets.
    pub(crate) rule: Option<Rule>,
    /// The side whose events are those of another party.
    pub(crate) events_elsewhere: Option<Role>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) number: u64,
    pub(crate) from: Role,
    /// 2 behind a change of the transport, else 1.
    pub(crate) session: u64,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    Octets {
        octets: Vec<u8>,
        /// The recorder's summary of each frame.
        parsed: Vec<Value>,
    },
    /// The stream ended: `fin`, `reset` or `cut`.
    End(String),
}

/// What a hand-made recording is about.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) step: u64,
    pub(crate) by: Role,
    pub(crate) breaks: String,
    pub(crate) advice: String,
}

/// The other end of the connection.
pub(crate) fn other(role: Role) -> Role {
    match role {
        Role::Initiator => Role::Listener,
        Role::Listener => Role::Initiator,
    }
}

/// The name of a side in the recordings.
pub(crate) fn name_of(role: Role) -> &'static str {
    match role {
        Role::Initiator => "initiator",
        Role::Listener => "listener",
    }
}

/// All recorded sessions of two good peers, in the order of their names.
pub(crate) fn sessions() -> Vec<Recording> {
    let mut paths: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    paths.sort();
    let read = |path: &PathBuf| recording(&fs::read_to_string(path).unwrap());
    paths.iter().map(read).collect()
}

/// The short sessions of a file in which one side was played by hand-made octets.
pub(crate) fn hand_made(file: &str) -> Vec<Recording> {
    let text = fs::read_to_string(folder().join(file)).unwrap();
    text.lines().map(recording).collect()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn recording(json: &str) -> Recording {
    let json: Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["format"], "beep-capture/1");
    let rule = json.get("rule").map(|rule| Rule {
        step: rule["step"].as_u64().unwrap(),
        by: role(&rule["by"]).unwrap(),
        breaks: text(&rule["breaks"]),
        advice: text(&rule["advice"]),
    });
    Recording {
        name: text(&json["scenario"]),
        steps: json["steps"].as_array().unwrap().iter().map(step).collect(),
        expected: json["expected"].clone(),
        rule,
        events_elsewhere: role(&json["events_elsewhere"]),
    }
}

fn step(json: &Value) -> Step {
    let what = match json["end"].as_str() {
        Some(end) => What::End(end.to_owned()),
        None => What::Octets {
            octets: BASE64_STANDARD
                .decode(json["octets"].as_str().unwrap())
                .unwrap(),
            parsed: json["parsed"].as_array().cloned().unwrap_or_default(),
        },
    };
    Step {
        number: json["n"].as_u64().unwrap(),
        from: role(&json["from"]).unwrap(),
        session: json["session"].as_u64().unwrap_or(1),
        what,
    }
}

fn role(json: &Value) -> Option<Role> {
    match json.as_str()? {
        "initiator" => Some(Role::Initiator),
        "listener" => Some(Role::Listener),
        other => panic!("side {other}"),
    }
}

fn text(json: &Value) -> String {
    json.as_str().unwrap().to_owned()
}

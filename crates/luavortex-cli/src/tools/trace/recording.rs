//! The file format of recordings: JSON lines, with the octets as they were read.
//!
//! Octets and not frames, so that nothing is lost of what is no frame, or of how it was cut.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::tools::failure::Failure;

const FORMAT: &str = "luavortex-trace";
const VERSION: u32 = 1;

/// A line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Entry {
    /// The first line.
    Begin {
        format: String,
        version: u32,
        /// When, as RFC 3339 has it.
        at: String,
        /// Where clients were connected through to.
        listener: String,
    },
    /// A client was connected through.
    Open {
        us: u64,
        session: u32,
        client: String,
    },
    /// Octets were read from one side.
    Octets {
        us: u64,
        session: u32,
        from: Side,
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        octets: Vec<u8>,
    },
    /// A side ended its half of the connection.
    End {
        us: u64,
        session: u32,
        from: Side,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// One of the two peers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    Client,
    Listener,
}

impl Side {
    pub(super) fn other(self) -> Side {
        match self {
            Side::Client => Side::Listener,
            Side::Listener => Side::Client,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Listener => "listener",
        }
    }
}

impl Entry {
    /// The first line of a recording that begins now.
    pub(super) fn begin(listener: String) -> Self {
        let now = time::OffsetDateTime::now_utc();
        let at = now.format(&time::format_description::well_known::Rfc3339);
        Entry::Begin {
            format: FORMAT.to_owned(),
            version: VERSION,
            // Years beyond 9999 have no such form.
            at: at.unwrap_or_default(),
            listener,
        }
    }
}

/// Writes a recording. Each line is on the disk's way before the next: whoever reads along sees whole lines.
#[derive(Debug)]
pub(super) struct Writer {
    file: BufWriter<File>,
    name: String,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = File::create(path).map_err(|error| Failure::file("write", &name, &error))?;
        Ok(Writer {
            file: BufWriter::new(file),
            name,
        })
    }

    pub(super) fn write(&mut self, entry: &Entry) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.file, entry)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.flush());
        written.map_err(|error| Failure::file("write", &self.name, &error))
    }
}

/// Reads a recording, line by line.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(Entry) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::file("read", &name, &error))?;
    let mut has_begun = false;
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| Failure::file("read", &name, &error))?;
        let entry: Entry = serde_json::from_slice(&line).map_err(|error| {
            let hint = match index {
                0 => "is it a file that `luavortex trace --save` wrote?",
                _ => "what stands before it can be read without it",
            };
            Failure::local(format!(
                "{name}, line {}: no entry of a recording: {error}; {hint}",
                index + 1
            ))
        })?;
        match &entry {
            Entry::Begin {
                format, version, ..
            } if index == 0 => {
                if format != FORMAT || *version != VERSION {
                    return Err(Failure::local(format!(
                        "{name} is a recording of format {format} {version}; this luavortex reads {FORMAT} {VERSION}"
                    )));
                }
                has_begun = true;
            }
            _ if has_begun => {}
            _ => {
                return Err(Failure::local(format!(
                    "{name} does not begin as a recording does; is it a file that `luavortex trace --save` wrote?"
                )));
            }
        }
        each(entry)?;
    }
    if !has_begun {
        return Err(Failure::local(format!(
            "{name} is empty: nothing was recorded"
        )));
    }
    Ok(())
}

fn to_base64<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(octets))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

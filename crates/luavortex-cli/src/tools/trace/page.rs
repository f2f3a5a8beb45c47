//! `luavortex trace html`: a recording as one page that needs nothing else.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use super::recording::{self, Entry};
use super::row::Row;
use super::show::Sessions;
use crate::tools::endpoint::octets;
use crate::tools::failure::Failure;
use crate::tools::terminal;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Octets of a payload that are worth their room in a page.
const PAYLOAD_MAX: u64 = 64 * 1024;

/// Write a recording as a page for a browser
///
/// The page is one file without links to others: a ladder of the frames of both sides, which open to their headers and
/// payloads; the windows of all channels over time; what is wrong, marked; search and filters.
#[derive(clap::Args)]
#[command(
    after_long_help = "Examples:\n  luavortex trace html session.trace -o session.html\n  \
                       luavortex trace html session.trace > session.html"
)]
pub(super) struct Arguments {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The page; default: standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Octets of each payload that the page holds
    #[arg(long, value_name = "OCTETS", default_value_t = PAYLOAD_MAX, value_parser = octets)]
    payload_max: u64,
}

/// What the script of the page reads.
#[derive(Default, Serialize)]
struct Trace {
    at: String,
    listener: String,
    clients: Vec<Client>,
    rows: Vec<Row>,
}

/// A session and who began it.
#[derive(Serialize)]
struct Client {
    session: u32,
    us: u64,
    client: String,
}

/// Writes a recording as a page.
pub(super) fn of_recording(recording: PathBuf, page: PathBuf) -> Result<(), Failure> {
    run(&Arguments {
        file: recording,
        output: Some(page),
        payload_max: PAYLOAD_MAX,
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let payload_max = usize::try_from(arguments.payload_max).unwrap_or(usize::MAX);
    let mut sessions = Sessions::new(payload_max);
    let mut trace = Trace::default();
    recording::read(&arguments.file, |entry| {
        let frames = sessions.take(&entry);
        let rows = frames.iter().map(|frame| Row::new(frame, payload_max));
        trace.rows.extend(rows);
        match entry {
            Entry::Begin { at, listener, .. } => {
                trace.at = at;
                trace.listener = listener;
            }
            Entry::Open {
                us,
                session,
                client,
            } => trace.clients.push(Client {
                session,
                us,
                client,
            }),
            Entry::Octets { .. } | Entry::End { .. } => {}
        }
        Ok(())
    })?;
    let page = page(&trace);
    match &arguments.output {
        None => terminal::octets(page.as_bytes()),
        Some(path) => {
            fs::write(path, page).map_err(|error| Failure::file("write", path.display(), &error))
        }
    }
}

fn page(trace: &Trace) -> String {
    // What peers sent must not end the element that it stands in.
    let data = serde_json::to_string(trace)
        .unwrap_or_default()
        .replace('<', "\\u003c");
    PAGE.replacen("/* STYLE */", STYLE, 1)
        .replacen("/* SCRIPT */", SCRIPT, 1)
        .replacen("/* TRACE */", &data, 1)
}

//! `luavortex trace show`, and how a frame looks as a line of text.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use beep_session::core::mime;

use super::analysis::{Content, Malformed};
use super::recording::{self, Entry, Side};
use super::row::{Row, header_line};
use super::session::{Frame, Session};
use crate::tools::failure::Failure;
use crate::tools::terminal::{
    self, BAD, DOUBTFUL, FAINT, GOOD, STRONG, channel_style, harmless, paint, quoted, visible,
};

/// Characters of a payload shown in a line.
const SHOWN: usize = 60;
/// Octets in a line of a dump.
const DUMP_WIDTH: usize = 16;

/// Show a recording as text
#[derive(clap::Args)]
#[command(
    after_long_help = "Examples:\n  luavortex trace show session.trace\n  luavortex trace show --errors session.trace\n  \
                       luavortex trace show --json session.trace | jq 'select(.channel == 3)'"
)]
pub(super) struct Arguments {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Show whole payloads instead of their beginnings
    #[arg(long, short)]
    payload: bool,

    /// Show only this channel
    #[arg(long, value_name = "NUMBER")]
    channel: Option<u32>,

    /// Show only what is wrong, and negative replies
    #[arg(long)]
    errors: bool,

    /// Print one JSON object a line: header, payload, meaning and faults of each frame
    #[arg(long, conflicts_with = "payload")]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut sessions = Sessions::new(usize::MAX);
    recording::read(&arguments.file, |entry| {
        if !arguments.json
            && !arguments.errors
            && arguments.channel.is_none()
            && let Some(line) = event_line(&entry)
        {
            terminal::line(line)?;
        }
        for frame in sessions.take(&entry) {
            if !arguments.wants(&frame) {
                continue;
            }
            if arguments.json {
                let row = serde_json::to_string(&Row::new(&frame, usize::MAX));
                terminal::octets(format!("{}\n", row.unwrap_or_default()).as_bytes())?;
            } else {
                terminal::text(&lines(&frame, arguments.payload))?;
            }
        }
        Ok(())
    })
}

impl Arguments {
    fn wants(&self, frame: &Frame) -> bool {
        let is_error = frame.is_refusal || !frame.faults.is_empty();
        let channel = match &frame.content {
            Content::Data { header, .. } => Some(header.channel.value()),
            Content::Seq(header) => Some(header.channel.value()),
            _ => None,
        };
        (!self.errors || is_error) && self.channel.is_none_or(|wanted| channel == Some(wanted))
    }
}

/// The sessions of a recording.
#[derive(Debug)]
pub(super) struct Sessions {
    sessions: HashMap<u32, Running>,
    payload_max: usize,
}

/// A session, and how many of its sides have ended.
#[derive(Debug)]
struct Running {
    session: Session,
    ends: u8,
}

impl Sessions {
    pub(super) fn new(payload_max: usize) -> Self {
        Sessions {
            sessions: HashMap::new(),
            payload_max,
        }
    }

    /// The frames that this line completes.
    pub(super) fn take(&mut self, entry: &Entry) -> Vec<Frame> {
        let number = match entry {
            Entry::Begin { .. } => return Vec::new(),
            Entry::Open { session, .. }
            | Entry::Octets { session, .. }
            | Entry::End { session, .. } => *session,
        };
        let payload_max = self.payload_max;
        let running = self.sessions.entry(number).or_insert_with(|| Running {
            session: Session::new(number, payload_max),
            ends: 0,
        });
        let frames = running.session.take(entry);
        if let Entry::End { .. } = entry {
            running.ends += 1;
            if running.ends == 2 {
                self.sessions.remove(&number);
            }
        }
        frames
    }
}

/// The line for what is no frame: where a recording begins, and a client.
pub(super) fn event_line(entry: &Entry) -> Option<String> {
    match entry {
        Entry::Begin { at, listener, .. } => Some(format!(
            "{} {} to {}",
            paint(STRONG, "trace"),
            visible(at),
            visible(listener)
        )),
        Entry::Open {
            us,
            session,
            client,
        } => Some(format!(
            "{} #{session} {} {}",
            clock(*us),
            paint(GOOD, "connected"),
            visible(client)
        )),
        _ => None,
    }
}

/// A frame as lines of text. `whole`: with all of its payload.
pub(super) fn lines(frame: &Frame, whole: bool) -> String {
    let mut out = format!(
        "{} #{} {} ",
        clock(frame.us),
        frame.session,
        direction(frame.from)
    );
    match &frame.content {
        Content::Data { header, payload } => {
            let style = channel_style(header.channel.value());
            let line = header_line(&frame.content).unwrap_or_default();
            let _ = write!(out, "{}", paint(style, line));
            match &frame.meaning {
                Some(meaning) => {
                    let style = if frame.is_refusal { BAD } else { style };
                    let _ = write!(out, "  {}", paint(style, visible(meaning)));
                }
                None if !whole => {
                    let body = payload
                        .get(mime::headers_len(payload)..)
                        .unwrap_or_default();
                    let style = if frame.is_refusal { BAD } else { FAINT };
                    let _ = write!(out, "  {}", paint(style, quoted(body, SHOWN)));
                }
                None => {}
            }
            if let Some(after_us) = frame.after_us {
                let time = format!("  after {:.3} ms", after_us as f64 / 1e3);
                let _ = write!(out, "{}", paint(FAINT, time));
            }
            out.push('\n');
            if whole && !payload.is_empty() {
                push_payload(&mut out, payload);
            }
        }
        Content::Seq(header) => {
            let line = header_line(&frame.content).unwrap_or_default();
            let style = channel_style(header.channel.value()).dimmed();
            let _ = writeln!(out, "{}", paint(style, line));
        }
        Content::Malformed(malformed) => {
            let _ = writeln!(out, "{}", paint(BAD, "what came is no BEEP"));
            push_dump(&mut out, malformed);
        }
        Content::Unread { count, .. } => {
            let text = format!("{count} octets behind that");
            let _ = writeln!(out, "{}", paint(DOUBTFUL, text));
        }
        Content::Encrypted { count } => {
            let text = format!("{count} octets of TLS");
            let _ = writeln!(out, "{}", paint(FAINT, text));
        }
        Content::Ended { .. } => {
            let text = format!("the {} ended the connection", frame.from.name());
            let _ = writeln!(out, "{}", paint(FAINT, text));
        }
    }
    for fault in &frame.faults {
        let _ = writeln!(
            out,
            "{:>16}{} {}",
            "",
            paint(BAD, "!"),
            paint(BAD, visible(fault))
        );
    }
    out
}

fn direction(from: Side) -> &'static str {
    match from {
        Side::Client => "→",
        Side::Listener => "←",
    }
}

fn clock(us: u64) -> String {
    let time = format!("{:>12.6}", us as f64 / 1e6);
    paint(FAINT, time).to_string()
}

fn push_payload(out: &mut String, payload: &[u8]) {
    for line in harmless(payload).lines() {
        let _ = writeln!(out, "{:>16}{} {line}", "", paint(FAINT, "|"));
    }
}

/// The octets around the wrong one, which is marked.
fn push_dump(out: &mut String, malformed: &Malformed) {
    let Malformed {
        octets, index, at, ..
    } = malformed;
    let first = at.saturating_sub(*index as u64);
    for (row, chunk) in octets.chunks(DUMP_WIDTH).enumerate() {
        let offset = first + (row * DUMP_WIDTH) as u64;
        let _ = write!(out, "{:>16}{} ", "", paint(FAINT, format!("{offset:>8}")));
        let mut text = String::new();
        for (column, octet) in chunk.iter().enumerate() {
            let shown = match octet {
                0x20..=0x7e => char::from(*octet),
                _ => '.',
            };
            if row * DUMP_WIDTH + column == *index {
                let _ = write!(out, "{}", paint(BAD, format!(">{octet:02x}")));
            } else {
                let _ = write!(out, " {octet:02x}");
            }
            text.push(shown);
        }
        let padding = " ".repeat((DUMP_WIDTH - chunk.len()) * 3);
        let _ = writeln!(out, "{padding}  {text}");
    }
}

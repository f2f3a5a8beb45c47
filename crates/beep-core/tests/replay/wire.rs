//! Frames and messages cut out of octets, independently of the engine under test.

use beep_core::{MessageKind, Role};
use serde_json::Value;

use crate::captures::{Recording, What};

/// A frame: of a message, or a SEQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Data(Data),
    Seq {
        channel: u32,
        ackno: u32,
        window: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) id: Id,
    pub(crate) more: bool,
    pub(crate) seqno: u32,
    pub(crate) content: Vec<u8>,
}

/// What tells a message of one side from its others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) kind: MessageKind,
    pub(crate) channel: u32,
    pub(crate) msgno: u32,
    pub(crate) ansno: Option<u32>,
}

/// Cuts octets into frames. It does not check what the frames say.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    octets: Vec<u8>,
    /// Octets below which there is no use in looking.
    needed: usize,
}

impl Cutter {
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// Whether the octets so far are whole frames.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.octets.is_empty()
    }

    /// The payload octets of a frame whose end has not come.
    pub(crate) fn unfinished_payload(&self) -> &[u8] {
        let header = self.octets.iter().position(|octet| *octet == b'\n');
        header.map_or(&[], |at| &self.octets[at + 1..])
    }

    /// The next whole frame; `Err` for octets that are none.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, String> {
        if self.octets.len() < self.needed {
            return Ok(None);
        }
        let Some(end) = self.octets.iter().position(|octet| *octet == b'\n') else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&self.octets[..=end]).into_owned();
        let (mut frame, size) =
            header(&line).ok_or_else(|| format!("no frame header: {line:?}"))?;
        let start = end + 1;
        let Frame::Data(data) = &mut frame else {
            self.take(start);
            return Ok(Some(frame));
        };
        self.needed = start + size + 5;
        if self.octets.len() < self.needed {
            return Ok(None);
        }
        if &self.octets[start + size..self.needed] != b"END\r\n" {
            return Err(format!("no trailer behind {line:?}"));
        }
        data.content = self.octets[start..start + size].to_vec();
        self.take(self.needed);
        Ok(Some(frame))
    }

    fn take(&mut self, octets: usize) {
        self.octets.drain(..octets);
        self.needed = 0;
    }
}

/// The frame that a header line begins, without content, and the octets of its payload.
fn header(line: &str) -> Option<(Frame, usize)> {
    let fields: Vec<&str> = line.strip_suffix("\r\n")?.split(' ').collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    let kind = match fields[0] {
        "SEQ" if fields.len() == 4 => {
            let (channel, ackno, window) = (number(1)?, number(2)?, number(3)?);
            let seq = Frame::Seq {
                channel,
                ackno,
                window,
            };
            return Some((seq, 0));
        }
        "MSG" => MessageKind::Msg,
        "RPY" => MessageKind::Rpy,
        "ERR" => MessageKind::Err,
        "ANS" => MessageKind::Ans,
        "NUL" => MessageKind::Nul,
        _ => return None,
    };
    let is_answer = kind == MessageKind::Ans;
    if fields.len() != if is_answer { 7 } else { 6 } {
        return None;
    }
    let more = match fields[3] {
        "*" => true,
        "." => false,
        _ => return None,
    };
    let data = Data {
        id: Id {
            kind,
            channel: number(1)?,
            msgno: number(2)?,
            ansno: if is_answer { Some(number(6)?) } else { None },
        },
        more,
        seqno: number(4)?,
        content: Vec::new(),
    };
    Some((Frame::Data(data), number(5)? as usize))
}

/// A message in a recording.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) id: Id,
    pub(crate) content: Vec<u8>,
    /// Octets of entity headers, with the empty line, as the recorder found them.
    pub(crate) headers: usize,
    pub(crate) session: u64,
    /// The step with its first frame.
    pub(crate) begun: u64,
    /// Step and number, among all frames of its side, of its last frame; `None` when the stream ended before.
    pub(crate) completed: Option<(u64, usize)>,
}

/// The messages of one side in the order of their first frames, up to the first octets that are no frame.
pub(crate) fn messages(recording: &Recording, side: Role) -> Vec<Recorded> {
    let mut found: Vec<Recorded> = Vec::new();
    let mut cutter = Cutter::default();
    let mut frames = 0;
    for step in recording.steps.iter().filter(|step| step.from == side) {
        let What::Octets { octets, parsed } = &step.what else {
            continue;
        };
        if is_of_another_layer(parsed) {
            continue;
        }
        cutter.push(octets);
        let mut summaries = parsed.iter();
        loop {
            let Ok(frame) = cutter.next() else {
                return found;
            };
            let Some(frame) = frame else { break };
            frames += 1;
            let summary = summaries.next();
            let Frame::Data(data) = frame else { continue };
            let is_open = |message: &&mut Recorded| {
                message.session == step.session
                    && message.id == data.id
                    && message.completed.is_none()
            };
            let completed = (!data.more).then_some((step.number, frames));
            if let Some(message) = found.iter_mut().find(is_open) {
                message.content.extend_from_slice(&data.content);
                message.completed = completed;
                continue;
            }
            let mime = summary.and_then(|summary| summary["mime"].as_str());
            found.push(Recorded {
                id: data.id,
                content: data.content,
                headers: mime.map_or(0, |mime| mime.chars().count()),
                session: step.session,
                begun: step.number,
                completed,
            });
        }
    }
    let rest = cutter.unfinished_payload();
    if let Some(cut_off) = found.iter_mut().find(|message| message.completed.is_none()) {
        cut_off.content.extend_from_slice(rest);
    }
    found
}

/// Whether a step holds octets of the layer that was put under BEEP.
pub(crate) fn is_of_another_layer(parsed: &[Value]) -> bool {
    parsed.iter().any(|summary| summary["type"] == "TLS")
}

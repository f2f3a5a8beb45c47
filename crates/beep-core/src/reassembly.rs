//! Joining the frames of a message (RFC 3080 §2.2.1.1).
//!
//! On one channel the frames of a message follow one another; only the answers of one series may be
//! interleaved, told apart by their numbers.

use crate::error::ProtocolError;
use crate::frame::{DataHeader, MessageKind};
use crate::numbers::{AnsNo, MsgNo, SeqNo};

/// A message of which some frames have arrived.
#[derive(Debug)]
pub(crate) struct Part {
    ansno: Option<AnsNo>,
    /// Sequence number of the first octet.
    pub(crate) seqno: SeqNo,
    pub(crate) octets: Vec<u8>,
    /// Whether the frames are joined at all; fixed by the first one.
    pub(crate) is_joined: bool,
}

/// The messages of a channel that are being received.
#[derive(Debug, Default)]
pub(crate) struct Reassembly(Option<Box<Unfinished>>);

#[derive(Debug)]
struct Unfinished {
    kind: MessageKind,
    msgno: MsgNo,
    /// One, or several answers of one series.
    parts: Vec<Part>,
}

impl Reassembly {
    /// Messages that are unfinished.
    pub(crate) fn len(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |unfinished| unfinished.parts.len())
    }

    /// Octets of all unfinished messages.
    pub(crate) fn octets(&self) -> usize {
        self.0.as_ref().map_or(0, |unfinished| {
            unfinished.parts.iter().map(|part| part.octets.len()).sum()
        })
    }

    /// Whether the frame may come now.
    pub(crate) fn check(&self, header: &DataHeader) -> Result<(), ProtocolError> {
        match &self.0 {
            Some(begun) if begun.kind != header.kind || begun.msgno != header.msgno => {
                Err(ProtocolError::ForeignFragment {
                    channel: header.channel,
                    expected_kind: begun.kind,
                    expected_msgno: begun.msgno,
                    kind: header.kind,
                    msgno: header.msgno,
                })
            }
            _ => Ok(()),
        }
    }

    /// Octets that have arrived of the message the frame belongs to; `None` when it begins one.
    pub(crate) fn received_of(&self, header: &DataHeader) -> Option<usize> {
        let part = self
            .0
            .as_ref()?
            .parts
            .iter()
            .find(|part| part.ansno == header.ansno)?;
        Some(part.octets.len())
    }

    /// Takes out the message that the frame continues, or begins one.
    pub(crate) fn take(&mut self, header: &DataHeader, is_joined: bool) -> Part {
        let found = self.0.as_mut().and_then(|begun| {
            let at = begun
                .parts
                .iter()
                .position(|part| part.ansno == header.ansno)?;
            Some(begun.parts.swap_remove(at))
        });
        if self.len() == 0 {
            self.0 = None;
        }
        found.unwrap_or(Part {
            ansno: header.ansno,
            seqno: header.seqno,
            octets: Vec::new(),
            is_joined,
        })
    }

    /// Puts back a message that is not finished yet.
    pub(crate) fn keep(&mut self, header: &DataHeader, part: Part) {
        match &mut self.0 {
            Some(begun) => begun.parts.push(part),
            None => {
                self.0 = Some(Box::new(Unfinished {
                    kind: header.kind,
                    msgno: header.msgno,
                    parts: vec![part],
                }));
            }
        }
    }
}

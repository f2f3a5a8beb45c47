//! Cutting messages into frames, and frames into chunks of octets.

use bytes::{Bytes, BytesMut};

use crate::frame::{DataHeader, MessageKind, SeqHeader, TRAILER};
use crate::message::Outgoing;
use crate::numbers::{AnsNo, ChannelNumber, MsgNo, SeqNo};

/// From this size on a payload travels as a slice of its own; below it, copying costs less than one more
/// buffer in the vectored write.
const SLICE_LEAST: usize = 2048;

/// A chunk of small frames is given away when it reaches this size.
const CHUNK_LEAST: usize = 512;
const CHUNK_MOST: usize = 16 * 1024;

/// A message waiting to be sent, or what is left of it.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) kind: MessageKind,
    pub(crate) msgno: MsgNo,
    pub(crate) ansno: Option<AnsNo>,
    pub(crate) content: Outgoing,
    /// The first frame was sent.
    pub(crate) is_begun: bool,
    /// What sending the last frame means on channel 0.
    pub(crate) milestone: Option<Milestone>,
}

impl Queued {
    pub(crate) fn new(
        kind: MessageKind,
        msgno: MsgNo,
        ansno: Option<AnsNo>,
        content: Outgoing,
    ) -> Self {
        Queued {
            kind,
            msgno,
            ansno,
            content,
            is_begun: false,
            milestone: None,
        }
    }
}

/// What has happened once a message of channel 0 was sent in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// Our greeting is out.
    Greeted,
    /// The session was refused.
    Refused,
    /// The positive answer to a start is out.
    Opened(ChannelNumber),
    /// The positive answer to a close is out.
    Closed(ChannelNumber),
    /// The positive answer to the release is out.
    Released,
    /// A start that tunes the session is out.
    TuningAsked,
}

/// Collects frames as chunks: small ones are joined, large payloads are passed on uncopied.
pub(crate) struct ChunkWriter<'a> {
    chunks: &'a mut Vec<Bytes>,
    current: &'a mut BytesMut,
    written: usize,
    most: usize,
}

impl<'a> ChunkWriter<'a> {
    pub(crate) fn new(current: &'a mut BytesMut, chunks: &'a mut Vec<Bytes>, most: usize) -> Self {
        ChunkWriter {
            chunks,
            current,
            written: 0,
            most,
        }
    }

    /// Octets written so far.
    pub(crate) fn written(&self) -> usize {
        self.written + self.current.len()
    }

    /// Octets of payload that the next frame may carry, `None` when no frame fits any more.
    ///
    /// The first frame always fits, else a small bound would stop everything; and no frame is cut to a crumb
    /// only because the bound is near.
    pub(crate) fn room(&self, wanted: usize) -> Option<usize> {
        const HEADER_AND_TRAILER: usize = 72;
        let left = self.most.saturating_sub(self.written());
        let payload = left.saturating_sub(HEADER_AND_TRAILER);
        if payload >= wanted.min(SLICE_LEAST) && left >= HEADER_AND_TRAILER {
            Some(payload)
        } else if self.written() == 0 {
            Some(payload.max(1))
        } else {
            None
        }
    }

    pub(crate) fn seq(&mut self, seq: &SeqHeader) {
        self.prepare();
        seq.encode(self.current);
    }

    pub(crate) fn frame(&mut self, header: &DataHeader, head: &Bytes, body: Bytes) {
        self.prepare();
        header.encode(self.current);
        self.current.extend_from_slice(head);
        if body.len() >= SLICE_LEAST {
            self.cut();
            self.written += body.len();
            self.chunks.push(body);
        } else {
            self.current.extend_from_slice(&body);
        }
        self.current.extend_from_slice(TRAILER);
    }

    /// Gives the last chunk away and returns the octets written in all.
    pub(crate) fn finish(mut self) -> usize {
        self.cut();
        self.written
    }

    fn prepare(&mut self) {
        if self.current.len() >= CHUNK_MOST {
            self.cut();
        }
        if self.current.is_empty() && self.current.capacity() < CHUNK_LEAST {
            self.current.reserve(CHUNK_MOST);
        }
    }

    fn cut(&mut self) {
        if !self.current.is_empty() {
            self.written += self.current.len();
            self.chunks.push(self.current.split().freeze());
        }
    }
}

/// The header of the next frame of a message, with `size` octets of it.
pub(crate) fn header_of(
    message: &Queued,
    channel: ChannelNumber,
    seqno: SeqNo,
    size: usize,
) -> DataHeader {
    DataHeader {
        kind: message.kind,
        channel,
        msgno: message.msgno,
        more: size < message.content.len(),
        seqno,
        // A frame is cut to the window, which has 31 bits.
        size: u32::try_from(size).unwrap_or(u32::MAX),
        ansno: message.ansno,
    }
}

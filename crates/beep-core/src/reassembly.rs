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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::ChannelNumber;

    fn frame(kind: MessageKind, msgno: u32, ansno: Option<u32>, seqno: u32) -> DataHeader {
        DataHeader {
            kind,
            channel: ChannelNumber::new(3).unwrap(),
            msgno: MsgNo::new(msgno).unwrap(),
            more: true,
            seqno: SeqNo::new(seqno),
            size: 1,
            ansno: ansno.map(|value| AnsNo::new(value).unwrap()),
        }
    }

    /// Takes a frame with these octets of which more are to follow.
    fn begin_or_go_on(reassembly: &mut Reassembly, header: &DataHeader, octets: &[u8]) {
        let mut part = reassembly.take(header, true);
        part.octets.extend_from_slice(octets);
        reassembly.keep(header, part);
    }

    #[test]
    fn a_message_has_the_octets_of_all_its_frames_and_the_number_of_its_first() {
        let mut reassembly = Reassembly::default();
        let first = frame(MessageKind::Msg, 0, None, 100);
        assert_eq!(reassembly.received_of(&first), None);
        begin_or_go_on(&mut reassembly, &first, b"one ");
        let last = frame(MessageKind::Msg, 0, None, 104);
        assert_eq!(reassembly.received_of(&last), Some(4));
        let part = reassembly.take(&last, true);
        assert_eq!(part.octets, b"one ");
        assert_eq!(part.seqno, SeqNo::new(100));
        assert_eq!((reassembly.len(), reassembly.octets()), (0, 0));
    }

    #[test]
    fn a_frame_of_another_message_or_kind_may_not_come_in_between() {
        let mut reassembly = Reassembly::default();
        begin_or_go_on(&mut reassembly, &frame(MessageKind::Rpy, 1, None, 0), b"x");
        for (kind, msgno) in [
            (MessageKind::Rpy, 2),
            (MessageKind::Msg, 1),
            (MessageKind::Nul, 1),
        ] {
            let foreign = reassembly.check(&frame(kind, msgno, None, 1));
            assert!(matches!(
                foreign,
                Err(ProtocolError::ForeignFragment { .. })
            ));
        }
        let next = frame(MessageKind::Rpy, 1, None, 1);
        assert_eq!(reassembly.check(&next), Ok(()));
        reassembly.take(&next, true);
        let other = frame(MessageKind::Msg, 1, None, 2);
        assert_eq!(reassembly.check(&other), Ok(()));
    }

    #[test]
    fn answers_of_one_series_are_told_apart_by_their_numbers() {
        let mut reassembly = Reassembly::default();
        let answer = |ansno, seqno| frame(MessageKind::Ans, 0, Some(ansno), seqno);
        for (ansno, seqno, octets) in [(4, 0, "a"), (0, 1, "x"), (4, 2, "b"), (0, 3, "y")] {
            let header = answer(ansno, seqno);
            assert_eq!(reassembly.check(&header), Ok(()));
            begin_or_go_on(&mut reassembly, &header, octets.as_bytes());
        }
        assert_eq!((reassembly.len(), reassembly.octets()), (2, 4));
        assert_eq!(reassembly.take(&answer(4, 4), true).octets, b"ab");
        assert_eq!(reassembly.take(&answer(0, 5), true).octets, b"xy");
        assert_eq!(reassembly.len(), 0);
    }

    #[test]
    fn whether_frames_are_joined_is_fixed_by_the_first() {
        let mut reassembly = Reassembly::default();
        let header = frame(MessageKind::Msg, 0, None, 0);
        let part = reassembly.take(&header, false);
        reassembly.keep(&header, part);
        assert!(!reassembly.take(&header, true).is_joined);
    }
}

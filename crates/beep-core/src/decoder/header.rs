//! One header line, read octet by octet in a single pass.

use std::fmt;

use super::FrameError;
use crate::frame::{DataHeader, MessageKind, SeqHeader};
use crate::numbers::{AnsNo, ChannelNumber, MAX_31_BITS, MsgNo, SeqNo};

/// The largest size of a NUL frame that is read, in octets.
///
/// RFC 3080 §2.2.1.1 wants 0. The C engine sends its entity headers all the same: 2 octets for the empty line,
/// more when the application has set a content type.
pub const MAX_NUL_SIZE: u32 = 1024;

/// A part of a frame header (RFC 3080 §2.2.1, RFC 3081 §3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderPart {
    /// `MSG`, `RPY`, `ERR`, `ANS`, `NUL` or `SEQ`.
    Keyword,
    /// The one blank between two fields.
    Blank,
    /// The channel number.
    Channel,
    /// The message number.
    MsgNo,
    /// `.` or `*`.
    More,
    /// The sequence number.
    SeqNo,
    /// The size of the payload.
    Size,
    /// The answer number.
    AnsNo,
    /// The acknowledgement number of a SEQ frame.
    AckNo,
    /// The window of a SEQ frame.
    Window,
    /// CRLF.
    LineEnd,
}

impl fmt::Display for HeaderPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyword => "keyword",
            Self::Blank => "blank",
            Self::Channel => "channel number",
            Self::MsgNo => "message number",
            Self::More => "more flag",
            Self::SeqNo => "sequence number",
            Self::Size => "size",
            Self::AnsNo => "answer number",
            Self::AckNo => "acknowledgement number",
            Self::Window => "window",
            Self::LineEnd => "CRLF",
        })
    }
}

/// What a header line says.
pub(super) enum Header {
    Data(DataHeader),
    Seq(SeqHeader),
}

/// A header with the octets of its line, CRLF included.
pub(super) struct Line {
    pub(super) header: Header,
    pub(super) octets: usize,
}

/// Reads the line at the front of `octets`; `None` when it is right so far and its end has not come.
pub(super) fn read(octets: &[u8]) -> Result<Option<Line>, FrameError> {
    let mut reader = Reader {
        octets,
        position: 0,
    };
    match reader.line() {
        Ok(header) => Ok(Some(Line {
            header,
            octets: reader.position,
        })),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Why reading stopped before the end of the line.
enum Stop {
    Incomplete,
    Wrong(FrameError),
}

/// How the field behind a number begins.
#[derive(Clone, Copy)]
enum Behind {
    Blank,
    LineEnd,
}

struct Reader<'a> {
    octets: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn line(&mut self) -> Result<Header, Stop> {
        let kind = match self.next()? {
            b'M' => self.keyword(b"SG", Some(MessageKind::Msg)),
            b'R' => self.keyword(b"PY", Some(MessageKind::Rpy)),
            b'E' => self.keyword(b"RR", Some(MessageKind::Err)),
            b'A' => self.keyword(b"NS", Some(MessageKind::Ans)),
            b'N' => self.keyword(b"UL", Some(MessageKind::Nul)),
            b'S' => self.keyword(b"EQ", None),
            found => Err(self.wrong(HeaderPart::Keyword, found)),
        }?;
        self.expect(b' ', HeaderPart::Blank)?;
        match kind {
            Some(kind) => self.data(kind).map(Header::Data),
            None => self.seq().map(Header::Seq),
        }
    }

    fn data(&mut self, kind: MessageKind) -> Result<DataHeader, Stop> {
        let channel = self.number_31(HeaderPart::Channel, Behind::Blank, ChannelNumber::new)?;
        let msgno = self.number_31(HeaderPart::MsgNo, Behind::Blank, MsgNo::new)?;
        let more = match self.next()? {
            b'.' => false,
            b'*' if kind == MessageKind::Nul => return Err(Stop::Wrong(FrameError::NulContinues)),
            b'*' => true,
            found => return Err(self.wrong(HeaderPart::More, found)),
        };
        self.expect(b' ', HeaderPart::Blank)?;
        let seqno = self.number(HeaderPart::SeqNo, u32::MAX, Behind::Blank)?;
        let largest = match kind {
            MessageKind::Nul => MAX_NUL_SIZE,
            _ => MAX_31_BITS,
        };
        let behind_size = match kind {
            MessageKind::Ans => Behind::Blank,
            _ => Behind::LineEnd,
        };
        let size = self.number(HeaderPart::Size, largest, behind_size)?;
        let ansno = match kind {
            MessageKind::Ans => {
                Some(self.number_31(HeaderPart::AnsNo, Behind::LineEnd, AnsNo::new)?)
            }
            _ => None,
        };
        Ok(DataHeader {
            kind,
            channel,
            msgno,
            more,
            seqno: SeqNo::new(seqno),
            size,
            ansno,
        })
    }

    fn seq(&mut self) -> Result<SeqHeader, Stop> {
        let channel = self.number_31(HeaderPart::Channel, Behind::Blank, ChannelNumber::new)?;
        let ackno = self.number(HeaderPart::AckNo, u32::MAX, Behind::Blank)?;
        let window = self.number(HeaderPart::Window, MAX_31_BITS, Behind::LineEnd)?;
        Ok(SeqHeader {
            channel,
            ackno: SeqNo::new(ackno),
            window,
        })
    }

    fn keyword(
        &mut self,
        rest: &[u8],
        kind: Option<MessageKind>,
    ) -> Result<Option<MessageKind>, Stop> {
        for octet in rest {
            self.expect(*octet, HeaderPart::Keyword)?;
        }
        Ok(kind)
    }

    fn number_31<T>(
        &mut self,
        part: HeaderPart,
        behind: Behind,
        make: impl FnOnce(u32) -> Option<T>,
    ) -> Result<T, Stop> {
        let value = self.number(part, MAX_31_BITS, behind)?;
        make(value).ok_or(Stop::Wrong(FrameError::OutOfRange {
            part,
            max: MAX_31_BITS,
        }))
    }

    /// Reads one digit or more and what ends them. Leading zeros are digits like others.
    fn number(&mut self, part: HeaderPart, max: u32, behind: Behind) -> Result<u32, Stop> {
        let mut value = match self.next()? {
            digit @ b'0'..=b'9' => u64::from(digit - b'0'),
            found => return Err(self.wrong(part, found)),
        };
        loop {
            // Checked at every digit, so the sum cannot overflow and a wrong number is told early.
            let small = u32::try_from(value).ok().filter(|value| *value <= max);
            let Some(small) = small else {
                return Err(Stop::Wrong(FrameError::OutOfRange { part, max }));
            };
            match (self.next()?, behind) {
                (digit @ b'0'..=b'9', _) => value = value * 10 + u64::from(digit - b'0'),
                (b' ', Behind::Blank) => return Ok(small),
                (b'\r', Behind::LineEnd) => {
                    self.expect(b'\n', HeaderPart::LineEnd)?;
                    return Ok(small);
                }
                (found, Behind::Blank) => return Err(self.wrong(HeaderPart::Blank, found)),
                (found, Behind::LineEnd) => return Err(self.wrong(HeaderPart::LineEnd, found)),
            }
        }
    }

    fn expect(&mut self, octet: u8, part: HeaderPart) -> Result<(), Stop> {
        match self.next()? {
            found if found == octet => Ok(()),
            found => Err(self.wrong(part, found)),
        }
    }

    fn next(&mut self) -> Result<u8, Stop> {
        let octet = self.octets.get(self.position).ok_or(Stop::Incomplete)?;
        self.position += 1;
        Ok(*octet)
    }

    /// The error about the octet read last.
    fn wrong(&self, expected: HeaderPart, found: u8) -> Stop {
        Stop::Wrong(FrameError::Header {
            expected,
            position: u32::try_from(self.position.saturating_sub(1)).unwrap_or(u32::MAX),
            found,
        })
    }
}

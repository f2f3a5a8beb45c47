//! Octets into frame pieces (RFC 3080 §2.2.1, RFC 3081 §3.1.3), as strict as the ABNF.

mod header;

use crate::frame::{DataHeader, SeqHeader, TRAILER};
use header::{Header, Line};

pub use header::{HeaderPart, MAX_NUL_SIZE};

/// A part of a frame, as it comes out of the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A data frame begins.
    Header(DataHeader),
    /// Some of its payload, never empty; pieces follow until the size is reached.
    Payload(&'a [u8]),
    /// Its trailer has been read: the frame is complete.
    End,
    /// A SEQ frame, which is complete in itself.
    Seq(SeqHeader),
}

/// What is wrong with the octets; nothing that follows them can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// An octet of a frame header stands where the ABNF does not have it.
    #[error("{expected} expected at octet {position} of a frame header, 0x{found:02x} came")]
    Header {
        /// What was expected.
        expected: HeaderPart,
        /// Octets of the header before it.
        position: u32,
        /// The octet that came.
        found: u8,
    },
    /// A number of a frame header is over its range.
    #[error("{part} over {max} in a frame header")]
    OutOfRange {
        /// Which number.
        part: HeaderPart,
        /// The largest value taken.
        max: u32,
    },
    /// A frame header is longer than the limit.
    #[error("frame header of more than {limit} octets")]
    HeaderTooLong {
        /// Octets taken, CRLF included.
        limit: u32,
    },
    /// A NUL frame says that more of it follows, which RFC 3080 §2.2.1.1 forbids.
    #[error("NUL frame with the more flag set")]
    NulContinues,
    /// The payload is not followed by `END` CRLF (RFC 3080 §2.2.1.3).
    #[error("trailer expected behind a payload, 0x{found:02x} came at its octet {position}")]
    Trailer {
        /// Octets of the trailer before it.
        position: u32,
        /// The octet that came.
        found: u8,
    },
}

/// Where in a frame the next octet belongs.
///
/// ```text
///   ┌─────────── SEQ line ────────┐
///   └► Header ── data header ──► Payload ──► Trailer ──┐
///        ▲                                             │
///        └────────────────── END CRLF ─────────────────┘
/// ```
///
/// A frame of size 0 goes straight to the trailer; an error in any state leads to `Failed`.
#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Payload { missing: u32 },
    Trailer { matched: u8 },
    Failed(FrameError),
}

/// Takes frames apart as their octets come in, however they are cut.
///
/// Nothing is copied but a header that arrives in pieces. Errors are found at the first octet that cannot be
/// right, so garbage is told from BEEP without waiting for a line end.
///
/// ```
/// use beep_core::{Decoder, Piece};
/// let mut decoder = Decoder::new(128);
/// let mut input = &b"MSG 3 0 . 0 7\r\n\r\nhelloEND\r\n"[..];
/// assert!(matches!(decoder.decode(&mut input), Ok(Some(Piece::Header(_)))));
/// assert_eq!(decoder.decode(&mut input), Ok(Some(Piece::Payload(b"\r\nhello"))));
/// assert_eq!(decoder.decode(&mut input), Ok(Some(Piece::End)));
/// assert_eq!(decoder.decode(&mut input), Ok(None));
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// The front of a header whose end has not come; holds no memory otherwise, as most sessions are idle.
    partial: Vec<u8>,
    state: State,
    max_header_octets: u32,
}

impl Decoder {
    /// Makes a decoder that takes header lines of up to `max_header_octets` octets, CRLF included.
    pub fn new(max_header_octets: usize) -> Self {
        Self {
            partial: Vec::new(),
            state: State::Header,
            max_header_octets: u32::try_from(max_header_octets).unwrap_or(u32::MAX),
        }
    }

    /// Takes octets off the front of `input` until a piece is complete; `None` when all were taken before that.
    ///
    /// After a [`Piece::Header`], payload pieces follow until its size is reached, then [`Piece::End`].
    ///
    /// # Errors
    ///
    /// The octets are no BEEP frame. The error comes again with every later call.
    pub fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        let result = match self.state {
            State::Header => self.header(input),
            State::Payload { missing } => Ok(self.payload(input, missing)),
            State::Trailer { matched } => self.trailer(input, matched),
            State::Failed(error) => Err(error),
        };
        if let Err(error) = result {
            self.partial = Vec::new();
            self.state = State::Failed(error);
        }
        result
    }

    /// Whether the octets so far are whole frames; `false` in the middle of one, and after an error.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header) && self.partial.is_empty()
    }

    fn header<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameError> {
        if self.partial.is_empty() {
            // Nearly every header is there as a whole and read where it lies.
            return match self.line(input)? {
                Some(line) => {
                    *input = input.get(line.octets..).unwrap_or_default();
                    Ok(Some(self.begin(line.header)))
                }
                None => {
                    self.partial.extend_from_slice(input);
                    *input = &[];
                    Ok(None)
                }
            };
        }
        let before = self.partial.len();
        let room = (self.max_header_octets as usize).saturating_sub(before);
        let fresh = input.get(..room).unwrap_or(input);
        let taken = memchr::memchr(b'\n', fresh).map_or(fresh.len(), |at| at + 1);
        let (fresh, rest) = input.split_at_checked(taken).unwrap_or((input, &[]));
        self.partial.extend_from_slice(fresh);
        // A header read from its front again at every piece costs little: it is short, and pieces are few.
        let line = self.line(&self.partial)?;
        *input = rest;
        let Some(line) = line else {
            return Ok(None);
        };
        self.partial = Vec::new();
        Ok(Some(self.begin(line.header)))
    }

    fn line(&self, octets: &[u8]) -> Result<Option<Line>, FrameError> {
        let limit = self.max_header_octets as usize;
        match header::read(octets.get(..limit).unwrap_or(octets))? {
            None if octets.len() >= limit => Err(FrameError::HeaderTooLong {
                limit: self.max_header_octets,
            }),
            line => Ok(line),
        }
    }

    fn begin<'a>(&mut self, header: Header) -> Piece<'a> {
        match header {
            Header::Seq(seq) => Piece::Seq(seq),
            Header::Data(data) => {
                self.state = match data.size {
                    0 => State::Trailer { matched: 0 },
                    missing => State::Payload { missing },
                };
                Piece::Header(data)
            }
        }
    }

    fn payload<'a>(&mut self, input: &mut &'a [u8], missing: u32) -> Option<Piece<'a>> {
        if input.is_empty() {
            return None;
        }
        let (piece, rest) = input
            .split_at_checked(missing as usize)
            .unwrap_or((input, &[]));
        *input = rest;
        // A piece is never longer than what is missing, so its length fits.
        self.state = match missing.saturating_sub(piece.len() as u32) {
            0 => State::Trailer { matched: 0 },
            missing => State::Payload { missing },
        };
        Some(Piece::Payload(piece))
    }

    fn trailer<'a>(
        &mut self,
        input: &mut &'a [u8],
        matched: u8,
    ) -> Result<Option<Piece<'a>>, FrameError> {
        let mut matched = matched;
        while let Some(expected) = TRAILER.get(usize::from(matched)) {
            let Some((found, rest)) = input.split_first() else {
                self.state = State::Trailer { matched };
                return Ok(None);
            };
            if found != expected {
                return Err(FrameError::Trailer {
                    position: u32::from(matched),
                    found: *found,
                });
            }
            *input = rest;
            matched += 1;
        }
        self.state = State::Header;
        Ok(Some(Piece::End))
    }
}

#[cfg(test)]
mod tests;

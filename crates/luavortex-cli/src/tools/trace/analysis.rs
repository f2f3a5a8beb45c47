//! The octets of one side, taken apart into frames as they come, and what cannot be taken apart.

use beep_session::core::{DataHeader, Decoder, FrameError, Piece, SeqHeader};

/// Octets of a frame header that a session takes by default; a longer one would end it.
const HEADER_MAX: usize = 128;
/// Octets before and behind a fault that are shown.
const BEFORE_FAULT: usize = 24;
const BEHIND_FAULT: usize = 40;
/// Octets remembered from the reads before; a header that is wrong may have begun in one of them.
const REMEMBERED: usize = HEADER_MAX + BEFORE_FAULT;
/// The first octets of a TLS handshake (RFC 8446 §5.1): no frame begins so.
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// A piece of what one side sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// A frame of a message, with as much of its payload as is kept.
    Data {
        header: DataHeader,
        payload: Vec<u8>,
    },
    /// A SEQ frame.
    Seq(SeqHeader),
    /// The first octets that are no frame.
    Malformed(Malformed),
    /// Octets behind those: where frames begin is not known any more.
    Unread { octets: Vec<u8>, count: usize },
    /// Octets of TLS.
    Encrypted { count: usize },
    /// The side ended its half of the connection.
    Ended { error: Option<String> },
}

/// Where and how octets are no frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Malformed {
    pub(super) error: FrameError,
    /// Octets of this side before the wrong one.
    pub(super) at: u64,
    /// The frame whose trailer is wrong, with its payload.
    pub(super) frame: Option<(DataHeader, Vec<u8>)>,
    /// Octets around the wrong one.
    pub(super) octets: Vec<u8>,
    /// Where among them it is.
    pub(super) index: usize,
}

/// A piece and when its first octet came.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) begun_us: u64,
    pub(super) content: Content,
}

#[derive(Debug, PartialEq)]
enum Reading {
    Frames,
    Nothing,
    Tls,
}

/// The octets of one side.
#[derive(Debug)]
pub(super) struct Stream {
    decoder: Decoder,
    reading: Reading,
    /// The frame that is not complete yet.
    frame: Option<(DataHeader, Vec<u8>)>,
    /// Octets of the payload of that frame so far.
    received: u64,
    begun_us: u64,
    /// Octets taken so far, and where the present frame began.
    offset: u64,
    frame_at: u64,
    /// Where the present read begins.
    read_at: u64,
    /// The last octets before that.
    remembered: Vec<u8>,
    /// Octets of a payload that are kept.
    payload_max: usize,
}

impl Stream {
    pub(super) fn new(payload_max: usize) -> Self {
        Stream {
            decoder: Decoder::new(HEADER_MAX),
            reading: Reading::Frames,
            frame: None,
            received: 0,
            begun_us: 0,
            offset: 0,
            frame_at: 0,
            read_at: 0,
            remembered: Vec::new(),
            payload_max,
        }
    }

    /// Takes what was read at one moment.
    pub(super) fn take(&mut self, us: u64, octets: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut input = octets;
        self.read_at = self.offset;
        while !input.is_empty() {
            match self.reading {
                Reading::Frames => self.take_piece(us, octets, &mut input, &mut found),
                Reading::Nothing | Reading::Tls => {
                    found.push(Found {
                        begun_us: us,
                        content: self.rest(input),
                    });
                    self.offset += input.len() as u64;
                    input = &[];
                }
            }
        }
        self.remember(octets);
        found
    }

    /// The side ended its half of the connection.
    pub(super) fn end(&mut self, us: u64, error: Option<String>) -> (Found, Option<String>) {
        let is_cut = self.reading == Reading::Frames && !self.decoder.is_between_frames();
        let fault = is_cut.then(|| match &self.frame {
            Some((header, _)) => format!(
                "ended within a frame: {} of the {} octets of {} {} {} came",
                self.received, header.size, header.kind, header.channel, header.msgno
            ),
            None => "ended within a frame header".to_owned(),
        });
        let content = Content::Ended { error };
        (
            Found {
                begun_us: us,
                content,
            },
            fault,
        )
    }

    fn take_piece(&mut self, us: u64, octets: &[u8], input: &mut &[u8], found: &mut Vec<Found>) {
        if self.decoder.is_between_frames() {
            self.frame_at = self.offset;
            self.begun_us = us;
            let head = input.get(..TLS_HANDSHAKE.len()).unwrap_or(input);
            if head == TLS_HANDSHAKE {
                self.reading = Reading::Tls;
                return;
            }
        }
        let before = input.len();
        let piece = self.decoder.decode(input);
        self.offset += (before - input.len()) as u64;
        let content = match piece {
            Ok(None) => return,
            Ok(Some(Piece::Header(header))) => {
                self.frame = Some((header, Vec::new()));
                self.received = 0;
                return;
            }
            Ok(Some(Piece::Payload(piece))) => {
                self.received += piece.len() as u64;
                if let Some((_, payload)) = &mut self.frame {
                    let room = self.payload_max.saturating_sub(payload.len());
                    payload.extend_from_slice(piece.get(..room).unwrap_or(piece));
                }
                return;
            }
            Ok(Some(Piece::End)) => match self.frame.take() {
                Some((header, payload)) => Content::Data { header, payload },
                None => return,
            },
            Ok(Some(Piece::Seq(header))) => Content::Seq(header),
            Err(error) => {
                self.reading = Reading::Nothing;
                let malformed = self.malformed(error, octets);
                // Shown up to there; the rest of this read is shown as what it is: unread.
                let shown_to = malformed.at + 1;
                let skipped = usize::try_from(shown_to.saturating_sub(self.offset)).unwrap_or(0);
                *input = input.get(skipped..).unwrap_or_default();
                self.offset = self.offset.max(shown_to);
                Content::Malformed(malformed)
            }
        };
        found.push(Found {
            begun_us: self.begun_us,
            content,
        });
    }

    /// What is wrong where. `octets` are those of the present read.
    fn malformed(&mut self, error: FrameError, octets: &[u8]) -> Malformed {
        let at = match error {
            FrameError::Header { position, .. } => self.frame_at + u64::from(position),
            FrameError::Trailer { .. } => self.offset,
            _ => self.frame_at,
        };
        let known = [self.remembered.as_slice(), octets].concat();
        let known_from = self.read_at.saturating_sub(self.remembered.len() as u64);
        let wrong = usize::try_from(at.saturating_sub(known_from)).unwrap_or(usize::MAX);
        let from = wrong.saturating_sub(BEFORE_FAULT).min(known.len());
        let to = wrong.saturating_add(BEHIND_FAULT).min(known.len());
        Malformed {
            error,
            at,
            frame: self.frame.take(),
            octets: known.get(from..to).unwrap_or_default().to_vec(),
            index: wrong.saturating_sub(from),
        }
    }

    fn rest(&self, input: &[u8]) -> Content {
        let count = input.len();
        match self.reading {
            Reading::Tls => Content::Encrypted { count },
            _ => Content::Unread {
                octets: input.get(..self.payload_max).unwrap_or(input).to_vec(),
                count,
            },
        }
    }

    fn remember(&mut self, octets: &[u8]) {
        self.remembered.extend_from_slice(octets);
        let surplus = self.remembered.len().saturating_sub(REMEMBERED);
        self.remembered.drain(..surplus);
    }
}

#[cfg(test)]
mod tests;

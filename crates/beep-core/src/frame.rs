//! Frame headers and how they are written (RFC 3080 §2.2.1, RFC 3081 §3.1.3).

use std::fmt;

use bytes::BytesMut;

use crate::numbers::{AnsNo, ChannelNumber, MsgNo, SeqNo};

/// The line that ends every data frame (RFC 3080 §2.2.1.3).
pub const TRAILER: &[u8] = b"END\r\n";

/// The longest header we write: `ANS`, five numbers of ten digits, the more flag, six blanks, CRLF.
const LONGEST_HEADER: usize = 3 + 5 * 10 + 1 + 6 + 2;

/// What a data frame carries: a request, or one of the kinds of reply (RFC 3080 §2.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A request.
    Msg,
    /// The positive reply to a request.
    Rpy,
    /// The negative reply to a request.
    Err,
    /// One of many answers to a request.
    Ans,
    /// The end of the answers to a request.
    Nul,
}

impl MessageKind {
    /// The keyword that begins the frame header.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Msg => "MSG",
            Self::Rpy => "RPY",
            Self::Err => "ERR",
            Self::Ans => "ANS",
            Self::Nul => "NUL",
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

/// The header of a frame that carries a message or a part of one (RFC 3080 §2.2.1.1).
///
/// ```
/// use beep_core::{ChannelNumber, DataHeader, MessageKind, MsgNo, SeqNo};
/// let header = DataHeader {
///     kind: MessageKind::Rpy,
///     channel: ChannelNumber::MANAGEMENT,
///     msgno: MsgNo::ZERO,
///     more: false,
///     seqno: SeqNo::ZERO,
///     size: 52,
///     ansno: None,
/// };
/// let mut line = bytes::BytesMut::new();
/// header.encode(&mut line);
/// assert_eq!(&line[..], b"RPY 0 0 . 0 52\r\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataHeader {
    /// What the frame carries.
    pub kind: MessageKind,
    /// The channel it belongs to.
    pub channel: ChannelNumber,
    /// The message it is a part of or a reply to.
    pub msgno: MsgNo,
    /// Whether further frames of the same message follow (`*`) or not (`.`).
    pub more: bool,
    /// The position of its first octet on the channel.
    pub seqno: SeqNo,
    /// Octets of its payload, entity headers included, 0..=2147483647.
    pub size: u32,
    /// The number of the answer; written only for [`MessageKind::Ans`], where a missing one is written as 0.
    pub ansno: Option<AnsNo>,
}

impl DataHeader {
    /// Appends the header line with its CRLF.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut octets = [0; LONGEST_HEADER];
        let mut line = Line::ending(&mut octets);
        if self.kind == MessageKind::Ans {
            line.field(self.ansno.unwrap_or(AnsNo::ZERO).value());
        }
        line.field(self.size);
        line.field(self.seqno.value());
        line.text(if self.more { b" *" } else { b" ." });
        line.field(self.msgno.value());
        line.field(self.channel.value());
        line.text(self.kind.keyword().as_bytes());
        line.append_to(out);
    }
}

/// A SEQ frame: how much the sender of the frame has taken and is ready to take (RFC 3081 §3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqHeader {
    /// The channel whose window is meant.
    pub channel: ChannelNumber,
    /// The position of the next octet expected.
    pub ackno: SeqNo,
    /// Octets from `ackno` on that may be sent, 0..=2147483647.
    pub window: u32,
}

impl SeqHeader {
    /// Appends the header line with its CRLF, which is the whole frame.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut octets = [0; LONGEST_HEADER];
        let mut line = Line::ending(&mut octets);
        line.field(self.window);
        line.field(self.ackno.value());
        line.field(self.channel.value());
        line.text(b"SEQ");
        line.append_to(out);
    }
}

/// A header line written from its end to its front, in which order the digits of a number come out.
///
/// `format!` would cost more than the rest of the frame.
struct Line<'a> {
    octets: &'a mut [u8; LONGEST_HEADER],
    start: usize,
}

impl<'a> Line<'a> {
    fn ending(octets: &'a mut [u8; LONGEST_HEADER]) -> Self {
        let start = octets.len();
        let mut line = Line { octets, start };
        line.text(b"\r\n");
        line
    }

    /// Puts a blank and a decimal number in front.
    fn field(&mut self, value: u32) {
        let mut rest = value;
        loop {
            // The remainder is below ten, so nothing is cut off.
            self.octet(b'0' + (rest % 10) as u8);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.octet(b' ');
    }

    fn text(&mut self, text: &[u8]) {
        for octet in text.iter().rev() {
            self.octet(*octet);
        }
    }

    fn octet(&mut self, octet: u8) {
        // The longest header fits, so there is always a place.
        if let Some(at) = self.start.checked_sub(1)
            && let Some(place) = self.octets.get_mut(at)
        {
            *place = octet;
            self.start = at;
        }
    }

    fn append_to(self, out: &mut BytesMut) {
        out.extend_from_slice(self.octets.get(self.start..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(write: impl Fn(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn the_longest_headers_fit_the_reservation() {
        let header = DataHeader {
            kind: MessageKind::Ans,
            channel: ChannelNumber::MAX,
            msgno: MsgNo::MAX,
            more: true,
            seqno: SeqNo::new(u32::MAX),
            size: 2_147_483_647,
            ansno: Some(AnsNo::MAX),
        };
        let text = line(|out| header.encode(out));
        assert_eq!(
            text,
            "ANS 2147483647 2147483647 * 4294967295 2147483647 2147483647\r\n"
        );
        assert_eq!(text.len(), LONGEST_HEADER);
    }

    #[test]
    fn only_answers_carry_an_answer_number() {
        let header = DataHeader {
            kind: MessageKind::Nul,
            channel: ChannelNumber::new(3).unwrap(),
            msgno: MsgNo::ZERO,
            more: false,
            seqno: SeqNo::new(22),
            size: 2,
            ansno: Some(AnsNo::ZERO),
        };
        assert_eq!(line(|out| header.encode(out)), "NUL 3 0 . 22 2\r\n");
    }

    proptest! {
        #[test]
        fn seq_lines_are_what_format_would_write(channel in 0..=2_147_483_647u32, ackno: u32, window in 0..=2_147_483_647u32) {
            let seq = SeqHeader { channel: ChannelNumber::new(channel).unwrap(), ackno: SeqNo::new(ackno), window };
            prop_assert_eq!(line(|out| seq.encode(out)), format!("SEQ {channel} {ackno} {window}\r\n"));
        }
    }
}

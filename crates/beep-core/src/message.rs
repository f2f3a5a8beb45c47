//! Messages: what the application sends and what it gets.

use std::borrow::Cow;

use bytes::{Buf, Bytes};

use crate::frame::MessageKind;
use crate::mime;
use crate::numbers::{AnsNo, MsgNo, SeqNo};

/// The content of a message to send: entity headers and body.
///
/// ```
/// use beep_core::Outgoing;
/// assert_eq!(Outgoing::new("hello").len(), 7);
/// assert_eq!(Outgoing::raw("hello").len(), 5);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// Entity headers with the empty line that ends them; empty for none at all.
    pub headers: Bytes,
    /// The payload.
    pub body: Bytes,
}

impl Outgoing {
    /// A payload with the empty header part, as most peers send it (RFC 3080 §2.2.2).
    pub fn new(body: impl Into<Bytes>) -> Self {
        Outgoing {
            headers: Bytes::from_static(mime::NO_HEADERS),
            body: body.into(),
        }
    }

    /// A content to which nothing is added: the caller wrote the headers, or wants none.
    pub fn raw(content: impl Into<Bytes>) -> Self {
        Outgoing {
            headers: Bytes::new(),
            body: content.into(),
        }
    }

    /// A payload with entity headers; `headers` includes the empty line that ends them.
    pub fn with_headers(headers: impl Into<Bytes>, body: impl Into<Bytes>) -> Self {
        Outgoing {
            headers: headers.into(),
            body: body.into(),
        }
    }

    /// Octets of content: headers and body.
    pub fn len(&self) -> usize {
        self.headers.len().saturating_add(self.body.len())
    }

    /// Whether there is no octet at all.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.body.is_empty()
    }

    /// Takes the first `octets` off, as header part and body part.
    pub(crate) fn split_front(&mut self, octets: usize) -> (Bytes, Bytes) {
        let head = self.headers.split_to(octets.min(self.headers.len()));
        let body = self
            .body
            .split_to((octets - head.len()).min(self.body.len()));
        // An emptied Bytes keeps its allocation alive.
        if !self.headers.has_remaining() {
            self.headers = Bytes::new();
        }
        if !self.body.has_remaining() {
            self.body = Bytes::new();
        }
        (head, body)
    }
}

/// A message received, or one frame of it where joining is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// MSG, RPY, ERR, ANS or NUL.
    pub kind: MessageKind,
    /// The number that ties replies to their MSG.
    pub msgno: MsgNo,
    /// The answer number, for ANS only.
    pub ansno: Option<AnsNo>,
    /// Sequence number of the first octet.
    pub seqno: SeqNo,
    /// More frames of this message follow; only where joining is off.
    pub more: bool,
    pub(crate) content: Bytes,
}

impl Message {
    /// Content that rode in the answer to a start (RFC 3080 §2.3.1.2), as the reply that it stands for: a RPY to
    /// message 0 without entity headers.
    pub fn riding(text: &str) -> Self {
        Message {
            kind: MessageKind::Rpy,
            msgno: MsgNo::ZERO,
            ansno: None,
            seqno: SeqNo::ZERO,
            more: false,
            content: [mime::NO_HEADERS, text.as_bytes()].concat().into(),
        }
    }

    /// Everything that the message carried, entity headers included.
    ///
    /// Its length is what [`Session::consume`](crate::Session::consume) wants.
    pub fn content(&self) -> &Bytes {
        &self.content
    }

    /// The content without entity headers; all of it where there are none.
    pub fn payload(&self) -> Bytes {
        self.content.slice(self.headers_len()..)
    }

    /// The same octets, borrowed.
    pub fn payload_octets(&self) -> &[u8] {
        self.content.get(self.headers_len()..).unwrap_or_default()
    }

    fn headers_len(&self) -> usize {
        mime::headers_len(&self.content).min(self.content.len())
    }

    /// The value of an entity header, found by its name in any case.
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        mime::header(&self.content, name)
    }

    /// The media type, in lower case and without parameters.
    pub fn content_type(&self) -> Option<String> {
        mime::media_type(&self.content)
    }
}

//! Messages as the application sees them: what it sends, and what it received.

use std::borrow::Cow;
use std::sync::Arc;

use beep_core::{AnsNo, MessageKind, MsgNo, Outgoing};
use bytes::Bytes;

use crate::Session;
use crate::mailbox::Mailbox;

/// Something to send: a payload, or an [`Outgoing`] with entity headers of its own.
///
/// Everything that becomes [`Bytes`] for nothing converts into it, so that
/// `channel.request("text")` works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload(Outgoing);

impl Payload {
    pub(crate) fn into_outgoing(self) -> Outgoing {
        self.0
    }
}

impl From<Outgoing> for Payload {
    fn from(outgoing: Outgoing) -> Self {
        Payload(outgoing)
    }
}

/// A payload goes out with the empty header part, see [`Outgoing::new`].
macro_rules! payload_from {
    ($($source:ty),*) => {
        $(
            impl From<$source> for Payload {
                fn from(body: $source) -> Self {
                    Payload(Outgoing::new(body))
                }
            }
        )*
    };
}

payload_from!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

/// A message received.
///
/// As long as it exists it takes up room in its channel's window: a program that is slow to let go
/// of messages slows the peer down, instead of filling memory. [`Message::into_payload`] lets go of
/// it too.
#[derive(Debug)]
pub struct Message {
    message: beep_core::Message,
    credit: Option<Credit>,
}

impl Message {
    pub(crate) fn new(
        session: &Session,
        mailbox: &Arc<Mailbox>,
        message: beep_core::Message,
    ) -> Self {
        let octets = message.content().len();
        Message {
            message,
            credit: Some(Credit {
                session: session.clone(),
                mailbox: mailbox.clone(),
                octets,
            }),
        }
    }

    /// MSG, RPY, ERR or ANS.
    pub fn kind(&self) -> MessageKind {
        self.message.kind
    }

    /// The number of the MSG, or of the MSG that this replies to.
    pub fn msgno(&self) -> MsgNo {
        self.message.msgno
    }

    /// The number of the answer, for ANS only.
    pub fn ansno(&self) -> Option<AnsNo> {
        self.message.ansno
    }

    /// The content without entity headers. Shared, not copied.
    pub fn payload(&self) -> Bytes {
        self.message.payload()
    }

    /// Everything that came, entity headers included.
    pub fn content(&self) -> &Bytes {
        self.message.content()
    }

    /// The value of an entity header, found by its name in any case.
    pub fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.message.header(name)
    }

    /// The media type, in lower case and without parameters.
    pub fn content_type(&self) -> Option<String> {
        self.message.content_type()
    }

    /// The payload alone; the peer may send as much again.
    pub fn into_payload(mut self) -> Bytes {
        self.release()
    }

    /// Gives the room in the window back, and hands out the payload.
    pub(crate) fn release(&mut self) -> Bytes {
        self.credit = None;
        self.payload()
    }
}

/// The room that a message takes up in its channel's window, given back when dropped.
#[derive(Debug)]
struct Credit {
    session: Session,
    mailbox: Arc<Mailbox>,
    octets: usize,
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.mailbox.consume(&self.session, self.octets);
    }
}

/// A whole answer to a MSG. Both kinds are replies: what an ERR means is the profile's affair.
#[derive(Debug)]
pub enum Reply {
    /// A positive reply.
    Rpy(Message),
    /// A negative reply.
    Err(Message),
}

impl Reply {
    /// Whether the reply is positive.
    pub fn is_rpy(&self) -> bool {
        matches!(self, Reply::Rpy(_))
    }

    /// The message, whichever kind it is.
    pub fn message(&self) -> &Message {
        match self {
            Reply::Rpy(message) | Reply::Err(message) => message,
        }
    }

    /// The payload, whichever kind the reply is. Shared, not copied.
    pub fn payload(&self) -> Bytes {
        self.message().payload()
    }

    /// The payload of a positive reply; that of a negative one as [`crate::Error::NegativeReply`].
    ///
    /// # Errors
    ///
    /// The reply is an ERR.
    pub fn into_payload(self) -> Result<Bytes, crate::Error> {
        match self {
            Reply::Rpy(message) => Ok(message.into_payload()),
            Reply::Err(message) => Err(crate::Error::NegativeReply(message.into_payload())),
        }
    }
}

//! Greetings: the first message of each peer (RFC 3080 §2.3.1.1).

use bytes::Bytes;

use super::Session;
use crate::error::{ProtocolError, SessionEnd, UsageError};
use crate::event::Event;
use crate::frame::{DataHeader, MessageKind};
use crate::management::{self, ErrorReply, Greeting, is_xml_text};
use crate::numbers::{ChannelNumber, MsgNo};
use crate::queue::Queue;
use crate::reaction::Fault;
use crate::transmit::{Milestone, Queued};

impl Session {
    /// Gives the greeting, once a session; both ends send theirs as soon as they are connected.
    ///
    /// Peers take 4096 octets without asking back (RFC 3081 §3.1.1); a longer greeting may end the session.
    ///
    /// # Errors
    ///
    /// [`UsageError`] when a greeting was given before, the session is over, or a text cannot be written as XML.
    pub fn greet(&mut self, greeting: &Greeting) -> Result<(), UsageError> {
        if self.end.is_some() {
            return Err(UsageError::SessionEnded);
        }
        if self.has_greeted {
            return Err(UsageError::AlreadyGreeted);
        }
        let texts = greeting
            .profiles
            .iter()
            .chain(&greeting.features)
            .chain(&greeting.localize);
        if !texts.into_iter().all(|text| is_xml_text(text)) {
            return Err(UsageError::NotXmlText("greeting"));
        }
        self.has_greeted = true;
        self.push_greeting(MessageKind::Rpy, greeting.to_xml(), Milestone::Greeted);
        Ok(())
    }

    /// Refuses the session: an ERR takes the place of the greeting, and the session ends when it is out.
    ///
    /// A greeting that has left cannot be taken back: the session is aborted then.
    pub fn refuse(&mut self, mut error: ErrorReply) {
        if self.end.is_some() || self.refusal.is_some() {
            return;
        }
        if self.is_greeting_out {
            return self.abort();
        }
        if !is_xml_text(&error.text) {
            error.text = String::new();
        }
        if let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT) {
            management.queue = Queue::default();
            management.queued_octets = 0;
            management.queued_messages = 0;
        }
        self.has_greeted = true;
        self.seq_pending = Queue::default();
        self.push_greeting(MessageKind::Err, error.to_xml(), Milestone::Refused);
        self.refusal = Some(Box::new(error));
    }

    fn push_greeting(&mut self, kind: MessageKind, document: String, milestone: Milestone) {
        let mut message = Queued::new(kind, MsgNo::ZERO, None, management_content(document));
        message.milestone = Some(milestone);
        if let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT) {
            management.queued_octets = management
                .queued_octets
                .saturating_add(message.content.len());
            management.queued_messages += 1;
            // Requests made before wait behind it.
            management.queue.push_front(message);
        }
    }

    /// Checks a frame that comes before the peer's greeting is complete.
    pub(super) fn check_greeting_frame(header: &DataHeader) -> Result<(), ProtocolError> {
        let DataHeader {
            kind,
            channel,
            msgno,
            ..
        } = *header;
        let is_greeting = matches!(kind, MessageKind::Rpy | MessageKind::Err)
            && channel.is_management()
            && msgno == MsgNo::ZERO;
        if is_greeting {
            Ok(())
        } else {
            Err(ProtocolError::NoGreeting {
                kind,
                channel,
                msgno,
            })
        }
    }

    /// The peer's greeting is complete.
    pub(super) fn handle_greeting(
        &mut self,
        kind: MessageKind,
        content: &Bytes,
    ) -> Result<(), Fault> {
        let limits = self
            .config
            .document_limits(self.config.greeting_octets as usize);
        if kind == MessageKind::Err {
            let error =
                management::parse_error(content, limits).map_err(ProtocolError::BadGreeting)?;
            self.finish(SessionEnd::GreetingRefused(error));
            return Ok(());
        }
        let greeting =
            management::parse_greeting(content, limits).map_err(ProtocolError::BadGreeting)?;
        self.deadlines.greeting = None;
        self.peer_greeting = Some(Box::new(greeting.clone()));
        self.push_event(Event::GreetingReceived(greeting));
        Ok(())
    }
}

/// A document as the content of a message on channel 0.
pub(super) fn management_content(document: impl Into<Bytes>) -> crate::Outgoing {
    crate::Outgoing::with_headers(
        Bytes::from_static(crate::mime::MANAGEMENT_HEADERS),
        document,
    )
}

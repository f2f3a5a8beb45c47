//! A MSG of the peer, to be answered once.

use std::borrow::Cow;
use std::sync::Arc;

use beep_core::{ChannelNumber, MsgNo, ReplyCode};
use bytes::Bytes;

use crate::Session;
use crate::error::Error;
use crate::mailbox::{Mailbox, wait_for_room};
use crate::message::{Message, Payload};
use crate::router::Router;

/// A MSG of the peer. Every MSG is answered once: with [`reply`](Self::reply), with
/// [`err`](Self::err), or with any number of [`ans`](Self::ans) and a [`finish`](Self::finish) (RFC
/// 3080 §2.1.1).
///
/// Replies travel in the order of the MSGs (RFC 3080 §2.6.1). Several may be worked on at once; a
/// reply that is ready early is kept until the older ones have left.
///
/// Dropped without an answer, it is answered with an ERR that holds an `<error code='451'>`
/// document, or its series of answers is ended: a peer that gets no answer could never close the
/// channel.
///
/// ```no_run
/// # async fn handler(channel: beep_session::Channel) -> Result<(), beep_session::Error> {
/// while let Some(message) = channel.recv().await {
///     let name = String::from_utf8_lossy(&message.payload()).into_owned();
///     message.reply(format!("hello {name}")).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a message that is dropped is answered with an error"]
pub struct IncomingMessage {
    session: Session,
    router: Arc<Router>,
    mailbox: Arc<Mailbox>,
    message: Message,
    arrival: u64,
    is_answered: bool,
    has_answers: bool,
}

impl IncomingMessage {
    pub(crate) fn new(
        session: &Session,
        router: &Arc<Router>,
        mailbox: &Arc<Mailbox>,
        arrival: u64,
        message: beep_core::Message,
    ) -> Self {
        IncomingMessage {
            session: session.clone(),
            router: router.clone(),
            mailbox: mailbox.clone(),
            message: Message::new(session, mailbox, message),
            arrival,
            is_answered: false,
            has_answers: false,
        }
    }

    /// The channel it came on.
    pub fn channel(&self) -> ChannelNumber {
        self.mailbox.number
    }

    /// Its number.
    pub fn msgno(&self) -> MsgNo {
        self.message.msgno()
    }

    /// The content without entity headers. Shared, not copied.
    pub fn payload(&self) -> Bytes {
        self.message.payload()
    }

    /// The payload, with the peer allowed to send as much again. The message has still to be
    /// answered.
    pub fn take_payload(&mut self) -> Bytes {
        self.message.release()
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

    /// Answers with a RPY. Waits while the peer takes less than this side sends.
    ///
    /// # Errors
    ///
    /// The channel or the session is gone.
    pub async fn reply(mut self, payload: impl Into<Payload>) -> Result<(), Error> {
        let message = payload.into().into_outgoing();
        self.wait_for_room().await;
        let (octets, msgno) = (message.len(), self.msgno());
        self.send(octets, true, |session, number| {
            session.send_rpy(number, msgno, message)
        })
    }

    /// Answers with an ERR. Waits as [`reply`](Self::reply) does.
    ///
    /// # Errors
    ///
    /// The channel or the session is gone, or answers of a series have been sent.
    pub async fn err(mut self, payload: impl Into<Payload>) -> Result<(), Error> {
        let message = payload.into().into_outgoing();
        self.wait_for_room().await;
        let (octets, msgno) = (message.len(), self.msgno());
        self.send(octets, true, |session, number| {
            session.send_err(number, msgno, message)
        })
    }

    /// Sends one answer of a series (ANS); [`finish`](Self::finish) ends it. Waits as
    /// [`reply`](Self::reply) does.
    ///
    /// # Errors
    ///
    /// The channel or the session is gone.
    pub async fn ans(&mut self, payload: impl Into<Payload>) -> Result<(), Error> {
        let message = payload.into().into_outgoing();
        self.wait_for_room().await;
        let (octets, msgno) = (message.len(), self.msgno());
        self.send(octets, false, |session, number| {
            session.send_ans(number, msgno, message).map(drop)
        })?;
        self.has_answers = true;
        Ok(())
    }

    /// Ends the series of answers (NUL); alone, it is a series of none.
    ///
    /// # Errors
    ///
    /// The channel or the session is gone.
    pub fn finish(mut self) -> Result<(), Error> {
        self.send_nul()
    }

    async fn wait_for_room(&self) {
        let has_room = || self.mailbox.has_room_for_reply(&self.session, self.arrival);
        wait_for_room(&self.router, &self.mailbox, has_room).await;
    }

    fn send_nul(&mut self) -> Result<(), Error> {
        let msgno = self.msgno();
        self.send(0, true, |session, number| session.send_nul(number, msgno))
    }

    fn send(
        &mut self,
        octets: usize,
        is_last: bool,
        send: impl FnOnce(&Session, ChannelNumber) -> Result<(), beep_core::SendError>,
    ) -> Result<(), Error> {
        let session = &self.session;
        let sent = self
            .mailbox
            .send_reply(self.arrival, octets, is_last, |number| {
                send(session, number)
            });
        sent.map_err(|error| self.router.explain(error))?;
        self.is_answered |= is_last;
        Ok(())
    }
}

impl Drop for IncomingMessage {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        if self.has_answers {
            // It fails only when nobody can be answered any more.
            let _ = self.send_nul();
        } else {
            let (session, msgno) = (&self.session, self.msgno());
            self.mailbox.send_err_unasked(
                session,
                self.arrival,
                msgno,
                ReplyCode::ABORTED,
                "the message was not answered",
            );
        }
    }
}

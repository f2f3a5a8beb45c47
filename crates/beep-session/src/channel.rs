//! Channels: where messages go and come from.

use std::sync::Arc;

use beep_core::{ChannelNumber, ProfileContent, ReplyCode};
use tokio::sync::{mpsc, oneshot};

use crate::Session;
use crate::answers::{Answers, Origin, PendingReply};
use crate::connection::Connection;
use crate::error::Error;
use crate::incoming_message::IncomingMessage;
use crate::mailbox::{Mailbox, Waiter, wait_for_room};
use crate::message::{Payload, Reply};

/// An open channel: a cheap handle, equal for all clones.
///
/// Either peer may send MSGs on a channel, and both may at once. [`request`](Self::request) and its
/// kin send them, [`recv`](Self::recv) takes those of the peer.
///
/// **Dropping the last handle closes the channel in the background.** MSGs of the peer that nobody
/// has taken by then are answered with an ERR (`<error code='421'>`). Use [`close`](Self::close) to
/// learn whether the peer agreed.
#[derive(Clone, Debug)]
pub struct Channel {
    // Before the connection: the channel's close is asked for ahead of the session's release.
    handle: Arc<Handle>,
    connection: Connection,
}

/// Shared by the clones of a channel; closes it when dropped.
#[derive(Debug)]
struct Handle {
    session: Session,
    mailbox: Arc<Mailbox>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.mailbox.abandon(&self.session);
    }
}

impl Channel {
    pub(crate) fn new(connection: Connection, mailbox: Arc<Mailbox>) -> Self {
        let session = connection.session().clone();
        Channel {
            handle: Arc::new(Handle { session, mailbox }),
            connection,
        }
    }

    /// The number of the channel.
    pub fn number(&self) -> ChannelNumber {
        self.handle.mailbox.number
    }

    /// The URI of the profile.
    pub fn profile(&self) -> &str {
        &self.handle.mailbox.profile
    }

    /// What the peer sent along with the profile: in its start, or in its answer to ours (RFC 3080
    /// §2.3.1.2).
    pub fn content(&self) -> Option<&ProfileContent> {
        self.handle.mailbox.content.as_ref()
    }

    /// The connection that the channel belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the channel is gone, by whoever closed it.
    pub fn is_closed(&self) -> bool {
        self.handle.mailbox.is_closed()
    }

    /// Octets given for sending that are not on the wire yet.
    pub fn queued_octets(&self) -> usize {
        self.handle.session.queued_octets(self.number())
    }

    /// Sends a MSG and waits for its reply. Waits too while the peer takes less than this side
    /// sends.
    ///
    /// # Errors
    ///
    /// The message was not taken, the peer answers in a series, or the channel or the session is
    /// gone. An ERR of the peer is a [`Reply`].
    pub async fn request(&self, payload: impl Into<Payload>) -> Result<Reply, Error> {
        let payload = payload.into();
        self.wait_for_room().await;
        self.send(payload)?.await
    }

    /// Sends a MSG at once. The reply can be awaited, later or by somebody else; dropped, nobody
    /// gets it.
    ///
    /// Nothing holds back a program that sends faster than its peer takes, except for
    /// [`Config::send_queue_octets`](crate::Config::send_queue_octets). [`ready`](Self::ready)
    /// does.
    ///
    /// # Errors
    ///
    /// The message was not taken: the queue is full, or the channel or the session is gone.
    pub fn send(&self, payload: impl Into<Payload>) -> Result<PendingReply, Error> {
        let (sender, receiver) = oneshot::channel();
        let message = payload.into().into_outgoing();
        let msgno = self.send_msg(message, Waiter::Reply(sender))?;
        Ok(PendingReply {
            msgno,
            receiver,
            origin: self.origin(),
        })
    }

    /// Sends a MSG to be answered in a series. Waits while the peer takes less than this side
    /// sends.
    ///
    /// ```no_run
    /// # async fn read_all(channel: beep_session::Channel) -> Result<(), beep_session::Error> {
    /// let mut answers = channel.answers("SELECT * FROM stars").await?;
    /// while let Some(answer) = answers.next().await? {
    ///     println!("{}", String::from_utf8_lossy(&answer.payload()));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The message was not taken, or the channel or the session is gone.
    pub async fn answers(&self, payload: impl Into<Payload>) -> Result<Answers, Error> {
        let message = payload.into().into_outgoing();
        self.wait_for_room().await;
        // Unbounded, because the channel's receive window is the bound.
        let (sender, receiver) = mpsc::unbounded_channel();
        let msgno = self.send_msg(message, Waiter::Answers(sender))?;
        Ok(Answers {
            msgno,
            receiver,
            origin: self.origin(),
            is_over: false,
        })
    }

    /// Waits until little is queued for sending.
    pub async fn ready(&self) {
        self.wait_for_room().await;
    }

    /// The next MSG of the peer, in the order of their sending; `None` when the channel is closed.
    ///
    /// Several tasks may wait, on clones of the channel; each message goes to one of them. A future
    /// that is dropped loses no message.
    pub async fn recv(&self) -> Option<IncomingMessage> {
        let mailbox = &self.handle.mailbox;
        loop {
            let arrived = mailbox.arrived().notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if let Ok(taken) = mailbox.take_incoming() {
                let (arrival, message) = taken?;
                let router = self.connection.router();
                return Some(IncomingMessage::new(
                    &self.handle.session,
                    router,
                    mailbox,
                    arrival,
                    message,
                ));
            }
            arrived.await;
        }
    }

    /// Closes the channel: waits for the replies that are owed to this side, asks the peer, and
    /// waits for its answer.
    ///
    /// The peer agrees only after all of its own MSGs are answered (RFC 3080 §2.3.1.3): go on with
    /// [`recv`](Self::recv) in another task if it sends any. A channel that is closed already is
    /// fine.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`]: the peer says no, and the channel stays usable. [`Error::NoAnswer`]: the
    /// peer did not answer in time. Otherwise the session came to an end that was not agreed to.
    pub async fn close(&self) -> Result<(), Error> {
        self.close_with(ReplyCode::SUCCESS, None).await
    }

    /// As [`close`](Self::close), with a reason for the peer.
    ///
    /// # Errors
    ///
    /// Those of [`close`](Self::close).
    pub async fn close_with(&self, code: ReplyCode, text: Option<String>) -> Result<(), Error> {
        let outcome = self.handle.mailbox.close(&self.handle.session, code, text);
        self.connection.router().outcome(outcome).await
    }

    fn send_msg(
        &self,
        message: beep_core::Outgoing,
        waiter: Waiter,
    ) -> Result<beep_core::MsgNo, Error> {
        let sent = self
            .handle
            .mailbox
            .send_msg(&self.handle.session, message, waiter);
        sent.map_err(|error| self.connection.router().explain(error))
    }

    async fn wait_for_room(&self) {
        let Handle { session, mailbox } = &*self.handle;
        wait_for_room(self.connection.router(), mailbox, || {
            mailbox.has_room(session)
        })
        .await;
    }

    fn origin(&self) -> Origin {
        Origin {
            router: self.connection.router().clone(),
            mailbox: self.handle.mailbox.clone(),
        }
    }
}

impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle.mailbox, &other.handle.mailbox)
    }
}

impl Eq for Channel {}

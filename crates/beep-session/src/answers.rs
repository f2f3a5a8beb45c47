//! Answers of the peer that have yet to come.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use beep_core::{MessageKind, MsgNo};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::message::{Message, Reply};
use crate::router::Router;

/// The reply to a MSG that is on its way. Dropping it lets go of the reply, not of the MSG.
#[derive(Debug)]
pub struct PendingReply {
    pub(crate) msgno: MsgNo,
    pub(crate) receiver: oneshot::Receiver<Result<Message, Error>>,
    pub(crate) origin: Origin,
}

impl PendingReply {
    /// The number of the MSG.
    pub fn msgno(&self) -> MsgNo {
        self.msgno
    }
}

impl Future for PendingReply {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.receiver).poll(cx)) {
            Ok(Ok(message)) if message.kind() == MessageKind::Err => Ok(Reply::Err(message)),
            Ok(Ok(message)) => Ok(Reply::Rpy(message)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(self.origin.gone()),
        })
    }
}

/// The series of answers to a MSG (RFC 3080 §2.1.1). Dropping it lets go of the answers that are
/// still to come.
#[derive(Debug)]
pub struct Answers {
    pub(crate) msgno: MsgNo,
    pub(crate) receiver: mpsc::UnboundedReceiver<Option<Message>>,
    pub(crate) origin: Origin,
    pub(crate) is_over: bool,
}

impl Answers {
    /// The number of the MSG.
    pub fn msgno(&self) -> MsgNo {
        self.msgno
    }

    /// The next answer, or `None` after the last one. A peer that gives a plain RPY gives one
    /// answer.
    ///
    /// # Errors
    ///
    /// [`Error::NegativeReply`] when the peer answers with ERR; the channel or the session is gone.
    /// After an error there is no answer.
    pub async fn next(&mut self) -> Result<Option<Message>, Error> {
        if self.is_over {
            return Ok(None);
        }
        match self.receiver.recv().await {
            Some(Some(message)) if message.kind() == MessageKind::Err => {
                self.is_over = true;
                Err(Error::NegativeReply(message.into_payload()))
            }
            Some(Some(message)) => Ok(Some(message)),
            Some(None) => {
                self.is_over = true;
                Ok(None)
            }
            None => {
                self.is_over = true;
                Err(self.origin.gone())
            }
        }
    }
}

/// Where an answer is to come from.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) router: Arc<Router>,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Origin {
    /// Why no answer will come.
    fn gone(&self) -> Error {
        self.router
            .end_error()
            .unwrap_or(Error::ChannelClosed(self.mailbox.number))
    }
}

//! SASL on the channels of a session (RFC 3080 §4): the exchanges of [`crate::sasl`] over starts and messages.
//!
//! The first token rides in the start, and what answers it in the answer; further ones are messages on the channel and
//! their replies. Some peers send the first one as a message, too.

mod initiator;
mod listener;

use std::sync::{Arc, Weak};

use beep_core::{
    ChannelNumber, DocumentLimits, ErrorReply, MsgNo, Outgoing, ReplyCode, UsageError,
};
use thiserror::Error;
use tokio::task::AbortHandle;

use crate::sasl::{self, Binding, Identity};
use crate::session::Session;

pub use listener::Request;
pub(crate) use listener::start_requested;

/// Why this side was not authenticated to the peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// Somebody is authenticated on the session already, and stays it.
    #[error("the connection is authenticated already")]
    AlreadyAuthenticated,
    /// An exchange has not come to its end yet.
    #[error("another authentication is under way")]
    Busy,
    /// The exchange failed: the peer refused (535 for wrong credentials, 554 for a mechanism it does not offer, RFC 3080
    /// §8), a credential is missing, or the peer's token is wrong.
    #[error(transparent)]
    Exchange(#[from] sasl::Error),
    /// The peer took longer than [`beep_core::Config::authentication_timeout`].
    #[error("the peer did not complete the authentication in time")]
    TimedOut,
    /// The channel cannot be started.
    #[error("no channel for the authentication: {0}")]
    Start(#[from] UsageError),
    /// The session ended, or the channel was closed.
    #[error("the connection or its channel was closed during the authentication")]
    Closed,
}

impl AuthenticationError {
    /// The code that the peer refused with, if it did (RFC 3080 §8).
    pub fn reply_code(&self) -> Option<ReplyCode> {
        match self {
            AuthenticationError::Exchange(sasl::Error::Refused(error)) => Some(error.code),
            _ => None,
        }
    }
}

impl Session {
    /// Who is authenticated on this session: the peer if it asked for it, this side if it did. `None` before.
    ///
    /// A program that guards something wants [`peer_identity`](Self::peer_identity).
    pub fn identity(&self) -> Option<Identity> {
        let state = self.shared.state();
        let (_, identity) = state.identity.as_deref()?;
        Some(identity.clone())
    }

    /// Whom the peer has proved to be. `None` before, and where it was this side that proved something.
    pub fn peer_identity(&self) -> Option<Identity> {
        let state = self.shared.state();
        match state.identity.as_deref()? {
            (Side::Peer, identity) => Some(identity.clone()),
            (Side::Own, _) => None,
        }
    }

    /// Notes who is authenticated, unless somebody is, or the session is over.
    fn authenticated(&self, side: Side, identity: &Identity) -> bool {
        let mut state = self.shared.state();
        if state.identity.is_some() || state.protocol.end().is_some() {
            return false;
        }
        tracing::info!(session = self.id(), ?side, ?identity, "authenticated");
        state.identity = Some(Box::new((side, identity.clone())));
        true
    }

    fn channel_binding(&self) -> Option<Binding> {
        self.shared.tls.as_ref().map(|tls| tls.binding())
    }

    fn exchange_is_over(&self) {
        self.shared.state().is_authenticating = false;
    }

    fn limit_exchange(&self, exchange: Weak<impl Limited>) -> AbortHandle {
        let session = Arc::downgrade(&self.shared);
        let limit = self.shared.state().protocol.config().authentication_timeout;
        let task = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if let (Some(exchange), Some(shared)) = (exchange.upgrade(), session.upgrade()) {
                exchange.time_is_up(&Session { shared });
            }
        });
        task.abort_handle()
    }
}

/// Whose an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Own,
    Peer,
}

/// An exchange that may not take for ever.
trait Limited: Send + Sync + 'static {
    fn time_is_up(&self, session: &Session);
}

/// Limits of the documents in messages; [`beep_core::sasl_blob`] bounds the tokens.
fn document_limits() -> DocumentLimits {
    DocumentLimits::default()
}

fn refuse_message(session: &Session, number: ChannelNumber, msgno: MsgNo) {
    let error = ErrorReply::new(
        ReplyCode::AUTH_FAILURE,
        "no authentication is under way on this channel: start another one",
    );
    // It fails when the session is over.
    let _ = session.send_rpy(number, msgno, Outgoing::new(error.to_xml()));
}

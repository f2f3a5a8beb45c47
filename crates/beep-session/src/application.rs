//! What a session tells the program that uses it.

use std::fmt;
use std::io;
use std::sync::Arc;

use beep_core::{ChannelNumber, Event, Greeting, SessionEnd};

use crate::driver::Driver;
use crate::{Session, sasl, tls};

/// The program's side of a session: events are delivered to it, in the order of the wire.
///
/// The methods run on the task that drives the session, so they must not block. They may call every
/// method of [`Session`]; what they send leaves with the same write. The async interface
/// ([`crate::Connection`]) is one implementation, the Lua binding another.
pub trait Application: Send + Sync + 'static {
    /// Something happened on the session. Never called after [`Application::ended`].
    fn event(&self, session: &Session, event: Event);

    /// The session is over; called exactly once for every session, as the last call.
    fn ended(&self, session: &Session, end: &Arc<End>);

    /// Whether the program itself serves a profile. Asked when a peer offers several to choose from (RFC 3080
    /// §2.3.1.2), and the session would serve a later one.
    fn serves(&self, uri: &str) -> bool {
        let _ = uri;
        false
    }

    /// The peer wants to be authenticated, by a mechanism that [`crate::Services`] offers; the answer may come later.
    /// The default denies.
    fn authenticate(&self, session: &Session, request: sasl::Request) {
        let _ = (session, request);
    }

    /// The peer wants TLS, which [`crate::Services::accept_tls`] offers; the answer may come later. The default refuses.
    fn tls_requested(&self, session: &Session, request: tls::Request) {
        let _ = (session, request);
    }

    /// Who gets the events of the session that begins when TLS is in place, which is another one (RFC 3080 §3.1). Asked
    /// on the task that drives the session. Without a successor, the default, there is no TLS.
    fn successor(&self) -> Option<Successor> {
        None
    }

    /// A session begins in the place of one over which TLS was negotiated. Called for what
    /// [`Application::successor`] gave, ahead of the first event, and before the end of the old session.
    fn took_over(&self, session: &Session) {
        let _ = session;
    }

    /// The session opened a channel that it serves itself, see [`crate::Services`]. [`beep_core::Event::Closed`] tells
    /// when it is gone; no other event comes from it.
    fn service_channel(&self, session: &Session, number: ChannelNumber, uri: &str) {
        let _ = (session, number, uri);
    }

    /// Octets were given to the transport: less is queued than before.
    fn transmitted(&self, session: &Session) {
        let _ = session;
    }

    /// A session begins, and somebody has to poll its driver until it is done: within a tokio runtime, where its
    /// transport and its timers are looked after. Dropping the driver ends the transport without a word.
    ///
    /// The default makes a task of the current runtime of it.
    fn spawn(&self, driver: Driver) {
        tokio::spawn(driver);
    }
}

/// What a session that takes over from another one is made of.
pub struct Successor {
    /// Who gets its events.
    pub application: Arc<dyn Application>,
    /// What it greets with.
    pub greeting: Greeting,
}

/// Why a session is over.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The protocol came to its end: released, refused, timed out, broken by the peer, or aborted
    /// here.
    Protocol(SessionEnd),
    /// The transport failed under the session.
    Transport(io::Error),
    /// The peers agreed to begin with TLS, and the handshake failed.
    Tls(tls::Error),
}

impl End {
    /// Whether both peers agreed to the end (RFC 3080 §2.4).
    pub fn is_orderly(&self) -> bool {
        matches!(self, End::Protocol(SessionEnd::Released { .. }))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Protocol(end) => write!(f, "{end}"),
            End::Transport(error) => write!(f, "the connection failed: {error}"),
            End::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for End {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            End::Protocol(end) => Some(end),
            End::Transport(error) => Some(error),
            End::Tls(error) => Some(error),
        }
    }
}

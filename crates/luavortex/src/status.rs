//! The numbers of the older API: states of a connection, and why it ended (`vortex.status_OK` and its like).

use beep_session::core::{Deadline, ProtocolError, SessionEnd};
use beep_session::{ConnectError, End};

/// Names and numbers, as scripts see them.
pub(crate) const STATUSES: &[(&str, i64)] = &[
    ("status_ERROR", ERROR),
    ("status_OK", OK),
    ("status_BIND_ERROR", BIND_ERROR),
    ("status_WRONG_REFERENCE", WRONG_REFERENCE),
    ("status_NAME_RESOLVE_ERROR", NAME_RESOLVE_ERROR),
    ("status_SOCKET_CREATION_ERROR", 6),
    ("status_SOCKET_SANITY_ERROR", 7),
    ("status_CONNECTION_ERROR", CONNECTION_ERROR),
    ("status_CONNECTION_TIMEOUT_ERROR", CONNECTION_TIMEOUT),
    ("status_GREETINGS_FAILURE", GREETINGS_FAILURE),
    ("status_XML_VALIDATION_ERROR", 11),
    ("status_CONNECTION_CLOSE_CALLED", CLOSE_CALLED),
    ("status_CONNECTION_FORCED_CLOSE", FORCED_CLOSE),
    ("status_PROTOCOL_ERROR", PROTOCOL_ERROR),
    ("status_CONNECTION_FILTERED", FILTERED),
    ("status_MEMORY_FAIL", MEMORY),
    ("status_UNNOTIFIED_CONNECTION_CLOSE", PEER_LEFT),
];

pub(crate) const ERROR: i64 = 1;
pub(crate) const OK: i64 = 2;
pub(crate) const BIND_ERROR: i64 = 3;
pub(crate) const WRONG_REFERENCE: i64 = 4;
pub(crate) const NAME_RESOLVE_ERROR: i64 = 5;
pub(crate) const CONNECTION_ERROR: i64 = 8;
pub(crate) const CONNECTION_TIMEOUT: i64 = 9;
pub(crate) const GREETINGS_FAILURE: i64 = 10;
pub(crate) const CLOSE_CALLED: i64 = 12;
pub(crate) const FORCED_CLOSE: i64 = 13;
pub(crate) const PROTOCOL_ERROR: i64 = 14;
pub(crate) const FILTERED: i64 = 15;
pub(crate) const MEMORY: i64 = 16;
pub(crate) const PEER_LEFT: i64 = 17;

/// The status of a connection whose session ended like this.
pub(crate) fn of_end(end: &End) -> i64 {
    match end {
        End::Transport(_) => PEER_LEFT,
        End::Protocol(end) => match end {
            SessionEnd::Released { .. } | SessionEnd::Tuned => CLOSE_CALLED,
            SessionEnd::PeerHungUp { .. } => PEER_LEFT,
            SessionEnd::GreetingRefused(_)
            | SessionEnd::Protocol(
                ProtocolError::NoGreeting { .. } | ProtocolError::BadGreeting(_),
            ) => GREETINGS_FAILURE,
            SessionEnd::Protocol(_) => PROTOCOL_ERROR,
            SessionEnd::TimedOut(Deadline::Greeting) => GREETINGS_FAILURE,
            SessionEnd::TimedOut(_) => FORCED_CLOSE,
            SessionEnd::LimitReached(_) => MEMORY,
            SessionEnd::Refused(_) => FILTERED,
            _ => FORCED_CLOSE,
        },
        _ => ERROR,
    }
}

/// The status of a connection that could not be made.
pub(crate) fn of_connect_error(error: &ConnectError) -> i64 {
    match error {
        ConnectError::Resolve { .. } => NAME_RESOLVE_ERROR,
        ConnectError::Connect { .. } => CONNECTION_ERROR,
        ConnectError::TimedOut { .. } => CONNECTION_TIMEOUT,
        _ => ERROR,
    }
}

//! What can go wrong for a program that uses the async interface.

use std::sync::Arc;
use std::time::Duration;

use beep_core::{
    ChannelFailure, ChannelNumber, ConfigError, ErrorReply, SendError, SessionEnd, UsageError,
};
use bytes::Bytes;
use thiserror::Error;

use crate::application::End;
use crate::connect::ConnectError;
use crate::tls;

/// Why a call did not do what was asked. [`Error::family`] says whose doing it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer refused the session, a start or a close, and said why.
    #[error("the peer refused: {0}")]
    Refused(ErrorReply),
    /// The peer answered a MSG with ERR where an answer was needed; this is its payload.
    #[error("the peer answered with an error of {} octets", .0.len())]
    NegativeReply(Bytes),
    /// The peer answered with a series of answers where one reply was expected; see
    /// [`crate::Channel::answers`].
    #[error("the peer answered with a series of answers")]
    AnsweredInSeries,
    /// The peer did not answer a start or a close within [`crate::Config::reply_timeout`].
    #[error("the peer did not answer in time")]
    NoAnswer,
    /// The peer did not greet within the limit of [`crate::ConnectOptions::limit`].
    #[error("no greeting within {} s", limit.as_secs_f64())]
    NoGreeting {
        /// The limit that passed.
        limit: Duration,
    },

    /// The call does not fit the state of the session.
    #[error(transparent)]
    Usage(UsageError),
    /// The message was not taken for sending.
    #[error(transparent)]
    Send(SendError),
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// TLS was not put in place.
    #[error(transparent)]
    Tls(#[from] tls::Error),

    /// There was no connection in the first place.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The channel is closed; the session may live on.
    #[error("channel {0} is closed")]
    ChannelClosed(ChannelNumber),
    /// The session is being released, or is over for a reason that is not known yet.
    #[error("the session is being released")]
    Closing,
    /// The session is over.
    #[error("the session is over: {0}")]
    Ended(Arc<End>),
}

/// Whose doing an [`enum@Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// The peer said no, or nothing. The session goes on, unless it was the session that was
    /// refused.
    Peer,
    /// The caller asked for something that cannot be. The session goes on.
    Misuse,
    /// The connection, the session or the channel is no longer there.
    Gone,
}

impl Error {
    /// Whose doing the error is.
    ///
    /// ```
    /// use beep_session::{Error, ErrorReply, Family, ReplyCode};
    /// let error = Error::Refused(ErrorReply::new(ReplyCode::ACTION_REFUSED, "not now"));
    /// assert_eq!(error.family(), Family::Peer);
    /// assert_eq!(error.code(), Some(ReplyCode::ACTION_REFUSED));
    /// ```
    pub fn family(&self) -> Family {
        match self {
            Error::Refused(_)
            | Error::NegativeReply(_)
            | Error::AnsweredInSeries
            | Error::NoAnswer
            | Error::NoGreeting { .. } => Family::Peer,
            Error::Tls(error) => match error {
                tls::Error::AlreadyInPlace
                | tls::Error::Start(_)
                | tls::Error::NoServerName
                | tls::Error::BadServerName(_)
                | tls::Error::NoSystemRoots(_)
                | tls::Error::NoSuccessor
                | tls::Error::Setup(_) => Family::Misuse,
                tls::Error::Refused(_) | tls::Error::NoAnswer | tls::Error::BadAnswer(_) => {
                    Family::Peer
                }
                _ => Family::Gone,
            },
            Error::Usage(_) | Error::Send(_) | Error::Config(_) => Family::Misuse,
            Error::Connect(_) | Error::ChannelClosed(_) | Error::Closing | Error::Ended(_) => {
                Family::Gone
            }
        }
    }

    /// The reply code that the peer gave, if it gave one.
    pub fn code(&self) -> Option<beep_core::ReplyCode> {
        match self {
            Error::Refused(error) => Some(error.code),
            Error::Tls(error) => error.reply_code(),
            _ => None,
        }
    }

    /// The error for a session that came to `end`.
    pub(crate) fn ended(end: &Arc<End>) -> Error {
        match &**end {
            End::Protocol(SessionEnd::GreetingRefused(error)) => Error::Refused(error.clone()),
            _ => Error::Ended(end.clone()),
        }
    }

    /// The error for a start or close that came to nothing.
    pub(crate) fn failed(why: ChannelFailure) -> Error {
        match why {
            ChannelFailure::Refused(error) => Error::Refused(error),
            ChannelFailure::TimedOut => Error::NoAnswer,
            _ => Error::Closing,
        }
    }
}

impl From<UsageError> for Error {
    fn from(error: UsageError) -> Self {
        match error {
            UsageError::SessionEnded => Error::Closing,
            UsageError::NotOpen(number) => Error::ChannelClosed(number),
            error => Error::Usage(error),
        }
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::SessionEnded => Error::Closing,
            SendError::NotOpen(number) | SendError::Closing(number) => Error::ChannelClosed(number),
            error => Error::Send(error),
        }
    }
}

//! Why an authentication failed.

use beep_core::sasl_blob::BlobError;
use beep_core::{ErrorReply, ReplyCode};

use super::Mechanism;

/// Why an authentication failed, in either role.
///
/// Servers send the text to the peer: it says nothing of what the program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program, or the check of the password, said no. Server only.
    #[error("authentication failure")]
    Denied,
    /// The peer refused, and said why. Client only.
    #[error("the peer refused: {0}")]
    Refused(ErrorReply),
    /// The peer refused in the words of the mechanism (RFC 5802 §7, `server-error-value`). Client only.
    #[error("the peer refused: {0}")]
    RefusedByMechanism(String),
    /// The peer gave the exchange up.
    #[error("the peer gave up the authentication")]
    Aborted,
    /// What the peer sent is not what the mechanism has at that place.
    #[error("{mechanism}: {reason}")]
    BadToken {
        /// The mechanism.
        mechanism: Mechanism,
        /// What is wrong.
        reason: &'static str,
    },
    /// A token came, or an answer was given, when none was due.
    #[error("the {0} exchange expects nothing now")]
    OutOfTurn(Mechanism),
    /// A token cannot be read from its document.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The server did not prove that it knows the password: it may be another one than meant. Client only.
    #[error("the server did not prove that it knows the password; it may not be the one it says")]
    ServerNotProven,
    /// The server wants the password hashed more often than is sensible. Client only.
    #[error("the server asks for {asked} iterations, {most} at most are done")]
    TooManyIterations {
        /// What it asked for.
        asked: u64,
        /// What is done at most.
        most: u32,
    },
    /// The client believes that this side has no channel binding, though it has: somebody in between may have
    /// taken it off the list (RFC 5802 §6). Server only.
    #[error("channel binding is offered, but the client was told it is not")]
    Downgraded,
    /// The two sides are not in the same TLS session: somebody is in between.
    #[error("the channel binding is that of another TLS session")]
    OtherBinding,
    /// The mechanism with channel binding, without a TLS session or with a kind of binding that it does not
    /// have.
    #[error("no channel binding of that kind is there")]
    NoBinding,

    /// The credentials lack something. Client only.
    #[error("{mechanism} needs a {field}: give one")]
    Missing {
        /// The mechanism.
        mechanism: Mechanism,
        /// What is missing.
        field: &'static str,
    },
    /// The credentials have something that the mechanism cannot carry. Client only.
    #[error("the {field} {reason}")]
    Unusable {
        /// What cannot be used.
        field: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// DIGEST-MD5 has to know which of the server's realms is meant. Client only.
    #[error("the server offers {}, so the realm has to be given", realms(.0))]
    WhichRealm(Vec<String>),
    /// The program's answer cannot be used. Server only.
    #[error("authentication is not possible now")]
    UnusableAnswer {
        /// What is wrong, for the one who wrote the program: the text does not say it, since peers read it.
        reason: &'static str,
    },
    /// The operating system gives no random numbers.
    #[error("authentication is not possible now: no random numbers")]
    NoRandom,
}

impl Error {
    /// The reply code: the one to refuse with as a server; as a client the peer's, or else the one that says the
    /// same (RFC 3080 §8).
    pub fn code(&self) -> ReplyCode {
        match self {
            Error::Refused(error) => error.code,
            Error::Blob(error) => error.reply_code(),
            Error::Denied
            | Error::RefusedByMechanism(_)
            | Error::ServerNotProven
            | Error::Downgraded
            | Error::OtherBinding => ReplyCode::AUTH_FAILURE,
            Error::BadToken { .. } | Error::OutOfTurn(_) => ReplyCode::PARAMETER_SYNTAX_ERROR,
            Error::Aborted => ReplyCode::ABORTED,
            Error::TooManyIterations { .. } | Error::NoBinding => {
                ReplyCode::AUTH_MECHANISM_INSUFFICIENT
            }
            Error::Missing { .. } | Error::Unusable { .. } | Error::WhichRealm(_) => {
                ReplyCode::PARAMETER_INVALID
            }
            Error::UnusableAnswer { .. } | Error::NoRandom => ReplyCode::TEMPORARY_AUTH_FAILURE,
        }
    }
}

fn realms(named: &[String]) -> String {
    if named.is_empty() {
        return "no realm".to_owned();
    }
    format!("the realms {}", named.join(", "))
}

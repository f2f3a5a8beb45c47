//! What can go wrong on the way to TLS, in words for people.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use beep_core::{ErrorReply, ReplyCode, UsageError};
use rustls::{AlertDescription, InvalidMessage};
use x509_cert::der::DateTime;

/// Why there is no TLS.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What should be a certificate or a key in PEM cannot be read.
    #[error("the {what} cannot be read: {reason}")]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The private key is not that of the (first) certificate.
    #[error(
        "the private key does not belong to the certificate (in a chain, the certificate of the key comes first)"
    )]
    KeyMismatch,
    /// The system's trusted certificates cannot be had.
    #[error("the system has no trusted certificates: {0}")]
    NoSystemRoots(String),
    /// A certificate was to be verified, and nobody said whose it should be.
    #[error("there is no server name to verify the certificate against")]
    NoServerName,
    /// What should be the name of a server is neither a DNS name nor an IP address.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    BadServerName(String),
    /// The cryptography or its source of random numbers failed on this side.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),

    /// The peer's certificate is not accepted.
    #[error("the certificate of {whose} {fault}")]
    Certificate {
        /// The server's name as it was given, or what the certificate says of itself.
        whose: String,
        /// What is wrong with the certificate.
        fault: CertificateFault,
    },
    /// The client has to show a certificate, and did not.
    #[error("the client has no certificate, and must have one")]
    NoClientCertificate,
    /// The server wants a certificate of this side, which has none to show.
    #[error("the peer asks for a client certificate")]
    ClientCertificateWanted,
    /// The peer broke the handshake off, and said why.
    #[error("the peer broke off the TLS handshake: {0}")]
    BrokenOff(String),
    /// The two sides have no version, cipher or signature in common.
    #[error("nothing in common with the peer's TLS: {0}")]
    Incompatible(String),
    /// What came in place of the handshake is not TLS.
    #[error("the peer sent something that is not TLS in place of the handshake")]
    NotTls,
    /// The peer broke the rules of TLS.
    #[error("the peer does not keep to TLS: {0}")]
    Misbehaved(String),
    /// The connection ended in the middle of the handshake.
    #[error("the peer hung up during the TLS handshake")]
    HungUp,
    /// The connection failed during the handshake.
    #[error("the connection failed during the TLS handshake: {0}")]
    Transport(#[source] Arc<io::Error>),
    /// The handshake was not complete in time.
    #[error("the TLS handshake was not complete within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The limit, see [`beep_core::Config::tls_timeout`].
        limit: Duration,
    },

    /// The session runs over TLS already.
    #[error("the connection has TLS already")]
    AlreadyInPlace,
    /// The peer refused to begin with TLS; the session goes on.
    #[error("the peer refused TLS: {0}")]
    Refused(ErrorReply),
    /// The peer did not answer in time whether it begins with TLS; the session goes on.
    #[error("the peer did not answer whether it begins with TLS")]
    NoAnswer,
    /// The peer's answer is neither yes nor no; the session goes on.
    #[error("the peer's answer to the start of TLS makes no sense: {0}")]
    BadAnswer(String),
    /// TLS cannot be asked for in this state of the session.
    #[error("TLS cannot be started: {0}")]
    Start(#[from] UsageError),
    /// The application has no successor, see [`crate::Application::successor`].
    #[error("nobody is there for the session that would begin over TLS")]
    NoSuccessor,
    /// The session ended before TLS was in place.
    #[error("the session ended before TLS was in place")]
    SessionEnded,
}

/// What is wrong with the certificate of a peer. Reads on from "the certificate".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Its time is over.
    #[error("expired on {}", Date(*not_after))]
    Expired {
        /// The last moment at which it was good.
        not_after: SystemTime,
    },
    /// Its time has not come.
    #[error("is not valid before {}", Date(*not_before))]
    NotYetValid {
        /// The first moment at which it is good.
        not_before: SystemTime,
    },
    /// The same for a certificate between it and a trusted one.
    #[error("is signed by a CA whose own certificate is not valid at this time")]
    AuthorityNotValid,
    /// It bears other names, or none.
    #[error("was made for {}, not {expected}", Names(names))]
    WrongName {
        /// The name that it should bear.
        expected: String,
        /// The names that it bears.
        names: Vec<String>,
    },
    /// No trusted CA signed it.
    #[error("is not signed by any trusted CA; its issuer is {issuer}")]
    UnknownIssuer {
        /// Who signed it, as it says.
        issuer: String,
    },
    /// It was signed by itself, and is not one of those trusted.
    #[error("is signed by itself, and is not among those trusted")]
    SelfSigned,
    /// It is that of a CA, which speaks for others and not for itself.
    #[error("is that of a CA, and not itself among those trusted")]
    Authority,
    /// It may not be used for this side of TLS.
    #[error("was not made for a TLS {role}")]
    WrongPurpose {
        /// "server" or "client".
        role: &'static str,
    },
    /// It is of X.509 version 1, for which no CA can speak.
    #[error("is of the old X.509 version 1, and not itself among those trusted")]
    Version1,
    /// Its RSA key has fewer than 2048 bits.
    #[error("has an RSA key of fewer than 2048 bits, which is too weak")]
    WeakKey,
    /// The peer does not have the private key that belongs to it.
    #[error("does not belong to the key that signed the handshake")]
    NotTheirs,
    /// It is not a certificate.
    #[error("cannot be read")]
    Unreadable,
    /// The peer showed none.
    #[error("is missing")]
    Missing,
    /// Something less common, in the words of the library that found it.
    #[error("is not acceptable: {0}")]
    Other(String),
}

/// A moment, to the second.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_system_time(self.0) {
            Ok(date) => write!(
                f,
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
                date.year(),
                date.month(),
                date.day(),
                date.hour(),
                date.minutes(),
                date.seconds()
            ),
            Err(_) => f.write_str("a date that cannot be written"),
        }
    }
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Some certificates bear hundreds of names.
        const MOST: usize = 5;
        match self.0 {
            [] => f.write_str("no host by name"),
            names => {
                let shown = names.get(..MOST).unwrap_or(names);
                f.write_str(&shown.join(", "))?;
                if names.len() > shown.len() {
                    write!(f, " and {} others", names.len() - shown.len())?;
                }
                Ok(())
            }
        }
    }
}

impl Error {
    /// The code that the peer refused with, if it did (RFC 3080 §8).
    pub fn reply_code(&self) -> Option<ReplyCode> {
        match self {
            Error::Refused(error) => Some(error.code),
            _ => None,
        }
    }

    /// What an error of TLS means. `is_certificate_wanted` says whether the peer asked for a certificate and got none.
    pub(super) fn of_tls(error: rustls::Error, is_certificate_wanted: bool) -> Error {
        use rustls::Error as Tls;
        match error {
            Tls::AlertReceived(AlertDescription::CertificateRequired) => {
                Error::ClientCertificateWanted
            }
            // What TLS 1.2 has in its place.
            Tls::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::BadCertificate
                | AlertDescription::NoCertificate,
            ) if is_certificate_wanted => Error::ClientCertificateWanted,
            Tls::AlertReceived(alert) => Error::BrokenOff(meaning(alert)),
            Tls::NoCertificatesPresented => Error::NoClientCertificate,
            Tls::PeerIncompatible(reason) => Error::Incompatible(format!("{reason:?}")),
            Tls::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::InvalidEmptyPayload
                | InvalidMessage::MessageTooLarge,
            ) => Error::NotTls,
            Tls::InvalidCertificate(reason) => Error::Certificate {
                whose: "the peer".to_owned(),
                fault: CertificateFault::Other(reason.to_string()),
            },
            Tls::FailedToGetCurrentTime | Tls::FailedToGetRandomBytes | Tls::EncryptError => {
                Error::Setup(error.to_string())
            }
            error => Error::Misbehaved(error.to_string()),
        }
    }

    /// What an error of a TLS stream means.
    pub(super) fn of_stream(error: io::Error, is_certificate_wanted: bool) -> Error {
        let tls = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<rustls::Error>());
        match tls {
            Some(tls) => Error::of_tls(tls.clone(), is_certificate_wanted),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Error::HungUp,
            None => Error::Transport(Arc::new(error)),
        }
    }
}

/// What an alert says about the certificate or the offer of this side.
fn meaning(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let meaning = match alert {
        Alert::UnknownCA => "it does not trust the CA of our certificate",
        Alert::BadCertificate => "it does not accept our certificate",
        Alert::UnsupportedCertificate => "it cannot use a certificate like ours",
        Alert::CertificateExpired => "our certificate is expired, or not valid yet",
        Alert::CertificateRevoked => "our certificate was revoked",
        Alert::CertificateUnknown => "it does not accept our certificate",
        Alert::AccessDenied => "it denies access",
        Alert::HandshakeFailure => "it takes none of what was offered (handshake_failure)",
        Alert::ProtocolVersion => "it speaks neither TLS 1.2 nor 1.3",
        Alert::InsufficientSecurity => "it wants stronger ciphers",
        Alert::UnrecognisedName => "it does not know the server name",
        Alert::CloseNotify | Alert::UserCanceled => "it changed its mind",
        alert => return format!("alert {alert:?}"),
    };
    meaning.to_owned()
}

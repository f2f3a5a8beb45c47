//! SASL mechanisms without I/O: tokens in, tokens out (RFC 4422; RFC 3080 §4.1 for their use in BEEP).
//!
//! [`ClientExchange`] proves who this side is, [`ServerExchange`] has the peer prove it. Neither knows how
//! tokens travel. A server does not wait for the program: it hands out a [`Question`] with [`Step::Ask`] and
//! goes on whenever [`ServerExchange::answer`] is called.
//!
//! ```
//! use beep_session::sasl::{Answer, ClientExchange, Credentials, Mechanism, ServerExchange, Step};
//!
//! let credentials = Credentials::new(Mechanism::ScramSha256, "bob").with_password("secret");
//! let mut client = ClientExchange::new(&credentials, "example.org", None, false)?;
//! let mut server = ServerExchange::new(Mechanism::ScramSha256, false, None, "example.org", None);
//!
//! let Step::Ask(question) = server.step(client.initial().as_deref()) else { panic!() };
//! assert_eq!(question.auth_id.as_deref(), Some("bob"));
//! let Step::Challenge(challenge) = server.answer(Answer::Password("secret".into())) else { panic!() };
//! let response = client.respond(&challenge)?;
//! let Step::Success { identity, data } = server.step(Some(&response)) else { panic!() };
//! client.finish(data.as_deref())?;
//! assert_eq!(identity.auth_id.as_deref(), Some("bob"));
//! # Ok::<(), beep_session::sasl::Error>(())
//! ```

mod anonymous;
mod client;
mod cram_md5;
mod crypto;
mod digest_md5;
mod error;
mod external;
mod mechanism;
mod plain;
mod scram;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;

pub use crate::authentication::{AuthenticationError, Request};
pub use client::ClientExchange;
pub use error::Error;
pub use mechanism::Mechanism;
pub use scram::{DEFAULT_ITERATIONS, MOST_ITERATIONS};
pub use server::{ServerExchange, Step};

/// What this side authenticates with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// How.
    pub mechanism: Mechanism,
    /// Who: the name that goes with the password; for ANONYMOUS the token that says who calls, such as a mail
    /// address; for EXTERNAL the name to act under when there is no [`authorization_id`](Self::authorization_id),
    /// empty to let the server derive it.
    pub auth_id: String,
    /// The password, for the mechanisms that [need one](Mechanism::needs_password).
    pub password: Option<String>,
    /// The name to act under, when it is another one. CRAM-MD5 and ANONYMOUS cannot carry it.
    pub authorization_id: Option<String>,
    /// The realm of the name, for DIGEST-MD5. Without it, the server must name exactly one.
    pub realm: Option<String>,
}

impl Credentials {
    /// Makes credentials of a mechanism and a name, or token for ANONYMOUS.
    pub fn new(mechanism: Mechanism, auth_id: impl Into<String>) -> Self {
        Self {
            mechanism,
            auth_id: auth_id.into(),
            password: None,
            authorization_id: None,
            realm: None,
        }
    }

    /// Adds the password.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Adds the name to act under.
    #[must_use]
    pub fn with_authorization_id(mut self, authorization_id: impl Into<String>) -> Self {
        self.authorization_id = Some(authorization_id.into());
        self
    }

    /// Adds the realm.
    #[must_use]
    pub fn with_realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Who these credentials claim to be.
    pub(crate) fn identity(&self) -> Identity {
        let is_anonymous = self.mechanism == Mechanism::Anonymous;
        Identity {
            mechanism: self.mechanism,
            auth_id: (!is_anonymous).then(|| self.auth_id.clone()),
            authorization_id: self.authorization_id.clone(),
            realm: self.realm.clone(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("mechanism", &self.mechanism)
            .field("auth_id", &self.auth_id)
            .field("password", &self.password.as_ref().map(|_| Hidden))
            .field("authorization_id", &self.authorization_id)
            .field("realm", &self.realm)
            .finish()
    }
}

/// Who was authenticated, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How.
    pub mechanism: Mechanism,
    /// Who; none for ANONYMOUS, and for EXTERNAL when the peer left it to the server.
    pub auth_id: Option<String>,
    /// The name to act under, if it was said.
    pub authorization_id: Option<String>,
    /// The realm of the name, for DIGEST-MD5.
    pub realm: Option<String>,
}

/// What only the program can tell: whether a peer is who it says, or with what password to check it.
///
/// Names and passwords are as the peer sent them: compare them as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Question {
    /// How the peer authenticates.
    pub mechanism: Mechanism,
    /// Who the peer says it is; none for ANONYMOUS and EXTERNAL.
    pub auth_id: Option<String>,
    /// Under which name it wants to act. PLAIN: that of `auth_id` when the peer named no other.
    pub authorization_id: Option<String>,
    /// The password it sent; PLAIN only.
    pub password: Option<String>,
    /// What it said of itself, maybe nothing; ANONYMOUS only.
    pub anonymous_token: Option<String>,
    /// The realm of its name, if it named one; DIGEST-MD5 only.
    pub realm: Option<String>,
    /// The server it means to talk to, as DIGEST-MD5 says it; worth a check against one's own names, since it
    /// tells of a peer led astray. The other mechanisms do not say it.
    pub server_name: Option<String>,
    /// Whether the exchange is bound to the TLS session that it happens in.
    pub channel_binding: bool,
}

impl Question {
    fn new(mechanism: Mechanism) -> Self {
        Self {
            mechanism,
            auth_id: None,
            authorization_id: None,
            password: None,
            anonymous_token: None,
            realm: None,
            server_name: None,
            channel_binding: false,
        }
    }

    /// Who the peer is, once it is believed.
    fn identity(&self) -> Identity {
        Identity {
            mechanism: self.mechanism,
            auth_id: self.auth_id.clone(),
            authorization_id: self.authorization_id.clone(),
            realm: self.realm.clone(),
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("mechanism", &self.mechanism)
            .field("auth_id", &self.auth_id)
            .field("authorization_id", &self.authorization_id)
            .field("password", &self.password.as_ref().map(|_| Hidden))
            .field("anonymous_token", &self.anonymous_token)
            .field("realm", &self.realm)
            .field("server_name", &self.server_name)
            .field("channel_binding", &self.channel_binding)
            .finish()
    }
}

/// What the program says to a [`Question`].
///
/// | | PLAIN | ANONYMOUS, EXTERNAL | CRAM-MD5, DIGEST-MD5 | SCRAM |
/// |---|---|---|---|---|
/// | `Accept` | accepts | accepts | denies | denies |
/// | `Password` | accepts if it is the one sent | denies | checks with it | checks with it |
/// | `StoredKeys` | denies | denies | denies | checks with them |
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// The peer is who it says.
    Accept,
    /// It is not, or nobody knows it. A peer of SCRAM learns that at the end only, so that it cannot try names.
    Deny,
    /// The password of the name.
    Password(String),
    /// What is kept in place of the password, for SCRAM (RFC 5802 §3); [`Answer::stored_keys`] makes it.
    ///
    /// A program that keeps such keys should answer for unknown names with made-up ones that stay the same for
    /// a name and look like the others: `Deny` has 16 octets of salt, [`DEFAULT_ITERATIONS`], and takes the
    /// time of a password check.
    StoredKeys {
        /// The salt they were made with.
        salt: Vec<u8>,
        /// How often the hash was repeated.
        iterations: u32,
        /// What the client's proof is checked with; 20 octets for SCRAM-SHA-1, 32 for SCRAM-SHA-256.
        stored_key: Vec<u8>,
        /// What proves the server to the client; as long as `stored_key`.
        server_key: Vec<u8>,
    },
}

impl Answer {
    /// Makes what to keep in place of a password.
    ///
    /// # Errors
    ///
    /// The mechanism is not SCRAM, the password is not allowed, or `iterations` is 0.
    pub fn stored_keys(
        mechanism: Mechanism,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, Error> {
        scram::stored_keys(mechanism, password, salt, iterations)
    }
}

/// Names the kind only: what is in it is secret.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Accept => "Accept",
            Answer::Deny => "Deny",
            Answer::Password(_) => "Password(..)",
            Answer::StoredKeys { .. } => "StoredKeys { .. }",
        })
    }
}

/// What names the TLS session that an exchange happens in, so that nobody in the middle can pass it on
/// (RFC 5056).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// Keying material exported for this purpose, `tls-exporter` (RFC 9266 §2).
    pub exporter: Option<Vec<u8>>,
    /// Hash of the server's certificate, `tls-server-end-point` (RFC 5929 §4).
    pub server_end_point: Option<Vec<u8>>,
}

/// Stands for a secret in what is shown to people.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

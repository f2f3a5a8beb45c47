//! The side that proves who it is.

use super::{
    Binding, Credentials, Error, Identity, Mechanism, anonymous, cram_md5, crypto, digest_md5,
    external, plain, scram,
};

/// What a mechanism does for a client after its first token.
pub(super) trait ClientMechanism: Send {
    /// The response to a challenge.
    fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error>;

    /// The server says that it succeeded, with these words.
    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), Error>;
}

/// An authentication of this side: what it sends and when it may believe in the success.
pub struct ClientExchange {
    identity: Identity,
    uri: &'static str,
    initial: Option<Vec<u8>>,
    has_responded: bool,
    mechanism: Box<dyn ClientMechanism>,
}

impl ClientExchange {
    /// Begins. `host` is the name of the server as this side knows it: its serverName, or else the host that was
    /// connected to. `binding` is that of the TLS session, if there is one, and `peer_offers_plus` whether the
    /// peer offers [`Mechanism::plus_uri`].
    ///
    /// # Errors
    ///
    /// What is missing in the credentials, or cannot be sent.
    pub fn new(
        credentials: &Credentials,
        host: &str,
        binding: Option<&Binding>,
        peer_offers_plus: bool,
    ) -> Result<Self, Error> {
        let mechanism = credentials.mechanism;
        let mut uri = mechanism.uri();
        let password = || {
            let missing = Error::Missing {
                mechanism,
                field: "password",
            };
            credentials.password.as_deref().ok_or(missing)
        };
        if credentials.auth_id.is_empty() && mechanism.needs_password() {
            return Err(Error::Missing {
                mechanism,
                field: "name",
            });
        }
        let (initial, client): (_, Box<dyn ClientMechanism>) = match mechanism {
            Mechanism::Plain => (
                Some(plain::token(credentials, password()?)?),
                Box::new(OneToken(mechanism)),
            ),
            Mechanism::Anonymous => (
                Some(anonymous::token(credentials)?),
                Box::new(OneToken(mechanism)),
            ),
            Mechanism::External => (
                Some(external::token(credentials)?),
                Box::new(OneToken(mechanism)),
            ),
            Mechanism::CramMd5 => (
                None,
                Box::new(cram_md5::Client::new(&credentials.auth_id, password()?)),
            ),
            Mechanism::DigestMd5 => (
                None,
                Box::new(digest_md5::Client::new(
                    credentials,
                    password()?,
                    host,
                    crypto::nonce()?,
                )),
            ),
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                let binding = scram::ClientBinding::new(binding, peer_offers_plus);
                if let (true, Some(plus_uri)) = (binding.is_used(), mechanism.plus_uri()) {
                    uri = plus_uri;
                }
                let client =
                    scram::Client::new(credentials, password()?, &binding, crypto::nonce()?)?;
                (Some(client.first_message()), Box::new(client))
            }
        };
        Ok(Self {
            identity: credentials.identity(),
            uri,
            initial,
            has_responded: false,
            mechanism: client,
        })
    }

    /// The URI of the profile to start: the one with channel binding where both sides have it.
    pub fn uri(&self) -> &'static str {
        self.uri
    }

    /// The token that rides in the start. Without one the server begins; one may be empty.
    pub fn initial(&self) -> Option<Vec<u8>> {
        self.initial.clone()
    }

    /// Who this side is once the exchange has succeeded.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The token to answer a challenge with. A server that begins with an empty challenge gets the
    /// [`initial`](Self::initial) token.
    ///
    /// The work is that of the password's hash: with SCRAM up to [`MOST_ITERATIONS`](super::MOST_ITERATIONS)
    /// repetitions, as the server wants it.
    ///
    /// # Errors
    ///
    /// What is wrong with the challenge; then the exchange has failed.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        let is_first = !std::mem::replace(&mut self.has_responded, true);
        match &self.initial {
            Some(initial) if is_first && challenge.is_empty() => Ok(initial.clone()),
            _ => self.mechanism.respond(challenge),
        }
    }

    /// Takes the server's word that the exchange succeeded, with what it said along.
    ///
    /// # Errors
    ///
    /// The server was to prove itself and did not: then nothing has succeeded.
    pub fn finish(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        self.mechanism.finish(data.filter(|data| !data.is_empty()))
    }
}

/// PLAIN, ANONYMOUS and EXTERNAL, whose first token is their only one.
struct OneToken(Mechanism);

impl ClientMechanism for OneToken {
    fn respond(&mut self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::BadToken {
            mechanism: self.0,
            reason: "a challenge, which this mechanism does not have",
        })
    }

    fn finish(&mut self, _: Option<&[u8]>) -> Result<(), Error> {
        Ok(())
    }
}

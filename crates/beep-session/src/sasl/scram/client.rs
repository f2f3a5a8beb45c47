//! The client's side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::client::ClientMechanism;
use super::super::crypto::{is_same, saslprep};
use super::super::{Credentials, Error, Mechanism};
use super::MOST_ITERATIONS;
use super::binding::ClientBinding;
use super::keys::{Hash, Keys, xor};
use super::message::{ServerFirst, escaped, server_signature, utf8};

/// The client: name and nonce, then the proof, then the server's.
pub(in crate::sasl) struct Client {
    mechanism: Mechanism,
    hash: Hash,
    password: String,
    gs2_header: String,
    /// What the client's last message repeats: the header and the octets of the binding.
    binding: Vec<u8>,
    first_bare: String,
    nonce: String,
    state: State,
}

enum State {
    AwaitsChallenge,
    /// With the signature that is due.
    AwaitsProof(Vec<u8>),
    Proven,
    Failed,
}

impl Client {
    /// `nonce` must never have been used before.
    pub(in crate::sasl) fn new(
        credentials: &Credentials,
        password: &str,
        binding: &ClientBinding,
        nonce: String,
    ) -> Result<Self, Error> {
        let mechanism = credentials.mechanism;
        let hash = Hash::of(mechanism).ok_or(Error::OutOfTurn(mechanism))?;
        let name = saslprep(&credentials.auth_id, "name")?;
        let authorization_id = match credentials.authorization_id.as_deref() {
            None | Some("") => String::new(),
            Some(name) => format!("a={}", escaped(&saslprep(name, "authorization id")?)),
        };
        let gs2_header = format!("{},{authorization_id},", binding.flag());
        Ok(Self {
            mechanism,
            hash,
            password: saslprep(password, "password")?.into_owned(),
            binding: [gs2_header.as_bytes(), binding.data()].concat(),
            gs2_header,
            first_bare: format!("n={},r={nonce}", escaped(&name)),
            nonce,
            state: State::AwaitsChallenge,
        })
    }

    /// The token that the exchange begins with.
    pub(in crate::sasl) fn first_message(&self) -> Vec<u8> {
        format!("{}{}", self.gs2_header, self.first_bare).into_bytes()
    }

    /// The last message and the signature that the server has to show.
    fn answer(&self, challenge: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let bad = |reason| Error::BadToken {
            mechanism: self.mechanism,
            reason,
        };
        let challenge = utf8(challenge).map_err(bad)?;
        let first = ServerFirst::parse(challenge).map_err(bad)?;
        match first.nonce.strip_prefix(&self.nonce) {
            None | Some("") => return Err(bad("the nonce does not go on from ours")),
            Some(_) => {}
        }
        let iterations = u32::try_from(first.iterations)
            .ok()
            .filter(|iterations| *iterations <= MOST_ITERATIONS)
            .ok_or(Error::TooManyIterations {
                asked: first.iterations,
                most: MOST_ITERATIONS,
            })?;
        let keys = Keys::new(self.hash, &self.password, &first.salt, iterations);
        let without_proof = format!("c={},r={}", STANDARD.encode(&self.binding), first.nonce);
        let said = format!("{},{challenge},{without_proof}", self.first_bare);
        let signature = self.hash.hmac(&keys.stored_key, said.as_bytes());
        let proof = STANDARD.encode(xor(&keys.client_key, &signature));
        Ok((
            format!("{without_proof},p={proof}").into_bytes(),
            self.hash.hmac(&keys.server_key, said.as_bytes()),
        ))
    }
}

impl ClientMechanism for Client {
    fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::AwaitsChallenge => {
                let (response, signature) = self.answer(challenge)?;
                self.state = State::AwaitsProof(signature);
                Ok(response)
            }
            // Servers that cannot say it along with the success do so in one more challenge.
            State::AwaitsProof(signature) => {
                check_proof(challenge, &signature)?;
                self.state = State::Proven;
                Ok(Vec::new())
            }
            State::Proven | State::Failed => Err(Error::OutOfTurn(self.mechanism)),
        }
    }

    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        match (std::mem::replace(&mut self.state, State::Failed), data) {
            (State::AwaitsProof(signature), Some(data)) => check_proof(data, &signature),
            (State::Proven, _) => Ok(()),
            _ => Err(Error::ServerNotProven),
        }
    }
}

fn check_proof(token: &[u8], expected: &[u8]) -> Result<(), Error> {
    if is_same(&server_signature(token)?, expected) {
        Ok(())
    } else {
        Err(Error::ServerNotProven)
    }
}

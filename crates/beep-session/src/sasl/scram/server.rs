//! The server's side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::crypto::{is_same, saslprep};
use super::super::server::{ServerMechanism, Step};
use super::super::{Answer, Binding, Error, Mechanism, Question};
use super::DEFAULT_ITERATIONS;
use super::keys::{Hash, Keys, xor};
use super::message::{ClientFinal, ClientFirst, Flag};

/// Octets of a salt made here.
const SALT_OCTETS: usize = 16;

/// The server: a question, a challenge, then the check of the proof.
pub(in crate::sasl) struct Server {
    mechanism: Mechanism,
    plus: bool,
    binding: Binding,
    nonce: String,
    secret: [u8; 32],
    state: State,
}

enum State {
    Fresh,
    Challenged,
    Asked(First),
    AwaitsProof(First, Check),
    Over,
}

/// What the client said first.
struct First {
    question: Question,
    bare: String,
    client_nonce: String,
    /// What the client's last message has to repeat.
    binding: Vec<u8>,
}

/// What the proof is checked with.
struct Check {
    challenge: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
    known: Known,
}

/// What the program knows of the name.
enum Known {
    Nothing,
    Password(String),
    Keys {
        stored_key: Vec<u8>,
        server_key: Vec<u8>,
    },
}

impl Server {
    /// `nonce` must never have been used before; `secret` must be the same for all exchanges and nobody else's.
    pub(in crate::sasl) fn new(
        mechanism: Mechanism,
        plus: bool,
        binding: Binding,
        nonce: String,
        secret: [u8; 32],
    ) -> Self {
        Self {
            mechanism,
            plus,
            binding,
            nonce,
            secret,
            state: State::Fresh,
        }
    }

    fn hash(&self) -> Result<Hash, Error> {
        Hash::of(self.mechanism).ok_or(Error::OutOfTurn(self.mechanism))
    }

    fn bad(&self, reason: &'static str) -> Error {
        Error::BadToken {
            mechanism: self.mechanism,
            reason,
        }
    }

    fn first(&self, token: &[u8]) -> Result<First, Error> {
        let first = ClientFirst::parse(token).map_err(|reason| self.bad(reason))?;
        let data = match first.flag {
            Flag::Used(kind) if self.plus => self.binding.data(kind).ok_or(Error::NoBinding)?,
            Flag::Used(_) => {
                return Err(self.bad("channel binding in the mechanism without it"));
            }
            _ if self.plus => {
                return Err(self.bad("no channel binding in the mechanism with it"));
            }
            Flag::NotOffered if self.binding.is_there() => return Err(Error::Downgraded),
            Flag::NotOffered | Flag::NotThere => &[],
        };
        Ok(First {
            binding: [first.gs2_header.as_bytes(), data].concat(),
            bare: first.bare.to_owned(),
            client_nonce: first.nonce.to_owned(),
            question: Question {
                auth_id: Some(first.name),
                authorization_id: first.authorization_id,
                channel_binding: self.plus,
                ..Question::new(self.mechanism)
            },
        })
    }

    fn check(&self, first: &First, answer: Answer) -> Result<Check, Error> {
        let octets = self.hash()?.octets();
        let (salt, iterations, known) = match answer {
            Answer::Password(password) => (None, DEFAULT_ITERATIONS, Known::Password(password)),
            Answer::Accept | Answer::Deny => (None, DEFAULT_ITERATIONS, Known::Nothing),
            Answer::StoredKeys {
                salt,
                iterations,
                stored_key,
                server_key,
            } => {
                if stored_key.len() != octets || server_key.len() != octets {
                    return Err(Error::UnusableAnswer {
                        reason: "the stored keys are not as long as the mechanism's hash",
                    });
                }
                if salt.is_empty() || iterations == 0 {
                    return Err(Error::UnusableAnswer {
                        reason: "the stored keys come without salt or iterations",
                    });
                }
                let known = Known::Keys {
                    stored_key,
                    server_key,
                };
                (Some(salt), iterations, known)
            }
        };
        let salt = salt.unwrap_or_else(|| self.salt(&first.question));
        let nonce = format!("{}{}", first.client_nonce, self.nonce);
        Ok(Check {
            challenge: format!("r={nonce},s={},i={iterations}", STANDARD.encode(&salt)),
            nonce,
            salt,
            iterations,
            known,
        })
    }

    /// The same salt for a name every time, whether the name exists or not: who asks twice learns nothing.
    fn salt(&self, question: &Question) -> Vec<u8> {
        let name = question.auth_id.as_deref().unwrap_or_default();
        let said = format!("{} {name}", self.mechanism.name());
        let mut salt = Hash::Sha256.hmac(&self.secret, said.as_bytes());
        salt.truncate(SALT_OCTETS);
        salt
    }

    fn verify(&self, first: &First, check: Check, token: &[u8]) -> Result<Step, Error> {
        let hash = self.hash()?;
        let last = ClientFinal::parse(token).map_err(|reason| self.bad(reason))?;
        if last.nonce != check.nonce {
            return Err(self.bad("the nonce is not that of this exchange"));
        }
        if !is_same(&last.binding, &first.binding) {
            return Err(if self.plus {
                Error::OtherBinding
            } else {
                self.bad("the channel binding flag is not that of the first message")
            });
        }
        let prepared = |password: String| {
            let prepared = saslprep(&password, "password");
            prepared.ok().map(std::borrow::Cow::into_owned)
        };
        let (is_known, stored_key, server_key) = match check.known {
            Known::Keys {
                stored_key,
                server_key,
            } => (true, stored_key, server_key),
            known => {
                let password = match known {
                    Known::Password(password) => prepared(password),
                    _ => None,
                };
                // The work is done for unknown names too: the time must not tell them.
                let (hashed, is_known) = match &password {
                    Some(password) => (password.as_str(), true),
                    None => ("none", false),
                };
                let keys = Keys::new(hash, hashed, &check.salt, check.iterations);
                (is_known, keys.stored_key, keys.server_key)
            }
        };
        let said = format!("{},{},{}", first.bare, check.challenge, last.without_proof);
        let signature = hash.hmac(&stored_key, said.as_bytes());
        let client_key = xor(&last.proof, &signature);
        let is_proven =
            last.proof.len() == hash.octets() && is_same(&hash.digest(&client_key), &stored_key);
        if !is_known || !is_proven {
            return Err(Error::Denied);
        }
        let signature = hash.hmac(&server_key, said.as_bytes());
        Ok(Step::Success {
            identity: first.question.identity(),
            data: Some(format!("v={}", STANDARD.encode(signature)).into_bytes()),
        })
    }
}

impl ServerMechanism for Server {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let token = token.unwrap_or_default();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fresh if token.is_empty() => {
                self.state = State::Challenged;
                Ok(Step::Challenge(Vec::new()))
            }
            State::Fresh | State::Challenged => {
                let first = self.first(token)?;
                let question = first.question.clone();
                self.state = State::Asked(first);
                Ok(Step::Ask(question))
            }
            State::AwaitsProof(first, check) => self.verify(&first, check, token),
            State::Asked(_) | State::Over => Err(Error::OutOfTurn(self.mechanism)),
        }
    }

    fn answer(&mut self, answer: Answer) -> Result<Step, Error> {
        let State::Asked(first) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(Error::OutOfTurn(self.mechanism));
        };
        let check = self.check(&first, answer)?;
        let challenge = check.challenge.clone().into_bytes();
        self.state = State::AwaitsProof(first, check);
        Ok(Step::Challenge(challenge))
    }
}

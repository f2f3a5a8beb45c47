//! The side that has the peer prove who it is.

use beep_core::sasl_blob::LONGEST_TOKEN;

use super::{
    Answer, Binding, Error, Identity, Mechanism, Question, anonymous, cram_md5, crypto, digest_md5,
    external, plain, scram,
};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this token, maybe empty, and give the peer's answer to [`ServerExchange::step`].
    Challenge(Vec<u8>),
    /// Ask the program, and give what it says to [`ServerExchange::answer`].
    Ask(Question),
    /// The peer is who it says. Tell it, with the data if there is some.
    Success {
        /// Who.
        identity: Identity,
        /// What goes along with the word of success.
        data: Option<Vec<u8>>,
    },
    /// It is not. Refuse it with [`Error::code`].
    Failure(Error),
}

/// What a mechanism does for a server. It is called in turn only, and no more after its end.
pub(super) trait ServerMechanism: Send {
    /// Takes the peer's token, or none at a start without one.
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error>;

    /// Takes the program's answer to the question asked.
    fn answer(&mut self, answer: Answer) -> Result<Step, Error>;
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Peer,
    Program,
    Nobody,
}

/// An authentication of the peer.
pub struct ServerExchange {
    name: Mechanism,
    turn: Turn,
    /// No random numbers: nothing can be begun.
    mechanism: Result<Box<dyn ServerMechanism>, Error>,
}

impl ServerExchange {
    /// Begins. `plus` is whether the peer chose the profile with channel binding. `realm` is what DIGEST-MD5
    /// names, and then insists on; without it any realm goes to the program. `host` is a name of this server.
    ///
    /// `binding` is that of the TLS session. With one, the profiles with channel binding have to be among those
    /// offered to the peer: a peer that says it did not see them is taken for one that was deceived.
    pub fn new(
        mechanism: Mechanism,
        plus: bool,
        realm: Option<String>,
        host: &str,
        binding: Option<&Binding>,
    ) -> Self {
        Self {
            name: mechanism,
            turn: Turn::Peer,
            mechanism: begun(mechanism, plus, realm, host, binding),
        }
    }

    /// Takes a token of the peer: first the one in its start, or `None` when there was none.
    pub fn step(&mut self, token: Option<&[u8]>) -> Step {
        if token.is_some_and(|token| token.len() > LONGEST_TOKEN) {
            let error = Error::BadToken {
                mechanism: self.name,
                reason: "the token is too long",
            };
            return self.after(Err(error));
        }
        let result = match (&mut self.mechanism, self.turn) {
            (Ok(mechanism), Turn::Peer) => mechanism.step(token),
            (Ok(_), _) => Err(Error::OutOfTurn(self.name)),
            (Err(error), _) => Err(error.clone()),
        };
        self.after(result)
    }

    /// Takes the program's answer to the question that [`Step::Ask`] gave.
    pub fn answer(&mut self, answer: Answer) -> Step {
        let result = match (&mut self.mechanism, self.turn) {
            (Ok(mechanism), Turn::Program) => mechanism.answer(answer),
            (Ok(_), _) => Err(Error::OutOfTurn(self.name)),
            (Err(error), _) => Err(error.clone()),
        };
        self.after(result)
    }

    fn after(&mut self, result: Result<Step, Error>) -> Step {
        let step = result.unwrap_or_else(Step::Failure);
        self.turn = match step {
            Step::Challenge(_) => Turn::Peer,
            Step::Ask(_) => Turn::Program,
            Step::Success { .. } | Step::Failure(_) => Turn::Nobody,
        };
        step
    }
}

fn begun(
    mechanism: Mechanism,
    plus: bool,
    realm: Option<String>,
    host: &str,
    binding: Option<&Binding>,
) -> Result<Box<dyn ServerMechanism>, Error> {
    Ok(match mechanism {
        Mechanism::Plain => Box::new(plain::Server::default()),
        Mechanism::Anonymous => Box::new(anonymous::Server::default()),
        Mechanism::External => Box::new(external::Server::default()),
        Mechanism::CramMd5 => Box::new(cram_md5::Server::new(cram_md5::challenge(host)?)),
        Mechanism::DigestMd5 => Box::new(digest_md5::Server::new(realm, crypto::nonce()?)),
        Mechanism::ScramSha1 | Mechanism::ScramSha256 => Box::new(scram::Server::new(
            mechanism,
            plus,
            binding.cloned().unwrap_or_default(),
            crypto::nonce()?,
            crypto::process_secret()?,
        )),
    })
}

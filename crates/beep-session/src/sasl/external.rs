//! EXTERNAL: the name to act under, or nothing; who the peer is has to be known already (RFC 4422 appendix A).

use super::server::{ServerMechanism, Step};
use super::{Answer, Credentials, Error, Identity, Mechanism, Question};

const MECHANISM: Mechanism = Mechanism::External;

/// The one token of a client.
pub(super) fn token(credentials: &Credentials) -> Result<Vec<u8>, Error> {
    let name = credentials
        .authorization_id
        .as_ref()
        .unwrap_or(&credentials.auth_id);
    if name.contains('\0') {
        return Err(Error::Unusable {
            field: "authorization id",
            reason: "holds a NUL, which EXTERNAL cannot carry",
        });
    }
    Ok(name.clone().into_bytes())
}

/// The server: one token, one question.
#[derive(Default)]
pub(super) struct Server {
    question: Option<Question>,
}

impl ServerMechanism for Server {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let Some(token) = token else {
            return Ok(Step::Challenge(Vec::new()));
        };
        let bad = |reason| Error::BadToken {
            mechanism: MECHANISM,
            reason,
        };
        let name = std::str::from_utf8(token).map_err(|_| bad("the token is not UTF-8"))?;
        if name.contains('\0') {
            return Err(bad("the token holds a NUL"));
        }
        let question = Question {
            authorization_id: (!name.is_empty()).then(|| name.to_owned()),
            ..Question::new(MECHANISM)
        };
        self.question = Some(question.clone());
        Ok(Step::Ask(question))
    }

    fn answer(&mut self, answer: Answer) -> Result<Step, Error> {
        let question = self.question.take().ok_or(Error::OutOfTurn(MECHANISM))?;
        if answer != Answer::Accept {
            return Err(Error::Denied);
        }
        let identity = Identity {
            // The only name that this mechanism has.
            auth_id: question.authorization_id.clone(),
            ..question.identity()
        };
        Ok(Step::Success {
            identity,
            data: None,
        })
    }
}

//! ANONYMOUS: a token for the record, or nothing (RFC 4505).

use super::server::{ServerMechanism, Step};
use super::{Answer, Credentials, Error, Mechanism, Question};

const MECHANISM: Mechanism = Mechanism::Anonymous;

/// RFC 4505 §2: `TCHAR` up to 255 times.
const LONGEST_TOKEN_CHARS: usize = 255;

/// The one token of a client.
pub(super) fn token(credentials: &Credentials) -> Result<Vec<u8>, Error> {
    check(&credentials.auth_id).map_err(|reason| Error::Unusable {
        field: "token of ANONYMOUS",
        reason,
    })?;
    Ok(credentials.auth_id.clone().into_bytes())
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
        let text = std::str::from_utf8(token).map_err(|_| bad("the token is not UTF-8"))?;
        check(text).map_err(bad)?;
        let question = Question {
            anonymous_token: Some(text.to_owned()),
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
        Ok(Step::Success {
            identity: question.identity(),
            data: None,
        })
    }
}

/// What may stand in the token: no control characters, since it goes into logs.
fn check(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("holds control characters");
    }
    if text.chars().count() > LONGEST_TOKEN_CHARS {
        return Err("has more than 255 characters");
    }
    Ok(())
}

//! PLAIN: `[authorization id] NUL name NUL password` (RFC 4616).

use super::crypto::{is_same, saslprep};
use super::server::{ServerMechanism, Step};
use super::{Answer, Credentials, Error, Mechanism, Question};

const MECHANISM: Mechanism = Mechanism::Plain;

/// The one token of a client.
pub(super) fn token(credentials: &Credentials, password: &str) -> Result<Vec<u8>, Error> {
    let name = &credentials.auth_id;
    // Peers of the C engine know the name twice: it fills in the authorization id.
    let authorization_id = credentials.authorization_id.as_ref().unwrap_or(name);
    for (field, text) in [
        ("authorization id", authorization_id.as_str()),
        ("name", name.as_str()),
        ("password", password),
    ] {
        if text.contains('\0') {
            return Err(Error::Unusable {
                field,
                reason: "holds a NUL, which PLAIN cannot carry",
            });
        }
        if text.is_empty() && field != "authorization id" {
            return Err(Error::Unusable {
                field,
                reason: "is empty, which PLAIN does not allow",
            });
        }
    }
    Ok(format!("{authorization_id}\0{name}\0{password}").into_bytes())
}

/// The server: one token, one question.
#[derive(Default)]
pub(super) struct Server {
    is_challenged: bool,
    question: Option<Question>,
}

impl ServerMechanism for Server {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let token = token.unwrap_or_default();
        if token.is_empty() && !std::mem::replace(&mut self.is_challenged, true) {
            return Ok(Step::Challenge(Vec::new()));
        }
        let question = question(token)?;
        self.question = Some(question.clone());
        Ok(Step::Ask(question))
    }

    fn answer(&mut self, answer: Answer) -> Result<Step, Error> {
        let question = self.question.take().ok_or(Error::OutOfTurn(MECHANISM))?;
        let is_right = match answer {
            Answer::Accept => true,
            Answer::Password(expected) => {
                let sent = question.password.as_deref().unwrap_or_default();
                is_same_password(sent, &expected)
            }
            Answer::Deny | Answer::StoredKeys { .. } => false,
        };
        if !is_right {
            return Err(Error::Denied);
        }
        Ok(Step::Success {
            identity: question.identity(),
            data: None,
        })
    }
}

/// Both prepared where that is possible (RFC 4616 §2); two passwords that cannot be prepared are compared as
/// they are, which lets in nobody who does not know it.
fn is_same_password(sent: &str, expected: &str) -> bool {
    let sent = saslprep(sent, "password").unwrap_or(sent.into());
    let expected = saslprep(expected, "password").unwrap_or(expected.into());
    !expected.is_empty() && is_same(sent.as_bytes(), expected.as_bytes())
}

fn question(token: &[u8]) -> Result<Question, Error> {
    let bad = |reason| Error::BadToken {
        mechanism: MECHANISM,
        reason,
    };
    let text = std::str::from_utf8(token).map_err(|_| bad("the token is not UTF-8"))?;
    let mut parts = text.split('\0');
    let (Some(authorization_id), Some(name), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("the token has not three parts"));
    };
    if name.is_empty() || password.is_empty() {
        return Err(bad("the name or the password is empty"));
    }
    let authorization_id = match authorization_id {
        "" => name,
        other => other,
    };
    Ok(Question {
        auth_id: Some(name.to_owned()),
        authorization_id: Some(authorization_id.to_owned()),
        password: Some(password.to_owned()),
        ..Question::new(MECHANISM)
    })
}

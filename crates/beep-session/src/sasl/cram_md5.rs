//! CRAM-MD5: the server's challenge hashed with the password (RFC 2195).

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::client::ClientMechanism;
use super::crypto::{hex, is_same, random};
use super::server::{ServerMechanism, Step};
use super::{Answer, Error, Mechanism, Question};

const MECHANISM: Mechanism = Mechanism::CramMd5;

/// The client: one challenge, one response.
pub(super) struct Client {
    name: String,
    password: String,
    has_responded: bool,
}

impl Client {
    pub(super) fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
            has_responded: false,
        }
    }
}

impl ClientMechanism for Client {
    fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        if self.has_responded {
            return Err(Error::OutOfTurn(MECHANISM));
        }
        if challenge.is_empty() {
            return Err(bad("the challenge is empty"));
        }
        self.has_responded = true;
        let digest = digest(&self.password, challenge);
        Ok(format!("{} {digest}", self.name).into_bytes())
    }

    fn finish(&mut self, _: Option<&[u8]>) -> Result<(), Error> {
        if self.has_responded {
            Ok(())
        } else {
            Err(bad("success before any challenge"))
        }
    }
}

/// The server: a challenge, then a question.
pub(super) struct Server {
    challenge: String,
    is_challenged: bool,
    response: Option<(Question, String)>,
}

impl Server {
    /// `challenge` must never have been used before.
    pub(super) fn new(challenge: String) -> Self {
        Self {
            challenge,
            is_challenged: false,
            response: None,
        }
    }
}

/// A challenge in the form of the C engine, `<NUMBER.0@HOST>`, after RFC 2195 §2.
pub(super) fn challenge(host: &str) -> Result<String, Error> {
    let number = u128::from_be_bytes(random()?);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
    let host = match host {
        "" => "localhost",
        host if host.chars().all(is_name) => host,
        _ => "localhost",
    };
    Ok(format!("<{number}.0@{host}>"))
}

impl ServerMechanism for Server {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let token = token.filter(|token| !token.is_empty());
        if !self.is_challenged {
            if token.is_some() {
                return Err(bad("a response before the challenge"));
            }
            self.is_challenged = true;
            return Ok(Step::Challenge(self.challenge.clone().into_bytes()));
        }
        let token = token.ok_or_else(|| bad("the response is empty"))?;
        let text = std::str::from_utf8(token).map_err(|_| bad("the response is not UTF-8"))?;
        // Names may hold blanks, the digest does not.
        let (name, digest) = text
            .rsplit_once(' ')
            .ok_or_else(|| bad("the response has no blank"))?;
        if name.is_empty() || name.contains('\0') {
            return Err(bad("the name is empty or holds a NUL"));
        }
        let question = Question {
            auth_id: Some(name.to_owned()),
            ..Question::new(MECHANISM)
        };
        self.response = Some((question.clone(), digest.to_owned()));
        Ok(Step::Ask(question))
    }

    fn answer(&mut self, answer: Answer) -> Result<Step, Error> {
        let (question, sent) = self.response.take().ok_or(Error::OutOfTurn(MECHANISM))?;
        let Answer::Password(password) = answer else {
            return Err(Error::Denied);
        };
        let expected = digest(&password, self.challenge.as_bytes());
        if !is_same(sent.as_bytes(), expected.as_bytes()) {
            return Err(Error::Denied);
        }
        Ok(Step::Success {
            identity: question.identity(),
            data: None,
        })
    }
}

fn digest(password: &str, challenge: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC has keys of any length")]
    let mut mac = Hmac::<Md5>::new_from_slice(password.as_bytes()).expect("a key of any length");
    mac.update(challenge);
    hex(&mac.finalize().into_bytes())
}

fn bad(reason: &'static str) -> Error {
    Error::BadToken {
        mechanism: MECHANISM,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2195 §2.
    #[test]
    fn the_example_of_the_rfc() {
        let challenge = "<1896.697170952@postoffice.reston.mci.net>";
        let response = b"tim b913a602c7eda7a495b4e6e7334d3890";
        let mut client = Client::new("tim", "tanstaaftanstaaf");
        assert_eq!(client.respond(challenge.as_bytes()).unwrap(), response);
        assert_eq!(client.finish(None), Ok(()));

        let mut server = Server::new(challenge.to_owned());
        assert_eq!(
            server.step(None),
            Ok(Step::Challenge(challenge.as_bytes().to_vec()))
        );
        assert!(matches!(server.step(Some(response)), Ok(Step::Ask(_))));
        let answer = Answer::Password("tanstaaftanstaaf".to_owned());
        assert!(matches!(server.answer(answer), Ok(Step::Success { .. })));
    }

    #[test]
    fn challenges_name_the_host_and_never_come_twice() {
        let one = challenge("example.org").unwrap();
        assert!(
            one.starts_with('<') && one.ends_with(".0@example.org>"),
            "{one}"
        );
        assert_ne!(one, challenge("example.org").unwrap());
        assert!(challenge("a>b").unwrap().ends_with("@localhost>"));
    }
}

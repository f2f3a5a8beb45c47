//! The server's side.

use super::super::crypto::is_same;
use super::super::server::{ServerMechanism, Step};
use super::super::{Answer, Error, Question};
use super::directives::{Charset, Directives, quoted};
use super::response::{Facts, Narrowed, Proofs};
use super::{FIRST_USE, MECHANISM, SERVICE, bad};

/// The server: a challenge, then a question.
pub(in crate::sasl) struct Server {
    realm: Option<String>,
    nonce: String,
    is_challenged: bool,
    response: Option<Response>,
}

struct Response {
    question: Question,
    facts: Facts,
    proof: String,
}

impl Server {
    /// `nonce` must never have been used before: it is good for one response.
    pub(in crate::sasl) fn new(realm: Option<String>, nonce: String) -> Self {
        Self {
            realm,
            nonce,
            is_challenged: false,
            response: None,
        }
    }

    /// The challenge in the form of the C engine.
    fn challenge(&self) -> Vec<u8> {
        let mut challenge = Vec::new();
        if let Some(realm) = &self.realm {
            challenge.extend_from_slice(b"realm=");
            challenge.extend(quoted(realm.as_bytes()));
            challenge.extend_from_slice(b", ");
        }
        let rest = format!(
            "nonce=\"{}\", qop=\"auth\", charset=utf-8, algorithm=md5-sess",
            self.nonce
        );
        challenge.extend(rest.into_bytes());
        challenge
    }

    fn read(&self, token: &[u8]) -> Result<Response, Error> {
        let response = Directives::parse(token)?;
        let name = response.needed("username", "the response has no username")?;
        let realm = response.one("realm")?;
        if let Some(ours) = &self.realm
            && realm.as_ref() != Some(ours)
        {
            return Err(Error::Denied);
        }
        let nonce = response.needed("nonce", "the response has no nonce")?;
        let nc = response.needed("nc", "the response has no nc")?;
        if nonce != self.nonce || nc != FIRST_USE {
            // A response to another challenge, or to this one a second time.
            return Err(Error::Denied);
        }
        if let Some(qop) = response.one("qop")?
            && !qop.eq_ignore_ascii_case("auth")
        {
            return Err(bad("the response wants a security layer"));
        }
        let digest_uri = response.needed("digest-uri", "the response has no digest-uri")?;
        let host = host_of(&digest_uri)
            .ok_or_else(|| bad("the digest-uri is not that of a BEEP service"))?
            .to_owned();
        let authorization_id = response
            .one("authzid")?
            .filter(|authorization_id| !authorization_id.is_empty());
        let texts = [
            Some(&name),
            realm.as_ref(),
            authorization_id.as_ref(),
            Some(&host),
        ];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(bad("a value with a NUL"));
        }
        let question = Question {
            auth_id: Some(name.clone()),
            authorization_id: authorization_id.clone(),
            realm: realm.clone(),
            server_name: Some(host),
            ..Question::new(MECHANISM)
        };
        let facts = Facts {
            charset: response.charset,
            name,
            realm: realm.unwrap_or_default(),
            nonce,
            cnonce: response.needed("cnonce", "the response has no cnonce")?,
            nc: FIRST_USE,
            digest_uri,
            authorization_id,
        };
        Ok(Response {
            question,
            facts,
            proof: response.needed("response", "the response has no hash")?,
        })
    }
}

impl ServerMechanism for Server {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Step, Error> {
        let token = token.filter(|token| !token.is_empty());
        if !self.is_challenged {
            if token.is_some() {
                return Err(bad("a response before the challenge"));
            }
            self.is_challenged = true;
            return Ok(Step::Challenge(self.challenge()));
        }
        let token = token.ok_or_else(|| bad("the response is empty"))?;
        let response = self.read(token)?;
        let question = response.question.clone();
        self.response = Some(response);
        Ok(Step::Ask(question))
    }

    fn answer(&mut self, answer: Answer) -> Result<Step, Error> {
        let response = self.response.take().ok_or(Error::OutOfTurn(MECHANISM))?;
        let Answer::Password(password) = answer else {
            return Err(Error::Denied);
        };
        let ways = match response.facts.charset {
            Charset::Latin1 => &Narrowed::DEPLOYED[..1],
            Charset::Utf8 => &Narrowed::DEPLOYED[..],
        };
        let proofs = ways
            .iter()
            .map(|narrowed| Proofs::new(&response.facts, &password, *narrowed))
            .find(|proofs| is_same(proofs.client.as_bytes(), response.proof.as_bytes()))
            .ok_or(Error::Denied)?;
        Ok(Step::Success {
            identity: response.question.identity(),
            data: Some(format!("rspauth={}", proofs.server).into_bytes()),
        })
    }
}

/// The host in `beep/HOST` or `beep/HOST/NAME` (RFC 2831 §2.1.2).
fn host_of(digest_uri: &str) -> Option<&str> {
    let (service, rest) = digest_uri.split_at_checked(SERVICE.len())?;
    let host = rest.split('/').next().unwrap_or(rest);
    (service.eq_ignore_ascii_case(SERVICE) && !host.is_empty()).then_some(host)
}

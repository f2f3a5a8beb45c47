//! The client's side.

use super::super::client::ClientMechanism;
use super::super::crypto::is_same;
use super::super::{Credentials, Error};
use super::directives::{Charset, Directives, quoted};
use super::response::{Facts, Narrowed, Proofs};
use super::{FIRST_USE, MECHANISM, SERVICE, bad};

/// The client: one challenge, one response, and the server's proof.
pub(in crate::sasl) struct Client {
    name: String,
    password: String,
    authorization_id: Option<String>,
    realm: Option<String>,
    host: String,
    cnonce: String,
    state: State,
}

enum State {
    AwaitsChallenge,
    /// With the proof that is due.
    AwaitsProof(String),
    Proven,
    Failed,
}

impl Client {
    /// `cnonce` must never have been used before.
    pub(in crate::sasl) fn new(
        credentials: &Credentials,
        password: &str,
        host: &str,
        cnonce: String,
    ) -> Self {
        Self {
            name: credentials.auth_id.clone(),
            password: password.to_owned(),
            authorization_id: credentials
                .authorization_id
                .clone()
                .filter(|name| !name.is_empty()),
            realm: credentials.realm.clone(),
            host: host.to_owned(),
            cnonce,
            state: State::AwaitsChallenge,
        }
    }

    fn answer(&self, challenge: &[u8]) -> Result<(Vec<u8>, String), Error> {
        let challenge = Directives::parse(challenge)?;
        let nonce = challenge.needed("nonce", "the challenge has no nonce")?;
        let algorithm = challenge.needed("algorithm", "the challenge names no algorithm")?;
        if !algorithm.eq_ignore_ascii_case("md5-sess") {
            return Err(bad("the challenge wants an algorithm other than md5-sess"));
        }
        // Without any, authentication alone is meant (RFC 2831 §2.1.1).
        if let Some(qop) = challenge.one("qop")? {
            let mut offered = qop.split(',').map(str::trim);
            if !offered.any(|qop| qop.eq_ignore_ascii_case("auth")) {
                return Err(bad("the server insists on a security layer"));
            }
        }
        let facts = Facts {
            charset: challenge.charset,
            name: self.name.clone(),
            realm: self.chosen_realm(challenge.all("realm")?)?,
            nonce,
            cnonce: self.cnonce.clone(),
            nc: FIRST_USE,
            digest_uri: format!("{SERVICE}{}", self.host),
            authorization_id: self.authorization_id.clone(),
        };
        // All else comes from the server, in this charset.
        for (field, text) in [
            ("name", Some(&self.name)),
            ("password", Some(&self.password)),
            ("realm", self.realm.as_ref()),
            ("host", Some(&self.host)),
            ("authorization id", self.authorization_id.as_ref()),
        ] {
            check_text(field, text.map_or("", String::as_str), facts.charset)?;
        }
        let proofs = Proofs::new(&facts, &self.password, Narrowed::BY_RFC);
        Ok((written(&facts, &proofs.client), proofs.server))
    }

    /// A realm given is used; else the server has to name exactly one.
    fn chosen_realm(&self, mut named: Vec<String>) -> Result<String, Error> {
        if let Some(realm) = &self.realm {
            return Ok(realm.clone());
        }
        match (named.pop(), named.is_empty()) {
            (Some(only), true) => Ok(only),
            (last, _) => {
                named.extend(last);
                Err(Error::WhichRealm(named))
            }
        }
    }
}

impl ClientMechanism for Client {
    fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::AwaitsChallenge => {
                let (response, proof) = self.answer(challenge)?;
                self.state = State::AwaitsProof(proof);
                Ok(response)
            }
            // Servers that cannot say it along with the success do so in one more challenge.
            State::AwaitsProof(proof) => {
                check_proof(challenge, &proof)?;
                self.state = State::Proven;
                Ok(Vec::new())
            }
            State::Proven | State::Failed => Err(Error::OutOfTurn(MECHANISM)),
        }
    }

    fn finish(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        match (std::mem::replace(&mut self.state, State::Failed), data) {
            (State::AwaitsProof(proof), Some(data)) => check_proof(data, &proof),
            (State::Proven, _) => Ok(()),
            _ => Err(Error::ServerNotProven),
        }
    }
}

fn check_proof(token: &[u8], expected: &str) -> Result<(), Error> {
    let proof = Directives::parse(token)?.one("rspauth")?;
    match proof {
        Some(proof) if is_same(proof.as_bytes(), expected.as_bytes()) => Ok(()),
        _ => Err(Error::ServerNotProven),
    }
}

fn check_text(field: &'static str, text: &str, charset: Charset) -> Result<(), Error> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err(Error::Unusable {
            field,
            reason: "holds control characters, which DIGEST-MD5 cannot carry",
        });
    }
    if charset.encode(text).is_none() {
        return Err(Error::Unusable {
            field,
            reason: "has characters outside ISO 8859-1, and the server does not take UTF-8",
        });
    }
    Ok(())
}

/// The response in the order of the C engine.
fn written(facts: &Facts, response: &str) -> Vec<u8> {
    let value = |text: &str| {
        let octets = facts.charset.encode(text);
        quoted(&octets.unwrap_or_default())
    };
    let mut directives = vec![
        (&b"username="[..], value(&facts.name)),
        (b"realm=", value(&facts.realm)),
        (b"nonce=", value(&facts.nonce)),
        (b"cnonce=", value(&facts.cnonce)),
        (b"nc=", facts.nc.as_bytes().to_vec()),
        (b"qop=", b"auth".to_vec()),
        (b"digest-uri=", value(&facts.digest_uri)),
        (b"response=", response.as_bytes().to_vec()),
    ];
    if facts.charset == Charset::Utf8 {
        directives.push((b"charset=", b"utf-8".to_vec()));
    }
    if let Some(authorization_id) = &facts.authorization_id {
        directives.push((b"authzid=", value(authorization_id)));
    }
    let directives: Vec<_> = directives
        .into_iter()
        .map(|(name, value)| [name, &value].concat())
        .collect();
    directives.join(&b", "[..])
}

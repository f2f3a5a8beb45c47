//! Reading the messages (RFC 5802 §7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::Error;

/// What the peer did wrong; the mechanism is added by the caller.
pub(super) type Wrong = &'static str;

/// `client-first-message`.
pub(super) struct ClientFirst<'a> {
    /// The flag, the authorization id and both commas: what channel binding covers.
    pub(super) gs2_header: &'a str,
    pub(super) flag: Flag<'a>,
    pub(super) authorization_id: Option<String>,
    /// All behind the header.
    pub(super) bare: &'a str,
    pub(super) name: String,
    pub(super) nonce: &'a str,
}

/// What the client says of channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    NotThere,
    NotOffered,
    Used(&'a str),
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, Wrong> {
        let text = utf8(token)?;
        let (flag, rest) = text.split_once(',').ok_or("no channel binding flag")?;
        let flag = match (flag, flag.strip_prefix("p=")) {
            ("n", _) => Flag::NotThere,
            ("y", _) => Flag::NotOffered,
            (_, Some(kind)) => Flag::Used(kind),
            _ => return Err("a channel binding flag that is none"),
        };
        let (authorization_id, bare) = rest.split_once(',').ok_or("no authorization id")?;
        let authorization_id = match authorization_id.strip_prefix("a=") {
            // GNU SASL says an empty one so, for which the grammar has no place.
            Some("") => None,
            Some(name) => Some(unescaped(name)?),
            None if authorization_id.is_empty() => None,
            None => return Err("an authorization id that is none"),
        };
        let header_length = text.len() - bare.len();
        let mut attributes = bare.split(',');
        let name = unescaped(attribute(attributes.next(), "n=", "no name")?)?;
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        check_nonce(nonce)?;
        check_extensions(attributes)?;
        Ok(Self {
            gs2_header: text.get(..header_length).unwrap_or_default(),
            flag,
            authorization_id,
            bare,
            name,
            nonce,
        })
    }
}

/// `server-first-message`.
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u64,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Wrong> {
        let mut attributes = text.split(',');
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        check_nonce(nonce)?;
        let salt = base64(attribute(attributes.next(), "s=", "no salt")?)?;
        if salt.is_empty() {
            return Err("an empty salt");
        }
        let iterations = attribute(attributes.next(), "i=", "no iterations")?;
        // `str::parse` alone would take a plus sign.
        if !iterations.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err("iterations that are no number");
        }
        let iterations = iterations
            .parse()
            .map_err(|_| "iterations that are no number")?;
        if iterations == 0 {
            return Err("no iterations");
        }
        check_extensions(attributes)?;
        Ok(Self {
            nonce,
            salt,
            iterations,
        })
    }
}

/// `client-final-message`.
pub(super) struct ClientFinal<'a> {
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) without_proof: &'a str,
    pub(super) proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(token: &'a [u8]) -> Result<Self, Wrong> {
        let text = utf8(token)?;
        let (without_proof, proof) = text.rsplit_once(',').ok_or("no proof")?;
        let proof = base64(attribute(Some(proof), "p=", "no proof")?)?;
        let mut attributes = without_proof.split(',');
        let binding = base64(attribute(attributes.next(), "c=", "no channel binding")?)?;
        let nonce = attribute(attributes.next(), "r=", "no nonce")?;
        check_extensions(attributes)?;
        Ok(Self {
            binding,
            nonce,
            without_proof,
            proof,
        })
    }
}

/// `server-final-message`: the server's signature.
pub(super) fn server_signature(token: &[u8]) -> Result<Vec<u8>, Error> {
    let text = utf8(token).map_err(|_| Error::ServerNotProven)?;
    let verifier = text.split(',').next().unwrap_or(text);
    if let Some(reason) = verifier.strip_prefix("e=") {
        return Err(Error::RefusedByMechanism(reason.to_owned()));
    }
    verifier
        .strip_prefix("v=")
        .and_then(|signature| base64(signature).ok())
        .ok_or(Error::ServerNotProven)
}

/// A name as it stands in a message (RFC 5802 §5.1, `saslname`).
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn utf8(token: &[u8]) -> Result<&str, Wrong> {
    let text = std::str::from_utf8(token).map_err(|_| "the token is not UTF-8")?;
    if text.contains('\0') {
        return Err("the token holds a NUL");
    }
    Ok(text)
}

fn unescaped(name: &str) -> Result<String, Wrong> {
    let mut text = String::with_capacity(name.len());
    let mut parts = name.split('=');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err("an equals sign in a name"),
        };
        text.push(c);
        text.push_str(rest);
    }
    if text.is_empty() {
        return Err("an empty name");
    }
    Ok(text)
}

fn attribute<'a>(
    found: Option<&'a str>,
    prefix: &'static str,
    missing: Wrong,
) -> Result<&'a str, Wrong> {
    let found = found.ok_or(missing)?;
    match found.strip_prefix(prefix) {
        Some(value) => Ok(value),
        // RFC 5802 §5.1: reserved for extensions, which we have none of.
        None if found.starts_with("m=") => Err("an extension that must be known and is not"),
        None => Err(missing),
    }
}

/// Extensions at the end of a message are left out of account, as long as they look like some.
fn check_extensions<'a>(mut rest: impl Iterator<Item = &'a str>) -> Result<(), Wrong> {
    let is_extension = |text: &str| {
        let mut chars = text.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.next() == Some('=')
            && chars.next().is_some()
            && !text.starts_with("m=")
    };
    match rest.find(|text| !is_extension(text)) {
        None => Ok(()),
        Some(_) => Err("something that is no extension at the end"),
    }
}

fn check_nonce(nonce: &str) -> Result<(), Wrong> {
    if nonce.is_empty() || !nonce.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err("a nonce that is empty or not printable");
    }
    Ok(())
}

fn base64(text: &str) -> Result<Vec<u8>, Wrong> {
    STANDARD
        .decode(text)
        .map_err(|_| "a value that is not base64")
}

//! What several mechanisms need: random texts, comparison in constant time, SASLprep, hexadecimal.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::Error;

/// Random octets from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| Error::NoRandom)?;
    Ok(octets)
}

/// A text that never comes twice: 144 random bits in base64, which has neither commas nor quotes.
pub(super) fn nonce() -> Result<String, Error> {
    Ok(STANDARD.encode(random::<18>()?))
}

/// A secret of this process, the same for as long as it runs.
pub(super) fn process_secret() -> Result<[u8; 32], Error> {
    static SECRET: OnceLock<[u8; 32]> = OnceLock::new();
    if let Some(secret) = SECRET.get() {
        return Ok(*secret);
    }
    let secret = random()?;
    Ok(*SECRET.get_or_init(|| secret))
}

/// Whether two secrets are the same, in a time that depends on their lengths only.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// Prepares a name or password for comparison and hashing (RFC 4013).
pub(super) fn saslprep<'a>(text: &'a str, field: &'static str) -> Result<Cow<'a, str>, Error> {
    match stringprep::saslprep(text) {
        Ok(prepared) if prepared.is_empty() => Err(Error::Unusable {
            field,
            reason: "is empty",
        }),
        Ok(prepared) => Ok(prepared),
        Err(_) => Err(Error::Unusable {
            field,
            reason: "has characters that SASL does not allow (RFC 4013)",
        }),
    }
}

/// Hexadecimal in lower case.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

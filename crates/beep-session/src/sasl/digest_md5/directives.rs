//! The notation of the tokens: `name=value, name="value"` (RFC 2831 §7.1).

use super::super::Error;
use super::bad;

/// How the octets of values stand for text (RFC 2831 §2.1.1, `charset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Latin1,
    Utf8,
}

/// The directives of a token, in order.
pub(super) struct Directives {
    /// Names in lower case, with the octets of the value.
    found: Vec<(String, Vec<u8>)>,
    pub(super) charset: Charset,
}

impl Directives {
    pub(super) fn parse(token: &[u8]) -> Result<Self, Error> {
        let mut directives = Self {
            found: Vec::new(),
            charset: Charset::Latin1,
        };
        let mut rest = token;
        loop {
            rest = skip(rest, |octet| is_space(octet) || octet == b',');
            if rest.is_empty() {
                break;
            }
            let (name, value, after) = directive(rest)?;
            directives.found.push((name, value));
            rest = skip(after, is_space);
            if !matches!(rest.first(), None | Some(b',')) {
                return Err(bad("two directives without a comma between them"));
            }
        }
        match directives.octets("charset")? {
            None => {}
            Some(charset) if charset.eq_ignore_ascii_case(b"utf-8") => {
                directives.charset = Charset::Utf8;
            }
            Some(_) => return Err(bad("a charset other than utf-8")),
        }
        Ok(directives)
    }

    /// The values of a directive that may come several times.
    pub(super) fn all(&self, name: &str) -> Result<Vec<String>, Error> {
        self.found
            .iter()
            .filter(|(found, _)| found == name)
            .map(|(_, value)| self.text(value))
            .collect()
    }

    /// The value of a directive that comes once at most.
    pub(super) fn one(&self, name: &str) -> Result<Option<String>, Error> {
        self.octets(name)?.map(|value| self.text(value)).transpose()
    }

    /// The value of a directive that has to come once.
    pub(super) fn needed(&self, name: &str, reason: &'static str) -> Result<String, Error> {
        self.one(name)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| bad(reason))
    }

    fn octets(&self, name: &str) -> Result<Option<&[u8]>, Error> {
        let mut values = self.found.iter().filter(|(found, _)| found == name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some((_, value)), None) => Ok(Some(value)),
            (Some(_), Some(_)) => Err(bad("a directive comes twice")),
        }
    }

    fn text(&self, octets: &[u8]) -> Result<String, Error> {
        match self.charset {
            Charset::Latin1 => Ok(octets.iter().copied().map(char::from).collect()),
            Charset::Utf8 => match std::str::from_utf8(octets) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(bad("a value is not UTF-8")),
            },
        }
    }
}

impl Charset {
    /// The octets of a text, or `None` when it has characters that the charset lacks.
    pub(super) fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Charset::Utf8 => Some(text.as_bytes().to_vec()),
            Charset::Latin1 => text.chars().map(|c| u8::try_from(c).ok()).collect(),
        }
    }
}

/// A quoted value.
pub(super) fn quoted(value: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for octet in value {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*octet);
    }
    out.push(b'"');
    out
}

/// Takes one directive: its name, its value and what follows.
fn directive(text: &[u8]) -> Result<(String, Vec<u8>, &[u8]), Error> {
    let (name, rest) = token(text);
    let name = std::str::from_utf8(name)
        .ok()
        .filter(|name| !name.is_empty() && name.is_ascii())
        .ok_or_else(|| bad("a directive without a name"))?
        .to_ascii_lowercase();
    let rest = skip(rest, is_space)
        .strip_prefix(b"=")
        .ok_or_else(|| bad("a directive without a value"))?;
    let rest = skip(rest, is_space);
    if let Some(rest) = rest.strip_prefix(b"\"") {
        let (value, rest) = unquoted(rest)?;
        return Ok((name, value, rest));
    }
    let (value, rest) = token(rest);
    if value.is_empty() {
        return Err(bad("a directive without a value"));
    }
    Ok((name, value.to_vec(), rest))
}

/// Takes a quoted value whose opening quote is gone.
fn unquoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Error> {
    let mut value = Vec::new();
    let mut rest = text;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'"' => return Ok((value, rest)),
            b'\\' => {
                let Some((escaped, after)) = rest.split_first() else {
                    break;
                };
                value.push(*escaped);
                rest = after;
            }
            0 => return Err(bad("a value with a NUL")),
            octet => value.push(*octet),
        }
    }
    Err(bad("a quoted value without its end"))
}

/// Takes an unquoted name or value.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let is_end =
        |octet: &u8| is_space(*octet) || octet.is_ascii_control() || b",=\"".contains(octet);
    // An unquoted base64 value ends in equals signs, but values like that are always quoted.
    let length = text.iter().position(is_end).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, &[]))
}

fn skip(text: &[u8], is_skipped: impl Fn(u8) -> bool) -> &[u8] {
    let length = text.iter().position(|octet| !is_skipped(*octet));
    text.get(length.unwrap_or(text.len())..).unwrap_or_default()
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

//! The hashes that prove who knows the password (RFC 2831 §2.1.2.1, §2.1.3).

use md5::{Digest, Md5};

use super::super::crypto::hex;
use super::directives::Charset;

/// What both sides know of one exchange, apart from the password.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) charset: Charset,
    pub(super) name: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) cnonce: String,
    pub(super) nc: &'static str,
    pub(super) digest_uri: String,
    pub(super) authorization_id: Option<String>,
}

/// Whether name and password are hashed in ISO 8859-1 although they travel in UTF-8.
#[derive(Clone, Copy)]
pub(super) struct Narrowed {
    name: bool,
    password: bool,
}

impl Narrowed {
    /// What RFC 2831 §2.1.2.1 asks for: each as soon as it can be.
    pub(super) const BY_RFC: Self = Self {
        name: true,
        password: true,
    };

    /// What peers do: the RFC's way, GNU SASL's (of the C engine), and that of those who never heard of it. For
    /// ASCII all are the same.
    pub(super) const DEPLOYED: [Self; 3] = [
        Self::BY_RFC,
        Self {
            name: false,
            password: true,
        },
        Self {
            name: false,
            password: false,
        },
    ];
}

/// The two proofs of an exchange, in hexadecimal.
pub(super) struct Proofs {
    /// The client's `response`.
    pub(super) client: String,
    /// The server's `rspauth`.
    pub(super) server: String,
}

impl Proofs {
    pub(super) fn new(facts: &Facts, password: &str, narrowed: Narrowed) -> Self {
        let Facts { charset, .. } = *facts;
        let secret = hashed(&[
            &octets(charset, &facts.name, narrowed.name),
            &octets(charset, &facts.realm, false),
            &octets(charset, password, narrowed.password),
        ]);
        let mut a1 = secret;
        for part in [
            Some(&facts.nonce),
            Some(&facts.cnonce),
            facts.authorization_id.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            a1.push(b':');
            a1.extend(octets(charset, part, false));
        }
        let key = hex(&Md5::digest(&a1));
        let proof = |method: &str| {
            let a2 = hex(&hashed(&[
                method.as_bytes(),
                &octets(charset, &facts.digest_uri, false),
            ]));
            hex(&hashed(&[
                key.as_bytes(),
                &octets(charset, &facts.nonce, false),
                facts.nc.as_bytes(),
                &octets(charset, &facts.cnonce, false),
                b"auth",
                a2.as_bytes(),
            ]))
        };
        Self {
            client: proof("AUTHENTICATE"),
            server: proof(""),
        }
    }
}

/// The hash of the parts with colons between them.
fn hashed(parts: &[&[u8]]) -> Vec<u8> {
    Md5::digest(parts.join(&b':')).to_vec()
}

/// A text as it is hashed: as it travels, or in ISO 8859-1 where that is wanted and possible.
fn octets(charset: Charset, text: &str, is_narrowed: bool) -> Vec<u8> {
    let narrow = match charset {
        Charset::Utf8 if !is_narrowed => None,
        _ => Charset::Latin1.encode(text),
    };
    narrow.unwrap_or_else(|| text.as_bytes().to_vec())
}

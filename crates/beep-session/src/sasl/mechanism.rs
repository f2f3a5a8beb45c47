//! The mechanisms and their names.

use std::fmt;

/// What the URI of a SASL profile begins with (RFC 3080 §4.1.1).
const URI_PREFIX: &str = "http://iana.org/beep/SASL/";

/// What the name of a mechanism with channel binding ends in (RFC 5802 §4).
const PLUS: &str = "-PLUS";

/// A way to say who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// Name and password in clear (RFC 4616).
    Plain,
    /// Nobody in particular (RFC 4505).
    Anonymous,
    /// Who is already known by other means, such as a TLS certificate (RFC 4422 appendix A).
    External,
    /// The password hashed with a challenge (RFC 2195). Old; SCRAM does better.
    CramMd5,
    /// The password hashed with challenges of both sides and a realm (RFC 2831). Old; SCRAM does better.
    DigestMd5,
    /// Salted hashes of the password that prove both sides, with SHA-1 (RFC 5802).
    ScramSha1,
    /// The same with SHA-256 (RFC 7677).
    ScramSha256,
}

impl Mechanism {
    /// All of them, the strongest first.
    pub const ALL: [Self; 7] = [
        Self::ScramSha256,
        Self::ScramSha1,
        Self::DigestMd5,
        Self::CramMd5,
        Self::External,
        Self::Plain,
        Self::Anonymous,
    ];

    /// The name in the registry, such as `SCRAM-SHA-1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Anonymous => "ANONYMOUS",
            Self::External => "EXTERNAL",
            Self::CramMd5 => "CRAM-MD5",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The URI of the profile, without channel binding.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Plain => "http://iana.org/beep/SASL/PLAIN",
            Self::Anonymous => "http://iana.org/beep/SASL/ANONYMOUS",
            Self::External => "http://iana.org/beep/SASL/EXTERNAL",
            Self::CramMd5 => "http://iana.org/beep/SASL/CRAM-MD5",
            Self::DigestMd5 => "http://iana.org/beep/SASL/DIGEST-MD5",
            Self::ScramSha1 => "http://iana.org/beep/SASL/SCRAM-SHA-1",
            Self::ScramSha256 => "http://iana.org/beep/SASL/SCRAM-SHA-256",
        }
    }

    /// The URI of the profile with channel binding, for the mechanisms that have it.
    pub fn plus_uri(self) -> Option<&'static str> {
        match self {
            Self::ScramSha1 => Some("http://iana.org/beep/SASL/SCRAM-SHA-1-PLUS"),
            Self::ScramSha256 => Some("http://iana.org/beep/SASL/SCRAM-SHA-256-PLUS"),
            _ => None,
        }
    }

    /// The mechanism of a URI or a name; upper and lower case are the same in a name.
    ///
    /// ```
    /// use beep_session::sasl::Mechanism;
    /// assert_eq!(Mechanism::from_name("cram-md5"), Some(Mechanism::CramMd5));
    /// assert_eq!(Mechanism::from_name(Mechanism::Plain.uri()), Some(Mechanism::Plain));
    /// assert_eq!(Mechanism::from_name("gssapi"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix(URI_PREFIX).unwrap_or(name);
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The mechanism of a profile's URI, and whether it is the one with channel binding.
    ///
    /// ```
    /// use beep_session::sasl::Mechanism;
    /// let uri = "http://iana.org/beep/SASL/SCRAM-SHA-256-PLUS";
    /// assert_eq!(Mechanism::from_uri(uri), Some((Mechanism::ScramSha256, true)));
    /// ```
    pub fn from_uri(uri: &str) -> Option<(Self, bool)> {
        let name = uri.strip_prefix(URI_PREFIX)?;
        let (name, is_plus) = match name.strip_suffix(PLUS) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let mechanism = Self::ALL.into_iter().find(|m| m.name() == name)?;
        (!is_plus || mechanism.plus_uri().is_some()).then_some((mechanism, is_plus))
    }

    /// Whether whoever reads the connection learns the password.
    pub fn sends_password_in_clear(self) -> bool {
        self == Self::Plain
    }

    /// Whether the server says how often a client has to hash the password, and so for how long.
    pub(crate) fn has_iterations(self) -> bool {
        matches!(self, Self::ScramSha1 | Self::ScramSha256)
    }

    /// Whether a client needs a password.
    pub fn needs_password(self) -> bool {
        !matches!(self, Self::Anonymous | Self::External)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_uris_lead_back_to_the_mechanism() {
        for mechanism in Mechanism::ALL {
            let name = mechanism.name();
            assert_eq!(mechanism.uri(), format!("{URI_PREFIX}{name}"));
            assert_eq!(Mechanism::from_name(name), Some(mechanism));
            assert_eq!(Mechanism::from_name(&name.to_lowercase()), Some(mechanism));
            assert_eq!(Mechanism::from_name(mechanism.uri()), Some(mechanism));
            assert_eq!(
                Mechanism::from_uri(mechanism.uri()),
                Some((mechanism, false))
            );
            if let Some(uri) = mechanism.plus_uri() {
                assert_eq!(uri, format!("{URI_PREFIX}{name}{PLUS}"));
                assert_eq!(Mechanism::from_uri(uri), Some((mechanism, true)));
            }
        }
        for stranger in [
            "",
            "gssapi",
            "http://iana.org/beep/SASL/",
            "http://iana.org/beep/TLS",
        ] {
            assert_eq!(Mechanism::from_name(stranger), None);
        }
        assert_eq!(
            Mechanism::from_uri("http://iana.org/beep/SASL/PLAIN-PLUS"),
            None
        );
        assert_eq!(Mechanism::from_uri("PLAIN"), None);
    }
}

//! What a certificate says (RFC 5280).

use std::fmt::Write;
use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::ContextSpecific;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Any, Decode, Encode, TagNumber};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::error::CertificateFault;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// Octets that the public key of RSA has at least when its modulus has 2048 bits.
const RSA_2048_OCTETS: usize = 256;

/// What a certificate says of itself. **Only worth something if it was verified.**
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// Whose it is, as a distinguished name.
    pub subject: String,
    /// Who signed it, as a distinguished name.
    pub issuer: String,
    /// The hosts that it was made for: DNS names and IP addresses; of an old one without any, its common name.
    pub names: Vec<String>,
    /// The first moment at which it is good.
    pub not_before: SystemTime,
    /// The last moment at which it is good.
    pub not_after: SystemTime,
}

/// Facts about a certificate that rustls does not tell, or not of old ones (X.509 version 1, no alternative names).
pub(super) struct Facts {
    parsed: CertificateInner<Raw>,
    /// What the alternative names say, or `None` when there are none and the common name stands in.
    alternative_names: Option<Vec<String>>,
}

impl Facts {
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Facts, CertificateFault> {
        let parsed =
            CertificateInner::from_der(certificate).map_err(|_| CertificateFault::Unreadable)?;
        let alternative_names = match parsed.tbs_certificate().get_extension::<SubjectAltName>() {
            Ok(None) => None,
            Ok(Some((_, names))) => Some(names.0.iter().filter_map(name_of).collect()),
            // They are there, and nobody can tell what they are.
            Err(_) => Some(Vec::new()),
        };
        Ok(Facts {
            parsed,
            alternative_names,
        })
    }

    /// The hosts that the certificate was made for, as its alternative names have them.
    pub(super) fn alternative_names(&self) -> &[String] {
        self.alternative_names.as_deref().unwrap_or_default()
    }

    /// The hosts that the certificate was made for; an old one has its host as its common name.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.alternative_names {
            Some(names) => names.clone(),
            None => self.common_name().into_iter().collect(),
        }
    }

    pub(super) fn common_name(&self) -> Option<String> {
        let name = self.parsed.tbs_certificate().subject().common_name();
        Some(name.ok()??.value().into_owned())
    }

    /// What to call the owner of the certificate.
    pub(super) fn display_name(&self) -> Option<String> {
        self.common_name()
            .or_else(|| self.alternative_names().first().cloned())
            .or_else(|| {
                let subject = self.parsed.tbs_certificate().subject();
                (!subject.is_empty()).then(|| subject.to_string())
            })
    }

    pub(super) fn issuer(&self) -> String {
        self.parsed.tbs_certificate().issuer().to_string()
    }

    pub(super) fn certificate(&self) -> Certificate {
        let parsed = self.parsed.tbs_certificate();
        let validity = parsed.validity();
        Certificate {
            subject: parsed.subject().to_string(),
            issuer: self.issuer(),
            names: self.names(),
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
        }
    }

    pub(super) fn is_self_issued(&self) -> bool {
        let certificate = self.parsed.tbs_certificate();
        certificate.issuer() == certificate.subject()
    }

    /// Whether the public key is one of RSA that is shorter than anybody accepts today.
    pub(super) fn is_key_short(&self) -> bool {
        let key = self.parsed.tbs_certificate().subject_public_key_info();
        key.algorithm.oid == RSA_ENCRYPTION
            && key.subject_public_key.raw_bytes().len() < RSA_2048_OCTETS
    }

    /// The public key alone, without the algorithm's parameters, which are written in several ways.
    pub(super) fn public_key(&self) -> &[u8] {
        self.parsed
            .tbs_certificate()
            .subject_public_key_info()
            .subject_public_key
            .raw_bytes()
    }

    pub(super) fn public_key_info(
        &self,
    ) -> Result<SubjectPublicKeyInfoDer<'static>, CertificateFault> {
        self.parsed
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
            .map(SubjectPublicKeyInfoDer::from)
            .map_err(|_| CertificateFault::Unreadable)
    }

    pub(super) fn check_validity(&self, now: SystemTime) -> Result<(), CertificateFault> {
        let validity = self.parsed.tbs_certificate().validity();
        let (not_before, not_after) = (
            validity.not_before.to_system_time(),
            validity.not_after.to_system_time(),
        );
        if now < not_before {
            return Err(CertificateFault::NotYetValid { not_before });
        }
        if now > not_after {
            return Err(CertificateFault::Expired { not_after });
        }
        Ok(())
    }

    /// Whether the common name of a certificate without alternative names is this one. Only for certificates that
    /// are themselves trusted: others have to be made as RFC 6125 wants them.
    pub(super) fn is_commonly_named(&self, name: &ServerName<'_>) -> bool {
        if self.alternative_names.is_some() {
            return false;
        }
        let Some(own) = self.common_name() else {
            return false;
        };
        match name {
            ServerName::DnsName(name) => is_same_host(&own, name.as_ref()),
            ServerName::IpAddress(address) => own
                .parse::<IpAddr>()
                .is_ok_and(|own| own == IpAddr::from(*address)),
            _ => false,
        }
    }

    /// The channel binding `tls-server-end-point` of a server with this certificate (RFC 5929 §4.1): its hash, by the
    /// hash function of its own signature. `None` for a signature without one, such as Ed25519.
    pub(super) fn end_point_hash(&self, certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
        let algorithm = hash_of_signature(self.parsed.signature_algorithm())?;
        Some(algorithm.hash(certificate))
    }
}

/// A hash function that certificates are signed with or known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn hash(self, octets: &[u8]) -> Vec<u8> {
        match self {
            Hash::Sha1 => Sha1::digest(octets).to_vec(),
            Hash::Sha256 => Sha256::digest(octets).to_vec(),
            Hash::Sha384 => Sha384::digest(octets).to_vec(),
            Hash::Sha512 => Sha512::digest(octets).to_vec(),
        }
    }
}

/// The digest of a certificate in upper-case hexadecimal with colons, or `None` for an algorithm that is not known.
pub(super) fn digest(certificate: &CertificateDer<'_>, algorithm: &str) -> Option<String> {
    let algorithm = match algorithm.to_ascii_lowercase().as_str() {
        "sha1" | "sha-1" => Hash::Sha1,
        "sha256" | "sha-256" => Hash::Sha256,
        "sha384" | "sha-384" => Hash::Sha384,
        "sha512" | "sha-512" => Hash::Sha512,
        _ => return None,
    };
    let mut text = String::new();
    for (at, octet) in algorithm.hash(certificate).into_iter().enumerate() {
        let colon = if at == 0 { "" } else { ":" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{colon}{octet:02X}");
    }
    Some(text)
}

/// RFC 5929 §4.1: MD5 and SHA-1 are too weak, and SHA-256 takes their place.
fn hash_of_signature(algorithm: &AlgorithmIdentifierOwned) -> Option<Hash> {
    match algorithm.oid.to_string().as_str() {
        // With RSA: MD5, SHA-1 twice. With DSA and ECDSA: SHA-1.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.3.14.3.2.29"
        | "1.2.840.10040.4.3"
        | "1.2.840.10045.4.1" => Some(Hash::Sha256),
        // With RSA, ECDSA, DSA.
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" | "2.16.840.1.101.3.4.3.2" => {
            Some(Hash::Sha256)
        }
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Hash::Sha384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Hash::Sha512),
        _ if algorithm.oid == RSASSA_PSS => hash_of_pss(algorithm.parameters.as_ref()?),
        _ => None,
    }
}

/// RSASSA-PSS names its hash function in its parameters; SHA-1 is the one not named (RFC 4055 §3.1).
fn hash_of_pss(parameters: &Any) -> Option<Hash> {
    const HASH_ALGORITHM: TagNumber = TagNumber(0);
    let fields: Vec<Any> = parameters.decode_as().ok()?;
    let first = fields.first().and_then(|field| field.to_der().ok());
    let named = first.and_then(|field| {
        ContextSpecific::<AlgorithmIdentifierOwned>::from_der(&field)
            .ok()
            .filter(|field| field.tag_number == HASH_ALGORITHM)
    });
    match named {
        None => Some(Hash::Sha256),
        Some(named) => match named.value.oid.to_string().as_str() {
            "1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1" => Some(Hash::Sha256),
            "2.16.840.1.101.3.4.2.2" => Some(Hash::Sha384),
            "2.16.840.1.101.3.4.2.3" => Some(Hash::Sha512),
            _ => None,
        },
    }
}

fn name_of(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(address) => {
            let octets = address.as_bytes();
            <[u8; 4]>::try_from(octets)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Whether a name, maybe with `*` in place of its first label, is that of the host.
fn is_same_host(name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, rest))) => {
            domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

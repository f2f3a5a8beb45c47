//! Who this side is: a certificate and its private key.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::certificate::Facts;
use super::configuration::provider;
use super::error::Error;
use super::recent::Recent;

/// Identities kept by what they were read from; a server with more names than this reads some of them anew.
const KEPT_MOST: usize = 256;

type PemDigest = [u8; 32];

static KEPT: Recent<(PemDigest, PemDigest), Identity> = Recent::new(KEPT_MOST);

/// A certificate with the chain up to its CA, and its private key. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    id: u64,
}

impl Identity {
    /// Reads an identity from PEM: the certificate first and then those that lead to its CA, and the private key
    /// (PKCS #8, PKCS #1 or SEC 1, not encrypted). Both may be the same text.
    ///
    /// What was read of late is not read again, so a program can give the contents of its files for every handshake,
    /// and changed ones are noticed.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`]: one of them is not what it should be, or the key is of a kind that is not supported
    /// (RSA from 2048 bits on, ECDSA with P-256 or P-384 and Ed25519 are). [`Error::KeyMismatch`]: they do not belong
    /// together.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Identity, Error> {
        let digests = (
            Sha256::digest(certificate).into(),
            Sha256::digest(key).into(),
        );
        KEPT.get_or_make(digests, || Identity::read(certificate, key))
    }

    fn read(certificate: &[u8], key: &[u8]) -> Result<Identity, Error> {
        let chain = certificates(certificate)?;
        let Some(own) = chain.first() else {
            return Err(no_certificate());
        };
        let facts = Facts::read(own).map_err(|fault| Error::Unreadable {
            what: "certificate",
            reason: fault.to_string(),
        })?;
        let key = private_key(key)?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_| Error::Unreadable {
                what: "private key",
                reason: "it is none of RSA from 2048 bits on, ECDSA P-256 or P-384, and Ed25519"
                    .to_owned(),
            })?;
        // rustls would compare them too, but reads no certificates of X.509 version 1.
        let public = key
            .public_key()
            .and_then(|public| SubjectPublicKeyInfoOwned::from_der(&public).ok());
        if let Some(public) = public
            && public.subject_public_key.raw_bytes() != facts.public_key()
        {
            return Err(Error::KeyMismatch);
        }
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Ok(Identity {
            certified: Arc::new(CertifiedKey::new(chain, key)),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        })
    }

    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// A number that no other identity has.
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.certified.cert.first().and_then(|own| {
            let facts = Facts::read(own).ok()?;
            facts.display_name()
        });
        f.debug_struct("Identity")
            .field("name", &name)
            .finish_non_exhaustive()
    }
}

/// The certificates in a PEM text.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |error: pem::Error| Error::Unreadable {
        what: "certificate",
        reason: explain(&error),
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(no_certificate());
    }
    Ok(found)
}

fn no_certificate() -> Error {
    Error::Unreadable {
        what: "certificate",
        reason: "there is no BEGIN CERTIFICATE in it".to_owned(),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let is_encrypted = text
            .windows(b"ENCRYPTED".len())
            .any(|window| window == b"ENCRYPTED");
        let reason = match error {
            _ if is_encrypted => "it is encrypted; `openssl pkey` can decrypt it".to_owned(),
            pem::Error::NoItemsFound => "there is no BEGIN PRIVATE KEY in it".to_owned(),
            error => explain(&error),
        };
        Error::Unreadable {
            what: "private key",
            reason,
        }
    })
}

fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!(
                "the END line of its {} is missing",
                String::from_utf8_lossy(end_marker)
            )
        }
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64".to_owned(),
        error => error.to_string(),
    }
}

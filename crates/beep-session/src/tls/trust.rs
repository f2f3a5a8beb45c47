//! Whose certificates are good, and checking those of peers.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::certificate::Facts;
use super::configuration::provider;
use super::error::{CertificateFault, Error};
use super::identity::certificates;

/// Whose certificates are good.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Any certificate will do: the connection is encrypted, and nobody knows with whom. That the peer has the
    /// certificate's private key is checked all the same.
    Nobody,
    /// Those signed by the CAs that the operating system trusts. They are read once; the environment variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` take the place of its own.
    #[default]
    System,
    /// Those given here, and those signed by them.
    Roots(Roots),
}

/// Certificates that are trusted, and so are those they sign. Cheap to clone.
///
/// A peer that shows one of these very certificates is trusted whatever it says of CAs and purposes: the
/// certificates that many tools make for a single host are good as they are, those of X.509 version 1 too, and
/// without alternative names the common name counts. Its dates and its name still have to fit.
#[derive(Clone)]
pub struct Roots {
    inner: Arc<Inner>,
}

struct Inner {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    id: u64,
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Server,
    Client,
}

impl Trust {
    /// Trusts the certificates in a PEM text, and those they sign.
    ///
    /// # Errors
    ///
    /// Those of [`Roots::from_pem`].
    pub fn from_pem(text: &[u8]) -> Result<Trust, Error> {
        Roots::from_pem(text).map(Trust::Roots)
    }

    /// The certificates to go by, or `None` when any will do.
    pub(super) fn roots(&self) -> Result<Option<Roots>, Error> {
        match self {
            Trust::Nobody => Ok(None),
            Trust::System => Roots::of_system().map(Some),
            Trust::Roots(roots) => Ok(Some(roots.clone())),
        }
    }
}

impl Roots {
    /// Reads certificates from PEM, one or more.
    ///
    /// # Errors
    ///
    /// [`Error::Unreadable`]: there is none, or one that is damaged.
    pub fn from_pem(text: &[u8]) -> Result<Roots, Error> {
        let certificates = certificates(text)?;
        for certificate in &certificates {
            Facts::read(certificate).map_err(|fault| Error::Unreadable {
                what: "certificate",
                reason: format!("one of those in it {fault}"),
            })?;
        }
        Ok(Roots::new(certificates))
    }

    fn new(certificates: Vec<CertificateDer<'static>>) -> Roots {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        // One that cannot speak for others is still trusted when a peer shows it.
        let anchors = certificates
            .iter()
            .filter_map(|certificate| Some(anchor_from_trusted_cert(certificate).ok()?.to_owned()))
            .collect();
        Roots {
            inner: Arc::new(Inner {
                certificates,
                anchors,
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            }),
        }
    }

    fn of_system() -> Result<Roots, Error> {
        static SYSTEM: OnceLock<Roots> = OnceLock::new();
        if let Some(roots) = SYSTEM.get() {
            return Ok(roots.clone());
        }
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "some of the system's trusted certificates are missing");
        }
        if found.certs.is_empty() {
            let reason = found
                .errors
                .first()
                .map_or("none are installed".to_owned(), ToString::to_string);
            return Err(Error::NoSystemRoots(reason));
        }
        Ok(SYSTEM.get_or_init(|| Roots::new(found.certs)).clone())
    }

    /// A number that no other roots have.
    pub(super) fn id(&self) -> u64 {
        self.inner.id
    }

    /// The subjects, for clients that choose their certificate by them.
    pub(super) fn subjects(&self) -> Vec<rustls::DistinguishedName> {
        self.inner
            .anchors
            .iter()
            .map(|anchor| rustls::DistinguishedName::in_sequence(&anchor.subject))
            .collect()
    }

    /// Checks a peer's certificate, that of the peer first: dates, who signed it, what it is for and, if one is
    /// given, whose it is.
    pub(super) fn check(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), CertificateFault> {
        let Some((own, intermediates)) = chain.split_first() else {
            return Err(CertificateFault::Missing);
        };
        let facts = Facts::read(own)?;
        facts.check_validity(SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()))?;
        let parsed = EndEntityCert::try_from(own);
        let is_itself_trusted = self.inner.certificates.iter().any(|root| root == own);
        if !is_itself_trusted {
            self.check_issuer(&facts, parsed.as_ref(), intermediates, usage, now)?;
        }
        let Some(name) = name else {
            return Ok(());
        };
        let is_named =
            parsed.is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok());
        if is_named || (is_itself_trusted && facts.is_commonly_named(name)) {
            return Ok(());
        }
        let names = if is_itself_trusted {
            facts.names()
        } else {
            facts.alternative_names().to_vec()
        };
        Err(CertificateFault::WrongName {
            expected: name.to_str().into_owned(),
            names,
        })
    }

    fn check_issuer(
        &self,
        facts: &Facts,
        parsed: Result<&EndEntityCert<'_>, &webpki::Error>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        now: UnixTime,
    ) -> Result<(), CertificateFault> {
        let (purpose, role) = match usage {
            Usage::Server => (KeyUsage::server_auth(), "server"),
            Usage::Client => (KeyUsage::client_auth(), "client"),
        };
        let verified = parsed.map_err(Clone::clone).and_then(|parsed| {
            let algorithms = provider().signature_verification_algorithms.all;
            let anchors = &self.inner.anchors;
            parsed
                .verify_for_usage(algorithms, anchors, intermediates, now, purpose, None, None)
                .map(drop)
        });
        verified.map_err(|error| match error {
            webpki::Error::UnsupportedCertVersion => CertificateFault::Version1,
            webpki::Error::UnknownIssuer
            | webpki::Error::InvalidSignatureForPublicKey
            | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            | webpki::Error::CaUsedAsEndEntity
                if facts.is_self_issued() =>
            {
                CertificateFault::SelfSigned
            }
            // Somebody trusted has the name of the issuer, and another key, maybe of another kind.
            webpki::Error::UnknownIssuer
            | webpki::Error::InvalidSignatureForPublicKey
            | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                CertificateFault::UnknownIssuer {
                    issuer: facts.issuer(),
                }
            }
            webpki::Error::CaUsedAsEndEntity => CertificateFault::Authority,
            // Its own dates are fine.
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                CertificateFault::AuthorityNotValid
            }
            webpki::Error::RequiredEkuNotFoundContext(_) => CertificateFault::WrongPurpose { role },
            error => CertificateFault::Other(error.to_string()),
        })
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("certificates", &self.inner.certificates.len())
            .finish()
    }
}

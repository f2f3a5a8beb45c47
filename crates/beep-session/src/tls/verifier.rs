//! Between rustls, which asks about the peer's certificate, and [`Roots`], which know the answer.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerMisbehaved,
    SignatureScheme,
};
use webpki::RawPublicKeyEntity;

use super::certificate::Facts;
use super::configuration::provider;
use super::error::CertificateFault;
use super::trust::{Roots, Usage};

tokio::task_local! {
    /// What rustls cannot pass on from here to whoever started the handshake.
    pub(super) static NOTES: RefCell<Notes>;
}

/// What came up during a handshake.
#[derive(Default)]
pub(super) struct Notes {
    /// What is wrong with the peer's certificate.
    pub(super) fault: Option<CertificateFault>,
    /// The name that the certificate gives its owner.
    pub(super) name: Option<String>,
    /// The server asked for a certificate, and there is none.
    pub(super) is_certificate_wanted: bool,
}

fn note(make: impl FnOnce(&mut Notes)) {
    // Outside of a handshake nobody reads notes.
    let _ = NOTES.try_with(|notes| make(&mut notes.borrow_mut()));
}

/// Goes by these roots, or takes any certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Option<Roots>,
    /// What a client is told to choose its certificate by.
    hints: Vec<DistinguishedName>,
    is_client_required: bool,
}

impl Verifier {
    pub(super) fn of_servers(roots: Option<Roots>) -> Self {
        Verifier {
            roots,
            hints: Vec::new(),
            is_client_required: false,
        }
    }

    pub(super) fn of_clients(roots: Option<Roots>, is_client_required: bool) -> Self {
        Verifier {
            hints: roots.as_ref().map(Roots::subjects).unwrap_or_default(),
            roots,
            is_client_required,
        }
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: Usage,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some(roots) = &self.roots else {
            return Ok(());
        };
        let chain: Vec<_> = std::iter::once(own)
            .chain(intermediates)
            .map(|certificate| CertificateDer::from(certificate.as_ref()))
            .collect();
        roots
            .check(&chain, usage, name, now)
            .map_err(|fault| refuse(own, fault))
    }
}

/// Notes what is wrong, and has rustls send the alert that fits.
fn refuse(certificate: &CertificateDer<'_>, fault: CertificateFault) -> rustls::Error {
    let error = match &fault {
        CertificateFault::Expired { .. } | CertificateFault::AuthorityNotValid => {
            CertificateError::Expired
        }
        CertificateFault::NotYetValid { .. } => CertificateError::NotValidYet,
        CertificateFault::WrongName { .. } => CertificateError::NotValidForName,
        CertificateFault::UnknownIssuer { .. }
        | CertificateFault::SelfSigned
        | CertificateFault::Authority
        | CertificateFault::Version1 => CertificateError::UnknownIssuer,
        CertificateFault::WrongPurpose { .. } => CertificateError::InvalidPurpose,
        CertificateFault::NotTheirs | CertificateFault::WeakKey => CertificateError::BadSignature,
        CertificateFault::Unreadable => CertificateError::BadEncoding,
        fault => CertificateError::Other(OtherError(Arc::new(fault.clone()))),
    };
    note(|notes| {
        notes.name = Facts::read(certificate)
            .ok()
            .and_then(|facts| facts.display_name());
        notes.fault = Some(fault);
    });
    error.into()
}

/// The public key of a certificate. webpki reads no certificates of X.509 version 1, so it is given the key alone.
fn public_key(
    certificate: &CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    let facts = Facts::read(certificate);
    let key = facts.and_then(|facts| {
        if facts.is_key_short() {
            return Err(CertificateFault::WeakKey);
        }
        facts.public_key_info()
    });
    key.map_err(|fault| refuse(certificate, fault))
}

/// Checks that the peer of a TLS 1.2 handshake has the certificate's private key.
fn verify_tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let key = public_key(certificate)?;
    let key = RawPublicKeyEntity::try_from(&key)
        .map_err(|_| refuse(certificate, CertificateFault::Unreadable))?;
    let known = provider().signature_verification_algorithms.mapping;
    let (_, algorithms) = known
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // A scheme of TLS 1.2 names no curve (RFC 5246 §7.4.1.4.1), so more than one algorithm can be meant.
    let is_valid = algorithms.iter().any(|algorithm| {
        key.verify_signature(*algorithm, message, signed.signature())
            .is_ok()
    });
    if is_valid {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(refuse(certificate, CertificateFault::NotTheirs))
    }
}

/// The same for TLS 1.3.
fn verify_tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let key = public_key(certificate)?;
    let known = &provider().signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(message, &key, signed, known).map_err(|error| match error {
        rustls::Error::InvalidCertificate(_) => refuse(certificate, CertificateFault::NotTheirs),
        error => error,
    })
}

fn schemes() -> Vec<SignatureScheme> {
    provider()
        .signature_verification_algorithms
        .supported_schemes()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(own, intermediates, Usage::Server, Some(name), now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_client_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(own, intermediates, Usage::Client, None, now)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

/// A client without a certificate, which notes when one is wanted.
#[derive(Debug)]
pub(super) struct NoIdentity;

impl ResolvesClientCert for NoIdentity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        note(|notes| notes.is_certificate_wanted = true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

//! What a handshake brought to light.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, CommonState, ProtocolVersion};

use super::certificate::{self, Certificate, Facts};
use super::error::{CertificateFault, Error};
use super::trust::{Trust, Usage};
use crate::sasl::Binding;

/// Facts about TLS that is in place.
#[derive(Debug)]
pub struct Info {
    is_client: bool,
    version: Option<ProtocolVersion>,
    cipher: Option<CipherSuite>,
    server_name: Option<String>,
    peer_certificates: Vec<CertificateDer<'static>>,
    server_certificate: Option<CertificateDer<'static>>,
    exporter: Option<Vec<u8>>,
}

impl Info {
    pub(super) fn of_client(
        connection: &rustls::ClientConnection,
        server_name: Option<String>,
    ) -> Info {
        let exporter = exporter(connection, |out| {
            connection
                .export_keying_material(out, EXPORTER_LABEL, None)
                .is_ok()
        });
        let peer_certificates = owned(connection);
        Info {
            is_client: true,
            version: connection.protocol_version(),
            cipher: connection
                .negotiated_cipher_suite()
                .map(|suite| suite.suite()),
            server_name,
            server_certificate: peer_certificates.first().cloned(),
            peer_certificates,
            exporter,
        }
    }

    pub(super) fn of_server(
        connection: &rustls::ServerConnection,
        server_certificate: Option<CertificateDer<'static>>,
    ) -> Info {
        let exporter = exporter(connection, |out| {
            connection
                .export_keying_material(out, EXPORTER_LABEL, None)
                .is_ok()
        });
        Info {
            is_client: false,
            version: connection.protocol_version(),
            cipher: connection
                .negotiated_cipher_suite()
                .map(|suite| suite.suite()),
            server_name: connection.server_name().map(str::to_owned),
            server_certificate,
            peer_certificates: owned(connection),
            exporter,
        }
    }

    /// `TLSv1.2` or `TLSv1.3`.
    pub fn version(&self) -> &'static str {
        match self.version {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        }
    }

    /// The cipher suite as IANA has it, such as `TLS_AES_256_GCM_SHA384`.
    pub fn cipher(&self) -> String {
        let name = self.cipher.map(|cipher| format!("{cipher:?}"));
        // rustls tells the suites of TLS 1.3 apart in their names.
        name.unwrap_or_default().replacen("TLS13_", "TLS_", 1)
    }

    /// The name of the server: the one that the client asked for, if it did, in TLS itself.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The peer's certificate in DER and those that came with it, its own first. None when it showed none.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.peer_certificates.iter().map(AsRef::as_ref)
    }

    /// What the peer's certificate says of itself. `None` when it showed none, or one that cannot be read.
    pub fn peer_certificate(&self) -> Option<Certificate> {
        let facts = Facts::read(self.peer_certificates.first()?).ok()?;
        Some(facts.certificate())
    }

    /// The name that the peer's certificate gives it: the common name, or else the first alternative one. **Only worth
    /// something if the certificate was verified.**
    pub fn peer_name(&self) -> Option<String> {
        let facts = Facts::read(self.peer_certificates.first()?).ok()?;
        facts.display_name()
    }

    /// The digest of the peer's certificate by `sha1`, `sha256`, `sha384` or `sha512`: upper-case hexadecimal with
    /// colons. `None` when it showed none, or for any other algorithm.
    pub fn peer_digest(&self, algorithm: &str) -> Option<String> {
        certificate::digest(self.peer_certificates.first()?, algorithm)
    }

    /// Checks the peer's certificate, as a handshake with this trust would have: dates, who signed it, what it is for
    /// and, if one is given, whose it is.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] says what is wrong with it, [`Error::NoClientCertificate`] that a client showed none.
    /// With [`Trust::Nobody`] there is nobody who could have signed it.
    pub fn verify(&self, trust: &Trust, name: Option<&str>) -> Result<(), Error> {
        let expected = name.map(server_name).transpose()?;
        let Some(own) = self.peer_certificates.first() else {
            return Err(Error::NoClientCertificate);
        };
        let usage = if self.is_client {
            Usage::Server
        } else {
            Usage::Client
        };
        let checked = match trust.roots()? {
            Some(roots) => roots.check(
                &self.peer_certificates,
                usage,
                expected.as_ref(),
                UnixTime::now(),
            ),
            None => Err(match Facts::read(own) {
                Ok(facts) => CertificateFault::UnknownIssuer {
                    issuer: facts.issuer(),
                },
                Err(fault) => fault,
            }),
        };
        checked.map_err(|fault| Error::Certificate {
            whose: name
                .map(str::to_owned)
                .or_else(|| self.peer_name())
                .unwrap_or_else(|| "the peer".to_owned()),
            fault,
        })
    }

    /// What SASL can bind an authentication to, so that it is worth nothing on another connection (RFC 5802 §6).
    pub fn binding(&self) -> Binding {
        Binding {
            exporter: self.exporter.clone(),
            server_end_point: self.server_end_point(),
        }
    }

    /// The channel binding `tls-exporter` (RFC 9266): the same 32 octets on both sides, and on no other connection.
    ///
    /// `None` with TLS 1.2, where it needs an extension of which rustls does not tell whether it was used.
    pub fn exporter(&self) -> Option<&[u8]> {
        self.exporter.as_deref()
    }

    /// The channel binding `tls-server-end-point` (RFC 5929 §4): a hash of the server's certificate. `None` when its
    /// signature has no hash function, as with Ed25519.
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        let certificate = self.server_certificate.as_ref()?;
        Facts::read(certificate).ok()?.end_point_hash(certificate)
    }
}

/// RFC 9266 §4.2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// RFC 9266 §4.2.
const EXPORTER_OCTETS: usize = 32;

fn exporter(
    connection: &CommonState,
    export: impl FnOnce(&mut [u8; EXPORTER_OCTETS]) -> bool,
) -> Option<Vec<u8>> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let mut octets = [0; EXPORTER_OCTETS];
    export(&mut octets).then(|| octets.to_vec())
}

fn owned(connection: &CommonState) -> Vec<CertificateDer<'static>> {
    connection
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect()
}

/// The name of a server as TLS knows it. A host may be written with brackets or a final dot.
pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, Error> {
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| Error::BadServerName(name.to_owned()))
}

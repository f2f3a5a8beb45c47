//! Certificates made for one test each.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses a part"
)]
#![allow(
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

use beep_session::tls::{Identity, Trust};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Made {
    pub certificate: String,
    pub key: String,
    pub der: Vec<u8>,
}

impl Made {
    pub fn identity(&self) -> Identity {
        Identity::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).unwrap()
    }

    pub fn trust(&self) -> Trust {
        Trust::from_pem(self.certificate.as_bytes()).unwrap()
    }
}

/// What to change in a certificate before it is signed.
pub type Change = fn(&mut CertificateParams);

pub fn as_made(_: &mut CertificateParams) {}

pub fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2020, 2, 29);
}

pub fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(3000, 1, 1);
}

pub fn for_clients_only(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

pub fn as_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
}

pub fn explicitly_no_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::ExplicitNoCa;
}

/// The host stands in the common name alone, as it did long ago.
pub fn without_alternative_names(params: &mut CertificateParams) {
    params.subject_alt_names.clear();
}

fn params(name: &str, change: Change) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    params
}

/// A certificate for `name`, signed by itself.
pub fn self_signed(name: &str, change: Change) -> Made {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, change).self_signed(&key).unwrap();
    Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
    }
}

/// Somebody who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        Authority::changed(name, as_made)
    }

    pub fn changed(name: &str, change: Change) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        as_ca(&mut params);
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// An authority that this one vouches for.
    pub fn authority(&self, name: &str, change: Change) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        as_ca(&mut params);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// A certificate for `name`, a host or an address.
    pub fn issue(&self, name: &str) -> Made {
        self.issue_changed(name, as_made)
    }

    pub fn issue_changed(&self, name: &str, change: Change) -> Made {
        self.issue_with(name, change, KeyPair::generate().unwrap())
    }

    pub fn issue_with(&self, name: &str, change: Change, key: KeyPair) -> Made {
        let certificate = params(name, change).signed_by(&key, &self.issuer).unwrap();
        Made {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }

    pub fn trust(&self) -> Trust {
        Trust::from_pem(self.certificate.as_bytes()).unwrap()
    }
}

//! TLS as a transport: identities, trust, handshakes, and what a handshake brought to light.
//!
//! TLS 1.2 and 1.3, by rustls. [`connect`] and [`accept`] make TLS of any [`Transport`](crate::Transport); their
//! [`Stream`] is a transport again, so BEEP can also run over TLS from the first octet on:
//!
//! ```
//! use beep_session::tls::{ClientOptions, Identity, ServerOptions, Trust, accept, connect};
//! # let generated = rcgen::generate_simple_self_signed(["host.example".to_owned()])?;
//! # let (certificate, key) = (generated.cert.pem(), generated.signing_key.serialize_pem());
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let server = ServerOptions::new(Identity::from_pem(certificate.as_bytes(), key.as_bytes())?);
//! let client = ClientOptions {
//!     server_name: Some("host.example".to_owned()),
//!     trust: Trust::from_pem(certificate.as_bytes())?,
//!     identity: None,
//! };
//! let (near, far) = tokio::io::duplex(16_384);
//! let (near, far) = tokio::join!(connect(near, &client), accept(far, &server));
//! let ((_stream, info), (_, _)) = (near?, far?);
//! assert_eq!(info.version(), "TLSv1.3");
//! # Ok::<(), beep_session::tls::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod certificate;
mod configuration;
mod error;
mod handshake;
mod identity;
mod info;
mod options;
mod recent;
mod trust;
mod verifier;

pub use crate::tuning::Request;
pub use certificate::Certificate;
pub use error::{CertificateFault, Error};
pub(crate) use handshake::{Acceptor, Connector};
pub use handshake::{Stream, accept, connect};
pub use identity::Identity;
pub use info::Info;
pub use options::{ClientOptions, ServerOptions};
pub use trust::{Roots, Trust};

//! What rustls wants to know before a handshake, made once for the same options.

use std::sync::{Arc, LazyLock};

use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ServerConfig};

use super::error::Error;
use super::identity::Identity;
use super::options::{ClientOptions, ServerOptions};
use super::recent::Recent;
use super::trust::Roots;
use super::verifier::{NoIdentity, Verifier};

/// Configurations kept, of each side. One belongs to an identity and those it trusts, so few programs have more.
const KEPT_MOST: usize = 256;

/// The ids of the identity and of the roots that a configuration was made of.
type ClientKey = (Option<u64>, Option<u64>);

/// The id of the identity; and if clients are asked for a certificate, the id of the roots and whether they must have one.
type ServerKey = (u64, Option<(Option<u64>, bool)>);

static CLIENTS: Recent<ClientKey, Arc<ClientConfig>> = Recent::new(KEPT_MOST);
static SERVERS: Recent<ServerKey, Arc<ServerConfig>> = Recent::new(KEPT_MOST);

/// The cryptography. Named here and nowhere else, so that no other user of rustls in the process decides about it.
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(ring::default_provider()));
    &PROVIDER
}

/// For a client. Sessions with servers it knows are resumed.
pub(super) fn client(options: &ClientOptions) -> Result<Arc<ClientConfig>, Error> {
    let roots = options.trust.roots()?;
    let identity = options.identity.as_ref();
    let key = (identity.map(Identity::id), roots.as_ref().map(Roots::id));
    CLIENTS.get_or_make(key, || {
        let resolver: Arc<dyn ResolvesClientCert> = match identity {
            Some(identity) => Arc::new(SingleCertAndKey::from(identity.certified().clone())),
            None => Arc::new(NoIdentity),
        };
        let config = ClientConfig::builder_with_provider(provider().clone())
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::of_servers(roots)))
            .with_client_cert_resolver(resolver);
        Ok(Arc::new(config))
    })
}

/// For a server. It keeps no sessions: clients get tickets to resume theirs with.
pub(super) fn server(options: &ServerOptions) -> Result<Arc<ServerConfig>, Error> {
    let asked = match &options.client_trust {
        Some(trust) => Some((trust.roots()?, options.require_client)),
        None => None,
    };
    let key = (
        options.identity.id(),
        asked
            .as_ref()
            .map(|(roots, required)| (roots.as_ref().map(Roots::id), *required)),
    );
    SERVERS.get_or_make(key, || {
        let verifier = match asked {
            Some((roots, required)) => Arc::new(Verifier::of_clients(roots, required)) as Arc<_>,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let certified = options.identity.certified().clone();
        let mut config = ServerConfig::builder_with_provider(provider().clone())
            .with_safe_default_protocol_versions()
            .map_err(setup)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(setup)?;
        Ok(Arc::new(config))
    })
}

fn setup(error: rustls::Error) -> Error {
    Error::Setup(error.to_string())
}

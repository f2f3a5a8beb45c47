//! What each side brings to a handshake.

use super::identity::Identity;
use super::trust::Trust;

/// How to begin TLS as the client: the side that asked for it.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// The name that the server's certificate has to bear, a DNS name or an IP address. A DNS name is also told to
    /// the server. Default: none, for which a session takes the host that was connected to.
    pub server_name: Option<String>,
    /// Whose certificates are good. Default [`Trust::System`].
    pub trust: Trust,
    /// The certificate to show when the server asks for one. Default none.
    pub identity: Option<Identity>,
}

/// How to begin TLS as the server: the side that was asked for it.
///
/// What handshakes need of it is prepared once and kept for the options that were used of late, so these can be
/// made anew for every handshake.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The certificate to show.
    pub identity: Identity,
    /// Whether to ask the client for a certificate, and whose are good. Default: it is not asked.
    pub client_trust: Option<Trust>,
    /// Whether a client without a certificate is turned away. Means nothing unless it is asked. Default no.
    pub require_client: bool,
}

impl ServerOptions {
    /// Shows this certificate, and asks the client for none.
    pub fn new(identity: Identity) -> Self {
        ServerOptions {
            identity,
            client_trust: None,
            require_client: false,
        }
    }
}

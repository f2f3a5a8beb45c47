//! From a host and a port to a TCP connection, within a limit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Why there is no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name as it was given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the host took the connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address tried last.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The name was not resolved, or no connection made, within the limit.
    #[error("no connection to {host} port {port} within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The host as it was given.
        host: String,
        /// The port.
        port: u16,
        /// The limit that passed.
        limit: Duration,
    },
}

/// The addresses of `host`, which may be a name or a numeric IPv4 or IPv6 address (with or without
/// brackets).
///
/// # Errors
///
/// What the resolver says; [`io::ErrorKind::NotFound`] when it knows the name and no address.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // A numeric address needs no resolver, and so no thread.
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

/// Connects to the first address of `host` that answers. `limit` covers name resolution and all
/// attempts together.
///
/// # Errors
///
/// See [`ConnectError`].
pub async fn connect(host: &str, port: u16, limit: Duration) -> Result<TcpStream, ConnectError> {
    let attempt = async {
        let addresses = resolve(host, port)
            .await
            .map_err(|source| ConnectError::Resolve {
                host: host.to_owned(),
                source,
            })?;
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%address, %error, "no TCP_NODELAY");
                    }
                    return Ok(stream);
                }
                Err(source) => last = Some(ConnectError::Connect { address, source }),
            }
        }
        Err(last.unwrap_or_else(|| ConnectError::Resolve {
            host: host.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        }))
    };
    timeout(limit, attempt).await.unwrap_or_else(|_| {
        Err(ConnectError::TimedOut {
            host: host.to_owned(),
            port,
            limit,
        })
    })
}

//! Servers: listening, serving profiles, and stopping without cutting anybody off.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beep_core::{Config, ErrorReply};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::connect::resolve;
use crate::connection::{Accepting, Connection};
use crate::listener::{Accepted, Listener, ListenerLimits};
use crate::profiles::Profiles;
use crate::services::Services;
use crate::session::Addresses;

/// Time for the tasks of sessions that were dropped to report their ends.
const DROP_LIMIT: Duration = Duration::from_secs(1);

type Admit = Arc<dyn Fn(Addresses) -> Result<(), ErrorReply> + Send + Sync>;
type OnConnection = Arc<dyn Fn(Connection) + Send + Sync>;

/// How a server treats its connections.
#[derive(Clone, Default)]
pub struct ServerOptions {
    /// Limits and deadlines of each session.
    pub config: Arc<Config>,
    /// How many connections at once.
    pub limits: ListenerLimits,
    /// The profiles that the sessions serve themselves. Default none.
    pub services: Arc<Services>,
    /// Asked about every connection; `Err` goes out in place of the greeting. Must not block.
    /// Default: all are welcome.
    pub admit: Option<Admit>,
    /// Told of every connection, ahead of its greeting; also of one that takes the place of another for TLS. [`Connection::on_close`] tells of its end.
    /// Must not block.
    pub on_connection: Option<OnConnection>,
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerOptions {
            config,
            limits,
            services,
            ..
        } = self;
        f.debug_struct("ServerOptions")
            .field("config", config)
            .field("limits", limits)
            .field("services", services)
            .finish_non_exhaustive()
    }
}

/// A listening socket that serves profiles to whoever connects.
///
/// Dropping it stops listening; sessions live on.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    connections: Arc<Connections>,
}

/// The connections of a server that are alive.
#[derive(Debug, Default)]
struct Connections {
    /// By the number of their session. Taken out when it ends, so that the two do not keep each
    /// other alive.
    alive: Mutex<HashMap<u64, Connection>>,
    /// No new ones are wanted.
    is_closing: AtomicBool,
    emptied: Notify,
}

impl Server {
    /// Listens on `host` and `port`; port 0 picks a free one, see [`Server::local_addr`].
    ///
    /// A name that has several addresses listens on the first that can be had.
    ///
    /// # Errors
    ///
    /// What the resolver, `bind` and `listen` say.
    pub async fn bind(
        host: &str,
        port: u16,
        profiles: Profiles,
        options: ServerOptions,
    ) -> io::Result<Server> {
        let mut outcome = Err(io::Error::from(io::ErrorKind::NotFound));
        for address in resolve(host, port).await? {
            outcome = Server::listen(address, profiles.clone(), options.clone());
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn listen(
        address: SocketAddr,
        profiles: Profiles,
        options: ServerOptions,
    ) -> io::Result<Server> {
        let connections = Arc::new(Connections::default());
        let ServerOptions {
            config,
            limits,
            services,
            admit,
            on_connection,
        } = options;
        let registry = connections.clone();
        let welcome = Arc::new(move |connection: Connection| {
            registry.add(&connection);
            if let Some(on_connection) = &on_connection {
                on_connection(connection);
            }
        });
        let serve = move |accepted: Accepted| {
            let Accepted {
                stream,
                local,
                peer,
                admission,
            } = accepted;
            let addresses = Some(Addresses { local, peer });
            let refusal = admit
                .as_ref()
                .and_then(|admit| admit(Addresses { local, peer }).err());
            let (profiles, config) = (profiles.clone(), config.clone());
            let services = services.clone();
            let accepting = Accepting {
                addresses,
                admission: Some(admission),
                refusal,
                on_succession: Some(welcome.clone()),
            };
            let connection = Connection::listen(stream, profiles, config, services, accepting);
            welcome(connection);
        };
        let listener = Listener::bind(address, limits, move |accepted| {
            // A callback that panics costs its connection, not the listener.
            let serve = AssertUnwindSafe(|| serve(accepted));
            if std::panic::catch_unwind(serve).is_err() {
                tracing::error!(%address, "a callback of the server panicked");
            }
        })?;
        Ok(Server {
            listener,
            connections,
        })
    }

    /// The address that is listened on, with the port that was picked when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The connections that are alive.
    pub fn connections(&self) -> Vec<Connection> {
        self.connections.alive().values().cloned().collect()
    }

    /// How many connections are alive.
    pub fn connection_count(&self) -> usize {
        self.connections.alive().len()
    }

    /// Stops listening and releases every session; those that are not released within `limit` are
    /// dropped.
    ///
    /// Returns how many had to be dropped.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.listener.close();
        self.connections.is_closing.store(true, Ordering::SeqCst);
        for connection in self.connections() {
            release(connection);
        }
        if timeout(limit, self.connections.emptied()).await.is_ok() {
            return 0;
        }
        let rest = self.connections();
        for connection in &rest {
            connection.shutdown();
        }
        if timeout(DROP_LIMIT, self.connections.emptied())
            .await
            .is_err()
        {
            tracing::warn!("sessions do not report their end");
        }
        rest.len()
    }
}

/// Closes a connection in the background.
fn release(connection: Connection) {
    tokio::spawn(async move {
        if let Err(error) = connection.close().await {
            tracing::debug!(session = connection.session().id(), %error, "session not released");
        }
    });
}

impl Connections {
    fn alive(&self) -> MutexGuard<'_, HashMap<u64, Connection>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, connection: &Connection) {
        let id = connection.session().id();
        self.alive().insert(id, connection.clone());
        // After a handshake that was under way.
        if self.is_closing.load(Ordering::SeqCst) {
            release(connection.clone());
        }
        let registry = self.clone();
        connection.on_close(move |_| {
            let is_empty = {
                let mut alive = registry.alive();
                alive.remove(&id);
                alive.is_empty()
            };
            if is_empty {
                registry.emptied.notify_waiters();
            }
        });
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.alive().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

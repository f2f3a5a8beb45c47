//! Listening sockets: accepting connections, and how many of them at once.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// How long to wait after `accept` failed for want of something (descriptors, memory) that others
/// may give back.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Connections at once; one more is closed as soon as it is accepted. Default 16,384.
    pub connections_max: usize,
    /// Connections at once whose greeting is not here yet; one more is closed as soon as it is
    /// accepted. Default 8,192.
    pub half_open_max: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        ListenerLimits {
            connections_max: 16_384,
            half_open_max: 8_192,
        }
    }
}

/// A connection that a listener accepted, not yet a session.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// The address it came to.
    pub local: SocketAddr,
    /// The address it came from.
    pub peer: SocketAddr,
    /// The place kept for it; give it to [`crate::SessionOptions`].
    pub admission: Admission,
}

/// A listening socket and the task that accepts from it. Dropping it stops both; sessions live on.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    /// Shared with the task, so that the port is free as soon as nobody listens any more, and not with its next turn.
    socket: Arc<Mutex<Option<TcpListener>>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    half_open: AtomicUsize,
}

/// One place among the connections of a listener, given back when dropped.
#[derive(Debug)]
pub struct Admission {
    counts: Arc<Counts>,
    half_open: bool,
}

impl Admission {
    fn new(counts: &Arc<Counts>, limits: ListenerLimits) -> Option<Self> {
        // Only the accepting task adds, so a look before the addition is enough.
        if counts.connections.load(Ordering::Relaxed) >= limits.connections_max
            || counts.half_open.load(Ordering::Relaxed) >= limits.half_open_max
        {
            return None;
        }
        counts.connections.fetch_add(1, Ordering::Relaxed);
        counts.half_open.fetch_add(1, Ordering::Relaxed);
        Some(Admission {
            counts: counts.clone(),
            half_open: true,
        })
    }

    /// The peer's greeting is here.
    pub(crate) fn greeted(&mut self) {
        if std::mem::take(&mut self.half_open) {
            self.counts.half_open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.greeted();
        self.counts.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Listens on `address` and calls `accept` for every connection, from a task on the current
    /// tokio runtime.
    ///
    /// # Errors
    ///
    /// What `bind` and `listen` say: the address is in use, is not one of this machine, needs a
    /// privilege.
    pub fn bind(
        address: SocketAddr,
        limits: ListenerLimits,
        accept: impl FnMut(Accepted) + Send + 'static,
    ) -> io::Result<Listener> {
        let socket = if address.is_ipv6() {
            tokio::net::TcpSocket::new_v6()?
        } else {
            tokio::net::TcpSocket::new_v4()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // The kernel cuts this to its own limit; a short queue makes a burst of clients wait for
        // retransmissions.
        let socket = socket.listen(4096)?;
        let local = socket.local_addr()?;
        let socket = Arc::new(Mutex::new(Some(socket)));
        let task = tokio::spawn(run(socket.clone(), local, limits, accept)).abort_handle();
        tracing::debug!(%local, "listening");
        Ok(Listener {
            local,
            socket,
            task,
        })
    }

    /// The address that is listened on, with the port that was picked when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops listening at once; sessions live on. May be called again.
    pub fn close(&self) {
        lock(&self.socket).take();
        self.task.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(socket: &Mutex<Option<TcpListener>>) -> MutexGuard<'_, Option<TcpListener>> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next connection; none when the listener was closed.
async fn next(socket: &Mutex<Option<TcpListener>>) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    poll_fn(|cx| match &*lock(socket) {
        Some(socket) => socket.poll_accept(cx).map(Some),
        None => Poll::Ready(None),
    })
    .await
}

async fn run(
    socket: Arc<Mutex<Option<TcpListener>>>,
    local: SocketAddr,
    limits: ListenerLimits,
    mut accept: impl FnMut(Accepted) + Send + 'static,
) {
    let counts = Arc::new(Counts::default());
    while let Some(accepted) = next(&socket).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // The peer gave up before its turn came.
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%local, %error, "cannot accept connections now");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(admission) = Admission::new(&counts, limits) else {
            tracing::warn!(%local, %peer, "connection closed: too many at once");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "no TCP_NODELAY");
        }
        let local = if local.ip().is_unspecified() {
            stream.local_addr().unwrap_or(local)
        } else {
            local
        };
        accept(Accepted {
            stream,
            local,
            peer,
            admission,
        });
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

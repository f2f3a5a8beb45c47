//! What the tests of this folder share.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses a part"
)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy looks for tests in functions alone"
)]

pub mod faults;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use beep_session::{
    Channel, Config, ConnectOptions, Connection, End, Profiles, Server, ServerOptions,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

pub const ECHO: &str = "urn:test:echo";
/// No test waits longer for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The result of `future`, which has to come within the limit.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(LIMIT, future).await {
            Ok(output) => output,
            Err(_) => panic!("{caller}: nothing happened within {LIMIT:?}"),
        }
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    within(async move {
        while !condition() {
            // Between two looks, so that waiting does not keep a processor busy. However long it
            // takes, only the limit of `within` makes a test fail.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

pub async fn echo(channel: Channel) {
    while let Some(message) = channel.recv().await {
        let payload = message.payload();
        let _ = message.reply(payload).await;
    }
}

pub fn echo_profiles() -> Profiles {
    Profiles::new().serve(ECHO, echo)
}

/// A client and a server of `profiles` with a pipe between them.
pub async fn pair(profiles: Profiles) -> (Connection, Connection) {
    pair_with(ConnectOptions::default(), profiles, Config::default()).await
}

pub async fn pair_with(
    options: ConnectOptions,
    profiles: Profiles,
    config: Config,
) -> (Connection, Connection) {
    let (here, there) = tokio::io::duplex(256 * 1024);
    let server = Connection::accept(there, profiles, config.checked().unwrap());
    let client = within(Connection::over(here, options)).await.unwrap();
    (client, server)
}

pub fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    config.checked().unwrap()
}

pub async fn server(profiles: Profiles) -> Server {
    within(Server::bind(
        "127.0.0.1",
        0,
        profiles,
        ServerOptions::default(),
    ))
    .await
    .unwrap()
}

pub async fn client_of(server: &Server) -> Connection {
    let port = server.local_addr().port();
    within(Connection::connect(
        "127.0.0.1",
        port,
        ConnectOptions::default(),
    ))
    .await
    .unwrap()
}

/// Waits until nothing moves any more: a condition that `holds`, and a `state` that stays the same
/// while requests on `probe`, another channel of the same session, go there and back.
///
/// What was on its way when a request was sent is handled when its reply is here. Two of them: the
/// first brings what was under way, the second what was said to it.
pub async fn settled<T: PartialEq>(
    probe: &Channel,
    holds: impl Fn() -> bool,
    state: impl Fn() -> T,
) -> T {
    within(async {
        loop {
            until(&holds).await;
            let before = state();
            for _ in 0..2 {
                probe.request("").await.unwrap();
            }
            if holds() && state() == before {
                return before;
            }
        }
    })
    .await
}

/// How often a connection reported its end.
#[derive(Clone, Default)]
pub struct Ends {
    count: Arc<AtomicUsize>,
    /// Alive as long as the callback that counts.
    callback: Weak<()>,
}

impl Ends {
    pub fn of(connection: &Connection) -> Self {
        let (count, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let ends = Ends {
            count: count.clone(),
            callback: Arc::downgrade(&alive),
        };
        connection.on_close(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            drop(alive);
        });
        ends
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits for the end of `connection`, which is to be reported once.
    pub async fn once(&self, connection: &Connection) -> Arc<End> {
        let end = within(connection.closed()).await;
        // With the callback gone there is nobody left who could report, or report again.
        until(|| self.callback.strong_count() == 0).await;
        assert_eq!(self.count(), 1, "the end is to be reported once: {end}");
        assert!(!connection.is_alive());
        end
    }
}

/// A peer that is played by hand.
pub struct ByHand<S = DuplexStream> {
    pub stream: S,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByHand<S> {
    pub fn new(stream: S) -> Self {
        ByHand {
            stream,
            received: Vec::new(),
        }
    }

    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        within(self.stream.write_all(octets.as_ref()))
            .await
            .unwrap();
    }

    pub async fn greet(&mut self) {
        self.send(management("RPY", 0, 0, "<greeting />\r\n")).await;
    }

    /// Reads until `text` was received; what came before it and with it is forgotten.
    pub async fn expect(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = find(&self.received, text.as_bytes()) {
                let taken: Vec<u8> = self.received.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let read = within(self.stream.read(&mut buffer)).await.unwrap_or(0);
            let received = String::from_utf8_lossy(&self.received).into_owned();
            assert!(
                read > 0,
                "the stream ended before {text:?}; received {received:?}"
            );
            self.received.extend_from_slice(&buffer[..read]);
        }
    }

    /// What was received behind what was expected.
    pub fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    /// Reads to the end of the stream.
    pub async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let _ = within(self.stream.read_to_end(&mut rest)).await;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// A frame on channel 0.
pub fn management(kind: &str, msgno: u32, seqno: usize, document: &str) -> String {
    frame(
        kind,
        0,
        msgno,
        seqno,
        &format!("Content-Type: application/beep+xml\r\n\r\n{document}"),
    )
}

pub fn frame(kind: &str, channel: u32, msgno: u32, seqno: usize, content: &str) -> String {
    format!(
        "{kind} {channel} {msgno} . {seqno} {}\r\n{content}END\r\n",
        content.len()
    )
}

/// Octets that `document` takes up on channel 0.
pub fn management_len(document: &str) -> usize {
    "Content-Type: application/beep+xml\r\n\r\n".len() + document.len()
}

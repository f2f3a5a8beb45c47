//! The relay: connects clients through, and tells of every octet before it passes it on.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::RelayArguments;
use super::recording::{Entry, Side, Writer};
use super::show::{self, Sessions};
use crate::tools::endpoint::Endpoint;
use crate::tools::failure::Failure;
use crate::tools::interrupt;
use crate::tools::terminal::{self, BAD, paint};

/// Octets read at once.
const READ: usize = 64 * 1024;
/// Lines of the recording that wait to be written; the relay waits when there are more.
const WAITING: usize = 256;
/// Octets of each payload that are kept to be shown.
const PAYLOAD_KEPT: usize = 1 << 20;
/// Time after which `accept` is tried again when there are too few descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

pub(super) async fn run(arguments: RelayArguments) -> Result<(), Failure> {
    let stopped = interrupt::requested();
    // clap insists on it.
    let target = arguments
        .target
        .clone()
        .ok_or_else(|| Failure::misuse("trace needs HOST:PORT"))?;
    let (listener, local) = bind(&arguments.listen).await.map_err(|error| {
        let message = format!(
            "cannot listen on {}: {error}; another address or port may do",
            arguments.listen
        );
        Failure::local(message)
    })?;
    // Only now: a recording that is there already is not lost for nothing.
    let writer = arguments.save.as_deref().map(Writer::create).transpose()?;
    terminal::line(format_args!("relaying {local} to {target}"))?;

    let (sender, mut entries) = mpsc::channel(WAITING);
    let mut recorder = Recorder {
        writer,
        sessions: Sessions::new(PAYLOAD_KEPT),
        is_quiet: arguments.quiet,
        shows_payload: arguments.payload,
    };
    recorder.take(&Entry::begin(target.to_string()))?;
    let relay = Relay {
        target,
        limit: arguments.timeout,
        started: Instant::now(),
        entries: sender,
    };
    tokio::select! {
        () = relay.accept(&listener, arguments.count) => {}
        outcome = recorder.run(&mut entries) => return outcome,
        () = stopped => {}
    }
    // What has passed is told to the end.
    entries.close();
    recorder.run(&mut entries).await
}

async fn bind(at: &Endpoint) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((at.host.as_str(), at.port)).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Writes and shows what passes, one after the other.
struct Recorder {
    writer: Option<Writer>,
    sessions: Sessions,
    is_quiet: bool,
    shows_payload: bool,
}

impl Recorder {
    async fn run(&mut self, entries: &mut mpsc::Receiver<Entry>) -> Result<(), Failure> {
        while let Some(entry) = entries.recv().await {
            self.take(&entry)?;
        }
        Ok(())
    }

    fn take(&mut self, entry: &Entry) -> Result<(), Failure> {
        if let Some(writer) = &mut self.writer {
            writer.write(entry)?;
        }
        if self.is_quiet {
            return Ok(());
        }
        if let Some(line) = show::event_line(entry) {
            terminal::line(line)?;
        }
        for frame in self.sessions.take(entry) {
            terminal::text(&show::lines(&frame, self.shows_payload))?;
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Relay {
    target: Endpoint,
    limit: Duration,
    started: Instant,
    entries: mpsc::Sender<Entry>,
}

impl Relay {
    /// Takes clients until `count` of them have come and gone.
    async fn accept(self, listener: &TcpListener, count: Option<u32>) {
        let mut clients = JoinSet::new();
        let mut session = 0;
        while count.is_none_or(|count| session < count) {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, address)) => {
                        session += 1;
                        let relay = self.clone();
                        clients.spawn(async move {
                            relay.connect_through(session, client, address.to_string()).await;
                        });
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
                },
                Some(_) = clients.join_next() => {}
            }
        }
        while clients.join_next().await.is_some() {}
        // The recorder ends when nobody has anything to tell any more.
        drop(self);
        std::future::pending::<()>().await;
    }

    async fn connect_through(self, session: u32, client: TcpStream, address: String) {
        let open = Entry::Open {
            us: self.us(),
            session,
            client: address,
        };
        if self.entries.send(open).await.is_err() {
            return;
        }
        let Endpoint { host, port } = &self.target;
        let listener = match beep_session::connect(host, *port, self.limit).await {
            Ok(listener) => listener,
            Err(error) => {
                terminal::remark(format_args!(
                    "{} #{session}: {error}; is the listener running?",
                    paint(BAD, "luavortex:")
                ));
                for from in [Side::Listener, Side::Client] {
                    let error = (from == Side::Listener).then(|| error.to_string());
                    self.end(session, from, error).await;
                }
                return;
            }
        };
        // Small frames shall pass as they come.
        let _ = client.set_nodelay(true);
        let (from_client, to_client) = client.into_split();
        let (from_listener, to_listener) = listener.into_split();
        tokio::join!(
            self.pass(session, Side::Client, from_client, to_listener),
            self.pass(session, Side::Listener, from_listener, to_client),
        );
    }

    /// Passes octets on in one direction, to the end of both.
    async fn pass(
        &self,
        session: u32,
        from: Side,
        mut reader: OwnedReadHalf,
        mut writer: OwnedWriteHalf,
    ) {
        let mut buffer = vec![0; READ];
        let error = loop {
            let count = match reader.read(&mut buffer).await {
                Ok(0) => break None,
                Ok(count) => count,
                Err(error) => break Some(error.to_string()),
            };
            let octets = buffer.get(..count).unwrap_or_default();
            let entry = Entry::Octets {
                us: self.us(),
                session,
                from,
                octets: octets.to_vec(),
            };
            // Before they are passed on, so that no answer stands ahead of its question.
            if self.entries.send(entry).await.is_err() {
                return;
            }
            if let Err(error) = writer.write_all(octets).await {
                break Some(format!(
                    "the {} takes no more: {error}",
                    from.other().name()
                ));
            }
        };
        self.end(session, from, error).await;
        // The other direction may go on.
        let _ = writer.shutdown().await;
    }

    async fn end(&self, session: u32, from: Side, error: Option<String>) {
        let us = self.us();
        // An error means that the tool is at its end.
        let _ = self
            .entries
            .send(Entry::End {
                us,
                session,
                from,
                error,
            })
            .await;
    }

    fn us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

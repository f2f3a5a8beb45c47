//! The client: the workloads.

use std::collections::VecDeque;
use std::error::Error;
use std::time::{Duration, Instant};

use beep_session::sasl::{Credentials, Mechanism};
use beep_session::tls::{ClientOptions, Trust};
use beep_session::{Channel, ConnectOptions, Connection};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::PROFILE;
use crate::measure::{Run, Unit, server_memory, setting, unsupported};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

pub(crate) async fn run(workloads: &str, port: u16) -> Result<(), Box<dyn Error>> {
    for name in workloads.split(',') {
        let client = Client { name, port };
        client
            .workload()
            .await
            .map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

struct Client<'a> {
    name: &'a str,
    port: u16,
}

const MESSAGES: Unit = Unit::Each("msgs/s");

impl Client<'_> {
    async fn workload(&self) -> Outcome {
        let window = setting("WINDOW", 100);
        match self.name {
            "rtt64" => self.ping_pong(false, "echo", 64, MESSAGES).await,
            "rtt1k" => self.ping_pong(false, "echo", 1024, MESSAGES).await,
            "rtt16k" => self.ping_pong(false, "echo", 16384, MESSAGES).await,
            "bulk1m_echo" => {
                self.ping_pong(false, "echo", 1 << 20, Unit::Megabytes)
                    .await
            }
            "bulk1m_sink" => {
                self.ping_pong(false, "sink", 1 << 20, Unit::Megabytes)
                    .await
            }
            "bulk16m_echo" => {
                self.ping_pong(false, "echo", 1 << 24, Unit::Megabytes)
                    .await
            }
            "bulk16m_sink" => {
                self.ping_pong(false, "sink", 1 << 24, Unit::Megabytes)
                    .await
            }
            "tls_rtt64" => self.ping_pong(true, "echo", 64, MESSAGES).await,
            "tls_bulk16m_sink" => self.ping_pong(true, "sink", 1 << 24, Unit::Megabytes).await,
            "pipe64" => self.pipelined(1, 1, window, 64).await,
            "pipe1k" => self.pipelined(1, 1, window, 1024).await,
            "fan8" => self.pipelined(8, 1, 8, 64).await,
            "chan100_par" => self.pipelined(1, setting("CHANNELS", 100), 1, 64).await,
            "chan100" => self.channels_in_turn().await,
            "open_close" => self.open_close().await,
            "ans64" => self.answers(64).await,
            "ans1k" => self.answers(1024).await,
            "connect" => self.connections("conn/s", Session::Used).await,
            "tls_handshake" => self.connections("handshakes/s", Session::Secured).await,
            "sasl_plain" => self.connections("auths/s", Session::Authenticated).await,
            "idle" => self.idle().await,
            "among1k" => self.among(setting("IDLE", 1000).min(1000)).await,
            "among10k" => self.among(setting("IDLE", 10_000).min(10_000)).await,
            other => {
                unsupported(other);
                Ok(())
            }
        }
    }

    async fn connect(&self) -> Result<Connection, beep_session::Error> {
        Connection::connect("127.0.0.1", self.port, ConnectOptions::default()).await
    }

    async fn ping_pong(&self, is_secured: bool, profile: &str, size: usize, unit: Unit) -> Outcome {
        let mut connection = self.connect().await?;
        if is_secured {
            connection = secure(&connection).await?;
        }
        let channel = open(&connection, profile).await?;
        let payload = payload(size);
        for _ in 0..if size > 100_000 { 1 } else { 50 } {
            ask(&channel, &payload).await?;
        }
        let (mut run, mut n) = (Run::begin(), 0);
        while !run.is_over() || n < 2 {
            let start = Instant::now();
            ask(&channel, &payload).await?;
            run.latency(start);
            n += 1;
        }
        run.report(self.name, n, size, unit);
        connection.close().await?;
        Ok(())
    }

    async fn channels_in_turn(&self) -> Outcome {
        let connection = self.connect().await?;
        let mut channels = Vec::new();
        for _ in 0..setting("CHANNELS", 100) {
            channels.push(open(&connection, "echo").await?);
        }
        let payload = payload(64);
        let (mut run, mut n) = (Run::begin(), 0);
        for channel in channels.iter().cycle() {
            let start = Instant::now();
            ask(channel, &payload).await?;
            run.latency(start);
            n += 1;
            if run.is_over() && n >= 2 {
                break;
            }
        }
        run.report(self.name, n, 64, MESSAGES);
        connection.close().await?;
        Ok(())
    }

    async fn open_close(&self) -> Outcome {
        let connection = self.connect().await?;
        let (mut run, mut n) = (Run::begin(), 0);
        while !run.is_over() || n < 2 {
            let start = Instant::now();
            open(&connection, "echo").await?.close().await?;
            run.latency(start);
            n += 1;
        }
        run.report(self.name, n, 0, Unit::Each("pairs/s"));
        connection.close().await?;
        Ok(())
    }

    /// Keeps `window` messages outstanding on each channel.
    async fn pipelined(
        &self,
        connections: usize,
        channels: usize,
        window: usize,
        size: usize,
    ) -> Outcome {
        let mut opened = Vec::new();
        for _ in 0..connections {
            let connection = self.connect().await?;
            for _ in 0..channels {
                opened.push(open(&connection, "echo").await?);
            }
        }
        let run = Run::begin();
        let stop = Instant::now() + Duration::from_secs_f64(crate::measure::seconds());
        let mut tasks = JoinSet::new();
        for channel in opened {
            tasks.spawn(keep_outstanding(channel, window, payload(size), stop));
        }
        let mut n = 0;
        while let Some(done) = tasks.join_next().await {
            n += done??;
        }
        run.report(self.name, n, size, MESSAGES);
        Ok(())
    }

    async fn answers(&self, size: usize) -> Outcome {
        let connection = self.connect().await?;
        let channel = open(&connection, "stream").await?;
        let question = format!("{} {size}", setting("ANS", 10_000));
        let (mut run, mut n, mut series) = (Run::begin(), 0, 0);
        while !run.is_over() || series < 2 {
            let start = Instant::now();
            let mut answers = channel.answers(question.clone()).await?;
            while answers.next().await?.is_some() {
                n += 1;
            }
            run.latency(start);
            series += 1;
        }
        run.report(self.name, n, size, Unit::Each("ANS/s"));
        connection.close().await?;
        Ok(())
    }

    async fn connections(&self, unit: &'static str, session: Session) -> Outcome {
        for _ in 0..3 {
            session.once(self).await?;
        }
        let (mut run, mut n) = (Run::begin(), 0);
        while !run.is_over() || n < 2 {
            let start = Instant::now();
            session.once(self).await?;
            run.latency(start);
            n += 1;
        }
        run.report(self.name, n, 0, Unit::Each(unit));
        Ok(())
    }

    /// Connections with a channel that has been used.
    async fn connect_idle(&self, count: usize) -> Result<Vec<Channel>, beep_session::Error> {
        let mut channels = Vec::new();
        for _ in 0..count {
            let channel = open(&self.connect().await?, "echo").await?;
            ask(&channel, &payload(64)).await?;
            channels.push(channel);
        }
        Ok(channels)
    }

    async fn idle(&self) -> Outcome {
        let count: usize = setting("IDLE", 1000);
        let first = self.connect_idle(1).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = server_memory();
        let mut run = Run::begin();
        let channels = self.connect_idle(count).await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let each = match (before, server_memory()) {
            (Some(before), Some(after)) => (after - before) / count as f64,
            _ => -1.0,
        };
        for channel in &channels {
            let start = Instant::now();
            ask(channel, &payload(64)).await?;
            run.latency(start);
        }
        run.report(self.name, count, 64, Unit::Given("KiB/conn", each));
        drop(first);
        Ok(())
    }

    /// How much slower a round trip is while other connections are open and idle.
    async fn among(&self, count: usize) -> Outcome {
        let connection = self.connect().await?;
        let channel = open(&connection, "echo").await?;
        seconds_each(&channel).await?;
        let before = seconds_each(&channel).await?;
        let others = self.connect_idle(count).await?;
        let run = Run::begin();
        let among = seconds_each(&channel).await?;
        for other in others {
            other.connection().close().await?;
        }
        let after = seconds_each(&channel).await?;
        let times = among / f64::midpoint(before, after);
        run.report(self.name, count, 64, Unit::Given("times", times));
        Ok(())
    }
}

/// What is done with a connection before it is closed.
enum Session {
    Used,
    Secured,
    Authenticated,
}

impl Session {
    async fn once(&self, client: &Client<'_>) -> Outcome {
        let mut connection = client.connect().await?;
        match self {
            Session::Used => {
                let channel = open(&connection, "echo").await?;
                ask(&channel, &payload(64)).await?;
                channel.close().await?;
            }
            Session::Secured => connection = secure(&connection).await?,
            Session::Authenticated => {
                let credentials = Credentials::new(Mechanism::Plain, "bob").with_password("secret");
                let (sender, receiver) = oneshot::channel();
                connection.session().authenticate(&credentials, |outcome| {
                    let _ = sender.send(outcome);
                });
                receiver.await??;
            }
        }
        connection.close().await?;
        Ok(())
    }
}

async fn keep_outstanding(
    channel: Channel,
    window: usize,
    payload: Bytes,
    stop: Instant,
) -> Result<usize, beep_session::Error> {
    let mut outstanding = VecDeque::new();
    for _ in 0..window {
        outstanding.push_back(channel.send(payload.clone())?);
    }
    let mut n = 0;
    while let Some(reply) = outstanding.pop_front() {
        reply.await?.into_payload()?;
        n += 1;
        if Instant::now() < stop {
            outstanding.push_back(channel.send(payload.clone())?);
        }
    }
    Ok(n)
}

async fn seconds_each(channel: &Channel) -> Result<f64, beep_session::Error> {
    let (run, start, mut n) = (Run::begin(), Instant::now(), 0);
    let payload = payload(64);
    while !run.is_over() || n < 2 {
        ask(channel, &payload).await?;
        n += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(n))
}

fn payload(size: usize) -> Bytes {
    Bytes::from(vec![b'x'; size])
}

async fn open(connection: &Connection, profile: &str) -> Result<Channel, beep_session::Error> {
    connection.open(format!("{PROFILE}{profile}")).await
}

async fn ask(channel: &Channel, payload: &Bytes) -> Result<Bytes, beep_session::Error> {
    channel.request(payload.clone()).await?.into_payload()
}

/// What the certificate is worth does not matter here.
async fn secure(connection: &Connection) -> Result<Connection, beep_session::Error> {
    let options = ClientOptions {
        trust: Trust::Nobody,
        ..ClientOptions::default()
    };
    connection.start_tls(options).await
}

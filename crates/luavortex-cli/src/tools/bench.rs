//! `luavortex bench`: how fast a peer is, and whether it stays so.

mod measurement;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use beep_session::{Channel, Config, Connection};
use bytes::Bytes;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::endpoint::{Endpoint, SessionArguments, Target, octets, seconds};
use super::failure::{Failure, Status};
use super::interrupt;
use super::terminal;
use measurement::Measurement;
use tally::{Counters, Tally};

/// Between two looks of the live display.
const DISPLAY_PERIOD: Duration = Duration::from_millis(200);
/// Before a connection that failed is tried again: a listener that is down shall not be flooded.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Messages at once where throughput is measured: enough that the peer never waits for the next one.
const STREAM_DEPTH: u32 = 4;

/// Measure how fast a peer is
///
/// Sends messages of a profile that answers each with one reply, such as that of `luavortex listen --echo`, and measures
/// round trips, throughput and new connections, one after the other. Connections that fail are made again, and what
/// failed is counted. Ctrl-C ends a measurement early, with what was measured so far.
#[derive(clap::Args)]
#[command(after_long_help = help())]
pub(super) struct Arguments {
    /// The peer
    #[arg(value_name = "HOST:PORT")]
    peer: Endpoint,

    /// The profile to use
    #[arg(long, value_name = "URI", value_parser = super::endpoint::profile)]
    profile: String,

    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT",
          default_values_t = [What::RoundTrips, What::Throughput, What::Connections])]
    measure: Vec<What>,

    /// Time for each measurement
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    duration: Duration,

    /// End each measurement as soon as this many are done or failed, whatever the time
    #[arg(long, value_name = "COUNT", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Connections at once
    #[arg(long, short, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,

    /// Messages at once on each connection, for round trips
    #[arg(long, short, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    outstanding: u32,

    /// Payload of a message, for round trips
    #[arg(long, value_name = "OCTETS", default_value = "64", value_parser = octets)]
    size: u64,

    /// Payload of a message, for throughput
    #[arg(long, value_name = "OCTETS", default_value = "1M", value_parser = octets)]
    large: u64,

    /// Close each connection after this many messages, and make it anew
    #[arg(long, value_name = "MESSAGES", value_parser = clap::value_parser!(u64).range(1..))]
    churn: Option<u64>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    session: SessionArguments,
}

fn help() -> String {
    format!(
        "Examples:\n  luavortex bench localhost:10288 --profile urn:example:echo\n  \
         luavortex bench localhost:10288 --profile urn:example:echo --measure round-trips -c 10 -o 16 --json\n  \
         luavortex bench localhost:10288 --profile urn:example:echo --measure round-trips --duration 3600 -c 200 --churn 50\n\n\
         The exit status is 3 also when something failed in the course of a measurement.\n\n{}",
        super::EXIT_STATUS
    )
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    /// Small messages, each answered before the next
    RoundTrips,
    /// Large messages
    Throughput,
    /// Connections made and released
    Connections,
}

/// What all workers of a measurement share.
struct Bench {
    target: Target,
    profile: String,
    payload: Bytes,
    outstanding: u32,
    churn: Option<u64>,
    counters: Counters,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    // One that cannot work is told at once, and not after a measurement without results.
    let target = arguments.session.target(&arguments.peer)?;
    interrupt::unless_interrupted(trial(&arguments, &target)).await?;

    let mut measurements = Vec::new();
    let mut is_interrupted = false;
    for what in &arguments.measure {
        let (measurement, interrupted) = measure(&arguments, &target, *what).await;
        if !arguments.json {
            terminal::text(&measurement.to_text())?;
        }
        measurements.push(measurement);
        if interrupted {
            is_interrupted = true;
            break;
        }
    }
    if arguments.json {
        let report = measurement::report(&arguments.peer, &arguments.profile, &measurements);
        terminal::octets(report.as_bytes())?;
    }
    if is_interrupted {
        return Err(Failure::interrupted());
    }
    match measurements.iter().map(Measurement::failures).sum() {
        0 => Ok(()),
        count => Err(Failure::new(
            Status::Unreachable,
            format!("{count} failures in the course of the measurements"),
        )),
    }
}

/// Makes sure that the peer is there and answers.
async fn trial(arguments: &Arguments, target: &Target) -> Result<(), Failure> {
    let bench = arguments.bench(target, What::RoundTrips);
    let peer = &target.peer;
    let connection = target.connect(Config::default()).await?;
    let what = format!("no channel of {}", bench.profile);
    let opened = connection.open(&bench.profile).await;
    let channel = opened.map_err(|error| Failure::of_session(what, peer, &error))?;
    let asked = tokio::time::timeout(bench.target.timeout, channel.request(bench.payload.clone()));
    let reply = match asked.await {
        Ok(reply) => reply.and_then(beep_session::Reply::into_payload),
        Err(_) => Err(beep_session::Error::NoAnswer),
    };
    let what = format!("a message of {} gets no reply", bench.profile);
    reply.map_err(|error| Failure::of_session(what, peer, &error))?;
    let released = connection.close().await;
    released.map_err(|error| Failure::of_session("the session is not released", peer, &error))
}

impl Arguments {
    fn bench(&self, target: &Target, what: What) -> Bench {
        let (size, outstanding) = match what {
            What::Throughput => (self.large, self.outstanding.max(STREAM_DEPTH)),
            What::RoundTrips | What::Connections => (self.size, self.outstanding),
        };
        Bench {
            target: target.clone(),
            profile: self.profile.clone(),
            payload: vec![b'x'; usize::try_from(size).unwrap_or(usize::MAX)].into(),
            outstanding,
            churn: self.churn,
            counters: Counters::default(),
        }
    }
}

/// Measures one thing. Tells whether Ctrl-C cut it short.
async fn measure(arguments: &Arguments, target: &Target, what: What) -> (Measurement, bool) {
    let interrupted = interrupt::requested();
    let bench = Arc::new(arguments.bench(target, what));
    let (stop, stopped) = watch::channel(false);
    let mut workers = JoinSet::new();
    for _ in 0..arguments.connections {
        let (bench, stopped) = (bench.clone(), stopped.clone());
        match what {
            What::Connections => workers.spawn(connect_again_and_again(bench, stopped)),
            What::RoundTrips | What::Throughput => {
                workers.spawn(ask_again_and_again(bench, stopped))
            }
        };
    }
    let started = Instant::now();
    let is_interrupted = tokio::select! {
        () = watch_progress(what, &bench, arguments) => false,
        () = interrupted => true,
    };
    let took = started.elapsed();
    // Nobody listens only when all workers have ended.
    let _ = stop.send(true);
    let mut total = Tally::default();
    while let Some(tally) = workers.join_next().await {
        total.add(tally.unwrap_or_default());
    }
    let measurement = Measurement::new(what, arguments, &bench, took, &total);
    (measurement, is_interrupted)
}

/// Waits for the end of the measurement, and shows on standard error, when it is a terminal, how far it is.
async fn watch_progress(what: What, bench: &Bench, arguments: &Arguments) {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let duration = arguments.duration;
    let bar = ProgressBar::new(arguments.count.unwrap_or_else(|| millis(duration)));
    if let Ok(style) = ProgressStyle::with_template("{prefix:12} {bar:20} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(measurement::name(what));
    let started = Instant::now();
    let mut before = (Duration::ZERO, bench.counters.read());
    loop {
        let (elapsed, counts) = (started.elapsed(), bench.counters.read());
        bar.set_message(counts.since(&before.1, elapsed.saturating_sub(before.0)));
        let left = match arguments.count {
            None => duration.saturating_sub(elapsed),
            Some(count) if counts.total() >= count => Duration::ZERO,
            Some(_) => DISPLAY_PERIOD,
        };
        if left.is_zero() {
            break;
        }
        bar.set_position(arguments.count.map_or(millis(elapsed), |_| counts.total()));
        before = (elapsed, counts);
        tokio::time::sleep(left.min(DISPLAY_PERIOD)).await;
    }
    bar.finish_and_clear();
}

/// Asks on one connection, several times at once, and makes it anew when it fails or has served long enough.
async fn ask_again_and_again(bench: Arc<Bench>, mut stopped: watch::Receiver<bool>) -> Tally {
    let mut total = Tally::default();
    while !*stopped.borrow() {
        let opened = tokio::select! {
            opened = bench.open() => opened,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let (connection, channel) = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                total.failed(&bench.counters, reason);
                wait_before_retry(&mut stopped).await;
                continue;
            }
        };
        let mut askers = JoinSet::new();
        // The share of each asker, rounded up.
        let share = bench
            .churn
            .map(|messages| messages.div_ceil(bench.outstanding.into()));
        for _ in 0..bench.outstanding {
            askers.spawn(ask(bench.clone(), channel.clone(), share, stopped.clone()));
        }
        while let Some(tally) = askers.join_next().await {
            total.add(tally.unwrap_or_default());
        }
        drop(channel);
        if let Err(error) = connection.close().await
            && !*stopped.borrow()
        {
            total.failed(&bench.counters, error.to_string());
            wait_before_retry(&mut stopped).await;
        }
    }
    total
}

/// Asks until it is told to stop, something fails, or `most` messages are answered.
async fn ask(
    bench: Arc<Bench>,
    channel: Channel,
    most: Option<u64>,
    mut stopped: watch::Receiver<bool>,
) -> Tally {
    let mut tally = Tally::default();
    let octets = bench.payload.len() as u64;
    let mut count = 0;
    while most.is_none_or(|most| count < most) {
        let started = Instant::now();
        let asked =
            tokio::time::timeout(bench.target.timeout, channel.request(bench.payload.clone()));
        let reply = tokio::select! {
            reply = asked => reply,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let outcome = match reply {
            Ok(reply) => reply
                .and_then(beep_session::Reply::into_payload)
                .map_err(|error| error.to_string()),
            Err(_) => Err("the peer did not answer in time".to_owned()),
        };
        match outcome {
            Ok(answer) => {
                let back = answer.len() as u64;
                tally.done(&bench.counters, started.elapsed(), octets, back);
                count += 1;
            }
            Err(reason) => {
                tally.failed(&bench.counters, reason);
                break;
            }
        }
    }
    tally
}

async fn connect_again_and_again(bench: Arc<Bench>, mut stopped: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    while !*stopped.borrow() {
        let started = Instant::now();
        let outcome = tokio::select! {
            outcome = bench.connect_and_release() => outcome,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match outcome {
            Ok(()) => tally.done(&bench.counters, started.elapsed(), 0, 0),
            Err(reason) => {
                tally.failed(&bench.counters, reason);
                wait_before_retry(&mut stopped).await;
            }
        }
    }
    tally
}

async fn wait_before_retry(stopped: &mut watch::Receiver<bool>) {
    // What ends the wait early ends the worker.
    let _ = tokio::time::timeout(RETRY_DELAY, stopped.wait_for(|stopped| *stopped)).await;
}

impl Bench {
    async fn open(&self) -> Result<(Connection, Channel), String> {
        let connected = self.target.connect(Config::default()).await;
        let connection = connected.map_err(|failure| failure.message)?;
        let opened = connection.open(&self.profile).await;
        let channel = opened.map_err(|error| error.to_string())?;
        Ok((connection, channel))
    }

    async fn connect_and_release(&self) -> Result<(), String> {
        let connected = self.target.connect(Config::default()).await;
        let connection = connected.map_err(|failure| failure.message)?;
        connection.close().await.map_err(|error| error.to_string())
    }
}

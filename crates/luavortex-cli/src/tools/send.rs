//! `luavortex send`: sends messages and prints the answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beep_session::{
    Channel, Config, Error, Message, MessageKind, Outgoing, ReplyCode, StartOptions,
};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::time::MissedTickBehavior;

use super::endpoint::{Endpoint, SessionArguments, octets};
use super::failure::{Failure, Status};
use super::interrupt::unless_interrupted;
use super::terminal::{self, BAD, FAINT, GOOD, paint};

/// A transfer that takes longer gets a progress bar.
const BAR_DELAY: Duration = Duration::from_millis(500);
const BAR_PERIOD: Duration = Duration::from_millis(100);
/// Octets beyond which the length of a message may be what a peer ended the session for.
const LONG: u64 = 1 << 20;

/// Send messages and print the answers
///
/// Starts a channel of the profile and sends each message when the one before is answered. Payloads of answers go to
/// standard output as they come, each ended by a line end if it has none; their kinds (RPY, ERR, ANS) and times go to
/// standard error.
#[derive(clap::Args)]
#[command(after_long_help = help())]
#[command(group = clap::ArgGroup::new("source").required(true))]
pub(super) struct Arguments {
    /// The peer
    #[arg(value_name = "HOST:PORT")]
    peer: Endpoint,

    /// The profile of the channel
    #[arg(long, value_name = "URI", value_parser = super::endpoint::profile)]
    profile: String,

    /// A message; may be given several times
    #[arg(
        long,
        short,
        value_name = "TEXT",
        group = "source",
        allow_hyphen_values = true
    )]
    message: Vec<String>,

    /// A file whose content is a message; - is standard input
    #[arg(long, short, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,

    /// Standard input is a message, as with --file -
    #[arg(value_name = "-", group = "source", value_parser = ["-"])]
    input: Option<String>,

    /// Each line of the file is a message
    #[arg(long, conflicts_with = "message")]
    lines: bool,

    /// The Content-Type of the messages
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// What rides along with the start of the channel
    #[arg(long, value_name = "TEXT")]
    piggyback: Option<String>,

    /// Print one JSON object a line for each answer; payloads that are not UTF-8 are in base64
    #[arg(long, conflicts_with = "raw")]
    json: bool,

    /// Print payloads as they are: no line ends added, nothing made harmless for a terminal
    #[arg(long)]
    raw: bool,

    /// Tell nothing about answers on standard error, and show no progress
    #[arg(long, short)]
    quiet: bool,

    /// The largest answer that is taken
    #[arg(long, value_name = "OCTETS", default_value = "1G", value_parser = octets)]
    answer_max: u64,

    #[command(flatten)]
    session: SessionArguments,
}

fn help() -> String {
    format!(
        "Examples:\n  luavortex send localhost:10288 --profile urn:example:echo --message hello\n  \
         luavortex send localhost:10288 --profile urn:example:store --file picture.png --content-type image/png\n  \
         date | luavortex send localhost:10288 --profile urn:example:log -\n  \
         luavortex send localhost:10288 --profile urn:example:log --file lines.txt --lines --json\n\n\
         An answer of kind ERR makes the exit status 5; what follows it is sent all the same.\n\n{}",
        super::EXIT_STATUS
    )
}

/// An answer as `--json` prints it.
#[derive(Serialize)]
struct AnswerReport<'a> {
    /// Which message it answers, counted from 0.
    message: usize,
    kind: &'static str,
    ansno: Option<u32>,
    content_type: Option<String>,
    octets: usize,
    milliseconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    unless_interrupted(send_all(&arguments)).await
}

async fn send_all(arguments: &Arguments) -> Result<(), Failure> {
    // Read first: a file that is not there costs the peer nothing.
    if arguments.session.security.reads_standard_input() && arguments.reads_standard_input() {
        let message =
            "standard input cannot be both password and message: put one of them in a file";
        return Err(Failure::misuse(message));
    }
    let target = arguments.session.target(&arguments.peer)?;
    let messages = arguments.messages().await?;
    let peer = &arguments.peer;
    let longest = messages.iter().map(Bytes::len).max().unwrap_or(0);
    let config = Config {
        // Room for one message and its headers, whatever its size.
        send_queue_octets: Config::default()
            .send_queue_octets
            .max(longest.saturating_add(4096)),
        send_queue_octets_session: usize::MAX,
        message_max: usize::try_from(arguments.answer_max)
            .unwrap_or(usize::MAX)
            .max(1),
        joining_max: usize::MAX,
        ..Config::default()
    };
    let connection = target.connect(config).await?;

    let mut start = StartOptions::new(&arguments.profile);
    if let Some(text) = &arguments.piggyback {
        start = start.content(beep_session::ProfileContent::new(text));
    }
    let channel = match connection.open_with(start).await {
        Ok(channel) => channel,
        Err(error) => {
            let what = format!("no channel of {}", arguments.profile);
            let mut failure = Failure::of_session(what, peer, &error);
            failure.message += &match error.code() {
                Some(ReplyCode::AUTH_REQUIRED) => {
                    "; --sasl MECH authenticates (`luavortex probe` shows the mechanisms)"
                        .to_owned()
                }
                Some(ReplyCode::MECHANISM_NEEDS_ENCRYPTION) => "; --tls encrypts".to_owned(),
                Some(_) => offer(&connection.peer_profiles(), &arguments.profile),
                None => String::new(),
            };
            return Err(failure);
        }
    };

    let mut was_refused = false;
    for (index, message) in messages.into_iter().enumerate() {
        was_refused |= !arguments
            .send(&channel, index, message, target.timeout)
            .await?;
    }
    channel
        .close()
        .await
        .map_err(|error| Failure::of_session("the channel is not closed", peer, &error))?;
    connection
        .close()
        .await
        .map_err(|error| Failure::of_session("the session is not released", peer, &error))?;
    if was_refused {
        return Err(Failure::silent(Status::Refused));
    }
    Ok(())
}

/// What there is in place of a profile that is not offered.
fn offer(profiles: &[String], wanted: &str) -> String {
    if profiles.is_empty() {
        return "; it offers no profiles".to_owned();
    }
    if profiles.iter().any(|profile| profile == wanted) {
        return String::new();
    }
    format!("; it offers {}", terminal::visible(&profiles.join(", ")))
}

impl Arguments {
    fn reads_standard_input(&self) -> bool {
        let is_file = self
            .file
            .as_deref()
            .is_some_and(|path| path.as_os_str() == "-");
        is_file || self.input.is_some()
    }

    async fn messages(&self) -> Result<Vec<Bytes>, Failure> {
        let content = match &self.file {
            Some(path) if path.as_os_str() != "-" => tokio::fs::read(path)
                .await
                .map_err(|error| Failure::file("read", path.display(), &error))?,
            None if self.input.is_none() => {
                return Ok(self.message.iter().cloned().map(Bytes::from).collect());
            }
            _ => {
                let mut content = Vec::new();
                let read = tokio::io::stdin().read_to_end(&mut content).await;
                read.map_err(|error| Failure::file("read", "standard input", &error))?;
                content
            }
        };
        let content = Bytes::from(content);
        if !self.lines {
            return Ok(vec![content]);
        }
        let lines = content.split(|octet| *octet == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            content.slice_ref(line)
        });
        let mut lines: Vec<Bytes> = lines.collect();
        // What ends the last line begins no other one.
        if lines.last().is_some_and(Bytes::is_empty) {
            lines.pop();
        }
        Ok(lines)
    }

    fn outgoing(&self, body: Bytes) -> Outgoing {
        match &self.content_type {
            Some(kind) => Outgoing::with_headers(format!("Content-Type: {kind}\r\n\r\n"), body),
            None => Outgoing::new(body),
        }
    }

    /// Sends one message and prints its answers. False when one of them is an ERR.
    async fn send(
        &self,
        channel: &Channel,
        index: usize,
        body: Bytes,
        limit: Duration,
    ) -> Result<bool, Failure> {
        let peer = &self.peer;
        let what = format!("message {index}");
        let total = body.len() as u64;
        let started = Instant::now();
        let asked = channel.answers(self.outgoing(body)).await;
        let mut answers = asked.map_err(|error| Failure::of_session(&what, peer, &error))?;
        let mut bar = Bar::new(total, !self.quiet);
        let mut watch = tokio::time::interval(BAR_PERIOD);
        watch.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // The limit is for a peer that does nothing: while it takes octets, or answers, time starts anew.
        let mut last_progress = Instant::now();
        let mut queued = usize::MAX;
        loop {
            let answer = tokio::select! {
                answer = answers.next() => answer,
                _ = watch.tick() => {
                    let now_queued = channel.queued_octets();
                    if now_queued != queued {
                        queued = now_queued;
                        last_progress = Instant::now();
                    }
                    bar.show(queued as u64);
                    if last_progress.elapsed() > limit {
                        bar.clear();
                        return Err(Failure::of_session(&what, peer, &Error::NoAnswer));
                    }
                    continue;
                }
            };
            last_progress = Instant::now();
            bar.clear();
            match answer {
                Ok(Some(answer)) => self.print(index, Answer::of(answer), started)?,
                Ok(None) => return Ok(true),
                Err(Error::NegativeReply(payload)) => {
                    self.print(index, Answer::err(payload), started)?;
                    return Ok(false);
                }
                Err(error) => {
                    let mut failure = Failure::of_session(&what, peer, &error);
                    if total > LONG && matches!(error, Error::Ended(_)) {
                        failure.message += "; perhaps it takes no message as long as this one";
                    }
                    return Err(failure);
                }
            }
        }
    }

    fn print(&self, message: usize, answer: Answer, started: Instant) -> Result<(), Failure> {
        let took = started.elapsed();
        let Answer {
            kind,
            ansno,
            content_type,
            payload,
        } = answer;
        if self.json {
            let text = std::str::from_utf8(&payload).ok();
            let report = AnswerReport {
                message,
                kind: kind.keyword(),
                ansno,
                content_type,
                octets: payload.len(),
                milliseconds: (took.as_secs_f64() * 1e6).round() / 1e3,
                payload: text,
                payload_base64: text.is_none().then(|| STANDARD.encode(&payload)),
            };
            return terminal::octets(
                format!("{}\n", serde_json::to_string(&report).unwrap_or_default()).as_bytes(),
            );
        }
        if !self.quiet {
            let style = if kind == MessageKind::Err { BAD } else { GOOD };
            let number = ansno.map_or_else(String::new, |number| format!(" {number}"));
            let facts = format!(
                "to message {message}, {}, {:.1} ms",
                terminal::size(payload.len() as u64),
                took.as_secs_f64() * 1e3
            );
            terminal::remark(format_args!(
                "{}{number} {}",
                paint(style, kind),
                paint(FAINT, facts)
            ));
        }
        if self.raw {
            return terminal::octets(&payload);
        }
        if terminal::is_watched() {
            terminal::octets(terminal::harmless(&payload).as_bytes())?;
        } else {
            terminal::octets(&payload)?;
        }
        if payload.ends_with(b"\n") {
            Ok(())
        } else {
            terminal::octets(b"\n")
        }
    }
}

/// An answer of any kind.
struct Answer {
    kind: MessageKind,
    ansno: Option<u32>,
    content_type: Option<String>,
    payload: Bytes,
}

impl Answer {
    fn of(message: Message) -> Self {
        Answer {
            kind: message.kind(),
            ansno: message.ansno().map(beep_session::AnsNo::value),
            content_type: message.content_type(),
            payload: message.into_payload(),
        }
    }

    fn err(payload: Bytes) -> Self {
        Answer {
            kind: MessageKind::Err,
            ansno: None,
            content_type: None,
            payload,
        }
    }
}

/// How much of a message has left, on standard error when that is a terminal.
struct Bar {
    bar: Option<ProgressBar>,
    total: u64,
    started: Instant,
    is_shown: bool,
}

impl Bar {
    fn new(total: u64, wanted: bool) -> Self {
        let bar = wanted.then(|| {
            let bar = ProgressBar::new(total);
            let template = "{bar:40} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        Bar {
            bar,
            total,
            started: Instant::now(),
            is_shown: false,
        }
    }

    fn show(&mut self, queued: u64) {
        if let Some(bar) = &self.bar
            && (self.is_shown || self.started.elapsed() > BAR_DELAY)
        {
            self.is_shown = true;
            bar.set_position(self.total.saturating_sub(queued));
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

//! `luavortex listen`: a listener for trying things out.

mod program;

use std::sync::Arc;
use std::time::Duration;

use beep_session::{
    Channel, Config, Connection, Error, ErrorReply, IncomingMessage, Profile, Profiles, ReplyCode,
    Server, ServerOptions,
};
use tokio::sync::mpsc;

use super::endpoint::{Endpoint, checked, octets};
use super::failure::Failure;
use super::interrupt;
use super::terminal::{self, BAD, FAINT, GOOD, channel_style, paint, quoted, visible};
use program::Program;

/// How long sessions may take to be released at the end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(3);
/// Lines that wait to be printed; whoever has one more waits.
const LINES: usize = 1024;
/// Characters of a payload shown in a line.
const SHOWN: usize = 60;

/// Serve profiles for trying things out
///
/// Tells of connections, channels and messages on standard output, until Ctrl-C. The first line is `listening on
/// ADDRESS:PORT`.
#[derive(clap::Args)]
#[command(after_long_help = help())]
#[command(group = clap::ArgGroup::new("answer").required(true))]
pub(super) struct Arguments {
    /// Where to listen; port 0 picks a free one
    #[arg(value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    at: Endpoint,

    /// A profile to offer; may be given several times
    #[arg(long, value_name = "URI", required = true)]
    profile: Vec<String>,

    /// Answer every message with its own payload
    #[arg(long, group = "answer")]
    echo: bool,

    /// Answer every message with an empty payload
    #[arg(long, group = "answer")]
    discard: bool,

    /// Answer every message with what this shell command makes of it: payload on standard input, answer on standard
    /// output; ERR when it fails. BEEP_PROFILE, BEEP_CHANNEL, BEEP_MSGNO and BEEP_PEER are in its environment
    #[arg(long, value_name = "CMD", group = "answer")]
    exec: Option<String>,

    /// End a command of --exec that takes longer
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = super::endpoint::seconds)]
    exec_timeout: Duration,

    /// Answer every message in this many pieces (ANS) and a NUL, instead of one RPY
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    answers: Option<u32>,

    /// Refuse to start channels, with this reply code
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=999))]
    refuse: Option<u16>,

    /// The largest message that is taken
    #[arg(long, value_name = "OCTETS", default_value = "128M", value_parser = octets)]
    message_max: u64,

    /// Tell only where it listens
    #[arg(long, short)]
    quiet: bool,
}

fn help() -> String {
    "Examples:\n  luavortex listen 127.0.0.1:10288 --profile urn:example:echo --echo\n  \
     luavortex listen '[::]:10288' --profile urn:example:upper --exec 'tr a-z A-Z'\n  \
     luavortex listen --profile urn:example:sink --discard --quiet\n\n\
     Exit status:\n  0    ended by Ctrl-C or SIGTERM\n  1    cannot listen there\n  2    wrong use\n  \
     130  ended by a second Ctrl-C, while sessions were being released"
        .to_owned()
}

/// What to do with a message.
enum Answer {
    Echo,
    Discard,
    Exec(Program),
}

/// What all channels share.
struct Service {
    answer: Answer,
    pieces: Option<u32>,
    lines: Option<mpsc::Sender<String>>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let (sender, mut lines) = mpsc::channel(LINES);
    let sender = (!arguments.quiet).then_some(sender);
    let server = start(&arguments, sender).await?;
    terminal::line(format_args!("listening on {}", server.local_addr()))?;

    let stopped = interrupt::requested();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            line = lines.recv(), if !lines.is_closed() => {
                if let Some(line) = line {
                    terminal::line(line)?;
                }
            }
        }
    }
    // Nobody prints from here on, and nobody may wait for it.
    lines.close();
    while lines.try_recv().is_ok() {}
    interrupt::unless_interrupted(async {
        server.shutdown(SHUTDOWN_LIMIT).await;
        Ok(())
    })
    .await
}

async fn start(
    arguments: &Arguments,
    lines: Option<mpsc::Sender<String>>,
) -> Result<Server, Failure> {
    let answer = match &arguments.exec {
        Some(command) => Answer::Exec(Program::new(command, arguments.exec_timeout)),
        None if arguments.discard => Answer::Discard,
        None => Answer::Echo,
    };
    let message_max = usize::try_from(arguments.message_max).unwrap_or(usize::MAX);
    let config = checked(Config {
        message_max,
        joining_max: message_max.saturating_mul(2),
        ..Config::default()
    })?;
    let service = Arc::new(Service {
        answer,
        pieces: arguments.answers,
        lines,
    });
    let mut profiles = Profiles::new();
    for uri in &arguments.profile {
        profiles = profiles.with(service.profile(uri, arguments.refuse));
    }
    let options = ServerOptions {
        config,
        on_connection: Some(Arc::new(move |connection| service.told_of(&connection))),
        ..ServerOptions::default()
    };
    let Endpoint { host, port } = &arguments.at;
    Server::bind(host, *port, profiles, options)
        .await
        .map_err(|error| {
            let message = format!(
                "cannot listen on {}: {error}; another address or port may do",
                arguments.at
            );
            Failure::local(message)
        })
}

impl Service {
    fn profile(self: &Arc<Self>, uri: &str, refusal: Option<u16>) -> Profile {
        let service = self.clone();
        let profile = Profile::new(uri, move |channel| {
            let service = service.clone();
            async move { service.serve(channel).await }
        });
        let Some(code) = refusal.and_then(ReplyCode::new) else {
            return profile;
        };
        profile.on_start(move |_| async move { Err(ErrorReply::new(code, "")) })
    }

    /// Tells of a connection and of its end. Called where nothing may wait: a line too many is not printed.
    fn told_of(self: &Arc<Self>, connection: &Connection) {
        let name = name_of(connection);
        self.try_tell(format!("{name} {}", paint(GOOD, "connected")));
        let service = self.clone();
        connection.on_close(move |end| {
            let style = if end.is_orderly() { FAINT } else { BAD };
            let text = paint(style, visible(&end.to_string()));
            service.try_tell(format!("{name} {text}"));
        });
    }

    fn try_tell(&self, line: String) {
        if let Some(lines) = &self.lines {
            let _ = lines.try_send(line);
        }
    }

    async fn tell(&self, line: String) {
        if let Some(lines) = &self.lines {
            // An error means that the tool is at its end.
            let _ = lines.send(line).await;
        }
    }

    async fn serve(self: Arc<Self>, channel: Channel) {
        let (number, style) = (channel.number(), channel_style(channel.number().value()));
        let peer = name_of(channel.connection());
        let name = format!("{peer} {}", paint(style, format!("channel {number}")));
        self.tell(format!("{name} started, {}", visible(channel.profile())))
            .await;
        while let Some(message) = channel.recv().await {
            let payload = message.payload();
            let facts = paint(FAINT, terminal::size(payload.len() as u64));
            self.tell(format!(
                "{name} MSG {} {facts} {}",
                message.msgno(),
                quoted(&payload, SHOWN)
            ))
            .await;
            if let Err(error) = self.answer(message, &channel, &peer).await {
                self.tell(format!("{name} {}", paint(BAD, visible(&error.to_string()))))
                    .await;
            }
        }
        self.tell(format!("{name} closed")).await;
    }

    async fn answer(
        &self,
        mut message: IncomingMessage,
        channel: &Channel,
        peer: &str,
    ) -> Result<(), Error> {
        let payload = match &self.answer {
            Answer::Echo => message.take_payload(),
            Answer::Discard => Default::default(),
            Answer::Exec(program) => {
                let environment = [
                    ("BEEP_PROFILE", channel.profile().to_owned()),
                    ("BEEP_CHANNEL", channel.number().to_string()),
                    ("BEEP_MSGNO", message.msgno().to_string()),
                    ("BEEP_PEER", peer.to_owned()),
                ];
                match program.run(message.payload(), environment).await {
                    Ok(output) => output.into(),
                    Err(reason) => return message.err(reason).await,
                }
            }
        };
        let Some(pieces) = self.pieces else {
            return message.reply(payload).await;
        };
        let size = payload.len().div_ceil(pieces as usize);
        for piece in 0..pieces as usize {
            let begin = (piece * size).min(payload.len());
            let end = (begin + size).min(payload.len());
            message.ans(payload.slice(begin..end)).await?;
        }
        message.finish()
    }
}

fn name_of(connection: &Connection) -> String {
    match connection.addresses() {
        Some(addresses) => addresses.peer.to_string(),
        None => format!("session {}", connection.session().id()),
    }
}

//! `luavortex listen`: a listener for trying things out.

mod program;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use beep_session::sasl::{Answer as Knowledge, Mechanism};
use beep_session::tls;
use beep_session::{
    Channel, Config, Connection, Error, ErrorReply, IncomingMessage, Profile, Profiles, ReplyCode,
    Server, ServerOptions, Services,
};
use tokio::sync::mpsc;

use super::endpoint::{Endpoint, checked, octets};
use super::failure::Failure;
use super::interrupt;
use super::security;
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
    #[arg(long, value_name = "URI", required = true, value_parser = super::endpoint::profile)]
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

    /// Offer TLS with this certificate (PEM); those that lead to its CA may follow it in the file
    #[arg(
        long,
        value_name = "FILE",
        requires = "key",
        help_heading = "TLS and SASL"
    )]
    cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help_heading = "TLS and SASL"
    )]
    key: Option<PathBuf>,

    /// Start no channel without TLS
    #[arg(long, requires = "cert", help_heading = "TLS and SASL")]
    require_tls: bool,

    /// Have peers authenticate themselves by this SASL mechanism before they start a channel; may be given several times
    #[arg(long, value_name = "MECH", value_parser = security::mechanism, help_heading = "TLS and SASL")]
    sasl: Vec<Mechanism>,

    /// The one user there is
    #[arg(long, value_name = "NAME", requires_all = ["sasl", "password_file"], help_heading = "TLS and SASL")]
    user: Option<String>,

    /// A file with the user's password in its first line; - is standard input
    #[arg(
        long,
        value_name = "FILE",
        requires = "user",
        help_heading = "TLS and SASL"
    )]
    password_file: Option<PathBuf>,

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
    refusal: Option<ReplyCode>,
    requires_tls: bool,
    requires_sasl: bool,
    lines: Option<mpsc::Sender<String>>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let stopped = interrupt::requested();
    let (sender, mut lines) = mpsc::channel(LINES);
    let sender = (!arguments.quiet).then_some(sender);
    let server = start(&arguments, sender).await?;
    terminal::line(format_args!("listening on {}", server.local_addr()))?;

    tokio::select! {
        failure = print(&mut lines) => return Err(failure),
        () = stopped => {}
    }
    let released = interrupt::unless_interrupted(async {
        server.shutdown(SHUTDOWN_LIMIT).await;
        Ok(())
    });
    tokio::select! {
        failure = print(&mut lines) => return Err(failure),
        outcome = released => outcome?,
    }
    lines.close();
    while let Ok(line) = lines.try_recv() {
        terminal::line(line)?;
    }
    Ok(())
}

/// Prints lines as they come, until one cannot be printed.
async fn print(lines: &mut mpsc::Receiver<String>) -> Failure {
    while let Some(line) = lines.recv().await {
        if let Err(failure) = terminal::line(line) {
            return failure;
        }
    }
    // With --quiet there are none.
    std::future::pending().await
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
        refusal: arguments.refuse.and_then(ReplyCode::new),
        requires_tls: arguments.require_tls,
        requires_sasl: !arguments.sasl.is_empty(),
        lines,
    });
    let services = Arc::new(arguments.services()?);
    let mut profiles = Profiles::new();
    for uri in &arguments.profile {
        profiles = profiles.with(service.profile(uri));
    }
    let options = ServerOptions {
        config,
        services,
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

impl Arguments {
    /// What sessions serve themselves: ALIVE, and TLS and SASL if they are asked for.
    fn services(&self) -> Result<Services, Failure> {
        let services = Services::new();
        services.serve_alive();
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            let identity = security::read_identity(certificate, key)?;
            services.serve_tls(move |_| {
                let options = tls::ServerOptions::new(identity.clone());
                async move { Ok(options) }
            });
            services.require_tls_for_passwords(true);
        }
        let password = self.password_file.as_deref().map(security::read_password);
        let password = password.transpose()?;
        for mechanism in &self.sasl {
            let is_supported = *mechanism != Mechanism::External;
            if !is_supported || (mechanism.needs_password() && password.is_none()) {
                return Err(Failure::misuse(match is_supported {
                    true => format!("SASL {} needs --user NAME and --password-file FILE", mechanism.name()),
                    false => "SASL EXTERNAL is not for this listener, which asks nobody for a certificate".to_owned(),
                }));
            }
            let (user, password) = (self.user.clone(), password.clone());
            services.serve_sasl(*mechanism, move |question| {
                let is_anonymous = question.mechanism == Mechanism::Anonymous;
                let is_known = user.is_some() && question.auth_id == user;
                let knowledge = match password.clone() {
                    _ if is_anonymous => Knowledge::Accept,
                    Some(password) if is_known => Knowledge::Password(password),
                    _ => Knowledge::Deny,
                };
                async move { knowledge }
            });
        }
        Ok(services)
    }
}

impl Service {
    fn profile(self: &Arc<Self>, uri: &str) -> Profile {
        let (serving, deciding) = (self.clone(), self.clone());
        let profile = Profile::new(uri, move |channel| {
            let service = serving.clone();
            async move { service.serve(channel).await }
        });
        profile.on_start(move |start| {
            let decision = deciding.decide(&start.connection);
            async move { decision.map(|()| None) }
        })
    }

    /// Whether a peer may start a channel.
    fn decide(&self, connection: &Connection) -> Result<(), ErrorReply> {
        if let Some(code) = self.refusal {
            return Err(ErrorReply::new(code, ""));
        }
        if self.requires_tls && connection.tls().is_none() {
            let code = ReplyCode::MECHANISM_NEEDS_ENCRYPTION;
            return Err(ErrorReply::new(code, "start TLS first"));
        }
        if self.requires_sasl && connection.session().peer_identity().is_none() {
            let code = ReplyCode::AUTH_REQUIRED;
            return Err(ErrorReply::new(code, "authenticate yourself first"));
        }
        Ok(())
    }

    /// Tells of a connection and of its end. Called where nothing may wait: a line too many is not printed.
    fn told_of(self: &Arc<Self>, connection: &Connection) {
        let name = name_of(connection);
        let over = connection.tls().map_or_else(String::new, |tls| {
            format!(" over {} {}", tls.version(), tls.cipher())
        });
        self.try_tell(format!("{name} {}{over}", paint(GOOD, "connected")));
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
        let identity = channel.connection().session().peer_identity();
        let user = identity.and_then(|identity| identity.auth_id);
        let user = user.map_or_else(String::new, |user| format!(", by {}", visible(&user)));
        self.tell(format!(
            "{name} started, {}{user}",
            visible(channel.profile())
        ))
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
                self.tell(format!(
                    "{name} {}",
                    paint(BAD, visible(&error.to_string()))
                ))
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

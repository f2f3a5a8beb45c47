//! `luavortex probe`: what a peer offers and how it behaves, with the time that each step took.

mod report;

use std::time::Instant;

use beep_session::tls::{ClientOptions, Trust};
use beep_session::{Config, ConnectError, Connection, Error, ServerName, StartOptions, resolve};

use super::endpoint::{Endpoint, SessionArguments, Target};
use super::failure::{Failure, Status};
use super::interrupt::unless_interrupted;
use super::security::begin_tls;
use super::terminal;
use report::{Report, ServerNameTrial};

/// A name that no server has (RFC 2606 §2).
const UNKNOWN_NAME: &str = "unknown.invalid";

/// Look at what a BEEP peer offers
///
/// Connects, reads the greeting, and tries what it offers: TLS, and what its certificate is worth; whether the peer acts
/// under the name of its host and under one that cannot be its own (by starting a channel of the first profile that is
/// not about security, and closing it again); and how it lets go of the session. Each step is timed. With --tls or --sasl
/// these are put in place first, and have to succeed; without, TLS is tried in a session of its own.
#[derive(clap::Args)]
#[command(after_long_help = help())]
pub(super) struct Arguments {
    /// The peer
    #[arg(value_name = "HOST:PORT")]
    peer: Endpoint,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Start no channel: only read the greeting
    #[arg(long)]
    passive: bool,

    /// Start channels of this profile instead of the first one offered
    #[arg(long, value_name = "URI", conflicts_with = "passive", value_parser = super::endpoint::profile)]
    profile: Option<String>,

    #[command(flatten)]
    session: SessionArguments,
}

fn help() -> String {
    format!(
        "Examples:\n  luavortex probe localhost:10288\n  luavortex probe --json localhost:10288 | jq .greeting.profiles\n  \
         luavortex probe --passive --timeout 2 [::1]:10288\n\n{}",
        super::EXIT_STATUS
    )
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut report = Report::new(&arguments.peer, !arguments.json);
    let outcome = unless_interrupted(probe(&arguments, &mut report)).await;
    if arguments.json {
        if let Err(failure) = &outcome {
            report.error = Some(failure.message.clone());
        }
        terminal::line(report.to_json())?;
    }
    outcome
}

async fn probe(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let target = arguments.session.target(&arguments.peer)?;
    let peer = &target.peer;
    let mut connection = connect(&target, report).await?;
    let mut trouble = Ok(());
    if target.security.tls.is_some() || target.security.credentials.is_some() {
        connection = secure(&target, report, connection).await?;
    } else if report.offers_tls() && !arguments.passive {
        // What is wrong with TLS is no reason not to look at the rest.
        trouble = look_at_tls(&target, report).await;
    }

    let profile = arguments
        .profile
        .clone()
        .or_else(|| report.ordinary_profile());
    if let Some(profile) = profile.filter(|_| !arguments.passive) {
        try_server_names(&target, report, &connection, &profile).await?;
    }

    let started = Instant::now();
    let released = connection.close().await;
    report.released(started.elapsed(), &released)?;
    released.map_err(|error| {
        connection.shutdown();
        Failure::of_session("the session is not released", peer, &error)
    })?;
    trouble
}

/// Makes the session step by step, to time each of them.
async fn connect(target: &Target, report: &mut Report) -> Result<Connection, Failure> {
    let Target {
        peer,
        timeout: limit,
        ..
    } = target;
    let options = target.options(Config::default())?;

    let started = Instant::now();
    let addresses = tokio::time::timeout(*limit, resolve(&peer.host, peer.port)).await;
    let addresses = match addresses {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(source)) => {
            let host = peer.host.clone();
            let error = ConnectError::Resolve { host, source };
            return Err(Failure::no_session(peer, &Error::Connect(error)));
        }
        Err(_) => {
            let message = format!(
                "{} was not resolved within {} s; --timeout SECONDS waits longer",
                peer.host,
                limit.as_secs_f64()
            );
            return Err(Failure::new(Status::TimedOut, message));
        }
    };
    report.resolved(started.elapsed(), &addresses)?;

    let started = Instant::now();
    let stream = beep_session::connect(&peer.host, peer.port, *limit)
        .await
        .map_err(|error| Failure::no_session(peer, &Error::Connect(error)))?;
    let address = stream.peer_addr().ok();
    report.connected(started.elapsed(), address)?;

    let started = Instant::now();
    let connection = Connection::over(beep_session::Tcp::from(stream), options)
        .await
        .map_err(|error| Failure::no_session(peer, &error))?;
    report.greeted(started.elapsed(), connection.session().peer_greeting())?;
    Ok(connection)
}

/// Puts TLS and SASL in place in the session that is probed.
async fn secure(
    target: &Target,
    report: &mut Report,
    connection: Connection,
) -> Result<Connection, Failure> {
    let started = Instant::now();
    let connection = target.security.apply(&target.peer, connection).await?;
    if let Some(info) = connection.tls() {
        report.secured(started.elapsed(), &info, None, connection.peer_profiles())?;
    }
    if let Some(identity) = connection.session().identity() {
        report.authenticated(started.elapsed(), &identity)?;
    }
    Ok(connection)
}

/// Tries TLS in a session of its own, with any certificate, and sees afterwards whether it is one to trust.
async fn look_at_tls(target: &Target, report: &mut Report) -> Result<(), Failure> {
    let peer = &target.peer;
    let options = ClientOptions {
        trust: Trust::Nobody,
        ..ClientOptions::default()
    };
    let connection = target.connect_plainly(Config::default()).await?;
    let started = Instant::now();
    let connection = match begin_tls(peer, &connection, options).await {
        Ok(connection) => connection,
        Err(failure) => {
            report.tls_failed(&failure.message)?;
            return Err(failure);
        }
    };
    let took = started.elapsed();
    if let Some(info) = connection.tls() {
        let verified = info.verify(&target.security.trust, Some(&peer.host));
        report.secured(took, &info, Some(verified), connection.peer_profiles())?;
    }
    release_quietly(&connection).await;
    Ok(())
}

/// Ends a session whose release tells nothing new; the peer may refuse it.
async fn release_quietly(connection: &Connection) {
    if connection.close().await.is_err() {
        connection.shutdown();
    }
}

/// A session has one name, so each is tried in a session of its own; the first in the one that is there.
async fn try_server_names(
    target: &Target,
    report: &mut Report,
    connection: &Connection,
    profile: &str,
) -> Result<(), Failure> {
    let host = match &target.server_name {
        ServerName::Name(name) => Some(name.clone()),
        _ => None,
    };
    let trial = try_server_name(connection, profile, host).await?;
    report.tried_server_name(trial)?;

    let mut nobody = target.clone();
    nobody.server_name = ServerName::Omit;
    let other = nobody.connect(Config::default()).await?;
    let trial = try_server_name(&other, profile, Some(UNKNOWN_NAME.to_owned())).await?;
    report.tried_server_name(trial)?;
    release_quietly(&other).await;
    Ok(())
}

async fn try_server_name(
    connection: &Connection,
    profile: &str,
    name: Option<String>,
) -> Result<ServerNameTrial, Failure> {
    let mut start = StartOptions::new(profile);
    if let Some(name) = &name {
        start = start.server_name(name.clone());
    }
    let started = Instant::now();
    let opened = connection.open_with(start).await;
    let took = started.elapsed();
    let refusal = match opened {
        Ok(channel) => {
            // One that refuses to close its channel shows it again at the release.
            let _ = channel.close().await;
            None
        }
        Err(Error::Refused(error)) => Some(error),
        Err(Error::NoAnswer) => {
            let message = format!(
                "the peer did not answer the start of {profile} in time; --timeout SECONDS waits longer, --passive starts nothing"
            );
            return Err(Failure::new(Status::TimedOut, message));
        }
        Err(error) => {
            let what = format!("the start of {profile} failed");
            return Err(Failure::of_session(what, &"the peer", &error));
        }
    };
    Ok(ServerNameTrial {
        name,
        profile: profile.to_owned(),
        in_force: connection.server_name(),
        refusal: refusal.map(Into::into),
        milliseconds: report::milliseconds(took),
    })
}

//! `luavortex trace`: a relay that shows and records the sessions that pass through it.

mod analysis;
mod documents;
mod page;
mod recording;
mod relay;
mod row;
mod session;
mod show;
mod window;

use std::path::PathBuf;

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::in_runtime;

/// See and record what passes between a client and a listener
///
/// Listens, connects every client through to the listener at HOST:PORT, and shows the frames that pass as they come.
/// Point the client at the relay instead of at its listener. Nothing is changed on the way; what is no BEEP is passed
/// on too, and shown as such. What follows a change to TLS is encrypted, and only counted.
#[derive(clap::Args)]
#[command(after_long_help = help())]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    relay: RelayArguments,
}

#[derive(clap::Args)]
pub(super) struct RelayArguments {
    /// The listener that clients are connected through to
    #[arg(value_name = "HOST:PORT", required = true)]
    target: Option<Endpoint>,

    /// Where the relay listens; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: Endpoint,

    /// Record the sessions in this file, for `trace show` and `trace html`
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Write what was recorded as a page, too, when the relay ends
    #[arg(long, value_name = "FILE", requires = "save")]
    html: Option<PathBuf>,

    /// Show nothing of the frames
    #[arg(long, short)]
    quiet: bool,

    /// Show whole payloads instead of their beginnings
    #[arg(long, short)]
    payload: bool,

    /// End after this many connections
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,

    /// Time for a connection to the listener
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = super::endpoint::seconds)]
    timeout: std::time::Duration,
}

#[derive(clap::Subcommand)]
enum Action {
    Show(show::Arguments),
    Html(page::Arguments),
}

fn help() -> String {
    "Examples:\n  luavortex trace localhost:10288 --listen localhost:10289 --save session.trace\n  \
     luavortex trace show session.trace\n  luavortex trace html session.trace -o session.html\n\n\
     A recording has one JSON object a line; `event` says what it is:\n  \
     begin    first line: format (luavortex-trace), version (1), at (RFC 3339), listener\n  \
     open     a client was connected through: client\n  \
     octets   octets, in base64, as they were read from one side: from (client or listener)\n  \
     end      a side ended its half of the connection: from, and error if it did not end in order\n\
     All but the first have us, microseconds since the first line, and session, which counts from 1.\n\n\
     Exit status:\n  0    ended by Ctrl-C, SIGTERM or --count; or shown\n  \
     1    cannot listen there; a file cannot be read or written, or is no recording\n  2    wrong use"
        .to_owned()
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Some(Action::Show(arguments)) => show::run(&arguments),
        Some(Action::Html(arguments)) => page::run(&arguments),
        None => {
            let RelayArguments { save, html, .. } = &arguments.relay;
            let page = save.clone().zip(html.clone());
            in_runtime(relay::run(arguments.relay))?;
            match page {
                Some((recording, page)) => page::of_recording(recording, page),
                None => Ok(()),
            }
        }
    }
}

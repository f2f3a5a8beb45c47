//! Why a tool did not do what was asked: a message for people and an exit status for scripts.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use beep_session::core::{ProtocolError, SessionEnd};
use beep_session::{ConnectError, End, Error};
use signal_hook::consts::SIGPIPE;
use signal_hook::low_level;

use super::terminal;

/// The exit statuses; `EXIT_STATUS` tells users what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    Local = 1,
    Misuse = 2,
    Unreachable = 3,
    NotBeep = 4,
    Refused = 5,
    TimedOut = 6,
    Interrupted = 130,
    /// As shells report a program that SIGPIPE ended: nobody reads standard output any more.
    BrokenPipe = 141,
}

/// Why a tool did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    /// Says what happened, where, and what to do. Empty when everything has been said.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: Status, message: impl Into<String>) -> Self {
        Failure {
            status,
            message: message.into(),
        }
    }

    pub(super) fn local(message: impl Into<String>) -> Self {
        Failure::new(Status::Local, message)
    }

    pub(super) fn misuse(message: impl Into<String>) -> Self {
        Failure::new(Status::Misuse, message)
    }

    /// A failure about which the user has been told already.
    pub(super) fn silent(status: Status) -> Self {
        Failure::new(status, "")
    }

    pub(super) fn interrupted() -> Self {
        Failure::new(Status::Interrupted, "interrupted")
    }

    /// A file that cannot be read or written.
    pub(super) fn file(doing: &str, path: impl Display, error: &io::Error) -> Self {
        Failure::local(format!("cannot {doing} {path}: {error}"))
    }

    /// Standard output that cannot be written to.
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::silent(Status::BrokenPipe);
        }
        Failure::local(format!("cannot write to standard output: {error}"))
    }

    /// There is no session with `peer`.
    pub(super) fn no_session(peer: &impl Display, error: &Error) -> Self {
        let more_time = "--timeout SECONDS waits longer";
        match error {
            Error::Connect(error @ ConnectError::Resolve { .. }) => {
                Failure::new(Status::Unreachable, format!("{error}; is the name right?"))
            }
            Error::Connect(ConnectError::TimedOut { .. }) => {
                Failure::new(Status::TimedOut, format!("{error}; {more_time}"))
            }
            Error::Connect(error) => Failure::new(
                Status::Unreachable,
                format!("{error}; is a listener running there?"),
            ),
            Error::NoGreeting { limit } => Failure::new(
                Status::TimedOut,
                format!(
                    "{peer} took the connection, but sent no BEEP greeting within {} s; is it a BEEP listener? {more_time}",
                    limit.as_secs_f64()
                ),
            ),
            Error::Refused(reason) => Failure::new(
                Status::Refused,
                format!("{peer} refuses the session: {reason}"),
            ),
            Error::Ended(end) => Failure::no_greeting(peer, end),
            error => Failure::new(Status::NotBeep, format!("no session with {peer}: {error}")),
        }
    }

    fn no_greeting(peer: &impl Display, end: &End) -> Self {
        // Which of the two it looks like depends on whether our greeting was on the way.
        let hung_up = match end {
            End::Protocol(SessionEnd::PeerHungUp { .. }) => true,
            End::Transport(error) => error.kind() == io::ErrorKind::ConnectionReset,
            _ => false,
        };
        let (status, message) = match end {
            _ if hung_up => (
                Status::NotBeep,
                format!(
                    "{peer} ended the connection without a BEEP greeting; is it a BEEP listener?"
                ),
            ),
            End::Protocol(SessionEnd::Protocol(error)) => (
                Status::NotBeep,
                format!("{peer} does not speak BEEP: {error}"),
            ),
            end => (
                Status::Unreachable,
                format!("no session with {peer}: {end}"),
            ),
        };
        Failure::new(status, message)
    }

    /// Something that was asked of `peer` in a session failed; `what` begins the sentence.
    pub(super) fn of_session(what: impl Display, peer: &impl Display, error: &Error) -> Self {
        let status = match error {
            Error::Refused(_) | Error::NegativeReply(_) => Status::Refused,
            Error::NoAnswer => {
                return Failure::new(
                    Status::TimedOut,
                    format!(
                        "{what}: {peer} did not answer in time; --timeout SECONDS waits longer"
                    ),
                );
            }
            Error::Ended(end) => match &**end {
                End::Protocol(SessionEnd::Protocol(error)) => {
                    return Failure::broken_protocol(what, peer, error);
                }
                End::Protocol(SessionEnd::TimedOut(_)) => Status::TimedOut,
                _ => Status::Unreachable,
            },
            Error::Usage(_) | Error::Send(_) | Error::Config(_) => Status::Local,
            _ => Status::Unreachable,
        };
        Failure::new(status, format!("{what}: {error}"))
    }

    fn broken_protocol(what: impl Display, peer: &impl Display, error: &ProtocolError) -> Self {
        Failure::new(
            Status::NotBeep,
            format!("{what}: {peer} broke the protocol: {error}"),
        )
    }

    /// Tells the user, and makes the exit status.
    pub(super) fn report(self) -> ExitCode {
        if self.status == Status::BrokenPipe {
            // Ends the process as SIGPIPE does by default. Returns only when it failed.
            let _ = low_level::emulate_default_handler(SIGPIPE);
        }
        if !self.message.is_empty() {
            terminal::error(&self.message);
        }
        ExitCode::from(self.status as u8)
    }
}

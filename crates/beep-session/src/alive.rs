//! ALIVE: asking a peer from time to time whether it is still there, and answering such questions.
//!
//! The profile is the one of the older engine that LuaVortex talks to: empty messages, answered with empty replies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use beep_core::{
    ChannelFailure, ChannelNumber, Message, MessageKind, Outgoing, ProfileContent, ProfileOffer,
    StartRequest, UsageError,
};
use thiserror::Error;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::services::Service;
use crate::session::{Session, Shared};

/// The profile.
pub(crate) const URI: &str = "urn:aspl.es:beep:profiles:ALIVE";

/// Time for the peer to accept the channel, unless the periods take longer.
const START_LIMIT_MIN: Duration = Duration::from_secs(3);

/// Why a peer cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AliveError {
    /// The period is 0.
    #[error("the period between two checks has to be longer than 0")]
    NoPeriod,
    /// The number of checks that may go unanswered is 0.
    #[error("at least one check has to be allowed to go unanswered")]
    NoUnreplied,
    /// The peer's greeting does not offer the profile.
    #[error(
        "the peer does not offer the ALIVE profile ({URI}), so it would not answer: enable ALIVE there"
    )]
    NotOffered,
    /// The session is being watched.
    #[error("the connection is being checked already")]
    AlreadyWatched,
    /// No channel can be started.
    #[error("no channel for the checks: {0}")]
    Start(#[from] UsageError),
}

type Failed = Box<dyn FnOnce(&Session, u32) + Send>;

/// Answers every message with an empty reply.
struct Answerer;

impl Service for Answerer {
    fn message(&self, session: &Session, number: ChannelNumber, message: Message) {
        if message.kind == MessageKind::Msg {
            // It fails when the session is over, or when the peer takes nothing: then it counts as dead, rightly.
            let _ = session.send_rpy(number, message.msgno, Outgoing::new(""));
        }
    }
}

/// The peer asks for a channel on which it will watch this side.
pub(crate) fn start_requested(session: &Session, number: ChannelNumber, index: usize) {
    if let Err(error) = session.accept_service(number, (index, URI), None, Arc::new(Answerer)) {
        tracing::debug!(session = session.id(), %error, "ALIVE channel not accepted");
    }
}

/// Watches the peer from one channel.
struct Watch {
    state: Mutex<State>,
}

struct State {
    channel: Option<ChannelNumber>,
    unreplied: u32,
    /// Taken with the first failure, or when there is nothing to watch any more.
    failed: Option<Failed>,
    task: Option<AbortHandle>,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the watch; returns whom to tell of a failure, and how many checks were not answered.
    fn stop(&self) -> (Option<Failed>, u32) {
        let mut state = self.state();
        if let Some(task) = state.task.take() {
            task.abort();
        }
        (state.failed.take(), state.unreplied)
    }

    fn fail(&self, session: &Session) {
        let (failed, unreplied) = self.stop();
        if let Some(failed) = failed {
            tracing::debug!(
                session = session.id(),
                unreplied,
                "the peer does not answer"
            );
            failed(session, unreplied);
        }
    }

    /// One look at the session. False when the watch is over.
    fn check(&self, session: &Session, had_input: bool, is_late: bool, max: u32) -> bool {
        let channel = {
            let mut state = self.state();
            match state.channel {
                None if !is_late => return true,
                Some(_) if had_input => {
                    state.unreplied = 0;
                    return true;
                }
                Some(channel) if state.unreplied < max => {
                    state.unreplied += 1;
                    Some(channel)
                }
                None | Some(_) => None,
            }
        };
        match channel {
            Some(channel) => {
                // A peer that takes nothing is as good as one that says nothing.
                let _ = session.send_msg(channel, Outgoing::new(""));
            }
            None => self.fail(session),
        }
        channel.is_some()
    }
}

impl Service for Watch {
    fn started(&self, _session: &Session, number: ChannelNumber, _content: Option<ProfileContent>) {
        self.state().channel = Some(number);
    }

    fn start_failed(&self, session: &Session, why: ChannelFailure) {
        if why == ChannelFailure::SessionEnded {
            self.stop();
        } else {
            self.fail(session);
        }
    }

    // A reply counts like any other octet.
    fn message(&self, _session: &Session, _number: ChannelNumber, _message: Message) {}

    fn closed(&self, session: &Session, by_peer: bool) {
        if by_peer && session.is_alive() {
            // It will answer no more checks.
            self.fail(session);
        } else {
            self.stop();
        }
    }

    fn is_watch(&self) -> bool {
        self.state().failed.is_some()
    }
}

impl Session {
    /// Checks every `period` that the peer is still there, through a channel of the ALIVE profile.
    ///
    /// A period in which any octet arrived passes without a check; else an empty message is sent. Once `max_unreplied`
    /// of them found nothing but silence, `failed` is called, once, with their number, and the checks end. So they do,
    /// with 0 or the number so far, when the peer refuses the channel, does not accept it within the time of all checks
    /// (3 s at least), or closes it. `failed` runs on the task that drives the session and must not block. It is not
    /// called when the session ends first.
    ///
    /// # Errors
    ///
    /// [`AliveError`]; then nothing was begun.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime, as [`tokio::spawn`] does.
    pub fn watch(
        &self,
        period: Duration,
        max_unreplied: u32,
        failed: impl FnOnce(&Session, u32) + Send + 'static,
    ) -> Result<(), AliveError> {
        if period.is_zero() {
            return Err(AliveError::NoPeriod);
        }
        if max_unreplied == 0 {
            return Err(AliveError::NoUnreplied);
        }
        let greeting = self.peer_greeting();
        if greeting.is_some_and(|greeting| !greeting.profiles.iter().any(|uri| uri == URI)) {
            return Err(AliveError::NotOffered);
        }
        if self.services().iter().any(|service| service.is_watch()) {
            return Err(AliveError::AlreadyWatched);
        }
        let watch = Arc::new(Watch {
            state: Mutex::new(State {
                channel: None,
                unreplied: 0,
                failed: Some(Box::new(failed)),
                task: None,
            }),
        });
        let request = StartRequest {
            profiles: vec![ProfileOffer {
                uri: URI.to_owned(),
                content: None,
            }],
            ..StartRequest::default()
        };
        self.start_service(request, watch.clone())?;
        let task = tokio::spawn(run(
            Arc::downgrade(&self.shared),
            Arc::downgrade(&watch),
            self.received(),
            period,
            max_unreplied,
        ));
        watch.state().task = Some(task.abort_handle());
        Ok(())
    }
}

async fn run(
    session: Weak<Shared>,
    watch: Weak<Watch>,
    mut received: u64,
    period: Duration,
    max: u32,
) {
    /// As good as never, where the periods add up to more than a clock can hold.
    const FAR_AWAY: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    let start_limit = period.saturating_mul(max).clamp(START_LIMIT_MIN, FAR_AWAY);
    let begin = Instant::now();
    let mut ticks = interval_at(begin + period.min(FAR_AWAY), period.min(FAR_AWAY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        let (Some(shared), Some(watch)) = (session.upgrade(), watch.upgrade()) else {
            return;
        };
        let session = Session { shared };
        let so_far = session.received();
        let had_input = std::mem::replace(&mut received, so_far) != so_far;
        if !watch.check(&session, had_input, now - begin >= start_limit, max) {
            return;
        }
    }
}

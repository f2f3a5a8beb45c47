//! Tuning: a profile replaces the transport, and the session begins anew (RFC 3080 §3).

use std::time::Instant;

use super::Session;
use crate::error::SessionEnd;
use crate::numbers::ChannelNumber;

/// Where the tuning of a session is.
///
/// ```text
///  No --- our start queued --> Queued -- sent --> Asked -- <profile> in --+
///  |                                                                      v
///  +- the peer's start in --> Offered -- accepted --> Answering -- out -> Agreed -- tune() --> Tuned, and a new session
///
///  Queued, Asked -- the peer's start in --> Crossed -- <profile> in --> Agreed
/// ```
///
/// A refusal leads back to No from everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tuning {
    /// None.
    No,
    /// Our start waits on channel 0.
    Queued(ChannelNumber),
    /// Our start is out: nothing may be sent before its answer.
    Asked(ChannelNumber),
    /// Ours is on its way, and so was one of the peer. Both want an answer, which neither got if nothing might be sent.
    Crossed(ChannelNumber),
    /// The peer's start waits for the application: the octets behind it may not be BEEP.
    Offered(ChannelNumber),
    /// The positive answer waits on channel 0.
    Answering(ChannelNumber),
    /// The positive answer passed: the next octets in both directions are those of the new layer.
    Agreed,
}

impl Tuning {
    /// Whether it is about this start.
    pub(crate) fn is_of(self, number: ChannelNumber) -> bool {
        match self {
            Tuning::Queued(its)
            | Tuning::Asked(its)
            | Tuning::Crossed(its)
            | Tuning::Offered(its)
            | Tuning::Answering(its) => its == number,
            Tuning::No | Tuning::Agreed => false,
        }
    }

    /// Whether nothing may be sent. Not even a SEQ: it would land in the handshake.
    pub(crate) fn holds_output(self) -> bool {
        matches!(self, Tuning::Asked(_) | Tuning::Agreed)
    }

    /// Whether no octet may be taken.
    pub(crate) fn holds_input(self) -> bool {
        matches!(
            self,
            Tuning::Offered(_) | Tuning::Answering(_) | Tuning::Agreed
        )
    }
}

impl Session {
    /// Whether no input is taken: a start of a tuning profile waits for its answer, or tuning is under way.
    pub fn is_input_held(&self) -> bool {
        self.end.is_none() && self.tuning.holds_input()
    }

    /// Whether the peers agreed to tune, and the next octets in both directions are those of the new layer.
    pub fn is_tuning_agreed(&self) -> bool {
        self.end.is_none() && self.tuning == Tuning::Agreed
    }

    /// Ends this session because the new layer is in place, and gives the one that begins over it.
    ///
    /// The new session has the role and the config of this one, and its server name unless the tuning start asked for
    /// another; numbers, windows and channels start from the beginning, and [`greet`](Self::greet) has to be called on
    /// it. This one ends with [`SessionEnd::Tuned`], and its channels with it. Gives nothing when it was over before.
    pub fn tune(&mut self, now: Instant, server_name: Option<&str>) -> Option<Session> {
        if self.end.is_some() {
            return None;
        }
        let mut session =
            Session::with_first_numbers(self.role, self.config.clone(), now, self.first_numbers);
        if let Some(name) = server_name {
            session.fix_server_name(name);
        }
        if session.server_name.is_none() {
            session.server_name.clone_from(&self.server_name);
        }
        self.finish(SessionEnd::Tuned);
        Some(session)
    }

    /// Goes on as before because the peers agreed not to tune after all.
    pub fn resume_after_tuning(&mut self) {
        self.tuning = Tuning::No;
    }
}

//! The deadlines of a session; nobody needs a clock to keep them.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::numbers::ChannelNumber;

/// When a request runs out, and a counter that tells requests of one instant apart.
pub(crate) type DeadlineKey = (Instant, u32);

/// What runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The answer to our start.
    Start(ChannelNumber),
    /// The conditions for our close, or the answer to it.
    Close(ChannelNumber),
    /// The conditions for agreeing to the peer's close.
    AgreeToClose(ChannelNumber),
    /// The conditions for our release, or the answer to it.
    Release,
    /// The queues to empty before agreeing to the peer's release.
    AgreeToRelease,
}

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    pub(crate) greeting: Option<Instant>,
    pub(crate) linger: Option<Instant>,
    pub(crate) idle: Option<Instant>,
    requests: BTreeMap<DeadlineKey, Timer>,
    next_id: u32,
}

impl Deadlines {
    pub(crate) fn new(greeting: Option<Instant>, idle: Option<Instant>) -> Self {
        Deadlines {
            greeting,
            idle,
            ..Deadlines::default()
        }
    }

    pub(crate) fn set(&mut self, at: Instant, timer: Timer) -> DeadlineKey {
        let key = (at, self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        self.requests.insert(key, timer);
        key
    }

    pub(crate) fn cancel(&mut self, key: DeadlineKey) {
        self.requests.remove(&key);
        self.shrink();
    }

    /// The earliest deadline.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        let request = self.requests.first_key_value().map(|((at, _), _)| *at);
        [self.greeting, self.linger, self.idle, request]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes out a request that has run out.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (key, timer) = self
            .requests
            .first_key_value()
            .map(|(key, timer)| (*key, *timer))?;
        if key.0 > now {
            return None;
        }
        self.cancel(key);
        Some(timer)
    }

    fn shrink(&mut self) {
        if self.requests.is_empty() {
            self.requests = BTreeMap::new();
        }
    }
}

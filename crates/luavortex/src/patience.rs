//! How long a wait stays awake before its thread goes to sleep.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What counts as short: a round trip with a peer that has to be woken takes 20 to 40 µs.
const SHORT: Duration = Duration::from_micros(50);
/// Waits that sleep at once after staying awake was no use so many times in a row: two to this power.
const DOUBT_MAX: u32 = 10;

/// Decides whether a wait looks at the sockets again and again for a moment.
///
/// To wake a thread takes longer than most peers on the same machine need for an answer, and the more so where
/// processors are virtual. So a wait that follows a short one stays awake as long as that was at most. A wait that took
/// long is followed by one that sleeps at once: an idle process costs nothing. And where staying awake is no use, because
/// there is no other processor that the peer could run on, it is tried less and less.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    last_was_short: Cell<bool>,
    /// Times in a row that staying awake was no use.
    doubt: Cell<u32>,
    /// Waits to come that sleep at once.
    asleep: Cell<u32>,
}

impl Patience {
    /// Until when a wait that begins now stays awake.
    pub(crate) fn awake_until(&self, now: Instant) -> Option<Instant> {
        if !self.last_was_short.get() {
            return None;
        }
        let asleep = self.asleep.get();
        if asleep > 0 {
            self.asleep.set(asleep - 1);
            return None;
        }
        Some(now + SHORT)
    }

    /// A wait is over that took so long, and stayed awake or not.
    pub(crate) fn waited(&self, time: Duration, was_awake: bool) {
        let was_short = time < SHORT;
        self.last_was_short.set(was_short);
        if was_awake && was_short {
            self.doubt.set(0);
        } else if was_awake {
            let doubt = (self.doubt.get() + 1).min(DOUBT_MAX);
            self.doubt.set(doubt);
            self.asleep.set(1 << doubt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(20);
    const SLOW: Duration = Duration::from_millis(20);

    /// Lets waits of `time` pass and counts those that stayed awake.
    fn awake(patience: &Patience, waits: u32, time: impl Fn(bool) -> Duration) -> u32 {
        let now = Instant::now();
        (0..waits)
            .filter(|_| {
                let is_awake = patience.awake_until(now).is_some();
                patience.waited(time(is_awake), is_awake);
                is_awake
            })
            .count() as u32
    }

    #[test]
    fn waits_that_follow_short_ones_stay_awake() {
        let patience = Patience::default();
        assert_eq!(awake(&patience, 100, |_| QUICK), 99);
    }

    #[test]
    fn an_idle_process_sleeps_at_once() {
        let patience = Patience::default();
        awake(&patience, 10, |_| QUICK);
        assert_eq!(awake(&patience, 100, |_| SLOW), 1);
    }

    #[test]
    fn where_nobody_can_answer_meanwhile_it_is_hardly_tried() {
        let patience = Patience::default();
        let alone = |is_awake| if is_awake { SLOW } else { QUICK };
        awake(&patience, 4000, alone);
        assert!(awake(&patience, 10_000, alone) <= 10);
        // It is found out when that has changed.
        awake(&patience, 1025, |_| QUICK);
        assert_eq!(awake(&patience, 100, |_| QUICK), 100);
    }
}

//! What the workers of a measurement count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::tools::terminal::size;

/// Kinds of failures that are told apart; a broken peer may have a new one for every message.
const KINDS: usize = 20;

/// What one worker counted.
#[derive(Debug)]
pub(super) struct Tally {
    /// Microseconds; grows with what it is given.
    pub(super) times: Option<Histogram<u64>>,
    pub(super) octets_out: u64,
    pub(super) octets_back: u64,
    pub(super) failures: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            // Three digits is a precision it has.
            times: Histogram::new(3).ok(),
            octets_out: 0,
            octets_back: 0,
            failures: BTreeMap::new(),
        }
    }
}

impl Tally {
    pub(super) fn done(&mut self, counters: &Counters, took: Duration, out: u64, back: u64) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(times) = &mut self.times {
            // Fails only for one that cannot grow.
            let _ = times.record(us);
        }
        self.octets_out += out;
        self.octets_back += back;
        counters.done.fetch_add(1, Relaxed);
        counters.octets.fetch_add(out + back, Relaxed);
    }

    pub(super) fn failed(&mut self, counters: &Counters, reason: String) {
        counters.failed.fetch_add(1, Relaxed);
        self.count_failures(reason, 1);
    }

    fn count_failures(&mut self, reason: String, count: u64) {
        let is_known = self.failures.contains_key(&reason);
        let reason = if is_known || self.failures.len() < KINDS {
            reason
        } else {
            "others".to_owned()
        };
        *self.failures.entry(reason).or_default() += count;
    }

    /// Takes over what another worker counted.
    pub(super) fn add(&mut self, other: Tally) {
        if let (Some(times), Some(others)) = (&mut self.times, &other.times) {
            let _ = times.add(others); // as above
        }
        self.octets_out += other.octets_out;
        self.octets_back += other.octets_back;
        for (reason, count) in other.failures {
            self.count_failures(reason, count);
        }
    }

    /// How many were done.
    pub(super) fn count(&self) -> u64 {
        self.times.as_ref().map_or(0, Histogram::len)
    }
}

/// What all workers of a measurement did so far, for the live display.
#[derive(Debug, Default)]
pub(super) struct Counters {
    done: AtomicU64,
    octets: AtomicU64,
    failed: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug)]
pub(super) struct Counts {
    done: u64,
    octets: u64,
    failed: u64,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        Counts {
            done: self.done.load(Relaxed),
            octets: self.octets.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}

impl Counts {
    /// How many are over, one way or the other.
    pub(super) fn total(&self) -> u64 {
        self.done + self.failed
    }

    /// What was done since `before`, which was `time` ago.
    pub(super) fn since(&self, before: &Counts, time: Duration) -> String {
        let seconds = time.as_secs_f64().max(1e-6);
        let rate = (self.done - before.done) as f64 / seconds;
        let octets = (self.octets - before.octets) as f64 / seconds;
        let mut text = format!("{rate:.0}/s");
        if octets >= 1.0 {
            text += &format!(", {}/s", size(octets as u64));
        }
        text += &format!(", {} in all", self.done);
        if self.failed > 0 {
            text += &format!(", {} failures", self.failed);
        }
        text
    }
}

//! The result of a measurement, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::tally::Tally;
use super::{Arguments, Bench, What};
use crate::tools::endpoint::Endpoint;
use crate::tools::terminal::{BAD, FAINT, STRONG, paint, size, visible};

/// The result of a measurement.
#[derive(Debug, Serialize)]
pub(super) struct Measurement {
    what: What,
    seconds: f64,
    /// Connections at once, and messages at once on each.
    connections: u32,
    outstanding: u32,
    /// Payload of a message, in octets.
    size: u64,
    /// Round trips, or connections made and released.
    count: u64,
    per_second: f64,
    octets_out: u64,
    octets_back: u64,
    milliseconds: Latency,
    /// How often what failed.
    failures: BTreeMap<String, u64>,
}

/// How long they took, in milliseconds.
#[derive(Debug, Default, Serialize)]
struct Latency {
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// All results.
#[derive(Serialize)]
struct Report<'a> {
    peer: String,
    profile: &'a str,
    measurements: &'a [Measurement],
}

/// All results as a JSON object.
pub(super) fn report(peer: &Endpoint, profile: &str, measurements: &[Measurement]) -> String {
    let report = Report {
        peer: peer.to_string(),
        profile,
        measurements,
    };
    let text = serde_json::to_string_pretty(&report).unwrap_or_default();
    format!("{text}\n")
}

/// What people call it.
pub(super) fn name(what: What) -> &'static str {
    match what {
        What::RoundTrips => "round trips",
        What::Throughput => "throughput",
        What::Connections => "connections",
    }
}

impl Measurement {
    pub(super) fn new(
        what: What,
        arguments: &Arguments,
        bench: &Bench,
        took: Duration,
        tally: &Tally,
    ) -> Self {
        let seconds = took.as_secs_f64().max(1e-6);
        let is_about_messages = what != What::Connections;
        Measurement {
            what,
            seconds: rounded(seconds),
            connections: arguments.connections,
            outstanding: if is_about_messages {
                bench.outstanding
            } else {
                0
            },
            size: if is_about_messages {
                bench.payload.len() as u64
            } else {
                0
            },
            count: tally.count(),
            per_second: rounded(tally.count() as f64 / seconds),
            octets_out: tally.octets_out,
            octets_back: tally.octets_back,
            milliseconds: tally.times.as_ref().map(Latency::of).unwrap_or_default(),
            failures: tally.failures.clone(),
        }
    }

    /// How many failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(super) fn to_text(&self) -> String {
        let rate = |octets: u64| size((octets as f64 / self.seconds.max(1e-6)) as u64);
        let result = match self.what {
            What::Throughput => format!(
                "{}/s out, {}/s back",
                rate(self.octets_out),
                rate(self.octets_back)
            ),
            What::RoundTrips | What::Connections => format!("{:.0}/s", self.per_second),
        };
        let mut facts = format!("{} in {:.1} s", self.count, self.seconds);
        if self.what != What::Connections {
            let _ = write!(
                facts,
                ", of {}, {} at once",
                size(self.size),
                self.outstanding
            );
        }
        let connections = match self.connections {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        let Latency {
            min,
            mean,
            p50,
            p90,
            p99,
            p999,
            max,
        } = self.milliseconds;
        let mut text = format!(
            "{} {}  {}\n",
            paint(STRONG, format!("{:<12}", name(self.what))),
            paint(STRONG, result),
            paint(FAINT, format!("{facts}, {connections}")),
        );
        if self.count > 0 {
            let _ = writeln!(
                text,
                "{:12} ms: min {min:.3}  mean {mean:.3}  p50 {p50:.3}  p90 {p90:.3}  p99 {p99:.3}  p99.9 {p999:.3}  max {max:.3}",
                ""
            );
        }
        for (reason, count) in &self.failures {
            let _ = writeln!(
                text,
                "{:12} {} {}",
                "",
                paint(BAD, format!("{count} failed:")),
                visible(reason)
            );
        }
        text
    }
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1e3;
        let at = |quantile: f64| ms(times.value_at_quantile(quantile));
        Latency {
            min: ms(times.min()),
            mean: rounded(times.mean() / 1e3),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(times.max()),
        }
    }
}

/// With three digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

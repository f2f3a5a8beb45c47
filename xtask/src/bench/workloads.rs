//! What is measured, against what, and how good it shall be.

/// Where server and client may run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Cores {
    /// Both on the same one.
    One,
    /// The server on one, the client on another.
    Two,
    /// Wherever the system puts them.
    Any,
}

impl Cores {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::Any => "any",
        }
    }
}

/// How a measured value becomes a figure that can be compared with one of another minute.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// As a part of what `raw_limit` does in this workload.
    Ratio(&'static str),
    /// What it would be where `raw_limit` makes `REFERENCE` round trips a second, both ends on one core: there it is
    /// fastest, which makes the goals harder than on two.
    Scaled,
    /// The value itself, as it does not depend on the machine's speed.
    Value,
}

/// Round trips of 64 octets a second to which goals are scaled.
pub(crate) const REFERENCE: f64 = 55_000.0;

/// How the figure comes about.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    /// A client against a server.
    Pair,
    /// `raw_limit burst` against a server.
    Burst,
    /// A client against two servers, as a multiple of the same against one.
    Scaling,
}

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) cores: Cores,
    pub(crate) way: Way,
    pub(crate) figure: Figure,
    pub(crate) unit: &'static str,
    pub(crate) must: Option<f64>,
    pub(crate) aim: Option<f64>,
    pub(crate) more_is_better: bool,
}

impl Workload {
    pub(crate) fn needs_tls(&self) -> bool {
        self.name.starts_with("tls_")
    }

    /// How many open files each side needs.
    pub(crate) fn descriptors(&self) -> u64 {
        match self.name {
            "among10k" => 10_100,
            _ => 1100,
        }
    }

    /// Whether it is about handlers in Lua, so that there is nothing to measure without.
    pub(crate) fn concerns_lua(&self) -> bool {
        matches!(self.name, "handler" | "scaling")
    }

    /// The workload of `raw_limit` that it is compared with, and where that runs.
    pub(crate) fn reference(&self) -> Option<(&'static str, Cores)> {
        match self.figure {
            Figure::Ratio(reference) => Some((reference, self.cores)),
            Figure::Scaled => Some(("rtt64", Cores::One)),
            Figure::Value => None,
        }
    }

    /// The figure for a value, given what `raw_limit` did in the same round.
    pub(crate) fn figure(&self, value: f64, raw: Option<f64>) -> Option<f64> {
        match (self.figure, raw) {
            (Figure::Value, _) => Some(value),
            (Figure::Ratio(_), Some(raw)) => Some(value / raw),
            (Figure::Scaled, Some(raw)) if self.more_is_better => Some(value * REFERENCE / raw),
            (Figure::Scaled, Some(raw)) => Some(value * raw / REFERENCE),
            (_, None) => None,
        }
    }

    pub(crate) fn reaches(&self, figure: f64, goal: f64) -> bool {
        if self.more_is_better {
            figure >= goal
        } else {
            figure <= goal
        }
    }
}

const fn ratio(
    name: &'static str,
    what: &'static str,
    cores: Cores,
    reference: &'static str,
    goals: (f64, f64),
) -> Workload {
    Workload {
        name,
        what,
        cores,
        way: Way::Pair,
        figure: Figure::Ratio(reference),
        unit: "of raw",
        must: Some(goals.0),
        aim: Some(goals.1),
        more_is_better: true,
    }
}

const fn scaled(name: &'static str, what: &'static str, unit: &'static str, must: f64) -> Workload {
    Workload {
        name,
        what,
        cores: Cores::Two,
        way: Way::Pair,
        figure: Figure::Scaled,
        unit,
        must: Some(must),
        aim: Some(2.0 * must),
        more_is_better: true,
    }
}

const fn value(
    name: &'static str,
    what: &'static str,
    unit: &'static str,
    goals: (f64, f64),
) -> Workload {
    Workload {
        name,
        what,
        cores: Cores::Two,
        way: Way::Pair,
        figure: Figure::Value,
        unit,
        must: Some(goals.0),
        aim: Some(goals.1),
        more_is_better: false,
    }
}

use Cores::{Any, One, Two};

/// All of them. A name may be there twice, on one core and on two.
pub(crate) const ALL: &[Workload] = &[
    ratio(
        "rtt64",
        "one message of 64 octets at a time",
        One,
        "rtt64",
        (0.50, 0.70),
    ),
    ratio("rtt64", "the same", Two, "rtt64", (0.75, 0.90)),
    Workload {
        must: None,
        aim: None,
        ..ratio(
            "rtt1k",
            "one message of 1 KiB at a time",
            Two,
            "rtt1k",
            (0.0, 0.0),
        )
    },
    ratio(
        "rtt16k",
        "one message of 16 KiB at a time",
        Two,
        "rtt16k",
        (0.20, 0.45),
    ),
    scaled(
        "pipe64",
        "100 messages of 64 octets outstanding",
        "msgs/s",
        150_000.0,
    ),
    scaled(
        "pipe1k",
        "100 messages of 1 KiB outstanding",
        "msgs/s",
        80_000.0,
    ),
    ratio(
        "fan8",
        "8 connections, 8 messages outstanding on each",
        Any,
        "fan8",
        (0.12, 0.25),
    ),
    ratio(
        "bulk1m_sink",
        "1 MiB, an empty reply",
        Two,
        "bulk1m_sink",
        (0.30, 0.55),
    ),
    ratio(
        "bulk16m_sink",
        "16 MiB, an empty reply",
        Two,
        "bulk16m_sink",
        (0.30, 0.55),
    ),
    ratio(
        "bulk1m_echo",
        "1 MiB, echoed",
        Two,
        "bulk1m_echo",
        (0.18, 0.35),
    ),
    ratio(
        "bulk16m_echo",
        "16 MiB, echoed",
        Two,
        "bulk16m_echo",
        (0.25, 0.35),
    ),
    ratio(
        "chan100",
        "100 channels in turn",
        Two,
        "rtt64",
        (0.35, 0.50),
    ),
    scaled(
        "chan100_par",
        "100 channels at the same time",
        "msgs/s",
        120_000.0,
    ),
    ratio(
        "open_close",
        "a channel opened and closed",
        Two,
        "rtt64",
        (0.12, 0.20),
    ),
    ratio(
        "connect",
        "connect, open, a round trip, close",
        Two,
        "connect",
        (0.55, 0.75),
    ),
    scaled(
        "ans64",
        "10,000 answers of 64 octets to a message",
        "ANS/s",
        350_000.0,
    ),
    scaled(
        "ans1k",
        "10,000 answers of 1 KiB to a message",
        "ANS/s",
        150_000.0,
    ),
    ratio(
        "tls_rtt64",
        "rtt64 over TLS",
        Two,
        "tls_rtt64",
        (0.55, 0.75),
    ),
    ratio(
        "tls_bulk16m_sink",
        "bulk16m_sink over TLS",
        Two,
        "tls_bulk16m_sink",
        (0.30, 0.55),
    ),
    ratio(
        "tls_handshake",
        "connect, TLS, close",
        Two,
        "tls_handshake",
        (0.75, 0.90),
    ),
    ratio(
        "sasl_plain",
        "connect, SASL PLAIN, close",
        Two,
        "connect",
        (0.35, 0.50),
    ),
    Workload {
        figure: Figure::Scaled,
        ..value(
            "handler",
            "CPU of the listener for a message to an empty handler",
            "µs",
            (4.0, 2.0),
        )
    },
    value(
        "idle",
        "memory of the listener for an idle connection, of 1,000",
        "KiB",
        (8.0, 5.5),
    ),
    value(
        "among1k",
        "a round trip among 1,000 idle connections, against none",
        "times",
        (1.3, 1.05),
    ),
    value(
        "among10k",
        "a round trip among 10,000 idle connections, against none",
        "times",
        (1.3, 1.05),
    ),
    Workload {
        way: Way::Burst,
        cores: Any,
        ..value(
            "burst",
            "500 connects at the same time, until all are greeted",
            "s",
            (0.2, 0.1),
        )
    },
    Workload {
        way: Way::Scaling,
        cores: Any,
        more_is_better: true,
        ..value(
            "scaling",
            "two listeners against one, with a handler that computes",
            "times",
            (1.6, 1.9),
        )
    },
];

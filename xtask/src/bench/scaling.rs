//! Messages a second against the number of connections, of channels, of messages outstanding, and against their size: our
//! scripts under the command, as files of figures and plots of them.

use std::fs;
use std::path::Path;

use super::options::Options;
use super::peers::{Peer, Programs};
use super::plot::{Plot, draw};
use super::workloads::{Cores, REFERENCE};
use super::{pair, value_of};
use crate::Failure;
use crate::workspace::Workspace;

/// One thing that grows while the others stay.
struct Axis {
    /// Of the files.
    name: &'static str,
    title: &'static str,
    x_title: &'static str,
    /// The setting of the client that grows.
    setting: &'static str,
    /// What it grows to.
    values: &'static [u64],
    /// Whether what is shown are octets.
    in_octets: bool,
}

const AXES: &[Axis] = &[
    Axis {
        name: "connections",
        title: "connections, each with one message of 64 octets at a time",
        x_title: "connections",
        setting: "BENCH_CONNECTIONS",
        values: &[1, 3, 10, 30, 100, 300, 1000, 3000, 10_000],
        in_octets: false,
    },
    Axis {
        name: "channels",
        title: "channels of one connection, each with one message of 64 octets at a time",
        x_title: "channels",
        setting: "BENCH_CHANNELS",
        values: &[1, 3, 10, 30, 100, 300, 1000, 3000, 10_000],
        in_octets: false,
    },
    Axis {
        name: "outstanding",
        title: "messages of 64 octets outstanding on one channel",
        x_title: "messages outstanding",
        setting: "BENCH_WINDOW",
        values: &[1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000],
        in_octets: false,
    },
    Axis {
        name: "size",
        title: "messages of this size, echoed, 16 MiB and at most 100 of them outstanding",
        x_title: "octets of a message",
        setting: "BENCH_SIZE",
        values: &[
            1,
            16,
            64,
            256,
            1 << 10,
            1 << 12,
            1 << 14,
            1 << 16,
            1 << 18,
            1 << 20,
            1 << 22,
            1 << 24,
            1 << 26,
        ],
        in_octets: true,
    },
];

/// What came of one value: the middle of the rounds, scaled.
struct Point {
    x: u64,
    msgs_s: Vec<f64>,
}

impl Point {
    fn median(&self) -> f64 {
        let mut sorted = self.msgs_s.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

/// `cargo xtask bench --scaling`
pub(crate) fn run(programs: &Programs, options: &Options) -> Result<(), Failure> {
    let directory = Workspace::read()?.root()?.join("docs/performance");
    fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for axis in AXES {
        let mut points = Vec::new();
        for x in axis.values {
            let mut msgs_s = Vec::new();
            for _ in 0..options.rounds {
                msgs_s.push(measure(programs, options, axis, *x)?);
            }
            let point = Point { x: *x, msgs_s };
            println!("{} {x}: {:.0} msgs/s, scaled", axis.name, point.median());
            points.push(point);
        }
        keep(axis, &points, &directory)?;
    }
    println!("{}", directory.display());
    Ok(())
}

/// Messages a second, scaled by the round trips of bare TCP just before.
fn measure(programs: &Programs, options: &Options, axis: &Axis, x: u64) -> Result<f64, Failure> {
    let seconds = options.settings();
    let raw = pair(programs, Peer::Raw, Cores::One, "rtt64", &seconds)?;
    let mut settings = seconds;
    settings.push((axis.setting, x.to_string()));
    if axis.in_octets {
        settings.push(("BENCH_WINDOW", ((1 << 24) / x).clamp(1, 100).to_string()));
    }
    let ours = pair(programs, Peer::Command, Cores::Two, "load", &settings)
        .map_err(|problem| format!("{} {x}: {problem}", axis.name))?;
    match (value_of(&raw), value_of(&ours)) {
        (Some(raw), Some(ours)) => Ok(ours * REFERENCE / raw),
        _ => Err("the client tells no value".to_owned()),
    }
}

/// Writes the figures, and the plots of them.
fn keep(axis: &Axis, points: &[Point], directory: &Path) -> Result<(), Failure> {
    let file = directory.join(format!("{}.csv", axis.name));
    let mut csv = format!("{},msgs_per_s,least,most\n", axis.name);
    for point in points {
        let least = point.msgs_s.iter().copied().fold(f64::INFINITY, f64::min);
        let most = point.msgs_s.iter().copied().fold(0.0, f64::max);
        csv.push_str(&format!(
            "{},{:.0},{least:.0},{most:.0}\n",
            point.x,
            point.median()
        ));
    }
    fs::write(&file, csv).map_err(|error| format!("{}: {error}", file.display()))?;

    let plot = |name: String, y_title, is_logarithmic, y: fn(&Point) -> f64| {
        let plot = Plot {
            title: axis.title,
            x_title: axis.x_title,
            y_title,
            is_logarithmic,
            points: points
                .iter()
                .map(|point| (point.x as f64, y(point)))
                .collect(),
        };
        draw(&plot, &directory.join(name))
    };
    plot(
        format!("{}.svg", axis.name),
        "messages a second",
        axis.in_octets,
        Point::median,
    )?;
    if axis.in_octets {
        let megabytes = |point: &Point| point.median() * point.x as f64 / 1e6;
        plot(
            format!("{}_octets.svg", axis.name),
            "MB a second, each way",
            true,
            megabytes,
        )?;
    }
    Ok(())
}

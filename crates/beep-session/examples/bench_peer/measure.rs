//! Clocks, and the line that a workload prints.

use std::str::FromStr;
use std::time::Instant;
use std::{env, fs};

/// A number of the environment.
pub(crate) fn setting<T: FromStr>(name: &str, default: T) -> T {
    let text = env::var(format!("BENCH_{name}"));
    text.ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

pub(crate) fn seconds() -> f64 {
    setting("SECONDS", 1.0)
}

/// What a value is, and how it follows from the messages of a run.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// So many a second.
    Each(&'static str),
    /// Octets a second.
    Megabytes,
    /// Something else: the value itself.
    Given(&'static str, f64),
}

/// A run that has begun.
pub(crate) struct Run {
    start: Instant,
    cpu: Option<f64>,
    server_cpu: Option<f64>,
    latencies: Vec<f64>,
}

impl Run {
    pub(crate) fn begin() -> Self {
        Self {
            cpu: cpu("self"),
            server_cpu: cpu(&server()),
            latencies: Vec::new(),
            start: Instant::now(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.start.elapsed().as_secs_f64() >= seconds()
    }

    pub(crate) fn latency(&mut self, since: Instant) {
        self.latencies.push(since.elapsed().as_secs_f64());
    }

    pub(crate) fn report(mut self, workload: &str, n: usize, size: usize, unit: Unit) {
        let wall = self.start.elapsed().as_secs_f64();
        let took = |before: Option<f64>, after: Option<f64>| match (before, after) {
            (Some(before), Some(after)) => after - before,
            _ => -1.0,
        };
        let client_cpu = took(self.cpu, cpu("self"));
        let server_cpu = took(self.server_cpu, cpu(&server()));
        self.latencies.sort_by(f64::total_cmp);
        let percentile = |part: f64| {
            let index = (self.latencies.len() as f64 * part).ceil() as usize;
            let found = self.latencies.get(index.saturating_sub(1));
            found.map_or(0.0, |seconds| seconds * 1e6)
        };
        let (median, high) = (percentile(0.5), percentile(0.99));
        let msgs_s = n as f64 / wall;
        let mb_s = msgs_s * size as f64 / 1e6;
        let (unit, value) = match unit {
            Unit::Each(unit) => (unit, msgs_s),
            Unit::Megabytes => ("MB/s", mb_s),
            Unit::Given(unit, value) => (unit, value),
        };
        let better = if unit.ends_with("/s") { "high" } else { "low" };
        println!(
            "{{\"workload\":\"{workload}\",\"ok\":true,\"n\":{n},\"size\":{size},\"wall_s\":{wall:.6},\
             \"client_cpu_s\":{client_cpu:.3},\"server_cpu_s\":{server_cpu:.3},\
             \"lat_med_us\":{median:.2},\"lat_p99_us\":{high:.2},\"msgs_s\":{msgs_s:.2},\"mb_s\":{mb_s:.3},\
             \"value\":{value:.3},\"unit\":\"{unit}\",\"better\":\"{better}\"}}"
        );
    }
}

/// A workload that is not done here.
pub(crate) fn unsupported(workload: &str) {
    println!(
        "{{\"workload\":\"{workload}\",\"ok\":false,\"unsupported\":true,\"error\":\"unsupported\"}}"
    );
}

fn server() -> String {
    env::var("BENCH_SERVER_PID").unwrap_or_default()
}

/// Seconds of CPU that a process has taken.
fn cpu(process: &str) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}

/// KiB of memory that the server occupies.
pub(crate) fn server_memory() -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

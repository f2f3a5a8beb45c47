//! Measures speed: each workload in turn over bare TCP and by ours, in rounds, so that both meet the same machine.
//!
//! `docs/performance.md` tells how to read what it prints.

mod options;
mod peers;
mod plot;
mod report;
mod scaling;
mod workloads;

use serde_json::{Value, json};

use crate::Failure;
use options::Options;
use peers::{Peer, Programs};
use report::{Column, Row};
use workloads::{Cores, Way, Workload};

const BURST: usize = 500;

/// `cargo xtask bench`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut options = Options::parse(arguments)?;
    if options.scaling {
        options.peers = vec![Peer::Command];
    }
    let programs = Programs::build(&mut options.peers)?;
    if !programs.is_first() {
        println!(
            "bench: no right to go before other work (chrt --rr): keep this machine idle, or the figures are worthless"
        );
    }
    if options.scaling {
        return scaling::run(&programs, &options);
    }
    let mut rows: Vec<Row> = options
        .workloads
        .iter()
        .map(|workload| Row::new(workload, &options.peers))
        .collect();
    for round in 1..=options.rounds {
        for row in &mut rows {
            measure(&programs, &options, row);
            println!("round {round}/{}: {}", options.rounds, row.progress());
        }
    }
    let table = report::table(&rows);
    println!("\n{table}");
    report::keep(&options, &rows, &table)?;
    let failures: Vec<String> = rows.iter().flat_map(Row::failures).collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// One round of a workload: bare TCP, then each of ours.
fn measure(programs: &Programs, options: &Options, row: &mut Row) {
    let workload = row.workload;
    if let Some(obstacle) = programs.obstacle(workload) {
        row.obstacle = Some(obstacle);
        return;
    }
    let mut raw = None;
    if let Some((reference, cores)) = workload.reference() {
        let peer = if workload.needs_tls() {
            Peer::RawTls
        } else {
            Peer::Raw
        };
        match pair(programs, peer, cores, reference, &options.settings()) {
            Ok(line) => {
                raw = value_of(&line);
                row.raw.push(line);
            }
            Err(problem) => row.problem = Some(problem),
        }
    }
    for Column { peer, outcome } in &mut row.columns {
        let Ok(samples) = outcome else { continue };
        if *peer == Peer::Rust && workload.concerns_lua() {
            continue;
        }
        match one(programs, options, *peer, workload) {
            Ok(line) => samples.push(report::Sample {
                figure: value_of(&line).and_then(|value| workload.figure(value, raw)),
                line,
            }),
            Err(problem) => *outcome = Err(problem),
        }
    }
}

fn value_of(line: &Value) -> Option<f64> {
    line.get("value").and_then(Value::as_f64)
}

fn one(
    programs: &Programs,
    options: &Options,
    peer: Peer,
    workload: &Workload,
) -> Result<Value, Failure> {
    match workload.way {
        Way::Pair => pair(
            programs,
            peer,
            workload.cores,
            workload.name,
            &options.settings(),
        ),
        Way::Burst => {
            let server = programs.server(peer, workload.cores)?;
            let line = programs.burst(&server, BURST)?;
            let micros = line.get("lat_max_us").and_then(Value::as_f64);
            let micros = micros.ok_or("the burst tells no time")?;
            Ok(json!({ "value": micros / 1e6, "burst": line }))
        }
        Way::Scaling => {
            let settings = options.settings();
            let first = programs.server(peer, workload.cores)?;
            let alone = programs.client(peer, workload.cores, "work", &[&first], &settings)?;
            let second = programs.server(peer, workload.cores)?;
            let both =
                programs.client(peer, workload.cores, "work", &[&first, &second], &settings)?;
            match (value_of(&alone), value_of(&both)) {
                (Some(one), Some(two)) => {
                    Ok(json!({ "value": two / one, "one": alone, "two": both }))
                }
                _ => Err("the client tells no value".to_owned()),
            }
        }
    }
}

/// A client with these settings against a server of its own kind, which ends with it.
fn pair(
    programs: &Programs,
    peer: Peer,
    cores: Cores,
    workload: &str,
    settings: &[(&str, String)],
) -> Result<Value, Failure> {
    let server = programs.server(peer, cores)?;
    programs.client(peer, cores, workload, &[&server], settings)
}

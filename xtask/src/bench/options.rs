//! What the command line asks for.

use std::path::PathBuf;

use super::peers::Peer;
use super::workloads::{self, Workload};
use crate::{Failure, unexpected, value};

pub(crate) struct Options {
    pub(crate) seconds: f64,
    pub(crate) rounds: usize,
    /// The columns of the table.
    pub(crate) peers: Vec<Peer>,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) save: Option<PathBuf>,
    /// Whether the table goes into the book.
    pub(crate) write: bool,
    /// Whether it is the plots that are wanted.
    pub(crate) scaling: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            seconds: 1.0,
            rounds: 5,
            peers: vec![
                Peer::Command,
                Peer::Stock("lua54"),
                Peer::Stock("luajit"),
                Peer::Rust,
            ],
            workloads: Vec::new(),
            save: None,
            write: false,
            scaling: false,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--quick" => {
                    (options.seconds, options.rounds) = (0.3, 3);
                    options.peers = vec![Peer::Command];
                }
                "--seconds" => options.seconds = number(argument, &value(argument, rest.next())?)?,
                "--rounds" => options.rounds = number(argument, &value(argument, rest.next())?)?,
                "--columns" => {
                    let list = value(argument, rest.next())?;
                    options.peers = list.split(',').map(Peer::named).collect::<Result<_, _>>()?;
                }
                "--save" => options.save = Some(value(argument, rest.next())?.into()),
                "--write" => options.write = true,
                "--scaling" => options.scaling = true,
                name if !name.starts_with('-') => options.workloads.extend(named(name)?),
                other => return Err(unexpected(other)),
            }
        }
        if options.workloads.is_empty() {
            options.workloads.extend(workloads::ALL);
        }
        Ok(options)
    }

    /// The environment of a client.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("BENCH_SECONDS", self.seconds.to_string())]
    }
}

fn number<T: std::str::FromStr>(option: &str, text: &str) -> Result<T, Failure> {
    text.parse()
        .map_err(|_| format!("{option} needs a number, not `{text}`"))
}

fn named(name: &str) -> Result<Vec<&'static Workload>, Failure> {
    let found: Vec<_> = workloads::ALL
        .iter()
        .filter(|workload| workload.name == name)
        .collect();
    if found.is_empty() {
        let names: Vec<&str> = workloads::ALL
            .iter()
            .map(|workload| workload.name)
            .collect();
        return Err(format!(
            "there is no workload `{name}`: choose among {}",
            names.join(" ")
        ));
    }
    Ok(found)
}

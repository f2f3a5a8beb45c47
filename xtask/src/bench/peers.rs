//! The programs that are measured: how they are built, and how their servers and clients are started.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::workloads::{Cores, Workload};
use crate::Failure;
use crate::child::{self, Listener};
use crate::lua::Lua;
use crate::module;
use crate::workspace::{self, Workspace};

/// Who speaks on both ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Peer {
    /// `raw_limit`: TCP alone.
    Raw,
    /// `raw_limit` built with TLS.
    RawTls,
    /// The scripts under the command.
    Command,
    /// The scripts under an interpreter of the system, with `vortex.so`.
    Stock(&'static str),
    /// The example of the Rust API.
    Rust,
}

impl Peer {
    pub(crate) fn named(name: &str) -> Result<Self, Failure> {
        match name {
            "command" => Ok(Self::Command),
            "rust" => Ok(Self::Rust),
            lua => Lua::named(lua).map(|lua| Self::Stock(lua.feature)),
        }
    }

    pub(crate) fn title(self) -> String {
        match self {
            Self::Raw | Self::RawTls => "raw".to_owned(),
            Self::Command => "luavortex".to_owned(),
            Self::Stock(lua) => format!("{lua} with vortex.so"),
            Self::Rust => "Rust API".to_owned(),
        }
    }
}

/// Where the programs are.
pub(crate) struct Programs {
    scripts: PathBuf,
    certificates: PathBuf,
    raw: PathBuf,
    raw_tls: Option<PathBuf>,
    command: PathBuf,
    rust: PathBuf,
    /// For each Lua its interpreter, and the directory of `vortex.so` and of the clock.
    stock: Vec<(&'static str, &'static str, PathBuf)>,
    has_taskset: bool,
    /// Whether a program may go before all others on its core.
    is_first: bool,
    cores: Vec<usize>,
    /// How many descriptors a process may have.
    descriptors: u64,
}

impl Programs {
    /// Builds what these peers need; says what cannot be measured.
    pub(crate) fn build(peers: &mut Vec<Peer>) -> Result<Self, Failure> {
        let workspace = Workspace::read()?;
        let (root, target) = (workspace.root()?, workspace.target()?);
        let out = target.join("bench");
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        let scripts = root.join("bench");
        let raw = out.join("raw_limit");
        cc(&["-pthread"], &scripts.join("raw_limit.c"), &raw, &[])?;
        let raw_tls = out.join("raw_limit_tls");
        let built = cc(
            &["-pthread", "-DRAW_TLS"],
            &scripts.join("raw_limit.c"),
            &raw_tls,
            &["-lssl", "-lcrypto"],
        );
        if built.is_err() {
            println!(
                "bench: TLS is not measured: raw_limit needs the headers of OpenSSL (Debian: libssl-dev)"
            );
        }
        let mut stock = Vec::new();
        let mut missing = Vec::new();
        for peer in peers.iter() {
            let Peer::Stock(feature) = *peer else {
                continue;
            };
            let lua = Lua::named(feature)?;
            let Some(interpreter) = lua.interpreter() else {
                println!("bench: {feature} is not measured: its interpreter is not installed");
                missing.push(*peer);
                continue;
            };
            let directory = out.join(feature);
            module::build(lua, &directory, true)?;
            let clock = directory.join("bench_clock.so");
            cc(&["-shared", "-fPIC"], &scripts.join("clock.c"), &clock, &[])?;
            stock.push((feature, interpreter, directory));
        }
        peers.retain(|peer| !missing.contains(peer));
        if peers.contains(&Peer::Command) {
            workspace::build(&["build", "--release", "--package", "luavortex-cli"])?;
        }
        if peers.contains(&Peer::Rust) {
            workspace::build(&[
                "build",
                "--release",
                "--package",
                "beep-session",
                "--example",
                "bench_peer",
            ])?;
        }
        Ok(Self {
            scripts,
            certificates: root.join("spec/certificates"),
            raw,
            raw_tls: built.is_ok().then_some(raw_tls),
            command: target.join("release/luavortex"),
            rust: target.join("release/examples/bench_peer"),
            stock,
            has_taskset: works(Command::new("taskset").arg("--version")),
            is_first: works(Command::new("chrt").args(FIRST).arg("true")),
            cores: allowed_cores(),
            descriptors: descriptors(),
        })
    }

    /// Whether what is measured goes before all other work of the machine.
    pub(crate) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Why a workload cannot be measured on this machine.
    pub(crate) fn obstacle(&self, workload: &Workload) -> Option<&'static str> {
        if workload.needs_tls() && self.raw_tls.is_none() {
            return Some("raw_limit could not be built with TLS");
        }
        if workload.descriptors() > self.descriptors {
            return Some("the limit of open files (ulimit -Hn) is too low");
        }
        match workload.cores {
            Cores::Any => None,
            _ if !self.has_taskset => Some("there is no taskset (Debian: util-linux)"),
            Cores::Two if self.cores.len() < 2 => Some("this process may use one core only"),
            _ => None,
        }
    }

    /// Starts a server of this peer.
    pub(crate) fn server(&self, peer: Peer, cores: Cores) -> Result<Listener, Failure> {
        let mut command = self.pinned(peer, cores, 0)?;
        match peer {
            Peer::Raw | Peer::RawTls => {
                command.arg("server").arg(free_port()?.to_string());
            }
            Peer::Rust => {
                command.arg("server");
            }
            Peer::Command | Peer::Stock(_) => {
                command.arg(self.scripts.join("server.lua"));
            }
        }
        command
            .env("BENCH_CERT", self.certificates.join("server.crt"))
            .env("BENCH_KEY", self.certificates.join("server.key"));
        Listener::start_quietly(&mut command)
    }

    /// Runs a client of this peer against servers, and gives the line it prints.
    pub(crate) fn client(
        &self,
        peer: Peer,
        cores: Cores,
        workload: &str,
        servers: &[&Listener],
        settings: &[(&str, String)],
    ) -> Result<Value, Failure> {
        let mut command = self.pinned(peer, cores, 1)?;
        match peer {
            Peer::Raw | Peer::RawTls | Peer::Rust => command.arg("client"),
            Peer::Command | Peer::Stock(_) => command.arg(self.scripts.join("client.lua")),
        };
        let ports: Vec<String> = servers
            .iter()
            .map(|server| server.port.to_string())
            .collect();
        command.args([workload, &ports.join(",")]);
        if let Some(server) = servers.first() {
            command.env("BENCH_SERVER_PID", server.id().to_string());
        }
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        measured(&mut command)
    }

    /// So many connects at the same time.
    pub(crate) fn burst(&self, server: &Listener, count: usize) -> Result<Value, Failure> {
        let mut command = Command::new(&self.raw);
        measured(command.args(["burst", &server.port.to_string(), &count.to_string()]))
    }

    /// The program of a peer, on the core of its side: 0 the server's, 1 the client's.
    fn pinned(&self, peer: Peer, cores: Cores, side: usize) -> Result<Command, Failure> {
        let mut environment = None;
        let program = match peer {
            Peer::Raw => &self.raw,
            Peer::RawTls => self.raw_tls.as_ref().ok_or("raw_limit has no TLS")?,
            Peer::Command => &self.command,
            Peer::Rust => &self.rust,
            Peer::Stock(feature) => {
                let found = self.stock.iter().find(|(name, ..)| *name == feature);
                let (_, interpreter, directory) = found.ok_or("that Lua was not built")?;
                environment = Some(directory.join("?.so"));
                Path::new(interpreter)
            }
        };
        let core = match cores {
            Cores::Any => None,
            Cores::One => self.cores.first(),
            Cores::Two => self.cores.get(side),
        };
        let mut words: Vec<OsString> = Vec::new();
        if self.is_first {
            words.push("chrt".into());
            words.extend(FIRST.map(OsString::from));
        }
        if self.has_taskset {
            // The command raises the limit itself, other programs do not.
            words.extend([
                "prlimit".into(),
                format!("--nofile={0}:{0}", self.descriptors).into(),
            ]);
        }
        if let Some(core) = core {
            words.extend([
                "taskset".into(),
                "--cpu-list".into(),
                core.to_string().into(),
            ]);
        }
        words.push(program.into());
        let (first, rest) = words.split_first().ok_or("there is nothing to run")?;
        let mut command = Command::new(first);
        command.args(rest);
        if let Some(path) = environment {
            command.env("LUA_CPATH", path);
        }
        Ok(command)
    }
}

/// Options of `chrt` for what is measured: without it a message waits for the time slice of whatever else the machine
/// does, and ratios tell about that.
const FIRST: [&str; 2] = ["--rr", "1"];

/// Longer no client takes, whatever is set.
const CLIENT_LIMIT: Duration = Duration::from_secs(180);

fn measured(command: &mut Command) -> Result<Value, Failure> {
    let mut line = None;
    let ended = child::each_line(command, CLIENT_LIMIT, |text| {
        line = serde_json::from_str::<Value>(text).ok();
    });
    match (line, ended) {
        (Some(line), _) if line.get("ok") != Some(&Value::Bool(true)) => {
            Err(match line.get("error").and_then(Value::as_str) {
                Some(error) => error.to_owned(),
                None => line.to_string(),
            })
        }
        (Some(line), Ok(())) => Ok(line),
        (_, Err(problem)) => Err(problem),
        (None, Ok(())) => Err("the client printed nothing".to_owned()),
    }
}

/// Whether a program is there and ends well.
fn works(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn cc(options: &[&str], source: &Path, out: &Path, libraries: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("cc");
    command
        .arg("-O2")
        .args(options)
        .arg("-o")
        .arg(out)
        .arg(source)
        .args(libraries);
    child::check(command.stderr(Stdio::null()), child::BUILD_LIMIT)
}

fn free_port() -> Result<u16, Failure> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|socket| socket.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("there is no free port: {error}"))
}

/// The cores that this process may use.
fn allowed_cores() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .unwrap_or_default();
    list.trim()
        .split(',')
        .filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

/// The hard limit of open files.
fn descriptors() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(4));
    hard.and_then(|hard| hard.parse().ok()).unwrap_or(1024)
}

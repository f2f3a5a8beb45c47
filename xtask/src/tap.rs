//! Sessions between two processes of ours, read octet by octet by a judge that was written from the RFCs alone.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::child::{self, Listener};
use crate::workspace::{self, Workspace};

const HOST: &str = "127.0.0.1";

/// Two scripts that speak with each other: the arguments of the listener, and of the client in front of host and port.
struct Pair {
    listener: &'static [&'static str],
    client: &'static [&'static str],
}

const PAIRS: &[Pair] = &[
    Pair {
        listener: &["examples/listener.lua", "0"],
        client: &["examples/client.lua"],
    },
    Pair {
        listener: &["interop/session_mix.lua", "listen"],
        client: &["interop/session_mix.lua", "connect"],
    },
];

/// `cargo xtask tap`
pub(crate) fn run() -> Result<(), Failure> {
    let workspace = Workspace::read()?;
    let root = workspace.root()?;
    workspace::build(&["build", "--package", "luavortex-cli"])?;
    let program = workspace.target()?.join("debug").join("luavortex");

    let (mut problems, mut judged) = (Vec::new(), 0);
    for pair in PAIRS {
        let script = pair.client.first().copied().unwrap_or_default();
        if !root.join(script).exists() {
            println!("tap {script}: SKIPPED, there is no such file");
            continue;
        }
        println!("tap {script}:");
        judged += 1;
        if let Err(problem) = judge(pair, &program, &root) {
            problems.push(format!("{script}: {problem}"));
        }
    }
    println!("tap the Lua specs:");
    if let Err(problem) = judge_specs(&program, &root) {
        problems.push(format!("the Lua specs: {problem}"));
    }
    if judged == 0 {
        problems.push("no session was judged".to_owned());
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn judge(pair: &Pair, program: &Path, root: &Path) -> Result<(), Failure> {
    let listener = Listener::start(Command::new(program).args(pair.listener).current_dir(root))?;
    let port = free_port()?.to_string();
    let mut relay = Command::new("python3");
    relay.args(["interop/beep-tap", &port, &listener.port.to_string(), "--"]);
    relay
        .arg(program)
        .args(pair.client)
        .args([HOST, &port])
        .current_dir(root);
    relay.env("PYTHONDONTWRITEBYTECODE", "1"); // nothing but sources in `interop`
    let report = child::output(&mut relay, child::TEST_LIMIT)?;
    listener.end()?;
    if report.lines().any(|line| line.starts_with("0 sessions,")) {
        return Err("the client opened no session".to_owned());
    }
    Ok(())
}

/// The specs have both sides in one script; their harness lets the relay stand in between.
fn judge_specs(program: &Path, root: &Path) -> Result<(), Failure> {
    let (relay_port, listen_port) = (free_port()?.to_string(), free_port()?.to_string());
    let mut relay = Command::new("python3");
    relay
        .args(["interop/beep-tap", &relay_port, &listen_port, "--"])
        .arg(program)
        .arg("spec/run.lua")
        .env("SPEC_LISTEN_PORT", &listen_port)
        .env("SPEC_RELAY_PORT", &relay_port)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(root);
    let report = child::output(&mut relay, child::TEST_LIMIT)?;
    if report.lines().any(|line| line.starts_with("0 sessions,")) {
        return Err("no session went through the relay".to_owned());
    }
    Ok(())
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failure> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

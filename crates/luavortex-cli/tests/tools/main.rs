//! The tools, run as users run them: against our own listener, and against peers made by hand.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod bench;
mod documentation;
mod endings;
mod listen;
mod messages;
mod new;
mod probe;
mod send;
#[path = "../support/mod.rs"]
mod support;
mod trace;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use serde_json::Value;
use support::{Outcome, Running, luavortex, root, run};

const ECHO: &str = "urn:example:echo";
/// A greeting, or an error in its place, as a peer that offers nothing sends it.
fn first_frame(kind: &str, document: &str) -> String {
    let content = format!("Content-Type: application/beep+xml\r\n\r\n{document}");
    format!("{kind} 0 0 . 0 {}\r\n{content}END\r\n", content.len())
}

fn greeting() -> String {
    first_frame("RPY", "<greeting />")
}

/// A running tool that told where it listens.
struct Served {
    running: Running,
    address: String,
}

impl Served {
    /// Starts `luavortex` with these words, and waits for the address in its first line.
    #[track_caller]
    fn start(words: &[&str]) -> Self {
        let mut running = Running::start(&mut luavortex(words));
        let address = running.wait_for(|line| {
            let line = line
                .strip_prefix("listening on ")
                .or_else(|| line.strip_prefix("relaying "))?;
            Some(line.split(' ').next()?.to_owned())
        });
        Served { running, address }
    }

    /// Our listener with one profile.
    #[track_caller]
    fn echo() -> Self {
        Served::start(&["listen", "--profile", ECHO, "--echo"])
    }

    fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Ctrl-C, and what it came to.
    #[track_caller]
    fn stop(self) -> Outcome {
        self.running.signal(nix::sys::signal::Signal::SIGINT);
        self.running.finish()
    }
}

/// Runs a tool to its end.
#[track_caller]
fn tool(words: &[&str]) -> Outcome {
    run(&mut luavortex(words))
}

/// What a tool printed as JSON.
#[track_caller]
fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"))
}

/// A peer made by hand: does this with each connection, on a thread of its own. Gives its address.
fn by_hand(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (serve, stream) = (serve.clone(), stream.unwrap());
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A peer that says this and then nothing, as long as the other side stays.
fn says(octets: impl Into<Vec<u8>>) -> String {
    let octets = octets.into();
    by_hand(move |mut stream| {
        // The other side may hang up before it has read all.
        let _ = stream.write_all(&octets);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// A port on which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A file among the certificates of the specs.
fn certificate(name: &str) -> String {
    let path: PathBuf = root().join("spec/certificates").join(name);
    path.to_str().unwrap().to_owned()
}

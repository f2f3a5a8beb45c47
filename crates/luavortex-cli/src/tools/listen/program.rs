//! The shell command that answers messages for `listen --exec`.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Commands at once: peers may send any number of messages.
const AT_ONCE: usize = 32;

/// A shell command, run for each message.
pub(super) struct Program {
    command: String,
    limit: Duration,
    places: Semaphore,
}

impl Program {
    pub(super) fn new(command: &str, limit: Duration) -> Self {
        Program {
            command: command.to_owned(),
            limit,
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// What the command makes of `input`, or the text of an ERR.
    pub(super) async fn run(
        &self,
        input: Bytes,
        environment: [(&str, String); 4],
    ) -> Result<Vec<u8>, Vec<u8>> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        match timeout(self.limit, self.run_to_end(input, environment)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let seconds = self.limit.as_secs_f64();
                Err(format!("the command did not end within {seconds} s").into_bytes())
            }
        }
    }

    async fn run_to_end(
        &self,
        input: Bytes,
        environment: [(&str, String); 4],
    ) -> Result<Vec<u8>, Vec<u8>> {
        let failed =
            |what: &str, error: std::io::Error| format!("cannot {what}: {error}").into_bytes();
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(&self.command)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| failed("start /bin/sh", error))?;
        let mut group = Group(child.id());
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A command need not read all of its input.
                let _ = stdin.write_all(&input).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output.map_err(|error| failed("read what the command says", error))?;
        // It has ended, and its number may be somebody else's soon.
        group.0 = None;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let mut reason = output.stderr;
        if reason.is_empty() {
            reason = format!("the command failed: {}", output.status).into_bytes();
        }
        Err(reason)
    }
}

/// The shell and what it started, ended when nobody waits for them any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0.and_then(|leader| i32::try_from(leader).ok()) {
            // Fails when they have ended by themselves.
            let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }
}

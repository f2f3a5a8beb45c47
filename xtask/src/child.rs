//! Child processes with a time limit.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

/// For what compiles. Two cores take minutes.
pub(crate) const BUILD_LIMIT: Duration = Duration::from_secs(1800);
/// For what runs tests.
pub(crate) const TEST_LIMIT: Duration = Duration::from_secs(300);
/// For what should take moments.
pub(crate) const MOMENT_LIMIT: Duration = Duration::from_secs(30);

/// Runs a command to its end, and fails when it does or when it takes too long.
pub(crate) fn check(command: &mut Command, limit: Duration) -> Result<(), Failure> {
    let mut child = start(command)?;
    let status = wait(&mut child, limit).map_err(|problem| format!("{command:?} {problem}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}

/// Runs a command like `check`, shows what it prints on standard output and gives it.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Result<String, Failure> {
    let mut text = String::new();
    each_line(command, limit, |line| {
        println!("{line}");
        text.push_str(line);
        text.push('\n');
    })?;
    Ok(text)
}

/// Runs a command like `check` and hands over each line that it prints on standard output.
pub(crate) fn each_line(
    command: &mut Command,
    limit: Duration,
    mut line: impl FnMut(&str) + Send,
) -> Result<(), Failure> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let stdout = child.stdout.take();
    let status = thread::scope(|scope| {
        scope.spawn(move || {
            let lines = stdout
                .into_iter()
                .flat_map(|stdout| BufReader::new(stdout).lines());
            lines
                .map_while(Result::ok)
                .for_each(|text: String| line(&text));
        });
        wait(&mut child, limit)
    });
    let status = status.map_err(|problem| format!("{command:?} {problem}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}

fn start(command: &mut Command) -> Result<Child, Failure> {
    command
        .spawn()
        .map_err(|error| format!("cannot run {command:?}: {error}"))
}

fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus, Failure> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child
            .try_wait()
            .map_err(|error| format!("cannot be waited for: {error}"))?
        {
            return Ok(status);
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("took more than {} s", limit.as_secs()));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A listener that runs until it is told to end.
pub(crate) struct Listener {
    child: Child,
    /// The port it listens on.
    pub(crate) port: u16,
}

impl Listener {
    /// Starts it and waits for the line that tells its port. What it prints is shown.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        Self::spawn(command, |line| println!("listener: {line}"))
    }

    /// The same, and shows nothing of what it prints on standard output.
    pub(crate) fn start_quietly(command: &mut Command) -> Result<Self, Failure> {
        Self::spawn(command, |_| {})
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn spawn(command: &mut Command, show: fn(&str)) -> Result<Self, Failure> {
        let mut child = start(command.stdout(Stdio::piped()))?;
        let (sender, port) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    show(&line);
                    if let Some(port) = last_number(&line) {
                        let _ = sender.send(port); // only the first is awaited
                    }
                }
            });
        }
        match port.recv_timeout(MOMENT_LIMIT) {
            Ok(port) => Ok(Self { child, port }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{command:?} told no port"))
            }
        }
    }

    /// Sends SIGINT and expects an end without complaint.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        let id = self.child.id().to_string();
        check(Command::new("kill").args(["-INT", &id]), MOMENT_LIMIT)?;
        let status = wait(&mut self.child, MOMENT_LIMIT)
            .map_err(|problem| format!("the listener {problem}"))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the listener ended with {status}"))
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn last_number(line: &str) -> Option<u16> {
    line.rsplit(|character: char| !character.is_ascii_digit())
        .find(|digits| !digits.is_empty())?
        .parse()
        .ok()
}

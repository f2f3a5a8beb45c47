//! Child processes with a time limit.

// Each test file is a crate of its own and uses some of this.
#![allow(dead_code)]

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Far beyond what any child needs, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Where the workspace is.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The command under test, untouched by the environment of whoever runs the tests.
pub(crate) fn luavortex<I, S>(arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(env!("CARGO_BIN_EXE_luavortex"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LUA") {
            command.env_remove(name);
        }
    }
    command
}

/// What a child that ended left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Checks the exit status, and shows all output if it is another one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }
}

/// Runs a child to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Outcome {
    run_with_input(command, "")
}

/// Runs a child to its end with this text as its standard input.
#[track_caller]
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Outcome {
    let mut running = Running::start_with(command, Stdio::piped());
    if let Some(stdin) = &mut running.child.stdin {
        // A child that does not read its input closes it early.
        let _ = stdin.write_all(input.as_bytes());
    }
    running.close_input();
    running.finish()
}

enum Piece {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// A child that runs.
pub(crate) struct Running {
    child: Child,
    pieces: Receiver<Piece>,
    deadline: Instant,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// How much of `stdout` `wait_for_text` is done with.
    seen: usize,
}

impl Running {
    /// Starts a child.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a child whose standard input stays open and empty.
    pub(crate) fn start_with_open_input(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    fn start_with(command: &mut Command, stdin: Stdio) -> Self {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, pieces) = mpsc::channel();
        let errors = sender.clone();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        thread::spawn(move || forward(stdout, |piece| sender.send(Piece::Out(piece)).is_ok()));
        thread::spawn(move || forward(stderr, |piece| errors.send(Piece::Err(piece)).is_ok()));
        Self {
            child,
            pieces,
            deadline: Instant::now() + LIMIT,
            stdout: Vec::new(),
            stderr: Vec::new(),
            seen: 0,
        }
    }

    /// Waits for a line on standard output that `wanted` finds something in.
    #[track_caller]
    pub(crate) fn wait_for<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        loop {
            let text = String::from_utf8_lossy(&self.stdout).into_owned();
            let complete = text
                .rfind('\n')
                .map_or("", |end| text.get(..end).unwrap_or_default());
            if let Some(found) = complete.lines().find_map(&wanted) {
                return found;
            }
            if !self.receive() {
                self.fail("the output ended without the line that was waited for");
            }
        }
    }

    /// Waits for exactly this line on standard output.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, wanted: &str) {
        self.wait_for(|line| (line == wanted).then_some(()));
    }

    /// Waits for this text on standard output, behind all that was waited for in this way before.
    #[track_caller]
    pub(crate) fn wait_for_text(&mut self, wanted: &str) {
        loop {
            let unseen = self.stdout.get(self.seen..).unwrap_or_default();
            if let Some(place) = unseen
                .windows(wanted.len())
                .position(|part| part == wanted.as_bytes())
            {
                self.seen += place + wanted.len();
                return;
            }
            if !self.receive() {
                self.fail("the output ended without the text that was waited for");
            }
        }
    }

    /// Waits for this text on standard error.
    #[track_caller]
    pub(crate) fn wait_for_error(&mut self, wanted: &str) {
        while !String::from_utf8_lossy(&self.stderr).contains(wanted) {
            if !self.receive() {
                self.fail("standard error ended without the text that was waited for");
            }
        }
    }

    /// Waits until the child's main thread sleeps in the kernel.
    #[track_caller]
    pub(crate) fn wait_until_asleep(&mut self) {
        let path = format!("/proc/{0}/task/{0}/stat", self.child.id());
        loop {
            let stat = std::fs::read_to_string(&path).unwrap_or_default();
            // The state stands behind the name in parentheses; `Z` has ended.
            let state = stat.rsplit(") ").next().unwrap_or_default();
            if state.starts_with('S') {
                return;
            }
            if state.starts_with('Z') || Instant::now() > self.deadline {
                self.fail("the child did not go to sleep in time");
            }
            thread::yield_now();
        }
    }

    /// Writes to standard input.
    pub(crate) fn write(&mut self, text: &str) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    /// Ends standard input.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The child's process number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        while self.receive() {}
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > self.deadline {
                self.fail("the child closed its output but did not end in time");
            }
            thread::sleep(Duration::from_millis(1));
        };
        Outcome {
            status,
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        }
    }

    /// Takes in more output; false when there is no more.
    #[track_caller]
    fn receive(&mut self) -> bool {
        match self
            .pieces
            .recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
        {
            Ok(Piece::Out(piece)) => self.stdout.extend(piece),
            Ok(Piece::Err(piece)) => self.stderr.extend(piece),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => self.fail("the child did not end in time"),
        }
        true
    }

    #[track_caller]
    fn fail(&mut self, what: &str) -> ! {
        let _ = self.child.kill();
        let (out, err) = (
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(&self.stderr),
        );
        panic!("{what}\n--- stdout\n{out}\n--- stderr\n{err}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // No child outlives its test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(mut from: impl Read, mut to: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 || !to(buffer[..length].to_vec()) {
            return;
        }
    }
}

/// A directory of this test's own, removed with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes it. The name must be one test's alone.
    pub(crate) fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! Ctrl-C, and a standard output that nobody reads any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGINT, SIGPIPE};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::output;

/// As shells report a program that Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED_STATUS: i32 = 130;

/// How long writing out buffers may hold up the end after Ctrl-C: the script may be stuck in a write itself.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);

/// A script runs.
const SCRIPT: u8 = 0;
/// The line editor waits for a line, and Ctrl-C is a key to it; or it has just got one or is about to ask for one.
const PROMPT: u8 = 1;
/// A line from the prompt runs.
const LINE: u8 = 2;

static ACTIVITY: AtomicU8 = AtomicU8::new(SCRIPT);
/// Ctrl-C came and what it interrupted is not over yet.
static ASKED: AtomicBool = AtomicBool::new(false);
/// The running line is to raise an error at its next look.
static LINE_INTERRUPT: AtomicBool = AtomicBool::new(false);

/// Starts watching for signals.
pub(crate) fn watch() -> io::Result<()> {
    // With a handler for SIGPIPE instead of ignoring it, programs that the script starts get the default back.
    let mut signals = Signals::new([SIGINT, SIGPIPE])?;
    let watcher = thread::Builder::new().name("signals".to_owned());
    watcher.spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGPIPE => broken_pipe(),
                _ => interrupt(),
            }
        }
    })?;
    Ok(())
}

/// Runs `prompt`, which asks for lines with the line editor, with Ctrl-C left to the editor.
///
/// Outside of lines a Ctrl-C that comes too late for the last one, or too early for the next, ends nothing.
pub(crate) fn while_prompting<T>(prompt: impl FnOnce() -> T) -> T {
    during(PROMPT, prompt)
}

/// Runs `line`, which Ctrl-C shall interrupt without ending the process.
pub(crate) fn while_line_runs<T>(line: impl FnOnce() -> T) -> T {
    during(LINE, line)
}

/// Whether Ctrl-C wants the running line to stop. True once per Ctrl-C.
pub(crate) fn take_line_interrupt() -> bool {
    LINE_INTERRUPT.swap(false, SeqCst)
}

fn during<T>(activity: u8, action: impl FnOnce() -> T) -> T {
    LINE_INTERRUPT.store(false, SeqCst);
    ASKED.store(false, SeqCst);
    let around = ACTIVITY.swap(activity, SeqCst);
    let result = action();
    ACTIVITY.store(around, SeqCst);
    result
}

fn interrupt() {
    let activity = ACTIVITY.load(SeqCst);
    if activity == PROMPT {
        return;
    }
    if ASKED.swap(true, SeqCst) {
        low_level::exit(INTERRUPTED_STATUS);
    }
    if vortex::interrupt() {
        return;
    }
    if activity == LINE {
        LINE_INTERRUPT.store(true, SeqCst);
        return;
    }

    // The script computes or sits in a call of its own, and Lua cannot be reached from this thread.
    output::error(b"interrupted!");
    thread::spawn(|| process::exit(INTERRUPTED_STATUS)); // writes out what the script printed
    thread::sleep(FLUSH_LIMIT);
    low_level::exit(INTERRUPTED_STATUS);
}

/// Ends the process as SIGPIPE does by default, unless the broken pipe is one of the script's own.
fn broken_pipe() {
    if is_broken(io::stdout().as_fd()) || is_broken(io::stderr().as_fd()) {
        // Returns only when it failed; then the script sees the failed write.
        let _ = low_level::emulate_default_handler(SIGPIPE);
    }
}

fn is_broken(descriptor: BorrowedFd<'_>) -> bool {
    let mut descriptors = [PollFd::new(descriptor, PollFlags::empty())];
    let polled = poll(&mut descriptors, PollTimeout::ZERO);
    let [descriptor] = descriptors;
    polled.is_ok()
        && descriptor
            .revents()
            .is_some_and(|events| events.contains(PollFlags::POLLERR))
}

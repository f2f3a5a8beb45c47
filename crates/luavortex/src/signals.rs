//! The signals that end `vortex.wait_listeners (ctx, true)`.
//!
//! The one file with `unsafe` in it: the handlers that were there before have to be back afterwards, and only
//! `sigaction` tells which they were.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{SIGINT, SIGQUIT, SIGTERM, c_int, sigaction};

const SIGNALS: [c_int; 3] = [SIGINT, SIGTERM, SIGQUIT];

/// Where the handler writes an octet; -1 while nobody waits.
static WRITE_TO: AtomicI32 = AtomicI32::new(-1);

/// While it lives, the signals write an octet to a socket instead of what they did before.
pub(crate) struct CaughtSignals {
    before: Vec<(c_int, sigaction)>,
    previous_target: RawFd,
    // Kept open for the handler.
    _writer: UnixStream,
}

extern "C" fn handle(_signal: c_int) {
    let target = WRITE_TO.load(Ordering::SeqCst);
    // SAFETY: write and the location of errno may be used in a signal handler; errno is kept for the code that was
    // interrupted. The descriptor is open while WRITE_TO holds it, see `Drop`.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(target, b"!".as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}

impl CaughtSignals {
    /// Catches SIGINT, SIGTERM and SIGQUIT; the socket becomes readable when one comes.
    pub(crate) fn catch() -> io::Result<(Self, UnixStream)> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        let previous_target = WRITE_TO.swap(writer.as_raw_fd(), Ordering::SeqCst);
        let mut caught = CaughtSignals {
            before: Vec::new(),
            previous_target,
            _writer: writer,
        };
        for signal in SIGNALS {
            let mut before = MaybeUninit::<sigaction>::uninit();
            // SAFETY: both structures are valid for the call, which fills `before` when it succeeds; `handle` is
            // async-signal-safe, and all-zero is a valid sigaction.
            let before = unsafe {
                let mut action: sigaction = MaybeUninit::zeroed().assume_init();
                action.sa_sigaction = handle as extern "C" fn(c_int) as libc::sighandler_t;
                action.sa_flags = libc::SA_RESTART;
                if libc::sigaction(signal, &raw const action, before.as_mut_ptr()) != 0 {
                    return Err(io::Error::last_os_error());
                }
                before.assume_init()
            };
            caught.before.push((signal, before));
        }
        Ok((caught, reader))
    }
}

impl Drop for CaughtSignals {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: `before` is what sigaction gave for this signal.
            unsafe {
                libc::sigaction(*signal, before, std::ptr::null_mut());
            }
        }
        WRITE_TO.store(self.previous_target, Ordering::SeqCst);
    }
}

//! The signals that end `vortex.wait_listeners (ctx, true)`.
//!
//! The one file with `unsafe` in it: the handlers that were there before have to be back afterwards, and only
//! `sigaction` tells which they were.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{SIGINT, SIGQUIT, SIGTERM, c_int, sigaction};

const SIGNALS: [c_int; 3] = [SIGINT, SIGTERM, SIGQUIT];

/// Waits for signals at once, in all Lua states of the process.
const WATCHES_MAX: usize = 16;

/// Where the handler writes an octet for each watch; -1 where there is none. The descriptors stay open for good, so that
/// a handler that runs just now never writes into a file that another part of the program has opened since.
static TARGETS: [AtomicI32; WATCHES_MAX] = [const { AtomicI32::new(-1) }; WATCHES_MAX];

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    sockets: Vec::new(),
    free: Vec::new(),
    watching: 0,
    before: Vec::new(),
});

struct Registry {
    /// Reader and writer of each watch that there ever was.
    sockets: Vec<(UnixStream, UnixStream)>,
    /// Those that are in no use now.
    free: Vec<usize>,
    watching: usize,
    /// What the signals did before the first watch.
    before: Vec<(c_int, sigaction)>,
}

/// While one lives, the signals write to the sockets of all watches instead of what they did before.
pub(crate) struct CaughtSignals {
    watch: usize,
}

extern "C" fn handle(_signal: c_int) {
    // SAFETY: write and the location of errno may be used in a signal handler; errno is kept for the code that was
    // interrupted. The descriptors are never closed.
    unsafe {
        let errno = *libc::__errno_location();
        for target in &TARGETS {
            let target = target.load(Ordering::SeqCst);
            if target >= 0 {
                libc::write(target, b"!".as_ptr().cast(), 1);
            }
        }
        *libc::__errno_location() = errno;
    }
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// A watch that is free, and where it is read.
    fn take_watch(&mut self) -> io::Result<(usize, UnixStream)> {
        let watch = match self.free.pop() {
            Some(watch) => watch,
            None if self.sockets.len() < WATCHES_MAX => {
                let (reader, writer) = UnixStream::pair()?;
                reader.set_nonblocking(true)?;
                writer.set_nonblocking(true)?;
                self.sockets.push((reader, writer));
                self.sockets.len() - 1
            }
            None => return Err(io::Error::other("too many waits for signals at once")),
        };
        let Some((reader, writer)) = self.sockets.get_mut(watch) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        // What came behind the end of the watch before.
        while matches!(reader.read(&mut [0; 16]), Ok(1..)) {}
        let reader = reader.try_clone()?;
        if let Some(target) = TARGETS.get(watch) {
            target.store(writer.as_raw_fd(), Ordering::SeqCst);
        }
        Ok((watch, reader))
    }

    fn install(&mut self) -> io::Result<()> {
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
            self.before.push((signal, before));
        }
        Ok(())
    }

    fn restore(&mut self) {
        for (signal, before) in self.before.drain(..) {
            // SAFETY: `before` is what sigaction gave for this signal.
            unsafe {
                libc::sigaction(signal, &raw const before, std::ptr::null_mut());
            }
        }
    }
}

impl CaughtSignals {
    /// Catches SIGINT, SIGTERM and SIGQUIT; the socket becomes readable when one comes.
    pub(crate) fn catch() -> io::Result<(Self, UnixStream)> {
        let mut registry = registry();
        let (watch, reader) = registry.take_watch()?;
        registry.watching += 1;
        if registry.watching == 1
            && let Err(error) = registry.install()
        {
            registry.restore();
            registry.watching = 0;
            registry.free.push(watch);
            return Err(error);
        }
        Ok((CaughtSignals { watch }, reader))
    }
}

impl Drop for CaughtSignals {
    fn drop(&mut self) {
        let mut registry = registry();
        registry.watching -= 1;
        if registry.watching == 0 {
            registry.restore();
        }
        if let Some(target) = TARGETS.get(self.watch) {
            target.store(-1, Ordering::SeqCst);
        }
        registry.free.push(self.watch);
    }
}

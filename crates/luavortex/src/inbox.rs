//! The queue of events that wait for one Lua state, and the descriptor that shows it.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use beep_session::core::Event;
use beep_session::sasl::{self, AuthenticationError};
use beep_session::{Addresses, ConnectError, End, Session, tls};

/// Something that Lua has to be told. Sessions are named by the key of their connection.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A start of a profile that this side registered.
    Start(Box<StartNotice>),
    /// Any other event of a session.
    Event(u64, Event),
    /// The session is over.
    Ended(u64, Arc<End>),
    /// A listener took a connection.
    Accepted {
        listener: u64,
        key: u64,
        session: Session,
        addresses: Addresses,
        /// Dropped when Lua is told: the listener counts them.
        untold: Arc<()>,
    },
    /// TCP is connected and the greetings are under way, or there is no connection.
    Connected {
        key: u64,
        result: Result<Session, ConnectError>,
    },
    /// A connection was shut down while it was being made.
    ConnectGivenUp(u64),
    /// A listener was shut down.
    ListenerClosed(u64),
    /// What came of an authentication of this side.
    Authenticated {
        key: u64,
        operation: u64,
        result: Result<(), AuthenticationError>,
    },
    /// A peer wants to be authenticated.
    SaslRequest { key: u64, request: sasl::Request },
    /// A peer wants TLS.
    TlsRequest { key: u64, request: tls::Request },
    /// TLS is in place, so a new session takes the place of an old one.
    Tuned {
        old: u64,
        key: u64,
        session: Session,
    },
    /// TLS that this side asked for came to nothing.
    TlsFailed { key: u64, error: tls::Error },
    /// A peer that is watched does not answer.
    AliveFailed { key: u64, unreplied: u32 },
    /// Nothing refers to a context any more.
    CtxGone(u64),
    /// A timer of the Lua side is due.
    TimersDue,
    /// A signal came that somebody waits for.
    Signal,
}

#[derive(Debug)]
pub(crate) struct StartNotice {
    pub(crate) key: u64,
    pub(crate) number: u32,
    pub(crate) profile: String,
    pub(crate) content: Option<beep_session::core::ProfileContent>,
    pub(crate) server_name: Option<String>,
    /// Which of the offers it is; `None` when it was accepted already.
    pub(crate) offer: Option<usize>,
}

/// The queue of one Lua state. Engine tasks push, the state's thread pops.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// Set by [`crate::interrupt`], taken by the wait that it ends.
    interrupted: AtomicBool,
    /// Whether the state's thread is in a wait.
    waiting: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    notices: VecDeque<Notice>,
    /// Coroutines that can go on count as events, too.
    coroutines_ready: bool,
    /// Who waits for the queue to fill.
    waiter: Option<Waker>,
    event_fd: Option<EventFd>,
}

impl Inbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, notice: Notice) {
        let waiter = {
            let mut queue = self.queue();
            queue.notices.push_back(notice);
            queue.show();
            queue.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    pub(crate) fn pop(&self) -> Option<Notice> {
        let mut queue = self.queue();
        let notice = queue.notices.pop_front();
        if notice.is_some() {
            queue.show();
        }
        notice
    }

    /// Whether Lua has something to do.
    pub(crate) fn has_events(&self) -> bool {
        self.queue().has_events()
    }

    /// Whether notices wait.
    pub(crate) fn has_notices(&self) -> bool {
        !self.queue().notices.is_empty()
    }

    /// True when there are events; otherwise `waker` is woken by the next.
    pub(crate) fn has_events_or_register(&self, waker: &Waker) -> bool {
        let mut queue = self.queue();
        if queue.has_events() {
            return true;
        }
        match &mut queue.waiter {
            Some(waiter) => waiter.clone_from(waker),
            None => queue.waiter = Some(waker.clone()),
        }
        false
    }

    /// Says whether coroutines of the scheduler can go on.
    pub(crate) fn set_coroutines_ready(&self, ready: bool) {
        let mut queue = self.queue();
        queue.coroutines_ready = ready;
        queue.show();
    }

    /// A descriptor that is readable exactly while there are events.
    pub(crate) fn event_fd(&self) -> io::Result<i32> {
        let mut queue = self.queue();
        if queue.event_fd.is_none() {
            queue.event_fd = Some(EventFd::new()?);
            queue.show();
        }
        Ok(queue.event_fd.as_ref().map_or(-1, EventFd::number))
    }

    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::SeqCst);
    }

    /// Ends the wait of the state's thread. False when it is not waiting.
    pub(crate) fn interrupt(&self) -> bool {
        if !self.waiting.load(Ordering::SeqCst) {
            return false;
        }
        self.interrupted.store(true, Ordering::SeqCst);
        let waiter = self.queue().waiter.take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        true
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    pub(crate) fn take_interrupt(&self) -> bool {
        self.interrupted.swap(false, Ordering::SeqCst)
    }
}

impl Queue {
    fn has_events(&self) -> bool {
        self.coroutines_ready || !self.notices.is_empty()
    }

    fn show(&mut self) {
        let has_events = self.has_events();
        if let Some(event_fd) = &mut self.event_fd {
            event_fd.set(has_events);
        }
    }
}

/// A pair of sockets of which one holds one octet while there is something to show.
#[derive(Debug)]
struct EventFd {
    shown: UnixStream,
    writer: UnixStream,
    readable: bool,
}

impl EventFd {
    fn new() -> io::Result<Self> {
        let (shown, writer) = UnixStream::pair()?;
        shown.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(EventFd {
            shown,
            writer,
            readable: false,
        })
    }

    fn number(&self) -> i32 {
        self.shown.as_raw_fd()
    }

    fn set(&mut self, readable: bool) {
        if readable == self.readable {
            return;
        }
        let mut octet = [1];
        // One octet fits always, and is always there to be taken, unless the program closed the descriptor.
        let done = if readable {
            self.writer.write(&octet)
        } else {
            self.shown.read(&mut octet)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the descriptor of vortex.event_fd cannot be used; did the program close it?");
        }
        self.readable = readable;
    }
}

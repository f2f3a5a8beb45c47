//! The engine of one Lua state: the runtime, who drives it, and how Lua waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Sleep, sleep_until};

use crate::bridge::Link;
use crate::drivers::Drivers;
use crate::inbox::{Inbox, Notice};
use crate::keeper::Keeper;
use crate::patience::Patience;

/// Events that Lua handles in a row before the sockets get a look.
const EVENTS_PER_TURN: u32 = 32;

/// Inboxes of all Lua states of the process, for [`crate::interrupt`].
static INBOXES: Mutex<Vec<Weak<Inbox>>> = Mutex::new(Vec::new());

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Events,
    TimeIsUp,
    Interrupted,
}

/// Everything below Lua that one Lua state has.
pub(crate) struct Engine {
    keeper: Keeper,
    /// `None` only while the engine is dropped.
    runtime: Option<Arc<Runtime>>,
    pub(crate) drivers: Arc<Drivers>,
    pub(crate) inbox: Arc<Inbox>,
    link: Arc<Link>,
    timers: RefCell<Timers>,
    /// Ends waits that have a limit. Kept from one to the next: one that fires early is looked at again, and costs less
    /// than setting it with every wait.
    alarm: RefCell<Option<Pin<Box<Sleep>>>>,
    patience: Patience,
    since_turn: Cell<u32>,
    /// The last event that Lua took was a timer.
    timer_was_taken: Cell<bool>,
}

#[derive(Debug, Default)]
struct Timers {
    due: BTreeSet<(Instant, u64)>,
    by_id: FxHashMap<u64, Instant>,
    last_id: u64,
}

impl Engine {
    pub(crate) fn new(keys: Arc<AtomicU64>) -> io::Result<Self> {
        let runtime = Arc::new(
            Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()?,
        );
        let inbox = Arc::new(Inbox::default());
        let drivers = Arc::new(Drivers::default());
        let keeper = Keeper::start(runtime.clone(), drivers.clone(), inbox.clone())?;
        let mut inboxes = INBOXES.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.push(Arc::downgrade(&inbox));
        let link = Arc::new(Link::new(inbox.clone(), &drivers, keys));
        Ok(Engine {
            keeper,
            link,
            runtime: Some(runtime),
            drivers,
            inbox,
            timers: RefCell::default(),
            alarm: RefCell::default(),
            patience: Patience::default(),
            since_turn: Cell::new(0),
            timer_was_taken: Cell::new(false),
        })
    }

    /// The runtime that sessions and listeners are spawned on.
    pub(crate) fn runtime(&self) -> &Runtime {
        match &self.runtime {
            Some(runtime) => runtime,
            // Only `drop` takes it, and nothing can borrow what is being dropped.
            None => unreachable!("the engine is used after its end"),
        }
    }

    /// What engine tasks need to reach this Lua state.
    pub(crate) fn link(&self) -> Arc<Link> {
        self.link.clone()
    }

    /// Waits until Lua has something to do or `limit` is over; drives the sockets meanwhile.
    pub(crate) fn wait(&self, limit: Option<Instant>) -> Waited {
        self.inbox.set_waiting(true);
        let waited = self.wait_here(limit);
        self.inbox.set_waiting(false);
        // An interrupt that came after the look at it stays for the next wait.
        waited
    }

    fn wait_here(&self, limit: Option<Instant>) -> Waited {
        self.since_turn.set(0);
        if self.inbox.take_interrupt() {
            return Waited::Interrupted;
        }
        if self.has_events() {
            return Waited::Events;
        }
        let next_timer = self.timers.borrow().next();
        let until = match (limit, next_timer) {
            (Some(limit), Some(timer)) => Some(limit.min(timer)),
            (limit, timer) => limit.or(timer),
        };
        self.keeper.lua_waits();
        let started = Instant::now();
        let awake_until = self.patience.awake_until(started);
        self.runtime().block_on(async {
            let mut drivers = pin!(self.drivers.run_until(|| self.inbox.has_events()));
            poll_fn(|cx| {
                if self.inbox.has_events_or_register(cx.waker()) || self.inbox.is_interrupted() {
                    return Poll::Ready(());
                }
                if drivers.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if let Some(until) = until
                    && self.poll_alarm(cx, until).is_ready()
                {
                    return Poll::Ready(());
                }
                if awake_until.is_some_and(|awake_until| Instant::now() < awake_until) {
                    // The runtime looks at the sockets and polls this again.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            })
            .await;
        });
        self.patience
            .waited(started.elapsed(), awake_until.is_some());
        self.keeper.lua_computes();
        if self.inbox.take_interrupt() {
            Waited::Interrupted
        } else if self.has_events() {
            Waited::Events
        } else {
            Waited::TimeIsUp
        }
    }

    /// Ready when it is `until` or later.
    fn poll_alarm(&self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let until = until.into();
        let mut alarm = self.alarm.borrow_mut();
        loop {
            let alarm = match &mut *alarm {
                Some(alarm) => {
                    if alarm.deadline() > until {
                        alarm.as_mut().reset(until);
                    }
                    alarm
                }
                empty => empty.insert(Box::pin(sleep_until(until))),
            };
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
    }

    /// Gives the sockets a look without waiting, unless the keeper looks after them anyway.
    pub(crate) fn turn(&self) {
        self.since_turn.set(0);
        // A notice, so that the event descriptor shows a timer that is due.
        if !self.inbox.has_notices() && self.has_due_timer() {
            self.inbox.push(Notice::TimersDue);
        }
        if self.keeper.is_in_charge() {
            return;
        }
        self.keeper.lua_waits();
        self.runtime().block_on(async {
            // Sessions that Lua gave work to, then those that the sockets have work for.
            self.drivers.give_turns().await;
            self.drivers.give_turns().await;
        });
        self.keeper.lua_computes();
    }

    /// Called for each event that Lua handles: now and then the sockets get a look in between.
    pub(crate) fn event_was_taken(&self) {
        let taken = self.since_turn.get() + 1;
        self.since_turn.set(taken);
        if taken >= EVENTS_PER_TURN {
            self.turn();
        }
    }

    /// Whether Lua has something to do: a notice, a coroutine that can go on, a timer that is due.
    pub(crate) fn has_events(&self) -> bool {
        self.inbox.has_events() || self.has_due_timer()
    }

    fn has_due_timer(&self) -> bool {
        let next = self.timers.borrow().next();
        next.is_some_and(|due| due <= Instant::now())
    }

    /// Sets a timer and returns its number.
    pub(crate) fn add_timer(&self, after: Duration) -> u64 {
        let mut timers = self.timers.borrow_mut();
        timers.last_id += 1;
        let id = timers.last_id;
        let due = Instant::now() + after;
        timers.due.insert((due, id));
        timers.by_id.insert(id, due);
        if timers.next() == Some(due) {
            self.keeper.set_next_timer(Some(due));
        }
        id
    }

    /// Takes a timer back.
    pub(crate) fn cancel_timer(&self, id: u64) {
        let mut timers = self.timers.borrow_mut();
        if let Some(due) = timers.by_id.remove(&id) {
            timers.due.remove(&(due, id));
            let next = timers.next();
            // Most are limits of waits that come to their end long before, and not the next to be due.
            if next.is_none_or(|next| next > due) {
                self.keeper.set_next_timer(next);
            }
        }
    }

    /// Takes a timer that is due, if it is the timers' turn: they and the other events alternate, so that neither
    /// keeps the other from being handled.
    pub(crate) fn take_timer_in_turn(&self) -> Option<u64> {
        let others_turn = self.timer_was_taken.replace(false) && self.inbox.has_notices();
        let timer = if others_turn {
            None
        } else {
            self.take_due_timer()
        };
        self.timer_was_taken.set(timer.is_some());
        timer
    }

    fn take_due_timer(&self) -> Option<u64> {
        let mut timers = self.timers.borrow_mut();
        let (due, id) = *timers.due.first()?;
        if due > Instant::now() {
            return None;
        }
        timers.due.pop_first();
        timers.by_id.remove(&id);
        self.keeper.set_next_timer(timers.next());
        Some(id)
    }
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.turn();
        self.keeper.stop();
        // Threads that still resolve names are not waited for: the library is linked so that it is never unloaded.
        if let Some(runtime) = self.runtime.take().and_then(Arc::into_inner) {
            runtime.shutdown_background();
        }
    }
}

/// Interrupts every Lua state of the process that waits. True when one did.
pub(crate) fn interrupt() -> bool {
    let inboxes: Vec<_> = {
        let inboxes = INBOXES.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.iter().filter_map(Weak::upgrade).collect()
    };
    let mut interrupted = false;
    for inbox in inboxes {
        interrupted |= inbox.interrupt();
    }
    interrupted
}

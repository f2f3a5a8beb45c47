//! The keeper: drives the engine while Lua keeps the processor.
//!
//! The thread that owns the Lua state drives the runtime itself whenever Lua waits: then an event needs no thread
//! switch to reach its handler. While Lua computes nobody would answer the peers, so a second thread, the keeper,
//! takes the runtime over once Lua has been away for about a millisecond, and gives it back when Lua waits again.
//! While Lua goes in and out of waits quickly the keeper costs a look at one number each millisecond, and nothing
//! per message; while Lua waits for long it sleeps.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::time::sleep_until;

use crate::drivers::Drivers;
use crate::inbox::{Inbox, Notice};

/// How long Lua may keep the processor before the keeper takes over: between one and two of these.
const TICK: Duration = Duration::from_millis(1);
/// Ticks of an uninterrupted wait after which the keeper sleeps until Lua leaves it.
const IDLE_TICKS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    drivers: Arc<Drivers>,
    inbox: Arc<Inbox>,
    /// Counts the waits: odd while Lua waits, even while it computes. Written by Lua's thread alone.
    phase: AtomicU64,
    /// The keeper sleeps until it is unparked.
    asleep: AtomicBool,
    /// The keeper drives the runtime.
    in_charge: AtomicBool,
    stop: AtomicBool,
    /// Wakes the keeper out of the runtime.
    recall: Mutex<Option<Waker>>,
    /// When the next timer of the Lua side is due.
    next_timer: Mutex<Option<Instant>>,
}

impl Keeper {
    pub(crate) fn start(
        runtime: Arc<Runtime>,
        drivers: Arc<Drivers>,
        inbox: Arc<Inbox>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            drivers,
            inbox,
            phase: AtomicU64::new(0),
            asleep: AtomicBool::new(false),
            in_charge: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            recall: Mutex::new(None),
            next_timer: Mutex::new(None),
        });
        let thread = thread::Builder::new().name("vortex-keeper".into()).spawn({
            let shared = shared.clone();
            move || shared.run(&runtime)
        })?;
        Ok(Keeper {
            shared,
            thread: Some(thread),
        })
    }

    /// Lua is about to wait: its thread wants the runtime.
    pub(crate) fn lua_waits(&self) {
        self.shared.phase.fetch_add(1, Ordering::SeqCst);
        if self.is_in_charge() {
            self.shared.recall();
        }
    }

    /// Lua computes again.
    pub(crate) fn lua_computes(&self) {
        self.shared.phase.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.unpark();
        }
    }

    /// Whether the keeper drives the runtime now.
    pub(crate) fn is_in_charge(&self) -> bool {
        self.shared.in_charge.load(Ordering::SeqCst)
    }

    /// Tells when the next timer of the Lua side is due.
    pub(crate) fn set_next_timer(&self, due: Option<Instant>) {
        *self
            .shared
            .next_timer
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = due;
        if self.is_in_charge() {
            self.shared.recall();
        }
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.as_ref().map(JoinHandle::thread) {
            Thread::unpark(thread);
        }
    }
}

impl Keeper {
    /// Ends the thread and waits for that.
    pub(crate) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.unpark();
        self.shared.recall();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self, runtime: &Runtime) {
        let mut seen = self.phase.load(Ordering::SeqCst);
        let mut idle = 0;
        while !self.stop.load(Ordering::SeqCst) {
            thread::park_timeout(TICK);
            let phase = self.phase.load(Ordering::SeqCst);
            if phase != seen {
                idle = 0;
            } else if !is_waiting(phase) {
                self.take_over(runtime);
            } else {
                idle += 1;
                if idle >= IDLE_TICKS {
                    self.sleep_while(phase);
                    idle = 0;
                }
            }
            seen = self.phase.load(Ordering::SeqCst);
        }
    }

    fn sleep_while(&self, phase: u64) {
        self.asleep.store(true, Ordering::SeqCst);
        // Lua either sees that the keeper sleeps, or has moved the phase before this look at it.
        while self.phase.load(Ordering::SeqCst) == phase && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    fn take_over(&self, runtime: &Runtime) {
        self.in_charge.store(true, Ordering::SeqCst);
        runtime.block_on(async {
            let mut drivers = pin!(self.drivers.run_until(|| false));
            loop {
                let due = *self
                    .next_timer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let mut timer = pin!(due.map(|due| sleep_until(due.into())));
                let mut announced = false;
                let over = poll_fn(|cx| {
                    if let Poll::Ready(over) = self.poll_recall(cx, due) {
                        return Poll::Ready(over);
                    }
                    // They run until nobody calls the keeper back.
                    let _ = drivers.as_mut().poll(cx);
                    if !announced
                        && let Some(timer) = timer.as_mut().as_pin_mut()
                        && timer.poll(cx).is_ready()
                    {
                        announced = true;
                        self.inbox.push(Notice::TimersDue);
                    }
                    Poll::Pending
                })
                .await;
                if over {
                    return;
                }
            }
        });
        self.in_charge.store(false, Ordering::SeqCst);
    }

    /// Ready with true when the runtime is to be given back, with false when the next timer is another one.
    fn poll_recall(&self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<bool> {
        // Registered before the looks, so that nothing that comes after them is missed.
        *self.recall.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if is_waiting(self.phase.load(Ordering::SeqCst)) || self.stop.load(Ordering::SeqCst) {
            return Poll::Ready(true);
        }
        if *self
            .next_timer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            != due
        {
            return Poll::Ready(false);
        }
        Poll::Pending
    }

    fn recall(&self) {
        let waker = self
            .recall
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn is_waiting(phase: u64) -> bool {
    phase % 2 == 1
}

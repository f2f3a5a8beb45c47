//! The tasks that make sessions and drive them. They run inside the future that the runtime is blocked on, not as tasks of the
//! runtime: tokio looks at the sockets between a task and that future, which costs a system call a message.

use std::sync::atomic::{AtomicU32, Ordering};

use async_executor::{Executor, Task};
use tokio::task::yield_now;

/// Turns of drivers before the sockets of the others are looked at again. Many would let peers that never stop
/// sending keep an idle one waiting for seconds.
const TURNS_BETWEEN_LOOKS: u32 = 4;
/// Turns in a row while Lua handles events.
const TURNS_MAX: u32 = 32;

/// The drivers of one Lua state. Whoever drives the runtime gives them turns: Lua's thread, or the keeper.
#[derive(Debug, Default)]
pub(crate) struct Drivers {
    executor: Executor<'static>,
    /// Turns since the sockets were looked at, over all waits.
    turns: AtomicU32,
}

impl Drivers {
    /// Gives turns to a task until it is done, or what is returned here is dropped. From Lua's thread that costs no
    /// system call, as a task of the runtime would.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Task<()> {
        self.executor.spawn(task)
    }

    /// Gives turns to drivers that have work until `is_enough`, which is asked after each.
    pub(crate) async fn run_until(&self, is_enough: impl Fn() -> bool) {
        loop {
            if self.turns.fetch_add(1, Ordering::Relaxed) >= TURNS_BETWEEN_LOOKS {
                yield_now().await;
                self.looked();
            }
            if !self.executor.try_tick() {
                // Whoever drives the runtime waits for the sockets now.
                self.looked();
                self.executor.tick().await;
            }
            if is_enough() {
                return;
            }
        }
    }

    /// Lets drivers that have work have a turn, and looks at the sockets.
    pub(crate) async fn give_turns(&self) {
        for _ in 0..TURNS_MAX {
            if !self.executor.try_tick() {
                break;
            }
        }
        yield_now().await;
        self.looked();
    }

    fn looked(&self) {
        self.turns.store(0, Ordering::Relaxed);
    }
}

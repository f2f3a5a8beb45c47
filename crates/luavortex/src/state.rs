//! What one Lua state has: its engine, its contexts, its connections.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlua::Lua;
use rustc_hash::FxHashMap;

use crate::connection::ConnectionState;
use crate::ctx::CtxOwner;
use crate::engine::Engine;
use crate::export::Failure;
use crate::{sasl, status, tls};

/// Shared by every primitive of one Lua state; lives in mlua's application data.
#[derive(Default)]
pub(crate) struct State {
    engine: OnceCell<Engine>,
    /// The connections that are alive, by key. An entry goes when the end of its connection was handled.
    pub(crate) connections: RefCell<FxHashMap<u64, Rc<ConnectionState>>>,
    /// The contexts that something refers to, by key.
    pub(crate) contexts: RefCell<FxHashMap<u64, Weak<CtxOwner>>>,
    /// The last key given to a connection; listeners give keys, too, from engine tasks.
    last_key: Arc<AtomicU64>,
    last_number: Cell<u64>,
    pub(crate) sasl_requests: sasl::Requests,
    pub(crate) tls_requests: tls::Requests,
    pub(crate) frame_memory: Rc<crate::frame::FrameMemory>,
}

impl State {
    /// The state that belongs to `lua`.
    pub(crate) fn of(lua: &Lua) -> Rc<State> {
        if let Some(state) = lua.app_data_ref::<Rc<State>>() {
            return state.clone();
        }
        let state = Rc::new(State::default());
        lua.set_app_data(state.clone());
        state
    }

    /// The engine, started when it is needed first.
    pub(crate) fn engine(&self) -> Result<&Engine, Failure> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::new(self.last_key.clone()).map_err(|error| {
            Failure::new(status::ERROR, format!("cannot start the engine: {error}"))
        })?;
        Ok(self.engine.get_or_init(|| engine))
    }

    /// The engine, if anything needed it yet.
    pub(crate) fn running_engine(&self) -> Option<&Engine> {
        self.engine.get()
    }

    pub(crate) fn new_key(&self) -> u64 {
        self.last_key.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number that is not given twice: for channels and frames.
    pub(crate) fn new_number(&self) -> u64 {
        self.last_number.set(self.last_number.get() + 1);
        self.last_number.get()
    }

    pub(crate) fn connection(&self, key: u64) -> Option<Rc<ConnectionState>> {
        self.connections.borrow().get(&key).cloned()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // What is still alive when the Lua state ends says so to its peers; the engine gives them a last turn.
        for connection in self.connections.borrow().values() {
            connection.shutdown();
        }
    }
}

/// For objects that may outlive the state they belong to while Lua closes.
pub(crate) type WeakState = Weak<State>;

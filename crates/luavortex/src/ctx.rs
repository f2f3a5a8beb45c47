//! `vortex.ctx`: contexts, which group connections, registered profiles and limits.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use beep_session::core::Config;
use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};

use crate::bridge::Served;
use crate::convert::{self, At};
use crate::export::{Failure, Misuse, export, export_attributes};
use crate::inbox::Notice;
use crate::log;
use crate::state::{State, WeakState};
use crate::{limits, meta};

/// The userdata: it and the connections made with it keep the context alive.
pub(crate) struct Ctx {
    pub(crate) owner: Rc<CtxOwner>,
}

/// Ends the context when the last object that needs it is gone.
pub(crate) struct CtxOwner {
    pub(crate) ctx: Rc<CtxState>,
    state: WeakState,
}

pub(crate) struct CtxState {
    pub(crate) key: u64,
    phase: Cell<Phase>,
    pub(crate) served: Arc<Served>,
    last_id: Cell<i64>,
    owner: RefCell<Weak<CtxOwner>>,
}

/// fresh ──init──► running ──exit──► exited, and fresh ──exit──► exited
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Running,
    Exited,
}

impl CtxState {
    pub(crate) fn is_running(&self) -> bool {
        self.phase.get() == Phase::Running
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.phase.get() == Phase::Exited
    }

    /// The next connection number of this context: 1, 2, 3...
    pub(crate) fn next_id(&self) -> i64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    pub(crate) fn owner(&self) -> Option<Rc<CtxOwner>> {
        self.owner.borrow().upgrade()
    }

    /// Drops every connection of the context and stops its listeners.
    pub(crate) fn shutdown(&self, state: &State) {
        let connections: Vec<_> = state.connections.borrow().values().cloned().collect();
        for connection in connections
            .iter()
            .filter(|connection| connection.ctx.key == self.key)
        {
            connection.shutdown();
        }
    }
}

impl Drop for CtxOwner {
    fn drop(&mut self) {
        self.ctx.phase.set(Phase::Exited);
        if let Some(state) = self.state.upgrade() {
            self.ctx.shutdown(&state);
            state.contexts.borrow_mut().remove(&self.ctx.key);
            if let Some(engine) = state.running_engine() {
                engine.inbox.push(Notice::CtxGone(self.ctx.key));
            }
        }
    }
}

impl UserData for Ctx {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "ctx");
        registry.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(if this.owner.ctx.has_exited() {
                "vortex.ctx (nil)".to_owned()
            } else {
                format!("vortex.ctx {:p}", Rc::as_ptr(&this.owner.ctx))
            })
        });
        meta::add_equality(registry, |one: &Self, other: &Self| {
            Rc::ptr_eq(&one.owner.ctx, &other.owner.ctx)
        });
    }
}

impl CtxState {
    /// The limit of waits for a reply that have none of their own.
    pub(crate) fn reply_timeout(&self) -> Duration {
        self.served.lock().config.reply_timeout
    }
}

/// The context of an argument that has to be one.
pub(crate) fn ctx_of(value: &Value, at: At<'_>) -> Result<Rc<CtxState>, Misuse> {
    Ok(convert::object::<Ctx>(value, "ctx", at)?.owner.ctx.clone())
}

/// `VORTEX_SYNC_TIMEOUT` and `VORTEX_CONNECT_TIMEOUT`, in microseconds; anything that is no number counts as unset.
fn from_environment(name: &str) -> Option<Duration> {
    let us = std::env::var(name).ok()?.trim().parse::<u64>().ok()?;
    (us > 0).then(|| Duration::from_micros(us))
}

/// The limits of a fresh context.
fn default_config() -> Arc<Config> {
    let mut config = Config::default();
    if let Some(limit) = from_environment("VORTEX_SYNC_TIMEOUT") {
        config.reply_timeout = limit;
        config.authentication_timeout = limit;
    }
    if let Some(limit) = from_environment("VORTEX_CONNECT_TIMEOUT") {
        config.greeting_timeout = limit;
    }
    // A value from outside that the protocol cannot work with leaves the defaults.
    config.checked().unwrap_or_default()
}

const ATTRIBUTES: &[&str] = &[
    "ref_count",
    "log",
    "log2",
    "color_log",
    "features",
    "localize",
];

/// What `ctx.NAME` reads.
fn attribute(lua: &Lua, object: &Ctx, name: &str) -> Value {
    let ctx = &object.owner.ctx;
    match name {
        "ref_count" => Value::Integer(if ctx.has_exited() { -1 } else { 1 }),
        "log" => Value::Boolean(log::is_on(log::Level::Log)),
        "log2" => Value::Boolean(log::is_on(log::Level::Log2)),
        "color_log" => Value::Boolean(log::is_on(log::Level::Color)),
        "features" => lua_text(lua, ctx.served.lock().features.as_deref()),
        "localize" => lua_text(lua, ctx.served.lock().localize.as_deref()),
        _ => Value::Nil,
    }
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(lua, primitives, "ctx_new", |lua, ()| {
        let state = State::of(lua);
        let ctx = Rc::new(CtxState {
            key: state.new_key(),
            phase: Cell::new(Phase::Fresh),
            served: Arc::new(Served::new(default_config())),
            last_id: Cell::new(0),
            owner: RefCell::default(),
        });
        let owner = Rc::new(CtxOwner {
            ctx,
            state: Rc::downgrade(&state),
        });
        *owner.ctx.owner.borrow_mut() = Rc::downgrade(&owner);
        state
            .contexts
            .borrow_mut()
            .insert(owner.ctx.key, Rc::downgrade(&owner));
        Ok((
            Ctx {
                owner: owner.clone(),
            },
            owner.ctx.key,
        ))
    })?;
    export(lua, primitives, "ctx_init", |lua, ctx: Value| {
        let ctx = ctx_of(&ctx, At("init", 1, "ctx"))?;
        if ctx.has_exited() {
            return Err(Failure::new(
                crate::status::ERROR,
                "the context was ended with exit",
            ));
        }
        State::of(lua).engine()?;
        ctx.phase.set(Phase::Running);
        Ok(true)
    })?;
    // Another wrapper of a context, for handlers; nil when the context is gone.
    export(lua, primitives, "wrap_ctx", |lua, key: u64| {
        let owner = State::of(lua)
            .contexts
            .borrow()
            .get(&key)
            .and_then(Weak::upgrade);
        Ok(owner.map(|owner| Ctx { owner }))
    })?;
    // key, whether it runs, whether it was ended
    export(
        lua,
        primitives,
        "ctx_state",
        |_, (ctx, function): (Value, String)| {
            let ctx = ctx_of(&ctx, At(&function, 1, "ctx"))?;
            Ok((ctx.key, ctx.is_running(), ctx.has_exited()))
        },
    )?;
    // From here on nothing new begins.
    export(lua, primitives, "ctx_exit", |_, ctx: Value| {
        ctx_of(&ctx, At("exit", 1, "ctx"))?.phase.set(Phase::Exited);
        Ok(())
    })?;
    export(lua, primitives, "ctx_shutdown", |lua, ctx: Value| {
        ctx_of(&ctx, At("exit", 1, "ctx"))?.shutdown(&State::of(lua));
        Ok(())
    })?;
    export_attributes(lua, primitives, "ctx", ATTRIBUTES, attribute)?;
    export(
        lua,
        primitives,
        "ctx_set_attribute",
        |lua, (ctx, name, value): (Value, Value, Value)| {
            let ctx = ctx_of(&ctx, At("__newindex", 1, "ctx"))?;
            let name = name
                .as_string()
                .map(|name| name.to_string_lossy())
                .unwrap_or_default();
            let level = match name.as_str() {
                "log" => log::Level::Log,
                "log2" => log::Level::Log2,
                "color_log" => log::Level::Color,
                "features" => {
                    let features = convert::optional(&value, |value| {
                        convert::text(lua, value, At("features", 1, "value"))
                    })?;
                    ctx.served.lock().features = features;
                    return Ok(());
                }
                "localize" => {
                    let localize = convert::optional(&value, |value| {
                        convert::text(lua, value, At("localize", 1, "value"))
                    })?;
                    ctx.served.lock().localize = localize;
                    return Ok(());
                }
                _ => {
                    return Err(Misuse(format!(
                        "a vortex.ctx has no attribute '{name}' that can be written"
                    ))
                    .into());
                }
            };
            match value {
                Value::Boolean(on) => log::set(level, on),
                other => {
                    return Err(Misuse(format!(
                        "attribute '{name}' of a vortex.ctx takes a boolean, got {}",
                        convert::describe(&other)
                    ))
                    .into());
                }
            }
            Ok(())
        },
    )?;
    // Tells the engine which profiles the context serves; the handlers stay on the Lua side.
    export(
        lua,
        primitives,
        "serve",
        |lua, (ctx, uri, asks): (Value, Value, bool)| {
            let ctx = ctx_of(&ctx, At("register_profile", 1, "ctx"))?;
            let at = At("register_profile", 2, "uri");
            let uri = convert::text(lua, &uri, at)?;
            if uri.is_empty() || !beep_session::core::management::is_xml_text(&uri) {
                return Err(at
                    .says("a profile URI is at least one character, and none that XML cannot carry")
                    .into());
            }
            let mut served = ctx.served.lock();
            match served.profiles.iter_mut().find(|(known, _)| *known == uri) {
                Some((_, asked)) => *asked = asks,
                None => served.profiles.push((uri.clone(), asks)),
            }
            Ok((ctx.key, uri))
        },
    )?;
    export(
        lua,
        primitives,
        "set_limits",
        |lua, (ctx, table): (Value, Value)| {
            let ctx = ctx_of(&ctx, At("set_limits", 1, "ctx"))?;
            limits::set(lua, &ctx.served, &table)
        },
    )?;
    export(lua, primitives, "limits", |lua, ctx: Value| {
        let ctx = ctx_of(&ctx, At("limits", 1, "ctx"))?;
        limits::table(lua, &ctx.served)
    })
}

fn lua_text(lua: &Lua, text: Option<&str>) -> Value {
    text.and_then(|text| lua.create_string(text).ok())
        .map_or(Value::Nil, Value::String)
}

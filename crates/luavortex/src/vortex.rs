//! The module `vortex` itself: waiting, timers, the event descriptor, constants.

use std::time::{Duration, Instant};

use mlua::{AnyUserData, Lua, Table, Value};

use crate::convert::{self, At};
use crate::engine::Waited;
use crate::export::{Failure, export, export_value};
use crate::inbox::Notice;
use crate::signals::CaughtSignals;
use crate::state::State;
use crate::status;

/// Content as it stands; the number that another binding of the older library has for it.
pub(crate) const ENCODING_NONE: i64 = 2;
/// Content is base64.
pub(crate) const ENCODING_BASE64: i64 = 3;

/// The longest time that is told apart from "for ever".
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 10);

/// A number of microseconds as a time; nothing below zero, nothing beyond what can be waited for.
pub(crate) fn duration(us: f64) -> Duration {
    Duration::try_from_secs_f64((us / 1e6).max(0.0))
        .map_or(FOR_EVER, |duration| duration.min(FOR_EVER))
}

/// Waits for an event. `nil` without a limit; true for events, false when the time is over, nil when interrupted.
fn wait(lua: &Lua, us: Option<f64>) -> Result<Option<bool>, Failure> {
    let state = State::of(lua);
    let limit = us
        .map(duration)
        .and_then(|limit| Instant::now().checked_add(limit));
    Ok(match state.engine()?.wait(limit) {
        Waited::Events => Some(true),
        Waited::TimeIsUp => Some(false),
        Waited::Interrupted => None,
    })
}

/// The userdata that holds the signals of a wait.
struct SignalWatch {
    _caught: CaughtSignals,
    task: tokio::task::AbortHandle,
}

impl mlua::UserData for SignalWatch {}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn watch_signals(lua: &Lua) -> Result<AnyUserData, Failure> {
    let state = State::of(lua);
    let engine = state.engine()?;
    let failed = |error: std::io::Error| {
        Failure::new(status::ERROR, format!("cannot catch signals: {error}"))
    };
    let (caught, reader) = CaughtSignals::catch().map_err(failed)?;
    let _runtime = engine.runtime().enter();
    let reader = tokio::net::UnixStream::from_std(reader).map_err(failed)?;
    let inbox = engine.inbox.clone();
    let task = tokio::spawn(async move {
        let mut octet = [0];
        while reader.readable().await.is_ok() {
            if matches!(reader.try_read(&mut octet), Ok(1)) {
                inbox.push(Notice::Signal);
            }
        }
    });
    lua.create_userdata(SignalWatch {
        _caught: caught,
        task: task.abort_handle(),
    })
    .map_err(|error| Failure::new(status::MEMORY, error))
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    // The class of an object of ours, or nil.
    let class_of = lua.create_function(|_, value: Value| {
        Ok(match &value {
            Value::UserData(object) => crate::class_of(object),
            _ => None,
        })
    })?;
    primitives.raw_set("class_of", class_of)?;
    // For glue that leaves metamethods.
    let leave =
        lua.create_function(|lua, (class, metamethod, value): (String, String, Value)| {
            crate::meta::leave(lua, &class, &metamethod, value)
        })?;
    primitives.raw_set("leave_metamethod", leave)?;
    export_value(lua, primitives, "wait", wait)?;
    // Whether Lua has something to do, after a look at the sockets.
    export(lua, primitives, "has_events", |lua, ()| {
        let state = State::of(lua);
        let engine = state.engine()?;
        if !engine.inbox.has_events() {
            engine.turn();
        }
        Ok(engine.inbox.has_events())
    })?;
    export(lua, primitives, "turn", |lua, ()| {
        if let Some(engine) = State::of(lua).running_engine() {
            engine.turn();
        }
        Ok(())
    })?;
    export(
        lua,
        primitives,
        "set_coroutines_ready",
        |lua, ready: bool| {
            State::of(lua).engine()?.inbox.set_coroutines_ready(ready);
            Ok(())
        },
    )?;
    export(lua, primitives, "event_fd", |lua, ()| {
        let state = State::of(lua);
        let fd = state.engine()?.inbox.event_fd();
        fd.map_err(|error| Failure::new(status::ERROR, format!("no event descriptor: {error}")))
    })?;
    export_value(lua, primitives, "add_timer", |lua, us: f64| {
        Ok(State::of(lua).engine()?.add_timer(duration(us)))
    })?;
    export(lua, primitives, "cancel_timer", |lua, id: u64| {
        if let Some(engine) = State::of(lua).running_engine() {
            engine.cancel_timer(id);
        }
        Ok(())
    })?;
    // A number of microseconds, checked.
    export_value(
        lua,
        primitives,
        "microseconds",
        |_, (value, function, position): (Value, String, usize)| {
            Ok(convert::microseconds(
                &value,
                At(&function, position, "us"),
            )?)
        },
    )?;
    // A whole number, checked.
    export(
        lua,
        primitives,
        "whole",
        |lua, (value, function, position, name): (Value, String, usize, String)| {
            Ok(convert::whole(lua, &value, At(&function, position, &name))?)
        },
    )?;
    // The wording of a complaint about an argument.
    let complaint = lua.create_function(
        |_, (value, function, position, name, expected): (Value, String, usize, String, String)| {
            Ok(At(&function, position, &name).wants(&expected, &value).0)
        },
    )?;
    primitives.raw_set("complaint", complaint)?;
    // A string as the key of `set_data`: numbers are keys like the strings they are written as.
    export(
        lua,
        primitives,
        "data_key",
        |lua, (value, function): (Value, String)| {
            Ok(convert::octets(lua, &value, At(&function, 2, "key"))?)
        },
    )?;
    export(lua, primitives, "watch_signals", |lua, ()| {
        watch_signals(lua)
    })?;
    export(
        lua,
        primitives,
        "unwatch_signals",
        |_, watch: AnyUserData| {
            // What was no watch or is gone already has nothing to give back.
            let _ = watch.take::<SignalWatch>();
            Ok(())
        },
    )?;
    // Microseconds since some moment, for limits that are checked between events.
    let started = Instant::now();
    export_value(lua, primitives, "now", move |_, ()| {
        Ok(started.elapsed().as_secs_f64() * 1e6)
    })?;
    // The limit of waits that have none of their own (VORTEX_SYNC_TIMEOUT), in microseconds.
    export(lua, primitives, "reply_timeout", |_, ctx: Value| {
        let ctx = crate::ctx::ctx_of(&ctx, At("reply_timeout", 1, "ctx"))?;
        Ok(ctx.reply_timeout().as_secs_f64() * 1e6)
    })?;
    let constants = lua.create_table()?;
    for (name, number) in status::STATUSES {
        constants.raw_set(*name, *number)?;
    }
    constants.raw_set("encoding_NONE", ENCODING_NONE)?;
    constants.raw_set("encoding_BASE64", ENCODING_BASE64)?;
    primitives.raw_set("constants", constants)?;
    primitives.raw_set("version", crate::VERSION)
}

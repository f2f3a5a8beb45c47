//! `vortex.alive`: watching peers, and answering those that watch.

use std::time::Duration;

use mlua::{Lua, Table, Value};

use crate::connection::state_of;
use crate::convert::{self, At};
use crate::ctx::ctx_of;
use crate::export::{Failure, export};
use crate::inbox::Notice;
use crate::state::State;
use crate::status;

/// Begins to watch the peer of a connection. Without a handler on the Lua side a failure drops the connection here, so
/// that it does not wait for a script that computes.
fn watch(
    lua: &Lua,
    (object, period, max, has_handler): (Value, Value, Value, bool),
) -> Result<u64, Failure> {
    let connection = state_of(&object, At("enable_check", 1, "connection"))?;
    let period = convert::microseconds(&period, At("enable_check", 2, "check_period"))?;
    let max = convert::whole(lua, &max, At("enable_check", 3, "max_unreply"))?;
    let refused = |error: String| Failure::new(status::ERROR, error);
    let Ok(duration) = Duration::try_from_secs_f64(period / 1e6) else {
        return Err(refused(format!(
            "the check period cannot be {period} microseconds"
        )));
    };
    let Ok(max) = u32::try_from(max) else {
        return Err(refused(format!(
            "max_unreply is {max}, and has to be from 1 to {}",
            u32::MAX
        )));
    };
    let session = connection.live_session()?;
    let state = State::of(lua);
    let engine = state.engine()?;
    let (inbox, key) = (engine.inbox.clone(), connection.key);
    let _runtime = engine.runtime().enter();
    session
        .watch(duration, max, move |session, unreplied| {
            if !has_handler {
                session.shutdown();
            }
            inbox.push(Notice::AliveFailed { key, unreplied });
        })
        .map_err(|error| refused(error.to_string()))?;
    Ok(key)
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(lua, primitives, "alive_init", |_, ctx: Value| {
        let ctx = ctx_of(&ctx, At("init", 1, "ctx"))?;
        ctx.served.services.serve_alive();
        Ok(true)
    })?;
    export(lua, primitives, "alive_watch", watch)
}

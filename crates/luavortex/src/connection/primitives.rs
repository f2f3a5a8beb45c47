//! What the Lua side of `vortex.connection` is made of.

use beep_session::core::ReplyCode;
use mlua::{Lua, Table, Value};

use super::attributes::{ATTRIBUTES, attribute};
use super::making::{begin, listen};
use super::opening::{start, usage_failure};
use super::{Connection, is_emptied, state_of};
use crate::convert::{self, At};
use crate::export::{Failure, export, export_attributes, export_value};
use crate::inbox::Notice;
use crate::state::State;
use crate::status;

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(
        lua,
        primitives,
        "connect",
        |lua, (ctx, host, port, server_name): (Value, Value, Value, Value)| {
            begin(lua, &ctx, &host, &port, &server_name)
        },
    )?;
    export(
        lua,
        primitives,
        "listen",
        |lua, (ctx, host, port): (Value, Value, Value)| listen(lua, &ctx, &host, &port),
    )?;
    export(lua, primitives, "start", start)?;
    // Another object for the connection; nil when it is gone.
    export_value(lua, primitives, "wrap_connection", |lua, key: u64| {
        Ok(State::of(lua)
            .connection(key)
            .map(|connection| connection.wrap()))
    })?;
    // The same, for a script to hold: the session is shut down when the last such object is collected.
    export_value(
        lua,
        primitives,
        "wrap_connection_as_owner",
        |lua, key: u64| {
            Ok(State::of(lua)
                .connection(key)
                .map(|connection| connection.wrap_as_owner()))
        },
    )?;
    // The connection's key, whether its end is still to come, and its context's key. For every function that takes
    // a connection and works on what the Lua side keeps for it.
    export(
        lua,
        primitives,
        "connection_key",
        |lua, (object, function): (Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let is_known = State::of(lua)
                .connections
                .borrow()
                .contains_key(&connection.key);
            Ok((
                connection.key,
                is_known && !is_emptied(&object),
                connection.ctx.key,
            ))
        },
    )?;
    export_attributes(lua, primitives, "connection", ATTRIBUTES, attribute)?;
    export_value(lua, primitives, "is_ok", |_, object: Value| {
        let connection = state_of(&object, At("is_ok", 1, "connection"))?;
        Ok(connection.is_ok() && !is_emptied(&object))
    })?;
    export(lua, primitives, "shutdown", |lua, object: Value| {
        let connection = state_of(&object, At("shutdown", 1, "connection"))?;
        let stops_listening = connection.listener.borrow().is_some();
        connection.shutdown();
        if stops_listening && let Some(engine) = State::of(lua).running_engine() {
            engine.inbox.push(Notice::ListenerClosed(connection.key));
        }
        Ok(())
    })?;
    export(lua, primitives, "empty_connection", |_, object: Value| {
        convert::object::<Connection>(&object, "connection", At("close", 1, "connection"))?
            .emptied
            .set(true);
        Ok(())
    })?;
    export(
        lua,
        primitives,
        "block",
        |_, (object, flag): (Value, Value)| {
            let connection = state_of(&object, At("block", 1, "connection"))?;
            let flag =
                convert::optional(&flag, |flag| convert::boolean(flag, At("block", 2, "flag")))?
                    .unwrap_or(true);
            if let Some(session) = connection.session() {
                session.set_reading(!flag);
            }
            Ok(())
        },
    )?;
    export(lua, primitives, "is_blocked", |_, object: Value| {
        let connection = state_of(&object, At("is_blocked", 1, "connection"))?;
        Ok(connection
            .session()
            .is_some_and(|session| !session.is_reading()))
    })?;
    export(lua, primitives, "pop_error", |lua, object: Value| {
        let connection = state_of(&object, At("pop_channel_error", 1, "connection"))?;
        let Some((code, text)) = connection.errors.borrow_mut().pop() else {
            return Ok(Value::Nil);
        };
        let entry = lua.create_table().and_then(|entry| {
            entry.raw_set(1, code)?;
            entry.raw_set(2, text)?;
            Ok(entry)
        });
        Ok(entry.map_or(Value::Nil, Value::Table))
    })?;
    export(
        lua,
        primitives,
        "skip_conn_close",
        |_, (object, skip): (Value, Value)| {
            let connection = state_of(&object, At("skip_conn_close", 1, "connection"))?;
            let at = At("skip_conn_close", 2, "skip");
            connection
                .skip_conn_close
                .set(convert::optional(&skip, |skip| convert::boolean(skip, at))?.unwrap_or(true));
            Ok(())
        },
    )?;
    // The table that all objects of a connection share for `set_data`.
    export(
        lua,
        primitives,
        "keep_connection_data",
        |_, (object, data): (mlua::AnyUserData, Table)| {
            object
                .set_user_value(data)
                .map_err(|error| Failure::new(status::MEMORY, error))
        },
    )?;
    export_value(
        lua,
        primitives,
        "connection_data",
        |_, (object, function): (Value, String)| {
            if let Value::UserData(object) = &object
                && object.is::<Connection>()
                && let Ok(data) = object.user_value::<Table>()
            {
                return Ok(data);
            }
            Err(At(&function, 1, "connection")
                .wants("vortex.connection", &object)
                .into())
        },
    )?;
    // The uids of the channels, ascending by number; of one profile if it is given.
    export(
        lua,
        primitives,
        "channel_uids",
        |lua, (object, profile, function): (Value, Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let profile = convert::optional(&profile, |value| {
                convert::text(lua, value, At(&function, 2, "profile"))
            })?;
            let channels = connection.channels.borrow();
            let of_profile = channels.known().filter(|channel| {
                profile
                    .as_ref()
                    .is_none_or(|profile| channel.profile == *profile)
            });
            Ok(of_profile.map(|channel| channel.uid).collect::<Vec<u64>>())
        },
    )?;
    // features, localize, profiles of the peer's greeting
    export(
        lua,
        primitives,
        "peer_greeting",
        |_, (object, function): (Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let greeting = connection
                .session()
                .and_then(|session| session.peer_greeting())
                .unwrap_or_default();
            Ok((greeting.features, greeting.localize, greeting.profiles))
        },
    )?;
    // Asks the peer to release the session; false when there is nothing to ask any more.
    export(lua, primitives, "release_connection", |lua, key: u64| {
        let Some(session) = State::of(lua)
            .connection(key)
            .and_then(|connection| connection.session())
        else {
            return Ok(false);
        };
        if !session.is_alive() {
            return Ok(false);
        }
        session
            .release(ReplyCode::SUCCESS, None)
            .map_err(|error| usage_failure(&error))?;
        Ok(true)
    })?;
    export_value(lua, primitives, "is_alive", |lua, key: u64| {
        let session = State::of(lua)
            .connection(key)
            .and_then(|connection| connection.session());
        Ok(session.is_some_and(|session| session.is_alive()))
    })?;
    export(lua, primitives, "shutdown_connection", |lua, key: u64| {
        if let Some(connection) = State::of(lua).connection(key) {
            connection.shutdown();
        }
        Ok(())
    })?;
    // The connection's end was handled: nothing more will come for it.
    export(lua, primitives, "forget_connection", |lua, key: u64| {
        State::of(lua).connections.borrow_mut().remove(&key);
        Ok(())
    })?;
    export(
        lua,
        primitives,
        "stack_error",
        |_, (object, code, message): (Value, i64, String)| {
            state_of(&object, At("open_channel", 1, "connection"))?.stack_error(code, &message);
            Ok(())
        },
    )
}

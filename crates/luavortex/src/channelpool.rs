//! `vortex.channelpool`: the userdata of pools. The pool itself belongs to its connection and is kept by
//! `lua/channelpool.lua`.

use std::rc::Rc;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};

use crate::connection::ConnectionState;
use crate::convert::{self, At};
use crate::export::export;
use crate::meta;
use crate::state::State;

/// The userdata: which pool of which connection.
pub(crate) struct ChannelPool {
    connection: Rc<ConnectionState>,
    id: u64,
}

impl UserData for ChannelPool {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "channelpool");
        registry.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!(
                "vortex.channelpool 0x{:08x}{:08x}",
                this.connection.key, this.id
            ))
        });
        meta::add_equality(registry, |one: &Self, other: &Self| {
            Rc::ptr_eq(&one.connection, &other.connection) && one.id == other.id
        });
    }
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(lua, primitives, "pool_new", |lua, (key, id): (u64, u64)| {
        Ok(State::of(lua)
            .connection(key)
            .map(|connection| ChannelPool { connection, id }))
    })?;
    // The key of its connection, its number, an object for its connection.
    export(
        lua,
        primitives,
        "pool_id",
        |_, (object, function): (Value, String)| {
            let pool =
                convert::object::<ChannelPool>(&object, "channelpool", At(&function, 1, "pool"))?;
            Ok((pool.connection.key, pool.id, pool.connection.wrap()))
        },
    )
}

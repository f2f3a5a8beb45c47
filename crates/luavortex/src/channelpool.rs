//! `vortex.channelpool`: the userdata of pools. The pool itself belongs to its connection and is kept by
//! `lua/channelpool.lua`.

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};

use crate::convert::{self, At};
use crate::export::export;
use crate::meta;

/// The userdata: which pool of which connection.
pub(crate) struct ChannelPool {
    key: u64,
    id: u64,
}

impl UserData for ChannelPool {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "channelpool");
        registry.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("vortex.channelpool 0x{:08x}{:08x}", this.key, this.id))
        });
        registry.add_meta_method(MetaMethod::Eq, |_, this, other: Value| {
            Ok(matches!(&other, Value::UserData(other) if other.borrow::<ChannelPool>()
                .is_ok_and(|other| (other.key, other.id) == (this.key, this.id))))
        });
    }
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(lua, primitives, "pool_new", |_, (key, id): (u64, u64)| Ok(ChannelPool { key, id }))?;
    export(lua, primitives, "pool_id", |_, (object, function): (Value, String)| {
        let pool = convert::object::<ChannelPool>(&object, "channelpool", At(&function, 1, "pool"))?;
        Ok((pool.key, pool.id))
    })
}

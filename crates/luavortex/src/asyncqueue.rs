//! `vortex.asyncqueue`: the userdata of queues. What is in a queue is a table that Lua's collector sees, so that a
//! queue may hold itself; `lua/asyncqueue.lua` works on it.

use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};

use crate::convert::At;
use crate::export::export_value;
use crate::meta;

/// The userdata; its user value is the table.
pub(crate) struct AsyncQueue;

impl UserData for AsyncQueue {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "asyncqueue");
        registry.add_meta_function(MetaMethod::ToString, |_, this: mlua::AnyUserData| {
            Ok(format!("vortex.asyncqueue {:p}", this.to_pointer()))
        });
    }
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    let new = lua.create_function(|lua, content: Table| {
        // One octet and not none: objects of no size would share an address.
        let queue = lua.create_userdata(AsyncQueue)?;
        queue.set_user_value(content)?;
        Ok(queue)
    })?;
    primitives.raw_set("queue_new", new)?;
    export_value(
        lua,
        primitives,
        "queue_content",
        |_, (object, function): (Value, String)| {
            if let Value::UserData(queue) = &object
                && queue.is::<AsyncQueue>()
                && let Ok(content) = queue.user_value::<Table>()
            {
                return Ok(content);
            }
            Err(At(&function, 1, "queue")
                .wants("vortex.asyncqueue", &object)
                .into())
        },
    )
}

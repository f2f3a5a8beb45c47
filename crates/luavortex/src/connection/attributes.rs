//! What `conn.NAME` reads, in every state of a connection.

use std::rc::Rc;

use mlua::{Lua, Value};

use super::{Connection, Part};
use crate::status;

pub(super) const ATTRIBUTES: &[&str] = &[
    "id",
    "status",
    "error_msg",
    "host",
    "port",
    "host_ip",
    "local_addr",
    "local_port",
    "server_name",
    "num_channels",
    "role",
    "ref_count",
];

/// What `conn.NAME` reads.
pub(super) fn attribute(lua: &Lua, object: &Connection, name: &str) -> Value {
    let (state, emptied) = (&object.state, object.emptied.get());
    let string = |text: Option<String>| -> Value {
        text.and_then(|text| lua.create_string(text).ok())
            .map_or(Value::Nil, Value::String)
    };
    if emptied {
        return match name {
            "id" | "num_channels" | "ref_count" => Value::Integer(-1),
            "status" => Value::Integer(status::WRONG_REFERENCE),
            "role" => string(Some("unknown".into())),
            "error_msg" => string(Some("the connection was closed".into())),
            _ => Value::Nil,
        };
    }
    let is_master = state.part == Part::MasterListener;
    let local = if is_master {
        state.listens_on
    } else {
        state.addresses().map(|addresses| addresses.local)
    };
    match name {
        "id" => Value::Integer(state.id),
        "status" => Value::Integer(state.status().0),
        "error_msg" => string(Some(state.status().1)),
        "host" => string(Some(state.host.clone())),
        "port" => string(Some(state.port.clone())),
        "host_ip" if state.is_ok() => {
            let peer = state.addresses().map(|addresses| addresses.peer);
            string(
                peer.or(state.listens_on)
                    .map(|address| address.ip().to_string()),
            )
        }
        "local_addr" => string(local.map(|address| address.ip().to_string())),
        "local_port" => string(local.map(|address| address.port().to_string())),
        "server_name" => string(state.server_name()),
        "num_channels" if is_master => Value::Integer(-1),
        "num_channels" => {
            let open = state.channels.borrow().known().count();
            Value::Integer(i64::try_from(open).unwrap_or(i64::MAX).saturating_add(1))
        }
        "role" => string(Some(state.part.name().into())),
        // With the reference of whoever asks.
        "ref_count" => {
            let count = Rc::strong_count(state) + 1;
            Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
        }
        _ => Value::Nil,
    }
}

//! What the metatables of all classes have in common.

use mlua::{
    IntoLua, Lua, MetaMethod, UserData, UserDataFields, UserDataMethods, UserDataRegistry, Value,
};

/// Metamethods that the Lua side of each class implements.
const FROM_LUA: &[&str] = &["__index", "__newindex", "__len", "__close"];

/// The name in Lua's registry under which the Lua side left a metamethod.
fn registry_name(class: &str, metamethod: &str) -> String {
    format!("vortex.{class}.{metamethod}")
}

/// Leaves a metamethod for [`add`]. Called by the Lua side before the first object of the class is made.
pub(crate) fn leave(lua: &Lua, class: &str, metamethod: &str, value: Value) -> mlua::Result<()> {
    lua.set_named_registry_value(&registry_name(class, metamethod), value)
}

/// Adds the class's name and the metamethods that its Lua side left.
pub(crate) fn add<T: UserData>(registry: &mut UserDataRegistry<T>, class: &'static str) {
    registry.add_meta_field("__name", format!("vortex.{class}"));
    for metamethod in FROM_LUA {
        registry.add_meta_field_with(*metamethod, move |lua| {
            lua.named_registry_value::<Value>(&registry_name(class, metamethod))?
                .into_lua(lua)
        });
    }
}

/// Adds `==`: objects of one class that stand for the same thing are equal. From Lua 5.3 on, objects of other
/// classes are compared through it, too.
pub(crate) fn add_equality<T: 'static>(
    registry: &mut UserDataRegistry<T>,
    is_same: fn(&T, &T) -> bool,
) {
    registry.add_meta_function(MetaMethod::Eq, move |_, (one, other): (Value, Value)| {
        let (Value::UserData(one), Value::UserData(other)) = (one, other) else {
            return Ok(false);
        };
        let (Ok(one), Ok(other)) = (one.borrow::<T>(), other.borrow::<T>()) else {
            return Ok(false);
        };
        Ok(is_same(&one, &other))
    });
}

//! How results and failures travel from Rust to Lua.
//!
//! mlua raises userdata, which a script can neither concatenate nor match. So no function that Lua calls raises:
//! each returns a status first, and the Lua side of the library (`lua/export.lua`) turns it into what the contract
//! asks for.
//!
//! | status | then | becomes |
//! |---|---|---|
//! | `true` | the results | the results |
//! | `false` | message, code | `nil, message, code` or `false, message, code` |
//! | `nil` | message | a string raised with the position of the script's call |

use mlua::{FromLuaMulti, IntoLua, IntoLuaMulti, Lua, MultiValue, Table, Value};

use crate::convert::{self, At, Given};

/// The caller broke the rules of the API: wrong type, missing argument, value out of range.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

/// Why a function did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    Misuse(Misuse),
    /// What can fail in normal operation: a message for people, a number for programs.
    Failed {
        message: String,
        code: i64,
    },
}

impl Failure {
    pub(crate) fn new(code: impl Into<i64>, message: impl ToString) -> Self {
        Failure::Failed {
            message: message.to_string(),
            code: code.into(),
        }
    }
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        Failure::Misuse(misuse)
    }
}

/// Puts `function` into the table of primitives that the Lua side of the library uses.
pub(crate) fn export<A, R, F>(
    lua: &Lua,
    primitives: &Table,
    name: &str,
    function: F,
) -> mlua::Result<()>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
    F: Fn(&Lua, A) -> Result<R, Failure> + 'static,
{
    let function = lua.create_function(move |lua, arguments: A| -> mlua::Result<MultiValue> {
        let mut values;
        match function(lua, arguments) {
            Ok(results) => {
                values = results.into_lua_multi(lua)?;
                values.push_front(Value::Boolean(true));
            }
            Err(Failure::Failed { message, code }) => {
                values = (false, message, code).into_lua_multi(lua)?;
            }
            Err(Failure::Misuse(Misuse(message))) => {
                values = (Value::Nil, message).into_lua_multi(lua)?
            }
        }
        Ok(values)
    })?;
    primitives.raw_set(name, function)
}

/// [`export`] for functions with one result, which take no memory for it. For what every message needs.
pub(crate) fn export_value<A, R, F>(
    lua: &Lua,
    primitives: &Table,
    name: &str,
    function: F,
) -> mlua::Result<()>
where
    A: FromLuaMulti,
    R: IntoLua,
    F: Fn(&Lua, A) -> Result<R, Failure> + 'static,
{
    let function = lua.create_function(move |lua, arguments: A| {
        Ok(match function(lua, arguments) {
            Ok(result) => (Value::Boolean(true), result.into_lua(lua)?, Value::Nil),
            Err(Failure::Failed { message, code }) => {
                let message = message.into_lua(lua)?;
                (Value::Boolean(false), message, Value::Integer(code))
            }
            Err(Failure::Misuse(Misuse(message))) => {
                (Value::Nil, message.into_lua(lua)?, Value::Nil)
            }
        })
    })?;
    primitives.raw_set(name, function)
}

/// The attributes of a class that Rust reads: `CLASS_slots` tells the number of each name, and
/// `CLASS_attribute (object, number)` reads one. Numbers, because a string costs more to take than to look up in Lua.
pub(crate) fn export_attributes<T: 'static>(
    lua: &Lua,
    primitives: &Table,
    class: &'static str,
    names: &'static [&'static str],
    attribute: fn(&Lua, &T, &str) -> Value,
) -> mlua::Result<()> {
    let slots = lua.create_table()?;
    for (slot, name) in names.iter().enumerate() {
        slots.raw_set(*name, slot)?;
    }
    primitives.raw_set(format!("{class}_slots"), slots)?;
    export_value(
        lua,
        primitives,
        &format!("{class}_attribute"),
        move |lua, (object, slot): (Given<T>, usize)| {
            let object = convert::given(object, class, At("__index", 1, class))?;
            let name = names.get(slot).copied().unwrap_or_default();
            Ok(attribute(lua, &object, name))
        },
    )
}

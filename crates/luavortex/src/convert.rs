//! From Lua values to what the engine takes, with messages that say what is wrong with which argument.

use beep_session::core::{ChannelNumber, MsgNo};
use mlua::{Either, FromLua, Lua, UserDataRef, Value};

use crate::export::Misuse;

/// The largest whole number that every Lua represents exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Names an argument in messages: the function, its position counted from 1, its name in the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a>(pub(crate) &'a str, pub(crate) usize, pub(crate) &'a str);

impl At<'_> {
    /// `bad argument #2 to 'push' (value: string expected, got nil)`
    pub(crate) fn wants(self, expected: &str, got: &Value) -> Misuse {
        self.says(&format!("{expected} expected, got {}", describe(got)))
    }

    pub(crate) fn says(self, what: &str) -> Misuse {
        let At(function, position, name) = self;
        Misuse(format!(
            "bad argument #{position} to '{function}' ({name}: {what})"
        ))
    }
}

/// What a value is called in messages: its class if it is one of ours, otherwise its type.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Nil => "nil".into(),
        Value::Integer(number) => format!("number {number}"),
        Value::Number(number) => format!("number {number}"),
        Value::UserData(object) => match crate::class_of(object) {
            Some(class) => format!("vortex.{class}"),
            None => "userdata".into(),
        },
        other => other.type_name().into(),
    }
}

/// An object of class `T`, for which messages say `class`.
pub(crate) fn object<T: 'static>(
    value: &Value,
    class: &str,
    at: At<'_>,
) -> Result<UserDataRef<T>, Misuse> {
    if let Value::UserData(object) = value
        && let Ok(object) = object.borrow::<T>()
    {
        return Ok(object);
    }
    Err(at.wants(&format!("vortex.{class}"), value))
}

/// An argument that has to be an object of class `T`, borrowed where it lies on Lua's stack: for what every message
/// passes. A value of Lua only when it is something else.
pub(crate) type Given<T> = Either<UserDataRef<T>, Value>;

/// What was given, if it is an object of class `T`.
pub(crate) fn given<T>(
    argument: Given<T>,
    class: &str,
    at: At<'_>,
) -> Result<UserDataRef<T>, Misuse> {
    match argument {
        Either::Left(object) => Ok(object),
        Either::Right(value) => Err(at.wants(&format!("vortex.{class}"), &value)),
    }
}

/// A whole number; numbers with a fraction, infinities and NaN are refused on every Lua, strings of digits are taken.
pub(crate) fn whole(lua: &Lua, value: &Value, at: At<'_>) -> Result<i64, Misuse> {
    match value {
        Value::Integer(number) => Ok(*number),
        Value::Number(number) if number.fract() == 0.0 && number.abs() <= WHOLE_MAX => {
            Ok(*number as i64)
        }
        Value::String(_) => match lua.coerce_number(value.clone()) {
            Ok(Some(number)) => whole(lua, &Value::Number(number), at),
            _ => Err(at.wants("a whole number", value)),
        },
        _ => Err(at.wants("a whole number", value)),
    }
}

/// `None` for nil.
pub(crate) fn optional<T>(
    value: &Value,
    convert: impl FnOnce(&Value) -> Result<T, Misuse>,
) -> Result<Option<T>, Misuse> {
    if value.is_nil() {
        Ok(None)
    } else {
        convert(value).map(Some)
    }
}

/// The octets of a string, or of a number written as one.
pub(crate) fn octets(lua: &Lua, value: &Value, at: At<'_>) -> Result<mlua::LuaString, Misuse> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(_) | Value::Number(_) => {
            mlua::LuaString::from_lua(value.clone(), lua).map_err(|_| at.wants("string", value))
        }
        _ => Err(at.wants("string", value)),
    }
}

/// A string that goes into XML or a name look-up and has to be UTF-8.
pub(crate) fn text(lua: &Lua, value: &Value, at: At<'_>) -> Result<String, Misuse> {
    let octets = octets(lua, value, at)?;
    match octets.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(at.says("the string is not UTF-8")),
    }
}

/// A real boolean.
pub(crate) fn boolean(value: &Value, at: At<'_>) -> Result<bool, Misuse> {
    value.as_boolean().ok_or_else(|| at.wants("boolean", value))
}

/// A channel number; 0 stands for "the next free one".
pub(crate) fn channel_number(
    lua: &Lua,
    value: &Value,
    at: At<'_>,
) -> Result<Option<ChannelNumber>, Misuse> {
    let number = whole(lua, value, at)?;
    let Some(channel) = u32::try_from(number).ok().and_then(ChannelNumber::new) else {
        return Err(at.says(&format!(
            "0 (next free) to 2147483647 expected, got {number}"
        )));
    };
    Ok(Some(channel).filter(|channel| !channel.is_management()))
}

/// A message number.
pub(crate) fn msgno(lua: &Lua, value: &Value, at: At<'_>) -> Result<MsgNo, Misuse> {
    let number = whole(lua, value, at)?;
    u32::try_from(number)
        .ok()
        .and_then(MsgNo::new)
        .ok_or_else(|| {
            at.says(&format!(
                "a message number from 0 to 2147483647 expected, got {number}"
            ))
        })
}

/// A TCP port, as a number or as the string that the older API takes.
pub(crate) fn port_text(lua: &Lua, value: &Value, at: At<'_>) -> Result<String, Misuse> {
    match value {
        Value::Integer(_) | Value::Number(_) => Ok(whole(lua, value, at)?.to_string()),
        _ => text(lua, value, at),
    }
}

/// Microseconds from a script: any number, fractions too; more than can be waited for is for ever.
pub(crate) fn microseconds(value: &Value, at: At<'_>) -> Result<f64, Misuse> {
    let number = match value {
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        Value::String(text) => text.to_str().ok().and_then(|text| text.trim().parse().ok()),
        _ => None,
    };
    match number {
        Some(number) if !number.is_nan() => Ok(number),
        _ => Err(at.wants("a number of microseconds", value)),
    }
}

//! `ctx:set_limits` and `ctx:limits`: what the peers of a context can make grow, and how long they can take.

use std::sync::Arc;
use std::time::Duration;

use beep_session::ListenerLimits;
use beep_session::core::Config;
use mlua::{Lua, Table, Value};

use crate::bridge::Served;
use crate::convert::{self, At};
use crate::export::{Failure, Misuse};

type Get = fn(&Config, &ListenerLimits) -> u64;
type Set = fn(&mut Config, &mut ListenerLimits, u64);

/// Every limit: its name, how it is read, how it is set. Times are microseconds in Lua; 0 stands for "none" where
/// a limit may be absent.
const LIMITS: &[(&str, Get, Set)] = &[
    (
        "window_on_open",
        |c, _| c.window_on_open.into(),
        |c, _, v| c.window_on_open = small(v),
    ),
    (
        "window_max",
        |c, _| c.window_max.into(),
        |c, _, v| c.window_max = small(v),
    ),
    (
        "frame_max",
        |c, _| c.frame_max.into(),
        |c, _, v| c.frame_max = small(v),
    ),
    (
        "header_max",
        |c, _| c.header_max as u64,
        |c, _, v| c.header_max = size(v),
    ),
    (
        "message_max",
        |c, _| c.message_max as u64,
        |c, _, v| c.message_max = size(v),
    ),
    (
        "joining_max",
        |c, _| c.joining_max as u64,
        |c, _, v| c.joining_max = size(v),
    ),
    (
        "answers_interleaved_max",
        |c, _| c.answers_interleaved_max as u64,
        |c, _, v| c.answers_interleaved_max = size(v),
    ),
    (
        "messages_unanswered_max",
        |c, _| c.messages_unanswered_max as u64,
        |c, _, v| c.messages_unanswered_max = size(v),
    ),
    (
        "messages_held_max",
        |c, _| c.messages_held_max as u64,
        |c, _, v| c.messages_held_max = size(v),
    ),
    (
        "octets_held_max",
        |c, _| c.octets_held_max as u64,
        |c, _, v| c.octets_held_max = size(v),
    ),
    (
        "outstanding_max",
        |c, _| c.outstanding_max as u64,
        |c, _, v| c.outstanding_max = size(v),
    ),
    (
        "send_queue_octets",
        |c, _| c.send_queue_octets as u64,
        |c, _, v| c.send_queue_octets = size(v),
    ),
    (
        "send_queue_messages",
        |c, _| c.send_queue_messages as u64,
        |c, _, v| c.send_queue_messages = size(v),
    ),
    (
        "send_queue_octets_session",
        |c, _| c.send_queue_octets_session as u64,
        |c, _, v| c.send_queue_octets_session = size(v),
    ),
    (
        "channels_max",
        |c, _| c.channels_max as u64,
        |c, _, v| c.channels_max = size(v),
    ),
    (
        "management_octets",
        |c, _| c.management_octets as u64,
        |c, _, v| c.management_octets = size(v),
    ),
    (
        "greeting_octets",
        |c, _| c.greeting_octets.into(),
        |c, _, v| c.greeting_octets = small(v),
    ),
    (
        "xml_depth_max",
        |c, _| c.xml_depth_max.into(),
        |c, _, v| c.xml_depth_max = small(v),
    ),
    (
        "xml_nodes_max",
        |c, _| c.xml_nodes_max.into(),
        |c, _, v| c.xml_nodes_max = small(v),
    ),
    (
        "management_pending_max",
        |c, _| c.management_pending_max as u64,
        |c, _, v| c.management_pending_max = size(v),
    ),
    (
        "greeting_timeout",
        |c, _| us(c.greeting_timeout),
        |c, _, v| c.greeting_timeout = Duration::from_micros(v),
    ),
    (
        "reply_timeout",
        |c, _| us(c.reply_timeout),
        |c, _, v| c.reply_timeout = Duration::from_micros(v),
    ),
    (
        "authentication_timeout",
        |c, _| us(c.authentication_timeout),
        |c, _, v| c.authentication_timeout = Duration::from_micros(v),
    ),
    (
        "authentication_failures_max",
        |c, _| c.authentication_failures_max.into(),
        |c, _, v| c.authentication_failures_max = small(v),
    ),
    (
        "tls_timeout",
        |c, _| us(c.tls_timeout),
        |c, _, v| c.tls_timeout = Duration::from_micros(v),
    ),
    (
        "release_linger",
        |c, _| us(c.release_linger),
        |c, _, v| c.release_linger = Duration::from_micros(v),
    ),
    (
        "idle_timeout",
        |c, _| c.idle_timeout.map_or(0, us),
        |c, _, v| c.idle_timeout = (v > 0).then(|| Duration::from_micros(v)),
    ),
    (
        "connections_max",
        |_, l| l.connections_max as u64,
        |_, l, v| l.connections_max = size(v),
    ),
    (
        "half_open_max",
        |_, l| l.half_open_max as u64,
        |_, l, v| l.half_open_max = size(v),
    ),
];

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn small(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Sets what `table` names, for connections made from now on. All of it or, when something is wrong, nothing.
pub(crate) fn set(lua: &Lua, served: &Arc<Served>, table: &Value) -> Result<(), Failure> {
    let at = At("set_limits", 2, "limits");
    let Value::Table(table) = table else {
        return Err(at.wants("table", table).into());
    };
    let mut state = served.lock();
    let mut config = (*state.config).clone();
    let mut listener = state.listener_limits;
    for pair in table.pairs::<Value, Value>() {
        let Ok((name, value)) = pair else { continue };
        let name = match &name {
            Value::String(name) => name.to_string_lossy(),
            other => {
                return Err(at
                    .says(&format!(
                        "limits are named by strings, got a {}",
                        other.type_name()
                    ))
                    .into());
            }
        };
        let Some((_, _, set)) = LIMITS.iter().find(|(known, ..)| *known == name) else {
            let known: Vec<&str> = LIMITS.iter().map(|(name, ..)| *name).collect();
            return Err(at
                .says(&format!(
                    "there is no limit '{name}'; there are {}",
                    known.join(", ")
                ))
                .into());
        };
        let number = convert::whole(lua, &value, at)?;
        let Ok(number) = u64::try_from(number) else {
            return Err(at
                .says(&format!("limit '{name}' cannot be {number}"))
                .into());
        };
        set(&mut config, &mut listener, number);
    }
    state.config = config
        .checked()
        .map_err(|error| Misuse(format!("bad argument #2 to 'set_limits' (limits: {error})")))?;
    state.listener_limits = listener;
    Ok(())
}

/// All limits by name.
pub(crate) fn table(lua: &Lua, served: &Arc<Served>) -> Result<Table, Failure> {
    let state = served.lock();
    let entries = LIMITS
        .iter()
        .map(|(name, get, _)| (*name, get(&state.config, &state.listener_limits)));
    lua.create_table_from(entries)
        .map_err(|error| Failure::new(crate::status::MEMORY, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/limits.md");
    const TYPES: &str = include_str!("../../../types/ctx.lua");

    /// Each limit of the page: name, default, unit, consequence.
    fn rows() -> Vec<[&'static str; 4]> {
        let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let cells: [&str; 4] = cells.try_into().unwrap();
            cells
        })
        .collect()
    }

    /// A number as people read it; 0 stands for "none".
    fn number(text: &str) -> u64 {
        let digits = text.strip_suffix(" (none)").unwrap_or(text);
        digits.replace(',', "").parse().unwrap()
    }

    #[test]
    fn the_page_has_every_limit_with_its_default_unit_and_consequence() {
        let (config, listener) = (Config::default(), ListenerLimits::default());
        let documented: Vec<_> = rows()
            .iter()
            .map(|[name, default, ..]| (name.trim_matches('`'), number(default)))
            .collect();
        let actual: Vec<_> = LIMITS
            .iter()
            .map(|(name, get, _)| (*name, get(&config, &listener)))
            .collect();
        assert_eq!(documented, actual);
        for [name, _, unit, consequence] in rows() {
            let is_time = name.ends_with("_timeout`") || name.ends_with("_linger`");
            assert_eq!(unit == "µs", is_time, "{name}");
            assert!(consequence.len() > 10, "{name}");
        }
    }

    #[test]
    fn the_types_tell_the_same_defaults() {
        for [name, default, ..] in rows() {
            let field = format!("---@field {}? integer ", name.trim_matches('`'));
            let line = TYPES.lines().find(|line| line.starts_with(&field));
            let line = line.unwrap_or_else(|| panic!("{name} is not in the types"));
            let (_, told) = line.rsplit_once("Default ").unwrap();
            let (told, _) = told.split_once([' ', '.', ':']).unwrap();
            assert_eq!(number(told), number(default), "{name}");
        }
    }

    #[test]
    fn every_limit_is_set_to_what_was_given() {
        for (place, (name, get, set)) in LIMITS.iter().enumerate() {
            let (mut config, mut listener) = (Config::default(), ListenerLimits::default());
            set(&mut config, &mut listener, 7777);
            for (other, (_, get_other, _)) in LIMITS.iter().enumerate() {
                let value = get_other(&config, &listener);
                assert_eq!(value == 7777, other == place, "{name}");
            }
            assert_eq!(get(&config, &listener), 7777);
        }
    }
}

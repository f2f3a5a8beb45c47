//! The LuaVortex API: BEEP for Lua.
//!
//! One shared object serves every Lua module name: Lua looks for `luaopen_vortex_ctx` in `vortex.so` by itself when a
//! script asks for `vortex.ctx`. A program that embeds Lua registers the modules with [`preload`].
//!
//! | where is ... | file |
//! |---|---|
//! | a class | the file of its name: `connection.rs` (octets, numbers, the engine) and `lua/connection.lua` (handlers) |
//! | how handlers run and blocking calls wait | `lua/scheduler.lua` |
//! | how the engine's events reach them | `bridge.rs` → `inbox.rs` → `events.rs` → `dispatch` in `lua/*.lua` |
//! | who drives the sockets | `engine.rs`, and `keeper.rs` while Lua computes |
//! | how arguments are checked, errors raised | `convert.rs`, `export.rs`, `lua/export.lua` |

mod alive;
mod asyncqueue;
mod bridge;
mod channel;
mod channelpool;
mod connection;
mod convert;
mod ctx;
mod drivers;
mod engine;
mod events;
mod export;
mod frame;
mod inbox;
mod keeper;
mod limits;
mod log;
mod meta;
mod patience;
mod sasl;
mod signals;
mod state;
mod status;
mod tls;
mod vortex;

use mlua::{AnyUserData, Function, Lua, Table, Value};

/// The version of this library.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the module table is kept in Lua's registry.
const MODULE: &str = "vortex.module";

/// The modules below `vortex`.
const SUBMODULES: &[&str] = &[
    "ctx",
    "connection",
    "channel",
    "channelpool",
    "frame",
    "asyncqueue",
    "sasl",
    "tls",
    "alive",
];

/// The Lua side of the library, in the order in which the files need each other.
const SOURCES: &[(&str, &str)] = &[
    ("export", include_str!("lua/export.lua")),
    ("suspension", include_str!("lua/suspension.lua")),
    ("scheduler", include_str!("lua/scheduler.lua")),
    ("ctx", include_str!("lua/ctx.lua")),
    ("connection", include_str!("lua/connection.lua")),
    ("channel", include_str!("lua/channel.lua")),
    ("request", include_str!("lua/request.lua")),
    ("frame", include_str!("lua/frame.lua")),
    ("asyncqueue", include_str!("lua/asyncqueue.lua")),
    ("channelpool", include_str!("lua/channelpool.lua")),
    ("sasl", include_str!("lua/sasl.lua")),
    ("tls", include_str!("lua/tls.lua")),
    ("alive", include_str!("lua/alive.lua")),
    ("vortex", include_str!("lua/vortex.lua")),
];

/// The class of an object of ours, as scripts know it.
pub(crate) fn class_of(object: &AnyUserData) -> Option<&'static str> {
    if object.is::<channel::Channel>() {
        Some("channel")
    } else if object.is::<frame::Frame>() {
        Some("frame")
    } else if object.is::<connection::Connection>() {
        Some("connection")
    } else if object.is::<asyncqueue::AsyncQueue>() {
        Some("asyncqueue")
    } else if object.is::<ctx::Ctx>() {
        Some("ctx")
    } else if object.is::<channelpool::ChannelPool>() {
        Some("channelpool")
    } else {
        None
    }
}

/// The module table of `lua`, made with the first call.
fn open(lua: &Lua) -> mlua::Result<Table> {
    if let Value::Table(module) = lua.named_registry_value(MODULE)? {
        return Ok(module);
    }
    log::init_from_environment();
    let primitives = lua.create_table()?;
    vortex::register(lua, &primitives)?;
    ctx::register(lua, &primitives)?;
    connection::register(lua, &primitives)?;
    channel::register(lua, &primitives)?;
    frame::register(lua, &primitives)?;
    asyncqueue::register(lua, &primitives)?;
    channelpool::register(lua, &primitives)?;
    sasl::register(lua, &primitives)?;
    tls::register(lua, &primitives)?;
    alive::register(lua, &primitives)?;
    events::register(lua, &primitives)?;
    let load = |name: &str, source: &str| {
        lua.load(source)
            .set_name(format!("=vortex/{name}.lua"))
            .into_function()
    };
    let sources = lua.create_sequence_from(
        SOURCES
            .iter()
            .map(|(name, source)| load(name, source))
            .collect::<mlua::Result<Vec<Function>>>()?,
    )?;
    let module: Table = load("boot", include_str!("lua/boot.lua"))?.call((primitives, sources))?;
    lua.set_named_registry_value(MODULE, &module)?;
    let loaded: Table = lua.globals().get::<Table>("package")?.get("loaded")?;
    loaded.raw_set("vortex", &module)?;
    for name in SUBMODULES {
        loaded.raw_set(format!("vortex.{name}"), module.raw_get::<Table>(*name)?)?;
    }
    // Old scripts use the global. One that has something else under that name keeps it.
    let wants_no_global = std::env::var("LUAVORTEX_NO_GLOBAL").is_ok_and(|value| value == "1");
    if !wants_no_global && lua.globals().raw_get::<Value>("vortex")?.is_nil() {
        lua.globals().raw_set("vortex", &module)?;
    }
    Ok(module)
}

/// Makes `require "vortex"` and `require "vortex.ctx"`, ... work in `lua` without a shared object.
///
/// # Errors
///
/// When Lua has no memory left, or no `package` library.
pub fn preload(lua: &Lua) -> mlua::Result<()> {
    let preload: Table = lua.globals().get::<Table>("package")?.get("preload")?;
    preload.set("vortex", lua.create_function(|lua, _: Value| open(lua))?)?;
    for name in SUBMODULES {
        let load = lua.create_function(move |lua, _: Value| open(lua)?.raw_get::<Table>(*name))?;
        preload.set(format!("vortex.{name}"), load)?;
    }
    Ok(())
}

/// Ends the wait of every Lua state of this process that is in one: the call that waits raises `interrupted!`.
///
/// True when one did. May be called from any thread, not from a signal handler.
pub fn interrupt() -> bool {
    engine::interrupt()
}

macro_rules! lua_modules {
    ($($function:ident => $name:literal,)*) => {$(
        #[mlua::lua_module(skip_memory_check)]
        fn $function(lua: &Lua) -> mlua::Result<Table> {
            open(lua)?.raw_get::<Table>($name)
        }
    )*};
}

#[mlua::lua_module(name = "vortex", skip_memory_check)]
fn module(lua: &Lua) -> mlua::Result<Table> {
    open(lua)
}

lua_modules! {
    vortex_ctx => "ctx",
    vortex_connection => "connection",
    vortex_channel => "channel",
    vortex_channelpool => "channelpool",
    vortex_frame => "frame",
    vortex_asyncqueue => "asyncqueue",
    vortex_sasl => "sasl",
    vortex_tls => "tls",
    vortex_alive => "alive",
}

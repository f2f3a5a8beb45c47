//! x
#![allow(unsafe_code, missing_docs)]
use lua_link as _;
use vortex as _;
fn main() {
    let lua = unsafe { mlua::Lua::unsafe_new() };
    lua.load("print(jit.version, coroutine.isyieldable, require)").exec().unwrap();
}

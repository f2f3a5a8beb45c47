//! What it takes to get events into Lua and answers out of it, with both ends in one Lua state: `cargo bench -p luavortex`
//! tells times. `cargo xtask instructions` counts instructions by `dispatch WORKLOAD COUNT`, which does it so many times.
#![allow(missing_docs, reason = "nobody calls a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark may end where it cannot go on"
)]

use std::env;

use divan::Bencher;
use divan::counter::ItemsCount;
use lua_link as _;
use mlua::{Function, Lua, Table};

/// Rounds of one sample, so many that the connection for them does not count.
const ROUNDS: usize = 2000;
/// The same where a round is a series of answers.
const SERIES_ROUNDS: usize = 100;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, workload, count] = &arguments[..]
        && let Ok(count) = count.parse()
    {
        let lua = open_state();
        // Where its compiler begins a trace depends on addresses of memory, and so would the count.
        lua.load("if jit then jit.off () end").exec().unwrap();
        counted(&lua, &function(&lua, workload), count);
    } else {
        divan::main();
    }
}

/// As the command opens it: the scheduler needs the library `debug`.
#[allow(unsafe_code)]
fn open_state() -> Lua {
    // SAFETY: All that runs in it is the library and `dispatch.lua`, which load no C modules.
    unsafe { Lua::unsafe_new() }
}

fn function(lua: &Lua, workload: &str) -> Function {
    vortex::preload(lua).unwrap();
    let workloads: Table = lua
        .load(include_str!("../../../bench/dispatch.lua"))
        .set_name("=dispatch.lua")
        .call(())
        .unwrap();
    workloads
        .get(workload)
        .expect("the workload is in the table")
}

/// Only what this calls is counted, and only in the thread that calls it: how often others wake up is a matter of time.
#[inline(never)]
fn counted(lua: &Lua, function: &Function, count: usize) {
    // Whole collections around it, so that the collector is never halfway.
    lua.gc_collect().unwrap();
    function.call::<()>(count).unwrap();
    lua.gc_collect().unwrap();
}

#[divan::bench(args = ["lua-handler", "lua-replies", "lua-requests", "lua-answers", "lua-queues"])]
fn dispatch(bencher: Bencher<'_, '_>, workload: &str) {
    let lua = open_state();
    let function = function(&lua, workload);
    let rounds = if workload == "lua-answers" {
        SERIES_ROUNDS
    } else {
        ROUNDS
    };
    bencher
        .counter(ItemsCount::new(rounds))
        .bench_local(|| function.call::<()>(rounds).unwrap());
}

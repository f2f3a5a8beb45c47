//! Build and test chores. `cargo xtask` without arguments lists them.

#![forbid(unsafe_code)]

mod bench;
mod book;
mod child;
mod corpus;
mod deb;
mod floods;
mod fuzz;
mod instructions;
mod layers;
mod lua;
mod module;
mod reference;
mod spec;
mod tap;
mod tool;
mod types;
mod unsafe_code;
mod valgrind;
mod workspace;

use std::env;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  bench     measure speed, interleaved with what bare TCP does  [--quick] [--seconds S] [--rounds N] [--columns LIST]
            [--save FILE] [--write] [--scaling] [WORKLOAD...]
  book      put the book together with the Lua reference, check its links, build it with mdBook  [--check]
  deb       build a Debian package           [--out DIR] [--dev] [--try] [--install]
  corpus    cut seeds for the fuzz targets out of recordings    [--from DIR] [--into DIR]
  floods    measure an honest client while others flood its listener
  fuzz      run the fuzz targets             [--target NAME] [--seconds N]
  instructions  count the instructions of fixed work, and compare with bench/instructions.json  [--record]
  layers    check that dependencies between crates point one way
  module    build vortex.so for one Lua      [--lua LUA] [--out DIR] [--release]
  modules   build vortex.so for every Lua, as DIR/5.1/vortex.so and so on  [--out DIR] [--release]
  spec      run the Lua specs in stock Luas  [--lua LUA] [--all] [--require] [--embedded]
  tap       have real sessions judged octet by octet
  types     check examples and specs against the editor definitions
  unsafe    list what is unsafe, and check that it says why
  valgrind  run the Lua specs under valgrind, and look for memory that grows with work  [--lua LUA] [SPEC...]

LUA is lua51, lua52, lua53, lua54, lua55 or luajit. `spec --all` runs in every Lua, with the command `luavortex` where no
stock interpreter is installed; --embedded runs in that command, built with the Lua, and loads no vortex.so.
`bench` writes its table into docs/performance.md with --write; LIST is any of command, rust and names of Luas; --scaling draws how
messages a second depend on what is open, into docs/performance/.
`book --check` builds no HTML. `deb --dev` packs builds that are not optimized; --try unpacks the package and uses it, --install
  installs it, uses it and removes it.
";

/// What went wrong, for people.
type Failure = String;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    let outcome = match task.as_str() {
        "bench" => bench::run(&arguments),
        "book" => book::run(&arguments),
        "deb" => deb::run(&arguments),
        "corpus" => corpus::run(&arguments),
        "floods" => no_more(&arguments).and_then(|()| floods::run()),
        "fuzz" => fuzz::run(&arguments),
        "instructions" => instructions::run(&arguments),
        "layers" => no_more(&arguments).and_then(|()| layers::check()),
        "module" => module::run(&arguments),
        "modules" => module::run_all(&arguments),
        "spec" => spec::run(&arguments),
        "tap" => no_more(&arguments).and_then(|()| tap::run()),
        "types" => no_more(&arguments).and_then(|()| types::check()),
        "unsafe" => no_more(&arguments).and_then(|()| unsafe_code::check()),
        "valgrind" => valgrind::run(&arguments),
        "" => Err(USAGE.to_owned()),
        other => Err(format!("there is no task `{other}`\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn no_more(arguments: &[String]) -> Result<(), Failure> {
    match arguments.first() {
        None => Ok(()),
        Some(argument) => Err(unexpected(argument)),
    }
}

fn unexpected(argument: &str) -> Failure {
    format!("unexpected argument `{argument}`\n\n{USAGE}")
}

/// The value behind an option.
fn value(option: &str, next: Option<&String>) -> Result<String, Failure> {
    next.cloned()
        .ok_or_else(|| format!("{option} needs a value\n\n{USAGE}"))
}

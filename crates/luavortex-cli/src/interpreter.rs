//! The Lua state and what runs in it.

use mlua::{Function, IntoLuaMulti, Lua, Table, Value, Variadic};

use crate::arguments::{Arguments, Script, Step};
use crate::signals;

/// The text of an error as `lua` prints it behind the program's name; not necessarily UTF-8.
pub(crate) type Failure = Vec<u8>;

/// A Lua state with the standard libraries and the vortex modules. Dropping it closes the state.
pub(crate) struct Interpreter {
    // Before `lua`: what refers to the state goes first.
    driver: Table,
    lua: Lua,
}

/// What became of a line typed at the prompt.
pub(crate) enum Line {
    /// It ran.
    Done,
    /// It is the beginning of something longer.
    Incomplete,
}

impl Interpreter {
    /// Opens a Lua state; its table `arg` shows the command line.
    pub(crate) fn new(arguments: &Arguments) -> Result<Self, Failure> {
        let lua = open_state();
        let driver = prepare(&lua, arguments).map_err(|error| error.to_string().into_bytes())?;
        Ok(Self { driver, lua })
    }

    /// The name and version of the Lua inside.
    pub(crate) fn lua_version(&self) -> String {
        let globals = self.lua.globals();
        let jit = globals
            .get::<Table>("jit")
            .and_then(|jit| jit.get::<String>("version"));
        jit.or_else(|_| globals.get::<String>("_VERSION"))
            .unwrap_or_else(|_| "Lua".to_owned())
    }

    /// Runs what the environment variable `LUA_INIT` asks for.
    pub(crate) fn run_environment(&self) -> Result<(), Failure> {
        self.run("environment", ())
    }

    /// Runs one `-e` or `-l`.
    pub(crate) fn run_step(&self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Execute(code) => self.run("text", (self.string(code)?, "=(command line)")),
            Step::Require(module) => self.run("library", self.string(module)?),
        }
    }

    /// Runs the script with its arguments.
    pub(crate) fn run_script(&self, script: &Script, arguments: &[Vec<u8>]) -> Result<(), Failure> {
        let path = match script {
            Script::StandardInput => Value::Nil,
            Script::File(path) => self.string(path)?,
        };
        let arguments = arguments
            .iter()
            .map(|word| self.string(word))
            .collect::<Result<Variadic<_>, _>>()?;
        self.run("file", (path, arguments))
    }

    /// Runs what was typed at the prompt so far.
    pub(crate) fn run_line(&self, text: &[u8]) -> Result<Line, Failure> {
        match self.call("line", self.string(text)?)? {
            Value::Boolean(true) => Ok(Line::Incomplete),
            outcome => failure(&outcome).map_or(Ok(Line::Done), Err),
        }
    }

    /// Reads a line from a standard input that is no terminal. `None` at its end.
    pub(crate) fn read_line(&self, prompt: &str) -> Option<Vec<u8>> {
        match self.call("read", prompt) {
            Ok(Value::String(line)) => Some(line.as_bytes().to_vec()),
            _ => None,
        }
    }

    fn run(&self, function: &str, arguments: impl IntoLuaMulti) -> Result<(), Failure> {
        failure(&self.call(function, arguments)?).map_or(Ok(()), Err)
    }

    /// An error here is none of the script's: those the driver returns as text.
    fn call(&self, function: &str, arguments: impl IntoLuaMulti) -> Result<Value, Failure> {
        self.driver
            .get::<Function>(function)
            .and_then(|function| function.call(arguments))
            .map_err(|error| error.to_string().into_bytes())
    }

    fn string(&self, bytes: &[u8]) -> Result<Value, Failure> {
        self.lua
            .create_string(bytes)
            .map(Value::String)
            .map_err(|error| error.to_string().into_bytes())
    }
}

#[allow(unsafe_code)]
fn open_state() -> Lua {
    // SAFETY: The state is left as unguarded as that of the `lua` command: scripts may load C modules and use
    // `debug` and `ffi`, and answer for what these do. Rust itself relies on nothing that they can break.
    unsafe { Lua::unsafe_new() }
}

fn prepare(lua: &Lua, arguments: &Arguments) -> mlua::Result<Table> {
    vortex::preload(lua)?;

    let table = lua.create_table()?;
    for (index, word) in arguments.all.iter().enumerate() {
        table.raw_set(
            place(index, arguments.script_index),
            lua.create_string(word)?,
        )?;
    }
    lua.globals().raw_set("arg", table)?;

    let interrupted = lua.create_function(|_, ()| Ok(signals::take_line_interrupt()))?;
    lua.load(include_str!("driver.lua"))
        .set_name("=luavortex")
        .call(interrupted)
}

/// The script is number 0; what stands before it counts downwards.
fn place(index: usize, script_index: usize) -> i64 {
    let number = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    number(index) - number(script_index)
}

fn failure(outcome: &Value) -> Option<Failure> {
    match outcome {
        Value::Nil => None,
        Value::String(text) => Some(text.as_bytes().to_vec()),
        other => Some(format!("(error object is a {} value)", other.type_name()).into_bytes()),
    }
}

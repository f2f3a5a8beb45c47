//! Runs the Lua specs in stock interpreters, with `vortex.so` as a user would load it.

use std::path::Path;
use std::process::Command;

use crate::lua::{self, Lua};
use crate::workspace::Workspace;
use crate::{Failure, child, module, unexpected, value};

/// `cargo xtask spec`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (mut chosen, mut require): (Vec<&Lua>, bool) = (Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--lua" => chosen.push(Lua::named(&value(argument, rest.next())?)?),
            "--require" => require = true,
            other => return Err(unexpected(other)),
        }
    }
    if chosen.is_empty() {
        chosen.extend(lua::ALL);
    }

    let root = Workspace::read()?.root()?;
    let mut problems = Vec::new();
    for lua in chosen {
        let outcome = match lua.interpreter() {
            Some(interpreter) => run_in(lua, interpreter, &root),
            None if require => Err("its interpreter is not installed".to_owned()),
            None => {
                println!(
                    "spec {}: SKIPPED, its interpreter is not installed",
                    lua.feature
                );
                continue;
            }
        };
        if let Err(problem) = outcome {
            problems.push(format!("spec {}: {problem}", lua.feature));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn run_in(lua: &Lua, interpreter: &str, root: &Path) -> Result<(), Failure> {
    let file = module::build(lua, None, false)?;
    let directory = file.parent().map(Path::to_path_buf).unwrap_or_default();
    println!(
        "spec {}: {interpreter} with {}",
        lua.feature,
        file.display()
    );

    let mut command = Command::new(interpreter);
    command.arg("spec/run.lua").current_dir(root);
    for name in ["LUA_INIT", "LUA_PATH", "LUA_CPATH"] {
        for version in ["", "_5_2", "_5_3", "_5_4", "_5_5"] {
            command.env_remove(format!("{name}{version}"));
        }
    }
    // Nothing but this one: a module that is installed must not stand in for it.
    command.env("LUA_CPATH", format!("{}/?.so", directory.display()));
    child::check(&mut command, child::TEST_LIMIT)
}

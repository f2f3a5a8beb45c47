//! Builds `vortex.so`, and the command, for one Lua or for all of them.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX, EXE_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use crate::lua::{self, Lua};
use crate::workspace::{self, Workspace};
use crate::{Failure, unexpected, value};

/// `cargo xtask module`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let mut lua = lua::ALL.first();
    let (mut out, mut release) = (None, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--lua" => lua = Some(Lua::named(&value(argument, rest.next())?)?),
            "--out" => out = Some(PathBuf::from(value(argument, rest.next())?)),
            "--release" => release = true,
            other => return Err(unexpected(other)),
        }
    }
    let Some(lua) = lua else {
        return Err("no Lua is supported".to_owned());
    };
    let out = out.map_or_else(|| directory(lua), Ok)?;
    println!("{}", build(lua, &out, release)?.display());
    Ok(())
}

/// `cargo xtask modules`
pub(crate) fn run_all(arguments: &[String]) -> Result<(), Failure> {
    let (mut out, mut release) = (None, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--out" => out = Some(PathBuf::from(value(argument, rest.next())?)),
            "--release" => release = true,
            other => return Err(unexpected(other)),
        }
    }
    let out = out.map_or_else(tree, Ok)?;
    for lua in lua::ALL {
        println!(
            "{}",
            build(lua, &out.join(lua.directory), release)?.display()
        );
    }
    Ok(())
}

/// Where what is built for this Lua goes if nobody says otherwise.
pub(crate) fn directory(lua: &Lua) -> Result<PathBuf, Failure> {
    Ok(tree()?.join(lua.directory))
}

/// Builds the module as `vortex.so` in `out` and gives its path.
pub(crate) fn build(lua: &Lua, out: &Path, release: bool) -> Result<PathBuf, Failure> {
    let built = format!("{DLL_PREFIX}vortex{DLL_SUFFIX}");
    build_package(lua, &["luavortex", "--lib"], &built, release)
        .and_then(|built| install(&built, out, "vortex.so"))
}

/// Builds the command with this Lua embedded, beside its module, and gives its path.
pub(crate) fn build_command(lua: &Lua, release: bool) -> Result<PathBuf, Failure> {
    let name = format!("luavortex{EXE_SUFFIX}");
    build_package(lua, &["luavortex-cli"], &name, release)
        .and_then(|built| install(&built, &directory(lua)?, &name))
}

fn tree() -> Result<PathBuf, Failure> {
    Ok(Workspace::read()?.target()?.join("lua"))
}

fn build_package(
    lua: &Lua,
    package: &[&str],
    built: &str,
    release: bool,
) -> Result<PathBuf, Failure> {
    // One target directory for all Luas, so that they share all that does not depend on Lua, and none with the
    // workspace, whose default Lua would have to be built again after each of the others.
    let target = tree()?.join("build");
    let target_text = target
        .to_str()
        .ok_or("the target directory has a name that is no UTF-8")?;
    let mut arguments = vec!["build", "--package"];
    arguments.extend(package);
    arguments.extend(["--no-default-features", "--features", lua.feature]);
    arguments.extend(["--target-dir", target_text]);
    if release {
        arguments.push("--release");
    }
    workspace::build(&arguments)?;
    Ok(target
        .join(if release { "release" } else { "debug" })
        .join(built))
}

/// Replaces the file as a whole: a program that has the old one loaded keeps it.
fn install(built: &Path, out: &Path, name: &str) -> Result<PathBuf, Failure> {
    let file = out.join(name);
    let temporary = out.join(format!("{name}.new"));
    fs::create_dir_all(out)
        .and_then(|()| fs::copy(built, &temporary))
        .and_then(|_| fs::rename(&temporary, &file))
        .map_err(|error| {
            format!(
                "cannot copy {} to {}: {error}",
                built.display(),
                file.display()
            )
        })?;
    Ok(file)
}

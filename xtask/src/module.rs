//! Builds `vortex.so` for one Lua.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
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
    let file = build(lua, out.as_deref(), release)?;
    println!("{}", file.display());
    Ok(())
}

/// Builds it and gives its path: `vortex.so` in `out`, or below cargo's target directory.
pub(crate) fn build(lua: &Lua, out: Option<&Path>, release: bool) -> Result<PathBuf, Failure> {
    // A target directory for each Lua: in a common one they would throw out each other's objects.
    let directory = Workspace::read()?.target()?.join("lua").join(lua.feature);
    let target = directory.join("build");
    let target_text = target
        .to_str()
        .ok_or("the target directory has a name that is no UTF-8")?;
    let mut arguments = vec![
        "build",
        "--package",
        "luavortex",
        "--lib",
        "--no-default-features",
        "--features",
        lua.feature,
        "--target-dir",
        target_text,
    ];
    if release {
        arguments.push("--release");
    }
    workspace::build(&arguments)?;

    let built = target
        .join(if release { "release" } else { "debug" })
        .join(format!("{DLL_PREFIX}vortex{DLL_SUFFIX}"));
    let out = out.unwrap_or(&directory);
    let file = out.join("vortex.so");
    // Replaced as a whole: a program that has the old one loaded keeps it.
    let temporary = out.join("vortex.so.new");
    fs::create_dir_all(out)
        .and_then(|()| fs::copy(&built, &temporary))
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

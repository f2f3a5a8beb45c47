//! Uses a Debian package that was built: unpacked into a directory, or installed and removed again.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{LUAS, NAME, files, folder, printed};
use crate::lua::Lua;
use crate::{Failure, child, spec};

/// What an installed module has to do in any Lua.
const USE: &str = "local vortex = require 'vortex'\n\
                   assert (require 'vortex.tls' == vortex.tls)\n\
                   print (_VERSION, vortex.version ())";

/// Installs the package with dpkg, uses it where it lies then, and removes it.
pub(super) fn installed(package: &Path) -> Result<(), Failure> {
    let state = printed(Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}", NAME]));
    if state.is_ok_and(|state| state == "installed") {
        println!("deb: installation SKIPPED, {NAME} is installed already");
        return Ok(());
    }
    child::check(
        as_root().args(["dpkg", "--install"]).arg(package),
        child::TEST_LIMIT,
    )?;
    let used = use_installed();
    let removed = child::check(as_root().args(["dpkg", "--purge", NAME]), child::TEST_LIMIT);
    used.and(removed)
}

/// A command that runs another with the rights of root.
fn as_root() -> Command {
    let is_root = printed(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    Command::new(if is_root { "env" } else { "sudo" })
}

/// The examples that end by themselves.
fn examples() -> Result<Vec<PathBuf>, Failure> {
    let mut examples = files(Path::new("/usr/share/doc/luavortex/examples"))?;
    examples.retain(|path| {
        path.extension().is_some_and(|extension| extension == "lua")
            && path.file_name().is_some_and(|name| name != "listener.lua")
    });
    examples.sort();
    Ok(examples)
}

fn use_installed() -> Result<(), Failure> {
    let command = || {
        let mut command = Command::new("/usr/bin/luavortex");
        spec::without_lua_variables(&mut command);
        command
    };
    let examples = examples()?;
    for example in &examples {
        child::check(command().arg(example), child::TEST_LIMIT)?;
    }
    let mut tried = 0;
    for name in LUAS.iter().chain(&["luajit"]) {
        let Some(interpreter) = Lua::named(name)?.interpreter() else {
            println!("deb: {name} SKIPPED, its interpreter is not installed");
            continue;
        };
        let run = |arguments: &[&OsStr]| {
            let mut command = Command::new(interpreter);
            spec::without_lua_variables(&mut command);
            child::check(command.args(arguments), child::TEST_LIMIT)
        };
        run(&["-e".as_ref(), USE.as_ref()])?;
        for example in &examples {
            run(&[example.as_os_str()])
                .map_err(|error| format!("{}: {error}", example.display()))?;
        }
        tried += 1;
    }
    println!("deb: installed, used by the command and {tried} Luas, and removed");
    Ok(())
}

/// Unpacks the package and uses it as a newcomer would, in every Lua that is installed.
pub(super) fn unpacked(package: &Path, place: &Path, triplet: &str) -> Result<(), Failure> {
    child::check(
        Command::new("dpkg-deb").arg("-x").args([package, place]),
        child::TEST_LIMIT,
    )?;
    let command = place.join("usr/bin/luavortex");
    let examples = place.join("usr/share/doc/luavortex/examples");
    for arguments in [
        vec![PathBuf::from("-v")],
        vec![examples.join("echo.lua")],
        vec![examples.join("secure.lua")],
    ] {
        child::check(Command::new(&command).args(arguments), child::TEST_LIMIT)?;
    }
    // The paths that the interpreters look in by themselves, below the place where the package is unpacked.
    let script = format!(
        "package.cpath = package.cpath:gsub ('/usr/lib/', '{}/usr/lib/')\n\
         local vortex = require 'vortex'\n\
         require 'vortex.tls'\n\
         print (_VERSION, vortex.version (), package.loaded['vortex.tls'] == vortex.tls)",
        place.display()
    );
    let mut tried = 0;
    for name in LUAS.iter().chain(&["luajit"]) {
        let lua = Lua::named(name)?;
        let Some(interpreter) = lua.interpreter() else {
            println!("deb: {name} SKIPPED, its interpreter is not installed");
            continue;
        };
        let mut command = Command::new(interpreter);
        spec::without_lua_variables(&mut command);
        child::check(command.args(["-e", &script]), child::MOMENT_LIMIT)?;
        tried += 1;
    }
    let module = place.join(folder(Lua::named("lua54")?, triplet));
    println!(
        "deb: tried with the command and {tried} Luas, from {}",
        module.display()
    );
    verify_units(&place.join("usr/lib/systemd/system"))
}

/// `systemd-analyze` reads the units, where it is installed.
fn verify_units(directory: &Path) -> Result<(), Failure> {
    let mut command = Command::new("systemd-analyze");
    command
        .args(["verify", "--man=no", "luavortex@echo.service"])
        .args([
            "luavortex-proxy@echo.socket",
            "luavortex-proxy@echo.service",
        ])
        // The colon at the end stands for where units are otherwise.
        .env("SYSTEMD_UNIT_PATH", format!("{}:", directory.display()));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("deb: units SKIPPED, systemd-analyze: {error}");
            return Ok(());
        }
    };
    // It is installed only here: in the directory that the package was unpacked in.
    let complaints: Vec<String> = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.contains(NAME))
        .filter(|line| !line.contains("Command /usr/bin/luavortex is not executable"))
        .map(str::to_owned)
        .collect();
    if complaints.is_empty() {
        println!("deb: systemd-analyze has nothing to say about the units");
        Ok(())
    } else {
        Err(format!("systemd-analyze: {}", complaints.join("\n")))
    }
}

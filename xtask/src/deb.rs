//! Builds a Debian package, and tries it.

mod trial;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::lua::{self, Lua};
use crate::workspace::Workspace;
use crate::{Failure, child, module, unexpected, value};

/// The Luas that Debian has. Its LuaJIT looks where Lua 5.1 does, and takes the module of Lua 5.1.
const LUAS: &[&str] = &["lua51", "lua52", "lua53", "lua54"];

const NAME: &str = "luavortex";

/// What is packed as it is: a path in the checkout, a directory or a file, and the directory it goes to.
const FILES: &[(&str, &str)] = &[
    ("types", "usr/share/luavortex/types"),
    ("examples", "usr/share/doc/luavortex/examples"),
    ("packaging/haproxy.cfg", "usr/share/doc/luavortex/examples"),
    (
        "packaging/luavortex.logrotate",
        "usr/share/doc/luavortex/examples",
    ),
    // Two of the examples want it here.
    (
        "spec/certificates/localhost.crt",
        "usr/share/doc/luavortex/spec/certificates",
    ),
    (
        "spec/certificates/localhost.key",
        "usr/share/doc/luavortex/spec/certificates",
    ),
    ("README.md", "usr/share/doc/luavortex"),
    // The book as it is written, for which README.md has links.
    ("docs", "usr/share/doc/luavortex/docs"),
    ("docs/handlers", "usr/share/doc/luavortex/docs/handlers"),
    ("docs/decisions", "usr/share/doc/luavortex/docs/decisions"),
    ("packaging/luavortex@.service", "usr/lib/systemd/system"),
    (
        "packaging/luavortex-proxy@.socket",
        "usr/lib/systemd/system",
    ),
    (
        "packaging/luavortex-proxy@.service",
        "usr/lib/systemd/system",
    ),
];

/// Where completions go: the shell and the file.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/luavortex"),
    ("fish", "usr/share/fish/vendor_completions.d/luavortex.fish"),
    ("zsh", "usr/share/zsh/vendor-completions/_luavortex"),
];

/// `cargo xtask deb`
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (mut out, mut dev, mut try_it, mut install) = (None, false, false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--out" => out = Some(PathBuf::from(value(argument, rest.next())?)),
            "--dev" => dev = true,
            "--try" => try_it = true,
            "--install" => install = true,
            other => return Err(unexpected(other)),
        }
    }
    let workspace = Workspace::read()?;
    let (root, directory) = (workspace.root()?, workspace.target()?.join("deb"));
    let out = out.unwrap_or_else(|| directory.clone());
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;

    let architecture = printed(Command::new("dpkg").arg("--print-architecture"))?;
    let triplet = printed(Command::new("cc").arg("-print-multiarch"))?;
    let version = version(&workspace)?;
    let tree = directory.join("tree");
    remove(&tree)?;
    fill(&root, &tree, &triplet, !dev)?;
    write(
        &tree.join("DEBIAN/control"),
        &control(&version, &architecture, installed_size(&tree)?)?,
    )?;
    // Nobody keeps what is not optimized, and pressing it hard takes minutes.
    let compression: &[&str] = if dev { &["-Zgzip", "-z1"] } else { &[] };
    let package = out.join(format!("{NAME}_{version}_{architecture}.deb"));
    child::check(
        Command::new("dpkg-deb")
            .args(compression)
            .args(["--root-owner-group", "--build"])
            .args([&tree, &package]),
        child::TEST_LIMIT,
    )?;
    println!("{}", package.display());
    if try_it {
        let place = directory.join("try");
        remove(&place)?;
        trial::unpacked(&package, &place, &triplet)?;
    }
    if install {
        trial::installed(&package)?;
    }
    Ok(())
}

fn remove(directory: &Path) -> Result<(), Failure> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    Ok(())
}

/// Lays everything out as it will be below `/`.
fn fill(root: &Path, tree: &Path, triplet: &str, release: bool) -> Result<(), Failure> {
    let default = lua::ALL.first().ok_or("no Lua is supported")?;
    let command = module::build_command(default, release)?;
    install(&command, &tree.join("usr/bin"), "755", true)?;
    for name in LUAS {
        let lua = Lua::named(name)?;
        let module = module::build(lua, &module::directory(lua)?, release)?;
        install(&module, &tree.join(folder(lua, triplet)), "644", true)?;
    }
    for (source, folder) in FILES {
        let source = root.join(source);
        for file in files(&source)? {
            install(&file, &tree.join(folder), "644", false)?;
        }
    }
    let manual = tree.join("usr/share/man/man1");
    child::check(
        Command::new(&command).arg("man").arg(&manual),
        child::MOMENT_LIMIT,
    )?;
    let changelog = tree.join("usr/share/doc/luavortex/changelog");
    write(&changelog, &read(&root.join("CHANGELOG.md"))?)?;
    let mut compressed = files(&manual)?;
    compressed.push(changelog);
    child::check(
        Command::new("gzip").args(["-9", "-n"]).args(compressed),
        child::MOMENT_LIMIT,
    )?;
    for (shell, target) in COMPLETIONS {
        let script = printed(Command::new(&command).args(["completions", shell]))?;
        write(&tree.join(target), &(script + "\n"))?;
    }
    let copyright = format!(
        "LuaVortex may be used under the MIT licence or the Apache License 2.0, whichever you like.\n\n{}\n\
         The Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.\n",
        read(&root.join("LICENSE-MIT"))?
    );
    write(&tree.join("usr/share/doc/luavortex/copyright"), &copyright)?;
    fs::create_dir_all(tree.join("etc/luavortex")).map_err(|error| error.to_string())
}

/// Where Debian's interpreter looks for modules in C.
fn folder(lua: &Lua, triplet: &str) -> String {
    format!("usr/lib/{triplet}/lua/{}", lua.directory)
}

/// The files of a directory, or the file itself.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect())
}

fn install(file: &Path, folder: &Path, mode: &str, strip: bool) -> Result<(), Failure> {
    let mut command = Command::new("install");
    command.args(["-D", "-m", mode, "-t"]).arg(folder);
    if strip {
        command.arg("--strip");
    }
    child::check(command.arg(file), child::MOMENT_LIMIT)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// What a command prints, without the space around it.
fn printed(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !text.is_empty() {
        Ok(text)
    } else {
        Err(format!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

fn version(workspace: &Workspace) -> Result<String, Failure> {
    let package = workspace
        .packages()
        .iter()
        .find(|package| package.get("name").and_then(Value::as_str) == Some(NAME));
    let version = package.and_then(|package| package.get("version")?.as_str());
    version
        .map(|version| format!("{version}-1"))
        .ok_or_else(|| format!("cargo metadata tells no version of {NAME}"))
}

/// In KiB.
fn installed_size(tree: &Path) -> Result<String, Failure> {
    let size = printed(Command::new("du").args(["-k", "-s"]).arg(tree))?;
    Ok(size.split_whitespace().next().unwrap_or("0").to_owned())
}

fn control(version: &str, architecture: &str, size: String) -> Result<String, Failure> {
    // Built against this one, it may not run with an older.
    let libc = printed(Command::new("dpkg-query").args([
        "-W",
        "-f",
        "${source:Upstream-Version}",
        "libc6",
    ]))?;
    let variable =
        |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let name = variable("DEBFULLNAME", "LuaVortex maintainers");
    let address = variable("DEBEMAIL", "maintainers@luavortex.invalid");
    Ok(format!(
        "Package: {NAME}\n\
         Version: {version}\n\
         Architecture: {architecture}\n\
         Maintainer: {name} <{address}>\n\
         Installed-Size: {size}\n\
         Depends: libc6 (>= {libc}), libgcc-s1\n\
         Suggests: lua5.4, luajit, ca-certificates\n\
         Section: interpreters\n\
         Priority: optional\n\
         Description: BEEP (RFC 3080/3081) for Lua\n\
         \x20LuaVortex lets Lua scripts speak BEEP, the protocol that carries many channels\n\
         \x20over one connection, as clients and listeners, with TLS and SASL.\n\
         \x20.\n\
         \x20This package has the command luavortex, with a LuaJIT of its own, and the module\n\
         \x20vortex for Lua 5.1 to 5.4 and LuaJIT.\n"
    ))
}

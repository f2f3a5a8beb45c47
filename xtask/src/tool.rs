//! Programs that chores need and no package has: built once, below the target directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::child;
use crate::workspace::cargo;

/// A program on crates.io, at one version.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// What `--version` prints before the number.
    pub(crate) says: &'static str,
    /// More for `cargo install`.
    pub(crate) options: &'static [&'static str],
}

impl Tool {
    /// Its executable below `tools`, built unless it is there already. `chore` is who asks.
    pub(crate) fn executable(&self, tools: &Path, chore: &str) -> Result<PathBuf, Failure> {
        let Tool {
            name,
            version,
            says,
            options,
        } = self;
        let executable = tools.join("bin").join(name);
        let installed = Command::new(&executable).arg("--version").output();
        if installed.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).trim() == format!("{says}{version}")
        }) {
            return Ok(executable);
        }
        println!("{chore}: installing {name} {version}, which takes a minute or two");
        let build = tools.join(format!("build-{name}"));
        let mut command = cargo();
        command
            .args(["install", name, "--locked", "--quiet", "--force"])
            .args(["--version", &format!("={version}")])
            .args(*options)
            // It does its work in seconds; optimizing it would take minutes.
            .arg("--debug")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .arg("--root")
            .arg(tools)
            .arg("--target-dir")
            .arg(&build);
        child::check(&mut command, child::BUILD_LIMIT)?;
        fs::remove_dir_all(&build).map_err(|error| format!("{}: {error}", build.display()))?;
        Ok(executable)
    }
}

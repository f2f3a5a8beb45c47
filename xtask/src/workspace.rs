//! What cargo knows about the workspace.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Failure;
use crate::child;

/// The output of `cargo metadata`.
pub(crate) struct Workspace {
    metadata: Value,
}

impl Workspace {
    pub(crate) fn read() -> Result<Self, Failure> {
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output();
        let output = output.map_err(|error| format!("cannot run cargo metadata: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "cargo metadata failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let metadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo metadata: {error}"))?;
        Ok(Self { metadata })
    }

    pub(crate) fn root(&self) -> Result<PathBuf, Failure> {
        self.path("workspace_root")
    }

    pub(crate) fn target(&self) -> Result<PathBuf, Failure> {
        self.path("target_directory")
    }

    pub(crate) fn packages(&self) -> &[Value] {
        self.metadata
            .get("packages")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    fn path(&self, key: &str) -> Result<PathBuf, Failure> {
        let path = self.metadata.get(key).and_then(Value::as_str);
        path.map(PathBuf::from)
            .ok_or_else(|| format!("cargo metadata has no {key}"))
    }
}

/// The cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What it set for this task is not for what it builds: ring's build script looks at these, and all that stands on ring
    // would be built anew whenever `cargo build` and a task take turns.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs cargo and fails when it does.
pub(crate) fn build(arguments: &[&str]) -> Result<(), Failure> {
    child::check(cargo().args(arguments), child::BUILD_LIMIT)
}

//! Dependencies between crates point one way, downwards.

use serde_json::Value;

use crate::Failure;
use crate::workspace::Workspace;

/// What one crate may depend on.
struct Layer {
    name: &'static str,
    /// Our crates that it may depend on.
    ours: &'static [&'static str],
    /// Our crates that its tests may depend on besides.
    ours_in_tests: &'static [&'static str],
    /// Crates of others that would break its purpose.
    never: &'static [&'static str],
    /// Whether it stands without any dependency at run time.
    bare: bool,
}

/// Everything that does I/O, keeps time or knows Lua.
const NOT_IN_THE_CORE: &[&str] = &[
    "async-std",
    "clap",
    "libc",
    "mio",
    "mlua",
    "mlua-sys",
    "nix",
    "openssl",
    "rustix",
    "rustls",
    "rustyline",
    "signal-hook",
    "smol",
    "socket2",
    "tokio",
    "tokio-rustls",
    "tokio-tungstenite",
];
const LUA: &[&str] = &[
    "mlua",
    "mlua-sys",
    "lua-src",
    "luajit-src",
    "rustyline",
    "clap",
];

const LAYERS: &[Layer] = &[
    Layer {
        name: "beep-core",
        ours: &[],
        ours_in_tests: &[],
        never: NOT_IN_THE_CORE,
        bare: false,
    },
    Layer {
        name: "beep-session",
        ours: &["beep-core"],
        ours_in_tests: &[],
        never: LUA,
        bare: false,
    },
    Layer {
        name: "luavortex",
        ours: &["beep-session"],
        ours_in_tests: &["lua-link"],
        never: &["clap"],
        bare: false,
    },
    Layer {
        name: "luavortex-cli",
        ours: &["luavortex", "beep-session", "lua-link"],
        ours_in_tests: &[],
        never: &[],
        bare: false,
    },
    Layer {
        name: "lua-link",
        ours: &[],
        ours_in_tests: &[],
        never: &[],
        bare: true,
    },
    Layer {
        name: "xtask",
        ours: &[],
        ours_in_tests: &[],
        never: LUA,
        bare: false,
    },
];

/// Checks every crate of the workspace and tells all that is wrong.
pub(crate) fn check() -> Result<(), Failure> {
    let workspace = Workspace::read()?;
    let mut problems = Vec::new();
    for layer in LAYERS {
        if !workspace
            .packages()
            .iter()
            .any(|package| name(package) == layer.name)
        {
            problems.push(format!("{} is not in the workspace", layer.name));
        }
    }
    for package in workspace.packages() {
        match LAYERS.iter().find(|layer| layer.name == name(package)) {
            Some(layer) => problems.extend(problems_of(layer, package)),
            None => problems.push(format!(
                "{} has no place in the layers: add it to xtask/src/layers.rs",
                name(package)
            )),
        }
    }
    if problems.is_empty() {
        println!(
            "layers: {} crates, all dependencies point downwards",
            LAYERS.len()
        );
        return Ok(());
    }
    Err(format!(
        "the layers are broken:\n  {}",
        problems.join("\n  ")
    ))
}

fn name(value: &Value) -> &str {
    value
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn problems_of(layer: &Layer, package: &Value) -> Vec<String> {
    let dependencies = package
        .get("dependencies")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let problems = dependencies.iter().filter_map(|dependency| {
        let (name, kind) = (
            name(dependency),
            dependency
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or("normal"),
        );
        let is_ours = LAYERS.iter().any(|layer| layer.name == name);
        let reason = if is_ours {
            let allowed = layer.ours.contains(&name)
                || (kind == "dev" && layer.ours_in_tests.contains(&name));
            (!allowed).then_some("is not below it")
        } else if kind == "normal" && layer.never.contains(&name) {
            Some("is none of its business")
        } else {
            (kind == "normal" && layer.bare).then_some("is one too many: it depends on nothing")
        };
        reason.map(|reason| format!("{} -> {name} ({kind}): {name} {reason}", layer.name))
    });
    problems.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn problems(layer: &str, dependency: &str, kind: Option<&str>) -> usize {
        let layer = LAYERS
            .iter()
            .find(|candidate| candidate.name == layer)
            .unwrap();
        problems_of(
            layer,
            &json!({ "dependencies": [{ "name": dependency, "kind": kind }] }),
        )
        .len()
    }

    #[test]
    fn dependencies_point_downwards_only() {
        assert_eq!(problems("luavortex-cli", "luavortex", None), 0);
        assert_eq!(problems("luavortex", "luavortex-cli", None), 1);
        assert_eq!(problems("luavortex", "beep-core", None), 1);
        assert_eq!(problems("beep-core", "beep-session", Some("dev")), 1);
    }

    #[test]
    fn tests_of_the_api_may_link_a_lua() {
        assert_eq!(problems("luavortex", "lua-link", Some("dev")), 0);
        assert_eq!(problems("luavortex", "lua-link", None), 1);
    }

    #[test]
    fn the_core_does_no_io() {
        assert_eq!(problems("beep-core", "tokio", None), 1);
        assert_eq!(problems("beep-core", "bytes", None), 0);
        assert_eq!(problems("beep-session", "mlua", None), 1);
    }

    #[test]
    fn linking_a_lua_needs_nothing_at_run_time() {
        assert_eq!(problems("lua-link", "lua-src", Some("build")), 0);
        assert_eq!(problems("lua-link", "lua-src", None), 1);
    }
}

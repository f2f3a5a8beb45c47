//! Checks scripts against the editor definitions in `types/`, with the checker of the EmmyLua analyzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::tool::Tool;
use crate::workspace::Workspace;
use crate::{Failure, child};

/// Who judges. Another release may see more, or word its codes in another way.
const CHECKER: Tool = Tool {
    name: "emmylua_check",
    version: "0.25.1",
    says: "emmylua_check ",
    options: &[],
};

/// What has to be free of warnings: a directory, and the settings it is checked with. The definitions are checked along.
const CLEAN: &[(&str, &str)] = &[
    ("examples", ".luarc.json"),
    ("crates/luavortex-cli/src/tools/new", ".luarc.json"),
    ("spec", "spec/.emmyrc.lua"),
];

/// Mistakes that have to be found: whoever is told "no issues" can believe it only then.
const MISTAKES: &str = "xtask/mistakes/mistakes.lua";
/// What follows in a line of it are the codes of what the checker reports there.
const EXPECT: &str = "-- expect: ";

/// A line of [`MISTAKES`], counted from 1, and the code of what is reported there.
type Report = (u64, String);

/// `cargo xtask types`
pub(crate) fn check() -> Result<(), Failure> {
    let workspace = Workspace::read()?;
    let root = workspace.root()?;
    let tools = workspace.target()?.join("tools");
    let checker = CHECKER.executable(&tools, "types")?;
    mistakes_are_found(&checker, &root, &tools)?;
    for (directory, settings) in CLEAN {
        println!("types: {directory}");
        let mut command = checker_command(&checker, &root, settings, directory);
        child::check(command.arg("--warnings-as-errors"), child::TEST_LIMIT)?;
    }
    Ok(())
}

fn checker_command(checker: &Path, root: &Path, settings: &str, directory: &str) -> Command {
    let mut command = Command::new(checker);
    command
        .current_dir(root)
        .args(["--severity", "warn", "--config", settings])
        .args([directory, "types"]);
    command
}

/// Compares what the checker reports about [`MISTAKES`] with the remarks there.
fn mistakes_are_found(checker: &Path, root: &Path, tools: &Path) -> Result<(), Failure> {
    println!("types: {MISTAKES}");
    let directory = Path::new(MISTAKES).parent().and_then(Path::to_str);
    let output = tools.join("mistakes.json");
    let mut command = checker_command(checker, root, ".luarc.json", directory.unwrap_or_default());
    command
        .args(["--output-format", "json", "--output"])
        .arg(&output);
    child::check(&mut command, child::TEST_LIMIT)?;

    let expected = expected(&read(&root.join(MISTAKES))?);
    let reported = reported(&read(&output)?)?;
    if expected.is_empty() {
        return Err(format!("{MISTAKES} has no line with `{EXPECT}`"));
    }
    let missed = expected.difference(&reported);
    let missed = missed.map(|(line, code)| format!("{MISTAKES}:{line}: {code} is not reported"));
    let surplus = reported.difference(&expected);
    let surplus =
        surplus.map(|(line, code)| format!("{MISTAKES}:{line}: {code} is reported, not expected"));
    let problems: Vec<String> = missed.chain(surplus).collect();
    if problems.is_empty() {
        println!("types: all {} mistakes are found", expected.len());
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The remarks in a script.
fn expected(script: &str) -> BTreeSet<Report> {
    (1..)
        .zip(script.lines())
        .filter_map(|(number, line)| Some((number, line.split_once(EXPECT)?.1)))
        .flat_map(|(number, codes)| {
            codes
                .split_whitespace()
                .map(move |code| (number, code.to_owned()))
        })
        .collect()
}

/// What the checker found in [`MISTAKES`].
fn reported(json: &str) -> Result<BTreeSet<Report>, Failure> {
    let files: Vec<Value> = serde_json::from_str(json)
        .map_err(|error| format!("the output of emmylua_check: {error}"))?;
    let ours = files.iter().filter(|file| {
        let path = file.get("file").and_then(Value::as_str);
        path.is_some_and(|path| path.ends_with(MISTAKES))
    });
    Ok(ours
        .filter_map(|file| file.get("diagnostics")?.as_array())
        .flatten()
        .filter_map(|diagnostic| {
            let line = diagnostic.pointer("/range/start/line")?.as_u64()?;
            let code = diagnostic.get("code")?.as_str()?;
            Some((line + 1, code.to_owned()))
        })
        .collect())
}

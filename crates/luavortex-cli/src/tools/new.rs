//! `luavortex new`: a small project to start from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::terminal::{self, STRONG, paint};

/// A file of the project: its path, and what it holds.
type Template = (&'static str, &'static str);

/// `NAME` in these stands for the name of the project.
const PROJECT: &[Template] = &[
    ("README.md", include_str!("new/README.md")),
    ("greeter.lua", include_str!("new/greeter.lua")),
    ("listener.lua", include_str!("new/listener.lua")),
    ("client.lua", include_str!("new/client.lua")),
    ("test.lua", include_str!("new/test.lua")),
    (".luarc.json", include_str!("new/luarc.json")),
];

/// The types of the API, for the editor.
macro_rules! types {
    ($($name:literal),*) => {
        &[$((concat!("types/", $name), include_str!(concat!("../../../../types/", $name)))),*]
    };
}

const TYPES: &[Template] = types![
    "alive.lua",
    "asyncqueue.lua",
    "channel.lua",
    "channelpool.lua",
    "connection.lua",
    "ctx.lua",
    "frame.lua",
    "global.lua",
    "handlers.lua",
    "sasl.lua",
    "tls.lua",
    "vortex.lua"
];

/// Begin a project: a listener, a client, a test, types for the editor
///
/// Makes the directory NAME with a small service of a profile of its own. Everything in it runs as it is.
#[derive(clap::Args)]
#[command(
    after_long_help = "Examples:\n  luavortex new chat && cd chat && luavortex test.lua\n\n\
                             Exit status:\n  0    the project is there\n  1    it cannot be written, or something of that name is there\n  2    wrong use"
)]
pub(super) struct Arguments {
    /// The project: letters, digits, - and _; a path before it is taken too
    #[arg(value_name = "NAME")]
    path: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.path;
    let name = name_of(path)?;
    if let Some(parent) = path.parent() {
        let made = fs::create_dir_all(parent);
        made.map_err(|error| Failure::file("make", parent.display(), &error))?;
    }
    // Not `create_dir_all`: what is there already belongs to somebody.
    fs::create_dir(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::local(format!(
            "{} is there already; take another name, or move it away",
            path.display()
        )),
        _ => Failure::file("make", path.display(), &error),
    })?;
    let files = PROJECT
        .iter()
        .map(|(file, content)| (*file, content.replace("NAME", name)))
        .chain(
            TYPES
                .iter()
                .map(|(file, content)| (*file, (*content).to_owned())),
        );
    for (file, content) in files {
        let file = path.join(file);
        write(&file, &content).map_err(|error| Failure::file("write", file.display(), &error))?;
    }
    let directory = path.display();
    terminal::line(format_args!(
        "{} is there. Next:\n\n  cd {directory}\n  luavortex test.lua\n\nREADME.md tells what is in it.",
        paint(STRONG, directory.to_string())
    ))
}

/// The name becomes a part of a URN and of Lua source, so it is a plain word.
fn name_of(path: &Path) -> Result<&str, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_plain = |name: &&str| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
    };
    name.filter(is_plain).ok_or_else(|| {
        Failure::misuse(format!(
            "'{}' is no name for a project: letters, digits, - and _ are taken, a letter or digit first",
            terminal::visible(&path.to_string_lossy())
        ))
    })
}

fn write(file: &Path, content: &str) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_types_is_in_a_new_project() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../types");
        let files = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = files
            .map(|file| format!("types/{}", file.unwrap().file_name().display()))
            .filter(|name| name.ends_with(".lua"))
            .collect();
        names.sort();
        let ours: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        assert_eq!(ours, names);
    }
}

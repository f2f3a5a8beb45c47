//! The supported Luas.

use std::process::{Command, Stdio};

use crate::Failure;

/// One Lua: the name of its cargo feature, of its directory among those of other Luas, and how its interpreter may be
/// called.
pub(crate) struct Lua {
    pub(crate) feature: &'static str,
    /// As in the trees of Debian and LuaRocks. LuaJIT has its own: its module uses what Lua 5.1 does not have.
    pub(crate) directory: &'static str,
    commands: &'static [&'static str],
}

/// All of them, the default first.
pub(crate) const ALL: &[Lua] = &[
    Lua {
        feature: "luajit",
        directory: "luajit",
        commands: &["luajit"],
    },
    Lua {
        feature: "lua51",
        directory: "5.1",
        commands: &["lua5.1", "lua51"],
    },
    Lua {
        feature: "lua52",
        directory: "5.2",
        commands: &["lua5.2", "lua52"],
    },
    Lua {
        feature: "lua53",
        directory: "5.3",
        commands: &["lua5.3", "lua53"],
    },
    Lua {
        feature: "lua54",
        directory: "5.4",
        commands: &["lua5.4", "lua54"],
    },
    Lua {
        feature: "lua55",
        directory: "5.5",
        commands: &["lua5.5", "lua55"],
    },
];

impl Lua {
    /// The one with this feature name.
    pub(crate) fn named(feature: &str) -> Result<&'static Self, Failure> {
        ALL.iter()
            .find(|lua| lua.feature == feature)
            .ok_or_else(|| {
                let names: Vec<&str> = ALL.iter().map(|lua| lua.feature).collect();
                format!(
                    "there is no Lua `{feature}`: choose one of {}",
                    names.join(", ")
                )
            })
    }

    /// The interpreter, if this machine has it.
    pub(crate) fn interpreter(&self) -> Option<&'static str> {
        self.commands.iter().copied().find(|command| {
            let version = Command::new(command)
                .arg("-v")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            version.is_ok_and(|status| status.success())
        })
    }
}

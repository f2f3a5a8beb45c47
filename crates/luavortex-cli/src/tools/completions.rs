//! `luavortex completions`: what a shell needs to complete command lines.

use clap_complete::{Shell, generate};

use super::failure::Failure;
use super::{terminal, whole_command};

/// Print the completion script for a shell
#[derive(clap::Args)]
#[command(
    after_long_help = "Examples:\n  luavortex completions bash > ~/.local/share/bash-completion/completions/luavortex\n  \
                       luavortex completions zsh > ~/.zfunc/_luavortex\n  \
                       luavortex completions fish > ~/.config/fish/completions/luavortex.fish"
)]
pub(super) struct Arguments {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(
        arguments.shell,
        &mut whole_command(),
        "luavortex",
        &mut script,
    );
    terminal::octets(&script)
}

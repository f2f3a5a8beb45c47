//! `luavortex man`: writes the manual pages.

use std::fs;
use std::path::PathBuf;

use super::failure::Failure;
use super::{terminal, whole_command};

/// Write the manual pages
///
/// One page for the command (luavortex.1) and one for each tool (luavortex-probe.1, ...).
#[derive(clap::Args)]
#[command(
    after_long_help = "Examples:\n  luavortex man /usr/local/share/man/man1\n  luavortex man . && man ./luavortex-probe.1"
)]
pub(super) struct Arguments {
    /// The directory to write to; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let failure = |error| Failure::file("write manual pages to", directory.display(), &error);
    fs::create_dir_all(directory).map_err(failure)?;
    clap_mangen::generate_to(whole_command(), directory).map_err(failure)?;
    terminal::line(format_args!(
        "wrote the manual pages to {}",
        directory.display()
    ))
}

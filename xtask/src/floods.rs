//! Floods of every kind against a listener of ours, and what an honest client feels of them.

use crate::workspace;
use crate::{Failure, child};

/// `cargo xtask floods`
pub(crate) fn run() -> Result<(), Failure> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--release", "--package", "luavortex-cli"])
        .args(["--test", "peers", "floods::"])
        // One after the other: what is measured should be one flood's effect.
        .args(["--", "--test-threads=1", "--nocapture"])
        .env("FLOODS_FULL", "1");
    child::check(&mut cargo, child::BUILD_LIMIT)
}

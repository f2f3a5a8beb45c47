//! What the fuzz targets do with their octets: one module a target, with a function `run` that panics at a finding.
//!
//! `cargo xtask fuzz` builds and runs them with the stable toolchain; `cargo fuzz run TARGET` works as well.
#![forbid(unsafe_code)]

mod application;
pub mod calls;
pub mod frames;
mod input;
pub mod management;
pub mod mime;
pub mod sasl_blob;
pub mod sasl_exchange;
pub mod session_frames;
pub mod session_octets;

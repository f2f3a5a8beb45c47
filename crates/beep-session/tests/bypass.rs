//! Peers that try to get in past SASL and TLS: out of turn, twice, on other channels, too late, and by force.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy looks for tests in functions alone"
)]

#[path = "bypass/advice.rs"]
mod advice;
#[path = "bypass/bounds.rs"]
mod bounds;
#[path = "common/certificates.rs"]
mod certificates;
mod common;
#[path = "bypass/exchanges.rs"]
mod exchanges;
#[path = "bypass/guard.rs"]
mod guard;
#[path = "bypass/handshakes.rs"]
mod handshakes;
#[path = "bypass/raw.rs"]
mod raw;
#[path = "bypass/walk.rs"]
mod walk;

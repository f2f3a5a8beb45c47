//! LuaVortex against peers that are not ours: octets written by hand, sent over TCP to scripts that the command runs.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod by_hand;
mod listening;
mod scripts;

mod answers;
mod client_side;
mod computing;
mod cutting;
mod disorder;
mod documents;
mod endings;
mod floods;
mod form;
mod limits;
mod polling;
mod signals;
mod waiting;
mod windows;

//! Links the chosen Lua into an executable, and does nothing else.
//!
//! Every crate here uses mlua in `module` mode, where Lua is whatever program loaded the
//! module. An executable (the `luavortex` command, a test) has no such program around it, so it
//! depends on this crate, whose build script compiles Lua and has it linked whole: C modules
//! that a script loads with `require` find Lua's symbols in the executable.

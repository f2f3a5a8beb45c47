//! Lets C modules that a script loads with `require` find Lua's symbols in the command.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Without this the linker keeps the executable's symbols out of its dynamic symbol table.
    println!("cargo:rustc-link-arg-bins=-rdynamic");
}

//! Tells the linker what the shared object needs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Lua unloads its modules when a state is closed, while threads that resolve names may still run our code.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
}

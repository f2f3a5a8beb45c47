//! Messages of the command itself. A stream that cannot be written to is no reason to fail.

use std::io::{self, Write};

/// Prints `luavortex: message` on standard error.
pub(crate) fn error(message: &[u8]) {
    let mut text = b"luavortex: ".to_vec();
    text.extend_from_slice(message);
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let _ = io::stderr().write_all(&text);
}

/// Prints on standard output.
pub(crate) fn text(text: &str) {
    let mut output = io::stdout();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

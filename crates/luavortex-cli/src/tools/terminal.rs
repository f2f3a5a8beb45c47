//! What users see: colours on a terminal, plain text elsewhere, and nothing of a peer's that a terminal obeys.

use std::fmt::{self, Display, Write as _};
use std::io::{self, IsTerminal, Write as _};

use anstyle::{AnsiColor, Style};

use super::failure::Failure;

pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Colours for channels; 0 has the first to itself.
const CHANNEL_COLOURS: [AnsiColor; 6] = [
    AnsiColor::BrightBlack,
    AnsiColor::Cyan,
    AnsiColor::Magenta,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Blue,
];

/// The colour of a channel.
pub(super) fn channel_style(number: u32) -> Style {
    let others = CHANNEL_COLOURS.len() - 1;
    // Each side numbers its channels in twos.
    let index = match number as usize {
        0 => 0,
        number => 1 + (number / 2) % others,
    };
    let colour = CHANNEL_COLOURS.get(index).copied();
    colour.unwrap_or(AnsiColor::White).on_default()
}

/// `text` in a style. Where colours are not wanted, printing takes the style off again.
pub(super) fn paint(style: Style, text: impl Display) -> Painted<impl Display> {
    Painted { style, text }
}

pub(super) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:#}", self.style, self.text, self.style)
    }
}

/// Prints a line on standard output.
pub(super) fn line(text: impl Display) -> Result<(), Failure> {
    self::text(&format!("{text}\n"))
}

/// Prints on standard output.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut output = anstream::stdout().lock();
    let written = output.write_all(text.as_bytes());
    written
        .and_then(|()| output.flush())
        .map_err(|error| Failure::output(&error))
}

/// Writes octets on standard output as they are.
pub(super) fn octets(octets: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = output.write_all(octets);
    written
        .and_then(|()| output.flush())
        .map_err(|error| Failure::output(&error))
}

/// Prints a remark on standard error, where it does not mix with what scripts read.
pub(super) fn remark(text: impl Display) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints `luavortex: message` on standard error.
pub(super) fn error(message: &str) {
    remark(format_args!("{} {message}", paint(BAD, "luavortex:")));
}

/// Whether somebody watches standard output.
pub(super) fn is_watched() -> bool {
    io::stdout().is_terminal()
}

/// Octets of a peer as one line of text: what is not UTF-8 or would move the cursor is escaped. At most `limit`
/// characters, then `…`.
pub(super) fn quoted(octets: &[u8], limit: usize) -> String {
    let mut out = String::new();
    // Four octets a character at most: no need to look at more.
    let head = octets
        .get(..limit.saturating_mul(4).saturating_add(4))
        .unwrap_or(octets);
    let mut count = 0;
    for chunk in head.utf8_chunks() {
        for character in chunk.valid().chars() {
            if count >= limit {
                out.push('…');
                return out;
            }
            push_visible(&mut out, character);
            count += 1;
        }
        for octet in chunk.invalid() {
            if count >= limit {
                out.push('…');
                return out;
            }
            let _ = write!(out, "\\x{octet:02x}");
            count += 1;
        }
    }
    out
}

/// A peer's text as one line, whole.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars()
        .for_each(|character| push_visible(&mut out, character));
    out
}

/// A peer's text on a terminal: lines stay lines, everything else that a terminal would obey is escaped.
pub(super) fn harmless(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    for character in String::from_utf8_lossy(octets).chars() {
        match character {
            '\n' | '\t' => out.push(character),
            '\r' => {}
            character => push_visible(&mut out, character),
        }
    }
    out
}

fn push_visible(out: &mut String, character: char) {
    // The marks of text direction are no control characters, but change what is seen.
    let is_direction = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || is_direction {
        out.extend(character.escape_default());
    } else {
        out.push(character);
    }
}

/// A number of octets as people say it.
pub(super) fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} octets");
    }
    let mut value = octets as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for next in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(quoted(b"a\x1b[2Jb\r\n\xff", 20), "a\\u{1b}[2Jb\\r\\n\\xff");
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(harmless(b"one\r\n\ttwo\x07"), "one\n\ttwo\\u{7}");
    }

    #[test]
    fn a_quotation_is_cut_where_it_gets_long() {
        assert_eq!(quoted("äöüß".as_bytes(), 3), "äöü…");
        assert_eq!(quoted("äöü".as_bytes(), 3), "äöü");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(1023), "1023 octets");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
        assert_eq!(size(5000 << 40), "5000.0 TiB");
    }
}

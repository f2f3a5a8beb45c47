//! The entity headers at the front of a message's content (RFC 3080 §2.2.2, RFC 2045).
//!
//! Peers differ: most begin with an empty line when they have no headers, some send the payload alone. Content
//! has a header part only when its lines up to the first empty one are all header fields; else all of it is
//! payload. A payload sent without an empty line in front can therefore be mistaken only when it looks like
//! headers itself.

use std::borrow::Cow;

use memchr::memchr;

/// The header part of a message without headers: an empty line, as the C engine sends it.
pub const NO_HEADERS: &[u8] = b"\r\n";

/// The header part of every message on channel 0 (RFC 3080 §2.3.1).
pub const MANAGEMENT_HEADERS: &[u8] = b"Content-Type: application/beep+xml\r\n\r\n";

/// The longest header part that is looked for, in octets; a bound on the work a binary payload can cause.
const LONGEST_HEADERS: usize = 64 * 1024;

/// Counts the octets of the header part, its empty line included; 0 when there is none.
///
/// Lines end in CRLF or LF. A header part over 64 KiB is not recognised as one.
///
/// ```
/// use beep_core::mime::headers_len;
/// assert_eq!(headers_len(b"\r\nhello"), 2);
/// assert_eq!(headers_len(b"Content-Type: text/plain\r\n\r\nhello"), 28);
/// assert_eq!(headers_len(b"hello\r\n\r\n"), 0);
/// ```
pub fn headers_len(content: &[u8]) -> usize {
    let searched = content.get(..LONGEST_HEADERS).unwrap_or(content);
    let mut rest = searched;
    let mut can_continue = false;
    loop {
        // The empty line is told before anything else, so content may begin with it.
        if let Some(after) = strip_line_end(rest) {
            return searched.len() - after.len();
        }
        let is_folded = can_continue && matches!(rest.first(), Some(b' ' | b'\t'));
        if !is_folded && field_name(rest).is_none() {
            return 0;
        }
        let Some((_, after)) = split_line(rest) else {
            return 0;
        };
        rest = after;
        can_continue = true;
    }
}

/// The value of a header, or `None` when the content has no such header.
///
/// Upper and lower case are the same in `name`. Of several headers of that name, the first counts. White space
/// around the value is taken off and the line ends of a folded value are taken out (RFC 822 §3.1.1).
pub fn header<'a>(content: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let mut rest = content.get(..headers_len(content))?;
    while let Some((line, after)) = split_line(rest) {
        rest = after;
        let Some(found) = field_name(line) else {
            continue;
        };
        if !found.eq_ignore_ascii_case(name.as_bytes()) {
            continue;
        }
        let value = line.get(found.len() + 1..)?;
        let mut value = Cow::Borrowed(value);
        while matches!(rest.first(), Some(b' ' | b'\t')) {
            let Some((folded, after)) = split_line(rest) else {
                break;
            };
            value.to_mut().extend_from_slice(folded);
            rest = after;
        }
        return Some(match value {
            Cow::Borrowed(value) => Cow::Borrowed(value.trim_ascii()),
            Cow::Owned(value) => Cow::Owned(value.trim_ascii().to_vec()),
        });
    }
    None
}

/// The media type of the content as `type/subtype` in lower case, or `None` when no header names one.
///
/// Parameters and comments behind it are left out.
///
/// ```
/// use beep_core::mime::media_type;
/// let content = b"content-type: Application/BEEP+xml; charset=utf-8\r\n\r\n<ok />";
/// assert_eq!(media_type(content).as_deref(), Some("application/beep+xml"));
/// ```
pub fn media_type(content: &[u8]) -> Option<String> {
    let value = header(content, "Content-Type")?;
    let end = value
        .iter()
        .position(|octet| matches!(octet, b';' | b'('))
        .unwrap_or(value.len());
    let kind = value.get(..end).unwrap_or_default().trim_ascii();
    Some(String::from_utf8_lossy(kind).to_ascii_lowercase())
}

/// The name of the header field that the octets begin with: RFC 822 name characters up to a colon.
fn field_name(octets: &[u8]) -> Option<&[u8]> {
    let end = octets
        .iter()
        .position(|octet| !matches!(octet, b'!'..=b'9' | b';'..=b'~'))?;
    if end == 0 || octets.get(end) != Some(&b':') {
        return None;
    }
    octets.get(..end)
}

/// Cuts off the first line; the line comes back without its CRLF or LF.
fn split_line(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', octets)?;
    let (line, after) = (octets.get(..end)?, octets.get(end + 1..)?);
    Some((line.strip_suffix(b"\r").unwrap_or(line), after))
}

fn strip_line_end(octets: &[u8]) -> Option<&[u8]> {
    octets
        .strip_prefix(b"\r\n")
        .or_else(|| octets.strip_prefix(b"\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_end_at_the_first_empty_line_of_either_kind() {
        assert_eq!(headers_len(NO_HEADERS), 2);
        assert_eq!(headers_len(MANAGEMENT_HEADERS), 38);
        assert_eq!(headers_len(b"\nhello\n\n"), 1);
        assert_eq!(headers_len(b"A: b\n\npayload"), 6);
        assert_eq!(headers_len(b"A: b\r\nC: d\r\n\r\n\r\n"), 14);
        assert_eq!(headers_len(b"A: b\r\n c\r\n\r\n"), 12);
    }

    #[test]
    fn content_that_is_no_header_is_all_payload() {
        for content in [
            &b""[..],
            b"hello",
            b"hello\r\n\r\nworld",
            b"A: b",
            b"A: b\r\n",
            b"A: b\r\nnot a field\r\n\r\n",
            b" folded: nothing\r\n\r\n",
            b": no name\r\n\r\n",
            b"na me: x\r\n\r\n",
            b"\r",
            b"<start number='1' a:b='x'>\r\n\r\n",
        ] {
            assert_eq!(headers_len(content), 0, "{content:?}");
        }
    }

    #[test]
    fn a_header_part_over_the_bound_is_payload() {
        let mut content = b"A: ".to_vec();
        content.resize(LONGEST_HEADERS, b'x');
        content.extend_from_slice(b"\r\n\r\n");
        assert_eq!(headers_len(&content), 0);
    }

    #[test]
    fn a_header_is_found_in_any_case_folded_and_among_others() {
        let content = b"X-One: 1\r\ncOnTent-TYPE:\r\n\tapplication/beep+xml;\r\n charset=utf-8\r\nX-One: 2\r\n\r\nX-Two: 3";
        assert_eq!(
            header(content, "content-type").as_deref(),
            Some(&b"application/beep+xml; charset=utf-8"[..])
        );
        assert_eq!(media_type(content).as_deref(), Some("application/beep+xml"));
        assert_eq!(header(content, "x-one"), Some(Cow::Borrowed(&b"1"[..])));
        assert_eq!(header(content, "X-Two"), None);
        assert_eq!(media_type(b"\r\n"), None);
    }

    proptest! {
        #[test]
        fn the_header_part_is_within_the_content(content in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..64)) {
            prop_assert!(headers_len(&content) <= content.len());
            header(&content, "a");
            media_type(&content);
        }
    }
}

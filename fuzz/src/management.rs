//! The documents of channel 0, and of the TLS profile: what was read can be written, and reads the same again.

use beep_core::management::{
    Request, parse_error, parse_greeting, parse_ok, parse_profile, parse_request,
};
use beep_core::{DocumentLimits, Encoding, ProfileContent, parse_ready, parse_ready_answer};

const LIMITS: DocumentLimits = DocumentLimits {
    octets: 16 * 1024,
    depth: 16,
    nodes: 512,
};

/// The octets are the content of a message, with entity headers or without.
pub fn run(octets: &[u8]) {
    if let Ok(request) = parse_request(octets, LIMITS) {
        let xml = match &request {
            Request::Start(start) => start.to_xml(),
            Request::Close(close) => close.to_xml(),
        };
        assert_eq!(
            parse_request(&content(&xml), GENEROUS),
            Ok(request),
            "{xml}"
        );
    }
    if let Ok(greeting) = parse_greeting(octets, LIMITS) {
        let xml = greeting.to_xml();
        assert_eq!(
            parse_greeting(&content(&xml), GENEROUS),
            Ok(greeting),
            "{xml}"
        );
    }
    if let Ok(profile) = parse_profile(octets, LIMITS) {
        let xml = profile.to_xml();
        assert_eq!(
            parse_profile(&content(&xml), GENEROUS),
            Ok(profile),
            "{xml}"
        );
    }
    if let Ok(error) = parse_error(octets, LIMITS) {
        let xml = error.to_xml();
        assert_eq!(parse_error(&content(&xml), GENEROUS), Ok(error), "{xml}");
    }
    let _ = parse_ok(octets, LIMITS);
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    for encoding in [Encoding::None, Encoding::Base64] {
        let content = ProfileContent {
            text: text.to_owned(),
            encoding,
        };
        let _ = parse_ready(Some(&content), LIMITS);
        let _ = parse_ready_answer(Some(&content), LIMITS);
    }
}

/// What was read may need more room when it is written, for its escapes.
const GENEROUS: DocumentLimits = DocumentLimits {
    octets: 16 * LIMITS.octets,
    ..LIMITS
};

fn content(xml: &str) -> Vec<u8> {
    [b"\r\n", xml.as_bytes()].concat()
}

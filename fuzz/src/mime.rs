//! Entity headers in front of a payload.

use beep_core::mime;

/// The octets are a content.
pub fn run(octets: &[u8]) {
    let length = mime::headers_len(octets);
    assert!(length <= octets.len());
    let (headers, _) = octets.split_at(length);
    assert_eq!(
        mime::headers_len(headers),
        length,
        "the payload makes a difference"
    );
    for name in ["Content-Type", "content-transfer-encoding", "", "X", ":"] {
        let value = mime::header(octets, name);
        assert_eq!(
            value,
            mime::header(headers, name),
            "a header came out of the payload"
        );
        if let Some(value) = value {
            assert!(value.len() <= length);
        }
    }
    let Some(media_type) = mime::media_type(octets) else {
        return;
    };
    assert_eq!(media_type, media_type.to_ascii_lowercase());
}

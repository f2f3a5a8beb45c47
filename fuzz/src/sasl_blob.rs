//! The documents of the SASL profiles.

use beep_core::sasl_blob::{Blob, LONGEST_TOKEN, Reply};
use beep_core::{DocumentLimits, Encoding, ProfileContent};

/// The octets are a document; and in a start, in either encoding.
pub fn run(octets: &[u8]) {
    let limits = DocumentLimits::default();
    if let Ok(blob) = Blob::parse(octets, limits) {
        assert!(blob.token.len() <= LONGEST_TOKEN);
        assert_eq!(
            Blob::parse(blob.to_xml().as_bytes(), limits).as_ref(),
            Ok(&blob)
        );
        assert_eq!(Reply::parse(octets, limits), Ok(Reply::Blob(blob)));
    }
    let _ = Reply::parse(octets, limits);
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    for encoding in [Encoding::None, Encoding::Base64] {
        let content = ProfileContent {
            text: text.to_owned(),
            encoding,
        };
        let _ = Blob::parse_content(&content, limits);
        let _ = Reply::parse_content(&content, limits);
    }
}

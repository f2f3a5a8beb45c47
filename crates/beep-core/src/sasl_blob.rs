//! The documents of the SASL profiles: `<blob>`, which carries a token of a mechanism in base64, and the
//! `<error>` in its place (RFC 3080 §4.1, §7.3).
//!
//! They ride in a start or the answer to it, or are messages on the channel. Written as the C engine does,
//! octet for octet; read in every form XML allows, as the documents of channel 0 are.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roxmltree::Node;

use crate::management::{
    DocumentError, DocumentLimits, ErrorReply, ProfileContent, error_reply, invalid, read_document,
    unexpected,
};
use crate::reply_code::ReplyCode;

/// Octets of the longest token that is taken. DIGEST-MD5, which has the longest ones, allows 4096
/// (RFC 2831 §2.1.2).
pub const LONGEST_TOKEN: usize = 8192;

/// Where an exchange stands for the sender of a blob (RFC 3080 §4.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// It goes on.
    #[default]
    Continue,
    /// The server says that it succeeded.
    Complete,
    /// The client gives it up.
    Abort,
}

/// A token of a SASL mechanism with what the sender says of the exchange (RFC 3080 §4.1.3).
///
/// ```
/// use beep_core::DocumentLimits;
/// use beep_core::sasl_blob::{Blob, Reply, Status};
/// let blob = Blob::token(*b"\0bob\0secret");
/// assert_eq!(blob.to_xml(), "<blob>AGJvYgBzZWNyZXQ=</blob>");
/// let reply = Reply::parse(b"<blob status=\"complete\"/>", DocumentLimits::default())?;
/// assert_eq!(reply, Reply::Blob(Blob { status: Status::Complete, token: Vec::new() }));
/// # Ok::<(), beep_core::sasl_blob::BlobError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob {
    /// Where the exchange stands.
    pub status: Status,
    /// The octets; an empty element and one without text are the same.
    pub token: Vec<u8>,
}

/// The answer to a blob: another one, or a refusal.
///
/// A refusal stands in an ERR, or as deployed in a RPY or in the answer to a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The exchange goes on or is complete.
    Blob(Blob),
    /// The peer refuses.
    Refused(ErrorReply),
}

/// What is wrong with a document of a SASL profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The document is no `<blob>` as RFC 3080 §7.3 has it.
    #[error("SASL document: {0}")]
    Document(#[from] DocumentError),
    /// The text is no base64.
    #[error("SASL token is not base64")]
    NotBase64,
    /// The token is longer than [`LONGEST_TOKEN`].
    #[error("SASL token longer than {limit} octets")]
    TooLong {
        /// Octets that are taken.
        limit: usize,
    },
}

impl BlobError {
    /// The code to refuse such a document with: 454 for unreadable base64, as the C engine does, else 500.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Self::NotBase64 => ReplyCode::TEMPORARY_AUTH_FAILURE,
            Self::Document(_) | Self::TooLong { .. } => ReplyCode::GENERAL_SYNTAX_ERROR,
        }
    }
}

impl Blob {
    /// A blob of an exchange that goes on.
    pub fn token(token: impl Into<Vec<u8>>) -> Self {
        Self {
            status: Status::Continue,
            token: token.into(),
        }
    }

    /// The server's last blob, with what the mechanism has to say at its success.
    pub fn complete(token: impl Into<Vec<u8>>) -> Self {
        Self {
            status: Status::Complete,
            token: token.into(),
        }
    }

    /// The blob as a document. A status of continue is not written, which means the same.
    pub fn to_xml(&self) -> String {
        let status = match self.status {
            Status::Continue => "",
            Status::Complete => " status='complete'",
            Status::Abort => " status='abort'",
        };
        if self.token.is_empty() {
            return format!("<blob{status} />");
        }
        format!("<blob{status}>{}</blob>", STANDARD.encode(&self.token))
    }

    /// Reads a message on the channel. `document` is its payload: without entity headers.
    ///
    /// # Errors
    ///
    /// What is wrong with the document.
    pub fn parse(document: &[u8], limits: DocumentLimits) -> Result<Self, BlobError> {
        let encoded = read_document(document.trim_ascii(), limits, |_, root| {
            if root.tag_name().name() != "blob" {
                return Err(unexpected(root, "<blob>"));
            }
            encoded_blob(root)
        })?;
        encoded.decoded()
    }

    /// Reads what rides in a start.
    ///
    /// # Errors
    ///
    /// What is wrong with the document.
    pub fn parse_content(
        content: &ProfileContent,
        limits: DocumentLimits,
    ) -> Result<Self, BlobError> {
        let document = content.octets().map_err(|_| BlobError::NotBase64)?;
        Self::parse(&document, limits)
    }
}

/// Leaves out the token, which may hold a password.
impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob")
            .field("status", &self.status)
            .field("token_octets", &self.token.len())
            .finish()
    }
}

impl Reply {
    /// Reads the reply to a message on the channel, RPY or ERR. `document` is its payload: without entity
    /// headers.
    ///
    /// # Errors
    ///
    /// What is wrong with the document.
    pub fn parse(document: &[u8], limits: DocumentLimits) -> Result<Self, BlobError> {
        enum Found {
            Blob(EncodedBlob),
            Refused(ErrorReply),
        }
        let found = read_document(document.trim_ascii(), limits, |source, root| {
            match root.tag_name().name() {
                "blob" => encoded_blob(root).map(Found::Blob),
                "error" => error_reply(source, root).map(Found::Refused),
                _ => Err(unexpected(root, "<blob> or <error>")),
            }
        })?;
        match found {
            Found::Blob(encoded) => encoded.decoded().map(Reply::Blob),
            Found::Refused(error) => Ok(Reply::Refused(error)),
        }
    }

    /// Reads what rides in the answer to a start.
    ///
    /// # Errors
    ///
    /// What is wrong with the document.
    pub fn parse_content(
        content: &ProfileContent,
        limits: DocumentLimits,
    ) -> Result<Self, BlobError> {
        let document = content.octets().map_err(|_| BlobError::NotBase64)?;
        Self::parse(&document, limits)
    }
}

struct EncodedBlob {
    status: Status,
    /// Base64 without the white space that peers put into long lines and at the end.
    text: Vec<u8>,
}

impl EncodedBlob {
    fn decoded(self) -> Result<Blob, BlobError> {
        if self.text.len() > LONGEST_TOKEN.div_ceil(3) * 4 {
            return Err(BlobError::TooLong {
                limit: LONGEST_TOKEN,
            });
        }
        let token = STANDARD
            .decode(self.text)
            .map_err(|_| BlobError::NotBase64)?;
        if token.len() > LONGEST_TOKEN {
            return Err(BlobError::TooLong {
                limit: LONGEST_TOKEN,
            });
        }
        Ok(Blob {
            status: self.status,
            token,
        })
    }
}

fn encoded_blob(root: Node<'_, '_>) -> Result<EncodedBlob, DocumentError> {
    let status = match root.attribute("status") {
        None | Some("continue") => Status::Continue,
        Some("complete") => Status::Complete,
        Some("abort") => Status::Abort,
        Some(other) => {
            return Err(invalid(
                "blob",
                "status",
                other,
                "continue, complete or abort",
            ));
        }
    };
    if let Some(child) = root.children().find(Node::is_element) {
        return Err(unexpected(child, "base64"));
    }
    let text = root
        .children()
        .filter(Node::is_text)
        .filter_map(|child| child.text())
        .flat_map(str::bytes)
        .filter(|octet| !octet.is_ascii_whitespace())
        .collect();
    Ok(EncodedBlob { status, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::management::Encoding;

    fn limits() -> DocumentLimits {
        DocumentLimits::default()
    }

    fn parse(document: &str) -> Result<Blob, BlobError> {
        Blob::parse(document.as_bytes(), limits())
    }

    #[test]
    fn blobs_are_written_as_the_c_engine_does() {
        assert_eq!(Blob::token(*b"bob").to_xml(), "<blob>Ym9i</blob>");
        assert_eq!(Blob::token([]).to_xml(), "<blob />");
        assert_eq!(Blob::complete([]).to_xml(), "<blob status='complete' />");
        assert_eq!(
            Blob::complete(*b"rspauth=1").to_xml(),
            "<blob status='complete'>cnNwYXV0aD0x</blob>"
        );
        let abort = Blob {
            status: Status::Abort,
            token: Vec::new(),
        };
        assert_eq!(abort.to_xml(), "<blob status='abort' />");
    }

    #[test]
    fn every_form_of_a_blob_is_read() {
        for document in [
            "<blob>Ym9i</blob>",
            "\r\n<blob>Ym9i</blob>\r\n",
            "<?xml version='1.0' encoding='UTF-8'?>\n<blob status=\"continue\">Ym9i</blob>",
            "<blob\n  status = 'continue' >\r\n  Ym\r\n  9i\r\n</blob >",
            "<blob><![CDATA[Ym9i]]></blob>",
            "<blob>Ym<!-- half of it -->9i</blob>",
            "<blob>&#89;m9i</blob>",
            "<blob xml:space='preserve'>Ym9i\r\n </blob>",
        ] {
            assert_eq!(parse(document), Ok(Blob::token(*b"bob")), "{document}");
        }
        for document in [
            "<blob status='complete' />",
            "<blob status=\"complete\"/>",
            "<blob status='complete'></blob>",
            "<blob status='complete'> \r\n </blob>",
        ] {
            assert_eq!(parse(document), Ok(Blob::complete([])), "{document}");
        }
        let abort = parse("<blob status='abort'/>").unwrap();
        assert_eq!(abort.status, Status::Abort);
    }

    #[test]
    fn what_is_no_blob_is_told_from_unreadable_base64() {
        for document in [
            "",
            "Ym9i",
            "<blob",
            "<bloc>Ym9i</bloc>",
            "<blob status='done'/>",
            "<blob><b>Ym9i</b></blob>",
            "<!DOCTYPE blob><blob/>",
            "<error code='535'/>",
        ] {
            let error = parse(document).unwrap_err();
            assert_eq!(
                error.reply_code(),
                ReplyCode::GENERAL_SYNTAX_ERROR,
                "{document}"
            );
        }
        for document in ["<blob>Ym9</blob>", "<blob>Ym9*</blob>", "<blob>=</blob>"] {
            let error = parse(document).unwrap_err();
            assert_eq!(error, BlobError::NotBase64, "{document}");
            assert_eq!(error.reply_code(), ReplyCode::TEMPORARY_AUTH_FAILURE);
        }
    }

    #[test]
    fn a_token_over_the_limit_is_refused() {
        let blob = Blob::token(vec![7; LONGEST_TOKEN]);
        assert_eq!(parse(&blob.to_xml()), Ok(blob));
        for octets in [LONGEST_TOKEN + 1, LONGEST_TOKEN + 2, LONGEST_TOKEN * 2] {
            let blob = Blob::token(vec![7; octets]);
            let error = parse(&blob.to_xml()).unwrap_err();
            assert!(matches!(error, BlobError::TooLong { .. }), "{octets}");
            assert_eq!(error.reply_code(), ReplyCode::GENERAL_SYNTAX_ERROR);
        }
    }

    #[test]
    fn an_error_in_place_of_a_blob_is_a_refusal() {
        let document = b"<error code='535' >No such user</error>\r\n";
        let refused = ErrorReply::new(ReplyCode::AUTH_FAILURE, "No such user");
        assert_eq!(
            Reply::parse(document, limits()),
            Ok(Reply::Refused(refused))
        );
        assert_eq!(
            Reply::parse(b"<blob>Ym9i</blob>", limits()),
            Ok(Reply::Blob(Blob::token(*b"bob")))
        );
        assert!(Reply::parse(b"<error />", limits()).is_err());
        assert!(Reply::parse(b"<ok />", limits()).is_err());
    }

    #[test]
    fn the_content_of_a_profile_may_be_base64_as_a_whole() {
        let mut content = ProfileContent::new("<blob>Ym9i</blob>");
        assert_eq!(
            Blob::parse_content(&content, limits()),
            Ok(Blob::token(*b"bob"))
        );
        content = ProfileContent {
            text: "PGJsb2I+WW05\r\naTwvYmxvYj4=".to_owned(),
            encoding: Encoding::Base64,
        };
        assert_eq!(
            Reply::parse_content(&content, limits()),
            Ok(Reply::Blob(Blob::token(*b"bob")))
        );
        content.text.push('!');
        assert_eq!(
            Blob::parse_content(&content, limits()),
            Err(BlobError::NotBase64)
        );
    }

    #[test]
    fn a_token_is_not_shown_to_who_debugs() {
        let shown = format!("{:?}", Blob::token(*b"\0bob\0secret"));
        assert_eq!(shown, "Blob { status: Continue, token_octets: 11 }");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(token: Vec<u8>, complete: bool) {
            let blob = if complete { Blob::complete(token) } else { Blob::token(token) };
            prop_assert_eq!(parse(&blob.to_xml()), Ok(blob));
        }

        #[test]
        fn any_octets_are_read_without_harm(octets: Vec<u8>) {
            let _ = Reply::parse(&octets, limits());
        }
    }
}

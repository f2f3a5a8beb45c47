//! The documents of the TLS profile: ready, and proceed or an error in answer to it (RFC 3080 §3.1, §7.2).
//!
//! They ride in the start of the channel and in the answer to it. What is written is what the C engine compares
//! octet by octet; what is read may have any form that XML allows.

use std::borrow::Cow;

use crate::management::{
    DocumentError, DocumentLimits, ErrorReply, ProfileContent, error_reply, expect, invalid,
    read_document, unexpected,
};

/// The URI of the profile (RFC 3080 §3.1.1).
pub const TLS_URI: &str = "http://iana.org/beep/TLS";

/// The request to begin with TLS (RFC 3080 §3.1.3.1).
pub const READY_XML: &str = "<ready />";

/// The agreement to begin with TLS (RFC 3080 §3.1.3.2).
pub const PROCEED_XML: &str = "<proceed />";

/// What a peer answers to a ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadyAnswer {
    /// The next octets in both directions are those of the handshake.
    Proceed,
    /// The channel is open, but there will be no TLS; the session goes on as it was.
    Refused(ErrorReply),
}

/// Reads what rides in a start of the TLS profile.
///
/// ```
/// use beep_core::{DocumentLimits, ProfileContent, ReplyCode, parse_ready};
/// let parse = |text| parse_ready(Some(&ProfileContent::new(text)), DocumentLimits::default());
/// assert!(parse("<ready />").is_ok() && parse("<ready version=\"1\"></ready>").is_ok());
/// let error = parse("<ready version='2' />").unwrap_err();
/// assert_eq!(error.reply_code(), ReplyCode::PARAMETER_SYNTAX_ERROR);
/// ```
///
/// # Errors
///
/// What is wrong with the document: it is no `<ready>`, or asks for another version than 1, the only one there is.
pub fn parse_ready(
    content: Option<&ProfileContent>,
    limits: DocumentLimits,
) -> Result<(), DocumentError> {
    let document = document(content, "<ready>")?;
    read_document(document.trim_ascii(), limits, |_, root| {
        expect(root, "ready", "<ready>")?;
        match root.attribute("version") {
            // The document type's default is 1.
            None => Ok(()),
            Some(version) if version.trim_ascii() == "1" => Ok(()),
            Some(version) => Err(invalid("ready", "version", version, "1")),
        }
    })
}

/// Reads what rides in the positive answer to a start of the TLS profile.
///
/// # Errors
///
/// What is wrong with the document: it is neither `<proceed>` nor `<error>`.
pub fn parse_ready_answer(
    content: Option<&ProfileContent>,
    limits: DocumentLimits,
) -> Result<ReadyAnswer, DocumentError> {
    const EXPECTED: &str = "<proceed> or <error>";
    let document = document(content, EXPECTED)?;
    read_document(document.trim_ascii(), limits, |source, root| {
        match root.tag_name().name() {
            "proceed" => Ok(ReadyAnswer::Proceed),
            "error" => error_reply(source, root).map(ReadyAnswer::Refused),
            _ => Err(unexpected(root, EXPECTED)),
        }
    })
}

fn document<'a>(
    content: Option<&'a ProfileContent>,
    expected: &'static str,
) -> Result<Cow<'a, [u8]>, DocumentError> {
    match content {
        Some(content) if !content.text.trim_ascii().is_empty() => content.octets(),
        _ => Err(DocumentError::Missing { expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoding, ReplyCode};

    fn ready(text: &str) -> Result<(), u16> {
        parse_ready(Some(&ProfileContent::new(text)), DocumentLimits::default())
            .map_err(|error| error.reply_code().value())
    }

    fn answer(text: &str) -> Result<ReadyAnswer, u16> {
        parse_ready_answer(Some(&ProfileContent::new(text)), DocumentLimits::default())
            .map_err(|error| error.reply_code().value())
    }

    #[test]
    fn every_form_of_ready_is_taken() {
        for text in [
            READY_XML,
            "<ready/>",
            "<ready></ready>",
            "<ready  version = '1'/>",
            "<ready version=\"1\" />",
            "\r\n  <ready />\r\n",
            "\r\n<?xml version=\"1.0\" encoding='UTF-8'?>\n<ready><!-- at last --></ready>",
            "\u{feff}<ready/>",
        ] {
            assert_eq!(ready(text), Ok(()), "{text:?}");
        }
        let coded = ProfileContent {
            text: "PHJlYWR5\r\nIC8+".to_owned(),
            encoding: Encoding::Base64,
        };
        assert_eq!(parse_ready(Some(&coded), DocumentLimits::default()), Ok(()));
    }

    #[test]
    fn what_is_no_ready_is_refused_with_the_code_of_its_kind() {
        assert_eq!(ready("<steady />"), Err(501));
        assert_eq!(ready("<ready version='oops' />"), Err(501));
        assert_eq!(ready("<proceed />"), Err(501));
        assert_eq!(ready(""), Err(501));
        assert_eq!(ready(" \r\n"), Err(501));
        assert!(parse_ready(None, DocumentLimits::default()).is_err());
        assert_eq!(ready("<ready"), Err(500));
        assert_eq!(ready("<!DOCTYPE ready><ready />"), Err(500));
        let coded = ProfileContent {
            text: "<ready />".to_owned(),
            encoding: Encoding::Base64,
        };
        let error = parse_ready(Some(&coded), DocumentLimits::default()).unwrap_err();
        assert_eq!(error.reply_code(), ReplyCode::GENERAL_SYNTAX_ERROR);
    }

    #[test]
    fn an_answer_is_proceed_or_an_error() {
        for text in [PROCEED_XML, "<proceed/>", "<proceed></proceed>"] {
            assert_eq!(answer(text), Ok(ReadyAnswer::Proceed), "{text:?}");
        }
        let refused = ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "not today");
        assert_eq!(
            answer(&refused.to_xml()),
            Ok(ReadyAnswer::Refused(refused.clone()))
        );
        assert_eq!(
            answer("<error code=\"421\">not today</error>"),
            Ok(ReadyAnswer::Refused(refused))
        );
        assert_eq!(answer("<error />"), Err(501));
        assert_eq!(answer("<ready />"), Err(501));
        assert_eq!(answer("proceed"), Err(500));
    }
}

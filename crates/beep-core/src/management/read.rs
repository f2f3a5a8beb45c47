//! Reading documents: any form XML allows, within limits, and no document type.

use roxmltree::{Document, Node, NodeType, ParsingOptions};

use super::content::{extent, text_of};
use super::{
    Close, DocumentLimits, Encoding, ErrorReply, Greeting, OK_XML, ProfileContent, ProfileOffer,
    Request, Start,
};
use crate::mime;
use crate::numbers::ChannelNumber;
use crate::reply_code::ReplyCode;

/// Attributes of one element; the XML reader compares each with each, so their number needs a bound of its own.
const MOST_ATTRIBUTES: u32 = 256;

/// Characters of a peer's value that an error repeats.
const LONGEST_QUOTATION: usize = 60;

/// The namespace that the prefix `xml` always stands for.
const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// What is wrong with a document of channel 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The content is longer than the limit.
    #[error("document of {octets} octets, {limit} at most are taken")]
    TooLong {
        /// Octets that came, entity headers included.
        octets: usize,
        /// Octets that are taken.
        limit: usize,
    },
    /// The greeting has another content type than `application/beep+xml`.
    #[error("content type {found}, application/beep+xml expected")]
    ContentType {
        /// The type that came, without parameters.
        found: String,
    },
    /// Nothing rides where a document was expected.
    #[error("nothing where {expected} was expected")]
    Missing {
        /// What was expected, as text for people.
        expected: &'static str,
    },
    /// Content that is marked as base64 is something else.
    #[error("content is not base64")]
    NotBase64,
    /// The document is not UTF-8.
    #[error("document is not UTF-8")]
    NotUtf8,
    /// The document has a document type declaration, which RFC 3080 §6.4 forbids.
    #[error("document type declaration, which RFC 3080 forbids")]
    DocumentType,
    /// Elements are nested deeper than the limit.
    #[error("elements nested {depth} deep, {limit} at most are taken")]
    TooDeep {
        /// Levels that came.
        depth: u32,
        /// Levels that are taken.
        limit: u32,
    },
    /// The document has more elements, texts and so on than the limit.
    #[error("document of more than {limit} parts")]
    TooManyNodes {
        /// Nodes that are taken.
        limit: u32,
    },
    /// One element has more attributes than are taken.
    #[error("element with more than {limit} attributes")]
    TooManyAttributes {
        /// Attributes that are taken.
        limit: u32,
    },
    /// The document is not well-formed XML.
    #[error("document is not well-formed XML: {reason}")]
    NotWellFormed {
        /// What the XML reader says.
        reason: String,
    },
    /// The root is another element than the ones expected.
    #[error("<{found}> where {expected} was expected")]
    UnexpectedElement {
        /// What was expected, as text for people.
        expected: &'static str,
        /// The name of the root.
        found: String,
    },
    /// An attribute that must be there is missing.
    #[error("<{element}> without a {attribute} attribute")]
    MissingAttribute {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: &'static str,
    },
    /// An attribute has a value outside its range.
    #[error("<{element}> with {attribute}='{value}', {expected} expected")]
    InvalidAttribute {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: &'static str,
        /// The value that came, its end left out when it is long.
        value: String,
        /// What was expected, as text for people.
        expected: &'static str,
    },
    /// A start names no profile.
    #[error("<start> without a <profile>")]
    MissingProfile,
}

impl DocumentError {
    /// The code to refuse such a document with: 500 when it cannot be read as XML, 501 when it says something
    /// wrong (RFC 3080 §8).
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            Self::TooLong { .. }
            | Self::NotBase64
            | Self::NotUtf8
            | Self::DocumentType
            | Self::TooDeep { .. }
            | Self::TooManyNodes { .. }
            | Self::TooManyAttributes { .. }
            | Self::NotWellFormed { .. } => ReplyCode::GENERAL_SYNTAX_ERROR,
            Self::Missing { .. }
            | Self::ContentType { .. }
            | Self::UnexpectedElement { .. }
            | Self::MissingAttribute { .. }
            | Self::InvalidAttribute { .. }
            | Self::MissingProfile => ReplyCode::PARAMETER_SYNTAX_ERROR,
        }
    }
}

/// Reads a MSG of channel 0. `content` is all of it, entity headers included; their type is not insisted on.
///
/// # Errors
///
/// The refusal to answer with: 500 when the document cannot be read as XML, 501 when it is no request or a
/// parameter of it is missing or wrong. The session goes on either way (RFC 3080 §2.3.1.5).
pub fn parse_request(content: &[u8], limits: DocumentLimits) -> Result<Request, ErrorReply> {
    read(content, limits, |source, root| {
        match root.tag_name().name() {
            "start" => start(source, root).map(Request::Start),
            "close" => close(source, root).map(Request::Close),
            _ => Err(unexpected(root, "<start> or <close>")),
        }
    })
    .map_err(|error| ErrorReply::new(error.reply_code(), error.to_string()))
}

/// Reads the first RPY of a session. A content type, if there is one, must be `application/beep+xml`.
///
/// # Errors
///
/// What is wrong with the document.
pub fn parse_greeting(content: &[u8], limits: DocumentLimits) -> Result<Greeting, DocumentError> {
    match mime::media_type(content) {
        Some(found) if found != "application/beep+xml" => {
            return Err(DocumentError::ContentType {
                found: shortened(&found),
            });
        }
        _ => {}
    }
    read(content, limits, |_, root| {
        expect(root, "greeting", "<greeting>")?;
        let profiles = profiles_of(root)
            .map(|profile| uri(profile).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        Ok(Greeting {
            profiles,
            features: root.attribute("features").map(str::to_owned),
            localize: root.attribute("localize").map(str::to_owned),
        })
    })
}

/// Reads the positive answer to a start.
///
/// # Errors
///
/// What is wrong with the document.
pub fn parse_profile(
    content: &[u8],
    limits: DocumentLimits,
) -> Result<ProfileOffer, DocumentError> {
    read(content, limits, |source, root| {
        expect(root, "profile", "<profile>")?;
        profile(source, root)
    })
}

/// Reads the positive answer to a close.
///
/// # Errors
///
/// What is wrong with the document.
pub fn parse_ok(content: &[u8], limits: DocumentLimits) -> Result<(), DocumentError> {
    // What nearly every peer sends needs no XML reader.
    if content.get(mime::headers_len(content)..) == Some(OK_XML.as_bytes()) {
        return check_length(content, limits);
    }
    read(content, limits, |_, root| expect(root, "ok", "<ok>"))
}

/// Reads a negative answer, or the ERR in place of a greeting.
///
/// # Errors
///
/// What is wrong with the document; one without a code is.
pub fn parse_error(content: &[u8], limits: DocumentLimits) -> Result<ErrorReply, DocumentError> {
    read(content, limits, |source, root| {
        expect(root, "error", "<error>")?;
        error_reply(source, root)
    })
}

/// What an `<error>` says.
pub(crate) fn error_reply(source: &str, root: Node<'_, '_>) -> Result<ErrorReply, DocumentError> {
    Ok(ErrorReply {
        code: reply_code(root, "error")?,
        language: language(root),
        text: remark(source, root).unwrap_or_default(),
    })
}

/// Reads the content of a message, entity headers included.
fn read<T>(
    content: &[u8],
    limits: DocumentLimits,
    take: impl FnOnce(&str, Node<'_, '_>) -> Result<T, DocumentError>,
) -> Result<T, DocumentError> {
    check_length(content, limits)?;
    let document = content.get(mime::headers_len(content)..);
    read_document(document.unwrap_or_default(), limits, take)
}

/// Reads a document without entity headers.
pub(crate) fn read_document<T>(
    document: &[u8],
    limits: DocumentLimits,
    take: impl FnOnce(&str, Node<'_, '_>) -> Result<T, DocumentError>,
) -> Result<T, DocumentError> {
    check_length(document, limits)?;
    let source = std::str::from_utf8(document).map_err(|_| DocumentError::NotUtf8)?;
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let extent = extent(source);
    if extent.depth > limits.depth {
        return Err(DocumentError::TooDeep {
            depth: extent.depth,
            limit: limits.depth,
        });
    }
    if extent.attributes > MOST_ATTRIBUTES {
        return Err(DocumentError::TooManyAttributes {
            limit: MOST_ATTRIBUTES,
        });
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: limits.nodes,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(source, options).map_err(|error| match error {
        roxmltree::Error::DtdDetected => DocumentError::DocumentType,
        roxmltree::Error::NodesLimitReached => DocumentError::TooManyNodes {
            limit: limits.nodes,
        },
        error => DocumentError::NotWellFormed {
            reason: error.to_string(),
        },
    })?;
    take(source, document.root_element())
}

fn check_length(content: &[u8], limits: DocumentLimits) -> Result<(), DocumentError> {
    if content.len() > limits.octets {
        return Err(DocumentError::TooLong {
            octets: content.len(),
            limit: limits.octets,
        });
    }
    Ok(())
}

fn start(source: &str, root: Node<'_, '_>) -> Result<Start, DocumentError> {
    let number = channel_number(root, "start", 1, "a number from 1 to 2147483647")?.ok_or(
        DocumentError::MissingAttribute {
            element: "start",
            attribute: "number",
        },
    )?;
    let profiles: Vec<_> = profiles_of(root)
        .map(|child| profile(source, child))
        .collect::<Result<_, _>>()?;
    if profiles.is_empty() {
        return Err(DocumentError::MissingProfile);
    }
    Ok(Start {
        number,
        server_name: root.attribute("serverName").map(str::to_owned),
        profiles,
    })
}

fn close(source: &str, root: Node<'_, '_>) -> Result<Close, DocumentError> {
    let number = channel_number(root, "close", 0, "a number from 0 to 2147483647")?;
    Ok(Close {
        // The document type's default (RFC 3080 §7.1): without a number the session is meant.
        number: number.unwrap_or(ChannelNumber::MANAGEMENT),
        code: reply_code(root, "close")?,
        language: language(root),
        text: remark(source, root),
    })
}

/// The `<profile>` children; other elements are nobody's business and left out.
fn profiles_of<'a, 'input>(
    root: Node<'a, 'input>,
) -> impl Iterator<Item = Node<'a, 'input>> + use<'a, 'input> {
    root.children()
        .filter(|child| child.node_type() == NodeType::Element)
        .filter(|child| child.tag_name().name() == "profile")
}

fn profile(source: &str, node: Node<'_, '_>) -> Result<ProfileOffer, DocumentError> {
    let uri = uri(node)?.to_owned();
    let encoding = match node.attribute("encoding") {
        None | Some("none") => Encoding::None,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            return Err(invalid("profile", "encoding", other, "none or base64"));
        }
    };
    let content = source_text(source, node).map(|text| ProfileContent { text, encoding });
    Ok(ProfileOffer { uri, content })
}

fn uri<'a>(profile: Node<'a, '_>) -> Result<&'a str, DocumentError> {
    match profile.attribute("uri") {
        None | Some("") => Err(DocumentError::MissingAttribute {
            element: "profile",
            attribute: "uri",
        }),
        Some(uri) => Ok(uri),
    }
}

fn channel_number(
    node: Node<'_, '_>,
    element: &'static str,
    least: u32,
    expected: &'static str,
) -> Result<Option<ChannelNumber>, DocumentError> {
    let Some(value) = node.attribute("number") else {
        return Ok(None);
    };
    digits(value)
        .filter(|number| *number >= least)
        .and_then(ChannelNumber::new)
        .map(Some)
        .ok_or_else(|| invalid(element, "number", value, expected))
}

fn reply_code(node: Node<'_, '_>, element: &'static str) -> Result<ReplyCode, DocumentError> {
    let value = node
        .attribute("code")
        .ok_or(DocumentError::MissingAttribute {
            element,
            attribute: "code",
        })?;
    digits(value)
        .filter(|_| value.trim_ascii().len() == 3)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(ReplyCode::new)
        .ok_or_else(|| invalid(element, "code", value, "three digits"))
}

/// A decimal number; `str::parse` alone would take a plus sign.
fn digits(value: &str) -> Option<u32> {
    let value = value.trim_ascii();
    if !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}

fn language(node: Node<'_, '_>) -> Option<String> {
    node.attribute((XML_NAMESPACE, "lang")).map(str::to_owned)
}

/// The text for people in `<close>` or `<error>`, without the line ends some peers put around it.
fn remark(source: &str, node: Node<'_, '_>) -> Option<String> {
    let text = source_text(source, node)?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    (!text.is_empty()).then(|| text.to_owned())
}

fn source_text(source: &str, node: Node<'_, '_>) -> Option<String> {
    text_of(source.get(node.range())?)
}

pub(crate) fn expect(
    root: Node<'_, '_>,
    element: &str,
    expected: &'static str,
) -> Result<(), DocumentError> {
    if root.tag_name().name() == element {
        Ok(())
    } else {
        Err(unexpected(root, expected))
    }
}

pub(crate) fn unexpected(root: Node<'_, '_>, expected: &'static str) -> DocumentError {
    DocumentError::UnexpectedElement {
        expected,
        found: shortened(root.tag_name().name()),
    }
}

pub(crate) fn invalid(
    element: &'static str,
    attribute: &'static str,
    value: &str,
    expected: &'static str,
) -> DocumentError {
    DocumentError::InvalidAttribute {
        element,
        attribute,
        value: shortened(value),
        expected,
    }
}

fn shortened(value: &str) -> String {
    value.chars().take(LONGEST_QUOTATION).collect()
}

#[cfg(test)]
mod tests;

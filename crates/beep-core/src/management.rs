//! The XML documents of channel 0: greeting, start, profile, close, ok and error (RFC 3080 §2.3, §7.1).
//!
//! What is written has the form of the C engine, octet for octet, because peers in the field compare with it.
//! What is read may have every form that XML allows, save document types and entity definitions, which
//! RFC 3080 §6.4 forbids.

mod content;
mod read;
mod write;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::numbers::ChannelNumber;
use crate::reply_code::ReplyCode;

pub use read::{
    DocumentError, parse_error, parse_greeting, parse_ok, parse_profile, parse_request,
};
pub(crate) use read::{error_reply, expect, invalid, read_document, unexpected};
pub use write::{OK_XML, is_xml_text};

/// What a peer says of itself when the session begins (RFC 3080 §2.3.1.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The URIs of the profiles that the peer may start here.
    pub profiles: Vec<String>,
    /// Names of optional features, separated by blanks.
    pub features: Option<String>,
    /// Preferred languages for texts, separated by blanks; without it, `i-default` is meant.
    pub localize: Option<String>,
}

/// How the text of a profile's content stands for octets (RFC 3080 §2.3.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The text is the content.
    #[default]
    None,
    /// The text is the content in base64; it is neither encoded nor decoded here.
    Base64,
}

/// What rides in a `<profile>`: the first message of the profile, or the first answer (RFC 3080 §2.3.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileContent {
    /// The text, as it stands on the wire: line ends are those of the sender.
    pub text: String,
    /// Whether the text is base64.
    pub encoding: Encoding,
}

impl ProfileContent {
    /// Makes content that is the text itself.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            encoding: Encoding::None,
        }
    }

    /// The octets that the text stands for; line breaks within base64 are nothing.
    ///
    /// # Errors
    ///
    /// [`DocumentError::NotBase64`]: the text is marked as base64 and is something else.
    pub fn octets(&self) -> Result<Cow<'_, [u8]>, DocumentError> {
        match self.encoding {
            Encoding::None => Ok(Cow::Borrowed(self.text.as_bytes())),
            Encoding::Base64 => {
                let mut text = self.text.as_bytes().to_vec();
                text.retain(|octet| !octet.is_ascii_whitespace());
                STANDARD
                    .decode(text)
                    .map(Cow::Owned)
                    .map_err(|_| DocumentError::NotBase64)
            }
        }
    }
}

/// A profile asked for by a start, or chosen by the answer to it (RFC 3080 §2.3.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileOffer {
    /// The URI that names the profile.
    pub uri: String,
    /// What rides along; an empty CDATA section is content, no text at all is none.
    pub content: Option<ProfileContent>,
}

/// The request to open a channel with one of some profiles (RFC 3080 §2.3.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The channel asked for, never 0 when it was read.
    pub number: ChannelNumber,
    /// The name under which the peer wants this side to act.
    pub server_name: Option<String>,
    /// The profiles in order of preference, never empty when it was read.
    pub profiles: Vec<ProfileOffer>,
}

/// The request to close a channel, or with channel 0 to release the session (RFC 3080 §2.3.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The channel to close; 0 when the document names none.
    pub number: ChannelNumber,
    /// Why.
    pub code: ReplyCode,
    /// The language of the text (`xml:lang`).
    pub language: Option<String>,
    /// A remark for people; white space around it is not kept, and an empty one is none.
    pub text: Option<String>,
}

/// A refusal: the negative reply on channel 0 (RFC 3080 §2.3.1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The reason for programs.
    pub code: ReplyCode,
    /// The language of the text (`xml:lang`).
    pub language: Option<String>,
    /// The reason for people, maybe empty; white space around it is not kept.
    pub text: String,
}

impl ErrorReply {
    /// Makes a refusal in no particular language.
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self {
            code,
            language: None,
            text: text.into(),
        }
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text.as_str(), self.code.meaning()) {
            ("", None) => self.code.fmt(f),
            ("", Some(meaning)) => write!(f, "{} {meaning}", self.code),
            (text, _) => write!(f, "{} {text}", self.code),
        }
    }
}

/// What a peer asks for on channel 0 (RFC 3080 §2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To open a channel.
    Start(Start),
    /// To close a channel or release the session.
    Close(Close),
}

/// How large a document of a peer may be; what goes beyond is refused unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Octets of the whole content, entity headers included.
    pub octets: usize,
    /// Elements within one another, the root being the first.
    pub depth: u32,
    /// Elements, texts, comments and processing instructions in all.
    pub nodes: u32,
}

impl Default for DocumentLimits {
    /// 64 KiB, 16 levels, 4096 nodes: many times what a greeting with hundreds of profiles needs.
    fn default() -> Self {
        Self {
            octets: 64 * 1024,
            depth: 16,
            nodes: 4096,
        }
    }
}

#[cfg(test)]
mod tests;

//! What a start asks for.

use beep_core::{ChannelNumber, ProfileContent, ProfileOffer, StartRequest};

/// What to ask for in a start (RFC 3080 §2.3.1.2).
///
/// ```
/// use beep_session::{ProfileContent, StartOptions};
/// let hello = ProfileContent::new("hello");
/// let options = StartOptions::new("urn:example:v2").content(hello).or("urn:example:v1");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct StartOptions {
    pub(crate) request: StartRequest,
}

impl StartOptions {
    /// A channel with the profile `uri`.
    pub fn new(uri: impl Into<String>) -> Self {
        StartOptions {
            request: StartRequest::default(),
        }
        .or(uri)
    }

    /// Another profile that will do, if the peer has none of those before.
    pub fn or(mut self, uri: impl Into<String>) -> Self {
        self.request.profiles.push(ProfileOffer {
            uri: uri.into(),
            content: None,
        });
        self
    }

    /// Content that rides along with the profile named last; text, or base64 that is marked as
    /// such.
    pub fn content(mut self, content: ProfileContent) -> Self {
        if let Some(profile) = self.request.profiles.last_mut() {
            profile.content = Some(content);
        }
        self
    }

    /// The number of the channel. Without it the next free one is taken.
    pub fn number(mut self, number: ChannelNumber) -> Self {
        self.request.number = Some(number);
        self
    }

    /// The name under which the peer is to act, as long as the session has none.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.request.server_name = Some(name.into());
        self
    }
}

//! What a peer may start here: profiles and those who serve them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use beep_core::{ChannelNumber, ErrorReply, Greeting, ProfileContent, ReplyCode};

use crate::channel::Channel;
use crate::connection::Connection;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Serve = dyn Fn(Channel) -> BoxFuture<()> + Send + Sync;
type DecideStart =
    dyn Fn(IncomingStart) -> BoxFuture<Result<Option<ProfileContent>, ErrorReply>> + Send + Sync;
type DecideClose = dyn Fn(IncomingClose) -> BoxFuture<Result<(), ErrorReply>> + Send + Sync;

/// The profiles that a peer may start, in the order of the greeting (RFC 3080 §2.3.1.1). Clones
/// share them.
///
/// ```
/// use beep_session::{Channel, Profiles};
///
/// async fn echo(channel: Channel) {
///     while let Some(message) = channel.recv().await {
///         let payload = message.payload();
///         // An error means that the peer is gone, which ends the loop too.
///         let _ = message.reply(payload).await;
///     }
/// }
///
/// let profiles = Profiles::new().serve("urn:example:echo", echo);
/// assert_eq!(profiles.uris().collect::<Vec<_>>(), ["urn:example:echo"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    profiles: Vec<Arc<Profile>>,
}

impl Profiles {
    /// No profile at all: the peer cannot start anything.
    pub fn new() -> Self {
        Profiles::default()
    }

    /// Adds a profile that anybody may start: each channel gets a task with `handler`.
    ///
    /// The handler's end closes its channel, unless it has given the channel to somebody else.
    pub fn serve<F, R>(self, uri: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Channel) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.with(Profile::new(uri, handler))
    }

    /// Adds a profile, in place of the one with the same URI if there is one.
    pub fn with(mut self, profile: Profile) -> Self {
        self.profiles.retain(|other| other.uri != profile.uri);
        self.profiles.push(Arc::new(profile));
        self
    }

    /// The URIs, as they stand in the greeting.
    pub fn uris(&self) -> impl Iterator<Item = &str> {
        self.profiles.iter().map(|profile| profile.uri.as_str())
    }

    pub(crate) fn greeting(&self) -> Greeting {
        Greeting {
            profiles: self.uris().map(str::to_owned).collect(),
            ..Greeting::default()
        }
    }

    pub(crate) fn find(&self, uri: &str) -> Option<&Arc<Profile>> {
        self.profiles.iter().find(|profile| profile.uri == uri)
    }
}

/// A profile: its URI, who serves its channels, and who decides about their starts and closes.
///
/// ```
/// use beep_session::{ErrorReply, Profile, ProfileContent, ReplyCode};
///
/// let profile = Profile::new("urn:example:vault", |channel| async move { drop(channel) })
///     .on_start(|start| async move {
///         match start.content {
///             Some(content) if content.text == "sesame" => Ok(Some(ProfileContent::new("welcome"))),
///             _ => Err(ErrorReply::new(ReplyCode::NOT_AUTHORIZED, "say the word")),
///         }
///     })
///     .on_close(|_| async { Err(ErrorReply::new(ReplyCode::ACTION_REFUSED, "nobody leaves")) });
/// assert_eq!(profile.uri(), "urn:example:vault");
/// ```
pub struct Profile {
    uri: String,
    serve: Box<Serve>,
    decide_start: Option<Box<DecideStart>>,
    decide_close: Option<Box<DecideClose>>,
}

impl Profile {
    /// A profile whose starts and closes are all agreed to.
    pub fn new<F, R>(uri: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Channel) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Profile {
            uri: uri.into(),
            serve: Box::new(move |channel| Box::pin(handler(channel))),
            decide_start: None,
            decide_close: None,
        }
    }

    /// Asks `decide` about every start: `Ok` agrees, and may carry content for the answer.
    ///
    /// A decision that panics refuses with 421.
    #[must_use]
    pub fn on_start<F, R>(mut self, decide: F) -> Self
    where
        F: Fn(IncomingStart) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Option<ProfileContent>, ErrorReply>> + Send + 'static,
    {
        self.decide_start = Some(Box::new(move |start| Box::pin(decide(start))));
        self
    }

    /// Asks `decide` about every close that the peer wants of a channel it started with this
    /// profile.
    ///
    /// A decision that panics refuses with 550. The release of a whole session is not asked about.
    #[must_use]
    pub fn on_close<F, R>(mut self, decide: F) -> Self
    where
        F: Fn(IncomingClose) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), ErrorReply>> + Send + 'static,
    {
        self.decide_close = Some(Box::new(move |close| Box::pin(decide(close))));
        self
    }

    /// The URI that names the profile.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn serve(&self, channel: Channel) -> BoxFuture<()> {
        (self.serve)(channel)
    }

    pub(crate) fn decides_start(&self) -> bool {
        self.decide_start.is_some()
    }

    pub(crate) fn decides_close(&self) -> bool {
        self.decide_close.is_some()
    }

    pub(crate) async fn decide_start(
        &self,
        start: IncomingStart,
    ) -> Result<Option<ProfileContent>, ErrorReply> {
        match &self.decide_start {
            Some(decide) => decide(start).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn decide_close(&self, close: IncomingClose) -> Result<(), ErrorReply> {
        match &self.decide_close {
            Some(decide) => decide(close).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

/// A start of the peer that waits for a decision (RFC 3080 §2.3.1.2).
#[derive(Clone, Debug)]
pub struct IncomingStart {
    /// The connection that it came on.
    pub connection: Connection,
    /// The channel asked for.
    pub number: ChannelNumber,
    /// The profile: the first one of those offered that is served here.
    pub uri: String,
    /// What rides along, with its encoding.
    pub content: Option<ProfileContent>,
    /// The name under which this side is to act: that of this start, or the one in force.
    pub server_name: Option<String>,
}

/// A close of the peer that waits for a decision (RFC 3080 §2.3.1.3).
#[derive(Clone, Debug)]
pub struct IncomingClose {
    /// The connection that it came on.
    pub connection: Connection,
    /// The channel to close.
    pub number: ChannelNumber,
    /// The reason, for programs.
    pub code: ReplyCode,
    /// The reason, for people.
    pub text: Option<String>,
}

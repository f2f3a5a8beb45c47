//! What the application at our engine saw, in the words of the recordings.

use beep_core::{ErrorReply, Greeting, Message, SessionEnd};

/// An event of the engine together with what the application did about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Greeted(Greeting),
    /// A channel of ours is open; `content` rode in the answer.
    Opened {
        channel: u32,
        uri: String,
        content: Option<String>,
    },
    /// A start of ours was refused.
    StartRefused(ErrorReply),
    /// The session was refused in place of a greeting.
    SessionRefused(ErrorReply),
    /// The peer asked for a channel, and got it or not.
    StartAsked {
        channel: u32,
        is_accepted: bool,
        uri: String,
        content: String,
        is_base64: bool,
        /// That of the session, once the start was answered.
        server_name: Option<String>,
    },
    /// The peer asked to close a channel; 0 is the session.
    CloseAsked {
        channel: u32,
        is_accepted: bool,
    },
    Closed {
        channel: u32,
    },
    CloseRefused {
        channel: u32,
        error: ErrorReply,
    },
    Message {
        channel: u32,
        message: Message,
    },
    /// A request of ours got no answer before the session ended.
    Unanswered,
    /// The session began anew on another transport.
    Tuned,
    Ended(SessionEnd),
}

//! What can go wrong, in families that are never mixed.
//!
//! [`ProtocolError`]: the peer broke the protocol. [`UsageError`], [`SendError`] and [`ConfigError`]: the caller
//! misused the interface. [`SessionEnd`]: why a session is over.

use std::time::Duration;

use thiserror::Error;

use crate::decoder::FrameError;
use crate::frame::MessageKind;
use crate::management::{DocumentError, ErrorReply};
use crate::numbers::{ChannelNumber, MsgNo, SeqNo};

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} is {value}, it has to be between {least} and {most}")]
pub struct ConfigError {
    /// Name of the field of [`Config`](crate::Config).
    pub field: &'static str,
    /// What it was set to.
    pub value: u64,
    /// The smallest value that works.
    pub least: u64,
    /// The largest value that works.
    pub most: u64,
}

/// The peer broke the protocol; the session ends without an answer (RFC 3080 §2.2.1.1, RFC 3081 §3.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The octets are no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The first frame is not `RPY 0 0` or `ERR 0 0` (RFC 3080 §2.3.1.1).
    #[error("expected a greeting, got {kind} {channel} {msgno}")]
    NoGreeting {
        /// Kind of the frame that came.
        kind: MessageKind,
        /// Its channel.
        channel: ChannelNumber,
        /// Its message number.
        msgno: MsgNo,
    },
    /// The greeting, or the error in its place, cannot be read.
    #[error("greeting: {0}")]
    BadGreeting(#[source] DocumentError),
    /// A frame names a channel that is not open.
    #[error("{kind} on channel {channel}, which is not open")]
    ChannelNotOpen {
        /// Kind of the frame that came.
        kind: MessageKind,
        /// The channel it names.
        channel: ChannelNumber,
    },
    /// A frame does not continue where the last one of its channel ended (RFC 3080 §2.2.1.2).
    #[error("channel {channel}: expected sequence number {expected}, got {received}")]
    WrongSeqno {
        /// The channel.
        channel: ChannelNumber,
        /// The sequence number that was due.
        expected: SeqNo,
        /// The sequence number that came.
        received: SeqNo,
    },
    /// A frame is larger than the window granted (RFC 3081 §3.1.2).
    #[error("channel {channel}: frame of {size} octets in a window of {room}")]
    WindowExceeded {
        /// The channel.
        channel: ChannelNumber,
        /// Octets the frame announced.
        size: u32,
        /// Octets that the peer was allowed to send.
        room: u32,
    },
    /// A MSG has the number of one that is not answered yet.
    #[error("channel {channel}: MSG number {msgno} is in use")]
    MsgnoInUse {
        /// The channel.
        channel: ChannelNumber,
        /// The message number.
        msgno: MsgNo,
    },
    /// A reply belongs to no MSG of ours, or not to the oldest one (RFC 3080 §2.6.1).
    #[error("channel {channel}: {kind} to {msgno}, which awaits no reply now")]
    UnexpectedReply {
        /// The channel.
        channel: ChannelNumber,
        /// Kind of the reply.
        kind: MessageKind,
        /// The message number it names.
        msgno: MsgNo,
    },
    /// A reply changes its kind halfway, such as RPY after ANS.
    #[error("channel {channel}: {kind} to {msgno} after frames of another kind")]
    ReplyKindChanged {
        /// The channel.
        channel: ChannelNumber,
        /// Kind of the frame that came.
        kind: MessageKind,
        /// The message number it names.
        msgno: MsgNo,
    },
    /// A frame of another message came before the last frame of the one begun.
    #[error(
        "channel {channel}: {kind} {msgno} between the frames of {expected_kind} {expected_msgno}"
    )]
    ForeignFragment {
        /// The channel.
        channel: ChannelNumber,
        /// Kind of the message begun.
        expected_kind: MessageKind,
        /// Number of the message begun.
        expected_msgno: MsgNo,
        /// Kind of the frame that came.
        kind: MessageKind,
        /// Its message number.
        msgno: MsgNo,
    },
    /// A NUL carries octets, or announces more frames.
    #[error("channel {channel}: NUL to {msgno} with {size} octets, more to come: {more}")]
    NulNotEmpty {
        /// The channel.
        channel: ChannelNumber,
        /// The message number it names.
        msgno: MsgNo,
        /// Octets of payload.
        size: u32,
        /// The continuation indicator.
        more: bool,
    },
    /// A SEQ names a channel that was never open.
    #[error("SEQ for channel {channel}, which is not open")]
    SeqForUnknownChannel {
        /// The channel.
        channel: ChannelNumber,
    },
    /// A SEQ acknowledges octets that were not sent.
    #[error("channel {channel}: SEQ acknowledges {ackno}, sent up to {sent}")]
    SeqBeyondSent {
        /// The channel.
        channel: ChannelNumber,
        /// The acknowledgement.
        ackno: SeqNo,
        /// The next octet that we send.
        sent: SeqNo,
    },
    /// A SEQ takes back window that was granted (RFC 3081 §3.1.4).
    #[error("channel {channel}: SEQ leaves {room} octets of {granted} granted")]
    WindowShrinks {
        /// The channel.
        channel: ChannelNumber,
        /// Octets we could still send by this SEQ.
        room: u32,
        /// Octets we could send before it.
        granted: u32,
    },
    /// A reply on channel 0 cannot be read, or does not answer what was asked (RFC 3080 §2.2.2.1).
    #[error("reply to {msgno} on channel 0: {source}")]
    BadReply {
        /// The message number it names.
        msgno: MsgNo,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// The answer to a start names a profile that was not offered (RFC 3080 §2.3.1.2).
    #[error("channel {channel} was answered with {uri}, which was not offered")]
    ProfileNotOffered {
        /// The channel asked for.
        channel: ChannelNumber,
        /// The profile in the answer.
        uri: String,
    },
}

/// A request of the caller that does not fit the state of the session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The session is over, or being released.
    #[error("the session is over")]
    SessionEnded,
    /// The greeting, or the error in its place, was given before.
    #[error("the greeting was given before")]
    AlreadyGreeted,
    /// The number is 0, or that of a channel in use.
    #[error("channel number {0} is in use on this connection")]
    NumberInUse(ChannelNumber),
    /// As many channels are open as [`Config::channels_max`](crate::Config::channels_max) allows.
    #[error("{0} channels are open, which is the limit")]
    TooManyChannels(usize),
    /// A start without any profile.
    #[error("a start needs a profile")]
    NoProfile,
    /// The index is not one of the profiles offered by the start.
    #[error("no profile {0} in the start")]
    NoSuchProfile(usize),
    /// The channel is not open.
    #[error("channel {0} is not open")]
    NotOpen(ChannelNumber),
    /// No start of the peer for this channel waits for an answer.
    #[error("no start of channel {0} waits for an answer")]
    NoSuchStart(ChannelNumber),
    /// No close of the peer for this channel waits for an answer.
    #[error("no close of channel {0} waits for an answer")]
    NoSuchClose(ChannelNumber),
    /// A close of this channel is under way.
    #[error("channel {0} is being closed")]
    AlreadyClosing(ChannelNumber),
    /// Another start that tunes the session is under way.
    #[error("the session is being tuned")]
    TuningUnderWay,
    /// A text holds characters that XML 1.0 cannot carry.
    #[error("the {0} holds characters that XML cannot carry")]
    NotXmlText(&'static str),
}

/// A message that was not taken for sending.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is over, or being released.
    #[error("the session is over")]
    SessionEnded,
    /// The channel is not open, or is channel 0, which carries no messages of the application.
    #[error("channel {0} is not open")]
    NotOpen(ChannelNumber),
    /// The channel is being closed and takes no new MSG.
    #[error("channel {0} is being closed")]
    Closing(ChannelNumber),
    /// No message of this number awaits such a reply.
    #[error("message {msgno} of channel {channel} awaits no such reply")]
    NoSuchMessage {
        /// The channel.
        channel: ChannelNumber,
        /// The message number.
        msgno: MsgNo,
    },
    /// As much is queued as the config allows; try again when some of it has left.
    #[error(
        "{octets} octets in {messages} messages are queued on channel {channel}, which is the limit"
    )]
    QueueFull {
        /// The channel.
        channel: ChannelNumber,
        /// Octets queued on it.
        octets: usize,
        /// Messages queued on it.
        messages: usize,
    },
    /// As many own MSGs await replies as the config allows.
    #[error("{awaited} messages of channel {channel} await replies, which is the limit")]
    TooManyOutstanding {
        /// The channel.
        channel: ChannelNumber,
        /// Own MSGs awaiting replies.
        awaited: usize,
    },
}

/// Why a start or a close came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChannelFailure {
    /// The peer refused.
    #[error("refused: {0}")]
    Refused(ErrorReply),
    /// No answer came in time.
    #[error("no answer in time")]
    TimedOut,
    /// The session ended before the answer came.
    #[error("the session ended")]
    SessionEnded,
}

/// The deadline that ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Deadline {
    /// [`Config::greeting_timeout`](crate::Config::greeting_timeout).
    #[error("the peer's greeting did not come in time")]
    Greeting,
    /// [`Config::reply_timeout`](crate::Config::reply_timeout), for the release of the session.
    #[error("the peer did not answer the close of the session in time")]
    Release,
    /// [`Config::idle_timeout`](crate::Config::idle_timeout).
    #[error("the peer was silent for longer than is allowed")]
    Idle,
}

/// The limit of the config that a peer ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} reached the limit of {most}")]
pub struct Limit {
    /// Name of the field of [`Config`](crate::Config).
    pub what: &'static str,
    /// Its value.
    pub most: usize,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// Both ends agreed (RFC 3080 §2.4).
    #[error("released")]
    Released {
        /// The peer asked for it.
        by_peer: bool,
    },
    /// The peer ended the connection without releasing the session.
    #[error("the peer ended the connection")]
    PeerHungUp {
        /// The connection ended inside a frame.
        mid_frame: bool,
    },
    /// The peer sent an error in place of its greeting.
    #[error("the peer refused the session: {0}")]
    GreetingRefused(ErrorReply),
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[source] ProtocolError),
    /// A deadline passed.
    #[error("timed out: {0}")]
    TimedOut(Deadline),
    /// The peer ran into a limit of the config.
    #[error("{0}")]
    LimitReached(Limit),
    /// The application ended the session at once.
    #[error("the connection was shut down on this side")]
    Aborted,
    /// The application sent an error in place of its greeting.
    #[error("refused: {0}")]
    Refused(ErrorReply),
    /// A security layer is in place, and another session goes on over it (RFC 3080 §3).
    #[error("a new session took its place")]
    Tuned,
}

impl Deadline {
    /// How long the deadline is with this config.
    pub fn duration(self, config: &crate::Config) -> Option<Duration> {
        match self {
            Deadline::Greeting => Some(config.greeting_timeout),
            Deadline::Release => Some(config.reply_timeout),
            Deadline::Idle => config.idle_timeout,
        }
    }
}

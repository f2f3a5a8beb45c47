//! What a session reports to the application, and what the application asks of a start.

use crate::error::{ChannelFailure, SessionEnd};
use crate::management::{Greeting, ProfileOffer};
use crate::message::Message;
use crate::numbers::ChannelNumber;
use crate::reply_code::ReplyCode;

/// Something that happened in a session, in the order in which it happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The peer's greeting is complete; channels can be started now.
    GreetingReceived(Greeting),
    /// The peer asks for a channel; answer with `accept_start` or `refuse_start`.
    StartRequested {
        /// The channel asked for.
        number: ChannelNumber,
        /// The profiles to choose from, in the peer's order of preference.
        profiles: Vec<ProfileOffer>,
        /// The server name that this start asks for, as it was sent.
        server_name: Option<String>,
    },
    /// A start of ours was accepted; the channel is open.
    Started {
        /// The channel.
        number: ChannelNumber,
        /// The profile chosen, with the content of the answer.
        profile: ProfileOffer,
    },
    /// A start of ours came to nothing.
    StartFailed {
        /// The channel asked for.
        number: ChannelNumber,
        /// Why.
        why: ChannelFailure,
    },
    /// The peer asks to close a channel; answer with `accept_close` or `refuse_close`.
    CloseRequested {
        /// The channel, never 0.
        number: ChannelNumber,
        /// The reason, for programs.
        code: ReplyCode,
        /// The reason, for people.
        text: Option<String>,
    },
    /// The peer asks to release the session; answer with `accept_close` or `refuse_close` of channel 0.
    ReleaseRequested {
        /// The reason, for programs.
        code: ReplyCode,
        /// The reason, for people.
        text: Option<String>,
    },
    /// A channel is gone: its `<ok />` was sent or received. Reported once, for crossed closes too.
    Closed {
        /// The channel.
        number: ChannelNumber,
        /// The peer asked for it.
        by_peer: bool,
    },
    /// A close of ours came to nothing.
    ///
    /// After a refusal the channel is usable again. After a time-out it is when the `<close>` had not been
    /// sent; else it stays closing until the peer answers. Number 0 stands for a release.
    CloseFailed {
        /// The channel.
        number: ChannelNumber,
        /// Why.
        why: ChannelFailure,
    },
    /// A message arrived; call `consume` with its content's length when done with it.
    Message {
        /// The channel.
        channel: ChannelNumber,
        /// The message.
        message: Message,
    },
    /// The session is over; the last event.
    Ended(SessionEnd),
}

/// A channel that the application asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartRequest {
    /// The number wanted; `None` takes the next one of this end's own.
    pub number: Option<ChannelNumber>,
    /// The profiles to offer, best first; at least one.
    pub profiles: Vec<ProfileOffer>,
    /// The name of the server meant; sent only while the session has none.
    pub server_name: Option<String>,
    /// The profile replaces the transport, as TLS does: nothing is sent or read after its answer until
    /// [`Session::tune`](crate::Session::tune) or
    /// [`Session::resume_after_tuning`](crate::Session::resume_after_tuning).
    pub tuning: bool,
}

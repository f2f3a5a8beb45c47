//! BEEP sessions (RFC 3080, RFC 3081) on tokio.
//!
//! A *session* is one connection between two peers. It carries any number of *channels*, each for a
//! *profile* that a URI names. On a channel either peer sends messages (MSG), and the other one
//! answers each of them: with one reply (RPY), with one error (ERR), or with a series of answers
//! (ANS, ended by NUL). Channels do not stand in each other's way: each has its own flow control.
//!
//! ```
//! use std::time::Duration;
//!
//! use beep_session::{Channel, ConnectOptions, Connection, Profiles, Server, ServerOptions};
//!
//! const ECHO: &str = "http://example.org/profiles/echo";
//!
//! // One task a channel; its end closes the channel.
//! async fn echo(channel: Channel) {
//!     while let Some(message) = channel.recv().await {
//!         let payload = message.payload();
//!         let _ = message.reply(payload).await;
//!     }
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let profiles = Profiles::new().serve(ECHO, echo);
//!     let server = Server::bind("127.0.0.1", 0, profiles, ServerOptions::default()).await?;
//!     let port = server.local_addr().port();
//!
//!     let connection = Connection::connect("127.0.0.1", port, ConnectOptions::default()).await?;
//!     assert_eq!(connection.peer_profiles(), [ECHO]);
//!     let channel = connection.open(ECHO).await?;
//!     let reply = channel.request("hello").await?;
//!     assert_eq!(reply.into_payload()?, "hello");
//!
//!     channel.close().await?;
//!     connection.close().await?;
//!     server.shutdown(Duration::from_secs(5)).await;
//!     Ok(())
//! }
//! ```
//!
//! # The crate
//!
//! | to | look at |
//! |---|---|
//! | connect, start channels, end a session | [`Connection`], [`ConnectOptions`], [`StartOptions`] |
//! | send and receive on a channel | [`Channel`], [`Reply`], [`Answers`], [`IncomingMessage`], [`Payload`] |
//! | say what peers may start, and decide about it | [`Profiles`], [`Profile`], [`IncomingStart`], [`IncomingClose`] |
//! | listen | [`Server`], [`ServerOptions`], [`ListenerLimits`] |
//! | watch whether a peer is alive, and be watched | [`Session::watch`], [`Services`] |
//! | bound windows, memory and time | [`Config`] |
//! | say who one is, and have peers say it | [`sasl`] |
//! | encrypt, and know with whom | [`Connection::start_tls`], [`Services::serve_tls`], [`tls`] |
//! | learn why something failed | [`Error`], [`Family`], [`End`] |
//!
//! Below that is a layer without queues or tasks of its own: [`Session`] takes commands and calls
//! an [`Application`] with what happens, [`Listener`] and [`connect`] make the connections, and
//! [`core`] is the protocol itself, without I/O.
//!
//! # Memory and time
//!
//! A message occupies its channel's receive window until it is dropped or taken apart: a program
//! that is slow to let go of messages slows its peers down, and memory stays bounded: by about
//! [`Config::window_max`] a channel, and a few messages of up to [`Config::message_max`] where
//! peers send such large ones. Methods that are `async` and send wait while the peer does not take
//! what is sent; [`Channel::send`] does not wait. Nothing waits for ever for a peer: greetings,
//! starts, closes and handshakes have their deadlines in [`Config`], and [`Config::idle_timeout`] covers the
//! rest.
#![forbid(unsafe_code)]

mod alive;
mod answers;
mod application;
mod authentication;
mod channel;
mod connect;
mod connection;
mod driver;
mod error;
mod incoming_message;
mod listener;
mod mailbox;
mod message;
mod pending;
mod profiles;
mod router;
pub mod sasl;
mod server;
mod services;
mod session;
mod start_options;
mod tcp;
pub mod tls;
mod transport;
mod tuning;

pub use alive::AliveError;
pub use answers::{Answers, PendingReply};
pub use application::{Application, End, Successor};
pub use beep_core as core;
pub use beep_core::{
    AnsNo, ChannelNumber, Config, ConfigError, Encoding, ErrorReply, Greeting, MessageKind, MsgNo,
    Outgoing, ProfileContent, ReplyCode, Role, SendError, SessionEnd, UsageError,
};
pub use channel::Channel;
pub use connect::{ConnectError, connect, resolve};
pub use connection::{ConnectOptions, Connection, ServerName};
pub use driver::Driver;
pub use error::{Error, Family};
pub use incoming_message::IncomingMessage;
pub use listener::{Accepted, Admission, Listener, ListenerLimits};
pub use message::{Message, Payload, Reply};
pub use profiles::{IncomingClose, IncomingStart, Profile, Profiles};
pub use server::{Server, ServerOptions};
pub use services::Services;
pub use session::{Addresses, ChannelState, Session, SessionOptions};
pub use start_options::StartOptions;
pub use tcp::Tcp;
pub use transport::Transport;

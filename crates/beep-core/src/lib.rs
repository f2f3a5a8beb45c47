//! BEEP (RFC 3080, mapped onto a byte stream by RFC 3081) without I/O.
//!
//! Octets, commands and instants go in; octets, events and the next deadline come out. This crate opens no
//! socket, starts no thread and reads no clock, so a whole session runs in a test without waiting.
//!
//! # Driving a session
//!
//! One task owns a [`Session`] and repeats these steps; its comments use the same numbers.
//!
//! 1. **Greet**: give [`Session::greet`] (or [`Session::refuse`]) as soon as the connection is made.
//! 2. **Input**: give what was read to [`Session::handle_input`], with the present instant. While
//!    [`Session::is_input_held`], read nothing: the next octets belong to a security layer. Report the end of
//!    the stream with [`Session::handle_end_of_stream`].
//! 3. **Events**: drain [`Session::poll_event`]. Answer starts and closes, and call [`Session::consume`] when
//!    the application is done with a message: that is what lets the peer send more.
//! 4. **Output**: call [`Session::poll_transmit`] until it gives nothing, write the chunks, flush.
//! 5. **Time**: arm a timer for [`Session::poll_timeout`] and call [`Session::handle_timeout`] when it fires.
//! 6. **Hang up**: close the connection once [`Session::should_hang_up`] and everything is written.
//!
//! After every call that changes the session, go through 3 to 6. How often does not matter to the session.
//!
//! ```
//! use std::time::Instant;
//! use beep_core::{Config, Event, Greeting, Outgoing, ProfileOffer, Role, Session, StartRequest};
//!
//! fn pass(from: &mut Session, to: &mut Session, now: Instant) {
//!     let mut chunks = Vec::new();
//!     while from.poll_transmit(now, &mut chunks, 65_536) > 0 {}
//!     for chunk in chunks {
//!         to.handle_input(now, &chunk);
//!     }
//! }
//!
//! let now = Instant::now();
//! let config = Config::default().checked()?;
//! let mut client = Session::new(Role::Initiator, config.clone(), now);
//! let mut server = Session::new(Role::Listener, config, now);
//! client.greet(&Greeting::default())?;
//! server.greet(&Greeting::default())?;
//! let offer = ProfileOffer { uri: "urn:example:echo".into(), content: None };
//! let channel = client.start(now, StartRequest { profiles: vec![offer], ..StartRequest::default() })?;
//! for _ in 0..2 {
//!     pass(&mut client, &mut server, now);
//!     pass(&mut server, &mut client, now);
//! }
//! while let Some(event) = server.poll_event() {
//!     if let Event::StartRequested { number, .. } = event {
//!         server.accept_start(number, 0, None)?;
//!     }
//! }
//! pass(&mut server, &mut client, now);
//! client.send_msg(channel, Outgoing::new("hello"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The codec
//!
//! The codec half can be used alone: [`Decoder`] turns octets into frame pieces, [`DataHeader`] and
//! [`SeqHeader`] turn back into octets, [`mime`] finds the entity headers of a message, and [`management`]
//! reads and writes the XML documents of channel 0. [`sasl_blob`] does so for those of the SASL profiles.
#![forbid(unsafe_code)]
// Nothing a peer sends may end the process: no panic can be reached outside the tests.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::todo
    )
)]

mod awaited_replies;
mod channel;
mod config;
mod decoder;
mod error;
mod event;
mod flow_control;
mod frame;
pub mod management;
mod message;
pub mod mime;
mod numbers;
mod queue;
mod reaction;
mod reassembly;
mod reply_code;
mod reply_order;
pub mod sasl_blob;
mod session;
#[cfg(test)]
mod tests;
mod tls_ready;
mod transmit;

pub use config::{Config, Role};
pub use decoder::{Decoder, FrameError, HeaderPart, MAX_NUL_SIZE, Piece};
pub use error::{
    ChannelFailure, ConfigError, Deadline, Limit, ProtocolError, SendError, SessionEnd, UsageError,
};
pub use event::{Event, StartRequest};
pub use frame::{DataHeader, MessageKind, SeqHeader, TRAILER};
pub use management::{
    Close, DocumentError, DocumentLimits, Encoding, ErrorReply, Greeting, ProfileContent,
    ProfileOffer, Request, Start,
};
pub use message::{Message, Outgoing};
pub use numbers::{AnsNo, ChannelNumber, MsgNo, SeqNo};
pub use reply_code::ReplyCode;
pub use session::{ChannelInfo, Session, without_port};
pub use tls_ready::{
    PROCEED_XML, READY_XML, ReadyAnswer, TLS_URI, parse_ready, parse_ready_answer,
};

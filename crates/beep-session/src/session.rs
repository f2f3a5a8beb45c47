//! The handle of a session: commands and questions, callable from any thread.

mod beginning;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use beep_core::{
    AnsNo, ChannelNumber, ErrorReply, Greeting, MsgNo, Outgoing, ProfileContent, ReplyCode,
    SendError, StartRequest, UsageError,
};
use bytes::Bytes;
use tokio::net::TcpStream;

use crate::application::{Application, End};
use crate::authentication::Side;
use crate::sasl::Identity;
use crate::services::{Service, Services};
use crate::tls;
use crate::tuning::Handshake;

pub use beginning::SessionOptions;

/// How many octets of queued frames [`Session::shutdown`] still tries to send.
const LAST_WORDS_MAX: usize = 1 << 20;

/// A BEEP session: a cheap handle, equal for all clones.
///
/// The state machine ([`beep_core::Session`]) sits behind a mutex that is held for the time of one
/// command, and a task owns the transport. A mutex and not a queue of commands, because `send_msg`
/// returns the message number and refuses what the protocol refuses, at once (see
/// `docs/decisions/session-handle.md`).
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// This side.
    pub local: SocketAddr,
    /// The other side.
    pub peer: SocketAddr,
}

impl Addresses {
    pub(crate) fn of(stream: &TcpStream) -> Option<Self> {
        Some(Addresses {
            local: stream.local_addr().ok()?,
            peer: stream.peer_addr().ok()?,
        })
    }
}

/// What is known of a channel at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// The URI of its profile; empty for channel 0.
    pub profile: String,
    /// Whether its start was answered and no close is under way.
    pub is_open: bool,
    /// Whether a MSG may be sent on it now.
    pub can_send_msg: bool,
    /// MSGs of this side that await a reply.
    pub awaited_replies: usize,
    /// MSGs of the peer that await a reply of this side.
    pub owed_replies: usize,
    /// Octets that wait to be sent.
    pub queued_octets: usize,
}

pub(crate) struct Shared {
    id: u64,
    pub(crate) application: Arc<dyn Application>,
    addresses: Option<Addresses>,
    pub(crate) services: Arc<Services>,
    /// What starts of services ask for.
    pub(crate) server_name: Option<String>,
    /// Whether there was a channel of a service, for a quick look.
    pub(crate) has_services: AtomicBool,
    /// What the session runs over, if that is TLS.
    pub(crate) tls: Option<Arc<tls::Info>>,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) protocol: beep_core::Session,
    /// The task that drives the session, when it sleeps.
    pub(crate) driver: Option<Waker>,
    /// False while the application has stopped reading.
    pub(crate) reading: bool,
    /// What was queued when the application shut the session down.
    pub(crate) last_words: Vec<Bytes>,
    pub(crate) end: Option<Arc<End>>,
    /// The channels that the session serves itself.
    pub(crate) services: HashMap<ChannelNumber, Arc<dyn Service>>,
    /// Octets received so far.
    pub(crate) received: u64,
    /// Who is authenticated, and whether that is the peer.
    pub(crate) identity: Option<Box<(Side, Identity)>>,
    /// An exchange of SASL is under way.
    pub(crate) is_authenticating: bool,
    /// Authentications of the peer that failed.
    pub(crate) authentication_failures: u32,
    /// What comes next once the peers' agreement to TLS is out.
    pub(crate) handshake: Option<Box<Handshake>>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves nothing half done that matters more than going on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// A number that no other session of this process has.
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Local and remote address, where the transport has them.
    pub fn addresses(&self) -> Option<Addresses> {
        self.shared.addresses
    }

    /// Why the session is over, or `None` while it lives.
    pub fn end(&self) -> Option<Arc<End>> {
        self.shared.state().end.clone()
    }

    /// Whether the session can still be used; false from the moment the protocol or
    /// [`Session::shutdown`] ended it.
    pub fn is_alive(&self) -> bool {
        let state = self.shared.state();
        state.end.is_none() && state.protocol.end().is_none()
    }

    /// Whether the peer's greeting is here.
    pub fn has_peer_greeting(&self) -> bool {
        self.shared.state().protocol.peer_greeting().is_some()
    }

    /// The peer's greeting, once it is here.
    pub fn peer_greeting(&self) -> Option<Greeting> {
        self.shared.state().protocol.peer_greeting().cloned()
    }

    /// The `serverName` in force (RFC 3080 §2.3.1.2), fixed by the first start that was accepted
    /// with one.
    pub fn server_name(&self) -> Option<String> {
        self.shared
            .state()
            .protocol
            .server_name()
            .map(str::to_owned)
    }

    /// The numbers of the open channels, ascending, with 0.
    pub fn channel_numbers(&self) -> Vec<ChannelNumber> {
        self.shared.state().protocol.channel_numbers().collect()
    }

    /// The state of a channel, or `None` when no such channel is open.
    pub fn channel(&self, number: ChannelNumber) -> Option<ChannelState> {
        let state = self.shared.state();
        let channel = state.protocol.channel(number)?;
        Some(ChannelState {
            profile: channel.profile().to_owned(),
            is_open: channel.is_open(),
            can_send_msg: channel.can_send_msg(),
            awaited_replies: channel.awaited_replies(),
            owed_replies: channel.owed_replies(),
            queued_octets: channel.queued_octets(),
        })
    }

    /// Octets that wait to be sent on a channel; 0 when no such channel is open.
    pub fn queued_octets(&self, number: ChannelNumber) -> usize {
        self.shared
            .state()
            .protocol
            .channel(number)
            .map_or(0, |channel| channel.queued_octets())
    }

    /// Octets of memory that the session holds for its queues and for messages being joined.
    pub fn buffered_octets(&self) -> usize {
        self.shared.state().protocol.buffered_octets()
    }

    /// Asks the peer to start a channel (RFC 3080 §2.3.1.2); [`beep_core::Event::Started`] or
    /// [`beep_core::Event::StartFailed`] follows.
    pub fn start(&self, request: StartRequest) -> Result<ChannelNumber, UsageError> {
        self.command(|protocol| protocol.start(Instant::now(), request))
    }

    /// Accepts the start of `number` with the offer at index `profile`.
    pub fn accept_start(
        &self,
        number: ChannelNumber,
        profile: usize,
        content: Option<ProfileContent>,
    ) -> Result<(), UsageError> {
        self.command(|protocol| protocol.accept_start(number, profile, content))
    }

    /// Refuses the start of `number`.
    pub fn refuse_start(&self, number: ChannelNumber, error: ErrorReply) -> Result<(), UsageError> {
        self.command(|protocol| protocol.refuse_start(number, error))
    }

    /// Asks the peer to close a channel (RFC 3080 §2.3.1.3), once all of its replies are here;
    /// [`beep_core::Event::Closed`] or [`beep_core::Event::CloseFailed`] follows.
    pub fn close(
        &self,
        number: ChannelNumber,
        code: ReplyCode,
        text: Option<String>,
    ) -> Result<(), UsageError> {
        self.command(|protocol| protocol.close(Instant::now(), number, code, text))
    }

    /// Accepts the peer's close of `number` (0: of the session).
    pub fn accept_close(&self, number: ChannelNumber) -> Result<(), UsageError> {
        self.command(|protocol| protocol.accept_close(number))
    }

    /// Refuses the peer's close of `number` (0: of the session).
    pub fn refuse_close(&self, number: ChannelNumber, error: ErrorReply) -> Result<(), UsageError> {
        self.command(|protocol| protocol.refuse_close(number, error))
    }

    /// Asks the peer to release the session (RFC 3080 §2.4); the end of the session or
    /// [`beep_core::Event::CloseFailed`] for channel 0 follows.
    pub fn release(&self, code: ReplyCode, text: Option<String>) -> Result<(), UsageError> {
        self.command(|protocol| protocol.release(Instant::now(), code, text))
    }

    /// Ends the session without asking: what is queued is offered to the transport once, then it is
    /// dropped.
    pub fn shutdown(&self) {
        let driver = {
            let mut state = self.shared.state();
            let state = &mut *state;
            if state.protocol.end().is_none() {
                state
                    .protocol
                    .poll_transmit(Instant::now(), &mut state.last_words, LAST_WORDS_MAX);
                state.protocol.abort();
            }
            state.driver.take()
        };
        wake(driver);
    }

    /// Stops reading from the transport (`false`) or goes on (`true`). Nothing is lost: the peer
    /// has to wait.
    pub fn set_reading(&self, reading: bool) {
        let driver = {
            let mut state = self.shared.state();
            state.reading = reading;
            state.driver.take()
        };
        wake(driver);
    }

    /// Whether the transport is read, see [`Session::set_reading`].
    pub fn is_reading(&self) -> bool {
        self.shared.state().reading
    }

    /// Sends a MSG and returns its number.
    pub fn send_msg(&self, channel: ChannelNumber, message: Outgoing) -> Result<MsgNo, SendError> {
        self.send(|protocol| protocol.send_msg(channel, message))
    }

    /// Answers the peer's MSG `msgno` with a RPY.
    pub fn send_rpy(
        &self,
        channel: ChannelNumber,
        msgno: MsgNo,
        message: Outgoing,
    ) -> Result<(), SendError> {
        self.send(|protocol| protocol.send_rpy(channel, msgno, message))
    }

    /// Answers the peer's MSG `msgno` with an ERR.
    pub fn send_err(
        &self,
        channel: ChannelNumber,
        msgno: MsgNo,
        message: Outgoing,
    ) -> Result<(), SendError> {
        self.send(|protocol| protocol.send_err(channel, msgno, message))
    }

    /// Sends one answer of a series to the peer's MSG `msgno`, and returns the answer's number.
    pub fn send_ans(
        &self,
        channel: ChannelNumber,
        msgno: MsgNo,
        message: Outgoing,
    ) -> Result<AnsNo, SendError> {
        self.send(|protocol| protocol.send_ans(channel, msgno, message))
    }

    /// Ends the series of answers to the peer's MSG `msgno`.
    pub fn send_nul(&self, channel: ChannelNumber, msgno: MsgNo) -> Result<(), SendError> {
        self.send(|protocol| protocol.send_nul(channel, msgno))
    }

    /// Says that the application is done with a message of `octets` octets of content, so that the
    /// peer may send more.
    pub fn consume(&self, channel: ChannelNumber, octets: usize) {
        self.send(|protocol| protocol.consume(channel, octets));
    }

    /// Whether messages are joined before they are delivered; `false` delivers every frame as it
    /// arrives.
    pub fn set_reassembly(&self, channel: ChannelNumber, joined: bool) {
        self.send(|protocol| protocol.set_reassembly(channel, joined));
    }

    /// Whether the session runs over TLS.
    pub fn is_tls(&self) -> bool {
        self.shared.tls.is_some()
    }

    /// Octets received so far.
    pub(crate) fn received(&self) -> u64 {
        self.shared.state().received
    }

    /// A command that may change deadlines: the task always has a look.
    fn command<R>(&self, command: impl FnOnce(&mut beep_core::Session) -> R) -> R {
        self.with_state(|state| command(&mut state.protocol))
    }

    /// The same for what concerns more than the protocol.
    pub(crate) fn with_state<R>(&self, command: impl FnOnce(&mut State) -> R) -> R {
        let (result, driver) = {
            let mut state = self.shared.state();
            let result = command(&mut state);
            (result, state.driver.take())
        };
        wake(driver);
        result
    }

    /// A command that concerns the task only when it leaves something to transmit.
    fn send<R>(&self, command: impl FnOnce(&mut beep_core::Session) -> R) -> R {
        let (result, driver) = {
            let mut state = self.shared.state();
            let result = command(&mut state.protocol);
            let driver = if state.protocol.wants_transmit() {
                state.driver.take()
            } else {
                None
            };
            (result, driver)
        };
        wake(driver);
        result
    }
}

fn wake(driver: Option<Waker>) {
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Session {}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.shared.id)
            .field("addresses", &self.shared.addresses)
            .finish()
    }
}

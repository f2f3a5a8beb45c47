//! A BEEP session as a state machine.

pub(crate) mod deadlines;

mod closing;
mod greeting;
mod held;
mod input;
mod management;
mod messages;
mod output;
mod release;
mod starting;
mod tuning;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::channel::{Channel, FirstNumbers, OwnClose, PeerClose, Phase};
use crate::config::{Config, Role};
use crate::decoder::Decoder;
use crate::error::{ChannelFailure, Deadline, SessionEnd};
use crate::event::Event;
use crate::flow_control::INITIAL_WINDOW;
use crate::management::Greeting;
use crate::numbers::ChannelNumber;
use crate::queue::Queue;

use deadlines::{Deadlines, Timer};
use input::FrameInProgress;
use management::OwnRequest;
use release::{OwnRelease, PeerRelease};
use tuning::Tuning;

pub use crate::channel::ChannelInfo;
pub use starting::without_port;

/// Numbers of closed channels that a late SEQ may still name.
const RECENTLY_CLOSED_MOST: usize = 64;

/// One end of a BEEP session, without I/O.
///
/// The crate's documentation numbers the steps of driving it. Every method that takes an instant wants one that
/// is not earlier than those before it.
///
/// ```text
///              greet()                     peer's greeting
///  connected ----------> our greeting out <---------------> established --+--> released
///      |                                                        |         |
///      +-- refuse(), ERR in place of a greeting                 +---------+--> ended for another reason
///      |                                                                       (see SessionEnd)
///      +----------------------------------------------------------------------------^
/// ```
#[derive(Debug)]
pub struct Session {
    role: Role,
    config: Arc<Config>,
    /// The latest instant that the caller told.
    now: Instant,
    decoder: Decoder,
    in_progress: Option<FrameInProgress>,
    /// Channel 0 and all that are open or being started. Boxed: the map's nodes have room for eleven.
    channels: BTreeMap<ChannelNumber, Box<Channel>>,
    first_numbers: FirstNumbers,
    /// The next number of our own for a start.
    next_number: u32,
    recently_closed: VecDeque<ChannelNumber>,
    /// Our requests on channel 0 that await answers, oldest first.
    requests: VecDeque<OwnRequest>,
    /// Channels with something to send and room for it, in the order of their turns.
    ready: Queue<ChannelNumber>,
    /// Channels with a SEQ to send.
    seq_pending: Queue<ChannelNumber>,
    totals: Totals,
    deadlines: Deadlines,
    has_greeted: bool,
    is_greeting_out: bool,
    /// The error sent in place of our greeting.
    refusal: Option<Box<crate::ErrorReply>>,
    peer_greeting: Option<Box<Greeting>>,
    server_name: Option<Box<str>>,
    own_release: OwnRelease,
    peer_release: PeerRelease,
    tuning: Tuning,
    events: Queue<Event>,
    end: Option<Box<SessionEnd>>,
}

/// Sums over the channels, so that nothing has to visit them all. Channel 0 is not in them.
#[derive(Debug, Default)]
struct Totals {
    queued_octets: usize,
    queued_messages: usize,
    awaited_replies: usize,
    /// Octets of messages being joined, channel 0 included.
    joining_octets: usize,
    /// What messages take that are delivered and not consumed.
    held_octets: usize,
    /// MSGs whose reply has not left in full.
    owed_replies: usize,
    /// Octets of the peer's requests on channel 0 since none of them waited for its answer.
    requested_octets: usize,
    /// A channel was denied window because of what all of them hold.
    is_window_denied: bool,
}

impl Totals {
    /// A message was queued on a channel of the application.
    fn queued(&mut self, channel: &mut Channel, octets: usize) {
        channel.queued_octets = channel.queued_octets.saturating_add(octets);
        channel.queued_messages += 1;
        self.queued_octets = self.queued_octets.saturating_add(octets);
        self.queued_messages += 1;
    }
}

impl Session {
    /// A session on a connection just made. The peer's greeting is due within the config's time from `now`.
    pub fn new(role: Role, config: Arc<Config>, now: Instant) -> Session {
        Session::with_first_numbers(role, config, now, FirstNumbers::default())
    }

    /// A session whose channels begin with other numbers than 0, as if they had been in use for long.
    pub(crate) fn with_first_numbers(
        role: Role,
        config: Arc<Config>,
        now: Instant,
        first_numbers: FirstNumbers,
    ) -> Session {
        let management = Channel::new(ChannelNumber::MANAGEMENT, Phase::Open, first_numbers);
        let mut session = Session {
            role,
            now,
            decoder: Decoder::new(config.header_max),
            in_progress: None,
            channels: BTreeMap::from([(ChannelNumber::MANAGEMENT, Box::new(management))]),
            first_numbers,
            next_number: starting::first_own_number(role),
            recently_closed: VecDeque::new(),
            requests: VecDeque::new(),
            ready: Queue::default(),
            seq_pending: Queue::default(),
            totals: Totals::default(),
            deadlines: Deadlines::new(
                now.checked_add(config.greeting_timeout),
                config
                    .idle_timeout
                    .and_then(|silence| now.checked_add(silence)),
            ),
            has_greeted: false,
            is_greeting_out: false,
            refusal: None,
            peer_greeting: None,
            server_name: None,
            own_release: OwnRelease::No,
            peer_release: PeerRelease::No,
            tuning: Tuning::No,
            events: Queue::default(),
            end: None,
            config,
        };
        if session.config.greeting_octets > INITIAL_WINDOW {
            session.offer_window(ChannelNumber::MANAGEMENT, session.config.greeting_octets);
        }
        session
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether [`poll_event`](Self::poll_event) has something to give.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The instant at which [`handle_timeout`](Self::handle_timeout) is due, if any.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.end.is_some() {
            None
        } else {
            self.deadlines.earliest()
        }
    }

    /// Lets time pass: reports and acts on what has run out by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        if is_due(self.deadlines.linger) {
            self.finish(SessionEnd::Released {
                by_peer: !self.own_release.is_sent(),
            });
        } else if is_due(self.deadlines.greeting) {
            self.finish(SessionEnd::TimedOut(Deadline::Greeting));
        } else if is_due(self.deadlines.idle) {
            self.finish(SessionEnd::TimedOut(Deadline::Idle));
        }
        while self.end.is_none() {
            match self.deadlines.pop_due(now) {
                Some(Timer::Start(number)) => self.start_timed_out(number),
                Some(Timer::Close(number)) => self.close_timed_out(number),
                Some(Timer::AgreeToClose(number)) => self.agreeing_timed_out(number),
                Some(Timer::Release) => self.release_timed_out(),
                Some(Timer::AgreeToRelease) => self.agree_to_release(),
                None => break,
            }
        }
    }

    /// The peer ended its sending side, or the connection is lost.
    pub fn handle_end_of_stream(&mut self, now: Instant) {
        self.advance(now);
        let end = if let Some(error) = self.refusal.take() {
            SessionEnd::Refused(*error)
        } else if !matches!(self.peer_release, PeerRelease::No) {
            SessionEnd::Released { by_peer: true }
        } else if self.own_release.is_sent() {
            // Some peers answer the release by ending the connection.
            SessionEnd::Released { by_peer: false }
        } else {
            let mid_frame = self.in_progress.is_some() || !self.decoder.is_between_frames();
            SessionEnd::PeerHungUp { mid_frame }
        };
        self.finish(end);
    }

    /// Ends the session at once; nothing more is transmitted.
    ///
    /// One whose release was agreed to, and only lingers for the peer to hang up, is released all the same.
    pub fn abort(&mut self) {
        self.finish(if self.peer_release.is_answered() {
            SessionEnd::Released { by_peer: true }
        } else {
            SessionEnd::Aborted
        });
    }

    /// Which end of the connection this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name of the server that the first accepted start with one asked for (RFC 3080 §2.3.1.2).
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The peer's greeting, once it is complete.
    pub fn peer_greeting(&self) -> Option<&Greeting> {
        self.peer_greeting.as_deref()
    }

    /// The channels that are open or accepted, 0 included, in ascending order.
    pub fn channel_numbers(&self) -> impl Iterator<Item = ChannelNumber> {
        self.channels
            .values()
            .filter(|channel| channel.is_usable())
            .map(|channel| channel.number)
    }

    /// What there is to know of a channel that is open, being started or asked for.
    pub fn channel(&self, number: ChannelNumber) -> Option<ChannelInfo<'_>> {
        let channel = self.channels.get(&number)?;
        let is_silent = channel
            .closing
            .as_ref()
            .is_some_and(|closing| closing.is_silent);
        (!is_silent).then_some(ChannelInfo { channel })
    }

    /// Why the session is over, once it is.
    pub fn end(&self) -> Option<&SessionEnd> {
        self.end.as_deref()
    }

    /// Whether the transport should be closed, as soon as what `poll_transmit` gave has left.
    pub fn should_hang_up(&self) -> bool {
        self.end.is_some()
    }

    /// Octets of content held in the send queues and in messages being joined.
    pub fn buffered_octets(&self) -> usize {
        let management = self
            .channels
            .get(&ChannelNumber::MANAGEMENT)
            .map_or(0, |channel| channel.queued_octets);
        self.totals
            .queued_octets
            .saturating_add(self.totals.joining_octets)
            .saturating_add(management)
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn set_reply_deadline(&mut self, timer: Timer) -> deadlines::DeadlineKey {
        let at = self
            .now
            .checked_add(self.config.reply_timeout)
            .unwrap_or(self.now);
        self.deadlines.set(at, timer)
    }

    /// Whether the application may still ask for something.
    fn is_over(&self) -> bool {
        self.end.is_some()
            || self.refusal.is_some()
            || !matches!(self.own_release, OwnRelease::No)
            || self.peer_release.is_agreed()
    }

    fn push_event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Ends the session and tells those who wait for something.
    fn finish(&mut self, end: SessionEnd) {
        if self.end.is_some() {
            return;
        }
        let requests = std::mem::take(&mut self.requests);
        for request in requests {
            if let OwnRequest::Start(start) = request
                && start.deadline.is_some()
            {
                self.push_event(Event::StartFailed {
                    number: start.number,
                    why: ChannelFailure::SessionEnded,
                });
            }
        }
        for channel in std::mem::take(&mut self.channels).into_values() {
            let Some(closing) = channel.closing.filter(|closing| !closing.is_silent) else {
                continue;
            };
            let waits = matches!(
                closing.own,
                OwnClose::Waiting { .. } | OwnClose::Sent { deadline: Some(_) }
            ) || (closing.is_joined
                && matches!(closing.peers, PeerClose::Accepted { .. }));
            if waits {
                let why = ChannelFailure::SessionEnded;
                self.push_event(Event::CloseFailed {
                    number: channel.number,
                    why,
                });
            }
        }
        self.ready = Queue::default();
        self.seq_pending = Queue::default();
        self.recently_closed = VecDeque::new();
        self.in_progress = None;
        self.totals = Totals::default();
        self.deadlines = Deadlines::default();
        self.push_event(Event::Ended(end.clone()));
        self.end = Some(Box::new(end));
    }

    /// Takes a channel out of the session.
    fn remove_channel(&mut self, number: ChannelNumber) {
        let Some(channel) = self.channels.remove(&number) else {
            return;
        };
        self.totals.queued_octets = self
            .totals
            .queued_octets
            .saturating_sub(channel.queued_octets);
        self.totals.queued_messages = self
            .totals
            .queued_messages
            .saturating_sub(channel.queued_messages);
        self.totals.awaited_replies = self
            .totals
            .awaited_replies
            .saturating_sub(channel.awaited.len());
        self.totals.joining_octets = self
            .totals
            .joining_octets
            .saturating_sub(channel.reassembly.octets());
        self.totals.owed_replies = self
            .totals
            .owed_replies
            .saturating_sub(channel.replies.len());
        self.let_go(channel.held_octets);
        if channel.is_open() {
            if self.recently_closed.len() >= RECENTLY_CLOSED_MOST {
                self.recently_closed.pop_front();
            }
            self.recently_closed.push_back(number);
        }
    }
}

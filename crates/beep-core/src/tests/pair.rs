//! Two sessions connected back to back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::channel::FirstNumbers;
use crate::{
    ChannelNumber, Config, Event, Greeting, Message, MessageKind, Outgoing, ProfileOffer,
    ReplyCode, Role, Session, SessionEnd, StartRequest,
};

pub(super) const ECHO: &str = "urn:x-test:echo";

pub(super) fn number(value: u32) -> ChannelNumber {
    ChannelNumber::new(value).unwrap()
}

pub(super) fn offer(uri: &str) -> ProfileOffer {
    ProfileOffer {
        uri: uri.to_owned(),
        content: None,
    }
}

pub(super) fn start_of(uri: &str) -> StartRequest {
    StartRequest {
        profiles: vec![offer(uri)],
        ..StartRequest::default()
    }
}

/// How octets get from one end to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    OneOctet,
    Random,
}

/// A small generator of numbers that repeats itself.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most.max(1) as u64) as usize
    }
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) session: Session,
    pub(super) events: Vec<Event>,
    /// On the way to this end.
    pub(super) wire: Vec<u8>,
    /// All that this end ever sent.
    pub(super) sent: Vec<u8>,
}

impl End {
    fn new(session: Session) -> Self {
        End {
            session,
            events: Vec::new(),
            wire: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub(super) fn drain_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
    }

    /// Takes the events so far.
    pub(super) fn take(&mut self) -> Vec<Event> {
        self.drain_events();
        std::mem::take(&mut self.events)
    }

    /// Takes the messages so far, consuming each, and drops other events.
    pub(super) fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        for event in self.take() {
            if let Event::Message { channel, message } = event {
                self.session.consume(channel, message.content().len());
                messages.push(message);
            }
        }
        messages
    }

    pub(super) fn sent_text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) initiator: End,
    pub(super) listener: End,
    pub(super) now: Instant,
    pub(super) delivery: Delivery,
    pub(super) dice: Dice,
    pub(super) max_octets: usize,
}

impl Pair {
    pub(super) fn with(config: Config, first_numbers: FirstNumbers) -> Self {
        Pair::asymmetric(config.clone(), config, first_numbers)
    }

    pub(super) fn asymmetric(
        initiator: Config,
        listener: Config,
        first_numbers: FirstNumbers,
    ) -> Self {
        let now = Instant::now();
        let make = |role, config: Config| {
            let config: Arc<Config> = config.checked().unwrap();
            End::new(Session::with_first_numbers(
                role,
                config,
                now,
                first_numbers,
            ))
        };
        Pair {
            initiator: make(Role::Initiator, initiator),
            listener: make(Role::Listener, listener),
            now,
            delivery: Delivery::Whole,
            dice: Dice::new(1),
            max_octets: 64 * 1024,
        }
    }

    /// Both ends connected and not greeted yet.
    pub(super) fn silent() -> Self {
        Pair::with(Config::default(), FirstNumbers::default())
    }

    pub(super) fn greet(mut self) -> Self {
        self.initiator.session.greet(&Greeting::default()).unwrap();
        let profiles = vec![ECHO.to_owned()];
        self.listener
            .session
            .greet(&Greeting {
                profiles,
                ..Greeting::default()
            })
            .unwrap();
        self.settle();
        for end in [&mut self.initiator, &mut self.listener] {
            assert!(matches!(end.take()[..], [Event::GreetingReceived(_)]));
        }
        self
    }

    /// Both ends greeted.
    pub(super) fn new() -> Self {
        Pair::silent().greet()
    }

    pub(super) fn configured(config: Config) -> Self {
        Pair::with(config, FirstNumbers::default()).greet()
    }

    /// Both ends greeted and one channel open, started by the initiator.
    pub(super) fn with_channel() -> (Self, ChannelNumber) {
        let mut pair = Pair::new();
        let channel = pair.open();
        (pair, channel)
    }

    /// Opens one more channel from the initiator's side.
    pub(super) fn open(&mut self) -> ChannelNumber {
        let channel = self
            .initiator
            .session
            .start(self.now, start_of(ECHO))
            .unwrap();
        self.settle();
        assert!(
            matches!(self.listener.take()[..], [Event::StartRequested { number, .. }] if number == channel)
        );
        self.listener
            .session
            .accept_start(channel, 0, None)
            .unwrap();
        self.settle();
        assert!(
            matches!(self.initiator.take()[..], [Event::Started { number, .. }] if number == channel)
        );
        channel
    }

    /// Moves octets until neither end has any more to say; true when something moved.
    pub(super) fn settle(&mut self) -> bool {
        let mut has_moved = false;
        while self.step() {
            has_moved = true;
        }
        has_moved
    }

    /// One turn of both ends.
    pub(super) fn step(&mut self) -> bool {
        let Pair {
            initiator,
            listener,
            now,
            delivery,
            dice,
            max_octets,
        } = self;
        let sent = transmit(initiator, listener, *now, *max_octets)
            | transmit(listener, initiator, *now, *max_octets);
        let taken =
            receive(initiator, *now, *delivery, dice) | receive(listener, *now, *delivery, dice);
        sent | taken
    }

    /// Lets time pass at both ends.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.initiator.session.handle_timeout(self.now);
        self.listener.session.handle_timeout(self.now);
        self.settle();
    }

    /// The initiator releases, the listener agrees; both have to end as they should.
    pub(super) fn release(&mut self) {
        self.settle();
        self.initiator.take();
        self.listener.take();
        self.initiator
            .session
            .release(self.now, ReplyCode::SUCCESS, None)
            .unwrap();
        self.settle();
        let asked = self.listener.take();
        assert!(
            matches!(asked[..], [Event::ReleaseRequested { .. }]),
            "{asked:?}"
        );
        self.listener
            .session
            .accept_close(ChannelNumber::MANAGEMENT)
            .unwrap();
        self.settle();
        assert_eq!(
            self.initiator.session.end(),
            Some(&SessionEnd::Released { by_peer: false })
        );
        assert!(self.initiator.session.should_hang_up());
        assert!(!self.listener.session.should_hang_up());
        self.listener.session.handle_end_of_stream(self.now);
        assert_eq!(
            self.listener.session.end(),
            Some(&SessionEnd::Released { by_peer: true })
        );
        assert!(self.listener.session.should_hang_up());
    }
}

fn transmit(from: &mut End, to: &mut End, now: Instant, max_octets: usize) -> bool {
    let mut chunks: Vec<Bytes> = Vec::new();
    let octets = from.session.poll_transmit(now, &mut chunks, max_octets);
    assert_eq!(octets, chunks.iter().map(Bytes::len).sum::<usize>());
    for chunk in chunks {
        to.wire.extend_from_slice(&chunk);
        from.sent.extend_from_slice(&chunk);
    }
    from.drain_events();
    octets > 0
}

fn receive(end: &mut End, now: Instant, delivery: Delivery, dice: &mut Dice) -> bool {
    if end.wire.is_empty() {
        return false;
    }
    let wire = std::mem::take(&mut end.wire);
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let size = match delivery {
            Delivery::Whole => rest.len(),
            Delivery::OneOctet => 1,
            Delivery::Random => 1 + dice.below(rest.len().min(700)),
        };
        let taken = end.session.handle_input(now, &rest[..size]);
        end.drain_events();
        rest = &rest[taken..];
        if taken < size {
            break;
        }
    }
    end.wire = rest.to_vec();
    rest.len() < wire.len()
}

/// A payload that shows where it was cut or mixed up.
pub(super) fn pattern(size: usize, seed: usize) -> Bytes {
    (0..size)
        .map(|at| (at.wrapping_mul(31) ^ (at >> 8) ^ seed) as u8)
        .collect()
}

pub(super) fn content(size: usize, seed: usize) -> Outgoing {
    Outgoing::new(pattern(size, seed))
}

pub(super) fn kinds(messages: &[Message]) -> Vec<(MessageKind, u32)> {
    messages
        .iter()
        .map(|message| (message.kind, message.msgno.value()))
        .collect()
}

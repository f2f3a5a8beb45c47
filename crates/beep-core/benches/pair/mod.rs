//! Two sessions that talk to each other in memory: what the benchmarks time, and what instructions are counted of.

use std::time::Instant;

use beep_core::{
    ChannelNumber, Config, Event, Greeting, Message, MessageKind, Outgoing, ProfileOffer,
    ReplyCode, Role, Session, StartRequest,
};
use bytes::{Bytes, BytesMut};

/// Octets taken for one write, as the driver of `beep-session` does.
const WRITE_MAX: usize = 256 * 1024;

/// What the listener does with a MSG.
#[derive(Clone, Copy)]
pub enum Service {
    /// The same content comes back.
    Echo,
    /// An empty reply.
    Sink,
    /// A series of so many answers with the content of the MSG.
    Answers(usize),
}

/// Two sessions that have greeted.
pub struct Pair {
    initiator: Session,
    listener: Session,
    now: Instant,
    wire: Wire,
    service: Service,
    /// Replies that the initiator received, the answers of a series not counted.
    replies: usize,
}

impl Pair {
    /// Two sessions whose greetings are exchanged.
    pub fn new(service: Service) -> Self {
        let now = Instant::now();
        let config = Config::default().checked().expect("the default works");
        let mut pair = Pair {
            initiator: Session::new(Role::Initiator, config.clone(), now),
            listener: Session::new(Role::Listener, config, now),
            now,
            wire: Wire::default(),
            service,
            replies: 0,
        };
        let greeting = Greeting::default();
        pair.initiator.greet(&greeting).expect("a fresh session");
        pair.listener.greet(&greeting).expect("a fresh session");
        pair.settle();
        pair
    }

    /// Starts a channel.
    pub fn open(&mut self) -> ChannelNumber {
        let offer = ProfileOffer {
            uri: "urn:bench:service".into(),
            content: None,
        };
        let request = StartRequest {
            profiles: vec![offer],
            ..StartRequest::default()
        };
        let number = self.initiator.start(self.now, request).expect("it is free");
        self.settle();
        number
    }

    /// Closes a channel.
    pub fn close(&mut self, number: ChannelNumber) {
        self.initiator
            .close(self.now, number, ReplyCode::SUCCESS, None)
            .expect("it is open");
        self.settle();
    }

    /// Sends a MSG and goes on until nothing moves any more.
    pub fn request(&mut self, channel: ChannelNumber, content: Bytes) {
        self.initiator
            .send_msg(channel, Outgoing::new(content))
            .expect("there is room");
        self.settle();
    }

    /// Replies that came so far.
    pub fn replies(&self) -> usize {
        self.replies
    }

    fn settle(&mut self) {
        loop {
            let (initiator, listener) = (&mut self.initiator, &mut self.listener);
            let there = pass(initiator, listener, &mut self.wire, self.now);
            self.serve();
            let (initiator, listener) = (&mut self.initiator, &mut self.listener);
            let back = pass(listener, initiator, &mut self.wire, self.now);
            self.take();
            if !there && !back {
                return;
            }
        }
    }

    fn serve(&mut self) {
        while let Some(event) = self.listener.poll_event() {
            match event {
                Event::StartRequested { number, .. } => self
                    .listener
                    .accept_start(number, 0, None)
                    .expect("it was asked for"),
                Event::CloseRequested { number, .. } => self
                    .listener
                    .accept_close(number)
                    .expect("it was asked for"),
                Event::Message { channel, message } => self.reply(channel, &message),
                _ => {}
            }
        }
    }

    fn reply(&mut self, channel: ChannelNumber, message: &Message) {
        let (msgno, content) = (message.msgno, message.content().clone());
        let listener = &mut self.listener;
        listener.consume(channel, content.len());
        let replied = match self.service {
            Service::Echo => listener.send_rpy(channel, msgno, Outgoing::raw(content)),
            Service::Sink => listener.send_rpy(channel, msgno, Outgoing::new("")),
            Service::Answers(count) => (0..count)
                .try_for_each(|_| {
                    let answer = Outgoing::raw(content.clone());
                    listener.send_ans(channel, msgno, answer).map(|_| ())
                })
                .and_then(|()| listener.send_nul(channel, msgno)),
        };
        replied.expect("there is room");
    }

    fn take(&mut self) {
        while let Some(event) = self.initiator.poll_event() {
            if let Event::Message { channel, message } = event {
                self.initiator.consume(channel, message.content().len());
                self.replies += usize::from(message.kind != MessageKind::Ans);
            }
        }
    }
}

/// What octets travel in, used again like that of `beep-session`.
#[derive(Default)]
struct Wire {
    buffer: BytesMut,
    chunks: Vec<Bytes>,
}

/// Moves everything that one session has to say; says whether there was anything.
fn pass(from: &mut Session, to: &mut Session, wire: &mut Wire, now: Instant) -> bool {
    let octets = from.poll_transmit_into(now, &mut wire.buffer, &mut wire.chunks, WRITE_MAX);
    for chunk in wire.chunks.drain(..) {
        to.handle_input(now, &chunk);
    }
    octets > 0
}

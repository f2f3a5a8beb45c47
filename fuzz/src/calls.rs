//! Any calls on two sessions that speak with each other: every message arrives once, whole and in order or not at all,
//! neither end accuses the other, and what is held stays within the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use beep_core::{
    ChannelNumber, Config, ErrorReply, Event, Greeting, Message, MessageKind, MsgNo, Outgoing,
    ProfileOffer, ReplyCode, Role, Session, SessionEnd, StartRequest,
};
use bytes::Bytes;

use crate::application::{ECHO, small_config};
use crate::input::Input;

/// Octets of a content that say which one it is.
const MARK: usize = 4;

/// Octets of the longest content, over the smallest window.
const LONGEST: usize = 150 * 56;

/// A message that was taken for sending.
struct Sent {
    by: usize,
    channel: ChannelNumber,
    kind: MessageKind,
    msgno: MsgNo,
    content: Bytes,
    has_arrived: bool,
}

#[derive(Default)]
struct End {
    open: BTreeSet<ChannelNumber>,
    starts: Vec<ChannelNumber>,
    closes: Vec<ChannelNumber>,
    owed: Vec<(ChannelNumber, MsgNo)>,
    held: Vec<(ChannelNumber, usize)>,
    /// Frames of messages that are not joined, by what ties them together.
    parts: BTreeMap<(ChannelNumber, &'static str, u32, u32), Vec<u8>>,
    /// The last MSG that arrived, and the last answer to each MSG, to check the order.
    last: BTreeMap<(ChannelNumber, Option<u32>), usize>,
    empties_sent: usize,
    empties_arrived: usize,
    end: Option<SessionEnd>,
}

struct World {
    sessions: [Session; 2],
    ends: [End; 2],
    /// Octets under way to each end.
    wires: [Vec<u8>; 2],
    sent: Vec<Sent>,
    now: Instant,
    /// Whether nothing happened that may lose a message.
    is_calm: bool,
}

/// The first octets say what the limits are, the others what is called.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let mut world = World::new(&mut input);
    let mut calls = 0;
    while !input.is_empty() && calls < 2000 {
        world.call(&mut input);
        calls += 1;
    }
    world.wind_up();
}

impl World {
    fn new(input: &mut Input<'_>) -> Self {
        let now = Instant::now();
        let mut session = |role| {
            let config = config(input).checked().expect("the limits can work");
            let mut session = Session::new(role, config, now);
            let greeting = Greeting {
                profiles: vec![ECHO.to_owned()],
                ..Greeting::default()
            };
            session.greet(&greeting).expect("it was not greeted before");
            session
        };
        World {
            sessions: [session(Role::Initiator), session(Role::Listener)],
            ends: Default::default(),
            wires: Default::default(),
            sent: Vec::new(),
            now,
            is_calm: true,
        }
    }

    fn call(&mut self, input: &mut Input<'_>) {
        let what = input.octet();
        let side = usize::from(what & 1);
        let now = self.now;
        let channel = {
            let open = &self.ends[side].open;
            let place = usize::from(what >> 6) % open.len().max(1);
            open.iter().nth(place).copied()
        };
        match ((what >> 1) % 24, channel) {
            (0 | 1, _) => {
                let number = input.octet();
                let number = (number % 8 != 0).then(|| u32::from(number / 32));
                let offer = ProfileOffer {
                    uri: ECHO.to_owned(),
                    content: None,
                };
                let _ = self.sessions[side].start(
                    now,
                    StartRequest {
                        number: number
                            .and_then(ChannelNumber::new)
                            .filter(|_| what & 64 == 0),
                        profiles: vec![offer],
                        ..StartRequest::default()
                    },
                );
            }
            (2 | 3, _) => self.answer_start(side, input.octet() % 8 != 0),
            (4, _) => self.answer_close(side, input.octet() % 4 != 0),
            (5, Some(channel)) => {
                let _ = self.sessions[side].close(now, channel, ReplyCode::SUCCESS, None);
            }
            (6, _) if input.octet() == 7 => {
                let _ = self.sessions[side].release(now, ReplyCode::SUCCESS, None);
            }
            (7, Some(channel)) => {
                self.sessions[side].set_reassembly(channel, input.octet() % 2 == 0);
            }
            (8..=10, Some(channel)) => {
                let content = self.content(input);
                let sent = self.sessions[side].send_msg(channel, outgoing(&content));
                if let Ok(msgno) = sent {
                    self.note_sent(side, channel, MessageKind::Msg, msgno, content);
                }
            }
            (11..=13, _) => self.reply(side, input),
            (14 | 15, _) => self.consume(side, usize::from(input.octet())),
            (16..=18, _) => {
                self.transmit(side, input.number() % 6000 + 1);
            }
            (19..=21, _) => {
                self.deliver(side, input.number() % 3000 + 1);
            }
            (22, _) => match input.octet() {
                0 => {
                    self.sessions[side].abort();
                    self.is_calm = false;
                }
                1 => {
                    self.sessions[side].handle_end_of_stream(now);
                    self.is_calm = false;
                }
                seconds @ 2..=70 => {
                    self.now += Duration::from_secs(u64::from(seconds));
                    self.is_calm = false;
                    for session in &mut self.sessions {
                        session.handle_timeout(self.now);
                    }
                }
                _ => {}
            },
            _ => {}
        }
        self.take_events();
        self.check_limits();
    }

    fn answer_start(&mut self, side: usize, accepts: bool) {
        for number in std::mem::take(&mut self.ends[side].starts) {
            if !accepts {
                let error = ErrorReply::new(ReplyCode::ACTION_NOT_TAKEN, "no");
                let _ = self.sessions[side].refuse_start(number, error);
            } else if self.sessions[side].accept_start(number, 0, None).is_ok() {
                assert!(self.ends[side].open.insert(number));
            }
        }
    }

    fn answer_close(&mut self, side: usize, accepts: bool) {
        for number in std::mem::take(&mut self.ends[side].closes) {
            if accepts {
                let _ = self.sessions[side].accept_close(number);
            } else {
                let error = ErrorReply::new(ReplyCode::ACTION_NOT_TAKEN, "no");
                let _ = self.sessions[side].refuse_close(number, error);
            }
        }
    }

    fn reply(&mut self, side: usize, input: &mut Input<'_>) {
        let how = input.octet();
        let owed = &self.ends[side].owed;
        if owed.is_empty() {
            return;
        }
        let place = usize::from(how >> 4) % owed.len();
        let (channel, msgno) = owed[place];
        let (kind, content) = match how % 8 {
            0 => (MessageKind::Nul, Bytes::new()),
            1 => (MessageKind::Err, self.content(input)),
            2..=4 => (MessageKind::Ans, self.content(input)),
            _ => (MessageKind::Rpy, self.content(input)),
        };
        let session = &mut self.sessions[side];
        let taken = match kind {
            MessageKind::Nul => session.send_nul(channel, msgno).is_ok(),
            MessageKind::Err => session.send_err(channel, msgno, outgoing(&content)).is_ok(),
            MessageKind::Ans => session.send_ans(channel, msgno, outgoing(&content)).is_ok(),
            _ => session.send_rpy(channel, msgno, outgoing(&content)).is_ok(),
        };
        if taken {
            self.note_sent(side, channel, kind, msgno, content);
            if kind != MessageKind::Ans {
                self.ends[side].owed.remove(place);
            }
        }
    }

    /// Something to send, which says which one it is.
    fn content(&self, input: &mut Input<'_>) -> Bytes {
        let size = match input.octet() {
            0..=15 => 0,
            small @ 16..=199 => usize::from(small),
            large => usize::from(large - 199) * (LONGEST / 56),
        };
        let id = self.sent.len() as u32;
        let mark = id.to_be_bytes();
        (0..size)
            .map(|at| mark.get(at).copied().unwrap_or((at as u32 * 31 + id) as u8))
            .collect()
    }

    fn note_sent(
        &mut self,
        by: usize,
        channel: ChannelNumber,
        kind: MessageKind,
        msgno: MsgNo,
        content: Bytes,
    ) {
        if content.is_empty() {
            self.ends[by].empties_sent += 1;
            return;
        }
        assert!(content.len() >= MARK);
        self.sent.push(Sent {
            by,
            channel,
            kind,
            msgno,
            content,
            has_arrived: false,
        });
    }

    fn consume(&mut self, side: usize, most: usize) {
        let held = &mut self.ends[side].held;
        for (channel, octets) in held.drain(..most.min(held.len())) {
            self.sessions[side].consume(channel, octets);
        }
    }

    fn transmit(&mut self, side: usize, most: usize) -> bool {
        let mut chunks = Vec::new();
        let octets = self.sessions[side].poll_transmit(self.now, &mut chunks, most);
        assert_eq!(octets, chunks.iter().map(Bytes::len).sum::<usize>());
        for chunk in chunks {
            self.wires[1 - side].extend_from_slice(&chunk);
        }
        octets > 0
    }

    fn deliver(&mut self, side: usize, most: usize) -> bool {
        let wire = &mut self.wires[side];
        let most = most.min(wire.len());
        let taken = self.sessions[side].handle_input(self.now, &wire[..most]);
        if self.sessions[side].end().is_none() {
            assert_eq!(taken, most);
        }
        wire.drain(..most);
        taken > 0
    }

    fn take_events(&mut self) {
        for side in 0..2 {
            while let Some(event) = self.sessions[side].poll_event() {
                self.note(side, event);
            }
            assert_eq!(self.sessions[side].end(), self.ends[side].end.as_ref());
        }
    }

    fn note(&mut self, side: usize, event: Event) {
        let its = &mut self.ends[side];
        assert_eq!(its.end, None, "{event:?} after the end");
        match event {
            Event::StartRequested { number, .. } => its.starts.push(number),
            Event::Started { number, .. } => assert!(its.open.insert(number)),
            Event::CloseRequested { number, .. } => its.closes.push(number),
            Event::ReleaseRequested { .. } => its.closes.push(ChannelNumber::MANAGEMENT),
            Event::Closed { number, .. } => {
                assert!(its.open.remove(&number), "channel {number} was not open");
                its.owed.retain(|(channel, _)| *channel != number);
                its.held.retain(|(channel, _)| *channel != number);
                its.last.retain(|(channel, _), _| *channel != number);
                its.parts.retain(|(channel, ..), _| *channel != number);
            }
            Event::Message { channel, message } => {
                assert!(
                    its.open.contains(&channel),
                    "a message on channel {channel}"
                );
                its.held.push((channel, message.content().len()));
                self.note_message(side, channel, &message);
            }
            Event::Ended(end) => {
                // Two of ours understand each other, whatever is called.
                assert!(!matches!(end, SessionEnd::Protocol(_)), "{end}");
                self.is_calm = false;
                self.ends[side].end = Some(end);
            }
            Event::StartFailed { .. } | Event::CloseFailed { .. } | Event::GreetingReceived(_) => {}
            _ => {}
        }
    }

    fn note_message(&mut self, side: usize, channel: ChannelNumber, message: &Message) {
        let ansno = message.ansno.map_or(0, |ansno| ansno.value());
        let key = (
            channel,
            message.kind.keyword(),
            message.msgno.value(),
            ansno,
        );
        let its = &mut self.ends[side];
        let mut content = its.parts.remove(&key).unwrap_or_default();
        content.extend_from_slice(message.content());
        if message.more {
            its.parts.insert(key, content);
            return;
        }
        if message.kind == MessageKind::Msg {
            its.owed.push((channel, message.msgno));
        }
        if content.is_empty() {
            its.empties_arrived += 1;
            // A channel that its peer gave up is refused with empty errors.
            let peers = &self.ends[1 - side];
            assert!(!self.is_calm || self.ends[side].empties_arrived <= peers.empties_sent);
            return;
        }
        let mark = content
            .first_chunk::<MARK>()
            .expect("nothing is sent without a mark");
        let id = u32::from_be_bytes(*mark) as usize;
        let sent = self
            .sent
            .get_mut(id)
            .expect("nothing arrives that was not sent");
        assert!(!sent.has_arrived, "a message arrived twice");
        sent.has_arrived = true;
        assert_eq!((sent.by, sent.channel), (1 - side, channel));
        assert_eq!((sent.kind, sent.msgno), (message.kind, message.msgno));
        assert!(
            sent.content == content,
            "a message arrived in part or changed"
        );
        let place = match message.kind {
            MessageKind::Msg => Some((channel, None)),
            MessageKind::Ans => Some((channel, Some(message.msgno.value()))),
            _ => None,
        };
        if let Some(place) = place
            && let Some(before) = self.ends[side].last.insert(place, id)
        {
            assert!(before < id, "messages arrived in another order");
        }
    }

    fn check_limits(&self) {
        for (session, its) in self.sessions.iter().zip(&self.ends) {
            let config = session.config();
            // One message is always taken for each channel.
            let most = config.joining_max + config.send_queue_octets_session + 64 * 1024;
            assert!(session.buffered_octets() <= most);
            assert!(session.channel_numbers().count() <= config.channels_max + 1);
            let mut held = BTreeMap::<_, (usize, usize)>::new();
            for (channel, octets) in &its.held {
                let sums = held.entry(*channel).or_default();
                *sums = (sums.0 + octets, sums.1 + 1);
            }
            for (octets, messages) in held.values() {
                // A large message gets room while it is joined, and then counts a quarter of the window at most.
                assert!(*octets <= config.window_max as usize + 5 * LONGEST);
                assert!(*messages <= config.messages_held_max);
            }
            let all = its.held.iter().map(|(_, octets)| octets + 256);
            assert!(session.end().is_some() || all.sum::<usize>() <= config.octets_held_max);
            for number in &its.open {
                let Some(channel) = session.channel(*number) else {
                    continue;
                };
                assert!(
                    channel.queued_messages()
                        <= config.send_queue_messages + config.messages_unanswered_max
                );
                assert!(channel.awaited_replies() <= config.outstanding_max);
                assert!(channel.owed_replies() <= config.messages_unanswered_max);
            }
        }
    }

    /// Lets everything arrive, and checks that it did.
    fn wind_up(&mut self) {
        loop {
            let mut is_busy = false;
            for side in 0..2 {
                is_busy |= self.transmit(side, usize::MAX);
                is_busy |= self.deliver(side, usize::MAX);
                self.take_events();
                is_busy |= !self.ends[side].held.is_empty();
                self.consume(side, usize::MAX);
                is_busy |= !self.ends[side].starts.is_empty() || !self.ends[side].closes.is_empty();
                self.answer_start(side, true);
                self.answer_close(side, true);
                for (channel, msgno) in std::mem::take(&mut self.ends[side].owed) {
                    let answered = self.sessions[side].send_nul(channel, msgno);
                    if answered.is_ok() {
                        is_busy = true;
                        self.ends[side].empties_sent += 1;
                    } else if self.sessions[side]
                        .channel(channel)
                        .is_some_and(|channel| channel.owed_replies() > 0)
                    {
                        // Full, or answered before.
                        self.ends[side].owed.push((channel, msgno));
                    }
                }
                self.take_events();
                self.check_limits();
            }
            if !is_busy {
                break;
            }
        }
        if self.is_calm {
            for (id, sent) in self.sent.iter().enumerate() {
                assert!(
                    sent.has_arrived,
                    "message {id} is lost: {} {} {}",
                    sent.kind, sent.channel, sent.msgno
                );
            }
            for session in &self.sessions {
                assert_eq!(session.buffered_octets(), 0);
            }
        }
        for side in 0..2 {
            self.sessions[side].handle_end_of_stream(self.now);
        }
        self.take_events();
        for session in &self.sessions {
            assert!(session.end().is_some());
            assert_eq!(session.buffered_octets(), 0);
        }
    }
}

fn outgoing(content: &Bytes) -> Outgoing {
    Outgoing::raw(content.clone())
}

fn config(input: &mut Input<'_>) -> Config {
    let choice = input.octet();
    let small = Config {
        tuning_profiles: Vec::new(),
        frame_max: [1, 100, 1000, 32_768][usize::from(choice % 4)],
        ..small_config()
    };
    if choice & 4 == 0 {
        return small;
    }
    Config {
        frame_max: small.frame_max,
        channels_max: 16,
        ..Config::default()
    }
}

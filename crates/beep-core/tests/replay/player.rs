//! Our engine in place of one side of a recording, with an application that does what the recorded one did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beep_core::management::{parse_error, parse_profile, parse_request};
use beep_core::{
    ChannelFailure, Close, Config, DocumentLimits, Encoding, ErrorReply, Event, MessageKind, MsgNo,
    Outgoing, ProfileContent, ProfileOffer, Request, Role, Session, SessionEnd, StartRequest,
};

use crate::captures::{Recording, Step, What};
use crate::script::{Command, Script, TUNING_PROFILES, number};
use crate::seen::Seen;
use crate::sent::Sent;
use crate::wire::{Cutter, Frame, Id, is_of_another_layer};

/// How the peer's octets reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Whole,
    OneOctet,
    /// At random, from this seed.
    Random(u64),
}

/// The ways to cut that every recording is replayed with.
pub(crate) const CUTS: [Cut; 4] = [Cut::Whole, Cut::OneOctet, Cut::Random(1), Cut::Random(2026)];

/// A request of the peer that waits for the application.
#[derive(Debug)]
enum Pending {
    Start(Vec<ProfileOffer>),
    Close,
}

pub(crate) struct Player {
    pub(crate) session: Session,
    pub(crate) script: Script,
    pub(crate) sent: Sent,
    pub(crate) seen: Vec<Seen>,
    /// Octets of another layer that the engine did not take.
    pub(crate) untaken: usize,
    role: Role,
    now: Instant,
    cut: Cut,
    dice: u64,
    /// Of the peer, by channel; 0 for the release.
    pending: BTreeMap<u32, Pending>,
    /// Channel of each start or close of the peer in this session, by message number.
    asked: BTreeMap<u32, u32>,
    /// The peer's octets, looked at for its SEQ frames and requests.
    peer: Cutter,
    requests: BTreeMap<u32, Vec<u8>>,
    next_own: u32,
    current: u64,
}

impl Player {
    pub(crate) fn new(recording: &Recording, role: Role, config: Config, cut: Cut) -> Player {
        let config: Arc<Config> = Config {
            tuning_profiles: TUNING_PROFILES.map(str::to_owned).to_vec(),
            ..config
        }
        .checked()
        .unwrap();
        let now = Instant::now();
        let mut player = Player {
            session: Session::new(role, config, now),
            script: Script::new(recording, role),
            sent: Sent::default(),
            seen: Vec::new(),
            untaken: 0,
            role,
            now,
            cut,
            dice: match cut {
                Cut::Random(seed) => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
                Cut::Whole | Cut::OneOctet => 1,
            },
            pending: BTreeMap::new(),
            asked: BTreeMap::new(),
            peer: Cutter::default(),
            requests: BTreeMap::new(),
            next_own: 0,
            current: 0,
        };
        player.begin(1);
        player
    }

    /// Plays one step: does what our side did in it, or feeds what the peer sent.
    pub(crate) fn play(&mut self, step: &Step) {
        if step.session > self.current {
            self.tune(step.session);
        }
        if let Some(command) = self.script.early.remove(&step.number) {
            let before = self.sent.octets;
            self.execute(command);
            self.drain();
            assert_eq!(self.sent.octets, before, "sent too early");
        }
        match &step.what {
            What::Octets { parsed, .. } if step.from == self.role => {
                if is_of_another_layer(parsed) {
                    assert!(self.session.is_input_held());
                    return;
                }
                for command in self
                    .script
                    .commands
                    .remove(&step.number)
                    .unwrap_or_default()
                {
                    self.execute(command);
                }
                self.drain();
            }
            What::Octets { octets, .. } => self.feed(octets),
            What::End(_) => {}
        }
    }

    /// The peer's stream ends.
    pub(crate) fn end_of_stream(&mut self) {
        if self.session.end().is_none() {
            self.session.handle_end_of_stream(self.now);
            self.drain();
        }
    }

    /// Our application drops the connection.
    pub(crate) fn abort(&mut self) {
        self.session.abort();
        self.drain();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.drain();
    }

    /// Accepts everything that the peer asked for and got no answer to, and says how much that was.
    pub(crate) fn accept_what_is_pending(&mut self) -> usize {
        let pending: Vec<u32> = self.pending.keys().copied().collect();
        for channel in &pending {
            match self.pending[channel] {
                Pending::Start(_) => self.accept_start(*channel, 0, None),
                Pending::Close => self.answer_close(*channel, Ok(())),
            }
        }
        self.drain();
        pending.len()
    }

    /// Asks for a channel, to see that the session can still do something.
    pub(crate) fn start_one_more(&mut self) {
        let before = self.sent.octets;
        let offer = ProfileOffer {
            uri: "urn:x-capture:echo".to_owned(),
            content: None,
        };
        let request = StartRequest {
            profiles: vec![offer],
            ..StartRequest::default()
        };
        self.session.start(self.now, request).unwrap();
        self.drain();
        assert!(self.sent.octets > before, "the session does not go on");
    }

    /// Accepts the start of a channel that the recorded application refused in this step.
    pub(crate) fn accept_instead(&mut self, step: u64, channel: u32, profile: usize) {
        self.script.commands.remove(&step);
        self.accept_start(channel, profile, None);
        self.drain();
    }

    fn begin(&mut self, session: u64) {
        self.current = session;
        self.sent.begin(session);
        self.pending.clear();
        self.asked.clear();
        self.requests.clear();
        self.peer = Cutter::default();
        self.next_own = match self.role {
            Role::Initiator => 3,
            Role::Listener => 4,
        };
        // Both ends greet as soon as they are connected, wherever the greeting stands in the recording.
        let is_refused = self
            .script
            .commands
            .values()
            .flatten()
            .any(|command| matches!(command, Command::RefuseSession(_)));
        if !is_refused {
            let greeting = self.script.greetings.get(&session).cloned();
            self.session.greet(&greeting.unwrap_or_default()).unwrap();
            self.drain();
        }
    }

    /// The new layer is in place: session 2 of the recording is what passed inside of it.
    fn tune(&mut self, session: u64) {
        assert!(self.session.is_input_held(), "no tuning was agreed to");
        assert!(!self.session.wants_transmit());
        self.session = self.session.tune(self.now, None).unwrap();
        self.seen.push(Seen::Tuned);
        self.begin(session);
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Greet(_) => {}
            Command::RefuseSession(error) => self.session.refuse(error),
            Command::Start(request) => self.start(request),
            Command::Close(Close {
                number, code, text, ..
            }) => self.session.close(self.now, number, code, text).unwrap(),
            Command::Answer {
                msgno,
                kind,
                content,
            } => self.answer(msgno, kind, &content),
            Command::Send { id, content } => self.send(id, content),
        }
    }

    /// Lets the engine choose the number where the recorded one would have been its choice.
    fn start(&mut self, mut request: StartRequest) {
        let wanted = request.number.unwrap();
        if wanted.value() == self.next_own {
            request.number = None;
            self.next_own += 2;
        }
        let got = self.session.start(self.now, request).unwrap();
        assert_eq!(got, wanted, "channel number chosen");
    }

    fn send(&mut self, id: Id, content: Outgoing) {
        let channel = number(id.channel);
        let msgno = MsgNo::new(id.msgno).unwrap();
        let session = &mut self.session;
        match id.kind {
            MessageKind::Msg => assert_eq!(session.send_msg(channel, content), Ok(msgno)),
            MessageKind::Rpy => session.send_rpy(channel, msgno, content).unwrap(),
            MessageKind::Err => session.send_err(channel, msgno, content).unwrap(),
            MessageKind::Ans => {
                let ansno = session.send_ans(channel, msgno, content).unwrap();
                assert_eq!(Some(ansno.value()), id.ansno);
            }
            MessageKind::Nul => session.send_nul(channel, msgno).unwrap(),
        }
    }

    /// Answers a request of the peer, unless the engine has answered it by itself.
    fn answer(&mut self, msgno: u32, kind: MessageKind, content: &[u8]) {
        let Some(channel) = self.asked.get(&msgno).copied() else {
            return;
        };
        let limits = DocumentLimits::default();
        let is_positive = kind == MessageKind::Rpy;
        match self.pending.get(&channel) {
            Some(Pending::Start(offers)) if is_positive => {
                let answer = parse_profile(content, limits).unwrap();
                let chosen = offers
                    .iter()
                    .position(|offer| offer.uri == answer.uri)
                    .unwrap();
                self.accept_start(channel, chosen, answer.content);
            }
            Some(Pending::Start(_)) => {
                let error = parse_error(content, limits).unwrap();
                self.session.refuse_start(number(channel), error).unwrap();
                self.start_answered(channel, false, 0);
            }
            Some(Pending::Close) if is_positive => self.answer_close(channel, Ok(())),
            Some(Pending::Close) => {
                self.answer_close(channel, Err(parse_error(content, limits).unwrap()));
            }
            None => {}
        }
    }

    fn accept_start(&mut self, channel: u32, profile: usize, content: Option<ProfileContent>) {
        let is_refusal = is_error(content.as_ref());
        self.session
            .accept_start(number(channel), profile, content)
            .unwrap();
        self.start_answered(channel, true, profile);
        if is_refusal {
            self.drain();
            self.session.resume_after_tuning();
        }
    }

    fn start_answered(&mut self, channel: u32, is_accepted: bool, profile: usize) {
        let Some(Pending::Start(offers)) = self.pending.remove(&channel) else {
            panic!("no start of channel {channel}");
        };
        if is_accepted {
            self.sent.open(channel);
        }
        let ProfileOffer { uri, content } = offers[profile].clone();
        let content = content.unwrap_or_default();
        self.seen.push(Seen::StartAsked {
            channel,
            is_accepted,
            uri,
            is_base64: content.encoding == Encoding::Base64,
            content: content.text,
            server_name: self.session.server_name().map(str::to_owned),
        });
    }

    fn answer_close(&mut self, channel: u32, answer: Result<(), ErrorReply>) {
        self.pending.remove(&channel).unwrap();
        let is_accepted = answer.is_ok();
        match answer {
            Ok(()) => self.session.accept_close(number(channel)).unwrap(),
            Err(error) => self.session.refuse_close(number(channel), error).unwrap(),
        }
        self.seen.push(Seen::CloseAsked {
            channel,
            is_accepted,
        });
    }

    fn feed(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() {
            let size = match self.cut {
                Cut::Whole => rest.len(),
                Cut::OneOctet => 1,
                Cut::Random(_) => 1 + self.roll(rest.len().min(600)),
            };
            let (piece, after) = rest.split_at(size);
            self.look_at(piece);
            let taken = self.session.handle_input(self.now, piece);
            self.drain();
            if taken < size && self.session.end().is_none() {
                assert!(self.session.is_input_held());
                self.untaken += rest.len() - taken;
                return;
            }
            rest = after;
        }
    }

    /// Notes windows and requests in what the peer sends; what is no frame is left to the engine to find out.
    fn look_at(&mut self, octets: &[u8]) {
        self.peer.push(octets);
        while let Ok(Some(frame)) = self.peer.next() {
            self.sent.note_of_peer(&frame);
            if let Frame::Data(data) = frame
                && data.id.channel == 0
                && data.id.kind == MessageKind::Msg
            {
                let content = self.requests.entry(data.id.msgno).or_default();
                content.extend_from_slice(&data.content);
                let channel = match parse_request(content, DocumentLimits::default()) {
                    Ok(Request::Start(start)) => start.number,
                    Ok(Request::Close(close)) => close.number,
                    Err(_) => continue,
                };
                self.asked.insert(data.id.msgno, channel.value());
            }
        }
    }

    /// Takes events and output until there is no more of either.
    fn drain(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.note(event);
        }
        let mut chunks = Vec::new();
        while self.session.poll_transmit(self.now, &mut chunks, 64 * 1024) > 0 {
            for chunk in chunks.drain(..) {
                self.sent.push(&chunk);
            }
        }
        while let Some(event) = self.session.poll_event() {
            self.note(event);
        }
    }

    fn note(&mut self, event: Event) {
        let seen = match event {
            Event::GreetingReceived(greeting) => Seen::Greeted(greeting),
            Event::StartRequested {
                number, profiles, ..
            } => {
                self.pending
                    .insert(number.value(), Pending::Start(profiles));
                return;
            }
            Event::Started { number, profile } => {
                let is_tuning = TUNING_PROFILES.contains(&profile.uri.as_str());
                if is_tuning && is_error(profile.content.as_ref()) {
                    self.session.resume_after_tuning();
                }
                self.sent.open(number.value());
                Seen::Opened {
                    channel: number.value(),
                    uri: profile.uri,
                    content: profile.content.map(|content| content.text),
                }
            }
            Event::StartFailed { why, .. } => match why {
                ChannelFailure::Refused(error) => Seen::StartRefused(error),
                _ => Seen::Unanswered,
            },
            Event::CloseRequested { number, .. } => {
                self.pending.insert(number.value(), Pending::Close);
                return;
            }
            Event::ReleaseRequested { .. } => {
                self.pending.insert(0, Pending::Close);
                return;
            }
            Event::Closed { number, .. } => {
                let channel = number.value();
                self.sent.close(channel);
                Seen::Closed { channel }
            }
            Event::CloseFailed { number, why } => match why {
                ChannelFailure::Refused(error) => Seen::CloseRefused {
                    channel: number.value(),
                    error,
                },
                _ => Seen::Unanswered,
            },
            Event::Message { channel, message } => {
                self.session.consume(channel, message.content().len());
                Seen::Message {
                    channel: channel.value(),
                    message,
                }
            }
            Event::Ended(end) => {
                if let SessionEnd::GreetingRefused(error) = &end {
                    self.seen.push(Seen::SessionRefused(error.clone()));
                }
                Seen::Ended(end)
            }
            event => panic!("unknown event {event:?}"),
        };
        self.seen.push(seen);
    }

    /// What the recorded side had sent by the end of a step, ours has sent, too.
    pub(crate) fn check_nothing_is_held_back(&self, step: u64) {
        let is_due = |at: Option<(u64, usize)>| at.is_some_and(|(at, _)| at <= step);
        let due = self.script.messages.iter();
        let due = due.filter(|message| is_due(message.completed)).count();
        let sent = self.sent.complete().count();
        assert!(
            sent >= due,
            "after step {step}: {due} messages due, {sent} sent"
        );
    }

    /// A number below `most`.
    fn roll(&mut self, most: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        (self.dice % most.max(1) as u64) as usize
    }
}

/// Whether content is a refusal that rides in a positive answer.
fn is_error(content: Option<&ProfileContent>) -> bool {
    content.is_some_and(|content| content.text.starts_with("<error"))
}

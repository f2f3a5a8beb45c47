//! One session with an application that answers, postpones and asks as dice say, and holds the session to its promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beep_core::{
    ChannelNumber, Config, Decoder, Encoding, ErrorReply, Event, Greeting, MessageKind, MsgNo,
    Outgoing, ProfileContent, ProfileOffer, ReplyCode, Role, Session, StartRequest,
};
use bytes::Bytes;

use crate::input::Dice;

pub(crate) const ECHO: &str = "urn:x-capture:echo";
pub(crate) const TUNING: &str = "http://iana.org/beep/TLS";

const MANAGEMENT_MOST: usize = 2048;
const SLACK: usize = 64 * 1024;

/// Limits that few octets reach.
pub(crate) fn small_config() -> Config {
    Config {
        window_on_open: 4096,
        window_max: 8192,
        frame_max: 1000,
        message_max: 10_000,
        joining_max: 20_000,
        answers_interleaved_max: 4,
        messages_unanswered_max: 8,
        messages_held_max: 24,
        octets_held_max: 12_000,
        outstanding_max: 8,
        send_queue_octets: 20_000,
        send_queue_messages: 16,
        send_queue_octets_session: 40_000,
        channels_max: 4,
        management_octets: MANAGEMENT_MOST,
        greeting_octets: 4096,
        xml_depth_max: 8,
        xml_nodes_max: 64,
        management_pending_max: 4,
        idle_timeout: Some(Duration::from_secs(600)),
        tuning_profiles: vec![TUNING.to_owned()],
        ..Config::default()
    }
}

pub(crate) struct Application {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    dice: Dice,
    /// Whether it does anything of its own accord.
    is_active: bool,
    /// Reads what the session sends, which has to be frames.
    decoder: Decoder,
    open: BTreeSet<ChannelNumber>,
    starts: Vec<(ChannelNumber, usize)>,
    closes: Vec<ChannelNumber>,
    owed: Vec<(ChannelNumber, MsgNo)>,
    held: Vec<(ChannelNumber, usize)>,
    is_over: bool,
    octets_in: usize,
    octets_out: usize,
    /// What happened, for comparison; kept for applications that do nothing only.
    pub(crate) log: Vec<String>,
}

impl Application {
    pub(crate) fn new(role: Role, config: &Arc<Config>, seed: u8, is_active: bool) -> Self {
        let now = Instant::now();
        let mut application = Application {
            session: Session::new(role, config.clone(), now),
            now,
            dice: Dice::new(seed),
            is_active,
            decoder: Decoder::new(128),
            open: BTreeSet::new(),
            starts: Vec::new(),
            closes: Vec::new(),
            owed: Vec::new(),
            held: Vec::new(),
            is_over: false,
            octets_in: 0,
            octets_out: 0,
            log: Vec::new(),
        };
        application.greet();
        application.settle();
        application
    }

    fn greet(&mut self) {
        let greeting = Greeting {
            profiles: vec![ECHO.to_owned(), TUNING.to_owned()],
            ..Greeting::default()
        };
        self.session
            .greet(&greeting)
            .expect("it was not greeted before");
    }

    /// Gives octets of the peer.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let taken = self.session.handle_input(self.now, rest);
            assert!(taken <= rest.len());
            self.octets_in += taken;
            rest = &rest[taken..];
            if !self.is_active {
                // What has left makes room for more: the output would have to be taken at the same places.
                self.take_events();
                return;
            }
            self.settle();
            if rest.is_empty() || self.session.end().is_some() {
                return;
            }
            assert!(
                self.session.is_input_held(),
                "octets were left without a reason"
            );
            self.tune();
            if self.session.is_input_held() {
                return;
            }
        }
    }

    /// Lets the transport be replaced, or not.
    fn tune(&mut self) {
        for (number, _) in std::mem::take(&mut self.starts) {
            self.answer_start(number, 1);
        }
        self.settle();
        if !self.session.is_input_held() {
            return;
        }
        if self.dice.below(4) == 0 {
            self.session.resume_after_tuning();
            return;
        }
        let Some(session) = self.session.tune(self.now, None) else {
            return;
        };
        self.take_events();
        assert!(
            std::mem::take(&mut self.is_over),
            "the session was replaced and goes on"
        );
        self.session = session;
        self.decoder = Decoder::new(128);
        self.open.clear();
        self.closes.clear();
        self.owed.clear();
        self.held.clear();
        self.greet();
        self.settle();
    }

    pub(crate) fn end_of_stream(&mut self) {
        self.settle();
        self.session.handle_end_of_stream(self.now);
        self.settle();
        assert!(self.session.end().is_some() && self.is_over);
        assert_eq!(self.session.poll_timeout(), None);
        assert_eq!(self.session.buffered_octets(), 0);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.settle();
        if let Some(due) = self.session.poll_timeout() {
            assert!(
                due > self.now,
                "a deadline is still due after it was handled"
            );
        }
    }

    /// Takes what the session has to say.
    fn settle(&mut self) {
        loop {
            self.take_events();
            let mut chunks: Vec<Bytes> = Vec::new();
            let octets = self.session.poll_transmit(self.now, &mut chunks, 3000);
            assert_eq!(octets, chunks.iter().map(Bytes::len).sum::<usize>());
            for chunk in chunks {
                let mut rest = &chunk[..];
                while let Some(_piece) = self.decoder.decode(&mut rest).expect("frames leave") {}
            }
            self.octets_out += octets;
            if octets == 0 {
                break;
            }
        }
        let config = self.session.config();
        let most = config.joining_max + config.send_queue_octets_session + SLACK;
        assert!(self.session.buffered_octets() <= most);
        assert!(self.session.channel_numbers().count() <= config.channels_max + 1);
        if !self.is_active {
            assert!(
                self.octets_out <= 16 * self.octets_in + SLACK,
                "octets are multiplied"
            );
        }
        assert_eq!(self.session.end().is_some(), self.is_over);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            self.note(event);
        }
    }

    fn note(&mut self, event: Event) {
        assert!(!self.is_over, "{event:?} after the end");
        if !self.is_active {
            self.log.push(format!("{event:?}"));
        }
        match event {
            Event::StartRequested {
                number, profiles, ..
            } => {
                assert!(!self.open.contains(&number) && !profiles.is_empty());
                self.starts.push((number, profiles.len()));
            }
            Event::Started { number, .. } => {
                assert!(self.open.insert(number));
            }
            Event::CloseRequested { number, .. } => self.closes.push(number),
            Event::ReleaseRequested { .. } => self.closes.push(ChannelNumber::MANAGEMENT),
            Event::Closed { number, .. } => {
                assert!(self.open.remove(&number), "channel {number} was not open");
                self.owed.retain(|(its, _)| *its != number);
                self.held.retain(|(its, _)| *its != number);
            }
            Event::Message { channel, message } => {
                assert!(
                    self.open.contains(&channel),
                    "a message on channel {channel}"
                );
                let config = self.session.config();
                assert!(message.content().len() <= config.message_max);
                assert!(message.payload().len() <= message.content().len());
                let _ = message.content_type();
                self.held.push((channel, message.content().len()));
                if message.kind == MessageKind::Msg && !message.more {
                    self.owed.push((channel, message.msgno));
                }
                let held = self.held.iter().filter(|(its, _)| *its == channel);
                let octets: usize = held.map(|(_, octets)| octets).sum();
                // A large message gets room while it is joined, and then counts a quarter of the window at most.
                let most = config.window_max as usize + 4 * config.message_max + config.joining_max;
                assert!(octets <= most, "more is held than the window");
                let all = self.held.iter().map(|(_, octets)| octets + 256);
                assert!(all.sum::<usize>() <= config.octets_held_max);
            }
            Event::Ended(_) => self.is_over = true,
            _ => {}
        }
    }

    /// Something that an application may do.
    pub(crate) fn act(&mut self) {
        let open: Vec<_> = self.open.iter().copied().collect();
        let channel = open.get(self.dice.below(open.len())).copied();
        match (self.dice.below(16), channel) {
            (0, _) => self.start(),
            (1, Some(channel)) => {
                let text = (self.dice.below(2) == 0).then(|| "enough <&>".to_owned());
                let _ = self
                    .session
                    .close(self.now, channel, ReplyCode::SUCCESS, text);
            }
            (2, _) if self.dice.below(8) == 0 => {
                let _ = self.session.release(self.now, ReplyCode::SUCCESS, None);
            }
            (2 | 3, Some(channel)) => {
                let joined = self.dice.below(2) == 0;
                self.session.set_reassembly(channel, joined);
            }
            (4..=6, Some(channel)) => {
                let content = self.content();
                let _ = self.session.send_msg(channel, content);
            }
            (7..=9, _) => self.reply(),
            (10 | 11, _) => {
                for (channel, octets) in std::mem::take(&mut self.held) {
                    self.session.consume(channel, octets);
                }
            }
            (12 | 13, _) => {
                let profile = self.dice.below(3).saturating_sub(1);
                for (number, profiles) in std::mem::take(&mut self.starts) {
                    self.answer_start(number, profile % profiles);
                }
            }
            (14, _) => {
                for number in std::mem::take(&mut self.closes) {
                    if self.dice.below(3) == 0 {
                        let error = ErrorReply::new(ReplyCode::ACTION_NOT_TAKEN, "not yet");
                        let _ = self.session.refuse_close(number, error);
                    } else {
                        let _ = self.session.accept_close(number);
                    }
                }
            }
            _ => {}
        }
        self.settle();
    }

    fn start(&mut self) {
        let is_tuning = self.dice.below(8) == 0;
        let offer = |uri: &str| ProfileOffer {
            uri: uri.to_owned(),
            content: None,
        };
        let _ = self.session.start(
            self.now,
            StartRequest {
                number: None,
                profiles: vec![offer(if is_tuning { TUNING } else { ECHO })],
                server_name: Some("example.org".to_owned()),
                tuning: is_tuning,
            },
        );
    }

    fn answer_start(&mut self, number: ChannelNumber, profile: usize) {
        if self.dice.below(8) == 0 {
            let error = ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "]]> no");
            let _ = self.session.refuse_start(number, error);
            return;
        }
        let content = (self.dice.below(3) == 0).then(|| ProfileContent {
            text: "<ready /> ]]> &".to_owned(),
            encoding: Encoding::None,
        });
        let profile = if self
            .session
            .accept_start(number, profile, content.clone())
            .is_ok()
        {
            Some(profile)
        } else {
            self.session
                .accept_start(number, 0, content)
                .ok()
                .map(|()| 0)
        };
        if profile.is_some() {
            assert!(self.open.insert(number));
        }
    }

    fn reply(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        let place = self.dice.below(self.owed.len());
        let (channel, msgno) = self.owed[place];
        let content = self.content();
        let outcome = match self.dice.below(6) {
            0 => self.session.send_err(channel, msgno, content),
            1 => self.session.send_nul(channel, msgno),
            2 | 3 => {
                let _ = self.session.send_ans(channel, msgno, content);
                return;
            }
            _ => self.session.send_rpy(channel, msgno, content),
        };
        if outcome.is_ok() {
            self.owed.remove(place);
        }
    }

    fn content(&mut self) -> Outgoing {
        let size = match self.dice.below(8) {
            0 => 0,
            1 => self.dice.below(12_000),
            _ => self.dice.below(300),
        };
        Outgoing::new(vec![b'x'; size])
    }
}

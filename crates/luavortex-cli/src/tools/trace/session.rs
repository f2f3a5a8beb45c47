//! A session as a third one sees it: frames with what they mean, and what they break.

use std::collections::HashMap;

use beep_session::core::{DataHeader, MessageKind, SeqHeader, mime};
use serde::Serialize;

use super::analysis::{Content, Found, Stream};
use super::documents::{self, Effect};
use super::recording::{Entry, Side};
use super::window::Window;

/// Octets of a document on channel 0 that are kept to read it.
const DOCUMENT_MAX: usize = 64 * 1024;

/// How the URIs of SASL mechanisms begin.
const SASL: &str = "http://iana.org/beep/SASL/";

/// Something that passed, or happened to the connection.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// When its last octet came, and when its first one did, in microseconds.
    pub(super) us: u64,
    pub(super) begun_us: u64,
    pub(super) session: u32,
    pub(super) from: Side,
    pub(super) content: Content,
    /// The profile of its channel.
    pub(super) profile: Option<String>,
    /// What it says, in one line.
    pub(super) meaning: Option<String>,
    /// What is wrong with it.
    pub(super) faults: Vec<String>,
    /// A negative reply.
    pub(super) is_refusal: bool,
    /// For the last frame of a reply: time since the first octet of its MSG.
    pub(super) after_us: Option<u64>,
    /// The window that it changed.
    pub(super) level: Option<Level>,
}

/// How much a side may send on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Level {
    pub(super) sender: Side,
    pub(super) channel: u32,
    /// Octets; negative when more was sent than is allowed.
    pub(super) room: i64,
}

/// One thing for each side.
#[derive(Debug, Default)]
struct Both<T> {
    client: T,
    listener: T,
}

impl<T> Both<T> {
    fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Listener => &mut self.listener,
        }
    }
}

/// What is known of a channel.
#[derive(Debug)]
struct Channel {
    profile: Option<String>,
    windows: Both<Window>,
    /// MSGs that await their replies, by who asked, with the time of their first octet.
    asked: Both<HashMap<u32, u64>>,
    /// The message of which more frames are to come.
    continued: Both<Option<(MessageKind, u32)>>,
}

impl Channel {
    fn new(profile: Option<String>) -> Self {
        Channel {
            profile,
            windows: Both {
                client: Window::new(),
                listener: Window::new(),
            },
            asked: Both::default(),
            continued: Both::default(),
        }
    }
}

/// A session that passes through the relay.
#[derive(Debug)]
pub(super) struct Session {
    number: u32,
    streams: Both<Stream>,
    channels: HashMap<u32, Channel>,
    has_greeted: Both<bool>,
    /// Documents on channel 0 of which frames are still to come.
    documents: Both<Vec<u8>>,
    /// Starts and closes that await their replies, by who asked.
    requests: Both<HashMap<u32, Effect>>,
    /// The connection may end now: the session was released, cannot be read any more, or has ended.
    may_end: bool,
}

impl Session {
    /// `payload_max`: octets of each payload that are kept.
    pub(super) fn new(number: u32, payload_max: usize) -> Self {
        let payload_max = payload_max.max(DOCUMENT_MAX);
        Session {
            number,
            streams: Both {
                client: Stream::new(payload_max),
                listener: Stream::new(payload_max),
            },
            channels: HashMap::from([(0, Channel::new(None))]),
            has_greeted: Both::default(),
            documents: Both::default(),
            requests: Both::default(),
            may_end: false,
        }
    }

    /// Takes a line of the recording that is about this session.
    pub(super) fn take(&mut self, entry: &Entry) -> Vec<Frame> {
        match entry {
            Entry::Octets {
                us, from, octets, ..
            } => {
                let found = self.streams.of(*from).take(*us, octets);
                let frames = found.into_iter();
                frames.map(|found| self.frame(*us, *from, found)).collect()
            }
            Entry::End {
                us, from, error, ..
            } => {
                let (found, fault) = self.streams.of(*from).end(*us, error.clone());
                let mut frame = self.frame(*us, *from, found);
                frame.faults.extend(fault);
                vec![frame]
            }
            Entry::Begin { .. } | Entry::Open { .. } => Vec::new(),
        }
    }

    fn frame(&mut self, us: u64, from: Side, found: Found) -> Frame {
        let Found { begun_us, content } = found;
        let mut frame = Frame {
            us,
            begun_us,
            session: self.number,
            from,
            // Takes its place below, when it has been read: payloads are large.
            content: Content::Ended { error: None },
            profile: None,
            meaning: None,
            faults: Vec::new(),
            is_refusal: false,
            after_us: None,
            level: None,
        };
        match &content {
            Content::Data { header, payload } => self.data(&mut frame, *header, payload),
            Content::Seq(header) => self.seq(&mut frame, *header),
            Content::Malformed(malformed) => {
                let text = format!("octet {}: {}", malformed.at, malformed.error);
                frame.faults.push(text);
                self.may_end = true;
            }
            Content::Ended { error } => {
                frame.faults.extend(error.clone());
                let has_begun = *self.has_greeted.of(from) && *self.has_greeted.of(from.other());
                if has_begun && !self.may_end && error.is_none() {
                    let text = "without a release of the session".to_owned();
                    frame.faults.push(text);
                }
                self.may_end = true;
            }
            Content::Unread { .. } | Content::Encrypted { .. } => self.may_end = true,
        }
        frame.content = content;
        frame
    }

    fn seq(&mut self, frame: &mut Frame, header: SeqHeader) {
        let sender = frame.from.other();
        // One for a channel that is closed just now is on its way often, and harms nobody.
        if let Some(channel) = self.channels.get_mut(&header.channel.value()) {
            let window = channel.windows.of(sender);
            frame.faults = window.granted(header.ackno.value(), header.window);
            frame.profile = channel.profile.clone();
            frame.level = Some(Level {
                sender,
                channel: header.channel.value(),
                room: window.room(),
            });
        }
    }

    fn data(&mut self, frame: &mut Frame, header: DataHeader, payload: &[u8]) {
        let number = header.channel.value();
        frame.is_refusal = header.kind == MessageKind::Err;
        let Some(channel) = self.channels.get_mut(&number) else {
            frame.faults.push(format!("channel {number} is not open"));
            return;
        };
        let window = channel.windows.of(frame.from);
        frame.faults = window.sent(header.seqno.value(), header.size);
        frame.level = Some(Level {
            sender: frame.from,
            channel: number,
            room: window.room(),
        });
        frame.profile = channel.profile.clone();
        let is_sasl = channel
            .profile
            .as_deref()
            .is_some_and(|profile| profile.starts_with(SASL));
        let is_greeting = number == 0 && !*self.has_greeted.of(frame.from);
        channel.place(frame, header, is_greeting);
        if number == 0 {
            self.document(frame, header, payload, is_greeting);
        } else if is_sasl && header.kind == MessageKind::Rpy {
            let body = payload.get(mime::headers_len(payload)..);
            frame.meaning = body.and_then(documents::sasl_refusal);
            frame.is_refusal = frame.meaning.is_some();
        }
    }

    fn document(
        &mut self,
        frame: &mut Frame,
        header: DataHeader,
        payload: &[u8],
        is_greeting: bool,
    ) {
        let document = self.documents.of(frame.from);
        let room = DOCUMENT_MAX.saturating_sub(document.len());
        document.extend_from_slice(payload.get(..room).unwrap_or(payload));
        if header.more {
            return;
        }
        let document = std::mem::take(document);
        *self.has_greeted.of(frame.from) = true;
        let meaning = documents::read(header.kind, is_greeting, &document);
        frame.faults.extend(meaning.fault);
        frame.is_refusal |= meaning.is_refusal;
        frame.meaning = Some(meaning.text);

        let msgno = header.msgno.value();
        if header.kind == MessageKind::Msg {
            self.requests.of(frame.from).insert(msgno, meaning.effect);
            return;
        }
        if is_greeting {
            return;
        }
        let request = self.requests.of(frame.from.other()).remove(&msgno);
        match (request, meaning.effect) {
            (Some(Effect::Start(number)), Effect::Chosen(uri)) => {
                self.channels.insert(number, Channel::new(Some(uri)));
            }
            (Some(Effect::Close(0)), Effect::Ok) => self.may_end = true,
            (Some(Effect::Close(number)), Effect::Ok) => {
                self.channels.remove(&number);
            }
            _ => {}
        }
    }
}

impl Channel {
    /// Sees which message the frame belongs to.
    fn place(&mut self, frame: &mut Frame, header: DataHeader, is_greeting: bool) {
        let (kind, msgno) = (header.kind, header.msgno.value());
        let continued = self.continued.of(frame.from);
        let begins = match *continued {
            Some(expected) if expected == (kind, msgno) => false,
            // Answers may take turns (RFC 3080 §2.2.1.1).
            Some((MessageKind::Ans, number)) if kind == MessageKind::Ans && number == msgno => {
                false
            }
            Some((other, number)) => {
                frame.faults.push(format!(
                    "{kind} {msgno} between the frames of {other} {number} (RFC 3080 §2.2.1.2)"
                ));
                true
            }
            None => true,
        };
        *continued = header.more.then_some((kind, msgno));
        if kind == MessageKind::Msg {
            let known = self.asked.of(frame.from).contains_key(&msgno);
            if begins && known {
                frame
                    .faults
                    .push(format!("MSG {msgno} awaits its reply already"));
            }
            if begins {
                self.asked.of(frame.from).insert(msgno, frame.begun_us);
            }
            return;
        }
        if is_greeting {
            if msgno != 0 {
                frame
                    .faults
                    .push(format!("greeting with message number {msgno}, 0 is due"));
            }
            return;
        }
        let asked = self.asked.of(frame.from.other());
        let is_last = !header.more && kind != MessageKind::Ans;
        let asked_us = if is_last {
            asked.remove(&msgno)
        } else {
            asked.get(&msgno).copied()
        };
        match asked_us {
            Some(asked_us) => {
                frame.after_us = (!header.more).then(|| frame.us.saturating_sub(asked_us));
            }
            None => frame.faults.push(format!("no MSG {msgno} awaits a reply")),
        }
    }
}

#[cfg(test)]
mod tests;

//! All that our engine sends, checked as it comes: numbers, windows both ways, the order of fragments.

use std::collections::BTreeMap;

use crate::wire::{Cutter, Data, Frame, Id};

/// The window that every channel begins with (RFC 3081 §3.1.1).
const INITIAL_WINDOW: u32 = 4096;

#[derive(Debug, Default)]
pub(crate) struct Sent {
    cutter: Cutter,
    /// The channels open in this session.
    channels: BTreeMap<u32, Channel>,
    session: u64,
    /// Octets in all.
    pub(crate) octets: usize,
    pub(crate) messages: Vec<Message>,
}

/// A message that our engine sent, or its front.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) session: u64,
    pub(crate) id: Id,
    pub(crate) content: Vec<u8>,
    pub(crate) is_complete: bool,
}

#[derive(Debug)]
struct Channel {
    /// The next octet that ours sends.
    next: u32,
    /// The first octet that ours may not send.
    edge: u32,
    /// The message begun and not ended.
    open: Option<usize>,
    /// Octets that the peer sent.
    received: u32,
    /// The first octet that the peer may not send.
    granted: u32,
}

impl Default for Channel {
    fn default() -> Self {
        Channel {
            next: 0,
            edge: INITIAL_WINDOW,
            open: None,
            received: 0,
            granted: INITIAL_WINDOW,
        }
    }
}

impl Sent {
    /// A new session begins on the same wire.
    pub(crate) fn begin(&mut self, session: u64) {
        assert!(self.is_between_frames());
        self.session = session;
        self.channels = BTreeMap::from([(0, Channel::default())]);
    }

    /// A channel is there from now on.
    pub(crate) fn open(&mut self, channel: u32) {
        let before = self.channels.insert(channel, Channel::default());
        assert!(before.is_none(), "channel {channel} is open already");
    }

    /// A channel is gone: nothing may name it any more, a SEQ neither.
    pub(crate) fn close(&mut self, channel: u32) {
        assert!(self.channels.remove(&channel).is_some());
    }

    /// The peer sent a frame. What it says is for the engine to judge.
    pub(crate) fn note_of_peer(&mut self, frame: &Frame) {
        match frame {
            Frame::Seq {
                channel,
                ackno,
                window,
            } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.edge = ackno.wrapping_add(*window);
                }
            }
            Frame::Data(data) => {
                if let Some(channel) = self.channels.get_mut(&data.id.channel) {
                    channel.received += data.content.len() as u32;
                }
            }
        }
    }

    /// Our engine sends.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.octets += octets.len();
        self.cutter.push(octets);
        while let Some(frame) = self.cutter.next().unwrap() {
            match frame {
                Frame::Data(data) => self.data(data),
                Frame::Seq {
                    channel,
                    ackno,
                    window,
                } => self.seq(channel, ackno, window),
            }
        }
    }

    /// Whether all octets so far are whole frames.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.cutter.is_between_frames()
    }

    /// Messages sent in full.
    pub(crate) fn complete(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|message| message.is_complete)
    }

    fn data(&mut self, data: Data) {
        let Data {
            id,
            more,
            seqno,
            content,
        } = data;
        let channel = self.channels.get_mut(&id.channel);
        let channel = channel.unwrap_or_else(|| panic!("not open: {id:?}"));
        assert_eq!(seqno, channel.next, "sequence number of {id:?}");
        let (size, room) = (content.len(), channel.edge.wrapping_sub(seqno) as usize);
        assert!(size <= room, "{size} octets in a window of {room}: {id:?}");
        channel.next = seqno.wrapping_add(content.len() as u32);
        let at = channel.open.unwrap_or(self.messages.len());
        channel.open = more.then_some(at);
        if at == self.messages.len() {
            self.messages.push(Message {
                session: self.session,
                id,
                content: Vec::new(),
                is_complete: false,
            });
        }
        let message = &mut self.messages[at];
        assert_eq!(message.id, id, "frames of two messages mixed");
        message.content.extend_from_slice(&content);
        message.is_complete = !more;
    }

    /// The C engine ends the session on a SEQ that grants nothing new, or names a channel that is not open.
    fn seq(&mut self, number: u32, ackno: u32, window: u32) {
        let channel = self.channels.get_mut(&number);
        let channel = channel.unwrap_or_else(|| panic!("SEQ for channel {number}, not open"));
        assert_eq!(ackno, channel.received, "SEQ for channel {number}");
        assert!(window <= i32::MAX as u32);
        let edge = ackno.wrapping_add(window);
        assert!(edge > channel.granted, "SEQ that grants nothing new");
        channel.granted = edge;
    }
}

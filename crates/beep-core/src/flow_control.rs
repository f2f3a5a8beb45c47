//! The windows of a channel, one for each direction (RFC 3081 §3.1).

use crate::config::Config;
use crate::error::ProtocolError;
use crate::frame::SeqHeader;
use crate::numbers::{ChannelNumber, SeqNo};

/// The window that every channel has to begin with (RFC 3081 §3.1.1).
pub(crate) const INITIAL_WINDOW: u32 = 4096;

/// What the peer allows us to send.
#[derive(Debug)]
pub(crate) struct SendWindow {
    next: SeqNo,
    room: u32,
}

impl SendWindow {
    pub(crate) fn new(first: SeqNo) -> Self {
        SendWindow {
            next: first,
            room: INITIAL_WINDOW,
        }
    }

    /// Sequence number of the next octet to send.
    pub(crate) fn next(&self) -> SeqNo {
        self.next
    }

    /// Octets that may be sent before the peer grants more.
    pub(crate) fn room(&self) -> u32 {
        self.room
    }

    pub(crate) fn sent(&mut self, octets: u32) {
        self.next = self.next.advance(octets);
        self.room = self.room.saturating_sub(octets);
    }

    /// Takes a SEQ of the peer: true when there is more room than before.
    ///
    /// An older acknowledgement is fine as long as the edge does not move to the left: a peer may repeat itself.
    pub(crate) fn grant(&mut self, seq: &SeqHeader) -> Result<bool, ProtocolError> {
        const HALF_OF_NUMBERS: u32 = 1 << 31;
        let in_flight = self.next.distance_from(seq.ackno);
        if in_flight >= HALF_OF_NUMBERS {
            return Err(ProtocolError::SeqBeyondSent {
                channel: seq.channel,
                ackno: seq.ackno,
                sent: self.next,
            });
        }
        let room = seq.window.saturating_sub(in_flight);
        if seq.window < in_flight || room < self.room {
            return Err(ProtocolError::WindowShrinks {
                channel: seq.channel,
                room,
                granted: self.room,
            });
        }
        let grown = room > self.room;
        self.room = room;
        Ok(grown)
    }
}

/// What we allow the peer to send.
///
/// The window is what may lie between the wire and the application: octets delivered and not consumed close
/// it, octets of a message still being joined do not, or a message larger than the window would never end.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    next: SeqNo,
    /// Octets that the peer may send by the last SEQ.
    room: u32,
    /// Octets of window on offer.
    size: u32,
    /// Octets delivered and not consumed.
    held: u32,
    /// Octets received since the size last changed.
    used: u32,
}

impl ReceiveWindow {
    pub(crate) fn new(first: SeqNo) -> Self {
        ReceiveWindow {
            next: first,
            room: INITIAL_WINDOW,
            size: INITIAL_WINDOW,
            held: 0,
            used: 0,
        }
    }

    /// Octets that the peer may send.
    pub(crate) fn room(&self) -> u32 {
        self.room
    }

    /// Offers `size` octets from now on; a window never shrinks.
    pub(crate) fn offer(&mut self, size: u32) {
        self.size = self.size.max(size);
    }

    /// Says whether a frame may come.
    pub(crate) fn check(
        &self,
        channel: ChannelNumber,
        seqno: SeqNo,
        size: u32,
    ) -> Result<(), ProtocolError> {
        if seqno != self.next {
            return Err(ProtocolError::WrongSeqno {
                channel,
                expected: self.next,
                received: seqno,
            });
        }
        if size > self.room {
            return Err(ProtocolError::WindowExceeded {
                channel,
                size,
                room: self.room,
            });
        }
        Ok(())
    }

    pub(crate) fn received(&mut self, octets: u32) {
        self.next = self.next.advance(octets);
        self.room = self.room.saturating_sub(octets);
        self.used = self.used.saturating_add(octets);
    }

    /// The application got a message of `octets`.
    ///
    /// The window grows with the size of messages, so that each one closes a quarter of it at most.
    pub(crate) fn hold(&mut self, octets: usize, config: &Config) {
        let share = Self::share(octets, config);
        self.held = self.held.saturating_add(share);
        self.offer(share.saturating_mul(4).min(config.window_max));
    }

    /// The application is done with a message of `octets`.
    pub(crate) fn consume(&mut self, octets: usize, config: &Config) {
        self.held = self.held.saturating_sub(Self::share(octets, config));
    }

    /// What a message counts while the application has it: at most a quarter of the largest window.
    ///
    /// Otherwise one large message would close its channel's window by itself, and an application that asks
    /// something on that channel before it is done with the message would wait for ever. It takes several
    /// such messages to stop the peer.
    fn share(octets: usize, config: &Config) -> u32 {
        let most = config.window_max / 4;
        u32::try_from(octets).map_or(most, |octets| octets.min(most))
    }

    /// Whether a SEQ is due: it grants something new and half the window is used (RFC 3081 §3.1.4).
    pub(crate) fn is_grant_due(&self) -> bool {
        let target = self.target(self.size);
        self.room <= self.size / 2 && target > self.room
    }

    /// Whether the peer is about to stand still for want of window.
    pub(crate) fn is_nearly_used_up(&self) -> bool {
        self.room <= self.size / 8
    }

    /// The SEQ to send now, if it grants anything; the window doubles when a whole one was used.
    pub(crate) fn grant(&mut self, channel: ChannelNumber, window_max: u32) -> Option<SeqHeader> {
        if self.used >= self.size && self.size < window_max {
            self.size = self.size.saturating_mul(2).min(window_max);
            self.used = 0;
        }
        let window = self.target(self.size);
        if window <= self.room {
            return None;
        }
        self.room = window;
        Some(SeqHeader {
            channel,
            ackno: self.next,
            window,
        })
    }

    fn target(&self, size: u32) -> u32 {
        size.saturating_sub(self.held)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelNumber = ChannelNumber::MANAGEMENT;

    fn seq(ackno: u32, window: u32) -> SeqHeader {
        SeqHeader {
            channel: CHANNEL,
            ackno: SeqNo::new(ackno),
            window,
        }
    }

    fn config(window_max: u32) -> Config {
        Config {
            window_max,
            ..Config::default()
        }
    }

    #[test]
    fn a_grant_is_counted_from_its_acknowledgement() {
        let mut window = SendWindow::new(SeqNo::ZERO);
        assert_eq!(window.room(), INITIAL_WINDOW);
        window.sent(4000);
        assert_eq!(window.grant(&seq(4000, 4096)), Ok(true));
        assert_eq!(window.room(), 4096);
        // An older acknowledgement with the same edge says nothing new.
        assert_eq!(window.grant(&seq(3000, 5096)), Ok(false));
        assert_eq!(window.grant(&seq(4000, 4097)), Ok(true));
        assert_eq!(window.room(), 4097);
    }

    #[test]
    fn a_window_of_one_octet_is_obeyed() {
        let mut window = SendWindow::new(SeqNo::ZERO);
        window.sent(4096);
        assert_eq!(window.room(), 0);
        assert_eq!(window.grant(&seq(4096, 1)), Ok(true));
        assert_eq!(window.room(), 1);
    }

    #[test]
    fn a_grant_takes_nothing_back_and_acknowledges_nothing_unsent() {
        let mut window = SendWindow::new(SeqNo::ZERO);
        window.sent(100);
        for (ackno, size) in [(0, 4095), (100, 3995), (100, 0), (50, 10)] {
            let shrinking = window.grant(&seq(ackno, size));
            assert!(
                matches!(shrinking, Err(ProtocolError::WindowShrinks { .. })),
                "{ackno} {size}"
            );
        }
        let unsent = window.grant(&seq(101, 4096));
        assert!(matches!(unsent, Err(ProtocolError::SeqBeyondSent { .. })));
        assert_eq!(window.room(), 3996);
    }

    #[test]
    fn sending_goes_on_across_the_wrap() {
        let mut window = SendWindow::new(SeqNo::new(u32::MAX - 9));
        window.sent(20);
        assert_eq!(window.next(), SeqNo::new(10));
        assert_eq!(window.grant(&seq(u32::MAX, 8192)), Ok(true));
        assert_eq!(window.room(), 8192 - 11);
    }

    #[test]
    fn a_frame_has_to_fit_the_window_and_the_sequence() {
        let mut window = ReceiveWindow::new(SeqNo::ZERO);
        assert_eq!(window.check(CHANNEL, SeqNo::ZERO, 4096), Ok(()));
        let over = window.check(CHANNEL, SeqNo::ZERO, 4097);
        assert!(matches!(over, Err(ProtocolError::WindowExceeded { .. })));
        window.received(4000);
        for wrong in [0, 3999, 4001] {
            let gap = window.check(CHANNEL, SeqNo::new(wrong), 1);
            assert!(matches!(gap, Err(ProtocolError::WrongSeqno { .. })));
        }
        assert_eq!(window.check(CHANNEL, SeqNo::new(4000), 96), Ok(()));
        let over = window.check(CHANNEL, SeqNo::new(4000), 97);
        assert!(matches!(over, Err(ProtocolError::WindowExceeded { .. })));
    }

    #[test]
    fn a_seq_is_due_at_half_the_window_and_grants_a_whole_one() {
        let mut window = ReceiveWindow::new(SeqNo::ZERO);
        window.received(2047);
        assert!(!window.is_grant_due());
        window.received(1);
        assert!(window.is_grant_due());
        assert_eq!(window.grant(CHANNEL, 4096), Some(seq(2048, 4096)));
        assert!(!window.is_grant_due());
        assert_eq!(window.grant(CHANNEL, 4096), None);
    }

    #[test]
    fn what_the_application_holds_is_not_granted_again() {
        let config = config(16_384);
        let mut window = ReceiveWindow::new(SeqNo::ZERO);
        window.received(4096);
        window.hold(1024, &config);
        window.hold(1024, &config);
        assert_eq!(window.grant(CHANNEL, 4096), Some(seq(4096, 2048)));
        window.consume(1024, &config);
        window.consume(1024, &config);
        assert_eq!(window.grant(CHANNEL, 4096), Some(seq(4096, 4096)));
    }

    #[test]
    fn the_window_grows_with_use_and_with_large_messages_up_to_its_limit() {
        let mut window = ReceiveWindow::new(SeqNo::ZERO);
        window.received(4096);
        assert_eq!(window.grant(CHANNEL, 12_000), Some(seq(4096, 8192)));
        window.received(8192);
        assert_eq!(window.grant(CHANNEL, 12_000), Some(seq(12_288, 12_000)));
        let config = config(16_000);
        window.hold(1_000_000, &config);
        window.consume(1_000_000, &config);
        assert_eq!(window.grant(CHANNEL, 16_000), Some(seq(12_288, 16_000)));
    }

    #[test]
    fn an_offer_never_makes_the_window_smaller() {
        let mut window = ReceiveWindow::new(SeqNo::ZERO);
        window.offer(65_536);
        window.offer(5000);
        assert_eq!(window.grant(CHANNEL, 65_536), Some(seq(0, 65_536)));
        assert!(!window.is_nearly_used_up());
        window.received(60_000);
        assert!(window.is_nearly_used_up());
    }
}

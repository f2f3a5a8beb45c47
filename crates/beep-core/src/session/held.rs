//! What the session holds of messages that the application is not done with, over all channels.
//!
//! The windows bound each channel by itself, and there may be thousands of them.

use super::Session;
use crate::error::Limit;
use crate::numbers::ChannelNumber;
use crate::reaction::Fault;

/// What a message takes beside its content, about. It bounds messages without any octets, which no window does.
const BESIDE_CONTENT: usize = 256;

impl Session {
    /// The application gets a message of so many octets.
    pub(super) fn hold(&mut self, number: ChannelNumber, octets: usize) -> Result<(), Fault> {
        let config = &self.config;
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let limit = |what, most| Err(Fault::from(Limit { what, most }));
        if channel.held_messages >= config.messages_held_max {
            return limit("messages_held_max", config.messages_held_max);
        }
        let taken = octets.saturating_add(BESIDE_CONTENT);
        let total = self.totals.held_octets.saturating_add(taken);
        if total > config.octets_held_max {
            return limit("octets_held_max", config.octets_held_max);
        }
        channel.held_messages += 1;
        channel.held_octets = channel.held_octets.saturating_add(taken);
        channel.receive_window.hold(octets, config);
        self.totals.held_octets = total;
        Ok(())
    }

    /// The application is done with a message (or frame) whose content had `octets`: the peer may send more.
    ///
    /// Call it once for each [`Event::Message`](crate::Event::Message), with the length of its content.
    pub fn consume(&mut self, channel: ChannelNumber, octets: usize) {
        let number = channel;
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        channel.receive_window.consume(octets, &self.config);
        channel.held_messages = channel.held_messages.saturating_sub(1);
        let taken = octets.saturating_add(BESIDE_CONTENT);
        let given_back = taken.min(channel.held_octets);
        channel.held_octets -= given_back;
        self.let_go(given_back);
        self.schedule_seq(number);
    }

    /// So much is not held any more. Channels that had to wait for it go on.
    pub(super) fn let_go(&mut self, octets: usize) {
        let held = self.totals.held_octets.saturating_sub(octets);
        self.totals.held_octets = held;
        if self.totals.is_window_denied && !self.holds_much() {
            self.totals.is_window_denied = false;
            let numbers: Vec<ChannelNumber> = self.channels.keys().copied().collect();
            for number in numbers {
                self.schedule_seq(number);
            }
        }
    }

    /// Whether a channel gets no window for now: the session holds much, and some of it came on this channel.
    ///
    /// A channel with nothing held gets some all the same: the application may wait for an answer there, holding what
    /// came on others.
    pub(super) fn denies_window(&mut self, number: ChannelNumber) -> bool {
        let is_denied = self.holds_much()
            && self
                .channels
                .get(&number)
                .is_some_and(|channel| channel.held_messages > 0);
        self.totals.is_window_denied |= is_denied;
        is_denied
    }

    fn holds_much(&self) -> bool {
        self.totals.held_octets >= self.config.octets_held_max / 2
    }
}

//! What the session holds of messages that the application is not done with, over all channels.
//!
//! The windows bound each channel by itself, and there may be thousands of them.

use super::{Session, Totals};
use crate::channel::Channel;
use crate::config::Config;
use crate::error::Limit;
use crate::numbers::ChannelNumber;
use crate::queue::Queue;
use crate::reaction::Fault;

/// What a message takes beside its content, about. It bounds messages without any octets, which no window does.
const BESIDE_CONTENT: usize = 256;

impl Totals {
    /// The application gets a message of so many octets.
    pub(super) fn hold(
        &mut self,
        channel: &mut Channel,
        octets: usize,
        config: &Config,
    ) -> Result<(), Fault> {
        let limit = |what, most| Err(Fault::from(Limit { what, most }));
        if channel.held_messages as usize >= config.messages_held_max {
            return limit("messages_held_max", config.messages_held_max);
        }
        let taken = octets.saturating_add(BESIDE_CONTENT);
        let total = self.held_octets.saturating_add(taken);
        if total > config.octets_held_max {
            return limit("octets_held_max", config.octets_held_max);
        }
        channel.held_messages = channel.held_messages.saturating_add(1);
        channel.held_octets = channel.held_octets.saturating_add(taken);
        channel.receive_window.hold(octets, config);
        self.held_octets = total;
        Ok(())
    }

    /// Whether a channel gets no window for now: the session holds much, and some of it came on this channel.
    ///
    /// A channel with nothing held gets some all the same: the application may wait for an answer there, holding what
    /// came on others.
    fn denies_window(&mut self, channel: &Channel, config: &Config) -> bool {
        let is_denied = self.holds_much(config) && channel.held_messages > 0;
        self.is_window_denied |= is_denied;
        is_denied
    }

    fn holds_much(&self, config: &Config) -> bool {
        self.held_octets >= config.octets_held_max / 2
    }
}

/// Sends a SEQ for a data channel when one is due, and the session may take more on it.
pub(super) fn schedule_seq(
    channel: &mut Channel,
    totals: &mut Totals,
    config: &Config,
    pending: &mut Queue<ChannelNumber>,
) {
    if !totals.denies_window(channel, config) {
        channel.schedule_seq(pending);
    }
}

impl Session {
    /// The application is done with a message (or frame) whose content had `octets`: the peer may send more.
    ///
    /// Call it once for each [`Event::Message`](crate::Event::Message), with the length of its content.
    pub fn consume(&mut self, channel: ChannelNumber, octets: usize) {
        // Nothing of channel 0 comes to the application.
        let Some(channel) = self
            .channels
            .get_mut(&channel)
            .filter(|channel| !channel.number.is_management())
        else {
            return;
        };
        channel.receive_window.consume(octets, &self.config);
        channel.held_messages = channel.held_messages.saturating_sub(1);
        let taken = octets.saturating_add(BESIDE_CONTENT);
        let given_back = taken.min(channel.held_octets);
        channel.held_octets -= given_back;
        self.totals.held_octets = self.totals.held_octets.saturating_sub(given_back);
        schedule_seq(
            channel,
            &mut self.totals,
            &self.config,
            &mut self.seq_pending,
        );
        self.lift_denial();
    }

    /// So much is not held any more, because its channel is gone.
    pub(super) fn let_go(&mut self, octets: usize) {
        self.totals.held_octets = self.totals.held_octets.saturating_sub(octets);
        self.lift_denial();
    }

    /// Channels that had to wait for others to let go of something go on.
    fn lift_denial(&mut self) {
        if self.totals.is_window_denied && !self.totals.holds_much(&self.config) {
            self.totals.is_window_denied = false;
            for channel in self.channels.values_mut() {
                if !channel.number.is_management() {
                    schedule_seq(
                        channel,
                        &mut self.totals,
                        &self.config,
                        &mut self.seq_pending,
                    );
                }
            }
        }
    }
}

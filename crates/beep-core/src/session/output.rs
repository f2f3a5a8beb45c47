//! What leaves: SEQ frames first, then channel 0, then the other channels in turn (RFC 3081 §3.1.4).

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::Session;
use super::tuning::Tuning;
use crate::channel::Phase;
use crate::error::SessionEnd;
use crate::frame::MessageKind;
use crate::numbers::ChannelNumber;
use crate::transmit::{ChunkWriter, Milestone, header_of};

/// Documents as long as they may be that channel 0 takes before those it has are answered. What is kept of a start takes
/// ten times its octets.
const PENDING_DOCUMENTS: usize = 16;

impl Session {
    /// Whether [`poll_transmit`](Self::poll_transmit) has something to give.
    pub fn wants_transmit(&self) -> bool {
        self.can_transmit()
            && (!self.ready.is_empty()
                || (self.is_greeting_out && !self.seq_pending.is_empty())
                || self.can_management_send())
    }

    /// Appends chunks of octets to send to `out` and returns how many octets they hold.
    ///
    /// Small frames are joined into one chunk, payloads of 2 KiB and more travel as slices uncopied. About
    /// `max_octets` bounds the call: a frame is cut to fit, but one frame always goes. Zero means that
    /// nothing can be sent until something else happens.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        out: &mut Vec<Bytes>,
        max_octets: usize,
    ) -> usize {
        self.poll_transmit_into(now, &mut BytesMut::new(), out, max_octets)
    }

    /// Does the same, and joins small frames in `buffer`.
    ///
    /// The chunks are parts of it. Given again once they are dropped, it is used again, and nothing has to be allocated.
    pub fn poll_transmit_into(
        &mut self,
        now: Instant,
        buffer: &mut BytesMut,
        out: &mut Vec<Bytes>,
        max_octets: usize,
    ) -> usize {
        self.advance(now);
        if !self.wants_transmit() {
            return 0;
        }
        let mut writer = ChunkWriter::new(buffer, out, max_octets);
        while self.can_transmit() {
            let went = if self.is_greeting_out && !self.seq_pending.is_empty() {
                self.transmit_seq(&mut writer)
            } else if self.can_management_send() {
                self.transmit_frame(ChannelNumber::MANAGEMENT, &mut writer)
            } else if let Some(number) = self.ready.front().copied() {
                self.transmit_frame(number, &mut writer)
            } else {
                break;
            };
            if !went {
                break;
            }
        }
        writer.finish()
    }

    fn can_transmit(&self) -> bool {
        self.end.is_none() && !self.tuning.holds_output() && !self.peer_release.is_answered()
    }

    /// Whether channel 0 has a frame to send: nothing precedes our greeting, no request the peer's.
    fn can_management_send(&self) -> bool {
        let Some(management) = self.channels.get(&ChannelNumber::MANAGEMENT) else {
            return false;
        };
        let Some(next) = management.queue.front() else {
            return false;
        };
        let is_its_turn = if self.is_greeting_out {
            self.peer_greeting.is_some() || next.kind != MessageKind::Msg
        } else {
            matches!(
                next.milestone,
                Some(Milestone::Greeted | Milestone::Refused)
            )
        };
        is_its_turn && management.can_send_frame()
    }

    fn transmit_seq(&mut self, writer: &mut ChunkWriter<'_>) -> bool {
        if writer.room(0).is_none() {
            return false;
        }
        let Some(number) = self.seq_pending.pop_front() else {
            return false;
        };
        let window_max = self.window_max(number);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.is_seq_pending = false;
            if channel.is_open()
                && let Some(seq) = channel.receive_window.grant(number, window_max)
            {
                writer.seq(&seq);
            }
        }
        true
    }

    /// Sends one frame of a channel; false when there is no more room for one.
    fn transmit_frame(&mut self, number: ChannelNumber, writer: &mut ChunkWriter<'_>) -> bool {
        let frame_max = self.config.frame_max as usize;
        let channel = self
            .channels
            .get_mut(&number)
            .filter(|channel| channel.can_send_frame());
        let Some(channel) = channel else {
            return self.skip_turn(number);
        };
        let Some(next) = channel.queue.front_mut() else {
            return self.skip_turn(number);
        };
        let left = next.content.len();
        let wanted = left.min(frame_max).min(channel.send_window.room() as usize);
        let Some(room) = writer.room(wanted) else {
            return false;
        };
        let size = wanted.min(room);
        let header = header_of(next, number, channel.send_window.next(), size);
        let (head, body) = next.content.split_front(size);
        writer.frame(&header, &head, body);

        channel.send_window.sent(header.size);
        channel.queued_octets = channel.queued_octets.saturating_sub(size);
        if !number.is_management() {
            self.totals.queued_octets = self.totals.queued_octets.saturating_sub(size);
        }
        if header.kind == MessageKind::Msg && !next.is_begun {
            channel.awaited.begin();
        }
        next.is_begun = true;
        if header.more {
            channel.end_turn(&mut self.ready);
            return true;
        }

        let milestone = next.milestone;
        channel.queue.pop_front();
        channel.queued_messages = channel.queued_messages.saturating_sub(1);
        match header.kind {
            MessageKind::Msg => channel.awaited.finish(),
            MessageKind::Ans => {}
            // The greeting answers nothing.
            _ if matches!(milestone, Some(Milestone::Greeted | Milestone::Refused)) => {}
            MessageKind::Rpy | MessageKind::Err | MessageKind::Nul => {
                channel.replies.sent();
                if !number.is_management() {
                    self.totals.owed_replies = self.totals.owed_replies.saturating_sub(1);
                } else if channel.replies.complete() == 0 {
                    self.totals.requested_octets = 0;
                }
            }
        }
        if !number.is_management() {
            self.totals.queued_messages = self.totals.queued_messages.saturating_sub(1);
        }
        let may_progress = channel.queue.is_empty() && !number.is_management();
        channel.end_turn(&mut self.ready);
        if let Some(milestone) = milestone {
            self.reach(milestone);
        }
        if number.is_management() {
            // Answers that have left make room for further requests.
            self.schedule_management_seq();
        } else if may_progress {
            self.progress_close(number);
            self.progress_release();
        }
        true
    }

    /// Passes over a channel that cannot go on after all.
    fn skip_turn(&mut self, number: ChannelNumber) -> bool {
        if self.ready.front() == Some(&number) {
            self.ready.pop_front();
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.is_ready = false;
        }
        true
    }

    /// A message that means something to the session was sent in full.
    fn reach(&mut self, milestone: Milestone) {
        match milestone {
            Milestone::Greeted => self.is_greeting_out = true,
            Milestone::Refused => {
                if let Some(error) = self.refusal.take() {
                    self.finish(SessionEnd::Refused(*error));
                }
            }
            Milestone::TuningAsked => {
                if let Tuning::Queued(number) = self.tuning {
                    self.tuning = Tuning::Asked(number);
                }
            }
            Milestone::Opened(number) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.phase = Phase::Open;
                }
                if self.tuning == Tuning::Answering(number) {
                    self.tuning = Tuning::Agreed;
                }
                self.offer_window(number, self.config.window_on_open);
                self.wake(number);
                self.progress_close(number);
            }
            Milestone::Closed(number) => self.own_ok_sent(number),
            Milestone::Released => self.release_answered(),
        }
    }

    /// Lets a channel take its turn if it has something to send and room for it.
    pub(super) fn wake(&mut self, number: ChannelNumber) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.wake(&mut self.ready);
        }
    }

    /// Sends a SEQ for channel 0 when one is due, and the peer may ask for more.
    pub(super) fn schedule_management_seq(&mut self) {
        let requested_max = self
            .config
            .management_octets
            .saturating_mul(PENDING_DOCUMENTS);
        if self.peer_greeting.is_some()
            && self.totals.requested_octets < requested_max
            && let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT)
            // The request that is still arriving does not count: without window it would never be complete.
            && management.replies.complete() < self.config.management_pending_max
        {
            management.schedule_seq(&mut self.seq_pending);
        }
    }

    /// Offers a larger window with the next SEQ.
    pub(super) fn offer_window(&mut self, number: ChannelNumber, size: u32) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.receive_window.offer(size);
            if !channel.is_seq_pending && channel.receive_window.room() < size {
                channel.is_seq_pending = true;
                self.seq_pending.push_back(number);
            }
        }
    }

    /// Channel 0 needs no more than it begins with: requests are small.
    fn window_max(&self, number: ChannelNumber) -> u32 {
        if number.is_management() {
            0
        } else {
            self.config.window_max
        }
    }
}

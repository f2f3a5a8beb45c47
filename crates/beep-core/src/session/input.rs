//! What arrives: octets become frames, frames become messages.

use std::time::Instant;

use bytes::Bytes;

use super::held::schedule_seq;
use super::{Session, Totals};
use crate::awaited_replies::ReplyFrame;
use crate::channel::Channel;
use crate::decoder::Piece;
use crate::error::{Limit, ProtocolError};
use crate::event::Event;
use crate::frame::{DataHeader, MessageKind, SeqHeader};
use crate::message::{Message, Outgoing};
use crate::mime;
use crate::numbers::ChannelNumber;
use crate::reaction::{Fault, Reaction};
use crate::reassembly::Part;
use crate::transmit::Queued;

/// A frame whose trailer has not come.
#[derive(Debug)]
pub(super) struct FrameInProgress {
    header: DataHeader,
    /// The message it belongs to.
    part: Part,
}

/// Octets of bad requests on channel 0 that a peer may send beyond the window, which frames without octets do.
const MANAGEMENT_SLACK: usize = 4096;

/// Channels that may have as many unanswered MSGs as a channel can have: what all channels of a session have together.
const UNANSWERED_CHANNELS: usize = 4;

impl Session {
    /// Takes octets that arrived and returns how many.
    ///
    /// All of them are taken, except while tuning holds the input (see [`is_input_held`](Self::is_input_held)):
    /// the rest then belongs to the new layer, or has to be given again afterwards. Nothing is taken after the
    /// end.
    pub fn handle_input(&mut self, now: Instant, octets: &[u8]) -> usize {
        self.advance(now);
        if !octets.is_empty() && self.end.is_none() {
            self.deadlines.idle = self
                .config
                .idle_timeout
                .and_then(|silence| self.now.checked_add(silence));
        }
        let mut rest = octets;
        while !rest.is_empty() && self.end.is_none() && !self.is_input_held() {
            if self.ignores_input() {
                return octets.len();
            }
            match self.decode(&mut rest) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => match fault.reaction() {
                    Reaction::End(end) => self.finish(end),
                    // Faults of requests are answered where the request is known.
                    Reaction::Refuse(_) => {}
                },
            }
        }
        octets.len() - rest.len()
    }

    /// Whether what the peer sends means nothing any more: the session was refused, or its release agreed to.
    fn ignores_input(&self) -> bool {
        self.refusal.is_some() || (self.peer_release.is_answered() && !self.own_release.is_sent())
    }

    /// Handles the next piece of a frame; false when the octets do not hold another one.
    fn decode(&mut self, rest: &mut &[u8]) -> Result<bool, Fault> {
        match self.decoder.decode(rest).map_err(ProtocolError::Frame)? {
            None => return Ok(false),
            Some(Piece::Header(header)) => self.handle_header(header)?,
            Some(Piece::Payload(octets)) => {
                if let Some(frame) = &mut self.in_progress {
                    frame.part.octets.extend_from_slice(octets);
                    self.totals.joining_octets =
                        self.totals.joining_octets.saturating_add(octets.len());
                }
            }
            Some(Piece::End) => self.handle_frame_end()?,
            Some(Piece::Seq(seq)) => self.handle_seq(&seq)?,
        }
        Ok(true)
    }

    /// Checks everything that a header can be checked for, before any of its payload is taken.
    fn handle_header(&mut self, header: DataHeader) -> Result<(), Fault> {
        let DataHeader {
            kind,
            channel: number,
            msgno,
            ..
        } = header;
        let is_greeting = self.peer_greeting.is_none();
        if is_greeting {
            Self::check_greeting_frame(&header)?;
        }
        let config = &self.config;
        let Some(channel) = self
            .channels
            .get_mut(&number)
            .filter(|channel| channel.is_open())
        else {
            return Err(ProtocolError::ChannelNotOpen {
                kind,
                channel: number,
            }
            .into());
        };
        channel
            .receive_window
            .check(number, header.seqno, header.size)?;
        channel.reassembly.check(&header)?;
        let received = channel.reassembly.received_of(&header);
        let mut cut_short = false;
        if is_greeting {
            // The one reply that answers no MSG.
        } else if kind == MessageKind::Msg {
            if received.is_none() {
                Self::begin_owed_reply(channel, &mut self.totals, &header, config)?;
            }
        } else {
            if number.is_management() && matches!(kind, MessageKind::Ans | MessageKind::Nul) {
                return Err(ProtocolError::UnexpectedReply {
                    channel: number,
                    kind,
                    msgno,
                }
                .into());
            }
            if kind == MessageKind::Nul
                && (header.more || header.size as usize > mime::NO_HEADERS.len())
            {
                return Err(nul_not_empty(&header).into());
            }
            cut_short = channel.awaited.check(&header)? == ReplyFrame::Preemptive;
        }
        if received.is_none() && channel.reassembly.len() >= config.answers_interleaved_max {
            return Err(Limit {
                what: "answers_interleaved_max",
                most: config.answers_interleaved_max,
            }
            .into());
        }
        let (what, most) = match number.is_management() {
            true if is_greeting => ("greeting_octets", config.greeting_octets as usize),
            true => ("management_octets", config.management_octets),
            false => ("message_max", config.message_max),
        };
        let size = header.size as usize;
        if received.unwrap_or(0).saturating_add(size) > most {
            return Err(Limit { what, most }.into());
        }
        if self.totals.joining_octets.saturating_add(size) > config.joining_max {
            return Err(Limit {
                what: "joining_max",
                most: config.joining_max,
            }
            .into());
        }
        let mut part = channel.reassembly.take(&header, channel.is_joined);
        if part.octets.is_empty() {
            // A message of one frame takes exactly its size.
            part.octets.reserve_exact(size);
        } else {
            part.octets.reserve(size);
        }
        self.in_progress = Some(FrameInProgress { header, part });
        if cut_short {
            self.cut_message_short(number);
        }
        Ok(())
    }

    fn begin_owed_reply(
        channel: &mut Channel,
        totals: &mut Totals,
        header: &DataHeader,
        config: &crate::Config,
    ) -> Result<(), Fault> {
        let DataHeader {
            channel: number,
            msgno,
            ..
        } = *header;
        if channel.replies.is_in_use(msgno) {
            return Err(ProtocolError::MsgnoInUse {
                channel: number,
                msgno,
            }
            .into());
        }
        let (what, most) = if number.is_management() {
            (
                "management_pending_max",
                config
                    .management_pending_max
                    .saturating_add(MANAGEMENT_SLACK),
            )
        } else {
            ("messages_unanswered_max", config.messages_unanswered_max)
        };
        if channel.replies.len() >= most {
            return Err(Limit { what, most }.into());
        }
        if !number.is_management() {
            let most = config
                .messages_unanswered_max
                .saturating_mul(UNANSWERED_CHANNELS);
            if totals.owed_replies >= most {
                return Err(Limit { what, most }.into());
            }
            totals.owed_replies += 1;
        }
        channel.replies.begin(msgno);
        Ok(())
    }

    /// The trailer came: the frame is good.
    fn handle_frame_end(&mut self) -> Result<(), Fault> {
        let Some(FrameInProgress { header, mut part }) = self.in_progress.take() else {
            return Ok(());
        };
        let DataHeader {
            kind,
            channel: number,
            msgno,
            ansno,
            more,
            ..
        } = header;
        let Some(channel) = self.channels.get_mut(&number) else {
            // Its close was agreed to while the peer was still sending on it.
            return Err(ProtocolError::ChannelNotOpen {
                kind,
                channel: number,
            }
            .into());
        };
        channel.receive_window.received(header.size);
        if more && part.is_joined {
            channel.reassembly.keep(&header, part);
            if number.is_management() {
                self.schedule_management_seq();
            } else {
                schedule_seq(
                    channel,
                    &mut self.totals,
                    &self.config,
                    &mut self.seq_pending,
                );
            }
            return Ok(());
        }
        let content = Bytes::from(std::mem::take(&mut part.octets));
        self.totals.joining_octets = self.totals.joining_octets.saturating_sub(content.len());
        let seqno = if part.is_joined {
            part.seqno
        } else {
            header.seqno
        };
        if more {
            channel.reassembly.keep(&header, part);
        }
        if kind == MessageKind::Nul && !content.is_empty() && &*content != mime::NO_HEADERS {
            return Err(nul_not_empty(&header).into());
        }
        if number.is_management() {
            if self.peer_greeting.is_none() {
                self.handle_greeting(kind, &content)?;
            } else {
                self.handle_management(kind, msgno, &content)?;
            }
            self.schedule_management_seq();
        } else {
            self.deliver(
                number,
                Message {
                    kind,
                    msgno,
                    ansno,
                    seqno,
                    more,
                    content,
                },
            )?;
        }
        Ok(())
    }

    /// Hands a message of a data channel to the application.
    fn deliver(&mut self, number: ChannelNumber, message: Message) -> Result<(), Fault> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let Message {
            kind, msgno, more, ..
        } = message;
        let is_silent = channel
            .closing
            .as_ref()
            .is_some_and(|closing| closing.is_silent);
        let answers =
            !more && matches!(kind, MessageKind::Rpy | MessageKind::Err | MessageKind::Nul);
        if kind == MessageKind::Msg && !more {
            channel.replies.completed(msgno);
        }
        if answers {
            channel.awaited.answered();
            self.totals.awaited_replies = self.totals.awaited_replies.saturating_sub(1);
        }
        if is_silent {
            if kind == MessageKind::Msg && !more && channel.is_open() {
                // Nobody here knows the channel; its close cannot go through before the MSG is answered.
                let refusal = Queued::new(MessageKind::Err, msgno, None, Outgoing::default());
                if channel.give_reply(refusal).is_ok() {
                    self.totals.queued(channel, 0);
                }
            }
        } else {
            self.totals
                .hold(channel, message.content.len(), &self.config)?;
            self.events.push_back(Event::Message {
                channel: number,
                message,
            });
        }
        if kind == MessageKind::Msg && !more {
            channel.release_replies();
            channel.wake(&mut self.ready);
        }
        schedule_seq(
            channel,
            &mut self.totals,
            &self.config,
            &mut self.seq_pending,
        );
        if answers {
            self.progress_close(number);
            self.progress_release();
        }
        Ok(())
    }

    fn handle_seq(&mut self, seq: &SeqHeader) -> Result<(), Fault> {
        match self
            .channels
            .get_mut(&seq.channel)
            .filter(|channel| channel.is_open())
        {
            Some(channel) => {
                if channel.send_window.grant(seq)? {
                    channel.wake(&mut self.ready);
                }
                Ok(())
            }
            // The peer had sent it before it saw our answer to its close.
            None if self.recently_closed.contains(&seq.channel) => Ok(()),
            None => Err(ProtocolError::SeqForUnknownChannel {
                channel: seq.channel,
            }
            .into()),
        }
    }
}

fn nul_not_empty(header: &DataHeader) -> ProtocolError {
    ProtocolError::NulNotEmpty {
        channel: header.channel,
        msgno: header.msgno,
        size: header.size,
        more: header.more,
    }
}

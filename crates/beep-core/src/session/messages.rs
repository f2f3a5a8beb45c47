//! The messages of the application: MSG and the four kinds of replies.

use std::collections::BTreeMap;

use super::{Session, Totals};
use crate::channel::Channel;
use crate::config::Config;
use crate::error::SendError;
use crate::frame::MessageKind;
use crate::message::Outgoing;
use crate::numbers::{AnsNo, ChannelNumber, MsgNo};
use crate::transmit::Queued;

impl Session {
    /// Queues a MSG and returns its number.
    ///
    /// # Errors
    ///
    /// [`SendError::NotOpen`] before the channel's start was answered, [`SendError::Closing`] once its close is
    /// under way, [`SendError::QueueFull`] and [`SendError::TooManyOutstanding`] at the limits of the config.
    pub fn send_msg(
        &mut self,
        channel: ChannelNumber,
        message: Outgoing,
    ) -> Result<MsgNo, SendError> {
        if self.is_over() {
            return Err(SendError::SessionEnded);
        }
        let number = channel;
        let octets = message.len();
        let channel = usable(&mut self.channels, number).ok_or(SendError::NotOpen(number))?;
        check_queue(channel, octets, &self.totals, &self.config)?;
        if channel.is_closing() {
            return Err(SendError::Closing(number));
        }
        let awaited = channel.awaited.len();
        if awaited >= self.config.outstanding_max {
            return Err(SendError::TooManyOutstanding {
                channel: number,
                awaited,
            });
        }
        let msgno = channel.awaited.assign();
        self.totals.awaited_replies += 1;
        channel
            .queue
            .push_back(Queued::new(MessageKind::Msg, msgno, None, message));
        self.totals.queued(channel, octets);
        channel.wake(&mut self.ready);
        Ok(msgno)
    }

    /// Queues the positive reply to a MSG; it leaves when the MSGs before it are answered.
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchMessage`] when no MSG of this number awaits an RPY; else as for a MSG.
    pub fn send_rpy(
        &mut self,
        channel: ChannelNumber,
        msgno: MsgNo,
        message: Outgoing,
    ) -> Result<(), SendError> {
        self.reply(channel, MessageKind::Rpy, msgno, message)
            .map(|_| ())
    }

    /// Queues the negative reply to a MSG; it leaves when the MSGs before it are answered.
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchMessage`] when no MSG of this number awaits an ERR; else as for a MSG.
    pub fn send_err(
        &mut self,
        channel: ChannelNumber,
        msgno: MsgNo,
        message: Outgoing,
    ) -> Result<(), SendError> {
        self.reply(channel, MessageKind::Err, msgno, message)
            .map(|_| ())
    }

    /// Queues one answer of a series and returns its number in the series, which [`send_nul`](Self::send_nul)
    /// ends.
    ///
    /// Answers leave one after the other: some peers garble answers whose frames are interleaved.
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchMessage`] when no MSG of this number awaits an answer; else as for a MSG.
    pub fn send_ans(
        &mut self,
        channel: ChannelNumber,
        msgno: MsgNo,
        message: Outgoing,
    ) -> Result<AnsNo, SendError> {
        self.reply(channel, MessageKind::Ans, msgno, message)?
            .ok_or(SendError::NoSuchMessage { channel, msgno })
    }

    /// Queues the end of a series of answers, which may be empty; it carries no octet (RFC 3080 §2.2.1.1).
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchMessage`] when no MSG of this number awaits it; else as for a MSG.
    pub fn send_nul(&mut self, channel: ChannelNumber, msgno: MsgNo) -> Result<(), SendError> {
        self.reply(channel, MessageKind::Nul, msgno, Outgoing::default())
            .map(|_| ())
    }

    /// Says whether frames are joined to messages (the default); else each frame is an event of its own.
    ///
    /// It takes effect with the next message.
    pub fn set_reassembly(&mut self, channel: ChannelNumber, joined: bool) {
        if let Some(channel) = self.channels.get_mut(&channel)
            && !channel.number.is_management()
        {
            channel.is_joined = joined;
        }
    }

    fn reply(
        &mut self,
        number: ChannelNumber,
        kind: MessageKind,
        msgno: MsgNo,
        content: Outgoing,
    ) -> Result<Option<AnsNo>, SendError> {
        if self.end.is_some() || self.peer_release.is_answered() {
            return Err(SendError::SessionEnded);
        }
        let octets = content.len();
        let no_such_message = SendError::NoSuchMessage {
            channel: number,
            msgno,
        };
        let channel = usable(&mut self.channels, number).ok_or(SendError::NotOpen(number))?;
        if !channel.replies.is_in_use(msgno) {
            return Err(no_such_message);
        }
        // What is queued may all wait for this reply: refused, none of it would ever leave.
        let others_wait = channel.queue.is_empty() && channel.replies.is_next(msgno);
        if !others_wait {
            check_queue(channel, octets, &self.totals, &self.config)?;
        }
        let Ok(ansno) = channel.give_reply(Queued::new(kind, msgno, None, content)) else {
            return Err(no_such_message);
        };
        self.totals.queued(channel, octets);
        channel.wake(&mut self.ready);
        Ok(ansno)
    }

    /// Stops sending the MSG in the middle of which the peer refused it; an empty last frame ends it
    /// (RFC 3080 §2.6.3).
    pub(super) fn cut_message_short(&mut self, number: ChannelNumber) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if let Some(message) = channel.queue.front_mut().filter(|message| message.is_begun) {
            let dropped = message.content.len();
            message.content = Outgoing::default();
            channel.queued_octets = channel.queued_octets.saturating_sub(dropped);
            if !number.is_management() {
                self.totals.queued_octets = self.totals.queued_octets.saturating_sub(dropped);
            }
        }
        self.wake(number);
    }
}

/// A channel that the application can use.
fn usable(
    channels: &mut BTreeMap<ChannelNumber, Box<Channel>>,
    number: ChannelNumber,
) -> Option<&mut Channel> {
    channels
        .get_mut(&number)
        .filter(|channel| channel.is_usable() && !number.is_management())
        .map(Box::as_mut)
}

/// Says whether `octets` more may be queued; one message is always taken.
fn check_queue(
    channel: &Channel,
    octets: usize,
    totals: &Totals,
    config: &Config,
) -> Result<(), SendError> {
    let is_over = |queued: usize, most: usize| queued > 0 && queued.saturating_add(octets) > most;
    if channel.queued_messages >= config.send_queue_messages
        || is_over(channel.queued_octets, config.send_queue_octets)
        || is_over(totals.queued_octets, config.send_queue_octets_session)
    {
        return Err(SendError::QueueFull {
            channel: channel.number,
            octets: channel.queued_octets,
            messages: channel.queued_messages,
        });
    }
    Ok(())
}

//! The messages of the application: MSG and the four kinds of replies.

use super::Session;
use crate::channel::Phase;
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
        self.check_queue(number, message.len())?;
        let channel = self
            .channels
            .get_mut(&number)
            .ok_or(SendError::NotOpen(number))?;
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
        let octets = message.len();
        channel
            .queue
            .push_back(Queued::new(MessageKind::Msg, msgno, None, message));
        self.count_queued(number, octets);
        self.wake(number);
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
        let channel = self
            .channels
            .get_mut(&number)
            .filter(|channel| channel.is_usable());
        // What is queued may all wait for this reply: refused, none of it would ever leave.
        let others_wait = channel
            .as_ref()
            .is_some_and(|channel| channel.queue.is_empty() && channel.replies.is_next(msgno));
        if !channel.is_some_and(|channel| channel.replies.is_in_use(msgno))
            || number.is_management()
        {
            return Err(if self.is_usable(number) {
                no_such_message
            } else {
                SendError::NotOpen(number)
            });
        }
        if !others_wait {
            self.check_queue(number, octets)?;
        }
        let channel = self
            .channels
            .get_mut(&number)
            .ok_or(SendError::NotOpen(number))?;
        let Ok(ansno) = channel
            .replies
            .give(Queued::new(kind, msgno, None, content))
        else {
            return Err(no_such_message);
        };
        self.count_queued(number, octets);
        self.send_replies_due(number);
        Ok(ansno)
    }

    fn is_usable(&self, number: ChannelNumber) -> bool {
        !number.is_management()
            && self
                .channels
                .get(&number)
                .is_some_and(|channel| channel.is_usable())
    }

    /// Says whether `octets` more may be queued; one message is always taken.
    fn check_queue(&self, number: ChannelNumber, octets: usize) -> Result<(), SendError> {
        let channel = self
            .channels
            .get(&number)
            .filter(|channel| channel.is_usable() && !number.is_management());
        let channel = channel.ok_or(SendError::NotOpen(number))?;
        let is_over =
            |queued: usize, most: usize| queued > 0 && queued.saturating_add(octets) > most;
        if channel.queued_messages >= self.config.send_queue_messages
            || is_over(channel.queued_octets, self.config.send_queue_octets)
            || is_over(
                self.totals.queued_octets,
                self.config.send_queue_octets_session,
            )
        {
            return Err(SendError::QueueFull {
                channel: number,
                octets: channel.queued_octets,
                messages: channel.queued_messages,
            });
        }
        Ok(())
    }

    fn count_queued(&mut self, number: ChannelNumber, octets: usize) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.queued_octets = channel.queued_octets.saturating_add(octets);
            channel.queued_messages += 1;
            self.totals.queued_octets = self.totals.queued_octets.saturating_add(octets);
            self.totals.queued_messages += 1;
        }
    }

    /// Queues the replies whose turn has come.
    pub(super) fn send_replies_due(&mut self, number: ChannelNumber) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.release_replies();
            self.wake(number);
        }
    }

    /// Answers a MSG on a channel that the application does not know.
    pub(super) fn refuse_message(&mut self, number: ChannelNumber, msgno: MsgNo) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if matches!(channel.phase, Phase::Open)
            && channel
                .replies
                .give(Queued::new(
                    MessageKind::Err,
                    msgno,
                    None,
                    Outgoing::default(),
                ))
                .is_ok()
        {
            self.count_queued(number, 0);
        }
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

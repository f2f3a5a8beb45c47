//! One channel: its life, its queues and its windows.

use crate::awaited_replies::AwaitedReplies;
use crate::flow_control::{ReceiveWindow, SendWindow};
use crate::management::ProfileOffer;
use crate::numbers::{AnsNo, ChannelNumber, MsgNo, SeqNo};
use crate::queue::Queue;
use crate::reassembly::Reassembly;
use crate::reply_order::{NoSuchMessage, ReplyOrder};
use crate::session::deadlines::DeadlineKey;
use crate::transmit::Queued;

/// Where a channel is in its life (RFC 3080 §2.3.1.2, §2.3.1.3).
///
/// ```text
///  start() -----> Starting ------------------ <profile> in -----------+
///                    |                                                v
///                    +--- <error> in ---> (gone)                     Open ---> (gone)
///                                                                     ^   an <ok /> in or out,
///  <start> in --> Asked -- accepted --> Opening -- <profile> out -----+   or both where they cross
///                    |
///                    +--- refused ---> (gone)
/// ```
///
/// What a close under way adds is in [`Closing`].
#[derive(Debug)]
pub(crate) enum Phase {
    /// Our start is not answered; the number is taken.
    Starting,
    /// The peer's start waits for the application.
    Asked(Box<StartAsked>),
    /// The peer's start is accepted, the answer is not out yet; messages wait.
    Opening,
    /// Frames may pass.
    Open,
}

/// A start of the peer that the application has to answer.
#[derive(Debug)]
pub(crate) struct StartAsked {
    pub(crate) msgno: MsgNo,
    pub(crate) profiles: Vec<ProfileOffer>,
    pub(crate) server_name: Option<String>,
}

/// The close requests under way for a channel, ours and the peer's.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    pub(crate) own: OwnClose,
    pub(crate) peers: PeerClose,
    /// Our own close was still waiting when the peer asked for the same.
    pub(crate) is_joined: bool,
    /// The application knows nothing of the channel: its start was answered after the time-out.
    pub(crate) is_silent: bool,
}

/// A close that we ask for.
#[derive(Debug, Default)]
pub(crate) enum OwnClose {
    /// None.
    #[default]
    No,
    /// It waits for replies to our MSGs and for the queue to empty.
    Waiting {
        document: String,
        deadline: DeadlineKey,
    },
    /// It was given to channel 0; without a deadline its time-out was reported.
    Sent { deadline: Option<DeadlineKey> },
    /// The peer agreed; only our own `<ok />` to its crossing close is missing.
    Agreed,
}

/// A close that the peer asks for.
#[derive(Debug, Default)]
pub(crate) enum PeerClose {
    /// None.
    #[default]
    No,
    /// The application has to answer.
    Asked { msgno: MsgNo },
    /// The application agreed; the conditions of RFC 3080 §2.3.1.3 have to come true.
    Accepted { msgno: MsgNo, deadline: DeadlineKey },
    /// Our `<ok />` was given to channel 0.
    Answering,
    /// Our `<ok />` is out; only the peer's answer to our crossing close is missing.
    Answered,
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) number: ChannelNumber,
    pub(crate) phase: Phase,
    pub(crate) closing: Option<Box<Closing>>,
    pub(crate) profile: Box<str>,
    /// Ready to be sent, replies in their order.
    pub(crate) queue: Queue<Queued>,
    /// Octets of content in the queue and in replies kept.
    pub(crate) queued_octets: usize,
    /// Messages in the queue and replies kept.
    pub(crate) queued_messages: usize,
    pub(crate) send_window: SendWindow,
    pub(crate) receive_window: ReceiveWindow,
    pub(crate) awaited: AwaitedReplies,
    pub(crate) replies: ReplyOrder,
    pub(crate) reassembly: Reassembly,
    /// Messages delivered and not consumed.
    pub(crate) held_messages: u32,
    /// What they take, see `session/held.rs`.
    pub(crate) held_octets: usize,
    /// Whether frames are joined to messages.
    pub(crate) is_joined: bool,
    /// The channel stands in the queue of those that can send.
    pub(crate) is_ready: bool,
    /// The channel stands in the queue of those with a SEQ to send.
    pub(crate) is_seq_pending: bool,
}

impl Channel {
    pub(crate) fn new(number: ChannelNumber, phase: Phase, first: FirstNumbers) -> Self {
        Channel {
            number,
            phase,
            closing: None,
            profile: "".into(),
            queue: Queue::default(),
            queued_octets: 0,
            queued_messages: 0,
            send_window: SendWindow::new(first.seqno),
            receive_window: ReceiveWindow::new(first.seqno),
            awaited: AwaitedReplies::new(first.msgno),
            replies: ReplyOrder::default(),
            reassembly: Reassembly::default(),
            held_messages: 0,
            held_octets: 0,
            is_joined: true,
            is_ready: false,
            is_seq_pending: false,
        }
    }

    /// Whether frames may pass in both directions.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the application knows the channel as one that it can use.
    pub(crate) fn is_usable(&self) -> bool {
        let is_silent = self
            .closing
            .as_ref()
            .is_some_and(|closing| closing.is_silent);
        matches!(self.phase, Phase::Opening | Phase::Open) && !is_silent
    }

    /// Whether a close under way forbids new MSGs.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| {
            !matches!(closing.own, OwnClose::No)
                || !matches!(closing.peers, PeerClose::No | PeerClose::Asked { .. })
        })
    }

    /// Whether our close may be sent: all own MSGs are out and answered (RFC 3080 §2.3.1.3).
    pub(crate) fn can_ask_to_close(&self) -> bool {
        self.is_open() && self.awaited.is_empty() && self.queue.is_empty()
    }

    /// Whether the peer's close may be agreed to (RFC 3080 §2.3.1.3).
    pub(crate) fn can_agree_to_close(&self) -> bool {
        self.can_ask_to_close() && self.replies.is_empty()
    }

    /// Whether the next frame can be sent now, as far as window and life of the channel go.
    pub(crate) fn can_send_frame(&self) -> bool {
        self.is_open()
            && self
                .queue
                .front()
                .is_some_and(|next| self.send_window.room() > 0 || next.content.is_empty())
    }

    /// The close under way, begun if there is none.
    pub(crate) fn closing_mut(&mut self) -> &mut Closing {
        self.closing.get_or_insert_default()
    }

    /// Forgets a close that came to nothing.
    pub(crate) fn tidy_closing(&mut self) {
        let is_over = self.closing.as_ref().is_some_and(|closing| {
            matches!(
                (&closing.own, &closing.peers),
                (OwnClose::No, PeerClose::No)
            )
        });
        if is_over {
            self.closing = None;
        }
    }

    /// Moves replies whose turn has come into the queue.
    pub(crate) fn release_replies(&mut self) {
        self.replies.release(&mut self.queue);
    }

    /// Takes a reply, for now or for when it is its turn.
    pub(crate) fn give_reply(&mut self, reply: Queued) -> Result<Option<AnsNo>, NoSuchMessage> {
        self.replies.give(reply, &mut self.queue)
    }

    /// Enters the channel into the queue of those that can send, if it can and is not there.
    pub(crate) fn wake(&mut self, ready: &mut Queue<ChannelNumber>) {
        if !self.is_ready && self.can_send_frame() && !self.number.is_management() {
            self.is_ready = true;
            ready.push_back(self.number);
        }
    }

    /// Puts the channel, which stood at the front, behind the others that can send, or takes it out.
    pub(crate) fn end_turn(&mut self, ready: &mut Queue<ChannelNumber>) {
        if !self.number.is_management() {
            ready.pop_front();
            self.is_ready = false;
            self.wake(ready);
        }
    }

    /// Enters the channel into the queue of those with a SEQ to send, if it has one and is not there.
    pub(crate) fn schedule_seq(&mut self, seq_pending: &mut Queue<ChannelNumber>) {
        // A peer that has agreed to our close may have forgotten the channel, and take a SEQ for an error.
        if !self.is_seq_pending
            && self.receive_window.is_grant_due()
            && (!self.is_close_out() || self.receive_window.is_nearly_used_up())
        {
            self.is_seq_pending = true;
            seq_pending.push_back(self.number);
        }
    }

    fn is_close_out(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| matches!(closing.own, OwnClose::Sent { .. } | OwnClose::Agreed))
    }
}

/// The numbers that a channel begins with: 0, save in tests of the wrap-around.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstNumbers {
    pub(crate) msgno: MsgNo,
    pub(crate) seqno: SeqNo,
}

impl Default for FirstNumbers {
    fn default() -> Self {
        FirstNumbers {
            msgno: MsgNo::ZERO,
            seqno: SeqNo::ZERO,
        }
    }
}

/// What can be asked of a channel that is open or being opened.
#[derive(Clone, Copy, Debug)]
pub struct ChannelInfo<'a> {
    pub(crate) channel: &'a Channel,
}

impl<'a> ChannelInfo<'a> {
    /// The number of the channel.
    pub fn number(&self) -> ChannelNumber {
        self.channel.number
    }

    /// The URI of the profile; empty for channel 0 and before the start is answered.
    pub fn profile(&self) -> &'a str {
        &self.channel.profile
    }

    /// Whether the start was answered and no close is under way.
    pub fn is_open(&self) -> bool {
        self.channel.is_usable() && self.channel.closing.is_none()
    }

    /// Whether a MSG is taken: the channel is usable and nobody agreed to or asked for its close here.
    pub fn can_send_msg(&self) -> bool {
        !self.channel.number.is_management()
            && self.channel.is_usable()
            && !self.channel.is_closing()
    }

    /// Own MSGs that are not answered in full.
    pub fn awaited_replies(&self) -> usize {
        self.channel.awaited.len()
    }

    /// MSGs of the peer that the application has not answered in full.
    pub fn owed_replies(&self) -> usize {
        self.channel.replies.unanswered()
    }

    /// Octets of content given for sending and not on the wire yet.
    pub fn queued_octets(&self) -> usize {
        self.channel.queued_octets
    }

    /// Messages given for sending and not on the wire in full yet.
    pub fn queued_messages(&self) -> usize {
        self.channel.queued_messages
    }
}

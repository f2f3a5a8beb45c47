//! The replies that our own MSGs of a channel await.
//!
//! Replies come in the order of the MSGs (RFC 3080 §2.6.1) and our numbers are consecutive, so a count and the
//! oldest number say everything.

use crate::error::ProtocolError;
use crate::frame::{DataHeader, MessageKind};
use crate::numbers::MsgNo;

#[derive(Debug)]
pub(crate) struct AwaitedReplies {
    next: MsgNo,
    oldest: MsgNo,
    /// MSGs given a number and not answered in full.
    awaited: u32,
    /// Those of them whose first frame was sent.
    begun: u32,
    /// Those of them whose last frame was sent.
    finished: u32,
    /// Kind of the frames of the oldest one's reply so far.
    progress: Option<MessageKind>,
    /// A MSG was refused before it had been sent in full; its last frame is still to come.
    cut_short: bool,
}

/// What a frame of a reply asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyFrame {
    /// Nothing but to take it.
    Expected,
    /// The peer refused a MSG that we are still sending: stop sending it (RFC 3080 §2.6.3).
    Preemptive,
}

impl AwaitedReplies {
    pub(crate) fn new(first: MsgNo) -> Self {
        AwaitedReplies {
            next: first,
            oldest: first,
            awaited: 0,
            begun: 0,
            finished: 0,
            progress: None,
            cut_short: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.awaited as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.awaited == 0
    }

    /// Numbers a new MSG.
    pub(crate) fn assign(&mut self) -> MsgNo {
        let msgno = self.next;
        self.next = msgno.next();
        self.awaited = self.awaited.saturating_add(1);
        msgno
    }

    /// The first frame of the next MSG was sent.
    pub(crate) fn begin(&mut self) {
        self.begun = self.begun.saturating_add(1);
    }

    /// The last frame of the MSG begun was sent.
    pub(crate) fn finish(&mut self) {
        if self.cut_short {
            self.cut_short = false;
        } else {
            self.finished = self.finished.saturating_add(1);
        }
    }

    /// Checks one frame of a reply and notes its kind.
    pub(crate) fn check(&mut self, header: &DataHeader) -> Result<ReplyFrame, ProtocolError> {
        let DataHeader {
            kind,
            channel,
            msgno,
            ..
        } = *header;
        let mut reaction = ReplyFrame::Expected;
        if self.begun == 0 || msgno != self.oldest {
            return Err(ProtocolError::UnexpectedReply {
                channel,
                kind,
                msgno,
            });
        }
        if self.finished == 0 {
            // Only a refusal may overtake the end of its MSG (RFC 3080 §2.6.3).
            if kind != MessageKind::Err {
                return Err(ProtocolError::UnexpectedReply {
                    channel,
                    kind,
                    msgno,
                });
            }
            reaction = ReplyFrame::Preemptive;
        }
        let follows = match self.progress {
            None => true,
            Some(MessageKind::Ans) => matches!(kind, MessageKind::Ans | MessageKind::Nul),
            Some(before) => before == kind,
        };
        if !follows {
            return Err(ProtocolError::ReplyKindChanged {
                channel,
                kind,
                msgno,
            });
        }
        self.progress = Some(kind);
        Ok(reaction)
    }

    /// The reply to the oldest MSG is complete.
    pub(crate) fn answered(&mut self) {
        self.progress = None;
        self.oldest = self.oldest.next();
        self.awaited = self.awaited.saturating_sub(1);
        self.begun = self.begun.saturating_sub(1);
        if self.finished == 0 {
            self.cut_short = true;
        } else {
            self.finished -= 1;
        }
    }
}

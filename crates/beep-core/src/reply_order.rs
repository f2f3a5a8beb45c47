//! The replies that we owe the peer on a channel, in the order of its MSGs (RFC 3080 §2.6.1).
//!
//! ```text
//!            received             reply or NUL given        last frame sent
//! (nothing) ---------> owed, open ------------------> owed, answered --------> (nothing)
//! ```
//!
//! A reply given while older ones are owed is kept here and handed over once it is the oldest. A number counts
//! as in use until the last frame of its reply has been sent (RFC 3080 §2.2.1.1).

use std::collections::{BTreeMap, VecDeque};

use crate::frame::MessageKind;
use crate::numbers::{AnsNo, MsgNo};
use crate::queue::Queue;
use crate::transmit::Queued;

/// No message of that number awaits such a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchMessage;

#[derive(Debug)]
struct Owed {
    msgno: MsgNo,
    /// The MSG was received in full.
    is_complete: bool,
    /// The reply was given in full.
    is_answered: bool,
    /// Number of the next answer, once a series has begun.
    next_answer: Option<AnsNo>,
    /// Given while older replies were owed.
    #[expect(
        clippy::box_collection,
        reason = "empty, as nearly always, it takes a quarter of the room"
    )]
    kept: Option<Box<VecDeque<Queued>>>,
}

/// The replies owed on a channel.
#[derive(Debug, Default)]
pub(crate) struct ReplyOrder {
    owed: Queue<Owed>,
    /// How many of the oldest were handed over in full and are still being sent.
    handed_over: usize,
    unanswered: usize,
    /// How many owed entries were ever removed: the position of the oldest one.
    removed: u64,
    /// Positions by number, as soon as the numbers are not consecutive.
    ///
    /// Almost every peer counts, and then the position follows from the number. The index keeps the others
    /// from making each MSG cost a search through all that are owed.
    index: Option<BTreeMap<MsgNo, u64>>,
}

impl ReplyOrder {
    /// MSGs whose reply has not left in full.
    pub(crate) fn len(&self) -> usize {
        self.owed.len()
    }

    /// Those of them that were received in full: all but the last one, at least.
    pub(crate) fn complete(&self) -> usize {
        let is_arriving = self.owed.back().is_some_and(|last| !last.is_complete);
        self.owed.len().saturating_sub(usize::from(is_arriving))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// MSGs that the application has not answered in full.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(crate) fn is_in_use(&self, msgno: MsgNo) -> bool {
        self.position(msgno).is_some()
    }

    /// Whether the reply to this MSG is what all others wait for.
    pub(crate) fn is_next(&self, msgno: MsgNo) -> bool {
        self.owed
            .get(self.handed_over)
            .is_some_and(|oldest| oldest.msgno == msgno)
    }

    /// The first frame of a MSG arrived.
    pub(crate) fn begin(&mut self, msgno: MsgNo) {
        let counts_on = self
            .owed
            .back()
            .is_none_or(|last| last.msgno.next() == msgno);
        if !counts_on && self.index.is_none() {
            let positions = self.owed.iter().zip(self.removed..);
            self.index = Some(positions.map(|(owed, at)| (owed.msgno, at)).collect());
        }
        if let Some(index) = &mut self.index {
            index.insert(msgno, self.removed + self.owed.len() as u64);
        }
        self.unanswered += 1;
        self.owed.push_back(Owed {
            msgno,
            is_complete: false,
            is_answered: false,
            next_answer: None,
            kept: None,
        });
    }

    /// The last frame of the MSG begun last arrived.
    pub(crate) fn completed(&mut self, msgno: MsgNo) {
        if let Some(owed) = self.owed.back_mut().filter(|owed| owed.msgno == msgno) {
            owed.is_complete = true;
        }
    }

    /// Takes a reply of the application and puts it into `queue`, at once or with [`release`](Self::release) when it is its
    /// turn.
    ///
    /// For ANS the number of the answer is set and returned.
    pub(crate) fn give(
        &mut self,
        mut reply: Queued,
        queue: &mut Queue<Queued>,
    ) -> Result<Option<AnsNo>, NoSuchMessage> {
        let position = self.position(reply.msgno).ok_or(NoSuchMessage)?;
        let owed = self.owed.get_mut(position).ok_or(NoSuchMessage)?;
        if owed.is_answered {
            return Err(NoSuchMessage);
        }
        match reply.kind {
            MessageKind::Ans => {
                let ansno = owed.next_answer.unwrap_or(AnsNo::ZERO);
                // The numbers wrap: only answers in progress have to differ (RFC 3080 §2.2.1.1).
                owed.next_answer = Some(ansno.next());
                reply.ansno = Some(ansno);
            }
            MessageKind::Rpy | MessageKind::Err if owed.next_answer.is_some() => {
                return Err(NoSuchMessage);
            }
            MessageKind::Rpy | MessageKind::Err | MessageKind::Nul => {
                owed.is_answered = true;
                self.unanswered = self.unanswered.saturating_sub(1);
            }
            MessageKind::Msg => return Err(NoSuchMessage),
        }
        let ansno = reply.ansno;
        if position > self.handed_over || !owed.is_complete || owed.kept.is_some() {
            owed.kept.get_or_insert_default().push_back(reply);
            return Ok(ansno);
        }
        queue.push_back(reply);
        if owed.is_answered {
            self.handed_over += 1;
            self.release(queue);
        }
        Ok(ansno)
    }

    /// Puts the replies that may be sent now into `queue`.
    pub(crate) fn release(&mut self, queue: &mut Queue<Queued>) {
        while let Some(reply) = self.next() {
            queue.push_back(reply);
        }
    }

    fn next(&mut self) -> Option<Queued> {
        loop {
            let oldest = self.owed.get_mut(self.handed_over)?;
            // A reply to a MSG that is still arriving waits for its end: only an ERR could overtake it.
            if !oldest.is_complete {
                return None;
            }
            if let Some(kept) = &mut oldest.kept
                && let Some(reply) = kept.pop_front()
            {
                if kept.is_empty() {
                    oldest.kept = None;
                    if oldest.is_answered {
                        self.handed_over += 1;
                    }
                }
                return Some(reply);
            }
            if !oldest.is_answered {
                return None;
            }
            self.handed_over += 1;
        }
    }

    /// The last frame of the oldest reply was sent: its number is free again.
    pub(crate) fn sent(&mut self) {
        let Some(owed) = self.owed.pop_front() else {
            return;
        };
        self.handed_over = self.handed_over.saturating_sub(1);
        self.removed += 1;
        if self.owed.is_empty() {
            self.index = None;
        } else if let Some(index) = &mut self.index {
            index.remove(&owed.msgno);
        }
    }

    fn position(&self, msgno: MsgNo) -> Option<usize> {
        if let Some(index) = &self.index {
            let position = index.get(&msgno)?.checked_sub(self.removed)?;
            return usize::try_from(position).ok();
        }
        // Consecutive numbers, modulo 2^31.
        const LAST: u32 = MsgNo::MAX.value();
        let oldest = self.owed.front()?.msgno.value();
        let position = msgno.value().wrapping_sub(oldest) & LAST;
        usize::try_from(position)
            .ok()
            .filter(|position| *position < self.owed.len())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::{Deref, DerefMut};

    use super::*;
    use crate::message::Outgoing;

    fn number(value: u32) -> MsgNo {
        MsgNo::new(value).unwrap()
    }

    /// The order, and what came out of it.
    #[derive(Default)]
    struct Order {
        order: ReplyOrder,
        queue: Queue<Queued>,
    }

    impl Deref for Order {
        type Target = ReplyOrder;

        fn deref(&self) -> &ReplyOrder {
            &self.order
        }
    }

    impl DerefMut for Order {
        fn deref_mut(&mut self) -> &mut ReplyOrder {
            &mut self.order
        }
    }

    /// MSGs that were received in full, in this order.
    fn owed(numbers: &[u32]) -> Order {
        let mut order = Order::default();
        for value in numbers {
            order.begin(number(*value));
            order.completed(number(*value));
        }
        order
    }

    fn give(
        order: &mut Order,
        kind: MessageKind,
        msgno: u32,
    ) -> Result<Option<AnsNo>, NoSuchMessage> {
        let reply = Queued::new(kind, number(msgno), None, Outgoing::default());
        order.order.give(reply, &mut order.queue)
    }

    /// Everything that may be sent now.
    fn due(order: &mut Order) -> Vec<(MessageKind, u32)> {
        order.order.release(&mut order.queue);
        std::iter::from_fn(|| order.queue.pop_front())
            .map(|reply| (reply.kind, reply.msgno.value()))
            .collect()
    }

    #[test]
    fn replies_are_kept_until_the_older_ones_are_given() {
        use MessageKind::{Ans, Err, Nul, Rpy};
        let mut order = owed(&[0, 1, 2]);
        give(&mut order, Err, 2).unwrap();
        give(&mut order, Ans, 1).unwrap();
        assert_eq!(due(&mut order), []);
        give(&mut order, Rpy, 0).unwrap();
        assert_eq!(due(&mut order), [(Rpy, 0), (Ans, 1)]);
        give(&mut order, Nul, 1).unwrap();
        assert_eq!(due(&mut order), [(Nul, 1), (Err, 2)]);
        assert_eq!(order.unanswered(), 0);
    }

    #[test]
    fn a_reply_waits_for_the_end_of_its_msg() {
        let mut order = Order::default();
        order.begin(number(0));
        give(&mut order, MessageKind::Rpy, 0).unwrap();
        assert_eq!(due(&mut order), []);
        order.completed(number(0));
        assert_eq!(due(&mut order), [(MessageKind::Rpy, 0)]);
    }

    #[test]
    fn a_number_is_in_use_until_its_reply_was_sent() {
        let mut order = owed(&[0]);
        give(&mut order, MessageKind::Rpy, 0).unwrap();
        due(&mut order);
        assert!(order.is_in_use(number(0)));
        assert_eq!((order.len(), order.unanswered()), (1, 0));
        order.sent();
        assert!(!order.is_in_use(number(0)));
        assert!(order.is_empty());
    }

    #[test]
    fn a_msg_is_answered_once() {
        let mut order = owed(&[0, 1]);
        give(&mut order, MessageKind::Rpy, 0).unwrap();
        for kind in [MessageKind::Rpy, MessageKind::Ans, MessageKind::Nul] {
            assert_eq!(give(&mut order, kind, 0), Err(NoSuchMessage));
        }
        assert_eq!(give(&mut order, MessageKind::Msg, 1), Err(NoSuchMessage));
        assert_eq!(give(&mut order, MessageKind::Rpy, 2), Err(NoSuchMessage));
    }

    #[test]
    fn a_series_is_numbered_from_zero_and_ends_with_nul_only() {
        let mut order = owed(&[7]);
        for value in 0..3 {
            let ansno = give(&mut order, MessageKind::Ans, 7);
            assert_eq!(ansno, Ok(AnsNo::new(value)));
        }
        assert_eq!(give(&mut order, MessageKind::Rpy, 7), Err(NoSuchMessage));
        assert_eq!(give(&mut order, MessageKind::Err, 7), Err(NoSuchMessage));
        assert_eq!(give(&mut order, MessageKind::Nul, 7), Ok(None));
        assert_eq!(order.unanswered(), 0);
    }

    #[test]
    fn numbers_may_jump_and_wrap() {
        let last = MsgNo::MAX.value();
        for numbers in [[last - 1, last, 0, 1], [77, 5, last, 0]] {
            let mut order = owed(&numbers);
            assert!(!order.is_in_use(number(1000)));
            for value in numbers.iter().rev() {
                assert!(order.is_in_use(number(*value)));
                give(&mut order, MessageKind::Rpy, *value).unwrap();
            }
            let sent: Vec<_> = due(&mut order).iter().map(|reply| reply.1).collect();
            assert_eq!(sent, numbers);
            for value in numbers {
                order.sent();
                assert!(!order.is_in_use(number(value)));
            }
            assert!(order.is_empty());
        }
    }

    #[test]
    fn a_number_that_was_answered_may_come_again() {
        let mut order = owed(&[3, 9]);
        for value in [3, 9] {
            give(&mut order, MessageKind::Rpy, value).unwrap();
            due(&mut order);
            order.sent();
            order.begin(number(value));
            order.completed(number(value));
        }
        assert_eq!(order.len(), 2);
        give(&mut order, MessageKind::Err, 9).unwrap();
        give(&mut order, MessageKind::Rpy, 3).unwrap();
        assert_eq!(
            due(&mut order),
            [(MessageKind::Rpy, 3), (MessageKind::Err, 9)]
        );
    }
}

//! Two sessions under random commands: every message arrives once, in order, and the session can be released.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;

use super::pair::{Delivery, Dice, ECHO, Pair, content, start_of};
use crate::channel::FirstNumbers;
use crate::{
    ChannelNumber, Config, ErrorReply, Event, MessageKind, MsgNo, Outgoing, ReplyCode, SendError,
    SeqNo,
};

type Item = (MessageKind, Option<u32>, Bytes);

/// What one end knows of one channel.
#[derive(Debug, Default)]
struct Book {
    is_open: bool,
    asked: Vec<(MsgNo, Bytes)>,
    /// Replies given, by the place of the MSG they answer.
    given: BTreeMap<usize, Vec<Item>>,
    /// MSGs received, and whether their reply was given in full.
    received: Vec<(MsgNo, Bytes)>,
    unanswered: VecDeque<usize>,
    replies: Vec<(MsgNo, Item)>,
    unconsumed: VecDeque<usize>,
}

#[derive(Debug, Default)]
struct Side {
    books: BTreeMap<ChannelNumber, Book>,
    /// Of channels that are gone.
    closed: Vec<(ChannelNumber, Book)>,
    starts: Vec<ChannelNumber>,
    closes: Vec<ChannelNumber>,
}

struct World {
    pair: Pair,
    sides: [Side; 2],
    dice: Dice,
}

impl World {
    fn end(&mut self, side: usize) -> &mut super::pair::End {
        if side == 0 {
            &mut self.pair.initiator
        } else {
            &mut self.pair.listener
        }
    }

    fn note_events(&mut self) {
        for side in 0..2 {
            for event in self.end(side).take() {
                let its = &mut self.sides[side];
                match event {
                    Event::StartRequested { number, .. } => its.starts.push(number),
                    Event::Started { number, .. } => {
                        its.books.entry(number).or_default().is_open = true
                    }
                    Event::StartFailed { .. } | Event::CloseFailed { .. } => {}
                    Event::CloseRequested { number, .. } => its.closes.push(number),
                    Event::Closed { number, .. } => {
                        let book = its
                            .books
                            .remove(&number)
                            .expect("only open channels are closed, once");
                        its.closed.push((number, book));
                        its.closes.retain(|asked| *asked != number);
                    }
                    Event::Message { channel, message } => {
                        let book = its
                            .books
                            .get_mut(&channel)
                            .expect("messages come on open channels");
                        book.unconsumed.push_back(message.content().len());
                        if message.kind == MessageKind::Msg {
                            book.unanswered.push_back(book.received.len());
                            book.received
                                .push((message.msgno, message.content().clone()));
                        } else {
                            let ansno = message.ansno.map(|ansno| ansno.value());
                            book.replies.push((
                                message.msgno,
                                (message.kind, ansno, message.content().clone()),
                            ));
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn outgoing(&mut self) -> Outgoing {
        let size = match self.dice.below(8) {
            0 => 0,
            1..=5 => self.dice.below(300),
            6 => self.dice.below(6000),
            _ => self.dice.below(40_000),
        };
        let mut outgoing = content(size, self.dice.below(256));
        if self.dice.below(4) == 0 {
            outgoing = Outgoing::raw(outgoing.body);
        }
        outgoing
    }

    fn reply(&mut self, side: usize, channel: ChannelNumber, finishes: bool) {
        let choice = self.dice.below(6);
        let outgoing = self.outgoing();
        let whole: Bytes = [&outgoing.headers[..], &outgoing.body[..]].concat().into();
        let book = self.sides[side].books.get_mut(&channel).unwrap();
        if book.unanswered.is_empty() {
            return;
        }
        let at = if finishes {
            0
        } else {
            choice * 7 % book.unanswered.len()
        };
        let place = book.unanswered[at];
        let msgno = book.received[place].0;
        let given = book.given.entry(place).or_default();
        let is_series = !given.is_empty();
        let session = if side == 0 {
            &mut self.pair.initiator.session
        } else {
            &mut self.pair.listener.session
        };
        let kind = match choice {
            _ if finishes && is_series => MessageKind::Nul,
            0..=2 if !finishes => MessageKind::Ans,
            _ if is_series => MessageKind::Nul,
            3 => MessageKind::Err,
            4 => MessageKind::Nul,
            _ => MessageKind::Rpy,
        };
        let (ansno, whole) = match kind {
            MessageKind::Ans => {
                let ansno = session.send_ans(channel, msgno, outgoing).unwrap();
                (Some(ansno.value()), whole)
            }
            MessageKind::Nul => {
                session.send_nul(channel, msgno).unwrap();
                (None, Bytes::new())
            }
            MessageKind::Err => {
                session.send_err(channel, msgno, outgoing).unwrap();
                (None, whole)
            }
            _ => {
                session.send_rpy(channel, msgno, outgoing).unwrap();
                (None, whole)
            }
        };
        given.push((kind, ansno, whole));
        if kind != MessageKind::Ans {
            book.unanswered.remove(at);
        }
    }

    fn consume(&mut self, side: usize, channel: ChannelNumber) -> bool {
        let book = self.sides[side].books.get_mut(&channel).unwrap();
        let Some(octets) = book.unconsumed.pop_front() else {
            return false;
        };
        self.end(side).session.consume(channel, octets);
        true
    }

    fn answer_start(&mut self, side: usize, accepts: bool) {
        if self.sides[side].starts.is_empty() {
            return;
        }
        let at = self.dice.below(self.sides[side].starts.len());
        let number = self.sides[side].starts.remove(at);
        if accepts {
            self.end(side)
                .session
                .accept_start(number, 0, None)
                .unwrap();
            self.sides[side].books.entry(number).or_default().is_open = true;
        } else {
            let error = ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "no");
            self.end(side).session.refuse_start(number, error).unwrap();
        }
    }

    fn answer_close(&mut self, side: usize, accepts: bool) {
        if self.sides[side].closes.is_empty() {
            return;
        }
        let at = self.dice.below(self.sides[side].closes.len());
        let number = self.sides[side].closes.remove(at);
        if accepts {
            let _ = self.end(side).session.accept_close(number);
        } else {
            let error = ErrorReply::new(ReplyCode::ACTION_REFUSED, "no");
            // It may have been agreed to by an own close meanwhile.
            let _ = self.end(side).session.refuse_close(number, error);
        }
    }

    fn act(&mut self) {
        let side = self.dice.below(2);
        let now = self.pair.now;
        let open: Vec<_> = self.sides[side]
            .books
            .iter()
            .filter(|(_, book)| book.is_open)
            .map(|(at, _)| *at)
            .collect();
        match self.dice.below(20) {
            0 if open.len() < 6 => {
                self.end(side).session.start(now, start_of(ECHO)).unwrap();
            }
            1 | 2 => {
                let accepts = self.dice.below(4) > 0;
                self.answer_start(side, accepts);
            }
            3 => {
                let accepts = self.dice.below(3) > 0;
                self.answer_close(side, accepts);
            }
            4..=8 => {
                self.pair.step();
            }
            _ if open.is_empty() => {}
            choice => {
                let channel = open[self.dice.below(open.len())];
                match choice {
                    9..=12 => {
                        let outgoing = self.outgoing();
                        let whole: Bytes =
                            [&outgoing.headers[..], &outgoing.body[..]].concat().into();
                        match self.end(side).session.send_msg(channel, outgoing) {
                            Ok(msgno) => {
                                self.sides[side]
                                    .books
                                    .get_mut(&channel)
                                    .unwrap()
                                    .asked
                                    .push((msgno, whole));
                            }
                            Err(error) => assert_eq!(error, SendError::Closing(channel)),
                        }
                    }
                    13..=16 => self.reply(side, channel, false),
                    17 | 18 => {
                        self.consume(side, channel);
                    }
                    _ if self.dice.below(4) == 0 => {
                        let _ =
                            self.end(side)
                                .session
                                .close(now, channel, ReplyCode::SUCCESS, None);
                    }
                    _ => {}
                }
            }
        }
        self.note_events();
    }

    /// Answers and consumes everything until both ends are idle.
    fn wind_up(&mut self) {
        loop {
            let mut is_busy = self.pair.settle();
            self.note_events();
            for side in 0..2 {
                while !self.sides[side].starts.is_empty() {
                    self.answer_start(side, true);
                    is_busy = true;
                }
                while !self.sides[side].closes.is_empty() {
                    self.answer_close(side, true);
                    is_busy = true;
                }
                let channels: Vec<_> = self.sides[side].books.keys().copied().collect();
                for channel in channels {
                    while self.consume(side, channel) {
                        is_busy = true;
                    }
                    while !self.sides[side].books[&channel].unanswered.is_empty() {
                        self.reply(side, channel, true);
                        is_busy = true;
                    }
                }
            }
            if !is_busy {
                return;
            }
        }
    }

    fn check(&self) {
        let [one, other] = &self.sides;
        let books = |side: &Side| -> Vec<(ChannelNumber, usize)> {
            side.closed
                .iter()
                .map(|(number, book)| (*number, book.asked.len()))
                .collect()
        };
        assert_eq!(
            one.closed.len(),
            other.closed.len(),
            "{:?} {:?}",
            books(one),
            books(other)
        );
        assert!(one.books.keys().eq(other.books.keys()));
        // A number is used again only after the channel is gone at both ends, so the order is the same.
        for (number, book) in one
            .books
            .iter()
            .chain(one.closed.iter().map(|(number, book)| (number, book)))
        {
            let peers = other.books.get(number).unwrap_or_else(|| {
                &other
                    .closed
                    .iter()
                    .find(|(its, _)| its == number)
                    .expect("closed at both ends")
                    .1
            });
            check_direction(book, peers);
            check_direction(peers, book);
        }
        for side in [&self.pair.initiator, &self.pair.listener] {
            assert_eq!(side.session.buffered_octets(), 0);
        }
    }
}

/// What `asker` asked was received by `answerer`, and answered in order.
fn check_direction(asker: &Book, answerer: &Book) {
    assert_eq!(asker.asked, answerer.received);
    let given = answerer.given.iter().flat_map(|(place, items)| {
        let msgno = answerer.received[*place].0;
        items.iter().map(move |item| (msgno, item.clone()))
    });
    assert!(given.eq(asker.replies.iter().cloned()));
}

fn config(frame_max: u32, window_on_open: u32, window_max: u32) -> Config {
    Config {
        frame_max,
        window_on_open,
        window_max: window_max.max(window_on_open),
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_message_arrives_once_and_in_order_and_the_session_can_be_released(
        seed in any::<u64>(),
        frames in (prop_oneof![1u32..50, 50u32..5000], prop_oneof![1u32..50, 50u32..70_000]),
        windows in (4096u32..20_000, 4096u32..20_000),
        window_max in 4096u32..200_000,
        seqno in prop_oneof![Just(0u32), (u32::MAX - 100_000)..],
        msgno in prop_oneof![Just(0u32), (MsgNo::MAX.value() - 20)..=MsgNo::MAX.value()],
        delivery in prop_oneof![Just(Delivery::Whole), Just(Delivery::Random)],
        max_octets in prop_oneof![Just(1usize), Just(64 * 1024), 1usize..5000],
    ) {
        let first = FirstNumbers { msgno: MsgNo::new(msgno).unwrap(), seqno: SeqNo::new(seqno) };
        let (one, other) = (config(frames.0, windows.0, window_max), config(frames.1, windows.1, window_max));
        let mut pair = Pair::asymmetric(one, other, first).greet();
        pair.delivery = delivery;
        pair.max_octets = max_octets;
        let mut world = World { pair, sides: Default::default(), dice: Dice::new(seed) };
        for _ in 0..400 {
            world.act();
        }
        world.wind_up();
        world.check();
        world.pair.release();
    }
}

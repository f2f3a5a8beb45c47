//! Numbers that pass their top.

use super::pair::{Delivery, Pair, content, pattern};
use crate::channel::FirstNumbers;
use crate::{Config, MsgNo, Outgoing, SeqNo};

#[test]
fn message_and_sequence_numbers_wrap() {
    let first = FirstNumbers {
        msgno: MsgNo::MAX,
        seqno: SeqNo::new(u32::MAX - 20_000),
    };
    for delivery in [Delivery::Whole, Delivery::Random] {
        let mut pair = Pair::with(Config::default(), first).greet();
        pair.delivery = delivery;
        let channel = pair.open();
        for expected in [MsgNo::MAX, MsgNo::ZERO, MsgNo::ZERO.next()] {
            let asked = pair
                .initiator
                .session
                .send_msg(channel, content(15_000, 1))
                .unwrap();
            assert_eq!(asked, expected);
            pair.settle();
            assert_eq!(pair.listener.messages()[0].payload(), pattern(15_000, 1));
            pair.listener
                .session
                .send_rpy(channel, asked, Outgoing::raw(pattern(15_000, 2)))
                .unwrap();
            pair.settle();
            assert_eq!(pair.initiator.messages()[0].payload(), pattern(15_000, 2));
        }
        pair.release();
    }
}

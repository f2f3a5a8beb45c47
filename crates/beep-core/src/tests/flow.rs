//! Windows and SEQ.

use super::pair::{Pair, content, pattern};
use crate::{Config, Event, Outgoing};

fn seqs(text: &str, channel: u32) -> Vec<String> {
    let start = format!("SEQ {channel} ");
    text.match_indices(&start)
        .map(|(at, _)| text[at..].split("\r\n").next().unwrap().to_owned())
        .collect()
}

#[test]
fn a_larger_window_is_offered_as_soon_as_a_channel_is_open() {
    let (pair, channel) = Pair::with_channel();
    for end in [&pair.initiator, &pair.listener] {
        assert_eq!(seqs(&end.sent_text(), channel.value()), ["SEQ 3 0 65536"]);
    }
}

#[test]
fn the_window_doubles_with_use_up_to_its_limit() {
    let mut pair = Pair::configured(Config {
        window_on_open: 4096,
        window_max: 16_384,
        ..Config::default()
    });
    let channel = pair.open();
    pair.initiator
        .session
        .send_msg(channel, content(200_000, 0))
        .unwrap();
    pair.settle();
    assert_eq!(pair.listener.messages()[0].payload(), pattern(200_000, 0));
    let text = pair.listener.sent_text();
    let windows: Vec<_> = seqs(&text, 3)
        .iter()
        .map(|seq| seq.rsplit_once(' ').unwrap().1.parse::<u32>().unwrap())
        .collect();
    assert_eq!(windows.first(), Some(&8192));
    assert!(windows.is_sorted());
    assert_eq!(windows.last(), Some(&16_384));
}

#[test]
fn an_application_that_does_not_consume_stops_its_peer() {
    let mut pair = Pair::configured(Config {
        window_on_open: 4096,
        window_max: 4096,
        ..Config::default()
    });
    let channel = pair.open();
    for _ in 0..6 {
        pair.initiator
            .session
            .send_msg(channel, Outgoing::raw(pattern(1024, 0)))
            .unwrap();
    }
    pair.settle();
    assert_eq!(pair.listener.take().len(), 4);
    let info = pair.initiator.session.channel(channel).unwrap();
    assert_eq!((info.queued_octets(), info.queued_messages()), (2048, 2));
    pair.listener.session.consume(channel, 1024);
    pair.settle();
    assert_eq!(pair.listener.take().len(), 1);
    pair.listener.session.consume(channel, 1024);
    pair.settle();
    assert_eq!(pair.listener.take().len(), 1);
}

#[test]
fn one_large_message_alone_does_not_close_its_channel() {
    for (window_on_open, window_max) in [(4096, 4096), (4096, 1 << 20), (65_536, 1 << 20)] {
        for size in [5000, 100_000, 3_000_000] {
            let mut pair = Pair::configured(Config {
                window_on_open,
                window_max,
                ..Config::default()
            });
            let channel = pair.open();
            pair.initiator
                .session
                .send_msg(channel, content(size, 0))
                .unwrap();
            pair.initiator
                .session
                .send_msg(channel, content(2000, 0))
                .unwrap();
            pair.settle();
            assert_eq!(
                pair.listener.take().len(),
                2,
                "nothing was consumed in between"
            );
        }
    }
}

#[test]
fn channel_0_keeps_the_first_window_and_renews_it_with_use() {
    let mut pair = Pair::new();
    for _ in 0..60 {
        pair.open();
    }
    for end in [&pair.initiator, &pair.listener] {
        let seqs = seqs(&end.sent_text(), 0);
        assert!(!seqs.is_empty());
        assert!(seqs.iter().all(|seq| seq.ends_with(" 4096")));
    }
}

#[test]
fn no_window_is_granted_on_channel_0_while_too_many_requests_are_unanswered() {
    let mut pair = Pair::configured(Config {
        management_pending_max: 10,
        ..Config::default()
    });
    for _ in 0..200 {
        pair.initiator
            .session
            .start(pair.now, super::pair::start_of(super::pair::ECHO))
            .unwrap();
    }
    pair.settle();
    let asked = pair.listener.take();
    assert!(asked.len() < 80, "{}", asked.len());
    let mut answered = 0;
    let mut asked = asked;
    while !asked.is_empty() {
        for event in asked {
            if let Event::StartRequested { number, .. } = event {
                pair.listener.session.accept_start(number, 0, None).unwrap();
                answered += 1;
            }
        }
        pair.settle();
        asked = pair.listener.take();
    }
    assert_eq!(answered, 200);
}

#[test]
fn a_session_that_transmits_in_small_portions_loses_nothing() {
    for portion in [1, 80, 100, 1000] {
        let (mut pair, channel) = Pair::with_channel();
        pair.max_octets = portion;
        pair.initiator
            .session
            .send_msg(channel, content(5000, 3))
            .unwrap();
        pair.settle();
        assert_eq!(pair.listener.messages()[0].payload(), pattern(5000, 3));
    }
}

#[test]
fn large_payloads_travel_as_slices_and_small_frames_are_joined() {
    let (mut pair, channel) = Pair::with_channel();
    for _ in 0..10 {
        pair.initiator
            .session
            .send_msg(channel, Outgoing::new("small"))
            .unwrap();
    }
    let mut chunks = Vec::new();
    pair.initiator
        .session
        .poll_transmit(pair.now, &mut chunks, usize::MAX);
    assert_eq!(chunks.len(), 1);
    let (mut pair, channel) = Pair::with_channel();
    let body = pattern(10_000, 0);
    pair.initiator
        .session
        .send_msg(channel, Outgoing::new(body.clone()))
        .unwrap();
    let mut chunks = Vec::new();
    pair.initiator
        .session
        .poll_transmit(pair.now, &mut chunks, usize::MAX);
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1].as_ptr(), body.as_ptr());
}

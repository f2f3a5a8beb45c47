//! Messages that arrived and that nobody has consumed.

use super::*;

#[test]
fn messages_held_max() {
    let config = Config {
        messages_held_max: 10,
        ..Config::default()
    };
    check(&config, "messages_held_max", 10, [10, 11], send_empty);
    check(
        &config,
        "messages_held_max",
        10,
        [10, 11],
        |pair, channel, count| {
            send_empty(pair, channel, 5);
            assert_eq!(pair.listener.messages().len(), 5);
            send_empty(pair, channel, count);
        },
    );
}

/// What a message of 1,000 octets counts.
const COUNTED: usize = 1000 + 256;

#[test]
fn octets_held_max_bounds_what_nobody_consumes_over_all_channels() {
    let config = Config {
        octets_held_max: 10 * COUNTED,
        ..Config::default()
    };
    let what = "octets_held_max";
    let most = 10 * COUNTED;
    let fill = |pair: &mut Pair, channel: ChannelNumber, count: usize| {
        let other = pair.open();
        for _ in 0..5 {
            send(pair, channel, 1000);
        }
        pair.settle();
        for _ in 0..count {
            send(pair, other, 1000);
        }
    };
    check(&config, what, most, [5, 6], fill);
    // What was consumed does not count.
    check(&config, what, most, [5, 6], |pair, channel, count| {
        for _ in 0..5 {
            send(pair, channel, 1000);
        }
        pair.settle();
        assert_eq!(pair.listener.messages().len(), 5);
        fill(pair, channel, count);
    });
    // Messages without an octet count, too.
    let most = 256 * 20;
    let config = Config {
        octets_held_max: most,
        ..Config::default()
    };
    check(&config, what, most, [20, 21], send_empty);
}

#[test]
fn a_session_that_holds_much_grants_window_where_nothing_is_held() {
    let (mut pair, first) = limited(Config {
        octets_held_max: 200_000,
        window_on_open: 4096,
        window_max: 4096,
        ..Config::default()
    });
    let second = pair.open();
    let third = pair.open();
    // A message counts a quarter of the window at most, so that it does not close it by itself.
    for channel in [first, second] {
        send(&mut pair, channel, 60_000);
        pair.settle();
    }
    for channel in [first, second, third] {
        send(&mut pair, channel, 10_000);
    }
    pair.settle();
    let events = pair.listener.take();
    let arrived: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Message { channel, message } => Some((*channel, message.content().len())),
            _ => None,
        })
        .collect();
    assert_eq!(
        arrived,
        [(first, 60_000), (second, 60_000), (third, 10_000)]
    );
    // One of them is done, so all go on, even the one that still holds something.
    pair.listener.session.consume(first, 60_000);
    pair.settle();
    assert_eq!(reached(&pair), None);
    assert_eq!(pair.listener.messages().len(), 2);
}

#[test]
fn what_a_closed_channel_held_does_not_count() {
    let (mut pair, channel) = limited(Config {
        octets_held_max: 200_000,
        ..Config::default()
    });
    for round in 0..10_u32 {
        let asking = pair.open();
        send(&mut pair, asking, 60_000);
        pair.settle();
        let listener = &mut pair.listener.session;
        let reply = Outgoing::raw("");
        listener.send_rpy(asking, MsgNo::ZERO, reply).unwrap();
        pair.settle();
        let initiator = &mut pair.initiator.session;
        let closed = initiator.close(pair.now, asking, ReplyCode::SUCCESS, None);
        closed.unwrap();
        pair.settle();
        pair.listener.session.accept_close(asking).unwrap();
        pair.settle();
        assert!(pair.listener.session.channel(asking).is_none(), "{round}");
        // Whoever is done with it later says so, and nothing comes of it.
        pair.listener.session.consume(asking, 60_000);
        pair.initiator.take();
        pair.listener.take();
    }
    send(&mut pair, channel, 100_000);
    pair.settle();
    assert_eq!(reached(&pair), None);
    assert_eq!(pair.listener.messages().len(), 1);
}

//! What the application may queue.

use super::*;

#[test]
fn outstanding_max() {
    let mut pair = Pair::configured(Config {
        outstanding_max: 3,
        ..Config::default()
    });
    let channel = pair.open();
    send_empty(&mut pair, channel, 3);
    let more = pair.initiator.session.send_msg(channel, Outgoing::raw(""));
    assert_eq!(
        more,
        Err(SendError::TooManyOutstanding {
            channel,
            awaited: 3
        })
    );
    let listener = &mut pair.listener.session;
    listener
        .send_rpy(channel, MsgNo::ZERO, Outgoing::raw(""))
        .unwrap();
    pair.settle();
    send_empty(&mut pair, channel, 1);
}

/// The peer takes nothing.
fn queue(pair: &mut Pair, channel: ChannelNumber, octets: usize) -> Result<MsgNo, SendError> {
    let message = Outgoing::raw(pattern(octets, 0));
    pair.initiator.session.send_msg(channel, message)
}

#[test]
fn send_queue_octets() {
    let mut pair = Pair::configured(Config {
        send_queue_octets: 1000,
        ..Config::default()
    });
    let channel = pair.open();
    let other = pair.open();
    queue(&mut pair, channel, 600).unwrap();
    let full = queue(&mut pair, channel, 401);
    assert!(matches!(
        full,
        Err(SendError::QueueFull { octets: 600, .. })
    ));
    queue(&mut pair, channel, 400).unwrap();
    let full = queue(&mut pair, channel, 1);
    assert!(matches!(
        full,
        Err(SendError::QueueFull { octets: 1000, .. })
    ));
    // Each channel has its own.
    queue(&mut pair, other, 1000).unwrap();
    pair.settle();
    queue(&mut pair, channel, 1).unwrap();
}

#[test]
fn send_queue_messages() {
    let mut pair = Pair::configured(Config {
        send_queue_messages: 3,
        ..Config::default()
    });
    let channel = pair.open();
    for _ in 0..3 {
        queue(&mut pair, channel, 0).unwrap();
    }
    let full = queue(&mut pair, channel, 0);
    assert!(matches!(
        full,
        Err(SendError::QueueFull { messages: 3, .. })
    ));
    pair.settle();
    queue(&mut pair, channel, 0).unwrap();
}

#[test]
fn send_queue_octets_session() {
    let mut pair = Pair::configured(Config {
        send_queue_octets_session: 1000,
        ..Config::default()
    });
    let channels = [pair.open(), pair.open()];
    queue(&mut pair, channels[0], 600).unwrap();
    queue(&mut pair, channels[1], 400).unwrap();
    for channel in channels {
        let full = queue(&mut pair, channel, 1);
        assert!(matches!(full, Err(SendError::QueueFull { .. })));
    }
    pair.settle();
    queue(&mut pair, channels[1], 1000).unwrap();
}

//! How long a peer may take: a moment before it nothing happens.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_micros(1);

#[test]
fn greeting_timeout() {
    let mut hand = Hand::new(Config {
        greeting_timeout: 5 * SECOND,
        ..Config::default()
    });
    let begun = hand.now;
    let half = format!("RPY 0 0 . 0 {}\r\n{HEADERS}<gre", HEADERS.len() + 12);
    hand.feed(&half);
    hand.session.handle_timeout(begun + 5 * SECOND - MOMENT);
    assert_eq!(hand.session.end(), None);
    hand.session.handle_timeout(begun + 5 * SECOND);
    let late = SessionEnd::TimedOut(Deadline::Greeting);
    assert_eq!(hand.session.end(), Some(&late));
}

#[test]
fn reply_timeout_of_a_start() {
    let mut pair = Pair::configured(Config {
        reply_timeout: 5 * SECOND,
        ..Config::default()
    });
    let initiator = &mut pair.initiator.session;
    let number = initiator.start(pair.now, start_of(ECHO)).unwrap();
    pair.settle();
    pair.pass(5 * SECOND - MOMENT);
    assert!(pair.initiator.take().is_empty());
    pair.pass(MOMENT);
    let events = pair.initiator.take();
    assert!(
        matches!(events[..], [Event::StartFailed { number: its, why: ChannelFailure::TimedOut }] if its == number),
        "{events:?}"
    );
    assert_eq!(pair.initiator.session.end(), None);
}

#[test]
fn reply_timeout_of_a_close_and_of_a_release() {
    let mut pair = Pair::configured(Config {
        reply_timeout: 5 * SECOND,
        ..Config::default()
    });
    let number = pair.open();
    let initiator = &mut pair.initiator.session;
    let asked = initiator.close(pair.now, number, ReplyCode::SUCCESS, None);
    asked.unwrap();
    pair.settle();
    pair.pass(5 * SECOND - MOMENT);
    assert!(pair.initiator.take().is_empty());
    pair.pass(MOMENT);
    let events = pair.initiator.take();
    assert!(
        matches!(events[..], [Event::CloseFailed { number: its, why: ChannelFailure::TimedOut }] if its == number),
        "{events:?}"
    );
    let initiator = &mut pair.initiator.session;
    let asked = initiator.release(pair.now, ReplyCode::SUCCESS, None);
    asked.unwrap();
    pair.settle();
    pair.pass(5 * SECOND - MOMENT);
    assert_eq!(pair.initiator.session.end(), None);
    pair.pass(MOMENT);
    let late = SessionEnd::TimedOut(Deadline::Release);
    assert_eq!(pair.initiator.session.end(), Some(&late));
}

#[test]
fn release_linger() {
    let mut pair = Pair::configured(Config {
        release_linger: 5 * SECOND,
        ..Config::default()
    });
    let initiator = &mut pair.initiator.session;
    let asked = initiator.release(pair.now, ReplyCode::SUCCESS, None);
    asked.unwrap();
    pair.settle();
    let listener = &mut pair.listener.session;
    listener.accept_close(ChannelNumber::MANAGEMENT).unwrap();
    pair.settle();
    // The peer does not hang up.
    pair.pass(5 * SECOND - MOMENT);
    assert_eq!(pair.listener.session.end(), None);
    pair.pass(MOMENT);
    assert_eq!(
        pair.listener.session.end(),
        Some(&SessionEnd::Released { by_peer: true })
    );
}

#[test]
fn idle_timeout() {
    let config = Config {
        idle_timeout: Some(5 * SECOND),
        ..Config::default()
    };
    let mut pair = Pair::configured(config);
    pair.pass(4 * SECOND);
    let channel = pair.open();
    pair.pass(5 * SECOND - MOMENT);
    assert!(pair.initiator.session.channel(channel).is_some());
    pair.pass(MOMENT);
    assert_eq!(
        pair.initiator.session.end(),
        Some(&SessionEnd::TimedOut(Deadline::Idle))
    );
}

//! Much of everything, and memory that stays where it is.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use beep_session::{Channel, ConnectOptions, Connection, Profiles};
use bytes::Bytes;
use common::*;
use tokio::sync::Notify;

/// For requests beside those that a test is about.
const PROBE: &str = "urn:test:probe";
/// Octets queued on a channel from which on its senders wait, as in `src/mailbox.rs`.
const SEND_AHEAD: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sessions_work_at_once() {
    const SESSIONS: usize = 200;
    let server = server(echo_profiles()).await;
    let clients: Vec<_> = (0..SESSIONS)
        .map(|n| {
            let port = server.local_addr().port();
            tokio::spawn(async move {
                let client = Connection::connect("127.0.0.1", port, ConnectOptions::default())
                    .await
                    .unwrap();
                let channel = client.open(ECHO).await.unwrap();
                for round in 0..10 {
                    let text = format!("{n} {round}");
                    assert_eq!(channel.request(text.clone()).await.unwrap().payload(), text);
                }
                client
            })
        })
        .collect();
    let mut open = Vec::new();
    for client in clients {
        open.push(within(client).await.unwrap());
    }
    assert_eq!(server.connection_count(), SESSIONS);
    for client in open {
        within(client.close()).await.unwrap();
    }
    until(|| server.connection_count() == 0).await;
}

#[tokio::test]
async fn ten_thousand_channels_open_and_close_on_one_session() {
    const CHANNELS: usize = 10_000;
    let (client, server) = pair(echo_profiles()).await;
    let opening: Vec<_> = (0..CHANNELS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.open(ECHO).await.unwrap() })
        })
        .collect();
    let mut channels = Vec::new();
    for channel in opening {
        channels.push(within(channel).await.unwrap());
    }
    assert_eq!(server.channels().len(), CHANNELS);
    for channel in channels.iter().step_by(100) {
        assert_eq!(
            within(channel.request("here")).await.unwrap().payload(),
            "here"
        );
    }
    within(client.close()).await.unwrap();
    assert!(channels.iter().all(|channel| channel.is_closed()));
    assert!(within(server.closed()).await.is_orderly());
}

#[tokio::test]
async fn a_hundred_thousand_messages_can_be_under_way() {
    const MESSAGES: usize = 100_000;
    let (client, _server) = pair(echo_profiles()).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let payload = Bytes::from(vec![b'x'; 64]);
    let pending: Vec<_> = (0..MESSAGES)
        .map(|_| channel.send(payload.clone()).unwrap())
        .collect();
    for reply in pending {
        assert_eq!(
            within(reply).await.unwrap().into_payload().unwrap().len(),
            64
        );
    }
    assert_eq!(client.session().buffered_octets(), 0);
}

#[tokio::test]
async fn a_large_message_passes_through_one_channel() {
    let (client, server) = pair(echo_profiles()).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let payload: Bytes = (0..32usize << 20)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into();
    let reply = within(channel.request(payload.clone()))
        .await
        .unwrap()
        .into_payload()
        .unwrap();
    assert!(reply == payload);
    assert_eq!(client.session().buffered_octets(), 0);
    assert_eq!(server.session().buffered_octets(), 0);
}

#[tokio::test]
async fn messages_in_both_directions_do_not_stand_in_each_others_way() {
    const MESSAGES: usize = 300;
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        let answering = tokio::spawn(echo(channel.clone()));
        for _ in 0..MESSAGES {
            channel.request(vec![b's'; 20_000]).await.unwrap();
        }
        answering.await.unwrap();
    });
    let (client, _server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let answering = tokio::spawn(echo(channel.clone()));
    for _ in 0..MESSAGES {
        within(channel.request(vec![b'c'; 20_000])).await.unwrap();
    }
    within(channel.close()).await.unwrap();
    within(answering).await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_closes_the_window_and_memory_stays_bounded() {
    const OCTETS: usize = 64 * 1024;
    const MESSAGES: usize = 256;
    let (go, gone) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let profiles = {
        let (go, gone) = (go.clone(), gone.clone());
        Profiles::new()
            .serve(PROBE, echo)
            .serve(ECHO, move |channel: Channel| {
                let (go, gone) = (go.clone(), gone.clone());
                async move {
                    go.notified().await;
                    while let Some(message) = channel.recv().await {
                        gone.fetch_add(message.payload().len(), Ordering::SeqCst);
                        message.reply("").await.unwrap();
                    }
                }
            })
    };
    let (client, server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let probe = within(client.open(PROBE)).await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = tokio::spawn({
        let (channel, sent) = (channel.clone(), sent.clone());
        async move {
            let mut pending = Vec::new();
            for _ in 0..MESSAGES {
                channel.ready().await;
                pending.push(channel.send(vec![0; OCTETS]).unwrap());
                sent.fetch_add(OCTETS, Ordering::SeqCst);
            }
            for reply in pending {
                reply.await.unwrap();
            }
        }
    });
    let is_held_back = || channel.queued_octets() >= SEND_AHEAD;
    settled(&probe, is_held_back, || {
        let there = server.session().channel(channel.number());
        (sent.load(Ordering::SeqCst), channel.queued_octets(), there)
    })
    .await;
    // One window here, the queue of the sender there, and no more, though 16 MiB wait to be sent.
    let window_max = beep_session::Config::default().window_max as usize;
    let (joining, queued) = (
        server.session().buffered_octets(),
        client.session().buffered_octets(),
    );
    let delivered = sent.load(Ordering::SeqCst).saturating_sub(queued);
    assert!(
        delivered <= window_max,
        "{delivered} octets taken by a reader that does not read"
    );
    assert!(joining <= window_max, "{joining} octets being joined");
    println!("delivered {delivered}, being joined {joining}, queued by the sender {queued}");
    assert!(queued <= SEND_AHEAD + 2 * OCTETS, "{queued} octets queued");
    assert!(queued >= SEND_AHEAD, "the sender is not held back");
    assert!(!sender.is_finished());
    assert_eq!(gone.load(Ordering::SeqCst), 0);
    go.notify_one();
    within(sender).await.unwrap();
    assert_eq!(gone.load(Ordering::SeqCst), OCTETS * MESSAGES);
}

#[tokio::test]
async fn a_server_that_answers_more_than_its_client_takes_waits() {
    const ANSWER: usize = 64 * 1024;
    let sent = Arc::new(AtomicUsize::new(0));
    let profiles = {
        let sent = sent.clone();
        Profiles::new()
            .serve(PROBE, echo)
            .serve(ECHO, move |channel: Channel| {
                let sent = sent.clone();
                async move {
                    let mut message = channel.recv().await.unwrap();
                    for _ in 0..512 {
                        message.ans(vec![0; ANSWER]).await.unwrap();
                        sent.fetch_add(ANSWER, Ordering::SeqCst);
                    }
                    message.finish().unwrap();
                    assert!(channel.recv().await.is_none());
                }
            })
    };
    let (client, server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let probe = within(client.open(PROBE)).await.unwrap();
    let mut answers = within(channel.answers("all of it")).await.unwrap();
    let queued = || server.session().queued_octets(channel.number());
    let is_held_back = || queued() >= SEND_AHEAD;
    settled(&probe, is_held_back, || {
        (sent.load(Ordering::SeqCst), queued())
    })
    .await;
    assert!(
        sent.load(Ordering::SeqCst) < 4 << 20,
        "{} octets sent to nobody",
        sent.load(Ordering::SeqCst)
    );
    let mut received = 0;
    while let Some(answer) = within(answers.next()).await.unwrap() {
        received += answer.into_payload().len();
    }
    assert_eq!(received, 512 * ANSWER);
    within(client.close()).await.unwrap();
}

//! Starting, using and closing channels.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use beep_session::{
    Channel, ChannelNumber, ConnectOptions, Connection, Error, ErrorReply, Family, MessageKind,
    Outgoing, Profile, ProfileContent, Profiles, Reply, ReplyCode, StartOptions, UsageError,
};
use common::*;
use tokio::sync::Notify;
use tokio::time::timeout;

fn number(value: u32) -> ChannelNumber {
    ChannelNumber::new(value).unwrap()
}

/// Keeps its channel and does nothing with it.
async fn idle(channel: Channel) {
    channel.connection().closed().await;
}

#[tokio::test]
async fn the_first_profile_that_is_served_wins() {
    let (client, _server) = pair(Profiles::new().serve("urn:b", echo).serve("urn:c", echo)).await;
    let start = StartOptions::new("urn:a").or("urn:c").or("urn:b");
    let channel = within(client.open_with(start)).await.unwrap();
    assert_eq!(channel.profile(), "urn:c");
    assert_eq!(within(channel.request("x")).await.unwrap().payload(), "x");
}

#[tokio::test]
async fn a_profile_that_nobody_serves_is_refused_with_554() {
    let (client, _server) = pair(echo_profiles()).await;
    let error = within(client.open("urn:unknown")).await.unwrap_err();
    assert_eq!(error.code(), Some(ReplyCode::TRANSACTION_FAILED));
    assert_eq!(error.family(), Family::Peer);
    within(client.open(ECHO)).await.unwrap();
}

#[tokio::test]
async fn a_start_decision_sees_the_start_and_its_answer_is_seen() {
    let profile = Profile::new("urn:vault", echo).on_start(|start| async move {
        assert_eq!(start.uri, "urn:vault");
        assert_eq!(start.server_name.as_deref(), Some("example.org"));
        assert!(start.connection.is_alive());
        match start.content {
            Some(content) if content.text == "sesame" => {
                Ok(Some(ProfileContent::new("welcome <&>")))
            }
            _ => Err(ErrorReply::new(ReplyCode::NOT_AUTHORIZED, "say the word")),
        }
    });
    let (client, _server) = pair(Profiles::new().with(profile)).await;
    let start = || StartOptions::new("urn:vault").server_name("example.org");
    let error = within(client.open_with(start())).await.unwrap_err();
    assert_eq!(error.to_string(), "the peer refused: 537 say the word");
    let channel = within(client.open_with(start().content(ProfileContent::new("sesame"))))
        .await
        .unwrap();
    assert_eq!(channel.content().unwrap().text, "welcome <&>");
    assert_eq!(within(channel.request("x")).await.unwrap().payload(), "x");
}

#[tokio::test]
async fn a_handler_sees_the_content_of_the_start() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        let text = channel.content().unwrap().text.clone();
        channel.recv().await.unwrap().reply(text).await.unwrap();
    });
    let (client, _server) = pair(profiles).await;
    let start = StartOptions::new(ECHO).content(ProfileContent::new("came along"));
    let channel = within(client.open_with(start)).await.unwrap();
    assert_eq!(
        within(channel.request("?")).await.unwrap().payload(),
        "came along"
    );
}

#[tokio::test]
async fn a_start_decision_that_panics_refuses() {
    let profile = Profile::new(ECHO, echo).on_start(|_| async { panic!("on purpose") });
    let (client, _server) = pair(Profiles::new().with(profile)).await;
    let error = within(client.open(ECHO)).await.unwrap_err();
    assert_eq!(error.code(), Some(ReplyCode::SERVICE_NOT_AVAILABLE));
}

#[tokio::test]
async fn an_answer_that_xml_cannot_carry_refuses() {
    let profile =
        Profile::new(ECHO, echo).on_start(|_| async { Ok(Some(ProfileContent::new("\u{1}"))) });
    let (client, _server) = pair(Profiles::new().with(profile)).await;
    let error = within(client.open(ECHO)).await.unwrap_err();
    assert_eq!(error.code(), Some(ReplyCode::SERVICE_NOT_AVAILABLE));
}

#[tokio::test]
async fn a_start_that_nobody_answers_times_out() {
    let profile = Profile::new(ECHO, echo).on_start(|_| std::future::pending());
    let options = ConnectOptions {
        config: config(|config| config.reply_timeout = Duration::from_millis(50)),
        ..ConnectOptions::default()
    };
    let (client, _server) =
        pair_with(options, Profiles::new().with(profile), Default::default()).await;
    assert!(matches!(
        within(client.open(ECHO)).await.unwrap_err(),
        Error::NoAnswer
    ));
}

#[tokio::test]
async fn numbers_are_those_asked_for_or_odd_from_3() {
    let (client, server) = pair(Profiles::new().serve(ECHO, idle)).await;
    let first = within(client.open(ECHO)).await.unwrap();
    let chosen = within(client.open_with(StartOptions::new(ECHO).number(number(1000))))
        .await
        .unwrap();
    let third = within(client.open(ECHO)).await.unwrap();
    let numbers = [&first, &chosen, &third].map(|channel| channel.number().value());
    assert_eq!(numbers, [3, 1000, 5]);
    assert_eq!(client.channels(), [3, 5, 1000].map(number));
    assert_eq!(server.channels(), [3, 5, 1000].map(number));
    let error = within(client.open_with(StartOptions::new(ECHO).number(number(3))))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Usage(UsageError::NumberInUse(_))));
    assert_eq!(error.family(), Family::Misuse);
}

#[tokio::test]
async fn a_server_can_start_channels_at_its_client() {
    let options = ConnectOptions {
        profiles: echo_profiles(),
        ..ConnectOptions::default()
    };
    let (_client, server) = pair_with(options, Profiles::new(), Default::default()).await;
    within(server.greeted()).await.unwrap();
    let channel = within(server.open(ECHO)).await.unwrap();
    assert_eq!(channel.number(), number(4));
    assert_eq!(
        within(channel.request("back")).await.unwrap().payload(),
        "back"
    );
}

#[tokio::test]
async fn every_kind_of_answer_arrives() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        while let Some(mut message) = channel.recv().await {
            let outcome = match &message.payload()[..] {
                b"rpy" => message.reply("yes").await,
                b"err" => message.err("no").await,
                b"none" => message.finish(),
                b"three" => {
                    for answer in ["one", "two", "three"] {
                        message.ans(answer).await.unwrap();
                    }
                    message.finish()
                }
                _ => {
                    drop(message);
                    Ok(())
                }
            };
            outcome.unwrap();
        }
    });
    let (client, _server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();

    assert!(
        matches!(within(channel.request("rpy")).await.unwrap(), Reply::Rpy(message) if message.payload() == "yes")
    );
    assert!(
        matches!(within(channel.request("err")).await.unwrap(), Reply::Err(message) if message.payload() == "no")
    );
    let error = within(channel.request("err"))
        .await
        .unwrap()
        .into_payload()
        .unwrap_err();
    assert!(matches!(error, Error::NegativeReply(payload) if payload == "no"));

    let mut answers = within(channel.answers("three")).await.unwrap();
    let mut seen = Vec::new();
    while let Some(answer) = within(answers.next()).await.unwrap() {
        assert_eq!(answer.kind(), MessageKind::Ans);
        assert_eq!(answer.ansno().unwrap().value() as usize, seen.len());
        seen.push(answer.into_payload());
    }
    assert_eq!(seen, ["one", "two", "three"]);
    assert!(within(answers.next()).await.unwrap().is_none());

    assert!(
        within(within(channel.answers("none")).await.unwrap().next())
            .await
            .unwrap()
            .is_none()
    );
    let mut answers = within(channel.answers("rpy")).await.unwrap();
    assert_eq!(
        within(answers.next()).await.unwrap().unwrap().payload(),
        "yes"
    );
    assert!(within(answers.next()).await.unwrap().is_none());
    let mut answers = within(channel.answers("err")).await.unwrap();
    assert!(matches!(
        within(answers.next()).await,
        Err(Error::NegativeReply(_))
    ));
    assert!(within(answers.next()).await.unwrap().is_none());

    assert!(matches!(
        within(channel.request("three")).await.unwrap_err(),
        Error::AnsweredInSeries
    ));
    assert!(matches!(
        within(channel.request("none")).await.unwrap_err(),
        Error::AnsweredInSeries
    ));
    assert!(
        matches!(
            within(channel.request("drop it")).await.unwrap(),
            Reply::Err(_)
        ),
        "dropped messages are answered"
    );
    assert!(matches!(
        within(channel.request("rpy")).await.unwrap(),
        Reply::Rpy(_)
    ));
}

#[tokio::test]
async fn a_series_that_is_dropped_is_ended() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        while let Some(mut message) = channel.recv().await {
            message.ans("only one").await.unwrap();
        }
    });
    let (client, _server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let mut answers = within(channel.answers("?")).await.unwrap();
    assert!(within(answers.next()).await.unwrap().is_some());
    assert!(within(answers.next()).await.unwrap().is_none());
    // Answers that nobody takes are let go of.
    drop(within(channel.answers("?")).await.unwrap());
    within(channel.close()).await.unwrap();
}

#[tokio::test]
async fn replies_given_out_of_order_arrive_in_order() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        let mut messages = Vec::new();
        while messages.len() < 3 {
            messages.push(channel.recv().await.unwrap());
        }
        // Each larger than what a channel queues before senders wait: the oldest must not wait for
        // the others.
        let replies = messages.into_iter().rev().map(|message| {
            let payload = message.payload().repeat(1 << 20);
            tokio::spawn(message.reply(payload))
        });
        for reply in replies.collect::<Vec<_>>() {
            reply.await.unwrap().unwrap();
        }
    });
    let (client, _server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let pending: Vec<_> = ["a", "b", "c"]
        .map(|text| channel.send(text).unwrap())
        .into();
    for (reply, expected) in pending.into_iter().zip([b'a', b'b', b'c']) {
        let payload = within(reply).await.unwrap().into_payload().unwrap();
        assert_eq!(payload.len(), 1 << 20);
        assert!(payload.iter().all(|octet| *octet == expected));
    }
}

#[tokio::test]
async fn entity_headers_arrive_beside_the_payload() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        let message = channel.recv().await.unwrap();
        assert_eq!(message.content_type().as_deref(), Some("text/plain"));
        assert_eq!(message.header("X-Colour").as_deref(), Some(&b"blue"[..]));
        let payload = message.payload();
        message
            .reply(Outgoing::with_headers(
                "Content-Type: text/html\r\n\r\n",
                payload,
            ))
            .await
            .unwrap();
    });
    let (client, _server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let message =
        Outgoing::with_headers("Content-Type: text/plain\r\nx-colour: blue\r\n\r\n", "body");
    let reply = within(channel.request(message)).await.unwrap();
    assert_eq!(reply.payload(), "body");
    assert_eq!(reply.message().content_type().as_deref(), Some("text/html"));
}

#[tokio::test]
async fn a_refused_close_leaves_the_channel_usable() {
    let profile = Profile::new(ECHO, echo).on_close(|close| async move {
        Err(ErrorReply::new(
            ReplyCode::ACTION_REFUSED,
            format!("not {}", close.number),
        ))
    });
    let (client, _server) = pair(Profiles::new().with(profile)).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let error = within(channel.close()).await.unwrap_err();
    assert_eq!(error.to_string(), "the peer refused: 550 not 3");
    assert_eq!(
        within(channel.request("still open"))
            .await
            .unwrap()
            .payload(),
        "still open"
    );
    let error = within(client.close()).await.unwrap_err();
    assert_eq!(error.code(), Some(ReplyCode::ACTION_REFUSED));
    assert_eq!(
        within(channel.request("and still"))
            .await
            .unwrap()
            .payload(),
        "and still"
    );
}

#[tokio::test]
async fn a_close_waits_for_replies_and_ends_both_sides() {
    const LATE: &str = "urn:test:late";
    let go = Arc::new(Notify::new());
    let late = go.clone();
    let profiles = echo_profiles().serve(LATE, move |channel: Channel| {
        let go = late.clone();
        async move {
            let message = channel.recv().await.unwrap();
            go.notified().await;
            message.reply("late").await.unwrap();
            assert!(channel.recv().await.is_none());
            assert!(channel.is_closed());
        }
    });
    let (client, server) = pair(profiles).await;
    let other = within(client.open(ECHO)).await.unwrap();
    let channel = within(client.open(LATE)).await.unwrap();
    let is_open = |connection: &Connection| {
        let state = connection.session().channel(channel.number());
        state.is_some_and(|state| state.is_open)
    };
    let mut pending = channel.send("x").unwrap();
    let closing = tokio::spawn({
        let channel = channel.clone();
        async move { channel.close().await }
    });
    until(|| !is_open(&client)).await;
    // A close that does not wait would be there ahead of this.
    within(other.request("x")).await.unwrap();
    assert!(is_open(&server) && !closing.is_finished());
    assert!(timeout(Duration::ZERO, &mut pending).await.is_err());
    go.notify_one();
    within(closing).await.unwrap().unwrap();
    assert_eq!(within(pending).await.unwrap().payload(), "late");
    within(other.close()).await.unwrap();
    within(channel.close()).await.unwrap();
    assert!(matches!(
        within(channel.request("x")).await.unwrap_err(),
        Error::ChannelClosed(_)
    ));
    assert!(client.channels().is_empty());
    until(|| server.channels().is_empty()).await;
}

#[tokio::test]
async fn closes_that_cross_close_the_channel_once() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        let message = channel.recv().await.unwrap();
        message.reply("now").await.unwrap();
        channel.close().await.unwrap();
    });
    let (client, server) = pair(profiles).await;
    for _ in 0..20 {
        let channel = within(client.open(ECHO)).await.unwrap();
        within(channel.request("when?")).await.unwrap();
        within(channel.close()).await.unwrap();
    }
    assert!(client.channels().is_empty());
    until(|| server.channels().is_empty()).await;
    assert!(client.is_alive() && server.is_alive());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_channel() {
    let (client, server) = pair(echo_profiles()).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let other = channel.clone();
    drop(channel);
    assert_eq!(
        within(other.request("one handle is left"))
            .await
            .unwrap()
            .payload(),
        "one handle is left"
    );
    drop(other);
    until(|| client.channels().is_empty() && server.channels().is_empty()).await;
    assert!(client.is_alive());
}

#[tokio::test]
async fn a_handler_that_returns_refuses_what_it_did_not_take() {
    let (client, _server) = pair(Profiles::new().serve(ECHO, |channel| async move {
        drop(channel.recv().await);
    }))
    .await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let pending: Vec<_> = (0..3).map(|_| channel.send("x").unwrap()).collect();
    for reply in pending {
        assert!(matches!(within(reply).await.unwrap(), Reply::Err(_)));
    }
    until(|| channel.is_closed()).await;
    assert!(within(channel.recv()).await.is_none());
}

#[tokio::test]
async fn several_tasks_share_the_messages_of_a_channel() {
    let profiles = Profiles::new().serve(ECHO, |channel| async move {
        let workers: Vec<_> = (0..4)
            .map(|_| tokio::spawn(echo(channel.clone())))
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
    let (client, _server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let pending: Vec<_> = (0..500)
        .map(|n| (n, channel.send(format!("{n}")).unwrap()))
        .collect();
    for (n, reply) in pending {
        assert_eq!(within(reply).await.unwrap().payload(), format!("{n}"));
    }
    within(client.close()).await.unwrap();
}

#[tokio::test]
async fn an_open_that_is_given_up_leaves_no_channel_behind() {
    let (client, server) = pair(echo_profiles()).await;
    for _ in 0..10 {
        let client = client.clone();
        let open = tokio::spawn(async move { client.open(ECHO).await });
        tokio::task::yield_now().await;
        open.abort();
    }
    until(|| client.channels().is_empty() && server.channels().is_empty()).await;
    within(client.close()).await.unwrap();
}

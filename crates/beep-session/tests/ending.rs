//! Every way in which a session can end, each reported once.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use beep_session::core::{Config, SessionEnd};
use beep_session::{
    Channel, ConnectOptions, Connection, End, Error, ErrorReply, Profiles, ReplyCode,
    SessionOptions,
};
use common::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// A listener session whose peer is played by hand and has greeted.
async fn greeted_by_hand(config: Arc<Config>) -> (Connection, ByHand) {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let connection = Connection::accept(here, echo_profiles(), config);
    let mut peer = ByHand::new(there);
    peer.expect("</greeting>\r\nEND\r\n").await;
    peer.greet().await;
    within(connection.greeted()).await.unwrap();
    (connection, peer)
}

fn protocol_end(end: &End) -> &SessionEnd {
    let End::Protocol(end) = end else {
        panic!("{end}")
    };
    end
}

#[tokio::test]
async fn a_release_is_reported_to_both_sides() {
    let (client, server) = pair(echo_profiles()).await;
    let (client_ends, server_ends) = (Ends::of(&client), Ends::of(&server));
    within(client.close()).await.unwrap();
    assert!(matches!(
        protocol_end(&*client_ends.once(&client).await),
        SessionEnd::Released { by_peer: false }
    ));
    assert!(matches!(
        protocol_end(&*server_ends.once(&server).await),
        SessionEnd::Released { by_peer: true }
    ));
    within(client.close()).await.unwrap();
}

#[tokio::test]
async fn a_listener_may_release_too() {
    let (client, server) = pair(echo_profiles()).await;
    let ends = Ends::of(&client);
    within(server.close()).await.unwrap();
    assert!(matches!(
        protocol_end(&*ends.once(&client).await),
        SessionEnd::Released { by_peer: true }
    ));
}

#[tokio::test]
async fn releases_that_cross_end_both_sides_well() {
    let (client, server) = pair(echo_profiles()).await;
    let (client_ends, server_ends) = (Ends::of(&client), Ends::of(&server));
    let (here, there) = within(async { tokio::join!(client.close(), server.close()) }).await;
    here.unwrap();
    there.unwrap();
    assert!(client_ends.once(&client).await.is_orderly());
    assert!(server_ends.once(&server).await.is_orderly());
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_reported() {
    let (connection, peer) = greeted_by_hand(config(|_| {})).await;
    let ends = Ends::of(&connection);
    drop(peer);
    let end = ends.once(&connection).await;
    assert!(matches!(
        protocol_end(&end),
        SessionEnd::PeerHungUp { mid_frame: false }
    ));
}

#[tokio::test]
async fn half_a_frame_is_told_from_a_whole_one() {
    let (connection, mut peer) = greeted_by_hand(config(|_| {})).await;
    let ends = Ends::of(&connection);
    peer.send("MSG 0 1 . 52 100\r\nhalf").await;
    drop(peer);
    let end = ends.once(&connection).await;
    assert!(matches!(
        protocol_end(&end),
        SessionEnd::PeerHungUp { mid_frame: true }
    ));
}

#[tokio::test]
async fn a_reset_connection_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let connection = Connection::accept(stream, echo_profiles(), config(|_| {}));
    let ends = Ends::of(&connection);
    let mut peer = ByHand::new(peer);
    peer.expect("</greeting>").await;
    peer.greet().await;
    within(connection.greeted()).await.unwrap();
    socket2::SockRef::from(&peer.stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(peer);
    let end = ends.once(&connection).await;
    let End::Transport(error) = &*end else {
        panic!("{end}")
    };
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_protocol_error_is_reported() {
    let (connection, mut peer) = greeted_by_hand(config(|_| {})).await;
    let ends = Ends::of(&connection);
    peer.send(frame("MSG", 77, 0, 0, "\r\nno such channel"))
        .await;
    let end = ends.once(&connection).await;
    assert!(
        matches!(protocol_end(&end), SessionEnd::Protocol(_)),
        "{end}"
    );
    peer.expect_end().await;
}

#[tokio::test]
async fn a_limit_that_the_peer_runs_into_is_reported() {
    let (connection, mut peer) =
        greeted_by_hand(config(|config| config.management_octets = 256)).await;
    let ends = Ends::of(&connection);
    let start = format!(
        "<start number='1'><profile uri='{}' /></start>",
        "x".repeat(400)
    );
    peer.send(management(
        "MSG",
        1,
        management_len("<greeting />\r\n"),
        &start,
    ))
    .await;
    let end = ends.once(&connection).await;
    assert!(
        matches!(protocol_end(&end), SessionEnd::LimitReached(_)),
        "{end}"
    );
}

#[tokio::test]
async fn a_shutdown_is_reported_to_both_sides() {
    let (client, server) = pair(echo_profiles()).await;
    let (client_ends, server_ends) = (Ends::of(&client), Ends::of(&server));
    client.shutdown();
    assert!(matches!(
        protocol_end(&*client_ends.once(&client).await),
        SessionEnd::Aborted
    ));
    assert!(matches!(
        protocol_end(&*server_ends.once(&server).await),
        SessionEnd::PeerHungUp { mid_frame: false }
    ));
}

#[tokio::test]
async fn what_is_queued_at_a_shutdown_is_still_offered_to_the_peer() {
    let (client, server) = pair(Profiles::new().serve(ECHO, |channel| async move {
        if let Some(message) = channel.recv().await {
            let payload = message.payload();
            let _ = message.reply(payload).await;
            channel.connection().shutdown();
        }
    }))
    .await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let reply = within(channel.request("last words")).await.unwrap();
    assert_eq!(reply.payload(), "last words");
    within(server.closed()).await;
    within(client.closed()).await;
}

#[tokio::test]
async fn a_missing_greeting_times_out() {
    let (here, _there) = tokio::io::duplex(4096);
    let config = config(|config| config.greeting_timeout = Duration::from_millis(50));
    let connection = Connection::accept(here, Profiles::new(), config);
    let ends = Ends::of(&connection);
    let end = ends.once(&connection).await;
    assert!(
        matches!(
            protocol_end(&end),
            SessionEnd::TimedOut(beep_session::core::Deadline::Greeting)
        ),
        "{end}"
    );
}

#[tokio::test]
async fn an_idle_session_times_out() {
    let config = config(|config| config.idle_timeout = Some(Duration::from_millis(50)));
    let (connection, _peer) = greeted_by_hand(config).await;
    let ends = Ends::of(&connection);
    let end = ends.once(&connection).await;
    assert!(
        matches!(
            protocol_end(&end),
            SessionEnd::TimedOut(beep_session::core::Deadline::Idle)
        ),
        "{end}"
    );
}

#[tokio::test]
async fn a_release_without_answer_times_out() {
    let config = config(|config| config.reply_timeout = Duration::from_millis(50));
    let (connection, _peer) = greeted_by_hand(config).await;
    let ends = Ends::of(&connection);
    let error = within(connection.close()).await.unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error}");
    let end = ends.once(&connection).await;
    assert!(
        matches!(
            protocol_end(&end),
            SessionEnd::TimedOut(beep_session::core::Deadline::Release)
        ),
        "{end}"
    );
}

#[tokio::test]
async fn a_peer_that_lingers_after_the_release_is_hung_up_on() {
    let config = config(|config| config.release_linger = Duration::from_millis(50));
    let (connection, mut peer) = greeted_by_hand(config).await;
    let ends = Ends::of(&connection);
    let close = management(
        "MSG",
        1,
        management_len("<greeting />\r\n"),
        "<close number='0' code='200' />",
    );
    peer.send(close).await;
    peer.expect("<ok />").await;
    assert!(ends.once(&connection).await.is_orderly());
    peer.expect_end().await;
}

#[tokio::test]
async fn a_refused_greeting_is_reported_to_both_sides() {
    let (here, there) = tokio::io::duplex(16);
    let client = tokio::spawn(Connection::over(here, ConnectOptions::default()));
    struct Count(tokio::sync::mpsc::UnboundedSender<String>);
    impl beep_session::Application for Count {
        fn event(&self, _: &beep_session::Session, event: beep_session::core::Event) {
            let _ = self.0.send(format!("{event:?}"));
        }
        fn ended(&self, _: &beep_session::Session, end: &Arc<End>) {
            let _ = self.0.send(end.to_string());
        }
    }
    let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
    let options = SessionOptions {
        config: config(|_| {}),
        role: beep_session::Role::Listener,
        greeting: Err(ErrorReply::new(
            ReplyCode::SERVICE_NOT_AVAILABLE,
            "closed on sundays",
        )),
        addresses: None,
        admission: None,
        services: Arc::default(),
        server_name: None,
    };
    let session = beep_session::Session::spawn(there, options, Arc::new(Count(sender)));
    // The pipe holds 16 octets: the refusal arrives whole all the same.
    let error = within(client).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the peer refused: 421 closed on sundays");
    let mut last = String::new();
    while session.end().is_none() {
        last = within(said.recv()).await.unwrap();
    }
    while let Ok(said) = said.try_recv() {
        last = said;
    }
    assert_eq!(last, "refused: 421 closed on sundays");
}

#[tokio::test]
async fn on_close_after_the_end_is_called_at_once() {
    let (client, _server) = pair(echo_profiles()).await;
    client.shutdown();
    within(client.closed()).await;
    assert_eq!(Ends::of(&client).count(), 1);
}

#[tokio::test]
async fn a_session_does_not_notice_the_death_of_another() {
    let server = server(echo_profiles()).await;
    let (victim, survivor) = (client_of(&server).await, client_of(&server).await);
    let doomed = within(victim.open(ECHO)).await.unwrap();
    let channel = within(survivor.open(ECHO)).await.unwrap();
    let pending = doomed.send("never answered");
    victim.shutdown();
    within(victim.closed()).await;
    assert!(within(pending.unwrap()).await.is_err());
    for _ in 0..10 {
        assert_eq!(
            within(channel.request("still here"))
                .await
                .unwrap()
                .payload(),
            "still here"
        );
    }
    until(|| server.connection_count() == 1).await;
    within(survivor.close()).await.unwrap();
}

#[tokio::test]
async fn dropping_the_last_handle_releases_the_session() {
    let (client, server) = pair(echo_profiles()).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    drop(client);
    assert_eq!(
        within(channel.request("held by the channel"))
            .await
            .unwrap()
            .payload(),
        "held by the channel"
    );
    assert!(server.is_alive());
    drop(channel);
    assert!(within(server.closed()).await.is_orderly());
}

#[tokio::test]
async fn calls_on_a_session_that_is_over_fail_with_its_end() {
    let (client, server) = pair(echo_profiles()).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    server.shutdown();
    within(client.closed()).await;
    assert!(matches!(
        within(client.open(ECHO)).await.unwrap_err(),
        Error::Ended(_)
    ));
    assert!(matches!(
        within(channel.request("x")).await.unwrap_err(),
        Error::Ended(_)
    ));
    assert!(within(channel.recv()).await.is_none());
    assert!(channel.is_closed());
}

#[tokio::test]
async fn nothing_is_left_of_a_session_that_is_over() {
    let (life, taken) = (Arc::new(()), Arc::new(Notify::new()));
    let (held, taking) = (life.clone(), taken.clone());
    let profiles = Profiles::new().serve(ECHO, move |channel: Channel| {
        let (held, taking) = (held.clone(), taking.clone());
        async move {
            // Takes one message, and leaves the rest where it is.
            let message = channel.recv().await;
            taking.notify_one();
            channel.connection().closed().await;
            drop((message, held));
        }
    });
    let (client, server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let pending: Vec<_> = (0..10).map(|_| channel.send("x").unwrap()).collect();
    let answers = within(channel.answers("y")).await.unwrap();
    within(taken.notified()).await;
    until(|| {
        let there = server.session().channel(channel.number());
        there.is_some_and(|there| there.owed_replies == 11)
    })
    .await;
    client.on_close({
        let client = client.clone();
        move |_| drop(client)
    });
    server.shutdown();
    within(client.closed()).await;
    drop((client, server, channel, pending, answers));
    until(|| Arc::strong_count(&life) == 1).await;
}

#[tokio::test]
async fn a_reader_may_stop_and_go_on() {
    let (opened, mut opening) = mpsc::unbounded_channel();
    let profiles = Profiles::new().serve(ECHO, move |channel: Channel| {
        let _ = opened.send(channel.clone());
        echo(channel)
    });
    let (client, server) = pair(profiles).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let there = within(opening.recv()).await.unwrap();
    // When this is over, the server's task had a turn that began after the call.
    let turn_of_the_server = async |asked: &mut Vec<_>| {
        asked.push(there.send("a turn").unwrap());
        let message = within(channel.recv()).await.unwrap();
        message.reply("").await.unwrap();
    };
    server.session().set_reading(false);
    let mut asked = Vec::new();
    turn_of_the_server(&mut asked).await;
    let mut pending = channel.send("wait for it").unwrap();
    until(|| channel.queued_octets() == 0).await;
    turn_of_the_server(&mut asked).await;
    let state = server.session().channel(there.number()).unwrap();
    assert_eq!((state.owed_replies, state.awaited_replies), (0, 2));
    assert!(timeout(Duration::ZERO, &mut pending).await.is_err());
    server.session().set_reading(true);
    for reply in asked {
        assert_eq!(within(reply).await.unwrap().payload(), "");
    }
    assert_eq!(within(pending).await.unwrap().payload(), "wait for it");
}

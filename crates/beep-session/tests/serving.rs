//! Servers: their limits, and how they stop.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beep_session::{
    Channel, ConnectOptions, Connection, ErrorReply, ListenerLimits, Profile, Profiles, ReplyCode,
    Server, ServerOptions,
};
use common::*;
use tokio::net::TcpStream;
use tokio::sync::Notify;

async fn limited(limits: ListenerLimits) -> Server {
    let options = ServerOptions {
        limits,
        ..ServerOptions::default()
    };
    within(Server::bind("127.0.0.1", 0, echo_profiles(), options))
        .await
        .unwrap()
}

fn quick() -> ConnectOptions {
    ConnectOptions {
        limit: Duration::from_secs(5),
        ..ConnectOptions::default()
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let server = limited(ListenerLimits {
        connections_max: 2,
        ..ListenerLimits::default()
    })
    .await;
    let (first, second) = (client_of(&server).await, client_of(&server).await);
    let port = server.local_addr().port();
    assert!(
        within(Connection::connect("127.0.0.1", port, quick()))
            .await
            .is_err()
    );
    assert!(first.is_alive() && second.is_alive());
    within(first.close()).await.unwrap();
    until(|| server.connection_count() == 1).await;
    // The place is given back with the connection, a moment after its end is reported: until then
    // more are turned away.
    let third = within(async {
        loop {
            if let Ok(third) = Connection::connect("127.0.0.1", port, quick()).await {
                return third;
            }
        }
    })
    .await;
    assert!(second.is_alive() && third.is_alive());
}

#[tokio::test]
async fn silent_connections_do_not_use_up_the_places_of_others() {
    let server = limited(ListenerLimits {
        half_open_max: 1,
        ..ListenerLimits::default()
    })
    .await;
    let greeted = client_of(&server).await;
    within(greeted.open(ECHO)).await.unwrap();
    let _silent = TcpStream::connect(server.local_addr()).await.unwrap();
    until(|| server.connection_count() == 2).await;
    let mut turned_away = ByHand::new(TcpStream::connect(server.local_addr()).await.unwrap());
    turned_away.expect_end().await;
    assert!(greeted.is_alive());
}

#[tokio::test]
async fn a_shutdown_releases_sessions_and_stops_listening() {
    let server = server(echo_profiles()).await;
    let clients = [client_of(&server).await, client_of(&server).await];
    let channel = within(clients[0].open(ECHO)).await.unwrap();
    assert_eq!(within(server.shutdown(Duration::from_secs(10))).await, 0);
    for client in &clients {
        assert!(within(client.closed()).await.is_orderly());
    }
    assert!(channel.is_closed());
    assert_eq!(server.connection_count(), 0);
    let port = server.local_addr().port();
    assert!(
        within(Connection::connect("127.0.0.1", port, quick()))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_shutdown_lets_requests_under_way_finish() {
    let (taken, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (taking, going) = (taken.clone(), go.clone());
    let profiles = Profiles::new().serve(ECHO, move |channel: Channel| {
        let (taking, going) = (taking.clone(), going.clone());
        async move {
            while let Some(message) = channel.recv().await {
                taking.notify_one();
                going.notified().await;
                message.reply("done").await.unwrap();
            }
        }
    });
    let server = server(profiles).await;
    let client = client_of(&server).await;
    let channel = within(client.open(ECHO)).await.unwrap();
    let pending = channel.send("slow").unwrap();
    within(taken.notified()).await;
    let there = server.connections().remove(0);
    let reply_during_shutdown = async {
        until(|| {
            let state = there.session().channel(channel.number());
            state.is_some_and(|state| !state.is_open)
        })
        .await;
        go.notify_one();
    };
    let shutdown = server.shutdown(Duration::from_secs(10));
    let (dropped, ()) = within(async { tokio::join!(shutdown, reply_during_shutdown) }).await;
    assert_eq!(dropped, 0);
    assert_eq!(within(pending).await.unwrap().payload(), "done");
}

#[tokio::test]
async fn a_shutdown_drops_those_who_do_not_agree_within_the_limit() {
    let server = server(echo_profiles()).await;
    let silent = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut stubborn = ByHand::new(TcpStream::connect(server.local_addr()).await.unwrap());
    stubborn.greet().await;
    let client = client_of(&server).await;
    until(|| server.connection_count() == 3).await;
    // Long enough for those who agree, and shorter than a test waits.
    assert_eq!(within(server.shutdown(Duration::from_secs(3))).await, 2);
    assert_eq!(server.connection_count(), 0);
    assert!(within(client.closed()).await.is_orderly());
    stubborn.expect_end().await;
    ByHand::new(silent).expect_end().await;
}

#[tokio::test]
async fn a_shutdown_drops_clients_that_refuse_to_close() {
    let server = server(Profiles::new()).await;
    let profile = Profile::new(ECHO, echo)
        .on_close(|_| async { Err(ErrorReply::new(ReplyCode::ACTION_REFUSED, "no")) });
    let options = ConnectOptions {
        profiles: Profiles::new().with(profile),
        ..quick()
    };
    let client = within(Connection::connect(
        "127.0.0.1",
        server.local_addr().port(),
        options,
    ))
    .await
    .unwrap();
    until(|| server.connection_count() == 1).await;
    let there = server.connections().remove(0);
    within(there.greeted()).await.unwrap();
    let _channel = within(there.open(ECHO)).await.unwrap();
    assert_eq!(within(server.shutdown(Duration::from_millis(100))).await, 1);
    within(client.closed()).await;
}

#[tokio::test]
async fn a_server_tells_of_every_connection_and_its_end() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let options = ServerOptions {
        on_connection: Some({
            let seen = seen.clone();
            Arc::new(move |connection: Connection| {
                let addresses = connection.addresses().unwrap();
                let note = seen.clone();
                seen.lock()
                    .unwrap()
                    .push(format!("{} came", addresses.peer));
                connection.on_close(move |end| {
                    note.lock()
                        .unwrap()
                        .push(format!("{} went: {end}", addresses.peer))
                });
            })
        }),
        ..ServerOptions::default()
    };
    let server = within(Server::bind("127.0.0.1", 0, echo_profiles(), options))
        .await
        .unwrap();
    let client = client_of(&server).await;
    let address = client.addresses().unwrap().local;
    within(client.close()).await.unwrap();
    until(|| seen.lock().unwrap().len() == 2).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [
            format!("{address} came"),
            format!("{address} went: released")
        ]
    );
}

#[tokio::test]
async fn an_address_in_use_is_reported() {
    let server = server(Profiles::new()).await;
    let port = server.local_addr().port();
    let error = Server::bind("127.0.0.1", port, Profiles::new(), ServerOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn dropping_a_server_stops_listening_and_keeps_sessions() {
    let server = server(echo_profiles()).await;
    let client = client_of(&server).await;
    let port = server.local_addr().port();
    drop(server);
    let channel = within(client.open(ECHO)).await.unwrap();
    assert_eq!(within(channel.request("on")).await.unwrap().payload(), "on");
    // The listening task is stopped, and closes its socket when it gets its turn.
    within(async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        within(Connection::connect("127.0.0.1", port, quick()))
            .await
            .is_err()
    );
    assert_eq!(within(channel.request("on")).await.unwrap().payload(), "on");
}

#[tokio::test]
async fn a_callback_that_panics_costs_one_connection() {
    let options = ServerOptions {
        admit: Some(Arc::new(|addresses| {
            assert!(addresses.peer.ip().to_string() != "127.0.0.1", "on purpose");
            Ok(())
        })),
        ..ServerOptions::default()
    };
    let server = within(Server::bind("127.0.0.1", 0, echo_profiles(), options))
        .await
        .unwrap();
    for _ in 0..2 {
        let mut turned_away = ByHand::new(
            within(TcpStream::connect(server.local_addr()))
                .await
                .unwrap(),
        );
        turned_away.expect_end().await;
    }
}

//! Making connections, and peers that make it hard.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::time::Duration;

use beep_session::{
    ConnectError, ConnectOptions, Connection, End, Error, ErrorReply, Family, Profiles, ReplyCode,
    Server, ServerName, ServerOptions, SessionEnd,
};
use common::*;
use tokio::net::TcpListener;

fn options(limit_ms: u64) -> ConnectOptions {
    ConnectOptions {
        limit: Duration::from_millis(limit_ms),
        ..ConnectOptions::default()
    }
}

/// A client that connects to a peer played by hand.
async fn client_by_hand(
    options: ConnectOptions,
) -> (tokio::task::JoinHandle<Result<Connection, Error>>, ByHand) {
    let (here, there) = tokio::io::duplex(64 * 1024);
    (
        tokio::spawn(Connection::over(here, options)),
        ByHand::new(there),
    )
}

#[tokio::test]
async fn a_port_without_listener_refuses() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let error = within(Connection::connect("127.0.0.1", unused, options(5000)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectError::Connect { .. })),
        "{error}"
    );
    assert_eq!(error.family(), Family::Gone);
}

#[tokio::test]
async fn a_name_without_address_is_named_in_the_error() {
    let error = within(Connection::connect(
        "no-such-host.invalid",
        10288,
        options(3000),
    ))
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
    assert!(matches!(
        error,
        Error::Connect(ConnectError::Resolve { .. } | ConnectError::TimedOut { .. })
    ));
}

#[tokio::test]
async fn a_peer_that_stays_silent_is_given_up_within_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Without the limit it would be 60 s, longer than a test waits.
    let error = within(Connection::connect("127.0.0.1", port, options(200)))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoGreeting { .. }), "{error}");
}

#[tokio::test]
async fn a_peer_that_hangs_up_is_noticed_at_every_stage() {
    let greeting = management("RPY", 0, 0, "<greeting />\r\n");
    for octets in 0..greeting.len() {
        let (client, mut peer) = client_by_hand(options(5000)).await;
        peer.send(&greeting[..octets]).await;
        drop(peer);
        let error = within(client).await.unwrap().unwrap_err();
        let Error::Ended(end) = &error else {
            panic!("after {octets} octets: {error}")
        };
        let End::Protocol(SessionEnd::PeerHungUp { mid_frame }) = **end else {
            panic!("after {octets}: {end}")
        };
        assert_eq!(mid_frame, octets > 0, "after {octets} octets");
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_while_a_start_is_pending_fails_the_start() {
    let (client, mut peer) = client_by_hand(options(5000)).await;
    peer.greet().await;
    let client = within(client).await.unwrap().unwrap();
    let open = tokio::spawn(async move { client.open(ECHO).await });
    peer.expect("</start>").await;
    drop(peer);
    let error = within(open).await.unwrap().unwrap_err();
    assert_eq!(error.family(), Family::Gone, "{error}");
}

#[tokio::test]
async fn a_peer_that_hangs_up_before_its_reply_fails_the_request() {
    let (client, mut peer) = client_by_hand(options(5000)).await;
    peer.greet().await;
    let client = within(client).await.unwrap().unwrap();
    let open = tokio::spawn(async move { client.open(ECHO).await });
    let start = peer.expect("</start>").await;
    let msgno = start
        .split("MSG 0 ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap();
    let seqno = management_len("<greeting />\r\n");
    peer.send(management(
        "RPY",
        msgno.parse().unwrap(),
        seqno,
        "<profile uri='urn:test:echo' />\r\n",
    ))
    .await;
    let channel = within(open).await.unwrap().unwrap();
    let request = tokio::spawn(async move { channel.request("anybody there?").await });
    peer.expect("anybody there?").await;
    drop(peer);
    let error = within(request).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Ended(_)), "{error}");
}

#[tokio::test]
async fn garbage_in_place_of_a_greeting_ends_the_session() {
    for garbage in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "\0\0\0\0\0\0\0\0\r\n",
        "RPY 0 0 . 0 x\r\n",
        "rpy 0 0 . 0 2\r\n",
    ] {
        let (client, mut peer) = client_by_hand(options(5000)).await;
        peer.send(garbage).await;
        let error = within(client).await.unwrap().unwrap_err();
        let Error::Ended(end) = &error else {
            panic!("{error}")
        };
        assert!(
            matches!(**end, End::Protocol(SessionEnd::Protocol(_))),
            "{garbage:?}: {end}"
        );
        peer.expect_end().await;
    }
}

#[tokio::test]
async fn a_greeting_may_arrive_octet_by_octet() {
    let (client, mut peer) = client_by_hand(options(10_000)).await;
    for octet in management("RPY", 0, 0, "<greeting><profile uri='urn:a' /></greeting>").bytes() {
        peer.send([octet]).await;
        tokio::task::yield_now().await;
    }
    let client = within(client).await.unwrap().unwrap();
    assert_eq!(client.peer_profiles(), ["urn:a"]);
}

#[tokio::test]
async fn a_refused_session_says_why() {
    let server_options = ServerOptions {
        admit: Some(std::sync::Arc::new(|_| {
            Err(ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "not you"))
        })),
        ..ServerOptions::default()
    };
    let server = within(Server::bind(
        "127.0.0.1",
        0,
        Profiles::new(),
        server_options,
    ))
    .await
    .unwrap();
    let port = server.local_addr().port();
    let error = within(Connection::connect("127.0.0.1", port, options(5000)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ReplyCode::TRANSACTION_FAILED));
    assert_eq!(error.family(), Family::Peer);
    assert!(error.to_string().contains("not you"), "{error}");
}

#[tokio::test]
async fn a_connect_that_is_given_up_lets_go_of_the_connection() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let mut peer = ByHand::new(there);
    let connecting = tokio::spawn(Connection::over(here, options(10_000)));
    peer.expect("<greeting />").await;
    connecting.abort();
    peer.greet().await;
    // Whether it is released or dropped: it does not stay.
    peer.send(management(
        "RPY",
        1,
        management_len("<greeting />\r\n"),
        "<ok />",
    ))
    .await;
    peer.expect_end().await;
}

#[tokio::test]
async fn the_host_is_the_server_name_of_the_first_start() {
    let server = server(echo_profiles()).await;
    let port = server.local_addr().port();
    let names = [
        (ServerName::Host, "127.0.0.1", Some("127.0.0.1")),
        (ServerName::Host, "localhost", Some("localhost")),
        (
            ServerName::Name("example.org".to_owned()),
            "localhost",
            Some("example.org"),
        ),
        (ServerName::Omit, "localhost", None),
    ];
    for (server_name, host, expected) in names {
        let options = ConnectOptions {
            server_name,
            ..options(5000)
        };
        let client = within(Connection::connect(host, port, options))
            .await
            .unwrap();
        assert_eq!(client.server_name(), None, "nothing is started yet");
        let channel = within(client.open(ECHO)).await.unwrap();
        assert_eq!(client.server_name().as_deref(), expected);
        drop(channel);
    }
}

#[tokio::test]
async fn ipv6_addresses_work_with_and_without_brackets() {
    let Ok(server) = Server::bind("::1", 0, echo_profiles(), ServerOptions::default()).await else {
        return; // This machine has no IPv6.
    };
    let port = server.local_addr().port();
    for host in ["::1", "[::1]"] {
        let client = within(Connection::connect(host, port, options(5000)))
            .await
            .unwrap();
        assert!(client.addresses().unwrap().peer.is_ipv6());
        let channel = within(client.open(ECHO)).await.unwrap();
        assert_eq!(
            within(channel.request("six")).await.unwrap().payload(),
            "six"
        );
        within(client.close()).await.unwrap();
    }
}

#[tokio::test]
async fn names_and_numeric_addresses_lead_to_the_same_server() {
    let server = within(Server::bind(
        "localhost",
        0,
        echo_profiles(),
        ServerOptions::default(),
    ))
    .await
    .unwrap();
    let address = server.local_addr();
    for host in ["localhost".to_owned(), address.ip().to_string()] {
        let client = within(Connection::connect(&host, address.port(), options(5000)))
            .await
            .unwrap();
        assert_eq!(client.peer_profiles(), [ECHO]);
        within(client.close()).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_does_not_wait_for_the_clients_greeting() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let _server = Connection::accept(there, echo_profiles(), config(|_| {}));
    let mut peer = ByHand::new(here);
    peer.expect("<profile uri='urn:test:echo' />").await;
}

//! ALIVE: watching a peer, and being watched.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use beep_session::{AliveError, Channel, Config, ConnectOptions, Connection, Profiles, Services};
use common::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

const ALIVE: &str = "urn:aspl.es:beep:profiles:ALIVE";
const PERIOD: Duration = Duration::from_secs(1);

fn answering() -> Arc<Services> {
    let services = Services::new();
    services.serve_alive();
    Arc::new(services)
}

async fn connect(transport: DuplexStream) -> Connection {
    let options = ConnectOptions::default();
    within(Connection::over(transport, options)).await.unwrap()
}

/// A listener that serves `profiles` and ALIVE.
fn listen(transport: DuplexStream, profiles: Profiles) -> Connection {
    let config = Config::default().checked().unwrap();
    Connection::accept_with(transport, profiles, config, answering())
}

/// Watches the peer; the number of unanswered checks comes out when it fails.
fn watch(connection: &Connection, max: u32) -> mpsc::UnboundedReceiver<u32> {
    let (failed, failures) = mpsc::unbounded_channel();
    connection
        .session()
        .watch(PERIOD, max, move |_, unreplied| {
            let _ = failed.send(unreplied);
        })
        .unwrap();
    failures
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_is_alive() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let server = listen(there, Profiles::new());
    let client = connect(here).await;
    assert_eq!(client.peer_profiles(), [ALIVE]);
    let mut failures = watch(&client, 1);
    tokio::time::sleep(PERIOD * 100).await;
    assert!(failures.try_recv().is_err());
    assert_eq!(client.session().channel_numbers().len(), 2);
    assert_eq!(server.session().channel_numbers().len(), 2);
    // Both ends can still agree to part.
    within(client.close()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_fails_once_with_the_number_of_its_silences() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let server = listen(there, Profiles::new());
    let client = connect(here).await;
    let mut failures = watch(&client, 3);
    tokio::time::sleep(PERIOD / 2).await;
    server.session().set_reading(false);
    let begin = tokio::time::Instant::now();
    assert_eq!(failures.recv().await, Some(3));
    assert!(begin.elapsed() <= PERIOD * 5, "{:?}", begin.elapsed());
    // Told once, and the session is left to the program.
    assert_eq!(failures.recv().await, None);
    assert!(client.session().is_alive());
    // The checks were asked for, so they can be asked for again.
    watch(&client, 1);
}

#[tokio::test(start_paused = true)]
async fn traffic_takes_the_place_of_checks() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let profiles = Profiles::new().serve(ECHO, |channel: Channel| async move {
        while let Some(message) = channel.recv().await {
            let payload = message.payload();
            let _ = message.reply(payload).await;
        }
    });
    let _server = listen(there, profiles);
    let client = connect(here).await;
    let echo = within(client.open(ECHO)).await.unwrap();
    let mut failures = watch(&client, 1);
    for _ in 0..20 {
        tokio::time::sleep(PERIOD / 2).await;
        within(echo.request("still here")).await.unwrap();
    }
    assert!(failures.try_recv().is_err());
}

#[tokio::test]
async fn a_peer_without_the_profile_is_no_peer_to_watch() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let config = Config::default().checked().unwrap();
    let _server = Connection::accept(there, Profiles::new(), config);
    let client = connect(here).await;
    let session = client.session();
    let outcome = session.watch(PERIOD, 3, |_, _| panic!("never begun"));
    assert_eq!(outcome, Err(AliveError::NotOffered));
    assert_eq!(session.channel_numbers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn wrong_numbers_and_a_second_watch_are_refused() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let _server = listen(there, Profiles::new());
    let client = connect(here).await;
    let session = client.session();
    assert_eq!(
        session.watch(Duration::ZERO, 3, |_, _| {}),
        Err(AliveError::NoPeriod)
    );
    assert_eq!(
        session.watch(PERIOD, 0, |_, _| {}),
        Err(AliveError::NoUnreplied)
    );
    session.watch(PERIOD, 3, |_, _| {}).unwrap();
    assert_eq!(
        session.watch(PERIOD, 3, |_, _| {}),
        Err(AliveError::AlreadyWatched)
    );
    client.shutdown();
    within(client.closed()).await;
    assert!(matches!(
        session.watch(PERIOD, 3, |_, _| {}),
        Err(AliveError::Start(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_offers_and_refuses_fails() {
    let (here, mut there) = tokio::io::duplex(64 * 1024);
    let client = tokio::spawn(connect(here));
    let greeting = format!("<greeting><profile uri='{ALIVE}' /></greeting>");
    send(&mut there, "RPY 0 0 . 0", &greeting).await;
    let client = client.await.unwrap();
    let mut failures = watch(&client, 3);
    read_until(&mut there, "</start>").await;
    let refusal = "<error code='421' >not today</error>";
    let seqno = greeting.len() + HEADERS.len();
    send(&mut there, &format!("ERR 0 0 . {seqno}"), refusal).await;
    assert_eq!(within(failures.recv()).await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_accepts_the_channel_fails_within_the_time_of_the_checks() {
    let (here, mut there) = tokio::io::duplex(64 * 1024);
    let client = tokio::spawn(connect(here));
    let greeting = format!("<greeting><profile uri='{ALIVE}' /></greeting>");
    send(&mut there, "RPY 0 0 . 0", &greeting).await;
    let client = client.await.unwrap();
    let begin = tokio::time::Instant::now();
    assert_eq!(watch(&client, 4).recv().await, Some(0));
    assert_eq!(begin.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_session_is_no_failure() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let server = listen(there, Profiles::new());
    let client = connect(here).await;
    let mut failures = watch(&client, 3);
    tokio::time::sleep(PERIOD).await;
    server.shutdown();
    within(client.closed()).await;
    assert_eq!(failures.recv().await, None);
}

const HEADERS: &str = "Content-Type: application/beep+xml\r\n\r\n";

async fn send(peer: &mut DuplexStream, header: &str, document: &str) {
    let size = HEADERS.len() + document.len();
    let frame = format!("{header} {size}\r\n{HEADERS}{document}END\r\n");
    peer.write_all(frame.as_bytes()).await.unwrap();
}

async fn read_until(peer: &mut (impl AsyncRead + Unpin), mark: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(mark) {
        let mut octets = [0; 1024];
        let count = within(peer.read(&mut octets)).await.unwrap();
        assert!(count > 0, "the stream ended before {mark}");
        seen.extend(octets.iter().take(count));
    }
}

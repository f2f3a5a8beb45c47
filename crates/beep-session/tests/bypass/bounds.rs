//! How much a session takes of a peer that only talks, in the states in which nobody listens to it.

use std::time::Duration;

use beep_session::Session;
use beep_session::core::Role;
use beep_session::tls::ServerOptions;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::certificates::{as_made, self_signed};
use crate::guard::{Guard, all_services, patient};
use crate::raw::Raw;

const TLS: &str = "http://iana.org/beep/TLS";
/// What the pipe between the two holds by itself.
const PIPE: usize = 64 * 1024;
/// One read of a session, and what TLS takes of a handshake.
const TAKEN_MOST: usize = 512 * 1024;

/// Writes these octets again and again until nobody takes any; the clock is paused, so that no deadline has passed.
async fn pour(raw: &mut Raw, octets: &[u8]) -> usize {
    const MUCH: usize = 16 << 20;
    let mut taken = 0;
    while taken < MUCH {
        let moment = Duration::from_millis(1);
        match timeout(moment, raw.stream.write(octets)).await {
            Ok(Ok(count)) => taken += count,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    taken
}

async fn listening() -> (Guard, Session, Raw) {
    let guard = Guard::default();
    let (here, there) = tokio::io::duplex(PIPE);
    let session = guard.spawn(there, Role::Listener, patient(), all_services());
    (guard, session, Raw::greeted(here).await)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_read_takes_nothing_more() {
    let (_guard, session, mut raw) = listening().await;
    session.set_reading(false);
    raw.settle().await;
    let taken = pour(&mut raw, "SEQ 0 0 4096\r\n".repeat(1000).as_bytes()).await;
    assert!(taken <= PIPE + TAKEN_MOST, "{taken} octets were taken");
    assert!(session.is_alive());
}

#[tokio::test(start_paused = true)]
async fn little_is_taken_while_nobody_decides_about_tls() {
    let (guard, session, mut raw) = listening().await;
    raw.start(3, TLS, Some("<ready />")).await;
    raw.settle().await;
    let request = { guard.asked().tls.pop_front() }.unwrap();
    let taken = pour(&mut raw, &[0x16; 10_000]).await;
    assert!(taken <= PIPE + TAKEN_MOST, "{taken} octets were taken");
    assert!(session.is_alive());
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_of_tls_takes_no_more_than_one_needs() {
    let made = self_signed("host.example", as_made);
    // A ClientHello as long as can be said, in records of 16 KiB.
    let mut records = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    records.resize(5 + 0x4000, 0);
    // Records that say nothing, and warnings that mean nothing.
    let empty = [0x16, 3, 1, 0, 0].repeat(1000);
    let warnings = [0x15, 3, 1, 0, 2, 1, 90].repeat(1000);
    for said in [records, empty, warnings] {
        let (guard, session, mut raw) = listening().await;
        raw.start(3, TLS, Some("<ready />")).await;
        raw.settle().await;
        let request = { guard.asked().tls.pop_front() }.unwrap();
        request.accept(ServerOptions::new(made.identity()));
        let taken = pour(&mut raw, &said).await;
        assert!(taken <= PIPE + 2 * TAKEN_MOST, "{taken} octets were taken");
        raw.settle().await;
        assert!(!session.is_alive());
    }
}

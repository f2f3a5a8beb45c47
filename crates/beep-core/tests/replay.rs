//! Replays recorded sessions of another implementation: our engine takes the place of one of its ends.
//!
//! The recordings lie in `captures/`; the README there describes them and how they are meant to be replayed.
//! Each is played from both sides, and the other side's octets are fed as whole steps, one at a time, and cut at
//! random. What the application sees must be the same each time and what the recording says; what the engine
//! sends is compared by message, not by octet.
//!
//! The core knows no profiles, so the application of these tests plays those of the recordings, SASL and TLS
//! included, by giving the recorded answers. Our engine numbers and writes its documents as the recorded one does,
//! so the recorded SEQ frames fit as they are, those of channel 0 too.

// Helpers of tests may fail loudly; the lints know only functions that are tests themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "replay/captures.rs"]
mod captures;
#[path = "replay/compare.rs"]
mod compare;
#[path = "replay/expected.rs"]
mod expected;
#[path = "replay/hand_made.rs"]
mod hand_made;
#[path = "replay/player.rs"]
mod player;
#[path = "replay/script.rs"]
mod script;
#[path = "replay/seen.rs"]
mod seen;
#[path = "replay/sent.rs"]
mod sent;
#[path = "replay/wire.rs"]
mod wire;

use std::collections::BTreeSet;

use beep_core::{Config, Role};

use captures::{Recording, What, name_of};
use hand_made::{ADVICE_FOR_PROFILES, CHOICES, DEVIATIONS};
use player::{CUTS, Cut, Player};
use seen::Seen;

/// Recordings that cannot be replayed, with the side that we would play. They are counted, never passed over.
const LEFT_OUT: [(&str, Role); 0] = [];

/// Recordings with the events of a third party on one side: there only the octets are compared.
const EVENTS_ELSEWHERE: [(&str, Role); 2] = [
    ("tunnel-to-end", Role::Initiator),
    ("tunnel-to-proxy", Role::Listener),
];

/// Where our engine sends something else than the C engine: a name for the server is fixed by the first start
/// accepted with one (RFC 3080 §2.3.1.2), so ours sends none with later starts, save those of TLS.
const SENT_OTHERWISE: [&str; 1] = ["start-server-name: start 5 without whale.example.org"];

/// Replays a recorded session; gives what was seen and what was sent otherwise.
fn replay(recording: &Recording, role: Role, cut: Cut) -> (Vec<Seen>, Vec<String>) {
    let mut player = Player::new(recording, role, Config::default(), cut);
    let peer = captures::other(role);
    let is_released = compare::asks_for_release(&player.script.messages)
        || compare::asks_for_release(&wire::messages(recording, peer));
    for step in &recording.steps {
        player.play(step);
        player.check_nothing_is_held_back(step.number);
        match &step.what {
            What::End(end) if step.from == peer || end == "cut" => player.end_of_stream(),
            What::End(_) if !is_released && player.session.end().is_none() => player.abort(),
            _ => {}
        }
    }
    compare::received(recording, role, &player, u64::MAX);
    let notes = compare::sent(recording, &player);
    compare::end(recording, role, &player);
    if recording.events_elsewhere != Some(role) {
        expected::compare(recording, role, &player.seen);
    }
    (player.seen, notes)
}

/// Says which recording is being replayed, should the test fail.
struct Announced(String);

impl Drop for Announced {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while replaying {}", self.0);
        }
    }
}

/// Replays every recorded session in place of one side.
fn replay_all(role: Role) {
    let sessions = captures::sessions();
    assert_eq!(sessions.len(), 67);
    let (mut replayed, mut otherwise) = (0, BTreeSet::new());
    let mut elsewhere = Vec::new();
    for recording in &sessions {
        if LEFT_OUT.contains(&(recording.name.as_str(), role)) {
            println!("left out: {} as {}", recording.name, name_of(role));
            continue;
        }
        let mut first: Option<Vec<Seen>> = None;
        for cut in CUTS {
            let name = format!("{} as {}, {cut:?}", recording.name, name_of(role));
            let _announced = Announced(name);
            let (seen, notes) = replay(recording, role, cut);
            otherwise.extend(notes);
            match &first {
                Some(first) => assert_eq!(first, &seen, "cut {cut:?}"),
                None => first = Some(seen),
            }
            replayed += 1;
        }
        if recording.events_elsewhere == Some(role) {
            elsewhere.push((recording.name.as_str(), role));
        }
    }
    let left_out = LEFT_OUT.iter().filter(|row| row.1 == role).count();
    assert_eq!(replayed, (sessions.len() - left_out) * CUTS.len());
    let of_role = EVENTS_ELSEWHERE.into_iter().filter(|row| row.1 == role);
    assert_eq!(elsewhere, of_role.collect::<Vec<_>>());
    let wanted = SENT_OTHERWISE.iter().filter(|_| role == Role::Initiator);
    assert!(
        otherwise.iter().eq(wanted),
        "sent otherwise: {otherwise:#?}"
    );
    println!(
        "{} recordings as {}, {replayed} replays; left out: {left_out}",
        sessions.len(),
        name_of(role)
    );
}

/// Replays every line of a file of hand-made octets.
fn replay_hand_made(file: &str, count: usize) {
    let recordings = captures::hand_made(file);
    assert_eq!(recordings.len(), count);
    for recording in &recordings {
        let mut first: Option<Vec<Seen>> = None;
        for cut in CUTS {
            let _announced = Announced(format!("{}, {cut:?}", recording.name));
            let seen = hand_made::replay(recording, cut);
            match &first {
                Some(first) => assert_eq!(first, &seen, "cut {cut:?}"),
                None => first = Some(seen),
            }
        }
    }
    println!("{file}: {count} recordings, {} replays", count * CUTS.len());
}

#[test]
fn every_recorded_session_replays_with_our_engine_as_its_initiator() {
    replay_all(Role::Initiator);
}

#[test]
fn every_recorded_session_replays_with_our_engine_as_its_listener() {
    replay_all(Role::Listener);
}

#[test]
fn malformed_octets_end_the_session_without_a_word_or_as_advised() {
    replay_hand_made("malformed-input.jsonl", 81);
}

#[test]
fn odd_octets_of_an_initiator_are_taken_refused_or_end_the_session_as_advised() {
    replay_hand_made("odd-input.jsonl", 74);
}

#[test]
fn odd_octets_of_a_listener_are_taken_or_end_the_session_as_advised() {
    replay_hand_made("odd-listener-input.jsonl", 26);
}

#[test]
fn each_ruling_is_about_a_recording_and_says_why() {
    let files = [
        "malformed-input.jsonl",
        "odd-input.jsonl",
        "odd-listener-input.jsonl",
    ];
    let recordings: Vec<_> = files
        .iter()
        .flat_map(|file| captures::hand_made(file))
        .collect();
    let mut ruled: Vec<&str> = Vec::new();
    for (name, verdict, why) in DEVIATIONS.iter().chain(&CHOICES) {
        println!("{name}: {verdict:?}, {why}");
        assert!(!why.is_empty());
        ruled.push(name);
    }
    for name in ADVICE_FOR_PROFILES {
        println!("{name}: replayed, its advice is for a profile");
        ruled.push(name);
    }
    for name in &ruled {
        let same = recordings
            .iter()
            .filter(|recording| recording.name == *name);
        assert_eq!(same.count(), 1, "{name}");
    }
    let different: BTreeSet<_> = ruled.iter().collect();
    assert_eq!(different.len(), ruled.len());
}

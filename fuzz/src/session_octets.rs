//! A session that is given any octets at all.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use beep_core::{Config, Role};

use crate::application::{Application, small_config};
use crate::input::Dice;

/// The first octet says which end the session is and what its application is like, the second how the octets that
/// follow are cut and when the application does something.
pub fn run(octets: &[u8]) {
    let [mode, seed, octets @ ..] = octets else {
        return;
    };
    let role = if mode & 1 == 0 {
        Role::Listener
    } else {
        Role::Initiator
    };
    if mode & 2 == 0 {
        active(role, *seed, octets);
    } else {
        passive(role, *seed, octets);
    }
}

fn active(role: Role, seed: u8, mut octets: &[u8]) {
    let mut dice = Dice::new(seed);
    let mut application = Application::new(role, config(), seed, true);
    while !octets.is_empty() {
        let size = match dice.below(4) {
            0 => octets.len(),
            1 => dice.below(8),
            _ => dice.below(400),
        };
        let (part, rest) = octets.split_at((size + 1).min(octets.len()));
        application.feed(part);
        octets = rest;
        for _ in 0..dice.below(8) {
            application.act();
        }
        if dice.below(16) == 0 {
            application.pass(Duration::from_secs(dice.below(40) as u64));
        }
    }
    for _ in 0..dice.below(64) {
        application.act();
    }
    application.end_of_stream();
}

/// The cuts make no difference to an application that only looks on.
fn passive(role: Role, seed: u8, octets: &[u8]) {
    let mut whole = Application::new(role, config(), seed, false);
    whole.feed(octets);
    whole.end_of_stream();
    let mut cut = Application::new(role, config(), seed, false);
    let mut dice = Dice::new(seed);
    let mut rest = octets;
    while !rest.is_empty() && !cut.session.is_input_held() {
        let size = if seed == 0 { 1 } else { 1 + dice.below(9) };
        let (part, after) = rest.split_at(size.min(rest.len()));
        cut.feed(part);
        rest = after;
    }
    cut.end_of_stream();
    assert_eq!(whole.log, cut.log, "the cuts make a difference");
}

fn config() -> &'static Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    CONFIG.get_or_init(|| small_config().checked().expect("the limits can work"))
}

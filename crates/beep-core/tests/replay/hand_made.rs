//! Hand-made octets: what our engine has to make of each, and holding it to that.

use std::time::Duration;

use beep_core::{Config, MessageKind, SessionEnd};

use crate::captures::{Recording, Rule, What, other};
use crate::compare::{self, Document, document};
use crate::expected;
use crate::player::{Cut, Player};
use crate::seen::Seen;
use crate::sent::Message;
use crate::wire::{Id, Recorded, messages};

/// What our engine makes of the odd octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It takes them, and all goes as recorded.
    Taken,
    /// The session ends, and nothing more is sent.
    Ended,
    /// The request on channel 0 is refused with one of these codes, and the session goes on.
    Refused(&'static [u16]),
    /// Of the profiles asked for, this one is chosen.
    Chosen(usize),
    /// The request is refused with this code once its conditions have not come true in time.
    RefusedInTime(u16),
    /// The session is released.
    Released,
    /// The session ends when the rest does not come in time.
    TimedOut,
    /// The octets belong to the layer that comes under BEEP: none is taken.
    LeftToLayer,
}

/// Where our engine does other than the recording advises, and why.
pub(crate) const DEVIATIONS: [(&str, Verdict, &str); 2] = [
    (
        "malformed/seq-closed-channel",
        Verdict::Taken,
        "a SEQ may be on its way while its channel is closed; it grants nothing any more and harms nobody",
    ),
    (
        "malformed/tls-plain-after-proceed",
        Verdict::LeftToLayer,
        "the next octets are those of TLS: the core takes none, and the handshake fails on them",
    ),
];

/// Where the advice leaves a choice, what our engine does, and why.
pub(crate) const CHOICES: [(&str, Verdict, &str); 9] = [
    (
        "malformed/greeting-no-content-type",
        Verdict::Taken,
        "what is a greeting is taken as one",
    ),
    (
        "malformed/greeting-unknown-attribute",
        Verdict::Taken,
        "attributes that nobody knows are left to later versions",
    ),
    (
        "odd/header-trailing-blank",
        Verdict::Ended,
        "not in the ABNF",
    ),
    (
        "odd/msgno-2147483648",
        Verdict::Ended,
        "over the range of RFC 3080 §2.2.1.1",
    ),
    (
        "odd/all-in-one-write",
        Verdict::Ended,
        "the channel is not there before its start is answered",
    ),
    (
        "odd/close-without-code",
        Verdict::Refused(&[501]),
        "the document type requires it (RFC 3080 §7.1)",
    ),
    (
        "odd/header-cr-only",
        Verdict::Ended,
        "not in the ABNF, and told at the octet behind the CR",
    ),
    (
        "odd-listener/greeting-no-content-type",
        Verdict::Taken,
        "what is a greeting is taken as one",
    ),
    (
        "odd-listener/close-0-from-listener",
        Verdict::Taken,
        "a peer that is going down does not answer any more: waiting would not bring the reply",
    ),
];

/// Inputs whose advice is for a profile above the core. They are replayed with the answer that the C engine's
/// profile gave; whether a profile of ours heeds the advice is for the tests of that profile.
pub(crate) const ADVICE_FOR_PROFILES: [&str; 17] = [
    "odd/tls-ready-no-blank",
    "odd/tls-ready-version",
    "odd/tls-ready-other",
    "odd/tls-ready-empty",
    "odd/sasl-plain-no-base64",
    "odd/sasl-plain-no-blob",
    "odd/sasl-plain-not-xml",
    "odd/sasl-plain-no-zeros",
    "odd/sasl-plain-none",
    "odd/sasl-plain-in-message",
    "odd/sasl-abort",
    "odd/sasl-twice",
    "odd/xml-rpc-boot-bad-document",
    "odd/xml-rpc-boot-good",
    "odd/tunnel-other-element",
    "odd/tunnel-not-xml",
    "odd/tunnel-unreachable",
];

/// What has to become of a recording: its advice, unless the tables above have it.
pub(crate) fn verdict(recording: &Recording) -> Verdict {
    let name = recording.name.as_str();
    let ruled = DEVIATIONS.iter().chain(&CHOICES).find(|row| row.0 == name);
    if let Some((_, verdict, _)) = ruled {
        return verdict.clone();
    }
    if ADVICE_FOR_PROFILES.contains(&name) {
        return Verdict::Taken;
    }
    let advice = recording.rule.as_ref().unwrap().advice.as_str();
    let begins = |front: &str| advice.starts_with(front);
    match advice {
        "refuse" => Verdict::Refused(&[501, 554]),
        "take the first that is offered" => Verdict::Taken,
        "take the second" => Verdict::Chosen(1),
        "close the session, ok" => Verdict::Released,
        "answer the MSG first, or refuse with 550" => Verdict::RefusedInTime(550),
        "ERR 550" => Verdict::Taken,
        "obey each window" | "the session is over" => Verdict::Taken,
        _ if begins("end the session") || begins("no channel; end the session") => Verdict::Ended,
        _ if begins("no channel, code 550") || begins("connection fails with code 421") => {
            Verdict::Taken
        }
        _ if begins("the channel stays open; code 550") => Verdict::Taken,
        _ if begins("accept") && !begins("accept or") => Verdict::Taken,
        _ if begins("ERR 500 or 501") => Verdict::Refused(&[500, 501]),
        _ if begins("ERR 500") => Verdict::Refused(&[500]),
        _ if begins("ERR 501") => Verdict::Refused(&[501]),
        _ if begins("ERR 554") => Verdict::Refused(&[554]),
        _ if advice.ends_with("bound the wait") => Verdict::TimedOut,
        advice => panic!("{name}: no verdict for {advice:?}"),
    }
}

/// Replays a recording, and says what was seen.
pub(crate) fn replay(recording: &Recording, cut: Cut) -> Vec<Seen> {
    let rule = recording.rule.as_ref().unwrap();
    let role = other(rule.by);
    let verdict = verdict(recording);
    // The windows of the C engine: some inputs are odd only because they go beyond them.
    let config = Config {
        window_on_open: 4096,
        window_max: 4096,
        ..Config::default()
    };
    let reply_timeout = config.reply_timeout;
    let greeting_timeout = config.greeting_timeout;
    let mut player = Player::new(recording, role, config, cut);
    for step in &recording.steps {
        let is_odd = step.number == rule.step;
        if let Verdict::Chosen(profile) = verdict
            && step.number == rule.step + 1
        {
            player.accept_instead(step.number, 3, profile);
        }
        let before = player.sent.octets;
        player.play(step);
        if matches!(step.what, What::End(_)) && step.from == rule.by {
            player.end_of_stream();
        }
        if is_odd && verdict == Verdict::Ended {
            check_end(recording, &mut player, before, rule);
            return player.seen;
        }
        if let Verdict::RefusedInTime(_) = verdict
            && step.number == rule.step + 1
        {
            assert_eq!(player.sent.octets, before, "answered before its time");
            player.pass(reply_timeout);
        }
    }
    match verdict {
        Verdict::Ended => panic!("the odd octets were not played"),
        Verdict::TimedOut => {
            assert_eq!(player.session.end(), None);
            player.pass(greeting_timeout);
            let end = player.session.end();
            assert!(matches!(end, Some(SessionEnd::TimedOut(_))), "{end:?}");
            return player.seen;
        }
        Verdict::LeftToLayer => {
            assert!(player.untaken > 0 && player.session.is_input_held());
            return player.seen;
        }
        _ => {}
    }
    compare::received(recording, role, &player, u64::MAX);
    // What the C engine alone minds ends its recording; and it garbled the mixed answers, which were compared
    // with the wire above.
    let is_recorded_to_the_end =
        rule.breaks != "engine" && recording.name != "odd/ans-numbers-mixed";
    if verdict == Verdict::Taken && is_recorded_to_the_end {
        expected::compare(recording, role, &player.seen);
    }
    check_sent(recording, rule, &verdict, &player);
    check_state(&verdict, &mut player);
    player.seen
}

/// The session ended at the odd octets, without an answer, and for good.
fn check_end(recording: &Recording, player: &mut Player, before: usize, rule: &Rule) {
    let end = player.session.end();
    let is_fault = matches!(
        end,
        Some(
            SessionEnd::Protocol(_) | SessionEnd::LimitReached(_) | SessionEnd::GreetingRefused(_)
        )
    );
    assert!(is_fault, "ended with {end:?}");
    assert_eq!(player.sent.octets, before, "sent after the odd octets");
    assert!(player.session.should_hang_up());
    player.pass(Duration::from_secs(3600));
    assert_eq!(player.sent.octets, before, "sent after the end");
    compare::received(recording, other(rule.by), player, rule.step);
}

/// Ours sent what the C engine sent, save the answer to the odd request, which is as the verdict has it.
fn check_sent(recording: &Recording, rule: &Rule, verdict: &Verdict, player: &Player) {
    let odd_request = messages(recording, rule.by)
        .into_iter()
        .find(|message| message.begun == rule.step && is_request(message.id))
        .map(|message| message.id.msgno);
    let is_odd_answer = |id: Id| {
        *verdict != Verdict::Taken
            && id.channel == 0
            && id.kind != MessageKind::Msg
            && Some(id.msgno) == odd_request
    };
    // A C engine that ended at the greeting had not greeted; ours greets at once.
    let (greeting, ours) = player.sent.messages.split_first().unwrap();
    let greeted = document(greeting.id.kind, &greeting.content).unwrap();
    assert!(matches!(greeted, Document::Greeting(_)));
    let mut wanted: Vec<&Recorded> = player.script.messages.iter().collect();
    if !wanted.is_empty() {
        assert_eq!(
            compare::one_sent(recording, wanted.remove(0), greeting),
            None
        );
    }
    let (answers, mut ours): (Vec<&Message>, Vec<&Message>) =
        ours.iter().partition(|message| is_odd_answer(message.id));
    wanted.retain(|message| !is_odd_answer(message.id));
    wanted.sort_by_key(|message| message.id.channel);
    ours.sort_by_key(|message| message.id.channel);
    assert_eq!(ours.len(), wanted.len(), "messages sent");
    for (wanted, ours) in wanted.into_iter().zip(ours) {
        assert_eq!(ours.id, wanted.id);
        assert_eq!(compare::one_sent(recording, wanted, ours), None);
    }
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| document(answer.id.kind, &answer.content).unwrap())
        .collect();
    match verdict {
        Verdict::Refused(codes) => assert!(is_refusal(&answers, codes), "{answers:?}"),
        Verdict::RefusedInTime(code) => assert!(is_refusal(&answers, &[*code]), "{answers:?}"),
        Verdict::Chosen(_) => assert!(matches!(answers[..], [Document::Profile(_)])),
        _ => assert!(answers.is_empty()),
    }
}

fn is_request(id: Id) -> bool {
    id.channel == 0 && id.kind == MessageKind::Msg
}

fn is_refusal(answers: &[Document], codes: &[u16]) -> bool {
    matches!(answers, [Document::Error(error)] if codes.contains(&error.code.value()))
}

/// The session goes on, or was released as the peers agreed.
fn check_state(verdict: &Verdict, player: &mut Player) {
    let answered = player.accept_what_is_pending();
    let is_release_agreed = player.seen.contains(&Seen::CloseAsked {
        channel: 0,
        is_accepted: true,
    });
    let last = player.sent.messages.last().unwrap();
    if is_release_agreed {
        assert_eq!(document(last.id.kind, &last.content), Ok(Document::Ok));
        assert_eq!(player.session.end(), None);
        player.end_of_stream();
        let end = player.session.end();
        assert_eq!(end, Some(&SessionEnd::Released { by_peer: true }));
        return;
    }
    assert_ne!(*verdict, Verdict::Released);
    if answered > 0 {
        let answer = document(last.id.kind, &last.content);
        assert!(matches!(answer, Ok(Document::Profile(_))), "{answer:?}");
    }
    match player.session.end() {
        None if player.session.is_input_held() => assert!(!player.session.wants_transmit()),
        None => player.start_one_more(),
        Some(SessionEnd::Released { by_peer: false } | SessionEnd::GreetingRefused(_)) => {}
        end => panic!("ended with {end:?}"),
    }
}

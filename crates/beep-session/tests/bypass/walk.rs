//! Walks through everything that a peer and a slow program can do, in any order, with a model that knows whether the
//! peer may count as authenticated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beep_session::Config;
use beep_session::core::Role;
use beep_session::sasl::{Answer, ClientExchange, Credentials, Mechanism};
use beep_session::tls::{ClientOptions, ServerOptions, connect};
use proptest::prelude::*;
use tokio::time::Instant;

use crate::certificates::{Made, as_made, self_signed};
use crate::guard::{Guard, VAULT, all_services, patient, truth};
use crate::raw::{Raw, start};

const PLAIN: &str = "http://iana.org/beep/SASL/PLAIN";
const CRAM: &str = "http://iana.org/beep/SASL/CRAM-MD5";
const TLS: &str = "http://iana.org/beep/TLS";
const HOST: &str = "host.example";
/// What a peer may send on channel 0 without being granted more, with room for one more start.
const ENOUGH: usize = 3800;
/// Limits that never run out at the same moment, whatever comes first.
const AUTHENTICATION_LIMIT: Duration = Duration::from_secs(60);
const TLS_LIMIT: Duration = Duration::from_secs(23);
const A_LITTLE: Duration = Duration::from_millis(5);

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A start of PLAIN with the token in it.
    Plain {
        name: &'static str,
        right: bool,
    },
    /// A start of PLAIN without a token.
    PlainLater,
    Cram,
    /// A token on the newest channel of SASL, or on the one before.
    Token {
        right: bool,
        on_newest: bool,
    },
    Abort,
    /// Closes the newest channel of SASL.
    Close,
    Vault,
    Tls,
    /// A start of TLS that says what is no `<ready />`.
    BadTls,
    /// The program says what it knows to the oldest question.
    Truth,
    /// It says no.
    Deny,
    /// It forgets about the question.
    Forget,
    AcceptTls,
    RefuseTls,
    /// Every limit passes.
    Wait,
}

const ACTS: [Act; 16] = [
    Act::Plain {
        name: "bob",
        right: true,
    },
    Act::Plain {
        name: "alice",
        right: true,
    },
    Act::Plain {
        name: "bob",
        right: false,
    },
    Act::PlainLater,
    Act::Cram,
    Act::Token {
        right: true,
        on_newest: true,
    },
    Act::Token {
        right: false,
        on_newest: true,
    },
    Act::Token {
        right: true,
        on_newest: false,
    },
    Act::Abort,
    Act::Close,
    Act::Vault,
    Act::Tls,
    Act::BadTls,
    Act::Truth,
    Act::AcceptTls,
    Act::Wait,
];

/// Those that `ACTS` leaves out to stay small.
const MORE_ACTS: [Act; 3] = [Act::Deny, Act::Forget, Act::RefuseTls];

/// An exchange as the model sees it.
#[derive(Debug)]
struct Exchange {
    channel: u32,
    name: &'static str,
    deadline: Instant,
    /// The program was asked: the number of the question, and whether the token was right.
    asked: Option<(u32, bool)>,
}

/// A channel of SASL whose start was answered.
#[derive(Debug)]
struct Channel {
    number: u32,
    is_plain: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Model {
    is_tls: bool,
    identity: Option<&'static str>,
    exchange: Option<Exchange>,
    failures: u32,
    channels: Vec<Channel>,
    next_number: u32,
    /// Questions to the program, the oldest first.
    questions: VecDeque<u32>,
    asked: u32,
    /// The channel of the exchange is being closed: it is gone once the peer has been told so.
    is_leaving: bool,
    is_tls_pending: bool,
    tls_deadline: Option<Instant>,
    /// Starts of TLS that the program was asked about, the oldest first, with how many there were before.
    tls_questions: VecDeque<u32>,
    tls_asked: u32,
    /// What arrives meanwhile; it counts once TLS was refused.
    held: Vec<Held>,
    /// Answers that are due: channel and number of the message, and whether they are positive, where that is sure.
    due: BTreeMap<(u32, u32), Option<bool>>,
    is_over: bool,
}

/// A message that is on its way.
#[derive(Debug)]
struct Held {
    act: Act,
    /// The channel that it asks for, or is about.
    number: u32,
    msgno: u32,
    on: u32,
}

struct Walk {
    guard: Guard,
    raw: Raw,
    made: Made,
    model: Model,
    /// Who was seen to be authenticated on the sessions before.
    before: Vec<Option<String>>,
}

fn plain(name: &str, right: bool) -> String {
    let password = match (name, right) {
        (_, false) => "wrong",
        ("bob", _) => "secret",
        _ => "other",
    };
    let token = STANDARD.encode(format!("\0{name}\0{password}"));
    format!("<blob>{token}</blob>")
}

impl Walk {
    async fn begin(made: &Made) -> Walk {
        let guard = Guard::default();
        let (here, there) = tokio::io::duplex(64 * 1024);
        let config = Config {
            authentication_timeout: AUTHENTICATION_LIMIT,
            tls_timeout: TLS_LIMIT,
            ..patient()
        };
        guard.spawn(there, Role::Listener, config, all_services());
        Walk {
            guard,
            raw: Raw::greeted(here).await,
            made: made.clone(),
            model: Model {
                next_number: 3,
                ..Model::default()
            },
            before: Vec::new(),
        }
    }

    /// What a client answers the challenge of this channel with.
    fn cram(&self, number: u32, right: bool) -> String {
        let answers = self
            .raw
            .received
            .iter()
            .filter(|received| received.content.contains("CRAM-MD5' ><![CDATA[<blob>"));
        let starts = self
            .model
            .channels
            .iter()
            .filter(|channel| !channel.is_plain);
        let position = starts
            .clone()
            .position(|channel| channel.number == number)
            .unwrap();
        // The answers to starts come in the order of the starts.
        let answer = answers.collect::<Vec<_>>()[position];
        let (_, rest) = answer.content.split_once("<blob>").unwrap();
        let (challenge, _) = rest.split_once("</blob>").unwrap();
        let challenge = STANDARD.decode(challenge).unwrap();
        let password = if right { "secret" } else { "wrong" };
        let credentials = Credentials::new(Mechanism::CramMd5, "bob").with_password(password);
        let mut client = ClientExchange::new(&credentials, HOST, None, false).unwrap();
        let token = client.respond(&challenge).unwrap();
        format!("<blob>{}</blob>", STANDARD.encode(token))
    }

    async fn act(&mut self, act: Act) {
        if self.model.is_over {
            return;
        }
        // Whether a close that was held back has been answered before the next message is handled depends on how much was
        // read at once, so nothing is said behind one.
        let is_said = !matches!(
            act,
            Act::Truth | Act::Deny | Act::Forget | Act::AcceptTls | Act::RefuseTls | Act::Wait
        );
        if is_said && self.model.held.iter().any(|held| held.act == Act::Close) {
            return;
        }
        let number = self.model.next_number;
        let start = |uri, content: Option<&str>| start(number, uri, content);
        // On which channel, about which one, and what.
        let said = match act {
            Act::Plain { name, right } => {
                Some((0, number, start(PLAIN, Some(&plain(name, right)))))
            }
            Act::PlainLater => Some((0, number, start(PLAIN, None))),
            Act::Cram => Some((0, number, start(CRAM, None))),
            Act::Vault => Some((0, number, start(VAULT, None))),
            Act::Tls => Some((0, number, start(TLS, Some("<ready />")))),
            Act::BadTls => Some((0, number, start(TLS, Some("<steady />")))),
            Act::Token { right, on_newest } => {
                self.model
                    .open(usize::from(!on_newest))
                    .map(|(on, is_plain)| {
                        let document = if is_plain {
                            plain("bob", right)
                        } else {
                            self.cram(on, right)
                        };
                        (on, on, document)
                    })
            }
            Act::Abort => {
                let newest = self.model.open(0);
                newest.map(|(on, _)| (on, on, "<blob status='abort' />".to_owned()))
            }
            Act::Close => self.model.open(0).map(|(about, _)| {
                self.model.close(about);
                (0, about, format!("<close number='{about}' code='200' />"))
            }),
            _ => {
                self.program(act).await;
                None
            }
        };
        if let Some((on, about, document)) = said {
            if about == number {
                self.model.next_number += 2;
            }
            let msgno = self.raw.send(on, &document).await;
            let held = Held {
                act,
                number: about,
                msgno,
                on,
            };
            if self.model.is_tls_pending {
                self.model.held.push(held);
            } else {
                self.model.arrived(&held);
                self.model.all_arrived();
            }
        }
        self.raw.settle().await;
        self.check(act);
    }

    async fn program(&mut self, act: Act) {
        match act {
            Act::Truth | Act::Deny | Act::Forget => {
                let request = { self.guard.asked().authentications.pop_front() };
                let question = self.model.questions.pop_front();
                assert_eq!(request.is_some(), question.is_some());
                let (Some(request), Some(question)) = (request, question) else {
                    return;
                };
                match act {
                    Act::Truth => {
                        let answer = truth(request.question());
                        request.answer(answer);
                    }
                    Act::Deny => request.answer(Answer::Deny),
                    _ => drop(request),
                }
                self.model.answered(question, act == Act::Truth);
            }
            Act::AcceptTls | Act::RefuseTls => {
                let request = self.guard.asked().tls.pop_front();
                let question = self.model.tls_questions.pop_front();
                assert_eq!(request.is_some(), question.is_some());
                let Some(request) = request else { return };
                // It may be about a session that is gone, or have taken too long.
                let is_current =
                    self.model.is_tls_pending && question == Some(self.model.tls_asked);
                if act == Act::RefuseTls {
                    drop(request);
                    if is_current {
                        self.model.tls_refused();
                    }
                    return;
                }
                request.accept(ServerOptions::new(self.made.identity()));
                if is_current {
                    self.secure().await;
                }
            }
            Act::Wait => {
                while let Some(deadline) = self.model.deadline() {
                    tokio::time::sleep_until(deadline + A_LITTLE).await;
                    self.model.time_is_up();
                    self.raw.settle().await;
                }
            }
            _ => {}
        }
    }

    /// The program agreed to TLS.
    async fn secure(&mut self) {
        if !self.model.held.is_empty() {
            // Something was slipped in, and comes to the handshake.
            tokio::time::sleep(Duration::from_secs(200)).await;
            let asked = self.guard.asked();
            assert_eq!(asked.sessions.len(), 1 + self.before.len());
            assert_eq!(asked.ends, 1 + self.before.len());
            drop(asked);
            self.model.is_over = true;
            return;
        }
        self.raw.settle().await;
        // The answer waits for that to a start of SASL before it, or to a close.
        let is_agreed = |raw: &Raw| {
            let mut received = raw.received.iter();
            received.any(|received| received.content.contains("<proceed />"))
        };
        if !is_agreed(&self.raw) {
            let deadline = self.model.exchange.as_ref().unwrap().deadline;
            tokio::time::sleep_until(deadline + A_LITTLE).await;
            self.raw.settle().await;
        }
        assert!(is_agreed(&self.raw), "{:?}", self.raw.received);
        let options = ClientOptions {
            server_name: Some(HOST.to_owned()),
            trust: self.made.trust(),
            identity: None,
        };
        let stream = std::mem::replace(&mut self.raw.stream, Box::new(tokio::io::empty()));
        let old = self.guard.session();
        let (stream, _) = connect(stream, &options).await.unwrap();
        self.raw = Raw::greeted(stream).await;
        assert!(!old.is_alive());
        self.before
            .push(old.identity().and_then(|identity| identity.auth_id));
        let questions = std::mem::take(&mut self.model.questions);
        let tls_questions = std::mem::take(&mut self.model.tls_questions);
        self.model = Model {
            is_tls: true,
            next_number: 3,
            questions,
            asked: self.model.asked,
            tls_questions,
            tls_asked: self.model.tls_asked,
            ..Model::default()
        };
    }

    fn check(&self, after: Act) {
        let model = &self.model;
        if model.is_over {
            return;
        }
        let session = self.guard.session();
        assert!(session.is_alive(), "{after:?}: {:?}", session.end());
        assert_eq!(session.is_tls(), model.is_tls);
        let identity = session.identity().and_then(|identity| identity.auth_id);
        assert_eq!(identity.as_deref(), model.identity, "after {after:?}");
        let asked = self.guard.asked();
        assert_eq!(asked.authentications.len(), model.questions.len());
        assert_eq!(asked.sessions.len(), 1 + self.before.len());
        // Whoever was let in before TLS stays what it was: nothing that is said later gets there.
        for (session, identity) in asked.sessions.iter().zip(&self.before) {
            let now = session.identity().and_then(|identity| identity.auth_id);
            assert_eq!(&now, identity);
        }
        for (&(channel, msgno), is_positive) in &model.due {
            for answer in self.raw.answers(channel, msgno) {
                let is_error = answer.content.contains("<error ");
                assert!(
                    is_positive.is_none_or(|positive| positive != is_error),
                    "{channel} {msgno}: {answer:?}, wanted {is_positive:?}"
                );
            }
        }
    }

    /// Everybody gets the answers that are due, once.
    async fn end(mut self) {
        if self.model.is_over {
            return;
        }
        while !self.model.questions.is_empty() {
            self.program(Act::Forget).await;
        }
        while !self.model.tls_questions.is_empty() {
            self.program(Act::RefuseTls).await;
            self.raw.settle().await;
        }
        while !self.model.questions.is_empty() {
            self.program(Act::Forget).await;
        }
        self.program(Act::Wait).await;
        self.raw.settle().await;
        self.check(Act::Wait);
        let due: BTreeSet<_> = self.model.due.keys().copied().collect();
        for (channel, msgno) in due {
            self.raw.answer(channel, msgno);
        }
    }
}

impl Model {
    fn arrived(&mut self, held: &Held) {
        let due = (held.on, held.msgno);
        self.due.insert(due, None);
        let positive = match held.act {
            Act::Plain { name, right } => self.exchange_begins(held, name, Some(right)),
            Act::PlainLater | Act::Cram => self.exchange_begins(held, "bob", None),
            Act::Vault => Some(self.identity.is_some()),
            Act::Tls if self.is_tls => Some(false),
            Act::Tls => {
                self.is_tls_pending = true;
                self.tls_deadline = Some(Instant::now() + TLS_LIMIT);
                self.tls_asked += 1;
                self.tls_questions.push_back(self.tls_asked);
                None
            }
            Act::BadTls => Some(false),
            Act::Token { right, .. } => self.token(held.on, Some(right)),
            Act::Abort => self.token(held.on, None),
            Act::Close => {
                let is_of = |exchange: &Exchange| {
                    exchange.channel == held.number && exchange.asked.is_none()
                };
                self.is_leaving |= self.exchange.as_ref().is_some_and(is_of);
                Some(true)
            }
            act => panic!("{act:?} is nothing that arrives"),
        };
        self.due.insert(due, positive);
    }

    fn exchange_begins(
        &mut self,
        held: &Held,
        name: &'static str,
        token: Option<bool>,
    ) -> Option<bool> {
        if self.identity.is_some() || self.exchange.is_some() || self.failures >= 16 {
            return Some(false);
        }
        let asked = token.map(|right| (self.ask(), right));
        self.exchange = Some(Exchange {
            channel: held.number,
            name,
            deadline: Instant::now() + AUTHENTICATION_LIMIT,
            asked,
        });
        if token.is_some() {
            return None;
        }
        self.channels.push(Channel {
            number: held.number,
            is_plain: held.act == Act::PlainLater,
            is_closed: false,
        });
        Some(true)
    }

    fn ask(&mut self) -> u32 {
        self.asked += 1;
        self.questions.push_back(self.asked);
        self.asked
    }

    /// A token, or none to give the exchange up.
    fn token(&mut self, channel: u32, right: Option<bool>) -> Option<bool> {
        let is_due = |exchange: &Exchange| exchange.channel == channel && exchange.asked.is_none();
        if !self.exchange.as_ref().is_some_and(is_due) {
            return Some(false);
        }
        match right {
            Some(right) => {
                let asked = self.ask();
                if let Some(exchange) = &mut self.exchange {
                    exchange.asked = Some((asked, right));
                }
                None
            }
            None => {
                self.exchange = None;
                self.failures += 1;
                Some(false)
            }
        }
    }

    fn answered(&mut self, question: u32, is_truth: bool) {
        let Some(exchange) = &self.exchange else {
            return;
        };
        let Some((_, right)) = exchange.asked.filter(|asked| asked.0 == question) else {
            return;
        };
        if is_truth && right {
            self.identity = Some(exchange.name);
            // The channel of a start with the token in it is open from now on.
            let number = exchange.channel;
            if !self.channels.iter().any(|channel| channel.number == number) {
                self.channels.push(Channel {
                    number,
                    is_plain: true,
                    is_closed: false,
                });
            }
        } else {
            self.failures += 1;
        }
        self.exchange = None;
    }

    fn tls_refused(&mut self) {
        if !std::mem::take(&mut self.is_tls_pending) {
            return;
        }
        self.tls_deadline = None;
        let mut held = VecDeque::from(std::mem::take(&mut self.held));
        while let Some(next) = held.pop_front() {
            self.arrived(&next);
            if next.act == Act::BadTls {
                // It is answered ahead of what follows.
                self.all_arrived();
            }
            if self.is_tls_pending {
                self.held = held.into();
                break;
            }
        }
        self.all_arrived();
    }

    /// What came at once has been handled.
    fn all_arrived(&mut self) {
        if std::mem::take(&mut self.is_leaving) {
            self.exchange = None;
            self.failures += 1;
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let exchange = self.exchange.as_ref().map(|exchange| exchange.deadline);
        let tls = self.tls_deadline.filter(|_| self.is_tls_pending);
        exchange.into_iter().chain(tls).min()
    }

    fn time_is_up(&mut self) {
        let now = Instant::now();
        let is_due = |exchange: &Exchange| exchange.deadline <= now;
        if self.exchange.as_ref().is_some_and(is_due) {
            self.exchange = None;
            self.failures += 1;
        }
        if self.tls_deadline.is_some_and(|deadline| deadline <= now) {
            self.tls_refused();
        }
    }

    /// A channel of SASL that is open, counted from the newest: its number, and whether it is one of PLAIN.
    fn open(&self, index: usize) -> Option<(u32, bool)> {
        let open = self.channels.iter().rev();
        let mut open = open.filter(|channel| !channel.is_closed);
        let channel = open.nth(index)?;
        Some((channel.number, channel.is_plain))
    }

    fn close(&mut self, number: u32) {
        for channel in &mut self.channels {
            channel.is_closed |= channel.number == number;
        }
    }
}

fn walk(acts: &[Act], made: &Made) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut walk = Walk::begin(made).await;
        for act in acts {
            if walk.raw.octets_sent(0) > ENOUGH {
                break;
            }
            walk.act(*act).await;
        }
        let guard = walk.guard.clone();
        walk.end().await;
        // It knows its sessions, and they know it.
        let asked = std::mem::take(&mut *guard.asked());
        drop(asked);
    });
}

/// Runs a walk, and names it should it fail.
fn walk_or_say(acts: &[Act], made: &Made) {
    let outcome = std::panic::catch_unwind(|| walk(acts, made));
    if let Err(panic) = outcome {
        eprintln!("the walk was {acts:?}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_short_walk_lets_in_those_only_who_proved_themselves() {
    let made = self_signed(HOST, as_made);
    let mut walks = 0;
    for first in ACTS {
        for second in ACTS {
            for third in ACTS {
                walk_or_say(&[first, second, third], &made);
                walks += 1;
            }
        }
    }
    println!("{walks} walks");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_long_walk_does_too(
        acts in prop::collection::vec(
            prop::sample::select([&ACTS[..], &MORE_ACTS[..]].concat()),
            4..24,
        )
    ) {
        thread_local! {
            static MADE: Made = self_signed(HOST, as_made);
        }
        MADE.with(|made| walk(&acts, made));
    }
}

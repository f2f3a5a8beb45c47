//! Authentications that end late, or are given up, and servers that want more than they should.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beep_session::core::Role;
use beep_session::sasl::{Answer, AuthenticationError, Credentials, Identity, Mechanism};
use beep_session::{Config, Services, Session};
use tokio::sync::oneshot;

use crate::common::within;
use crate::guard::{Guard, VAULT, all_services, patient, truth};
use crate::raw::Raw;

const SASL: &str = "http://iana.org/beep/SASL/";

fn begin(
    session: &Session,
    credentials: &Credentials,
) -> oneshot::Receiver<Result<Identity, AuthenticationError>> {
    let (done, outcome) = oneshot::channel();
    session.authenticate(credentials, move |result| {
        let _ = done.send(result);
    });
    outcome
}

fn bob(mechanism: Mechanism) -> Credentials {
    Credentials::new(mechanism, "bob").with_password("secret")
}

#[tokio::test(start_paused = true)]
async fn exchanges_that_are_begun_and_left_count_as_failed() {
    let guard = Guard::default();
    let (here, there) = tokio::io::duplex(64 * 1024);
    let config = Config {
        authentication_failures_max: 3,
        ..patient()
    };
    let session = guard.spawn(there, Role::Listener, config, all_services());
    let mut raw = Raw::greeted(here).await;
    for round in 0..4 {
        let number = 3 + 2 * round;
        let uri = format!("{SASL}CRAM-MD5");
        let started = raw.start(number, &uri, None).await;
        raw.settle().await;
        let answer = raw.answer(0, started);
        assert_eq!(answer.kind, if round < 3 { "RPY" } else { "ERR" });
        if round == 3 {
            assert!(answer.content.contains("too many"), "{}", answer.content);
            break;
        }
        let close = format!("<close number='{number}' code='200' />");
        let closed = raw.send(0, &close).await;
        raw.settle().await;
        assert!(raw.answer(0, closed).content.contains("<ok />"));
    }
    assert!(session.is_alive());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_for_the_client_leaves_no_channel() {
    let (near, far) = (Guard::default(), Guard::default());
    let (here, there) = tokio::io::duplex(64 * 1024);
    far.spawn(there, Role::Listener, patient(), all_services());
    let config = Config {
        authentication_timeout: Duration::from_secs(5),
        ..patient()
    };
    let client = near.spawn(here, Role::Initiator, config, Services::new());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let outcome = begin(&client, &bob(Mechanism::Plain)).await.unwrap();
    assert_eq!(outcome, Err(AuthenticationError::TimedOut));
    // The server lets bob in all the same, and cannot know better.
    let request = { far.asked().authentications.pop_front() }.unwrap();
    request.answer(Answer::Accept);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(client.identity(), None);
    assert_eq!(client.channel_numbers().len(), 1);
}

/// RFC 2831 §2.1.2.1: the name in the response keeps it from being used at another server.
#[tokio::test(start_paused = true)]
async fn the_peer_has_no_say_in_which_server_a_response_is_for() {
    let guard = Guard::default();
    let (here, there) = tokio::io::duplex(64 * 1024);
    let services = Services::new();
    services.serve_alive();
    let client = guard.spawn(here, Role::Initiator, patient(), services);
    let mut raw = Raw::greeted(there).await;
    let alive = "urn:aspl.es:beep:profiles:ALIVE";
    let start =
        format!("<start number='2' serverName='bank.example'><profile uri='{alive}' /></start>");
    raw.send(0, &start).await;
    raw.settle().await;
    assert_eq!(client.server_name().as_deref(), Some("bank.example"));

    let outcome = begin(&client, &bob(Mechanism::DigestMd5).with_realm("bank"));
    raw.settle().await;
    let asked = raw.received.last().unwrap().clone();
    assert_eq!((asked.kind.as_str(), asked.channel), ("MSG", 0));
    let challenge = r#"realm="bank",nonce="abc",qop="auth",charset=utf-8,algorithm=md5-sess"#;
    let blob = format!("<blob>{}</blob>", STANDARD.encode(challenge));
    let profile = format!("<profile uri='{SASL}DIGEST-MD5'><![CDATA[{blob}]]></profile>");
    raw.reply("RPY", 0, asked.msgno, &profile).await;
    raw.settle().await;
    let response = raw.received.last().unwrap().content.clone();
    let (_, token) = response.split_once("<blob>").unwrap();
    let token = STANDARD.decode(token.split_once('<').unwrap().0).unwrap();
    let token = String::from_utf8(token).unwrap();
    assert!(
        token.contains("digest-uri=\"beep/host.example\""),
        "{token}"
    );
    drop(outcome);
}

/// A server of SCRAM that has the client hash as often as it can ask for.
#[tokio::test]
async fn a_server_that_wants_long_hashing_holds_up_nobody_else() {
    let guard = Guard::default();
    let (here, there) = tokio::io::duplex(64 * 1024);
    let client = guard.spawn(here, Role::Initiator, patient(), Services::new());
    let mut raw = crate::common::ByHand::new(there);
    raw.greet().await;
    raw.expect("</greeting>").await;
    let mut outcome = begin(&client, &bob(Mechanism::ScramSha256));
    let start = raw.expect("</start>").await;
    let (_, token) = start.split_once("<blob>").unwrap();
    let token = STANDARD.decode(token.split_once('<').unwrap().0).unwrap();
    let token = String::from_utf8(token).unwrap();
    let nonce = token.split_once("r=").unwrap().1;
    let challenge = format!("r={nonce}more,s=c2FsdA==,i=60000");
    let blob = format!("<blob>{}</blob>", STANDARD.encode(challenge));
    let profile = format!("<profile uri='{SASL}SCRAM-SHA-256'><![CDATA[{blob}]]></profile>");
    let seqno = crate::common::management_len("<greeting />\r\n");
    let answer = crate::common::management("RPY", 0, seqno, &profile)
        .replace("RPY 0 0 ", &format!("RPY 0 {} ", msgno_of(&start)));
    raw.send(answer).await;
    // A start on the same session is answered while the client computes.
    let vault = format!("<start number='2'><profile uri='{VAULT}' /></start>");
    let seqno = seqno + crate::common::management_len(&profile);
    raw.send(crate::common::management("MSG", 0, seqno, &vault).replace("MSG 0 0", "MSG 0 1"))
        .await;
    raw.expect("<error code='537'").await;
    assert!(
        outcome.try_recv().is_err() && !raw.rest().starts_with(b"MSG"),
        "the client had computed before"
    );
    raw.expect("<blob>").await;
    drop(client);
}

fn msgno_of(start: &str) -> u32 {
    let at = start.rfind("MSG 0 ").unwrap();
    let rest = &start[at + 6..];
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// What the peer is told and what this side believes are the same, whoever is faster: the limit or the program.
#[test]
fn who_is_let_in_is_told_so_however_close_the_limit_is() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (mut let_in, mut refused) = (0, 0);
    for round in 0..400_u64 {
        let limit = Duration::from_micros(1500);
        let (is_in, is_told) = runtime.block_on(async {
            let guard = Guard::default();
            let (here, there) = tokio::io::duplex(64 * 1024);
            let config = Config {
                authentication_timeout: limit,
                ..patient()
            };
            let server = guard.spawn(there, Role::Listener, config, all_services());
            let near = Guard::default();
            let client = near.spawn(here, Role::Initiator, patient(), Services::new());
            let outcome = begin(&client, &bob(Mechanism::Plain));
            let request = within(async {
                loop {
                    if let Some(request) = { guard.asked().authentications.pop_front() } {
                        break request;
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await;
            let answer = truth(request.question());
            // Around the moment at which the limit runs out.
            let pause = Duration::from_micros(500 + 5 * (round % 400));
            let answering = std::thread::spawn(move || {
                let begin = std::time::Instant::now();
                while begin.elapsed() < pause {
                    std::hint::spin_loop();
                }
                request.answer(answer);
            });
            let outcome = within(outcome).await.unwrap();
            answering.join().unwrap();
            (server.identity().is_some(), outcome.is_ok())
        });
        assert_eq!(is_in, is_told, "in round {round}");
        let_in += u32::from(is_in);
        refused += u32::from(!is_in);
    }
    println!("{let_in} let in, {refused} refused");
}

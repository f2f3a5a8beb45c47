//! SASL over sessions: who is let in, who is not, and what the wire looks like.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy looks for tests in functions alone"
)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use beep_session::core::{Greeting, Role};
use beep_session::sasl::{
    Answer, AuthenticationError, Credentials, Error, Identity, Mechanism, Request,
};
use beep_session::{
    Application, Config, End, ErrorReply, Services, Session, SessionOptions, core::ChannelNumber,
    core::Event, core::ReplyCode,
};
use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, oneshot};

type Decide = dyn Fn(Request) + Send + Sync;

/// A program that knows who may come in.
struct Program {
    decide: Box<Decide>,
    greeted: Mutex<Option<oneshot::Sender<()>>>,
    channels: mpsc::UnboundedSender<String>,
}

impl Application for Program {
    fn event(&self, session: &Session, event: Event) {
        match event {
            Event::GreetingReceived(_) => {
                if let Some(greeted) = self.greeted.lock().unwrap().take() {
                    let _ = greeted.send(());
                }
            }
            Event::StartRequested { number, .. } => {
                let error = ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "no such profile");
                session.refuse_start(number, error).unwrap();
            }
            _ => {}
        }
    }

    fn authenticate(&self, _session: &Session, request: Request) {
        (self.decide)(request);
    }

    fn service_channel(&self, _session: &Session, _number: ChannelNumber, uri: &str) {
        let _ = self.channels.send(uri.to_owned());
    }

    fn ended(&self, _session: &Session, _end: &Arc<End>) {}
}

struct Side {
    session: Session,
    greeted: oneshot::Receiver<()>,
    channels: mpsc::UnboundedReceiver<String>,
}

fn side(
    transport: DuplexStream,
    role: Role,
    config: Config,
    services: Services,
    decide: impl Fn(Request) + Send + Sync + 'static,
) -> Side {
    let (greeted, is_greeted) = oneshot::channel();
    let (opened, channels) = mpsc::unbounded_channel();
    let options = SessionOptions {
        config: config.checked().unwrap(),
        role,
        greeting: Ok(Greeting::default()),
        addresses: None,
        admission: None,
        services: Arc::new(services),
        server_name: (role == Role::Initiator).then(|| "localhost".to_owned()),
    };
    let application = Arc::new(Program {
        decide: Box::new(decide),
        greeted: Mutex::new(Some(greeted)),
        channels: opened,
    });
    Side {
        session: Session::spawn(transport, options, application),
        greeted: is_greeted,
        channels,
    }
}

/// A client and a server that offers every mechanism and knows bob.
async fn pair(
    services: Services,
    decide: impl Fn(Request) + Send + Sync + 'static,
) -> (Side, Side) {
    for mechanism in Mechanism::ALL {
        services.accept_sasl(mechanism);
    }
    let (here, there) = tokio::io::duplex(64 * 1024);
    let server = side(there, Role::Listener, Config::default(), services, decide);
    let nothing = |_| panic!("nobody asks the client");
    let mut client = side(
        here,
        Role::Initiator,
        Config::default(),
        Services::new(),
        nothing,
    );
    within(&mut client.greeted).await.unwrap();
    (client, server)
}

/// Bob's password is "secret".
fn knows_bob(request: Request) {
    let question = request.question();
    let is_bob = question.auth_id.as_deref() == Some("bob");
    let answer = match question.mechanism {
        Mechanism::Plain if is_bob && question.password.as_deref() == Some("secret") => {
            Answer::Accept
        }
        Mechanism::Anonymous
            if question.anonymous_token.as_deref() == Some("guest@example.org") =>
        {
            Answer::Accept
        }
        Mechanism::External if question.authorization_id.as_deref() == Some("bob") => {
            Answer::Accept
        }
        mechanism if mechanism.needs_password() && is_bob => Answer::Password("secret".to_owned()),
        _ => Answer::Deny,
    };
    request.answer(answer);
}

async fn authenticate(
    side: &Side,
    credentials: &Credentials,
) -> Result<Identity, AuthenticationError> {
    let (done, outcome) = oneshot::channel();
    side.session.authenticate(credentials, move |result| {
        let _ = done.send(result);
    });
    within(outcome).await.unwrap()
}

fn bob(mechanism: Mechanism, password: &str) -> Credentials {
    match mechanism {
        Mechanism::Anonymous => Credentials::new(mechanism, password),
        Mechanism::External => Credentials::new(mechanism, "bob").with_authorization_id(password),
        _ => Credentials::new(mechanism, "bob")
            .with_password(password)
            .with_realm("example.org"),
    }
}

fn right(mechanism: Mechanism) -> Credentials {
    bob(
        mechanism,
        match mechanism {
            Mechanism::Anonymous => "guest@example.org",
            Mechanism::External => "bob",
            _ => "secret",
        },
    )
}

#[tokio::test]
async fn every_mechanism_lets_bob_in_and_keeps_others_out() {
    for mechanism in Mechanism::ALL {
        let (mut client, mut server) = pair(Services::new(), knows_bob).await;
        // Wrong first: the session stays as usable as it was.
        let error = authenticate(&client, &bob(mechanism, "wrong"))
            .await
            .unwrap_err();
        assert_eq!(
            error.reply_code(),
            Some(ReplyCode::AUTH_FAILURE),
            "{mechanism:?}: {error}"
        );
        assert_eq!(client.session.identity(), None);
        assert_eq!(server.session.identity(), None);

        let identity = authenticate(&client, &right(mechanism)).await.unwrap();
        assert_eq!(identity.mechanism, mechanism);
        assert_eq!(client.session.identity(), Some(identity));
        let seen = server.session.identity().unwrap();
        let name = (mechanism != Mechanism::Anonymous).then_some("bob");
        assert_eq!(seen.mechanism, mechanism);
        if mechanism != Mechanism::External {
            assert_eq!(seen.auth_id.as_deref(), name, "{mechanism:?}");
        }
        // The channel stays, and both programs know of it.
        assert_eq!(client.channels.recv().await.unwrap(), mechanism.uri());
        assert_eq!(server.channels.recv().await.unwrap(), mechanism.uri());
    }
}

#[tokio::test]
async fn whoever_is_authenticated_stays_it() {
    let (client, server) = pair(Services::new(), knows_bob).await;
    let identity = authenticate(&client, &right(Mechanism::Plain))
        .await
        .unwrap();
    for mechanism in Mechanism::ALL {
        let again = authenticate(&client, &bob(mechanism, "wrong")).await;
        assert_eq!(again, Err(AuthenticationError::AlreadyAuthenticated));
    }
    assert_eq!(client.session.identity(), Some(identity));
    assert!(server.session.identity().is_some());
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_refused() {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let services = Services::new();
    services.accept_sasl(Mechanism::ScramSha256);
    let _server = side(
        there,
        Role::Listener,
        Config::default(),
        services,
        knows_bob,
    );
    let client = side(
        here,
        Role::Initiator,
        Config::default(),
        Services::new(),
        |_| {},
    );
    let error = authenticate(&client, &right(Mechanism::Plain)).await;
    let code = error.unwrap_err().reply_code();
    assert_eq!(code, Some(ReplyCode::TRANSACTION_FAILED));
}

#[tokio::test]
async fn mechanisms_that_show_the_password_can_be_made_to_wait_for_tls() {
    let services = Services::new();
    services.require_tls_for_passwords(true);
    let (client, _server) = pair(services, knows_bob).await;
    let offered = client.session.peer_greeting().unwrap().profiles;
    assert!(!offered.iter().any(|uri| uri == Mechanism::Plain.uri()));
    assert!(offered.iter().any(|uri| uri == Mechanism::ScramSha1.uri()));
    let error = authenticate(&client, &right(Mechanism::Plain))
        .await
        .unwrap_err();
    assert_eq!(
        error.reply_code(),
        Some(ReplyCode::MECHANISM_NEEDS_ENCRYPTION)
    );
    authenticate(&client, &right(Mechanism::ScramSha1))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_program_may_take_its_time_and_a_dropped_question_is_a_denial() {
    let (asked, mut questions) = mpsc::unbounded_channel();
    let (client, _server) = pair(Services::new(), move |request| {
        asked.send(request).unwrap();
    })
    .await;
    for mechanism in [
        Mechanism::Plain,
        Mechanism::DigestMd5,
        Mechanism::ScramSha256,
    ] {
        let credentials = right(mechanism);
        let answering = async {
            let question = questions.recv().await.unwrap();
            // The session works meanwhile.
            let echo = client.session.channel_numbers();
            assert!(!echo.is_empty());
            drop(question);
        };
        let (outcome, ()) = tokio::join!(authenticate(&client, &credentials), answering);
        let code = outcome.unwrap_err().reply_code();
        assert_eq!(code, Some(ReplyCode::AUTH_FAILURE), "{mechanism:?}");
    }
    let credentials = right(Mechanism::CramMd5);
    let answering = async {
        let question = questions.recv().await.unwrap();
        std::thread::spawn(|| question.answer(Answer::Password("secret".to_owned())));
    };
    let (outcome, ()) = tokio::join!(authenticate(&client, &credentials), answering);
    outcome.unwrap();
}

#[tokio::test]
async fn two_exchanges_at_once_are_one_too_many() {
    let (asked, mut questions) = mpsc::unbounded_channel();
    let (client, _server) = pair(Services::new(), move |request| {
        asked.send(request).unwrap();
    })
    .await;
    let credentials = right(Mechanism::Plain);
    let meanwhile = async {
        let question = questions.recv().await.unwrap();
        let second = authenticate(&client, &credentials).await;
        assert_eq!(second, Err(AuthenticationError::Busy));
        question.answer(Answer::Accept);
    };
    let (outcome, ()) = tokio::join!(authenticate(&client, &credentials), meanwhile);
    outcome.unwrap();
}

#[tokio::test]
async fn guessing_comes_to_an_end() {
    let (client, server) = pair(Services::new(), knows_bob).await;
    let most = Config::default().authentication_failures_max;
    for _ in 0..most {
        let error = authenticate(&client, &bob(Mechanism::Plain, "wrong")).await;
        let code = error.unwrap_err().reply_code();
        assert_eq!(code, Some(ReplyCode::AUTH_FAILURE));
    }
    let error = authenticate(&client, &right(Mechanism::Plain)).await;
    let code = error.unwrap_err().reply_code();
    assert_eq!(code, Some(ReplyCode::TRANSACTION_FAILED));
    assert_eq!(server.session.identity(), None);
    assert!(server.session.is_alive());
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_takes_too_long_fails_on_both_sides() {
    let (asked, mut questions) = mpsc::unbounded_channel();
    let (client, server) = pair(Services::new(), move |request| {
        asked.send(request).unwrap();
    })
    .await;
    let begin = tokio::time::Instant::now();
    let (done, outcome) = oneshot::channel();
    client
        .session
        .authenticate(&right(Mechanism::Plain), move |result| {
            let _ = done.send(result);
        });
    let question = questions.recv().await.unwrap();
    assert!(outcome.await.unwrap().is_err());
    assert!(begin.elapsed() >= Duration::from_secs(60));
    assert!(begin.elapsed() < Duration::from_secs(62));
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Too late: nobody is let in.
    question.answer(Answer::Accept);
    assert_eq!(server.session.identity(), None);
    assert_eq!(client.session.identity(), None);
}

#[tokio::test]
async fn the_end_of_the_session_ends_the_exchange() {
    let (asked, mut questions) = mpsc::unbounded_channel();
    let (client, server) = pair(Services::new(), move |request| {
        asked.send(request).unwrap();
    })
    .await;
    let credentials = right(Mechanism::Plain);
    let meanwhile = async {
        let question = questions.recv().await.unwrap();
        server.session.shutdown();
        question
    };
    let (outcome, question) = tokio::join!(authenticate(&client, &credentials), meanwhile);
    assert_eq!(outcome, Err(AuthenticationError::Closed));
    question.answer(Answer::Accept);
    assert_eq!(server.session.identity(), None);
    let after = authenticate(&client, &credentials).await;
    assert!(
        matches!(after, Err(AuthenticationError::Start(_))),
        "{after:?}"
    );
}

// ------------------------------------------------------------------------------------------------
// What a raw peer sees

struct Raw {
    stream: DuplexStream,
    /// Octets of content sent on each channel, for the sequence numbers.
    sent: std::collections::HashMap<u32, usize>,
    read: Vec<u8>,
}

const HEADERS: &str = "Content-Type: application/beep+xml\r\n\r\n";

impl Raw {
    async fn greeted() -> (Raw, Side) {
        let services = Services::new();
        for mechanism in Mechanism::ALL {
            services.accept_sasl(mechanism);
        }
        let (here, there) = tokio::io::duplex(64 * 1024);
        let server = side(
            there,
            Role::Listener,
            Config::default(),
            services,
            knows_bob,
        );
        let mut raw = Raw {
            stream: here,
            sent: std::collections::HashMap::new(),
            read: Vec::new(),
        };
        raw.send("RPY", 0, 0, "<greeting />").await;
        raw.frame().await;
        (raw, server)
    }

    async fn send(&mut self, keyword: &str, channel: u32, msgno: u32, document: &str) {
        let headers = if channel == 0 { HEADERS } else { "\r\n" };
        let content = format!("{headers}{document}");
        let sent = self.sent.entry(channel).or_default();
        let seqno = std::mem::replace(sent, *sent + content.len());
        let size = content.len();
        let frame = format!("{keyword} {channel} {msgno} . {seqno} {size}\r\n{content}END\r\n");
        self.stream.write_all(frame.as_bytes()).await.unwrap();
    }

    /// The next frame that is no SEQ.
    async fn frame(&mut self) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.read).into_owned();
            if let Some(rest) = text.strip_prefix("SEQ ") {
                if let Some((line, _)) = rest.split_once("\r\n") {
                    self.read.drain(..line.len() + 6);
                    continue;
                }
            } else if let Some(end) = text.find("END\r\n") {
                self.read.drain(..end + 5);
                return text[..end].to_owned();
            }
            let mut octets = [0; 4096];
            let count = within(self.stream.read(&mut octets)).await.unwrap();
            assert!(count > 0, "the stream ended after {text}");
            self.read.extend_from_slice(&octets[..count]);
        }
    }

    async fn start(&mut self, number: u32, msgno: u32, name: &str, content: &str) -> String {
        let content = if content.is_empty() {
            String::new()
        } else {
            format!("<![CDATA[{content}]]>")
        };
        let start = format!(
            "<start number='{number}'><profile uri='http://iana.org/beep/SASL/{name}'>{content}</profile></start>"
        );
        self.send("MSG", 0, msgno, &start).await;
        self.frame().await
    }
}

#[tokio::test]
async fn the_wire_is_that_of_deployed_peers() {
    let (mut raw, _server) = Raw::greeted().await;
    let answer = raw
        .start(3, 1, "PLAIN", "<blob>AGJvYgBzZWNyZXQ=</blob>")
        .await;
    assert!(
        answer.ends_with(
            "<profile uri='http://iana.org/beep/SASL/PLAIN' ><![CDATA[<blob status='complete' />]]></profile>\r\n"
        ),
        "{answer}"
    );

    // A wrong password is refused in place of the channel.
    let (mut raw, server) = Raw::greeted().await;
    let answer = raw
        .start(3, 1, "PLAIN", "<blob>AGJvYgB3cm9uZw==</blob>")
        .await;
    assert!(answer.starts_with("ERR 0 1 "), "{answer}");
    assert!(answer.contains("<error code='535' >"), "{answer}");
    assert_eq!(server.session.channel_numbers().len(), 1);

    // On an open channel in a reply, and the channel stays.
    let answer = raw.start(5, 2, "CRAM-MD5", "").await;
    assert!(answer.contains("<![CDATA[<blob>"), "{answer}");
    raw.send(
        "MSG",
        5,
        0,
        "<blob>Ym9iIGE0MGJlNjI2ZTA0ZGJlMGFkNTVmY2M5MjJjYjdhNDZj</blob>",
    )
    .await;
    let answer = raw.frame().await;
    assert!(answer.starts_with("RPY 5 0 "), "{answer}");
    assert!(answer.contains("\r\n\r\n<error code='535' >"), "{answer}");
    // What comes on it later finds no exchange.
    raw.send("MSG", 5, 1, "<blob>Ym9i</blob>").await;
    assert!(raw.frame().await.contains("<error code='535' >"));

    // A token in a message where others put it into the start.
    let answer = raw.start(7, 3, "PLAIN", "").await;
    assert!(answer.contains("<![CDATA[<blob />]]>"), "{answer}");
    raw.send("MSG", 7, 0, "<blob>AGJvYgBzZWNyZXQ=</blob>").await;
    assert!(
        raw.frame()
            .await
            .ends_with("\r\n\r\n<blob status='complete' />")
    );
    assert!(server.session.identity().is_some());

    // Authenticated: SASL is over for this session.
    let answer = raw
        .start(9, 4, "PLAIN", "<blob>AGJvYgBzZWNyZXQ=</blob>")
        .await;
    assert!(answer.contains("<error code='554' >"), "{answer}");
}

#[tokio::test]
async fn documents_that_are_wrong_are_refused_with_their_codes() {
    let (mut raw, server) = Raw::greeted().await;
    for (number, (content, code)) in [
        ("<blob>***</blob>", "454"),
        ("<bloc>AGJvYgBzZWNyZXQ=</bloc>", "500"),
        ("nothing of XML", "500"),
        ("<blob status='abort' />", "535"),
    ]
    .into_iter()
    .enumerate()
    {
        let number = u32::try_from(number).unwrap();
        let answer = raw
            .start(3 + 2 * number, 1 + number, "PLAIN", content)
            .await;
        assert!(
            answer.contains(&format!("<error code='{code}' >")),
            "{content}: {answer}"
        );
    }
    assert_eq!(server.session.channel_numbers().len(), 1);
    // Two at once: the second waits for nobody.
    let answer = raw.start(11, 5, "CRAM-MD5", "").await;
    assert!(answer.starts_with("RPY"), "{answer}");
    let answer = raw.start(13, 6, "DIGEST-MD5", "").await;
    assert!(answer.contains("<error code='450' >"), "{answer}");
    // Giving the first up makes room.
    raw.send("MSG", 11, 0, "<blob status='abort' />").await;
    assert!(raw.frame().await.contains("<error code='535' >"));
    let answer = raw.start(15, 7, "DIGEST-MD5", "").await;
    assert!(answer.starts_with("RPY"), "{answer}");
    // So does closing the channel.
    raw.send("MSG", 0, 8, "<close number='15' code='200' />")
        .await;
    assert!(raw.frame().await.contains("<ok />"));
    let answer = raw
        .start(17, 9, "PLAIN", "<blob>AGJvYgBzZWNyZXQ=</blob>")
        .await;
    assert!(answer.contains("complete"), "{answer}");
    assert!(server.session.identity().is_some());
}

#[tokio::test]
async fn a_credential_that_is_missing_is_named_before_anything_is_sent() {
    let (client, _server) = pair(Services::new(), knows_bob).await;
    let credentials = Credentials::new(Mechanism::Plain, "bob");
    let error = authenticate(&client, &credentials).await.unwrap_err();
    assert!(
        matches!(error, AuthenticationError::Exchange(Error::Missing { .. })),
        "{error}"
    );
    assert_eq!(client.session.channel_numbers().len(), 1);
    // It does not count as an exchange under way.
    authenticate(&client, &right(Mechanism::Plain))
        .await
        .unwrap();
}

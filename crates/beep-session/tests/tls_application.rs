//! TLS for programs with an application of their own: who is told what, in which order.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy looks for tests in functions alone"
)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use std::sync::{Arc, Mutex};

use beep_session::core::{Event, Greeting, Role};
use beep_session::sasl::{Answer, Credentials, Mechanism};
use beep_session::tls::{ClientOptions, Error, Request, ServerOptions};
use beep_session::{
    Application, Config, End, ReplyCode, Services, Session, SessionOptions, Successor, sasl,
};
use certificates::*;
use common::*;
use tokio::sync::mpsc;

const HOST: &str = "host.example";

type Decide = Arc<dyn Fn(Request) + Send + Sync>;

/// Writes down what it is told: the name of the session, and what happened.
#[derive(Clone)]
struct Program {
    name: String,
    /// What it was told, and the session over TLS.
    log: mpsc::UnboundedSender<(String, Option<Session>)>,
    decide: Decide,
    has_successor: bool,
    /// What SASL asked: whether the channel is bound.
    bindings: Arc<Mutex<Vec<bool>>>,
}

impl Program {
    fn note(&self, what: &str) {
        let _ = self.log.send((format!("{} {what}", self.name), None));
    }
}

impl Application for Program {
    fn event(&self, _session: &Session, event: Event) {
        match event {
            Event::GreetingReceived(greeting) => {
                self.note(&format!("greeted with {}", greeting.profiles.join(" ")));
            }
            event => self.note(&format!("{event:?}")),
        }
    }

    fn ended(&self, _session: &Session, end: &Arc<End>) {
        self.note(&format!("ended: {end}"));
    }

    fn tls_requested(&self, _session: &Session, request: Request) {
        (self.decide)(request);
    }

    fn successor(&self) -> Option<Successor> {
        self.has_successor.then(|| Successor {
            application: Arc::new(Program {
                name: format!("{} over TLS", self.name),
                ..self.clone()
            }),
            greeting: Greeting::default(),
        })
    }

    fn took_over(&self, session: &Session) {
        let what = format!("{} took over", self.name);
        let _ = self.log.send((what, Some(session.clone())));
    }

    fn authenticate(&self, _session: &Session, request: sasl::Request) {
        self.bindings
            .lock()
            .unwrap()
            .push(request.question().channel_binding);
        request.answer(Answer::Password("secret".to_owned()));
    }

    fn service_channel(&self, _session: &Session, _number: beep_session::ChannelNumber, uri: &str) {
        self.note(&format!("serves {uri}"));
    }
}

struct Side {
    session: Session,
    log: mpsc::UnboundedReceiver<(String, Option<Session>)>,
    bindings: Arc<Mutex<Vec<bool>>>,
}

impl Side {
    fn new(
        transport: tokio::io::DuplexStream,
        role: Role,
        services: Services,
        has_successor: bool,
        decide: impl Fn(Request) + Send + Sync + 'static,
    ) -> Side {
        let (log, told) = mpsc::unbounded_channel();
        let bindings = Arc::new(Mutex::new(Vec::new()));
        let program = Program {
            name: "it".to_owned(),
            log,
            decide: Arc::new(decide),
            has_successor,
            bindings: bindings.clone(),
        };
        let options = SessionOptions {
            config: Config::default().checked().unwrap(),
            role,
            greeting: Ok(Greeting::default()),
            addresses: None,
            admission: None,
            services: Arc::new(services),
            server_name: (role == Role::Initiator).then(|| HOST.to_owned()),
        };
        Side {
            session: Session::spawn(transport, options, Arc::new(program)),
            log: told,
            bindings,
        }
    }

    async fn next(&mut self) -> (String, Option<Session>) {
        within(self.log.recv()).await.unwrap()
    }

    async fn told(&mut self) -> String {
        self.next().await.0
    }
}

fn accepting() -> Services {
    let services = Services::new();
    services.accept_tls();
    services.accept_sasl(Mechanism::ScramSha256);
    services.accept_sasl(Mechanism::Plain);
    services.require_tls_for_passwords(true);
    services
}

/// A client and a server that have greeted each other.
async fn pair(
    client_has_successor: bool,
    server_has_successor: bool,
    decide: impl Fn(Request) + Send + Sync + 'static,
) -> (Side, Side) {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let nobody = |_| panic!("nobody asks the client for TLS");
    let mut client = Side::new(
        here,
        Role::Initiator,
        Services::new(),
        client_has_successor,
        nobody,
    );
    let mut server = Side::new(
        there,
        Role::Listener,
        accepting(),
        server_has_successor,
        decide,
    );
    let offered = client.told().await;
    assert!(offered.starts_with("it greeted with "), "{offered}");
    assert!(offered.ends_with("http://iana.org/beep/TLS"), "{offered}");
    assert!(!offered.contains("PLAIN"), "{offered}");
    assert_eq!(server.told().await, "it greeted with ");
    (client, server)
}

/// By the name that the session knows.
fn trusting(made: &Made) -> ClientOptions {
    ClientOptions {
        trust: made.trust(),
        ..ClientOptions::default()
    }
}

async fn start_tls(session: &Session, options: ClientOptions) -> Result<Session, Error> {
    let (done, mut is_done) = mpsc::unbounded_channel();
    session.start_tls(options, move |outcome| done.send(outcome).unwrap());
    within(is_done.recv()).await.unwrap()
}

#[tokio::test]
async fn the_successor_is_told_first_then_the_old_session_ends_then_the_new_one_greets() {
    let made = self_signed(HOST, as_made);
    let options = ServerOptions::new(made.identity());
    let (mut client, mut server) = pair(true, true, move |request| {
        assert_eq!(request.server_name(), Some(HOST));
        // From another thread, later.
        let options = options.clone();
        std::thread::spawn(move || request.accept(options));
    })
    .await;
    let secure = start_tls(&client.session, trusting(&made)).await.unwrap();
    let mut sessions = Vec::new();
    for (side, greeting) in [
        (
            &mut client,
            "it over TLS greeted with http://iana.org/beep/SASL/SCRAM-SHA-256-PLUS \
             http://iana.org/beep/SASL/SCRAM-SHA-256 http://iana.org/beep/SASL/PLAIN",
        ),
        (&mut server, "it over TLS greeted with "),
    ] {
        let (what, session) = side.next().await;
        assert_eq!(what, "it over TLS took over");
        sessions.push(session.unwrap());
        assert_eq!(side.told().await, "it ended: a new session took its place");
        assert_eq!(side.told().await, greeting);
    }
    assert_eq!(sessions[0], secure);
    assert!(secure.is_tls() && sessions[1].is_tls() && !client.session.is_tls());
    assert_eq!(secure.identity(), None);

    // What is bound to the channel is worth nothing without it.
    let credentials = Credentials::new(Mechanism::ScramSha256, "bob").with_password("secret");
    let (done, mut is_done) = mpsc::unbounded_channel();
    secure.authenticate(&credentials, move |outcome| done.send(outcome).unwrap());
    within(is_done.recv()).await.unwrap().unwrap();
    assert_eq!(*server.bindings.lock().unwrap(), [true]);
    assert!(sessions[1].identity().is_some());
}

#[tokio::test]
async fn nobody_is_told_of_tls_that_was_refused() {
    let made = self_signed(HOST, as_made);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeper = kept.clone();
    let (mut client, mut server) = pair(true, true, move |request| {
        keeper.lock().unwrap().push(request);
    })
    .await;
    for _ in 0..2 {
        let waiting = start_tls(&client.session, trusting(&made));
        let answering = async {
            until(|| !kept.lock().unwrap().is_empty()).await;
            // Nobody answers it.
            kept.lock().unwrap().clear();
        };
        let (outcome, ()) = tokio::join!(waiting, answering);
        let error = outcome.unwrap_err();
        assert_eq!(error.reply_code(), Some(ReplyCode::SERVICE_NOT_AVAILABLE));
        assert_eq!(
            error.to_string(),
            "the peer refused TLS: 421 TLS is not available"
        );
    }
    until(|| client.session.channel_numbers().len() == 1).await;
    client.session.release(ReplyCode::SUCCESS, None).unwrap();
    assert!(server.told().await.starts_with("it ReleaseRequested"));
    server
        .session
        .accept_close(beep_session::ChannelNumber::MANAGEMENT)
        .unwrap();
    assert_eq!(server.told().await, "it ended: released");
    assert_eq!(client.told().await, "it ended: released");
}

#[tokio::test]
async fn a_request_answered_after_its_session_is_over_does_nothing() {
    let made = self_signed(HOST, as_made);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeper = kept.clone();
    let (client, mut server) = pair(true, true, move |request| {
        keeper.lock().unwrap().push(request);
    })
    .await;
    let waiting = start_tls(&client.session, trusting(&made));
    let ending = async {
        until(|| !kept.lock().unwrap().is_empty()).await;
        client.session.shutdown();
    };
    let (outcome, ()) = tokio::join!(waiting, ending);
    assert!(matches!(outcome, Err(Error::SessionEnded)), "{outcome:?}");
    // The end of a stream is seen once input is taken again: by an answer.
    let request = kept.lock().unwrap().pop().unwrap();
    request.accept(ServerOptions::new(made.identity()));
    let told = server.told().await;
    assert!(told.starts_with("it ended: "), "{told}");
    assert!(!told.contains("took its place"), "{told}");
}

#[tokio::test]
async fn without_a_successor_there_is_no_tls() {
    let made = self_signed(HOST, as_made);
    let (client, _server) = pair(true, false, |_| panic!("nobody could go on")).await;
    let error = start_tls(&client.session, trusting(&made))
        .await
        .unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::SERVICE_NOT_AVAILABLE));
    assert!(client.session.is_alive());

    let options = ServerOptions::new(made.identity());
    let (mut client, mut server) =
        pair(false, true, move |request| request.accept(options.clone())).await;
    let error = start_tls(&client.session, trusting(&made))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoSuccessor), "{error:?}");
    assert!(client.told().await.starts_with("it ended: "));
    assert!(server.told().await.starts_with("it ended: "));
}

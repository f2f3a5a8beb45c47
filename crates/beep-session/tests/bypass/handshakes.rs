//! Starts of TLS that flood, cross, and wait for decisions that never come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use beep_session::core::Role;
use beep_session::sasl::{Answer, Credentials, Mechanism};
use beep_session::tls::{ClientOptions, Error, ServerOptions};
use beep_session::{Config, Connection, Services, Session};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::certificates::{Made, as_made, self_signed};
use crate::common::{echo_profiles, frame, management, management_len, within};
use crate::guard::{Guard, VAULT, all_services, patient, truth};
use crate::raw::{Raw, start};

const TLS: &str = "http://iana.org/beep/TLS";
const PLAIN: &str = "http://iana.org/beep/SASL/PLAIN";
const HOST: &str = "host.example";

fn options(made: &Made) -> ClientOptions {
    ClientOptions {
        server_name: Some(HOST.to_owned()),
        trust: made.trust(),
        identity: None,
    }
}

/// A peer that says something, and then anything at all, as fast as it is read.
struct Flood {
    first: io::Cursor<Vec<u8>>,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let _ = Pin::new(&mut self.first).poll_read(cx, buffer);
        let rest = vec![b'x'; buffer.remaining()];
        buffer.put_slice(&rest);
        self.read
            .fetch_add(buffer.filled().len() - before, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn no_more_is_read_while_something_is_held_back() {
    const STARTS: u32 = 30;
    // One read takes this much, and what is behind the first start is held back.
    const ONE_READ: usize = 256 * 1024;
    let mut said = management("RPY", 0, 0, "<greeting />");
    let mut seqno = management_len("<greeting />");
    for msgno in 0..STARTS {
        let start = format!("<start number='3'><profile uri='{TLS}'/></start>");
        let content = format!("\r\n{start}");
        said.push_str(&frame("MSG", 0, msgno, seqno, &content));
        seqno += content.len();
    }
    assert!(seqno < 4096);
    let read = Arc::new(AtomicUsize::new(0));
    let flood = Flood {
        first: io::Cursor::new(said.into_bytes()),
        read: read.clone(),
    };
    let guard = Guard::default();
    let session = guard.spawn(flood, Role::Listener, patient(), all_services());
    crate::common::until(|| session.end().is_some()).await;
    let read = read.load(Ordering::SeqCst);
    assert!(read <= 2 * ONE_READ, "{read} octets were read");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_decides_about_tls_refuses_it() {
    let made = self_signed(HOST, as_made);
    let guard = Guard::default();
    let (here, there) = tokio::io::duplex(64 * 1024);
    let config = Config {
        tls_timeout: Duration::from_secs(7),
        ..patient()
    };
    let session = guard.spawn(there, Role::Listener, config, all_services());
    let mut raw = Raw::greeted(here).await;
    let begin = Instant::now();
    let msgno = raw.start(3, TLS, Some("<ready />")).await;
    // What comes behind it is not lost.
    let behind = raw.start(5, VAULT, None).await;
    raw.settle().await;
    assert!(raw.answers(0, msgno).is_empty() && raw.answers(0, behind).is_empty());
    while raw.answers(0, behind).is_empty() {
        raw.settle().await;
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
    assert!(begin.elapsed() >= Duration::from_secs(7));
    assert!(begin.elapsed() < Duration::from_secs(8));
    let answer = raw.answer(0, msgno);
    assert!(answer.content.contains("<error code='421'"), "{answer:?}");
    assert!(raw.answer(0, behind).content.contains("537"));

    // The program decides after all, when the number is another channel's already.
    let closed = raw.send(0, "<close number='3' code='200' />").await;
    raw.settle().await;
    assert!(raw.answer(0, closed).content.contains("<ok />"));
    let again = raw
        .start(3, PLAIN, Some("<blob>AGJvYgBzZWNyZXQ=</blob>"))
        .await;
    raw.settle().await;
    let request = { guard.asked().tls.pop_front() }.unwrap();
    request.accept(ServerOptions::new(made.identity()));
    raw.settle().await;
    assert!(raw.answers(0, again).is_empty());
    let request = { guard.asked().authentications.pop_front() }.unwrap();
    let answer = truth(request.question());
    request.answer(answer);
    raw.settle().await;
    assert!(raw.answer(0, again).content.contains("complete"));
    assert!(session.is_alive() && guard.asked().sessions.len() == 1);
}

#[tokio::test(start_paused = true)]
async fn so_does_a_future_that_never_comes() {
    let services = Services::new();
    services.serve_tls(|_| std::future::pending());
    let (here, there) = tokio::io::duplex(64 * 1024);
    let config = patient().checked().unwrap();
    let limit = config.tls_timeout;
    let server = Connection::accept_with(there, echo_profiles(), config, Arc::new(services));
    let client = Connection::over(here, beep_session::ConnectOptions::default())
        .await
        .unwrap();
    let begin = Instant::now();
    let made = self_signed(HOST, as_made);
    let refused = client.start_tls(options(&made)).await.unwrap_err();
    assert_eq!(
        refused.code().map(|code| code.value()),
        Some(421),
        "{refused}"
    );
    assert!(begin.elapsed() >= limit && begin.elapsed() < limit * 2);
    let channel = client.open(crate::common::ECHO).await.unwrap();
    channel.request("still here").await.unwrap();
    assert!(server.is_alive());
}

fn start_tls(session: &Session, made: &Made) -> oneshot::Receiver<Result<Session, Error>> {
    let (done, outcome) = oneshot::channel();
    session.start_tls(options(made), move |result| {
        let _ = done.send(result);
    });
    outcome
}

/// Two programs of which each can do everything.
async fn peers() -> (Guard, Session, Guard, Session) {
    let (near, far) = (Guard::default(), Guard::default());
    let (here, there) = tokio::io::duplex(64 * 1024);
    let server = far.spawn(there, Role::Listener, patient(), all_services());
    let client = near.spawn(here, Role::Initiator, patient(), all_services());
    tokio::time::sleep(Duration::from_millis(1)).await;
    (near, client, far, server)
}

#[tokio::test(start_paused = true)]
async fn starts_of_tls_that_cross_are_both_refused_and_one_at_a_time_works() {
    let made = self_signed(HOST, as_made);
    let (_near, client, far, server) = peers().await;
    let (first, second) = (start_tls(&client, &made), start_tls(&server, &made));
    for outcome in [first, second] {
        let error = outcome.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }
    assert!(client.is_alive() && server.is_alive());
    let outcome = start_tls(&client, &made);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // While the peer waits, this side cannot ask, too.
    let crossing = start_tls(&server, &made).await.unwrap();
    assert!(matches!(crossing, Err(Error::Start(_))), "{crossing:?}");
    let request = { far.asked().tls.pop_front() }.unwrap();
    request.accept(ServerOptions::new(made.identity()));
    let secure = outcome.await.unwrap().unwrap();
    assert!(secure.is_tls() && secure.is_alive());
}

#[tokio::test(start_paused = true)]
async fn tls_ends_an_exchange_that_is_under_way_whoever_waits_for_whom() {
    let made = self_signed(HOST, as_made);
    // The word on a PLAIN start comes during the handshake, and after it.
    for is_late in [false, true] {
        let (_near, client, far, server) = peers().await;
        let credentials = Credentials::new(Mechanism::CramMd5, "bob").with_password("secret");
        let (done, authenticated) = oneshot::channel();
        client.authenticate(&credentials, move |result| {
            let _ = done.send(result);
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        let question = { far.asked().authentications.pop_front() }.unwrap();
        let outcome = start_tls(&client, &made);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let request = { far.asked().tls.pop_front() }.unwrap();
        request.accept(ServerOptions::new(made.identity()));
        let mut question = Some(question);
        if !is_late {
            let question = question.take().unwrap();
            question.answer(Answer::Password("secret".to_owned()));
        }
        let secure = outcome.await.unwrap().unwrap();
        if let Some(question) = question {
            question.answer(Answer::Password("secret".to_owned()));
        }
        let authenticated = authenticated.await.unwrap();
        assert!(authenticated.is_err() || !is_late);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert!(!is_late || server.identity().is_none());
        assert_eq!(secure.identity(), None);
        assert_eq!(far.session().identity(), None);
        assert_eq!(far.asked().ends, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_was_authenticated_is_nobody_after_tls() {
    let made = self_signed(HOST, as_made);
    let (_near, client, far, server) = peers().await;
    let credentials = Credentials::new(Mechanism::Plain, "bob").with_password("secret");
    for round in 0..2 {
        let session = if round == 0 {
            client.clone()
        } else {
            let outcome = start_tls(&client, &made);
            tokio::time::sleep(Duration::from_millis(1)).await;
            let request = { far.asked().tls.pop_front() }.unwrap();
            request.accept(ServerOptions::new(made.identity()));
            outcome.await.unwrap().unwrap()
        };
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(session.identity(), None);
        assert_eq!(far.session().identity(), None);
        let (done, outcome) = oneshot::channel();
        session.authenticate(&credentials, move |result| {
            let _ = done.send(result);
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        let request = { far.asked().authentications.pop_front() }.unwrap();
        request.answer(Answer::Accept);
        outcome.await.unwrap().unwrap();
        let identity = far.session().identity().unwrap();
        assert_eq!(identity.auth_id.as_deref(), Some("bob"));
    }
    assert_ne!(server, far.session());
}

/// Octets behind the start, however they are cut, come to the handshake and break it.
#[tokio::test(start_paused = true)]
async fn plaintext_behind_the_start_is_never_taken_for_that_of_the_new_session() {
    let made = self_signed(HOST, as_made);
    let behind = management("RPY", 0, 0, "<greeting />")
        + &management(
            "MSG",
            0,
            52,
            &start(3, PLAIN, Some("<blob>AGJvYgBzZWNyZXQ=</blob>")),
        );
    for cut in (0..=behind.len()).step_by(7) {
        let guard = Guard::default();
        let (here, there) = tokio::io::duplex(64 * 1024);
        let session = guard.spawn(there, Role::Listener, patient(), all_services());
        let mut raw = Raw::greeted(here).await;
        let (_, start) = raw.message(0, &start(3, TLS, Some("<ready />")));
        // A part ahead of the agreement, in one write with the start, and the rest behind it.
        raw.write((start + &behind[..cut]).as_bytes()).await;
        raw.settle().await;
        let request = { guard.asked().tls.pop_front() }.unwrap();
        request.accept(ServerOptions::new(made.identity()));
        raw.settle().await;
        raw.write(&behind.as_bytes()[cut..]).await;
        raw.settle().await;
        assert!(!session.is_alive());
        let asked = guard.asked();
        assert_eq!((asked.sessions.len(), asked.ends), (1, 1));
        assert!(asked.authentications.is_empty());
    }
}

#[tokio::test]
async fn many_sessions_at_once_never_get_each_others_words() {
    const SESSIONS: usize = 40;
    let made = self_signed(HOST, as_made);
    let far = Guard::default();
    let mut clients = Vec::new();
    for index in 0..SESSIONS {
        let near = Guard::default();
        let (here, there) = tokio::io::duplex(64 * 1024);
        far.spawn(there, Role::Listener, patient(), all_services());
        let client = near.spawn(here, Role::Initiator, patient(), Services::new());
        // Half of them know the password.
        let password = if index % 2 == 0 { "secret" } else { "wrong" };
        let name = if index % 3 == 0 { "nobody" } else { "bob" };
        let mechanism = [Mechanism::Plain, Mechanism::CramMd5][index / 2 % 2];
        let credentials = Credentials::new(mechanism, name).with_password(password);
        let (done, outcome) = oneshot::channel();
        client.authenticate(&credentials, move |result| {
            let _ = done.send(result.is_ok());
        });
        let tls = (index % 5 == 4).then(|| start_tls(&client, &made));
        clients.push((index, client, near, outcome, tls));
    }
    let servers = far.asked().sessions.clone();
    // Answers in another order than the questions came.
    let answering = async {
        loop {
            let request = { far.asked().authentications.pop_back() };
            if let Some(request) = request {
                let answer = truth(request.question());
                request.answer(answer);
            }
            let request = { far.asked().tls.pop_back() };
            if let Some(request) = request {
                request.accept(ServerOptions::new(made.identity()));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let checking = async {
        for (index, client, _near, outcome, tls) in clients {
            let is_in = outcome.await.unwrap();
            let knows = index % 2 == 0 && index % 3 != 0;
            match tls {
                None => {
                    assert_eq!(is_in, knows, "{index}");
                    assert_eq!(servers[index].identity().is_some(), knows, "{index}");
                    assert_eq!(client.identity().is_some(), knows, "{index}");
                }
                Some(tls) => {
                    assert!(knows || !is_in, "{index}");
                    let secure = tls.await.unwrap().unwrap();
                    assert_eq!(secure.identity(), None);
                }
            }
        }
    };
    within(async {
        tokio::select! {
            () = answering => {}
            () = checking => {}
        }
    })
    .await;
}

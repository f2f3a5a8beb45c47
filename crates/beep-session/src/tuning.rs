//! TLS on a session (RFC 3080 §3.1): who asks for it, who decides, and the session that begins over it.
//!
//! Until the peers have agreed nothing is lost: a refusal leaves the session as it was. From then on the transport
//! belongs to the handshake, which ends the session either way: for another one over TLS, or with the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use beep_core::{
    ChannelFailure, ChannelNumber, DocumentLimits, ErrorReply, Message, MessageKind, Outgoing,
    PROCEED_XML, ProfileContent, ProfileOffer, READY_XML, ReadyAnswer, ReplyCode, StartRequest,
    TLS_URI, parse_ready, parse_ready_answer,
};
use tokio::io::AsyncWriteExt;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::application::Successor;
use crate::services::{Service, Start, TlsDecision};
use crate::session::Session;
use crate::tls::{Acceptor, ClientOptions, Connector, Error, Info, ServerOptions, Stream};
use crate::transport::Transport;

type Done = Box<dyn FnOnce(Result<Session, Error>) + Send>;

/// A handshake on its way.
pub(crate) type Handshaking = Pin<Box<dyn Future<Output = Result<(Stream, Info), Error>> + Send>>;

/// What to do with the transport once the protocol lets go of it.
pub(crate) struct Handshake {
    side: Side,
    outcome: Outcome,
}

enum Side {
    Client(Connector),
    Server(Acceptor),
}

impl Session {
    /// Asks the peer for TLS (RFC 3080 §3.1), and calls `done` with what came of it.
    ///
    /// On success there is another session, which [`crate::Application::successor`] has to provide for: its greetings
    /// are still to come, and this session ends with [`beep_core::SessionEnd::Tuned`]. After a failed handshake the
    /// connection is lost, and this session ends with [`crate::End::Tls`]. What fails before, such as a refusal of the
    /// peer, leaves this session as it was.
    ///
    /// Without a name in `options` the server has to be the one that was connected to: by the name that starts of
    /// services ask for ([`crate::SessionOptions::server_name`]), or else by its address. A name given is also asked for in the start, and becomes the `serverName` of the session over TLS.
    ///
    /// `done` may be called before this returns; later it runs on the task that drives the session. It must not block.
    pub fn start_tls(
        &self,
        mut options: ClientOptions,
        done: impl FnOnce(Result<Session, Error>) + Send + 'static,
    ) {
        if self.is_tls() {
            return done(Err(Error::AlreadyInPlace));
        }
        let server_name = options.server_name.clone();
        let asked_name = server_name.clone();
        // Not the name in force: a start of the peer may have fixed that, and it would choose whose certificate is good.
        options.server_name = options.server_name.or_else(|| self.host());
        let connector = match Connector::new(&options) {
            Ok(connector) => connector,
            Err(error) => return done(Err(error)),
        };
        let starting = Arc::new(Starting {
            waiting: Mutex::new(Some((connector, Box::new(done)))),
            server_name: asked_name,
        });
        let request = StartRequest {
            profiles: vec![ProfileOffer {
                uri: TLS_URI.to_owned(),
                content: Some(ProfileContent::new(READY_XML)),
            }],
            server_name,
            tuning: true,
            ..StartRequest::default()
        };
        if let Err(error) = self.start_service(request, starting.clone()) {
            starting.fail(error.into());
        }
    }

    /// What is known of the TLS that the session runs over, or `None` if it runs over none.
    pub fn tls(&self) -> Option<Arc<Info>> {
        self.shared.tls.clone()
    }

    /// The name by which this side knows the peer, whatever the peer says.
    pub(crate) fn host(&self) -> Option<String> {
        self.shared
            .server_name
            .clone()
            .or_else(|| Some(self.addresses()?.peer.ip().to_string()))
    }

    /// Goes on without TLS.
    fn resume(&self) {
        self.with_state(|state| state.protocol.resume_after_tuning());
    }
}

impl Handshake {
    /// Does it, within the session's limit.
    pub(crate) fn run(
        self,
        session: &Session,
        mut transport: Box<dyn Transport>,
        held_input: Vec<u8>,
    ) -> (Handshaking, Outcome) {
        let limit = session.shared.state().protocol.config().tls_timeout;
        let Handshake { side, outcome } = self;
        let handshaking = async move {
            let handshake = async {
                transport
                    .flush()
                    .await
                    .map_err(|error| Error::Transport(Arc::new(error)))?;
                match side {
                    Side::Client(connector) => connector.connect(transport, held_input).await,
                    Side::Server(acceptor) => acceptor.accept(transport, held_input).await,
                }
            };
            match timeout(limit, handshake).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::TimedOut { limit }),
            }
        };
        (Box::pin(handshaking), outcome)
    }

    /// It did not come to it.
    pub(crate) fn fail(self, error: &Error) {
        self.outcome.fail(error);
    }
}

/// What follows a handshake.
pub(crate) struct Outcome {
    successor: Successor,
    /// The name that the start asked for, which is that of the session over TLS.
    server_name: Option<String>,
    /// On the side that asked.
    done: Option<Done>,
}

impl Outcome {
    /// Makes the session over TLS, and tells of it. Nothing, if the old one has come to another end.
    pub(crate) fn succeed(self, old: &Session, info: Info) -> Option<Session> {
        let name = self.server_name.as_deref();
        let tuned = old.shared.state().protocol.tune(Instant::now(), name);
        let Some(protocol) = tuned else {
            self.fail(&Error::SessionEnded);
            return None;
        };
        // What this side asked for is whom it knows the peer as from now on.
        let host = self.done.as_ref().and(self.server_name);
        let session = Session::after(old, protocol, host, self.successor, info);
        session.shared.application.took_over(&session);
        if let Some(done) = self.done {
            done(Ok(session.clone()));
        }
        Some(session)
    }

    /// There is no TLS, and no connection any more.
    pub(crate) fn fail(self, error: &Error) {
        if let Some(done) = self.done {
            done(Err(error.clone()));
        }
    }
}

// ------------------------------------------------------------------------------------------------
// This side asks

/// A start of TLS, until it is refused or the handshake begins.
struct Starting {
    waiting: Mutex<Option<(Connector, Done)>>,
    /// The name that the program gave.
    server_name: Option<String>,
}

impl Starting {
    fn take(&self) -> Option<(Connector, Done)> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn fail(&self, error: Error) {
        if let Some((_, done)) = self.take() {
            done(Err(error));
        }
    }
}

impl Service for Starting {
    fn started(&self, session: &Session, number: ChannelNumber, content: Option<ProfileContent>) {
        let error = match parse_ready_answer(content.as_ref(), DocumentLimits::default()) {
            Ok(ReadyAnswer::Proceed) => return self.proceed(session),
            Ok(ReadyAnswer::Refused(error)) => Error::Refused(error),
            Err(error) => Error::BadAnswer(error.to_string()),
        };
        session.resume();
        // It fails when the session is over.
        let _ = session.close(number, ReplyCode::SUCCESS, None);
        self.fail(error);
    }

    fn start_failed(&self, _session: &Session, why: ChannelFailure) {
        self.fail(match why {
            ChannelFailure::Refused(error) => Error::Refused(error),
            ChannelFailure::TimedOut => Error::NoAnswer,
            _ => Error::SessionEnded,
        });
    }

    fn message(&self, session: &Session, number: ChannelNumber, message: Message) {
        refuse_message(session, number, &message);
    }

    fn closed(&self, _session: &Session, _by_peer: bool) {
        self.fail(Error::SessionEnded);
    }

    fn is_shown(&self) -> bool {
        false
    }
}

impl Starting {
    fn proceed(&self, session: &Session) {
        let Some((connector, done)) = self.take() else {
            return;
        };
        let Some(successor) = session.shared.application.successor() else {
            // The peer waits for a handshake that nobody here can go on after.
            done(Err(Error::NoSuccessor));
            return session.shutdown();
        };
        let handshake = Box::new(Handshake {
            side: Side::Client(connector),
            outcome: Outcome {
                successor,
                server_name: self.server_name.clone(),
                done: Some(done),
            },
        });
        session.with_state(|state| state.handshake = Some(handshake));
    }
}

// ------------------------------------------------------------------------------------------------
// The peer asks

/// A start of TLS by the peer that waits for a decision. Dropping it refuses.
///
/// It may be answered from any thread, and after the peer has gone. After [`beep_core::Config::tls_timeout`] the peer is
/// refused, whatever comes later: as long as nobody decides, nothing it says is read.
pub struct Request {
    asked: Arc<Mutex<Option<Asked>>>,
    server_name: Option<String>,
}

/// What is taken by whoever is first to decide.
struct Asked {
    session: Session,
    number: ChannelNumber,
    index: usize,
    /// The name in the start.
    server_name: Option<String>,
    successor: Successor,
    /// What refuses when it takes too long.
    timer: Option<AbortHandle>,
}

fn take(asked: &Mutex<Option<Asked>>) -> Option<Asked> {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(timer) = asked.as_mut().and_then(|asked| asked.timer.take()) {
        timer.abort();
    }
    asked
}

impl Request {
    /// The name under which this side is to act: that of this start, or the one in force.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Begins TLS with this certificate. Refuses if that cannot be, and logs why.
    pub fn accept(self, options: ServerOptions) {
        let Some(asked) = take(&self.asked) else {
            return;
        };
        match Acceptor::new(&options) {
            Ok(acceptor) => asked.accept(acceptor),
            Err(error) => {
                tracing::error!(session = asked.session.id(), %error, "TLS refused");
                asked.refuse(unavailable());
            }
        }
    }

    /// Goes on without TLS.
    pub fn refuse(self, error: ErrorReply) {
        if let Some(asked) = take(&self.asked) {
            asked.refuse(error);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(asked) = take(&self.asked) {
            asked.refuse(unavailable());
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn unavailable() -> ErrorReply {
    ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "TLS is not available")
}

impl Asked {
    fn accept(self, acceptor: Acceptor) {
        let handshake = Box::new(Handshake {
            side: Side::Server(acceptor),
            outcome: Outcome {
                successor: self.successor,
                server_name: self.server_name,
                done: None,
            },
        });
        let content = Some(ProfileContent::new(PROCEED_XML));
        // It fails when the session is over, or the start was given up.
        let _ = self.session.with_state(|state| {
            state
                .protocol
                .accept_start(self.number, self.index, content)?;
            state.handshake = Some(handshake);
            Ok::<_, beep_core::UsageError>(())
        });
    }

    /// The C engine refuses by an error that rides in a positive answer, as RFC 3080 §3.1.1 has it. The channel stays until
    /// the peer closes it.
    fn refuse(self, error: ErrorReply) {
        let Asked {
            session,
            number,
            index,
            ..
        } = self;
        tracing::info!(session = session.id(), %error, "TLS refused");
        let content = Some(ProfileContent::new(error.to_xml()));
        let refused = Arc::new(Refused);
        let answered = session.accept_service(number, (index, TLS_URI), content, refused);
        if answered == Err(beep_core::UsageError::NotXmlText("content")) {
            // Never without an answer.
            let _ = session.refuse_start(number, unavailable());
        }
        session.resume();
    }
}

/// A channel of TLS that was refused.
struct Refused;

impl Service for Refused {
    fn message(&self, session: &Session, number: ChannelNumber, message: Message) {
        refuse_message(session, number, &message);
    }

    fn is_shown(&self) -> bool {
        false
    }
}

fn refuse_message(session: &Session, number: ChannelNumber, message: &Message) {
    if message.kind == MessageKind::Msg {
        let error = ErrorReply::new(
            ReplyCode::ACTION_REFUSED,
            "TLS was refused: start another channel",
        );
        // It fails when the session is over.
        let _ = session.send_err(number, message.msgno, Outgoing::new(error.to_xml()));
    }
}

/// The peer starts a channel for TLS.
pub(crate) fn start_requested(session: &Session, start: Start<'_>, decision: TlsDecision) {
    let refuse = |error| {
        // It fails when the session is over.
        let _ = session.refuse_start(start.number, error);
    };
    if let Err(error) = parse_ready(start.content, DocumentLimits::default()) {
        return refuse(ErrorReply::new(error.reply_code(), error.to_string()));
    }
    // It is not when this side has asked for TLS, too, and waits for the answer.
    if !session.shared.state().protocol.is_input_held() {
        return refuse(ErrorReply::new(
            ReplyCode::SERVICE_NOT_AVAILABLE,
            "TLS was asked for from this side",
        ));
    }
    let Some(successor) = session.shared.application.successor() else {
        return refuse(unavailable());
    };
    let asked = Arc::new(Mutex::new(Some(Asked {
        session: session.clone(),
        number: start.number,
        index: start.index,
        server_name: start.server_name.clone(),
        successor,
        timer: None,
    })));
    let limit = session.shared.state().protocol.config().tls_timeout;
    let timer = tokio::spawn(refuse_after(limit, Arc::downgrade(&asked)));
    if let Some(asked) = &mut *asked.lock().unwrap_or_else(PoisonError::into_inner) {
        asked.timer = Some(timer.abort_handle());
    }
    let request = Request {
        server_name: start.server_name.or_else(|| session.server_name()),
        asked,
    };
    match decision {
        TlsDecision::Application => session.shared.application.tls_requested(session, request),
        TlsDecision::Decide(decide) => {
            tokio::spawn(async move {
                match decide(request.server_name.clone()).await {
                    Ok(options) => request.accept(options),
                    Err(error) => request.refuse(error),
                }
            });
        }
    }
}

async fn refuse_after(limit: Duration, asked: Weak<Mutex<Option<Asked>>>) {
    tokio::time::sleep(limit).await;
    let late = asked.upgrade().and_then(|asked| take(&asked));
    if let Some(asked) = late {
        tracing::warn!(
            session = asked.session.id(),
            ?limit,
            "nobody decided about TLS"
        );
        asked.refuse(unavailable());
    }
}

//! SASL on the channels of a session (RFC 3080 §4): the exchanges of [`crate::sasl`] over starts and messages.
//!
//! The first token rides in the start, and what answers it in the answer; further ones are messages on the channel and
//! their replies. Some peers send the first one as a message, too.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use beep_core::sasl_blob::{Blob, BlobError, Reply, Status};
use beep_core::{
    ChannelFailure, ChannelNumber, DocumentLimits, ErrorReply, Message, MessageKind, MsgNo,
    Outgoing, ProfileContent, ProfileOffer, ReplyCode, StartRequest, UsageError,
};
use thiserror::Error;
use tokio::task::AbortHandle;

use crate::sasl::{
    self, Answer, Binding, ClientExchange, Credentials, Identity, Mechanism, Question,
    ServerExchange, Step,
};
use crate::services::{Service, Start};
use crate::session::Session;

/// Why this side was not authenticated to the peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// Somebody is authenticated on the session already, and stays it.
    #[error("the connection is authenticated already")]
    AlreadyAuthenticated,
    /// An exchange has not come to its end yet.
    #[error("another authentication is under way")]
    Busy,
    /// The exchange failed: the peer refused (535 for wrong credentials, 554 for a mechanism it does not offer, RFC 3080
    /// §8), a credential is missing, or the peer's token is wrong.
    #[error(transparent)]
    Exchange(#[from] sasl::Error),
    /// The peer took longer than [`beep_core::Config::authentication_timeout`].
    #[error("the peer did not complete the authentication in time")]
    TimedOut,
    /// The channel cannot be started.
    #[error("no channel for the authentication: {0}")]
    Start(#[from] UsageError),
    /// The session ended, or the channel was closed.
    #[error("the connection or its channel was closed during the authentication")]
    Closed,
}

impl AuthenticationError {
    /// The code that the peer refused with, if it did (RFC 3080 §8).
    pub fn reply_code(&self) -> Option<ReplyCode> {
        match self {
            AuthenticationError::Exchange(sasl::Error::Refused(error)) => Some(error.code),
            _ => None,
        }
    }
}

type Done = Box<dyn FnOnce(Result<Identity, AuthenticationError>) + Send>;

impl Session {
    /// Who is authenticated on this session: the peer if it asked for it, this side if it did. `None` before.
    pub fn identity(&self) -> Option<Identity> {
        self.shared.state().identity.as_deref().cloned()
    }

    /// Authenticates this side to the peer (RFC 3080 §4), and calls `done` with what came of it.
    ///
    /// `done` may be called before this returns; later it runs on the task that drives the session, or beside it. It must
    /// not block. Whatever comes out, the session stays usable, and whoever is authenticated stays it.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime, as [`tokio::spawn`] does.
    pub fn authenticate(
        &self,
        credentials: &Credentials,
        done: impl FnOnce(Result<Identity, AuthenticationError>) + Send + 'static,
    ) {
        let exchange = match self.begin_exchange(credentials) {
            Ok(exchange) => exchange,
            Err(error) => return done(Err(error)),
        };
        let uri = exchange.uri().to_owned();
        let initial = exchange.initial();
        let authenticating = Arc::new_cyclic(|me| Authenticating {
            me: me.clone(),
            mechanism: credentials.mechanism,
            state: Mutex::new(Running {
                exchange: Some(Arc::new(Mutex::new(exchange))),
                done: Some(Box::new(done)),
                timer: None,
                channel: None,
                failure: None,
            }),
        });
        let timer = self.limit_exchange(Arc::downgrade(&authenticating));
        authenticating.state().timer = Some(timer);
        let content = initial.map(|token| ProfileContent::new(Blob::token(token).to_xml()));
        let request = StartRequest {
            profiles: vec![ProfileOffer { uri, content }],
            ..StartRequest::default()
        };
        if let Err(error) = self.start_service(request, authenticating.clone()) {
            authenticating.end(self, Err(error.into()));
        }
    }

    fn begin_exchange(
        &self,
        credentials: &Credentials,
    ) -> Result<ClientExchange, AuthenticationError> {
        let plus = {
            let mut state = self.shared.state();
            if state.identity.is_some() {
                return Err(AuthenticationError::AlreadyAuthenticated);
            }
            if state.is_authenticating {
                return Err(AuthenticationError::Busy);
            }
            state.is_authenticating = true;
            state.protocol.peer_greeting().is_some_and(|greeting| {
                let offers =
                    |uri: &String| Mechanism::from_uri(uri) == Some((credentials.mechanism, true));
                greeting.profiles.iter().any(offers)
            })
        };
        // Not the name in force: a start of the peer may have fixed that, and would choose which server a response of
        // DIGEST-MD5 is good for.
        let host = self.host().unwrap_or_default();
        let binding = self.channel_binding();
        let exchange = ClientExchange::new(credentials, &host, binding.as_ref(), plus);
        if exchange.is_err() {
            self.shared.state().is_authenticating = false;
        }
        Ok(exchange?)
    }

    /// Notes who is authenticated, unless somebody is, or the session is over.
    fn authenticated(&self, identity: &Identity) -> bool {
        let mut state = self.shared.state();
        if state.identity.is_some() || state.protocol.end().is_some() {
            return false;
        }
        tracing::info!(session = self.id(), ?identity, "authenticated");
        state.identity = Some(Box::new(identity.clone()));
        true
    }

    fn channel_binding(&self) -> Option<Binding> {
        self.shared.tls.as_ref().map(|tls| tls.binding())
    }

    fn exchange_is_over(&self) {
        self.shared.state().is_authenticating = false;
    }

    fn limit_exchange(&self, exchange: Weak<impl Limited>) -> AbortHandle {
        let session = Arc::downgrade(&self.shared);
        let limit = self.shared.state().protocol.config().authentication_timeout;
        let task = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if let (Some(exchange), Some(shared)) = (exchange.upgrade(), session.upgrade()) {
                exchange.time_is_up(&Session { shared });
            }
        });
        task.abort_handle()
    }
}

/// An exchange that may not take for ever.
trait Limited: Send + Sync + 'static {
    fn time_is_up(&self, session: &Session);
}

/// Limits of the documents in messages; [`beep_core::sasl_blob`] bounds the tokens.
fn document_limits() -> DocumentLimits {
    DocumentLimits::default()
}

// ------------------------------------------------------------------------------------------------
// This side authenticates itself

struct Authenticating {
    me: Weak<Authenticating>,
    mechanism: Mechanism,
    state: Mutex<Running>,
}

struct Running {
    /// Taken with the end of the exchange. Locked for as long as it computes.
    exchange: Option<Arc<Mutex<ClientExchange>>>,
    done: Option<Done>,
    timer: Option<AbortHandle>,
    channel: Option<ChannelNumber>,
    /// What the program is told once the channel is closed.
    failure: Option<AuthenticationError>,
}

impl Authenticating {
    fn state(&self) -> MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, session: &Session, outcome: Result<Identity, AuthenticationError>) {
        let done = {
            let mut state = self.state();
            state.exchange = None;
            if let Some(timer) = state.timer.take() {
                timer.abort();
            }
            state.done.take()
        };
        let Some(done) = done else { return };
        session.exchange_is_over();
        done(match outcome {
            Ok(identity) if !session.authenticated(&identity) => {
                Err(AuthenticationError::AlreadyAuthenticated)
            }
            outcome => outcome,
        });
    }

    /// The exchange failed: the channel, if there is one, goes first, as it is of no more use.
    fn fail(&self, session: &Session, error: AuthenticationError) {
        let channel = {
            let mut state = self.state();
            state.exchange = None;
            match state.channel.take() {
                Some(number) => {
                    state.failure = Some(error.clone());
                    Some(number)
                }
                None => None,
            }
        };
        // Not possible when the session is over, or the peer closes it, too.
        let closes = |number| session.close(number, ReplyCode::SUCCESS, None).is_ok();
        if !channel.is_some_and(closes) {
            self.end(session, Err(error));
        }
    }

    /// The channel is gone, or will not go.
    fn left(&self, session: &Session) {
        let failure = self.state().failure.take();
        self.end(session, Err(failure.unwrap_or(AuthenticationError::Closed)));
    }

    fn proceed(&self, session: &Session, number: ChannelNumber, reply: Result<Reply, BlobError>) {
        if let Err(error) = self.take(session, number, reply) {
            self.fail(session, error);
        }
    }

    /// Takes the peer's document.
    fn take(
        &self,
        session: &Session,
        number: ChannelNumber,
        reply: Result<Reply, BlobError>,
    ) -> Result<(), AuthenticationError> {
        let blob = match reply.map_err(sasl::Error::Blob)? {
            Reply::Blob(blob) => blob,
            Reply::Refused(error) => return Err(sasl::Error::Refused(error).into()),
        };
        let Some(exchange) = self.state().exchange.clone() else {
            return Ok(());
        };
        match blob.status {
            Status::Continue => self.respond(session, number, exchange, blob.token),
            Status::Abort => Err(sasl::Error::Aborted.into()),
            Status::Complete => {
                let token = (!blob.token.is_empty()).then_some(blob.token.as_slice());
                let identity = {
                    let mut exchange = lock(&exchange);
                    exchange.finish(token)?;
                    exchange.identity().clone()
                };
                self.end(session, Ok(identity));
                Ok(())
            }
        }
    }

    fn respond(
        &self,
        session: &Session,
        number: ChannelNumber,
        exchange: Arc<Mutex<ClientExchange>>,
        challenge: Vec<u8>,
    ) -> Result<(), AuthenticationError> {
        if !self.mechanism.has_iterations() {
            let token = lock(&exchange).respond(&challenge)?;
            return self.say(session, number, token);
        }
        // The server says how long it takes, and may say a second. No session has to wait for it.
        let (session, me) = (session.clone(), self.me.clone());
        tokio::task::spawn_blocking(move || {
            let token = lock(&exchange).respond(&challenge);
            if let Some(me) = me.upgrade() {
                let said = token
                    .map_err(AuthenticationError::from)
                    .and_then(|token| me.say(&session, number, token));
                if let Err(error) = said {
                    me.fail(&session, error);
                }
            }
        });
        Ok(())
    }

    fn say(
        &self,
        session: &Session,
        number: ChannelNumber,
        token: Vec<u8>,
    ) -> Result<(), AuthenticationError> {
        if self.state().exchange.is_none() {
            return Ok(());
        }
        let message = Outgoing::new(Blob::token(token).to_xml());
        match session.send_msg(number, message) {
            Ok(_) => Ok(()),
            Err(_) => Err(AuthenticationError::Closed),
        }
    }
}

/// An exchange may be used after a panic: whatever it says then is checked by the peer.
fn lock(exchange: &Mutex<ClientExchange>) -> MutexGuard<'_, ClientExchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limited for Authenticating {
    fn time_is_up(&self, session: &Session) {
        self.fail(session, AuthenticationError::TimedOut);
    }
}

impl Service for Authenticating {
    fn started(&self, session: &Session, number: ChannelNumber, content: Option<ProfileContent>) {
        {
            let mut state = self.state();
            if state.exchange.is_none() {
                // It took too long, and nobody waits any more.
                drop(state);
                // It fails when the session is over.
                let _ = session.close(number, ReplyCode::SUCCESS, None);
                return;
            }
            state.channel = Some(number);
        }
        // An answer without content is one without a token.
        let reply = content.map_or_else(
            || Ok(Reply::Blob(Blob::token([]))),
            |content| Reply::parse_content(&content, document_limits()),
        );
        self.proceed(session, number, reply);
    }

    fn start_failed(&self, session: &Session, why: ChannelFailure) {
        let error = match why {
            ChannelFailure::Refused(error) => sasl::Error::Refused(error).into(),
            ChannelFailure::TimedOut => AuthenticationError::TimedOut,
            _ => AuthenticationError::Closed,
        };
        self.end(session, Err(error));
    }

    fn message(&self, session: &Session, number: ChannelNumber, message: Message) {
        match message.kind {
            MessageKind::Rpy | MessageKind::Err => {
                let reply = Reply::parse(message.payload_octets(), document_limits());
                self.proceed(session, number, reply);
            }
            // The initiator of the exchange asks, the peer has nothing to ask.
            MessageKind::Msg => refuse_message(session, number, message.msgno),
            MessageKind::Ans | MessageKind::Nul => {
                let error = sasl::Error::BadToken {
                    mechanism: self.mechanism,
                    reason: "answers in place of a reply",
                };
                self.fail(session, error.into());
            }
        }
    }

    fn closed(&self, session: &Session, _by_peer: bool) {
        self.left(session);
    }

    fn close_failed(&self, session: &Session) {
        self.left(session);
    }
}

fn refuse_message(session: &Session, number: ChannelNumber, msgno: MsgNo) {
    let error = ErrorReply::new(
        ReplyCode::AUTH_FAILURE,
        "no authentication is under way on this channel: start another one",
    );
    // It fails when the session is over.
    let _ = session.send_rpy(number, msgno, Outgoing::new(error.to_xml()));
}

// ------------------------------------------------------------------------------------------------
// The peer authenticates itself

/// An authentication of the peer that waits for the program's word. Dropping it denies.
///
/// It may be answered from any thread, and long after the peer has gone.
pub struct Request {
    question: Question,
    exchange: Option<(Session, Arc<Listening>)>,
}

impl Request {
    /// Who wants to be authenticated, and how.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// Says what the program knows of the peer.
    pub fn answer(mut self, answer: Answer) {
        self.give(answer);
    }

    fn give(&mut self, answer: Answer) {
        if let Some((session, exchange)) = self.exchange.take() {
            exchange.answered(&session, answer);
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.give(Answer::Deny);
    }
}

/// The server's end of an exchange.
struct Listening {
    me: Weak<Listening>,
    /// The profile that the peer chose.
    uri: String,
    server_name: Option<String>,
    state: Mutex<Serving>,
}

struct Serving {
    /// Taken with the end of the exchange.
    exchange: Option<ServerExchange>,
    owes: Option<Owed>,
    /// The program was asked and has not answered.
    has_asked: bool,
    timer: Option<AbortHandle>,
}

/// What the peer waits for.
#[derive(Clone, Copy)]
enum Owed {
    Start { number: ChannelNumber, index: usize },
    Reply { number: ChannelNumber, msgno: MsgNo },
}

/// The peer starts a channel to authenticate itself.
pub(crate) fn start_requested(
    session: &Session,
    start: &Start<'_>,
    mechanism: Mechanism,
    plus: bool,
) {
    let (number, index) = (start.number, start.index);
    let refuse = |code, text: &str| {
        // It fails when the session is over.
        let _ = session.refuse_start(number, ErrorReply::new(code, text));
    };
    let services = &session.shared.services;
    if services.needs_tls(mechanism) && !session.is_tls() {
        return refuse(
            ReplyCode::MECHANISM_NEEDS_ENCRYPTION,
            "this mechanism shows the password: start TLS first",
        );
    }
    {
        let mut state = session.shared.state();
        let failures_max = state.protocol.config().authentication_failures_max;
        if state.identity.is_some() {
            drop(state);
            return refuse(
                ReplyCode::TRANSACTION_FAILED,
                "the connection is authenticated already",
            );
        }
        if state.authentication_failures >= failures_max {
            drop(state);
            return refuse(
                ReplyCode::TRANSACTION_FAILED,
                "too many authentications have failed on this connection",
            );
        }
        if state.is_authenticating {
            drop(state);
            return refuse(
                ReplyCode::ACTION_NOT_TAKEN,
                "another authentication is under way",
            );
        }
        state.is_authenticating = true;
    }
    let server_name = session.server_name().or_else(|| start.server_name.clone());
    let host = server_name
        .clone()
        .or_else(|| Some(session.addresses()?.local.ip().to_string()))
        .unwrap_or_default();
    let binding = session.channel_binding();
    let exchange = ServerExchange::new(
        mechanism,
        plus,
        services.sasl_realm(),
        &host,
        binding.as_ref(),
    );
    let listening = Arc::new_cyclic(|me| Listening {
        me: me.clone(),
        uri: start.uri.to_owned(),
        server_name,
        state: Mutex::new(Serving {
            exchange: Some(exchange),
            owes: Some(Owed::Start { number, index }),
            has_asked: false,
            timer: None,
        }),
    });
    let timer = session.limit_exchange(Arc::downgrade(&listening));
    listening.state().timer = Some(timer);
    match start.content {
        None => listening.token(session, None),
        Some(content) => {
            listening.document(session, Blob::parse_content(content, document_limits()))
        }
    }
}

impl Listening {
    fn state(&self) -> MutexGuard<'_, Serving> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn document(&self, session: &Session, blob: Result<Blob, BlobError>) {
        match blob {
            Ok(blob) if blob.status == Status::Abort => {
                self.break_off(
                    session,
                    ReplyCode::AUTH_FAILURE,
                    "the authentication was given up",
                );
            }
            // An empty blob in a start is one without a token.
            Ok(blob) if blob.token.is_empty() => self.token(session, None),
            Ok(blob) => self.token(session, Some(&blob.token)),
            Err(error) => self.break_off(session, error.reply_code(), &error.to_string()),
        }
    }

    fn token(&self, session: &Session, token: Option<&[u8]>) {
        let step = {
            let mut state = self.state();
            let Some(exchange) = &mut state.exchange else {
                return;
            };
            let step = exchange.step(token);
            state.note(&step);
            step
        };
        self.proceed(session, step);
    }

    fn answered(&self, session: &Session, answer: Answer) {
        let step = {
            let mut state = self.state();
            if !std::mem::take(&mut state.has_asked) {
                return;
            }
            let Some(exchange) = &mut state.exchange else {
                return;
            };
            let step = exchange.answer(answer);
            state.note(&step);
            step
        };
        self.proceed(session, step);
    }

    fn proceed(&self, session: &Session, step: Step) {
        match step {
            Step::Challenge(token) => self.give(session, &Blob::token(token)),
            Step::Ask(mut question) => {
                question.server_name = question.server_name.or_else(|| self.server_name.clone());
                let exchange = self.me.upgrade().map(|me| (session.clone(), me));
                let request = Request { question, exchange };
                session.shared.services.authenticate(session, request);
            }
            Step::Success { identity, data } => {
                if session.authenticated(&identity) {
                    self.give(session, &Blob::complete(data.unwrap_or_default()));
                    session.exchange_is_over();
                } else {
                    let text = "the connection is authenticated already";
                    self.fail(session, ReplyCode::TRANSACTION_FAILED, text);
                }
            }
            Step::Failure(error) => {
                if let sasl::Error::UnusableAnswer { reason } = error {
                    tracing::warn!(
                        session = session.id(),
                        reason,
                        "the program's answer is of no use"
                    );
                }
                self.fail(session, error.code(), &error.to_string());
            }
        }
    }

    /// Sends a blob as what the peer waits for.
    fn give(&self, session: &Session, blob: &Blob) {
        let Some(owed) = self.state().owes.take() else {
            return;
        };
        let document = blob.to_xml();
        // It fails when the session is over, and then nobody waits.
        let _ = match (owed, self.me.upgrade()) {
            (Owed::Start { number, index }, Some(me)) => {
                let content = Some(ProfileContent::new(document));
                let offer = (index, self.uri.as_str());
                session.accept_service(number, offer, content, me).is_ok()
            }
            (Owed::Start { .. }, None) => false,
            (Owed::Reply { number, msgno }, _) => session
                .send_rpy(number, msgno, Outgoing::new(document))
                .is_ok(),
        };
    }

    /// Ends an exchange that runs, and refuses.
    fn break_off(&self, session: &Session, code: ReplyCode, text: &str) {
        if self.state().end() {
            self.fail(session, code, text);
        }
    }

    /// The exchange has ended: refuses in place of the start, or as a reply on the channel, which stays.
    fn fail(&self, session: &Session, code: ReplyCode, text: &str) {
        let owed = self.state().owes.take();
        session.shared.state().authentication_failures += 1;
        tracing::info!(session = session.id(), %code, text, "authentication failed");
        let error = ErrorReply::new(code, text);
        match owed {
            Some(Owed::Start { number, .. }) => {
                let _ = session.refuse_start(number, error);
            }
            Some(Owed::Reply { number, msgno }) => {
                let _ = session.send_rpy(number, msgno, Outgoing::new(error.to_xml()));
            }
            None => {}
        }
        session.exchange_is_over();
    }
}

impl Serving {
    /// Notes what a step means. Under the same lock as the step: the limit, the program and the peer may be about to end
    /// the exchange at the same time, and one of them does.
    fn note(&mut self, step: &Step) {
        match step {
            Step::Challenge(_) => {}
            Step::Ask(_) => self.has_asked = true,
            Step::Success { .. } | Step::Failure(_) => {
                self.end();
            }
        }
    }

    /// Ends the exchange. False if it had ended.
    fn end(&mut self) -> bool {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        self.has_asked = false;
        self.exchange.take().is_some()
    }
}

impl Limited for Listening {
    fn time_is_up(&self, session: &Session) {
        let text = "the authentication took too long";
        self.break_off(session, ReplyCode::TEMPORARY_AUTH_FAILURE, text);
    }
}

impl Service for Listening {
    fn message(&self, session: &Session, number: ChannelNumber, message: Message) {
        // This side sends no MSG on the channel, so nothing else arrives.
        if message.kind != MessageKind::Msg {
            return;
        }
        let msgno = message.msgno;
        let is_due = {
            let mut state = self.state();
            let is_due = state.exchange.is_some() && state.owes.is_none();
            if is_due {
                state.owes = Some(Owed::Reply { number, msgno });
            }
            is_due
        };
        if is_due {
            let blob = Blob::parse(message.payload_octets(), document_limits());
            self.document(session, blob);
        } else {
            refuse_message(session, number, msgno);
        }
    }

    fn closed(&self, session: &Session, _by_peer: bool) {
        // Whoever leaves an exchange has failed, or could have one after the other without an end.
        self.break_off(
            session,
            ReplyCode::AUTH_FAILURE,
            "the channel was closed during the authentication",
        );
    }
}

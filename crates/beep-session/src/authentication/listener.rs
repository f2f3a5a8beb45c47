//! The peer authenticates itself to this side.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use beep_core::sasl_blob::{Blob, BlobError, Status};
use beep_core::{
    ChannelNumber, ErrorReply, Message, MessageKind, MsgNo, Outgoing, ProfileContent, ReplyCode,
};
use tokio::task::AbortHandle;

use super::{Limited, Side, document_limits, refuse_message};
use crate::sasl::{self, Answer, Mechanism, Question, ServerExchange, Step};
use crate::services::{Service, Start};
use crate::session::Session;

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
                if session.authenticated(Side::Peer, &identity) {
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

//! This side authenticates itself to the peer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use beep_core::sasl_blob::{Blob, BlobError, Reply, Status};
use beep_core::{
    ChannelFailure, ChannelNumber, Message, MessageKind, Outgoing, ProfileContent, ProfileOffer,
    ReplyCode, StartRequest,
};
use tokio::task::AbortHandle;

use super::{AuthenticationError, Limited, Side, document_limits, refuse_message};
use crate::sasl::{self, ClientExchange, Credentials, Identity, Mechanism};
use crate::services::Service;
use crate::session::Session;

type Done = Box<dyn FnOnce(Result<Identity, AuthenticationError>) + Send>;

impl Session {
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
}

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
            Ok(identity) if !session.authenticated(Side::Own, &identity) => {
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

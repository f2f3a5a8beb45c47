//! Profiles that sessions serve themselves: ALIVE, SASL and TLS.
//!
//! They run on the task that drives the session, so that they work while the program is busy. The task shows every
//! event to [`intercept`] before the program gets it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beep_core::{
    ChannelFailure, ChannelNumber, ErrorReply, Event, Message, ProfileContent, ProfileOffer,
    StartRequest, TLS_URI, UsageError, without_port,
};

use crate::sasl::{self, Answer, Mechanism, Question};
use crate::session::Session;
use crate::{alive, authentication, tls, tuning};

/// Which of the profiles that sessions can serve themselves a program offers.
///
/// Shared by all sessions of the program. What is added later holds for the sessions there are, but the peers of those
/// have read their greeting already.
#[derive(Debug, Default)]
pub struct Services {
    offered: Mutex<Offered>,
}

#[derive(Debug, Default)]
struct Offered {
    alive: bool,
    tls: Option<TlsDecision>,
    mechanisms: Vec<Mechanism>,
    authentication: Option<SaslDecision>,
    realm: Option<String>,
    requires_tls: bool,
}

type Decided = Pin<Box<dyn Future<Output = Result<tls::ServerOptions, ErrorReply>> + Send>>;

/// Who decides whether a peer that asks for TLS gets it.
#[derive(Clone)]
pub(crate) enum TlsDecision {
    Application,
    Decide(Arc<dyn Fn(Option<String>) -> Decided + Send + Sync>),
}

impl fmt::Debug for TlsDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsDecision::Application => "Application",
            TlsDecision::Decide(_) => "Decide",
        })
    }
}

type Answered = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Who says who peers are, if it is not the application.
#[derive(Clone)]
struct SaslDecision(Arc<dyn Fn(Question) -> Answered + Send + Sync>);

impl fmt::Debug for SaslDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaslDecision")
    }
}

impl Services {
    /// Nothing at all.
    pub fn new() -> Self {
        Services::default()
    }

    fn offered(&self) -> MutexGuard<'_, Offered> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers peers that watch whether this side is alive, see [`Session::watch`].
    pub fn serve_alive(&self) {
        self.offered().alive = true;
    }

    /// Offers TLS to peers, and asks [`crate::Application::tls_requested`] about each that wants it.
    pub fn accept_tls(&self) {
        self.offered().tls = Some(TlsDecision::Application);
    }

    /// Offers TLS to peers, and has `decide` answer each that wants it, by the name under which it asks this side to act:
    /// with a certificate, or with a refusal that leaves the session as it was. It may take its time.
    ///
    /// A decision that panics refuses with 421. For an example see [`Connection::start_tls`](crate::Connection::start_tls).
    pub fn serve_tls<F, R>(&self, decide: F)
    where
        F: Fn(Option<String>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<tls::ServerOptions, ErrorReply>> + Send + 'static,
    {
        let decide = Arc::new(move |name| Box::pin(decide(name)) as Decided);
        self.offered().tls = Some(TlsDecision::Decide(decide));
    }

    /// Offers peers to authenticate themselves by this mechanism, and asks [`crate::Application::authenticate`] who
    /// they are.
    pub fn accept_sasl(&self, mechanism: Mechanism) {
        let mechanisms = &mut self.offered().mechanisms;
        if !mechanisms.contains(&mechanism) {
            mechanisms.push(mechanism);
        }
    }

    /// Offers peers to authenticate themselves by this mechanism, and has `decide` say what is known of who they say they
    /// are. It may take its time; one that panics denies.
    ///
    /// There is one `decide` for all mechanisms: the one that was given last.
    ///
    /// ```
    /// use beep_session::Services;
    /// use beep_session::sasl::{Answer, Mechanism};
    ///
    /// let services = Services::new();
    /// services.serve_sasl(Mechanism::ScramSha256, |question| async move {
    ///     match question.auth_id.as_deref() {
    ///         Some("bob") => Answer::Password("secret".to_owned()),
    ///         _ => Answer::Deny,
    ///     }
    /// });
    /// ```
    pub fn serve_sasl<F, R>(&self, mechanism: Mechanism, decide: F)
    where
        F: Fn(Question) -> R + Send + Sync + 'static,
        R: Future<Output = Answer> + Send + 'static,
    {
        self.accept_sasl(mechanism);
        let decide = Arc::new(move |question| Box::pin(decide(question)) as Answered);
        self.offered().authentication = Some(SaslDecision(decide));
    }

    /// Asks who the peer is: whoever [`serve_sasl`](Self::serve_sasl) named, else the application.
    pub(crate) fn authenticate(&self, session: &Session, request: sasl::Request) {
        let decision = self.offered().authentication.clone();
        match decision {
            None => session.shared.application.authenticate(session, request),
            Some(SaslDecision(decide)) => {
                tokio::spawn(async move {
                    let answer = decide(request.question().clone()).await;
                    request.answer(answer);
                });
            }
        }
    }

    /// Whether mechanisms that show a password to whoever reads the connection wait for TLS. Default no.
    pub fn require_tls_for_passwords(&self, required: bool) {
        self.offered().requires_tls = required;
    }

    /// The realm that DIGEST-MD5 names to peers, and insists on (RFC 2831 §2.1.1). Default none: any will do.
    pub fn set_sasl_realm(&self, realm: Option<String>) {
        self.offered().realm = realm;
    }

    pub(crate) fn sasl_realm(&self) -> Option<String> {
        self.offered().realm.clone()
    }

    /// Whether a mechanism has to wait for TLS.
    pub(crate) fn needs_tls(&self, mechanism: Mechanism) -> bool {
        self.offered().requires_tls && mechanism.sends_password_in_clear()
    }

    fn find(&self, uri: &str, is_tls: bool) -> Option<Profile> {
        if uri == TLS_URI {
            // Once is enough (RFC 3080 §3.1).
            return self
                .offered()
                .tls
                .clone()
                .filter(|_| !is_tls)
                .map(Profile::Tls);
        }
        if uri == alive::URI {
            return self.offered().alive.then_some(Profile::Alive);
        }
        let (mechanism, plus) = Mechanism::from_uri(uri)?;
        let is_offered = self.offered().mechanisms.contains(&mechanism);
        is_offered.then_some(Profile::Sasl { mechanism, plus })
    }

    /// The profiles that the greeting of a session offers.
    pub(crate) fn uris(&self, is_tls: bool) -> Vec<String> {
        let offered = self.offered();
        let mut uris = Vec::new();
        for mechanism in &offered.mechanisms {
            if is_tls {
                uris.extend(mechanism.plus_uri().map(str::to_owned));
            }
            if is_tls || !offered.requires_tls || !mechanism.sends_password_in_clear() {
                uris.push(mechanism.uri().to_owned());
            }
        }
        if offered.alive {
            uris.push(alive::URI.to_owned());
        }
        if offered.tls.is_some() && !is_tls {
            uris.push(TLS_URI.to_owned());
        }
        uris
    }
}

/// What a start asks for.
enum Profile {
    Alive,
    Tls(TlsDecision),
    Sasl { mechanism: Mechanism, plus: bool },
}

/// A start of the peer that one of them is to answer.
pub(crate) struct Start<'a> {
    pub(crate) number: ChannelNumber,
    /// Which of the offers it is, and its profile.
    pub(crate) index: usize,
    pub(crate) uri: &'a str,
    pub(crate) content: Option<&'a ProfileContent>,
    /// The name that it asks for, without a port.
    pub(crate) server_name: Option<String>,
}

/// A profile at work on one channel. Its methods are called by the task that drives the session, one at a time.
pub(crate) trait Service: Send + Sync {
    /// A start of ours was accepted.
    fn started(&self, session: &Session, number: ChannelNumber, content: Option<ProfileContent>) {
        let _ = (session, number, content);
    }

    /// A start of ours came to nothing; the last call.
    fn start_failed(&self, session: &Session, why: ChannelFailure) {
        let _ = (session, why);
    }

    /// A message arrived.
    fn message(&self, session: &Session, number: ChannelNumber, message: Message);

    /// The channel is gone, or the whole session; the last call.
    fn closed(&self, session: &Session, by_peer: bool) {
        let _ = (session, by_peer);
    }

    /// A close of ours came to nothing.
    fn close_failed(&self, session: &Session) {
        let _ = session;
    }

    /// Whether the program is told of the channel.
    fn is_shown(&self) -> bool {
        true
    }

    /// Whether this watches the peer, see [`Session::watch`].
    fn is_watch(&self) -> bool {
        false
    }
}

impl Session {
    /// Starts a channel for a service.
    pub(crate) fn start_service(
        &self,
        mut request: StartRequest,
        service: Arc<dyn Service>,
    ) -> Result<ChannelNumber, UsageError> {
        request.server_name = request
            .server_name
            .or_else(|| self.shared.server_name.clone());
        self.shared.has_services.store(true, Ordering::Relaxed);
        // The service has its place before the answer can come.
        self.with_state(|state| {
            let number = state.protocol.start(std::time::Instant::now(), request)?;
            state.services.insert(number, service);
            Ok(number)
        })
    }

    /// Gives a channel that the peer asks for to a service: with the offer at `index`, whose profile is `uri`.
    pub(crate) fn accept_service(
        &self,
        number: ChannelNumber,
        (index, uri): (usize, &str),
        content: Option<ProfileContent>,
        service: Arc<dyn Service>,
    ) -> Result<(), UsageError> {
        // All ahead of the answer: what follows it may arrive on another thread before this one goes on.
        self.shared.has_services.store(true, Ordering::Relaxed);
        if service.is_shown() && self.is_alive() {
            self.shared.application.service_channel(self, number, uri);
        }
        self.with_state(|state| {
            state.protocol.accept_start(number, index, content)?;
            state.services.insert(number, service);
            Ok(())
        })
    }

    /// The services at work.
    pub(crate) fn services(&self) -> Vec<Arc<dyn Service>> {
        self.shared.state().services.values().cloned().collect()
    }

    fn service(&self, number: ChannelNumber) -> Option<Arc<dyn Service>> {
        self.shared.state().services.get(&number).cloned()
    }

    fn remove_service(&self, number: ChannelNumber) -> Option<Arc<dyn Service>> {
        self.shared.state().services.remove(&number)
    }

    /// The session is over: nothing is left to serve.
    pub(crate) fn end_services(&self) {
        let services = std::mem::take(&mut self.shared.state().services);
        for service in services.into_values() {
            service.closed(self, true);
        }
    }
}

/// Handles what concerns a service; returns the event if the program should have it.
pub(crate) fn intercept(session: &Session, event: Event) -> Option<Event> {
    if let Event::StartRequested {
        number,
        profiles,
        server_name,
    } = &event
    {
        return match start_requested(session, *number, profiles, server_name.as_deref()) {
            Some(()) => None,
            None => Some(event),
        };
    }
    if !session.shared.has_services.load(Ordering::Relaxed) {
        return Some(event);
    }
    match event {
        Event::Started { number, profile } => match session.service(number) {
            Some(service) => {
                if service.is_shown() {
                    session
                        .shared
                        .application
                        .service_channel(session, number, &profile.uri);
                }
                service.started(session, number, profile.content);
                None
            }
            None => Some(Event::Started { number, profile }),
        },
        Event::StartFailed { number, why } => match session.remove_service(number) {
            Some(service) => {
                service.start_failed(session, why);
                None
            }
            None => Some(Event::StartFailed { number, why }),
        },
        Event::Message { channel, message } => match session.service(channel) {
            Some(service) => {
                session.consume(channel, message.content().len());
                service.message(session, channel, message);
                None
            }
            None => Some(Event::Message { channel, message }),
        },
        Event::CloseRequested { number, .. } if session.service(number).is_some() => {
            // It fails only when the session is over.
            let _ = session.accept_close(number);
            None
        }
        Event::Closed { number, by_peer } => {
            let service = session.remove_service(number);
            if service.as_ref().is_none_or(|service| service.is_shown()) {
                // The program was told of the channel, and may have closed it.
                let application = &session.shared.application;
                application.event(session, Event::Closed { number, by_peer });
            }
            if let Some(service) = service {
                service.closed(session, by_peer);
            }
            None
        }
        Event::CloseFailed { number, why } => {
            let service = session.service(number);
            if let Some(service) = &service {
                service.close_failed(session);
            }
            service
                .is_none_or(|service| service.is_shown())
                .then_some(Event::CloseFailed { number, why })
        }
        event => Some(event),
    }
}

/// The first profile offered that this side knows is taken (RFC 3080 §2.3.1.2); it may be the program's.
fn start_requested(
    session: &Session,
    number: ChannelNumber,
    profiles: &[ProfileOffer],
    server_name: Option<&str>,
) -> Option<()> {
    let services = &session.shared.services;
    let (index, offer, profile) = profiles.iter().enumerate().find_map(|(index, offer)| {
        Some((index, offer, services.find(&offer.uri, session.is_tls())?))
    })?;
    let others = profiles.get(..index).unwrap_or_default();
    if others
        .iter()
        .any(|offer| session.shared.application.serves(&offer.uri))
    {
        return None;
    }
    let start = Start {
        number,
        index,
        uri: &offer.uri,
        content: offer.content.as_ref(),
        server_name: server_name
            .map(|name| without_port(name).to_owned())
            .filter(|name| !name.is_empty()),
    };
    match profile {
        Profile::Alive => alive::start_requested(session, number, index),
        Profile::Tls(decision) => tuning::start_requested(session, start, decision),
        Profile::Sasl { mechanism, plus } => {
            authentication::start_requested(session, &start, mechanism, plus);
        }
    }
    Some(())
}

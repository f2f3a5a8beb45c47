//! The async interface's end of a session: takes the events and hands each to whoever waits for it.

mod requests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use beep_core::{
    ChannelFailure, ChannelNumber, Event, ProfileContent, ProfileOffer, ReplyCode, StartRequest,
};
use tokio::sync::{Notify, oneshot};

use crate::Session;
use crate::application::{Application, End, Successor};
use crate::channel::Channel;
use crate::connection::{Connection, Hold};
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::profiles::Profiles;

type OnClose = Box<dyn FnOnce(&Arc<End>) + Send>;
pub(crate) type OnSuccession = Arc<dyn Fn(Connection) + Send + Sync>;
type Outcome = oneshot::Sender<Result<(), Error>>;

pub(crate) struct Router {
    me: Weak<Router>,
    profiles: Profiles,
    /// The name that the first start asks for.
    pub(crate) server_name: Option<String>,
    /// Longest time that a close can take: waiting for replies, and for the peer's answer.
    close_limit: Duration,
    hold: OnceLock<Weak<Hold>>,
    /// Told of the connection that takes the place of this one when TLS is in place.
    on_succession: Option<OnSuccession>,
    /// The router of the connection in whose place this one begins.
    predecessor: Weak<Router>,
    state: Mutex<State>,
    greeted: Notify,
    transmitted: Notify,
    ended: Notify,
    end: OnceLock<Arc<End>>,
}

#[derive(Default)]
struct State {
    channels: HashMap<ChannelNumber, Arc<Mailbox>>,
    starting: HashMap<ChannelNumber, oneshot::Sender<Result<Channel, Error>>>,
    releasing: Vec<Outcome>,
    on_close: Vec<OnClose>,
    successor: Option<(Session, Arc<Router>)>,
    /// No handle is left: a release that comes to nothing ends the session.
    is_abandoned: bool,
}

impl Router {
    pub(crate) fn new(
        profiles: Profiles,
        server_name: Option<String>,
        reply_timeout: Duration,
        on_succession: Option<OnSuccession>,
    ) -> Arc<Self> {
        let close_limit = reply_timeout
            .saturating_mul(2)
            .saturating_add(Duration::from_secs(1));
        let predecessor = Weak::new();
        Router::make(
            profiles,
            server_name,
            close_limit,
            on_succession,
            predecessor,
        )
    }

    /// The router of the session that begins over TLS.
    fn next(&self) -> Arc<Self> {
        Router::make(
            self.profiles.clone(),
            self.server_name.clone(),
            self.close_limit,
            self.on_succession.clone(),
            self.me.clone(),
        )
    }

    fn make(
        profiles: Profiles,
        server_name: Option<String>,
        close_limit: Duration,
        on_succession: Option<OnSuccession>,
        predecessor: Weak<Router>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Router {
            me: me.clone(),
            profiles,
            server_name,
            close_limit,
            on_succession,
            predecessor,
            hold: OnceLock::new(),
            state: Mutex::default(),
            greeted: Notify::new(),
            transmitted: Notify::new(),
            ended: Notify::new(),
            end: OnceLock::new(),
        })
    }

    /// The connection that took the place of this one.
    pub(crate) fn next_connection(&self) -> Option<Connection> {
        let (session, router) = self.state().successor.clone()?;
        router.connection(&session)
    }

    /// The same, for whoever asked for TLS: released when its last handle is dropped.
    pub(crate) fn hold_successor(&self) -> Option<Connection> {
        let (session, router) = self.state().successor.clone()?;
        Some(Connection::held(session, router))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `hold` what channels started by the peer keep alive too.
    pub(crate) fn set_hold(&self, hold: &Arc<Hold>) {
        let _ = self.hold.set(Arc::downgrade(hold));
    }

    /// Told when octets were given to the transport.
    pub(crate) fn transmitted(&self) -> &Notify {
        &self.transmitted
    }

    /// Told when the greeting is here, and when the session ends.
    pub(crate) fn greeted(&self) -> &Notify {
        &self.greeted
    }

    pub(crate) fn end(&self) -> Option<&Arc<End>> {
        self.end.get()
    }

    /// The error for whoever asks something of a session that is over.
    pub(crate) fn end_error(&self) -> Option<Error> {
        self.end().map(Error::ended)
    }

    /// Says why the session is over, where an error says only that it is.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::Closing | Error::ChannelClosed(_) => self.end_error().unwrap_or(error),
            error => error,
        }
    }

    pub(crate) async fn ended(&self) -> Arc<End> {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if let Some(end) = self.end() {
                return end.clone();
            }
            ended.await;
        }
    }

    pub(crate) fn on_close(&self, callback: OnClose) {
        let mut state = self.state();
        // Looked at under the lock: whoever sets the end takes the callbacks after that.
        if let Some(end) = self.end() {
            let end = end.clone();
            drop(state);
            return callback(&end);
        }
        state.on_close.push(callback);
    }

    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        self.state().channels.values().cloned().collect()
    }

    /// Asks for a channel; under the lock, or the answer could be here before its waiter.
    pub(crate) fn start(
        &self,
        session: &Session,
        request: StartRequest,
    ) -> Result<oneshot::Receiver<Result<Channel, Error>>, Error> {
        let mut state = self.state();
        let number = session
            .start(request)
            .map_err(|error| self.explain(error.into()))?;
        let (sender, receiver) = oneshot::channel();
        state.starting.insert(number, sender);
        Ok(receiver)
    }

    /// Asks for the release of the session.
    pub(crate) fn release(
        &self,
        session: &Session,
        code: ReplyCode,
        text: Option<String>,
    ) -> oneshot::Receiver<Result<(), Error>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if let Some(end) = self.end() {
            let _ = sender.send(released(end));
            return receiver;
        }
        match session.release(code, text) {
            // A release under way will do, and so will an end whose event is on its way.
            Ok(())
            | Err(beep_core::UsageError::AlreadyClosing(_) | beep_core::UsageError::SessionEnded) =>
            {
                state.releasing.push(sender);
            }
            Err(error) => drop(sender.send(Err(error.into()))),
        }
        receiver
    }

    /// Waits for what came of a close.
    pub(crate) async fn outcome(
        &self,
        outcome: oneshot::Receiver<Result<(), Error>>,
    ) -> Result<(), Error> {
        match tokio::time::timeout(self.close_limit, outcome).await {
            Ok(outcome) => outcome.unwrap_or(Err(Error::Closing)),
            Err(_) => Err(Error::NoAnswer),
        }
    }

    /// No handle is left: releases the session, and ends it when that cannot be.
    pub(crate) fn abandon(&self, session: &Session) {
        self.state().is_abandoned = true;
        // Before the greeting there is nobody who could agree.
        if !session.has_peer_greeting() || session.release(ReplyCode::SUCCESS, None).is_err() {
            session.shutdown();
        }
    }

    fn connection(&self, session: &Session) -> Option<Connection> {
        let hold = self.hold.get().and_then(Weak::upgrade);
        Some(Connection::new(session.clone(), self.me.upgrade()?, hold))
    }

    fn mailbox(&self, number: ChannelNumber) -> Option<Arc<Mailbox>> {
        self.state().channels.get(&number).cloned()
    }

    fn open(
        &self,
        number: ChannelNumber,
        profile: String,
        content: Option<ProfileContent>,
    ) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::new(number, profile, content));
        self.state().channels.insert(number, mailbox.clone());
        mailbox
    }

    fn started(&self, session: &Session, number: ChannelNumber, profile: ProfileOffer) {
        let mailbox = self.open(number, profile.uri, profile.content);
        let waiter = self.state().starting.remove(&number);
        let Some(connection) = self.connection(session) else {
            return;
        };
        // Nobody waits any more: the channel is dropped, and so closed.
        let channel = Channel::new(connection, mailbox);
        if let Some(waiter) = waiter {
            let _ = waiter.send(Ok(channel));
        }
    }

    fn close_failed(&self, session: &Session, number: ChannelNumber, why: &ChannelFailure) {
        let error = || Error::failed(why.clone());
        if !number.is_management() {
            if let Some(mailbox) = self.mailbox(number) {
                mailbox.close_failed(error);
            }
            return;
        }
        let (releasing, is_abandoned) = {
            let mut state = self.state();
            (std::mem::take(&mut state.releasing), state.is_abandoned)
        };
        for waiter in releasing {
            let _ = waiter.send(Err(error()));
        }
        if is_abandoned {
            session.shutdown();
        }
    }
}

impl Application for Router {
    fn event(&self, session: &Session, event: Event) {
        match event {
            Event::GreetingReceived(_) => self.greeted.notify_waiters(),
            Event::StartRequested {
                number,
                profiles,
                server_name,
            } => {
                self.start_requested(session, number, profiles, server_name);
            }
            Event::Started { number, profile } => self.started(session, number, profile),
            // The end follows at once, and says why.
            Event::StartFailed {
                why: ChannelFailure::SessionEnded,
                ..
            }
            | Event::CloseFailed {
                why: ChannelFailure::SessionEnded,
                ..
            } => {}
            Event::StartFailed { number, why } => {
                let waiter = self.state().starting.remove(&number);
                if let Some(waiter) = waiter {
                    let _ = waiter.send(Err(self.explain(Error::failed(why))));
                }
            }
            Event::CloseRequested { number, code, text } => {
                self.close_requested(session, number, code, text)
            }
            Event::ReleaseRequested { .. } => {
                // It fails only when the session is over.
                let _ = session.accept_close(ChannelNumber::MANAGEMENT);
            }
            Event::Closed { number, .. } => {
                let mailbox = self.state().channels.remove(&number);
                if let Some(mailbox) = mailbox {
                    mailbox.closed(None);
                }
            }
            Event::CloseFailed { number, why } => self.close_failed(session, number, &why),
            Event::Message { channel, message } => match self.mailbox(channel) {
                Some(mailbox) => mailbox.deliver(session, message),
                None => session.consume(channel, message.content().len()),
            },
            event => tracing::debug!(session = session.id(), ?event, "event without a handler"),
        }
    }

    fn ended(&self, _session: &Session, end: &Arc<End>) {
        let (state, end) = {
            let mut state = self.state();
            let end = self.end.get_or_init(|| end.clone());
            let successor = state.successor.clone();
            let old = State {
                successor,
                ..State::default()
            };
            (std::mem::replace(&mut *state, old), end)
        };
        let is_orderly = end.is_orderly();
        let error = || Error::ended(end);
        for mailbox in state.channels.into_values() {
            mailbox.closed(if is_orderly { None } else { Some(&error) });
        }
        for waiter in state.starting.into_values() {
            let _ = waiter.send(Err(error()));
        }
        for waiter in state.releasing {
            let _ = waiter.send(released(end));
        }
        self.greeted.notify_waiters();
        self.transmitted.notify_waiters();
        self.ended.notify_waiters();
        for callback in state.on_close {
            callback(end);
        }
    }

    fn serves(&self, uri: &str) -> bool {
        self.profiles.find(uri).is_some()
    }

    fn successor(&self) -> Option<Successor> {
        Some(Successor {
            application: self.next(),
            greeting: self.profiles.greeting(),
        })
    }

    fn took_over(&self, session: &Session) {
        let (Some(old), Some(me)) = (self.predecessor.upgrade(), self.me.upgrade()) else {
            return;
        };
        old.state().successor = Some((session.clone(), me.clone()));
        if let Some(on_succession) = &self.on_succession {
            on_succession(Connection::new(session.clone(), me, None));
        }
    }

    fn transmitted(&self, _session: &Session) {
        self.transmitted.notify_waiters();
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

fn released(end: &Arc<End>) -> Result<(), Error> {
    if end.is_orderly() {
        Ok(())
    } else {
        Err(Error::ended(end))
    }
}

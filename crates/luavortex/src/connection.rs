//! `vortex.connection`: sessions as Lua sees them, and the listening sockets that share the type.

mod attributes;
mod channels;
mod making;
mod opening;
mod primitives;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use async_executor::Task;
use beep_session::{Addresses, Listener, Session};
use mlua::{MetaMethod, UserData, UserDataMethods, UserDataRegistry, Value};

use self::channels::Channels;
pub(crate) use self::opening::usage_failure;
pub(crate) use self::primitives::register;
use crate::channel::ChannelState;
use crate::convert::{self, At};
use crate::ctx::{CtxOwner, CtxState};
use crate::export::{Failure, Misuse};
use crate::inbox::{Inbox, Notice};
use crate::{meta, status};

/// Entries of an error stack; the oldest are dropped beyond this.
const ERRORS_MAX: usize = 256;

/// The userdata.
pub(crate) struct Connection {
    pub(crate) state: Rc<ConnectionState>,
    /// Keeps the session open; absent where the connection belongs to a listener.
    _owner: Option<Rc<Owner>>,
    /// After a successful `close` the object stands for nothing any more.
    emptied: Cell<bool>,
}

/// Shuts the session down when the last object that stands for it is collected.
pub(crate) struct Owner {
    connection: Rc<ConnectionState>,
    _ctx: Option<Rc<CtxOwner>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.connection.skip_conn_close.get() {
            self.connection.shutdown();
        }
    }
}

/// A task that connects until this is dropped, and where to report that it was given up.
struct Attempt {
    _task: Task<()>,
    inbox: Arc<Inbox>,
}

/// Which part the connection plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Initiator,
    Listener,
    MasterListener,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Initiator => "initiator",
            Part::Listener => "listener",
            Part::MasterListener => "master-listener",
        }
    }
}

/// What all objects of one connection share.
pub(crate) struct ConnectionState {
    pub(crate) key: u64,
    pub(crate) ctx: Rc<CtxState>,
    id: i64,
    part: Part,
    host: String,
    port: String,
    /// What the first start asks for as serverName (RFC 3080 §2.3.1.2).
    wanted_server_name: Option<String>,
    session: RefCell<Option<Session>>,
    /// The attempt to connect, while it lasts.
    attempt: RefCell<Option<Attempt>>,
    listener: RefCell<Option<Listener>>,
    listens_on: Option<SocketAddr>,
    /// Why there is no connection: status and message.
    failure: RefCell<Option<(i64, String)>>,
    errors: RefCell<Vec<(i64, String)>>,
    pub(crate) channels: RefCell<Channels>,
    skip_conn_close: Cell<bool>,
    owner: RefCell<Weak<Owner>>,
}

impl ConnectionState {
    fn new(key: u64, ctx: Rc<CtxState>, part: Part, host: String, port: String) -> Self {
        ConnectionState {
            key,
            id: ctx.next_id(),
            ctx,
            part,
            host,
            port,
            wanted_server_name: None,
            session: RefCell::default(),
            attempt: RefCell::default(),
            listener: RefCell::default(),
            listens_on: None,
            failure: RefCell::default(),
            errors: RefCell::default(),
            channels: RefCell::default(),
            skip_conn_close: Cell::new(false),
            owner: RefCell::default(),
        }
    }

    /// A connection that a listener accepted.
    pub(crate) fn accepted(
        ctx: Rc<CtxState>,
        key: u64,
        session: Session,
        addresses: Addresses,
    ) -> Self {
        let (host, port) = (
            addresses.peer.ip().to_string(),
            addresses.peer.port().to_string(),
        );
        let connection = ConnectionState::new(key, ctx, Part::Listener, host, port);
        *connection.session.borrow_mut() = Some(session);
        connection
    }

    /// The connection that takes the place of this one when TLS is in place.
    pub(crate) fn successor(&self, key: u64, session: Session) -> Self {
        let ctx = self.ctx.clone();
        let mut connection =
            ConnectionState::new(key, ctx, self.part, self.host.clone(), self.port.clone());
        connection
            .wanted_server_name
            .clone_from(&self.wanted_server_name);
        connection.skip_conn_close.set(self.skip_conn_close.get());
        *connection.session.borrow_mut() = Some(session);
        connection
    }

    /// The name that a server's certificate has to bear; `None` for a client.
    pub(crate) fn tls_server_name(&self) -> Option<String> {
        if self.part != Part::Initiator {
            return None;
        }
        let asked = self.session()?.tls()?.server_name().map(str::to_owned);
        asked.or_else(|| Some(self.host.clone()))
    }

    pub(crate) fn session(&self) -> Option<Session> {
        self.session.borrow().clone()
    }

    /// The session, or why there is none to work with.
    pub(crate) fn live_session(&self) -> Result<Session, Failure> {
        match self.session() {
            Some(session) if session.is_alive() => Ok(session),
            _ => {
                let (status, message) = self.status();
                Err(Failure::new(
                    status,
                    format!("the connection is not open: {message}"),
                ))
            }
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        match self.part {
            Part::MasterListener => self.listener.borrow().is_some(),
            Part::Initiator | Part::Listener => {
                self.failure.borrow().is_none()
                    && self
                        .session()
                        .is_some_and(|session| session.is_alive() && session.has_peer_greeting())
            }
        }
    }

    /// Status number and text.
    fn status(&self) -> (i64, String) {
        if let Some(failure) = &*self.failure.borrow() {
            return failure.clone();
        }
        if self.part == Part::MasterListener {
            return match &*self.listener.borrow() {
                Some(_) => (status::OK, "listening".into()),
                None => (status::FORCED_CLOSE, "the listener was shut down".into()),
            };
        }
        match self.session() {
            None => (status::ERROR, "the connection is being made".into()),
            Some(session) => match session.end() {
                Some(end) => (status::of_end(&end), end.to_string()),
                // Ended here a moment ago; the task that drives the session has not reported it yet.
                None if !session.is_alive() => {
                    (status::FORCED_CLOSE, "the connection was shut down".into())
                }
                None => (status::OK, "the connection is ready".into()),
            },
        }
    }

    pub(crate) fn fail(&self, status: i64, message: String) {
        *self.failure.borrow_mut() = Some((status, message));
    }

    /// Drops the transport, or stops listening. May be called again.
    pub(crate) fn shutdown(&self) {
        if let Some(session) = self.session() {
            session.shutdown();
        } else if self.part != Part::MasterListener && self.failure.borrow().is_none() {
            self.fail(
                status::FORCED_CLOSE,
                "the connection was shut down while it was being made".into(),
            );
            if let Some(attempt) = self.attempt.take() {
                attempt.inbox.push(Notice::ConnectGivenUp(self.key));
            }
        }
        self.listener.borrow_mut().take();
    }

    pub(crate) fn set_session(&self, session: Session) {
        // Shut down while the connection was being made.
        if self.failure.borrow().is_some() {
            session.shutdown();
        }
        self.attempt.take();
        *self.session.borrow_mut() = Some(session);
    }

    /// Puts a failure of a channel operation on the stack that `pop_channel_error` reads.
    pub(crate) fn stack_error(&self, code: i64, message: &str) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() >= ERRORS_MAX {
            errors.remove(0);
        }
        errors.push((code, message.to_owned()));
    }

    pub(crate) fn channel(&self, number: u32) -> Option<Rc<ChannelState>> {
        self.channels.borrow().by_number(number)
    }

    pub(crate) fn add_channel(&self, channel: Rc<ChannelState>) {
        self.channels.borrow_mut().insert(channel);
    }

    pub(crate) fn remove_channel(&self, uid: u64) {
        self.channels.borrow_mut().remove(uid);
    }

    pub(crate) fn owner(self: &Rc<Self>) -> Option<Rc<Owner>> {
        self.owner.borrow().upgrade()
    }

    /// An object for this connection; a transient one does not keep the session open.
    pub(crate) fn wrap(self: &Rc<Self>) -> Connection {
        Connection {
            state: self.clone(),
            _owner: self.owner(),
            emptied: Cell::new(false),
        }
    }

    fn wrap_as_owner(self: &Rc<Self>) -> Connection {
        let owner = Rc::new(Owner {
            connection: self.clone(),
            _ctx: self.ctx.owner(),
        });
        *self.owner.borrow_mut() = Rc::downgrade(&owner);
        Connection {
            state: self.clone(),
            _owner: Some(owner),
            emptied: Cell::new(false),
        }
    }

    fn server_name(&self) -> Option<String> {
        self.session()?.server_name()
    }

    fn addresses(&self) -> Option<Addresses> {
        self.session()?.addresses()
    }
}

impl UserData for Connection {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "connection");
        registry.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!("vortex.connection {:p}", Rc::as_ptr(&this.state)))
        });
        meta::add_equality(registry, |one: &Self, other: &Self| {
            Rc::ptr_eq(&one.state, &other.state)
        });
    }
}

/// The connection of an argument that has to be one.
pub(crate) fn state_of(value: &Value, at: At<'_>) -> Result<Rc<ConnectionState>, Misuse> {
    Ok(convert::object::<Connection>(value, "connection", at)?
        .state
        .clone())
}

fn is_emptied(value: &Value) -> bool {
    matches!(value, Value::UserData(object) if object.borrow::<Connection>().is_ok_and(|object| object.emptied.get()))
}

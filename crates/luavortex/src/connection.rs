//! `vortex.connection`: sessions as Lua sees them, and the listening sockets that share the type.

mod attributes;
mod channels;
mod making;
mod opening;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use beep_session::core::ReplyCode;
use beep_session::{Addresses, Listener, Session};
use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};
use tokio::task::AbortHandle;

use self::attributes::attribute;
use self::channels::Channels;
use self::making::{begin, listen};
use self::opening::start;
pub(crate) use self::opening::usage_failure;
use crate::channel::ChannelState;
use crate::convert::{self, At};
use crate::ctx::{CtxOwner, CtxState};
use crate::export::{Failure, Misuse, export};
use crate::inbox::{Inbox, Notice};
use crate::state::State;
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

/// A task that connects, and where to report that it was given up.
struct Attempt {
    task: AbortHandle,
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
    fn new(state: &State, ctx: Rc<CtxState>, part: Part, host: String, port: String) -> Self {
        ConnectionState {
            key: state.new_key(),
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
        ConnectionState {
            key,
            id: ctx.next_id(),
            ctx,
            part: Part::Listener,
            host: addresses.peer.ip().to_string(),
            port: addresses.peer.port().to_string(),
            wanted_server_name: None,
            session: RefCell::new(Some(session)),
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
                    && self.session().is_some_and(|session| {
                        session.is_alive() && session.peer_greeting().is_some()
                    })
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
                attempt.task.abort();
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

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(
        lua,
        primitives,
        "connect",
        |lua, (ctx, host, port, server_name): (Value, Value, Value, Value)| {
            begin(lua, &ctx, &host, &port, &server_name)
        },
    )?;
    export(
        lua,
        primitives,
        "listen",
        |lua, (ctx, host, port): (Value, Value, Value)| listen(lua, &ctx, &host, &port),
    )?;
    export(lua, primitives, "start", start)?;
    // Another object for the connection; nil when it is gone.
    export(lua, primitives, "wrap_connection", |lua, key: u64| {
        Ok(State::of(lua)
            .connection(key)
            .map(|connection| connection.wrap()))
    })?;
    // The connection's key, whether its end is still to come, and its context's key. For every function that takes
    // a connection and works on what the Lua side keeps for it.
    export(
        lua,
        primitives,
        "connection_key",
        |lua, (object, function): (Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let is_known = State::of(lua)
                .connections
                .borrow()
                .contains_key(&connection.key);
            Ok((
                connection.key,
                is_known && !is_emptied(&object),
                connection.ctx.key,
            ))
        },
    )?;
    export(
        lua,
        primitives,
        "connection_attribute",
        |lua, (object, name): (Value, Value)| match name
            .as_string()
            .and_then(|name| name.to_str().ok())
        {
            Some(name) => attribute(lua, &object, &name),
            None => Ok(Value::Nil),
        },
    )?;
    export(lua, primitives, "is_ok", |_, object: Value| {
        let connection = state_of(&object, At("is_ok", 1, "connection"))?;
        Ok(connection.is_ok() && !is_emptied(&object))
    })?;
    export(lua, primitives, "shutdown", |lua, object: Value| {
        let connection = state_of(&object, At("shutdown", 1, "connection"))?;
        let stops_listening = connection.listener.borrow().is_some();
        connection.shutdown();
        if stops_listening && let Some(engine) = State::of(lua).running_engine() {
            engine.inbox.push(Notice::ListenerClosed(connection.key));
        }
        Ok(())
    })?;
    export(lua, primitives, "empty_connection", |_, object: Value| {
        convert::object::<Connection>(&object, "connection", At("close", 1, "connection"))?
            .emptied
            .set(true);
        Ok(())
    })?;
    export(
        lua,
        primitives,
        "block",
        |_, (object, flag): (Value, Value)| {
            let connection = state_of(&object, At("block", 1, "connection"))?;
            let flag =
                convert::optional(&flag, |flag| convert::boolean(flag, At("block", 2, "flag")))?
                    .unwrap_or(true);
            if let Some(session) = connection.session() {
                session.set_reading(!flag);
            }
            Ok(())
        },
    )?;
    export(lua, primitives, "is_blocked", |_, object: Value| {
        let connection = state_of(&object, At("is_blocked", 1, "connection"))?;
        Ok(connection
            .session()
            .is_some_and(|session| !session.is_reading()))
    })?;
    export(lua, primitives, "pop_error", |lua, object: Value| {
        let connection = state_of(&object, At("pop_channel_error", 1, "connection"))?;
        let Some((code, text)) = connection.errors.borrow_mut().pop() else {
            return Ok(Value::Nil);
        };
        let entry = lua.create_table().and_then(|entry| {
            entry.raw_set(1, code)?;
            entry.raw_set(2, text)?;
            Ok(entry)
        });
        Ok(entry.map_or(Value::Nil, Value::Table))
    })?;
    export(
        lua,
        primitives,
        "skip_conn_close",
        |_, (object, skip): (Value, Value)| {
            let connection = state_of(&object, At("skip_conn_close", 1, "connection"))?;
            let at = At("skip_conn_close", 2, "skip");
            connection
                .skip_conn_close
                .set(convert::optional(&skip, |skip| convert::boolean(skip, at))?.unwrap_or(true));
            Ok(())
        },
    )?;
    // The table that all objects of a connection share for `set_data`.
    export(
        lua,
        primitives,
        "keep_connection_data",
        |_, (object, data): (mlua::AnyUserData, Table)| {
            object
                .set_user_value(data)
                .map_err(|error| Failure::new(status::MEMORY, error))
        },
    )?;
    export(
        lua,
        primitives,
        "connection_data",
        |_, (object, function): (Value, String)| {
            if let Value::UserData(object) = &object
                && object.is::<Connection>()
                && let Ok(data) = object.user_value::<Table>()
            {
                return Ok(data);
            }
            Err(At(&function, 1, "connection")
                .wants("vortex.connection", &object)
                .into())
        },
    )?;
    // The uids of the channels, ascending by number; of one profile if it is given.
    export(
        lua,
        primitives,
        "channel_uids",
        |lua, (object, profile, function): (Value, Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let profile = convert::optional(&profile, |value| {
                convert::text(lua, value, At(&function, 2, "profile"))
            })?;
            let channels = connection.channels.borrow();
            let of_profile = channels.known().filter(|channel| {
                profile
                    .as_ref()
                    .is_none_or(|profile| channel.profile == *profile)
            });
            Ok(of_profile.map(|channel| channel.uid).collect::<Vec<u64>>())
        },
    )?;
    // features, localize, profiles of the peer's greeting
    export(
        lua,
        primitives,
        "peer_greeting",
        |_, (object, function): (Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let greeting = connection
                .session()
                .and_then(|session| session.peer_greeting())
                .unwrap_or_default();
            Ok((greeting.features, greeting.localize, greeting.profiles))
        },
    )?;
    // Asks the peer to release the session; false when there is nothing to ask any more.
    export(lua, primitives, "release_connection", |lua, key: u64| {
        let Some(session) = State::of(lua)
            .connection(key)
            .and_then(|connection| connection.session())
        else {
            return Ok(false);
        };
        if !session.is_alive() {
            return Ok(false);
        }
        session
            .release(ReplyCode::SUCCESS, None)
            .map_err(|error| usage_failure(&error))?;
        Ok(true)
    })?;
    export(lua, primitives, "is_alive", |lua, key: u64| {
        let session = State::of(lua)
            .connection(key)
            .and_then(|connection| connection.session());
        Ok(session.is_some_and(|session| session.is_alive()))
    })?;
    export(lua, primitives, "shutdown_connection", |lua, key: u64| {
        if let Some(connection) = State::of(lua).connection(key) {
            connection.shutdown();
        }
        Ok(())
    })?;
    // The connection's end was handled: nothing more will come for it.
    export(lua, primitives, "forget_connection", |lua, key: u64| {
        State::of(lua).connections.borrow_mut().remove(&key);
        Ok(())
    })?;
    export(
        lua,
        primitives,
        "stack_error",
        |_, (object, code, message): (Value, i64, String)| {
            state_of(&object, At("open_channel", 1, "connection"))?.stack_error(code, &message);
            Ok(())
        },
    )
}

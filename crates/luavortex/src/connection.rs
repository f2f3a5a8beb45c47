//! `vortex.connection`: sessions as Lua sees them, and the listening sockets that share the type.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;

use beep_session::core::{
    Encoding, ProfileContent, ProfileOffer, ReplyCode, Role, StartRequest, UsageError,
};
use beep_session::{Accepted, Addresses, Listener, Session, SessionOptions, Tcp, connect};
use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};

use crate::bridge::Bridge;
use crate::channel::ChannelState;
use crate::convert::{self, At};
use crate::ctx::{CtxOwner, CtxState, ctx_of};
use crate::export::{Failure, Misuse, export};
use crate::inbox::Notice;
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
    /// What the start that is being decided about asks for.
    pub(crate) asked_server_name: RefCell<Option<String>>,
    session: RefCell<Option<Session>>,
    listener: RefCell<Option<Listener>>,
    listens_on: Option<SocketAddr>,
    /// Why there is no connection: status and message.
    failure: RefCell<Option<(i64, String)>>,
    errors: RefCell<Vec<(i64, String)>>,
    pub(crate) channels: RefCell<Vec<Rc<ChannelState>>>,
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
            asked_server_name: RefCell::default(),
            session: RefCell::default(),
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
            asked_server_name: RefCell::default(),
            session: RefCell::new(Some(session)),
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
        }
        self.listener.borrow_mut().take();
    }

    pub(crate) fn set_session(&self, session: Session) {
        // Shut down while the connection was being made.
        if self.failure.borrow().is_some() {
            session.shutdown();
        }
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
        self.channels
            .borrow()
            .iter()
            .find(|channel| channel.number.value() == number)
            .cloned()
    }

    pub(crate) fn add_channel(&self, channel: Rc<ChannelState>) {
        let mut channels = self.channels.borrow_mut();
        channels.push(channel);
        // Ascending, as they are listed; a new number is nearly always the highest.
        channels.sort_by_key(|channel| channel.number.value());
    }

    pub(crate) fn remove_channel(&self, uid: u64) {
        self.channels.borrow_mut().retain(|channel| {
            let is_other = channel.uid != uid;
            if !is_other {
                channel.is_gone.set(true);
            }
            is_other
        });
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
        let fixed = self.session().and_then(|session| session.server_name());
        fixed.or_else(|| self.asked_server_name.borrow().clone())
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

/// What `conn.NAME` reads.
fn attribute(lua: &Lua, object: &Value, name: &str) -> Result<Value, Failure> {
    let state = state_of(object, At("__index", 1, "connection"))?;
    let emptied = is_emptied(object);
    let string = |text: Option<String>| -> Value {
        text.and_then(|text| lua.create_string(text).ok())
            .map_or(Value::Nil, Value::String)
    };
    if emptied {
        return Ok(match name {
            "id" | "num_channels" | "ref_count" => Value::Integer(-1),
            "status" => Value::Integer(status::WRONG_REFERENCE),
            "role" => string(Some("unknown".into())),
            "error_msg" => string(Some("the connection was closed".into())),
            _ => Value::Nil,
        });
    }
    let is_master = state.part == Part::MasterListener;
    let local = if is_master {
        state.listens_on
    } else {
        state.addresses().map(|addresses| addresses.local)
    };
    Ok(match name {
        "id" => Value::Integer(state.id),
        "status" => Value::Integer(state.status().0),
        "error_msg" => string(Some(state.status().1)),
        "host" => string(Some(state.host.clone())),
        "port" => string(Some(state.port.clone())),
        "host_ip" if state.is_ok() => {
            let peer = state.addresses().map(|addresses| addresses.peer);
            string(
                peer.or(state.listens_on)
                    .map(|address| address.ip().to_string()),
            )
        }
        "local_addr" => string(local.map(|address| address.ip().to_string())),
        "local_port" => string(local.map(|address| address.port().to_string())),
        "server_name" => string(state.server_name()),
        "num_channels" if is_master => Value::Integer(-1),
        "num_channels" => {
            let open = state
                .channels
                .borrow()
                .iter()
                .filter(|channel| channel.is_known.get())
                .count();
            Value::Integer(i64::try_from(open).unwrap_or(i64::MAX).saturating_add(1))
        }
        "role" => string(Some(state.part.name().into())),
        "ref_count" => Value::Integer(i64::try_from(Rc::strong_count(&state)).unwrap_or(i64::MAX)),
        _ => Value::Nil,
    })
}

/// Starts to connect; the result comes as an event. A connection that cannot even be tried has failed already.
fn begin(
    lua: &Lua,
    ctx: &Value,
    host: &Value,
    port: &Value,
    server_name: &Value,
) -> Result<(Connection, Option<u64>), Failure> {
    let ctx = ctx_of(ctx, At("new", 1, "ctx"))?;
    let host = convert::text(lua, host, At("new", 2, "host"))?;
    let port = convert::port_text(lua, port, At("new", 3, "port"))?;
    let server_name = convert::optional(server_name, |value| {
        convert::text(lua, value, At("new", 4, "server_name"))
    })?;
    let state = State::of(lua);
    let mut connection = ConnectionState::new(
        &state,
        ctx.clone(),
        Part::Initiator,
        host.clone(),
        port.clone(),
    );
    connection.wanted_server_name = Some(server_name.unwrap_or_else(|| host.clone()));
    let connection = Rc::new(connection);
    if !ctx.is_running() {
        connection.fail(
            status::WRONG_REFERENCE,
            "the context is not running: call its init first, and exit last".into(),
        );
        return Ok((connection.wrap(), None));
    }
    let Ok(number) = port.trim().parse::<u16>() else {
        connection.fail(
            status::NAME_RESOLVE_ERROR,
            format!("'{port}' is no port: a number from 1 to 65535 is"),
        );
        return Ok((connection.wrap(), None));
    };
    let engine = state.engine()?;
    let config = ctx.served.lock().config.clone();
    let (key, inbox, served, wake) = (
        connection.key,
        engine.inbox.clone(),
        ctx.served.clone(),
        engine.wake_policy(),
    );
    engine.runtime().spawn(async move {
        let result = connect(&host, number, config.greeting_timeout)
            .await
            .map(|stream| {
                let addresses = match (stream.local_addr(), stream.peer_addr()) {
                    (Ok(local), Ok(peer)) => Some(Addresses { local, peer }),
                    _ => None,
                };
                let greeting = Ok(served.lock().greeting());
                let options = SessionOptions {
                    config,
                    role: Role::Initiator,
                    greeting,
                    addresses,
                    admission: None,
                };
                Session::spawn(
                    Tcp::from(stream),
                    options,
                    Bridge::new(key, inbox.clone(), served.clone(), wake),
                )
            });
        inbox.push(Notice::Connected { key, result });
    });
    state
        .connections
        .borrow_mut()
        .insert(key, connection.clone());
    Ok((connection.wrap_as_owner(), Some(key)))
}

/// Opens a listening socket.
fn listen(
    lua: &Lua,
    ctx: &Value,
    host: &Value,
    port: &Value,
) -> Result<(Connection, Option<u64>), Failure> {
    let ctx = ctx_of(ctx, At("create_listener", 1, "ctx"))?;
    let host = convert::text(lua, host, At("create_listener", 2, "host"))?;
    let port = convert::port_text(lua, port, At("create_listener", 3, "port"))?;
    let state = State::of(lua);
    let mut connection = ConnectionState::new(
        &state,
        ctx.clone(),
        Part::MasterListener,
        host.clone(),
        port.clone(),
    );
    let failed = |connection: ConnectionState, status: i64, message: String| {
        connection.fail(status, message);
        Ok((Rc::new(connection).wrap(), None))
    };
    if !ctx.is_running() {
        let message = "the context is not running: call its init first, and exit last".into();
        return failed(connection, status::WRONG_REFERENCE, message);
    }
    let Ok(number) = port.trim().parse::<u16>() else {
        let message = format!(
            "cannot listen: '{port}' is no port: a number from 0 (any free one) to 65535 is"
        );
        return failed(connection, status::BIND_ERROR, message);
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(&host);
    let addresses: Vec<SocketAddr> = match (bare, number).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return failed(
                connection,
                status::NAME_RESOLVE_ERROR,
                format!("cannot resolve {host}: {error}"),
            );
        }
    };
    let engine = state.engine()?;
    let (inbox, served, wake, keys) = (
        engine.inbox.clone(),
        ctx.served.clone(),
        engine.wake_policy(),
        state.keys(),
    );
    let (listener_key, limits) = (connection.key, ctx.served.lock().listener_limits);
    let accept = move |accepted: Accepted| {
        let key = keys.fetch_add(1, Ordering::Relaxed) + 1;
        let addresses = Addresses {
            local: accepted.local,
            peer: accepted.peer,
        };
        let (config, greeting) = {
            let served = served.lock();
            (served.config.clone(), served.greeting())
        };
        let options = SessionOptions {
            config,
            role: Role::Listener,
            greeting: Ok(greeting),
            addresses: Some(addresses),
            admission: Some(accepted.admission),
        };
        let bridge = Bridge::new(key, inbox.clone(), served.clone(), wake.clone());
        let session = Session::spawn(Tcp::from(accepted.stream), options, bridge);
        inbox.push(Notice::Accepted {
            listener: listener_key,
            key,
            session,
            addresses,
        });
    };
    let _runtime = engine.runtime().enter();
    // One address of a name is enough; the first that can be had. IPv4 first, as "localhost" meant to the old engine.
    let mut last_error = None;
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv4);
    for address in v4.into_iter().chain(v6) {
        match Listener::bind(address, limits, accept.clone()) {
            Ok(listener) => {
                connection.listens_on = Some(listener.local_addr());
                connection.port = listener.local_addr().port().to_string();
                *connection.listener.borrow_mut() = Some(listener);
                let connection = Rc::new(connection);
                let key = connection.key;
                state
                    .connections
                    .borrow_mut()
                    .insert(key, connection.clone());
                return Ok((connection.wrap(), Some(key)));
            }
            Err(error) => last_error = Some(error),
        }
    }
    let error = last_error.map_or_else(
        || "the name has no address".to_owned(),
        |error| error.to_string(),
    );
    failed(
        connection,
        status::BIND_ERROR,
        format!("cannot listen on {host} port {port}: {error}"),
    )
}

/// The name of an encoding of profile content; 3 is what another binding of the old library calls base64.
fn encoding(lua: &Lua, value: &Value, at: At<'_>) -> Result<Encoding, Misuse> {
    match convert::optional(value, |value| convert::whole(lua, value, at))? {
        None | Some(0 | 2) => Ok(Encoding::None),
        Some(1 | 3) => Ok(Encoding::Base64),
        Some(other) => Err(at.says(&format!(
            "vortex.encoding_NONE or vortex.encoding_BASE64 expected, got {other}"
        ))),
    }
}

/// Asks for a channel, see `lua/connection.lua`. Returns the channel's uid.
fn start(
    lua: &Lua,
    (object, number, profile, code, content): (Value, Value, Value, Value, Value),
) -> Result<u64, Failure> {
    let connection = state_of(&object, At("open_channel", 1, "connection"))?;
    let number = convert::channel_number(lua, &number, At("open_channel", 2, "number"))?;
    let at = At("open_channel", 3, "profile");
    let uri = convert::text(lua, &profile, at)?;
    if uri.is_empty() || !beep_session::core::management::is_xml_text(&uri) {
        return Err(at
            .says("a profile URI is at least one character, and none that XML cannot carry")
            .into());
    }
    let encoding = encoding(lua, &code, At("open_channel", 10, "encoding"))?;
    let at = At("open_channel", 11, "profile_content");
    let content = convert::optional(&content, |value| convert::text(lua, value, at))?;
    if content
        .as_ref()
        .is_some_and(|content| !beep_session::core::management::is_xml_text(content))
    {
        let advice = "it holds characters that XML cannot carry: encode it as base64, and say so in encoding";
        return Err(at.says(advice).into());
    }
    let content = content.map(|text| ProfileContent { text, encoding });
    if is_emptied(&object) {
        return Err(Failure::new(
            status::WRONG_REFERENCE,
            "the connection was closed",
        ));
    }
    if connection.part == Part::MasterListener {
        let misuse = At("open_channel", 1, "connection")
            .says("a listener has no channels, its connections do");
        return Err(misuse.into());
    }
    let session = connection.live_session()?;
    let request = StartRequest {
        number,
        profiles: vec![ProfileOffer {
            uri: uri.clone(),
            content,
        }],
        server_name: connection.wanted_server_name.clone(),
        tuning: false,
    };
    let number = session
        .start(request)
        .map_err(|error| usage_failure(&error))?;
    let uid = State::of(lua).new_number();
    connection.add_channel(ChannelState::new(uid, &connection, number, uri, false));
    Ok(uid)
}

/// What a script is told when the protocol does not let it do something.
pub(crate) fn usage_failure(error: &UsageError) -> Failure {
    let code = match error {
        UsageError::SessionEnded => status::FORCED_CLOSE,
        UsageError::NumberInUse(_) | UsageError::TooManyChannels(_) => 554,
        _ => status::ERROR,
    };
    Failure::new(code, error)
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
            let of_profile = channels
                .iter()
                .filter(|channel| channel.is_known.get())
                .filter(|channel| {
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
        |lua, (key, code, message): (u64, i64, String)| {
            if let Some(connection) = State::of(lua).connection(key) {
                connection.stack_error(code, &message);
            }
            Ok(())
        },
    )
}

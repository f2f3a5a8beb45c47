//! How connections and listeners come to be.

use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;

use beep_session::core::Role;
use beep_session::{Accepted, Addresses, Listener, Session, SessionOptions, Tcp, connect};
use mlua::{Lua, Value};

use super::{Attempt, Connection, ConnectionState, Part};
use crate::bridge::Bridge;
use crate::convert::{self, At};
use crate::ctx::ctx_of;
use crate::export::Failure;
use crate::inbox::Notice;
use crate::state::State;
use crate::status;

/// Starts to connect; the result comes as an event. A connection that cannot even be tried has failed already.
pub(super) fn begin(
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
        state.new_key(),
        ctx.clone(),
        Part::Initiator,
        host.clone(),
        port.clone(),
    );
    let server_name = Some(server_name.unwrap_or_else(|| host.clone()));
    connection.wanted_server_name = server_name.clone();
    let connection = Rc::new(connection);
    if !ctx.is_running() {
        connection.fail(
            status::WRONG_REFERENCE,
            "the context is not running: call its init first, and exit last".into(),
        );
        return Ok((connection.wrap(), None));
    }
    let number = match port.trim().parse::<u16>() {
        Ok(number) if number > 0 => number,
        _ => {
            connection.fail(
                status::NAME_RESOLVE_ERROR,
                format!("cannot connect: '{port}' is no port; a number from 1 to 65535 is"),
            );
            return Ok((connection.wrap(), None));
        }
    };
    if host.is_empty() {
        let message = "cannot connect: the host is an empty string; give a name or an address";
        connection.fail(status::NAME_RESOLVE_ERROR, message.into());
        return Ok((connection.wrap(), None));
    }
    let engine = state.engine()?;
    let config = ctx.served.lock().config.clone();
    let (key, served, link) = (connection.key, ctx.served.clone(), engine.link());
    let attempt_inbox = engine.inbox.clone();
    let attempt = engine.drivers.spawn(async move {
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
                    services: served.services.clone(),
                    server_name,
                };
                Session::spawn(
                    Tcp::from(stream),
                    options,
                    Bridge::new(key, served.clone(), link.clone()),
                )
            });
        link.inbox.push(Notice::Connected { key, result });
    });
    *connection.attempt.borrow_mut() = Some(Attempt {
        _task: attempt,
        inbox: attempt_inbox,
    });
    state
        .connections
        .borrow_mut()
        .insert(key, connection.clone());
    Ok((connection.wrap_as_owner(), Some(key)))
}

/// Opens a listening socket.
pub(super) fn listen(
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
        state.new_key(),
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
    if host.is_empty() {
        let message =
            "cannot listen: the host is an empty string; 0.0.0.0 stands for all addresses";
        return failed(connection, status::NAME_RESOLVE_ERROR, message.into());
    }
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
    let (served, link) = (ctx.served.clone(), engine.link());
    let (listener_key, limits) = (connection.key, ctx.served.lock().listener_limits);
    // Each connection that Lua has not been told of has one of these.
    let untold = Arc::new(());
    let accept = move |accepted: Accepted| {
        // One that is over gives its place among the connections back, and stays in the queue: while Lua computes, those
        // that come and go would pile up.
        if Arc::strong_count(&untold) > limits.connections_max {
            tracing::warn!(peer = %accepted.peer, "connection closed: the script has not looked at as many");
            return;
        }
        let key = link.new_key();
        let addresses = Addresses {
            local: accepted.local,
            peer: accepted.peer,
        };
        let (config, greeting) = {
            let state = served.lock();
            (state.config.clone(), state.greeting())
        };
        let options = SessionOptions {
            config,
            role: Role::Listener,
            greeting: Ok(greeting),
            addresses: Some(addresses),
            admission: Some(accepted.admission),
            services: served.services.clone(),
            server_name: None,
        };
        let bridge = Bridge::new(key, served.clone(), link.clone());
        let session = Session::spawn(Tcp::from(accepted.stream), options, bridge);
        link.inbox.push(Notice::Accepted {
            listener: listener_key,
            key,
            session,
            addresses,
            untold: untold.clone(),
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

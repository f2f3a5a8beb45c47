//! From what the engine reports to what the scheduler dispatches.
//!
//! `next` gives the scheduler one event as plain values: a kind and what its handlers need. The kinds are those
//! of [`Kind`]; the Lua files put a function for each into `dispatch`.

use std::rc::Rc;
use std::sync::Arc;

use beep_session::core::{
    ChannelFailure, ChannelNumber, Encoding, Event, Message, MessageKind, ProfileContent,
    ProfileOffer,
};
use beep_session::sasl::AuthenticationError;
use beep_session::{Addresses, ConnectError, End, Session};
use mlua::{IntoLua, Lua, Table, Value};

use crate::channel::ChannelState;
use crate::connection::ConnectionState;
use crate::engine::Waited;
use crate::frame::Frame;
use crate::inbox::{Notice, StartNotice};
use crate::state::State;
use crate::vortex::{ENCODING_BASE64, ENCODING_NONE};
use crate::{sasl, status, tls};

/// What the scheduler is told; the number goes to Lua.
#[derive(Clone, Copy)]
enum Kind {
    /// Something happened that no handler has to know.
    Nothing = 0,
    Connected = 1,
    ConnectFailed = 2,
    Accepted = 3,
    Start = 4,
    Started = 5,
    StartFailed = 6,
    CloseRequested = 7,
    Closed = 8,
    CloseFailed = 9,
    Frame = 10,
    Ended = 11,
    Timer = 12,
    Signal = 13,
    ReleaseFailed = 14,
    CtxGone = 15,
    AliveFailed = 16,
    Authenticated = 17,
    SaslRequest = 18,
    TlsRequest = 19,
    Tuned = 20,
    TlsFailed = 21,
}

/// The kind and what belongs to it; nil where there is less. Of fixed length, because that goes to Lua's stack without
/// memory of its own, and every message passes here.
type Values = (
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
    Value,
);
type Told = mlua::Result<Values>;

macro_rules! told {
    ($lua:expr, $kind:expr $(, $value:expr)*) => {
        Ok(values(Value::Integer($kind as i64), [$($value.into_lua($lua)?),*]))
    };
}

fn values<const COUNT: usize>(kind: Value, values: [Value; COUNT]) -> Values {
    let mut values = values.into_iter();
    let mut next = || values.next().unwrap_or(Value::Nil);
    (
        kind,
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
        next(),
    )
}

fn encoding_number(encoding: Encoding) -> i64 {
    match encoding {
        Encoding::None => ENCODING_NONE,
        Encoding::Base64 => ENCODING_BASE64,
    }
}

fn content_values(content: Option<ProfileContent>) -> (Option<String>, Option<i64>) {
    match content {
        Some(content) => (Some(content.text), Some(encoding_number(content.encoding))),
        None => (None, None),
    }
}

fn failure_values(why: &ChannelFailure) -> (i64, String) {
    match why {
        ChannelFailure::Refused(error) => (error.code.value().into(), error.text.clone()),
        ChannelFailure::TimedOut => (status::CONNECTION_TIMEOUT, "no answer in time".into()),
        ChannelFailure::SessionEnded => (
            status::PEER_LEFT,
            "the connection ended before the answer".into(),
        ),
        other => (status::ERROR, other.to_string()),
    }
}

fn connected(lua: &Lua, state: &State, key: u64, result: Result<Session, ConnectError>) -> Told {
    let Some(connection) = state.connection(key) else {
        // Shut down meanwhile.
        if let Ok(session) = result {
            session.shutdown();
        }
        return told!(lua, Kind::Nothing);
    };
    match result {
        Ok(session) => {
            // The greeting, or the end, is still to come.
            connection.set_session(session);
            told!(lua, Kind::Nothing)
        }
        Err(error) => {
            connection.fail(status::of_connect_error(&error), error.to_string());
            told!(lua, Kind::ConnectFailed, key)
        }
    }
}

fn accepted(
    lua: &Lua,
    state: &State,
    listener: u64,
    key: u64,
    session: Session,
    addresses: Addresses,
) -> Told {
    let Some(listener) = state
        .connection(listener)
        .filter(|listener| !listener.ctx.has_exited())
    else {
        // The listener was shut down in the meantime; sessions that are there already would live on.
        session.shutdown();
        return told!(lua, Kind::Nothing);
    };
    let ctx = listener.ctx.clone();
    let ctx_key = ctx.key;
    let connection = Rc::new(ConnectionState::accepted(ctx, key, session, addresses));
    state.connections.borrow_mut().insert(key, connection);
    told!(lua, Kind::Accepted, key, ctx_key)
}

fn start(lua: &Lua, state: &State, notice: StartNotice) -> Told {
    let StartNotice {
        key,
        number,
        profile,
        content,
        server_name,
        offer,
    } = notice;
    let Some(connection) = state.connection(key) else {
        return told!(lua, Kind::Nothing);
    };
    let Some(number) = ChannelNumber::new(number) else {
        return told!(lua, Kind::Nothing);
    };
    let uid = state.new_number();
    connection.add_channel(ChannelState::new(
        uid,
        &connection,
        number,
        profile.clone(),
        true,
    ));
    let (text, encoding) = content_values(content);
    told!(
        lua,
        Kind::Start,
        key,
        uid,
        number.value(),
        profile,
        offer,
        text,
        encoding,
        server_name
    )
}

fn started(
    lua: &Lua,
    state: &State,
    key: u64,
    number: ChannelNumber,
    profile: ProfileOffer,
) -> Told {
    let channel = state
        .connection(key)
        .and_then(|connection| connection.channel(number.value()));
    let Some(channel) = channel else {
        return told!(lua, Kind::Nothing);
    };
    channel.is_known.set(true);
    // Content of the answer is handed over as if it were a reply to a message 0.
    let content = profile.content.map(|content| {
        let message = Message::riding(&content.text);
        Frame::without_window(
            state.new_number(),
            channel.uid,
            state.frame_memory.clone(),
            message,
        )
    });
    told!(
        lua,
        Kind::Started,
        key,
        channel.uid,
        number.value(),
        content
    )
}

fn message(lua: &Lua, state: &State, key: u64, number: ChannelNumber, message: Message) -> Told {
    let Some(connection) = state.connection(key) else {
        return told!(lua, Kind::Nothing);
    };
    let (Some(channel), Some(session)) = (connection.channel(number.value()), connection.session())
    else {
        return told!(lua, Kind::Nothing);
    };
    let (is_msg, is_last, msgno) = (
        message.kind == MessageKind::Msg,
        !message.more && message.kind != MessageKind::Ans,
        message.msgno.value(),
    );
    state.frame_memory.collect_if_due(lua);
    let frame = Frame::new(
        state.new_number(),
        channel.uid,
        state.frame_memory.clone(),
        message,
        session,
        number,
    );
    told!(lua, Kind::Frame, channel.uid, frame, is_msg, is_last, msgno)
}

fn channel_failed(
    lua: &Lua,
    state: &State,
    kind: Kind,
    key: u64,
    number: ChannelNumber,
    why: &ChannelFailure,
) -> Told {
    let Some(connection) = state.connection(key) else {
        return told!(lua, Kind::Nothing);
    };
    // A close that the end of the session overtook is done, as the end itself tells.
    if matches!(
        (kind, why),
        (Kind::CloseFailed, ChannelFailure::SessionEnded)
    ) {
        return told!(lua, Kind::Nothing);
    }
    let (code, text) = failure_values(why);
    connection.stack_error(code, &text);
    if number.is_management() {
        return told!(lua, Kind::ReleaseFailed, key, code, text);
    }
    let Some(channel) = connection.channel(number.value()) else {
        return told!(lua, Kind::Nothing);
    };
    if matches!(kind, Kind::StartFailed) {
        connection.remove_channel(channel.uid);
    }
    told!(lua, kind, key, channel.uid, code, text)
}

fn session_event(lua: &Lua, state: &State, key: u64, event: Event) -> Told {
    match event {
        Event::GreetingReceived(_) => told!(lua, Kind::Connected, key),
        Event::Started { number, profile } => started(lua, state, key, number, profile),
        Event::StartFailed { number, why } => {
            channel_failed(lua, state, Kind::StartFailed, key, number, &why)
        }
        Event::CloseFailed { number, why } => {
            channel_failed(lua, state, Kind::CloseFailed, key, number, &why)
        }
        Event::CloseRequested { number, .. } => {
            let channel = state
                .connection(key)
                .and_then(|connection| connection.channel(number.value()));
            match channel {
                Some(channel) => told!(lua, Kind::CloseRequested, key, channel.uid, number.value()),
                None => told!(lua, Kind::Nothing),
            }
        }
        Event::ReleaseRequested { .. } => {
            if let Some(session) = state
                .connection(key)
                .and_then(|connection| connection.session())
            {
                // The session may have ended since; then nobody waits for the answer.
                let _ = session.accept_close(ChannelNumber::MANAGEMENT);
            }
            told!(lua, Kind::Nothing)
        }
        Event::Closed { number, .. } => {
            let Some(connection) = state.connection(key) else {
                return told!(lua, Kind::Nothing);
            };
            let Some(channel) = connection.channel(number.value()) else {
                return told!(lua, Kind::Nothing);
            };
            connection.remove_channel(channel.uid);
            told!(lua, Kind::Closed, key, channel.uid)
        }
        Event::Message {
            channel,
            message: content,
        } => message(lua, state, key, channel, content),
        // `Ended` comes as a notice of its own; others are not for scripts.
        _ => told!(lua, Kind::Nothing),
    }
}

fn ended(lua: &Lua, state: &State, key: u64, end: Option<&Arc<End>>) -> Told {
    let Some(connection) = state.connection(key) else {
        return told!(lua, Kind::Nothing);
    };
    let (code, text) = match end {
        Some(end) => (status::of_end(end), end.to_string()),
        None => (status::FORCED_CLOSE, "the listener was shut down".into()),
    };
    connection.channels.borrow_mut().clear();
    if code != status::CLOSE_CALLED && code != status::FORCED_CLOSE {
        connection.stack_error(code, &text);
    }
    told!(lua, Kind::Ended, key, code, text)
}

fn authenticated(
    lua: &Lua,
    state: &State,
    key: u64,
    operation: u64,
    error: Option<AuthenticationError>,
) -> Told {
    let Some(error) = error else {
        return told!(lua, Kind::Authenticated, key, operation);
    };
    let (text, code) = (error.to_string(), sasl::failure_code(&error));
    if let Some(connection) = state.connection(key) {
        connection.stack_error(code, &text);
    }
    told!(lua, Kind::Authenticated, key, operation, text, code)
}

/// The session after TLS is a new connection for scripts.
fn tuned(lua: &Lua, state: &State, old: u64, key: u64, session: Session) -> Told {
    let Some(connection) = state
        .connection(old)
        .filter(|connection| !connection.ctx.has_exited())
    else {
        // Shut down meanwhile.
        session.shutdown();
        return told!(lua, Kind::Nothing);
    };
    let connection = Rc::new(connection.successor(key, session));
    let ctx_key = connection.ctx.key;
    state.connections.borrow_mut().insert(key, connection);
    told!(lua, Kind::Tuned, old, key, ctx_key)
}

/// The next event for the scheduler. When there is none: nil; with `block` it waits for one, and false tells that the
/// wait was interrupted.
fn next(lua: &Lua, block: bool) -> Told {
    let state = State::of(lua);
    let Some(engine) = state.running_engine() else {
        return Ok(values(Value::Nil, []));
    };
    engine.event_was_taken();
    let notice = loop {
        if let Some(timer) = engine.take_timer_in_turn() {
            return told!(lua, Kind::Timer, timer);
        }
        if let Some(notice) = engine.inbox.pop() {
            break notice;
        }
        if !block {
            return Ok(values(Value::Nil, []));
        }
        if engine.wait(None) == Waited::Interrupted {
            return Ok(values(Value::Boolean(false), []));
        }
    };
    match notice {
        Notice::Event(key, event) => session_event(lua, &state, key, event),
        Notice::Start(notice) => start(lua, &state, *notice),
        Notice::Connected { key, result } => connected(lua, &state, key, result),
        Notice::Accepted {
            listener,
            key,
            session,
            addresses,
            untold,
        } => {
            drop(untold);
            accepted(lua, &state, listener, key, session, addresses)
        }
        Notice::Ended(key, end) => ended(lua, &state, key, Some(&end)),
        Notice::ListenerClosed(key) => ended(lua, &state, key, None),
        // The timer itself is taken above, with the next call.
        Notice::TimersDue => told!(lua, Kind::Nothing),
        Notice::ConnectGivenUp(key) => told!(lua, Kind::ConnectFailed, key),
        Notice::CtxGone(key) => told!(lua, Kind::CtxGone, key),
        Notice::AliveFailed { key, unreplied } => told!(lua, Kind::AliveFailed, key, unreplied),
        Notice::Authenticated {
            key,
            operation,
            result,
        } => authenticated(lua, &state, key, operation, result.err()),
        Notice::SaslRequest { key, request } => {
            let number = state.new_number();
            let properties = sasl::properties(lua, request.question())?;
            state.sasl_requests.keep(number, request);
            told!(lua, Kind::SaslRequest, key, number, properties)
        }
        Notice::TlsRequest { key, request } => {
            let Some(connection) = state.connection(key) else {
                return told!(lua, Kind::Nothing);
            };
            let number = state.new_number();
            let server_name = request.server_name().map(str::to_owned);
            let served = connection.ctx.served.clone();
            state.tls_requests.keep(number, request, served);
            told!(lua, Kind::TlsRequest, key, number, server_name)
        }
        Notice::Tuned { old, key, session } => tuned(lua, &state, old, key, session),
        Notice::TlsFailed { key, error } => {
            let text = error.to_string();
            let code = tls::failure_code(&error);
            if let Some(connection) = state.connection(key) {
                connection.stack_error(code, &text);
            }
            told!(lua, Kind::TlsFailed, key, text, code)
        }
        Notice::Signal => told!(lua, Kind::Signal),
    }
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    primitives.raw_set(
        "next",
        lua.create_function(|lua, block: bool| next(lua, block))?,
    )?;
    Ok(())
}

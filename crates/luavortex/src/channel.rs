//! `vortex.channel`: what is exchanged on one channel.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use beep_session::Session;
use beep_session::core::{
    ChannelNumber, ErrorReply, Outgoing, ProfileContent, ReplyCode, SendError,
};
use bytes::Bytes;
use mlua::{
    BString, Either, Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value,
};

use crate::connection::{ConnectionState, Owner, usage_failure};
use crate::convert::{self, At, Given};
use crate::export::{Failure, Misuse, export, export_attributes, export_value};
use crate::state::State;
use crate::vortex::duration;
use crate::{meta, status};

/// The userdata.
pub(crate) struct Channel {
    pub(crate) state: Rc<ChannelState>,
    connection: Rc<ConnectionState>,
    /// A channel that is referenced keeps its connection open.
    _owner: Option<Rc<Owner>>,
    /// After a successful `close` the object stands for nothing any more.
    emptied: Cell<bool>,
}

/// What all objects of one channel share.
pub(crate) struct ChannelState {
    /// Not given twice, unlike numbers.
    pub(crate) uid: u64,
    pub(crate) number: ChannelNumber,
    pub(crate) profile: String,
    connection: Weak<ConnectionState>,
    /// Counts among the channels of its connection; a start of ours that waits for its answer does not.
    pub(crate) is_known: Cell<bool>,
    /// Closed, refused, or lost with its connection.
    pub(crate) is_gone: Cell<bool>,
    automatic_mime: Cell<bool>,
}

impl ChannelState {
    pub(crate) fn new(
        uid: u64,
        connection: &Rc<ConnectionState>,
        number: ChannelNumber,
        profile: String,
        is_known: bool,
    ) -> Rc<Self> {
        Rc::new(ChannelState {
            uid,
            number,
            profile,
            connection: Rc::downgrade(connection),
            is_known: Cell::new(is_known),
            is_gone: Cell::new(false),
            automatic_mime: Cell::new(true),
        })
    }

    fn session(&self) -> Result<Session, Failure> {
        let session = self
            .connection
            .upgrade()
            .and_then(|connection| connection.session());
        match session {
            _ if self.is_gone.get() => {
                Err(Failure::new(status::FORCED_CLOSE, "the channel is closed"))
            }
            Some(session) => Ok(session),
            None => Err(Failure::new(
                status::FORCED_CLOSE,
                "the connection of the channel is gone",
            )),
        }
    }
}

impl ChannelState {
    /// Open, and no reply outstanding.
    fn is_idle(&self, session: &Session) -> bool {
        session
            .channel(self.number)
            .is_some_and(|state| state.is_open && state.awaited_replies == 0)
    }
}

impl UserData for Channel {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "channel");
        registry.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(if this.emptied.get() {
                "vortex.channel (nil)".to_owned()
            } else {
                format!("vortex.channel {:p}", Rc::as_ptr(&this.state))
            })
        });
        meta::add_equality(registry, |one: &Self, other: &Self| {
            Rc::ptr_eq(&one.state, &other.state)
        });
    }
}

/// The channel of an argument that has to be one, and whether the object was emptied by `close`.
fn state_of(value: &Value, at: At<'_>) -> Result<(Rc<ChannelState>, bool), Misuse> {
    let channel = convert::object::<Channel>(value, "channel", at)?;
    Ok((channel.state.clone(), channel.emptied.get()))
}

/// Content as it is given: octets of a string or of a number written as one, copied where they lie.
type Content = Either<BString, Value>;

/// The content to send: all of the string or the first `size` octets, with the empty header line in front unless
/// the script writes headers itself.
fn outgoing(
    lua: &Lua,
    function: &str,
    channel: &ChannelState,
    content: Content,
    size: &Value,
) -> Result<Outgoing, Misuse> {
    let mut content = match content {
        Either::Left(content) => Vec::from(content),
        Either::Right(value) => return Err(At(function, 2, "content").wants("string", &value)),
    };
    let at = At(function, 3, "size");
    let size = match convert::optional(size, |size| convert::whole(lua, size, at))? {
        None | Some(-1) => content.len(),
        Some(size) => match usize::try_from(size) {
            Ok(size) if size <= content.len() => size,
            _ => {
                let advice = format!(
                    "-1 (all) to {} expected, the length of content, got {size}",
                    content.len()
                );
                return Err(at.says(&advice));
            }
        },
    };
    content.truncate(size);
    let body = Bytes::from(content);
    Ok(if channel.automatic_mime.get() {
        Outgoing::new(body)
    } else {
        Outgoing::raw(body)
    })
}

fn send_failure(error: &SendError) -> Failure {
    let code = match error {
        SendError::SessionEnded | SendError::NotOpen(_) | SendError::Closing(_) => {
            status::FORCED_CLOSE
        }
        SendError::QueueFull { .. } | SendError::TooManyOutstanding { .. } => status::MEMORY,
        _ => status::ERROR,
    };
    Failure::new(code, error)
}

const ATTRIBUTES: &[&str] = &[
    "number",
    "profile",
    "is_ready",
    "automatic_mime",
    "ref_count",
];

/// What `ch.NAME` reads.
fn attribute(lua: &Lua, object: &Channel, name: &str) -> Value {
    let (channel, emptied) = (&object.state, object.emptied.get());
    match name {
        "number" if emptied => Value::Integer(-1),
        "number" => Value::Integer(channel.number.value().into()),
        "profile" if !emptied => lua
            .create_string(&channel.profile)
            .map_or(Value::Nil, Value::String),
        "is_ready" => {
            let session = channel.session().ok().filter(Session::is_alive);
            Value::Boolean(!emptied && session.is_some_and(|session| channel.is_idle(&session)))
        }
        "automatic_mime" => Value::Boolean(channel.automatic_mime.get()),
        // With the reference of whoever asks.
        "ref_count" => {
            let count = Rc::strong_count(channel) + 1;
            Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
        }
        _ => Value::Nil,
    }
}

fn send_msg(
    lua: &Lua,
    function: &'static str,
    object: Given<Channel>,
    content: Content,
    size: &Value,
) -> Result<u32, Failure> {
    let channel = &convert::given(object, "channel", At(function, 1, "channel"))?.state;
    let message = outgoing(lua, function, channel, content, size)?;
    let msgno = channel
        .session()?
        .send_msg(channel.number, message)
        .map_err(|error| send_failure(&error))?;
    Ok(msgno.value())
}

/// Sends a MSG and sets the timer that limits the wait for its reply: by `us`, or by what the context allows. Returns
/// the numbers of both.
fn send_request(
    lua: &Lua,
    (object, content, us): (Given<Channel>, Content, Value),
) -> Result<(u32, u64), Failure> {
    let limit =
        match convert::optional(&us, |us| convert::microseconds(us, At("request", 3, "us")))? {
            Some(us) => duration(us),
            None => reply_timeout(&object),
        };
    let msgno = send_msg(lua, "request", object, content, &Value::Nil)?;
    Ok((msgno, State::of(lua).engine()?.add_timer(limit)))
}

fn reply_timeout(object: &Given<Channel>) -> Duration {
    match object {
        Either::Left(channel) => channel.connection.ctx.reply_timeout(),
        // Not a channel, which is about to be said.
        Either::Right(_) => Duration::ZERO,
    }
}

/// Which reply a script sends.
#[derive(Clone, Copy)]
enum Reply {
    Rpy,
    Err,
    Ans,
}

/// `send_rpy`, `send_err`, `send_ans`: content, size (nil for all), message number.
fn send_reply(
    lua: &Lua,
    function: &'static str,
    reply: Reply,
    arguments: (Given<Channel>, Content, Value, Value),
) -> Result<bool, Failure> {
    let (object, content, size, msgno) = arguments;
    let channel = &convert::given(object, "channel", At(function, 1, "channel"))?.state;
    let message = outgoing(lua, function, channel, content, &size)?;
    let msgno = convert::msgno(lua, &msgno, At(function, 4, "msg_no"))?;
    let session = channel.session()?;
    let sent = match reply {
        Reply::Rpy => session.send_rpy(channel.number, msgno, message),
        Reply::Err => session.send_err(channel.number, msgno, message),
        Reply::Ans => session.send_ans(channel.number, msgno, message).map(drop),
    };
    sent.map_err(|error| send_failure(&error))?;
    Ok(true)
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    // Another object for a channel; nil when it is gone.
    export_value(
        lua,
        primitives,
        "wrap_channel",
        |lua, (key, uid): (u64, u64)| {
            let Some(connection) = State::of(lua).connection(key) else {
                return Ok(None);
            };
            let channel = connection.channels.borrow().by_uid(uid);
            let owner = connection.owner();
            Ok(channel.map(|state| Channel {
                state,
                connection,
                _owner: owner,
                emptied: Cell::new(false),
            }))
        },
    )?;
    // The channel's uid, whether it can still be used, its connection's key, whether `close` emptied the object.
    export(
        lua,
        primitives,
        "channel_uid",
        |_, (object, function): (Value, String)| {
            let (channel, emptied) = state_of(&object, At(&function, 1, "channel"))?;
            let key = channel
                .connection
                .upgrade()
                .map(|connection| connection.key);
            Ok((
                channel.uid,
                !emptied && !channel.is_gone.get(),
                key,
                emptied,
            ))
        },
    )?;
    export(lua, primitives, "channel_connection", |_, object: Value| {
        let channel = convert::object::<Channel>(&object, "channel", At("conn", 1, "channel"))?;
        Ok((channel.connection.wrap(), channel.connection.key))
    })?;
    export_attributes(lua, primitives, "channel", ATTRIBUTES, attribute)?;
    export(
        lua,
        primitives,
        "set_automatic_mime",
        |_, (object, flag): (Value, Value)| {
            let (channel, _) = state_of(&object, At("automatic_mime", 1, "channel"))?;
            channel
                .automatic_mime
                .set(convert::boolean(&flag, At("automatic_mime", 2, "value"))?);
            Ok(())
        },
    )?;
    export(lua, primitives, "empty_channel", |_, object: Value| {
        convert::object::<Channel>(&object, "channel", At("close", 1, "channel"))?
            .emptied
            .set(true);
        Ok(())
    })?;
    export_value(
        lua,
        primitives,
        "send_msg",
        |lua, (object, content, size): (Given<Channel>, Content, Value)| {
            send_msg(lua, "send_msg", object, content, &size)
        },
    )?;
    export(lua, primitives, "send_request", send_request)?;
    export_value(lua, primitives, "send_rpy", |lua, arguments| {
        send_reply(lua, "send_rpy", Reply::Rpy, arguments)
    })?;
    export_value(lua, primitives, "send_err", |lua, arguments| {
        send_reply(lua, "send_err", Reply::Err, arguments)
    })?;
    export_value(lua, primitives, "send_ans", |lua, arguments| {
        send_reply(lua, "send_ans", Reply::Ans, arguments)
    })?;
    export_value(
        lua,
        primitives,
        "finalize_ans",
        |lua, (object, msgno): (Value, Value)| {
            let (channel, _) = state_of(&object, At("finalize_ans", 1, "channel"))?;
            let msgno = convert::msgno(lua, &msgno, At("finalize_ans", 2, "msg_no"))?;
            channel
                .session()?
                .send_nul(channel.number, msgno)
                .map_err(|error| send_failure(&error))?;
            Ok(true)
        },
    )?;
    export(
        lua,
        primitives,
        "set_complete_flag",
        |_, (object, flag): (Value, Value)| {
            let (channel, _) = state_of(&object, At("set_complete_flag", 1, "channel"))?;
            let joined = convert::boolean(&flag, At("set_complete_flag", 2, "flag"))?;
            if let Ok(session) = channel.session() {
                session.set_reassembly(channel.number, joined);
            }
            Ok(())
        },
    )?;
    export_value(lua, primitives, "pending", |_, object: Value| {
        let (channel, _) = state_of(&object, At("pending", 1, "channel"))?;
        let state = channel
            .session()
            .ok()
            .and_then(|session| session.channel(channel.number));
        Ok(state.map_or(0, |state| state.queued_octets))
    })?;
    // Whether a channel could be lent by a pool: open, nothing outstanding.
    export_value(
        lua,
        primitives,
        "is_channel_idle",
        |lua, (key, uid): (u64, u64)| {
            let found = find(lua, key, uid).ok();
            Ok(found.is_some_and(|(session, channel)| channel.is_idle(&session)))
        },
    )?;
    // Asks the peer to close the channel; CLOSED or CLOSE_FAILED follows.
    export(
        lua,
        primitives,
        "close_channel",
        |lua, (key, uid): (u64, u64)| {
            let (session, channel) = find(lua, key, uid)?;
            session
                .close(channel.number, ReplyCode::SUCCESS, None)
                .map_err(|error| usage_failure(&error))?;
            Ok(())
        },
    )?;
    // The answer to the peer's start: accepted, with content if there is some, or refused with a code and a text.
    export(lua, primitives, "answer_start", answer_start)?;
    export(
        lua,
        primitives,
        "answer_close",
        |lua, (key, uid, accept): (u64, u64, bool)| {
            let (session, channel) = find(lua, key, uid)?;
            let answered = if accept {
                session.accept_close(channel.number)
            } else {
                let error = ErrorReply::new(ReplyCode::ACTION_REFUSED, "the close handler refused");
                session.refuse_close(channel.number, error)
            };
            answered.map_err(|error| usage_failure(&error))
        },
    )
}

fn find(lua: &Lua, key: u64, uid: u64) -> Result<(Session, Rc<ChannelState>), Failure> {
    let gone = || Failure::new(status::FORCED_CLOSE, "the channel is closed");
    let connection = State::of(lua).connection(key).ok_or_else(gone)?;
    let session = connection.session().ok_or_else(gone)?;
    let channel = connection.channels.borrow().by_uid(uid).ok_or_else(gone)?;
    Ok((session, channel))
}

fn answer_start(
    lua: &Lua,
    (key, uid, offer, accept, second, third): (u64, u64, usize, bool, Value, Value),
) -> Result<(), Failure> {
    let (session, channel) = find(lua, key, uid)?;
    if accept {
        let content = match &second {
            Value::Nil => None,
            value => {
                let text = convert::text(lua, value, At("channel start handler", 2, "content"))?;
                Some(ProfileContent {
                    text,
                    ..ProfileContent::default()
                })
            }
        };
        return session
            .accept_start(channel.number, offer, content)
            .map_err(|error| usage_failure(&error));
    }
    let code = convert::whole(lua, &second, At("channel start handler", 2, "code")).ok();
    let code = code
        .and_then(|code| u16::try_from(code).ok())
        .and_then(ReplyCode::new);
    let text = convert::text(lua, &third, At("channel start handler", 3, "text"));
    let error = ErrorReply::new(
        code.unwrap_or(ReplyCode::SERVICE_NOT_AVAILABLE),
        text.unwrap_or_else(|_| "the start handler refused".to_owned()),
    );
    if let Some(connection) = channel.connection.upgrade() {
        connection.remove_channel(uid);
    }
    session
        .refuse_start(channel.number, error)
        .map_err(|error| usage_failure(&error))
}

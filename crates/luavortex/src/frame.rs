//! `vortex.frame`: a message, or a part of one, as it was received.

use std::cell::Cell;
use std::rc::Rc;

use beep_session::Session;
use beep_session::core::{ChannelNumber, Message, MessageKind};
use mlua::{Lua, MetaMethod, Table, UserData, UserDataMethods, UserDataRegistry, Value};

use crate::convert::{self, At, Given};
use crate::export::{export, export_attributes, export_value};
use crate::meta;
use crate::state::State;

/// The userdata. Stays readable after everything else is gone.
pub(crate) struct Frame {
    id: u64,
    /// The channel it came on.
    channel: u64,
    memory: Rc<FrameMemory>,
    message: Message,
    /// Where the window has to be given back, until it was.
    held: Cell<Option<Held>>,
}

/// Octets of all frames that Lua has not collected. Lua's collector sees objects of a few octets only and would let
/// gigabytes of them pile up.
#[derive(Default)]
pub(crate) struct FrameMemory {
    held: Cell<usize>,
    limit: Cell<usize>,
}

/// Octets of frames that never are a reason to collect.
const HELD_LEAST: usize = 16 << 20;

impl FrameMemory {
    /// Collects when twice as much is held as after the last time.
    pub(crate) fn collect_if_due(&self, lua: &Lua) {
        if self.held.get() <= self.limit.get().max(HELD_LEAST) {
            return;
        }
        // An error in a finaliser is not ours to report here.
        let _ = lua.gc_collect();
        self.limit.set(self.held.get().saturating_mul(2));
    }
}

/// What a frame keeps from its sender while nobody is done with it.
struct Held {
    session: Session,
    channel: ChannelNumber,
}

impl Frame {
    pub(crate) fn new(
        id: u64,
        uid: u64,
        memory: Rc<FrameMemory>,
        message: Message,
        session: Session,
        channel: ChannelNumber,
    ) -> Self {
        memory.held.set(memory.held.get() + message.content().len());
        Frame {
            id,
            channel: uid,
            memory,
            message,
            held: Cell::new(Some(Held { session, channel })),
        }
    }

    /// A frame that came in no window: content that rode in the answer to a start.
    pub(crate) fn without_window(
        id: u64,
        uid: u64,
        memory: Rc<FrameMemory>,
        message: Message,
    ) -> Self {
        memory.held.set(memory.held.get() + message.content().len());
        Frame {
            id,
            channel: uid,
            memory,
            message,
            held: Cell::new(None),
        }
    }

    /// The script is done with the frame: the peer may send as much again.
    fn consume(&self) {
        if let Some(held) = self.held.take() {
            held.session
                .consume(held.channel, self.message.content().len());
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.consume();
        let held = self
            .memory
            .held
            .get()
            .saturating_sub(self.message.content().len());
        self.memory.held.set(held);
    }
}

impl UserData for Frame {
    fn register(registry: &mut UserDataRegistry<Self>) {
        meta::add(registry, "frame");
        registry.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            Ok(format!(
                "vortex.frame {:p}",
                std::ptr::from_ref(&this.message)
            ))
        });
    }
}

fn keyword(kind: MessageKind) -> &'static str {
    kind.keyword()
}

const ATTRIBUTES: &[&str] = &[
    "payload",
    "msg_no",
    "msgno",
    "type",
    "payload_size",
    "content",
    "content_size",
    "content_type",
    "seqno",
    "seq_no",
    "ansno",
    "ans_no",
    "more_flag",
    "id",
    "ref_count",
];

/// What `frame.NAME` reads.
fn attribute(lua: &Lua, frame: &Frame, name: &str) -> Value {
    let message = &frame.message;
    let octets = |octets: &[u8]| lua.create_string(octets).map_or(Value::Nil, Value::String);
    let number = |number: usize| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    match name {
        "type" => octets(keyword(message.kind).as_bytes()),
        "msgno" | "msg_no" => Value::Integer(message.msgno.value().into()),
        "seqno" | "seq_no" => Value::Integer(message.seqno.value().into()),
        "ansno" | "ans_no" => Value::Integer(message.ansno.map_or(0, |ansno| ansno.value().into())),
        "more_flag" => Value::Boolean(message.more),
        "payload" => octets(message.payload_octets()),
        "payload_size" => number(message.payload_octets().len()),
        "content" => octets(message.content()),
        "content_size" => number(message.content().len()),
        "content_type" => message
            .header("content-type")
            .map_or(Value::Nil, |value| octets(&value)),
        "id" => Value::Integer(i64::try_from(frame.id).unwrap_or(i64::MAX)),
        "ref_count" => Value::Integer(1),
        _ => Value::Nil,
    }
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export_attributes(lua, primitives, "frame", ATTRIBUTES, attribute)?;
    export(
        lua,
        primitives,
        "frame_header",
        |lua, (object, name): (Value, Value)| {
            let frame = convert::object::<Frame>(&object, "frame", At("header", 1, "frame"))?;
            let name = convert::text(lua, &name, At("header", 2, "name"))?;
            let header = frame.message.header(&name);
            Ok(header.and_then(|value| lua.create_string(&value).ok()))
        },
    )?;
    // The handler of the frame is done, or there is none; takes the timer back that limited the wait for it. Returns
    // the uid of the channel it came on.
    export_value(
        lua,
        primitives,
        "consume_frame",
        |lua, (frame, timer): (Given<Frame>, Option<u64>)| {
            let frame = convert::given(frame, "frame", At("consume", 1, "frame"))?;
            frame.consume();
            if let Some(timer) = timer
                && let Some(engine) = State::of(lua).running_engine()
            {
                engine.cancel_timer(timer);
            }
            Ok(frame.channel)
        },
    )
}

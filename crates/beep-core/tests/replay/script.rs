//! What the recorded application did, as commands for our engine.

use std::collections::BTreeMap;

use beep_core::management::{parse_error, parse_greeting, parse_request};
use beep_core::{
    ChannelNumber, Close, DocumentLimits, ErrorReply, Greeting, MessageKind, Outgoing, Request,
    Role, Start, StartRequest,
};

use crate::captures::Recording;
use crate::wire::{Id, Recorded, messages};

/// Profiles under which the transport changes.
pub(crate) const TUNING_PROFILES: [&str; 2] =
    ["http://iana.org/beep/TLS", "http://iana.org/beep/TUNNEL"];

/// Commands that the application gave before the peer's last step reached it, so that the requests of both
/// sides crossed, or one had to wait: recording, side, step in which the octets stand.
const GIVEN_A_STEP_EARLIER: [(&str, Role, u64); 2] = [
    ("close-crossed", Role::Initiator, 7),
    ("close-waits-for-reply", Role::Initiator, 7),
];

/// Octets that make a message, of which the recording has but the front, longer than any window in it.
const FILLER: usize = 100_000;

/// Something that the application does.
#[derive(Debug)]
pub(crate) enum Command {
    Greet(Greeting),
    RefuseSession(ErrorReply),
    Start(StartRequest),
    Close(Close),
    /// The answer to a request of the peer on channel 0.
    Answer {
        msgno: u32,
        kind: MessageKind,
        content: Vec<u8>,
    },
    /// A message on another channel.
    Send {
        id: Id,
        content: Outgoing,
    },
}

/// The commands of one side of a recording, and the messages that they make.
#[derive(Debug)]
pub(crate) struct Script {
    /// By session: how the application greets.
    pub(crate) greetings: BTreeMap<u64, Greeting>,
    /// By step, greetings left out.
    pub(crate) commands: BTreeMap<u64, Vec<Command>>,
    /// By step: commands that are given before it, although their octets stand behind it.
    pub(crate) early: BTreeMap<u64, Command>,
    pub(crate) messages: Vec<Recorded>,
}

impl Script {
    pub(crate) fn new(recording: &Recording, side: Role) -> Script {
        let mut script = Script {
            greetings: BTreeMap::new(),
            commands: BTreeMap::new(),
            early: BTreeMap::new(),
            messages: messages(recording, side),
        };
        let mut ordered: Vec<&Recorded> = script.messages.iter().collect();
        order_as_given(&mut ordered, recording, side);
        let mut session = 0;
        for message in ordered {
            let is_first = message.session > session;
            session = message.session;
            match command(message, is_first) {
                Command::Greet(greeting) => {
                    script.greetings.insert(message.session, greeting);
                }
                command => script
                    .commands
                    .entry(message.begun)
                    .or_default()
                    .push(command),
            }
        }
        for (name, role, step) in GIVEN_A_STEP_EARLIER {
            if name == recording.name && role == side {
                let commands = script.commands.get_mut(&step).unwrap();
                script.early.insert(step - 1, commands.remove(0));
            }
        }
        script
    }
}

/// Replies are given in the order that the application reported, when it did.
fn order_as_given(messages: &mut [&Recorded], recording: &Recording, side: Role) {
    let events = recording.expected[crate::captures::name_of(side)].as_array();
    let given: Vec<u64> = events
        .into_iter()
        .flatten()
        .filter(|event| event["event"] == "reply_given")
        .map(|event| event["msgno"].as_u64().unwrap())
        .collect();
    let turn = |message: &&Recorded| {
        let is_reply = message.id.channel != 0 && message.id.kind != MessageKind::Msg;
        let position = |msgno| given.iter().position(|given| *given == msgno);
        let position = is_reply.then(|| position(u64::from(message.id.msgno)));
        (message.begun, position.flatten())
    };
    messages.sort_by_key(turn);
}

fn command(message: &Recorded, is_first: bool) -> Command {
    let Recorded { id, content, .. } = message;
    if id.channel != 0 {
        return Command::Send {
            id: *id,
            content: outgoing(message),
        };
    }
    let limits = DocumentLimits::default();
    match id.kind {
        // The first message of a session is the only reply without a request.
        MessageKind::Rpy if is_first => Command::Greet(parse_greeting(content, limits).unwrap()),
        MessageKind::Err if is_first => {
            Command::RefuseSession(parse_error(content, limits).unwrap())
        }
        MessageKind::Msg => match parse_request(content, limits).unwrap() {
            Request::Start(start) => Command::Start(request(start)),
            Request::Close(close) => Command::Close(close),
        },
        kind => Command::Answer {
            msgno: id.msgno,
            kind,
            content: content.clone(),
        },
    }
}

fn request(start: Start) -> StartRequest {
    let is_tuning = |uri: &str| TUNING_PROFILES.contains(&uri);
    StartRequest {
        number: Some(start.number),
        tuning: start.profiles.iter().any(|profile| is_tuning(&profile.uri)),
        profiles: start.profiles,
        server_name: start.server_name,
    }
}

/// The message as the application gave it, with the header part that it, or its engine, had put before it.
fn outgoing(message: &Recorded) -> Outgoing {
    let mut content = message.content.clone();
    if message.completed.is_none() {
        content.resize(content.len() + FILLER, b'.');
    }
    let body = content.split_off(message.headers.min(content.len()));
    Outgoing::with_headers(content, body)
}

/// A channel number out of a recording.
pub(crate) fn number(value: u32) -> ChannelNumber {
    ChannelNumber::new(value).unwrap()
}

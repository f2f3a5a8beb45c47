//! Holding what our engine did against the recording: messages sent, messages received, the session's end.

use beep_core::management::{parse_error, parse_greeting, parse_ok, parse_profile, parse_request};
use beep_core::{
    DocumentError, DocumentLimits, ErrorReply, Greeting, MessageKind, ProfileOffer, Request, Role,
    SessionEnd,
};

use crate::captures::{Recording, What, other};
use crate::player::Player;
use crate::seen::Seen;
use crate::sent::Message;
use crate::wire::{Id, Recorded, messages};

/// What a message on channel 0 says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Greeting(Greeting),
    Request(Request),
    Profile(ProfileOffer),
    Ok,
    Error(ErrorReply),
}

pub(crate) fn document(kind: MessageKind, content: &[u8]) -> Result<Document, DocumentError> {
    let limits = DocumentLimits::default();
    match kind {
        MessageKind::Msg => Ok(Document::Request(parse_request(content, limits).unwrap())),
        MessageKind::Err => parse_error(content, limits).map(Document::Error),
        _ => parse_ok(content, limits)
            .map(|()| Document::Ok)
            .or_else(|_| parse_profile(content, limits).map(Document::Profile))
            .or_else(|_| parse_greeting(content, limits).map(Document::Greeting)),
    }
}

/// Compares what our side sent, channel by channel; the differences that are meant to be come back.
pub(crate) fn sent(recording: &Recording, player: &Player) -> Vec<String> {
    assert!(player.sent.is_between_frames());
    let mut notes = Vec::new();
    let recorded = &player.script.messages;
    let mut channels: Vec<_> = recorded.iter().map(place_of).collect();
    let ours = player.sent.messages.iter();
    channels.extend(ours.map(|message| (message.session, message.id.channel)));
    channels.sort_unstable();
    channels.dedup();
    for place in channels {
        let wanted = recorded.iter().filter(|message| place_of(message) == place);
        let ours = player.sent.messages.iter();
        let ours = ours.filter(|message| (message.session, message.id.channel) == place);
        let (wanted, ours): (Vec<_>, Vec<_>) = (wanted.collect(), ours.collect());
        let wanted_ids: Vec<Id> = wanted.iter().map(|message| message.id).collect();
        let our_ids: Vec<Id> = ours.iter().map(|message| message.id).collect();
        assert_eq!(our_ids, wanted_ids, "messages sent on channel {place:?}");
        for (wanted, ours) in wanted.iter().zip(&ours) {
            notes.extend(one_sent(recording, wanted, ours));
        }
    }
    notes
}

fn place_of(message: &Recorded) -> (u64, u32) {
    (message.session, message.id.channel)
}

/// Compares one message; a difference that is meant to be comes back.
pub(crate) fn one_sent(recording: &Recording, wanted: &Recorded, ours: &Message) -> Option<String> {
    let id = wanted.id;
    assert_eq!(ours.is_complete, wanted.completed.is_some(), "{id:?}");
    if id.channel == 0 {
        let mut wanted = document(id.kind, &wanted.content).unwrap();
        let ours = document(id.kind, &ours.content).unwrap();
        let mut note = None;
        if wanted != ours
            && let Document::Request(Request::Start(start)) = &mut wanted
            && let Some(name) = start.server_name.take()
        {
            let (recording, channel) = (&recording.name, start.number);
            note = Some(format!("{recording}: start {channel} without {name}"));
        }
        assert_eq!(ours, wanted, "{id:?}");
        return note;
    }
    if id.kind == MessageKind::Nul {
        // Ours carries nothing; that of the C engine may have the empty header line.
        assert!(ours.content.is_empty());
        assert!(wanted.content.is_empty() || wanted.content == b"\r\n");
    } else if ours.is_complete {
        assert!(ours.content == wanted.content, "content of {id:?}");
    } else {
        // The wire was cut: what had been sent of the recorded message is the front of ours.
        let common = ours.content.len().min(wanted.content.len());
        assert!(common > 0 && ours.content[..common] == wanted.content[..common]);
    }
    None
}

/// Every message of the peer on a data channel was handed over once, whole, and in the order of the wire.
///
/// `before` is the step at which the engine stopped listening.
pub(crate) fn received(recording: &Recording, role: Role, player: &Player, before: u64) {
    let mut wanted: Vec<Recorded> = messages(recording, other(role));
    wanted.retain(|message| {
        message.id.channel != 0 && message.completed.is_some_and(|(step, _)| step < before)
    });
    wanted.sort_by_key(|message| message.completed.map(|(_, frame)| frame));
    let got = player.seen.iter().filter_map(|seen| match seen {
        Seen::Message { channel, message } => Some((*channel, message)),
        _ => None,
    });
    let got: Vec<_> = got.collect();
    assert_eq!(got.len(), wanted.len(), "messages received");
    for ((channel, message), wanted) in got.into_iter().zip(&wanted) {
        let id = Id {
            kind: message.kind,
            channel,
            msgno: message.msgno.value(),
            ansno: message.ansno.map(|ansno| ansno.value()),
        };
        assert_eq!(id, wanted.id);
        assert!(!message.more);
        assert!(message.content()[..] == wanted.content, "content of {id:?}");
        // The recorder found no headers where a frame ends among them; the events tell the payload all the same.
        if wanted.headers > 0 {
            let payload = &wanted.content[wanted.headers..];
            assert!(message.payload()[..] == *payload, "payload of {id:?}");
        }
    }
}

/// The session is in the state that the last steps of the recording show.
pub(crate) fn end(recording: &Recording, role: Role, player: &Player) {
    let got = player.session.end();
    let is_held = player.session.is_input_held();
    let peer = messages(recording, other(role));
    let own = &player.script.messages;
    if let Some(error) = refusal(own) {
        assert_eq!(got, Some(&SessionEnd::Refused(error)));
    } else if let Some(error) = refusal(&peer) {
        assert_eq!(got, Some(&SessionEnd::GreetingRefused(error)));
    } else if asks_for_release(own) || asks_for_release(&peer) {
        let by_peer = asks_for_release(&peer);
        assert_eq!(got, Some(&SessionEnd::Released { by_peer }));
    } else if let Some((from, end)) = first_end(recording) {
        if from == role && end == "fin" {
            assert_eq!(got, Some(&SessionEnd::Aborted));
        } else {
            let mid_frame = peer.iter().any(|message| message.completed.is_none());
            assert_eq!(got, Some(&SessionEnd::PeerHungUp { mid_frame }));
        }
    } else {
        // The recording stops where another layer begins, of which our engine has taken nothing.
        assert_eq!(got, None);
        assert!(is_held);
        assert_eq!(player.untaken > 0, role == Role::Listener);
        return;
    }
    assert_eq!(player.untaken, 0);
    assert!(player.session.should_hang_up());
    assert!(matches!(player.seen.last(), Some(Seen::Ended(_))));
}

/// The first end of the stream in a recording.
pub(crate) fn first_end(recording: &Recording) -> Option<(Role, &str)> {
    recording.steps.iter().find_map(|step| match &step.what {
        What::End(end) => Some((step.from, end.as_str())),
        What::Octets { .. } => None,
    })
}

fn refusal(messages: &[Recorded]) -> Option<ErrorReply> {
    let first = messages.first()?;
    match document(first.id.kind, &first.content) {
        Ok(Document::Error(error)) => Some(error),
        _ => None,
    }
}

/// Whether one of the messages asks to close channel 0.
pub(crate) fn asks_for_release(messages: &[Recorded]) -> bool {
    messages.iter().any(|message| {
        let is_request = message.id.channel == 0 && message.id.kind == MessageKind::Msg;
        is_request
            && parse_request(&message.content, DocumentLimits::default()).is_ok_and(
                |request| matches!(request, Request::Close(close) if close.number.is_management()),
            )
    })
}

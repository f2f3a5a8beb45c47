//! Holding what our application saw against the events that the recorded one reported.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use beep_core::{Message, Role, SessionEnd};
use serde_json::Value;

use crate::captures::{Recording, name_of};
use crate::seen::Seen;

/// Events that say nothing of the protocol core: remarks of the recorded script, the C engine's own numbers, and
/// what the profiles above the core made of messages that are compared as octets.
const NOT_OF_THE_CORE: [&str; 16] = [
    "alive",
    "auth",
    "auth_request",
    "close_wanted",
    "connection_accepted",
    "connection_close_wanted",
    "connection_refused",
    "no_reply",
    "reply_given",
    "tls",
    "tls_asked",
    "tunnel",
    "xml_rpc_boot",
    "xml_rpc_call",
    "xml_rpc_fault",
    "xml_rpc_result",
];

/// Profiles that the C engine handles itself: its application sees neither their channels nor their messages.
const HANDLED_BELOW_THE_APPLICATION: [&str; 2] = ["http://iana.org/beep/", "urn:aspl.es:beep:"];

/// Compares the events of one side. Those of different channels may come in another order, those of one may not.
pub(crate) fn compare(recording: &Recording, role: Role, seen: &[Seen]) {
    let events = recording.expected[name_of(role)].as_array();
    let mut matcher = Matcher {
        seen,
        taken: vec![false; seen.len()],
        after: BTreeMap::new(),
    };
    let is_hand_made = recording.rule.is_some();
    for event in events.into_iter().flatten() {
        let kind = event["event"].as_str().unwrap();
        // A hand-made side does not end its sessions, the recorder does.
        let is_end = kind.starts_with("connection_");
        if NOT_OF_THE_CORE.contains(&kind) || (is_hand_made && is_end) {
            continue;
        }
        assert!(
            matcher.matches(kind, event),
            "expected {event}, saw {seen:#?}"
        );
    }
    matcher.check_what_is_left();
}

struct Matcher<'a> {
    seen: &'a [Seen],
    taken: Vec<bool>,
    /// How far each channel, and each kind of event without a channel, has come.
    after: BTreeMap<String, usize>,
}

impl Matcher<'_> {
    fn matches(&mut self, kind: &str, event: &Value) -> bool {
        let channel = event["channel"].as_u64();
        match kind {
            "connected" => {
                let has_greeted = self
                    .seen
                    .iter()
                    .any(|seen| matches!(seen, Seen::Greeted(_)));
                event["ok"] == has_greeted
            }
            "connection_closed" => {
                event["ok"] != true
                    || matches!(
                        self.seen.last(),
                        Some(Seen::Ended(SessionEnd::Released { .. }))
                    )
            }
            // Handed over to another layer; where the recording stops there, the session is held.
            "connection_down" if event["status"] == 12 => {
                self.seen.contains(&Seen::Tuned) || !self.has_ended()
            }
            "connection_down" => self.has_ended(),
            "state" => self.state(event),
            "error" if event["code"].as_i64().is_none_or(|code| code < 100) => true,
            "mime_header" => self.seen.iter().any(|seen| has_header(seen, event)),
            _ => {
                // What rode in an answer is reported behind the channel that the answer opened.
                let is_extra = kind == "start_content" || kind == "error";
                let key = match channel {
                    Some(number) if !is_extra => number.to_string(),
                    _ => kind.to_owned(),
                };
                let from = self.after.get(&key).copied().unwrap_or(0);
                let found = (from..self.seen.len())
                    .find(|at| is_seen(&self.seen[*at], kind, channel, event));
                if let Some(at) = found {
                    self.taken[at] |= !is_extra;
                    self.after.insert(key, at + 1);
                }
                found.is_some()
            }
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.seen.last(), Some(Seen::Ended(_)))
    }

    fn state(&self, event: &Value) -> bool {
        if let Some(features) = event["features"].as_str() {
            let localize = event["localize"].as_str();
            return self.seen.iter().any(|seen| {
                matches!(seen, Seen::Greeted(greeting) if greeting.features.as_deref() == Some(features)
                    && greeting.localize.as_deref() == localize)
            });
        }
        true
    }

    /// Nothing was seen beyond what the recording has, save what its engine keeps from its application.
    fn check_what_is_left(&self) {
        let is_hidden = |uri: &str| {
            HANDLED_BELOW_THE_APPLICATION
                .iter()
                .any(|front| uri.starts_with(front))
        };
        let mut profiles = BTreeMap::new();
        for (seen, is_taken) in self.seen.iter().zip(&self.taken) {
            match seen {
                // A start for a profile that it does not have the C engine refuses by itself.
                Seen::StartAsked {
                    is_accepted: false, ..
                } => {}
                Seen::Opened { channel, uri, .. } | Seen::StartAsked { channel, uri, .. } => {
                    profiles.insert(*channel, uri);
                    assert!(*is_taken || is_hidden(uri), "not expected: {seen:?}");
                }
                Seen::Message { channel, .. } => {
                    assert!(
                        *is_taken || is_hidden(profiles[channel]),
                        "not expected: {seen:?}"
                    );
                }
                _ => {}
            }
        }
    }
}

fn is_seen(seen: &Seen, kind: &str, wanted: Option<u64>, event: &Value) -> bool {
    let text = |key: &str| event[key].as_str();
    let is_here = |channel: u32| wanted == Some(u64::from(channel));
    let has_profile = |uri: &str| text("profile").is_none_or(|profile| profile == uri);
    match (kind, seen) {
        ("channel_open", Seen::Opened { channel, uri, .. }) => {
            is_here(*channel) && has_profile(uri)
        }
        (
            "start_content",
            Seen::Opened {
                channel, content, ..
            },
        ) => is_here(*channel) && text("text") == content.as_deref(),
        ("channel_refused", Seen::StartRefused(_)) => true,
        (
            "error",
            Seen::StartRefused(error)
            | Seen::SessionRefused(error)
            | Seen::CloseRefused { error, .. },
        ) => event["code"] == error.code.value() && text("text") == Some(&error.text),
        (
            "start_accepted" | "start_denied" | "start_asked",
            Seen::StartAsked {
                channel,
                is_accepted,
                uri,
                content,
                is_base64,
                server_name,
            },
        ) => {
            let encoding = if *is_base64 { "base64" } else { "none" };
            is_here(*channel)
                && has_profile(uri)
                && match kind {
                    "start_accepted" => *is_accepted,
                    "start_denied" => !is_accepted,
                    _ => true,
                }
                && text("content").is_none_or(|wanted| wanted == content)
                && text("encoding").is_none_or(|wanted| wanted == encoding)
                && text("server_name").is_none_or(|name| server_name.as_deref() == Some(name))
        }
        (
            "close_asked",
            Seen::CloseAsked {
                channel,
                is_accepted,
            },
        ) => is_here(*channel) && event["accepted"] == *is_accepted,
        ("channel_closed", Seen::Closed { channel }) => is_here(*channel) && event["ok"] == true,
        ("channel_closed", Seen::CloseRefused { channel, .. }) => {
            is_here(*channel) && event["ok"] == false
        }
        ("frame", Seen::Message { channel, message }) => {
            is_here(*channel) && is_message(message, event)
        }
        _ => false,
    }
}

fn is_message(message: &Message, event: &Value) -> bool {
    let payload = message.payload();
    let text = |key: &str| event[key].as_str();
    let is_payload = if let Some(payload_text) = text("payload") {
        payload == payload_text.as_bytes()
    } else if let Some(base64) = text("payload_base64") {
        payload == BASE64_STANDARD.decode(base64).unwrap()
    } else if let Some(octets) = event["payload_pattern"].as_u64() {
        let mut wanted = text("payload_before_pattern")
            .unwrap_or_default()
            .as_bytes()
            .to_vec();
        wanted.extend(pattern(octets as usize));
        payload == wanted
    } else {
        // Without a pattern only the size is told; the octets are compared with those of the wire.
        event["payload_size"] == payload.len()
    };
    let content_type = message.header("content-type");
    is_payload
        && text("type") == Some(message.kind.keyword())
        && event["msgno"] == message.msgno.value()
        && event["ansno"].as_u64() == message.ansno.map(|ansno| ansno.value().into())
        && text("content_type")
            .is_none_or(|wanted| content_type.as_deref() == Some(wanted.as_bytes()))
}

fn has_header(seen: &Seen, event: &Value) -> bool {
    let Seen::Message { message, .. } = seen else {
        return false;
    };
    let (name, value) = (&event["name"], &event["value"]);
    let line = format!(
        "{}: {}\r\n",
        name.as_str().unwrap(),
        value.as_str().unwrap()
    );
    let content = message.content();
    content
        .windows(line.len())
        .any(|octets| octets == line.as_bytes())
}

/// The text that long payloads of the recordings are made of.
fn pattern(octets: usize) -> Vec<u8> {
    let line = |number: usize| {
        format!("{number:06} abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n").into_bytes()
    };
    (0..).flat_map(line).take(octets).collect()
}

//! What the documents of channel 0 say, in one line, and what they do to the session.

use beep_session::core::management::{
    parse_error, parse_greeting, parse_ok, parse_profile, parse_request,
};
use beep_session::core::{
    Close, DocumentLimits, MessageKind, ProfileContent, ReadyAnswer, Request, Start,
    parse_ready_answer,
};

/// Characters of content that rides along, as they are shown.
const CONTENT_SHOWN: usize = 60;

/// What a document does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    Nothing,
    /// Asks for a channel.
    Start(u32),
    /// Asks to close a channel, or with 0 to release the session.
    Close(u32),
    /// Agrees to a start, with this profile.
    Chosen(String),
    /// Agrees to a close.
    Ok,
}

/// What a document says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meaning {
    /// In one line.
    pub(super) text: String,
    pub(super) effect: Effect,
    /// The peer says no.
    pub(super) is_refusal: bool,
    /// The document cannot be read.
    pub(super) fault: Option<String>,
}

impl Meaning {
    fn new(text: String, effect: Effect) -> Self {
        Meaning {
            text,
            effect,
            is_refusal: false,
            fault: None,
        }
    }

    fn fault(what: &str, why: impl std::fmt::Display) -> Self {
        Meaning {
            text: what.to_owned(),
            effect: Effect::Nothing,
            is_refusal: false,
            fault: Some(format!("{what} that cannot be read: {why}")),
        }
    }
}

/// Reads a message of channel 0. `is_greeting`: it is the first one of its side.
pub(super) fn read(kind: MessageKind, is_greeting: bool, content: &[u8]) -> Meaning {
    let limits = DocumentLimits::default();
    match kind {
        MessageKind::Msg => match parse_request(content, limits) {
            Ok(Request::Start(start)) => self::start(&start),
            Ok(Request::Close(close)) => self::close(&close),
            Err(error) => Meaning::fault("request", error),
        },
        MessageKind::Err => match parse_error(content, limits) {
            Ok(error) => Meaning {
                is_refusal: true,
                ..Meaning::new(format!("error {error}"), Effect::Nothing)
            },
            Err(error) => Meaning::fault("error", error),
        },
        MessageKind::Rpy if is_greeting => match parse_greeting(content, limits) {
            Ok(greeting) => {
                let mut text = "greeting".to_owned();
                if !greeting.profiles.is_empty() {
                    text += &format!(", offers {}", greeting.profiles.join(" "));
                }
                if let Some(features) = greeting.features {
                    text += &format!(", features {features}");
                }
                Meaning::new(text, Effect::Nothing)
            }
            Err(error) => Meaning::fault("greeting", error),
        },
        MessageKind::Rpy => match (parse_profile(content, limits), parse_ok(content, limits)) {
            (Ok(profile), _) => {
                let refusal = refusal(profile.content.as_ref());
                let content = match &refusal {
                    Some(refusal) => format!(", {refusal}"),
                    None => content_text(profile.content.as_ref()),
                };
                let text = format!("profile {}{content}", profile.uri);
                Meaning {
                    is_refusal: refusal.is_some(),
                    ..Meaning::new(text, Effect::Chosen(profile.uri))
                }
            }
            (_, Ok(())) => Meaning::new("ok".to_owned(), Effect::Ok),
            (Err(error), _) => Meaning::fault("reply", error),
        },
        MessageKind::Ans | MessageKind::Nul => {
            Meaning::fault("answer in a series", "channel 0 has none (RFC 3080 §2.3)")
        }
    }
}

/// TLS and SASL say no in the content of a positive answer; the channel is open all the same.
fn refusal(content: Option<&ProfileContent>) -> Option<String> {
    match parse_ready_answer(content, DocumentLimits::default()) {
        Ok(ReadyAnswer::Refused(error)) => Some(format!("error {error}")),
        _ => None,
    }
}

/// The same in a message on the channel of a SASL mechanism.
pub(super) fn sasl_refusal(payload: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(payload).ok()?;
    refusal(Some(&ProfileContent::new(text)))
}

fn start(start: &Start) -> Meaning {
    let profiles = start.profiles.iter().map(|profile| {
        let content = content_text(profile.content.as_ref());
        format!("{}{content}", profile.uri)
    });
    let profiles: Vec<String> = profiles.collect();
    let mut text = format!("start channel {}: {}", start.number, profiles.join(" or "));
    if let Some(name) = &start.server_name {
        text += &format!(", serverName {name}");
    }
    Meaning::new(text, Effect::Start(start.number.value()))
}

fn close(close: &Close) -> Meaning {
    let mut text = if close.number.is_management() {
        "release the session".to_owned()
    } else {
        format!("close channel {}", close.number)
    };
    text += &format!(", code {}", close.code);
    if let Some(remark) = &close.text {
        text += &format!(": {remark}");
    }
    Meaning::new(text, Effect::Close(close.number.value()))
}

fn content_text(content: Option<&ProfileContent>) -> String {
    let Some(content) = content else {
        return String::new();
    };
    let text = content.text.trim();
    let mut shown: String = text.chars().take(CONTENT_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!(" with '{shown}'")
}

//! What passed, as one JSON object: for `trace show --json` and for the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use serde::Serialize;

use super::analysis::{Content, Malformed};
use super::recording::Side;
use super::session::{Frame, Level};

/// What passed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Row {
    us: u64,
    /// When the first octet came, if that was earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_us: Option<u64>,
    session: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Side>,
    /// `MSG`, `RPY`, `ERR`, `ANS`, `NUL`, `SEQ`; `malformed`, `unread`, `tls`, `end`.
    kind: &'static str,
    /// The header line of a frame, without its CRLF.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msgno: Option<u32>,
    /// Octets of payload, or of what is no frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meaning: Option<String>,
    /// The payload, if it is UTF-8; else the next field.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    /// Octets of the payload that are not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u64>,
    /// Where in the payload the octet is that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong_at: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    refusal: bool,
    /// For the end of a reply: time since its MSG began.
    #[serde(skip_serializing_if = "Option::is_none")]
    after_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
}

// The signature is what serde asks for.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Row {
    /// Of each payload at most `payload_max` octets.
    pub(super) fn new(frame: &Frame, payload_max: usize) -> Self {
        let mut row = Row {
            us: frame.us,
            begun_us: (frame.begun_us != frame.us).then_some(frame.begun_us),
            session: frame.session,
            from: Some(frame.from),
            header: header_line(&frame.content),
            profile: frame.profile.clone(),
            meaning: frame.meaning.clone(),
            faults: frame.faults.clone(),
            refusal: frame.is_refusal,
            after_us: frame.after_us,
            level: frame.level,
            ..Row::default()
        };
        match &frame.content {
            Content::Data { header, payload } => {
                row.kind = header.kind.keyword();
                row.channel = Some(header.channel.value());
                row.msgno = Some(header.msgno.value());
                row.set_payload(payload, u64::from(header.size), payload_max);
            }
            Content::Seq(header) => {
                row.kind = "SEQ";
                row.channel = Some(header.channel.value());
            }
            Content::Malformed(Malformed { octets, index, .. }) => {
                row.kind = "malformed";
                row.wrong_at = Some(*index);
                // In base64 always: octets are what matters here.
                row.payload_base64 = Some(STANDARD.encode(octets));
            }
            Content::Unread { octets, count } => {
                row.kind = "unread";
                row.set_payload(octets, *count as u64, payload_max);
            }
            Content::Encrypted { count } => {
                row.kind = "tls";
                row.size = Some(*count as u64);
            }
            Content::Ended { .. } => row.kind = "end",
        }
        row
    }

    fn set_payload(&mut self, octets: &[u8], size: u64, payload_max: usize) {
        self.size = Some(size);
        let mut shown = octets.get(..payload_max).unwrap_or(octets);
        if shown.len() < octets.len() {
            // A character that the limit cut through is left out as a whole.
            let text = std::str::from_utf8(shown);
            let valid = text.map_or_else(|error| error.valid_up_to(), str::len);
            if shown.len() - valid < 4 {
                shown = shown.get(..valid).unwrap_or(shown);
            }
        }
        let left_out = size.saturating_sub(shown.len() as u64);
        self.left_out = (left_out > 0).then_some(left_out);
        match std::str::from_utf8(shown) {
            Ok(text) => self.payload = Some(text.to_owned()),
            Err(_) => self.payload_base64 = Some(STANDARD.encode(shown)),
        }
    }
}

/// The header line of a frame, without its CRLF.
pub(super) fn header_line(content: &Content) -> Option<String> {
    let mut line = BytesMut::new();
    match content {
        Content::Data { header, .. } => header.encode(&mut line),
        Content::Seq(header) => header.encode(&mut line),
        Content::Malformed(Malformed {
            frame: Some((header, _)),
            ..
        }) => header.encode(&mut line),
        _ => return None,
    }
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

//! Asking the peer for a channel.

use beep_session::core::{Encoding, ProfileContent, ProfileOffer, StartRequest, UsageError};
use mlua::{Lua, Value};

use super::{Part, is_emptied, state_of};
use crate::channel::ChannelState;
use crate::convert::{self, At};
use crate::export::{Failure, Misuse};
use crate::state::State;
use crate::status;

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
pub(super) fn start(
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
    if let (Some(content), Encoding::Base64) = (&content, encoding)
        && !is_base64(content)
    {
        return Err(at
            .says("it is not base64, which encoding says it is: encode it first")
            .into());
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

/// Whether a text can be base64 (RFC 4648 §4); line breaks and blanks are left out of account.
fn is_base64(text: &str) -> bool {
    let symbols: Vec<u8> = text
        .bytes()
        .filter(|symbol| !symbol.is_ascii_whitespace())
        .collect();
    let padding = symbols
        .iter()
        .rev()
        .take_while(|symbol| **symbol == b'=')
        .count();
    let (digits, _) = symbols.split_at(symbols.len() - padding);
    symbols.len().is_multiple_of(4)
        && padding <= 2
        && digits
            .iter()
            .all(|symbol| symbol.is_ascii_alphanumeric() || matches!(symbol, b'+' | b'/'))
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

//! What ties an exchange to its TLS session (RFC 5802 §6, RFC 9266, RFC 5929).

use super::super::Binding;

const EXPORTER: &str = "tls-exporter";
const SERVER_END_POINT: &str = "tls-server-end-point";

impl Binding {
    /// The octets of a kind of binding.
    pub(super) fn data(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            EXPORTER => self.exporter.as_deref(),
            SERVER_END_POINT => self.server_end_point.as_deref(),
            _ => None,
        }
    }

    /// Whether there is any.
    pub(super) fn is_there(&self) -> bool {
        self.exporter.is_some() || self.server_end_point.is_some()
    }
}

/// What a client says of channel binding.
#[derive(Clone, Debug)]
pub(in crate::sasl) enum ClientBinding {
    /// It has none.
    NotThere,
    /// It has one, and the server seems to have none.
    NotOffered,
    /// It uses this one.
    Used { kind: &'static str, data: Vec<u8> },
}

impl ClientBinding {
    /// The exporter first: it names the session itself, not only the server.
    pub(in crate::sasl) fn new(binding: Option<&Binding>, peer_offers_plus: bool) -> Self {
        let used = |kind| {
            let data = binding?.data(kind)?.to_vec();
            Some(Self::Used { kind, data })
        };
        match used(EXPORTER).or_else(|| used(SERVER_END_POINT)) {
            None => Self::NotThere,
            Some(_) if !peer_offers_plus => Self::NotOffered,
            Some(used) => used,
        }
    }

    pub(in crate::sasl) fn is_used(&self) -> bool {
        matches!(self, Self::Used { .. })
    }

    /// The flag in front of the first message (RFC 5802 §7, `gs2-cbind-flag`).
    pub(super) fn flag(&self) -> String {
        match self {
            Self::NotThere => "n".to_owned(),
            Self::NotOffered => "y".to_owned(),
            Self::Used { kind, .. } => format!("p={kind}"),
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        match self {
            Self::NotThere | Self::NotOffered => &[],
            Self::Used { data, .. } => data,
        }
    }
}

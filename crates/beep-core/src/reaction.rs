//! What follows from a fault of the peer: the one place that turns faults into replies or the session's end.

use crate::error::{Limit, ProtocolError, SessionEnd};
use crate::management::ErrorReply;
use crate::reply_code::ReplyCode;

/// Something wrong with what the peer sent or asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It broke the protocol.
    Protocol(ProtocolError),
    /// It ran into a limit.
    Limit(Limit),
    /// It sent a request on channel 0 that cannot be read.
    BadRequest(ErrorReply),
    /// It asked for a channel number in use.
    NumberInUse,
    /// It asked for one channel too many.
    TooManyChannels,
    /// It asked for a channel while the session is being released.
    BeingReleased,
    /// It asked to close a channel that is not open.
    CloseOfUnknownChannel,
    /// It asked a second time to close a channel, or the session.
    AlreadyClosing,
    /// What has to come before the `<ok />` did not come in time.
    StillWorking,
}

/// What to do about a fault.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// Answer the request with ERR; the session goes on.
    Refuse(ErrorReply),
    /// End the session and send nothing more (RFC 3080 §2.2.1.1).
    End(SessionEnd),
}

impl Fault {
    /// Decides about the fault.
    pub(crate) fn reaction(self) -> Reaction {
        let refuse = |code, text: &str| Reaction::Refuse(ErrorReply::new(code, text));
        match self {
            Fault::Protocol(error) => Reaction::End(SessionEnd::Protocol(error)),
            Fault::Limit(limit) => Reaction::End(SessionEnd::LimitReached(limit)),
            Fault::BadRequest(error) => Reaction::Refuse(error),
            Fault::NumberInUse => refuse(ReplyCode::TRANSACTION_FAILED, "channel number in use"),
            Fault::TooManyChannels => refuse(ReplyCode::TRANSACTION_FAILED, "too many channels"),
            Fault::BeingReleased => {
                refuse(ReplyCode::ACTION_REFUSED, "the session is being released")
            }
            Fault::CloseOfUnknownChannel => {
                refuse(ReplyCode::TRANSACTION_FAILED, "channel not open")
            }
            Fault::AlreadyClosing => refuse(ReplyCode::ACTION_REFUSED, "already being closed"),
            Fault::StillWorking => refuse(ReplyCode::ACTION_REFUSED, "still working"),
        }
    }
}

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Self {
        Fault::Protocol(error)
    }
}

impl From<Limit> for Fault {
    fn from(limit: Limit) -> Self {
        Fault::Limit(limit)
    }
}

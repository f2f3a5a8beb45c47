//! Requests of the peer that wait for a decision. They are answered even when nobody decides.

use beep_core::{ChannelNumber, ErrorReply, ReplyCode};

use crate::Session;

/// A start that has to be answered, whatever becomes of the task that decides.
pub(crate) struct PendingStart {
    pub(crate) session: Session,
    pub(crate) number: ChannelNumber,
    pub(crate) is_answered: bool,
}

impl PendingStart {
    pub(crate) fn refuse(mut self, error: ErrorReply) {
        // What fails here, because XML cannot carry the text, is refused in other words below.
        self.is_answered = self.session.refuse_start(self.number, error).is_ok();
    }
}

impl Drop for PendingStart {
    fn drop(&mut self) {
        if !self.is_answered {
            let error = ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "no decision was made");
            let _ = self.session.refuse_start(self.number, error);
        }
    }
}

/// A close that has to be answered, whatever becomes of the task that decides.
pub(crate) struct PendingClose {
    pub(crate) session: Session,
    pub(crate) number: ChannelNumber,
    pub(crate) is_answered: bool,
}

impl PendingClose {
    pub(crate) fn answer(mut self, decision: Result<(), ErrorReply>) {
        let result = match decision {
            Ok(()) => self.session.accept_close(self.number),
            Err(error) => self.session.refuse_close(self.number, error),
        };
        self.is_answered = result.is_ok();
    }
}

impl Drop for PendingClose {
    fn drop(&mut self) {
        if !self.is_answered {
            let error = ErrorReply::new(ReplyCode::ACTION_REFUSED, "no decision was made");
            let _ = self.session.refuse_close(self.number, error);
        }
    }
}

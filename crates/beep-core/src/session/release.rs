//! Releasing the session: the close of channel 0 (RFC 3080 §2.4).
//!
//! The peer that agrees sends `<ok />` as its last frame and leaves it to the other one to end the connection: if
//! it hung up behind its answer, the answer could be lost.

use std::time::Instant;

use super::Session;
use super::closing::close_document;
use super::deadlines::{DeadlineKey, Timer};
use super::management::OwnRequest;
use crate::config::Role;
use crate::error::{ChannelFailure, Deadline, SessionEnd, UsageError};
use crate::event::Event;
use crate::management::{Close, ErrorReply};
use crate::numbers::{ChannelNumber, MsgNo};
use crate::reaction::Fault;
use crate::reply_code::ReplyCode;
use crate::transmit::Milestone;

/// A release that we ask for.
#[derive(Debug)]
pub(super) enum OwnRelease {
    No,
    /// It waits for the queues to empty and for replies to our MSGs.
    Waiting {
        document: String,
        deadline: DeadlineKey,
    },
    /// It was given to channel 0.
    Sent {
        deadline: DeadlineKey,
    },
}

impl OwnRelease {
    pub(super) fn is_sent(&self) -> bool {
        matches!(self, OwnRelease::Sent { .. })
    }
}

/// A release that the peer asks for.
#[derive(Debug)]
pub(super) enum PeerRelease {
    No,
    /// The application has to answer.
    Asked {
        msgno: MsgNo,
    },
    /// The application agreed; what is queued leaves first.
    Accepted {
        msgno: MsgNo,
        deadline: DeadlineKey,
    },
    /// Our `<ok />` was given to channel 0.
    Answering,
    /// Our `<ok />`, the last frame, is out.
    Answered,
}

impl PeerRelease {
    pub(super) fn is_agreed(&self) -> bool {
        !matches!(self, PeerRelease::No | PeerRelease::Asked { .. })
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self, PeerRelease::Answered)
    }
}

impl Session {
    /// Asks the peer to release the session, once all own MSGs are answered and everything queued is out.
    ///
    /// [`Event::Ended`] tells that it came to that, [`Event::CloseFailed`] with number 0 that it did not. When
    /// the peer has asked for the same, this agrees.
    ///
    /// # Errors
    ///
    /// [`UsageError::SessionEnded`], [`UsageError::AlreadyClosing`] or [`UsageError::NotXmlText`].
    pub fn release(
        &mut self,
        now: Instant,
        code: ReplyCode,
        text: Option<String>,
    ) -> Result<(), UsageError> {
        self.advance(now);
        if self.end.is_some() || self.refusal.is_some() {
            return Err(UsageError::SessionEnded);
        }
        if !matches!(self.own_release, OwnRelease::No) || self.peer_release.is_agreed() {
            return Err(UsageError::AlreadyClosing(ChannelNumber::MANAGEMENT));
        }
        if matches!(self.peer_release, PeerRelease::Asked { .. }) {
            return self.accept_release();
        }
        let document = close_document(ChannelNumber::MANAGEMENT, code, text)?;
        let deadline = self.set_reply_deadline(Timer::Release);
        self.own_release = OwnRelease::Waiting { document, deadline };
        self.progress_release();
        Ok(())
    }

    pub(super) fn accept_release(&mut self) -> Result<(), UsageError> {
        let msgno = self.release_asked()?;
        let deadline = self.set_reply_deadline(Timer::AgreeToRelease);
        self.peer_release = PeerRelease::Accepted { msgno, deadline };
        self.progress_release();
        Ok(())
    }

    pub(super) fn refuse_release(&mut self, error: &ErrorReply) -> Result<(), UsageError> {
        let msgno = self.release_asked()?;
        self.peer_release = PeerRelease::No;
        self.decline(msgno, error);
        Ok(())
    }

    fn release_asked(&self) -> Result<MsgNo, UsageError> {
        match self.peer_release {
            _ if self.end.is_some() => Err(UsageError::SessionEnded),
            PeerRelease::Asked { msgno } => Ok(msgno),
            _ => Err(UsageError::NoSuchClose(ChannelNumber::MANAGEMENT)),
        }
    }

    /// The peer asks to release the session.
    pub(super) fn handle_release(&mut self, msgno: MsgNo, close: Close) -> Result<(), Fault> {
        if !matches!(self.peer_release, PeerRelease::No) {
            return Err(Fault::AlreadyClosing);
        }
        self.peer_release = PeerRelease::Asked { msgno };
        if matches!(self.own_release, OwnRelease::No) {
            self.push_event(Event::ReleaseRequested {
                code: close.code,
                text: close.text,
            });
            return Ok(());
        }
        // Both ends want it: nobody has to be asked. Two answers would cross as well, and each would come behind the
        // last frame of its sender's peer; so the listener's answer is the one, and the initiator hangs up on it.
        if self.own_release.is_sent() && self.role == Role::Initiator {
            self.peer_release = PeerRelease::No;
            return Ok(());
        }
        if let OwnRelease::Waiting { deadline, .. } = self.own_release {
            self.deadlines.cancel(deadline);
            self.own_release = OwnRelease::No;
        }
        let deadline = self.set_reply_deadline(Timer::AgreeToRelease);
        self.peer_release = PeerRelease::Accepted { msgno, deadline };
        self.progress_release();
        Ok(())
    }

    /// Sends what a release under way has been waiting to send.
    pub(super) fn progress_release(&mut self) {
        let is_drained = self.totals.queued_messages == 0;
        if is_drained && matches!(self.peer_release, PeerRelease::Accepted { .. }) {
            self.agree_to_release();
        }
        let is_idle = is_drained && self.totals.awaited_replies == 0;
        if let OwnRelease::Waiting { document, deadline } = &mut self.own_release
            && is_idle
        {
            let document = std::mem::take(document);
            let waited = *deadline;
            self.deadlines.cancel(waited);
            let deadline = self.set_reply_deadline(Timer::Release);
            self.own_release = OwnRelease::Sent { deadline };
            self.ask(OwnRequest::Release, document, None);
        }
    }

    /// Agrees to the release: the queues are empty, or have had their time.
    pub(super) fn agree_to_release(&mut self) {
        let PeerRelease::Accepted { msgno, deadline } = self.peer_release else {
            return;
        };
        self.deadlines.cancel(deadline);
        self.peer_release = PeerRelease::Answering;
        self.agree_with_ok(msgno, Milestone::Released);
    }

    /// Our `<ok />` is out: the peer ends the connection now.
    pub(super) fn release_answered(&mut self) {
        self.peer_release = PeerRelease::Answered;
        self.deadlines.linger = self.now.checked_add(self.config.release_linger);
    }

    /// The peer agreed to our release.
    pub(super) fn release_agreed(&mut self) {
        self.finish(SessionEnd::Released { by_peer: false });
    }

    /// The peer refused our release.
    pub(super) fn release_refused(&mut self, error: ErrorReply) {
        if let OwnRelease::Sent { deadline } = self.own_release {
            self.deadlines.cancel(deadline);
        }
        self.own_release = OwnRelease::No;
        if !self.peer_release.is_agreed() {
            self.report_close_failure(ChannelNumber::MANAGEMENT, ChannelFailure::Refused(error));
        }
    }

    /// Our release was not sent or not answered in time.
    pub(super) fn release_timed_out(&mut self) {
        if self.own_release.is_sent() {
            self.finish(SessionEnd::TimedOut(Deadline::Release));
        } else {
            self.own_release = OwnRelease::No;
            self.report_close_failure(ChannelNumber::MANAGEMENT, ChannelFailure::TimedOut);
        }
    }
}

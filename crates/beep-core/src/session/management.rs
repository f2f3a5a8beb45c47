//! Channel 0: requests and their answers, in both directions (RFC 3080 §2.3).

use bytes::Bytes;

use super::Session;
use super::deadlines::DeadlineKey;
use super::greeting::management_content;
use crate::error::{ChannelFailure, ProtocolError};
use crate::event::Event;
use crate::frame::MessageKind;
use crate::management::{self, ErrorReply, OK_XML, Request};
use crate::numbers::{ChannelNumber, MsgNo};
use crate::reaction::{Fault, Reaction};
use crate::transmit::{Milestone, Queued};

/// A request of ours on channel 0 that awaits its answer.
#[derive(Debug)]
pub(super) enum OwnRequest {
    Start(OwnStart),
    Close(ChannelNumber),
    Release,
}

/// A start of ours that awaits its answer.
#[derive(Debug)]
pub(super) struct OwnStart {
    pub(super) number: ChannelNumber,
    /// The profiles offered.
    pub(super) uris: Vec<String>,
    /// The server name asked for.
    pub(super) server_name: Option<String>,
    /// None once its time-out was reported.
    pub(super) deadline: Option<DeadlineKey>,
}

impl Session {
    /// Queues a request on channel 0.
    pub(super) fn ask(
        &mut self,
        request: OwnRequest,
        document: String,
        milestone: Option<Milestone>,
    ) {
        let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT) else {
            return;
        };
        let msgno = management.awaited.assign();
        let mut message = Queued::new(MessageKind::Msg, msgno, None, management_content(document));
        message.milestone = milestone;
        management.queued_octets = management
            .queued_octets
            .saturating_add(message.content.len());
        management.queued_messages += 1;
        management.queue.push_back(message);
        self.requests.push_back(request);
    }

    /// Answers a request of the peer with a positive reply.
    pub(super) fn agree(&mut self, msgno: MsgNo, document: impl Into<Bytes>, milestone: Milestone) {
        self.answer(MessageKind::Rpy, msgno, document.into(), Some(milestone));
    }

    /// Answers a request of the peer with `<ok />`.
    pub(super) fn agree_with_ok(&mut self, msgno: MsgNo, milestone: Milestone) {
        self.agree(msgno, Bytes::from_static(OK_XML.as_bytes()), milestone);
    }

    /// Answers a request of the peer with a negative reply.
    pub(super) fn decline(&mut self, msgno: MsgNo, error: &ErrorReply) {
        self.answer(MessageKind::Err, msgno, error.to_xml().into(), None);
    }

    /// Answers a request of the peer that cannot be granted, or ends the session over it.
    pub(super) fn decline_for(&mut self, msgno: MsgNo, fault: Fault) {
        match fault.reaction() {
            Reaction::Refuse(error) => self.decline(msgno, &error),
            Reaction::End(end) => self.finish(end),
        }
    }

    fn answer(
        &mut self,
        kind: MessageKind,
        msgno: MsgNo,
        document: Bytes,
        milestone: Option<Milestone>,
    ) {
        let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT) else {
            return;
        };
        let mut reply = Queued::new(kind, msgno, None, management_content(document));
        reply.milestone = milestone;
        let octets = reply.content.len();
        if management.give_reply(reply).is_ok() {
            management.queued_octets = management.queued_octets.saturating_add(octets);
            management.queued_messages += 1;
        }
    }

    /// A message arrived on channel 0.
    pub(super) fn handle_management(
        &mut self,
        kind: MessageKind,
        msgno: MsgNo,
        content: &Bytes,
    ) -> Result<(), Fault> {
        if kind == MessageKind::Msg {
            self.handle_request(msgno, content);
            return Ok(());
        }
        if let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT) {
            management.awaited.answered();
        }
        let Some(request) = self.requests.pop_front() else {
            let channel = ChannelNumber::MANAGEMENT;
            return Err(ProtocolError::UnexpectedReply {
                channel,
                kind,
                msgno,
            }
            .into());
        };
        let limits = self.config.document_limits(self.config.management_octets);
        let bad_reply = |source| ProtocolError::BadReply { msgno, source };
        if kind == MessageKind::Err {
            let error = management::parse_error(content, limits).map_err(bad_reply)?;
            match request {
                OwnRequest::Start(start) => {
                    self.start_failed(start, ChannelFailure::Refused(error))
                }
                OwnRequest::Close(number) => self.close_refused(number, error),
                OwnRequest::Release => self.release_refused(error),
            }
            return Ok(());
        }
        match request {
            OwnRequest::Start(start) => {
                let profile = management::parse_profile(content, limits).map_err(bad_reply)?;
                self.start_agreed(start, profile)?;
            }
            OwnRequest::Close(number) => {
                management::parse_ok(content, limits).map_err(bad_reply)?;
                self.close_agreed(number);
            }
            OwnRequest::Release => {
                management::parse_ok(content, limits).map_err(bad_reply)?;
                self.release_agreed();
            }
        }
        Ok(())
    }

    fn handle_request(&mut self, msgno: MsgNo, content: &Bytes) {
        if let Some(management) = self.channels.get_mut(&ChannelNumber::MANAGEMENT) {
            management.replies.completed(msgno);
        }
        let requested = self.totals.requested_octets.saturating_add(content.len());
        self.totals.requested_octets = requested;
        let limits = self.config.document_limits(self.config.management_octets);
        let done = match management::parse_request(content, limits) {
            Ok(Request::Start(start)) => self.handle_start(msgno, start),
            Ok(Request::Close(close)) if close.number.is_management() => {
                self.handle_release(msgno, close)
            }
            Ok(Request::Close(close)) => self.handle_close(msgno, close),
            Err(error) => Err(Fault::BadRequest(error)),
        };
        if let Err(fault) = done {
            self.decline_for(msgno, fault);
        }
    }

    pub(super) fn report_close_failure(&mut self, number: ChannelNumber, why: ChannelFailure) {
        self.push_event(Event::CloseFailed { number, why });
    }
}

//! Closing channels (RFC 3080 §2.3.1.3).

use std::time::Instant;

use super::Session;
use super::deadlines::Timer;
use super::management::OwnRequest;
use super::starting::check_error;
use crate::channel::{Channel, OwnClose, PeerClose};
use crate::error::{ChannelFailure, UsageError};
use crate::event::Event;
use crate::management::{Close, ErrorReply, is_xml_text};
use crate::numbers::{ChannelNumber, MsgNo};
use crate::reaction::Fault;
use crate::reply_code::ReplyCode;
use crate::transmit::Milestone;

/// What the state of a channel lets a close under way do next.
enum Step {
    Ask(String),
    Agree(MsgNo),
}

impl Session {
    /// Asks the peer to close a channel, once all own MSGs on it are answered and everything queued is out.
    ///
    /// New MSGs are refused meanwhile, replies are not. [`Event::Closed`] or [`Event::CloseFailed`] tells what
    /// became of it. When the peer has asked for the same, this agrees. Number 0 releases the session.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotOpen`], [`UsageError::AlreadyClosing`], or [`UsageError::NotXmlText`].
    pub fn close(
        &mut self,
        now: Instant,
        number: ChannelNumber,
        code: ReplyCode,
        text: Option<String>,
    ) -> Result<(), UsageError> {
        if number.is_management() {
            return self.release(now, code, text);
        }
        self.advance(now);
        if self.end.is_some() {
            return Err(UsageError::SessionEnded);
        }
        let channel = self
            .channels
            .get(&number)
            .filter(|channel| channel.is_usable());
        let channel = channel.ok_or(UsageError::NotOpen(number))?;
        let closing = channel.closing.as_deref();
        let peers = closing
            .filter(|closing| matches!(closing.own, OwnClose::No))
            .map(|closing| &closing.peers);
        match peers {
            Some(PeerClose::Asked { .. }) => {
                self.accept_close(number)?;
                self.join(number);
                return Ok(());
            }
            // Agreed before; from here on the caller is told how that goes on.
            Some(PeerClose::Accepted { .. } | PeerClose::Answering) => {
                self.join(number);
                return Ok(());
            }
            Some(PeerClose::No | PeerClose::Answered) | None => {}
        }
        if channel.is_closing() {
            return Err(UsageError::AlreadyClosing(number));
        }
        let document = close_document(number, code, text)?;
        let deadline = self.set_reply_deadline(Timer::Close(number));
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.closing_mut().own = OwnClose::Waiting { document, deadline };
        }
        self.progress_close(number);
        Ok(())
    }

    /// Our own close is the peer's that we agreed to: its failure concerns the application.
    fn join(&mut self, number: ChannelNumber) {
        let channel = self.channels.get_mut(&number);
        if let Some(closing) = channel.and_then(|channel| channel.closing.as_deref_mut()) {
            closing.is_joined = true;
        }
    }

    /// Agrees to a close of the peer; for channel 0, to the release of the session.
    ///
    /// The `<ok />` leaves once all own MSGs are answered and all the peer's too (RFC 3080 §2.3.1.3); when that
    /// takes longer than the config's reply time-out the close is refused with 550.
    ///
    /// # Errors
    ///
    /// [`UsageError::NoSuchClose`] when no close for this number waits.
    pub fn accept_close(&mut self, number: ChannelNumber) -> Result<(), UsageError> {
        if number.is_management() {
            return self.accept_release();
        }
        let msgno = self.close_asked(number)?;
        let deadline = self.set_reply_deadline(Timer::AgreeToClose(number));
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.closing_mut().peers = PeerClose::Accepted { msgno, deadline };
        }
        self.progress_close(number);
        Ok(())
    }

    /// Refuses a close of the peer; for channel 0, the release of the session.
    ///
    /// # Errors
    ///
    /// [`UsageError::NoSuchClose`] when no close for this number waits, [`UsageError::NotXmlText`].
    pub fn refuse_close(
        &mut self,
        number: ChannelNumber,
        error: ErrorReply,
    ) -> Result<(), UsageError> {
        check_error(&error)?;
        if number.is_management() {
            return self.refuse_release(&error);
        }
        let msgno = self.close_asked(number)?;
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.closing_mut().peers = PeerClose::No;
            channel.tidy_closing();
        }
        self.decline(msgno, &error);
        Ok(())
    }

    fn close_asked(&self, number: ChannelNumber) -> Result<MsgNo, UsageError> {
        if self.end.is_some() {
            return Err(UsageError::SessionEnded);
        }
        let closing = self
            .channels
            .get(&number)
            .and_then(|channel| channel.closing.as_deref());
        match closing.map(|closing| &closing.peers) {
            Some(PeerClose::Asked { msgno }) => Ok(*msgno),
            _ => Err(UsageError::NoSuchClose(number)),
        }
    }

    /// The peer asks to close a channel.
    pub(super) fn handle_close(&mut self, msgno: MsgNo, close: Close) -> Result<(), Fault> {
        let Close {
            number, code, text, ..
        } = close;
        let Some(channel) = self
            .channels
            .get_mut(&number)
            .filter(|channel| channel.is_open())
        else {
            return Err(Fault::CloseOfUnknownChannel);
        };
        let closing = channel.closing_mut();
        if !matches!(closing.peers, PeerClose::No) {
            return Err(Fault::AlreadyClosing);
        }
        closing.peers = PeerClose::Asked { msgno };
        let is_wanted_too = closing.is_silent || !matches!(closing.own, OwnClose::No);
        if !is_wanted_too {
            self.push_event(Event::CloseRequested { number, code, text });
            return Ok(());
        }
        // Both ends want it: nobody has to be asked.
        let deadline = self.set_reply_deadline(Timer::AgreeToClose(number));
        if let Some(channel) = self.channels.get_mut(&number) {
            let closing = channel.closing_mut();
            closing.peers = PeerClose::Accepted { msgno, deadline };
            if let OwnClose::Waiting { deadline, .. } = closing.own {
                closing.own = OwnClose::No;
                closing.is_joined = true;
                self.deadlines.cancel(deadline);
            }
        }
        self.progress_close(number);
        Ok(())
    }

    /// Sends what a close under way has been waiting to send.
    pub(super) fn progress_close(&mut self, number: ChannelNumber) {
        let Some(step) = self
            .channels
            .get(&number)
            .and_then(|channel| next_step(channel))
        else {
            return;
        };
        match step {
            Step::Ask(document) => {
                let deadline = Some(self.set_reply_deadline(Timer::Close(number)));
                if let Some(channel) = self.channels.get_mut(&number) {
                    let closing = channel.closing_mut();
                    let before = std::mem::replace(&mut closing.own, OwnClose::Sent { deadline });
                    if let OwnClose::Waiting { deadline, .. } = before {
                        self.deadlines.cancel(deadline);
                    }
                }
                self.ask(OwnRequest::Close(number), document, None);
            }
            Step::Agree(msgno) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    let closing = channel.closing_mut();
                    let before = std::mem::replace(&mut closing.peers, PeerClose::Answering);
                    if let PeerClose::Accepted { deadline, .. } = before {
                        self.deadlines.cancel(deadline);
                    }
                }
                self.agree_with_ok(msgno, Milestone::Closed(number));
            }
        }
    }

    /// Our `<ok />` to the peer's close is out.
    pub(super) fn own_ok_sent(&mut self, number: ChannelNumber) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let closing = channel.closing_mut();
        match closing.own {
            // The peer's answer to our crossing close is still to come.
            OwnClose::Sent { .. } => closing.peers = PeerClose::Answered,
            OwnClose::Agreed => self.closed(number, false),
            OwnClose::No | OwnClose::Waiting { .. } => self.closed(number, true),
        }
    }

    /// The peer agreed to our close.
    pub(super) fn close_agreed(&mut self, number: ChannelNumber) {
        self.stop_close_timer(number);
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let closing = channel.closing_mut();
        match closing.peers {
            PeerClose::Accepted { .. } | PeerClose::Answering => closing.own = OwnClose::Agreed,
            PeerClose::No | PeerClose::Asked { .. } | PeerClose::Answered => {
                self.closed(number, false)
            }
        }
    }

    /// The peer refused our close.
    pub(super) fn close_refused(&mut self, number: ChannelNumber, error: ErrorReply) {
        let was_waiting = self.stop_close_timer(number);
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let closing = channel.closing_mut();
        closing.own = OwnClose::No;
        match closing.peers {
            PeerClose::Answered => return self.closed(number, true),
            // The channel goes all the same, by the peer's own close.
            PeerClose::Accepted { .. } | PeerClose::Answering => return,
            PeerClose::No | PeerClose::Asked { .. } => {}
        }
        if closing.is_silent {
            // Nobody here wants the channel: it stays, unused, until the peer closes it.
            return;
        }
        channel.tidy_closing();
        if was_waiting {
            self.report_close_failure(number, ChannelFailure::Refused(error));
        }
    }

    /// Our close was not sent or not answered in time.
    pub(super) fn close_timed_out(&mut self, number: ChannelNumber) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let closing = channel.closing_mut();
        let is_silent = closing.is_silent;
        match &mut closing.own {
            OwnClose::Sent { deadline } => *deadline = None,
            own => *own = OwnClose::No,
        }
        if !is_silent {
            channel.tidy_closing();
            self.report_close_failure(number, ChannelFailure::TimedOut);
        }
    }

    /// The conditions for agreeing to the peer's close did not come true in time.
    pub(super) fn agreeing_timed_out(&mut self, number: ChannelNumber) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let closing = channel.closing_mut();
        let PeerClose::Accepted { msgno, .. } = closing.peers else {
            return;
        };
        closing.peers = PeerClose::No;
        let is_joined = std::mem::take(&mut closing.is_joined);
        let has_peer_agreed = matches!(closing.own, OwnClose::Agreed);
        channel.tidy_closing();
        self.decline_for(msgno, Fault::StillWorking);
        if has_peer_agreed {
            self.closed(number, false);
        } else if is_joined {
            self.report_close_failure(number, ChannelFailure::TimedOut);
        }
    }

    fn stop_close_timer(&mut self, number: ChannelNumber) -> bool {
        let closing = self
            .channels
            .get_mut(&number)
            .and_then(|channel| channel.closing.as_deref_mut());
        if let Some(OwnClose::Sent { deadline }) = closing.map(|closing| &mut closing.own)
            && let Some(key) = deadline.take()
        {
            self.deadlines.cancel(key);
            return true;
        }
        false
    }

    fn closed(&mut self, number: ChannelNumber, by_peer: bool) {
        let closing = self
            .channels
            .get(&number)
            .and_then(|channel| channel.closing.as_deref());
        let is_silent = closing.is_some_and(|closing| closing.is_silent);
        if let Some(PeerClose::Accepted { deadline, .. }) = closing.map(|closing| &closing.peers) {
            let deadline = *deadline;
            self.deadlines.cancel(deadline);
        }
        self.remove_channel(number);
        if !is_silent {
            self.push_event(Event::Closed { number, by_peer });
        }
        self.progress_release();
    }
}

fn next_step(channel: &Channel) -> Option<Step> {
    let closing = channel.closing.as_deref()?;
    match (&closing.own, &closing.peers) {
        (_, PeerClose::Accepted { msgno, .. }) if channel.can_agree_to_close() => {
            Some(Step::Agree(*msgno))
        }
        (OwnClose::Waiting { document, .. }, PeerClose::No) if channel.can_ask_to_close() => {
            Some(Step::Ask(document.clone()))
        }
        _ => None,
    }
}

pub(super) fn close_document(
    number: ChannelNumber,
    code: ReplyCode,
    text: Option<String>,
) -> Result<String, UsageError> {
    if !text.as_ref().is_none_or(|text| is_xml_text(text)) {
        return Err(UsageError::NotXmlText("text"));
    }
    Ok(Close {
        number,
        code,
        language: None,
        text,
    }
    .to_xml())
}

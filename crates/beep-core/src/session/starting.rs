//! Starting channels (RFC 3080 §2.3.1.2).

use std::time::Instant;

use super::Session;
use super::deadlines::Timer;
use super::management::{OwnRequest, OwnStart};
use super::tuning::Tuning;
use crate::channel::{Channel, OwnClose, Phase, StartAsked};
use crate::config::Role;
use crate::error::{ChannelFailure, ProtocolError, UsageError};
use crate::event::{Event, StartRequest};
use crate::management::{ErrorReply, ProfileContent, ProfileOffer, Start, is_xml_text};
use crate::numbers::{ChannelNumber, MsgNo};
use crate::reaction::Fault;
use crate::reply_code::ReplyCode;
use crate::transmit::Milestone;

/// The first number this end takes for a start: odd for the initiator, even for the listener.
///
/// 1 and 2 are left out as deployed peers do; scripts count on 3.
pub(super) fn first_own_number(role: Role) -> u32 {
    match role {
        Role::Initiator => 3,
        Role::Listener => 4,
    }
}

impl Session {
    /// Asks the peer for a channel and returns its number.
    ///
    /// The request leaves once the peer's greeting is in. What becomes of it is told by
    /// [`Event::Started`] or [`Event::StartFailed`]; nothing can be sent on the channel before.
    ///
    /// # Errors
    ///
    /// [`UsageError`] when the session is over, the number cannot be used, no profile is given, or a text
    /// cannot be written as XML.
    pub fn start(
        &mut self,
        now: Instant,
        request: StartRequest,
    ) -> Result<ChannelNumber, UsageError> {
        self.advance(now);
        if self.is_over() {
            return Err(UsageError::SessionEnded);
        }
        if request.profiles.is_empty() {
            return Err(UsageError::NoProfile);
        }
        if request.tuning && self.tuning != Tuning::No {
            return Err(UsageError::TuningUnderWay);
        }
        check_texts(&request)?;
        if self.channels.len() > self.config.channels_max {
            return Err(UsageError::TooManyChannels(self.config.channels_max));
        }
        let number = match request.number {
            Some(number) if self.channels.contains_key(&number) => {
                return Err(UsageError::NumberInUse(number));
            }
            Some(number) => number,
            None => self
                .take_own_number()
                .ok_or(UsageError::TooManyChannels(self.config.channels_max))?,
        };
        // A session has one name. A tuning start asks for that of the session that follows, even where it is the same:
        // somebody in the middle may have had the peer take another one.
        let server_name = request
            .server_name
            .filter(|_| self.server_name.is_none() || request.tuning);
        let uris = request
            .profiles
            .iter()
            .map(|profile| profile.uri.clone())
            .collect();
        let document = Start {
            number,
            server_name: server_name.clone(),
            profiles: request.profiles,
        }
        .to_xml();
        self.channels.insert(
            number,
            Box::new(Channel::new(number, Phase::Starting, self.first_numbers)),
        );
        let milestone = request.tuning.then_some(Milestone::TuningAsked);
        if request.tuning {
            self.tuning = Tuning::Queued(number);
        }
        let deadline = Some(self.set_reply_deadline(Timer::Start(number)));
        self.ask(
            OwnRequest::Start(OwnStart {
                number,
                uris,
                server_name,
                deadline,
            }),
            document,
            milestone,
        );
        Ok(number)
    }

    /// Grants a start of the peer with the profile of this index in its offers; `content` rides in the answer.
    ///
    /// Messages may be given for the channel at once; they leave after the answer.
    ///
    /// # Errors
    ///
    /// [`UsageError::NoSuchStart`] when no start for this number waits, [`UsageError::SessionEnded`],
    /// [`UsageError::NoSuchProfile`], or
    /// [`UsageError::NotXmlText`].
    pub fn accept_start(
        &mut self,
        number: ChannelNumber,
        profile: usize,
        content: Option<ProfileContent>,
    ) -> Result<(), UsageError> {
        let asked = self.start_asked(number)?;
        let uri = asked
            .profiles
            .get(profile)
            .ok_or(UsageError::NoSuchProfile(profile))?
            .uri
            .clone();
        if !content
            .as_ref()
            .is_none_or(|content| is_xml_text(&content.text))
        {
            return Err(UsageError::NotXmlText("content"));
        }
        let msgno = asked.msgno;
        if let Some(name) = asked.server_name.take() {
            self.fix_server_name(&name);
        }
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.phase = Phase::Opening;
            channel.profile = uri.as_str().into();
        }
        if self.tuning == Tuning::Offered(number) {
            let is_tuning = self.config.tuning_profiles.contains(&uri);
            self.tuning = if is_tuning {
                Tuning::Answering(number)
            } else {
                Tuning::No
            };
        }
        self.agree(
            msgno,
            ProfileOffer { uri, content }.to_xml(),
            Milestone::Opened(number),
        );
        Ok(())
    }

    /// Refuses a start of the peer.
    ///
    /// # Errors
    ///
    /// [`UsageError::NoSuchStart`] when no start for this number waits, [`UsageError::SessionEnded`],
    /// [`UsageError::NotXmlText`].
    pub fn refuse_start(
        &mut self,
        number: ChannelNumber,
        error: ErrorReply,
    ) -> Result<(), UsageError> {
        let msgno = self.start_asked(number)?.msgno;
        check_error(&error)?;
        self.remove_channel(number);
        if self.tuning.is_of(number) {
            self.tuning = Tuning::No;
        }
        self.decline(msgno, &error);
        Ok(())
    }

    fn start_asked(&mut self, number: ChannelNumber) -> Result<&mut StartAsked, UsageError> {
        match self
            .channels
            .get_mut(&number)
            .map(|channel| &mut channel.phase)
        {
            Some(Phase::Asked(asked)) => Ok(asked),
            _ => Err(UsageError::NoSuchStart(number)),
        }
    }

    /// The next free number of our own; past the top, the lowest free one.
    fn take_own_number(&mut self) -> Option<ChannelNumber> {
        const STEP: u32 = 2;
        let mut has_wrapped = false;
        loop {
            let number = match ChannelNumber::new(self.next_number) {
                Some(number) => number,
                None if has_wrapped => return None,
                None => {
                    has_wrapped = true;
                    self.next_number = first_own_number(self.role);
                    continue;
                }
            };
            self.next_number = self.next_number.saturating_add(STEP);
            // The channels are limited, so a free number is near.
            if !self.channels.contains_key(&number) {
                return Some(number);
            }
        }
    }

    /// The peer asks for a channel.
    pub(super) fn handle_start(&mut self, msgno: MsgNo, start: Start) -> Result<(), Fault> {
        let Start {
            number,
            server_name,
            profiles,
        } = start;
        if self.peer_release.is_agreed() || self.own_release.is_sent() {
            return Err(Fault::BeingReleased);
        }
        // Channel 0 is in the map: nobody gets that number.
        if self.channels.contains_key(&number) {
            return Err(Fault::NumberInUse);
        }
        if self.channels.len() > self.config.channels_max {
            return Err(Fault::TooManyChannels);
        }
        let is_tuning = profiles
            .iter()
            .any(|profile| self.config.tuning_profiles.contains(&profile.uri));
        if is_tuning {
            self.tuning = match self.tuning {
                Tuning::No => Tuning::Offered(number),
                Tuning::Queued(own) | Tuning::Asked(own) => Tuning::Crossed(own),
                other => other,
            };
        }
        let asked = StartAsked {
            msgno,
            profiles: profiles.clone(),
            server_name: server_name.clone(),
        };
        let channel = Channel::new(number, Phase::Asked(Box::new(asked)), self.first_numbers);
        self.channels.insert(number, Box::new(channel));
        self.push_event(Event::StartRequested {
            number,
            profiles,
            server_name,
        });
        Ok(())
    }

    /// Our start was answered with a profile.
    pub(super) fn start_agreed(
        &mut self,
        start: OwnStart,
        profile: ProfileOffer,
    ) -> Result<(), Fault> {
        let OwnStart {
            number,
            uris,
            server_name,
            deadline,
        } = start;
        if !uris.contains(&profile.uri) {
            return Err(ProtocolError::ProfileNotOffered {
                channel: number,
                uri: profile.uri,
            }
            .into());
        }
        if let Some(name) = server_name {
            self.fix_server_name(&name);
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        channel.phase = Phase::Open;
        channel.profile = profile.uri.as_str().into();
        let Some(deadline) = deadline else {
            self.close_silently(number);
            return Ok(());
        };
        self.deadlines.cancel(deadline);
        if self.tuning.is_of(number) {
            self.tuning = Tuning::Agreed;
        }
        self.offer_window(number, self.config.window_on_open);
        self.push_event(Event::Started { number, profile });
        Ok(())
    }

    /// Our start was refused.
    pub(super) fn start_failed(&mut self, start: OwnStart, why: ChannelFailure) {
        self.remove_channel(start.number);
        if self.tuning.is_of(start.number) {
            self.tuning = Tuning::No;
        }
        if let Some(deadline) = start.deadline {
            self.deadlines.cancel(deadline);
            self.push_event(Event::StartFailed {
                number: start.number,
                why,
            });
        }
    }

    /// No answer came; the number stays taken until one does.
    pub(super) fn start_timed_out(&mut self, number: ChannelNumber) {
        for request in &mut self.requests {
            if let OwnRequest::Start(start) = request
                && start.number == number
            {
                start.deadline = None;
            }
        }
        if self.tuning.is_of(number) {
            self.tuning = Tuning::No;
        }
        self.push_event(Event::StartFailed {
            number,
            why: ChannelFailure::TimedOut,
        });
    }

    /// Closes a channel whose start was answered after the application had been told that it failed.
    fn close_silently(&mut self, number: ChannelNumber) {
        let code = ReplyCode::SUCCESS;
        let document = crate::Close {
            number,
            code,
            language: None,
            text: None,
        }
        .to_xml();
        let deadline = self.set_reply_deadline(Timer::Close(number));
        if let Some(channel) = self.channels.get_mut(&number) {
            let closing = channel.closing_mut();
            closing.is_silent = true;
            closing.own = OwnClose::Waiting { document, deadline };
        }
        self.progress_close(number);
    }

    /// The first accepted start with a name fixes it for both ends, without a port (RFC 3080 §2.3.1.2).
    pub(super) fn fix_server_name(&mut self, name: &str) {
        if self.server_name.is_none() && !name.is_empty() {
            self.server_name = Some(without_port(name).into());
        }
    }
}

pub(super) fn check_error(error: &ErrorReply) -> Result<(), UsageError> {
    let is_text = is_xml_text(&error.text)
        && error
            .language
            .as_ref()
            .is_none_or(|language| is_xml_text(language));
    if is_text {
        Ok(())
    } else {
        Err(UsageError::NotXmlText("error"))
    }
}

fn check_texts(request: &StartRequest) -> Result<(), UsageError> {
    if !request
        .server_name
        .as_ref()
        .is_none_or(|name| is_xml_text(name))
    {
        return Err(UsageError::NotXmlText("server name"));
    }
    for profile in &request.profiles {
        if !is_xml_text(&profile.uri) {
            return Err(UsageError::NotXmlText("profile"));
        }
        if !profile
            .content
            .as_ref()
            .is_none_or(|content| is_xml_text(&content.text))
        {
            return Err(UsageError::NotXmlText("content"));
        }
    }
    Ok(())
}

/// Cuts `:port` off a host name or a bracketed address, as is done with the `serverName` of a start (RFC 3080
/// §2.3.1.2); a bare IPv6 address has none.
pub fn without_port(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|octet| octet.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => name,
    }
}

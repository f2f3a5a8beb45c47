//! What lies between the task that drives a session and those who use one of its channels.
//!
//! Nothing here has a limit of its own: everything that arrives takes up room in the channel's
//! receive window until the application lets go of it, and the protocol ends a session whose peer
//! sends more than that.
//!
//! Lock order: a mailbox, then the session. Events are delivered without any lock, so neither is
//! ever held the other way round.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beep_core::{
    ChannelNumber, ErrorReply, MessageKind, MsgNo, Outgoing, ProfileContent, ReplyCode, SendError,
    UsageError, mime,
};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::Session;
use crate::error::Error;
use crate::message::Message;
use crate::router::Router;

/// Octets queued on a channel from which on senders wait. Enough to keep a fast connection busy,
/// little enough to be held for many channels.
const SEND_AHEAD: usize = 1 << 20;

/// Where a reply to a MSG of ours goes.
pub(crate) enum Waiter {
    /// To a [`crate::PendingReply`].
    Reply(oneshot::Sender<Result<Message, Error>>),
    /// To [`crate::Answers`]; `None` marks their end.
    Answers(mpsc::UnboundedSender<Option<Message>>),
    /// It is dropped.
    Nobody,
}

/// The queues of one channel.
pub(crate) struct Mailbox {
    pub(crate) number: ChannelNumber,
    pub(crate) profile: String,
    /// What came along with the profile in the peer's half of the start.
    pub(crate) content: Option<ProfileContent>,
    state: Mutex<State>,
    /// Told when a MSG arrives and when the channel closes.
    arrived: Notify,
    /// Told when a reply is the oldest one now, and when the channel closes.
    moved_up: Notify,
}

#[derive(Default)]
struct State {
    /// MSGs of the peer, not taken yet.
    incoming: VecDeque<(u64, beep_core::Message)>,
    /// Own MSGs, oldest first; replies come in that order (RFC 3080 §2.6.1).
    awaited: VecDeque<(MsgNo, Waiter)>,
    /// MSGs of the peer that are not answered in full, oldest first, save for those behind an older
    /// one.
    owed: VecDeque<Owed>,
    /// How many have left `owed`: the position of its first entry.
    answered: u64,
    /// Octets of the replies that wait for older ones.
    kept_octets: usize,
    closing: Vec<oneshot::Sender<Result<(), Error>>>,
    /// No handle is left.
    is_abandoned: bool,
    is_closed: bool,
}

#[derive(Default)]
struct Owed {
    is_answered: bool,
    kept_octets: usize,
}

impl Mailbox {
    pub(crate) fn new(
        number: ChannelNumber,
        profile: String,
        content: Option<ProfileContent>,
    ) -> Self {
        Mailbox {
            number,
            profile,
            content,
            state: Mutex::default(),
            arrived: Notify::new(),
            moved_up: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Runs a command on the channel, unless it is closed: its number may belong to another by now.
    fn command<R>(&self, command: impl FnOnce(&mut State) -> Result<R, Error>) -> Result<R, Error> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Error::ChannelClosed(self.number));
        }
        command(&mut state)
    }

    /// Sends a MSG; under the lock, or the reply could be here before its waiter.
    pub(crate) fn send_msg(
        &self,
        session: &Session,
        message: Outgoing,
        waiter: Waiter,
    ) -> Result<MsgNo, Error> {
        self.command(|state| {
            let msgno = session.send_msg(self.number, message)?;
            state.awaited.push_back((msgno, waiter));
            Ok(msgno)
        })
    }

    /// Sends a reply or a part of one to the MSG that arrived as number `arrival`.
    ///
    /// `is_last` says whether it completes the answer.
    pub(crate) fn send_reply(
        &self,
        arrival: u64,
        octets: usize,
        is_last: bool,
        send: impl FnOnce(ChannelNumber) -> Result<(), SendError>,
    ) -> Result<(), Error> {
        let has_moved = self.command(|state| {
            send(self.number)?;
            Ok(state.replied(arrival, octets, is_last))
        })?;
        if has_moved {
            self.moved_up.notify_waiters();
        }
        Ok(())
    }

    /// Whether so little waits to be sent that a MSG may be added.
    pub(crate) fn has_room(&self, session: &Session) -> bool {
        let state = self.state();
        state.is_closed
            || session
                .queued_octets(self.number)
                .saturating_sub(state.kept_octets)
                < SEND_AHEAD
    }

    /// Whether so little waits to be sent that a reply may be added.
    ///
    /// The oldest MSG's reply does not wait for those that wait for it.
    pub(crate) fn has_room_for_reply(&self, session: &Session, arrival: u64) -> bool {
        let state = self.state();
        let ahead = if arrival == state.answered {
            state.kept_octets
        } else {
            0
        };
        state.is_closed || session.queued_octets(self.number).saturating_sub(ahead) < SEND_AHEAD
    }

    /// Told when a MSG arrives and when the channel closes.
    pub(crate) fn arrived(&self) -> &Notify {
        &self.arrived
    }

    /// The next MSG of the peer; `Ok(None)` when none will come.
    pub(crate) fn take_incoming(&self) -> Result<Option<(u64, beep_core::Message)>, NothingYet> {
        let mut state = self.state();
        match state.incoming.pop_front() {
            Some(incoming) => {
                if state.incoming.is_empty() {
                    state.incoming = VecDeque::new();
                }
                Ok(Some(incoming))
            }
            None if state.is_closed => Ok(None),
            None => Err(NothingYet),
        }
    }

    /// A message of the application is done with.
    pub(crate) fn consume(&self, session: &Session, octets: usize) {
        let state = self.state();
        if !state.is_closed {
            session.consume(self.number, octets);
        }
    }

    /// The session delivers a message.
    pub(crate) fn deliver(self: &Arc<Self>, session: &Session, message: beep_core::Message) {
        let mut state = self.state();
        match message.kind {
            MessageKind::Msg => {
                let arrival = state.answered + state.owed.len() as u64;
                state.owed.push_back(Owed::default());
                if state.is_abandoned {
                    drop(state);
                    self.refuse(session, arrival, message);
                } else {
                    state.incoming.push_back((arrival, message));
                    drop(state);
                    self.arrived.notify_one();
                }
            }
            MessageKind::Rpy | MessageKind::Err => {
                let waiter = state.awaited.pop_front();
                drop(state);
                let message = Message::new(session, self, message);
                match waiter {
                    Some((_, Waiter::Reply(waiter))) => drop(waiter.send(Ok(message))),
                    Some((_, Waiter::Answers(waiter))) => {
                        let _ = waiter.send(Some(message));
                        let _ = waiter.send(None);
                    }
                    Some((_, Waiter::Nobody)) | None => {}
                }
            }
            MessageKind::Ans => {
                let waiter = match state.awaited.front_mut() {
                    Some((_, Waiter::Answers(waiter))) => Some(Waiter::Answers(waiter.clone())),
                    Some((_, waiter)) => Some(std::mem::replace(waiter, Waiter::Nobody)),
                    None => None,
                };
                drop(state);
                let message = Message::new(session, self, message);
                match waiter {
                    Some(Waiter::Answers(waiter)) => drop(waiter.send(Some(message))),
                    Some(Waiter::Reply(waiter)) => drop(waiter.send(Err(Error::AnsweredInSeries))),
                    Some(Waiter::Nobody) | None => {}
                }
            }
            MessageKind::Nul => {
                let waiter = state.awaited.pop_front();
                drop(state);
                drop(Message::new(session, self, message));
                match waiter {
                    Some((_, Waiter::Answers(waiter))) => drop(waiter.send(None)),
                    Some((_, Waiter::Reply(waiter))) => {
                        drop(waiter.send(Err(Error::AnsweredInSeries)))
                    }
                    Some((_, Waiter::Nobody)) | None => {}
                }
            }
        }
    }

    /// Asks for the close of the channel; the receiver learns what came of it.
    pub(crate) fn close(
        &self,
        session: &Session,
        code: ReplyCode,
        text: Option<String>,
    ) -> oneshot::Receiver<Result<(), Error>> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let result = if state.is_closed {
            Ok(())
        } else {
            session.close(self.number, code, text)
        };
        match result {
            Ok(()) if state.is_closed => drop(sender.send(Ok(()))),
            // A close under way will do, whoever began it. Where there is nothing left to close,
            // the event that says so is on its way.
            Ok(())
            | Err(
                UsageError::AlreadyClosing(_) | UsageError::NotOpen(_) | UsageError::SessionEnded,
            ) => {
                state.closing.push(sender);
            }
            Err(error) => drop(sender.send(Err(error.into()))),
        }
        receiver
    }

    /// A close of ours came to nothing.
    pub(crate) fn close_failed(&self, error: impl Fn() -> Error) {
        let closing = std::mem::take(&mut self.state().closing);
        for waiter in closing {
            let _ = waiter.send(Err(error()));
        }
    }

    /// The channel is gone, or with `end` the whole session.
    pub(crate) fn closed(&self, error: Option<&dyn Fn() -> Error>) {
        let (awaited, closing) = {
            let mut state = self.state();
            state.is_closed = true;
            (
                std::mem::take(&mut state.awaited),
                std::mem::take(&mut state.closing),
            )
        };
        // Who waits for a reply sees its sender vanish.
        drop(awaited);
        for waiter in closing {
            let _ = waiter.send(error.map_or(Ok(()), |error| Err(error())));
        }
        self.arrived.notify_waiters();
        self.moved_up.notify_waiters();
    }

    /// No handle is left: asks for the close, and refuses what nobody will take.
    pub(crate) fn abandon(self: &Arc<Self>, session: &Session) {
        let incoming = {
            let mut state = self.state();
            state.is_abandoned = true;
            let incoming = std::mem::take(&mut state.incoming);
            if state.is_closed {
                return;
            }
            incoming
        };
        for (arrival, message) in incoming {
            self.refuse(session, arrival, message);
        }
        drop(self.close(session, ReplyCode::SUCCESS, None));
    }

    fn refuse(self: &Arc<Self>, session: &Session, arrival: u64, message: beep_core::Message) {
        let msgno = message.msgno;
        drop(Message::new(session, self, message));
        self.send_err_unasked(
            session,
            arrival,
            msgno,
            ReplyCode::SERVICE_NOT_AVAILABLE,
            "nobody takes messages",
        );
    }

    /// Answers with an ERR on the program's behalf, so that the peer and later replies do not wait
    /// for ever.
    pub(crate) fn send_err_unasked(
        &self,
        session: &Session,
        arrival: u64,
        msgno: MsgNo,
        code: ReplyCode,
        text: &str,
    ) {
        let document = ErrorReply::new(code, text).to_xml();
        let message = Outgoing::with_headers(mime::MANAGEMENT_HEADERS, document);
        let octets = message.len();
        // It fails only when nobody can be answered any more.
        let _ = self.send_reply(arrival, octets, true, |number| {
            session.send_err(number, msgno, message)
        });
    }
}

/// Nothing has arrived so far.
pub(crate) struct NothingYet;

impl State {
    /// Notes a reply; true when an older one no longer holds others up.
    fn replied(&mut self, arrival: u64, octets: usize, is_last: bool) -> bool {
        let Some(position) = arrival
            .checked_sub(self.answered)
            .and_then(|at| usize::try_from(at).ok())
        else {
            return false;
        };
        let Some(owed) = self.owed.get_mut(position) else {
            return false;
        };
        owed.is_answered = is_last;
        if position > 0 {
            owed.kept_octets += octets;
            self.kept_octets += octets;
            return false;
        }
        let before = self.answered;
        while self.owed.front().is_some_and(|oldest| oldest.is_answered) {
            self.owed.pop_front();
            self.answered += 1;
            // What was kept for the one that is the oldest now goes out.
            if let Some(oldest) = self.owed.front_mut() {
                self.kept_octets -= std::mem::take(&mut oldest.kept_octets);
            }
        }
        if self.owed.is_empty() {
            self.owed = VecDeque::new();
        }
        self.answered > before
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("number", &self.number)
            .field("profile", &self.profile)
            .finish()
    }
}

/// Waits until `has_room` says so; looks again whenever octets left or replies moved up.
pub(crate) async fn wait_for_room(router: &Router, mailbox: &Mailbox, has_room: impl Fn() -> bool) {
    if has_room() {
        return;
    }
    loop {
        let transmitted = router.transmitted().notified();
        let moved = mailbox.moved_up.notified();
        tokio::pin!(transmitted, moved);
        transmitted.as_mut().enable();
        moved.as_mut().enable();
        if has_room() {
            return;
        }
        tokio::select! {
            () = transmitted => {}
            () = moved => {}
        }
    }
}

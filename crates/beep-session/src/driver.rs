//! The task that owns a session's transport and moves octets between it and the protocol.
//!
//! The steps are those of the drive loop in the documentation of [`beep_core`].

mod hang_up;

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use beep_core::{Event, SessionEnd};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use crate::Session;
use crate::application::End;
use crate::listener::Admission;
use crate::services;
use crate::tls;
use crate::transport::Transport;
use crate::tuning::{Handshake, Handshaking, Outcome};

/// Octets that one read can take. Large, because a read costs the same whatever it brings; one
/// buffer a thread.
const READ_MAX: usize = 256 * 1024;
/// Octets taken from the protocol for one write.
const WRITE_MAX: usize = 256 * 1024;
/// Slices given to one vectored write.
const SLICES_MAX: usize = 32;
/// Rounds of reading and writing before other tasks get their turn.
const TURNS_MAX: usize = 8;
/// Octets taken before other tasks get their turn: ten thousand frames, where a peer sends small ones.
const TAKEN_MAX: usize = 256 * 1024;

/// A chunk below this size that cannot be written at once is copied: it may be a part of the thread's buffer.
const CHUNK_KEPT: usize = 2048;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        input: vec![0; READ_MAX].into_boxed_slice(),
        frames: BytesMut::new(),
        chunks: Vec::new(),
    });
}

/// What sessions need only while one of them has its turn: they would allocate it with every message otherwise.
struct Buffers {
    input: Box<[u8]>,
    frames: BytesMut,
    /// Empty between turns.
    chunks: Vec<Bytes>,
}

/// What moves octets between a session and its transport: a future that is done when the session is over.
///
/// [`crate::Application::spawn`] gets it; nothing else can be done with it than to poll it.
pub struct Driver {
    session: Session,
    transport: Box<dyn Transport>,
    admission: Option<Admission>,
    /// What is to be written; without memory while there is nothing.
    output: Vec<Bytes>,
    /// Chunks of the output that are written in full.
    written: usize,
    /// Octets that arrived behind a start of a tuning profile, for whoever has the stream next.
    held_input: Vec<u8>,
    timer: Option<Pin<Box<Sleep>>>,
    wants_read: bool,
    /// The peer takes nothing more; what it sent is still read.
    write_failure: Option<io::Error>,
    stage: Stage,
}

/// Where the driver is in the life of the transport.
enum Stage {
    Running,
    /// The transport is with a handshake of TLS.
    Securing(Handshaking, Outcome),
    /// The protocol came to this end; the last octets are being written, then the stream is closed.
    HangingUp(Option<End>),
}

/// What reading brought.
struct Arrival {
    octets: usize,
    then: Then,
}

/// What came behind the octets.
enum Then {
    /// Nothing yet; the task is woken when something does. Or nothing was read at all.
    Nothing,
    /// The buffer is full.
    More,
    EndOfStream,
    Failed(io::Error),
}

/// What a look at the protocol brought.
enum Look {
    /// Something happened that the application has to know first.
    Event(Event),
    Quiet(Quiet),
}

/// The application knows everything, and what could be sent is in the output.
struct Quiet {
    deadline: Option<Instant>,
    /// The output was filled.
    has_transmitted: bool,
    /// Sending completed something: a channel is gone once its `<ok />` is out.
    has_event: bool,
    /// There is more to send than the output holds.
    has_more_to_send: bool,
    /// What was held back can be taken.
    may_take_held: bool,
    /// The peers agreed to TLS, and what this side said of it is in the output at most.
    is_tuning_agreed: bool,
}

impl Driver {
    pub(crate) fn new(
        session: Session,
        transport: Box<dyn Transport>,
        admission: Option<Admission>,
    ) -> Self {
        Driver {
            session,
            transport,
            admission,
            output: Vec::new(),
            written: 0,
            held_input: Vec::new(),
            timer: None,
            wants_read: true,
            write_failure: None,
            stage: Stage::Running,
        }
    }

    /// Step 2: reads what is there and gives it to the protocol.
    fn take_input(&mut self, cx: &mut Context<'_>, now: Instant) -> Arrival {
        BUFFERS.with_borrow_mut(|buffers| {
            let mut read = ReadBuf::new(&mut buffers.input);
            let then = self.read(cx, &mut read);
            let octets = read.filled();
            if octets.is_empty() && self.held_input.is_empty() && matches!(then, Then::Nothing) {
                return Arrival { octets: 0, then };
            }
            let mut state = self.session.shared.state();
            state.received = state.received.wrapping_add(octets.len() as u64);
            let protocol = &mut state.protocol;
            if self.held_input.is_empty() {
                let taken = if octets.is_empty() {
                    0
                } else {
                    protocol.handle_input(now, octets)
                };
                self.held_input
                    .extend_from_slice(octets.get(taken..).unwrap_or_default());
            } else {
                self.held_input.extend_from_slice(octets);
                if !protocol.is_input_held() {
                    let taken = protocol.handle_input(now, &self.held_input);
                    self.held_input.drain(..taken.min(self.held_input.len()));
                    if self.held_input.is_empty() {
                        // An idle session keeps no buffer.
                        self.held_input = Vec::new();
                    }
                }
            }
            match then {
                Then::EndOfStream => protocol.handle_end_of_stream(now),
                Then::Failed(_) => protocol.abort(),
                Then::Nothing | Then::More => {}
            }
            Arrival {
                octets: octets.len(),
                then,
            }
        })
    }

    /// Reads until nothing is there, so that the task is woken when something is again.
    fn read(&mut self, cx: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Then {
        if !self.wants_read {
            return Then::Nothing;
        }
        loop {
            let before = read.filled().len();
            match Pin::new(&mut self.transport).poll_read(cx, read) {
                Poll::Pending => return Then::Nothing,
                Poll::Ready(Err(error)) => return Then::Failed(error),
                Poll::Ready(Ok(())) if read.filled().len() == before => return Then::EndOfStream,
                Poll::Ready(Ok(())) if read.remaining() == 0 => return Then::More,
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    /// Steps 3 to 5, as far as the protocol goes: the next event, or the output when there is none.
    ///
    /// The waker is in place before anything is looked at: what another thread asks for later wakes the task.
    fn look(&mut self, cx: &mut Context<'_>, now: Instant) -> Look {
        let mut state = self.session.shared.state();
        if !state
            .driver
            .as_ref()
            .is_some_and(|driver| driver.will_wake(cx.waker()))
        {
            state.driver = Some(cx.waker().clone());
        }
        let is_reading = state.reading;
        let protocol = &mut state.protocol;
        let deadline = protocol.poll_timeout();
        if deadline.is_some_and(|deadline| deadline <= now) {
            protocol.handle_timeout(now);
        }
        if let Some(event) = protocol.poll_event() {
            return Look::Event(event);
        }
        let can_write = self.output.is_empty() && self.write_failure.is_none();
        if can_write && protocol.wants_transmit() {
            BUFFERS.with_borrow_mut(|buffers| {
                self.output = std::mem::take(&mut buffers.chunks);
                let frames = &mut buffers.frames;
                protocol.poll_transmit_into(now, frames, &mut self.output, WRITE_MAX);
            });
        }
        let may_take = !protocol.is_input_held() && protocol.end().is_none();
        // What was held back comes first: a peer whose starts of TLS are refused one by one could have it grow with every one
        // otherwise.
        let has_held_input = !self.held_input.is_empty();
        self.wants_read = is_reading && may_take && !has_held_input;
        Look::Quiet(Quiet {
            deadline: protocol.poll_timeout(),
            has_transmitted: can_write && !self.output.is_empty(),
            has_event: protocol.has_event(),
            has_more_to_send: protocol.wants_transmit(),
            may_take_held: may_take && has_held_input,
            is_tuning_agreed: protocol.is_tuning_agreed(),
        })
    }

    /// Hands an event to the application; returns why the session is over, if it says so.
    fn deliver(&mut self, event: Event) -> Option<End> {
        if let Event::Ended(reason) = event {
            return Some(End::Protocol(reason));
        }
        if let (Event::GreetingReceived(_), Some(admission)) = (&event, &mut self.admission) {
            admission.greeted();
        }
        if let Some(event) = services::intercept(&self.session, event) {
            self.session.shared.application.event(&self.session, event);
        }
        None
    }

    /// Step 4: writes until the output is empty or the transport has enough.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.write_output(cx);
        if written.is_pending() {
            for chunk in self.output.iter_mut().skip(self.written) {
                if chunk.len() < CHUNK_KEPT && !chunk.is_unique() {
                    *chunk = Bytes::copy_from_slice(chunk);
                }
            }
        }
        ready!(written)?;
        // TLS keeps the last record otherwise, and both ends wait.
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    /// The error that writing came to, now or before.
    fn write_unless_failed(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        if let Some(error) = self.write_failure.take() {
            return Some(error);
        }
        match self.write(cx) {
            Poll::Ready(Err(error)) => Some(error),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }

    fn write_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.output.get_mut(self.written..) {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut used = 0;
            for (slice, chunk) in slices.iter_mut().zip(rest.iter()) {
                *slice = IoSlice::new(chunk);
                used += 1;
            }
            let slices = slices.get(..used).unwrap_or_default();
            let mut octets = ready!(Pin::new(&mut self.transport).poll_write_vectored(cx, slices))?;
            if octets == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            for chunk in rest {
                let taken = octets.min(chunk.len());
                chunk.advance(taken);
                octets -= taken;
                if chunk.has_remaining() {
                    break;
                }
                self.written += 1;
            }
        }
        if !self.output.is_empty() {
            // An idle session keeps no memory for it.
            let mut chunks = std::mem::take(&mut self.output);
            self.written = 0;
            chunks.clear();
            BUFFERS.with_borrow_mut(|buffers| buffers.chunks = chunks);
        }
        Poll::Ready(Ok(()))
    }

    /// Step 5: arms the timer for the protocol's next deadline. Returns true when that is due
    /// already.
    fn arm_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline.map(tokio::time::Instant::from_std) else {
            self.timer = None;
            return false;
        };
        match &mut self.timer {
            // One that fires early is looked at again, and costs less than moving it with every
            // message.
            Some(timer) if timer.deadline() <= deadline => {}
            Some(timer) => timer.as_mut().reset(deadline),
            None => self.timer = Some(Box::pin(sleep_until(deadline))),
        }
        let fired = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if fired {
            self.timer = None;
        }
        fired
    }

    fn finish(&mut self, end: End) {
        let end = Arc::new(end);
        tracing::debug!(session = self.session.id(), end = %end, "session over");
        let handshake = {
            let mut state = self.session.shared.state();
            state.end = Some(end.clone());
            state.handshake.take()
        };
        if let Some(handshake) = handshake {
            handshake.fail(&tls::Error::SessionEnded);
        }
        self.session.end_services();
        self.session.shared.application.ended(&self.session, &end);
    }

    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut taken = 0;
        for _ in 0..TURNS_MAX {
            if taken >= TAKEN_MAX {
                break;
            }
            let now = Instant::now();
            let could_read = self.wants_read;
            let arrival = self.take_input(cx, now);
            taken += arrival.octets;
            let more_to_read = matches!(arrival.then, Then::More);
            let quiet = loop {
                match self.look(cx, now) {
                    Look::Quiet(quiet) => break quiet,
                    Look::Event(event) => {
                        if let Some(end) = self.deliver(event) {
                            let end = match (end, arrival.then) {
                                (End::Protocol(SessionEnd::Aborted), Then::Failed(error)) => {
                                    End::Transport(error)
                                }
                                (end, _) => end,
                            };
                            return self.end_now(cx, end);
                        }
                    }
                }
            };
            if let Some(error) = self.write_unless_failed(cx) {
                // A peer that hung up may have said why, and that is worth more than a broken pipe.
                if more_to_read {
                    self.write_failure = Some(error);
                    continue;
                }
                self.session.shared.state().protocol.abort();
                return self.end_now(cx, End::Transport(error));
            }
            if quiet.has_transmitted {
                self.session.shared.application.transmitted(&self.session);
            }
            if quiet.is_tuning_agreed && self.output.is_empty() {
                let handshake = self.session.shared.state().handshake.take();
                if let Some(handshake) = handshake {
                    return self.begin_handshake(cx, *handshake);
                }
            }
            if quiet.has_event || (quiet.has_more_to_send && self.output.is_empty()) {
                continue;
            }
            let due = self.arm_timer(cx, quiet.deadline);
            // Reading that was just allowed again has registered no interest yet, and what was held back for a layer that
            // was refused is still to be taken.
            let may_read_again = self.wants_read && !could_read;
            if !more_to_read && !due && !may_read_again && !quiet.may_take_held {
                return Poll::Pending;
            }
        }
        // Others have waited long enough.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands the transport over, and what was read behind the agreement: it belongs to the handshake.
    fn begin_handshake(&mut self, cx: &mut Context<'_>, handshake: Handshake) -> Poll<()> {
        self.timer = None;
        let transport = std::mem::replace(&mut self.transport, Box::new(tokio::io::empty()));
        let held_input = std::mem::take(&mut self.held_input);
        let (handshaking, outcome) = handshake.run(&self.session, transport, held_input);
        self.stage = Stage::Securing(handshaking, outcome);
        self.secure(cx)
    }

    /// Goes on with the handshake: the session over TLS takes the place of this one, or it was the last one.
    fn secure(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Stage::Securing(handshaking, _) = &mut self.stage else {
            return Poll::Ready(());
        };
        let is_over = {
            let mut state = self.session.shared.state();
            state.driver = Some(cx.waker().clone());
            state.protocol.end().is_some()
        };
        let result = if is_over {
            Err(tls::Error::SessionEnded)
        } else {
            ready!(handshaking.as_mut().poll(cx))
        };
        let Stage::Securing(_, outcome) = std::mem::replace(&mut self.stage, Stage::Running) else {
            return Poll::Ready(());
        };
        let (error, next) = match result {
            Ok((stream, info)) => match outcome.succeed(&self.session, info) {
                Some(session) => (None, Some((session, stream))),
                None => (None, None),
            },
            Err(error) => {
                outcome.fail(&error);
                (Some(error), None)
            }
        };
        self.session.shared.state().protocol.abort();
        let end = match (self.deliver_the_rest(), error) {
            (End::Protocol(SessionEnd::Aborted), Some(error)) if !is_over => End::Tls(error),
            (end, _) => end,
        };
        self.finish(end);
        if let Some((session, stream)) = next {
            // After the end of the old one, so that their events do not mix.
            let application = session.shared.application.clone();
            application.spawn(Driver::new(
                session,
                Box::new(stream),
                self.admission.take(),
            ));
        }
        Poll::Ready(())
    }

    /// Delivers the events that are left of a protocol that is over, up to its end.
    fn deliver_the_rest(&mut self) -> End {
        loop {
            let event = self.session.shared.state().protocol.poll_event();
            let Some(event) = event else {
                return End::Protocol(SessionEnd::Aborted);
            };
            if let Some(end) = self.deliver(event) {
                return end;
            }
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = self.get_mut();
        match driver.stage {
            Stage::Running => driver.run(cx),
            Stage::Securing(..) => driver.secure(cx),
            Stage::HangingUp(_) => driver.hang_up(cx),
        }
    }
}

//! The task that owns a session's transport and moves octets between it and the protocol.
//!
//! The steps are those of the drive loop in the documentation of [`beep_core`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beep_core::{Event, SessionEnd};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};

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
/// Time for a peer to take the last octets of a session that ended well.
const HANG_UP_LIMIT: Duration = Duration::from_secs(5);
/// Rounds of reading and writing before other tasks get their turn.
const TURNS_MAX: usize = 8;
/// Octets taken before other tasks get their turn: ten thousand frames, where a peer sends small ones.
const TAKEN_MAX: usize = 256 * 1024;

thread_local! {
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_MAX].into_boxed_slice());
}

/// What moves octets between a session and its transport: a future that is done when the session is over.
///
/// [`crate::Application::spawn`] gets it; nothing else can be done with it than to poll it.
pub struct Driver {
    session: Session,
    transport: Box<dyn Transport>,
    admission: Option<Admission>,
    output: VecDeque<Bytes>,
    /// Events that the last turn left for the next one.
    events: Vec<Event>,
    /// Octets that arrived behind a start of a tuning profile, for whoever has the stream next.
    held_input: Vec<u8>,
    timer: Option<Pin<Box<Sleep>>>,
    wants_read: bool,
    /// The peer takes nothing more; what it sent is still read.
    write_failure: Option<io::Error>,
    /// Less is queued in the protocol than the application was told of.
    has_transmitted: bool,
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

/// What one look at the transport brought.
enum Arrival {
    Nothing,
    Octets(usize),
    EndOfStream,
    Failed(io::Error),
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
            output: VecDeque::new(),
            events: Vec::new(),
            held_input: Vec::new(),
            timer: None,
            wants_read: true,
            write_failure: None,
            has_transmitted: false,
            stage: Stage::Running,
        }
    }

    /// Steps 2 and 3: reads what is there, and drains the events it causes.
    fn take_input(&mut self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Arrival {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let arrival = if self.wants_read {
                match Pin::new(&mut self.transport).poll_read(cx, &mut read) {
                    Poll::Pending => Arrival::Nothing,
                    Poll::Ready(Ok(())) if read.filled().is_empty() => Arrival::EndOfStream,
                    Poll::Ready(Ok(())) => Arrival::Octets(read.filled().len()),
                    Poll::Ready(Err(error)) => Arrival::Failed(error),
                }
            } else {
                Arrival::Nothing
            };
            let mut state = self.session.shared.state();
            let now = Instant::now();
            let octets = read.filled();
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
            match arrival {
                Arrival::EndOfStream => protocol.handle_end_of_stream(now),
                Arrival::Failed(_) => protocol.abort(),
                Arrival::Nothing | Arrival::Octets(_) => {}
            }
            if protocol
                .poll_timeout()
                .is_some_and(|deadline| deadline <= now)
            {
                protocol.handle_timeout(now);
            }
            while let Some(event) = protocol.poll_event() {
                events.push(event);
            }
            arrival
        })
    }

    /// Hands the events to the application; returns why the session is over, if one of them says
    /// so.
    fn deliver(&mut self, events: &mut Vec<Event>, failure: Option<io::Error>) -> Option<End> {
        let mut end = None;
        for event in events.drain(..) {
            match event {
                Event::Ended(reason) => end = Some(End::Protocol(reason)),
                event => {
                    if let (Event::GreetingReceived(_), Some(admission)) =
                        (&event, &mut self.admission)
                    {
                        admission.greeted();
                    }
                    if let Some(event) = services::intercept(&self.session, event) {
                        self.session.shared.application.event(&self.session, event);
                    }
                }
            }
        }
        match (end, failure) {
            (Some(End::Protocol(SessionEnd::Aborted)), Some(error)) => Some(End::Transport(error)),
            (end, _) => end,
        }
    }

    /// Step 4: fills the output from the protocol and writes until the transport or the protocol
    /// has enough.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.output.is_empty() {
                let mut chunks = Vec::new();
                let mut state = self.session.shared.state();
                if state.protocol.wants_transmit() {
                    state
                        .protocol
                        .poll_transmit(Instant::now(), &mut chunks, WRITE_MAX);
                }
                self.has_transmitted |= !chunks.is_empty();
                self.output.extend(chunks);
                if self.output.is_empty() {
                    // TLS keeps the last record otherwise, and both ends wait.
                    drop(state);
                    return Pin::new(&mut self.transport).poll_flush(cx);
                }
            }
            ready!(self.write_output(cx))?;
        }
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
        while !self.output.is_empty() {
            let written = {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut used = 0;
                for (slice, chunk) in slices.iter_mut().zip(&self.output) {
                    *slice = IoSlice::new(chunk);
                    used += 1;
                }
                let slices = slices.get(..used).unwrap_or_default();
                ready!(Pin::new(&mut self.transport).poll_write_vectored(cx, slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let mut rest = written;
            while let Some(chunk) = self.output.front_mut() {
                let taken = rest.min(chunk.len());
                chunk.advance(taken);
                rest -= taken;
                if chunk.has_remaining() {
                    break;
                }
                self.output.pop_front();
            }
        }
        // An idle session keeps no queue.
        self.output = VecDeque::new();
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
        let mut events = std::mem::take(&mut self.events);
        let mut taken = 0;
        for _ in 0..TURNS_MAX {
            if taken >= TAKEN_MAX {
                break;
            }
            let arrival = self.take_input(cx, &mut events);
            let more_to_read = matches!(arrival, Arrival::Octets(_));
            if let Arrival::Octets(octets) = arrival {
                taken += octets;
            }
            let failure = match arrival {
                Arrival::Failed(error) => Some(error),
                _ => None,
            };
            if let Some(end) = self.deliver(&mut events, failure) {
                return self.end_now(cx, end);
            }
            if let Some(error) = self.write_unless_failed(cx) {
                // A peer that hung up may have said why, and that is worth more than a broken pipe.
                if more_to_read {
                    self.write_failure = Some(error);
                    continue;
                }
                self.session.shared.state().protocol.abort();
                return self.end_now(cx, End::Transport(error));
            }
            if std::mem::take(&mut self.has_transmitted) {
                self.session.shared.application.transmitted(&self.session);
            }
            let could_read = self.wants_read;
            let has_held_input;
            let (deadline, more_to_write, handshake) = {
                let mut state = self.session.shared.state();
                if !state
                    .driver
                    .as_ref()
                    .is_some_and(|driver| driver.will_wake(cx.waker()))
                {
                    state.driver = Some(cx.waker().clone());
                }
                // What was written may have completed something: a channel is gone once its `<ok
                // />` is out.
                while let Some(event) = state.protocol.poll_event() {
                    events.push(event);
                }
                // The peers agreed to TLS, and what this side said of it is written.
                let handshake = if self.output.is_empty() && state.protocol.is_tuning_agreed() {
                    state.handshake.take()
                } else {
                    None
                };
                let protocol = &state.protocol;
                let may_take = !protocol.is_input_held() && protocol.end().is_none();
                // What was held back comes first: a peer whose starts of TLS are refused one by one could have it grow
                // with every one otherwise.
                has_held_input = may_take && !self.held_input.is_empty();
                self.wants_read = state.reading && may_take && self.held_input.is_empty();
                // Between the last write and this lock another thread may have sent something, and found no waker.
                let more_to_write = self.output.is_empty()
                    && self.write_failure.is_none()
                    && protocol.wants_transmit();
                (protocol.poll_timeout(), more_to_write, handshake)
            };
            if let Some(handshake) = handshake {
                self.events = events;
                return self.begin_handshake(cx, *handshake);
            }
            if !events.is_empty() || more_to_write {
                continue;
            }
            let due = self.arm_timer(cx, deadline);
            // Reading that was just allowed again has registered no interest yet, and what was held back for a layer that
            // was refused is still to be taken.
            let may_read_again = self.wants_read && !could_read;
            if !more_to_read && !due && !may_read_again && !has_held_input {
                return Poll::Pending;
            }
        }
        // Others have waited long enough.
        self.events = events;
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
        let mut events = std::mem::take(&mut self.events);
        while let Some(event) = self.session.shared.state().protocol.poll_event() {
            events.push(event);
        }
        let end = match (self.deliver(&mut events, None), error) {
            (Some(End::Protocol(SessionEnd::Aborted)), Some(error)) if !is_over => End::Tls(error),
            (end, _) => end.unwrap_or(End::Protocol(SessionEnd::Aborted)),
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

    /// The protocol is over. An end that was agreed to, or that has words for the peer, waits until
    /// they are out.
    fn end_now(&mut self, cx: &mut Context<'_>, end: End) -> Poll<()> {
        let last_words = std::mem::take(&mut self.session.shared.state().last_words);
        let has_last_words = !last_words.is_empty();
        self.output.extend(last_words);
        if end.is_orderly() || matches!(end, End::Protocol(SessionEnd::Refused(_))) {
            self.timer = Some(Box::pin(sleep(HANG_UP_LIMIT)));
            self.stage = Stage::HangingUp(Some(end));
            return self.hang_up(cx);
        }
        if has_last_words {
            let _ = self.write(cx);
            let _ = Pin::new(&mut self.transport).poll_shutdown(cx);
        }
        self.finish(end);
        Poll::Ready(())
    }

    /// Step 6: says what is left to say, closes the stream and reports the end that the protocol
    /// came to.
    fn hang_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_late = self
            .timer
            .as_mut()
            .is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if !is_late {
            // A peer that is gone already changes nothing about the end.
            let written = ready!(self.write(cx));
            if written.is_ok() {
                let _ = ready!(Pin::new(&mut self.transport).poll_shutdown(cx));
            }
        }
        if let Stage::HangingUp(end) = &mut self.stage
            && let Some(end) = end.take()
        {
            self.finish(end);
        }
        Poll::Ready(())
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

//! The last octets of a session, and the end of its transport.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use beep_core::SessionEnd;
use tokio::io::AsyncWrite;
use tokio::time::sleep;

use super::{Driver, Stage};
use crate::application::End;

/// Time for a peer to take the last octets of a session that ended well.
const HANG_UP_LIMIT: Duration = Duration::from_secs(5);

impl Driver {
    /// The protocol is over. An end that was agreed to, or that has words for the peer, waits until
    /// they are out.
    pub(super) fn end_now(&mut self, cx: &mut Context<'_>, end: End) -> Poll<()> {
        let last_words = std::mem::take(&mut self.session.shared.state().last_words);
        let has_last_words = !last_words.is_empty();
        self.output.extend(last_words);
        if end.is_orderly() || matches!(end, End::Protocol(SessionEnd::Refused(_))) {
            self.timer = None;
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
    pub(super) fn hang_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.say_goodbye(cx).is_pending() {
            // Nearly every peer takes the last octets at once, and then no time has to be measured.
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep(HANG_UP_LIMIT)));
            ready!(timer.as_mut().poll(cx));
        }
        if let Stage::HangingUp(end) = &mut self.stage
            && let Some(end) = end.take()
        {
            self.finish(end);
        }
        Poll::Ready(())
    }

    fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A peer that is gone already changes nothing about the end.
        if ready!(self.write(cx)).is_ok() {
            let _ = ready!(Pin::new(&mut self.transport).poll_shutdown(cx));
        }
        Poll::Ready(())
    }
}

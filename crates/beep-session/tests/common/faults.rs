//! A pipe in memory between two ends, with faults that follow from its settings alone.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets under way in one direction before a writer has to wait.
const CAPACITY: usize = 64 * 1024;

/// Which way octets go; the index of what belongs to a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the first end to the second.
    There = 0,
    /// Back.
    Back = 1,
}

/// What happens once so many octets have passed in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both ends read what has passed, then the end of the stream; nobody can write.
    Cut,
    /// Both ends lose the connection at once, and what they have not read with it.
    Reset,
    /// Nothing more passes in this direction, and nobody is told.
    Stall,
    /// One bit of the next octet is turned.
    Flip { bit: u8 },
}

/// What a pipe does to what passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A fault, behind so many octets of a direction.
    pub at: Option<(Way, usize, Fault)>,
    /// Octets that one read brings at most; 0 for no limit.
    pub piece: usize,
    /// Has reads bring less than that, and come late, as this number has it; 0 for neither.
    pub seed: u64,
}

/// Makes a pipe.
pub fn pipe(faults: Faults) -> (PipeEnd, PipeEnd, Arc<Watch>) {
    let watch = Arc::new(Watch(Mutex::new(Pipe {
        faults,
        dice: faults.seed,
        directions: Default::default(),
        broken: None,
        ends: 2,
    })));
    let end = |side| PipeEnd {
        watch: watch.clone(),
        side,
    };
    (end(0), end(1), watch)
}

/// One end of a pipe.
pub struct PipeEnd {
    watch: Arc<Watch>,
    side: usize,
}

/// Looks at a pipe from the side.
pub struct Watch(Mutex<Pipe>);

struct Pipe {
    faults: Faults,
    dice: u64,
    /// By `Way`.
    directions: [Direction; 2],
    broken: Option<Fault>,
    /// Ends that exist.
    ends: usize,
}

#[derive(Default)]
struct Direction {
    queue: VecDeque<u8>,
    /// Octets that ever were in it.
    passed: usize,
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Watch {
    /// Octets that passed in a direction.
    pub fn passed(&self, way: Way) -> usize {
        self.0.lock().unwrap().directions[way as usize].passed
    }

    /// Ends that nobody has dropped.
    pub fn ends(&self) -> usize {
        self.0.lock().unwrap().ends
    }
}

impl Direction {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl Pipe {
    /// Octets of a direction until its fault, if that is still to come.
    fn until_fault(&self, way: usize) -> Option<(usize, Fault)> {
        let (its, position, fault) = self.faults.at?;
        let left = position.checked_sub(self.directions[way].passed)?;
        (its as usize == way).then_some((left, fault))
    }

    fn break_off(&mut self, fault: Fault) {
        self.broken = Some(fault);
        for direction in &mut self.directions {
            if fault == Fault::Reset {
                direction.queue.clear();
            }
            direction.wake();
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % end
    }

    fn write(&mut self, way: usize, cx: &Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken.is_some() || self.directions[way].is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut most = octets
            .len()
            .min(CAPACITY - self.directions[way].queue.len());
        if most == 0 {
            self.directions[way].writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut turned = 0;
        match self.until_fault(way) {
            Some((0, fault @ (Fault::Cut | Fault::Reset))) => {
                self.break_off(fault);
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some((0, Fault::Stall)) => {
                self.directions[way].writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Some((0, Fault::Flip { bit })) => {
                turned = 1 << (bit % 8);
                most = 1;
            }
            Some((left, _)) => most = most.min(left),
            None => {}
        }
        let direction = &mut self.directions[way];
        direction
            .queue
            .extend(octets[..most].iter().map(|octet| octet ^ turned));
        direction.passed += most;
        if let Some(reader) = direction.reader.take() {
            reader.wake();
        }
        // The connection is cut when the last octet has passed, not when somebody tries the next.
        if let Some((0, fault @ (Fault::Cut | Fault::Reset))) = self.until_fault(way) {
            self.break_off(fault);
        }
        Poll::Ready(Ok(most))
    }

    fn read(
        &mut self,
        way: usize,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.broken == Some(Fault::Reset) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let waiting = self.directions[way].queue.len();
        if waiting == 0 {
            if self.broken.is_some() || self.directions[way].is_closed {
                return Poll::Ready(Ok(()));
            }
            self.directions[way].reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut most = waiting.min(buffer.remaining());
        if self.faults.piece > 0 {
            most = most.min(self.faults.piece);
        }
        if self.faults.seed != 0 {
            if self.below(3) == 0 {
                // Later: everybody else has a turn first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            most = 1 + self.below(most as u64) as usize;
        }
        let direction = &mut self.directions[way];
        for octet in direction.queue.drain(..most) {
            buffer.put_slice(&[octet]);
        }
        if let Some(writer) = direction.writer.take() {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut pipe = self.watch.0.lock().unwrap();
        pipe.read(1 - self.side, cx, buffer)
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.watch.0.lock().unwrap();
        pipe.write(self.side, cx, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.watch.0.lock().unwrap();
        let direction = &mut pipe.directions[self.side];
        direction.is_closed = true;
        direction.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut pipe = self.watch.0.lock().unwrap();
        pipe.ends -= 1;
        // As a socket that is closed: what it wrote can be read, what is written to it is lost.
        for direction in &mut pipe.directions {
            direction.is_closed = true;
            direction.wake();
        }
    }
}

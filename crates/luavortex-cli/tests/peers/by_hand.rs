//! A BEEP peer played by hand.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use crate::support::LIMIT;

/// The profile that every listening script here serves: the payload comes back.
pub(crate) const ECHO: &str = "urn:test:echo";
/// What goes in front of a document on channel 0.
pub(crate) const HEADERS: &str = "Content-Type: application/beep+xml\r\n\r\n";
/// The window that a channel begins with.
pub(crate) const WINDOW: u32 = 4096;
/// The channel that `Peer::honest` opens.
pub(crate) const CHANNEL: u32 = 1;

/// A frame other than SEQ.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) header: String,
    pub(crate) content: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.header, self.text())
    }
}

impl Frame {
    /// Keyword, channel and message number, as `RPY 1 0`.
    pub(crate) fn head(&self) -> String {
        let words: Vec<&str> = self.header.split(' ').take(3).collect();
        words.join(" ")
    }

    /// A field of the header that is a number: 1 is the channel, 2 the message, 4 the sequence number, 5 the size.
    pub(crate) fn number(&self, field: usize) -> u32 {
        self.header.split(' ').nth(field).unwrap().parse().unwrap()
    }

    pub(crate) fn is_last(&self) -> bool {
        self.header.split(' ').nth(3) == Some(".")
    }

    /// The whole content, entity headers included.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }

    /// The code of the `<error>` that an ERR carries; 0 for anything else.
    pub(crate) fn error_code(&self) -> u32 {
        let text = self.text();
        let code = text.split_once("<error code='").and_then(|(_, rest)| {
            self.header
                .starts_with("ERR")
                .then(|| rest.split('\'').next())
        });
        code.flatten().map_or(0, |code| code.parse().unwrap())
    }
}

/// One end of a connection, moved by the test's hand. It keeps the windows unless it is told otherwise.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
    frames: VecDeque<Frame>,
    /// By channel: octets sent, and up to where the other side allows it.
    sent: BTreeMap<u32, u32>,
    allowed: BTreeMap<u32, u32>,
    /// By channel: octets received, and up to where this side has allowed it.
    taken: BTreeMap<u32, u32>,
    granted: BTreeMap<u32, u32>,
    /// Whether this side grants new window as it takes octets.
    pub(crate) grants: bool,
    msgnos: BTreeMap<u32, u32>,
}

impl Peer {
    /// Over a stream that is connected.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
            frames: VecDeque::new(),
            sent: BTreeMap::new(),
            allowed: BTreeMap::new(),
            taken: BTreeMap::new(),
            granted: BTreeMap::new(),
            grants: true,
            msgnos: BTreeMap::new(),
        }
    }

    /// Connects, and says nothing.
    pub(crate) fn connect(port: u16) -> Self {
        Self::new(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    /// Connects and exchanges greetings.
    #[track_caller]
    pub(crate) fn greeted(port: u16) -> Self {
        let mut peer = Self::connect(port);
        peer.greet();
        peer
    }

    /// Connects, exchanges greetings and opens `CHANNEL`; `name` is the server name it asks for.
    #[track_caller]
    pub(crate) fn honest(port: u16, name: &str) -> Self {
        let mut peer = Self::greeted(port);
        peer.start(CHANNEL, name);
        peer
    }

    /// Sends a greeting and takes the other one.
    #[track_caller]
    pub(crate) fn greet(&mut self) {
        self.greet_back();
        self.expect("RPY 0 0");
    }

    /// Sends a greeting to a peer that has sent its own.
    pub(crate) fn greet_back(&mut self) {
        self.send("RPY 0 0 .", &format!("{HEADERS}<greeting />\r\n"));
    }

    /// Whether the other side greets; it may hang up instead.
    #[track_caller]
    pub(crate) fn greeting_or_end(&mut self) -> bool {
        self.next().is_some_and(|frame| frame.head() == "RPY 0 0")
    }

    /// Opens a channel of the echo profile.
    #[track_caller]
    pub(crate) fn start(&mut self, number: u32, name: &str) {
        let reply = self.ask(&format!(
            "<start number='{number}' serverName='{name}'><profile uri='{ECHO}' /></start>"
        ));
        assert!(reply.header.starts_with("RPY"), "{reply:?}");
    }

    /// Sends a request on channel 0 and takes its answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, document: &str) -> Frame {
        self.ask_raw(format!("{HEADERS}{document}").as_bytes())
    }

    /// As `ask`, with the entity headers written by hand.
    #[track_caller]
    pub(crate) fn ask_raw(&mut self, content: &[u8]) -> Frame {
        let msgno = self.next_msgno(0);
        self.send_octets_of(&format!("MSG 0 {msgno} ."), content);
        let reply = self.frame();
        let head = reply.head();
        assert!(
            head == format!("RPY 0 {msgno}") || head == format!("ERR 0 {msgno}"),
            "{reply:?}"
        );
        reply
    }

    /// Asks to close a channel, whose number is as good as new then.
    #[track_caller]
    pub(crate) fn close(&mut self, channel: u32, document: &str) {
        let reply = self.ask_raw(document.as_bytes());
        assert_eq!(reply.text(), format!("{HEADERS}<ok />"), "{document}");
        for numbers in [
            &mut self.sent,
            &mut self.allowed,
            &mut self.taken,
            &mut self.granted,
            &mut self.msgnos,
        ] {
            numbers.remove(&channel);
        }
    }

    /// Whatever was sent before has been handled when this returns: a request is answered after it.
    #[track_caller]
    pub(crate) fn barrier(&mut self) {
        let reply =
            self.ask("<start number='2147483647'><profile uri='urn:test:nobody' /></start>");
        assert_eq!(reply.error_code(), 554, "{reply:?}");
    }

    /// The number for the next MSG on a channel: 1 and up on channel 0, where 0 was the greeting.
    pub(crate) fn next_msgno(&mut self, channel: u32) -> u32 {
        let next = self
            .msgnos
            .entry(channel)
            .or_insert_with(|| u32::from(channel == 0));
        *next += 1;
        *next - 1
    }

    /// Sends a MSG on `CHANNEL` and takes it back.
    #[track_caller]
    pub(crate) fn exchange(&mut self, payload: &str) {
        self.exchange_on(CHANNEL, payload);
    }

    /// Sends a MSG and takes it back.
    #[track_caller]
    pub(crate) fn exchange_on(&mut self, channel: u32, payload: &str) {
        let msgno = self.next_msgno(channel);
        self.send(
            &format!("MSG {channel} {msgno} ."),
            &format!("\r\n{payload}"),
        );
        let reply = self.expect(&format!("RPY {channel} {msgno}"));
        assert_eq!(reply.text(), format!("\r\n{payload}"));
    }

    /// Releases the session and hangs up.
    #[track_caller]
    pub(crate) fn release(mut self) {
        let reply = self.ask("<close number='0' code='200' />");
        assert_eq!(reply.text(), format!("{HEADERS}<ok />"));
    }

    /// Sends a frame; `head` is as `MSG 1 0 .`, the rest of the header is worked out.
    #[track_caller]
    pub(crate) fn send(&mut self, head: &str, content: &str) {
        self.send_octets_of(head, content.as_bytes());
    }

    #[track_caller]
    fn send_octets_of(&mut self, head: &str, content: &[u8]) {
        // The other side may wait with a SEQ until half of its window is used.
        const FITS_ALWAYS: usize = (WINDOW / 2) as usize;
        let channel: u32 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut rest = content;
        while rest.len() > FITS_ALWAYS && self.room(channel) < rest.len() as u32 {
            let (piece, others) = rest.split_at(FITS_ALWAYS);
            self.wait_for_room(channel, FITS_ALWAYS as u32);
            let frame = self.compose(&head.replace('.', "*"), piece, "");
            self.octets(&frame);
            rest = others;
        }
        self.wait_for_room(channel, rest.len() as u32);
        let frame = self.compose(head, rest, "");
        self.octets(&frame);
    }

    /// A frame as octets, counted as sent; `tail` goes behind the size.
    pub(crate) fn compose(&mut self, head: &str, content: &[u8], tail: &str) -> Vec<u8> {
        let channel: u32 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let seqno = self.sent.entry(channel).or_default();
        let mut frame = format!("{head} {seqno} {}{tail}\r\n", content.len()).into_bytes();
        *seqno += u32::try_from(content.len()).unwrap();
        frame.extend_from_slice(content);
        frame.extend_from_slice(b"END\r\n");
        frame
    }

    /// Sends octets as they are.
    #[track_caller]
    pub(crate) fn octets(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    /// As `octets`, to a peer that may have hung up already.
    pub(crate) fn try_octets(&mut self, octets: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(octets.as_ref());
    }

    /// Octets that may be sent on a channel, by what has been read so far.
    pub(crate) fn room(&self, channel: u32) -> u32 {
        self.allowed.get(&channel).unwrap_or(&WINDOW) - self.sent(channel)
    }

    /// Octets sent on a channel.
    pub(crate) fn sent(&self, channel: u32) -> u32 {
        *self.sent.get(&channel).unwrap_or(&0)
    }

    /// Allows the other side so many octets from here on.
    #[track_caller]
    pub(crate) fn grant(&mut self, channel: u32, window: u32) {
        let taken = *self.taken.entry(channel).or_default();
        self.granted.insert(channel, taken.saturating_add(window));
        self.octets(format!("SEQ {channel} {taken} {window}\r\n"));
    }

    /// Waits until so many octets may be sent.
    #[track_caller]
    pub(crate) fn wait_for_room(&mut self, channel: u32, room: u32) {
        while self.room(channel) < room {
            assert!(self.read(), "the stream ended before the window opened");
        }
    }

    /// The next frame.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        match self.next() {
            Some(frame) => frame,
            None => panic!("the stream ended where a frame was expected"),
        }
    }

    /// The next message, which has to begin like this: its first frame, with the content of the others.
    #[track_caller]
    pub(crate) fn expect(&mut self, head: &str) -> Frame {
        let mut message = self.frame();
        let mut is_last = message.is_last();
        assert_eq!(message.head(), head, "{message:?}");
        while !is_last {
            let frame = self.frame();
            assert_eq!(frame.head(), head, "{frame:?}");
            is_last = frame.is_last();
            message.content.extend(frame.content);
        }
        message
    }

    /// Reads to the end of the connection, whatever comes.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) {
        while self.read() {}
    }

    /// The other side ends the connection, and has nothing more to say.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        if let Some(frame) = self.next() {
            panic!("a frame where the end was expected: {frame:?}");
        }
    }

    /// The other side sends nothing and does not hang up, for this long.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, time: Duration) {
        assert!(self.frames.is_empty() && self.received.is_empty());
        self.stream.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.read(&mut [0; 64]);
        self.stream.set_read_timeout(Some(LIMIT)).unwrap();
        assert!(
            matches!(&read, Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
            "{read:?}"
        );
    }

    /// Ends the connection with FIN; what comes can still be read.
    pub(crate) fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// The next octets as they are.
    #[track_caller]
    pub(crate) fn raw(&mut self, length: usize) -> String {
        while self.received.len() < length {
            assert!(self.fill(), "the stream ended");
        }
        String::from_utf8(self.received.drain(..length).collect()).unwrap()
    }

    #[track_caller]
    fn next(&mut self) -> Option<Frame> {
        while self.frames.is_empty() {
            if !self.read() {
                return None;
            }
        }
        self.frames.pop_front()
    }

    /// Takes in one frame or SEQ; false at the end of the stream.
    #[track_caller]
    fn read(&mut self) -> bool {
        let header = loop {
            if let Some(end) = find(&self.received, b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                break String::from_utf8(line[..end].to_vec()).unwrap();
            }
            if !self.fill() {
                assert!(self.received.is_empty(), "the stream ended in a header");
                return false;
            }
        };
        if let Some(seq) = header.strip_prefix("SEQ ") {
            let numbers: Vec<u32> = seq.split(' ').map(|word| word.parse().unwrap()).collect();
            let edge = numbers[1] + numbers[2];
            let before = self.allowed.insert(numbers[0], edge).unwrap_or(WINDOW);
            assert!(edge > before, "a SEQ that grants nothing new: {header}");
            assert!(numbers[1] <= self.sent(numbers[0]), "{header}");
            return true;
        }
        let mut frame = Frame {
            header,
            content: Vec::new(),
        };
        let (channel, size) = (frame.number(1), frame.number(5));
        while self.received.len() < size as usize + 5 {
            assert!(self.fill(), "the stream ended in a frame");
        }
        frame.content = self.received.drain(..size as usize).collect();
        let trailer: Vec<u8> = self.received.drain(..5).collect();
        assert_eq!(trailer, b"END\r\n", "{frame:?}");
        self.take(&frame, channel, size);
        self.frames.push_back(frame);
        true
    }

    /// Keeps the books of the window for a frame that came.
    #[track_caller]
    fn take(&mut self, frame: &Frame, channel: u32, size: u32) {
        let taken = self.taken.entry(channel).or_default();
        assert_eq!(frame.number(4), *taken, "sequence number: {frame:?}");
        *taken += size;
        let taken = *taken;
        let granted = *self.granted.get(&channel).unwrap_or(&WINDOW);
        assert!(taken <= granted, "beyond the window: {frame:?}");
        if self.grants && granted - taken <= WINDOW / 2 {
            self.granted.insert(channel, taken + WINDOW);
            // The other side may be gone; that shows with the next read.
            let seq = format!("SEQ {channel} {taken} {WINDOW}\r\n");
            self.try_octets(seq);
        }
    }

    #[track_caller]
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!(
                "{error}; received {:?}",
                String::from_utf8_lossy(&self.received)
            ),
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

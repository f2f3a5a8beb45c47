//! A peer that says whatever a test wants, and notes what it is answered.
//!
//! Its tests run with the clock paused: time goes on once nothing else can, so waiting for a moment is waiting until
//! all has settled.

use std::collections::HashMap;
use std::time::Duration;

use beep_session::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::frame;

const HEADERS: &str = "Content-Type: application/beep+xml\r\n\r\n";

/// A frame that was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `RPY`, `ERR` or `MSG`.
    pub(crate) kind: String,
    pub(crate) channel: u32,
    pub(crate) msgno: u32,
    pub(crate) content: String,
}

pub(crate) struct Raw {
    pub(crate) stream: Box<dyn Transport>,
    /// Octets sent on each channel, and numbers of messages.
    sent: HashMap<u32, (usize, u32)>,
    unread: Vec<u8>,
    pub(crate) received: Vec<Received>,
    pub(crate) is_over: bool,
}

impl Raw {
    pub(crate) fn new(stream: impl Transport + 'static) -> Self {
        Raw {
            stream: Box::new(stream),
            sent: HashMap::new(),
            unread: Vec::new(),
            received: Vec::new(),
            is_over: false,
        }
    }

    pub(crate) async fn greeted(stream: impl Transport + 'static) -> Self {
        let mut raw = Raw::new(stream);
        raw.reply("RPY", 0, 0, "<greeting />").await;
        raw.settle().await;
        raw
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        // A peer that is gone is seen when reading.
        let _ = self.stream.write_all(octets).await;
        let _ = self.stream.flush().await;
    }

    pub(crate) async fn reply(&mut self, kind: &str, channel: u32, msgno: u32, document: &str) {
        let octets = self.framed(kind, channel, msgno, document);
        self.write(octets.as_bytes()).await;
    }

    pub(crate) fn framed(
        &mut self,
        kind: &str,
        channel: u32,
        msgno: u32,
        document: &str,
    ) -> String {
        let headers = if channel == 0 { HEADERS } else { "\r\n" };
        let content = format!("{headers}{document}");
        let sent = &mut self.sent.entry(channel).or_default().0;
        let seqno = std::mem::replace(sent, *sent + content.len());
        frame(kind, channel, msgno, seqno, &content)
    }

    /// A MSG, not sent yet, and its number.
    pub(crate) fn message(&mut self, channel: u32, document: &str) -> (u32, String) {
        let next = &mut self.sent.entry(channel).or_default().1;
        let msgno = std::mem::replace(next, *next + 1);
        (msgno, self.framed("MSG", channel, msgno, document))
    }

    pub(crate) async fn send(&mut self, channel: u32, document: &str) -> u32 {
        let (msgno, octets) = self.message(channel, document);
        self.write(octets.as_bytes()).await;
        msgno
    }

    /// A start; `content` rides in it.
    pub(crate) async fn start(&mut self, number: u32, uri: &str, content: Option<&str>) -> u32 {
        self.send(0, &start(number, uri, content)).await
    }

    pub(crate) fn octets_sent(&self, channel: u32) -> usize {
        self.sent.get(&channel).map_or(0, |sent| sent.0)
    }

    /// Waits until nothing moves any more, and takes what arrived.
    pub(crate) async fn settle(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(read) = timeout(Duration::from_millis(1), self.stream.read(&mut buffer)).await
        {
            match read {
                Ok(count) if count > 0 => self.unread.extend_from_slice(&buffer[..count]),
                _ => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.take_frames();
    }

    fn take_frames(&mut self) {
        while let Some(line) = self.unread.windows(2).position(|two| two == b"\r\n") {
            let header = String::from_utf8_lossy(&self.unread[..line]).into_owned();
            let words: Vec<&str> = header.split(' ').collect();
            if words[0] == "SEQ" {
                self.unread.drain(..line + 2);
                continue;
            }
            let size: usize = words[5].parse().unwrap();
            let end = line + 2 + size;
            if self.unread.len() < end + 5 {
                return;
            }
            let content = String::from_utf8_lossy(&self.unread[line + 2..end]).into_owned();
            self.received.push(Received {
                kind: words[0].to_owned(),
                channel: words[1].parse().unwrap(),
                msgno: words[2].parse().unwrap(),
                content,
            });
            self.unread.drain(..end + 5);
        }
    }

    /// The answers to a message of this peer.
    pub(crate) fn answers(&self, channel: u32, msgno: u32) -> Vec<Received> {
        let is_answer = |received: &&Received| {
            (received.channel, received.msgno) == (channel, msgno)
                && received.kind != "MSG"
                && !received.content.contains("<greeting")
        };
        self.received.iter().filter(is_answer).cloned().collect()
    }

    /// The one answer there has to be.
    pub(crate) fn answer(&self, channel: u32, msgno: u32) -> Received {
        let mut answers = self.answers(channel, msgno);
        assert_eq!(answers.len(), 1, "{channel} {msgno}: {:?}", self.received);
        answers.remove(0)
    }
}

pub(crate) fn start(number: u32, uri: &str, content: Option<&str>) -> String {
    let content = content.map_or_else(String::new, |content| format!("<![CDATA[{content}]]>"));
    format!("<start number='{number}'><profile uri='{uri}'>{content}</profile></start>")
}

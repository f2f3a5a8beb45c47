//! A BEEP listener played by hand.

use std::net::TcpListener;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use crate::by_hand::{ECHO, HEADERS, Peer};
use crate::support::LIMIT;

/// A listener that is not ours.
pub(crate) struct ByHandListener(TcpListener);

impl ByHandListener {
    pub(crate) fn new() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).unwrap())
    }

    /// One whose connections take few octets that nobody reads.
    pub(crate) fn with_small_buffers() -> Self {
        let listener = Self::new();
        SockRef::from(&listener.0)
            .set_recv_buffer_size(4096)
            .unwrap();
        listener
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next connection, which says nothing yet.
    #[track_caller]
    pub(crate) fn accept(&self) -> Peer {
        let mut waits = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(LIMIT).unwrap();
        assert_eq!(poll(&mut waits, limit), Ok(1), "nobody connects");
        Peer::new(self.0.accept().unwrap().0)
    }

    /// The next connection, with the greetings exchanged.
    #[track_caller]
    pub(crate) fn accept_greeted(&self) -> Peer {
        let mut peer = self.accept();
        peer.greet();
        peer
    }

    /// The next connection, with the greetings exchanged and the client's first channel, 3, open.
    #[track_caller]
    pub(crate) fn accept_started(&self) -> Peer {
        let mut peer = self.accept_greeted();
        let start = peer.expect("MSG 0 0");
        assert!(start.text().contains("<start number='3'"), "{start:?}");
        peer.send(
            "RPY 0 0 .",
            &format!("{HEADERS}<profile uri='{ECHO}' />\r\n"),
        );
        peer
    }
}

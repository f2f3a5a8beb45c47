//! What a session allows itself and its peer: windows, limits and deadlines.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ConfigError;
use crate::flow_control::INITIAL_WINDOW;
use crate::management::DocumentLimits;
use crate::tls_ready::TLS_URI;

/// The settings of a session.
///
/// Everything that a peer can make grow has its limit here. A config is checked once, by
/// [`Config::checked`], and then shared by any number of sessions.
///
/// ```
/// use beep_core::Config;
/// let config = Config { frame_max: 4096, ..Config::default() }.checked()?;
/// assert_eq!(config.frame_max, 4096);
/// # Ok::<(), beep_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Octets of receive window offered as soon as a channel is open. Every channel begins with the 4096 of
    /// RFC 3081 §3.1.1; at 4096 a MiB stalls 256 times. Default 65 536.
    pub window_on_open: u32,
    /// Octets up to which the receive window of a channel doubles with use. It bounds what a peer may send
    /// while the application does not consume. Default 1 MiB.
    pub window_max: u32,
    /// Octets of payload a frame that we send carries at most. Smaller frames let channels take turns more
    /// often, larger ones cost less. Default 32 KiB.
    pub frame_max: u32,
    /// Octets of a frame header received, CRLF included; a longer one ends the session. Default 128.
    pub header_max: usize,
    /// Octets of one received message while it is being joined; reaching it ends the session.
    /// Default 128 MiB.
    pub message_max: usize,
    /// Octets of all messages being joined in a session; reaching it ends the session. Default 256 MiB.
    pub joining_max: usize,
    /// Answers of one message that may arrive interleaved (RFC 3080 §2.2.1.1); more end the session.
    /// Default 256.
    pub answers_interleaved_max: usize,
    /// Received MSGs of a channel that await our reply; more end the session, and so do four times as many over all
    /// its channels. Default 131 072.
    pub messages_unanswered_max: usize,
    /// Received messages of a channel not consumed yet; more end the session. The window bounds octets, this
    /// bounds messages without any. Default 1 048 576.
    pub messages_held_max: usize,
    /// Octets of received messages that are not consumed yet, over all channels of the session; more end it. Each
    /// message counts 256 octets more than its content, for what it takes beside it. From half of it on, a channel
    /// with a message that is not consumed gets no further window. Default 512 MiB.
    pub octets_held_max: usize,
    /// Own MSGs of a channel awaiting replies; more are refused to the caller. Default 131 072.
    pub outstanding_max: usize,
    /// Octets queued for sending on a channel; more are refused to the caller. Default 256 MiB.
    pub send_queue_octets: usize,
    /// Messages queued for sending on a channel; more are refused to the caller. Default 131 072.
    pub send_queue_messages: usize,
    /// Octets queued for sending in the whole session; more are refused to the caller. Default 512 MiB.
    pub send_queue_octets_session: usize,
    /// Channels open or being started at once, channel 0 not counted; further starts are refused with 554.
    /// Default 10 240.
    pub channels_max: usize,
    /// Octets of content of one message on channel 0; more end the session. Default 64 KiB.
    pub management_octets: usize,
    /// Octets of content of the peer's greeting; more end the session. Above 4096 the peer is granted the
    /// window for it before it has greeted. Default 4096.
    pub greeting_octets: u32,
    /// Depth of elements in a document on channel 0; deeper ones are answered with 500. Default 16.
    pub xml_depth_max: u32,
    /// Nodes of a document on channel 0; larger ones are answered with 500. Default 4096.
    pub xml_nodes_max: u32,
    /// Start and close requests of the peer whose answers are not on the wire yet; once there are so many, or they have
    /// sixteen times `management_octets` of content, the peer gets no further window on channel 0. Default 1024.
    pub management_pending_max: usize,
    /// Time in which the peer's greeting has to be complete; else the session ends. Default 60 s.
    pub greeting_timeout: Duration,
    /// Time in which a start or close has to be answered, and in which the conditions for sending or
    /// accepting a close have to come true. Default 60 s.
    pub reply_timeout: Duration,
    /// Time that the peer has for ending the connection once its release has been agreed to. Default 10 s.
    pub release_linger: Duration,
    /// Time in which an authentication by SASL has to be complete; else it has failed. For whoever drives the session:
    /// this crate does not look at it. Default 60 s.
    pub authentication_timeout: Duration,
    /// Authentications of the peer that may fail before no further one is taken on the session. For whoever drives it,
    /// too. Default 16.
    pub authentication_failures_max: u32,
    /// Time for a decision about the peer's start of TLS, which is refused after it; and time in which a handshake has to
    /// be complete once the peers agreed to it, or else the session ends. For whoever drives it. Default 30 s.
    pub tls_timeout: Duration,
    /// Silence of the peer that ends the session; `None` waits for ever. Default `None`.
    pub idle_timeout: Option<Duration>,
    /// URIs of profiles that replace the transport, as TLS does: once the peer starts one, no further octet
    /// is taken until the application has answered and tuned. Default that of TLS.
    pub tuning_profiles: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            window_on_open: 65_536,
            window_max: 1 << 20,
            frame_max: 32 * 1024,
            header_max: 128,
            message_max: 128 << 20,
            joining_max: 256 << 20,
            answers_interleaved_max: 256,
            messages_unanswered_max: 131_072,
            messages_held_max: 1 << 20,
            octets_held_max: 512 << 20,
            outstanding_max: 131_072,
            send_queue_octets: 256 << 20,
            send_queue_messages: 131_072,
            send_queue_octets_session: 512 << 20,
            channels_max: 10_240,
            management_octets: 64 * 1024,
            greeting_octets: INITIAL_WINDOW,
            xml_depth_max: 16,
            xml_nodes_max: 4096,
            management_pending_max: 1024,
            greeting_timeout: Duration::from_secs(60),
            reply_timeout: Duration::from_secs(60),
            release_linger: Duration::from_secs(10),
            authentication_timeout: Duration::from_secs(60),
            authentication_failures_max: 16,
            tls_timeout: Duration::from_secs(30),
            idle_timeout: None,
            tuning_profiles: vec![TLS_URI.to_owned()],
        }
    }
}

impl Config {
    /// Checks the settings and makes them ready to be shared by sessions.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field whose value cannot work.
    pub fn checked(self) -> Result<Arc<Config>, ConfigError> {
        self.validate()?;
        Ok(Arc::new(self))
    }

    /// Says whether the settings can work.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field whose value cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const WINDOW_LIMIT: u64 = i32::MAX as u64;
        // The longest header the ABNF allows: keyword, five numbers of ten digits, blanks and CRLF.
        const HEADER_LEAST: u64 = 64;
        let in_range = |field, value: u64, least, most| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError {
                    field,
                    value,
                    least,
                    most,
                })
            }
        };
        let initial = u64::from(INITIAL_WINDOW);
        in_range(
            "window_on_open",
            self.window_on_open.into(),
            initial,
            WINDOW_LIMIT,
        )?;
        in_range(
            "window_max",
            self.window_max.into(),
            self.window_on_open.into(),
            WINDOW_LIMIT,
        )?;
        in_range("frame_max", self.frame_max.into(), 1, WINDOW_LIMIT)?;
        in_range("header_max", self.header_max as u64, HEADER_LEAST, 65_536)?;
        in_range("message_max", self.message_max as u64, 1, u64::MAX)?;
        in_range("joining_max", self.joining_max as u64, 1, u64::MAX)?;
        in_range(
            "answers_interleaved_max",
            self.answers_interleaved_max as u64,
            1,
            u64::MAX,
        )?;
        in_range(
            "messages_unanswered_max",
            self.messages_unanswered_max as u64,
            1,
            WINDOW_LIMIT,
        )?;
        in_range(
            "messages_held_max",
            self.messages_held_max as u64,
            1,
            u64::MAX,
        )?;
        in_range("octets_held_max", self.octets_held_max as u64, 1, u64::MAX)?;
        in_range(
            "outstanding_max",
            self.outstanding_max as u64,
            1,
            WINDOW_LIMIT,
        )?;
        in_range(
            "send_queue_octets",
            self.send_queue_octets as u64,
            1,
            u64::MAX,
        )?;
        in_range(
            "send_queue_messages",
            self.send_queue_messages as u64,
            1,
            u64::MAX,
        )?;
        in_range(
            "send_queue_octets_session",
            self.send_queue_octets_session as u64,
            1,
            u64::MAX,
        )?;
        in_range("channels_max", self.channels_max as u64, 1, WINDOW_LIMIT)?;
        in_range(
            "management_octets",
            self.management_octets as u64,
            256,
            u64::MAX,
        )?;
        in_range(
            "greeting_octets",
            self.greeting_octets.into(),
            64,
            WINDOW_LIMIT,
        )?;
        in_range("xml_depth_max", self.xml_depth_max.into(), 2, 1024)?;
        in_range(
            "xml_nodes_max",
            self.xml_nodes_max.into(),
            4,
            u64::from(u32::MAX),
        )?;
        in_range(
            "management_pending_max",
            self.management_pending_max as u64,
            1,
            WINDOW_LIMIT,
        )
    }

    /// The limits of documents on channel 0 that carry at most `octets`.
    pub(crate) fn document_limits(&self, octets: usize) -> DocumentLimits {
        DocumentLimits {
            octets,
            depth: self.xml_depth_max,
            nodes: self.xml_nodes_max,
        }
    }
}

/// Which end of the connection a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that made the connection; its channels have odd numbers (RFC 3080 §2.3.1.2).
    Initiator,
    /// The end that accepted the connection; its channels have even numbers.
    Listener,
}

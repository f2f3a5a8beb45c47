//! A session whose peer sends frames that are mostly right: what octets alone find too seldom.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use beep_core::{
    AnsNo, ChannelNumber, Config, DataHeader, MessageKind, MsgNo, Role, SeqHeader, SeqNo, TRAILER,
};
use bytes::{BufMut, BytesMut};

use crate::application::{Application, ECHO, TUNING, small_config};
use crate::input::Input;

const KINDS: [MessageKind; 5] = [
    MessageKind::Msg,
    MessageKind::Rpy,
    MessageKind::Err,
    MessageKind::Ans,
    MessageKind::Nul,
];

/// What the peer has sent so far.
#[derive(Default)]
struct Peer {
    /// Octets by channel.
    sent: BTreeMap<u32, u32>,
}

/// The first octet says which end the session is, the second is the seed of its application; each frame or other
/// thing that happens begins with an octet that says what.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let role = if input.octet() & 1 == 0 {
        Role::Listener
    } else {
        Role::Initiator
    };
    let mut application = Application::new(role, config(), input.octet(), true);
    let mut peer = Peer::default();
    let greeting = b"RPY 0 0 . 0 13\r\n\r\n<greeting/>END\r\n";
    peer.sent.insert(0, 13);
    application.feed(greeting);
    while !input.is_empty() && application.session.end().is_none() {
        match input.octet() % 16 {
            0..=3 => {
                let octets = peer.message(&mut input);
                application.feed(&octets);
            }
            4..=7 => {
                let octets = peer.request(&mut input);
                application.feed(&octets);
            }
            8 => {
                let octets = seq(&mut input);
                application.feed(&octets);
            }
            9 => {
                let size = usize::from(input.octet() % 32);
                application.feed(input.octets(size));
            }
            10 => application.pass(Duration::from_secs(u64::from(input.octet()))),
            _ => {
                for _ in 0..=input.octet() % 16 {
                    application.act();
                }
            }
        }
    }
    application.end_of_stream();
}

impl Peer {
    /// A frame of any kind on any channel.
    fn message(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let shape = input.octet();
        let kind = KINDS[usize::from(shape) % KINDS.len()];
        let channel = u32::from(input.octet() % 8);
        let msgno = u32::from(input.octet() % 16);
        let size = match input.octet() {
            small @ 0..=127 => usize::from(small),
            large => usize::from(large - 127) * 40,
        };
        let size = if kind == MessageKind::Nul { 0 } else { size };
        let ansno = u32::from(shape >> 4) % 6;
        self.frame(
            kind,
            channel,
            msgno,
            shape & 8 != 0,
            ansno,
            &vec![b'm'; size],
            input,
        )
    }

    /// A document on channel 0.
    fn request(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let number = u32::from(input.octet() % 8);
        let (kind, document) = match input.octet() % 12 {
            0..=2 => (
                MessageKind::Msg,
                format!("<start number='{number}'><profile uri='{ECHO}'/></start>"),
            ),
            3 => (
                MessageKind::Msg,
                format!(
                    "<start number='{number}' serverName='a'><profile uri='urn:other'/><profile uri='{ECHO}'><![CDATA[x]]></profile></start>"
                ),
            ),
            4 => (
                MessageKind::Msg,
                format!("<start number='{number}'><profile uri='{TUNING}'/></start>"),
            ),
            5 | 6 => (
                MessageKind::Msg,
                format!("<close number='{number}' code='200'/>"),
            ),
            7 => (MessageKind::Rpy, format!("<profile uri='{ECHO}'/>")),
            8 => (
                MessageKind::Rpy,
                format!("<profile uri='{TUNING}'><![CDATA[<proceed/>]]></profile>"),
            ),
            9 => (MessageKind::Rpy, "<ok/>".to_owned()),
            10 => (MessageKind::Err, "<error code='550'>no</error>".to_owned()),
            _ => {
                let size = usize::from(input.octet());
                let octets = input.octets(size);
                (
                    MessageKind::Msg,
                    String::from_utf8_lossy(octets).into_owned(),
                )
            }
        };
        let msgno = u32::from(input.octet() % 16);
        let content = format!("\r\n{document}");
        self.frame(kind, 0, msgno, false, 0, content.as_bytes(), input)
    }

    #[allow(clippy::too_many_arguments)] // the fields of a frame
    fn frame(
        &mut self,
        kind: MessageKind,
        channel: u32,
        msgno: u32,
        more: bool,
        ansno: u32,
        payload: &[u8],
        input: &mut Input<'_>,
    ) -> Vec<u8> {
        let sent = self.sent.entry(channel).or_default();
        let lie = input.octet();
        if lie == 1 {
            *sent = 0; // as if the channel were new
        }
        let header = DataHeader {
            kind,
            channel: ChannelNumber::new(channel).expect("it is small"),
            msgno: MsgNo::new(msgno).expect("it is small"),
            more: more && kind != MessageKind::Nul,
            seqno: SeqNo::new(if lie == 2 { *sent ^ 1 } else { *sent }),
            size: payload.len() as u32 + u32::from(lie == 3),
            ansno: AnsNo::new(ansno).filter(|_| kind == MessageKind::Ans),
        };
        *sent = sent.wrapping_add(payload.len() as u32);
        let mut frame = BytesMut::new();
        header.encode(&mut frame);
        frame.put_slice(payload);
        frame.put_slice(if lie == 4 { b"END\n\n" } else { TRAILER });
        frame.to_vec()
    }
}

fn seq(input: &mut Input<'_>) -> Vec<u8> {
    let header = SeqHeader {
        channel: ChannelNumber::new(u32::from(input.octet() % 8)).expect("it is small"),
        ackno: SeqNo::new(input.number() as u32 % 5000),
        window: input.number() as u32,
    };
    let mut frame = BytesMut::new();
    header.encode(&mut frame);
    frame.to_vec()
}

fn config() -> &'static Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    CONFIG.get_or_init(|| small_config().checked().expect("the limits can work"))
}

//! How long the parts of the protocol take: `cargo bench -p beep-core`.
#![allow(missing_docs, unreachable_pub, reason = "nobody calls a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark may end where it cannot go on"
)]

mod pair;

use beep_core::{
    ChannelNumber, DataHeader, Decoder, MessageKind, MsgNo, Piece, SeqHeader, SeqNo, TRAILER,
};
use bytes::{Bytes, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};

use pair::{Pair, Service};

/// Frames of one round of the codec.
const FRAMES: usize = 1000;

fn main() {
    divan::main();
}

fn header(at: usize, size: usize) -> DataHeader {
    let at = u32::try_from(at).unwrap();
    let size = u32::try_from(size).unwrap();
    DataHeader {
        kind: MessageKind::Msg,
        channel: ChannelNumber::new(3).unwrap(),
        msgno: MsgNo::new(at).unwrap(),
        more: false,
        seqno: SeqNo::new(at * size),
        size,
        ansno: None,
    }
}

fn frames(size: usize) -> BytesMut {
    let payload = vec![b'x'; size];
    let mut octets = BytesMut::new();
    for at in 0..FRAMES {
        header(at, size).encode(&mut octets);
        octets.extend_from_slice(&payload);
        octets.extend_from_slice(TRAILER);
    }
    octets
}

#[divan::bench(args = [64, 4096])]
fn decode(bencher: Bencher<'_, '_>, size: usize) {
    let octets = frames(size);
    bencher.counter(ItemsCount::new(FRAMES)).bench(|| {
        let mut decoder = Decoder::new(128);
        let mut rest = &octets[..];
        let mut ends = 0;
        while let Some(piece) = decoder.decode(&mut rest).unwrap() {
            ends += usize::from(piece == Piece::End);
        }
        assert_eq!(ends, FRAMES);
    });
}

#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let mut out = BytesMut::with_capacity(FRAMES * 64);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        out.clear();
        for at in 0..FRAMES {
            black_box(header(at, 64)).encode(&mut out);
        }
        out.len()
    });
}

#[divan::bench]
fn encode_seq(bencher: Bencher<'_, '_>) {
    let mut out = BytesMut::with_capacity(FRAMES * 64);
    bencher.counter(ItemsCount::new(FRAMES)).bench_local(|| {
        out.clear();
        for at in 0..FRAMES {
            let seq = SeqHeader {
                channel: ChannelNumber::new(3).unwrap(),
                ackno: SeqNo::new(u32::try_from(at).unwrap()),
                window: 1 << 20,
            };
            black_box(seq).encode(&mut out);
        }
        out.len()
    });
}

/// Messages that fill windows, so that a SEQ goes back for every second one or so.
#[divan::bench(args = [64 << 10, 1 << 20, 16 << 20])]
fn flow_control(bencher: Bencher<'_, '_>, size: usize) {
    let mut pair = Pair::new(Service::Sink);
    let channel = pair.open();
    let content = Bytes::from(vec![b'x'; size]);
    bencher
        .counter(BytesCount::new(size))
        .bench_local(|| pair.request(channel, content.clone()));
}

/// A MSG and its reply, each through both sessions.
#[divan::bench(args = [64, 16 << 10])]
fn message(bencher: Bencher<'_, '_>, size: usize) {
    let mut pair = Pair::new(Service::Echo);
    let channel = pair.open();
    let content = Bytes::from(vec![b'x'; size]);
    bencher
        .counter(ItemsCount::new(1usize))
        .bench_local(|| pair.request(channel, content.clone()));
}

#[divan::bench(args = [64, 1024])]
fn answers(bencher: Bencher<'_, '_>, size: usize) {
    let mut pair = Pair::new(Service::Answers(FRAMES));
    let channel = pair.open();
    let content = Bytes::from(vec![b'x'; size]);
    bencher
        .counter(ItemsCount::new(FRAMES))
        .bench_local(|| pair.request(channel, content.clone()));
}

#[divan::bench]
fn open_and_close(bencher: Bencher<'_, '_>) {
    let mut pair = Pair::new(Service::Echo);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let channel = pair.open();
        pair.close(channel);
    });
}

#[divan::bench]
fn greet(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(1usize))
        .bench_local(|| Pair::new(Service::Echo).replies());
}

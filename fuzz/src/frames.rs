//! Octets into frame pieces: how they are cut makes no difference, and what was read can be written again.

use beep_core::{DataHeader, Decoder, FrameError, Piece, SeqHeader};
use bytes::BytesMut;

use crate::input::Dice;

const HEADER_MOST: usize = 128;

#[derive(Debug, PartialEq)]
enum Read {
    Header(DataHeader),
    Payload(Vec<u8>),
    End,
    Seq(SeqHeader),
}

/// The first octet says how the others are cut.
pub fn run(octets: &[u8]) {
    let Some((seed, octets)) = octets.split_first() else {
        return;
    };
    let mut dice = Dice::new(*seed);
    let whole = read(octets, || usize::MAX);
    let cut = read(octets, || if *seed == 0 { 1 } else { 1 + dice.below(9) });
    assert_eq!(whole, cut, "the cuts make a difference");
    for piece in whole.0 {
        let mut line = BytesMut::new();
        let written = match &piece {
            Read::Header(header) => {
                assert!(header.size <= 0x7fff_ffff);
                header.encode(&mut line);
                line
            }
            Read::Seq(header) => {
                assert!(header.window <= 0x7fff_ffff);
                header.encode(&mut line);
                line
            }
            Read::Payload(_) | Read::End => continue,
        };
        let (again, error) = read(&written, || usize::MAX);
        assert_eq!((again, error), (vec![piece], None));
    }
}

fn read(mut octets: &[u8], mut size: impl FnMut() -> usize) -> (Vec<Read>, Option<FrameError>) {
    let mut decoder = Decoder::new(HEADER_MOST);
    let mut pieces = Vec::new();
    let mut missing = 0;
    while !octets.is_empty() {
        let (mut part, rest) = octets.split_at(size().min(octets.len()));
        octets = rest;
        loop {
            match decoder.decode(&mut part) {
                Ok(Some(Piece::Header(header))) => {
                    missing = header.size as usize;
                    pieces.push(Read::Header(header));
                }
                Ok(Some(Piece::Payload(payload))) => {
                    assert!(!payload.is_empty() && payload.len() <= missing);
                    missing -= payload.len();
                    match pieces.last_mut() {
                        Some(Read::Payload(front)) => front.extend_from_slice(payload),
                        _ => pieces.push(Read::Payload(payload.to_vec())),
                    }
                }
                Ok(Some(Piece::End)) => {
                    assert_eq!(missing, 0, "a frame ended before its size");
                    pieces.push(Read::End);
                }
                Ok(Some(Piece::Seq(header))) => pieces.push(Read::Seq(header)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut &b"x"[..]), Err(error));
                    return (pieces, Some(error));
                }
            }
        }
        assert!(part.is_empty(), "octets were left without an error");
    }
    (pieces, None)
}

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::frame::MessageKind;
use crate::numbers::{AnsNo, ChannelNumber, MAX_31_BITS, MsgNo, SeqNo};

const LIMIT: usize = 128;

/// A piece that owns its octets; neighbouring payload pieces are joined.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Header(DataHeader),
    Payload(Vec<u8>),
    End,
    Seq(SeqHeader),
}

fn decode_all(cuts: &[&[u8]]) -> (Vec<Owned>, Result<bool, FrameError>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut pieces = Vec::new();
    for cut in cuts {
        let mut input = *cut;
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(Piece::Header(header))) => pieces.push(Owned::Header(header)),
                Ok(Some(Piece::Payload(octets))) => {
                    assert!(!octets.is_empty());
                    match pieces.last_mut() {
                        Some(Owned::Payload(joined)) => joined.extend_from_slice(octets),
                        _ => pieces.push(Owned::Payload(octets.to_vec())),
                    }
                }
                Ok(Some(Piece::End)) => pieces.push(Owned::End),
                Ok(Some(Piece::Seq(seq))) => pieces.push(Owned::Seq(seq)),
                Ok(None) => {
                    assert!(input.is_empty());
                    break;
                }
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input), Err(error), "errors stay");
                    assert!(!decoder.is_between_frames());
                    return (pieces, Err(error));
                }
            }
        }
    }
    (pieces, Ok(decoder.is_between_frames()))
}

fn error_of(octets: &[u8]) -> FrameError {
    let (_, end) = decode_all(&[octets]);
    let error = end.expect_err(&String::from_utf8_lossy(octets));
    let single: Vec<_> = octets.chunks(1).collect();
    assert_eq!(decode_all(&single).1, Err(error), "octet by octet");
    error
}

fn header_of(octets: &[u8]) -> DataHeader {
    match decode_all(&[octets]).0.first() {
        Some(Owned::Header(header)) => *header,
        other => panic!("{other:?}"),
    }
}

fn unexpected(expected: HeaderPart, position: u32, found: u8) -> FrameError {
    FrameError::Header {
        expected,
        position,
        found,
    }
}

#[test]
fn a_decoder_is_small_and_an_idle_one_holds_no_memory() {
    assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    let mut decoder = Decoder::new(LIMIT);
    let mut input = &b"SEQ 3 0"[..];
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(!decoder.is_between_frames());
    let mut input = &b" 4096\r\n"[..];
    assert!(matches!(
        decoder.decode(&mut input),
        Ok(Some(Piece::Seq(_)))
    ));
    assert_eq!(decoder.partial.capacity(), 0);
    assert!(decoder.is_between_frames());
}

#[test]
fn a_frame_is_complete_only_with_its_trailer() {
    let (pieces, end) = decode_all(&[b"RPY 0 0 . 0 2\r\n\r\nEND\r"]);
    assert_eq!(end, Ok(false));
    assert_eq!(pieces.len(), 2);
    let (pieces, end) = decode_all(&[b"RPY 0 0 . 0 0\r\nEND\r\nSEQ 0 0 4096\r\n"]);
    assert_eq!(end, Ok(true));
    assert!(matches!(
        pieces[..],
        [Owned::Header(_), Owned::End, Owned::Seq(_)]
    ));
}

#[test]
fn payloads_are_slices_of_the_input() {
    let octets = b"MSG 1 0 * 0 5\r\nhelloEND\r\n";
    let mut decoder = Decoder::new(LIMIT);
    let mut input = &octets[..18];
    decoder.decode(&mut input).unwrap();
    let Ok(Some(Piece::Payload(first))) = decoder.decode(&mut input) else {
        panic!();
    };
    assert_eq!(first.as_ptr(), octets[15..].as_ptr());
}

#[test]
fn leading_zeros_and_the_largest_numbers_are_taken() {
    let header = header_of(b"MSG 0003 00 . 00022 007\r\n");
    assert_eq!((header.channel.value(), header.size), (3, 7));
    let header = header_of(b"ANS 2147483647 2147483647 * 4294967295 2147483647 2147483647\r\n");
    assert_eq!(header.ansno, Some(AnsNo::MAX));
    assert_eq!(header.seqno, SeqNo::new(u32::MAX));
}

#[test]
fn nul_may_have_a_header_part_but_no_more_to_come() {
    assert_eq!(header_of(b"NUL 1 0 . 22 0\r\n").size, 0);
    assert_eq!(header_of(b"NUL 1 0 . 22 2\r\n").size, 2);
    assert_eq!(error_of(b"NUL 1 0 * 22 0\r\n"), FrameError::NulContinues);
    assert_eq!(
        error_of(b"NUL 1 0 . 22 1025\r\n"),
        FrameError::OutOfRange {
            part: HeaderPart::Size,
            max: MAX_NUL_SIZE
        }
    );
}

#[test]
fn numbers_over_their_range_are_refused() {
    for (line, part, max) in [
        ("MSG 2147483648 0 . 0 0", HeaderPart::Channel, MAX_31_BITS),
        ("MSG 3 2147483648 . 0 0", HeaderPart::MsgNo, MAX_31_BITS),
        ("MSG 3 0 . 4294967296 0", HeaderPart::SeqNo, u32::MAX),
        ("MSG 3 0 . 0 2147483648", HeaderPart::Size, MAX_31_BITS),
        ("ANS 3 0 . 0 0 2147483648", HeaderPart::AnsNo, MAX_31_BITS),
        ("SEQ 2147483648 0 0", HeaderPart::Channel, MAX_31_BITS),
        ("SEQ 3 4294967296 0", HeaderPart::AckNo, u32::MAX),
        ("SEQ 3 0 2147483648", HeaderPart::Window, MAX_31_BITS),
        (
            "SEQ 3 0 99999999999999999999",
            HeaderPart::Window,
            MAX_31_BITS,
        ),
    ] {
        // The number alone is enough, its end need not have come.
        assert_eq!(
            error_of(line.as_bytes()),
            FrameError::OutOfRange { part, max },
            "{line}"
        );
    }
}

#[test]
fn garbage_is_refused_at_its_first_impossible_octet() {
    use HeaderPart::*;
    for (octets, expected, position) in [
        (&b"GET / HTTP/1.1\r\n"[..], Keyword, 0),
        (b"\0\0\0\0", Keyword, 0),
        (b"\x16\x03\x01", Keyword, 0),
        (b"msg 3 0 . 0 0\r\n", Keyword, 0),
        (b"\r\nMSG 3 0 . 0 0\r\n", Keyword, 0),
        (b" MSG 3 0 . 0 0\r\n", Keyword, 0),
        (b"MSX", Keyword, 2),
        (b"MSGS", Blank, 3),
        (b"MSG\t3", Blank, 3),
        (b"MSG  3", Channel, 4),
        (b"MSG -1", Channel, 4),
        (b"MSG +3", Channel, 4),
        (b"MSG three", Channel, 4),
        (b"MSG 3\t0", Blank, 5),
        (b"MSG 3 0 x", More, 8),
        (b"MSG 3 0 0", More, 8),
        (b"MSG 3 0 .0", Blank, 9),
        (b"MSG 3 0 . 0\r\n", Blank, 11),
        (b"MSG 3 0 . 0 0x5\r\n", LineEnd, 13),
        (b"MSG 3 0 . 0 \r\n", Size, 12),
        (b"MSG 3 0 . 0 0 \r\n", LineEnd, 13),
        (b"MSG 3 0 . 0 0 7\r\n", LineEnd, 13),
        (b"MSG 3 0 . 0 0\n", LineEnd, 13),
        (b"MSG 3 0 . 0 0\rEND\r\n", LineEnd, 14),
        (b"ANS 3 0 . 0 0\r\n", Blank, 13),
        (b"SEQ 3 0\r\n", Blank, 7),
        (b"SEQ 3 0 4096 \r\n", LineEnd, 12),
        (b"SEQ 3 0 4096\n", LineEnd, 12),
        (b"SEQ 3 0 4096\r\nEND\r\n", Keyword, 1),
    ] {
        let found = match octets {
            // The line before it is right, the trailer is not.
            b"SEQ 3 0 4096\r\nEND\r\n" => b'N',
            _ => octets[position as usize],
        };
        assert_eq!(
            error_of(octets),
            unexpected(expected, position, found),
            "{}",
            String::from_utf8_lossy(octets)
        );
    }
}

#[test]
fn a_header_line_is_bounded() {
    let mut line = b"MSG 3 0 . 0 ".to_vec();
    line.resize(LIMIT - 3, b'0');
    let mut longest = line.clone();
    longest.extend_from_slice(b"7\r\n");
    assert_eq!(longest.len(), LIMIT);
    assert_eq!(header_of(&longest).size, 7);
    line.extend_from_slice(b"07\r\n");
    assert_eq!(error_of(&line), FrameError::HeaderTooLong { limit: 128 });
}

#[test]
fn another_trailer_is_refused_at_once() {
    let trailer = |position, found| FrameError::Trailer { position, found };
    assert_eq!(error_of(b"MSG 3 0 . 0 2\r\n\r\nend\r\n"), trailer(0, b'e'));
    assert_eq!(error_of(b"MSG 3 0 . 0 2\r\n\r\nEND\n"), trailer(3, b'\n'));
    assert_eq!(error_of(b"MSG 3 0 . 0 2\r\n\r\nMSG 3"), trailer(0, b'M'));
}

prop_compose! {
    fn any_header()(
        kind in prop_oneof![
            Just(MessageKind::Msg), Just(MessageKind::Rpy), Just(MessageKind::Err),
            Just(MessageKind::Ans), Just(MessageKind::Nul)
        ],
        channel in 0..=MAX_31_BITS,
        msgno in 0..=MAX_31_BITS,
        more: bool,
        seqno: u32,
        ansno in 0..=MAX_31_BITS,
    ) -> DataHeader {
        DataHeader {
            kind,
            channel: ChannelNumber::new(channel).unwrap(),
            msgno: MsgNo::new(msgno).unwrap(),
            more: more && kind != MessageKind::Nul,
            seqno: SeqNo::new(seqno),
            size: 0,
            ansno: (kind == MessageKind::Ans).then(|| AnsNo::new(ansno).unwrap()),
        }
    }
}

fn any_frame() -> impl Strategy<Value = (Vec<u8>, Vec<Owned>)> {
    let data = (any_header(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(
        |(mut header, payload)| {
            header.size = payload.len() as u32;
            let mut out = BytesMut::new();
            header.encode(&mut out);
            out.extend_from_slice(&payload);
            out.extend_from_slice(TRAILER);
            let mut pieces = vec![Owned::Header(header)];
            if !payload.is_empty() {
                pieces.push(Owned::Payload(payload));
            }
            pieces.push(Owned::End);
            (out.to_vec(), pieces)
        },
    );
    let seq =
        (0..=MAX_31_BITS, any::<u32>(), 0..=MAX_31_BITS).prop_map(|(channel, ackno, window)| {
            let seq = SeqHeader {
                channel: ChannelNumber::new(channel).unwrap(),
                ackno: SeqNo::new(ackno),
                window,
            };
            let mut out = BytesMut::new();
            seq.encode(&mut out);
            (out.to_vec(), vec![Owned::Seq(seq)])
        });
    prop_oneof![3 => data, 1 => seq]
}

fn cut<'a>(octets: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = at.iter().map(|at| at.index(octets.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(octets.len());
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let piece = &octets[start..end];
            start = end;
            piece
        })
        .collect()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        frames in prop::collection::vec(any_frame(), 1..6),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let (octets, expected): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        let octets = octets.concat();
        let expected = expected.concat();
        prop_assert_eq!(decode_all(&[&octets]), (expected.clone(), Ok(true)));
        prop_assert_eq!(decode_all(&cut(&octets, &at)), (expected.clone(), Ok(true)));
        let single: Vec<_> = octets.chunks(1).collect();
        prop_assert_eq!(decode_all(&single), (expected, Ok(true)));
    }

    #[test]
    fn arbitrary_octets_never_panic_and_cuts_do_not_matter(
        octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(MSG|RPY|ANS|NUL|SEQ)( [0-9]{1,11}| [.*]){0,7} ?\r?\n?.{0,20}".prop_map(String::into_bytes),
        ],
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = decode_all(&[&octets]);
        prop_assert_eq!(decode_all(&cut(&octets, &at)), whole);
    }

    #[test]
    fn a_spoilt_octet_ends_in_an_error_or_in_whole_pieces(
        frame in any_frame(), at: prop::sample::Index, octet: u8,
    ) {
        let mut octets = frame.0;
        let at = at.index(octets.len());
        octets[at] = octet;
        let single: Vec<_> = octets.chunks(1).collect();
        prop_assert_eq!(decode_all(&single), decode_all(&[&octets]));
    }
}

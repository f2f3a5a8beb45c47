use super::*;

const FRAMES: &[u8] = b"MSG 1 0 . 0 5\r\nhelloEND\r\nSEQ 1 5 4096\r\n";

fn contents(found: Vec<Found>) -> Vec<Content> {
    found.into_iter().map(|found| found.content).collect()
}

/// What comes of the octets, read in pieces of this size.
fn read_in_pieces(octets: &[u8], size: usize) -> Vec<Content> {
    let mut stream = Stream::new(100);
    let pieces = octets.chunks(size).zip(0..);
    let found = pieces.flat_map(|(piece, us)| stream.take(us, piece));
    contents(found.collect())
}

fn fault(contents: &[Content]) -> Malformed {
    let malformed = contents.iter().find_map(|content| match content {
        Content::Malformed(malformed) => Some(malformed.clone()),
        _ => None,
    });
    malformed.unwrap_or_else(|| panic!("nothing wrong in {contents:?}"))
}

#[test]
fn frames_are_found_however_they_are_cut() {
    let whole = read_in_pieces(FRAMES, FRAMES.len());
    assert!(
        matches!(&whole[..], [Content::Data { payload, .. }, Content::Seq(_)] if payload == b"hello")
    );
    for size in 1..FRAMES.len() {
        assert_eq!(read_in_pieces(FRAMES, size), whole, "in pieces of {size}");
    }
}

#[test]
fn a_frame_begins_when_its_first_octet_comes() {
    let mut stream = Stream::new(100);
    assert!(stream.take(7, b"MSG 1 0 . 0 0\r\n").is_empty());
    assert_eq!(stream.take(9, b"END\r\n")[0].begun_us, 7);
}

#[test]
fn a_wrong_octet_is_found_where_it_is_however_it_is_cut() {
    for (wrong, at, octet) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 0, b'G'),
        (b"MSG 1 0 . 0 5 x\r\nhelloEND\r\n", 13, b' '),
        (b"MSG 1 0 . 0 5\r\nhelloENE\r\n", 22, b'E'),
    ] {
        let octets = [FRAMES, wrong].concat();
        for size in 1..=octets.len() {
            let contents = read_in_pieces(&octets, size);
            let fault = fault(&contents);
            assert_eq!(fault.at, (FRAMES.len() + at) as u64, "in pieces of {size}");
            assert_eq!(fault.octets[fault.index], octet, "in pieces of {size}");
        }
    }
}

#[test]
fn nothing_is_lost_behind_a_wrong_octet() {
    let contents = read_in_pieces(b"MSG 1 0 . 0 5\r\nhelloENE\r\nrest", 1000);
    assert!(
        matches!(&contents[1..], [Content::Unread { octets, count: 6 }] if octets == b"\r\nrest")
    );
    assert_eq!(fault(&contents).frame.unwrap().1, b"hello");
}

#[test]
fn tls_is_not_taken_for_a_broken_frame() {
    let octets = [FRAMES, b"\x16\x03\x01\x00\x05hello", b"\x17\x03\x03"].concat();
    let contents = read_in_pieces(&octets, 1000);
    assert_eq!(contents[2], Content::Encrypted { count: 13 });
}

#[test]
fn a_long_payload_is_kept_in_part() {
    let mut stream = Stream::new(3);
    let contents = contents(stream.take(0, FRAMES));
    assert!(
        matches!(&contents[0], Content::Data { payload, header } if payload == b"hel" && header.size == 5)
    );
}

#[test]
fn an_end_within_a_frame_is_told() {
    let mut stream = Stream::new(100);
    assert_eq!(stream.end(0, None).1, None);
    stream.take(0, b"MSG 1 0 . 0 5\r\nhel");
    let fault = stream.end(1, None).1.unwrap();
    assert!(fault.contains("3 of the 5 octets of MSG 1 0"), "{fault}");
}

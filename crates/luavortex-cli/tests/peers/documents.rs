//! What a peer may write on channel 0, and what it is told when it may not.

use crate::by_hand::{CHANNEL, ECHO, Frame, HEADERS, Peer};
use crate::scripts::{echo_listener, stop};

/// Content of a start, with `@` for the profile's URI, that opens channel 5.
const STARTS: &[&str] = &[
    "<start number='5'><profile uri='@'/></start>",
    "<start number=\"5\"><profile uri=\"@\"/></start>",
    "\r\n\r\n  <start\r\n\tnumber = '5' >\n<profile\nuri\n=\n'@'\n/>\n</start >\n\n",
    "<?xml version='1.0'?><start number='5'><profile uri='@'/></start>",
    "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\r\n<start number='5'><profile uri='@'/></start>",
    "\u{feff}<start number='5'><profile uri='@'/></start>",
    "<!-- who --><start number='5'><!-- goes --><profile uri='@'/><!-- there --></start><!-- ? -->",
    "<?pi some?><start number='5'><?pi thing?><profile uri='@'/></start><?pi else?>",
    "<start number='&#53;'><profile uri='u&#114;n:test:e&#x63;ho'/></start>",
    "<start number=' 5 '><profile uri='@'/></start>",
    "<start number='0005'><profile uri='@'/></start>",
    "<start serverName='a&amp;b' number='5'><profile uri='@'/></start>",
    "<start number='5' serverName=''><profile uri='@'/></start>",
    "<start xml:lang='en' colour='red' number='5'><profile taste='sweet' uri='@'/></start>",
    "<start number='5'>idle talk<profile uri='@'/>&lt;more&gt;</start>",
    "<start number='5'><unknown><profile/></unknown><profile uri='@'/></start>",
    "<start number='5'><profile uri='urn:test:nobody'/><profile uri='@'/></start>",
    "<start number='5'><profile uri='@'/><profile uri='@'/></start>",
    "<start number='5'><profile uri='@'></profile></start>",
    "<start number='5'><profile uri='@'>text &lt;&amp;&#10;</profile></start>",
    "<start number='5'><profile uri='@'><![CDATA[<a>]]>and<![CDATA[<b]]></profile></start>",
    "<start number='5'><profile uri='@'><element with='markup'/></profile></start>",
    "<start number='5'><profile uri='@' encoding='none'>text</profile></start>",
    "<start number='5'><profile encoding='base64' uri='@'>dGV4dA==\r\n</profile></start>",
    "<start number='5'><profile encoding='base64' uri='@'>certainly not base64!</profile></start>",
];

/// What may go in front of a document, up to the blank line.
const ENTITY_HEADERS: &[&str] = &[
    "",
    "\r\n",
    "\n",
    "Content-Type: application/beep+xml\r\n\r\n",
    "content-type:application/beep+xml\r\n\r\n",
    "CONTENT-TYPE: Application/BEEP+XML\r\n\r\n",
    "Content-Type: application/beep+xml; charset=utf-8\r\n\r\n",
    "Content-Type: application/beep+xml ; charset=\"utf-8\" ; x=y\r\n\r\n",
    "Content-Type:\r\n application/beep+xml\r\n\r\n",
    "Content-Type: application/beep+xml\n\n",
    "X-Before: 1\r\nContent-Type: application/beep+xml\r\nX-After: 2\r\n\r\n",
    "Content-Type: application/beep+xml\r\nContent-Transfer-Encoding: binary\r\n\r\n",
    "X-Other: only\r\n\r\n",
];

/// Requests that are refused, with their codes; channel 1 is open.
const REFUSED: &[(u32, &str)] = &[
    (501, "<start><profile uri='@'/></start>"),
    (501, "<start number=''><profile uri='@'/></start>"),
    (501, "<start number='0'><profile uri='@'/></start>"),
    (501, "<start number='-5'><profile uri='@'/></start>"),
    (501, "<start number='+5'><profile uri='@'/></start>"),
    (501, "<start number='5.0'><profile uri='@'/></start>"),
    (501, "<start number='0x5'><profile uri='@'/></start>"),
    (501, "<start number='5 7'><profile uri='@'/></start>"),
    (501, "<start number='five'><profile uri='@'/></start>"),
    (501, "<start number='2147483648'><profile uri='@'/></start>"),
    (501, "<start number='4294967301'><profile uri='@'/></start>"),
    (
        501,
        "<start number='99999999999999999999999999'><profile uri='@'/></start>",
    ),
    (501, "<start Number='5'><profile uri='@'/></start>"),
    (501, "<start number='5' />"),
    (501, "<start number='5'>@</start>"),
    (501, "<start number='5'><Profile uri='@'/></start>"),
    (501, "<start number='5'><profile /></start>"),
    (501, "<start number='5'><profile uri=''/></start>"),
    (501, "<start number='5'><profile URI='@'/></start>"),
    (
        501,
        "<start number='5'><profile uri='@' encoding='rot13'/></start>",
    ),
    (
        554,
        "<start number='5'><profile uri='urn:test:nobody'/></start>",
    ),
    (554, "<start number='5'><profile uri='@ '/></start>"),
    (
        554,
        "<start number='5'><profile uri='URN:TEST:ECHO'/></start>",
    ),
    (554, "<start number='1'><profile uri='@'/></start>"),
    (501, "<close />"),
    (501, "<close number='1' />"),
    (501, "<close number='' code='200' />"),
    (501, "<close number='-1' code='200' />"),
    (501, "<close number='x' code='200' />"),
    (501, "<close number='2147483648' code='200' />"),
    (501, "<close number='1' code='' />"),
    (501, "<close number='1' code='20' />"),
    (501, "<close number='1' code='2000' />"),
    (501, "<close number='1' code='099' />"),
    (501, "<close number='1' code='abc' />"),
    (501, "<close number='1' code='-20' />"),
    (554, "<close number='5' code='200' />"),
    (554, "<close number='2147483647' code='200' />"),
    (501, "<ok />"),
    (501, "<error code='554' />"),
    (501, "<error code='554' >no</error>"),
    (501, "<greeting />"),
    (501, "<profile uri='@' />"),
    (501, "<blob status='abort' />"),
    (501, "<ready />"),
    (501, "<START number='5'><profile uri='@'/></START>"),
    (501, "<frobnicate number='5' code='200' />"),
    (500, ""),
    (500, " \r\n "),
    (500, "hello"),
    (500, "<"),
    (500, "<start number='5'>"),
    (500, "<start number='5'><profile uri='@'/>"),
    (500, "<start number='5'><profile uri='@'></start></profile>"),
    (500, "<start number=5><profile uri='@'/></start>"),
    (500, "<start number='5\"><profile uri='@'/></start>"),
    (
        500,
        "<start number='5' number='7'><profile uri='@'/></start>",
    ),
    (
        500,
        "<start number='5'><profile uri='@'/></start><start number='7'><profile uri='@'/></start>",
    ),
    (
        500,
        "<start number='5'><profile uri='@'/></start> and so on",
    ),
    (500, "<start number='&five;'><profile uri='@'/></start>"),
    (500, "<start number='&#0;'><profile uri='@'/></start>"),
    (500, "<start number='5'><profile uri='a<b'/></start>"),
    (
        500,
        "<start number='5'><profile uri='@'><![CDATA[</profile></start>",
    ),
    (500, "<!-- <start number='5'><profile uri='@'/></start>"),
    (
        500,
        "<!DOCTYPE start><start number='5'><profile uri='@'/></start>",
    ),
    (
        500,
        "<!DOCTYPE start SYSTEM 'file:///etc/passwd'><start number='5'><profile uri='@'/></start>",
    ),
    (
        500,
        "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><start number='5'><profile uri='&b;'/></start>",
    ),
    (500, "<x:start number='5'><profile uri='@'/></x:start>"),
    (500, "<start number='5'><profile uri='@'/>\u{1}</start>"),
    (500, "<start number='5\0'><profile uri='@'/></start>"),
];

fn with_uri(document: &str) -> String {
    document.replace('@', ECHO)
}

#[track_caller]
fn check_started(peer: &mut Peer, reply: &Frame, what: &str) {
    assert!(reply.header.starts_with("RPY"), "{what}: {reply:?}");
    assert_eq!(
        reply.text(),
        format!("{HEADERS}<profile uri='{ECHO}' />\r\n"),
        "{what}"
    );
    peer.exchange_on(5, "hello");
    peer.close(5, "\r\n<close number='5' code='200' />");
}

#[test]
fn a_start_is_understood_in_every_legal_spelling() {
    let (running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    for document in STARTS {
        let mut peer = Peer::greeted(port);
        let reply = peer.ask(&with_uri(document));
        check_started(&mut peer, &reply, document);
        honest.exchange("still here");
        peer.release();
    }
    honest.release();
    stop(running);
}

#[test]
fn a_request_is_understood_behind_every_legal_entity_header() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::greeted(port);
    for headers in ENTITY_HEADERS {
        let document = format!("{headers}<start number='5'><profile uri='{ECHO}' /></start>");
        let reply = peer.ask_raw(document.as_bytes());
        assert!(reply.header.starts_with("RPY"), "{headers:?}: {reply:?}");
        peer.close(5, &format!("{headers}<close code='200' number='5'/>"));
    }
    peer.release();
    stop(running);
}

#[test]
fn any_free_number_will_do_for_a_channel() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::greeted(port);
    for number in [1, 2, 3, 4, 5, 1_000_000, 2_147_483_646, 2_147_483_647] {
        peer.start(number, "");
        peer.exchange_on(number, "hello");
    }
    peer.release();
    stop(running);
}

#[test]
fn a_close_is_understood_in_every_legal_spelling() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::greeted(port);
    for close in [
        "<close number='5' code='200'/>",
        "<close code=\"200\" number=\"5\"></close>",
        "<?xml version='1.0'?><close number='5' code='200' xml:lang='en-US'>Good &#98;ye &lt;3</close>",
        "<!-- a --><close\n number='05'\n code='999'\n><![CDATA[done]]></close>\r\n",
        "<close number='5' code='100' why='because' />",
        "<close number='5' code=' 550 ' >\r\n</close>",
    ] {
        peer.start(5, "");
        peer.close(5, &format!("{HEADERS}{close}"));
    }
    peer.release();
    stop(running);
}

#[test]
fn a_close_without_a_number_releases_the_session() {
    let (mut running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::honest(port, "leaver");
    let reply = peer.ask("<close code='200'/>");
    assert_eq!(reply.text(), format!("{HEADERS}<ok />"));
    peer.hang_up();
    peer.expect_end();
    running.wait_for_text("end of leaver: 12 ");
    honest.exchange("still here");
    honest.release();
    let outcome = stop(running);
    assert!(
        outcome.stdout.contains("leaver ended 1 times"),
        "{outcome:?}"
    );
}

#[test]
fn a_bad_request_is_refused_with_its_code_and_the_session_goes_on() {
    let (running, port) = echo_listener("");
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::honest(port, "odd");
    for (code, document) in REFUSED {
        let reply = peer.ask(&with_uri(document));
        assert_eq!(reply.error_code(), *code, "{document:?}: {reply:?}");
        peer.exchange("the same session");
        honest.exchange("another session");
    }
    // What no string of Rust can hold.
    for content in [
        b"\xff\xfe\xfd".to_vec(),
        b"<start number='5'><profile uri='\xc3\x28'/></start>".to_vec(),
        "<start number='5'/>"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect(),
    ] {
        let content = [HEADERS.as_bytes(), &content].concat();
        let reply = peer.ask_raw(&content);
        assert_eq!(reply.error_code(), 500, "{content:?}: {reply:?}");
    }
    // Deep, wide and long documents.
    let deep = "<a>".repeat(500) + &"</a>".repeat(500);
    let wide: String = (0..300).map(|number| format!(" a{number}=''")).collect();
    for document in [
        deep,
        format!("<start{wide} />"),
        format!("<{}", "x".repeat(3000)),
    ] {
        let reply = peer.ask(&document);
        assert_eq!(reply.error_code(), 500, "{reply:?}");
        peer.exchange("the same session");
    }
    peer.release();
    honest.release();
    stop(running);
}

#[test]
fn a_channel_that_is_closed_twice_was_closed_once() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "odd");
    let close = format!("<close number='{CHANNEL}' code='200' />");
    assert_eq!(peer.ask(&close).text(), format!("{HEADERS}<ok />"));
    assert_eq!(peer.ask(&close).error_code(), 554);
    peer.release();
    stop(running);
}

#[test]
fn requests_may_come_in_one_octet_at_a_time_and_all_at_once() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::connect(port);
    let mut octets = Vec::new();
    let greeting = format!("{HEADERS}<greeting />");
    octets.extend(peer.compose("RPY 0 0 .", greeting.as_bytes(), ""));
    // A message in frames of one octet, one of none among them.
    let start = format!("{HEADERS}<start number='1'><profile uri='{ECHO}' /></start>");
    octets.extend(peer.compose("MSG 0 1 *", b"", ""));
    for octet in start.as_bytes() {
        octets.extend(peer.compose("MSG 0 1 *", &[*octet], ""));
    }
    octets.extend(peer.compose("MSG 0 1 .", b"", ""));
    // The session ends with what is in front of this: nothing may be behind it.
    for octet in &octets {
        peer.octets([*octet]);
    }
    peer.expect("RPY 0 0");
    peer.expect("RPY 0 1");
    let mut together = Vec::new();
    let start = format!("{HEADERS}<start number='3'><profile uri='{ECHO}' /></start>");
    together.extend(peer.compose("MSG 0 2 .", start.as_bytes(), ""));
    for msgno in 0..3 {
        together.extend(peer.compose(&format!("MSG 1 {msgno} ."), b"\r\nhello", ""));
    }
    together.extend(peer.compose("MSG 0 3 .", format!("{HEADERS}<ok />").as_bytes(), ""));
    peer.octets(&together);
    let mut heads: Vec<String> = (0..5).map(|_| peer.frame().head()).collect();
    heads.sort();
    assert_eq!(
        heads,
        ["ERR 0 3", "RPY 0 2", "RPY 1 0", "RPY 1 1", "RPY 1 2"]
    );
    stop_with_open_session(running, peer);
}

/// The script asks for the release when it ends; its peer agrees.
#[track_caller]
fn stop_with_open_session(running: crate::support::Running, mut peer: Peer) {
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let close = peer.frame();
    assert!(
        close.text().contains("<close number='0' code='200' />"),
        "{close:?}"
    );
    peer.send(
        &format!("RPY 0 {} .", close.number(2)),
        &format!("{HEADERS}<ok />"),
    );
    peer.expect_end();
    crate::scripts::check(running);
}

#[test]
fn a_greeting_is_understood_in_every_legal_spelling() {
    let (running, port) = echo_listener("");
    for greeting in [
        "<greeting/>",
        "<?xml version=\"1.0\"?>\n<greeting></greeting>\n",
        "<greeting features='a b' localize=\"en i-default\" colour='red' />",
        "<!-- hi --><greeting>\r\n<profile\turi=\"http://iana.org/beep/TLS\"/>talk<other/></greeting>",
    ] {
        for headers in ENTITY_HEADERS {
            let mut peer = Peer::connect(port);
            peer.send("RPY 0 0 .", &format!("{headers}{greeting}"));
            peer.expect("RPY 0 0");
            peer.start(CHANNEL, "");
            peer.exchange("hello");
            peer.release();
        }
    }
    stop(running);
}

//! Handlers that wait while their peer does something else.

use crate::by_hand::{CHANNEL, ECHO, HEADERS, Peer};
use crate::listening::ByHandListener;
use crate::scripts::{check, echo_listener, start, start_with, stop};

/// Handlers of `urn:test:gated` wait until somebody starts `urn:test:open`.
const GATED: &str = r#"
local gate = vortex.asyncqueue.new ()
local function pass (what)
   print ("asked " .. what)
   local answer = gate:pop ()
   print ("answers " .. what)
   return answer
end
vortex.register_profile (ctx, "urn:test:gated",
   function (conn, channel, frame)
      pass ("frame " .. frame.payload)
      print ("sent " .. tostring ((channel:send_rpy ("late", -1, frame.msgno))))
   end, nil,
   function (number, conn)
      watch (conn, "gated")
      return pass "start"
   end, nil,
   function () return pass "close" end)
vortex.register_profile (ctx, "urn:test:open", nil, nil, function () gate:push (true) return true end)
"#;

/// Lets one of the handlers that wait go on.
#[track_caller]
fn open_gate(honest: &mut Peer) {
    let reply = honest.ask("<start number='99'><profile uri='urn:test:open' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    honest.close(99, &format!("{HEADERS}<close number='99' code='200' />"));
}

#[test]
fn a_peer_may_vanish_while_a_handler_decides_about_its_start() {
    let (mut running, port) = echo_listener(GATED);
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::greeted(port);
    peer.send(
        "MSG 0 1 .",
        &format!("{HEADERS}<start number='1'><profile uri='urn:test:gated' /></start>"),
    );
    running.wait_for_text("asked start");
    peer.reset();
    running.wait_for_text("end of gated: 17 ");
    open_gate(&mut honest);
    running.wait_for_text("answers start");
    honest.exchange("still here");
    honest.release();
    let outcome = stop(running);
    assert!(
        outcome.stdout.contains("gated ended 1 times"),
        "{outcome:?}"
    );
}

#[test]
fn other_requests_are_answered_in_their_order_while_a_start_waits() {
    let (mut running, port) = echo_listener(GATED);
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::honest(port, "peer");
    let mut octets = Vec::new();
    for (msgno, document) in [
        (
            2,
            "<start number='3'><profile uri='urn:test:gated' /></start>".to_owned(),
        ),
        (
            3,
            format!("<start number='5'><profile uri='{ECHO}' /></start>"),
        ),
        (
            4,
            "<start number='3'><profile uri='urn:test:gated' /></start>".to_owned(),
        ),
        (5, "<close number='3' code='200' />".to_owned()),
        (6, "<nonsense />".to_owned()),
    ] {
        let content = format!("{HEADERS}{document}");
        octets.extend(peer.compose(&format!("MSG 0 {msgno} ."), content.as_bytes(), ""));
    }
    peer.octets(octets);
    running.wait_for_text("asked start");
    // The channel that is open works meanwhile.
    peer.exchange("hello");
    open_gate(&mut honest);
    let heads: Vec<String> = (0..5).map(|_| peer.frame().head()).collect();
    assert_eq!(
        heads,
        ["RPY 0 2", "RPY 0 3", "ERR 0 4", "ERR 0 5", "ERR 0 6"]
    );
    peer.exchange_on(5, "hello");
    peer.reset();
    honest.release();
    stop(running);
}

#[test]
fn a_close_waits_for_the_replies_that_are_owed() {
    let (mut running, port) = echo_listener(GATED);
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::greeted(port);
    peer.send(
        "MSG 0 1 .",
        &format!("{HEADERS}<start number='1'><profile uri='urn:test:gated' /></start>"),
    );
    running.wait_for_text("asked start");
    open_gate(&mut honest);
    peer.expect("RPY 0 1");
    peer.send("MSG 1 0 .", "\r\none");
    running.wait_for_text("asked frame one");
    peer.send(
        "MSG 0 2 .",
        &format!("{HEADERS}<close number='1' code='200' />"),
    );
    running.wait_for_text("asked close");
    // Frame first, close then: the queue serves who came first.
    open_gate(&mut honest);
    running.wait_for_text("sent true");
    assert_eq!(peer.expect("RPY 1 0").text(), "\r\nlate");
    open_gate(&mut honest);
    assert_eq!(peer.expect("RPY 0 2").text(), format!("{HEADERS}<ok />"));
    honest.release();
    drop(peer);
    stop(running);
}

#[test]
fn a_reply_to_a_peer_that_vanished_is_a_failure_and_no_error() {
    let (mut running, port) = echo_listener(GATED);
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::greeted(port);
    peer.send(
        "MSG 0 1 .",
        &format!("{HEADERS}<start number='1'><profile uri='urn:test:gated' /></start>"),
    );
    running.wait_for_text("asked start");
    open_gate(&mut honest);
    peer.expect("RPY 0 1");
    peer.send("MSG 1 0 .", "\r\none");
    peer.send("MSG 1 1 .", "\r\ntwo");
    running.wait_for_text("asked frame two");
    peer.send(
        "MSG 0 2 .",
        &format!("{HEADERS}<close number='1' code='200' />"),
    );
    running.wait_for_text("asked close");
    peer.octets("rubbish\r\n");
    peer.expect_end();
    running.wait_for_text("end of gated: 14 ");
    for _ in 0..3 {
        open_gate(&mut honest);
    }
    running.wait_for_text("answers close");
    let outcome = {
        honest.release();
        stop(running)
    };
    assert_eq!(
        outcome.stdout.matches("sent false").count(),
        2,
        "{outcome:?}"
    );
}

#[test]
fn nothing_is_lost_while_a_connection_is_blocked() {
    let (mut running, port) = echo_listener(
        "local blocked
         serve ('urn:test:block', function (conn, channel, frame)
            print ('got ' .. frame.payload)
            if frame.payload == 'block' then
               blocked = conn
               conn:block ()
               print 'blocked'
            end
         end)
         vortex.register_profile (ctx, 'urn:test:unblock', nil, nil, function ()
            blocked:block (false)
            return true
         end)",
    );
    let mut honest = Peer::honest(port, "honest");
    let mut peer = Peer::honest(port, "blocked");
    peer.ask("<start number='3'><profile uri='urn:test:block' /></start>");
    peer.send("MSG 3 0 .", "\r\nblock");
    running.wait_for_line("blocked");
    for msgno in 1..4 {
        peer.send(&format!("MSG 3 {msgno} ."), &format!("\r\n{msgno}"));
    }
    peer.hang_up();
    honest.exchange("not blocked");
    honest.ask("<start number='3'><profile uri='urn:test:unblock' /></start>");
    running.wait_for_text("end of blocked: 17 ");
    honest.release();
    let outcome = stop(running);
    assert!(
        outcome
            .stdout
            .contains("blocked\ngot 1\ngot 2\ngot 3\nend of blocked"),
        "{outcome:?}"
    );
}

/// Closes its channel, then its session, then ends, whatever the peer makes of it.
const CLOSE: &str = r#"
local conn = vortex.connection.new (ctx, "127.0.0.1", PORT)
watch (conn, "conn")
local channel = assert (conn:open_channel (0, ECHO))
print ("channel", channel:close ())
print ("state", channel:check (channel), channel.is_ready, conn:is_ok ())
print ("session", conn:close ())
finish ()
"#;

#[test]
fn a_peer_may_refuse_to_close_and_everything_stays_usable() {
    let listener = ByHandListener::new();
    let code = CLOSE.replace("PORT", &listener.port().to_string());
    let mut running = start(&format!(
        "{}
         print ('second', channel:request ('hello').payload)
         print ('last', conn:close ())
         finish ()",
        code.replace("finish ()\n", "")
    ));
    let mut peer = listener.accept_started();
    let refusal = format!("{HEADERS}<error code='550' >still busy</error>");
    for msgno in 1..3 {
        let close = peer.expect(&format!("MSG 0 {msgno}"));
        assert!(close.text().contains("<close number='3'"), "{close:?}");
        peer.send(&format!("ERR 0 {msgno} ."), &refusal);
    }
    running.wait_for_line("channel\tfalse\tstill busy\t550");
    running.wait_for_line("state\ttrue\ttrue\ttrue");
    running.wait_for_line("session\tfalse\tstill busy\t550");
    peer.expect("MSG 3 0");
    peer.send("RPY 3 0 .", "\r\nhi");
    running.wait_for_line("second\thi");
    peer.expect("MSG 0 3");
    peer.send("RPY 0 3 .", &format!("{HEADERS}<ok />"));
    peer.expect("MSG 0 4");
    peer.send("RPY 0 4 .", &format!("{HEADERS}<ok />"));
    peer.expect_end();
    running.wait_for_line("last\ttrue");
    let outcome = check(running);
    assert!(outcome.stdout.contains("conn ended 1 times"), "{outcome:?}");
}

#[test]
fn a_peer_that_hangs_up_in_place_of_an_ok_has_closed() {
    let listener = ByHandListener::new();
    let mut running = start(&CLOSE.replace("PORT", &listener.port().to_string()));
    let mut peer = listener.accept_started();
    peer.expect("MSG 0 1");
    peer.send("RPY 0 1 .", &format!("{HEADERS}<ok />"));
    running.wait_for_line("channel\ttrue");
    let release = peer.expect("MSG 0 2");
    assert!(release.text().contains("<close number='0'"), "{release:?}");
    peer.hang_up();
    running.wait_for_line("session\ttrue");
    let outcome = check(running);
    assert!(outcome.stdout.contains("end of conn: 12 "), "{outcome:?}");
}

#[test]
fn a_close_that_is_never_answered_fails_in_time() {
    let listener = ByHandListener::new();
    let code = CLOSE.replace("PORT", &listener.port().to_string());
    let mut running = start_with(&code, &[("VORTEX_SYNC_TIMEOUT", "300000")]);
    let mut peer = listener.accept_started();
    peer.expect("MSG 0 1");
    running.wait_for_text("channel\tfalse\t");
    running.wait_for_text("session\t");
    peer.read_to_end();
    check(running);
}

#[test]
fn closes_that_cross_end_well() {
    let listener = ByHandListener::new();
    let mut running = start(&CLOSE.replace("PORT", &listener.port().to_string()));
    let mut peer = listener.accept_started();
    peer.expect("MSG 0 1");
    // Before it answers, it asks for the same.
    let own = format!("{HEADERS}<close number='3' code='200' />");
    peer.send("MSG 0 1 .", &own);
    peer.expect("RPY 0 1");
    peer.send("RPY 0 1 .", &format!("{HEADERS}<ok />"));
    running.wait_for_line("channel\ttrue");
    peer.expect("MSG 0 2");
    peer.send(
        "MSG 0 2 .",
        &format!("{HEADERS}<close number='0' code='200' />"),
    );
    peer.send("RPY 0 2 .", &format!("{HEADERS}<ok />"));
    peer.expect_end();
    running.wait_for_line("session\ttrue");
    check(running);
}

#[test]
fn a_late_seq_for_a_channel_that_was_closed_is_nothing() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "peer");
    peer.exchange("hello");
    peer.close(
        CHANNEL,
        &format!("{HEADERS}<close number='1' code='200' />"),
    );
    peer.octets("SEQ 1 7 8192\r\n");
    peer.start(3, "");
    peer.exchange_on(3, "hello");
    peer.release();
    stop(running);
}

#[test]
fn the_end_of_a_context_does_not_wait_long_for_a_peer_that_ignores_it() {
    let (running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "deaf");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let close = peer.frame();
    assert!(close.text().contains("<close number='0'"), "{close:?}");
    peer.expect_end();
    let outcome = check(running);
    assert!(outcome.stdout.contains("deaf ended 1 times"), "{outcome:?}");
}

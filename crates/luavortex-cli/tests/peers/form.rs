//! The octets that peers in the field are used to.

use crate::by_hand::{ECHO, HEADERS, Peer};
use crate::listening::ByHandListener;
use crate::scripts::{check, echo_listener, start, start_listener, stop};

#[test]
fn a_listener_greets_at_once_in_the_form_peers_expect() {
    let (running, port) = echo_listener("serve ('urn:test:a&b', echo)");
    let document = format!(
        "<greeting>\r\n   <profile uri='urn:test:a&amp;b' />\r\n   <profile uri='{ECHO}' />\r\n</greeting>\r\n"
    );
    let size = HEADERS.len() + document.len();
    let wanted = format!("RPY 0 0 . 0 {size}\r\n{HEADERS}{document}END\r\n");
    // The peer says nothing.
    let mut peer = Peer::connect(port);
    assert_eq!(peer.raw(wanted.len()), wanted);
    drop(peer);
    stop(running);
}

#[test]
fn a_listener_that_serves_nothing_greets_with_an_empty_element() {
    let (mut running, port) = start_listener(
        "local listener = vortex.create_listener (ctx, '127.0.0.1', '0')
         print ('port ' .. listener.port)
         ctx:new_event (1, function () print 'waiting' return true end)
         vortex.wait_listeners (ctx, true)
         finish ()",
    );
    running.wait_for_line("waiting");
    let document = "<greeting />\r\n";
    let size = HEADERS.len() + document.len();
    let wanted = format!("RPY 0 0 . 0 {size}\r\n{HEADERS}{document}END\r\n");
    let mut peer = Peer::connect(port);
    assert_eq!(peer.raw(wanted.len()), wanted);
    drop(peer);
    stop(running);
}

#[test]
fn a_client_counts_its_channels_from_three_and_names_the_server_once() {
    let listener = ByHandListener::new();
    let running = start(&format!(
        "local conn = vortex.connection.new (ctx, 'localhost', '{}')
         for number = 3, 7, 2 do
            local channel = assert (conn:open_channel (0, ECHO))
            assert (channel.number == number and channel.profile == ECHO)
         end
         assert (conn.server_name == 'localhost')
         assert (conn:open_channel (0, 'urn:test:a&b', nil, nil, nil, nil, nil, nil, nil, '<x>'))
         local channel = assert (conn:open_channel (2, ECHO))
         assert (channel.number == 2)
         assert (conn:open_channel (0, ECHO))
         assert (channel:request ('hello').payload == 'hi')
         assert (conn:close ())
         finish ()",
        listener.port()
    ));
    let mut peer = listener.accept();
    peer.send("RPY 0 0 .", &format!("{HEADERS}<greeting />"));
    let greeting = peer.expect("RPY 0 0");
    assert_eq!(greeting.text(), format!("{HEADERS}<greeting />\r\n"));
    let starts = [
        (3, " serverName='localhost'", ECHO, " />"),
        (5, "", ECHO, " />"),
        (7, "", ECHO, " />"),
        (9, "", "urn:test:a&amp;b", "><![CDATA[<x>]]></profile>"),
        (2, "", ECHO, " />"),
        (11, "", ECHO, " />"),
    ];
    for (msgno, (number, server_name, uri, end)) in starts.iter().enumerate() {
        let start = peer.expect(&format!("MSG 0 {msgno}"));
        assert_eq!(
            start.text(),
            format!(
                "{HEADERS}<start number='{number}'{server_name}>\r\n   <profile uri='{uri}'{end}\r\n</start>\r\n"
            )
        );
        peer.send(
            &format!("RPY 0 {msgno} ."),
            &format!("{HEADERS}<profile uri=\"{uri}\"/>"),
        );
    }
    let message = peer.expect("MSG 2 0");
    assert_eq!(message.text(), "\r\nhello");
    peer.send("RPY 2 0 .", "\r\nhi");
    // All channels at once, then the session.
    let mut closed = Vec::new();
    for _ in starts {
        let close = peer.frame();
        let text = close.text();
        let number = text
            .strip_prefix(&format!("{HEADERS}<close number='"))
            .and_then(|rest| rest.strip_suffix("' code='200' />\r\n"))
            .unwrap_or_else(|| panic!("{close:?}"));
        closed.push(number.parse::<u32>().unwrap());
        peer.send(
            &format!("RPY 0 {} .", close.number(2)),
            &format!("{HEADERS}<ok />"),
        );
    }
    closed.sort_unstable();
    assert_eq!(closed, [2, 3, 5, 7, 9, 11]);
    let close = peer.expect("MSG 0 12");
    assert_eq!(
        close.text(),
        format!("{HEADERS}<close number='0' code='200' />\r\n")
    );
    peer.send("RPY 0 12 .", &format!("{HEADERS}<ok />"));
    // Who asked for the end hangs up.
    peer.expect_end();
    check(running);
}

#[test]
fn a_listener_counts_its_own_channels_from_four() {
    let (mut running, port) = echo_listener(
        "serve ('urn:test:back', function (conn, channel, frame)
            local own = assert (conn:open_channel (0, ECHO))
            print ('own ' .. own.number)
            channel:send_rpy ('', -1, frame.msgno)
         end)",
    );
    let mut peer = Peer::greeted(port);
    peer.ask("<start number='1'><profile uri='urn:test:back' /></start>");
    for (msgno, number) in [4, 6, 8].into_iter().enumerate() {
        peer.send(&format!("MSG 1 {msgno} ."), "\r\n");
        let start = peer.expect(&format!("MSG 0 {msgno}"));
        assert!(
            start.text().contains(&format!("<start number='{number}'>")),
            "{start:?}"
        );
        peer.send(
            &format!("RPY 0 {msgno} ."),
            &format!("{HEADERS}<profile uri='{ECHO}' />"),
        );
        running.wait_for_line(&format!("own {number}"));
        peer.expect(&format!("RPY 1 {msgno}"));
    }
    peer.release();
    stop(running);
}

#[test]
fn replies_have_their_form_and_a_nul_has_no_octets() {
    let (running, port) = echo_listener(
        "serve ('urn:test:all', function (conn, channel, frame)
            local what = frame.payload
            if what == 'rpy' then channel:send_rpy ('', -1, frame.msgno)
            elseif what == 'err' then channel:send_err ('no', -1, frame.msgno)
            else
               channel:send_ans ('one', -1, frame.msgno)
               channel:send_ans ('two', -1, frame.msgno)
               channel:finalize_ans (frame.msgno)
            end
         end)
         vortex.register_profile (ctx, 'urn:test:denied', nil, nil, function () return false end)
         vortex.register_profile (ctx, 'urn:test:content', nil, nil, function () return true, 'a]]>b' end)
         vortex.register_profile (ctx, 'urn:test:kept', nil, nil, nil, nil, function () return false end)",
    );
    let mut peer = Peer::greeted(port);
    let reply = peer.ask("<start number='1'><profile uri='urn:test:all' /></start>");
    assert_eq!(
        reply.text(),
        format!("{HEADERS}<profile uri='urn:test:all' />\r\n")
    );
    let mut octets = Vec::new();
    for (msgno, what) in ["ans", "err", "rpy"].iter().enumerate() {
        octets.extend(peer.compose(
            &format!("MSG 1 {msgno} ."),
            format!("\r\n{what}").as_bytes(),
            "",
        ));
    }
    peer.octets(octets);
    let headers: Vec<String> = (0..5).map(|_| peer.frame().header).collect();
    assert_eq!(
        headers,
        [
            "ANS 1 0 . 0 5 0",
            "ANS 1 0 . 5 5 1",
            "NUL 1 0 . 10 0",
            "ERR 1 1 . 10 4",
            "RPY 1 2 . 14 2",
        ]
    );
    let denied = peer.ask("<start number='3'><profile uri='urn:test:denied' /></start>");
    assert_eq!(denied.error_code(), 421);
    assert!(
        denied
            .text()
            .starts_with(&format!("{HEADERS}<error code='421' >")),
        "{denied:?}"
    );
    let content = peer.ask("<start number='3'><profile uri='urn:test:content' /></start>");
    assert_eq!(
        content.text(),
        format!(
            "{HEADERS}<profile uri='urn:test:content' ><![CDATA[a]]]]><![CDATA[>b]]></profile>\r\n"
        )
    );
    peer.ask("<start number='5'><profile uri='urn:test:kept' /></start>");
    assert_eq!(
        peer.ask("<close number='5' code='200' />").error_code(),
        550
    );
    peer.release();
    stop(running);
}

#[test]
fn the_ok_to_a_release_is_the_last_frame() {
    let (mut running, port) = echo_listener("");
    let mut peer = Peer::honest(port, "leaver");
    // Replies that are owed leave before it; what comes behind the close means nothing any more.
    let mut octets = Vec::new();
    for msgno in 0..10 {
        octets.extend(peer.compose(&format!("MSG 1 {msgno} ."), b"\r\nhello", ""));
    }
    peer.octets(octets);
    for msgno in 0..10 {
        peer.expect(&format!("RPY 1 {msgno}"));
    }
    let reply = peer.ask("<close number='0' code='200' />");
    assert_eq!(reply.text(), format!("{HEADERS}<ok />"));
    let late = peer.compose("MSG 1 10 .", b"\r\nlate", "");
    peer.octets(late);
    peer.hang_up();
    peer.expect_end();
    running.wait_for_text("end of leaver: 12 ");
    let outcome = stop(running);
    assert!(
        outcome.stdout.contains("leaver ended 1 times"),
        "{outcome:?}"
    );
}

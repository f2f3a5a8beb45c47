//! What a listener that is not ours may answer a Lua client with.

use crate::by_hand::{ECHO, HEADERS};
use crate::listening::ByHandListener;
use crate::scripts::{check, start};

#[test]
fn answers_are_joined_whatever_their_order_and_a_nul_may_have_a_blank_line() {
    let listener = ByHandListener::new();
    let mut running = start(&format!(
        "local conn = vortex.connection.new (ctx, '127.0.0.1', {})
         local channel = assert (conn:open_channel (0, ECHO))
         for round = 1, 2 do
            local seen = {{}}
            for frame in channel:answers ('all') do
               seen[#seen + 1] = frame.type .. frame.ansno .. frame.payload
            end
            print ('all: ' .. table.concat (seen, ' '))
         end
         print (channel:request ('one').payload)
         conn:shutdown ()
         finish ()",
        listener.port()
    ));
    let mut peer = listener.accept_started();
    peer.expect("MSG 3 0");
    for (head, content, ansno) in [
        ("ANS 3 0 *", "\r\na", " 7"),
        ("ANS 3 0 *", "\r\nx", " 2"),
        ("ANS 3 0 .", "b", " 7"),
        ("ANS 3 0 *", "", " 2147483647"),
        ("ANS 3 0 .", "y", " 2"),
        ("ANS 3 0 .", "no headers", " 2147483647"),
        ("ANS 3 0 .", "", " 0"),
        ("NUL 3 0 .", "\r\n", ""),
    ] {
        let frame = peer.compose(head, content.as_bytes(), ansno);
        peer.octets(frame);
    }
    running.wait_for_line("all: ANS7ab ANS2xy ANS2147483647no headers ANS0");
    peer.expect("MSG 3 1");
    peer.send("NUL 3 1 .", "");
    running.wait_for_line("all: ");
    peer.expect("MSG 3 2");
    peer.send("RPY 3 2 .", "X-Header: yes\r\n\r\nbody");
    running.wait_for_line("body");
    check(running);
}

#[test]
fn what_rides_in_the_answer_to_a_start_reaches_the_frame_handler() {
    let cases = [
        ("/>", ""),
        ("></profile>", ""),
        ("><![CDATA[]]></profile>", "0:"),
        ("><![CDATA[a<b]]></profile>", "0:a<b"),
        ("><![CDATA[a<]]>&amp;<![CDATA[b]]></profile>", "0:a<&b"),
        (">a&lt;b&#x21;</profile>", "0:a<b!"),
        (" encoding='base64'>aGVsbG8=</profile>", "0:aGVsbG8="),
        (
            " encoding=\"none\"><![CDATA[\u{e9}]]></profile>",
            "0:\u{e9}",
        ),
    ];
    let listener = ByHandListener::new();
    let mut running = start(&format!(
        "local conn = vortex.connection.new (ctx, '127.0.0.1', {})
         local got = ''
         for number = 1, {} do
            got = ''
            local channel = assert (conn:open_channel (0, ECHO, function (conn, channel, frame)
               assert (frame.type == 'RPY')
               got = frame.msgno .. ':' .. frame.payload
            end))
            vortex.sleep (1)
            vortex.yield (1)
            print (number .. '=' .. got)
         end
         conn:shutdown ()
         finish ()",
        listener.port(),
        cases.len()
    ));
    let mut peer = listener.accept_greeted();
    for (index, (rest, got)) in cases.iter().enumerate() {
        peer.expect(&format!("MSG 0 {index}"));
        peer.send(
            &format!("RPY 0 {index} ."),
            &format!("{HEADERS}<profile uri='{ECHO}'{rest}"),
        );
        running.wait_for_line(&format!("{}={got}", index + 1));
    }
    check(running);
}

#[test]
fn the_name_of_the_server_is_fixed_by_the_first_start_that_has_one() {
    let (mut running, port) = crate::scripts::echo_listener(
        "vortex.register_profile (ctx, 'urn:test:name', nil, nil, function (number, conn)
            print ('name ' .. tostring (conn.server_name))
            return true
         end)",
    );
    let mut peer = crate::by_hand::Peer::greeted(port);
    for (number, asked, seen) in [
        (1, "", "nil"),
        (3, " serverName='first.example:10288'", "first.example"),
        (5, " serverName='second.example'", "first.example"),
        (7, "", "first.example"),
    ] {
        let start =
            format!("<start number='{number}'{asked}><profile uri='urn:test:name' /></start>");
        assert!(peer.ask(&start).header.starts_with("RPY"));
        running.wait_for_text(&format!("name {seen}"));
    }
    peer.release();
    crate::scripts::stop(running);
}

#[test]
fn a_listener_may_open_channels_to_its_client() {
    let listener = ByHandListener::new();
    let mut running = start(&format!(
        "serve (ECHO, echo)
         local conn = vortex.connection.new (ctx, '127.0.0.1', {})
         watch (conn, 'conn')
         print 'connected'
         while next (ends) == nil do vortex.yield () end
         finish ()",
        listener.port()
    ));
    let mut peer = listener.accept();
    let greeting = format!("{HEADERS}<greeting>\r\n   <profile uri='{ECHO}' />\r\n</greeting>\r\n");
    assert_eq!(peer.expect("RPY 0 0").text(), greeting);
    peer.send("RPY 0 0 .", &format!("{HEADERS}<greeting />"));
    running.wait_for_line("connected");
    peer.start(2, "");
    peer.exchange_on(2, "hello");
    peer.hang_up();
    peer.expect_end();
    let outcome = check(running);
    assert!(outcome.stdout.contains("end of conn: 17 "), "{outcome:?}");
}

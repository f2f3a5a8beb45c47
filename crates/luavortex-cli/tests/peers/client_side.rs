//! A Lua client whose listener is not ours, and misbehaves.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

use crate::by_hand::{ECHO, HEADERS, Peer};
use crate::listening::ByHandListener;
use crate::scripts::{check, start, start_with};
use crate::support::Running;

/// Connects again and again, and tells what became of each connection.
const CONNECT: &str = r#"
for number = 1, COUNT do
   local conn = vortex.connection.new (ctx, "127.0.0.1", PORT)
   local calls = 0
   conn:set_on_close (function () calls = calls + 1 end)
   vortex.yield (1)
   print (number .. ": " .. tostring (conn:is_ok ()) .. " " .. calls .. " " .. conn.status .. " " .. conn.error_msg)
   if conn:is_ok () then conn:shutdown () end
end
finish ()
"#;

/// Connects, opens a channel, asks something, and tells what became of all that.
const OPEN_AND_ASK: &str = r#"
for number = 1, COUNT do
   local conn = vortex.connection.new (ctx, "127.0.0.1", PORT)
   assert (conn:is_ok (), conn.error_msg)
   local calls = 0
   conn:set_on_close (function () calls = calls + 1 end)
   local channel, message, code = conn:open_channel (0, ECHO)
   local what = "opened"
   if not channel then
      what = "not opened " .. tostring (code) .. " " .. tostring (message)
      local stacked = conn:pop_channel_error ()
      if not stacked then what = "no error on the stack" end
   else
      local frame, message, code = channel:request ("question")
      if frame then
         what = "answered " .. frame.type .. " " .. frame.payload
      else
         what = "not answered " .. tostring (code) .. " " .. tostring (message)
      end
   end
   vortex.yield (1)
   print (number .. ": " .. what .. " | " .. calls .. " " .. conn.status .. " " .. conn.error_msg)
   conn:shutdown ()
   assert (calls <= 1)
   assert (not conn:is_ok ())
end
finish ()
"#;

fn client(code: &str, count: usize, port: u16) -> Running {
    let code = code
        .replace("COUNT", &count.to_string())
        .replace("PORT", &port.to_string());
    start(&code)
}

/// What the script told of its connection of this number, counted from 1.
#[track_caller]
fn told(running: &mut Running, number: usize) -> String {
    let head = format!("{number}: ");
    running.wait_for(|line| line.strip_prefix(&head).map(str::to_owned))
}

fn frame_of(head: &str, content: &str) -> String {
    format!("{head} {}\r\n{content}END\r\n", content.len())
}

#[test]
fn a_connection_that_gets_no_greeting_tells_why() {
    let greeting = |content: &str| frame_of("RPY 0 0 . 0", content);
    // What the listener sends before it hangs up, the status, and a part of the message.
    let cases = [
        (
            frame_of(
                "ERR 0 0 . 0",
                &format!("{HEADERS}<error code='554' >not today</error>"),
            ),
            10,
            "554 not today",
        ),
        (
            frame_of("ERR 0 0 . 0", &format!("{HEADERS}<error code=\"421\"/>")),
            10,
            "421",
        ),
        (greeting("hello"), 10, "greeting"),
        (greeting(&format!("{HEADERS}<ok />")), 10, "greeting"),
        (
            greeting("Content-Type: text/html\r\n\r\n<html />"),
            10,
            "text/html",
        ),
        ("MSG 0 0 . 0 0\r\nEND\r\n".to_owned(), 10, "greeting"),
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned(),
            14,
            "protocol error",
        ),
        ("\0".repeat(500), 14, "protocol error"),
        (String::new(), 17, "ended the connection"),
        (
            "RPY 0 0 . 0 100\r\nConte".to_owned(),
            17,
            "ended the connection",
        ),
    ];
    let listener = ByHandListener::new();
    let mut running = client(CONNECT, cases.len() + 1, listener.port());
    for (index, (octets, status, part)) in cases.iter().enumerate() {
        let mut peer = listener.accept();
        peer.expect("RPY 0 0");
        peer.octets(octets);
        peer.hang_up();
        let told = told(&mut running, index + 1);
        assert!(
            told.starts_with(&format!("false 1 {status} ")) && told.contains(part),
            "{octets:?}: {told}"
        );
    }
    // After all that, an honest one.
    let peer = listener.accept_greeted();
    let told = told(&mut running, cases.len() + 1);
    assert!(told.starts_with("true 0 2 "), "{told}");
    drop(peer);
    check(running);
}

#[test]
fn a_listener_that_is_reset_or_not_there_is_told_apart() {
    let listener = ByHandListener::new();
    let mut running = client(CONNECT, 1, listener.port());
    let mut peer = listener.accept();
    peer.expect("RPY 0 0");
    peer.reset();
    let reset = told(&mut running, 1);
    assert!(reset.starts_with("false 1 17 "), "{reset}");
    check(running);

    // A port that is taken, and not listened on.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&address.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let mut running = client(CONNECT, 1, port);
    let refused = told(&mut running, 1);
    assert!(refused.starts_with("false 1 8 "), "{refused}");
    check(running);
}

#[test]
fn a_greeting_that_never_comes_is_waited_for_no_longer_than_the_limit() {
    let listener = ByHandListener::new();
    let code = CONNECT
        .replace("COUNT", "2")
        .replace("PORT", &listener.port().to_string());
    let mut running = start_with(&code, &[("VORTEX_CONNECT_TIMEOUT", "300000")]);
    for number in 1..=2 {
        let mut peer = listener.accept();
        peer.expect("RPY 0 0");
        if number == 2 {
            // Half of one is none.
            peer.octets("RPY 0 0 . 0 100\r\nContent-Type");
        }
        peer.expect_end();
        let told = told(&mut running, number);
        assert!(told.starts_with("false 1 10 "), "{told}");
    }
    check(running);
}

type Act = fn(&mut Peer);

fn answer_start(peer: &mut Peer) {
    peer.send("RPY 0 0 .", &format!("{HEADERS}<profile uri='{ECHO}' />"));
    peer.expect("MSG 3 0");
}

#[test]
fn a_channel_that_is_not_opened_or_not_answered_tells_why() {
    // What the listener does with the start, what the script gets, and the state of the connection.
    let cases: [(&str, Act, &str, &str); 22] = [
        (
            "refused",
            |peer| {
                peer.send(
                    "ERR 0 0 .",
                    &format!("{HEADERS}<error code='554' >no &amp; no</error>"),
                );
            },
            "not opened 554 no & no",
            "0 2 ",
        ),
        (
            "refused without a text",
            |peer| {
                peer.send("ERR 0 0 .", &format!("{HEADERS}<error code='421' />"));
            },
            "not opened 421 ",
            "0 2 ",
        ),
        (
            "a hang-up in place of the answer",
            Peer::hang_up,
            "not opened 17 ",
            "1 17 ",
        ),
        (
            "a hang-up in the answer",
            |peer| {
                peer.octets(format!("RPY 0 0 . {} 80\r\n{HEADERS}<profi", peer.sent(0)));
                peer.hang_up();
            },
            "not opened 17 ",
            "1 17 ",
        ),
        (
            "another profile",
            |peer| {
                peer.send(
                    "RPY 0 0 .",
                    &format!("{HEADERS}<profile uri='urn:test:other' />"),
                );
            },
            "not opened ",
            "1 14 ",
        ),
        (
            "another message number",
            |peer| {
                peer.send("RPY 0 1 .", &format!("{HEADERS}<profile uri='{ECHO}' />"));
            },
            "not opened ",
            "1 14 ",
        ),
        (
            "an ok",
            |peer| peer.send("RPY 0 0 .", &format!("{HEADERS}<ok />")),
            "not opened ",
            "1 14 ",
        ),
        (
            "no XML",
            |peer| peer.send("RPY 0 0 .", &format!("{HEADERS}sure")),
            "not opened ",
            "1 14 ",
        ),
        (
            "an error without a code",
            |peer| {
                peer.send("ERR 0 0 .", &format!("{HEADERS}<error />"));
            },
            "not opened ",
            "1 14 ",
        ),
        (
            "a NUL",
            |peer| peer.send("NUL 0 0 .", ""),
            "not opened ",
            "1 14 ",
        ),
        (
            "garbage",
            |peer| peer.octets("whatever\r\n"),
            "not opened ",
            "1 14 ",
        ),
        (
            "two answers",
            |peer| {
                answer_start(peer);
                peer.send("RPY 0 0 .", &format!("{HEADERS}<profile uri='{ECHO}' />"));
            },
            "not answered ",
            "1 14 ",
        ),
        (
            "a RPY",
            |peer| {
                answer_start(peer);
                peer.send("RPY 3 0 .", "\r\nyes");
            },
            "answered RPY yes",
            "0 2 ",
        ),
        (
            "a RPY without a blank line",
            |peer| {
                answer_start(peer);
                peer.send("RPY 3 0 .", "yes");
            },
            "answered RPY yes",
            "0 2 ",
        ),
        (
            "an ERR",
            |peer| {
                answer_start(peer);
                peer.send("ERR 3 0 .", "\r\nno");
            },
            "answered ERR no",
            "0 2 ",
        ),
        (
            "an answer in pieces",
            |peer| {
                answer_start(peer);
                for piece in ["\r", "", "\n", "y", "e", "s"] {
                    peer.send("RPY 3 0 *", piece);
                }
                peer.send("RPY 3 0 .", "");
            },
            "answered RPY yes",
            "0 2 ",
        ),
        (
            "the answer to another question",
            |peer| {
                answer_start(peer);
                peer.send("RPY 3 1 .", "\r\nyes");
            },
            "not answered ",
            "1 14 ",
        ),
        (
            "a channel that is not open",
            |peer| {
                answer_start(peer);
                peer.send("RPY 5 0 .", "\r\nyes");
            },
            "not answered ",
            "1 14 ",
        ),
        (
            "a RPY that becomes an ERR",
            |peer| {
                answer_start(peer);
                peer.send("RPY 3 0 *", "\r\nyes");
                peer.send("ERR 3 0 .", "no");
            },
            "not answered ",
            "1 14 ",
        ),
        (
            "a hang-up in place of a reply",
            |peer| {
                answer_start(peer);
                peer.hang_up();
            },
            "not answered 17 ",
            "1 17 ",
        ),
        (
            "a hang-up in a reply",
            |peer| {
                answer_start(peer);
                peer.octets("RPY 3 0 . 0 50\r\n\r\nhalf of i");
                peer.hang_up();
            },
            "not answered 17 ",
            "1 17 ",
        ),
        (
            "a close of the channel in place of a reply",
            |peer| {
                answer_start(peer);
                peer.send("ERR 3 0 .", "\r\nclosing");
                peer.send(
                    "MSG 0 1 .",
                    &format!("{HEADERS}<close number='3' code='200' />"),
                );
            },
            "answered ERR closing",
            "0 2 ",
        ),
    ];
    let listener = ByHandListener::new();
    let mut running = client(OPEN_AND_ASK, cases.len(), listener.port());
    for (index, (name, act, result, state)) in cases.iter().enumerate() {
        let mut peer = listener.accept_greeted();
        let start = peer.expect("MSG 0 0");
        assert!(start.text().contains("<start number='3'"), "{start:?}");
        act(&mut peer);
        let told = told(&mut running, index + 1);
        let (what, end) = told.split_once(" | ").unwrap();
        assert!(what.starts_with(result), "{name}: {told}");
        assert!(end.starts_with(state), "{name}: {told}");
    }
    check(running);
}

#[test]
fn a_start_that_is_answered_too_late_leaves_no_channel_behind() {
    let listener = ByHandListener::new();
    let code = format!(
        "local conn = vortex.connection.new (ctx, '127.0.0.1', {})
         print ('late', conn:open_channel (0, ECHO))
         print ('stacked', conn:pop_channel_error () ~= nil, conn:is_ok ())
         local channel = assert (conn:open_channel (0, ECHO))
         print ('channel', channel.number, channel:request ('hello').payload)
         conn:shutdown ()
         finish ()",
        listener.port()
    );
    let mut running = start_with(&code, &[("VORTEX_SYNC_TIMEOUT", "1000000")]);
    let mut peer = listener.accept_greeted();
    peer.expect("MSG 0 0");
    running.wait_for_text("late\tnil\t");
    running.wait_for_text("stacked\ttrue\ttrue");
    let second = peer.expect("MSG 0 1");
    assert!(second.text().contains("<start number='5'"), "{second:?}");
    peer.send("RPY 0 0 .", &format!("{HEADERS}<profile uri='{ECHO}' />"));
    peer.send("RPY 0 1 .", &format!("{HEADERS}<profile uri='{ECHO}' />"));
    // The channel that nobody waits for any more is closed again; the other one is used.
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..2 {
        let frame = peer.frame();
        match frame.head().as_str() {
            "MSG 0 2" => {
                assert!(frame.text().contains("<close number='3'"), "{frame:?}");
                peer.send("RPY 0 2 .", &format!("{HEADERS}<ok />"));
            }
            "MSG 5 0" => peer.send("RPY 5 0 .", "\r\nhello"),
            _ => panic!("{frame:?}"),
        }
        seen.push(frame.head());
    }
    seen.sort();
    assert_eq!(seen, ["MSG 0 2", "MSG 5 0"]);
    running.wait_for_text("channel\t5\thello");
    check(running);
}

#[test]
fn a_listener_that_vanishes_is_told_to_everybody_who_waits() {
    let listener = ByHandListener::new();
    let mut running = start(&format!(
        "local conn = vortex.connection.new (ctx, '127.0.0.1', {})
         watch (conn, 'conn')
         local channel = assert (conn:open_channel (0, ECHO))
         local done = vortex.asyncqueue.new ()
         for number = 1, 5 do
            vortex.spawn (function ()
               local frame, message, code = channel:request ('x')
               print ('request', frame, code)
               done:push (true)
            end)
         end
         vortex.spawn (function ()
            print ('open', select ('#', conn:open_channel (0, ECHO)), conn:is_ok ())
            done:push (true)
         end)
         vortex.spawn (function ()
            print ('close', (channel:close ()))
            done:push (true)
         end)
         for _ = 1, 7 do done:pop () end
         print (channel:send_msg ('x'))
         print (channel.is_ready, conn:close ())
         finish ()",
        listener.port()
    ));
    let mut peer = listener.accept_started();
    for _ in 0..6 {
        peer.frame();
    }
    peer.reset();
    running.wait_for_text("end of conn: 17 ");
    let outcome = check(running);
    assert_eq!(
        outcome.stdout.matches("request\tnil\t17\n").count(),
        5,
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("open\t3\tfalse\n"), "{outcome:?}");
    assert!(outcome.stdout.contains("conn ended 1 times"), "{outcome:?}");
}

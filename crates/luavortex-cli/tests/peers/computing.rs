//! The engine goes on while Lua computes.
//!
//! The scripts compute until a file is there, which is made when the peer has what it wanted: the order of the two
//! is what is tested, and not a time. A script that computed for its limit in vain says so.

use crate::by_hand::{CHANNEL, HEADERS, Peer, WINDOW};
use crate::listening::ByHandListener;
use crate::scripts::{check, echo_listener, start_listener, stop};
use crate::support::Directory;

/// `compute ()` lets nobody else have the Lua state, and never calls the library.
const COMPUTE: &str = r#"
local function compute ()
   print "begin"
   local started, sum = os.clock (), 0
   while os.clock () - started < 20 do
      for number = 1, 1000000 do sum = (sum * 7 + number) % 1000003 end
      local file = io.open "GO"
      if file then
         file:close ()
         print "end"
         return
      end
   end
   print "in vain"
end
"#;

fn with_file(directory: &Directory, code: &str) -> String {
    let path = directory.path().join("go");
    format!("{COMPUTE}\n{code}").replace("GO", path.to_str().unwrap())
}

/// What has to work for peers while Lua computes. `open` is a session from before.
#[track_caller]
fn check_engine(port: u16, open: &mut Peer) {
    let mut silent = Peer::connect(port);
    silent.expect("RPY 0 0");

    let mut fresh = Peer::greeted(port);
    // The profile without a start handler needs no Lua to be started.
    let reply = fresh.ask("<start number='1'><profile uri='urn:test:plain' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    assert_eq!(
        fresh
            .ask("<start number='3'><profile uri='urn:test:none' /></start>")
            .error_code(),
        554
    );
    assert_eq!(fresh.ask("<ok />").error_code(), 501);
    // Whoever watches this side is answered.
    let reply =
        fresh.ask("<start number='5'><profile uri='urn:aspl.es:beep:profiles:ALIVE' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    for msgno in 0..3 {
        fresh.send(&format!("MSG 5 {msgno} ."), "\r\n");
        assert_eq!(fresh.expect(&format!("RPY 5 {msgno}")).text(), "\r\n");
    }
    // The window is larger than the one a channel begins with as soon as it is open.
    fresh.wait_for_room(1, 2 * WINDOW);

    // The peer's data is taken as far as the window goes: here to the octet.
    let mut msgno = 0;
    while open.room(CHANNEL) > 0 {
        let size = open.room(CHANNEL).min(1000) as usize;
        open.send(
            &format!("MSG {CHANNEL} {msgno} ."),
            &format!("\r\n{}", "x".repeat(size - 2)),
        );
        msgno += 1;
        if open.room(CHANNEL) == 0 {
            // All of it has arrived, and all SEQs are here.
            open.barrier();
        }
    }
    assert!(open.sent(CHANNEL) >= 2 * WINDOW, "{}", open.sent(CHANNEL));
    assert!(open.sent(CHANNEL) <= 1 << 21, "{}", open.sent(CHANNEL));

    // A session that ends is ended.
    let mut broken = Peer::greeted(port);
    broken.octets("rubbish\r\n");
    broken.expect_end();
}

#[track_caller]
fn take_echoes(open: &mut Peer) {
    let mut taken = 0;
    for msgno in 0.. {
        let mut frame = open.frame();
        let head = format!("RPY {CHANNEL} {msgno}");
        loop {
            assert_eq!(frame.head(), head);
            taken += frame.number(5);
            if frame.is_last() {
                break;
            }
            frame = open.frame();
        }
        if taken == open.sent(CHANNEL) {
            return;
        }
    }
}

#[test]
fn peers_are_served_while_the_main_script_computes() {
    let directory = Directory::new("peers-main-computes");
    let (mut running, port) = start_listener(&with_file(
        &directory,
        "vortex.register_profile (ctx, 'urn:test:plain', echo)
         vortex.alive.init (ctx)
         listen ()
         local ready = vortex.asyncqueue.new ()
         vortex.register_profile (ctx, 'urn:test:ready', nil, nil, function ()
            ready:push (true)
            return true
         end)
         ready:pop ()
         compute ()
         vortex.wait_listeners (ctx, true)
         finish ()",
    ));
    let mut open = Peer::honest(port, "open");
    let reply = open.ask("<start number='3'><profile uri='urn:test:ready' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    running.wait_for_line("begin");
    check_engine(port, &mut open);
    directory.write("go", "");
    running.wait_for_line("end");
    take_echoes(&mut open);
    open.release();
    stop(running);
}

#[test]
fn peers_are_served_while_a_handler_computes() {
    let directory = Directory::new("peers-handler-computes");
    let (mut running, port) = echo_listener(&with_file(
        &directory,
        "vortex.register_profile (ctx, 'urn:test:plain', echo)
         vortex.alive.init (ctx)
         serve ('urn:test:compute', function (conn, channel, frame)
            compute ()
            channel:send_rpy ('computed', -1, frame.msgno)
         end)",
    ));
    let mut open = Peer::honest(port, "open");
    let reply = open.ask("<start number='3'><profile uri='urn:test:compute' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    let mut asker = Peer::greeted(port);
    let reply = asker.ask("<start number='1'><profile uri='urn:test:compute' /></start>");
    assert!(reply.header.starts_with("RPY"), "{reply:?}");
    asker.send("MSG 1 0 .", "\r\n");
    running.wait_for_line("begin");
    check_engine(port, &mut open);
    directory.write("go", "");
    running.wait_for_line("end");
    assert_eq!(asker.expect("RPY 1 0").text(), "\r\ncomputed");
    take_echoes(&mut open);
    asker.release();
    open.release();
    stop(running);
}

#[test]
fn a_client_keeps_its_session_while_its_script_computes() {
    let directory = Directory::new("peers-client-computes");
    let listener = ByHandListener::new();
    let code = format!(
        "local conn = vortex.connection.new (ctx, '127.0.0.1', {})
         local got = 0
         local channel = assert (conn:open_channel (0, ECHO, function (conn, channel, frame)
            got = got + #frame.payload
         end))
         assert (channel:send_msg 'go')
         compute ()
         for _ = 1, 1000 do
            if got < 8000 then vortex.yield (1000000) end
         end
         print ('got', got)
         conn:shutdown ()
         finish ()",
        listener.port()
    );
    let mut running = crate::scripts::start(&with_file(&directory, &code));
    let mut peer = listener.accept_started();
    running.wait_for_line("begin");
    // What was sent before the script began to compute leaves.
    peer.expect("MSG 3 0");
    // More than the first window: the rest is granted meanwhile.
    for _ in 0..7 {
        peer.send("RPY 3 0 *", &"x".repeat(1000));
    }
    peer.send("RPY 3 0 .", &"x".repeat(1000));
    peer.send(
        "MSG 0 1 .",
        &format!("{HEADERS}<start number='2'><profile uri='urn:test:none' /></start>"),
    );
    assert_eq!(peer.expect("ERR 0 1").error_code(), 554);
    directory.write("go", "");
    running.wait_for_line("end");
    running.wait_for_line("got\t8000");
    check(running);
}

#[test]
fn connections_that_come_and_go_while_a_script_computes_do_not_pile_up() {
    const MOST: u32 = 5;
    let directory = Directory::new("peers-come-and-go");
    let code = format!(
        "ctx:set_limits {{ connections_max = {MOST} }}
         listen ()
         compute ()
         vortex.wait_listeners (ctx, true)
         finish ()"
    );
    let (mut running, port) = start_listener(&with_file(&directory, &code));
    running.wait_for_line("begin");
    let (mut taken, mut turned_away) = (0, 0);
    while turned_away < MOST {
        let mut peer = Peer::connect(port);
        if peer.greeting_or_end() {
            taken += 1;
            peer.octets("rubbish\r\n");
            peer.expect_end();
        } else {
            turned_away += 1;
        }
    }
    assert_eq!(taken, MOST);
    directory.write("go", "");
    running.wait_for_line("end");
    // The script has looked at all of them, or is about to.
    while !Peer::connect(port).greeting_or_end() {}
    stop(running);
}

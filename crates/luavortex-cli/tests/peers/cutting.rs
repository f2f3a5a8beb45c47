//! A relay between two scripts that cuts the connection: at every octet of a session, both ways.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::scripts::{check, echo_listener, start, stop};
use crate::support::LIMIT;

/// A session each: a channel, messages of several sizes both ways, both closes; then it checks what was told of it.
const SESSIONS: &str = r#"
local function session (conn, told)
   local ch, message = conn:open_channel (0, "urn:test:counted", function () end, nil, nil, nil, function ()
      return true
   end)
   if not ch then return message end
   for _, size in ipairs { 1, 300 } do
      local payload = conn.server_name .. " " .. size .. " " .. ("x"):rep (size)
      local frame, message = ch:request (payload)
      if not frame then return message end
      told[#told + 1] = frame.payload == payload and frame.type == "RPY"
   end
   local closed, message = ch:close ()
   if not closed then return message end
   closed, message = conn:close ()
   if not closed then return message end
end

local finished = 0
for number = FIRST, LAST do
   local conn = vortex.connection.new (ctx, "127.0.0.1", PORT, "session-" .. number)
   local calls, told = 0, {}
   conn:set_on_close (function () calls = calls + 1 end)
   local problem
   if conn:is_ok () then problem = session (conn, told) else problem = conn.error_msg end
   if not problem then finished = finished + 1 end
   if problem and problem == "" then print ("wrong: " .. number .. " has no message") end
   -- The end may be on its way still, or not have reached this side at all.
   conn:shutdown ()
   local rounds = 0
   while calls == 0 and rounds < 6000 do
      vortex.yield (10000)
      rounds = rounds + 1
   end
   vortex.yield (1)
   if calls ~= 1 then print ("wrong: " .. number .. " ended " .. calls .. " times") end
   if conn:is_ok () then print ("wrong: " .. number .. " is still there") end
   for _, whole in ipairs (told) do
      if not whole then print ("wrong: " .. number .. " got a wrong reply") end
   end
end
print ("succeeded " .. finished)
finish ()
"#;

/// Counts each message, which says itself how long it is.
const COUNTED: &str = r#"
local seen = {}
serve ("urn:test:counted", function (conn, ch, frame)
   local payload = frame.payload
   local name, size, rest = payload:match "^(%S+) (%d+) (x*)$"
   if not name or #rest ~= tonumber (size) then print ("wrong: part of a message " .. payload) return end
   local key = name .. " " .. size
   if seen[key] then print ("wrong: twice " .. key) end
   seen[key] = true
   ch:send_rpy (payload, -1, frame.msg_no)
end)
"#;

/// Cuts connection after connection, each one octet later: first what the client sends, then what it gets.
struct Relay {
    port: u16,
    /// Octets that passed in the last connection, by direction.
    passed: Arc<[AtomicUsize; 2]>,
    done: mpsc::Receiver<()>,
}

impl Relay {
    /// A relay that cuts connection `n` in direction `cuts(n).0` behind `cuts(n).1` octets.
    fn new(to: u16, cuts: impl Fn(usize) -> Option<(usize, usize)> + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let passed = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let (sender, done) = mpsc::channel();
        let counts = passed.clone();
        thread::spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                let (client, server) = (
                    client.unwrap(),
                    TcpStream::connect(("127.0.0.1", to)).unwrap(),
                );
                let streams = [client, server];
                let cut = cuts(number);
                for direction in 0..2 {
                    let most = cut.and_then(|(its, at)| (its == direction).then_some(at));
                    let from = streams[direction].try_clone().unwrap();
                    let onto = streams[1 - direction].try_clone().unwrap();
                    let (counts, sender) = (counts.clone(), sender.clone());
                    thread::spawn(move || {
                        let octets = pass(&from, &onto, most);
                        counts[direction].store(octets, Ordering::SeqCst);
                        let _ = sender.send(());
                    });
                }
            }
        });
        Relay { port, passed, done }
    }
}

/// Passes octets on, at most so many; then both ends lose the connection. Tells how many there were.
fn pass(mut from: &TcpStream, mut onto: &TcpStream, most: Option<usize>) -> usize {
    let mut buffer = [0; 4096];
    let mut octets = 0;
    loop {
        let room = most.map_or(buffer.len(), |most| (most - octets).min(buffer.len()));
        if room == 0 {
            let _ = from.shutdown(Shutdown::Both);
            let _ = onto.shutdown(Shutdown::Both);
            return octets;
        }
        match from.read(&mut buffer[..room]) {
            Ok(length) if length > 0 && onto.write_all(&buffer[..length]).is_ok() => {
                octets += length
            }
            _ => {
                let _ = onto.shutdown(Shutdown::Write);
                return octets;
            }
        }
    }
}

fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

#[test]
fn a_session_of_scripts_cut_at_any_octet_ends_once_on_both_sides() {
    let (running, port) = echo_listener(COUNTED);
    let before = descriptors(running.id());

    let whole = Relay::new(port, |_| None);
    let script = |numbers: RangeInclusive<usize>, port: u16| {
        SESSIONS
            .replace("FIRST", &numbers.start().to_string())
            .replace("LAST", &numbers.end().to_string())
            .replace("PORT", &port.to_string())
    };
    let outcome = check(start(&script(1..=1, whole.port)));
    assert!(outcome.stdout.contains("succeeded 1\n"), "{outcome:?}");
    for _ in 0..2 {
        whole.done.recv_timeout(LIMIT).unwrap();
    }
    let passed = [0, 1].map(|direction| whole.passed[direction].load(Ordering::SeqCst));
    assert!(passed.iter().all(|octets| *octets > 700), "{passed:?}");

    // The names of the sessions are longer by some octets; so is what passes.
    let cuts = passed[0] + passed[1];
    let relay = Relay::new(port, move |number| {
        Some(if number < passed[0] {
            (0, number)
        } else {
            (1, number - passed[0])
        })
    });
    // A process at a time has some of them, so that the limit is about one that hangs and not about a slow machine.
    for first in (1..=cuts).step_by(100) {
        let last = cuts.min(first + 99);
        let outcome = check(start(&script(first..=last, relay.port)));
        assert!(!outcome.stdout.contains("wrong"), "{}", outcome.stdout);
        assert!(outcome.stdout.contains("succeeded "), "{outcome:?}");
    }

    // The listener has seen every end, and keeps nothing of it.
    let mut rounds = 0;
    while descriptors(running.id()) > before {
        assert!(rounds < 6000, "descriptors stay open");
        rounds += 1;
        thread::sleep(Duration::from_millis(10));
    }
    let outcome = stop(running);
    assert!(!outcome.stdout.contains("wrong"), "{}", outcome.stdout);
    let ended = outcome.stdout.matches(" ended 1 times").count();
    let told = outcome.stdout.matches("end of session-").count();
    assert!(
        ended == told && ended > cuts / 2,
        "{ended} ended, {told} told, {cuts} cuts"
    );
    println!("{cuts} cuts, {ended} sessions that reached the script of the listener");
}

//! Floods: a listener goes on serving an honest client, and forgets the others when they are gone.
//!
//! `cargo xtask floods` runs these alone, longer and with many more connections, and shows what they measure.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::by_hand::{CHANNEL, ECHO, HEADERS, Peer};
use crate::scripts::{echo_listener, stop};
use crate::support::{LIMIT, root};

/// How much of everything.
struct Scale {
    silent: usize,
    slow: usize,
    /// Round trips of the honest client during the flood, and for how long there are some at least.
    round_trips: usize,
    time: Duration,
    /// What a listener may have more than before once the flood is over: the allocator of the C library keeps most of
    /// what ten thousand connections took, free for the next ones.
    kept_mib: f64,
}

fn scale() -> Scale {
    if env::var_os("FLOODS_FULL").is_some() {
        Scale {
            silent: 10_000,
            slow: 1000,
            round_trips: 1000,
            time: Duration::from_secs(8),
            kept_mib: 48.0,
        }
    } else {
        Scale {
            silent: 300,
            slow: 100,
            round_trips: 20,
            time: Duration::from_millis(300),
            kept_mib: 16.0,
        }
    }
}

/// What those who flood share.
#[derive(Default)]
struct Flood {
    is_over: AtomicBool,
    /// Of whatever the flood is made of.
    sent: AtomicUsize,
}

impl Flood {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn count(&self, sent: usize) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
    }
}

/// Measures an honest client while `attackers` threads do `attack`.
fn flood(
    name: &str,
    code: &str,
    attackers: usize,
    attack: impl Fn(u16, &Flood) + Send + Sync + 'static,
) {
    let scale = scale();
    let (running, port) = echo_listener(code);
    let mut honest = Peer::honest(port, "honest");
    let calm = round_trips(&mut honest, scale.round_trips, Duration::ZERO);
    let before = resident(running.id());

    let flood = Arc::new(Flood::default());
    let attack = Arc::new(attack);
    let threads: Vec<_> = (0..attackers)
        .map(|_| {
            let (flood, attack) = (flood.clone(), attack.clone());
            thread::spawn(move || attack(port, &flood))
        })
        .collect();
    // It has to have begun before anything is measured.
    let deadline = Instant::now() + LIMIT;
    while flood.sent.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "{name}: nothing was sent");
        thread::yield_now();
    }
    let during = round_trips(&mut honest, scale.round_trips, scale.time);
    let peak = resident(running.id());
    flood.is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }

    let deadline = Instant::now() + LIMIT;
    while resident(running.id()) > before + scale.kept_mib && Instant::now() < deadline {
        honest.exchange("still here");
        thread::sleep(Duration::from_millis(20));
    }
    let after = resident(running.id());
    println!(
        "{name}: {} sent; round trip {calm} before, {during} during; memory {before:.1} MiB before, {peak:.1} during, {after:.1} after",
        flood.sent.load(Ordering::Relaxed)
    );
    assert!(
        after <= before + scale.kept_mib,
        "{name}: {after} MiB, {before} MiB before"
    );
    // Newcomers are served as well.
    let mut next = Peer::honest(port, "next");
    next.exchange("hello");
    next.release();
    honest.release();
    stop(running);
}

/// How long the honest client waits: the median, and what one of a hundred exceeds.
fn round_trips(honest: &mut Peer, count: usize, at_least: Duration) -> String {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < count || begin.elapsed() < at_least {
        let sent = Instant::now();
        honest.exchange("one hundred octets are a usual size of messages, so here are a hundred of them, give or take some.");
        times.push(sent.elapsed());
    }
    times.sort();
    let of = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    format!("{} µs (99 of 100 within {} µs)", of(50), of(99))
}

/// MiB of memory that a process has.
fn resident(process: u32) -> f64 {
    const PAGES_A_MIB: f64 = 256.0;
    let text = fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    let pages: f64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages / PAGES_A_MIB
}

/// As many descriptors as the system allows.
fn allow_descriptors() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

/// Sends what `octets` gives for each round to a session of its own, and reads what comes, until the flood is over.
/// When the other side hangs up, it begins again.
fn pour(port: u16, flood: &Flood, mut octets: impl FnMut(usize) -> Vec<u8>) {
    while flood.goes_on() {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
            continue;
        };
        stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut drain = stream.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while drain.read(&mut buffer).is_ok_and(|length| length > 0) {}
        });
        for round in 0.. {
            if !flood.goes_on() || stream.write_all(&octets(round)).is_err() {
                break;
            }
            flood.count(1);
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
        reader.join().unwrap();
    }
}

fn greeting() -> Vec<u8> {
    frame("RPY 0 0", 0, &format!("{HEADERS}<greeting />"))
}

fn frame(head: &str, seqno: usize, content: &str) -> Vec<u8> {
    format!("{head} . {seqno} {}\r\n{content}END\r\n", content.len()).into_bytes()
}

/// Asks on channel 0 as fast as answers come, until the flood is over.
fn ask(port: u16, flood: &Flood, document: &str) {
    const AT_ONCE: usize = 8;
    let mut peer = Peer::greeted(port);
    while flood.goes_on() {
        for _ in 0..AT_ONCE {
            let msgno = peer.next_msgno(0);
            peer.send(&format!("MSG 0 {msgno} ."), &format!("{HEADERS}{document}"));
        }
        for _ in 0..AT_ONCE {
            peer.frame();
        }
        flood.count(AT_ONCE);
    }
}

#[test]
fn connections_that_never_greet() {
    allow_descriptors();
    let count = scale().silent;
    // The script's side of a connection that is gone is garbage until Lua collects it.
    let collect = "ctx:new_event (100000, function () collectgarbage () end)";
    flood(
        "connections that never greet",
        collect,
        1,
        move |port, flood| {
            let mut streams = Vec::new();
            while streams.len() < count && flood.goes_on() {
                streams.push(TcpStream::connect(("127.0.0.1", port)).unwrap());
                flood.count(1);
            }
            while flood.goes_on() {
                thread::sleep(Duration::from_millis(1));
            }
        },
    );
}

#[test]
fn connections_that_send_an_octet_a_second() {
    allow_descriptors();
    let count = scale().slow;
    flood("one octet a second", "", 1, move |port, flood| {
        let mut streams: Vec<_> = (0..count)
            .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
            .collect();
        let octets = greeting();
        for octet in octets.iter().cycle() {
            for stream in &mut streams {
                let _ = stream.write_all(&[*octet]);
                flood.count(1);
            }
            let next = Instant::now() + Duration::from_secs(1);
            while Instant::now() < next {
                if !flood.goes_on() {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }
    });
}

#[test]
fn greetings() {
    flood("greetings, again and again", "", 2, |port, flood| {
        pour(port, flood, |_| greeting());
    });
}

#[test]
fn seq_frames() {
    let seqs = "SEQ 0 0 4096\r\n".repeat(1000);
    flood("a thousand SEQ frames", "", 2, move |port, flood| {
        pour(port, flood, |round| {
            if round == 0 {
                greeting()
            } else {
                seqs.clone().into_bytes()
            }
        });
    });
}

#[test]
fn starts_of_channels() {
    let start = format!("<start number='NUMBER'><profile uri='{ECHO}' /></start>");
    flood(
        "starts, far beyond the limit of channels",
        "ctx:set_limits { channels_max = 100 }",
        2,
        move |port, flood| {
            let mut peer = Peer::greeted(port);
            for number in (1..).step_by(2) {
                if !flood.goes_on() {
                    return;
                }
                peer.ask(&start.replace("NUMBER", &number.to_string()));
                flood.count(1);
            }
        },
    );
}

#[test]
fn fragments_of_one_octet() {
    flood("a thousand fragments of one octet", "", 2, |port, flood| {
        const AT_ONCE: u32 = 1000;
        let mut peer = Peer::honest(port, "");
        while flood.goes_on() {
            peer.wait_for_room(CHANNEL, AT_ONCE);
            let mut octets = Vec::new();
            for _ in 0..AT_ONCE {
                octets.extend(peer.compose("MSG 1 0 *", b"x", ""));
            }
            peer.octets(octets);
            flood.count(1);
        }
    });
}

#[test]
fn huge_numbers() {
    let heads = [
        "MSG 0 1 . 52 2147483647\r\n",
        "MSG 0 2147483647 . 4294967295 2147483647\r\n",
        "MSG 2147483647 1 * 0 2147483647\r\n",
        "MSG 0 1 . 52 99999999999999999999999999\r\n",
        "SEQ 0 4294967295 2147483647\r\n",
        "ANS 0 1 . 52 2147483647 2147483647\r\n",
        "MSG 00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
    ];
    flood("huge numbers", "", 2, move |port, flood| {
        let mut which = 0;
        pour(port, flood, |round| {
            if round == 0 {
                return greeting();
            }
            which += 1;
            heads[which % heads.len()].as_bytes().to_vec()
        });
    });
}

#[test]
fn deep_documents() {
    const DEPTH: usize = 600;
    let document = format!("{}{}", "<a>".repeat(DEPTH), "</a>".repeat(DEPTH));
    flood("documents 600 elements deep", "", 2, move |port, flood| {
        ask(port, flood, &document);
    });
}

#[test]
fn entity_bombs() {
    let mut document = "<!DOCTYPE a [<!ENTITY e0 'boom'>".to_owned();
    for level in 1..10 {
        let before = format!("&e{};", level - 1).repeat(10);
        document += &format!("<!ENTITY e{level} '{before}'>");
    }
    document += "]><a>&e9;</a>";
    flood("entity bombs", "", 2, move |port, flood| {
        ask(port, flood, &document);
    });
}

#[test]
fn messages_that_wait_for_ever() {
    flood(
        "messages that the script never answers",
        "ctx:set_limits { messages_unanswered_max = 5000 }
         serve ('urn:test:never', function () vortex.asyncqueue.new ():pop () end)",
        2,
        |port, flood| {
            pour(port, flood, |round| match round {
                0 => greeting(),
                1 => frame(
                    "MSG 0 1",
                    HEADERS.len() + 12,
                    &format!("{HEADERS}<start number='3'><profile uri='urn:test:never' /></start>"),
                ),
                round => format!("MSG 3 {} . 0 0\r\nEND\r\n", round - 2).into_bytes(),
            });
        },
    );
}

#[test]
fn answers_without_end() {
    flood(
        "answers of a series without end",
        "serve ('urn:test:asks', function (conn, channel, frame)
            if frame.type == 'MSG' then channel:send_msg ('and?') end
         end)",
        2,
        |port, flood| {
            const SIZE: u32 = 100;
            let mut peer = Peer::greeted(port);
            peer.ask("<start number='1'><profile uri='urn:test:asks' /></start>");
            peer.send("MSG 1 0 .", "\r\n?");
            peer.expect("MSG 1 0");
            for number in 0_usize.. {
                if !flood.goes_on() {
                    return;
                }
                peer.wait_for_room(CHANNEL, SIZE);
                let seqno = peer.sent(CHANNEL);
                let mut answer = peer.compose("ANS 1 0 .", &[b'x'; SIZE as usize], "");
                // The number of the answer ends the header.
                let header = format!("ANS 1 0 . {seqno} {SIZE}");
                answer.splice(header.len()..header.len(), format!(" {number}").bytes());
                peer.octets(answer);
                flood.count(1);
            }
        },
    );
}

#[test]
fn connections_that_come_and_go() {
    flood("connections that come and go", "", 2, |port, flood| {
        while flood.goes_on() {
            let mut peer = Peer::greeted(port);
            peer.start(CHANNEL, "");
            peer.exchange("and away");
            flood.count(1);
        }
    });
}

#[test]
fn guesses_of_passwords() {
    let code = "require ('vortex.sasl').accept_mech (ctx, 'plain', function (_, props) return props.password == 'secret' end)";
    flood("guesses of a password", code, 2, |port, flood| {
        const UNTIL_REFUSED: u32 = 16;
        let guess = "<start number='1'><profile uri='http://iana.org/beep/SASL/PLAIN'>\
                     <![CDATA[<blob>AGJvYgBndWVzcw==</blob>]]></profile></start>";
        while flood.goes_on() {
            let mut peer = Peer::greeted(port);
            for _ in 0..UNTIL_REFUSED {
                assert_eq!(peer.ask(guess).error_code(), 535);
                flood.count(1);
            }
            assert_eq!(peer.ask(guess).error_code(), 554);
        }
    });
}

#[test]
fn handshakes_of_tls_that_are_left() {
    let certificates = root().join("spec/certificates");
    let code = "require ('vortex.tls').accept_tls (ctx, function () return true end, nil,
         function () return 'FOLDER/localhost.crt' end, nil, function () return 'FOLDER/localhost.key' end)"
        .replace("FOLDER", certificates.to_str().unwrap());
    // The front of a record that is to carry a ClientHello of 508 octets.
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    flood(
        "handshakes of TLS that are begun and left",
        &code,
        2,
        move |port, flood| {
            const AT_ONCE: usize = 100;
            let mut begun = std::collections::VecDeque::new();
            while flood.goes_on() {
                let mut peer = Peer::greeted(port);
                let reply = peer.ask(
                    "<start number='1'><profile uri='http://iana.org/beep/TLS'><![CDATA[<ready />]]></profile></start>",
                );
                assert!(reply.text().contains("proceed"), "{reply:?}");
                peer.octets(hello);
                begun.push_back(peer);
                if begun.len() > AT_ONCE {
                    begun.pop_front();
                }
                flood.count(1);
            }
        },
    );
}

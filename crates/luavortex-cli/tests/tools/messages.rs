//! Every message for wrong use, and for peers that are not as they should be: what is wrong, and what to do.

use super::*;
use crate::support::Directory;

/// The words behind `luavortex`, the exit status, and what the message has to say.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

#[track_caller]
fn check(cases: &[Case<'_>]) {
    for (words, code, parts) in cases {
        let outcome = tool(words);
        assert_eq!(
            outcome.status.code(),
            Some(*code),
            "{words:?}: {outcome:#?}"
        );
        assert!(
            outcome.stderr.starts_with("luavortex: "),
            "{words:?}: {outcome:#?}"
        );
        for part in *parts {
            assert!(
                outcome.stderr.contains(part),
                "{words:?}: no {part} in {outcome:#?}"
            );
        }
    }
}

#[test]
fn wrong_options_are_named_with_what_to_do() {
    const HELP: &str = "For more information, try '--help'.";
    const ONE: [&str; 4] = ["send", "h:1", "--profile", ECHO];
    let send = |more: &[&'static str]| -> Vec<&str> { [&ONE[..], more].concat() };
    check(&[
        (
            &["probe"],
            2,
            &["<HOST:PORT>", "Usage: luavortex probe", HELP],
        ),
        (
            &["probe", "h"],
            2,
            &["there is no port; write HOST:PORT, such as localhost:10288"],
        ),
        (
            &["probe", "h:http"],
            2,
            &["'http' is no port from 0 to 65535; write HOST:PORT"],
        ),
        (&["probe", "h:65536"], 2, &["'65536' is no port"]),
        (
            &["probe", "::1:5"],
            2,
            &[
                "an IPv6 address needs brackets; write HOST:PORT, such as localhost:10288 or [::1]:10288",
            ],
        ),
        (&["probe", ":5"], 2, &["there is no host"]),
        (
            &["probe", "http://localhost:5"],
            2,
            &["this is no URL and has no path; write HOST:PORT"],
        ),
        (
            &["probe", "h:1", "--profile", "two words"],
            2,
            &["a profile is named by a URI, such as urn:example:echo"],
        ),
        (
            &["listen", "--profile", "", "--echo"],
            2,
            &["a profile is named by a URI"],
        ),
        (
            &["prob", "h:1"],
            1,
            &[
                "cannot open prob: there is no such script, and no tool of that name (luavortex --help lists them)",
            ],
        ),
        (
            &["probe", "h:1", "--nonsense"],
            2,
            &["unexpected argument '--nonsense'", HELP],
        ),
        (
            &["probe", "h:1", "--timeout", "soon"],
            2,
            &["'soon'", "a number of seconds is needed, such as 2.5"],
        ),
        (
            &["probe", "h:1", "--timeout", "0"],
            2,
            &["a number of seconds is needed"],
        ),
        (
            &["probe", "h:1", "--timeout", "NaN"],
            2,
            &["a number of seconds is needed"],
        ),
        (
            &["probe", "h:1", "--passive", "--profile", ECHO],
            2,
            &["cannot be used with"],
        ),
        (&["probe", "h:1", "--insecure"], 2, &["--tls"]),
        (
            &["probe", "h:1", "--tls", "--insecure", "--ca", "f"],
            2,
            &["cannot be used with"],
        ),
        (
            &["probe", "h:1", "--tls", "--cert", "f"],
            2,
            &["--key <FILE>"],
        ),
        (&["probe", "h:1", "--user", "bob"], 2, &["--sasl <MECH>"]),
        (
            &["probe", "h:1", "--sasl", "gssapi"],
            2,
            &[
                "'gssapi'",
                "there is PLAIN, ANONYMOUS, EXTERNAL, CRAM-MD5, DIGEST-MD5, SCRAM-SHA-1 and SCRAM-SHA-256",
            ],
        ),
        (
            &["probe", "h:1", "--sasl", "plain"],
            2,
            &["SASL PLAIN needs a name: say --user NAME"],
        ),
        (
            &["probe", "h:1", "--sasl", "plain", "--user", "bob"],
            2,
            &["SASL PLAIN needs a password: say --password-file FILE, or - for standard input"],
        ),
        (&["send", "h:1", "-m", "x"], 2, &["--profile <URI>"]),
        (&ONE, 2, &["--message <TEXT>", "--file <FILE>"]),
        (
            &send(&["-m", "x", "--file", "f"]),
            2,
            &["cannot be used with"],
        ),
        (&send(&["-m", "x", "--lines"]), 2, &["cannot be used with"]),
        (
            &send(&["-m", "x", "--answer-max", "much"]),
            2,
            &["a number of octets is needed, such as 500, 64k or 10M"],
        ),
        (
            &send(&["stdin"]),
            2,
            &["invalid value 'stdin'", "[possible values: -]"],
        ),
        (
            &send(&[
                "-",
                "--sasl",
                "plain",
                "--user",
                "bob",
                "--password-file",
                "-",
            ]),
            2,
            &["standard input cannot be both password and message: put one of them in a file"],
        ),
        (&["listen", "--echo"], 2, &["--profile <URI>"]),
        (
            &["listen", "--profile", ECHO],
            2,
            &["--echo|--discard|--exec <CMD>"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--discard"],
            2,
            &["cannot be used with"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--answers", "0"],
            2,
            &["0 is not in 1.."],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--refuse", "99"],
            2,
            &["99 is not in 100..=999"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--cert", "f"],
            2,
            &["--key <FILE>"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--require-tls"],
            2,
            &["--cert <FILE>"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--message-max", "0"],
            2,
            &["message_max is 0, it has to be between 1 and"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--sasl", "plain"],
            2,
            &["SASL PLAIN needs --user NAME and --password-file FILE"],
        ),
        (
            &["listen", "--profile", ECHO, "--echo", "--sasl", "external"],
            2,
            &["SASL EXTERNAL is not for this listener"],
        ),
        (&["trace"], 2, &["<HOST:PORT>"]),
        (&["trace", "show"], 2, &["<FILE>"]),
        (&["trace", "h:1", "--count", "0"], 2, &["0 is not in 1.."]),
        (&["trace", "h:1", "--html", "f"], 2, &["--save <FILE>"]),
        (&["bench", "h:1"], 2, &["--profile <URI>"]),
        (
            &["bench", "h:1", "--profile", ECHO, "--measure", "luck"],
            2,
            &[
                "invalid value 'luck'",
                "[possible values: round-trips, throughput, connections]",
            ],
        ),
        (
            &["bench", "h:1", "--profile", ECHO, "-c", "0"],
            2,
            &["0 is not in 1..=100000"],
        ),
        (&["new"], 2, &["<NAME>"]),
        (
            &["new", "a b"],
            2,
            &["'a b' is no name for a project: letters, digits, - and _ are taken"],
        ),
        (&["new", ".."], 2, &["'..' is no name for a project"]),
        (&["man"], 2, &["<DIR>"]),
        (&["completions"], 2, &["<SHELL>"]),
        (
            &["completions", "cmd"],
            2,
            &[
                "invalid value 'cmd'",
                "[possible values: bash, elvish, fish, powershell, zsh]",
            ],
        ),
    ]);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = Directory::new("messages-files");
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let write =
        |name: &str, content: &[u8]| directory.write(name, content).to_str().unwrap().to_owned();
    let (empty, text, octets) = (
        write("empty", b""),
        write("text", b"text\n"),
        write("octets", b"\xff\n"),
    );
    let broken = write("broken", b"{\"event\":\"begin\",\"format\":\"luavortex-trace\",\"version\":1,\"at\":\"\",\"listener\":\"\"}\nno\n");
    let newer = write("newer", b"{\"event\":\"begin\",\"format\":\"luavortex-trace\",\"version\":2,\"at\":\"\",\"listener\":\"\"}\n");
    let headless = write(
        "headless",
        b"{\"event\":\"end\",\"us\":0,\"session\":1,\"from\":\"client\"}\n",
    );
    let missing = path("missing");
    let no_file = format!("cannot read {missing}: No such file or directory");
    let (certificate, key) = (
        certificate("a.example.crt"),
        crate::certificate("b.example.key"),
    );
    check(&[
        (
            &["send", "h:1", "--profile", ECHO, "--file", &missing],
            1,
            &[&no_file],
        ),
        (&["probe", "h:1", "--tls", "--ca", &missing], 1, &[&no_file]),
        (
            &["probe", "h:1", "--tls", "--ca", &text],
            1,
            &[&text, "the certificate cannot be read"],
        ),
        (
            &[
                "probe",
                "h:1",
                "--tls",
                "--cert",
                &certificate,
                "--key",
                &key,
            ],
            1,
            &["the private key does not belong to the certificate"],
        ),
        (
            &[
                "probe",
                "h:1",
                "--sasl",
                "plain",
                "--user",
                "bob",
                "--password-file",
                &empty,
            ],
            1,
            &["there is no password in the first line of"],
        ),
        (
            &[
                "probe",
                "h:1",
                "--sasl",
                "plain",
                "--user",
                "bob",
                "--password-file",
                &octets,
            ],
            1,
            &["is not UTF-8"],
        ),
        (
            &[
                "listen",
                "--profile",
                ECHO,
                "--echo",
                "--cert",
                &missing,
                "--key",
                &key,
            ],
            1,
            &[&no_file],
        ),
        (&["trace", "show", &missing], 1, &[&no_file]),
        (
            &["trace", "show", &empty],
            1,
            &["is empty: nothing was recorded"],
        ),
        (
            &["trace", "show", &text],
            1,
            &[
                "line 1: no entry of a recording",
                "is it a file that `luavortex trace --save` wrote?",
            ],
        ),
        (
            &["trace", "show", &broken],
            1,
            &["line 2: no entry of a recording"],
        ),
        (
            &["trace", "show", &newer],
            1,
            &["is a recording of format luavortex-trace 2; this luavortex reads luavortex-trace 1"],
        ),
        (
            &["trace", "show", &headless],
            1,
            &["does not begin as a recording does"],
        ),
        (
            &["trace", "html", &broken, "-o", &path("missing/page")],
            1,
            &["line 2"],
        ),
        (
            &["trace", "h:1", "--save", &path("missing/trace")],
            1,
            &["cannot write", "missing/trace"],
        ),
        (&["man", &text], 1, &["cannot write manual pages to"]),
        (&["new", &path("text/project")], 1, &["cannot make"]),
    ]);
}

#[test]
fn peers_that_are_not_as_they_should_be_are_told_apart() {
    let (nobody, silent, web) = (nobody(), says(""), says("HTTP/1.1 400 Bad Request\r\n\r\n"));
    let busy = says(first_frame("ERR", "<error code='421'>full</error>"));
    let rude = by_hand(drop);
    let short = ["--timeout", "0.3"];
    let (echo, ours) = (["--profile", ECHO, "-m", "x"], Served::echo());
    let cases: [(&str, i32, &[&str]); 6] = [
        (
            &nobody,
            3,
            &[
                "cannot connect to 127.0.0.1:",
                "Connection refused",
                "is a listener running there?",
            ],
        ),
        (
            "no-such-name.invalid:1",
            3,
            &["cannot resolve no-such-name.invalid", "is the name right?"],
        ),
        (
            &silent,
            6,
            &[
                "took the connection, but sent no BEEP greeting within 0.3 s; is it a BEEP listener? --timeout SECONDS waits longer",
            ],
        ),
        (
            &web,
            4,
            &["does not speak BEEP: keyword expected at octet 0 of a frame header, 0x48 came"],
        ),
        (
            &rude,
            4,
            &["ended the connection without a BEEP greeting; is it a BEEP listener?"],
        ),
        (&busy, 5, &["refuses the session: 421 full"]),
    ];
    for (peer, code, parts) in cases {
        // Only who has to run into the limit gets a short one: the machine may be busy.
        let short = &short[..if code == 6 { 2 } else { 0 }];
        check(&[
            (&[&["probe", peer], short].concat(), code, parts),
            (&[&["send", peer], &echo[..], short].concat(), code, parts),
            (
                &[&["bench", peer, "--profile", ECHO], short].concat(),
                code,
                parts,
            ),
        ]);
    }
    check(&[
        (
            &["send", &ours.address, "--profile", "urn:none", "-m", "x"],
            5,
            &[
                "no channel of urn:none: the peer refused: 554",
                "; it offers urn:example:echo",
            ],
        ),
        (
            &["bench", &ours.address, "--profile", "urn:none"],
            5,
            &["no channel of urn:none: the peer refused: 554"],
        ),
        (
            &["probe", &ours.address, "--tls"],
            5,
            &[
                "no TLS with",
                "the peer refused TLS: 554",
                "; without --tls it may serve you all the same",
            ],
        ),
        (
            &["probe", &ours.address, "--sasl", "anonymous"],
            5,
            &[
                "does not authenticate us by ANONYMOUS",
                "; it offers no SASL here",
            ],
        ),
    ]);
}

#[test]
fn peers_that_go_silent_later_are_told_apart() {
    let mute = says(greeting());
    let cases: [Case<'_>; 5] = [
        (
            &[
                "send",
                &mute,
                "--profile",
                ECHO,
                "-m",
                "x",
                "--timeout",
                "2",
            ],
            6,
            &[
                "no channel of urn:example:echo",
                "did not answer in time; --timeout SECONDS waits longer",
            ],
        ),
        (
            &["probe", &mute, "--profile", ECHO, "--timeout", "2"],
            6,
            &[
                "did not answer the start of urn:example:echo in time",
                "--passive starts nothing",
            ],
        ),
        (
            &["probe", &mute, "--passive", "--timeout", "2"],
            6,
            &["the session is not released"],
        ),
        (
            &["probe", &mute, "--tls", "--timeout", "2"],
            6,
            &["no TLS with", "did not answer whether it begins with TLS"],
        ),
        (
            &["probe", &mute, "--sasl", "anonymous", "--timeout", "2"],
            6,
            &[
                "does not authenticate us by ANONYMOUS",
                "in time; --timeout SECONDS waits longer",
            ],
        ),
    ];
    // Each takes as long as its limit.
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || check(&[case]));
        }
    });
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let part = format!("cannot listen on {address}: Address already in use");
    check(&[
        (
            &["listen", &address, "--profile", ECHO, "--echo"],
            1,
            &[&part, "another address or port may do"],
        ),
        (&["trace", "h:1", "--listen", &address], 1, &[&part]),
    ]);
}

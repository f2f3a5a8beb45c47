use super::*;
use crate::support::{Directory, run_with_input};

#[test]
fn answers_go_to_standard_output_and_what_they_are_to_standard_error() {
    let listener = Served::echo();
    let outcome = tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "one",
        "-m",
        "two\n",
    ])
    .expect_code(0);
    assert_eq!(outcome.stdout, "one\ntwo\n");
    let remarks: Vec<&str> = outcome.stderr.lines().collect();
    assert!(
        remarks[0].starts_with("RPY to message 0, 3 octets"),
        "{outcome:#?}"
    );
    assert!(
        remarks[1].starts_with("RPY to message 1, 4 octets"),
        "{outcome:#?}"
    );
}

#[test]
fn quiet_tells_nothing_besides() {
    let listener = Served::echo();
    let outcome = tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "one",
        "-q",
    ])
    .expect_code(0);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("one\n", "")
    );
}

#[test]
fn standard_input_is_one_message_or_one_a_line() {
    let listener = Served::echo();
    let whole = [
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-q",
        "--json",
        "-",
    ];
    let outcome = run_with_input(&mut luavortex(whole), "a\nb\n").expect_code(0);
    assert_eq!(json(&outcome)["payload"], "a\nb\n");

    let lines = [
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-q",
        "--lines",
        "--file",
        "-",
    ];
    let outcome = run_with_input(&mut luavortex(lines), "a\r\n\nb").expect_code(0);
    assert_eq!(outcome.stdout, "a\n\nb\n");
}

#[test]
fn a_large_file_comes_back_octet_by_octet() {
    let listener = Served::echo();
    let directory = Directory::new("send-large");
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let file = directory.write("content", &content);
    let mut command = luavortex([
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-q",
        "--raw",
        "--file",
    ]);
    let output = command.arg(file).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == content);
}

#[test]
fn a_series_of_answers_is_told_apart() {
    let listener = Served::start(&["listen", "--profile", ECHO, "--echo", "--answers", "3"]);
    let outcome = tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "abcdef",
        "--json",
    ])
    .expect_code(0);
    let answers: Vec<Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let facts: Vec<_> = answers
        .iter()
        .map(|answer| (&answer["kind"], &answer["ansno"], &answer["payload"]))
        .collect();
    assert_eq!(
        format!("{facts:?}"),
        r#"[(String("ANS"), Number(0), String("ab")), (String("ANS"), Number(1), String("cd")), (String("ANS"), Number(2), String("ef"))]"#
    );
}

#[test]
fn a_negative_reply_is_printed_and_makes_the_exit_status() {
    let listener = Served::start(&[
        "listen",
        "--profile",
        ECHO,
        "--exec",
        "read word; test $word = good || { echo not $word >&2; exit 1; }",
    ]);
    let outcome = tool(&[
        "send",
        &listener.address,
        "--profile",
        ECHO,
        "-m",
        "bad",
        "-m",
        "good",
    ])
    .expect_code(5);
    assert_eq!(outcome.stdout, "not bad\n\n");
    assert!(
        outcome.stderr.starts_with("ERR to message 0"),
        "{outcome:#?}"
    );
    assert!(outcome.stderr.contains("RPY to message 1"), "{outcome:#?}");
}

#[test]
fn octets_that_are_not_text_are_in_base64() {
    let listener = Served::echo();
    let directory = Directory::new("send-octets");
    let file = directory.write("octets", b"\xff\x00");
    let file = file.to_str().unwrap();
    let answer = json(
        &tool(&[
            "send",
            &listener.address,
            "--profile",
            ECHO,
            "--json",
            "--file",
            file,
        ])
        .expect_code(0),
    );
    assert_eq!(answer["payload_base64"], "/wA=");
    assert_eq!(answer["payload"], Value::Null);
}

#[test]
fn a_message_goes_over_tls_to_whom_the_user_names() {
    let (certificate, key) = (certificate("localhost.crt"), certificate("localhost.key"));
    let listener = Served::start(&[
        "listen",
        "--profile",
        ECHO,
        "--echo",
        "--cert",
        &certificate,
        "--key",
        &key,
        "--require-tls",
    ]);
    let peer = format!("localhost:{}", listener.port());
    let words = ["send", &peer, "--profile", ECHO, "-m", "hi", "-q"];
    let outcome = tool(&[&words[..], &["--tls", "--ca", &certificate]].concat()).expect_code(0);
    assert_eq!(outcome.stdout, "hi\n");
    let outcome = tool(&words).expect_code(5);
    assert!(
        outcome
            .stderr
            .contains("538 start TLS first; --tls encrypts"),
        "{outcome:#?}"
    );
    // Its certificate is not that of the address.
    let other = format!("127.0.0.1:{}", listener.port());
    let outcome = tool(&[
        "send",
        &other,
        "--profile",
        ECHO,
        "-m",
        "hi",
        "--tls",
        "--ca",
        &crate::certificate("a.example.crt"),
    ])
    .expect_code(4);
    assert!(
        outcome.stderr.contains("no TLS with 127.0.0.1"),
        "{outcome:#?}"
    );
}

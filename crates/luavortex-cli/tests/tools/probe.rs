use super::*;
use crate::support::Directory;

#[test]
fn a_probe_tells_what_the_peer_offers_and_how_it_behaves() {
    let listener = Served::echo();
    let outcome = tool(&["probe", &listener.address]).expect_code(0);
    let words: Vec<&str> = outcome.stdout.split_whitespace().collect();
    let text = words.join(" ");
    for part in [
        "resolved",
        "connected",
        "greeting",
        ECHO,
        "'127.0.0.1' accepted",
        "'unknown.invalid' accepted",
        "agreed",
    ] {
        assert!(text.contains(part), "no {part} in {outcome:#?}");
    }
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_probe_as_json_is_one_object_with_the_time_of_each_step() {
    let listener = Served::echo();
    let report = json(&tool(&["probe", "--json", &listener.address]).expect_code(0));
    assert_eq!(report["greeting"]["profiles"][0], ECHO);
    assert_eq!(report["release"], "agreed");
    assert_eq!(report["server_names"][1]["name"], "unknown.invalid");
    assert_eq!(report["error"], Value::Null);
    for step in ["resolve", "connect", "greeting", "release"] {
        assert!(report["milliseconds"][step].is_number(), "{report}");
    }
}

#[test]
fn a_probe_as_json_tells_why_it_failed() {
    let outcome = tool(&["probe", "--json", &nobody()]).expect_code(3);
    let report = json(&outcome);
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(outcome.stderr.contains(error), "{outcome:#?}");
}

#[test]
fn a_passive_probe_starts_no_channel() {
    let mut listener = Served::echo();
    tool(&["probe", "--passive", &listener.address]).expect_code(0);
    let released = |line: &str| line.ends_with(" released").then_some(());
    listener.running.wait_for(released);
    let outcome = listener.stop().expect_code(0);
    assert!(!outcome.stdout.contains("channel"), "{outcome:#?}");
}

#[test]
fn a_refused_server_name_is_told_with_its_code() {
    let listener = Served::start(&["listen", "--profile", ECHO, "--echo", "--refuse", "553"]);
    let report = json(&tool(&["probe", "--json", &listener.address]).expect_code(0));
    assert_eq!(report["server_names"][0]["refusal"]["code"], 553);
}

fn secured() -> Served {
    let directory = Directory::new(&format!("probe-secured-{:?}", thread::current().id()));
    let password = directory.write("password", "secret\n");
    let (certificate, key) = (certificate("localhost.crt"), certificate("localhost.key"));
    // It reads its files before it tells that it listens.
    Served::start(&[
        "listen",
        "--profile",
        ECHO,
        "--echo",
        "--cert",
        &certificate,
        "--key",
        &key,
        "--sasl",
        "plain",
        "--sasl",
        "scram-sha-256",
        "--user",
        "bob",
        "--password-file",
        password.to_str().unwrap(),
    ])
}

#[test]
fn a_probe_looks_at_tls_and_sasl_by_itself() {
    let listener = secured();
    let port = format!("localhost:{}", listener.port());
    let report = json(&tool(&["probe", "--json", &port]).expect_code(0));
    let tls = &report["tls"];
    assert_eq!(tls["version"], "TLSv1.3");
    assert!(tls["cipher"].as_str().unwrap().starts_with("TLS_"), "{tls}");
    assert_eq!(tls["is_trusted"], false);
    let certificate = &tls["certificate"];
    assert!(
        certificate["names"]
            .as_array()
            .unwrap()
            .contains(&"localhost".into()),
        "{certificate}"
    );
    for fact in ["subject", "issuer", "not_before", "not_after", "sha256"] {
        assert!(
            !certificate[fact].as_str().unwrap().is_empty(),
            "{certificate}"
        );
    }
    // PLAIN waits for TLS, and channel binding is for TLS only.
    assert_eq!(report["sasl"], serde_json::json!(["SCRAM-SHA-256"]));
    assert!(
        tls["sasl"].as_array().unwrap().contains(&"PLAIN".into()),
        "{tls}"
    );
}

#[test]
fn a_probe_within_tls_and_sasl_is_let_in() {
    let listener = secured();
    let peer = format!("localhost:{}", listener.port());
    let directory = Directory::new("probe-let-in");
    let password = directory.write("password", "secret\n");
    let ca = certificate("localhost.crt");
    let report = json(
        &tool(&[
            "probe",
            "--json",
            &peer,
            "--tls",
            "--ca",
            &ca,
            "--sasl",
            "plain",
            "--user",
            "bob",
            "--password-file",
            password.to_str().unwrap(),
        ])
        .expect_code(0),
    );
    assert_eq!(report["user"], "bob");
    assert_eq!(report["tls"]["fault"], Value::Null);
    assert_eq!(report["server_names"][0]["refusal"], Value::Null);
}

#[test]
fn text_of_the_peer_cannot_play_tricks_on_the_terminal() {
    // U+202E turns the direction of the text that follows.
    let document = "<greeting><profile uri='urn:\u{202e}x' /></greeting>";
    let peer = says(first_frame("RPY", document));
    let outcome = tool(&["probe", "--passive", "--timeout", "2", &peer]);
    assert!(outcome.stdout.contains("urn:\\u{202e}x"), "{outcome:#?}");
}

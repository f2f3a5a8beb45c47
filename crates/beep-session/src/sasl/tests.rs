//! The exchanges that were recorded of the C engine, with its nonces.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::client::ClientMechanism;
use super::server::ServerMechanism;
use super::*;

struct Recording(Value);

impl Recording {
    fn read(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../beep-core/tests/captures")
            .join(format!("{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn fact(&self, name: &str) -> &str {
        self.0["sasl"][name].as_str().unwrap()
    }

    /// The tokens of one side.
    fn tokens(&self, from: &str) -> Vec<Vec<u8>> {
        let blobs = self.0["sasl"]["blobs"].as_array().unwrap();
        let mut tokens = Vec::new();
        for blob in blobs.iter().filter(|blob| blob["from"] == from) {
            if let Some(token) = blob["decoded"].as_str() {
                tokens.push(token.as_bytes().to_vec());
            }
        }
        tokens
    }

    /// Compares with what the application of the recorded listener was asked.
    fn check_question(&self, question: &Question) {
        let events = self.0["expected"]["listener"].as_array().unwrap();
        let asked = events
            .iter()
            .find(|e| e["event"] == "auth_request")
            .unwrap();
        let mechanism = Mechanism::from_name(asked["mech"].as_str().unwrap());
        assert_eq!(Some(question.mechanism), mechanism);
        let expected = |field: &str| asked[field].as_str();
        assert_eq!(question.auth_id.as_deref(), expected("auth_id"));
        assert_eq!(
            question.authorization_id.as_deref(),
            expected("authorization_id")
        );
        assert_eq!(question.password.as_deref(), expected("password"));
        assert_eq!(
            question.anonymous_token.as_deref(),
            expected("anonymous_token")
        );
        assert_eq!(question.realm.as_deref(), expected("realm"));
        if question.mechanism == Mechanism::DigestMd5 {
            assert_eq!(question.server_name.as_deref(), Some("localhost"));
        }
    }
}

#[test]
fn mechanisms_of_one_token_ask_what_the_c_engine_asks() {
    for name in [
        "sasl-plain-ok",
        "sasl-plain-wrong",
        "sasl-plain-authzid",
        "sasl-anonymous-ok",
        "sasl-anonymous-wrong",
        "sasl-external-ok",
        "sasl-external-wrong",
    ] {
        let recording = Recording::read(name);
        let mechanism = Mechanism::from_name(recording.fact("mechanism")).unwrap();
        let tokens = recording.tokens("initiator");
        let mut server = ServerExchange::new(mechanism, false, None, "localhost", None);
        let Step::Ask(question) = server.step(tokens.first().map(Vec::as_slice)) else {
            panic!("{name}")
        };
        recording.check_question(&question);
    }
}

#[test]
fn plain_sends_what_the_c_engine_sends() {
    let recording = Recording::read("sasl-plain-authzid");
    let credentials = Credentials::new(Mechanism::Plain, "bob")
        .with_password("secret")
        .with_authorization_id("alice");
    let client = ClientExchange::new(&credentials, "localhost", None, false).unwrap();
    assert_eq!(
        client.initial().as_ref(),
        recording.tokens("initiator").first()
    );
}

#[test]
fn cram_md5_gives_the_recorded_responses_and_outcomes() {
    for (name, is_right) in [("sasl-cram-md5-ok", true), ("sasl-cram-md5-wrong", false)] {
        let recording = Recording::read(name);
        let challenge = recording.fact("challenge");
        let mut client = cram_md5::Client::new(recording.fact("user"), recording.fact("password"));
        let response = client.respond(challenge.as_bytes()).unwrap();
        assert_eq!(response, recording.fact("response").as_bytes());

        let mut server = cram_md5::Server::new(challenge.to_owned());
        server.step(None).unwrap();
        let Ok(Step::Ask(question)) = server.step(Some(&response)) else {
            panic!("{name}")
        };
        recording.check_question(&question);
        let answer = Answer::Password(recording.fact("right_password").to_owned());
        assert_eq!(server.answer(answer).is_ok(), is_right, "{name}");
    }
}

#[test]
fn digest_md5_gives_the_recorded_tokens_and_outcomes() {
    for (name, is_right) in [
        ("sasl-digest-md5-ok", true),
        ("sasl-digest-md5-wrong", false),
    ] {
        let recording = Recording::read(name);
        let realm = recording.fact("realm");
        let theirs = recording.tokens("listener");
        let ours = recording.tokens("initiator");

        let credentials = Credentials::new(Mechanism::DigestMd5, "bob").with_realm(realm);
        let mut client = digest_md5::Client::new(
            &credentials,
            recording.fact("password"),
            "localhost",
            recording.fact("cnonce").to_owned(),
        );
        assert_eq!(client.respond(&theirs[0]).unwrap(), ours[0], "{name}");

        let nonce = recording.fact("nonce").to_owned();
        let mut server = digest_md5::Server::new(Some(realm.to_owned()), nonce);
        assert_eq!(server.step(None), Ok(Step::Challenge(theirs[0].clone())));
        let Ok(Step::Ask(question)) = server.step(Some(&ours[0])) else {
            panic!("{name}")
        };
        recording.check_question(&question);
        let answer = Answer::Password(recording.fact("right_password").to_owned());
        match server.answer(answer) {
            Ok(Step::Success { data, .. }) if is_right => {
                assert_eq!(data.as_ref(), theirs.get(1));
                assert_eq!(client.finish(data.as_deref()), Ok(()));
            }
            step => assert_eq!(step, Err(Error::Denied), "{name}"),
        }
    }
}

#[test]
fn the_recorded_documents_are_those_that_blobs_are_written_as() {
    let recording = Recording::read("sasl-digest-md5-ok");
    let proof = recording.tokens("listener").pop().unwrap();
    let document = beep_core::sasl_blob::Blob::complete(proof).to_xml();
    let steps = recording.0["steps"].as_array().unwrap();
    let is_in = |step: &Value| {
        let octets = step["octets"].as_str().unwrap_or_default();
        let octets = STANDARD.decode(octets).unwrap();
        String::from_utf8_lossy(&octets).contains(&document)
    };
    assert!(steps.iter().any(is_in), "{document}");
}

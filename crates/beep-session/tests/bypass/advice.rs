//! The recorded odd inputs whose advice is for SASL. Those for TLS are with the tests of TLS.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beep_session::Config;
use beep_session::core::Role;
use serde_json::Value;

use crate::guard::{Guard, all_services, truth};
use crate::raw::Raw;

/// The recorded inputs: by name, what the initiator sent after its greeting, in steps.
fn recordings() -> BTreeMap<String, (Vec<Vec<u8>>, String)> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../beep-core/tests/captures/odd-input.jsonl"
    );
    let mut found = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let recording: Value = serde_json::from_str(line).unwrap();
        let name = recording["scenario"].as_str().unwrap();
        let Some(name) = name.strip_prefix("odd/sasl-") else {
            continue;
        };
        let of_initiator =
            |step: &&Value| step["from"] == "initiator" && step["octets"].is_string();
        let steps = recording["steps"].as_array().unwrap().iter();
        let octets = steps
            .filter(of_initiator)
            .map(|step| STANDARD.decode(step["octets"].as_str().unwrap()).unwrap());
        let advice = recording["rule"]["advice"].as_str().unwrap().to_owned();
        found.insert(name.to_owned(), (octets.collect(), advice));
    }
    found
}

#[tokio::test(start_paused = true)]
async fn recorded_odd_authentications_end_as_advised() {
    // The last answer to what was odd, and whether bob is in then.
    let wanted = [
        ("plain-no-base64", "<error code='454'", false),
        ("plain-no-blob", "<error code='500'", false),
        ("plain-not-xml", "<error code='500'", false),
        ("plain-no-zeros", "<error code=", false),
        ("plain-none", "<blob />", false),
        ("plain-in-message", "<blob status='complete' />", true),
        ("abort", "<error code=", false),
        ("twice", "<error code='554'", true),
    ];
    let recordings = recordings();
    assert_eq!(recordings.len(), wanted.len());
    for (name, answer, is_in) in wanted {
        let (steps, advice) = &recordings[name];
        let guard = Guard::default();
        let (here, there) = tokio::io::duplex(64 * 1024);
        let session = guard.spawn(there, Role::Listener, Config::default(), all_services());
        let mut raw = Raw::new(here);
        for octets in steps {
            raw.write(octets).await;
            raw.settle().await;
            while let Some(request) = { guard.asked().authentications.pop_front() } {
                let answer = truth(request.question());
                request.answer(answer);
            }
            raw.settle().await;
        }
        assert!(session.is_alive(), "{name}");
        assert!(
            raw.received
                .iter()
                .any(|received| received.content.contains(answer)),
            "{name}, {advice}: {:?}",
            raw.received
        );
        let identity = session.identity().and_then(|identity| identity.auth_id);
        assert_eq!(identity.as_deref(), is_in.then_some("bob"), "{name}");
    }
}

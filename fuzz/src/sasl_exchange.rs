//! Authentications: with a peer that sends anything, and with one in the middle that changes what passes.
//!
//! Nobody is let in who does not know the password, and no client believes a server that does not.

use std::sync::OnceLock;

use beep_session::sasl::{
    Answer, ClientExchange, Credentials, Identity, Mechanism, Question, ServerExchange, Step,
};

use crate::input::Input;

const NAME: &str = "bob";
const PASSWORD: &str = "open sesame";
const HOST: &str = "example.org";
/// Steps of the longest exchange, and some.
const MOST_STEPS: usize = 6;

/// The first octet says the mechanism, the second who speaks with whom.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let mechanism = Mechanism::ALL[usize::from(input.octet()) % Mechanism::ALL.len()];
    match input.octet() % 4 {
        0 => stranger_to_server(mechanism, &mut input),
        1 => stranger_to_client(mechanism, &mut input),
        _ => tampered(mechanism, &mut input),
    }
}

/// A server and a peer that knows no password.
fn stranger_to_server(mechanism: Mechanism, input: &mut Input<'_>) {
    let accepts = input.octet() % 2 == 0;
    let realm = (input.octet() % 2 == 0).then(|| "realm".to_owned());
    let mut server = ServerExchange::new(mechanism, input.octet() % 4 == 0, realm, HOST, None);
    let mut said = Vec::new();
    let mut step = server.step(None);
    for _ in 0..MOST_STEPS {
        step = match step {
            Step::Challenge(_) => {
                let size = input.number() % 512;
                let token = input.octets(size);
                said.extend_from_slice(token);
                server.step(Some(token))
            }
            Step::Ask(question) => server.answer(answer(&question, accepts)),
            Step::Success { identity, .. } => {
                assert_eq!(identity.mechanism, mechanism);
                let knows = said
                    .windows(PASSWORD.len())
                    .any(|part| part == PASSWORD.as_bytes());
                assert!(match mechanism {
                    Mechanism::Plain => knows && is_bob(&identity),
                    Mechanism::Anonymous | Mechanism::External => accepts,
                    _ => false,
                });
                assert!(matches!(server.step(Some(b"")), Step::Failure(_)));
                return;
            }
            Step::Failure(_) => {
                assert!(matches!(server.answer(Answer::Accept), Step::Failure(_)));
                assert!(matches!(server.step(Some(b"")), Step::Failure(_)));
                return;
            }
        };
    }
}

/// A client and a server that does not know the password.
fn stranger_to_client(mechanism: Mechanism, input: &mut Input<'_>) {
    let Some(mut client) = client(mechanism, true) else {
        return;
    };
    for _ in 0..MOST_STEPS {
        if input.octet() % 4 == 0 {
            let size = input.number() % 256;
            let data = input.octets(size);
            let believed = client.finish(Some(data)).is_ok();
            assert!(!believed || !proves_server(mechanism));
            return;
        }
        let size = input.number() % 512;
        let mut challenge = input.octets(size).to_vec();
        if is_scram(mechanism) && input.octet() % 2 == 0 {
            // The nonce goes on from the client's; else nothing behind it would ever be looked at. Few iterations:
            // their work is not what is looked for.
            let initial = client.initial().unwrap_or_default();
            let initial = String::from_utf8_lossy(&initial);
            let nonce = initial.rsplit("r=").next().unwrap_or_default();
            let tail = String::from_utf8_lossy(&challenge).replace("i=", "j=");
            challenge = format!("r={nonce}{tail},i={}", input.octet()).into_bytes();
        }
        if client.respond(&challenge).is_err() {
            return;
        }
    }
}

/// A client, a server, and somebody who changes what passes.
fn tampered(mechanism: Mechanism, input: &mut Input<'_>) {
    let knows = input.octet() % 4 != 0;
    let accepts = input.octet() % 2 == 0;
    let Some(mut client) = client(mechanism, knows) else {
        return;
    };
    let mut server = ServerExchange::new(mechanism, false, None, HOST, None);
    let mut is_changed = false;
    let first = client.initial().map(|mut token| {
        is_changed |= change(&mut token, input);
        token
    });
    let mut step = server.step(first.as_deref());
    for _ in 0..MOST_STEPS {
        step = match step {
            Step::Challenge(mut challenge) => {
                is_changed |= change(&mut challenge, input);
                let Ok(mut response) = client.respond(&challenge) else {
                    assert!(is_changed || !knows, "an honest server is refused");
                    return;
                };
                is_changed |= change(&mut response, input);
                server.step(Some(&response))
            }
            Step::Ask(question) => server.answer(answer(&question, accepts)),
            Step::Success { identity, data } => {
                if mechanism.needs_password() {
                    assert!(
                        is_bob(&identity)
                            && (knows || (is_changed && mechanism == Mechanism::Plain))
                    );
                } else {
                    assert!(accepts);
                }
                let believed = client.finish(data.as_deref()).is_ok();
                assert!(believed || is_changed);
                let mut data = data.unwrap_or_default();
                assert!(
                    !(change(&mut data, input)
                        && client.finish(Some(&data)).is_ok()
                        && proves_server(mechanism))
                );
                return;
            }
            Step::Failure(error) => {
                let is_honest = !is_changed && knows && (mechanism.needs_password() || accepts);
                assert!(!is_honest, "an honest client is refused: {error}");
                assert!(client.finish(None).is_err() || !proves_server(mechanism));
                return;
            }
        };
    }
}

/// Changes a token as the input says; whether it did.
fn change(token: &mut Vec<u8>, input: &mut Input<'_>) -> bool {
    let before = token.clone();
    let at = |place: usize, token: &[u8]| place % token.len().max(1);
    match input.octet() % 16 {
        1 if !token.is_empty() => {
            let place = at(input.number(), token);
            token[place] ^= input.octet();
        }
        2 => token.truncate(input.number() % 64),
        3 => {
            let place = at(input.number(), token);
            let size = usize::from(input.octet() % 3);
            token.splice(place..place, input.octets(size).iter().copied());
        }
        4 if !token.is_empty() => {
            let place = at(input.number(), token);
            token.remove(place);
        }
        5 => {
            let size = input.number() % 512;
            *token = input.octets(size).to_vec();
        }
        6 => token.extend_from_slice(&before),
        _ => {}
    }
    *token != before
}

fn client(mechanism: Mechanism, knows: bool) -> Option<ClientExchange> {
    let credentials = Credentials::new(mechanism, NAME)
        .with_password(if knows { PASSWORD } else { "open barley" })
        .with_realm("realm");
    ClientExchange::new(&credentials, HOST, None, false).ok()
}

fn answer(question: &Question, accepts: bool) -> Answer {
    let is_bob = question.auth_id.as_deref() == Some(NAME);
    match question.mechanism {
        mechanism if is_scram(mechanism) => stored_keys(mechanism, is_bob),
        Mechanism::Anonymous | Mechanism::External if accepts => Answer::Accept,
        mechanism if mechanism.needs_password() && is_bob => Answer::Password(PASSWORD.to_owned()),
        _ => Answer::Deny,
    }
}

/// Keys of one iteration, made once: the work of a password's hash is not what is looked for.
fn stored_keys(mechanism: Mechanism, is_bob: bool) -> Answer {
    static KEYS: OnceLock<[Answer; 4]> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        [
            (Mechanism::ScramSha1, "nobody knows"),
            (Mechanism::ScramSha1, PASSWORD),
            (Mechanism::ScramSha256, "nobody knows"),
            (Mechanism::ScramSha256, PASSWORD),
        ]
        .map(|(mechanism, password)| {
            Answer::stored_keys(mechanism, password, b"salt", 1).expect("they can be made")
        })
    });
    keys[2 * usize::from(mechanism == Mechanism::ScramSha256) + usize::from(is_bob)].clone()
}

fn is_bob(identity: &Identity) -> bool {
    identity.auth_id.as_deref() == Some(NAME)
}

fn is_scram(mechanism: Mechanism) -> bool {
    matches!(mechanism, Mechanism::ScramSha1 | Mechanism::ScramSha256)
}

/// Whether the client has the server prove that it knows the password.
fn proves_server(mechanism: Mechanism) -> bool {
    is_scram(mechanism) || mechanism == Mechanism::DigestMd5
}

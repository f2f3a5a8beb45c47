use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::client::ClientMechanism;
use super::super::server::{ServerMechanism, Step};
use super::super::{Binding, Credentials};
use super::*;

/// An example of an RFC: user `user` with the password `pencil`.
struct Example {
    mechanism: Mechanism,
    client_nonce: &'static str,
    server_nonce: &'static str,
    salt: &'static str,
    first: &'static str,
    challenge: &'static str,
    last: &'static str,
    proof: &'static str,
}

/// RFC 5802 §5.
const SHA_1: Example = Example {
    mechanism: Mechanism::ScramSha1,
    client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
    server_nonce: "3rfcNHYJY1ZVvWVs7j",
    salt: "QSXCR+Q6sek8bf92",
    first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
    challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    last: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    proof: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
};

/// RFC 7677 §3.
const SHA_256: Example = Example {
    mechanism: Mechanism::ScramSha256,
    client_nonce: "rOprNGfwEbeRWgbNEkqO",
    server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    last: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    proof: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

fn client(example: &Example) -> Client {
    let credentials = Credentials::new(example.mechanism, "user");
    let nonce = example.client_nonce.to_owned();
    Client::new(&credentials, "pencil", &ClientBinding::NotThere, nonce).unwrap()
}

fn server(example: &Example) -> Server {
    let nonce = example.server_nonce.to_owned();
    Server::new(example.mechanism, false, Binding::default(), nonce, [7; 32])
}

#[test]
fn the_examples_of_the_rfcs() {
    for example in [SHA_1, SHA_256] {
        let mut client = client(&example);
        assert_eq!(text(&client.first_message()), example.first);
        let last = client.respond(example.challenge.as_bytes()).unwrap();
        assert_eq!(text(&last), example.last);
        assert_eq!(client.finish(Some(example.proof.as_bytes())), Ok(()));

        let mut server = server(&example);
        let Ok(Step::Ask(question)) = server.step(Some(example.first.as_bytes())) else {
            panic!()
        };
        assert_eq!(question.auth_id.as_deref(), Some("user"));
        let salt = STANDARD.decode(example.salt).unwrap();
        let keys = Answer::stored_keys(example.mechanism, "pencil", &salt, 4096).unwrap();
        assert_eq!(
            server.answer(keys),
            Ok(Step::Challenge(example.challenge.as_bytes().to_vec()))
        );
        let Ok(Step::Success { data, identity }) = server.step(Some(example.last.as_bytes()))
        else {
            panic!()
        };
        assert_eq!(text(&data.unwrap()), example.proof);
        assert_eq!(identity.auth_id.as_deref(), Some("user"));
    }
}

#[test]
fn a_server_that_says_its_proof_in_a_challenge_is_believed() {
    let mut client = client(&SHA_1);
    client.respond(SHA_1.challenge.as_bytes()).unwrap();
    let response = client.respond(SHA_1.proof.as_bytes());
    assert_eq!(response, Ok(Vec::new()));
    assert_eq!(client.finish(None), Ok(()));
}

#[test]
fn a_server_that_does_not_prove_itself_is_not_believed() {
    for data in [
        None,
        Some(""),
        Some("v="),
        Some("v=rmF9pqV8S7suAoZWja4dJRkFsKR="),
        Some("v=AAF9pqV8S7suAoZWja4dJRkFsKQ="),
        Some("rmF9pqV8S7suAoZWja4dJRkFsKQ="),
    ] {
        let mut client = client(&SHA_1);
        client.respond(SHA_1.challenge.as_bytes()).unwrap();
        let result = client.finish(data.map(str::as_bytes));
        assert_eq!(result, Err(Error::ServerNotProven), "{data:?}");
    }
    assert_eq!(client(&SHA_1).finish(None), Err(Error::ServerNotProven));
    let proof = Some(SHA_1.proof.as_bytes());
    assert_eq!(client(&SHA_1).finish(proof), Err(Error::ServerNotProven));

    let mut client = client(&SHA_1);
    client.respond(SHA_1.challenge.as_bytes()).unwrap();
    assert_eq!(
        client.finish(Some(b"e=invalid-proof")),
        Err(Error::RefusedByMechanism("invalid-proof".into()))
    );
}

#[test]
fn a_client_refuses_challenges_that_are_wrong_or_too_much_work() {
    let nonce = "r=fyko+d2lbbFgONRv9qkxdawLx";
    for challenge in [
        "".to_owned(),
        "r=other,s=QSXC,i=4096".to_owned(),
        "r=fyko+d2lbbFgONRv9qkxdawL,s=QSXC,i=4096".to_owned(),
        format!("m=x,{nonce},s=QSXC,i=4096"),
        format!("{nonce},i=4096"),
        format!("{nonce},s=,i=4096"),
        format!("{nonce},s=QSX,i=4096"),
        format!("{nonce},s=QSXC"),
        format!("{nonce},s=QSXC,i="),
        format!("{nonce},s=QSXC,i=0"),
        format!("{nonce},s=QSXC,i=+1"),
        format!("{nonce},s=QSXC,i=-1"),
        format!("{nonce},s=QSXC,i=99999999999999999999999"),
        format!("{nonce},s=QSXC,i=4096,"),
        format!("{nonce},s=QSXC,i=4096,m=x"),
        format!("{nonce}\u{e9},s=QSXC,i=4096"),
    ] {
        let result = client(&SHA_1).respond(challenge.as_bytes());
        assert!(matches!(result, Err(Error::BadToken { .. })), "{challenge}");
    }
    for iterations in [1_000_001, 4_294_967_296_u64] {
        let challenge = format!("{nonce},s=QSXC,i={iterations}");
        let result = client(&SHA_1).respond(challenge.as_bytes());
        let expected = Error::TooManyIterations {
            asked: iterations,
            most: MOST_ITERATIONS,
        };
        assert_eq!(result, Err(expected));
    }
    let with_extension = format!("{nonce},s=QSXC,i=1,x=new");
    assert!(client(&SHA_1).respond(with_extension.as_bytes()).is_ok());
}

#[test]
fn a_server_refuses_messages_that_are_wrong() {
    for first in [
        "n",
        "n,",
        "n,,",
        "x,,n=user,r=a",
        "n,user,n=user,r=a",
        "n,a==,n=user,r=a",
        "n,,n=,r=a",
        "n,,n=us=er,r=a",
        "n,,n=us=2cer,r=a",
        "n,,n=user",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,m=x,n=user,r=a",
        "n,,n=user,r=a,",
        "n,,n=us\0er,r=a",
        "p=tls-exporter,,n=user,r=a",
    ] {
        let result = server(&SHA_1).step(Some(first.as_bytes()));
        assert!(matches!(result, Err(Error::BadToken { .. })), "{first}");
    }
    let nonce = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    for last in [
        String::new(),
        format!("c=biws,{nonce}"),
        "c=biws,r=other,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=".to_owned(),
        format!("{nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="),
        format!("c=eSws,{nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="),
        format!("c=biws,{nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4T"),
        format!("c=biws,{nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=,x=1"),
    ] {
        let mut server = server(&SHA_1);
        server.step(Some(SHA_1.first.as_bytes())).unwrap();
        server.answer(Answer::Password("pencil".into())).unwrap();
        let result = server.step(Some(last.as_bytes()));
        assert!(matches!(result, Err(Error::BadToken { .. })), "{last}");
    }
}

#[test]
fn names_with_commas_and_equals_signs_arrive_as_they_are() {
    let mut credentials = Credentials::new(Mechanism::ScramSha256, "a,b=c=2C");
    credentials.authorization_id = Some("=,".into());
    let client = Client::new(
        &credentials,
        "pencil",
        &ClientBinding::NotThere,
        "abc".into(),
    )
    .unwrap();
    let first = client.first_message();
    assert_eq!(text(&first), "n,a==3D=2C,n=a=2Cb=3Dc=3D2C,r=abc");
    let Ok(Step::Ask(question)) = server(&SHA_256).step(Some(&first)) else {
        panic!()
    };
    assert_eq!(question.auth_id.as_deref(), Some("a,b=c=2C"));
    assert_eq!(question.authorization_id.as_deref(), Some("=,"));
}

/// The challenge for a name, when the program gives this answer.
fn challenge(name: &str, answer: Answer) -> String {
    let mut server = server(&SHA_256);
    let first = format!("n,,n={name},r=abc");
    server.step(Some(first.as_bytes())).unwrap();
    let Ok(Step::Challenge(challenge)) = server.answer(answer) else {
        panic!()
    };
    text(&challenge)
}

#[test]
fn an_unknown_name_looks_like_any_other_until_the_end() {
    let known = challenge("bob", Answer::Password("secret".into()));
    assert_eq!(challenge("bob", Answer::Deny), known);
    assert_eq!(challenge("bob", Answer::Accept), known);
    assert_ne!(challenge("eve", Answer::Deny), known);

    // Not even the password that unknown names are hashed with opens anything.
    for password in ["none", "secret", ""] {
        let mut server = server(&SHA_256);
        let credentials = Credentials::new(Mechanism::ScramSha256, "eve");
        let Ok(mut client) = Client::new(
            &credentials,
            password,
            &ClientBinding::NotThere,
            "abc".into(),
        ) else {
            continue;
        };
        server.step(Some(&client.first_message())).unwrap();
        let Ok(Step::Challenge(challenge)) = server.answer(Answer::Deny) else {
            panic!()
        };
        let last = client.respond(&challenge).unwrap();
        assert_eq!(server.step(Some(&last)), Err(Error::Denied));
    }
}

#[test]
fn stored_keys_that_cannot_be_right_are_the_programs_mistake() {
    let keys = |salt: &[u8], iterations, octets| Answer::StoredKeys {
        salt: salt.to_vec(),
        iterations,
        stored_key: vec![1; octets],
        server_key: vec![2; octets],
    };
    for answer in [keys(b"s", 4096, 20), keys(b"", 4096, 32), keys(b"s", 0, 32)] {
        let mut server = server(&SHA_256);
        server.step(Some(SHA_256.first.as_bytes())).unwrap();
        let result = server.answer(answer);
        assert!(matches!(result, Err(Error::UnusableAnswer { .. })));
    }
    assert!(Answer::stored_keys(Mechanism::Plain, "x", b"s", 1).is_err());
    assert!(Answer::stored_keys(Mechanism::ScramSha1, "x", b"s", 0).is_err());
    assert!(Answer::stored_keys(Mechanism::ScramSha1, "", b"s", 1).is_err());
}

#[test]
fn passwords_are_prepared_before_they_are_hashed() {
    // RFC 4013 §3: a soft hyphen is nothing, a Roman number nine is I and X.
    let keys = |password| Answer::stored_keys(Mechanism::ScramSha1, password, b"salt", 1);
    assert_eq!(keys("I\u{ad}X"), keys("IX"));
    assert_eq!(keys("\u{2168}"), keys("IX"));
    assert!(keys("\u{7}").is_err());
}

//! Tokens that are cut, too long, or anything at all.

use proptest::prelude::*;

use super::*;

/// How many tokens a client of this mechanism sends.
fn rounds(mechanism: Mechanism) -> usize {
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha256 => 2,
        _ => 1,
    }
}

/// Brings a new server to where it expects the client's last token.
fn server_before_last(mechanism: Mechanism, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Step {
    let mut client = client(&bob(mechanism));
    let mut server = server(mechanism);
    let mut token = client.initial();
    let mut sent = usize::from(token.is_some());
    loop {
        if sent == rounds(mechanism) {
            let last = change(token.unwrap_or_default());
            return match server.step(Some(&last)) {
                Step::Ask(_) => server.answer(quick(mechanism)),
                step => step,
            };
        }
        let step = match server.step(token.as_deref()) {
            Step::Ask(_) => server.answer(quick(mechanism)),
            step => step,
        };
        let Step::Challenge(challenge) = step else {
            panic!("{step:?}")
        };
        token = Some(client.respond(&challenge).unwrap());
        sent += 1;
    }
}

#[test]
fn a_token_cut_anywhere_lets_nobody_in() {
    for mechanism in WITH_PASSWORD {
        let mut length = 0;
        let step = server_before_last(mechanism, |token| {
            length = token.len();
            token
        });
        assert!(
            matches!(step, Step::Success { .. }),
            "{mechanism}: {step:?}"
        );
        for cut in 0..length {
            let step = server_before_last(mechanism, |mut token| {
                token.truncate(cut);
                token
            });
            let is_in = matches!(step, Step::Success { .. });
            // The response of DIGEST-MD5 ends in `, charset=utf-8`, and is right without it.
            let is_whole = mechanism == Mechanism::DigestMd5 && (13..=15).contains(&(length - cut));
            assert!(!is_in || is_whole, "{mechanism} cut at {cut} of {length}");
        }
    }
}

/// The client of an exchange that the server thinks is complete, and the server's proof.
fn almost_finished(mechanism: Mechanism) -> (ClientExchange, Vec<u8>) {
    let mut client = client(&bob(mechanism));
    let mut server = server(mechanism);
    let mut token = client.initial();
    loop {
        let step = match server.step(token.as_deref()) {
            Step::Ask(_) => server.answer(quick(mechanism)),
            step => step,
        };
        match step {
            Step::Challenge(challenge) => token = Some(client.respond(&challenge).unwrap()),
            Step::Success { data, .. } => return (client, data.unwrap()),
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn a_server_proof_cut_anywhere_is_not_believed() {
    for mechanism in [
        Mechanism::DigestMd5,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
    ] {
        let (mut client, proof) = almost_finished(mechanism);
        assert_eq!(client.finish(Some(&proof)), Ok(()));
        for cut in 0..proof.len() {
            let (mut client, proof) = almost_finished(mechanism);
            let result = client.finish(proof.get(..cut));
            assert!(result.is_err(), "{mechanism} cut at {cut}");
            assert!(client.finish(Some(&proof)).is_err(), "no second try");
        }
    }
}

#[test]
fn tokens_too_long_or_not_utf_8_or_with_nuls_are_refused() {
    for mechanism in Mechanism::ALL {
        if mechanism.needs_password() {
            let step = server_before_last(mechanism, |mut token| {
                token.resize(9000, b'x');
                token
            });
            assert!(
                matches!(step, Step::Failure(Error::BadToken { .. })),
                "{mechanism}"
            );
            for wrong in [b'\0', 0xff] {
                let step = server_before_last(mechanism, |mut token| {
                    token.insert(token.len() / 2, wrong);
                    token
                });
                assert!(matches!(step, Step::Failure(_)), "{mechanism}: {step:?}");
            }
        } else {
            for token in [&b"a\0b"[..], b"a\xffb", &[b'x'; 9000]] {
                let step = server(mechanism).step(Some(token));
                assert!(
                    matches!(step, Step::Failure(Error::BadToken { .. })),
                    "{mechanism}"
                );
            }
        }
    }
    for token in [
        &b"\0"[..],
        b"\0\0",
        b"bob",
        b"\0bob",
        b"\0bob\0",
        b"\0\0secret",
        b"\0bob\0secret\0",
        b"a\0b\0c\0d",
    ] {
        let step = server(Mechanism::Plain).step(Some(token));
        let Step::Failure(error) = step else {
            panic!("{step:?}")
        };
        assert_eq!(error.code(), ReplyCode::PARAMETER_SYNTAX_ERROR);
    }
}

/// Octets that look a little like tokens.
fn any_token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "[nyp=,armcsvi0-9 \"\\\\a-zA-Z+/é\u{0}]{0,80}".prop_map(String::into_bytes),
        "(n|y|p=tls-exporter),(a=[a-z=]{0,3})?,n=[a-z=2C]{1,5},r=[!-~]{1,9}"
            .prop_map(String::into_bytes),
        "(nonce|qop|realm|algorithm|charset|username|response|nc)=\"?(auth|md5-sess|utf-8|x)\"?,?"
            .prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn any_octets_are_survived_by_servers_and_let_nobody_in(
        tokens in prop::collection::vec(prop::option::of(any_token()), 1..4),
        plus: bool,
    ) {
        let tls = Binding { exporter: Some(vec![1; 32]), server_end_point: None };
        for mechanism in Mechanism::ALL {
            let binding = plus.then_some(&tls);
            let mut server = ServerExchange::new(mechanism, plus, None, "localhost", binding);
            for token in &tokens {
                let step = match server.step(token.as_deref()) {
                    Step::Ask(_) => server.answer(Answer::Password("a secret nobody guesses".into())),
                    step => step,
                };
                let is_in = matches!(step, Step::Success { .. });
                prop_assert!(!is_in, "{mechanism}");
            }
        }
    }

    #[test]
    fn any_octets_are_survived_by_clients_and_not_believed(
        tokens in prop::collection::vec(any_token(), 1..4),
    ) {
        for mechanism in [Mechanism::DigestMd5, Mechanism::ScramSha1, Mechanism::ScramSha256] {
            let mut client = client(&bob(mechanism));
            for token in &tokens {
                let _ = client.respond(token);
            }
            prop_assert!(client.finish(tokens.last().map(Vec::as_slice)).is_err());
        }
        let mut client = crate::client(&bob(Mechanism::CramMd5));
        for token in &tokens {
            let _ = client.respond(token);
        }
    }
}

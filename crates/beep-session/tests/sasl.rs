//! Both sides of every mechanism against each other.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

use beep_session::sasl::{
    Answer, Binding, ClientExchange, Credentials, Error, Identity, Mechanism, Question,
    ServerExchange, Step,
};
use beep_session::{ErrorReply, ReplyCode};

#[path = "sasl/wrong_tokens.rs"]
mod wrong_tokens;

const WITH_PASSWORD: [Mechanism; 5] = [
    Mechanism::Plain,
    Mechanism::CramMd5,
    Mechanism::DigestMd5,
    Mechanism::ScramSha1,
    Mechanism::ScramSha256,
];

fn bob(mechanism: Mechanism) -> Credentials {
    Credentials::new(mechanism, "bob")
        .with_password("secret")
        .with_realm("example.org")
}

fn client(credentials: &Credentials) -> ClientExchange {
    ClientExchange::new(credentials, "localhost", None, false).unwrap()
}

fn server(mechanism: Mechanism) -> ServerExchange {
    ServerExchange::new(mechanism, false, None, "localhost", None)
}

fn password(password: &str) -> Answer {
    Answer::Password(password.to_owned())
}

/// What makes `secret` the right password, with little work for both sides: for tests that do it often.
fn quick(mechanism: Mechanism) -> Answer {
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
            Answer::stored_keys(mechanism, "secret", b"salt", 1).unwrap()
        }
        _ => password("secret"),
    }
}

/// Lets the two talk until one has failed or both are content. `tell` answers the question.
fn talk(
    client: &mut ClientExchange,
    server: &mut ServerExchange,
    tell: impl Fn(&Question) -> Answer,
) -> Result<Identity, Error> {
    let mut token = client.initial();
    loop {
        let step = match server.step(token.as_deref()) {
            Step::Ask(question) => server.answer(tell(&question)),
            step => step,
        };
        match step {
            Step::Challenge(challenge) => token = Some(client.respond(&challenge)?),
            Step::Success { identity, data } => {
                client.finish(data.as_deref())?;
                return Ok(identity);
            }
            Step::Failure(error) => return Err(error),
            Step::Ask(_) => panic!("asked twice"),
        }
    }
}

/// The exchange of these credentials with an ordinary server.
fn authenticate(credentials: &Credentials, answer: Answer) -> Result<Identity, Error> {
    talk(
        &mut client(credentials),
        &mut server(credentials.mechanism),
        |_| answer.clone(),
    )
}

/// A question of this mechanism, and the server that asked it.
fn asked(mechanism: Mechanism) -> (ServerExchange, Question) {
    let mut client = client(&bob(mechanism));
    let mut server = server(mechanism);
    let mut token = client.initial();
    loop {
        match server.step(token.as_deref()) {
            Step::Ask(question) => return (server, question),
            Step::Challenge(challenge) => token = Some(client.respond(&challenge).unwrap()),
            step => panic!("{step:?}"),
        }
    }
}

#[test]
fn the_right_password_opens_and_says_who_it_is() {
    for mechanism in WITH_PASSWORD {
        let identity = authenticate(&bob(mechanism), password("secret")).unwrap();
        assert_eq!(identity.mechanism, mechanism);
        assert_eq!(identity.auth_id.as_deref(), Some("bob"));
    }
}

#[test]
fn any_other_password_or_answer_is_an_authentication_failure() {
    for mechanism in WITH_PASSWORD {
        let mut answers = vec![password("wrong"), password(""), Answer::Deny];
        if mechanism != Mechanism::Plain {
            answers.push(Answer::Accept);
        }
        for answer in answers {
            let error = authenticate(&bob(mechanism), answer.clone()).unwrap_err();
            assert_eq!(error, Error::Denied, "{mechanism} {answer:?}");
            assert_eq!(error.code(), ReplyCode::AUTH_FAILURE);
        }
    }
}

#[test]
fn anonymous_and_external_are_up_to_the_program() {
    for mechanism in [Mechanism::Anonymous, Mechanism::External] {
        let credentials = Credentials::new(mechanism, "guest@example.org");
        let identity = authenticate(&credentials, Answer::Accept).unwrap();
        let named = (mechanism == Mechanism::External).then_some("guest@example.org");
        assert_eq!(identity.auth_id.as_deref(), named);
        for answer in [Answer::Deny, password("guest@example.org")] {
            assert_eq!(authenticate(&credentials, answer), Err(Error::Denied));
        }
        let nameless = Credentials::new(mechanism, "");
        let identity = authenticate(&nameless, Answer::Accept).unwrap();
        assert_eq!(identity.auth_id, None);
    }
}

#[test]
fn a_name_to_act_under_reaches_the_program() {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::External,
        Mechanism::DigestMd5,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
    ] {
        let credentials = bob(mechanism).with_authorization_id("alice");
        let answer = |question: &Question| {
            assert_eq!(question.authorization_id.as_deref(), Some("alice"));
            match mechanism {
                Mechanism::External => Answer::Accept,
                _ => password("secret"),
            }
        };
        let identity = talk(&mut client(&credentials), &mut server(mechanism), answer).unwrap();
        assert_eq!(identity.authorization_id.as_deref(), Some("alice"));
    }
}

#[test]
fn plain_names_the_user_twice_and_may_wait_for_the_server() {
    let mut client = client(&bob(Mechanism::Plain));
    assert_eq!(client.initial().unwrap(), b"bob\0bob\0secret");
    assert_eq!(client.respond(b"").unwrap(), b"bob\0bob\0secret");
    assert!(client.respond(b"").is_err());

    let mut server = server(Mechanism::Plain);
    assert_eq!(server.step(None), Step::Challenge(Vec::new()));
    let Step::Ask(question) = server.step(Some(b"\0bob\0secret")) else {
        panic!()
    };
    assert_eq!(question.authorization_id.as_deref(), Some("bob"));
    assert!(matches!(
        server.answer(Answer::Accept),
        Step::Success { .. }
    ));
}

#[test]
fn stored_keys_do_in_place_of_the_password() {
    for mechanism in [Mechanism::ScramSha1, Mechanism::ScramSha256] {
        let keys = |password| Answer::stored_keys(mechanism, password, b"salt", 5000).unwrap();
        assert!(authenticate(&bob(mechanism), keys("secret")).is_ok());
        let wrong = authenticate(&bob(mechanism), keys("wrong"));
        assert_eq!(wrong, Err(Error::Denied));
    }
}

#[test]
fn names_and_passwords_beyond_ascii_work() {
    for mechanism in WITH_PASSWORD {
        let credentials = Credentials::new(mechanism, "Łukasz, =\"\\")
            .with_password("пароль é")
            .with_realm("r");
        let identity = authenticate(&credentials, password("пароль é")).unwrap();
        assert_eq!(identity.auth_id.as_deref(), Some("Łukasz, =\"\\"));
    }
}

mod realms {
    use super::*;

    fn authenticate(
        theirs: Option<&str>,
        ours: Option<&str>,
    ) -> (Result<Identity, Error>, Option<Option<String>>) {
        let mut credentials = bob(Mechanism::DigestMd5);
        credentials.realm = ours.map(str::to_owned);
        let realm = theirs.map(str::to_owned);
        let mut server = ServerExchange::new(Mechanism::DigestMd5, false, realm, "h", None);
        let seen = std::cell::RefCell::new(None);
        let result = talk(&mut client(&credentials), &mut server, |question| {
            *seen.borrow_mut() = Some(question.realm.clone());
            password("secret")
        });
        (result, seen.into_inner())
    }

    #[test]
    fn the_servers_realm_is_used_when_none_is_given() {
        let (result, seen) = authenticate(Some("example.org"), None);
        assert_eq!(result.unwrap().realm.as_deref(), Some("example.org"));
        assert_eq!(seen, Some(Some("example.org".to_owned())));
    }

    #[test]
    fn a_realm_given_is_used_and_goes_to_the_program() {
        let (result, seen) = authenticate(None, Some("elsewhere"));
        assert_eq!(result.unwrap().realm.as_deref(), Some("elsewhere"));
        assert_eq!(seen, Some(Some("elsewhere".to_owned())));
    }

    #[test]
    fn another_realm_than_the_servers_is_denied_without_a_question() {
        let (result, seen) = authenticate(Some("example.org"), Some("elsewhere"));
        assert_eq!(result, Err(Error::Denied));
        assert_eq!(seen, None);
    }

    #[test]
    fn no_realm_on_either_side_fails_with_what_to_do() {
        let (result, _) = authenticate(None, None);
        assert_eq!(
            result.unwrap_err().to_string(),
            "the server offers no realm, so the realm has to be given"
        );
    }
}

mod channel_binding {
    use super::*;

    const SCRAM: [Mechanism; 2] = [Mechanism::ScramSha1, Mechanism::ScramSha256];

    fn binding(exporter: Option<&[u8]>, end_point: Option<&[u8]>) -> Binding {
        Binding {
            exporter: exporter.map(<[u8]>::to_vec),
            server_end_point: end_point.map(<[u8]>::to_vec),
        }
    }

    /// `offered`: what the client was told; the server has the mechanism of the URI that the client then starts.
    fn authenticate(
        mechanism: Mechanism,
        ours: Option<&Binding>,
        theirs: Option<&Binding>,
        offered: bool,
    ) -> Result<Question, Error> {
        let mut client = ClientExchange::new(&bob(mechanism), "localhost", ours, offered).unwrap();
        let (_, plus) = Mechanism::from_uri(client.uri()).unwrap();
        let mut server = ServerExchange::new(mechanism, plus, None, "localhost", theirs);
        let seen = std::cell::RefCell::new(None);
        talk(&mut client, &mut server, |question| {
            *seen.borrow_mut() = Some(question.clone());
            password("secret")
        })?;
        Ok(seen.into_inner().unwrap())
    }

    #[test]
    fn both_kinds_bind_the_exchange_to_the_session() {
        for mechanism in SCRAM {
            for tls in [
                binding(Some(b"exported"), Some(b"hash")),
                binding(Some(b"exported"), None),
                binding(None, Some(b"hash")),
            ] {
                let question = authenticate(mechanism, Some(&tls), Some(&tls), true).unwrap();
                assert!(question.channel_binding);
            }
        }
    }

    #[test]
    fn another_session_in_between_is_found_out() {
        for mechanism in SCRAM {
            let ours = binding(Some(b"one"), None);
            let theirs = binding(Some(b"two"), None);
            let error = authenticate(mechanism, Some(&ours), Some(&theirs), true).unwrap_err();
            assert_eq!(error, Error::OtherBinding);
            let theirs = binding(None, Some(b"one"));
            let error = authenticate(mechanism, Some(&ours), Some(&theirs), true).unwrap_err();
            assert_eq!(error, Error::NoBinding);
        }
    }

    #[test]
    fn an_offer_taken_off_the_list_is_found_out() {
        let tls = binding(Some(b"exported"), None);
        for mechanism in SCRAM {
            let error = authenticate(mechanism, Some(&tls), Some(&tls), false).unwrap_err();
            assert_eq!(error, Error::Downgraded);
            assert_eq!(error.code(), ReplyCode::AUTH_FAILURE);
        }
    }

    #[test]
    fn without_a_binding_on_one_side_the_ordinary_mechanism_works() {
        let tls = binding(Some(b"exported"), None);
        let none = binding(None, None);
        for mechanism in SCRAM {
            for (ours, theirs, offered) in [
                (None, None, false),
                (None, None, true),
                (None, Some(&tls), true),
                (Some(&tls), None, false),
                (Some(&none), Some(&none), true),
            ] {
                let question = authenticate(mechanism, ours, theirs, offered).unwrap();
                assert!(!question.channel_binding);
            }
        }
    }

    #[test]
    fn the_flag_has_to_fit_the_mechanism() {
        let tls = binding(Some(b"exported"), None);
        for (plus, first) in [
            (true, "n,,n=bob,r=abc"),
            (true, "y,,n=bob,r=abc"),
            (false, "p=tls-exporter,,n=bob,r=abc"),
        ] {
            let mut server = ServerExchange::new(Mechanism::ScramSha1, plus, None, "h", Some(&tls));
            let step = server.step(Some(first.as_bytes()));
            assert!(
                matches!(step, Step::Failure(Error::BadToken { .. })),
                "{first}"
            );
        }
        let mut server = ServerExchange::new(Mechanism::ScramSha1, true, None, "h", Some(&tls));
        let step = server.step(Some(b"p=tls-unique,,n=bob,r=abc"));
        assert_eq!(step, Step::Failure(Error::NoBinding));
    }
}

#[test]
fn a_recorded_response_is_no_good_a_second_time() {
    for mechanism in WITH_PASSWORD {
        if mechanism == Mechanism::Plain {
            continue;
        }
        // What a listener on the wire has seen, said again to a new exchange of the same server.
        let mut client = client(&bob(mechanism));
        let mut first = server(mechanism);
        let mut seen = vec![client.initial()];
        let mut replay = server(mechanism);
        loop {
            let step = match first.step(seen.last().unwrap().as_deref()) {
                Step::Ask(_) => first.answer(password("secret")),
                step => step,
            };
            match step {
                Step::Challenge(challenge) => seen.push(client.respond(&challenge).ok()),
                Step::Success { .. } => break,
                step => panic!("{step:?}"),
            }
        }
        let mut last = None;
        for token in seen {
            last = Some(match replay.step(token.as_deref()) {
                Step::Ask(_) => replay.answer(password("secret")),
                step => step,
            });
        }
        assert!(
            matches!(last, Some(Step::Failure(_))),
            "{mechanism}: {last:?}"
        );
    }
}

#[test]
fn nothing_goes_on_after_the_end_or_out_of_turn() {
    for mechanism in WITH_PASSWORD {
        let (mut server, _) = asked(mechanism);
        // A token while the program thinks, then its answer: too late.
        assert!(matches!(
            server.step(Some(b"x")),
            Step::Failure(Error::OutOfTurn(_))
        ));
        assert!(matches!(
            server.answer(password("secret")),
            Step::Failure(Error::OutOfTurn(_))
        ));
        let mut fresh = crate::server(mechanism);
        assert!(matches!(fresh.answer(Answer::Accept), Step::Failure(_)));
    }
}

#[test]
fn a_client_says_what_is_missing_or_cannot_be_sent() {
    let begin = |credentials: &Credentials| {
        let exchange = ClientExchange::new(credentials, "localhost", None, false);
        exchange.map(|_| ()).map_err(|error| error.to_string())
    };
    for mechanism in WITH_PASSWORD {
        let nobody = Credentials::new(mechanism, "").with_password("x");
        assert_eq!(
            begin(&nobody),
            Err(format!("{mechanism} needs a name: give one"))
        );
        let open = Credentials::new(mechanism, "bob");
        assert_eq!(
            begin(&open),
            Err(format!("{mechanism} needs a password: give one"))
        );
    }
    let nul = Credentials::new(Mechanism::Plain, "bob").with_password("a\0b");
    assert_eq!(
        begin(&nul),
        Err("the password holds a NUL, which PLAIN cannot carry".into())
    );
    let bell = Credentials::new(Mechanism::ScramSha1, "bob").with_password("\u{7}");
    assert_eq!(
        begin(&bell),
        Err("the password has characters that SASL does not allow (RFC 4013)".into())
    );
    assert!(begin(&Credentials::new(Mechanism::Anonymous, "a\nb")).is_err());
    assert!(begin(&Credentials::new(Mechanism::External, "a\0b")).is_err());
}

#[test]
fn secrets_are_not_shown_to_who_debugs() {
    let (_, question) = asked(Mechanism::Plain);
    let shown = format!(
        "{:?} {question:?} {:?}",
        bob(Mechanism::Plain),
        password("secret")
    );
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("bob"), "{shown}");
}

#[test]
fn a_refusal_keeps_the_code_of_the_peer() {
    let error = Error::Refused(ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "no"));
    assert_eq!(error.code(), ReplyCode::TRANSACTION_FAILED);
}

use super::super::client::ClientMechanism;
use super::super::server::{ServerMechanism, Step};
use super::super::{Answer, Credentials};
use super::directives::Charset;
use super::response::{Facts, Narrowed, Proofs};
use super::*;

fn credentials(name: &str) -> Credentials {
    Credentials::new(MECHANISM, name)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// RFC 2831 §4, of IMAP and so with another service name.
#[test]
fn the_example_of_the_rfc() {
    let facts = Facts {
        charset: Charset::Utf8,
        name: "chris".into(),
        realm: "elwood.innosoft.com".into(),
        nonce: "OA6MG9tEQGm2hh".into(),
        cnonce: "OA6MHXh6VqTrRk".into(),
        nc: FIRST_USE,
        digest_uri: "imap/elwood.innosoft.com".into(),
        authorization_id: None,
    };
    let proofs = Proofs::new(&facts, "secret", Narrowed::BY_RFC);
    assert_eq!(proofs.client, "d388dad90d4bbd760a152321f2143af7");
    assert_eq!(proofs.server, "ea40f60335c427b5527b84dbabcdfffd");
}

/// The exchange of the C engine with itself.
#[test]
fn the_recorded_exchange() {
    let challenge = "realm=\"example.org\", nonce=\"a+lEjegEm9X1w52TUIXoOA==\", qop=\"auth\", charset=utf-8, algorithm=md5-sess";
    let response = "username=\"bob\", realm=\"example.org\", nonce=\"a+lEjegEm9X1w52TUIXoOA==\", cnonce=\"G2VXH8R5l0VpMIlwn1ECjA==\", nc=00000001, qop=auth, digest-uri=\"beep/localhost\", response=7e86695b84d497091d67878d0a76d21e, charset=utf-8";
    let proof = "rspauth=6986fa7ccc74d53abc7d5af6b6672cd9";

    let nonce = "a+lEjegEm9X1w52TUIXoOA==".to_owned();
    let mut server = Server::new(Some("example.org".into()), nonce);
    let Ok(Step::Challenge(ours)) = server.step(None) else {
        panic!()
    };
    assert_eq!(text(&ours), challenge);

    let cnonce = "G2VXH8R5l0VpMIlwn1ECjA==".to_owned();
    let mut client = Client::new(&credentials("bob"), "secret", "localhost", cnonce);
    assert_eq!(text(&client.respond(&ours).unwrap()), response);

    let Ok(Step::Ask(question)) = server.step(Some(response.as_bytes())) else {
        panic!()
    };
    assert_eq!(question.auth_id.as_deref(), Some("bob"));
    assert_eq!(question.realm.as_deref(), Some("example.org"));
    assert_eq!(question.server_name.as_deref(), Some("localhost"));
    let Ok(Step::Success { data, .. }) = server.answer(Answer::Password("secret".into())) else {
        panic!()
    };
    assert_eq!(text(&data.unwrap()), proof);
    assert_eq!(client.finish(Some(proof.as_bytes())), Ok(()));
}

fn client(name: &str) -> Client {
    Client::new(&credentials(name), "secret", "localhost", "cc".into())
}

fn response_to(challenge: &str) -> Result<String, Error> {
    let mut credentials = credentials("bob");
    credentials.realm = Some("r".into());
    let mut client = Client::new(&credentials, "secret", "localhost", "cc".into());
    client.respond(challenge.as_bytes()).map(|r| text(&r))
}

#[test]
fn challenges_are_read_as_peers_write_them() {
    let expected = response_to("nonce=\"n\",algorithm=md5-sess,charset=utf-8").unwrap();
    for challenge in [
        "nonce=\"n\", qop=\"auth\", charset=utf-8, algorithm=\"md5-sess\"",
        "charset=UTF-8,algorithm=MD5-SESS,qop=\"auth-int, auth,auth-conf\",nonce=\"n\",maxbuf=1024",
        ",, realm=\"a\" ,\r\n realm=\"b\",nonce = \"n\",algorithm=md5-sess,charset=utf-8,x-new=1,",
        "nonce=\"\\n\",algorithm=md5-sess,qop=auth,charset=\"utf-8\",cipher=\"rc4,des\"",
    ] {
        assert_eq!(
            response_to(challenge).as_ref(),
            Ok(&expected),
            "{challenge}"
        );
    }
    for challenge in [
        "",
        "nonce",
        "nonce=",
        "nonce=\"n",
        "nonce=\"n\\",
        "=\"n\"",
        "nonce=\"n\"",
        "algorithm=md5-sess",
        "nonce=\"n\" algorithm=md5-sess",
        "nonce=\"n\",algorithm=md5",
        "nonce=\"n\",nonce=\"m\",algorithm=md5-sess",
        "nonce=\"n\",algorithm=md5-sess,algorithm=md5-sess",
        "nonce=\"n\",algorithm=md5-sess,qop=\"auth-conf\"",
        "nonce=\"n\",algorithm=md5-sess,charset=koi8-r",
        "nonce=\"\0\",algorithm=md5-sess",
    ] {
        assert!(
            matches!(response_to(challenge), Err(Error::BadToken { .. })),
            "{challenge}"
        );
    }
}

#[test]
fn without_a_realm_the_server_has_to_name_exactly_one() {
    let respond = |realms: &str| {
        let challenge = format!("{realms}nonce=\"n\",algorithm=md5-sess,charset=utf-8");
        client("bob").respond(challenge.as_bytes())
    };
    let response = text(&respond("realm=\"only\",").unwrap());
    assert!(response.contains("realm=\"only\""), "{response}");
    assert_eq!(respond(""), Err(Error::WhichRealm(vec![])));
    let both = respond("realm=\"a\",realm=\"b\",").unwrap_err();
    assert_eq!(both, Error::WhichRealm(vec!["a".into(), "b".into()]));
    assert_eq!(
        both.to_string(),
        "the server offers the realms a, b, so the realm has to be given"
    );
}

#[test]
fn quotes_and_backslashes_in_names_arrive_as_they_are() {
    let name = "bo\"b\\";
    let mut server = Server::new(Some("the \"realm\"".into()), "n".into());
    let Ok(Step::Challenge(challenge)) = server.step(None) else {
        panic!()
    };
    let mut client = client(name);
    let response = client.respond(&challenge).unwrap();
    let Ok(Step::Ask(question)) = server.step(Some(&response)) else {
        panic!()
    };
    assert_eq!(question.auth_id.as_deref(), Some(name));
    let step = server.answer(Answer::Password("secret".into()));
    assert!(matches!(step, Ok(Step::Success { .. })));
}

#[test]
fn names_beyond_ascii_are_taken_however_the_client_hashes_them() {
    for narrowed in Narrowed::DEPLOYED {
        let mut server = Server::new(None, "n".into());
        server.step(None).unwrap();
        let facts = Facts {
            charset: Charset::Utf8,
            name: "björn".into(),
            realm: String::new(),
            nonce: "n".into(),
            cnonce: "cc".into(),
            nc: FIRST_USE,
            digest_uri: "beep/localhost".into(),
            authorization_id: None,
        };
        let Proofs {
            client,
            server: rspauth,
        } = Proofs::new(&facts, "sälich", narrowed);
        let response = format!(
            "username=\"björn\",nonce=\"n\",cnonce=\"cc\",nc=00000001,digest-uri=\"beep/localhost\",response={client},charset=utf-8"
        );
        let Ok(Step::Ask(question)) = server.step(Some(response.as_bytes())) else {
            panic!()
        };
        assert_eq!(question.auth_id.as_deref(), Some("björn"));
        assert_eq!(question.realm, None);
        let Ok(Step::Success { data, .. }) = server.answer(Answer::Password("sälich".into()))
        else {
            panic!()
        };
        assert_eq!(text(&data.unwrap()), format!("rspauth={rspauth}"));
    }
}

#[test]
fn a_server_without_utf_8_gets_iso_8859_1() {
    let challenge = b"realm=\"r\",nonce=\"n\",algorithm=md5-sess";
    let mut björn = client("björn");
    let response = björn.respond(challenge).unwrap();
    assert!(response.windows(5).any(|octets| octets == b"bj\xf6rn"));
    assert!(!response.windows(7).any(|octets| octets == b"charset"));

    let mut server = Server::new(Some("r".into()), "n".into());
    server.step(None).unwrap();
    let Ok(Step::Ask(question)) = server.step(Some(&response)) else {
        panic!()
    };
    assert_eq!(question.auth_id.as_deref(), Some("björn"));
    let Ok(Step::Success { data, .. }) = server.answer(Answer::Password("secret".into())) else {
        panic!()
    };
    assert_eq!(björn.finish(data.as_deref()), Ok(()));

    assert!(matches!(
        client("Łukasz").respond(challenge),
        Err(Error::Unusable { field: "name", .. })
    ));
}

#[test]
fn a_response_to_another_challenge_or_realm_is_denied() {
    let answer = |realm: &str, nonce: &str, nc: &str| {
        let mut server = Server::new(Some("r".into()), "n".into());
        server.step(None).unwrap();
        let response = format!(
            "username=\"bob\",realm=\"{realm}\",nonce=\"{nonce}\",cnonce=\"cc\",nc={nc},qop=auth,digest-uri=\"beep/h\",response=00"
        );
        server.step(Some(response.as_bytes()))
    };
    assert!(matches!(answer("r", "n", "00000001"), Ok(Step::Ask(_))));
    assert_eq!(answer("s", "n", "00000001"), Err(Error::Denied));
    assert_eq!(answer("", "n", "00000001"), Err(Error::Denied));
    assert_eq!(answer("r", "m", "00000001"), Err(Error::Denied));
    assert_eq!(answer("r", "n", "00000002"), Err(Error::Denied));
}

#[test]
fn a_server_that_does_not_prove_itself_is_not_believed() {
    let challenge = b"realm=\"r\",nonce=\"n\",algorithm=md5-sess";
    for data in [
        None,
        Some(&b""[..]),
        Some(b"rspauth="),
        Some(b"rspauth=00000000000000000000000000000000"),
        Some(b"something"),
    ] {
        let mut client = client("bob");
        client.respond(challenge).unwrap();
        assert!(client.finish(data).is_err(), "{data:?}");
        assert!(client.finish(None).is_err());
    }
    assert!(client("bob").finish(None).is_err());
}

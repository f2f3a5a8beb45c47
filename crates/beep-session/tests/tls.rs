//! TLS on sessions: asked for, decided about, refused, failed, and the session that begins over it.
#![allow(missing_docs, reason = "tests are named as sentences")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy looks for tests in functions alone"
)]

#[path = "common/certificates.rs"]
mod certificates;
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beep_session::tls::{
    CertificateFault, ClientOptions, Error as TlsError, Identity, ServerOptions, Stream, Trust,
    accept, connect,
};
use beep_session::{
    Config, ConnectOptions, Connection, End, Error, ErrorReply, Profiles, ReplyCode, Server,
    Services, SessionEnd,
};
use certificates::*;
use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, oneshot};

const TLS: &str = "http://iana.org/beep/TLS";
const HOST: &str = "host.example";

/// Offers TLS with this certificate, whatever name is asked for.
fn serving(made: &Made) -> Arc<Services> {
    let identity = made.identity();
    deciding(move |_| {
        let identity = identity.clone();
        async move { Ok(ServerOptions::new(identity)) }
    })
}

fn deciding<F, R>(decide: F) -> Arc<Services>
where
    F: Fn(Option<String>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<ServerOptions, ErrorReply>> + Send + 'static,
{
    let services = Services::new();
    services.serve_tls(decide);
    Arc::new(services)
}

fn trusting(name: &str, trust: Trust) -> ClientOptions {
    ClientOptions {
        server_name: Some(name.to_owned()),
        trust,
        identity: None,
    }
}

/// A client and a server of echo with a pipe between them.
async fn pair(services: Arc<Services>) -> (Connection, Connection) {
    let (here, there) = tokio::io::duplex(256 * 1024);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(there, echo_profiles(), config, services);
    let client = within(Connection::over(here, ConnectOptions::default()))
        .await
        .unwrap();
    (client, server)
}

async fn use_it(connection: &Connection) {
    let channel = within(connection.open(ECHO)).await.unwrap();
    let payload = vec![7; 300_000];
    let reply = within(channel.request(payload.clone())).await.unwrap();
    assert_eq!(reply.into_payload().unwrap(), payload);
    within(channel.close()).await.unwrap();
}

fn is_tuned(end: &End) -> bool {
    matches!(end, End::Protocol(SessionEnd::Tuned))
}

#[tokio::test]
async fn a_session_begins_anew_over_tls() {
    let made = self_signed(HOST, as_made);
    let (client, server) = pair(serving(&made)).await;
    assert_eq!(client.peer_profiles(), [ECHO, TLS]);
    let (near, far) = (Ends::of(&client), Ends::of(&server));
    let old = within(client.open(ECHO)).await.unwrap();
    let secure = within(client.start_tls(trusting(HOST, made.trust())))
        .await
        .unwrap();
    assert!(is_tuned(&*near.once(&client).await));
    assert!(is_tuned(&*far.once(&server).await));
    assert!(old.send("too late").is_err());
    assert!(client.tls().is_none());
    assert_ne!(secure, client);
    assert_eq!(client.successor().as_ref(), Some(&secure));

    // TLS is not offered again, the name is kept, and the numbers begin anew.
    assert_eq!(secure.peer_profiles(), [ECHO]);
    assert_eq!(secure.server_name().as_deref(), Some(HOST));
    let info = secure.tls().unwrap();
    assert_eq!(
        (info.version(), info.peer_name().as_deref()),
        ("TLSv1.3", Some(HOST))
    );
    let other = server.successor().unwrap();
    assert_eq!(other.tls().unwrap().exporter(), info.exporter());
    assert_eq!(other.server_name().as_deref(), Some(HOST));
    let channel = within(secure.open(ECHO)).await.unwrap();
    assert_eq!(channel.number().value(), 3);
    within(channel.close()).await.unwrap();
    use_it(&secure).await;
    let end = Ends::of(&other);
    within(secure.close()).await.unwrap();
    assert!(end.once(&other).await.is_orderly());
}

#[tokio::test]
async fn tls_over_tls_is_refused_and_changes_nothing() {
    let made = self_signed(HOST, as_made);
    let (client, _server) = pair(serving(&made)).await;
    let secure = within(client.start_tls(trusting(HOST, made.trust())))
        .await
        .unwrap();
    let again = within(secure.start_tls(trusting(HOST, made.trust()))).await;
    assert!(
        matches!(again, Err(Error::Tls(TlsError::AlreadyInPlace))),
        "{again:?}"
    );
    // And by the peer, whoever asks it all the same.
    let refused = within(secure.open(TLS)).await.unwrap_err();
    assert_eq!(refused.code(), Some(ReplyCode::TRANSACTION_FAILED));
    use_it(&secure).await;
}

#[tokio::test]
async fn the_peer_has_no_say_in_whose_certificate_is_good() {
    // Whoever is in the middle has a good certificate, of another host.
    let authority = Authority::new("Our CA");
    let made = authority.issue("evil.example");
    let (here, there) = tokio::io::duplex(64 * 1024);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(there, echo_profiles(), config, serving(&made));
    let options = ConnectOptions {
        server_name: beep_session::ServerName::Name(HOST.to_owned()),
        profiles: echo_profiles(),
        ..ConnectOptions::default()
    };
    let client = within(Connection::over(here, options)).await.unwrap();
    let start = beep_session::StartOptions::new(ECHO).server_name("evil.example");
    within(server.open_with(start)).await.unwrap();
    assert_eq!(client.server_name().as_deref(), Some("evil.example"));
    let options = ClientOptions {
        trust: authority.trust(),
        ..ClientOptions::default()
    };
    let error = within(client.start_tls(options)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate of host.example was made for evil.example, not host.example"
    );
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate_after_any_time() {
    let (first, second) = (
        self_signed("one.example", as_made),
        self_signed("two.example", as_made),
    );
    let identities = [
        ("one.example", first.identity()),
        ("two.example", second.identity()),
    ];
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (decided, names) = (Arc::new(Notify::new()), asked.clone());
    let release = decided.clone();
    let services = deciding(move |name| {
        names.lock().unwrap().push(name.clone());
        let found = identities
            .iter()
            .find(|(known, _)| name.as_deref() == Some(*known))
            .map(|(_, identity)| identity.clone());
        let release = release.clone();
        async move {
            release.notified().await;
            found
                .map(ServerOptions::new)
                .ok_or_else(|| ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "no such server"))
        }
    });
    for (name, made) in [("one.example", &first), ("two.example", &second)] {
        let (client, server) = pair(services.clone()).await;
        use_it(&client).await;
        let starting = client.start_tls(trusting(name, made.trust()));
        tokio::pin!(starting);
        let is_asked = until(|| asked.lock().unwrap().len() == 1);
        tokio::select! {
            _ = &mut starting => panic!("nobody has decided"),
            () = is_asked => {}
        }
        assert_eq!(asked.lock().unwrap().pop(), Some(Some(name.to_owned())));
        assert!(server.is_alive());
        decided.notify_one();
        let secure = within(starting).await.unwrap();
        assert_eq!(secure.tls().unwrap().peer_name().as_deref(), Some(name));
        use_it(&secure).await;
    }
    let (client, _server) = pair(services.clone()).await;
    decided.notify_one();
    let refused = within(client.start_tls(trusting("three.example", first.trust()))).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Some(ReplyCode::SERVICE_NOT_AVAILABLE));
    assert_eq!(
        refused.to_string(),
        "the peer refused TLS: 421 no such server"
    );
    use_it(&client).await;
}

#[tokio::test]
async fn whatever_is_refused_leaves_the_session_as_it_was() {
    let made = self_signed(HOST, as_made);
    let options = || trusting(HOST, made.trust());
    let refusals = [
        // TLS is not offered at all.
        (Arc::new(Services::new()), 554),
        (
            deciding(|_| async { Err(ErrorReply::new(ReplyCode::NOT_AUTHORIZED, "not you")) }),
            537,
        ),
        // What XML cannot carry, and a decision that never comes to be.
        (
            deciding(|_| async { Err(ErrorReply::new(ReplyCode::NOT_AUTHORIZED, "\u{1}")) }),
            421,
        ),
        (
            deciding(|_| async { panic!("a fault of the program") }),
            421,
        ),
    ];
    for (services, code) in refusals {
        let (client, server) = pair(services).await;
        for _ in 0..2 {
            let refused = within(client.start_tls(options())).await.unwrap_err();
            assert_eq!(
                refused.code().map(ReplyCode::value),
                Some(code),
                "{refused}"
            );
            use_it(&client).await;
        }
        until(|| client.channels().is_empty() && server.channels().is_empty()).await;
        within(client.close()).await.unwrap();
    }
    // What cannot work is not even asked for.
    let (client, _server) = pair(serving(&made)).await;
    let nonsense = within(client.start_tls(trusting("no name!", made.trust()))).await;
    assert!(matches!(
        nonsense,
        Err(Error::Tls(TlsError::BadServerName(_)))
    ));
    use_it(&client).await;
}

#[tokio::test]
async fn a_handshake_that_fails_ends_both_sessions_and_says_why() {
    let made = self_signed(HOST, as_made);
    let (client, server) = pair(serving(&made)).await;
    let (near, far) = (Ends::of(&client), Ends::of(&server));
    let stranger = self_signed(HOST, as_made);
    let error = within(client.start_tls(trusting(HOST, stranger.trust())))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Tls(TlsError::Certificate {
                fault: CertificateFault::SelfSigned,
                ..
            })
        ),
        "{error:?}"
    );
    let end = near.once(&client).await;
    assert_eq!(end.to_string(), error.to_string());
    let end = far.once(&server).await;
    assert!(matches!(&*end, End::Tls(TlsError::BrokenOff(_))), "{end:?}");
    assert!(client.successor().is_none() && server.successor().is_none());
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_known_afterwards() {
    let authority = Authority::new("Our CA");
    let made = authority.issue(HOST);
    let (identity, trust) = (made.identity(), authority.trust());
    let services = deciding(move |_| {
        let options = ServerOptions {
            client_trust: Some(trust.clone()),
            require_client: true,
            ..ServerOptions::new(identity.clone())
        };
        async move { Ok(options) }
    });
    let (client, server) = pair(services.clone()).await;
    let options = ClientOptions {
        identity: Some(authority.issue("bob").identity()),
        ..trusting(HOST, authority.trust())
    };
    let secure = within(client.start_tls(options)).await.unwrap();
    use_it(&secure).await;
    let info = server.successor().unwrap().tls().unwrap();
    assert_eq!(info.peer_name().as_deref(), Some("bob"));

    // Without one there is no greeting, and the reason is told.
    let (client, server) = pair(services).await;
    let error = within(client.start_tls(trusting(HOST, authority.trust())))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("asks for a client certificate"),
        "{error}"
    );
    let end = within(server.closed()).await;
    assert!(
        matches!(&*end, End::Tls(TlsError::NoClientCertificate)),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_peer_that_does_not_shake_hands_in_time_is_dropped() {
    let made = self_signed(HOST, as_made);
    let limit = Duration::from_millis(50);
    let config = config(|config| config.tls_timeout = limit);
    let (here, there) = tokio::io::duplex(16_384);
    let server = Connection::accept_with(there, echo_profiles(), config.clone(), serving(&made));
    let mut peer = ByHand::new(here);
    raw_start(&mut peer, "<![CDATA[<ready />]]>").await;
    peer.expect("<proceed />").await;
    peer.expect_end().await;
    let end = within(server.closed()).await;
    assert!(
        matches!(&*end, End::Tls(TlsError::TimedOut { limit: it }) if *it == limit),
        "{end:?}"
    );

    let (here, there) = tokio::io::duplex(16_384);
    let mut peer = ByHand::new(there);
    let options = ConnectOptions {
        config,
        ..ConnectOptions::default()
    };
    let (client, ()) =
        within(async { tokio::join!(Connection::over(here, options), peer.greet()) }).await;
    let client = client.unwrap();
    let play = async {
        peer.expect("<ready />").await;
        peer.expect("END\r\n").await;
        peer.send(answer("<![CDATA[<proceed />]]>")).await;
        peer.expect_end().await;
    };
    let starting = client.start_tls(trusting(HOST, made.trust()));
    let (outcome, ()) = within(async { tokio::join!(starting, play) }).await;
    assert!(
        matches!(outcome, Err(Error::Tls(TlsError::TimedOut { .. }))),
        "{outcome:?}"
    );
}

// ------------------------------------------------------------------------------------------------
// Peers that are played by hand

/// Greets, and starts channel 3 for TLS with this content.
async fn raw_start(peer: &mut ByHand<DuplexStream>, content: &str) {
    peer.greet().await;
    peer.expect("</greeting>\r\nEND\r\n").await;
    let document = format!(
        "<start number='3' serverName='{HOST}:10288'>\r\n   <profile uri='{TLS}'>{content}</profile>\r\n</start>\r\n"
    );
    let seqno = management_len("<greeting />\r\n");
    peer.send(management("MSG", 0, seqno, &document)).await;
}

/// The answer of a listener that has said nothing but its greeting.
fn answer(content: &str) -> String {
    let document = format!("<profile uri='{TLS}' >{content}</profile>\r\n");
    management("RPY", 0, management_len("<greeting />\r\n"), &document)
}

/// A server of echo and TLS with a raw peer that has sent its start.
async fn raw_client(made: &Made, content: &str) -> (ByHand<DuplexStream>, Connection) {
    let (here, there) = tokio::io::duplex(256 * 1024);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(there, echo_profiles(), config, serving(made));
    let mut peer = ByHand::new(here);
    raw_start(&mut peer, content).await;
    (peer, server)
}

/// What the C engine's client begins TLS with.
async fn shake_hands(mut peer: ByHand<DuplexStream>, made: &Made) -> ByHand<Stream> {
    peer.expect("<![CDATA[<proceed />]]></profile>\r\nEND\r\n")
        .await;
    let (stream, _) = within(connect(peer.stream, &trusting(HOST, made.trust())))
        .await
        .unwrap();
    ByHand::new(stream)
}

#[tokio::test]
async fn greeting_and_start_may_come_in_one_record() {
    let made = self_signed(HOST, as_made);
    let (peer, server) = raw_client(&made, "<![CDATA[<ready />]]>").await;
    let mut peer = shake_hands(peer, &made).await;
    let greeting = management("RPY", 0, 0, "<greeting />\r\n");
    let start = format!("<start number='3'><profile uri='{ECHO}' /></start>");
    let start = management("MSG", 0, management_len("<greeting />\r\n"), &start);
    peer.send(greeting + &start).await;
    within(peer.stream.flush()).await.unwrap();
    peer.expect(&format!("<profile uri='{ECHO}' />")).await;
    let secure = server.successor().unwrap();
    assert_eq!(secure.server_name().as_deref(), Some(HOST));
    assert_eq!(secure.channels().len(), 1);
}

#[tokio::test]
async fn octet_by_octet_the_same() {
    let made = self_signed(HOST, as_made);
    let (here, relay_here) = tokio::io::duplex(256 * 1024);
    let (relay_there, there) = tokio::io::duplex(256 * 1024);
    let (mut from_client, mut to_client) = tokio::io::split(relay_here);
    let (mut from_server, mut to_server) = tokio::io::split(relay_there);
    async fn crawl(
        from: &mut (impl tokio::io::AsyncRead + Unpin),
        to: &mut (impl tokio::io::AsyncWrite + Unpin),
    ) {
        let mut octet = [0];
        while let Ok(1) = from.read(&mut octet).await {
            if to.write_all(&octet).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }
    let relay = tokio::spawn(async move {
        tokio::join!(
            crawl(&mut from_client, &mut to_server),
            crawl(&mut from_server, &mut to_client)
        );
    });
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(there, echo_profiles(), config, serving(&made));
    let client = within(Connection::over(here, ConnectOptions::default()))
        .await
        .unwrap();
    let secure = within(client.start_tls(trusting(HOST, made.trust())))
        .await
        .unwrap();
    let channel = within(secure.open(ECHO)).await.unwrap();
    assert_eq!(
        within(channel.request("hello"))
            .await
            .unwrap()
            .into_payload()
            .unwrap(),
        "hello"
    );
    assert!(server.successor().is_some());
    relay.abort();
}

#[tokio::test]
async fn version_1_2_does_too() {
    let authority = Authority::new("Our CA");
    let made = authority.issue(HOST);
    let (mut peer, server) = raw_client(&made, "<![CDATA[<ready />]]>").await;
    peer.expect("<![CDATA[<proceed />]]></profile>\r\nEND\r\n")
        .await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = rustls::pki_types::pem::PemObject::from_pem_slice(authority.certificate.as_bytes());
    roots.add(pem.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
    let stream = within(connector.connect(name, peer.stream)).await.unwrap();
    let mut peer = ByHand::new(stream);
    peer.greet().await;
    peer.expect("<greeting>").await;
    assert_eq!(
        server.successor().unwrap().tls().unwrap().version(),
        "TLSv1.2"
    );
}

/// The content of the TLS starts among the recorded odd inputs, with what is to become of them.
fn odd_readies() -> Vec<(String, String, String)> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../beep-core/tests/captures/odd-input.jsonl"
    );
    let mut found = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let recording: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = recording["scenario"].as_str().unwrap();
        if !name.starts_with("odd/tls-ready") {
            continue;
        }
        let steps = recording["steps"].as_array().unwrap();
        let odd = steps.iter().find(|step| step["odd"] == true).unwrap();
        let octets = STANDARD.decode(odd["octets"].as_str().unwrap()).unwrap();
        let advice = recording["rule"]["advice"].as_str().unwrap();
        found.push((
            name.to_owned(),
            String::from_utf8(octets).unwrap(),
            advice.to_owned(),
        ));
    }
    found
}

#[tokio::test]
async fn recorded_odd_starts_are_taken_or_refused_as_advised() {
    let made = self_signed(HOST, as_made);
    let recorded = odd_readies();
    assert_eq!(recorded.len(), 4);
    for (name, octets, advice) in recorded {
        let (here, there) = tokio::io::duplex(16_384);
        let config = Config::default().checked().unwrap();
        let _server = Connection::accept_with(there, echo_profiles(), config, serving(&made));
        let mut peer = ByHand::new(here);
        peer.greet().await;
        peer.expect("</greeting>\r\nEND\r\n").await;
        peer.send(octets).await;
        match advice.as_str() {
            "accept" => drop(
                peer.expect("<![CDATA[<proceed />]]></profile>\r\nEND\r\n")
                    .await,
            ),
            "ERR 501" => {
                let said = peer.expect("END\r\n").await;
                assert!(
                    said.starts_with("ERR 0 0 ") && said.contains("<error code='501' >"),
                    "{name}: {said}"
                );
            }
            advice => panic!("{name}: {advice}"),
        }
    }
}

#[tokio::test]
async fn a_ready_may_have_any_form() {
    let made = self_signed(HOST, as_made);
    for content in [
        "<![CDATA[<ready />]]>",
        "\r\n  <![CDATA[<ready version=\"1\"></ready>]]>\r\n",
        "<ready/>",
        "&lt;ready /&gt;",
        "<![CDATA[<?xml version='1.0'?><ready/>]]>",
    ] {
        let (peer, _server) = raw_client(&made, content).await;
        let mut peer = shake_hands(peer, &made).await;
        peer.greet().await;
        peer.expect("</greeting>").await;
    }
    for content in [
        "<![CDATA[<ready version='2' />]]>",
        "<![CDATA[<ready]]>",
        "",
    ] {
        let (mut peer, server) = raw_client(&made, content).await;
        let said = peer.expect("END\r\n").await;
        assert!(said.starts_with("ERR 0 0 "), "{content}: {said}");
        assert!(server.is_alive());
    }
}

#[tokio::test]
async fn a_refusal_looks_as_that_of_the_c_engine() {
    let services = deciding(|_| async {
        let text = "application level have reject to negotiate TLS transport layer";
        Err(ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, text))
    });
    let (here, there) = tokio::io::duplex(16_384);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(there, Profiles::new(), config, services);
    let mut peer = ByHand::new(here);
    raw_start(&mut peer, "<![CDATA[<ready />]]>").await;
    // As in the recording tls-refused.
    peer.expect(
        "<profile uri='http://iana.org/beep/TLS' ><![CDATA[<error code='421' >application level have reject to \
         negotiate TLS transport layer</error>\r\n]]></profile>\r\nEND\r\n",
    )
    .await;
    // The peer asks on, on the channel that is of no use.
    peer.send(frame("MSG", 3, 0, 0, "\r\n<ready />")).await;
    let said = peer.expect("END\r\n").await;
    assert!(said.contains("ERR 3 0 "), "{said}");
    assert_eq!(server.channels().len(), 1);
    let start = format!(
        "<start number='3' serverName='{HOST}:10288'>\r\n   <profile uri='{TLS}'><![CDATA[<ready />]]></profile>\r\n</start>\r\n"
    );
    let seqno = management_len("<greeting />\r\n") + management_len(&start);
    peer.send(management(
        "MSG",
        1,
        seqno,
        "<close number='3' code='200' />\r\n",
    ))
    .await;
    peer.expect("<ok />END\r\n").await;
    until(|| server.channels().is_empty()).await;
    assert!(server.is_alive());
}

/// Our client against a listener that is played by hand, which answers the start so.
async fn raw_server(
    octets: String,
) -> (Result<Connection, Error>, Connection, ByHand<DuplexStream>) {
    let made = self_signed(HOST, as_made);
    let (here, there) = tokio::io::duplex(16_384);
    let mut peer = ByHand::new(there);
    let options = ConnectOptions::default();
    let (client, ()) =
        within(async { tokio::join!(Connection::over(here, options), peer.greet()) }).await;
    let client = client.unwrap();
    let play = async {
        // As in the recording tls-inside.
        peer.expect("<profile uri='http://iana.org/beep/TLS'><![CDATA[<ready />]]></profile>\r\n</start>\r\nEND\r\n")
            .await;
        peer.send(octets).await;
    };
    let starting = client.start_tls(trusting(HOST, made.trust()));
    let outcome = tokio::select! {
        (outcome, ()) = async { tokio::join!(starting, play) } => outcome,
        () = tokio::time::sleep(LIMIT) => panic!("no outcome"),
    };
    (outcome, client, peer)
}

#[tokio::test]
async fn a_client_goes_on_after_every_kind_of_refusal() {
    let refusals = [
        management(
            "ERR",
            0,
            management_len("<greeting />\r\n"),
            "<error code='554'>unknown</error>",
        ),
        answer("<![CDATA[<error code='421' >no</error>]]>"),
        answer("&lt;error code='421'/&gt;"),
        answer("<![CDATA[<continue />]]>"),
        answer(""),
    ];
    for octets in refusals {
        // The next frame may come with it.
        let seqno = management_len("<greeting />\r\n") + {
            let (header, _) = octets.split_once("\r\n").unwrap();
            header.rsplit_once(' ').unwrap().1.parse::<usize>().unwrap()
        };
        let start = format!("<start number='2'><profile uri='{ECHO}' /></start>");
        let behind = management("MSG", 0, seqno, &start);
        let (outcome, client, mut peer) = raw_server(octets.clone() + &behind).await;
        let error = outcome.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Tls(TlsError::Refused(_) | TlsError::BadAnswer(_))
            ),
            "{octets}: {error:?}"
        );
        assert!(client.is_alive());
        // Its start is refused, and if there is a channel it is closed.
        let said = peer.expect("<error code='554' >").await;
        assert_eq!(
            said.contains("<close number='3'"),
            octets.starts_with("RPY"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn the_first_octet_after_the_agreement_is_one_of_the_handshake() {
    let (mut peer, client) = {
        let made = self_signed(HOST, as_made);
        let (here, there) = tokio::io::duplex(256 * 1024);
        let mut peer = ByHand::new(there);
        let profiles = echo_profiles();
        let options = ConnectOptions {
            profiles,
            ..ConnectOptions::default()
        };
        let (client, ()) =
            within(async { tokio::join!(Connection::over(here, options), peer.greet()) }).await;
        let client = client.unwrap();
        let starting = client.clone();
        tokio::spawn(async move { starting.start_tls(trusting(HOST, made.trust())).await });
        (peer, client)
    };
    peer.expect("</start>\r\nEND\r\n").await;
    // A channel's worth of octets that would be acknowledged at any other time, and a start that would be answered.
    let start = format!("<start number='2'><profile uri='{ECHO}' /></start>");
    let seqno = management_len("<greeting />\r\n");
    peer.send(management("MSG", 0, seqno, &start)).await;
    let padding = " ".repeat(3000);
    let document = format!("<profile uri='{TLS}' ><![CDATA[<proceed />]]></profile>{padding}");
    peer.send(management(
        "RPY",
        0,
        seqno + management_len(&start),
        &document,
    ))
    .await;
    let mut octet = [0];
    within(peer.stream.read_exact(&mut octet)).await.unwrap();
    assert_eq!(octet, [0x16]);
    // A SEQ that a peer sends there is in the handshake's way.
    peer.send("SEQ 0 500 4096\r\n").await;
    let end = within(client.closed()).await;
    assert!(matches!(&*end, End::Tls(TlsError::NotTls)), "{end:?}");
}

#[tokio::test]
async fn what_is_slipped_in_behind_the_agreement_never_reaches_the_new_session() {
    let made = self_signed(HOST, as_made);
    // Behind the ready.
    let (here, there) = tokio::io::duplex(16_384);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(there, echo_profiles(), config, serving(&made));
    let mut peer = ByHand::new(here);
    peer.greet().await;
    peer.expect("</greeting>\r\nEND\r\n").await;
    let start =
        format!("<start number='3'><profile uri='{TLS}'><![CDATA[<ready />]]></profile></start>");
    let slipped = management("RPY", 0, 0, "<greeting />\r\n");
    let seqno = management_len("<greeting />\r\n");
    peer.send(management("MSG", 0, seqno, &start) + &slipped)
        .await;
    peer.expect("<proceed />").await;
    let end = within(server.closed()).await;
    assert!(matches!(&*end, End::Tls(TlsError::NotTls)), "{end:?}");
    assert!(server.successor().is_none());

    // Behind the proceed.
    let (outcome, client, _peer) = raw_server(answer("<![CDATA[<proceed />]]>") + &slipped).await;
    assert!(
        matches!(outcome, Err(Error::Tls(TlsError::NotTls))),
        "{outcome:?}"
    );
    assert!(client.successor().is_none());

    // A client that is in a hurry is none of these: its hello may come with the start.
    let (near, far) = tokio::io::duplex(16_384);
    let (server_side, client_side) = tokio::io::duplex(16_384);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept_with(server_side, echo_profiles(), config, serving(&made));
    let mut peer = ByHand::new(client_side);
    peer.greet().await;
    peer.expect("</greeting>\r\nEND\r\n").await;
    let handshake = tokio::spawn({
        let options = trusting(HOST, made.trust());
        async move { connect(near, &options).await }
    });
    let (mut from_client, mut to_client) = tokio::io::split(far);
    let mut hello = vec![0; 4096];
    let read = within(from_client.read(&mut hello)).await.unwrap();
    let start = management("MSG", 0, seqno, &start);
    peer.send([start.as_bytes(), &hello[..read]].concat()).await;
    peer.expect("<proceed />]]></profile>\r\nEND\r\n").await;
    tokio::spawn(async move {
        to_client.write_all(&peer.rest()).await.unwrap();
        let (mut from_server, mut to_server) = tokio::io::split(peer.stream);
        let _ = tokio::join!(
            tokio::io::copy(&mut from_client, &mut to_server),
            tokio::io::copy(&mut from_server, &mut to_client)
        );
    });
    let (stream, _) = within(handshake).await.unwrap().unwrap();
    let mut peer = ByHand::new(stream);
    peer.greet().await;
    peer.expect("</greeting>").await;
    assert!(server.successor().is_some());
}

#[tokio::test]
async fn a_peer_that_goes_away_at_any_point_ends_the_session_and_no_more() {
    let made = self_signed(HOST, as_made);
    // What a client says up to its part of the handshake, cut everywhere.
    let start =
        format!("<start number='3'><profile uri='{TLS}'><![CDATA[<ready />]]></profile></start>");
    let seqno = management_len("<greeting />\r\n");
    let mut said =
        management("RPY", 0, 0, "<greeting />\r\n") + &management("MSG", 0, seqno, &start);
    let plain = said.len();
    // The beginning of a handshake record.
    said.push_str("\x16\x03\x01\x01\x00\x01\x00\x00\x08\x03\x03");
    for cut in 0..said.len() {
        let (here, there) = tokio::io::duplex(16_384);
        let config = Config::default().checked().unwrap();
        let server = Connection::accept_with(there, echo_profiles(), config, serving(&made));
        let ends = Ends::of(&server);
        let mut peer = ByHand::new(here);
        peer.send(&said[..cut]).await;
        if cut >= plain {
            peer.expect("<proceed />]]></profile>\r\nEND\r\n").await;
        }
        drop(peer);
        let end = ends.once(&server).await;
        let is_expected = match &*end {
            End::Tls(error) => {
                cut >= plain && matches!(error, TlsError::HungUp | TlsError::Transport(_))
            }
            End::Protocol(SessionEnd::PeerHungUp { .. }) => cut < plain,
            End::Transport(_) => true,
            _ => false,
        };
        assert!(is_expected, "{cut}: {end:?}");
        assert!(server.successor().is_none());
    }
}

#[tokio::test]
async fn a_shutdown_during_the_handshake_is_one() {
    let made = self_signed(HOST, as_made);
    let (mut peer, server) = raw_client(&made, "<![CDATA[<ready />]]>").await;
    peer.expect("<proceed />]]></profile>\r\nEND\r\n").await;
    server.shutdown();
    let end = within(server.closed()).await;
    assert!(
        matches!(&*end, End::Protocol(SessionEnd::Aborted)),
        "{end:?}"
    );
    peer.expect_end().await;

    // While the decision is awaited, and by whoever asked.
    let (asked, is_asked) = oneshot::channel::<()>();
    let asked = Mutex::new(Some(asked));
    let services = deciding(move |_| {
        let asked = asked.lock().unwrap().take();
        async move {
            drop(asked);
            std::future::pending().await
        }
    });
    let (client, _server) = pair(services).await;
    let starting = tokio::spawn({
        let client = client.clone();
        let options = trusting(HOST, made.trust());
        async move { client.start_tls(options).await }
    });
    let _ = within(is_asked).await;
    client.shutdown();
    let outcome = within(starting).await.unwrap();
    assert!(
        matches!(outcome, Err(Error::Tls(TlsError::SessionEnded))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn whoever_gives_up_waiting_for_tls_lets_go_of_the_connection() {
    let made = self_signed(HOST, as_made);
    let (asked, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let services = deciding({
        let (identity, asked, release) = (made.identity(), asked.clone(), release.clone());
        move |_| {
            let (identity, asked, release) = (identity.clone(), asked.clone(), release.clone());
            async move {
                asked.notify_one();
                release.notified().await;
                Ok(ServerOptions::new(identity))
            }
        }
    });
    let (client, server) = pair(services).await;
    let starting = tokio::spawn({
        let client = client.clone();
        let options = trusting(HOST, made.trust());
        async move { client.start_tls(options).await }
    });
    within(asked.notified()).await;
    starting.abort();
    release.notify_one();
    assert!(is_tuned(&*within(server.closed()).await));
    let secure = server.successor().unwrap();
    within(secure.closed()).await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_go_over_to_tls_at_once() {
    const SESSIONS: usize = 100;
    let authority = Authority::new("Our CA");
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    let options = beep_session::ServerOptions {
        services: serving(&authority.issue("127.0.0.1")),
        on_connection: Some(Arc::new(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })),
        ..beep_session::ServerOptions::default()
    };
    let server = within(Server::bind("127.0.0.1", 0, echo_profiles(), options))
        .await
        .unwrap();
    let port = server.local_addr().port();
    let trust = authority.trust();
    let tasks: Vec<_> = (0..SESSIONS)
        .map(|_| {
            let trust = trust.clone();
            tokio::spawn(async move {
                let connected =
                    Connection::connect("127.0.0.1", port, ConnectOptions::default()).await;
                // By the host that was connected to.
                let options = ClientOptions {
                    trust,
                    ..ClientOptions::default()
                };
                let secure = connected.unwrap().start_tls(options).await.unwrap();
                use_it(&secure).await;
                secure
            })
        })
        .collect();
    let mut secure = Vec::new();
    for task in tasks {
        secure.push(within(task).await.unwrap());
    }
    until(|| server.connection_count() == SESSIONS).await;
    assert_eq!(told.load(Ordering::SeqCst), 2 * SESSIONS);
    assert!(
        server
            .connections()
            .iter()
            .all(|connection| connection.tls().is_some())
    );
    assert_eq!(within(server.shutdown(LIMIT)).await, 0);
    for connection in secure {
        assert!(within(connection.closed()).await.is_orderly());
    }
}

#[tokio::test]
async fn a_server_that_stops_releases_what_is_still_shaking_hands() {
    let made = self_signed("127.0.0.1", as_made);
    let options = beep_session::ServerOptions {
        services: serving(&made),
        ..beep_session::ServerOptions::default()
    };
    let server = within(Server::bind("127.0.0.1", 0, echo_profiles(), options))
        .await
        .unwrap();
    let stream = within(tokio::net::TcpStream::connect(server.local_addr()))
        .await
        .unwrap();
    let mut peer = ByHand::new(stream);
    peer.greet().await;
    peer.expect("</greeting>\r\nEND\r\n").await;
    let start =
        format!("<start number='3'><profile uri='{TLS}'><![CDATA[<ready />]]></profile></start>");
    let seqno = management_len("<greeting />\r\n");
    peer.send(management("MSG", 0, seqno, &start)).await;
    peer.expect("<proceed />]]></profile>\r\nEND\r\n").await;
    let stopping = server.shutdown(LIMIT);
    let play = async {
        let options = trusting("127.0.0.1", made.trust());
        let (stream, _) = within(connect(peer.stream, &options)).await.unwrap();
        let mut peer = ByHand::new(stream);
        peer.greet().await;
        peer.expect("<close number='0' code='200' />\r\nEND\r\n")
            .await;
        peer.send(management("RPY", 0, seqno, "<ok />")).await;
        within(peer.stream.flush()).await.unwrap();
        peer.expect_end().await;
    };
    let (dropped, ()) = within(async { tokio::join!(stopping, play) }).await;
    assert_eq!(dropped, 0);
}

#[tokio::test]
async fn either_side_may_ask() {
    let made = self_signed(HOST, as_made);
    let (here, there) = tokio::io::duplex(16_384);
    let config = Config::default().checked().unwrap();
    let server = Connection::accept(there, echo_profiles(), config);
    let options = ConnectOptions {
        services: serving(&made),
        ..ConnectOptions::default()
    };
    let client = within(Connection::over(here, options)).await.unwrap();
    within(server.greeted()).await.unwrap();
    let secure = within(server.start_tls(trusting(HOST, made.trust())))
        .await
        .unwrap();
    let other = client.successor().unwrap();
    use_it(&other).await;
    within(secure.close()).await.unwrap();
}

#[tokio::test]
async fn a_stream_under_tls_from_the_beginning_is_a_transport_like_any_other() {
    let made = self_signed(HOST, as_made);
    let (here, there) = tokio::io::duplex(16_384);
    let (options, server) = (
        trusting(HOST, made.trust()),
        ServerOptions::new(made.identity()),
    );
    let (near, far) =
        within(async { tokio::join!(connect(here, &options), accept(there, &server)) }).await;
    let config = Config::default().checked().unwrap();
    let _server = Connection::accept(far.unwrap().0, echo_profiles(), config);
    let client = within(Connection::over(near.unwrap().0, ConnectOptions::default()))
        .await
        .unwrap();
    use_it(&client).await;
    within(client.close()).await.unwrap();
}

#[test]
fn identities_go_between_threads() {
    fn is_sent<T: Send + Sync>() {}
    is_sent::<(
        Identity,
        Trust,
        TlsError,
        beep_session::tls::Info,
        beep_session::tls::Request,
    )>();
}

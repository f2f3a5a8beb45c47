//! Handshakes between our own two sides, and with peers that do not speak TLS.
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

use beep_session::tls::{
    CertificateFault, ClientOptions, Error, Identity, Info, ServerOptions, Stream, Trust, accept,
    connect,
};
use certificates::*;
use common::{ByHand, within};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

const HOST: &str = "host.example";

type Side = Result<(Stream, Info), Error>;

async fn handshake(client: &ClientOptions, server: &ServerOptions) -> (Side, Side) {
    let (near, far) = tokio::io::duplex(16_384);
    within(async { tokio::join!(connect(near, client), accept(far, server)) }).await
}

fn client(name: &str, trust: Trust) -> ClientOptions {
    ClientOptions {
        server_name: Some(name.to_owned()),
        trust,
        identity: None,
    }
}

/// What the client says to a server with this certificate.
async fn verdict(options: &ClientOptions, made: &Made) -> Result<(), String> {
    let server = ServerOptions::new(made.identity());
    let (near, far) = handshake(options, &server).await;
    match near {
        Ok((_, info)) => {
            // The same certificate, looked at afterwards.
            if !matches!(options.trust, Trust::Nobody) {
                info.verify(&options.trust, options.server_name.as_deref())
                    .unwrap();
            }
            assert!(far.is_ok());
            Ok(())
        }
        Err(error) => {
            let error = error.to_string();
            let told = far.err().unwrap();
            assert!(matches!(told, Error::BrokenOff(_)), "{told}");
            let blind = ClientOptions {
                trust: Trust::Nobody,
                ..options.clone()
            };
            let (near, _) = handshake(&blind, &server).await;
            let (_, info) = near.unwrap();
            let later = info.verify(&options.trust, options.server_name.as_deref());
            assert_eq!(later.unwrap_err().to_string(), error);
            Err(error)
        }
    }
}

/// Octets pass in both directions.
async fn talk(near: &mut Stream, far: &mut Stream) {
    pass(near, far).await;
    pass(far, near).await;
}

async fn pass(from: &mut Stream, to: &mut Stream) {
    let mut read = [0; 5];
    within(async {
        from.write_all(b"hello").await.unwrap();
        from.flush().await.unwrap();
        to.read_exact(&mut read).await.unwrap();
    })
    .await;
    assert_eq!(&read, b"hello");
}

#[tokio::test]
async fn a_verified_server_is_known_by_name_and_both_sides_have_the_same_bindings() {
    let authority = Authority::new("Our CA");
    let server = ServerOptions::new(authority.issue(HOST).identity());
    let (near, far) = handshake(&client(HOST, authority.trust()), &server).await;
    let ((mut near, ours), (mut far, theirs)) = (near.unwrap(), far.unwrap());
    talk(&mut near, &mut far).await;
    assert_eq!(ours.version(), "TLSv1.3");
    assert_eq!(theirs.version(), "TLSv1.3");
    assert!(ours.cipher().starts_with("TLS_AES_"), "{}", ours.cipher());
    assert_eq!(ours.cipher(), theirs.cipher());
    assert_eq!(ours.peer_name().as_deref(), Some(HOST));
    assert_eq!(ours.server_name(), Some(HOST));
    assert_eq!(theirs.server_name(), Some(HOST));
    assert_eq!(theirs.peer_name(), None);
    assert_eq!(theirs.peer_certificates().count(), 0);
    assert_eq!(ours.exporter().map(<[u8]>::len), Some(32));
    assert_eq!(ours.exporter(), theirs.exporter());
    assert_eq!(ours.server_end_point().map(|hash| hash.len()), Some(32));
    assert_eq!(ours.server_end_point(), theirs.server_end_point());
    let digest = ours.peer_digest("sha1").unwrap();
    assert_eq!(digest.len(), 59);
    assert!(
        digest
            .split(':')
            .all(|octet| u8::from_str_radix(octet, 16).is_ok())
    );
    assert_eq!(digest, digest.to_uppercase());
    assert_eq!(
        ours.peer_digest("sha256").map(|digest| digest.len()),
        Some(95)
    );
    assert_eq!(ours.peer_digest("crc"), None);
    let (near, far) = handshake(&client(HOST, authority.trust()), &server).await;
    assert_ne!(near.unwrap().1.exporter(), ours.exporter());
    assert!(far.is_ok());
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_in_words() {
    let (ours, others) = (Authority::new("Our CA"), Authority::new("Their CA"));
    let options = client(HOST, ours.trust());
    let issued = |change| ours.issue_changed(HOST, change);
    for (made, said) in [
        (
            issued(expired),
            "the certificate of host.example expired on 2020-02-29 00:00:00 UTC",
        ),
        (
            issued(not_yet_valid),
            "the certificate of host.example is not valid before 3000-01-01 00:00:00 UTC",
        ),
        (
            ours.issue("a.example"),
            "the certificate of host.example was made for a.example, not host.example",
        ),
        (
            issued(without_alternative_names),
            "the certificate of host.example was made for no host by name, not host.example",
        ),
        (
            others.issue(HOST),
            "the certificate of host.example is not signed by any trusted CA; its issuer is CN=Their CA",
        ),
        (
            self_signed(HOST, as_made),
            "the certificate of host.example is signed by itself, and is not among those trusted",
        ),
        (
            self_signed(HOST, as_ca),
            "the certificate of host.example is signed by itself, and is not among those trusted",
        ),
        (
            issued(for_clients_only),
            "the certificate of host.example was not made for a TLS server",
        ),
        (
            issued(as_ca),
            "the certificate of host.example is that of a CA, and not itself among those trusted",
        ),
    ] {
        assert_eq!(verdict(&options, &made).await, Err(said.to_owned()));
        let blind = client(HOST, Trust::Nobody);
        assert_eq!(verdict(&blind, &made).await, Ok(()));
    }
}

#[tokio::test]
async fn certificates_are_trusted_through_those_that_came_with_them() {
    let root = Authority::new("Root");
    let options = client(HOST, root.trust());
    let between = root.authority("Between", as_made);
    let mut made = between.issue(HOST);
    assert!(verdict(&options, &made).await.is_err());
    made.certificate.push_str(&between.certificate);
    assert_eq!(verdict(&options, &made).await, Ok(()));

    let between = root.authority("Between", expired);
    let mut made = between.issue(HOST);
    made.certificate.push_str(&between.certificate);
    let said = "the certificate of host.example is signed by a CA whose own certificate is not valid at this time";
    assert_eq!(verdict(&options, &made).await, Err(said.to_owned()));
}

#[tokio::test]
async fn a_certificate_that_is_itself_trusted_is_good_whatever_it_says_of_cas() {
    for change in [
        as_made as Change,
        as_ca,
        explicitly_no_ca,
        for_clients_only,
        without_alternative_names,
    ] {
        let made = self_signed(HOST, change);
        assert_eq!(verdict(&client(HOST, made.trust()), &made).await, Ok(()));
        let said = verdict(&client("other.example", made.trust()), &made).await;
        assert_eq!(
            said,
            Err(
                "the certificate of other.example was made for host.example, not other.example"
                    .to_owned()
            )
        );
    }
    let made = self_signed(HOST, expired);
    assert!(verdict(&client(HOST, made.trust()), &made).await.is_err());
    // One that somebody else signed, too.
    let made = Authority::new("Nobody").issue(HOST);
    assert_eq!(verdict(&client(HOST, made.trust()), &made).await, Ok(()));
}

#[tokio::test]
async fn names_are_dns_names_or_addresses() {
    let authority = Authority::new("Our CA");
    for (made_for, called) in [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::1", "[::1]"),
        ("*.host.example", "a.host.example"),
        ("host.example", "HOST.example."),
    ] {
        let made = authority.issue(made_for);
        assert_eq!(
            verdict(&client(called, authority.trust()), &made).await,
            Ok(()),
            "{called}"
        );
    }
    for (made_for, called) in [
        ("127.0.0.1", "127.0.0.2"),
        ("*.host.example", "far.a.host.example"),
        ("host.example", "127.0.0.1"),
    ] {
        let made = authority.issue(made_for);
        let said = verdict(&client(called, authority.trust()), &made).await;
        assert_eq!(
            said,
            Err(format!(
                "the certificate of {called} was made for {made_for}, not {called}"
            ))
        );
    }
    // By its common name, for a certificate that is itself trusted.
    for (made_for, called) in [
        ("127.0.0.1", "127.0.0.1"),
        ("*.host.example", "a.host.example"),
    ] {
        let made = self_signed(made_for, without_alternative_names);
        assert_eq!(
            verdict(&client(called, made.trust()), &made).await,
            Ok(()),
            "{called}"
        );
    }
}

#[tokio::test]
async fn a_trusted_ca_of_the_same_name_with_a_key_of_another_kind_vouches_for_nobody() {
    // Made by openssl: CN=Our CA with an RSA key, where the authority below has one of elliptic curves.
    let namesake = Trust::from_pem(include_bytes!("common/our_ca_rsa.crt")).unwrap();
    let made = Authority::new("Our CA").issue(HOST);
    let told = verdict(&client(HOST, namesake), &made).await.unwrap_err();
    assert!(
        told.contains("is not signed by any trusted CA; its issuer is CN=Our CA"),
        "{told}"
    );
}

#[tokio::test]
async fn without_a_usable_name_nothing_is_verified_and_nothing_sent() {
    let made = self_signed(HOST, as_made);
    let server = ServerOptions::new(made.identity());
    let mut options = client("not a name!", made.trust());
    let (near, far) = handshake(&options, &server).await;
    assert!(matches!(near, Err(Error::BadServerName(_))));
    assert!(matches!(far, Err(Error::HungUp)));
    options.server_name = None;
    let (near, _) = handshake(&options, &server).await;
    assert!(matches!(near, Err(Error::NoServerName)));
    options.trust = Trust::Nobody;
    for name in [None, Some("not a name!".to_owned())] {
        options.server_name = name;
        let (near, far) = handshake(&options, &server).await;
        let (_, info) = near.unwrap();
        assert_eq!(far.unwrap().1.server_name(), None);
        // Nobody vouches for anybody.
        let later = info.verify(&Trust::Nobody, None).unwrap_err();
        assert!(matches!(
            later,
            Error::Certificate {
                fault: CertificateFault::UnknownIssuer { .. },
                ..
            }
        ));
    }
}

#[tokio::test]
async fn clients_show_certificates_when_asked() {
    let authority = Authority::new("Our CA");
    let made = self_signed(HOST, as_made);
    let mut server = ServerOptions {
        client_trust: Some(authority.trust()),
        ..ServerOptions::new(made.identity())
    };
    let mut options = client(HOST, made.trust());

    // Asked, not required.
    let (near, far) = handshake(&options, &server).await;
    let (mut near, mut far) = (near.unwrap().0, far.unwrap());
    talk(&mut near, &mut far.0).await;
    assert_eq!(far.1.peer_name(), None);
    let later = far.1.verify(&authority.trust(), None);
    assert!(matches!(later, Err(Error::NoClientCertificate)));

    // Required: with TLS 1.3 the client learns it when it reads.
    server.require_client = true;
    let (near, far) = handshake(&options, &server).await;
    assert!(matches!(far, Err(Error::NoClientCertificate)));
    let mut octet = [0];
    let said = within(near.unwrap().0.read(&mut octet)).await.unwrap_err();
    assert_eq!(said.to_string(), "the peer asks for a client certificate");

    options.identity = Some(authority.issue("a client").identity());
    let (near, far) = handshake(&options, &server).await;
    let (mut near, mut far) = (near.unwrap().0, far.unwrap());
    talk(&mut near, &mut far.0).await;
    assert_eq!(far.1.peer_name().as_deref(), Some("a client"));
    far.1.verify(&authority.trust(), None).unwrap();
    far.1
        .verify(&authority.trust(), Some("a client"))
        .unwrap_err();

    let stranger = Authority::new("Their CA").issue("a stranger");
    options.identity = Some(stranger.identity());
    let (near, far) = handshake(&options, &server).await;
    assert_eq!(
        far.unwrap_err().to_string(),
        "the certificate of a stranger is not signed by any trusted CA; its issuer is CN=Their CA"
    );
    let said = within(near.unwrap().0.read(&mut octet)).await.unwrap_err();
    assert_eq!(
        said.to_string(),
        "the peer broke off the TLS handshake: it does not trust the CA of our certificate"
    );

    // Whoever it is, and somebody it is.
    server.client_trust = Some(Trust::Nobody);
    let (near, far) = handshake(&options, &server).await;
    assert!(near.is_ok());
    assert_eq!(far.unwrap().1.peer_name().as_deref(), Some("a stranger"));
}

#[test]
fn what_is_no_identity_is_refused_in_words() {
    let (made, other) = (self_signed(HOST, as_made), self_signed(HOST, as_made));
    let said = |certificate: &str, key: &str| {
        Identity::from_pem(certificate.as_bytes(), key.as_bytes())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        said("", &made.key),
        "the certificate cannot be read: there is no BEGIN CERTIFICATE in it"
    );
    assert_eq!(
        said(&made.certificate, "no key"),
        "the private key cannot be read: there is no BEGIN PRIVATE KEY in it"
    );
    assert!(said(&made.certificate, &other.key).contains("does not belong to the certificate"));
    let cut = &made.certificate[..made.certificate.len() / 2];
    assert_eq!(
        said(cut, &made.key),
        "the certificate cannot be read: the END line of its CERTIFICATE is missing"
    );
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(said(&made.certificate, encrypted).contains("it is encrypted"));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(
        said(nonsense, &made.key),
        "the certificate cannot be read: cannot be read"
    );
    let error = Trust::from_pem(nonsense.as_bytes()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("one of those in it cannot be read"),
        "{error}"
    );
    // Both in one file will do, and nothing secret is shown.
    let both = format!("{}{}", made.key, made.certificate);
    let identity = Identity::from_pem(both.as_bytes(), both.as_bytes()).unwrap();
    assert_eq!(
        format!("{identity:?}"),
        "Identity { name: Some(\"host.example\"), .. }"
    );
}

#[tokio::test]
async fn a_changed_file_makes_another_identity() {
    let (first, second) = (self_signed(HOST, as_made), self_signed(HOST, as_made));
    for made in [&first, &second, &first] {
        assert_eq!(verdict(&client(HOST, made.trust()), made).await, Ok(()));
    }
    assert!(
        verdict(&client(HOST, first.trust()), &second)
            .await
            .is_err()
    );
}

/// A server and a raw peer in place of its client.
async fn raw_client(play: impl AsyncFnOnce(ByHand<DuplexStream>)) -> Error {
    let server = ServerOptions::new(self_signed(HOST, as_made).identity());
    let (near, far) = tokio::io::duplex(16_384);
    let (_, served) =
        within(async { tokio::join!(play(ByHand::new(near)), accept(far, &server)) }).await;
    served.err().unwrap()
}

#[tokio::test]
async fn what_is_no_tls_is_told_apart_from_a_peer_that_hangs_up() {
    for text in [
        "RPY 0 0 . 0 52\r\nContent-Type: application/beep+xml\r\n\r\n<greeting />\r\nEND\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\0\0\0\0\0\0\0\0",
    ] {
        let error = raw_client(async |mut peer| {
            peer.send(text).await;
            // It is told at once, and the connection closed.
            peer.expect_end().await;
        })
        .await;
        assert!(matches!(error, Error::NotTls), "{text:?}: {error:?}");
    }
    let error = raw_client(async |peer| drop(peer)).await;
    assert!(matches!(error, Error::HungUp), "{error:?}");
}

/// A handshake through a relay that passes on one octet after the other: all from the server, and this many from the
/// client before it closes both.
async fn octet_by_octet(most: usize) -> (Side, Side) {
    let made = self_signed(HOST, as_made);
    let server = ServerOptions::new(made.identity());
    let options = client(HOST, made.trust());
    let (near, near_relay) = tokio::io::duplex(16_384);
    let (far, far_relay) = tokio::io::duplex(16_384);
    let (near_in, near_out) = tokio::io::split(near_relay);
    let (far_in, far_out) = tokio::io::split(far_relay);
    let relay = tokio::spawn(async move {
        tokio::select! {
            () = pass_on(far_in, near_out, usize::MAX) => {}
            () = pass_on(near_in, far_out, most) => {}
        }
    });
    let sides = within(async { tokio::join!(connect(near, &options), accept(far, &server)) }).await;
    relay.abort();
    sides
}

async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, most: usize) {
    let mut octet = [0];
    for _ in 0..most {
        match from.read(&mut octet).await {
            Ok(1) if to.write_all(&octet).await.is_ok() => {}
            _ => return,
        }
    }
}

#[tokio::test]
async fn a_handshake_cut_anywhere_fails_on_the_side_that_waits() {
    let (near, far) = octet_by_octet(usize::MAX).await;
    assert!(near.is_ok() && far.is_ok(), "{near:?} {far:?}");
    // A client says at least 200 octets of hello, and some 80 at the end.
    for most in (0..200).step_by(13) {
        let (near, far) = octet_by_octet(most).await;
        assert!(matches!(near, Err(Error::HungUp)), "{most}: {near:?}");
        assert!(matches!(far, Err(Error::HungUp)), "{most}: {far:?}");
    }
}

#[tokio::test]
async fn the_end_of_a_stream_without_farewell_is_an_end() {
    let made = self_signed(HOST, as_made);
    let server = ServerOptions::new(made.identity());
    let (near, far) = handshake(&client(HOST, made.trust()), &server).await;
    let (near, mut far) = (near.unwrap().0, far.unwrap().0);
    drop(near);
    let mut rest = Vec::new();
    assert_eq!(within(far.read_to_end(&mut rest)).await.unwrap(), 0);
}

/// Set for the process that [`the_system_says_whom_it_trusts`] runs.
const INNER: &str = "TLS_HANDSHAKE_INNER";

#[tokio::test]
async fn the_system_says_whom_it_trusts() {
    const NAME: &str = "the_system_says_whom_it_trusts";
    if std::env::var_os(INNER).is_some() {
        let made = std::env::var("SSL_CERT_FILE").unwrap();
        let text = std::fs::read_to_string(&made).unwrap();
        let key = std::fs::read_to_string(format!("{made}.key")).unwrap();
        let server =
            ServerOptions::new(Identity::from_pem(text.as_bytes(), key.as_bytes()).unwrap());
        let (near, _) = handshake(&client(HOST, Trust::System), &server).await;
        near.unwrap();
        let stranger = self_signed(HOST, as_made);
        let said = verdict(&client(HOST, Trust::default()), &stranger).await;
        assert!(said.unwrap_err().contains("signed by itself"));
        return;
    }
    let made = self_signed(HOST, as_made);
    let file = format!(
        "{}/system-{}.pem",
        env!("CARGO_TARGET_TMPDIR"),
        std::process::id()
    );
    std::fs::write(&file, &made.certificate).unwrap();
    std::fs::write(format!("{file}.key"), &made.key).unwrap();
    // What the system trusts is read once a process, so this one may have read it.
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INNER, "1")
        .env("SSL_CERT_FILE", &file)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let _ = std::fs::remove_file(&file);
    let _ = std::fs::remove_file(format!("{file}.key"));
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}

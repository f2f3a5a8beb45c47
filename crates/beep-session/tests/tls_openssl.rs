//! Handshakes with OpenSSL's `s_server` and `s_client`.
//!
//! Without an `openssl` to run the tests say so and pass; with `CI` in the environment they fail.
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

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use beep_session::tls::{
    ClientOptions, Error, Identity, Info, ServerOptions, Stream, Trust, accept, connect,
};
use certificates::*;
use common::within;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

const HOST: &str = "host.example";
const VERSIONS: [(&str, &str); 2] = [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")];

/// Whether OpenSSL is there.
fn has_openssl() -> bool {
    let found = std::process::Command::new("openssl")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "openssl is missing");
        println!("skipped: openssl is missing");
    }
    found
}

/// A folder of one test, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!(
            "openssl-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Runs `openssl` with these words, in this folder.
    fn openssl(&self, words: &str) -> String {
        let run = std::process::Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(&self.0)
            .output()
            .unwrap();
        assert!(run.status.success(), "{words}: {run:?}");
        String::from_utf8(run.stdout).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Starts `openssl` with pipes; it ends when its input does.
fn start(arguments: &[&str]) -> Child {
    Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// All that a process said, after its input was closed.
async fn last_words(mut child: Child) -> String {
    drop(child.stdin.take());
    let output = within(child.wait_with_output()).await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// `s_server` for one connection, which gives lines back in reverse.
struct Server {
    child: Child,
    output: BufReader<tokio::process::ChildStdout>,
    port: u16,
}

impl Server {
    async fn start(folder: &Folder, made: &Made, arguments: &[&str]) -> Server {
        let certificate = folder.write("server.pem", &made.certificate);
        let key = folder.write("server.key", &made.key);
        Server::start_with(&certificate, &key, arguments).await
    }

    async fn start_with(certificate: &str, key: &str, arguments: &[&str]) -> Server {
        let all = [
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-naccept",
            "1",
            "-rev",
        ];
        let own = ["-cert", certificate, "-key", key];
        let all: Vec<&str> = all.iter().chain(&own).chain(arguments).copied().collect();
        let mut child = start(&all);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            let read = within(output.read_line(&mut line)).await.unwrap();
            assert!(read > 0, "{}", last_words(child).await);
            if let Some(address) = line.trim().strip_prefix("ACCEPT ") {
                break address.rsplit_once(':').unwrap().1.parse().unwrap();
            }
        };
        Server {
            child,
            output,
            port,
        }
    }

    async fn connect(&self, options: &ClientOptions) -> Result<(Stream, Info), Error> {
        let stream = within(TcpStream::connect(("127.0.0.1", self.port)))
            .await
            .unwrap();
        within(connect(stream, options)).await
    }

    /// All that it said.
    async fn last_words(mut self) -> String {
        drop(self.child.stdin.take());
        let mut said = String::new();
        within(self.output.read_to_string(&mut said)).await.unwrap();
        said + &last_words(self.child).await
    }
}

/// A line goes there and comes back in reverse.
async fn talk(stream: &mut Stream) {
    let mut line = String::new();
    within(async {
        stream.write_all(b"hello\n").await.unwrap();
        stream.flush().await.unwrap();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
    })
    .await;
    assert_eq!(line, "olleh\n");
}

fn client(name: &str, trust: Trust) -> ClientOptions {
    ClientOptions {
        server_name: Some(name.to_owned()),
        trust,
        identity: None,
    }
}

#[tokio::test]
async fn a_client_talks_to_openssl_in_both_versions() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("Our CA");
    let made = authority.issue(HOST);
    for (flag, version) in VERSIONS {
        let folder = Folder::new();
        let server = Server::start(&folder, &made, &[flag]).await;
        let (mut stream, info) = server
            .connect(&client(HOST, authority.trust()))
            .await
            .unwrap();
        talk(&mut stream).await;
        assert_eq!(info.version(), version);
        let printed = folder.openssl("x509 -in server.pem -noout -fingerprint -sha256");
        let (_, digest) = printed.trim().split_once('=').unwrap();
        assert_eq!(info.peer_digest("sha256").as_deref(), Some(digest));
        let hash: String = info
            .server_end_point()
            .unwrap()
            .iter()
            .map(|octet| format!("{octet:02X}"))
            .collect();
        assert_eq!(hash, digest.replace(':', ""));
        within(stream.shutdown()).await.unwrap();
        drop(stream);
        if version == "TLSv1.3" {
            let said = server.last_words().await;
            assert!(said.contains(&info.cipher()), "{said}");
        }
    }
}

#[tokio::test]
async fn a_client_refuses_certificates_and_openssl_hears_why() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("Our CA");
    for (made, said, alert) in [
        (
            authority.issue_changed(HOST, expired),
            "expired on 2020-02-29 00:00:00 UTC",
            "certificate expired",
        ),
        (
            authority.issue_changed(HOST, not_yet_valid),
            "is not valid before 3000-01-01 00:00:00 UTC",
            "certificate expired",
        ),
        (
            authority.issue("other.example"),
            "was made for other.example, not host.example",
            "bad certificate",
        ),
        (
            Authority::new("Their CA").issue(HOST),
            "is not signed by any trusted CA; its issuer is CN=Their CA",
            "unknown ca",
        ),
        (
            self_signed(HOST, as_ca),
            "is signed by itself, and is not among those trusted",
            "unknown ca",
        ),
    ] {
        for (flag, _) in VERSIONS {
            let folder = Folder::new();
            let server = Server::start(&folder, &made, &[flag]).await;
            let error = server
                .connect(&client(HOST, authority.trust()))
                .await
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the certificate of host.example {said}")
            );
            let heard = server.last_words().await;
            assert!(
                heard.contains(&format!("alert {alert}")),
                "{alert}: {heard}"
            );
        }
    }
}

#[tokio::test]
async fn certificates_as_old_tools_make_them_are_good_when_they_are_themselves_trusted() {
    if !has_openssl() {
        return;
    }
    for (make, key) in [
        // As `openssl req -x509` makes them: of a CA, by a common name.
        (
            "req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=host.example -days 9",
            "RSA",
        ),
        // X.509 version 1.
        (
            "req -new -newkey rsa:2048 -nodes -keyout k -out r -subj /CN=host.example; x509 -req -in r -signkey k -out c -days 9",
            "RSA",
        ),
        (
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout k -out r -subj /CN=host.example; x509 -req -sha1 -in r -signkey k -out c -days 9",
            "EC",
        ),
        (
            "req -x509 -newkey ed25519 -nodes -keyout k -out c -subj /CN=host.example -days 9",
            "Ed25519",
        ),
    ] {
        let folder = Folder::new();
        for step in make.split(';') {
            folder.openssl(step);
        }
        let text = std::fs::read(folder.path("c")).unwrap();
        for (flag, version) in VERSIONS {
            let server = Server::start_with(&folder.path("c"), &folder.path("k"), &[flag]).await;
            let trust = Trust::from_pem(&text).unwrap();
            let connected = server.connect(&client(HOST, trust)).await;
            let (mut stream, info) = connected.unwrap_or_else(|error| panic!("{make}: {error}"));
            talk(&mut stream).await;
            assert_eq!(info.version(), version);
            assert_eq!(info.peer_name().as_deref(), Some(HOST));
            // A hash by SHA-256 takes the place of one by SHA-1, and Ed25519 has none.
            let hash = info.server_end_point().map(|hash| hash.len());
            assert_eq!(hash, (key != "Ed25519").then_some(32), "{make}");

            let server = Server::start_with(&folder.path("c"), &folder.path("k"), &[flag]).await;
            let stranger = self_signed(HOST, as_made).trust();
            let error = server.connect(&client(HOST, stranger)).await.unwrap_err();
            let said = error.to_string();
            assert!(said.contains("among those trusted"), "{make}: {said}");
            let server = Server::start_with(&folder.path("c"), &folder.path("k"), &[flag]).await;
            let trust = Trust::from_pem(&text).unwrap();
            assert!(
                server
                    .connect(&client("other.example", trust))
                    .await
                    .is_err()
            );
        }
        // And the other way round: such a certificate as our own.
        let key = std::fs::read(folder.path("k")).unwrap();
        let identity = Identity::from_pem(&text, &key).unwrap();
        let certificate = folder.path("c");
        let (served, said) = serve(&ServerOptions::new(identity), &["-CAfile", &certificate]).await;
        served.unwrap();
        assert!(said.contains("olleh"), "{make}: {said}");
    }
}

#[tokio::test]
async fn a_key_that_is_too_short_is_named_as_such() {
    if !has_openssl() {
        return;
    }
    let folder = Folder::new();
    folder.openssl(
        "req -x509 -newkey rsa:1024 -nodes -keyout k -out c -subj /CN=host.example -days 9",
    );
    for (flag, _) in VERSIONS {
        let low = ["-cipher", "DEFAULT@SECLEVEL=0", flag];
        let server = Server::start_with(&folder.path("c"), &folder.path("k"), &low).await;
        let error = server
            .connect(&client(HOST, Trust::Nobody))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("fewer than 2048 bits"),
            "{error}"
        );
    }
    let text = std::fs::read(folder.path("c")).unwrap();
    let key = std::fs::read(folder.path("k")).unwrap();
    let error = Identity::from_pem(&text, &key).unwrap_err();
    assert!(
        error.to_string().contains("RSA from 2048 bits on"),
        "{error}"
    );
}

#[tokio::test]
async fn a_client_shows_openssl_its_certificate() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("Our CA");
    let made = authority.issue(HOST);
    for (flag, _) in VERSIONS {
        let folder = Folder::new();
        let ca = folder.write("ca.pem", &authority.certificate);
        let arguments = [flag, "-CAfile", &ca, "-Verify", "2", "-verify_return_error"];
        let mut options = client(HOST, authority.trust());
        options.identity = Some(authority.issue("a client").identity());
        let server = Server::start(&folder, &made, &arguments).await;
        let (mut stream, _) = server.connect(&options).await.unwrap();
        talk(&mut stream).await;

        let mut outcome = async |identity| {
            options.identity = identity;
            let server = Server::start(&folder, &made, &arguments).await;
            match server.connect(&options).await {
                Err(error) => error.to_string(),
                // With TLS 1.3 the answer comes later.
                Ok((mut stream, _)) => {
                    let mut octet = [0];
                    within(stream.read(&mut octet))
                        .await
                        .unwrap_err()
                        .to_string()
                }
            }
        };
        assert_eq!(
            outcome(None).await,
            "the peer asks for a client certificate"
        );
        let stranger = Authority::new("Their CA").issue("a stranger").identity();
        let said = outcome(Some(stranger)).await;
        assert!(
            said.contains("does not trust the CA of our certificate"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_server_that_shares_no_version_is_told_apart() {
    if !has_openssl() {
        return;
    }
    let folder = Folder::new();
    let made = self_signed(HOST, as_made);
    let old = ["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let server = Server::start(&folder, &made, &old).await;
    let error = server
        .connect(&client(HOST, made.trust()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::BrokenOff(_) | Error::Incompatible(_)),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("version") || error.to_string().contains("TLS 1.2"),
        "{error}"
    );
}

/// Serves one `s_client` that says a line, and gives what it printed.
async fn serve(options: &ServerOptions, arguments: &[&str]) -> (Result<Info, Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve_at(&listener, &address, options, arguments).await
}

async fn serve_at(
    listener: &TcpListener,
    address: &str,
    options: &ServerOptions,
    arguments: &[&str],
) -> (Result<Info, Error>, String) {
    let all = ["s_client", "-connect", address, "-verify_return_error"];
    let all: Vec<&str> = all.iter().chain(arguments).copied().collect();
    let mut child = start(&all);
    let (stream, _) = within(listener.accept()).await.unwrap();
    let served = within(accept(stream, options)).await;
    let served = match served {
        Ok((mut stream, info)) => {
            let mut input = child.stdin.take().unwrap();
            within(input.write_all(b"hello\n")).await.unwrap();
            let mut line = String::new();
            within(async {
                BufReader::new(&mut stream)
                    .read_line(&mut line)
                    .await
                    .unwrap();
                let back: String = line.trim_end().chars().rev().collect();
                stream
                    .write_all(format!("{back}\n").as_bytes())
                    .await
                    .unwrap();
                stream.shutdown().await.unwrap();
            })
            .await;
            Ok(info)
        }
        Err(error) => Err(error),
    };
    (served, last_words(child).await)
}

#[tokio::test]
async fn openssl_talks_to_a_server_in_both_versions() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("Our CA");
    let options = ServerOptions::new(authority.issue(HOST).identity());
    let folder = Folder::new();
    let ca = folder.write("ca.pem", &authority.certificate);
    for (flag, version) in VERSIONS {
        let named = [
            flag,
            "-CAfile",
            &ca,
            "-servername",
            HOST,
            "-verify_hostname",
            HOST,
            "-keymatexport",
            "EXPORTER-Channel-Binding",
            "-keymatexportlen",
            "32",
        ];
        let (served, said) = serve(&options, &named).await;
        let info = served.unwrap();
        assert_eq!(info.version(), version);
        assert_eq!(info.server_name(), Some(HOST));
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("olleh"), "{said}");
        match info.exporter() {
            Some(exporter) => {
                let hex: String = exporter
                    .iter()
                    .map(|octet| format!("{octet:02X}"))
                    .collect();
                assert!(
                    said.contains(&format!("Keying material: {hex}")),
                    "{hex} {said}"
                );
            }
            None => assert_eq!(version, "TLSv1.2"),
        }
        // As the C engine does: no name at all.
        let (served, _) = serve(&options, &[flag, "-CAfile", &ca, "-noservername"]).await;
        assert_eq!(served.unwrap().server_name(), None);
    }
}

#[tokio::test]
async fn openssl_resumes_its_session() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("Our CA");
    let options = ServerOptions::new(authority.issue(HOST).identity());
    let folder = Folder::new();
    let ca = folder.write("ca.pem", &authority.certificate);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for (flag, version) in VERSIONS {
        let session = folder.path(version);
        let first = [flag, "-CAfile", &ca, "-sess_out", &session];
        let (served, said) = serve_at(&listener, &address, &options, &first).await;
        served.unwrap();
        assert!(said.contains(&format!("New, {version}")), "{said}");
        let second = [flag, "-CAfile", &ca, "-sess_in", &session];
        let (served, said) = serve_at(&listener, &address, &options, &second).await;
        served.unwrap();
        assert!(said.contains(&format!("Reused, {version}")), "{said}");
    }
}

#[tokio::test]
async fn a_server_asks_openssl_for_a_certificate() {
    if !has_openssl() {
        return;
    }
    let authority = Authority::new("Our CA");
    let options = ServerOptions {
        client_trust: Some(authority.trust()),
        require_client: true,
        ..ServerOptions::new(authority.issue(HOST).identity())
    };
    let folder = Folder::new();
    let ca = folder.write("ca.pem", &authority.certificate);
    let made = authority.issue("a client");
    let certificate = folder.write("client.pem", &made.certificate);
    let key = folder.write("client.key", &made.key);
    let stranger = Authority::new("Their CA").issue("a stranger");
    let strange_certificate = folder.write("stranger.pem", &stranger.certificate);
    let strange_key = folder.write("stranger.key", &stranger.key);
    let old = authority.issue_changed("an old client", expired);
    let old_certificate = folder.write("old.pem", &old.certificate);
    let old_key = folder.write("old.key", &old.key);
    for (flag, _) in VERSIONS {
        let base = [flag, "-CAfile", &ca];
        let with = |certificate, key| {
            let own = ["-cert", certificate, "-key", key];
            base.iter().copied().chain(own).collect::<Vec<&str>>()
        };
        let (served, said) = serve(&options, &with(&certificate, &key)).await;
        let info = served.unwrap();
        assert_eq!(info.peer_name().as_deref(), Some("a client"));
        info.verify(&authority.trust(), None).unwrap();
        assert!(said.contains("olleh"), "{said}");

        let (served, said) = serve(&options, &base).await;
        assert!(
            matches!(served, Err(Error::NoClientCertificate)),
            "{served:?}"
        );
        assert!(said.contains("alert"), "{said}");

        let (served, _) = serve(&options, &with(&strange_certificate, &strange_key)).await;
        assert_eq!(
            served.unwrap_err().to_string(),
            "the certificate of a stranger is not signed by any trusted CA; its issuer is CN=Their CA"
        );
        let (served, _) = serve(&options, &with(&old_certificate, &old_key)).await;
        assert_eq!(
            served.unwrap_err().to_string(),
            "the certificate of an old client expired on 2020-02-29 00:00:00 UTC"
        );
    }
}

#[tokio::test]
async fn openssl_refuses_our_certificate_and_we_hear_why() {
    if !has_openssl() {
        return;
    }
    let options = ServerOptions::new(self_signed(HOST, as_made).identity());
    for (flag, _) in VERSIONS {
        let (served, _) = serve(&options, &[flag]).await;
        let error = served.unwrap_err().to_string();
        assert_eq!(
            error,
            "the peer broke off the TLS handshake: it does not trust the CA of our certificate"
        );
    }
}

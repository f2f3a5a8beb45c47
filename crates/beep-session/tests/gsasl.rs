//! The mechanisms against those of GNU SASL, which the C engine is built on: its command line tool as a child
//! process, real tokens between the two.
//!
//! As a server the tool has no way to say yes to ANONYMOUS and EXTERNAL, so these two are tried as a client only.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy looks for tests in functions alone"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use beep_session::sasl::{
    Answer, ClientExchange, Credentials, Error, Mechanism, Question, ServerExchange, Step,
};

/// Long enough for a busy machine: only a tool that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The tool. It says a token, takes a line, and so on; after its last token it takes one more line, which it does not
/// look at.
struct Gsasl {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Gsasl {
    fn start(role: &str, mechanism: Mechanism, options: &[&str]) -> Self {
        let mut child = Command::new("gsasl")
            .args([role, "--no-cb", "--mechanism", mechanism.name()])
            .args(["--service", "beep", "--hostname", "localhost"])
            .args(["--quality-of-protection", "qop-auth"])
            .args(options)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let gsasl = Self {
            input: child.stdin.take(),
            child,
            lines,
        };
        assert_eq!(gsasl.line().as_deref(), Some(mechanism.name()));
        gsasl
    }

    fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("gsasl says nothing"),
        }
    }

    /// Its next token, or `None` when it has given up.
    fn token(&self) -> Option<Vec<u8>> {
        self.line()
            .map(|line| STANDARD.decode(line.trim()).unwrap())
    }

    fn say(&mut self, token: &[u8]) {
        // When it is gone, that is seen at the next token.
        let _ = writeln!(self.input.as_mut().unwrap(), "{}", STANDARD.encode(token));
    }

    /// Whether it thinks that all went well.
    fn ends_content(mut self) -> bool {
        self.input = None;
        self.child.wait().unwrap().success()
    }
}

impl Drop for Gsasl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the tool is there; where everything has to be, it is an error when it is not.
fn is_installed() -> bool {
    let found = Command::new("gsasl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("SKIPPED: gsasl is not installed (Debian: apt-get install gsasl)");
        assert!(std::env::var_os("CI").is_none(), "gsasl is not installed");
    }
    found
}

/// Our client with the tool as the server: whether both are content.
fn as_client(mechanism: Mechanism, password: &str) -> Result<bool, Error> {
    let credentials = Credentials::new(mechanism, "bob")
        .with_password(password)
        .with_authorization_id("alice");
    let mut client = ClientExchange::new(&credentials, "localhost", None, false)?;
    let options = [
        "--password=secret",
        "--realm=example.org",
        "--disable-cleartext-validate",
    ];
    let mut server = Gsasl::start("--server", mechanism, &options);
    let responses = match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha256 => 2,
        _ => 1,
    };
    for _ in 0..responses {
        let Some(challenge) = server.token() else {
            return Ok(false);
        };
        server.say(&client.respond(&challenge)?);
    }
    let Some(data) = server.token() else {
        return Ok(false);
    };
    client.finish(Some(&data))?;
    server.say(b"");
    Ok(server.ends_content())
}

#[test]
fn our_client_and_its_server_are_content_with_each_other() {
    if !is_installed() {
        return;
    }
    for mechanism in Mechanism::ALL {
        if mechanism.needs_password() {
            assert_eq!(as_client(mechanism, "secret"), Ok(true), "{mechanism}");
            assert_eq!(as_client(mechanism, "wrong"), Ok(false), "{mechanism}");
        }
    }
}

/// The tool as the client of our server: how it ends for us, what we were asked, and whether the tool is content.
fn as_server(
    mechanism: Mechanism,
    name: &str,
    password: &str,
    authorization_id: &str,
) -> (Step, Question, bool) {
    let options = [
        &format!("--authentication-id={name}"),
        &format!("--authorization-id={authorization_id}"),
        &format!("--password={password}"),
        "--realm=example.org",
        "--anonymous-token=guest@example.org",
    ];
    let mut client = Gsasl::start("--client", mechanism, &options);
    let realm = Some("example.org".to_owned());
    let mut server = ServerExchange::new(mechanism, false, realm, "localhost", None);
    let mut asked = None;
    loop {
        let token = client.token().unwrap();
        let step = match server.step(Some(&token)) {
            Step::Ask(question) => {
                asked = Some(question);
                server.answer(match mechanism.needs_password() {
                    true => Answer::Password("secret".to_owned()),
                    false => Answer::Accept,
                })
            }
            step => step,
        };
        match &step {
            Step::Challenge(challenge) => client.say(challenge),
            Step::Success { data, .. } => {
                if let Some(data) = data {
                    client.say(data);
                    assert_eq!(client.token().as_deref(), Some(&b""[..]), "{mechanism}");
                }
                client.say(b"");
                return (step, asked.unwrap(), client.ends_content());
            }
            _ => return (step, asked.unwrap(), false),
        }
    }
}

#[test]
fn its_client_and_our_server_are_content_with_each_other() {
    if !is_installed() {
        return;
    }
    for mechanism in Mechanism::ALL {
        for authorization_id in ["alice", ""] {
            let (step, question, is_content) =
                as_server(mechanism, "bob", "secret", authorization_id);
            assert!(
                matches!(step, Step::Success { .. }),
                "{mechanism}: {step:?}"
            );
            assert!(is_content, "{mechanism}");
            let named = match (mechanism, authorization_id) {
                (Mechanism::CramMd5 | Mechanism::Anonymous, _) => None,
                (Mechanism::Plain, "") => Some("bob"),
                (_, "") => None,
                (_, name) => Some(name),
            };
            assert_eq!(question.authorization_id.as_deref(), named, "{mechanism}");
        }
        if mechanism.needs_password() {
            let (step, ..) = as_server(mechanism, "bob", "wrong", "");
            assert_eq!(step, Step::Failure(Error::Denied), "{mechanism}");
            // It hashes such a name for DIGEST-MD5 in another way than RFC 2831 says.
            let (step, question, is_content) = as_server(mechanism, "björn", "secret", "");
            assert!(
                matches!(step, Step::Success { .. }),
                "{mechanism}: {step:?}"
            );
            assert_eq!(question.auth_id.as_deref(), Some("björn"));
            assert!(is_content, "{mechanism}");
        }
    }
}

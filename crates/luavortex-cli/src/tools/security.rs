//! TLS and SASL for tools: options, and what they make of a connection.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use beep_session::sasl::{AuthenticationError, Credentials, Error as SaslError, Mechanism};
use beep_session::tls::{CertificateFault, ClientOptions, Error as TlsError, Identity, Trust};
use beep_session::{Connection, Error};
use tokio::sync::oneshot;

use super::endpoint::Endpoint;
use super::failure::{Failure, Status};

/// What it takes to be let in.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct SecurityArguments {
    /// Encrypt the connection, and verify the peer's certificate
    #[arg(long, help_heading = SECURITY)]
    tls: bool,

    /// Trust the certificates in this PEM file, and those they sign, instead of those of the system
    #[arg(long, value_name = "FILE", help_heading = SECURITY)]
    ca: Option<PathBuf>,

    /// Take any certificate of the peer: the connection is encrypted, and nobody knows with whom
    #[arg(long, requires = "tls", conflicts_with = "ca", help_heading = SECURITY)]
    insecure: bool,

    /// Show this certificate (PEM) to a peer that asks for one
    #[arg(long, value_name = "FILE", requires_all = ["tls", "key"], help_heading = SECURITY)]
    cert: Option<PathBuf>,

    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = SECURITY)]
    key: Option<PathBuf>,

    /// Authenticate by this SASL mechanism, such as SCRAM-SHA-256, after TLS if there is any
    #[arg(long, value_name = "MECH", value_parser = mechanism, help_heading = SECURITY)]
    sasl: Option<Mechanism>,

    /// The name to authenticate as
    #[arg(long, value_name = "NAME", requires = "sasl", help_heading = SECURITY)]
    user: Option<String>,

    /// A file with the password in its first line; - is standard input
    #[arg(long, value_name = "FILE", requires = "sasl", help_heading = SECURITY)]
    password_file: Option<PathBuf>,
}

const SECURITY: &str = "TLS and SASL";

/// The same with all files read.
#[derive(Clone, Debug)]
pub(super) struct Security {
    pub(super) tls: Option<ClientOptions>,
    pub(super) credentials: Option<Credentials>,
    /// Whose certificates are good, also where `--tls` is not given and TLS only looked at.
    pub(super) trust: Trust,
}

impl SecurityArguments {
    /// Reads the files.
    pub(super) fn read(&self) -> Result<Security, Failure> {
        let trust = match &self.ca {
            None => Trust::System,
            Some(path) => Trust::from_pem(&read(path)?)
                .map_err(|error| Failure::local(format!("{}: {error}", path.display())))?,
        };
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some(read_identity(certificate, key)?),
            _ => None,
        };
        let tls = self.tls.then(|| ClientOptions {
            server_name: None,
            trust: if self.insecure {
                Trust::Nobody
            } else {
                trust.clone()
            },
            identity,
        });
        Ok(Security {
            tls,
            credentials: self.credentials()?,
            trust,
        })
    }

    /// Whether the password is on standard input.
    pub(super) fn reads_standard_input(&self) -> bool {
        self.password_file.as_deref().is_some_and(is_standard_input)
    }

    fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let Some(mechanism) = self.sasl else {
            return Ok(None);
        };
        let password = self
            .password_file
            .as_deref()
            .map(read_password)
            .transpose()?;
        let needs_user = mechanism != Mechanism::Anonymous && mechanism != Mechanism::External;
        if needs_user && self.user.is_none() {
            return Err(Failure::misuse(format!(
                "SASL {} needs a name: say --user NAME",
                mechanism.name()
            )));
        }
        if mechanism.needs_password() && password.is_none() {
            return Err(Failure::misuse(format!(
                "SASL {} needs a password: say --password-file FILE, or - for standard input",
                mechanism.name()
            )));
        }
        let mut credentials = Credentials::new(mechanism, self.user.clone().unwrap_or_default());
        credentials.password = password;
        Ok(Some(credentials))
    }
}

impl Security {
    /// Puts TLS in place and authenticates, as far as that is asked for.
    pub(super) async fn apply(
        &self,
        peer: &Endpoint,
        connection: Connection,
    ) -> Result<Connection, Failure> {
        let connection = match &self.tls {
            Some(options) => begin_tls(peer, &connection, options.clone()).await?,
            None => connection,
        };
        if let Some(credentials) = &self.credentials {
            authenticate(peer, &connection, credentials).await?;
        }
        Ok(connection)
    }
}

/// Puts TLS in place.
pub(super) async fn begin_tls(
    peer: &Endpoint,
    connection: &Connection,
    mut options: ClientOptions,
) -> Result<Connection, Failure> {
    // The certificate has to be that of the host that the user named, whatever the server was asked to act as.
    options.server_name.get_or_insert_with(|| peer.host.clone());
    let secured = connection.start_tls(options).await;
    secured.map_err(|error| match error {
        Error::Tls(error) => no_tls(peer, &error),
        error => Failure::no_session(&format_args!("{peer} over TLS"), &error),
    })
}

fn no_tls(peer: &Endpoint, error: &TlsError) -> Failure {
    let status = match error {
        TlsError::Refused(_) => Status::Refused,
        TlsError::NoAnswer | TlsError::TimedOut { .. } => Status::TimedOut,
        TlsError::BadServerName(_) => Status::Misuse,
        TlsError::Unreadable { .. }
        | TlsError::KeyMismatch
        | TlsError::NoSystemRoots(_)
        | TlsError::Setup(_) => Status::Local,
        TlsError::Transport(_) | TlsError::SessionEnded => Status::Unreachable,
        _ => Status::NotBeep,
    };
    let hint = match error {
        TlsError::Certificate {
            fault:
                CertificateFault::UnknownIssuer { .. }
                | CertificateFault::SelfSigned
                | CertificateFault::Authority,
            ..
        } => "; --ca FILE trusts another CA or this very certificate, --insecure takes any",
        TlsError::Certificate { .. } => "; --insecure takes any certificate",
        TlsError::ClientCertificateWanted => "; --cert FILE and --key FILE show one",
        TlsError::Refused(_) => "; without --tls it may serve you all the same",
        _ => "",
    };
    Failure::new(status, format!("no TLS with {peer}: {error}{hint}"))
}

/// Authenticates this side.
async fn authenticate(
    peer: &Endpoint,
    connection: &Connection,
    credentials: &Credentials,
) -> Result<(), Failure> {
    let (sender, receiver) = oneshot::channel();
    connection.session().authenticate(credentials, |outcome| {
        // Nobody waits any more after Ctrl-C.
        let _ = sender.send(outcome);
    });
    let outcome = receiver.await.unwrap_or(Err(AuthenticationError::Closed));
    outcome.map(drop).map_err(|error| {
        let (status, hint) = match &error {
            AuthenticationError::TimedOut => (
                Status::TimedOut,
                "; --timeout SECONDS waits longer".to_owned(),
            ),
            AuthenticationError::Closed => (Status::Unreachable, String::new()),
            AuthenticationError::Exchange(SaslError::Refused(_)) => {
                (Status::Refused, offer(connection))
            }
            AuthenticationError::Exchange(_) => (Status::NotBeep, String::new()),
            _ => (Status::Local, String::new()),
        };
        let name = credentials.mechanism.name();
        Failure::new(
            status,
            format!("{peer} does not authenticate us by {name}: {error}{hint}"),
        )
    })
}

/// What the peer offers in place of what it refused.
fn offer(connection: &Connection) -> String {
    let names = mechanisms(&connection.peer_profiles());
    if names.is_empty() {
        return "; it offers no SASL here".to_owned();
    }
    format!(
        "; it offers {}",
        super::terminal::visible(&names.join(", "))
    )
}

/// The names of the mechanisms among profiles, as they stand in the URIs.
pub(super) fn mechanisms(profiles: &[String]) -> Vec<String> {
    const SASL: &str = "http://iana.org/beep/SASL/";
    let names = profiles.iter().filter_map(|uri| uri.strip_prefix(SASL));
    names.map(str::to_owned).collect()
}

/// A mechanism by its name, in any case.
pub(super) fn mechanism(name: &str) -> Result<Mechanism, String> {
    Mechanism::from_name(name).ok_or_else(|| {
        "there is PLAIN, ANONYMOUS, EXTERNAL, CRAM-MD5, DIGEST-MD5, SCRAM-SHA-1 and SCRAM-SHA-256".to_owned()
    })
}

/// A certificate and its key.
pub(super) fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, Failure> {
    let identity = Identity::from_pem(&read(certificate)?, &read(key)?);
    identity.map_err(|error| {
        let files = format!("{} and {}", certificate.display(), key.display());
        Failure::local(format!("{files}: {error}"))
    })
}

/// The first line of a file, or of standard input.
pub(super) fn read_password(path: &Path) -> Result<String, Failure> {
    let content = if is_standard_input(path) {
        let mut content = Vec::new();
        let read = std::io::stdin().read_to_end(&mut content);
        read.map_err(|error| Failure::file("read", "standard input", &error))?;
        content
    } else {
        read(path)?
    };
    let line = content
        .split(|octet| *octet == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::local(format!(
            "there is no password in the first line of {}",
            path.display()
        )));
    }
    String::from_utf8(line.to_vec())
        .map_err(|_| Failure::local(format!("the password in {} is not UTF-8", path.display())))
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::file("read", path.display(), &error))
}

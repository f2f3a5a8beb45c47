//! What a probe found: printed line by line as it comes, or as one JSON object at the end.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use beep_session::core::TLS_URI;
use beep_session::{Error, ErrorReply, Greeting, sasl, tls};
use serde::Serialize;

use crate::tools::endpoint::Endpoint;
use crate::tools::failure::Failure;
use crate::tools::security::mechanisms;
use crate::tools::terminal::{self, BAD, DOUBTFUL, FAINT, GOOD, STRONG, paint, visible};

/// What a probe found so far.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    peer: String,
    #[serde(skip)]
    prints: bool,
    addresses: Vec<String>,
    address: Option<String>,
    greeting: Option<GreetingReport>,
    /// Names of the mechanisms that the greeting offers.
    sasl: Vec<String>,
    /// Null: not offered, or not tried.
    tls: Option<TlsReport>,
    /// Who this side is authenticated as.
    user: Option<String>,
    server_names: Vec<ServerNameTrial>,
    /// How the session ended: `agreed`, or why not.
    release: Option<String>,
    milliseconds: Times,
    /// Why the probe did not come to its end.
    pub(super) error: Option<String>,
}

#[derive(Debug, Serialize)]
struct GreetingReport {
    profiles: Vec<String>,
    features: Vec<String>,
    localize: Vec<String>,
}

/// What each step took; null for those that were not done.
#[derive(Debug, Default, Serialize)]
struct Times {
    resolve: Option<f64>,
    connect: Option<f64>,
    greeting: Option<f64>,
    /// The start of TLS, the handshake and the second greeting.
    tls: Option<f64>,
    /// TLS and SASL together, where both were asked for.
    sasl: Option<f64>,
    release: Option<f64>,
}

/// What came of TLS.
#[derive(Debug, Default, Serialize)]
struct TlsReport {
    /// Why there is none.
    error: Option<String>,
    version: Option<&'static str>,
    cipher: Option<String>,
    certificate: Option<CertificateReport>,
    /// Whether the certificate was or would have been accepted for the host; null with `--insecure`.
    is_trusted: Option<bool>,
    /// Why not.
    fault: Option<String>,
    /// What the peer offers over TLS.
    profiles: Vec<String>,
    /// Names of the mechanisms among those.
    sasl: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    subject: String,
    issuer: String,
    names: Vec<String>,
    not_before: String,
    not_after: String,
    sha256: Option<String>,
}

impl CertificateReport {
    fn of(info: &tls::Info) -> Option<Self> {
        let certificate = info.peer_certificate()?;
        Some(CertificateReport {
            subject: certificate.subject,
            issuer: certificate.issuer,
            names: certificate.names,
            not_before: date(certificate.not_before),
            not_after: date(certificate.not_after),
            sha256: info.peer_digest("sha256"),
        })
    }
}

/// A moment as RFC 3339 has it.
fn date(time: SystemTime) -> String {
    let time = time::OffsetDateTime::from(time);
    // Years beyond 9999 have no such form.
    time.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}

/// Whether the peer acts under a name.
#[derive(Debug, Serialize)]
pub(super) struct ServerNameTrial {
    /// Null: the start asked for none.
    pub(super) name: Option<String>,
    pub(super) profile: String,
    /// The name that the session has now.
    pub(super) in_force: Option<String>,
    /// Null: accepted.
    pub(super) refusal: Option<Refusal>,
    pub(super) milliseconds: f64,
}

/// A peer's no.
#[derive(Debug, Serialize)]
pub(super) struct Refusal {
    code: u16,
    text: String,
}

impl From<ErrorReply> for Refusal {
    fn from(error: ErrorReply) -> Self {
        Refusal {
            code: error.code.value(),
            text: error.text,
        }
    }
}

/// Thousandths of a second with three digits behind the point.
pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

impl Report {
    pub(super) fn new(peer: &Endpoint, prints: bool) -> Self {
        Report {
            peer: peer.to_string(),
            prints,
            addresses: Vec::new(),
            address: None,
            greeting: None,
            sasl: Vec::new(),
            tls: None,
            user: None,
            server_names: Vec::new(),
            release: None,
            milliseconds: Times::default(),
            error: None,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub(super) fn resolved(
        &mut self,
        took: Duration,
        addresses: &[SocketAddr],
    ) -> Result<(), Failure> {
        self.milliseconds.resolve = Some(milliseconds(took));
        self.addresses = addresses.iter().map(|one| one.ip().to_string()).collect();
        let text = self.addresses.join(", ");
        self.print("resolved", &text, Some(took))
    }

    pub(super) fn connected(
        &mut self,
        took: Duration,
        address: Option<SocketAddr>,
    ) -> Result<(), Failure> {
        self.milliseconds.connect = Some(milliseconds(took));
        self.address = address.map(|address| address.to_string());
        let text = self.address.clone().unwrap_or_default();
        self.print("connected", &text, Some(took))
    }

    pub(super) fn greeted(
        &mut self,
        took: Duration,
        greeting: Option<Greeting>,
    ) -> Result<(), Failure> {
        self.milliseconds.greeting = Some(milliseconds(took));
        let greeting = greeting.unwrap_or_default();
        let words = |text: Option<String>| -> Vec<String> {
            let text = text.unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let greeting = GreetingReport {
            profiles: greeting.profiles,
            features: words(greeting.features),
            localize: words(greeting.localize),
        };
        self.sasl = mechanisms(&greeting.profiles);

        let count = match greeting.profiles.len() {
            0 => "no profiles".to_owned(),
            1 => "1 profile".to_owned(),
            many => format!("{many} profiles"),
        };
        self.print("greeting", &count, Some(took))?;
        for uri in &greeting.profiles {
            self.print("", &visible(uri), None)?;
        }
        for (what, words) in [
            ("features", &greeting.features),
            ("languages", &greeting.localize),
            ("SASL", &self.sasl),
        ] {
            if !words.is_empty() {
                self.print(what, &visible(&words.join(" ")), None)?;
            }
        }
        self.greeting = Some(greeting);
        let tls = if self.offers_tls() {
            "offered"
        } else {
            "not offered"
        };
        self.print("TLS", tls, None)
    }

    pub(super) fn offers_tls(&self) -> bool {
        let mut profiles = self.greeting.iter().flat_map(|greeting| &greeting.profiles);
        profiles.any(|uri| uri == TLS_URI)
    }

    /// TLS is in place. `verified`: what checking the certificate came to, where the handshake did not.
    pub(super) fn secured(
        &mut self,
        took: Duration,
        info: &tls::Info,
        verified: Option<Result<(), tls::Error>>,
        profiles: Vec<String>,
    ) -> Result<(), Failure> {
        self.milliseconds.tls = Some(milliseconds(took));
        let text = format!("{} {}", info.version(), info.cipher());
        self.print("TLS", &text, Some(took))?;
        let certificate = CertificateReport::of(info);
        if let Some(certificate) = &certificate {
            let CertificateReport {
                subject,
                issuer,
                names,
                not_before,
                not_after,
                sha256,
            } = certificate;
            let validity = format!("{not_before} to {not_after}");
            for (what, text) in [
                ("certificate", subject.as_str()),
                ("  for", &names.join(", ")),
                ("  issuer", issuer),
                ("  valid", &validity),
                ("  SHA-256", sha256.as_deref().unwrap_or_default()),
            ] {
                self.print(what, &visible(text), None)?;
            }
        }
        let fault = match &verified {
            Some(Err(error)) => Some(error.to_string()),
            _ => None,
        };
        match (&verified, &fault) {
            (_, Some(fault)) => self.print(
                "  trusted",
                &paint(DOUBTFUL, format!("no: {}", visible(fault))).to_string(),
                None,
            )?,
            (Some(Ok(())), None) => {
                self.print("  trusted", &paint(GOOD, "yes").to_string(), None)?
            }
            (_, None) => {}
        }
        let sasl = mechanisms(&profiles);
        if sasl != self.sasl {
            self.print("  SASL", &visible(&sasl.join(" ")), None)?;
        }
        self.tls = Some(TlsReport {
            error: None,
            version: Some(info.version()),
            cipher: Some(info.cipher()),
            certificate,
            is_trusted: verified.map(|verified| verified.is_ok()),
            fault,
            profiles,
            sasl,
        });
        Ok(())
    }

    pub(super) fn tls_failed(&mut self, reason: &str) -> Result<(), Failure> {
        self.print("TLS", &paint(BAD, visible(reason)).to_string(), None)?;
        self.tls = Some(TlsReport {
            error: Some(reason.to_owned()),
            ..TlsReport::default()
        });
        Ok(())
    }

    pub(super) fn authenticated(
        &mut self,
        took: Duration,
        identity: &sasl::Identity,
    ) -> Result<(), Failure> {
        self.milliseconds.sasl = Some(milliseconds(took));
        let user = identity
            .auth_id
            .clone()
            .unwrap_or_else(|| "nobody in particular".to_owned());
        let text = format!("as {} by {}", visible(&user), identity.mechanism.name());
        self.print("SASL", &paint(GOOD, text).to_string(), Some(took))?;
        self.user = Some(user);
        Ok(())
    }

    /// The first profile offered that a program would use: nothing that changes the session.
    pub(super) fn ordinary_profile(&self) -> Option<String> {
        const SECURITY: &str = "http://iana.org/beep/";
        let profiles = self.greeting.iter().flat_map(|greeting| &greeting.profiles);
        let mut ordinary = profiles.filter(|uri| !uri.starts_with(SECURITY));
        ordinary.next().cloned()
    }

    pub(super) fn tried_server_name(&mut self, trial: ServerNameTrial) -> Result<(), Failure> {
        let name = match &trial.name {
            Some(name) => format!("'{}'", visible(name)),
            None => "none".to_owned(),
        };
        let outcome = match &trial.refusal {
            None => paint(GOOD, "accepted".to_owned()),
            Some(Refusal { code, text }) => {
                paint(DOUBTFUL, format!("refused: {code} {}", visible(text)))
            }
        };
        let text = format!("{name} {outcome}");
        self.print("serverName", &text, Some(took_of(trial.milliseconds)))?;
        self.server_names.push(trial);
        Ok(())
    }

    pub(super) fn released(
        &mut self,
        took: Duration,
        outcome: &Result<(), Error>,
    ) -> Result<(), Failure> {
        self.milliseconds.release = Some(milliseconds(took));
        let (style, text) = match outcome {
            Ok(()) => (GOOD, "agreed".to_owned()),
            Err(error) => (BAD, error.to_string()),
        };
        self.print(
            "release",
            &paint(style, visible(&text)).to_string(),
            Some(took),
        )?;
        self.release = Some(text);
        Ok(())
    }

    fn print(&self, what: &str, text: &str, took: Option<Duration>) -> Result<(), Failure> {
        if !self.prints {
            return Ok(());
        }
        let time = took.map_or_else(String::new, |took| {
            format!("{:.1} ms", took.as_secs_f64() * 1e3)
        });
        let what = paint(STRONG, format!("{what:<11}"));
        terminal::line(format!(
            "{what}{} {text}",
            paint(FAINT, format!("{time:>11} "))
        ))
    }
}

fn took_of(milliseconds: f64) -> Duration {
    Duration::from_secs_f64((milliseconds / 1e3).max(0.0))
}

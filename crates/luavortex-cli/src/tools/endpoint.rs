//! Peers: where they are, how long to wait for them, and how to get a session with one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use beep_session::{Config, ConnectOptions, Connection, Profiles, ServerName};

use super::failure::Failure;
use super::security::{Security, SecurityArguments};

/// `HOST:PORT`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name or a numeric address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXAMPLES: &str = "write HOST:PORT, such as localhost:10288 or [::1]:10288";
        if text.contains('/') {
            return Err(format!("this is no URL and has no path; {EXAMPLES}"));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| format!("there is no port; {EXAMPLES}"))?;
        let port = port
            .parse()
            .map_err(|_| format!("'{port}' is no port from 0 to 65535; {EXAMPLES}"))?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(format!("an IPv6 address needs brackets; {EXAMPLES}"));
        }
        let host = bracketed.unwrap_or(host);
        if host.is_empty() {
            return Err(format!("there is no host; {EXAMPLES}"));
        }
        Ok(Endpoint {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// How to get a session with a peer.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct SessionArguments {
    /// Time for the connection and the greeting together, and for each answer after that
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    timeout: Duration,

    /// Ask the peer to act under this name; default: the host, - for none
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    #[command(flatten)]
    pub(super) security: SecurityArguments,
}

impl SessionArguments {
    /// How to get to `peer`, with all files read that this takes.
    pub(super) fn target(&self, peer: &Endpoint) -> Result<Target, Failure> {
        let server_name = match self.server_name.as_deref() {
            Some("-") => ServerName::Omit,
            Some(name) => ServerName::Name(name.to_owned()),
            None => ServerName::Name(peer.host.clone()),
        };
        Ok(Target {
            peer: peer.clone(),
            timeout: self.timeout,
            server_name,
            security: self.security.read()?,
        })
    }
}

/// A peer, and how to get a session with it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) peer: Endpoint,
    pub(super) timeout: Duration,
    pub(super) server_name: ServerName,
    pub(super) security: Security,
}

impl Target {
    /// What the session is made with.
    pub(super) fn options(&self, config: Config) -> Result<ConnectOptions, Failure> {
        let config = Config {
            // The limit of the connection covers the greeting too, and is the one that is told.
            greeting_timeout: self.timeout + Duration::from_secs(1),
            reply_timeout: self.timeout,
            tls_timeout: self.timeout,
            authentication_timeout: self.timeout,
            ..config
        };
        Ok(ConnectOptions {
            limit: self.timeout,
            config: checked(config)?,
            server_name: self.server_name.clone(),
            profiles: Profiles::new(),
            ..ConnectOptions::default()
        })
    }

    /// Connects and exchanges greetings, without TLS and SASL.
    pub(super) async fn connect_plainly(&self, config: Config) -> Result<Connection, Failure> {
        let Target { peer, .. } = self;
        let options = self.options(config)?;
        Connection::connect(&peer.host, peer.port, options)
            .await
            .map_err(|error| Failure::no_session(peer, &error))
    }

    /// Connects, exchanges greetings, and puts in place what security is asked for.
    pub(super) async fn connect(&self, config: Config) -> Result<Connection, Failure> {
        let connection = self.connect_plainly(config).await?;
        self.security.apply(&self.peer, connection).await
    }
}

/// The settings, shared.
pub(super) fn checked(config: Config) -> Result<Arc<Config>, Failure> {
    config
        .checked()
        .map_err(|error| Failure::misuse(format!("that cannot work: {error}")))
}

/// A positive number of seconds, maybe with a fraction.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    const MOST: f64 = 365.0 * 24.0 * 3600.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= MOST => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a number of seconds is needed, such as 2.5".to_owned()),
    }
}

/// The URI of a profile. Peers may use any text for one, but none that a frame of XML or a person would trip over.
pub(super) fn profile(text: &str) -> Result<String, String> {
    if text.is_empty()
        || text.contains(|character: char| character.is_whitespace() || character.is_control())
    {
        return Err("a profile is named by a URI, such as urn:example:echo".to_owned());
    }
    Ok(text.to_owned())
}

/// A number of octets: `500`, `64k`, `10M`, `1G`.
pub(super) fn octets(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1 << 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 1 << 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 1 << 30),
        _ => (Some(text), 1),
    };
    digits
        .and_then(|digits| digits.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a number of octets is needed, such as 500, 64k or 10M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("localhost:602", "localhost", 602),
            ("[::1]:0", "::1", 0),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_told_why() {
        for (text, why) in [
            ("localhost", "no port"),
            ("localhost:http", "'http' is no port"),
            ("localhost:65536", "'65536' is no port"),
            ("::1:602", "brackets"),
            (":602", "no host"),
            ("http://localhost:602", "no URL"),
            ("localhost:602/", "no path"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_profile_has_a_name_without_space() {
        assert_eq!(
            profile("urn:example:echo").as_deref(),
            Ok("urn:example:echo")
        );
        for text in ["", " ", "two words", "urn:a\n"] {
            assert!(profile(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(octets("500"), Ok(500));
        assert_eq!(octets("64k"), Ok(65536));
        assert_eq!(octets("2G"), Ok(2 << 30));
        assert!(octets("k").is_err() && octets("1.5M").is_err() && octets("").is_err());
    }
}

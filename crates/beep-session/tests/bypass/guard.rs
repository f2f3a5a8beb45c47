//! A program that guards something: a profile for those who are authenticated, and nobody else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use beep_session::core::{Event, Greeting, Role};
use beep_session::sasl::{self, Answer, Mechanism};
use beep_session::{
    Application, Config, End, ErrorReply, ReplyCode, Services, Session, SessionOptions, Successor,
    Transport, tls,
};

pub(crate) const VAULT: &str = "urn:test:vault";

/// What it was asked and told.
#[derive(Default)]
pub(crate) struct Asked {
    /// Who waits to be let in, oldest first.
    pub(crate) authentications: VecDeque<sasl::Request>,
    pub(crate) tls: VecDeque<tls::Request>,
    /// The sessions there were, the last one last.
    pub(crate) sessions: Vec<Session>,
    pub(crate) ends: usize,
    pub(crate) end: Option<Arc<End>>,
    /// Channels of services, by their profile.
    pub(crate) service_channels: Vec<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Guard {
    asked: Arc<Mutex<Asked>>,
}

impl Guard {
    pub(crate) fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap()
    }

    /// The session that goes on.
    pub(crate) fn session(&self) -> Session {
        self.asked().sessions.last().unwrap().clone()
    }

    pub(crate) fn spawn(
        &self,
        transport: impl Transport + 'static,
        role: Role,
        config: Config,
        services: Services,
    ) -> Session {
        let options = SessionOptions {
            config: config.checked().unwrap(),
            role,
            greeting: Ok(greeting()),
            addresses: None,
            admission: None,
            services: Arc::new(services),
            server_name: (role == Role::Initiator).then(|| "host.example".to_owned()),
        };
        let session = Session::spawn(transport, options, Arc::new(self.clone()));
        self.asked().sessions.push(session.clone());
        session
    }
}

/// For tests with a paused clock. The protocol goes by the real one, so its limits are out of their way.
pub(crate) fn patient() -> Config {
    Config {
        reply_timeout: Duration::from_secs(100_000),
        greeting_timeout: Duration::from_secs(100_000),
        ..Config::default()
    }
}

/// Every mechanism, and TLS.
pub(crate) fn all_services() -> Services {
    let services = Services::new();
    for mechanism in Mechanism::ALL {
        services.accept_sasl(mechanism);
    }
    services.accept_tls();
    services
}

fn greeting() -> Greeting {
    Greeting {
        profiles: vec![VAULT.to_owned()],
        ..Greeting::default()
    }
}

/// Bob's password is "secret", Alice's is "other".
pub(crate) fn truth(question: &sasl::Question) -> Answer {
    let expected = match question.auth_id.as_deref() {
        Some("bob") => "secret",
        Some("alice") => "other",
        _ => return Answer::Deny,
    };
    match question.mechanism {
        Mechanism::Plain if question.password.as_deref() == Some(expected) => Answer::Accept,
        Mechanism::Plain => Answer::Deny,
        _ => Answer::Password(expected.to_owned()),
    }
}

impl Application for Guard {
    fn event(&self, session: &Session, event: Event) {
        match event {
            Event::StartRequested {
                number, profiles, ..
            } => {
                let is_vault = profiles[0].uri == VAULT;
                let _ = if is_vault && session.peer_identity().is_some() {
                    session.accept_start(number, 0, None)
                } else {
                    let error = ErrorReply::new(ReplyCode::NOT_AUTHORIZED, "who are you?");
                    session.refuse_start(number, error)
                };
            }
            Event::CloseRequested { number, .. } => {
                let _ = session.accept_close(number);
            }
            _ => {}
        }
    }

    fn ended(&self, _session: &Session, end: &Arc<End>) {
        let mut asked = self.asked();
        asked.ends += 1;
        asked.end = Some(end.clone());
    }

    fn authenticate(&self, _session: &Session, request: sasl::Request) {
        self.asked().authentications.push_back(request);
    }

    fn tls_requested(&self, _session: &Session, request: tls::Request) {
        self.asked().tls.push_back(request);
    }

    fn successor(&self) -> Option<Successor> {
        Some(Successor {
            application: Arc::new(self.clone()),
            greeting: greeting(),
        })
    }

    fn took_over(&self, session: &Session) {
        self.asked().sessions.push(session.clone());
    }

    fn service_channel(&self, _session: &Session, _number: beep_session::ChannelNumber, uri: &str) {
        self.asked().service_channels.push(uri.to_owned());
    }
}

//! From the engine to the queue of a Lua state: the application of every session that Lua uses.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use beep_session::core::{ChannelNumber, Config, ErrorReply, Event, Greeting, ReplyCode};
use beep_session::{
    Application, Driver, End, ListenerLimits, Services, Session, Successor, sasl, tls,
};

use crate::drivers::Drivers;
use crate::inbox::{Inbox, Notice, StartNotice};
use crate::tls::TlsSettings;

/// What engine tasks need to know of a context.
#[derive(Debug)]
pub(crate) struct Served {
    /// The profiles that the engine serves.
    pub(crate) services: Arc<Services>,
    state: Mutex<ServedState>,
}

#[derive(Clone, Debug)]
pub(crate) struct ServedState {
    /// The profiles that are registered, in order, and whether a handler decides about their starts.
    pub(crate) profiles: Vec<(String, bool)>,
    pub(crate) config: Arc<Config>,
    pub(crate) listener_limits: ListenerLimits,
    pub(crate) features: Option<String>,
    pub(crate) localize: Option<String>,
    pub(crate) tls: TlsSettings,
}

impl Served {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Served {
            services: Arc::default(),
            state: Mutex::new(ServedState {
                profiles: Vec::new(),
                config,
                listener_limits: ListenerLimits::default(),
                features: None,
                localize: None,
                tls: TlsSettings::default(),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ServedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServedState {
    pub(crate) fn greeting(&self) -> Greeting {
        Greeting {
            profiles: self.profiles.iter().map(|(uri, _)| uri.clone()).collect(),
            features: self.features.clone(),
            localize: self.localize.clone(),
        }
    }
}

/// The application of one session.
pub(crate) struct Bridge {
    key: u64,
    /// The key of the connection in whose place this one begins, after TLS.
    succeeds: Option<u64>,
    served: Arc<Served>,
    link: Arc<Link>,
}

/// From engine tasks to the Lua state that they work for.
pub(crate) struct Link {
    pub(crate) inbox: Arc<Inbox>,
    /// Not owned: they own the sessions, which refer to this.
    drivers: Weak<Drivers>,
    /// The last key given to a connection.
    keys: Arc<AtomicU64>,
}

impl Link {
    pub(crate) fn new(inbox: Arc<Inbox>, drivers: &Arc<Drivers>, keys: Arc<AtomicU64>) -> Self {
        Link {
            inbox,
            drivers: Arc::downgrade(drivers),
            keys,
        }
    }

    /// A key for a connection that Lua does not know yet.
    pub(crate) fn new_key(&self) -> u64 {
        self.keys.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Bridge {
    pub(crate) fn new(key: u64, served: Arc<Served>, link: Arc<Link>) -> Arc<Self> {
        Arc::new(Bridge {
            key,
            succeeds: None,
            served,
            link,
        })
    }

    fn tell(&self, notice: Notice) {
        self.link.inbox.push(notice);
    }

    /// Takes the first offer that is registered (RFC 3080 §2.3.1.2). Without a handler that has to be asked the
    /// start is answered here, so that a peer does not wait for a script that computes.
    fn start_requested(&self, session: &Session, event: Event) {
        let Event::StartRequested {
            number,
            profiles,
            server_name,
        } = event
        else {
            return;
        };
        let found = {
            let served = self.served.lock();
            let by_uri: HashMap<&str, bool> = served
                .profiles
                .iter()
                .map(|(uri, asks)| (uri.as_str(), *asks))
                .collect();
            profiles.iter().enumerate().find_map(|(index, offer)| {
                by_uri.get(offer.uri.as_str()).map(|asks| (index, *asks))
            })
        };
        let Some((index, asks)) = found else {
            let error = ErrorReply::new(ReplyCode::TRANSACTION_FAILED, "profile not supported");
            // The session may have ended since; then nobody waits for the answer.
            let _ = session.refuse_start(number, error);
            return;
        };
        if !asks && session.accept_start(number, index, None).is_err() {
            return;
        }
        let Some(offer) = profiles.into_iter().nth(index) else {
            return;
        };
        self.tell(Notice::Start(Box::new(StartNotice {
            key: self.key,
            number: number.value(),
            profile: offer.uri,
            content: offer.content,
            server_name,
            offer: asks.then_some(index),
        })));
    }
}

impl Application for Bridge {
    fn event(&self, session: &Session, event: Event) {
        match event {
            Event::StartRequested { .. } => self.start_requested(session, event),
            event => self.tell(Notice::Event(self.key, event)),
        }
    }

    fn serves(&self, uri: &str) -> bool {
        let served = self.served.lock();
        served.profiles.iter().any(|(served, _)| served == uri)
    }

    fn service_channel(&self, _session: &Session, number: ChannelNumber, uri: &str) {
        self.tell(Notice::Start(Box::new(StartNotice {
            key: self.key,
            number: number.value(),
            profile: uri.to_owned(),
            content: None,
            server_name: None,
            offer: None,
        })));
    }

    fn authenticate(&self, _session: &Session, request: sasl::Request) {
        self.tell(Notice::SaslRequest {
            key: self.key,
            request,
        });
    }

    fn tls_requested(&self, _session: &Session, request: tls::Request) {
        self.tell(Notice::TlsRequest {
            key: self.key,
            request,
        });
    }

    fn successor(&self) -> Option<Successor> {
        let bridge = Bridge {
            key: self.link.new_key(),
            succeeds: Some(self.key),
            served: self.served.clone(),
            link: self.link.clone(),
        };
        Some(Successor {
            application: Arc::new(bridge),
            greeting: self.served.lock().greeting(),
        })
    }

    fn took_over(&self, session: &Session) {
        if let Some(old) = self.succeeds {
            self.tell(Notice::Tuned {
                old,
                key: self.key,
                session: session.clone(),
            });
        }
    }

    fn ended(&self, _session: &Session, end: &Arc<End>) {
        self.tell(Notice::Ended(self.key, end.clone()));
    }

    fn spawn(&self, driver: Driver) {
        // When the engine is gone, the session goes too.
        if let Some(drivers) = self.link.drivers.upgrade() {
            drivers.spawn(driver).detach();
        }
    }
}

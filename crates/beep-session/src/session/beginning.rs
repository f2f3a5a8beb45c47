//! How sessions begin: over a transport, or over TLS in the place of another one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use beep_core::{Config, ErrorReply, Greeting, Role};

use super::{Addresses, Session, Shared, State};
use crate::application::{Application, Successor};
use crate::driver::Driver;
use crate::listener::Admission;
use crate::services::Services;
use crate::tls;
use crate::transport::Transport;

/// What to make a session of.
pub struct SessionOptions {
    /// Limits and deadlines.
    pub config: Arc<Config>,
    /// Which side of the connection this is.
    pub role: Role,
    /// The greeting to send (RFC 3080 §2.3.1.1), or the error to send in its place.
    pub greeting: Result<Greeting, ErrorReply>,
    /// Local and remote address, where the transport has them.
    pub addresses: Option<Addresses>,
    /// The place that a listener keeps for the session, freed with it.
    pub admission: Option<Admission>,
    /// The profiles that the session serves itself; the greeting offers them.
    pub services: Arc<Services>,
    /// The name that a start of TLS, SASL or ALIVE asks for while the session has none.
    pub server_name: Option<String>,
}

impl Session {
    /// Starts a session over `transport`, and gives what drives it to [`Application::spawn`]: by default a task of the
    /// current tokio runtime.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime, as [`tokio::spawn`] does, unless the application has another way.
    pub fn spawn(
        transport: impl Transport + 'static,
        options: SessionOptions,
        application: Arc<dyn Application>,
    ) -> Session {
        let protocol = beep_core::Session::new(options.role, options.config, Instant::now());
        let shared = Shared {
            id: Session::new_id(),
            application,
            addresses: options.addresses,
            services: options.services,
            server_name: options.server_name,
            has_services: AtomicBool::new(false),
            tls: None,
            state: Mutex::new(State::new(protocol)),
        };
        let session = Session::begin(shared, options.greeting);
        session.shared.application.spawn(Driver::new(
            session.clone(),
            Box::new(transport),
            options.admission,
        ));
        session
    }

    /// The session that goes on over TLS where another one ends; `host` is the name that this side asked for with TLS.
    /// Somebody has to drive it.
    pub(crate) fn after(
        old: &Session,
        protocol: beep_core::Session,
        host: Option<String>,
        successor: Successor,
        tls: tls::Info,
    ) -> Session {
        let shared = Shared {
            id: Session::new_id(),
            application: successor.application,
            addresses: old.shared.addresses,
            services: old.shared.services.clone(),
            server_name: host.or_else(|| old.shared.server_name.clone()),
            has_services: AtomicBool::new(false),
            tls: Some(Arc::new(tls)),
            state: Mutex::new(State::new(protocol)),
        };
        Session::begin(shared, Ok(successor.greeting))
    }

    fn new_id() -> u64 {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        NEXT_ID.fetch_add(1, Ordering::Relaxed)
    }

    /// Greets, with what the session serves itself, or refuses.
    fn begin(shared: Shared, greeting: Result<Greeting, ErrorReply>) -> Session {
        let session = Session {
            shared: Arc::new(shared),
        };
        let mut state = session.shared.state();
        let protocol = &mut state.protocol;
        match greeting {
            // A fresh session takes a greeting; what XML cannot carry is reported by the peer's
            // silence otherwise.
            Ok(mut greeting) => {
                let profiles = &mut greeting.profiles;
                for uri in session.shared.services.uris(session.is_tls()) {
                    if !profiles.contains(&uri) {
                        profiles.push(uri);
                    }
                }
                if let Err(error) = protocol.greet(&greeting) {
                    tracing::error!(%error, "the greeting cannot be sent");
                    protocol.abort();
                }
            }
            Err(error) => protocol.refuse(error),
        }
        drop(state);
        session
    }
}

impl State {
    fn new(protocol: beep_core::Session) -> State {
        State {
            protocol,
            driver: None,
            reading: true,
            last_words: Vec::new(),
            end: None,
            services: HashMap::new(),
            received: 0,
            identity: None,
            is_authenticating: false,
            authentication_failures: 0,
            handshake: None,
        }
    }
}

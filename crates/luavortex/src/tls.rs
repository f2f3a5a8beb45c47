//! `vortex.tls`: encryption of a session, and what certificates say.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beep_session::core::{ErrorReply, ReplyCode};
use beep_session::tls::{ClientOptions, Error, Identity, Request, ServerOptions, Trust};
use mlua::{Lua, Table, Value};

use crate::bridge::Served;
use crate::connection::{ConnectionState, state_of};
use crate::convert::{self, At};
use crate::ctx::ctx_of;
use crate::export::{Failure, export};
use crate::inbox::Notice;
use crate::state::State;
use crate::status;

/// What a context says of certificates.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    /// What is trusted, if anything was said of it.
    trust: Option<Trust>,
    /// Whether handshakes check the peer's certificate.
    verify: bool,
    /// On a listener: whether clients have to show one.
    require_client: bool,
    /// The certificate of this side as a client.
    identity: Option<Identity>,
}

/// TLS starts of peers that wait for their handlers.
#[derive(Default)]
pub(crate) struct Requests {
    waiting: RefCell<HashMap<u64, (Request, Arc<Served>)>>,
}

impl Requests {
    pub(crate) fn keep(&self, number: u64, request: Request, served: Arc<Served>) {
        self.waiting.borrow_mut().insert(number, (request, served));
    }

    fn take(&self, number: u64) -> Option<(Request, Arc<Served>)> {
        self.waiting.borrow_mut().remove(&number)
    }
}

/// The number that scripts know a failure by.
pub(crate) fn failure_code(error: &Error) -> i64 {
    match error {
        Error::Refused(refusal) => refusal.code.value().into(),
        Error::NoAnswer | Error::TimedOut { .. } => status::CONNECTION_TIMEOUT,
        Error::HungUp | Error::Transport(_) | Error::SessionEnded => status::PEER_LEFT,
        _ => status::ERROR,
    }
}

/// Says once that nothing is verified, and how that is changed.
fn warn_of_no_verification() {
    static WAS_SAID: AtomicBool = AtomicBool::new(false);
    if !WAS_SAID.swap(true, Ordering::Relaxed) {
        eprintln!(
            "vortex: TLS connections are encrypted, but the server's certificate is not verified, so anybody could be \
             the server. Call vortex.tls.set_trust (ctx, {{ ca = \"system\" }}), or set LUAVORTEX_TLS_VERIFY=system \
             in the environment; set_trust (ctx, {{ verify = false }}) leaves it so and says nothing."
        );
    }
}

/// What a client goes by.
fn client_trust(settings: &TlsSettings) -> Trust {
    match &settings.trust {
        Some(trust) if settings.verify => trust.clone(),
        Some(_) => Trust::Nobody,
        None if std::env::var("LUAVORTEX_TLS_VERIFY").is_ok_and(|value| value == "system") => {
            Trust::System
        }
        None => {
            warn_of_no_verification();
            Trust::Nobody
        }
    }
}

/// PEM text, given as such or as the path of a file that holds it.
fn pem(text: &[u8], what: &str) -> Result<Vec<u8>, String> {
    const MARK: &[u8] = b"-----BEGIN ";
    if text.windows(MARK.len()).any(|window| window == MARK) {
        return Ok(text.to_vec());
    }
    let path = String::from_utf8_lossy(text);
    if path.is_empty() {
        return Err(format!("the path of the {what} is empty"));
    }
    std::fs::read(&*path).map_err(|error| format!("cannot read the {what} {path}: {error}"))
}

fn identity(certificate: &[u8], key: &[u8]) -> Result<Identity, String> {
    let certificate = pem(certificate, "certificate file")?;
    let key = pem(key, "key file")?;
    Identity::from_pem(&certificate, &key).map_err(|error| error.to_string())
}

/// Begins TLS as the client. The outcome comes as events: the new session, or why there is none.
fn start(lua: &Lua, (object, server_name): (Value, Value)) -> Result<u64, Failure> {
    let connection = state_of(&object, At("start_tls", 1, "connection"))?;
    let server_name = convert::optional(&server_name, |name| {
        convert::text(lua, name, At("start_tls", 2, "server_name"))
    })?;
    let session = connection.live_session()?;
    let settings = connection.ctx.served.lock().tls.clone();
    let options = ClientOptions {
        server_name,
        trust: client_trust(&settings),
        identity: settings.identity,
    };
    let state = State::of(lua);
    let engine = state.engine()?;
    let inbox = engine.inbox.clone();
    let key = connection.key;
    let _runtime = engine.runtime().enter();
    session.start_tls(options, move |result| {
        // The new session is told of by itself.
        if let Err(error) = result {
            inbox.push(Notice::TlsFailed { key, error });
        }
    });
    Ok(key)
}

/// Answers a peer's start of TLS with a certificate and its key, or refuses it.
fn answer(lua: &Lua, (number, certificate, key): (u64, Value, Value)) -> Result<(), Failure> {
    let Some((request, served)) = State::of(lua).tls_requests.take(number) else {
        return Ok(());
    };
    let refusal = || ErrorReply::new(ReplyCode::SERVICE_NOT_AVAILABLE, "TLS is not available now");
    let (Value::String(certificate), Value::String(key)) = (&certificate, &key) else {
        request.refuse(refusal());
        return Ok(());
    };
    let settings = served.lock().tls.clone();
    match identity(&certificate.as_bytes(), &key.as_bytes()) {
        Ok(identity) => {
            request.accept(ServerOptions {
                identity,
                client_trust: settings.trust.filter(|_| settings.verify),
                require_client: settings.require_client,
            });
            Ok(())
        }
        Err(problem) => {
            request.refuse(refusal());
            Err(Failure::new(status::ERROR, problem))
        }
    }
}

/// What `set_trust` is given.
fn trust(table: &Value) -> Result<TlsSettings, Failure> {
    let at = At("set_trust", 2, "trust");
    let Value::Table(table) = table else {
        return Err(at.wants("table", table).into());
    };
    let mut settings = TlsSettings {
        verify: true,
        ..TlsSettings::default()
    };
    let mut ca = None;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| at.says(&error.to_string()))?;
        let name = key
            .as_string()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default();
        let flag = |value: &Value| {
            value
                .as_boolean()
                .ok_or_else(|| at.says(&format!("{name} has to be a boolean")))
        };
        match name.as_str() {
            "ca" => {
                let Value::String(text) = value else {
                    return Err(at
                        .says("ca has to be a path, a text in PEM, or \"system\"")
                        .into());
                };
                ca = Some(text);
            }
            "verify" => settings.verify = flag(&value)?,
            "require_client" => settings.require_client = flag(&value)?,
            _ => {
                let known = "ca, verify and require_client";
                let got = if name.is_empty() {
                    convert::describe(&key)
                } else {
                    format!("'{name}'")
                };
                return Err(at
                    .says(&format!("there is no field {got}; there are {known}"))
                    .into());
            }
        }
    }
    let failed = |problem: String| Failure::new(status::ERROR, problem);
    settings.trust = match &ca {
        Some(ca) if ca.as_bytes() != *b"system" => {
            let text = pem(&ca.as_bytes(), "certificate file").map_err(failed)?;
            Some(Trust::from_pem(&text).map_err(|error| failed(error.to_string()))?)
        }
        _ => Some(Trust::System),
    };
    Ok(settings)
}

/// Checks the peer's certificate after the fact: by the trust of the context, or that of the system.
fn verify(connection: &ConnectionState) -> Result<bool, Failure> {
    let failed = |problem: String| Failure::new(status::ERROR, problem);
    let session = connection.live_session()?;
    let Some(info) = session.tls() else {
        return Err(failed("the connection has no TLS".into()));
    };
    let settings = connection.ctx.served.lock().tls.clone();
    let trust = settings.trust.unwrap_or(Trust::System);
    // A client has no name that this side would expect.
    let name = connection.tls_server_name();
    info.verify(&trust, name.as_deref())
        .map_err(|error| failed(error.to_string()))?;
    Ok(true)
}

/// What is known of the TLS of a connection.
fn information(lua: &Lua, connection: &ConnectionState) -> mlua::Result<Value> {
    let session = connection.session().filter(|session| session.is_alive());
    let Some(info) = session.and_then(|session| session.tls()) else {
        return Ok(Value::Nil);
    };
    let table = lua.create_table()?;
    table.raw_set("version", info.version())?;
    table.raw_set("cipher", info.cipher())?;
    table.raw_set("server_name", info.server_name())?;
    table.raw_set("peer_name", info.peer_name())?;
    Ok(Value::Table(table))
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    export(lua, primitives, "tls_init", |_, ctx: Value| {
        ctx_of(&ctx, At("init", 1, "ctx"))?;
        Ok(true)
    })?;
    export(lua, primitives, "tls_start", start)?;
    export(lua, primitives, "tls_answer", answer)?;
    // Offers TLS; the handlers stay on the Lua side.
    export(lua, primitives, "tls_accept", |_, ctx: Value| {
        let ctx = ctx_of(&ctx, At("accept_tls", 1, "ctx"))?;
        ctx.served.services.accept_tls();
        Ok(ctx.key)
    })?;
    export(
        lua,
        primitives,
        "is_tls",
        |_, (object, function): (Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            Ok(connection
                .session()
                .is_some_and(|session| session.is_alive() && session.tls().is_some()))
        },
    )?;
    export(
        lua,
        primitives,
        "tls_set_trust",
        |_, (ctx, table): (Value, Value)| {
            let ctx = ctx_of(&ctx, At("set_trust", 1, "ctx"))?;
            let settings = trust(&table)?;
            let tls = &mut ctx.served.lock().tls;
            let identity = tls.identity.take();
            *tls = TlsSettings {
                identity,
                ..settings
            };
            Ok(true)
        },
    )?;
    export(
        lua,
        primitives,
        "tls_set_identity",
        |lua, (ctx, certificate, key): (Value, Value, Value)| {
            let ctx = ctx_of(&ctx, At("set_identity", 1, "ctx"))?;
            let certificate =
                convert::octets(lua, &certificate, At("set_identity", 2, "certificate"))?;
            let key = convert::octets(lua, &key, At("set_identity", 3, "key"))?;
            let identity = identity(&certificate.as_bytes(), &key.as_bytes())
                .map_err(|problem| Failure::new(status::ERROR, problem))?;
            ctx.served.lock().tls.identity = Some(identity);
            Ok(true)
        },
    )?;
    export(lua, primitives, "tls_verify_cert", |_, object: Value| {
        verify(&*state_of(&object, At("verify_cert", 1, "connection"))?)
    })?;
    export(
        lua,
        primitives,
        "tls_peer_digest",
        |lua, (object, algorithm): (Value, Value)| {
            let connection = state_of(&object, At("peer_digest", 1, "connection"))?;
            let at = At("peer_digest", 2, "algorithm");
            let algorithm =
                convert::optional(&algorithm, |algorithm| convert::text(lua, algorithm, at))?
                    .unwrap_or_else(|| "sha256".into());
            const KNOWN: &[&str] = &["sha1", "sha256", "sha384", "sha512"];
            if !KNOWN.contains(&algorithm.as_str()) {
                return Err(at
                    .says(&format!(
                        "unknown digest '{algorithm}', there are {}",
                        KNOWN.join(", ")
                    ))
                    .into());
            }
            let session = connection.live_session()?;
            let info = session
                .tls()
                .ok_or_else(|| Failure::new(status::ERROR, "the connection has no TLS"))?;
            info.peer_digest(&algorithm)
                .ok_or_else(|| Failure::new(status::ERROR, "the peer showed no certificate"))
        },
    )?;
    export(lua, primitives, "tls_info", |lua, object: Value| {
        let connection = state_of(&object, At("info", 1, "connection"))?;
        information(lua, &connection).map_err(|error| Failure::new(status::MEMORY, error))
    })
}

//! `vortex.sasl`: who is at the other end of a connection, and being somebody there.

use std::cell::RefCell;
use std::collections::HashMap;

use beep_session::sasl::{
    Answer, AuthenticationError, Credentials, Identity, Mechanism, Question, Request,
};
use mlua::{Lua, Table, Value};

use crate::connection::state_of;
use crate::convert::{self, At};
use crate::ctx::ctx_of;
use crate::export::{Failure, Misuse, export};
use crate::inbox::Notice;
use crate::state::State;
use crate::status;

/// Names of the mechanisms in the module.
const MECHANISMS: &[(&str, Mechanism)] = &[
    ("PLAIN", Mechanism::Plain),
    ("ANONYMOUS", Mechanism::Anonymous),
    ("EXTERNAL", Mechanism::External),
    ("CRAM_MD5", Mechanism::CramMd5),
    ("DIGEST_MD5", Mechanism::DigestMd5),
    ("SCRAM_SHA_1", Mechanism::ScramSha1),
    ("SCRAM_SHA_256", Mechanism::ScramSha256),
];

/// Authentications of peers that wait for their handler.
#[derive(Default)]
pub(crate) struct Requests {
    waiting: RefCell<HashMap<u64, Request>>,
}

impl Requests {
    pub(crate) fn keep(&self, number: u64, request: Request) {
        self.waiting.borrow_mut().insert(number, request);
    }

    fn take(&self, number: u64) -> Option<Request> {
        self.waiting.borrow_mut().remove(&number)
    }
}

fn known_names() -> String {
    let names: Vec<&str> = MECHANISMS
        .iter()
        .map(|(_, mechanism)| mechanism.name())
        .collect();
    names.join(", ")
}

fn mechanism(name: &str) -> Result<Mechanism, Failure> {
    Mechanism::from_name(name).ok_or_else(|| {
        Failure::new(
            status::ERROR,
            format!(
                "unknown SASL mechanism '{name}': there are {}",
                known_names()
            ),
        )
    })
}

/// The number that scripts know a failed authentication by.
pub(crate) fn failure_code(error: &AuthenticationError) -> i64 {
    match error {
        AuthenticationError::Closed => status::PEER_LEFT,
        AuthenticationError::TimedOut => status::CONNECTION_TIMEOUT,
        other => other
            .reply_code()
            .map_or(status::ERROR, |code| code.value().into()),
    }
}

type StartArguments = (Value, Value, Value, Value, Value, Value);

/// Begins to authenticate this side; the outcome comes as an event with the number returned.
fn start(
    lua: &Lua,
    (object, profile, id, password, authorization_id, realm): StartArguments,
) -> Result<u64, Failure> {
    let function = "start_auth";
    let connection = state_of(&object, At(function, 1, "connection"))?;
    let name = convert::text(lua, &profile, At(function, 2, "profile"))?;
    let auth_id = convert::text(lua, &id, At(function, 3, "auth_id"))?;
    let optional = |value: &Value, position, name| {
        convert::optional(value, |value| {
            convert::text(lua, value, At(function, position, name))
        })
    };
    let password = optional(&password, 4, "password")?;
    let authorization_id = optional(&authorization_id, 5, "authorization_id")?;
    let realm = optional(&realm, 6, "realm")?;
    let credentials = Credentials {
        mechanism: mechanism(&name)?,
        auth_id,
        password,
        authorization_id,
        realm,
    };
    let session = connection.live_session()?;
    let state = State::of(lua);
    let operation = state.new_number();
    let engine = state.engine()?;
    let inbox = engine.inbox.clone();
    let key = connection.key;
    let _runtime = engine.runtime().enter();
    session.authenticate(&credentials, move |result| {
        inbox.push(Notice::Authenticated {
            key,
            operation,
            result: result.map(|_| ()),
        });
    });
    Ok(operation)
}

/// What a handler is shown.
pub(crate) fn properties(lua: &Lua, question: &Question) -> mlua::Result<Table> {
    let properties = lua.create_table()?;
    properties.raw_set("mech", question.mechanism.uri())?;
    properties.raw_set("auth_id", question.auth_id.as_deref())?;
    properties.raw_set("authorization_id", question.authorization_id.as_deref())?;
    properties.raw_set("password", question.password.as_deref())?;
    properties.raw_set("anonymous_token", question.anonymous_token.as_deref())?;
    properties.raw_set("realm", question.realm.as_deref())?;
    properties.raw_set("server_name", question.server_name.as_deref())?;
    if question.channel_binding {
        properties.raw_set("channel_binding", true)?;
    }
    Ok(properties)
}

/// Whom the peer has proved to be.
fn identity_table(lua: &Lua, identity: Identity) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("mech", identity.mechanism.uri())?;
    table.raw_set("auth_id", identity.auth_id)?;
    table.raw_set("authorization_id", identity.authorization_id)?;
    table.raw_set("realm", identity.realm)?;
    Ok(table)
}

/// Keys in place of a password, see RFC 5802 §3.
fn stored_keys(lua: &Lua, table: &Table) -> Result<Answer, Misuse> {
    let wrong = |field: &str, what: &str| {
        Misuse(format!(
            "the stored keys that a SASL handler returns are a table {{ salt, iterations, stored_key, server_key }}: \
             {field} {what}"
        ))
    };
    let octets = |field: &str| match table.raw_get::<Value>(field) {
        Ok(Value::String(octets)) => Ok(octets.as_bytes().to_vec()),
        _ => Err(wrong(field, "has to be a string of octets")),
    };
    let iterations = table.raw_get::<Value>("iterations").unwrap_or(Value::Nil);
    let iterations = convert::whole(lua, &iterations, At("", 0, ""))
        .ok()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| wrong("iterations", "has to be a whole number above 0"))?;
    Ok(Answer::StoredKeys {
        salt: octets("salt")?,
        iterations,
        stored_key: octets("stored_key")?,
        server_key: octets("server_key")?,
    })
}

/// What a handler returned, as an answer. `return_password`: the field of the properties that the handler may set.
fn answer(
    lua: &Lua,
    question: &Question,
    result: &Value,
    return_password: bool,
) -> Result<Answer, Misuse> {
    Ok(match result {
        Value::Boolean(true) => Answer::Accept,
        // A string from a careless handler must not let everybody in.
        Value::String(password)
            if question.mechanism.needs_password()
                && (return_password || question.mechanism != Mechanism::Plain) =>
        {
            let password = password.to_str().map_err(|_| {
                Misuse("the password that a SASL handler returned is not UTF-8".into())
            })?;
            Answer::Password(password.to_owned())
        }
        Value::Table(keys)
            if matches!(
                question.mechanism,
                Mechanism::ScramSha1 | Mechanism::ScramSha256
            ) =>
        {
            stored_keys(lua, keys)?
        }
        _ => Answer::Deny,
    })
}

pub(crate) fn register(lua: &Lua, primitives: &Table) -> mlua::Result<()> {
    let mechanisms = lua.create_table()?;
    for (name, mechanism) in MECHANISMS {
        mechanisms.raw_set(*name, mechanism.uri())?;
    }
    primitives.raw_set("sasl_mechanisms", mechanisms)?;
    export(lua, primitives, "sasl_init", |_, ctx: Value| {
        ctx_of(&ctx, At("init", 1, "ctx"))?;
        Ok(true)
    })?;
    export(lua, primitives, "sasl_start", start)?;
    // Who is authenticated: the URI of the mechanism, and the name.
    export(
        lua,
        primitives,
        "sasl_identity",
        |_, (object, function): (Value, String)| {
            let connection = state_of(&object, At(&function, 1, "connection"))?;
            let identity = connection
                .session()
                .filter(|session| session.is_alive())
                .and_then(|session| session.identity());
            Ok(identity.map_or((None, None), |identity| {
                (Some(identity.mechanism.uri()), identity.auth_id)
            }))
        },
    )?;
    export(
        lua,
        primitives,
        "sasl_peer_identity",
        |lua, object: Value| {
            let connection = state_of(&object, At("peer_identity", 1, "connection"))?;
            let identity = connection
                .session()
                .filter(|session| session.is_alive())
                .and_then(|session| session.peer_identity());
            identity
                .map(|identity| identity_table(lua, identity))
                .transpose()
                .map_err(|error| Failure::new(status::MEMORY, error))
        },
    )?;
    // Offers a mechanism; the handler stays on the Lua side.
    export(
        lua,
        primitives,
        "sasl_accept",
        |lua, (ctx, profile): (Value, Value)| {
            let ctx = ctx_of(&ctx, At("accept_mech", 1, "ctx"))?;
            let name = convert::text(lua, &profile, At("accept_mech", 2, "profile"))?;
            let mechanism = mechanism(&name)?;
            ctx.served.services.accept_sasl(mechanism);
            Ok((ctx.key, mechanism.uri()))
        },
    )?;
    export(
        lua,
        primitives,
        "sasl_require_tls",
        |_, (ctx, flag): (Value, Value)| {
            let ctx = ctx_of(&ctx, At("require_tls", 1, "ctx"))?;
            let at = At("require_tls", 2, "required");
            let required =
                convert::optional(&flag, |flag| convert::boolean(flag, at))?.unwrap_or(true);
            ctx.served.services.require_tls_for_passwords(required);
            Ok(())
        },
    )?;
    export(
        lua,
        primitives,
        "sasl_set_realm",
        |lua, (ctx, realm): (Value, Value)| {
            let ctx = ctx_of(&ctx, At("set_realm", 1, "ctx"))?;
            let realm = convert::optional(&realm, |realm| {
                convert::text(lua, realm, At("set_realm", 2, "realm"))
            })?;
            ctx.served.services.set_sasl_realm(realm);
            Ok(())
        },
    )?;
    // The handler has ended. Misuse tells that it returned what cannot be used, and then the peer is refused.
    export(
        lua,
        primitives,
        "sasl_answer",
        |lua, (number, result, return_password): (u64, Value, Value)| {
            let Some(request) = State::of(lua).sasl_requests.take(number) else {
                return Ok(());
            };
            let return_password = matches!(return_password, Value::Boolean(true));
            // Dropping the request refuses.
            let answer = answer(lua, request.question(), &result, return_password)?;
            request.answer(answer);
            Ok(())
        },
    )
}

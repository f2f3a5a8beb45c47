//! SCRAM: salted hashes of the password that prove both sides to each other, bound to the TLS session where there
//! is one (RFC 5802, RFC 7677).

mod binding;
mod client;
mod keys;
mod message;
mod server;
#[cfg(test)]
mod tests;

use super::{Answer, Error, Mechanism};
use keys::{Hash, Keys};

pub(super) use binding::ClientBinding;
pub(super) use client::Client;
pub(super) use server::Server;

/// How often a server here repeats the hash of a password: what RFC 7677 §4 asks for at least. A program that
/// wants more keeps keys instead, whose work is done once.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// How often a client here repeats the hash at most: a server could keep it busy for minutes otherwise.
pub const MOST_ITERATIONS: u32 = 1_000_000;

/// See [`Answer::stored_keys`].
pub(super) fn stored_keys(
    mechanism: Mechanism,
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<Answer, Error> {
    let hash = Hash::of(mechanism).ok_or(Error::Unusable {
        field: "mechanism",
        reason: "has no stored keys",
    })?;
    if iterations == 0 || salt.is_empty() {
        return Err(Error::Unusable {
            field: "salt or number of iterations",
            reason: "is empty",
        });
    }
    let password = super::crypto::saslprep(password, "password")?;
    let keys = Keys::new(hash, &password, salt, iterations);
    Ok(Answer::StoredKeys {
        salt: salt.to_vec(),
        iterations,
        stored_key: keys.stored_key,
        server_key: keys.server_key,
    })
}

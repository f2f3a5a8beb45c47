//! DIGEST-MD5: the password hashed with challenges of both sides and a realm; the server proves itself too
//! (RFC 2831). Only authentication: no layers that sign or encrypt, no faster second authentication.

mod client;
mod directives;
mod response;
mod server;
#[cfg(test)]
mod tests;

use super::{Error, Mechanism};

pub(super) use client::Client;
pub(super) use server::Server;

const MECHANISM: Mechanism = Mechanism::DigestMd5;

/// The count of uses of a nonce (RFC 2831 §2.1.2): ours are used once.
const FIRST_USE: &str = "00000001";

/// What stands in `digest-uri` in front of the host: the service name of BEEP (RFC 3080 §4.1).
const SERVICE: &str = "beep/";

fn bad(reason: &'static str) -> Error {
    Error::BadToken {
        mechanism: MECHANISM,
        reason,
    }
}

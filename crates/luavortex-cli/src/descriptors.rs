//! How many descriptors the process may have open: a listener needs one for each connection.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit to what the system allows the process to set itself.
///
/// The usual soft limit, 1024, is there for programs that use `select`, which is none of ours.
pub(crate) fn raise_limit() {
    // Where it cannot be raised, the limit stays, and whoever meets it is told by the call that fails.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    if soft < hard {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

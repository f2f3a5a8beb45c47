//! Ctrl-C and SIGTERM while a tool works.

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// Does `work`, unless Ctrl-C comes first.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = requested() => Err(Failure::interrupted()),
    }
}

/// Waits for Ctrl-C, or the SIGTERM that ends services.
pub(super) async fn requested() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        // Without a handler the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

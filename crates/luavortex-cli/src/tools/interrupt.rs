//! Ctrl-C and SIGTERM while a tool works.

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// Does `work`, unless Ctrl-C comes first.
pub(super) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let interrupted = requested();
    tokio::select! {
        outcome = work => outcome,
        () = interrupted => Err(Failure::interrupted()),
    }
}

/// Waits for Ctrl-C, or the SIGTERM that ends services. What comes after the call counts, polled or not.
pub(super) fn requested() -> impl Future<Output = ()> {
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    async {
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
            // Without a handler the signals end the process by themselves.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

//! When a process is asked to end.

/// Waits until the process is asked to end: SIGTERM or Ctrl-C on Unix, Ctrl-C elsewhere.
///
/// If signals cannot be listened to, it waits for ever and says so in the log.
pub async fn shutdown_signal() {
    if let Err(error) = asked_to_end().await {
        tracing::warn!(%error, "signals cannot be listened to: the worker will not drain when the process is asked to end");
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn asked_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn asked_to_end() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

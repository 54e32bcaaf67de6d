//! When to end: SIGTERM or SIGINT asks for a drain, a second one for the end at once. SIGHUP asks for the configuration to be read again, unless it
//! says that the terminal is gone on which the daemon was started: then it asks for a drain, too.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code after a second signal: as a shell reports SIGINT.
pub const EXIT_AT_ONCE: i32 = 130;

/// The signals that ask this process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on; the signals no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one, and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP, from whoever changed the configuration, or from a terminal that was closed.
#[derive(Debug)]
pub struct Hangups {
    hangup: Signal,
    on_terminal: bool,
}

/// What SIGHUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// To read the configuration again.
    Reload,
    /// To end: there is no terminal any more on which somebody could end it.
    End,
}

impl Hangups {
    /// Listens from now on; the signal no longer ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, on_terminal: has_terminal() })
    }

    /// Waits for one. Several that come meanwhile are one.
    pub async fn next(&mut self) -> Hangup {
        self.hangup.recv().await;
        if self.on_terminal && !has_terminal() { Hangup::End } else { Hangup::Reload }
    }
}

/// A terminal that was hung up is none any more.
fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

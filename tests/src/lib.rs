//! What the whole-system tests share: real `graftd` and worker processes in temporary directories ([`cluster`], [`member`],
//! [`workers`]) or a daemon in the test's own process ([`in_process`]), the load they are put under ([`load`]), waiting for conditions
//! ([`wait`]), the simulations ([`loop_sim`], [`cluster_sim`]), what must never be otherwise ([`invariants`]), inputs that nobody would send
//! ([`fuzz`]), disks that forget ([`power`]), and real clusters that are broken in every way that this machine can do, under load, with a
//! judge ([`torture`]). [`footprint`] measures what a daemon costs that has nothing to do.
//!
//! The processes are built from this package's own binaries (`graftd-under-test` is the daemon's `main`, nothing else), so that a test never
//! runs a stale one. Everything listens on loopback; every process is a child of the test and is killed with it.
//!
//! A test that measures has the machine for itself ([`alone`]) and shows what it found ([`figure`]).

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::{Mutex, MutexGuard};

pub mod bridge;
pub mod cluster;
pub mod cluster_sim;
pub mod failover;
pub mod footprint;
pub mod fuzz;
pub mod http;
pub mod in_process;
pub mod invariants;
pub mod load;
pub mod loop_sim;
pub mod member;
pub mod overload;
pub mod power;
pub mod small_disk;
pub mod soak;
pub mod torture;
pub mod wait;
pub mod walls;
pub mod workers;

/// Says which of this package's binaries a process is to be, where one can be several.
pub const AS: &str = "GRAFT_TESTS_AS";

/// Path of one of this package's binaries: cargo puts them beside the folder of the running test. A binary that starts others is not built together
/// with them, and is each of them itself: see [`being_another`].
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    if !test.parent().is_some_and(|folder| folder.ends_with("deps")) {
        return test;
    }
    let path = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps").join(name);
    assert!(path.exists(), "{} is missing: run the tests with cargo, which builds it", path.display());
    path
}

/// The command that runs one of them.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    command.env(AS, name);
    command
}

/// For the `main` of a binary that starts others: what it ends with, if it was started to be one of them.
pub fn being_another() -> Option<ExitCode> {
    match std::env::var(AS).ok()?.as_str() {
        "graftd-under-test" => Some(power::main_from_args()),
        "test-worker" => Some(workers::main_from_args()),
        torture::arena::WORKER => Some(torture::worker::main_from_args()),
        _ => None,
    }
}

/// Keeps the other tests of the same file waiting: beside each other they would measure each other.
pub async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// Shows a figure, also when the test passes: the harness captures what is printed, but not what is written to standard error.
pub fn figure(figure: impl Display) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // One write, so that lines of several threads do not mix. Nobody fails for a reader that went away.
    let _ = std::io::stderr().write_all(format!("    {test}: {figure}\n").as_bytes());
}

/// Whether a test is left out, since what it needs cannot be had here; that is told. Where `GRAFT_TESTS_NEED_NAMESPACES` is set, it fails instead.
///
/// # Panics
/// It is set, and they cannot be had.
pub fn left_out(possible: Result<(), String>) -> bool {
    let Err(why) = possible else { return false };
    assert!(std::env::var_os("GRAFT_TESTS_NEED_NAMESPACES").is_none(), "{why}");
    figure(format_args!("NOT RUN: {why}"));
    true
}

/// SIGTERM to a child of ours, at once; what is returned waits for it to end by itself.
fn terminate(mut child: Child) -> impl Future<Output = ExitStatus> {
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).expect("our own child takes a signal");
    let ended = tokio::task::spawn_blocking(move || child.wait());
    async { ended.await.expect("no panic").expect("our own child can be waited for") }
}

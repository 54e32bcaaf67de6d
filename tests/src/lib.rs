//! What the whole-system tests share: real `graftd` and worker processes in temporary directories ([`cluster`], [`member`],
//! [`workers`]), the load they are put under ([`load`]), waiting for conditions ([`wait`]), and the simulation ([`loop_sim`]).
//!
//! The processes are built from this package's own binaries (`graftd-under-test` is the daemon's `main`, nothing else), so that a test never
//! runs a stale one. Everything listens on loopback; every process is a child of the test and is killed with it.

pub mod cluster;
pub mod http;
pub mod load;
pub mod loop_sim;
pub mod member;
pub mod wait;
pub mod workers;

/// Path of one of this package's binaries: cargo puts them beside the folder of the running test.
pub fn binary(name: &str) -> std::path::PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let path = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps").join(name);
    assert!(path.exists(), "{} is missing: run the tests with cargo, which builds it", path.display());
    path
}

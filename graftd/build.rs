//! Tells the program what it was built from: see `src/built.rs`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=GRAFT_COMMIT");
    let commit = env::var("GRAFT_COMMIT").unwrap_or_default();
    println!("cargo:rustc-env=GRAFT_BUILT_COMMIT={}", if commit.is_empty() { "unknown" } else { &commit });
    let said = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    // `rustc 1.95.0 (hash date)`
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    println!("cargo:rustc-env=GRAFT_BUILT_RUSTC={}", said.split(' ').nth(1).unwrap_or("unknown"));
}

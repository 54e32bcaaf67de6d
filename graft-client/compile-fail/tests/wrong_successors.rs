//! What the types of the SDK protect from, with the words of the compiler.
//!
//! After a change that is meant: `TRYBUILD=overwrite cargo test -p graft-compile-fail`, and read the difference: a program must fail for the
//! reason that its first line names.

use std::process::Command;

/// The compiler whose words stand beside the programs. Others choose other words: with those, only what does compile is tried.
const WORDS_OF: &str = env!("CARGO_PKG_RUST_VERSION");

#[test]
fn wrong_successors_do_not_compile() {
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())).arg("--version").output().expect("a compiler");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let cases = trybuild::TestCases::new();
    cases.pass("tests/cases/right.rs");
    if version.starts_with(&format!("rustc {WORDS_OF}.")) {
        cases.compile_fail("tests/cases/wrong_*.rs");
    } else {
        println!("the wrong programs are not tried: their errors are kept in the words of rustc {WORDS_OF}, and this is {version}");
    }
}

//! The documentation is built, and no link in it is broken, nothing public is without words.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_documentation_has_no_broken_link() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["doc", "--quiet", "--no-deps", "--all-features", "-p", "graft-client", "-p", "graft-proto"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings -D rustdoc::broken_intra_doc_links -D missing_docs");
    let output = cargo.stdin(Stdio::null()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the README names in backticks as a file is one.
#[test]
fn the_readme_names_no_file_that_is_not_there() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(home.join("README.md")).expect("a README");
    let named: Vec<&str> = readme.split('`').skip(1).step_by(2).filter(|text| text.ends_with(".rs") && !text.contains(' ')).collect();
    assert!(!named.is_empty());
    for file in named {
        assert!(home.join(file).is_file(), "README.md names {file}");
    }
}

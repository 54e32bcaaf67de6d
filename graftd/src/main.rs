//! `graftd`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    graftd::main_from_args()
}

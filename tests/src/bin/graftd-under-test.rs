//! The daemon's own `main`, built with the tests so that it is never older than they are.

fn main() -> std::process::ExitCode {
    graftd::main_from_args()
}

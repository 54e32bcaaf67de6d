//! The daemon's own `main`, built with the tests so that it is never older than they are. A variable of the environment puts it on a disk that
//! loses what was not synced: see `graft_tests::power`.

fn main() -> std::process::ExitCode {
    graft_tests::power::main_from_args()
}

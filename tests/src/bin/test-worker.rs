//! A worker process for the tests: `test-worker URLS NAME all|without-ends`.

fn main() -> std::process::ExitCode {
    graft_tests::workers::main_from_args()
}

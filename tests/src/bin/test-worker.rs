//! A worker process for the tests: `test-worker URLS NAME`.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (urls, name) = (args.next().ok_or("URLS is missing")?, args.next().ok_or("NAME is missing")?);
    graft_tests::workers::run(&urls, &name).await
}

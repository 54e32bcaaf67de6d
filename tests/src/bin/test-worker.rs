//! A worker process for the tests: `test-worker URLS NAME all|without-ends`.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [urls, name, nodes] if nodes == "all" || nodes == "without-ends" => graft_tests::workers::run(urls, name, nodes == "all").await,
        _ => Err("usage: test-worker URLS NAME all|without-ends".into()),
    }
}

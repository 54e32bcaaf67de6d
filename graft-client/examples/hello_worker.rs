//! A worker in twenty lines: `cargo run -p graft-client --example hello_worker -- --addr http://127.0.0.1:7420`
use clap::Parser;
use graft_client::{Client, ClientError, Next, NodeContext, Outcome, Worker, shutdown_signal};

/// Greets, and then waves.
#[derive(Parser)]
pub struct Options {
    /// Server to work for.
    #[arg(long, default_value = "http://127.0.0.1:7420")]
    pub addr: String,
}

#[tokio::main]
async fn main() -> Result<(), ClientError> {
    tracing_subscriber::fmt().init(); // what the worker has to say goes to the log
    run(Options::parse(), shutdown_signal()).await
}

/// Works until it is asked to end.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), ClientError> {
    // TLS and a token, where members ask for them: GRAFT_TLS_CA, GRAFT_TOKEN_FILE and so on.
    Worker::builder(Client::builder(options.addr).from_env()?.build()?)
        .node_fn("greet", |cx: NodeContext, _: (), name: Option<String>| async move {
            let greeting = format!("Hello, {}!", name.as_deref().unwrap_or(cx.workflow_id()));
            Ok(Outcome::done().merge(&serde_json::json!({ "greeting": greeting })).next(Next::named("wave", ())))
        })
        .node_fn("wave", |_, _: (), _: ()| async { Ok(Outcome::done().increment("/waves", 1)) })
        .run_until(shutdown)
        .await
}

//! The worker process of the torture: executes the steps of [`Program`]s, writes each execution to the ledger, and only then answers.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use graft_client::{CanStart, Client, Failure, Next, Node, NodeContext, NodeOptions, NodeResult, Outcome, Retry, Worker, shutdown_signal};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::leases::NARROW_AT_ONCE;
use super::ledger::{Ledger, Row, now_ms};
use super::program::{ACT, Does, GATE, LETTER, Mark, Marks, NARROW, Program};
use super::registers::{PATCHED, REGISTER};

/// How long attempts may run on when a worker is asked to end.
const DRAIN_GRACE: Duration = Duration::from_secs(2);
/// Attempts of each node at once.
const AT_ONCE: u32 = 64;

/// Every failure is tried again, and workers that are lost count as failures: the last attempt must never come.
pub fn retry() -> Retry {
    Retry::fixed(Duration::from_millis(100)).attempts(10_000)
}

/// A first task or a successor that runs a program.
pub fn task(program: &Program) -> Next {
    Next::named(program.does.node(), program).retry(retry())
}

/// Executes a step.
async fn execute(ledger: &Ledger, cx: NodeContext, state: Marks, program: Program) -> NodeResult<Marks> {
    let execution = uuid::Uuid::new_v4().as_u64_pair().0 >> 1;
    let row = Row {
        run: cx.run(),
        task: cx.task(),
        attempt: cx.attempt(),
        lease: cx.lease(),
        step: program.step,
        execution,
        key: xxh3_64(cx.idempotency_key().as_bytes()),
        began_ms: now_ms(),
        ended_ms: None,
    };
    // The side effect comes first: who is killed after it has executed all the same.
    ledger.write(&row).map_err(|error| Failure::retryable(format!("the ledger: {error}")))?;
    if cx.failures() < program.fails {
        return Err(Failure::retryable("on purpose"));
    }
    if program.does == Does::Letter && state.redriven.is_none() {
        return Err(Failure::permanent("until an operator helps"));
    }
    if program.takes_ms > 0 {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(program.takes_ms.into())) => {}
            () = cx.cancellation().cancelled() => return Err(Failure::retryable("it is to stop")),
        }
    }
    if program.does == Does::Narrow {
        ledger.ended(execution).map_err(|error| Failure::retryable(format!("the ledger: {error}")))?;
    }
    let mut outcome = Outcome::done().append("/done", &Mark(program.step, execution)).increment("/count", 1);
    for next in &program.next {
        outcome = outcome.next(task(next));
    }
    Ok(match (program.fan.as_slice(), &program.join) {
        ([], _) => outcome,
        (fan, Some(join)) => outcome.fan_out(fan.iter().map(task)).join(task(join)),
        (fan, None) => outcome.fan_out(fan.iter().map(task)).without_join(),
    })
}

/// The node that few attempts may run of at once.
struct Narrow(Arc<Ledger>);

impl Node for Narrow {
    const NAME: &'static str = NARROW;
    type State = Marks;
    type Config = Program;

    async fn execute(&self, cx: NodeContext, state: Marks, program: Program) -> NodeResult<Marks> {
        execute(&self.0, cx, state, program).await
    }
}

struct Gate(Arc<Ledger>);

impl Node for Gate {
    const NAME: &'static str = GATE;
    type State = Marks;
    type Config = Program;

    async fn execute(&self, cx: NodeContext, state: Marks, program: Program) -> NodeResult<Marks> {
        execute(&self.0, cx, state, program).await
    }

    fn can_start(&self, _cx: &NodeContext, state: &Marks, program: &Program) -> CanStart {
        match program.does {
            Does::Gate(on) if !state.done.iter().any(|mark| mark.0 == on) => CanStart::No.wake_on(["/done"]),
            _ => CanStart::Yes,
        }
    }
}

/// Runs until SIGTERM.
///
/// # Errors
/// The ledger cannot be opened, or the cluster refuses this worker.
pub async fn run(urls: &str, name: &str, ledger: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let ledger = Arc::new(Ledger::open(ledger)?);
    let act = {
        let ledger = ledger.clone();
        move |cx: NodeContext, state: Marks, program: Program| {
            let ledger = ledger.clone();
            async move { execute(&ledger, cx, state, program).await }
        }
    };
    Worker::builder(Client::connect(urls)?)
        .name(name)
        .concurrency(AT_ONCE)
        .drain_grace(DRAIN_GRACE)
        .node_fn(ACT, act.clone())
        .node_fn(LETTER, act)
        .node_with(Narrow(ledger.clone()), NodeOptions::new().cluster_limit(NARROW_AT_ONCE))
        .node_with(Gate(ledger), NodeOptions::new())
        .node_fn(REGISTER, |_cx: NodeContext, _state: Value, _config: Value| async move { Ok(Outcome::done()) })
        // Never done: whoever wants to write gives it another chance, together with a patch of the state.
        .node_fn(PATCHED, |_cx: NodeContext, _state: Value, _config: Value| async move {
            Err::<Outcome<Value>, _>(Failure::permanent(json!("as always")))
        })
        .run_until(shutdown_signal())
        .await?;
    Ok(())
}

/// As a process: `URLS NAME LEDGER`.
pub fn main_from_args() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ran = match args.as_slice() {
        [urls, name, ledger] => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(run(urls, name, ledger.as_ref()))
        }
        _ => Err("a worker of the torture needs URLS NAME LEDGER".into()),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("torture-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

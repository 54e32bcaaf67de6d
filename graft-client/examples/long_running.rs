//! Long-running work with progress: a copy that takes hours says how far it is, and the next attempt goes on from there.
//!
//! `cargo run -p graft-client --example long_running` starts a server of its own; `--addr URL` takes another one.

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use graft_client::proto::event::Happened;
use graft_client::{Node, NodeContext, NodeResult, Outcome, Retry, StartWorkflow, WorkerBuilder};
use serde::{Deserialize, Serialize};
use stage::{Options, Stage};

#[path = "stage/mod.rs"]
mod stage;

/// What is to be copied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// How many files.
    pub files: u32,
    /// How long each takes, in milliseconds.
    pub file_ms: u64,
    /// The connection breaks after this one, the first time.
    pub breaks_after: u32,
}

/// What the workflow knows in the end.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copied {
    /// Files in all.
    pub files: u32,
    /// Files that the last attempt had to copy.
    pub in_the_last_attempt: u32,
}

struct Copy;

impl Node for Copy {
    const NAME: &'static str = "copy";
    type State = Copied;
    type Config = Job;

    async fn execute(&self, cx: NodeContext, _: Copied, job: Job) -> NodeResult<Copied> {
        let done_before = cx.earlier_progress().parse().unwrap_or(0); // what the attempt before reported last
        for file in done_before + 1..=job.files {
            tokio::time::sleep(Duration::from_millis(job.file_ms)).await;
            cx.progress(file.to_string()); // sent with the next heartbeat, and kept when the attempt ends
            if file == job.breaks_after && cx.failures() == 0 {
                return Err(std::io::Error::new(std::io::ErrorKind::BrokenPipe, format!("broken after file {file}")).into());
            }
        }
        Ok(Outcome::state(Copied { files: job.files, in_the_last_attempt: job.files - done_before }))
    }
}

/// The nodes of this example.
pub fn nodes(worker: WorkerBuilder) -> WorkerBuilder {
    worker.node(Copy)
}

/// A workflow that copies, and tries again soon after a failure.
pub fn copy(job: Job) -> StartWorkflow {
    StartWorkflow::new("copy").node(Copy::with(job).retry(Retry::fixed(Duration::from_millis(500))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (progress, copied) = run(Options::parse()).await?;
    println!("the first attempt came as far as file {progress}; {copied:?}");
    Ok(())
}

/// Copies ten files over a line that breaks once; how far the first attempt came, as the server knows it, and what was copied.
pub async fn run(options: Options) -> Result<(String, Copied), Box<dyn Error>> {
    let stage = Stage::set(options, nodes).await?;
    stage.client.start(copy(Job { files: 10, file_ms: 20, breaks_after: 6 })).await?;
    let workflow = stage.client.workflow("copy");
    let mut progress = String::new();
    let mut events = workflow.watch();
    while let Some(event) = events.next().await {
        if let Some(Happened::TaskFailed(failed)) = event?.happened {
            progress = workflow.task(failed.task).get().await?.task.progress; // kept with the task while it waits for its next attempt
        }
    }
    let copied = workflow.result().await?;
    stage.clear().await?;
    Ok((progress, copied))
}

#[cfg(test)]
mod tests {
    use graft_client::testing::{TestEngine, completed, failed};

    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    #[tokio::test]
    async fn no_file_is_copied_twice_after_a_failure() {
        let mut engine = TestEngine::new(nodes);
        engine.start(copy(Job { files: 1_000, file_ms: HOUR_MS, breaks_after: 700 })).unwrap();
        engine.run_until(|engine| engine.workflow("copy").tasks()[0].failures == 1).await;
        assert_eq!(engine.workflow("copy").tasks()[0].progress, "700");
        engine.run_until_idle().await;
        engine.workflow("copy").assert_completed().assert_seen([failed("copy").saying("broken after file 700"), completed("copy")]);
        assert_eq!(engine.workflow("copy").state::<Copied>(), Copied { files: 1_000, in_the_last_attempt: 300 });
        assert_eq!(engine.elapsed().as_secs() / 3_600, 1_000);
    }

    #[tokio::test]
    async fn a_worker_that_dies_leaves_its_progress_behind() {
        let mut engine = TestEngine::new(nodes);
        engine.lose("copy", 1);
        engine.start(copy(Job { files: 5, file_ms: 1, breaks_after: 0 })).unwrap();
        engine.run_until_idle().await;
        assert_eq!(engine.workflow("copy").assert_completed().state::<Copied>(), Copied { files: 5, in_the_last_attempt: 0 });
    }
}

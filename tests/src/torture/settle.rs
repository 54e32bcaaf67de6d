//! After the faults: everything that was accepted comes to its end, operators help those that need it, and then every workflow is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use graft_client::proto::WorkflowStatus;
use graft_client::{Client, ClientError, ListFilter, status_name};

use super::arena::Arena;
use super::judge::Found;
use super::load::{Shared, try_to_help};
use super::oracle::{Start, workflow_id, workflow_number};

/// How long everything may take to end once nothing is broken any more.
pub const END_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Reads at once.
const READS_AT_ONCE: usize = 48;
/// How often a read is tried; by now, nothing is broken.
const READ_TRIES: u32 = 5;

/// Waits until no workflow of the load is open, or the time is over. How long it took.
pub async fn settle(arena: &mut Arena, shared: &Shared) -> Duration {
    let begun = Instant::now();
    let mut client = 0;
    while begun.elapsed() < END_WITHIN {
        arena.tend();
        client += 1;
        match open(shared, shared.client(client)).await {
            Ok(0) => break,
            Ok(_) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
    begun.elapsed()
}

/// How many are open. Those that wait for an operator get one.
async fn open(shared: &Shared, client: &Client) -> Result<usize, ClientError> {
    let mut open = 0;
    for status in [WorkflowStatus::Paused, WorkflowStatus::Failed, WorkflowStatus::Cancelling, WorkflowStatus::Running] {
        for number in numbers(client, status).await? {
            open += 1;
            match status {
                WorkflowStatus::Paused => drop(client.workflow(workflow_id(number)).resume("torture").await),
                WorkflowStatus::Failed => drop(try_to_help(shared, number).await),
                _ => {}
            }
        }
    }
    Ok(open)
}

/// Workflows of the load with this status.
async fn numbers(client: &Client, status: WorkflowStatus) -> Result<BTreeSet<u64>, ClientError> {
    let (mut all, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let page = client.list(ListFilter::new().status(status).limit(1000).cursor(cursor)).await?;
        all.extend(page.workflows.iter().filter_map(|workflow| workflow_number(&workflow.workflow_id)));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => return Ok(all),
        }
    }
}

/// Reads every workflow that was asked for, through all members.
///
/// # Errors
/// One cannot be read.
pub async fn read_all(shared: &Shared, starts: &[Start]) -> Result<BTreeMap<u64, Found>, String> {
    let read = stream::iter(starts.iter().map(|start| start.number)).map(|number| read_one(shared, number)).buffer_unordered(READS_AT_ONCE);
    let all: Vec<Result<Option<(u64, Found)>, String>> = read.collect().await;
    all.into_iter().filter_map(Result::transpose).collect()
}

async fn read_one(shared: &Shared, number: u64) -> Result<Option<(u64, Found)>, String> {
    let mut last = String::new();
    for tried in 0..READ_TRIES {
        match shared.client(number + u64::from(tried)).workflow(workflow_id(number)).get().await {
            Ok(found) => {
                shared.reads.fetch_add(1, Ordering::Relaxed);
                let tasks: Vec<String> = found
                    .tasks
                    .iter()
                    .map(|task| {
                        format!("task {} ({}) is {}, attempt {}: {}", task.task, task.node, task.state, task.attempt, task.last_error)
                    })
                    .collect();
                let marks = found.state_as().map_err(|error| format!("{}: {error}", workflow_id(number)))?;
                let waits_for = if tasks.is_empty() { found.summary.reason.clone() } else { tasks.join("; ") };
                let status = status_name(found.status()).to_owned();
                let ended = found.has_ended();
                return Ok(Some((number, Found { run: found.summary.run, status, ended, waits_for, marks })));
            }
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

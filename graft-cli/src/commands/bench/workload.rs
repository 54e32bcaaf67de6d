//! The shapes of workflows that are started, and the workers that execute them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use graft_client::{Client, Next, NodeContext, NodeOptions, Outcome, RawJson, StartWorkflow, Worker};

use crate::cli::local::{Bench, Workload};
use crate::error::CliResult;

/// How long what a benchmark leaves behind is kept once it has ended.
pub(crate) const RETENTION: Duration = Duration::from_secs(600);

/// Most attempts of a node that a worker of the bench takes at once.
const CAPACITY_MAX: u32 = 10_000;

/// What is started and how it is executed. All names are unique to the run.
#[derive(Debug)]
pub(crate) struct Plan {
    name: String,
    workload: Workload,
    steps: u32,
    width: u32,
    write: bool,
    capacity: u32,
    leaf_capacity: u32,
    state: RawJson,
    counted: Arc<Counted>,
}

/// What the workers did.
#[derive(Debug, Default)]
struct Counted {
    executed: AtomicU64,
    repeats: AtomicU64,
}

impl Plan {
    /// As the flags ask for.
    pub(crate) fn new(args: &Bench) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let capacity = |tasks: u32| tasks.div_ceil(args.workers).clamp(1, CAPACITY_MAX);
        Self {
            name: format!("bench-{}", &id[..8]),
            workload: args.workload,
            steps: args.steps,
            width: args.width,
            write: args.write,
            capacity: capacity(args.concurrency),
            leaf_capacity: capacity(args.concurrency.saturating_mul(args.width)),
            state: state(args.payload as usize),
            counted: Arc::default(),
        }
    }

    /// Steps of one workflow.
    pub(crate) fn steps_per_workflow(&self) -> u64 {
        match self.workload {
            Workload::Single => 1,
            Workload::Chain => self.steps.into(),
            Workload::Fanout => u64::from(self.width) + 2,
        }
    }

    /// Steps that the workers have executed so far.
    pub(crate) fn executed(&self) -> u64 {
        self.counted.executed.load(Ordering::Relaxed)
    }

    /// Those of them that were not the first attempt of their task.
    pub(crate) fn repeats(&self) -> u64 {
        self.counted.repeats.load(Ordering::Relaxed)
    }

    /// Whether a worker of this name belongs to the run.
    pub(crate) fn is_mine(&self, worker: &str) -> bool {
        worker.starts_with(&self.name)
    }

    /// Id of a workflow.
    pub(crate) fn workflow_id(&self, lane: u32, sequence: u64) -> String {
        format!("{}-{lane}-{sequence}", self.name)
    }

    /// The workflow with this id.
    pub(crate) fn start(&self, id: &str) -> StartWorkflow {
        let first = match self.workload {
            Workload::Single => Next::raw(self.node("step"), number(1)),
            Workload::Chain => Next::raw(self.node("step"), number(self.steps)),
            Workload::Fanout => Next::raw(self.node("fan"), number(self.width)),
        };
        StartWorkflow::new(id).request_id(id).state_json(self.state.clone()).retention(RETENTION).node(first)
    }

    /// Whether the final state is the right one: with `--write` every step has counted itself, once.
    pub(crate) fn is_right(&self, state: &RawJson) -> bool {
        #[derive(serde::Deserialize)]
        struct Final {
            steps: u64,
        }
        !self.write || state.parse::<Final>().is_ok_and(|last| last.steps == self.steps_per_workflow())
    }

    fn node(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// The worker with this number. A step does nothing but say what comes next.
    pub(crate) fn worker(&self, client: Client, worker: u32) -> CliResult<Worker> {
        let builder = Worker::builder(client).name(format!("{}-{worker}", self.name));
        let usual = NodeOptions::new().concurrency(self.capacity);
        let step = Step { counted: self.counted.clone(), write: self.write };
        let builder = match self.workload {
            Workload::Single | Workload::Chain => {
                let node: Arc<str> = self.node("step").into();
                builder.node_fn_with(&*node.clone(), usual, move |cx: NodeContext, _: RawJson, left: u32| {
                    let outcome = step.done(&cx);
                    let outcome = if left > 1 { outcome.next(Next::raw(&*node, number(left - 1))) } else { outcome };
                    std::future::ready(Ok(outcome))
                })
            }
            Workload::Fanout => {
                let (leaf, join) = (self.node("leaf"), self.node("join"));
                let (names, fan, last) = ((leaf.clone(), join.clone()), step.clone(), step.clone());
                builder
                    .node_fn_with(self.node("fan"), usual.clone(), move |cx: NodeContext, _: RawJson, width: u32| {
                        let tasks = (0..width).map(|_| Next::raw(names.0.as_str(), RawJson::default()));
                        let outcome = fan.done(&cx).fan_out(tasks).join(Next::raw(names.1.as_str(), RawJson::default()));
                        std::future::ready(Ok(outcome))
                    })
                    .node_fn_with(leaf, NodeOptions::new().concurrency(self.leaf_capacity), move |cx: NodeContext, _: RawJson, (): ()| {
                        std::future::ready(Ok(step.done(&cx)))
                    })
                    .node_fn_with(join, usual, move |cx: NodeContext, _: RawJson, (): ()| std::future::ready(Ok(last.done(&cx))))
            }
        };
        Ok(builder.build()?)
    }
}

/// What every step does.
#[derive(Clone)]
struct Step {
    counted: Arc<Counted>,
    write: bool,
}

impl Step {
    fn done(&self, cx: &NodeContext) -> Outcome<RawJson> {
        self.counted.executed.fetch_add(1, Ordering::Relaxed);
        if cx.attempt() > 1 {
            self.counted.repeats.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = Outcome::done();
        if self.write { outcome.increment("/steps", 1) } else { outcome }
    }
}

/// A state of about so many bytes, never less than the empty object.
fn state(bytes: usize) -> RawJson {
    const FRAME: usize = r#"{"payload":""}"#.len();
    match bytes.checked_sub(FRAME) {
        Some(filling) => RawJson::from_bytes(format!(r#"{{"payload":"{}"}}"#, "x".repeat(filling))),
        None => RawJson::from_bytes("{}"),
    }
}

fn number(number: u32) -> RawJson {
    RawJson::from_bytes(number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_the_size_that_was_asked_for() {
        for bytes in [14, 200, 1_000_000] {
            let state = state(bytes);
            assert_eq!(state.as_bytes().len(), bytes);
            assert!(state.parse::<serde_json::Value>().unwrap().is_object());
        }
        assert_eq!(state(0).as_bytes(), b"{}");
    }
}

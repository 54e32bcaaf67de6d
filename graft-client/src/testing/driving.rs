//! What makes the engine go: results in, timers, attempts out, and then waiting, in that order, until the test's wish is met.

use std::collections::BTreeMap;
use std::time::Duration;

use graft_convert::{outcomes, payload};
use graft_machine::command::{Command, ControlWorkflow, FailTask, FailureKind, LoseTask, LostReason};
use graft_machine::effect::{Effect, Offer, Withdrawn};
use graft_machine::ids::{AttemptRef, Lease, Run};
use graft_machine::limits::PAGE_MAX;
use graft_machine::task::Task;
use graft_machine::view;
use graft_machine::workflow::Workflow;
use graft_proto::v1;
use graft_proto::v1::result::Outcome;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::engine::TestEngine;
use crate::context::{CancelReason, NodeContext};
use crate::worker::{Execution, fitting};

/// Most steps (attempts and rounds of timers) of one call that drives the engine, unless its builder says otherwise.
pub const STEPS_MAX: u64 = 25_000;
/// Attempts that have not ended after so long on the engine's clock, while nothing else happens, are taken to wait for something that never
/// comes: three years.
pub const STUCK_AFTER: Duration = Duration::from_secs(3 * 365 * 24 * 3_600);
/// Longest single wait: tokio's timers reach no further than about two years.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long the cluster takes to notice that a worker is gone.
const LEASE_TIME: Duration = Duration::from_secs(10);
/// The worker, as histories have it.
const WORKER: &str = "test-worker";
/// A wait that ends when all else waits too: the clock has no shorter one.
const MOMENT: Duration = Duration::from_millis(1);
/// How often what has begun at the very end of a given time is let go on: as often as the runtime gets round.
const ROUNDS: u32 = 32;
/// Nodes that are named when there were too many steps.
const NAMED_MAX: usize = 5;

/// An attempt whose code runs.
pub(super) struct Running {
    cx: NodeContext,
    lease: Lease,
    began: Instant,
    abort: AbortHandle,
}

/// An attempt whose code has ended, or that nobody will hear of any more.
pub(super) struct Ended {
    at: AttemptRef,
    end: End,
}

enum End {
    Outcome(Outcome),
    TimedOut,
    Lost,
}

/// How long the engine is to go on.
#[derive(Clone, Copy)]
enum Goal {
    /// Until everything waits for time to pass.
    Settled,
    /// Until nothing would happen any more, however much time passes.
    Idle,
    /// Until this moment, and what is due then.
    At(Instant),
}

/// The steps of one drive, by workflow and node.
#[derive(Default)]
struct Tally {
    steps: u64,
    attempts: BTreeMap<(String, String), u64>,
}

impl TestEngine {
    /// Does all that can be done without waiting for time to pass: executes what is ready, applies results, until every task waits for a
    /// time, a change of the state or a person, or is being executed by a node that waits. Where a node waits, a millisecond may pass.
    ///
    /// # Panics
    /// After too many steps.
    pub async fn settle(&mut self) {
        self.drive(Goal::Settled, |_| false).await;
    }

    /// Goes on until nothing happens any more by itself, with the clock jumping to whatever is due next. Workflows that wait for a person, for
    /// a change of their state or for a node that is not here stay as they are. One that has ended is not forgotten, however long it is kept.
    ///
    /// # Panics
    /// After too many steps; or if a node does not end, and waits for nothing that time could bring.
    pub async fn run_until_idle(&mut self) {
        self.drive(Goal::Idle, |_| false).await;
    }

    /// Lets exactly so much time pass, with all that happens meanwhile.
    ///
    /// # Panics
    /// After too many steps.
    pub async fn advance(&mut self, time: Duration) {
        self.clock.begin().await;
        self.drive(Goal::At(Instant::now() + time), |_| false).await;
    }

    /// Goes on, as [`run_until_idle`](Self::run_until_idle) does, until `enough` says so; it is asked after every step.
    ///
    /// # Panics
    /// As `run_until_idle`; or if nothing happens any more and it was not enough: with the histories.
    pub async fn run_until(&mut self, mut enough: impl FnMut(&Self) -> bool) {
        if !self.drive(Goal::Idle, &mut enough).await {
            panic!("nothing happens any more, and what the test waits for has not come\n{}", self.tell_all());
        }
    }

    /// Whether `enough` was reached before the goal.
    async fn drive(&mut self, goal: Goal, mut enough: impl FnMut(&Self) -> bool) -> bool {
        let (mut tally, mut quiet) = (Tally::default(), Duration::ZERO);
        self.clock.begin().await;
        loop {
            while let Ok(ended) = self.ended.try_recv() {
                self.end(ended);
                if enough(self) {
                    return true;
                }
            }
            while self.machine.fire_due(self.clock.now()) {
                self.act();
                self.count(&mut tally, None);
            }
            self.vouch();
            if enough(self) {
                return true;
            }
            self.dispatch(&mut tally);
            if self.wait(goal, &mut quiet).await {
                return false;
            }
        }
    }

    /// Waits for whatever comes first. Whether the goal is reached.
    async fn wait(&mut self, goal: Goal, quiet: &mut Duration) -> bool {
        let busy = !self.running.is_empty();
        let until = match goal {
            Goal::Settled if busy => Instant::now() + MOMENT,
            Goal::Settled => return true,
            Goal::Idle => match self.next_due(false) {
                Some(due) => due,
                None if busy => Instant::now() + WAIT_MAX,
                None => return true,
            },
            Goal::At(end) => self.next_due(true).map_or(end, |due| due.min(end)),
        };
        if let Goal::At(end) = goal
            && Instant::now() >= end
        {
            return self.let_go_on().await;
        }
        let until = until.min(Instant::now() + WAIT_MAX);
        let ended = tokio::select! {
            biased;
            ended = self.ended.recv() => ended,
            () = sleep_until(until) => None,
        };
        match (ended, goal) {
            (Some(ended), _) => {
                *quiet = Duration::ZERO;
                self.end(ended);
            }
            (None, Goal::Settled) => return true,
            (None, Goal::Idle) if self.next_due(false).is_none() => {
                *quiet += WAIT_MAX;
                assert!(*quiet < STUCK_AFTER, "{}", self.stuck());
            }
            (None, Goal::Idle | Goal::At(_)) => {}
        }
        false
    }

    /// At the end of a given time: what has begun just now may still end, without time passing. Whether nothing did.
    async fn let_go_on(&mut self) -> bool {
        for _ in 0..ROUNDS {
            tokio::task::yield_now().await;
            if let Ok(ended) = self.ended.try_recv() {
                self.end(ended);
                return false;
            }
        }
        true
    }

    /// When the next timer is due.
    fn next_due(&self, forgetting: bool) -> Option<Instant> {
        self.machine.next_due(forgetting).map(|due| self.clock.instant(due))
    }

    /// Begins what is ready, as far as the nodes' capacities allow.
    fn dispatch(&mut self, tally: &mut Tally) {
        let mut free: BTreeMap<String, usize> = self.capacities.keys().map(|node| (node.clone(), self.free(node))).collect();
        let mut offers = self.offers(&free);
        match self.seed {
            None => offers.sort_by(|a, b| {
                let place = |offer: &Offer| (offer.key.priority, offer.key.rank, offer.key.run, offer.key.task);
                place(a).cmp(&place(b))
            }),
            Some(_) => self.shuffle(&mut offers),
        }
        for offer in offers {
            let Some(room) = free.get_mut(&offer.key.node).filter(|room| **room > 0) else { continue };
            if let Some((workflow, task)) = view::assignment(&self.machine.state, offer.at()) {
                *room -= 1;
                self.count(tally, Some((&workflow.id, &task.node)));
                self.begin(offer.at(), &workflow, &task);
            }
        }
    }

    /// Ready tasks of nodes that are here and have room, in no order.
    fn offers(&self, free: &BTreeMap<String, usize>) -> Vec<Offer> {
        let mut all = Vec::new();
        let state = &self.machine.state;
        for queue in view::queues(state, None, PAGE_MAX) {
            if queue.namespace != self.client.namespace() || free.get(&queue.node).is_none_or(|room| *room == 0) {
                continue;
            }
            let (mut after, mut offers) = (None, Vec::new());
            loop {
                let page = view::ready(state, &queue, after.as_ref(), PAGE_MAX);
                after = page.last().map(|offer| offer.key.clone());
                let last = page.len() < PAGE_MAX;
                offers.extend(page.into_iter().filter(|offer| !self.running.contains_key(&offer.at())));
                // In the order of dispatch a page is enough where it fills the room; a shuffled one needs all.
                if last || (self.seed.is_none() && offers.len() >= PAGE_MAX) {
                    break;
                }
            }
            all.append(&mut offers);
        }
        all
    }

    /// How many more attempts of a node may run.
    fn free(&self, node: &str) -> usize {
        let running = self.running.values().filter(|running| running.cx.node() == node).count();
        self.capacities.get(node).map_or(0, |capacity| capacity.saturating_sub(running))
    }

    fn shuffle(&mut self, offers: &mut [Offer]) {
        for last in (1..offers.len()).rev() {
            // SplitMix64: small, and good enough to mix an order.
            self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.dice;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            let at = usize::try_from(mixed % (last as u64 + 1)).expect("below the number of offers");
            offers.swap(last, at);
        }
    }

    /// Begins one attempt.
    fn begin(&mut self, at: AttemptRef, workflow: &Workflow, task: &Task) {
        self.leases += 1;
        let lease = Lease { term: 1, sequence: self.leases };
        let told = assigned(at, lease, workflow, task);
        let attempt = told.at.unwrap_or_default();
        let Some(Execution { cx, outcome }) = self.registry.execute(told, attempt, self.client.clone()) else { return };
        let lost = self.scripts.loses(&cx);
        let limit = (task.timeout > 0).then(|| Duration::from_millis(task.timeout));
        let (report, context) = (self.report.clone(), cx.clone());
        let running = tokio::spawn(async move {
            let end = match limit {
                None => End::Outcome(outcome.await),
                Some(limit) => match timeout(limit, outcome).await {
                    Ok(outcome) => End::Outcome(outcome),
                    Err(_) => {
                        context.cancel(CancelReason::TimedOut);
                        End::TimedOut
                    }
                },
            };
            let end = if lost {
                sleep(LEASE_TIME).await;
                End::Lost
            } else {
                end
            };
            let _ = report.send(Ended { at, end }); // the engine is gone: nobody asks any more
        });
        self.running.insert(at, Running { cx, lease, began: Instant::now(), abort: running.abort_handle() });
    }

    /// Hands the machine what came of an attempt, as the API of a server would.
    fn end(&mut self, ended: Ended) {
        let Ended { at, end } = ended;
        let Some(Running { lease, began, cx, .. }) = self.running.remove(&at) else { return };
        let command = match end {
            End::Outcome(outcome) => {
                let execution_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                let (at, lease) = (Some(attempt(at)), Some(v1::Lease { term: lease.term, sequence: lease.sequence }));
                let result = fitting(v1::Result { at, lease, execution_us, outcome: Some(outcome) });
                let result = outcomes::result(result).unwrap_or_else(|fault| unreachable!("it names its attempt: {fault}"));
                result.into_command(WORKER.to_owned())
            }
            End::TimedOut => lose(at, lease, LostReason::TimedOut, &cx),
            End::Lost => lose(at, lease, LostReason::SessionLost, &cx),
        };
        let now = self.clock.now();
        if let Err(rejection) = self.machine.apply(now, WORKER, command) {
            let message = format!("the result cannot be applied: {rejection}");
            let kind = FailureKind::BadOutcome as i32;
            let failed = FailTask { at, lease, kind, message, worker: WORKER.to_owned(), ..FailTask::default() };
            let _ = self.machine.apply(now, WORKER, Command::Fail(failed)); // what has ended meanwhile needs no result
        }
        self.act();
    }

    /// Does what the machine says is to be done. What it offers is read from its state, and so are timers.
    pub(super) fn act(&mut self) {
        for effect in self.machine.take_effects() {
            match effect {
                Effect::Withdraw { at, reason } => self.stop(at, reason),
                Effect::StopRun { run, reason } => {
                    if reason == Withdrawn::Cancelled {
                        self.cancelling.insert(run);
                    }
                    for at in self.running_of(run) {
                        self.stop(at, reason);
                    }
                }
                Effect::Offer(_) | Effect::TimerSet(_) | Effect::LimitSet(..) | Effect::SessionOpened(_) | Effect::SessionClosed { .. } => {
                }
            }
        }
    }

    fn running_of(&self, run: Run) -> Vec<AttemptRef> {
        self.running.keys().filter(|at| at.run == run).copied().collect()
    }

    fn stop(&mut self, at: AttemptRef, reason: Withdrawn) {
        let Some(running) = self.running.get(&at) else { return };
        let reason = match reason {
            Withdrawn::Paused => return,
            Withdrawn::Cancelled => return running.cx.cancel(CancelReason::WorkflowCancelled),
            Withdrawn::Ended => CancelReason::WorkflowEnded,
            Withdrawn::Resolved => CancelReason::LeaseLost,
        };
        running.cx.cancel(reason);
        running.abort.abort();
        self.running.remove(&at);
    }

    /// Tells the machine of workflows that are being cancelled and of which nothing runs any more, as a leader does.
    fn vouch(&mut self) {
        for run in std::mem::take(&mut self.cancelling) {
            if !self.running_of(run).is_empty() {
                self.cancelling.insert(run);
            } else if let Some(workflow) = view::workflow(&self.machine.state, run) {
                let (namespace, id) = (workflow.namespace.clone(), workflow.id.clone());
                let command = Command::Cancel(ControlWorkflow { namespace, id, run, idle: true, ..ControlWorkflow::default() });
                let _ = self.machine.apply(self.clock.now(), "scheduler", command); // it has ended by itself
                self.act();
            }
        }
    }

    fn count(&self, tally: &mut Tally, attempt: Option<(&str, &str)>) {
        tally.steps += 1;
        if let Some((workflow, node)) = attempt {
            *tally.attempts.entry((workflow.to_owned(), node.to_owned())).or_default() += 1;
        }
        if tally.steps <= self.steps_max {
            return;
        }
        let mut most: Vec<_> = tally.attempts.iter().collect();
        most.sort_by_key(|(_, attempts)| std::cmp::Reverse(**attempts));
        let named = |((workflow, node), attempts): &(&(String, String), &u64)| {
            format!("  node {node:?} of workflow {workflow:?} was executed {attempts} times")
        };
        panic!(
            "{} steps and no end, {} later on the engine's clock: something goes round in circles\n{}\nIf it is meant to, use advance(..) or \
             run_until(..) with a workflow that ends, or raise steps_max.",
            self.steps_max,
            super::events::span(self.elapsed()),
            most.iter().take(NAMED_MAX).map(named).collect::<Vec<_>>().join("\n")
        );
    }

    fn stuck(&self) -> String {
        let named = |running: &Running| {
            let cx = &running.cx;
            format!("  node {:?} of workflow {:?}, task {}, attempt {}", cx.node(), cx.workflow_id(), cx.task(), cx.attempt())
        };
        format!(
            "nothing moves any more, but these attempts have not ended:\n{}\nThey wait for something that time does not bring. If the test brings \
             it, drive with settle() or run_until(..) before. A stopped clock does not wait for sockets: use a fake, or spawn_blocking.",
            self.running.values().map(named).collect::<Vec<_>>().join("\n")
        )
    }
}

impl Drop for TestEngine {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.abort.abort();
        }
    }
}

fn attempt(at: AttemptRef) -> v1::AttemptRef {
    v1::AttemptRef { run: at.run, task: at.task, attempt: at.attempt }
}

fn lose(at: AttemptRef, lease: Lease, reason: LostReason, cx: &NodeContext) -> Command {
    let (reason, progress) = (reason as i32, cx.last_progress());
    Command::Lose(LoseTask { at, lease, reason, progress, worker: WORKER.to_owned(), detail: String::new(), held_us: 0 })
}

/// The task as a worker is handed it.
fn assigned(at: AttemptRef, lease: Lease, workflow: &Workflow, task: &Task) -> v1::Task {
    v1::Task {
        at: Some(attempt(at)),
        lease: Some(v1::Lease { term: lease.term, sequence: lease.sequence }),
        node: task.node.clone(),
        workflow_id: workflow.id.clone(),
        state_revision: workflow.revision,
        state: payload::json(&workflow.state),
        config: payload::json(&task.config),
        heartbeat_echo: 0,
        timeout_ms: task.timeout,
        idempotency_key: task.execution_key.clone(),
        failures: task.failures,
        progress: task.progress.clone(),
        labels: workflow.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        max_attempts: task.retry.max_attempts,
        // There is no cluster that could export spans.
        traceparent: workflow.traceparent.map(|parent| parent.to_string()).unwrap_or_default(),
    }
}

//! Creating tasks and fan-outs. What is created has been checked before ([`crate::content`]).

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

use crate::command::FanOut;
use crate::derived;
use crate::event::{CreatedTask, Happened, OpenedScope, ScopeClosed};
use crate::ids::{OUTERMOST, PARTITION, Run, ScopeId, TaskId};
use crate::state::StateTx;
use crate::step::{Turn, ready};
use crate::tables::{FirstUse, IdempotencyKey, IdempotencyKeys, ScopeKey, Scopes, TaskList};
use crate::task::{NewTask, RetryPolicy, Scope, Task};
use crate::workflow::Workflow;

/// What a list of new tasks came to.
#[derive(Default)]
pub(crate) struct Created {
    /// Each task, as the history names it; also those that were skipped.
    pub tasks: Vec<CreatedTask>,
    /// How many tasks and scopes their own scope has gained.
    pub open: i64,
    /// The fan-outs, as the history names them.
    pub opened: Vec<OpenedScope>,
    /// Fan-outs without a task: to be closed once the event that opened them is written.
    pub empty: Vec<EmptyScope>,
}

/// A fan-out that opened without a task.
pub(crate) struct EmptyScope {
    scope: ScopeId,
    continuation: Option<NewTask>,
}

/// Creates one task in a scope, or skips it if its idempotency key has been used in the run. Counting it in its scope is the caller's
/// matter: `skipped_for` says whether there is something to count.
pub(crate) fn task<S: StateTx>(
    turn: &mut Turn<'_, S>,
    workflow: &mut Workflow,
    new: &NewTask,
    scope: ScopeId,
    parent: TaskId,
) -> CreatedTask {
    let run = workflow.run;
    let named = CreatedTask { node: new.node.clone(), scope, idempotency_key: new.idempotency_key.clone(), ..Default::default() };
    if !new.idempotency_key.is_empty() {
        let key = IdempotencyKey { run, key: new.idempotency_key.clone() };
        if let Some(first) = turn.tx.get::<IdempotencyKeys>(&key) {
            return CreatedTask { skipped_for: first.task, ..named };
        }
        turn.tx.put::<IdempotencyKeys>(key, FirstUse { task: workflow.next_task });
    }
    let id = workflow.next_task;
    workflow.next_task = id.checked_add(1).expect("numbers above TASKS_PER_RUN_MAX are kept for what follows from tasks below it");
    workflow.open_tasks += 1;
    let task = Task {
        node: new.node.clone(),
        config: if new.config.is_empty() { Bytes::from_static(b"null") } else { new.config.clone() },
        priority: new.priority,
        scope,
        parent,
        attempt: 1,
        failures: 0,
        retry: new.retry.unwrap_or(RetryPolicy::standard()),
        timeout: new.timeout,
        on_exhausted: new.on_exhausted.clone(),
        idempotency_key: new.idempotency_key.clone(),
        created: turn.now,
        last_error: String::new(),
        progress: String::new(),
        execution_key: execution_key(turn, run, id),
        thawed: workflow.reopened,
        state: None,
    };
    turn.tx.put::<TaskList>(derived::listed(workflow, id, &task), ());
    let not_before = turn.now.saturating_add(new.delay).max(new.not_before);
    if not_before > turn.now {
        ready::delay(turn, workflow, id, task, not_before);
        CreatedTask { task: id, not_before, ..named }
    } else {
        ready::make_ready(turn, workflow, id, task, turn.now);
        CreatedTask { task: id, ..named }
    }
}

/// Creates plain successors and fan-outs in a scope.
pub(crate) fn all<S: StateTx>(
    turn: &mut Turn<'_, S>,
    workflow: &mut Workflow,
    next: &[NewTask],
    fan_outs: &[FanOut],
    scope: ScopeId,
    parent: TaskId,
) -> Created {
    let mut created = Created { tasks: Vec::with_capacity(next.len()), ..Default::default() };
    for new in next {
        let task = task(turn, workflow, new, scope, parent);
        created.open += counts(&task);
        created.tasks.push(task);
    }
    for fan_out in fan_outs {
        let inner = workflow.next_scope;
        workflow.next_scope += 1;
        let mut open = 0;
        for new in &fan_out.tasks {
            let task = task(turn, workflow, new, inner, parent);
            open += counts(&task);
            created.tasks.push(task);
        }
        let continuation = fan_out.continuation.as_ref().map(|c| c.node.clone()).unwrap_or_default();
        created.opened.push(OpenedScope { scope: inner, parent: scope, continuation });
        if open == 0 {
            created.empty.push(EmptyScope { scope: inner, continuation: fan_out.continuation.clone() });
        } else {
            created.open += 1;
            let depth = depth(turn, workflow.run, scope) + 1;
            let record = Scope { parent: scope, open: open as u32, continuation: fan_out.continuation.clone(), opened_by: parent, depth };
            turn.tx.put::<Scopes>(ScopeKey { run: workflow.run, scope: inner }, record);
        }
    }
    created
}

/// Closes the fan-outs that opened without a task: their continuations start at once. Returns what their scope has gained.
pub(crate) fn close_empty<S: StateTx>(
    turn: &mut Turn<'_, S>,
    workflow: &mut Workflow,
    empty: Vec<EmptyScope>,
    parent_scope: ScopeId,
    parent: TaskId,
) -> i64 {
    let mut open = 0;
    for EmptyScope { scope, continuation } in empty {
        let continuation = continuation.map(|new| task(turn, workflow, &new, parent_scope, parent));
        open += continuation.as_ref().map_or(0, counts);
        turn.event(workflow, Happened::ScopeClosed(ScopeClosed { scope, continuation }));
    }
    open
}

/// 1 for a task that was created, 0 for one that was skipped.
pub(crate) fn counts(task: &CreatedTask) -> i64 {
    i64::from(task.task != 0)
}

/// How many scopes are around a scope.
pub(crate) fn depth<S: StateTx>(turn: &Turn<'_, S>, run: Run, scope: ScopeId) -> u32 {
    match scope {
        OUTERMOST => 0,
        scope => turn.tx.get::<Scopes>(&ScopeKey { run, scope }).expect("the scope of an open task is open").depth,
    }
}

/// The idempotency key that every attempt of a task is handed towards the outside. The cluster's id is in it, so that a restored copy of
/// a cluster does not collide with the original.
fn execution_key<S>(turn: &Turn<'_, S>, run: Run, task: TaskId) -> String {
    let cluster = turn.meta.lineage.last().map(|lineage| lineage.cluster_id.as_str()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(cluster.len() + 15);
    bytes.extend(cluster.as_bytes());
    bytes.push(0);
    bytes.extend(PARTITION.to_be_bytes());
    bytes.extend(run.to_be_bytes());
    bytes.extend(task.to_be_bytes());
    format!("{:032x}", xxh3_128(&bytes))
}

//! Joins: counting open tasks, and closing upwards what has become empty.

use std::sync::Arc;

use crate::event::{Happened, ScopeClosed};
use crate::ids::{OUTERMOST, ScopeId, TaskId};
use crate::state::StateTx;
use crate::step::{Turn, create, ending};
use crate::tables::{ScopeKey, Scopes};
use crate::task::{Scope, Task};
use crate::workflow::{StatusKind, Workflow};

/// Takes a dead letter that becomes a task again back into a scope, and says into which. One that its policy keeps has never left its own. One
/// that was passed over returns to its own as long as that stands; after its join has fired it gets a scope to itself, without a join, in
/// the outermost one. The outermost scope of a workflow that had completed is made again.
pub(crate) fn take_back<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, id: TaskId, task: &Task) -> ScopeId {
    if !task.is_passed_over() {
        return task.scope;
    }
    let run = workflow.run;
    let own = ScopeKey { run, scope: task.scope };
    if let Some(record) = turn.tx.get::<Scopes>(&own) {
        turn.tx.put::<Scopes>(own, Scope { open: record.open + 1, ..Scope::clone(&record) });
        return task.scope;
    }
    let outermost = ScopeKey { run, scope: OUTERMOST };
    let new = Scope { parent: OUTERMOST, open: 0, continuation: None, opened_by: 0, depth: 0 };
    let around = turn.tx.get::<Scopes>(&outermost).map_or(new, Arc::unwrap_or_clone);
    turn.tx.put::<Scopes>(outermost, Scope { open: around.open + 1, ..around });
    if task.scope == OUTERMOST {
        return OUTERMOST;
    }
    let scope = workflow.next_scope;
    workflow.next_scope += 1;
    turn.tx.put::<Scopes>(ScopeKey { run, scope }, Scope { parent: OUTERMOST, open: 1, continuation: None, opened_by: id, depth: 1 });
    scope
}

/// Changes the count of a scope by what one step resolved and created in it. Where that empties the scope it closes: its continuation is
/// created in the scope around it, which may empty that in turn; and an empty outermost scope completes the workflow. A workflow that is
/// being cancelled starts nothing: there, scopes close in silence. One that has failed stays failed, and what starts in it is frozen.
pub(crate) fn shift<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &mut Workflow, mut scope: ScopeId, mut by: i64) {
    let silent = workflow.kind() == StatusKind::Cancelling;
    while by != 0 {
        let key = ScopeKey { run: workflow.run, scope };
        let record = turn.tx.get::<Scopes>(&key).expect("the scope of an open task is open");
        let open = i64::from(record.open) + by;
        if open > 0 {
            let open = u32::try_from(open).expect("a scope holds fewer tasks than a run has numbers");
            turn.tx.put::<Scopes>(key, Scope { open, ..Scope::clone(&record) });
            return;
        }
        assert_eq!(open, 0, "scope {scope} of run {} has resolved more than it held", workflow.run);
        turn.tx.delete::<Scopes>(&key);
        if scope == OUTERMOST {
            if !workflow.kind().is_final() && !silent {
                ending::complete(turn, workflow);
            }
            return;
        }
        by = -1;
        if !silent {
            let continuation = record.continuation.as_ref().map(|new| create::task(turn, workflow, new, record.parent, record.opened_by));
            by += continuation.as_ref().map_or(0, create::counts);
            turn.event(workflow, Happened::ScopeClosed(ScopeClosed { scope, continuation }));
        }
        scope = record.parent;
    }
}

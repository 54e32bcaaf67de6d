//! S8: a task exists because an event created it; a join fires when everything in its scope, and all that came of it, has resolved, at once
//! and once; a workflow completes when its outermost scope is empty. Counted here from the events alone.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::Applied;
use graft_machine::command::Envelope;
use graft_machine::event::{CreatedTask, Event, Happened};
use graft_machine::ids::{OUTERMOST, Run, ScopeId, TaskId};
use graft_machine::task::Exhausted;
use graft_machine::workflow::StatusKind;

use super::{Invariant, Place, Verdict, must, status_after};

#[derive(Debug, Default)]
struct Scope {
    parent: ScopeId,
    open: i64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Joins {
    scopes: BTreeMap<ScopeId, Scope>,
    tasks: BTreeMap<TaskId, ScopeId>,
    resolved: BTreeSet<TaskId>,
    /// Dead letters, and whether their policy passes over them.
    dead: BTreeMap<TaskId, bool>,
    status: Option<StatusKind>,
    /// It is being cancelled, or was ended: scopes close in silence from then on.
    silent: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    runs: BTreeMap<Run, Joins>,
    touched: BTreeSet<Run>,
}

impl Joins {
    fn gain(&mut self, scope: ScopeId, by: i64) {
        self.scopes.entry(scope).or_default().open += by;
    }

    fn created(&mut self, created: &[CreatedTask]) -> Verdict {
        for task in created.iter().filter(|task| task.task != 0) {
            must!(self.tasks.insert(task.task, task.scope).is_none(), "task {} was created twice", task.task);
            let scope = self.scopes.get(&task.scope).ok_or_else(|| format!("task {} is created in no scope", task.task))?;
            must!(!scope.closed, "task {} is created in scope {}, whose join has fired", task.task, task.scope);
            self.gain(task.scope, 1);
        }
        Ok(())
    }

    fn scope_of(&self, task: TaskId) -> Result<ScopeId, String> {
        self.tasks.get(&task).copied().ok_or_else(|| format!("task {task} resolved, and nothing had created it"))
    }

    fn event(&mut self, happened: &Happened) -> Verdict {
        let before = self.status;
        self.status = status_after(happened).or(self.status);
        match happened {
            Happened::Started(e) => {
                self.scopes.insert(OUTERMOST, Scope::default());
                self.created(&e.created)?;
            }
            Happened::Completed(e) => {
                let scope = self.scope_of(e.task)?;
                must!(self.resolved.insert(e.task), "task {} resolved twice", e.task);
                for opened in &e.opened {
                    self.gain(opened.parent, 1);
                    self.scopes.insert(opened.scope, Scope { parent: opened.parent, ..Default::default() });
                }
                self.created(&e.created)?;
                self.gain(scope, -1);
            }
            Happened::ScopeClosed(e) => {
                let scope =
                    self.scopes.get_mut(&e.scope).ok_or_else(|| format!("the join of scope {}, which never was, fired", e.scope))?;
                must!(!scope.closed, "the join of scope {} fired twice", e.scope);
                must!(scope.open == 0, "the join of scope {} fired while {} were open in it", e.scope, scope.open);
                scope.closed = true;
                let parent = scope.parent;
                self.created(e.continuation.as_slice())?;
                self.gain(parent, -1);
            }
            Happened::DeadLettered(e) => {
                let policy = e.then.as_ref().and_then(|policy| policy.then.as_ref());
                let passed_over = matches!(policy, Some(Exhausted::Continue(()) | Exhausted::ErrorNode(_)));
                self.created(e.error_task.as_slice())?;
                self.dead.insert(e.task, passed_over);
                if passed_over {
                    let scope = self.scope_of(e.task)?;
                    self.gain(scope, -1);
                }
            }
            Happened::DeadLetterRedriven(e) => {
                let passed_over =
                    self.dead.remove(&e.task).ok_or_else(|| format!("task {} was redriven, and is no dead letter", e.task))?;
                self.tasks.insert(e.task, e.scope);
                if passed_over {
                    self.take_back(e.scope)?;
                }
            }
            Happened::DeadLetterDiscarded(e) => {
                let passed_over =
                    self.dead.remove(&e.task).ok_or_else(|| format!("task {} was discarded, and is no dead letter", e.task))?;
                if !passed_over {
                    let scope = self.scope_of(e.task)?;
                    self.gain(scope, -1);
                }
            }
            Happened::WorkflowCompleted(_) => {
                let outermost = self.scopes.entry(OUTERMOST).or_default();
                must!(outermost.open == 0, "it completed while {} were open in it", outermost.open);
                must!(before != Some(StatusKind::Completed), "it completed twice");
                outermost.closed = true;
            }
            Happened::Cancelling(_) | Happened::WorkflowTerminated(_) | Happened::WorkflowTimedOut(_) => self.silent = true,
            _ => {}
        }
        Ok(())
    }

    /// A dead letter that was passed over returns into a scope: its own, as long as that stands; otherwise a new one.
    fn take_back(&mut self, scope: ScopeId) -> Verdict {
        let outermost = self.scopes.entry(OUTERMOST).or_default();
        if outermost.open == 0 {
            // It had ended: its outermost scope is made again.
            outermost.closed = false;
        }
        if let Some(own) = self.scopes.get(&scope) {
            must!(!own.closed, "a dead letter was redriven into scope {scope}, whose join has fired");
        } else {
            self.scopes.insert(scope, Scope { parent: OUTERMOST, ..Default::default() });
            self.gain(OUTERMOST, 1);
        }
        self.gain(scope, 1);
        Ok(())
    }

    /// Between commands no scope stands open and empty.
    fn settled(&self) -> Verdict {
        for (id, scope) in self.scopes.iter().filter(|(_, scope)| !scope.closed) {
            let frozen = *id == OUTERMOST && self.status == Some(StatusKind::Failed);
            must!(scope.open > 0 || frozen, "scope {id} holds {} and its join has not fired", scope.open);
        }
        Ok(())
    }
}

impl Invariant for Check {
    fn event(&mut self, _: Place, event: &Event) -> Verdict {
        let joins = self.runs.entry(event.run).or_default();
        if joins.silent {
            return Ok(());
        }
        self.touched.insert(event.run);
        let happened = event.happened.as_ref().ok_or("an event without content")?;
        joins.event(happened).map_err(|wrong| format!("run {}: {wrong}", event.run))
    }

    fn command(&mut self, _: Place, _: &Envelope, _: &Applied) -> Verdict {
        for run in std::mem::take(&mut self.touched) {
            if let Some(joins) = self.runs.get(&run).filter(|joins| !joins.silent) {
                joins.settled().map_err(|wrong| format!("run {run}: {wrong}"))?;
            }
        }
        Ok(())
    }
}

//! `Start`: a new run of a workflow, with its outermost scope and its first tasks.

use crate::command::{OnConflict, StartWorkflow, TRACES_FROM};
use crate::commands::called;
use crate::content;
use crate::derived;
use crate::event::{Happened, WorkflowStarted};
use crate::ids::{OUTERMOST, Run};
use crate::limits::{LABEL_VALUE_BYTES_MAX, LABELS_MAX, RETENTION_DEFAULT};
use crate::patch;
use crate::reply::{Answer, Rejection, RejectionCode, Reply, Started};
use crate::state::StateTx;
use crate::step::{Turn, create};
use crate::tables::{
    Counter, CounterKey, CounterName, Counters, LabelKey, LabelList, NameKey, NameRecord, Names, RunKey, ScopeKey, Scopes, StatusKey,
    StatusList, TimeKey, TimeList, TimerKind, Workflows,
};
use crate::task::Scope;
use crate::workflow::{Running, Status, StatusKind, Workflow};

pub(crate) fn apply<S: StateTx>(turn: &mut Turn<'_, S>, command: &StartWorkflow) -> Answer {
    check(turn, command)?;
    let name = NameKey { namespace: command.namespace.clone(), id: command.id.clone() };
    if let Some(current) = turn.tx.get::<Names>(&name)
        && let Some(run) = taken(turn, command, current.run)?
    {
        return Ok(Reply::Started(Started { run, created: false, time: turn.now }));
    }
    let state = patch::first_state(&command.state)?;

    let run = next_run(turn);
    let traceparent = command.traceparent.filter(|parent| parent.is_valid() && turn.meta.machine_version >= TRACES_FROM);
    let mut workflow = Workflow {
        namespace: command.namespace.clone(),
        id: command.id.clone(),
        run,
        state: state.clone(),
        revision: 1,
        labels: command.labels.clone(),
        created: turn.now,
        deadline: command.deadline,
        retention: if command.retention == 0 { RETENTION_DEFAULT } else { command.retention },
        next_task: 1,
        next_scope: OUTERMOST + 1,
        traceparent,
        status: Some(Status::Running(Running {})),
        ..Default::default()
    };
    turn.tx.put::<Names>(name, NameRecord { run });
    list(turn, &workflow);
    if command.deadline != 0 {
        turn.set_timer(command.deadline, TimerKind::Deadline, run, 0);
    }
    let created = create::all(turn, &mut workflow, &command.nodes, &[], OUTERMOST, 0);
    let outermost = Scope { parent: OUTERMOST, open: created.open as u32, continuation: None, opened_by: 0, depth: 0 };
    turn.tx.put::<Scopes>(ScopeKey { run, scope: OUTERMOST }, outermost);
    let event = WorkflowStarted { state, created: created.tasks, principal: content::who(turn.principal) };
    turn.event(&mut workflow, Happened::Started(event));
    turn.save(workflow);
    Ok(Reply::Started(Started { run, created: true, time: turn.now }))
}

fn check<S: StateTx>(turn: &Turn<'_, S>, command: &StartWorkflow) -> Result<(), Rejection> {
    content::name("namespace", &command.namespace)?;
    content::id("workflow id", &command.id)?;
    let refuse = |code, detail: String| Err(Rejection::new(code, called(&command.namespace, &command.id), detail));
    if command.nodes.is_empty() {
        return refuse(RejectionCode::Invalid, "names no node to start with".to_owned());
    }
    content::task_count(command.nodes.len())?;
    command.nodes.iter().try_for_each(content::new_task)?;
    if command.labels.len() > LABELS_MAX {
        return refuse(RejectionCode::TooLarge, format!("has {} labels; at most {LABELS_MAX} are allowed", command.labels.len()));
    }
    for (label, value) in &command.labels {
        content::name("label", label)?;
        if value.len() > LABEL_VALUE_BYTES_MAX {
            let detail = format!("has a value of {} bytes for label {label:?}; at most {LABEL_VALUE_BYTES_MAX} are allowed", value.len());
            return refuse(RejectionCode::TooLarge, detail);
        }
        if value.chars().any(char::is_control) {
            return refuse(RejectionCode::Invalid, format!("has a control character in the value of label {label:?}"));
        }
    }
    if command.deadline != 0 && command.deadline <= turn.now {
        return refuse(RejectionCode::Invalid, format!("has a deadline ({}) that has passed: it is {}", command.deadline, turn.now));
    }
    Ok(())
}

/// The id names a run already: the run to answer with, or none if a new one may take its place.
fn taken<S: StateTx>(turn: &Turn<'_, S>, command: &StartWorkflow, run: Run) -> Result<Option<Run>, Rejection> {
    let on_conflict =
        OnConflict::try_from(command.on_conflict).expect("a conflict rule that is not known here: a newer version wrote the log");
    let status = turn.tx.get::<Workflows>(&RunKey { run }).expect("a name stands for a workflow").kind();
    match on_conflict {
        OnConflict::UseExisting => Ok(Some(run)),
        OnConflict::ReplaceFinished if status.is_final() => Ok(None),
        OnConflict::Fail | OnConflict::ReplaceFinished => {
            let detail = format!("exists already as run {run} ({})", status.as_str());
            Err(Rejection::new(RejectionCode::WorkflowExists, called(&command.namespace, &command.id), detail))
        }
    }
}

fn next_run<S: StateTx>(turn: &mut Turn<'_, S>) -> Run {
    let key = CounterKey { name: CounterName::Run as u8 };
    let value = turn.tx.get::<Counters>(&key).map_or(0, |counter| counter.value) + 1;
    turn.tx.put::<Counters>(key, Counter { value });
    value
}

fn list<S: StateTx>(turn: &mut Turn<'_, S>, workflow: &Workflow) {
    let Workflow { namespace, run, .. } = workflow;
    for (label, value) in &workflow.labels {
        let key = LabelKey { namespace: namespace.clone(), label: label.clone(), value: value.clone(), run: *run };
        turn.tx.put::<LabelList>(key, ());
    }
    turn.tx.put::<StatusList>(StatusKey { namespace: namespace.clone(), status: StatusKind::Running as u8, run: *run }, ());
    derived::count(turn.tx, namespace, StatusKind::Running, 1);
    turn.tx.put::<TimeList>(TimeKey { namespace: namespace.clone(), age: u64::MAX - workflow.created, run: *run }, ());
}

//! Workflows: how they start, and how they stand.

use graft_machine::command::{OnConflict, StartWorkflow};
use graft_machine::state::StateRead;
use graft_machine::trace::TraceParent;
use graft_machine::view;
use graft_machine::workflow::{Status, StatusKind, Workflow};
use graft_proto::v1;

use crate::{names, payload, tasks};
use graft_proto::errors::{Fault, quoted};

/// What a start asks for. `id_if_none` makes the id if the client has chosen none.
pub fn start(
    request: v1::StartRequest,
    retention_default_ms: u64,
    id_if_none: impl FnOnce(&str) -> String,
) -> Result<StartWorkflow, Fault> {
    let on_conflict = match v1::OnConflict::try_from(request.on_conflict) {
        Ok(v1::OnConflict::Unspecified | v1::OnConflict::Fail) => OnConflict::Fail,
        Ok(v1::OnConflict::UseExisting) => OnConflict::UseExisting,
        Ok(v1::OnConflict::ReplaceFinished) => OnConflict::ReplaceFinished,
        Err(_) => return Err(Fault::invalid("on_conflict", format!("is {}, which this version does not know", request.on_conflict))),
    };
    let namespace = names::namespace(request.namespace)?;
    let id = match request.workflow_id {
        id if id.is_empty() => id_if_none(&namespace),
        id => names::workflow_id(id)?,
    };
    if request.nodes.is_empty() {
        let object = names::workflow_object(&namespace, &id, 0);
        return Err(Fault::invalid(object, "is started without a node").remedy("name at least one node to begin with"));
    }
    tasks::check_count(request.nodes.len())?;
    Ok(StartWorkflow {
        namespace,
        id,
        state: payload::state(request.state)?,
        nodes: tasks::new_tasks(request.nodes)?,
        labels: names::labels(request.labels)?,
        deadline: request.deadline_ms,
        retention: if request.retention_ms == 0 { retention_default_ms } else { request.retention_ms },
        on_conflict: on_conflict as i32,
        traceparent: TraceParent::parse(&request.traceparent),
    })
}

/// A workflow without its state.
pub fn summary(workflow: &Workflow) -> v1::WorkflowSummary {
    let reason = match workflow.status() {
        Status::Running(_) => String::new(),
        Status::Paused(paused) => paused.reason.clone(),
        Status::Cancelling(cancelling) => cancelling.reason.clone(),
        Status::Completed(ended) | Status::Cancelled(ended) | Status::Terminated(ended) | Status::TimedOut(ended) => ended.reason.clone(),
        Status::Failed(failed) => format!("node {} (task {}): {}", quoted(&failed.node), failed.task, failed.error),
    };
    v1::WorkflowSummary {
        namespace: workflow.namespace.clone(),
        workflow_id: workflow.id.clone(),
        run: workflow.run,
        status: status(workflow.kind()) as i32,
        reason,
        created_ms: workflow.created,
        ended_ms: workflow.ended_at().unwrap_or(0),
        open_tasks: workflow.open_tasks,
        dead_letters: workflow.dead_letters,
        labels: workflow.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        revision: workflow.revision,
        deadline_ms: workflow.deadline,
    }
}

/// How many workflows of a namespace are in each status, also where there are none.
pub fn counts(state: &impl StateRead, namespace: &str) -> v1::CountResponse {
    let counts = view::status_counts(state, namespace);
    let count = |kind: &StatusKind| v1::StatusCount { status: status(*kind) as i32, workflows: counts.get(kind).copied().unwrap_or(0) };
    v1::CountResponse { counts: StatusKind::ALL.iter().map(count).collect() }
}

/// A workflow's state, as it is sent.
pub fn state(workflow: &Workflow) -> Option<v1::Payload> {
    payload::json(&workflow.state)
}

/// A status, as it is sent.
pub fn status(kind: StatusKind) -> v1::WorkflowStatus {
    match kind {
        StatusKind::Running => v1::WorkflowStatus::Running,
        StatusKind::Paused => v1::WorkflowStatus::Paused,
        StatusKind::Cancelling => v1::WorkflowStatus::Cancelling,
        StatusKind::Completed => v1::WorkflowStatus::Completed,
        StatusKind::Failed => v1::WorkflowStatus::Failed,
        StatusKind::Cancelled => v1::WorkflowStatus::Cancelled,
        StatusKind::Terminated => v1::WorkflowStatus::Terminated,
        StatusKind::TimedOut => v1::WorkflowStatus::TimedOut,
    }
}

/// The statuses of a filter, each once, in the order of their numbers.
pub fn statuses(asked: &[i32]) -> Result<Vec<StatusKind>, Fault> {
    let mut kinds = Vec::new();
    for number in asked {
        match StatusKind::ALL.into_iter().find(|kind| status(*kind) as i32 == *number) {
            Some(kind) => kinds.push(kind),
            None => return Err(Fault::invalid("the status filter", format!("holds {number}, which is no status"))),
        }
    }
    kinds.sort();
    kinds.dedup();
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use graft_machine::workflow::{FailedBy, Paused};

    fn asked() -> v1::StartRequest {
        v1::StartRequest {
            workflow_id: "order-1".into(),
            state: Some(v1::Payload { encoding: 1, data: Bytes::from_static(b"{\"a\":1}") }),
            nodes: vec![v1::NewTask { node: "charge".into(), ..v1::NewTask::default() }],
            labels: [("k".to_owned(), "v".to_owned())].into(),
            deadline_ms: 9,
            on_conflict: 3,
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            ..v1::StartRequest::default()
        }
    }

    #[test]
    fn a_start_arrives_with_its_defaults_filled_in() {
        let made = start(asked(), 77, |_| unreachable!("it has an id")).expect("good");
        assert_eq!((made.namespace.as_str(), made.id.as_str(), made.retention, made.deadline), ("default", "order-1", 77, 9));
        assert_eq!((made.on_conflict(), &made.state[..], made.labels["k"].as_str()), (OnConflict::ReplaceFinished, &b"{\"a\":1}"[..], "v"));
        assert_eq!(made.traceparent.map(|parent| parent.span), Some(0x00f0_67aa_0ba9_02b7));
        let untraced = v1::StartRequest { traceparent: "no".into(), ..asked() };
        assert_eq!(start(untraced, 77, |_| unreachable!("it has an id")).expect("good all the same").traceparent, None);
        let anonymous = v1::StartRequest { workflow_id: String::new(), retention_ms: 5, ..asked() };
        let made = start(anonymous, 77, |namespace| format!("{namespace}-made")).expect("good");
        assert_eq!((made.id.as_str(), made.retention), ("default-made", 5));
    }

    #[test]
    fn bad_starts_are_refused() {
        let refused = |request| start(request, 77, |_| "id".into()).expect_err("refused").to_string();
        assert!(refused(v1::StartRequest { nodes: vec![], ..asked() }).contains("without a node"));
        assert!(refused(v1::StartRequest { on_conflict: 9, ..asked() }).contains("on_conflict is 9"));
        assert!(refused(v1::StartRequest { namespace: "no way".into(), ..asked() }).contains("namespace \"no way\""));
        assert!(refused(v1::StartRequest { workflow_id: "a\tb".into(), ..asked() }).contains("workflow id"));
    }

    #[test]
    fn every_status_has_a_number_of_its_own_and_comes_back() {
        for kind in StatusKind::ALL {
            assert_eq!(statuses(&[status(kind) as i32, status(kind) as i32]).expect("known"), [kind]);
        }
        assert!(statuses(&[0]).is_err() && statuses(&[99]).is_err());
    }

    #[test]
    fn a_summary_says_why() {
        let mut workflow =
            Workflow { run: 3, status: Some(Status::Paused(Paused { at: 1, reason: "lunch".into(), task: 0 })), ..Workflow::default() };
        assert_eq!(summary(&workflow).reason, "lunch");
        workflow.status = Some(Status::Failed(FailedBy { at: 8, task: 2, node: "pay".into(), error: "no money".into() }));
        let told = summary(&workflow);
        assert_eq!((told.reason.as_str(), told.ended_ms), ("node \"pay\" (task 2): no money", 8));
    }
}

//! The documents that `-o json` writes. Their shape is a promise: keys are added, never renamed or removed.
//!
//! Every document begins with `apiVersion` and `kind`, which say how to read the rest; parts of a document have neither.
//!
//! Keys are `snake_case`. A point in time is RFC 3339 in UTC with milliseconds under a key that ends in `_at`; a duration is a number under
//! a key that ends in its unit. What is unknown or has not happened is `null`, so that a key is always there. States and configs are written as
//! they are. Statuses are the words that `graft workflow list --status` takes. Raft ids are random numbers of 64 bits, which many readers of JSON
//! would round: they are texts. All other numbers are counts, far below 2^53.

use std::collections::BTreeMap;

use graft_client::proto::{ClusterStatusResponse, Member, Payload, TaskSummary, Worker, WorkflowSummary};
use graft_client::{ListPage, RawJson, Started, Workers, Workflow, status_name};
use serde::Serialize;

use super::time::rfc3339;

/// Version of the documents. Another one would be a promise broken.
pub(crate) const API_VERSION: &str = "graft/v1";

/// A document that stands by itself.
pub(crate) trait Document: Serialize {
    /// What it is.
    const KIND: &'static str;
}

/// A document with what says how to read it.
#[derive(Serialize)]
pub(crate) struct Versioned<'a, D> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    document: &'a D,
}

impl<'a, D: Document> Versioned<'a, D> {
    /// This document.
    pub(crate) fn of(document: &'a D) -> Self {
        Self { api_version: API_VERSION, kind: D::KIND, document }
    }
}

/// What went wrong, on stderr.
#[derive(Serialize)]
pub(crate) struct ErrorJson {
    /// Of the catalogue of errors.
    pub(crate) code: Option<String>,
    /// Why.
    pub(crate) message: String,
    /// On which object.
    pub(crate) object: Option<String>,
    /// What was tried, as it reads after "failed to".
    pub(crate) operation: Option<String>,
    /// What to do next.
    pub(crate) remedy: Option<String>,
    /// Whether the same may work later.
    pub(crate) retryable: bool,
    /// Whether it may have taken effect all the same.
    pub(crate) outcome_unknown: bool,
    /// As the process ends.
    pub(crate) exit_code: u8,
}

impl Document for ErrorJson {
    const KIND: &'static str = "Error";
}

/// `graft workflow start`.
#[derive(Serialize)]
pub(crate) struct StartedJson {
    namespace: String,
    workflow_id: String,
    run: u64,
    created: bool,
    warnings: Vec<String>,
    answered_at: Option<String>,
}

impl Document for StartedJson {
    const KIND: &'static str = "StartedWorkflow";
}

impl From<&Started> for StartedJson {
    fn from(started: &Started) -> Self {
        let Started { namespace, workflow_id, run, created, warnings, time_ms } = started.clone();
        Self { namespace, workflow_id, run, created, warnings, answered_at: rfc3339(time_ms) }
    }
}

/// One workflow without its state: a row of `list`, the answer of the verbs that steer.
#[derive(Serialize)]
pub(crate) struct SummaryJson {
    namespace: String,
    workflow_id: String,
    run: u64,
    status: &'static str,
    reason: Option<String>,
    created_at: Option<String>,
    ended_at: Option<String>,
    deadline_at: Option<String>,
    open_tasks: u32,
    dead_letters: u32,
    revision: u64,
    labels: BTreeMap<String, String>,
}

impl Document for SummaryJson {
    const KIND: &'static str = "WorkflowSummary";
}

impl From<&WorkflowSummary> for SummaryJson {
    fn from(summary: &WorkflowSummary) -> Self {
        Self {
            namespace: summary.namespace.clone(),
            workflow_id: summary.workflow_id.clone(),
            run: summary.run,
            status: status_name(summary.status()),
            reason: some(&summary.reason),
            created_at: rfc3339(summary.created_ms),
            ended_at: rfc3339(summary.ended_ms),
            deadline_at: rfc3339(summary.deadline_ms),
            open_tasks: summary.open_tasks,
            dead_letters: summary.dead_letters,
            revision: summary.revision,
            labels: summary.labels.clone().into_iter().collect(),
        }
    }
}

/// `graft workflow get`, and `start --wait`.
#[derive(Serialize)]
pub(crate) struct WorkflowJson {
    #[serde(flatten)]
    summary: SummaryJson,
    state: RawJson,
    tasks: Vec<TaskJson>,
}

impl Document for WorkflowJson {
    const KIND: &'static str = "Workflow";
}

impl From<&Workflow> for WorkflowJson {
    fn from(workflow: &Workflow) -> Self {
        let tasks = workflow.tasks.iter().map(TaskJson::from).collect();
        Self { summary: (&workflow.summary).into(), state: workflow.state.clone(), tasks }
    }
}

/// An open task or a dead letter.
#[derive(Serialize)]
pub(crate) struct TaskJson {
    task: u32,
    node: String,
    state: String,
    attempt: u32,
    max_attempts: u32,
    failures: u32,
    scope: u32,
    parent: Option<u32>,
    not_before_at: Option<String>,
    priority: i32,
    config: RawJson,
    last_error: Option<String>,
    progress: Option<String>,
}

impl From<&TaskSummary> for TaskJson {
    fn from(task: &TaskSummary) -> Self {
        Self {
            task: task.task,
            node: task.node.clone(),
            state: task.state.clone(),
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            failures: task.failures,
            scope: task.scope,
            parent: (task.parent > 0).then_some(task.parent),
            not_before_at: rfc3339(task.until_ms),
            priority: task.priority,
            config: raw(task.config.as_ref()),
            last_error: some(&task.last_error),
            progress: some(&task.progress),
        }
    }
}

/// `graft workflow list`.
#[derive(Serialize)]
pub(crate) struct ListJson {
    workflows: Vec<SummaryJson>,
    next_cursor: Option<String>,
}

impl Document for ListJson {
    const KIND: &'static str = "WorkflowList";
}

impl From<&ListPage> for ListJson {
    fn from(page: &ListPage) -> Self {
        Self { workflows: page.workflows.iter().map(SummaryJson::from).collect(), next_cursor: page.next_cursor.clone() }
    }
}

/// `graft worker list`.
#[derive(Serialize)]
pub(crate) struct WorkersJson {
    /// Whether `connected` and `held` are known.
    live: bool,
    workers: Vec<WorkerJson>,
}

/// A worker session.
#[derive(Serialize)]
pub(crate) struct WorkerJson {
    worker_id: String,
    incarnation: String,
    namespace: String,
    build_id: Option<String>,
    opened_at: Option<String>,
    connected: Option<bool>,
    nodes: Vec<WorkerNodeJson>,
}

#[derive(Serialize)]
struct WorkerNodeJson {
    node: String,
    capacity: u32,
    held: Option<u32>,
}

impl Document for WorkersJson {
    const KIND: &'static str = "WorkerList";
}

impl Document for WorkerJson {
    const KIND: &'static str = "Worker";
}

impl WorkerJson {
    /// A worker, with its live figures if they are known.
    pub(crate) fn of(worker: &Worker, live: bool) -> Self {
        let node = |node: &graft_client::proto::WorkerNode| WorkerNodeJson {
            node: node.node.clone(),
            capacity: node.capacity,
            held: live.then_some(node.held),
        };
        Self {
            worker_id: worker.worker_id.clone(),
            incarnation: worker.incarnation.clone(),
            namespace: worker.namespace.clone(),
            build_id: some(&worker.build_id),
            opened_at: rfc3339(worker.opened_ms),
            connected: live.then_some(worker.connected),
            nodes: worker.nodes.iter().map(node).collect(),
        }
    }
}

impl From<&Workers> for WorkersJson {
    fn from(workers: &Workers) -> Self {
        Self { live: workers.live, workers: workers.workers.iter().map(|worker| WorkerJson::of(worker, workers.live)).collect() }
    }
}

/// `graft cluster status`.
#[derive(Serialize)]
pub(crate) struct ClusterJson {
    cluster_id: Option<String>,
    cluster_name: String,
    epoch: u64,
    term: u64,
    leader: Option<String>,
    answered_by: String,
    version: String,
    ready: bool,
    not_ready_reason: Option<String>,
    members: Vec<MemberJson>,
}

/// A member of the cluster.
#[derive(Serialize)]
pub(crate) struct MemberJson {
    raft_id: String,
    name: String,
    role: String,
    client_address: String,
    peer_address: String,
    last_index: Option<u64>,
    applied_index: Option<u64>,
    flushed_index: Option<u64>,
}

impl Document for ClusterJson {
    const KIND: &'static str = "ClusterStatus";
}

impl From<&Member> for MemberJson {
    fn from(member: &Member) -> Self {
        Self {
            raft_id: member.raft_id.to_string(),
            name: member.name.clone(),
            role: member.role.clone(),
            client_address: member.client_address.clone(),
            peer_address: member.peer_address.clone(),
            last_index: known(member.last_index),
            applied_index: known(member.applied_index),
            flushed_index: known(member.flushed_index),
        }
    }
}

impl Document for MemberJson {
    const KIND: &'static str = "Member";
}

/// `graft cluster members`.
#[derive(Serialize)]
pub(crate) struct MembersJson {
    /// The members.
    pub(crate) members: Vec<MemberJson>,
}

impl Document for MembersJson {
    const KIND: &'static str = "MemberList";
}

impl From<&ClusterStatusResponse> for ClusterJson {
    fn from(status: &ClusterStatusResponse) -> Self {
        Self {
            cluster_id: some(&status.cluster_id),
            cluster_name: status.cluster_name.clone(),
            epoch: status.epoch,
            term: status.term,
            leader: known(status.leader).map(|id| id.to_string()),
            answered_by: status.answered_by.to_string(),
            version: status.version.clone(),
            ready: status.not_ready_reason.is_empty(),
            not_ready_reason: some(&status.not_ready_reason),
            members: status.members.iter().map(MemberJson::from).collect(),
        }
    }
}

/// A number of 0 is `null`.
fn known(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

/// An empty text is `null`.
pub(crate) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A document of the wire; `null` if there is none, or if it is no JSON.
pub(crate) fn raw(payload: Option<&Payload>) -> RawJson {
    let raw = payload.map(|payload| RawJson::from_bytes(payload.data.clone())).unwrap_or_default();
    if raw.parse::<serde::de::IgnoredAny>().is_ok() { raw } else { RawJson::default() }
}

#[cfg(test)]
mod tests {
    use graft_client::proto::{WorkerNode, WorkflowStatus};
    use serde_json::json;

    use super::*;

    fn summary() -> WorkflowSummary {
        let mut summary = WorkflowSummary {
            namespace: "default".into(),
            workflow_id: "order-1".into(),
            run: 7,
            created_ms: 1_000,
            open_tasks: 2,
            revision: 3,
            labels: [("team".to_owned(), "sales".to_owned())].into(),
            ..WorkflowSummary::default()
        };
        summary.set_status(WorkflowStatus::Running);
        summary
    }

    #[test]
    fn a_workflow_is_its_summary_its_state_as_written_and_its_tasks() {
        let task =
            TaskSummary { task: 4, node: "pick".into(), state: "ready".into(), attempt: 1, max_attempts: 5, ..TaskSummary::default() };
        let state = RawJson::from_bytes(&br#"{"big":12345678901234567890123,"f":1.50}"#[..]);
        let workflow = Workflow { summary: summary(), state, tasks: vec![task] };
        let text = serde_json::to_string(&WorkflowJson::from(&workflow)).unwrap();
        assert!(text.contains(r#""state":{"big":12345678901234567890123,"f":1.50}"#), "{text}");
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["state"] = json!(null);
        assert_eq!(
            value,
            json!({
                "namespace": "default", "workflow_id": "order-1", "run": 7, "status": "running", "reason": null,
                "created_at": "1970-01-01T00:00:01.000Z", "ended_at": null, "deadline_at": null, "open_tasks": 2, "dead_letters": 0,
                "revision": 3, "labels": {"team": "sales"}, "state": null,
                "tasks": [{
                    "task": 4, "node": "pick", "state": "ready", "attempt": 1, "max_attempts": 5, "failures": 0, "scope": 0, "parent": null,
                    "not_before_at": null, "priority": 0, "config": null, "last_error": null, "progress": null,
                }],
            })
        );
    }

    #[test]
    fn a_list_says_where_the_next_page_begins() {
        let page = ListPage { workflows: vec![summary()], next_cursor: Some("c".into()) };
        let value = serde_json::to_value(ListJson::from(&page)).unwrap();
        assert_eq!((&value["next_cursor"], &value["workflows"][0]["workflow_id"]), (&json!("c"), &json!("order-1")));
    }

    #[test]
    fn live_figures_of_workers_are_null_where_nobody_knows_them() {
        let node = WorkerNode { node: "pick".into(), capacity: 8, held: 3 };
        let worker = Worker { worker_id: "w".into(), connected: true, nodes: vec![node], ..Worker::default() };
        let of = |live| serde_json::to_value(WorkersJson::from(&Workers { workers: vec![worker.clone()], live })).unwrap();
        assert_eq!((&of(true)["workers"][0]["connected"], &of(true)["workers"][0]["nodes"][0]["held"]), (&json!(true), &json!(3)));
        assert_eq!((&of(false)["workers"][0]["connected"], &of(false)["workers"][0]["nodes"][0]["held"]), (&json!(null), &json!(null)));
    }

    #[test]
    fn a_cluster_tells_its_leader_and_whether_it_is_ready() {
        const ID: u64 = u64::MAX - 1;
        let member = Member { raft_id: ID, name: "a".into(), role: "leader".into(), last_index: 9, ..Member::default() };
        let status = ClusterStatusResponse { leader: ID, term: 2, members: vec![member], ..ClusterStatusResponse::default() };
        let value = serde_json::to_value(ClusterJson::from(&status)).unwrap();
        assert_eq!((&value["leader"], &value["ready"], &value["cluster_id"]), (&json!("18446744073709551614"), &json!(true), &json!(null)));
        assert_eq!(value["members"][0]["raft_id"], value["leader"]);
        assert_eq!((&value["members"][0]["last_index"], &value["members"][0]["flushed_index"]), (&json!(9), &json!(null)));
    }
}

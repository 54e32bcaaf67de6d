//! Workflows: start, look, wait, steer, export.

use futures::StreamExt;
use graft_proto::documents::workflow::WorkflowStatus;
use graft_proto::documents::{
    StartedWorkflow, SteeredWorkflow, Time, WaitedWorkflow, Workflow, WorkflowCounts, WorkflowHistory, WorkflowList,
};
use graft_proto::errors::{Fault, quoted};
use graft_proto::v1;
use graft_proto::v1::workflow_service_server::WorkflowService;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::{Request, Response, Status};

use super::super::problem::Refusal;
use super::answer::{Made, Pieces};
use super::bodies::{Cancel, Control, StartWorkflow, ms};
use super::call::{Call, Json, MaybeJson};
use super::route::{Method, ROOT, Table};
use crate::api::access::Guarded;
use crate::api::workflows::Workflows;

const ALL: &str = "/namespaces/{namespace}/workflows";

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    use Method::{Get, Post};
    table.about("workflows");
    table.verb(Post, ALL, "start_workflow", "Starts a workflow.", start);
    table.verb(Get, ALL, "list_workflows", "Workflows of a namespace, a page at a time.", list);
    let counts = "How many workflows of a namespace are in each status. Costs the same at any number of them.";
    table.verb(Get, "/namespaces/{namespace}/workflow-counts", "count_workflows", counts, count);
    table.verb(Get, "/namespaces/{namespace}/workflows/{workflow_id}", "get_workflow", "One workflow with its state and open tasks.", get);
    let history = "The events of a run, a page at a time, the oldest first.";
    table.verb(Get, "/namespaces/{namespace}/workflows/{workflow_id}/history", "get_workflow_history", history, self::history);
    let wait = "Waits until the workflow has ended, or the wait is over.";
    table.verb(Get, "/namespaces/{namespace}/workflows/{workflow_id}/wait", "wait_for_workflow", wait, self::wait);
    let export = "A workflow that has ended, whole: itself, its state, its dead letters and its history.";
    table.verb(Get, "/namespaces/{namespace}/workflows/{workflow_id}/export", "export_workflow", export, self::export);
    let pause = "Stops offering its tasks; running attempts may finish.";
    table.verb(Post, "/namespaces/{namespace}/workflows/{workflow_id}/pause", "pause_workflow", pause, self::pause);
    table.verb(Post, "/namespaces/{namespace}/workflows/{workflow_id}/resume", "resume_workflow", "Offers its tasks again.", resume);
    let cancel = "Tells running attempts, starts nothing more, and ends it when they have ended or the grace is over.";
    table.verb(Post, "/namespaces/{namespace}/workflows/{workflow_id}/cancel", "cancel_workflow", cancel, self::cancel);
    table.verb(Post, "/namespaces/{namespace}/workflows/{workflow_id}/terminate", "terminate_workflow", "Ends it at once.", terminate);
}

/// How fresh a read has to be.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = graft_proto::documents::words)]
pub(super) enum Consistency {
    /// Sees everything that was acknowledged before the read began.
    Linearizable,
    /// What this member knows; answered even without a leader.
    Stale,
}

/// As the message has it.
pub(super) fn fresh(consistency: Option<Consistency>) -> i32 {
    match consistency {
        None => v1::Consistency::Unspecified.into(),
        Some(Consistency::Linearizable) => v1::Consistency::Linearizable.into(),
        Some(Consistency::Stale) => v1::Consistency::Stale.into(),
    }
}

/// No query.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct NoQuery {}

/// Which run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Run {
    /// Only this run. Left out: the current one.
    pub(super) run: Option<u64>,
}

/// Which run, and how fresh.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct FreshRun {
    /// Only this run. Left out: the current one.
    pub(super) run: Option<u64>,
    /// How fresh. Left out: linearizable.
    pub(super) consistency: Option<Consistency>,
}

impl<Q, B> Call<Q, B> {
    fn service(&self) -> Guarded<Workflows> {
        self.guarded(|shared| Workflows { shared })
    }
}

async fn start(call: Call<NoQuery, Json<StartWorkflow>>) -> Result<Made<StartedWorkflow>, Refusal> {
    let message = call.body.0.clone().message(call.namespace(), call.meta()?)?;
    let started = call.service().start(call.request(message)).await?.into_inner();
    let location = format!("{ROOT}/namespaces/{}/workflows/{}", in_path(&started.namespace), in_path(&started.workflow_id));
    Ok(Made { document: (&started).into(), new: started.created, location })
}

/// A name as a part of a path: what is more than letters, digits and `-._~` is escaped.
pub(super) fn in_path(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => path.push(char::from(byte)),
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path
}

/// Which workflows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Filter {
    /// Only in this status; give it again for more. Left out: in any.
    status: Vec<WorkflowStatus>,
    /// Only those whose id starts so, and then only the current run of each.
    prefix: String,
    /// Only those with an open task (or dead letter) of this node.
    node: String,
    /// Only those with this label, as `key=value`; give it again for more, and all have to be there.
    label: Vec<String>,
    /// Only those that were accepted at or after this time.
    created_since: Option<Time>,
    /// Only those that were accepted before this time.
    created_until: Option<Time>,
    /// Most rows, at most 1000. Left out: 100.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: String,
    /// How fresh. Left out: linearizable.
    consistency: Option<Consistency>,
}

async fn list(call: Call<Filter>) -> Result<WorkflowList, Refusal> {
    let query = &call.query;
    let label = |label: &String| {
        let pair = label.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| Fault::invalid("the query parameter `label`", format!("is {}, but has to be key=value", quoted(label))))
    };
    let request = v1::ListRequest {
        namespace: call.namespace(),
        statuses: query.status.iter().map(|status| v1::WorkflowStatus::from(*status).into()).collect(),
        id_prefix: query.prefix.clone(),
        limit: query.limit.unwrap_or_default(),
        cursor: query.cursor.clone(),
        consistency: fresh(query.consistency),
        node: query.node.clone(),
        labels: query.label.iter().map(label).collect::<Result<_, Fault>>()?,
        created_since_ms: ms(query.created_since),
        created_until_ms: ms(query.created_until),
    };
    Ok((&call.service().list(call.request(request)).await?.into_inner()).into())
}

/// How fresh.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Fresh {
    /// How fresh. Left out: linearizable.
    consistency: Option<Consistency>,
}

async fn count(call: Call<Fresh>) -> Result<WorkflowCounts, Refusal> {
    let request = v1::CountRequest { namespace: call.namespace(), consistency: fresh(call.query.consistency) };
    Ok((&call.service().count(call.request(request)).await?.into_inner()).into())
}

async fn get(call: Call<FreshRun>) -> Result<Workflow, Refusal> {
    let request = v1::GetRequest {
        namespace: call.namespace(),
        workflow_id: call.workflow_id(),
        run: call.query.run.unwrap_or_default(),
        consistency: fresh(call.query.consistency),
    };
    Ok((&call.service().get(call.request(request)).await?.into_inner()).into())
}

/// Which page of which run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct HistoryPage {
    /// Only this run. Left out: the current one.
    run: Option<u64>,
    /// Most events, at most 1000. Left out: 100.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: String,
    /// How fresh. Left out: linearizable.
    consistency: Option<Consistency>,
}

async fn history(call: Call<HistoryPage>) -> Result<WorkflowHistory, Refusal> {
    let request = v1::HistoryRequest {
        namespace: call.namespace(),
        workflow_id: call.workflow_id(),
        run: call.query.run.unwrap_or_default(),
        limit: call.query.limit.unwrap_or_default(),
        cursor: call.query.cursor.clone(),
        consistency: fresh(call.query.consistency),
    };
    let page = call.service().history(call.request(request)).await?.into_inner();
    Ok(WorkflowHistory {
        workflow_id: call.workflow_id(),
        run: page.run,
        events: page.events.into_iter().map(Into::into).collect(),
        next_cursor: (!page.next_cursor.is_empty()).then_some(page.next_cursor),
    })
}

/// How long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Waiting {
    /// Only this run. Left out: the current one.
    run: Option<u64>,
    /// Longest wait, in milliseconds, at most 60 s: ask again. Left out: 30 s.
    timeout_ms: Option<u64>,
}

async fn wait(call: Call<Waiting>) -> Result<WaitedWorkflow, Refusal> {
    let request = v1::WaitRequest {
        namespace: call.namespace(),
        workflow_id: call.workflow_id(),
        run: call.query.run.unwrap_or_default(),
        timeout_ms: call.query.timeout_ms.unwrap_or_default(),
    };
    Ok((&call.service().wait(call.request(request)).await?.into_inner()).into())
}

async fn export(call: Call<Run>) -> Result<Pieces, Refusal> {
    let workflow_id = call.workflow_id();
    let name = format!("{}.json", in_path(&workflow_id));
    let request = v1::ExportRequest { namespace: call.namespace(), workflow_id, run: call.query.run.unwrap_or_default() };
    let pieces = call.service().export(call.request(request)).await?.into_inner();
    Ok(Pieces { pieces: Box::pin(pieces.map(|piece| piece.map(|answer| answer.piece))), name })
}

fn control<B>(call: &Call<Run, B>, reason: String, grace_ms: u64) -> Result<Request<v1::ControlRequest>, Fault> {
    Ok(call.request(v1::ControlRequest {
        namespace: call.namespace(),
        workflow_id: call.workflow_id(),
        run: call.query.run.unwrap_or_default(),
        reason,
        grace_ms,
        meta: call.meta()?,
    }))
}

fn steered(answer: Result<Response<v1::ControlResponse>, Status>) -> Result<SteeredWorkflow, Refusal> {
    Ok((&answer?.into_inner()).into())
}

async fn pause(call: Call<Run, MaybeJson<Control>>) -> Result<SteeredWorkflow, Refusal> {
    steered(call.service().pause(control(&call, call.body.0.reason.clone(), 0)?).await)
}

async fn resume(call: Call<Run, MaybeJson<Control>>) -> Result<SteeredWorkflow, Refusal> {
    steered(call.service().resume(control(&call, call.body.0.reason.clone(), 0)?).await)
}

async fn cancel(call: Call<Run, MaybeJson<Cancel>>) -> Result<SteeredWorkflow, Refusal> {
    steered(call.service().cancel(control(&call, call.body.0.reason.clone(), call.body.0.grace_ms)?).await)
}

async fn terminate(call: Call<Run, MaybeJson<Control>>) -> Result<SteeredWorkflow, Refusal> {
    steered(call.service().terminate(control(&call, call.body.0.reason.clone(), 0)?).await)
}

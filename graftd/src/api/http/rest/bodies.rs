//! What requests bring, as JSON. What is left out is as the protocol says; what is not known is refused.

use std::collections::BTreeMap;

use graft_proto::documents::{RawJson, Time};
use graft_proto::errors::Fault;
use graft_proto::v1;
use graft_proto::v1::on_exhausted::Then;
use schemars::JsonSchema;
use serde::Deserialize;

/// How a workflow is started.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartWorkflow {
    /// Its id, at most 256 bytes. Left out: a UUID is made.
    workflow_id: Option<String>,
    /// Its first state: a JSON object of at most 1 MiB. Left out: `{}`.
    state: Option<RawJson>,
    /// Its first tasks, at least one.
    nodes: Vec<NewTask>,
    /// At most 32.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// When it ends as timed out. Left out: never.
    deadline_at: Option<Time>,
    /// Kept for so long once it has ended. Left out: the server's setting.
    retention_ms: Option<u64>,
    /// What happens when the id is taken.
    #[serde(default)]
    on_conflict: OnConflict,
    /// As `Idempotency-Key`, for one of many starts.
    pub(super) request_id: Option<String>,
    /// As the header `traceparent`, for one of many starts.
    traceparent: Option<String>,
}

/// What happens when the id of a start is taken.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = graft_proto::documents::words)]
enum OnConflict {
    /// The start is refused.
    #[default]
    Fail,
    /// The answer is the run that is there.
    UseExisting,
    /// A new run is started if the one that is there has ended.
    ReplaceFinished,
}

/// How a task is to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewTask {
    /// The node that executes it.
    node: String,
    /// Any JSON, at most 1 MiB. Left out: `null`.
    config: Option<RawJson>,
    /// Higher goes first; 0 is usual.
    #[serde(default)]
    priority: i32,
    /// Not before this long after its creation.
    #[serde(default)]
    delay_ms: u64,
    /// Not before this time; the later of the two counts.
    not_before_at: Option<Time>,
    /// Unique within the run: a second task with the same key is skipped.
    idempotency_key: Option<String>,
    /// How failures are retried. Left out: 5 attempts, 1 s doubling to 60 s, 20 % jitter.
    retry: Option<RetryPolicy>,
    /// Longest execution of one attempt. Left out: no limit.
    #[serde(default)]
    timeout_ms: u64,
    /// What follows when the last attempt has failed. Left out: the workflow fails.
    on_exhausted: Option<GivenUp>,
}

/// How failed attempts are retried: exponential backoff with jitter.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RetryPolicy {
    /// Most tries, the first included; at least 1.
    max_attempts: u32,
    /// Wait after the first failure.
    initial_ms: u64,
    /// Longest wait.
    max_ms: u64,
    /// Growth of the wait, in thousandths (2000 = doubling); at least 1000.
    factor_permille: u32,
    /// How far a wait may be shortened, in thousandths; at most 1000.
    jitter_permille: u32,
}

/// What follows a task's last failure.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum GivenUp {
    /// The workflow fails.
    Fail,
    /// The workflow is paused for an operator.
    Pause,
    /// The workflow goes on without the task.
    Continue,
    /// A task of this node takes its place.
    ErrorNode(String),
}

impl StartWorkflow {
    /// As the message, in this namespace. The request id may come in the body or beside it.
    pub(super) fn message(self, namespace: String, beside: Option<v1::RequestMeta>) -> Result<v1::StartRequest, Fault> {
        let meta = match (self.request_id, beside) {
            (Some(within), Some(beside)) if within != beside.request_id => {
                let fault = Fault::invalid("the request id", "is one in the body and another one in the header Idempotency-Key");
                return Err(fault.remedy("give it once"));
            }
            (Some(request_id), _) => Some(v1::RequestMeta { request_id, not_after_ms: 0 }),
            (None, beside) => beside,
        };
        let on_conflict = match self.on_conflict {
            OnConflict::Fail => v1::OnConflict::Fail,
            OnConflict::UseExisting => v1::OnConflict::UseExisting,
            OnConflict::ReplaceFinished => v1::OnConflict::ReplaceFinished,
        };
        Ok(v1::StartRequest {
            namespace,
            workflow_id: self.workflow_id.unwrap_or_default(),
            state: self.state.unwrap_or_default().into_payload(),
            nodes: self.nodes.into_iter().map(NewTask::message).collect(),
            labels: self.labels.into_iter().collect(),
            deadline_ms: ms(self.deadline_at),
            retention_ms: self.retention_ms.unwrap_or_default(),
            on_conflict: on_conflict.into(),
            meta,
            traceparent: self.traceparent.unwrap_or_default(),
        })
    }
}

impl NewTask {
    fn message(self) -> v1::NewTask {
        v1::NewTask {
            node: self.node,
            config: self.config.unwrap_or_default().into_payload(),
            priority: self.priority,
            delay_ms: self.delay_ms,
            not_before_ms: ms(self.not_before_at),
            idempotency_key: self.idempotency_key.unwrap_or_default(),
            retry: self.retry.map(|retry| v1::RetryPolicy {
                max_attempts: retry.max_attempts,
                initial_ms: retry.initial_ms,
                max_ms: retry.max_ms,
                factor_permille: retry.factor_permille,
                jitter_permille: retry.jitter_permille,
            }),
            timeout_ms: self.timeout_ms,
            on_exhausted: self.on_exhausted.map(|then| v1::OnExhausted {
                then: Some(match then {
                    GivenUp::Fail => Then::Fail(v1::on_exhausted::Fail {}),
                    GivenUp::Pause => Then::Pause(v1::on_exhausted::Pause {}),
                    GivenUp::Continue => Then::Continue(v1::on_exhausted::Continue {}),
                    GivenUp::ErrorNode(node) => Then::ErrorNode(node),
                }),
            }),
        }
    }
}

/// A time as the wire has it: 0 is none.
pub(super) fn ms(time: Option<Time>) -> u64 {
    time.map_or(0, |time| time.0)
}

/// Why somebody steers a workflow.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Control {
    /// For the history.
    #[serde(default)]
    pub(super) reason: String,
}

/// Why somebody cancels a workflow, and how.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    /// For the history.
    #[serde(default)]
    pub(super) reason: String,
    /// How long running attempts may take. Left out: 30 s.
    #[serde(default)]
    pub(super) grace_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(text: &str) -> v1::StartRequest {
        let body: StartWorkflow = serde_json::from_str(text).expect("good");
        body.message("sales".into(), None).expect("good")
    }

    #[test]
    fn a_start_is_passed_on_as_it_was_written() {
        let request = start(
            r#"{"workflow_id":"a","state":{"f": 1.50},"nodes":[{"node":"n","config":[1, 2],"priority":-1,"not_before_at":"1970-01-01T00:00:01Z",
                "retry":{"max_attempts":2,"initial_ms":3,"max_ms":4,"factor_permille":1500,"jitter_permille":6},
                "on_exhausted":{"error_node":"sorry"}},{"node":"m","on_exhausted":"pause"}],
                "labels":{"k":"v"},"deadline_at":"1970-01-01T00:00:02Z","retention_ms":5,"on_conflict":"replace_finished","request_id":"r"}"#,
        );
        assert_eq!(request.state.expect("a state").data, "{\"f\": 1.50}");
        let [first, second] = &request.nodes[..] else { panic!("two nodes") };
        assert_eq!((first.priority, first.not_before_ms, first.retry.expect("a policy").max_attempts), (-1, 1_000, 2));
        assert_eq!(first.config.as_ref().expect("a config").data, "[1, 2]");
        assert_eq!(first.on_exhausted.as_ref().expect("a choice").then, Some(Then::ErrorNode("sorry".into())));
        assert_eq!(second.on_exhausted.as_ref().expect("a choice").then, Some(Then::Pause(v1::on_exhausted::Pause {})));
        assert_eq!((request.deadline_ms, request.retention_ms, request.on_conflict), (2_000, 5, 3));
        assert_eq!((request.namespace.as_str(), request.meta.expect("a meta").request_id.as_str()), ("sales", "r"));
    }

    #[test]
    fn what_is_left_out_is_as_the_protocol_says() {
        let request = start(r#"{"nodes":[{"node":"n","config":null}],"state":null}"#);
        let nodes = vec![v1::NewTask { node: "n".into(), ..v1::NewTask::default() }];
        let expected = v1::StartRequest { namespace: "sales".into(), nodes, on_conflict: 1, ..v1::StartRequest::default() };
        assert_eq!(request, expected);
    }

    #[test]
    fn two_request_ids_are_refused() {
        let body: StartWorkflow = serde_json::from_str(r#"{"nodes":[],"request_id":"r"}"#).expect("good");
        let beside = |id: &str| Some(v1::RequestMeta { request_id: id.into(), not_after_ms: 0 });
        body.clone().message(String::new(), beside("r")).expect("the same");
        assert!(body.message(String::new(), beside("s")).expect_err("another").to_string().contains("give it once"));
    }
}

//! Worker sessions: what a worker says, except its results, and what it is told.

use std::collections::BTreeSet;

use graft_machine::ids::AttemptRef;
use graft_machine::limits::{ERROR_BYTES_MAX, NODES_PER_SESSION_MAX};
use graft_machine::reply::Resolution;
use graft_proto::v1::to_worker::Message;
use graft_proto::{WORKER_PROTOCOL, v1};
use prost::Message as _;
use uuid::Uuid;

use super::Urls;
use crate::scheduler::{Assignment, Held, SessionHello, StopReason, ToWorker};
use graft_convert::{events, names, outcomes, payload};
use graft_proto::errors::{ErrorCode, Fault, cut, quoted};

/// Lowest version of the worker protocol that this daemon speaks; the highest is [`WORKER_PROTOCOL`].
pub const WORKER_PROTOCOL_MIN: u32 = 1;
/// Most attempts of one node that one worker process may run at once.
pub const CAPACITY_MAX: u32 = 100_000;
/// Most bytes of one message of tasks; a larger batch is sent as several messages.
pub const TASKS_MESSAGE_BYTES_MAX: usize = 2 << 20;

/// Checks a greeting: version, cluster, names, capacities.
pub fn hello(hello: v1::Hello, cluster_id: &str) -> Result<SessionHello, Fault> {
    let worker = format!("worker {}", quoted(&hello.worker_id));
    if hello.protocol_max < WORKER_PROTOCOL_MIN || hello.protocol_min > WORKER_PROTOCOL || hello.protocol_min > hello.protocol_max {
        let detail = format!(
            "speaks versions {} to {} of the worker protocol, this daemon speaks {WORKER_PROTOCOL_MIN} to {WORKER_PROTOCOL}",
            hello.protocol_min, hello.protocol_max
        );
        return Err(Fault::new(ErrorCode::ProtocolVersion, worker, detail));
    }
    if !hello.cluster_id.is_empty() && hello.cluster_id != cluster_id {
        let detail = format!("belongs to cluster {}, this is cluster {}", quoted(&hello.cluster_id), quoted(cluster_id));
        return Err(Fault::new(ErrorCode::ClusterMismatch, worker, detail));
    }
    if Uuid::parse_str(&hello.incarnation).is_err() {
        return Err(Fault::invalid(worker, format!("has incarnation {}, which is no UUID", quoted(&hello.incarnation))));
    }
    let build = match hello.build_id {
        none if none.is_empty() => none,
        build => names::id("build id", build).map_err(|error| error.within(&worker))?,
    };
    if hello.nodes.is_empty() || hello.nodes.len() > NODES_PER_SESSION_MAX {
        return Err(Fault::invalid(worker, format!("serves {} nodes, allowed are 1 to {NODES_PER_SESSION_MAX}", hello.nodes.len())));
    }
    let mut seen = BTreeSet::new();
    let mut nodes = Vec::with_capacity(hello.nodes.len());
    for served in hello.nodes {
        let node = names::node(served.node).map_err(|error| error.within(&worker))?;
        if served.capacity == 0 || served.capacity > CAPACITY_MAX {
            let detail = format!("has capacity {} for node {}, allowed are 1 to {CAPACITY_MAX}", served.capacity, quoted(&node));
            return Err(Fault::invalid(worker, detail));
        }
        if !seen.insert(node.clone()) {
            return Err(Fault::invalid(worker, format!("names node {} twice", quoted(&node))));
        }
        nodes.push((node, served.capacity, served.cluster_limit));
    }
    Ok(SessionHello {
        incarnation: hello.incarnation,
        worker: names::id("worker id", hello.worker_id)?,
        namespace: names::namespace(hello.namespace)?,
        nodes,
        build,
    })
}

/// An attempt that a worker says it holds.
pub fn held(held: v1::HeldAttempt) -> Result<Held, Fault> {
    let (at, lease) = outcomes::held(held.at, held.lease, "a held attempt")?;
    Ok(Held { at, lease, node: names::node(held.node)?, progress: cut(&held.progress, ERROR_BYTES_MAX) })
}

/// What a worker is told, as messages: usually one.
pub(crate) fn told(message: ToWorker, member: u64, urls: Urls) -> Vec<v1::ToWorker> {
    let one = |message| vec![v1::ToWorker { message: Some(message) }];
    match message {
        ToWorker::Welcome { term, leading, lease_ms, leader_address, member_addresses, cluster_id } => one(Message::Welcome(v1::Welcome {
            protocol: WORKER_PROTOCOL,
            cluster_id,
            term,
            leader_address: urls.of(&leader_address),
            member_addresses: member_addresses.iter().map(|address| urls.of(address)).collect(),
            lease_ms,
            leading,
            member,
        })),
        ToWorker::Members { term, addresses } => {
            one(Message::Members(v1::Members { term, addresses: addresses.iter().map(|address| urls.of(address)).collect() }))
        }
        ToWorker::Tasks(assignments) => tasks(assignments),
        ToWorker::Acks(acks) => {
            let acks = acks
                .into_iter()
                .map(|(at, lease, resolution)| v1::Ack {
                    at: Some(attempt(at)),
                    lease: Some(events::lease(lease)),
                    resolution: match resolution {
                        Resolution::Applied => v1::Resolution::Applied,
                        Resolution::AlreadyResolved => v1::Resolution::AlreadyResolved,
                        Resolution::Stale => v1::Resolution::Stale,
                    } as i32,
                })
                .collect();
            one(Message::Acks(v1::Acks { acks }))
        }
        ToWorker::HeartbeatAck { term, echo, leading } => one(Message::HeartbeatAck(v1::HeartbeatAck { term, echo, leading })),
        ToWorker::Cancel { at, lease, reason } => {
            let reason = match reason {
                StopReason::WorkflowCancelled => v1::CancelReason::WorkflowCancelled,
                StopReason::WorkflowEnded => v1::CancelReason::WorkflowEnded,
                StopReason::LeaseLost => v1::CancelReason::LeaseLost,
                StopReason::TimedOut => v1::CancelReason::TimedOut,
            };
            one(Message::Cancel(v1::CancelNotice { at: Some(attempt(at)), lease: Some(events::lease(lease)), reason: reason as i32 }))
        }
        ToWorker::Closing { reason } => one(Message::Closing(v1::Closing { reason })),
    }
}

/// Batches stay batches, as far as a message may hold them.
fn tasks(assignments: Vec<Assignment>) -> Vec<v1::ToWorker> {
    let mut messages = Vec::new();
    let mut batch = Vec::with_capacity(assignments.len());
    let mut bytes = 0;
    for assignment in assignments {
        let task = task(assignment);
        let size = task.encoded_len();
        if bytes + size > TASKS_MESSAGE_BYTES_MAX && !batch.is_empty() {
            messages.push(v1::ToWorker { message: Some(Message::Tasks(v1::Tasks { tasks: std::mem::take(&mut batch) })) });
            bytes = 0;
        }
        bytes += size;
        batch.push(task);
    }
    messages.push(v1::ToWorker { message: Some(Message::Tasks(v1::Tasks { tasks: batch })) });
    messages
}

fn task(assignment: Assignment) -> v1::Task {
    v1::Task {
        at: Some(attempt(assignment.at)),
        lease: Some(events::lease(assignment.lease)),
        node: assignment.node,
        workflow_id: assignment.workflow_id,
        state_revision: assignment.revision,
        state: payload::json(&assignment.state),
        config: payload::json(&assignment.config),
        heartbeat_echo: assignment.echo,
        timeout_ms: assignment.timeout_ms,
        idempotency_key: assignment.execution_key,
        failures: assignment.failures,
        progress: assignment.progress,
        labels: assignment.labels.into_iter().collect(),
        max_attempts: assignment.max_attempts,
        traceparent: assignment.traceparent.map(|parent| parent.to_string()).unwrap_or_default(),
    }
}

fn attempt(at: AttemptRef) -> v1::AttemptRef {
    v1::AttemptRef { run: at.run, task: at.task, attempt: at.attempt }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use graft_machine::ids::Lease;
    use graft_machine::trace::TraceParent;

    use super::*;

    const PLAIN: Urls = Urls { is_secure: false };

    fn greeting() -> v1::Hello {
        v1::Hello {
            protocol_min: 1,
            protocol_max: 4,
            worker_id: "w-1".into(),
            incarnation: "6f9619ff-8b86-4d11-b42d-00c04fc964ff".into(),
            nodes: vec![v1::NodeCapacity { node: "a".into(), capacity: 3, cluster_limit: 2 }],
            build_id: "b".into(),
            ..v1::Hello::default()
        }
    }

    #[test]
    fn a_good_greeting_arrives() {
        let made = hello(greeting(), "c").expect("good");
        assert_eq!((made.namespace.as_str(), made.worker.as_str(), made.build.as_str()), ("default", "w-1", "b"));
        assert_eq!(made.nodes, [("a".to_owned(), 3, 2)]);
        hello(v1::Hello { cluster_id: "c".into(), ..greeting() }, "c").expect("its own cluster");
    }

    #[test]
    fn versions_that_do_not_meet_are_refused_naming_both_ranges() {
        for (min, max) in [(2, 5), (0, 0), (3, 1)] {
            let error = hello(v1::Hello { protocol_min: min, protocol_max: max, ..greeting() }, "c").expect_err("refused");
            assert_eq!(error.code, ErrorCode::ProtocolVersion);
            assert!(error.detail.contains(&format!("versions {min} to {max}")) && error.detail.contains("speaks 1 to 1"), "{error}");
        }
    }

    #[test]
    fn bad_greetings_are_refused_with_the_reason() {
        type Spoil = fn(&mut v1::Hello);
        let cases: [(Spoil, &str); 8] = [
            (|h| h.cluster_id = "other".into(), "belongs to cluster \"other\""),
            (|h| h.incarnation = "me".into(), "no UUID"),
            (|h| h.worker_id = String::new(), "worker id \"\" is empty"),
            (|h| h.namespace = "a b".into(), "namespace"),
            (|h| h.nodes.clear(), "serves 0 nodes"),
            (|h| h.nodes[0].capacity = 0, "capacity 0"),
            (|h| h.nodes[0].capacity = CAPACITY_MAX + 1, "capacity 100001"),
            (|h| h.nodes.push(h.nodes[0].clone()), "twice"),
        ];
        for (spoil, needle) in cases {
            let mut greeting = greeting();
            spoil(&mut greeting);
            let error = hello(greeting, "c").expect_err(needle);
            assert!(error.to_string().contains(needle), "{error}");
        }
    }

    fn assignment(state_bytes: usize) -> Assignment {
        Assignment {
            at: AttemptRef { run: 1, task: 2, attempt: 3 },
            lease: Lease { term: 4, sequence: 5 },
            node: "a".into(),
            workflow_id: "w".into(),
            revision: 6,
            state: Bytes::from(vec![b' '; state_bytes]),
            config: Bytes::new(),
            echo: 7,
            timeout_ms: 8,
            execution_key: "k".into(),
            failures: 9,
            max_attempts: 10,
            progress: "p".into(),
            labels: [("l".to_owned(), "v".to_owned())].into(),
            traceparent: TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        }
    }

    #[test]
    fn small_batches_stay_whole_and_large_ones_fit_into_messages() {
        assert_eq!(told(ToWorker::Tasks(vec![assignment(10); 500]), 1, PLAIN).len(), 1);
        let messages = told(ToWorker::Tasks(vec![assignment(1 << 20); 5]), 1, PLAIN);
        assert_eq!(messages.len(), 5, "two of a mebibyte and their frames are more than fit");
        let chatty = Assignment { progress: "p".repeat(8 << 10), ..assignment(10) };
        let messages = told(ToWorker::Tasks(vec![chatty; 1_000]), 1, PLAIN);
        assert!(messages.iter().all(|message| message.encoded_len() < graft_proto::MESSAGE_BYTES_MAX));
    }

    #[test]
    fn a_task_arrives_with_every_field() {
        let Some(Message::Tasks(tasks)) = told(ToWorker::Tasks(vec![assignment(2)]), 1, PLAIN).remove(0).message else {
            panic!("no tasks")
        };
        let task = &tasks.tasks[0];
        assert_eq!((task.state_revision, task.heartbeat_echo, task.timeout_ms, task.failures, task.max_attempts), (6, 7, 8, 9, 10));
        assert_eq!((task.at.expect("at").attempt, task.lease.expect("lease").sequence, task.labels["l"].as_str()), (3, 5, "v"));
        assert_eq!(task.config, None);
    }

    #[test]
    fn a_welcome_names_urls() {
        let welcome = ToWorker::Welcome {
            term: 3,
            leading: true,
            lease_ms: 10_000,
            leader_address: String::new(),
            member_addresses: vec!["h:1".into()],
            cluster_id: "c".into(),
        };
        let Some(Message::Welcome(welcome)) = told(welcome, 9, PLAIN).remove(0).message else { panic!("no welcome") };
        assert_eq!((welcome.leader_address.as_str(), welcome.member, welcome.protocol), ("", 9, 1));
        assert_eq!(welcome.member_addresses, ["http://h:1"]);
    }
}

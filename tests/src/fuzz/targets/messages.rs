//! What clients, workers and other members send, and what becomes of it: refused with a reason, or a command.

use graft_convert::dead_letters::Filter;
use graft_convert::{names, outcomes, payload, tasks, workflows};
use graft_proto::errors::Fault;
use graft_proto::v1;
use graft_proto::{peer, v1 as wire};
use graftd::discovery::records::Proposal;
use prost::Message;

use super::stored::message;
use crate::fuzz::{Outcome, Target, Verdict};

/// A refusal says what, and why.
pub(super) fn reasoned<T>(converted: Result<T, Fault>) -> Outcome {
    match converted {
        Ok(_) => Ok(Verdict::Taken),
        Err(fault) => {
            let told = fault.detail();
            let complete = !fault.object.is_empty() && !fault.detail.is_empty() && !told.remedy.is_empty();
            // What a client sent must not make the refusal large.
            let small = fault.object.len() + fault.detail.len() < 8_192;
            if complete && small { Ok(Verdict::Refused) } else { Err(format!("a poor refusal: {fault:?}")) }
        }
    }
}

/// A start with everything in it.
pub(super) fn a_start() -> v1::StartRequest {
    let json = |text: &'static str| Some(v1::Payload { data: text.into(), ..Default::default() });
    let retry = v1::RetryPolicy { max_attempts: 3, initial_ms: 5, max_ms: 100, factor_permille: 2_000, jitter_permille: 100 };
    let node = v1::NewTask { node: "charge".into(), config: json("{\"a\":1}"), retry: Some(retry), ..Default::default() };
    v1::StartRequest {
        workflow_id: "order-1".into(),
        state: json("{\"items\":[1,2],\"note\":{\"x\":null}}"),
        nodes: vec![node.clone(), v1::NewTask { delay_ms: 10, idempotency_key: "k".into(), ..node }],
        labels: [("till".to_owned(), "3".to_owned())].into(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        ..Default::default()
    }
}

/// A result with everything in it.
pub(super) fn a_result() -> v1::Result {
    let json = |text: &'static str| v1::Payload { data: text.into(), ..Default::default() };
    let node = v1::NewTask { node: "ship".into(), ..Default::default() };
    let operation = |pointer: &str, change| v1::Operation { pointer: pointer.into(), change: Some(change) };
    let completed = v1::Completed {
        base_revision: 1,
        patch: Some(json("{\"note\":null,\"done\":true}")),
        operations: vec![
            operation("/items", v1::operation::Change::Append(json("3"))),
            operation("/count", v1::operation::Change::Increment(-4)),
            operation("/share", v1::operation::Change::IncrementFloat(0.5)),
        ],
        next: vec![node.clone()],
        fan_outs: vec![v1::FanOut { tasks: vec![node.clone(), node.clone()], continuation: Some(node) }],
    };
    v1::Result {
        at: Some(v1::AttemptRef { run: 1, task: 1, attempt: 1 }),
        lease: Some(v1::Lease { term: 1, sequence: 1 }),
        outcome: Some(v1::result::Outcome::Completed(completed)),
        ..Default::default()
    }
}

pub(super) fn requests() -> Target {
    let run = |bytes: &[u8]| {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        macro_rules! read {
            ($type:ty) => {
                match <$type>::decode(rest) {
                    Ok(request) => request,
                    Err(_) => return Ok(Verdict::Refused),
                }
            };
        }
        match kind % 8 {
            0..=2 => {
                message::<v1::StartRequest>(rest)?;
                reasoned(workflows::start(read!(v1::StartRequest), 1_000, |_| "made".to_owned()))
            }
            3 => {
                let request = read!(v1::ListRequest);
                reasoned(workflows::statuses(&request.statuses))?;
                reasoned(names::labels(request.labels))
            }
            4 => reasoned(Filter::new(Some(read!(v1::DeadLetterFilter)))),
            5 => reasoned(tasks::states(&read!(v1::ListTasksRequest).states)),
            6 => {
                let request = read!(v1::RedriveRequest);
                reasoned(payload::config(request.config))?;
                reasoned(payload::patch(request.state_patch))
            }
            _ => message::<wire::ControlRequest>(rest),
        }
    };
    let seeds = (0..8).map(|kind| [&[kind], a_start().encode_to_vec().as_slice()].concat()).collect();
    Target { name: "requests", words: WORDS, longest: 4_096, seeds, run: Box::new(run) }
}

/// Words of documents.
const WORDS: &[&str] =
    &["null", "true", "{\"", "\":", "},", "[[", "1e308", "-0", "\\ud83e\\udd80", "default", "18446744073709551615", "0.1"];

pub(super) fn results() -> Target {
    let run = |bytes: &[u8]| {
        message::<v1::Result>(bytes)?;
        match v1::Result::decode(bytes) {
            Ok(result) => reasoned(outcomes::result(result)),
            Err(_) => Ok(Verdict::Refused),
        }
    };
    let failed = v1::Failed { message: "broke".into(), ..Default::default() };
    let blocked = v1::Blocked { wake_on: vec!["/a".into()], ..Default::default() };
    let outcomes = [v1::result::Outcome::Failed(failed), v1::result::Outcome::Blocked(blocked)];
    let others = outcomes.map(|outcome| v1::Result { outcome: Some(outcome), ..a_result() }.encode_to_vec());
    let seeds = others.into_iter().chain([a_result().encode_to_vec()]).collect();
    Target { name: "results", words: WORDS, longest: 4_096, seeds, run: Box::new(run) }
}

pub(super) fn peers() -> Target {
    use peer::v1::{
        ChangeRequest, ChangeResponse, DrainRequest, FormedRequest, JoinRequest, JoinResponse, PeerHeader, PeerHello, PromiseRequest,
        PromiseResponse, ProposeRequest, ProposeResponse, ProposedMember, RaftMessage, ReadIndexRequest, ReportRequest, SnapshotChunk,
    };
    const KINDS: [fn(&[u8]) -> Outcome; 16] = [
        message::<PeerHeader>,
        message::<PeerHello>,
        message::<PromiseResponse>,
        message::<FormedRequest>,
        message::<RaftMessage>,
        message::<SnapshotChunk>,
        message::<ProposeRequest>,
        message::<ProposeResponse>,
        message::<ReadIndexRequest>,
        |bytes| {
            message::<PromiseRequest>(bytes)?;
            let Ok(request) = PromiseRequest::decode(bytes) else { return Ok(Verdict::Refused) };
            let Some(proposal) = Proposal::of_request(&request) else { return Ok(Verdict::Refused) };
            let _ = (proposal.hash(), proposal.initiator(), proposal.raft_ids());
            Ok(Verdict::Taken)
        },
        message::<JoinRequest>,
        message::<JoinResponse>,
        message::<ReportRequest>,
        message::<DrainRequest>,
        message::<ChangeRequest>,
        message::<ChangeResponse>,
    ];
    let member = |name: &str| ProposedMember { name: name.into(), raft_id: 7, peer_address: "h:1".into(), client_address: "h:2".into() };
    let hello = PeerHello { cluster_name: "graft".into(), ..Default::default() };
    let promise =
        PromiseRequest { from: Some(hello.clone()), cluster_id: "c".into(), members: vec![member("a"), member("b")], ..Default::default() };
    let seeds = vec![
        [&[9], promise.encode_to_vec().as_slice()].concat(),
        [&[1], hello.encode_to_vec().as_slice()].concat(),
        [&[6], ProposeRequest { commands: vec![b"x".as_slice().into()], ..Default::default() }.encode_to_vec().as_slice()].concat(),
    ];
    let run = |bytes: &[u8]| {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        KINDS[usize::from(*kind) % KINDS.len()](rest)
    };
    Target { name: "peers", words: &[], longest: 2_048, seeds, run: Box::new(run) }
}

pub(super) fn told() -> Target {
    const KINDS: [fn(&[u8]) -> Outcome; 8] = [
        message::<v1::Event>,
        message::<v1::WorkflowEvent>,
        message::<v1::ErrorDetail>,
        message::<v1::FromWorker>,
        message::<v1::ToWorker>,
        message::<v1::StartResponse>,
        message::<v1::GetResponse>,
        message::<v1::ListResponse>,
    ];
    let from_worker = v1::from_worker::Message::Results(v1::Results { results: vec![a_result()] });
    let seeds = vec![
        [&[3], v1::FromWorker { message: Some(from_worker) }.encode_to_vec().as_slice()].concat(),
        [&[2], v1::ErrorDetail { code: "GR0001".into(), ..Default::default() }.encode_to_vec().as_slice()].concat(),
        [&[7], v1::ListResponse { workflows: vec![Default::default()], ..Default::default() }.encode_to_vec().as_slice()].concat(),
    ];
    let run = |bytes: &[u8]| {
        let Some((kind, rest)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        KINDS[usize::from(*kind) % KINDS.len()](rest)
    };
    Target { name: "told", words: &[], longest: 4_096, seeds, run: Box::new(run) }
}

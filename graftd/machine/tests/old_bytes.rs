//! What an earlier version wrote must stay readable: bytes that were written once, kept as hex in `fixtures/v1/`, decode to the same values
//! and encode to the same bytes. A new sample writes its file with `UPDATE_GOLDENFILES=1`; a file that is there is never rewritten.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use graft_machine::access::{Act, ApiToken};
use graft_machine::command::{
    BeginAct, Change, Command, CompleteTask, ControlTask, CreateApiToken, ENTRY_FORMAT, EndAct, Envelope, FIRST_MACHINE_VERSION, FanOut,
    GrantJoin, InitCluster, LogEntry, LoseTask, Operation, RaiseMachineVersion, RedriveTask, RevokeApiToken, RevokeJoinGrant,
    StartWorkflow, UseJoinGrant,
};
use graft_machine::event::{CreatedTask, DeadLetterRedriven, Event, Happened, TaskCompleted, TaskControlled};
use graft_machine::ids::{AttemptRef, EventPos, Lease};
use graft_machine::reply::{Answer, Reply, Started};
use graft_machine::session::{JoinGrant, Session, SessionNode};
use graft_machine::tables::{
    AttemptKey, Counter, DeadLetterKey, Descending, LabelKey, Lineage, MetaRecord, ReadyKey, Record, RequestRecord, StatusCountKey,
    TableId, TableKey, TaskListKey, TimerKey, TimerKind, VersionFrom,
};
use graft_machine::task::{Blocked, Exhausted, NewTask, OnExhausted, Ready, RetryPolicy, Scope, Task, TaskState};
use graft_machine::trace::TraceParent;
use graft_machine::workflow::{Cancelling, Paused, Running, Status, StatusKind, Workflow};
use prost::Message;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The bytes that were written once for this sample.
fn kept(name: &str, written_now: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(format!("tests/fixtures/v1/{name}.hex"));
    if !path.exists() && std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&path, hex(written_now) + "\n").expect("the fixture can be written");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits = text.trim().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex digits");
    digits.chunks(2).map(byte).collect()
}

fn new_task() -> NewTask {
    NewTask {
        node: "charge".into(),
        config: Bytes::from_static(b"{\"x\":1}"),
        priority: -5,
        delay: 250,
        not_before: 9_000,
        idempotency_key: "order-1".into(),
        retry: Some(RetryPolicy::standard()),
        timeout: 3_000,
        on_exhausted: Some(OnExhausted { then: Some(Exhausted::ErrorNode("apologise".into())) }),
    }
}

fn operations() -> Vec<Operation> {
    let operation = |pointer: &str, change| Operation { pointer: pointer.into(), change: Some(change) };
    vec![
        operation("/list", Change::Append(Bytes::from_static(b"[1]"))),
        operation("/n", Change::Increment(-2)),
        operation("/f", Change::IncrementFloat(0.5)),
    ]
}

#[test]
fn a_log_entry_of_version_1_is_read_and_written_alike() {
    let start = StartWorkflow {
        namespace: "default".into(),
        id: "order-1".into(),
        state: Bytes::from_static(b"{}"),
        nodes: vec![new_task()],
        labels: BTreeMap::from([("tier".into(), "gold".into()), ("a".into(), "b".into())]),
        deadline: 99_000,
        retention: 1_000,
        on_conflict: 2,
        traceparent: None,
    };
    let complete = CompleteTask {
        at: AttemptRef { run: 7, task: 3, attempt: 2 },
        lease: Lease { term: 4, sequence: 11 },
        base_revision: 5,
        patch: Bytes::from_static(b"{\"a\":null}"),
        operations: operations(),
        next: vec![new_task()],
        fan_outs: vec![FanOut { tasks: vec![new_task(); 2], continuation: Some(new_task()) }],
        worker: "w1".into(),
        execution_us: 1_234,
    };
    let envelope = |command| Envelope {
        principal: "client:ann".into(),
        request_id: "r1".into(),
        payload_hash: u64::MAX - 1,
        not_after: 77,
        command: Some(command),
    };
    let entry = LogEntry {
        format: ENTRY_FORMAT,
        machine_version: FIRST_MACHINE_VERSION,
        time: 1_700_000_000_000,
        commands: vec![envelope(Command::Start(start)), envelope(Command::Complete(complete))],
    };
    let bytes = kept("log_entry", &entry.encode_to_vec());
    assert_eq!(LogEntry::decode(bytes.as_slice()), Ok(entry.clone()));
    assert_eq!(hex(&entry.encode_to_vec()), hex(&bytes));
}

#[test]
fn commands_about_one_task_are_read_and_written_alike() {
    let of_task = ControlTask { namespace: "default".into(), id: "order-1".into(), run: 7, task: 3, reason: "the bank is back".into() };
    let redrive = RedriveTask {
        namespace: "default".into(),
        id: "order-1".into(),
        run: 7,
        task: 3,
        config: Some(Bytes::new()),
        state_patch: Bytes::from_static(b"{\"a\":null}"),
        reason: "the bank is back".into(),
    };
    let commands = [Command::Redrive(redrive), Command::RetryTask(of_task.clone()), Command::Discard(of_task)];
    let commands = commands.into_iter().map(|command| Envelope::internal("client:ann", command)).collect();
    let entry = LogEntry { format: ENTRY_FORMAT, machine_version: FIRST_MACHINE_VERSION, time: 1_700_000_000_000, commands };
    let bytes = kept("log_entry_of_tasks", &entry.encode_to_vec());
    assert_eq!(LogEntry::decode(bytes.as_slice()), Ok(entry.clone()));
    assert_eq!(hex(&entry.encode_to_vec()), hex(&bytes));
}

#[test]
fn the_commands_of_joining_of_version_1_are_read_and_written_alike() {
    let secret_hash = Bytes::from_static(&[7; 32]);
    let grant = GrantJoin { id: "t1".into(), member: "c".into(), secret_hash: secret_hash.clone(), expires: 9_000, uses: 2 };
    let used = UseJoinGrant { id: "t1".into(), secret_hash, member: "c".into(), raft_id: 11 };
    let revoked = RevokeJoinGrant { id: "t1".into() };
    let commands = [Command::GrantJoin(grant), Command::UseJoinGrant(used), Command::RevokeJoinGrant(revoked)];
    let commands = commands.into_iter().map(|command| Envelope::internal("client:ann", command)).collect();
    let entry = LogEntry { format: ENTRY_FORMAT, machine_version: FIRST_MACHINE_VERSION, time: 1_700_000_000_000, commands };
    let bytes = kept("log_entry_of_joining", &entry.encode_to_vec());
    assert_eq!(LogEntry::decode(bytes.as_slice()), Ok(entry.clone()));
    assert_eq!(hex(&entry.encode_to_vec()), hex(&bytes));
}

#[test]
fn the_commands_of_access_are_read_and_written_alike() {
    let create = CreateApiToken {
        id: "t1".into(),
        name: "deploy".into(),
        secret_hash: Bytes::from_static(&[7; 32]),
        grants: vec!["operator@billing".into()],
        expires: 9_000,
    };
    let begin = BeginAct { from: "10.0.0.1".into(), method: "LimitService.set".into(), object: "a limit".into(), member: "m1".into() };
    let commands = [
        Command::CreateApiToken(create),
        Command::RevokeApiToken(RevokeApiToken { id: "t1".into() }),
        Command::BeginAct(begin),
        Command::EndAct(EndAct { number: 3, outcome: "ok".into() }),
    ];
    let commands = commands.into_iter().map(|command| Envelope::internal("client:ann", command)).collect();
    let entry = LogEntry { format: ENTRY_FORMAT, machine_version: 2, time: 1_700_000_000_000, commands };
    let bytes = kept("log_entry_of_access", &entry.encode_to_vec());
    assert_eq!(LogEntry::decode(bytes.as_slice()), Ok(entry.clone()));
    assert_eq!(hex(&entry.encode_to_vec()), hex(&bytes));
}

#[test]
fn the_commands_of_machine_versions_are_read_and_written_alike() {
    let init = InitCluster { cluster_id: "c1".into(), cluster_name: "prod".into(), epoch: 1, machine_version: 2 };
    let raise = RaiseMachineVersion { to: 2 };
    let commands = [Command::InitCluster(init), Command::RaiseMachineVersion(raise)];
    let commands = commands.into_iter().map(|command| Envelope::internal("operator", command)).collect();
    let entry = LogEntry { format: ENTRY_FORMAT, machine_version: 2, time: 1_700_000_000_000, commands };
    let bytes = kept("log_entry_of_versions", &entry.encode_to_vec());
    assert_eq!(LogEntry::decode(bytes.as_slice()), Ok(entry.clone()));
    assert_eq!(hex(&entry.encode_to_vec()), hex(&bytes));
}

#[test]
fn what_spans_are_made_of_is_read_and_written_alike() {
    let traceparent = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let start =
        StartWorkflow { namespace: "default".into(), id: "order-1".into(), nodes: vec![new_task()], traceparent, ..Default::default() };
    let (at, lease) = (AttemptRef { run: 7, task: 3, attempt: 2 }, Lease { term: 4, sequence: 11 });
    let lose = LoseTask { at, lease, worker: "w1".into(), held_us: 1_234, ..Default::default() };
    let commands = [Command::Start(start), Command::Lose(lose)];
    let commands = commands.into_iter().map(|command| Envelope::internal("client:ann", command)).collect();
    let entry = LogEntry { format: ENTRY_FORMAT, machine_version: 2, time: 1_700_000_000_000, commands };
    let bytes = kept("log_entry_of_traces", &entry.encode_to_vec());
    assert_eq!(LogEntry::decode(bytes.as_slice()), Ok(entry.clone()));
    assert_eq!(hex(&entry.encode_to_vec()), hex(&bytes));
}

fn records() -> Vec<(&'static str, TableId, Record)> {
    let workflow = Workflow {
        namespace: "default".into(),
        id: "order-1".into(),
        run: 7,
        state: Bytes::from_static(b"{\"a\":1}"),
        revision: 4,
        labels: BTreeMap::from([("tier".into(), "gold".into())]),
        created: 1_000,
        deadline: 2_000,
        retention: 3_000,
        next_task: 9,
        next_scope: 3,
        open_tasks: 5,
        blocked_tasks: 1,
        dead_letters: 2,
        sweep_cursor: 4,
        events: 21,
        sweep_due: 1_500,
        sweep_again: true,
        sweep_touched: vec!["/a".into()],
        sweep_wakes_only: true,
        reopened: 0,
        traceparent: None,
        status: Some(Status::Cancelling(Cancelling { at: 1_400, until: 31_400, reason: "no longer needed".into() })),
    };
    let task = Task {
        node: "charge".into(),
        config: Bytes::from_static(b"null"),
        priority: -1,
        scope: 2,
        parent: 1,
        attempt: 3,
        failures: 1,
        retry: RetryPolicy::standard(),
        timeout: 3_000,
        on_exhausted: Some(OnExhausted { then: Some(Exhausted::Continue(())) }),
        idempotency_key: "order-1".into(),
        created: 1_000,
        last_error: "no route".into(),
        progress: "50 %".into(),
        execution_key: "00ff".into(),
        thawed: 0,
        state: Some(TaskState::Blocked(Blocked { since_revision: 4, wake_on: vec!["/a/b".into()], recheck: 5_000 })),
    };
    let created = CreatedTask { task: 2, node: "ship".into(), scope: 1, not_before: 8, skipped_for: 0, idempotency_key: "k".into() };
    let completed = TaskCompleted {
        task: 1,
        node: "charge".into(),
        attempt: 2,
        lease: Lease { term: 4, sequence: 11 },
        base_revision: 3,
        revision: 4,
        patch: Bytes::from_static(b"{}"),
        operations: operations(),
        created: vec![created],
        opened: Vec::new(),
        worker: "w1".into(),
        execution_us: 17,
    };
    let redriven = DeadLetterRedriven {
        task: 1,
        node: "charge".into(),
        principal: "client:ann".into(),
        reason: "the bank is back".into(),
        attempt: 6,
        config: Some(Bytes::from_static(b"{}")),
        state_patch: Bytes::from_static(b"{\"a\":2}"),
        revision: 5,
        reopened: true,
        scope: 3,
    };
    let discarded = TaskControlled { task: 1, node: "charge".into(), principal: "client:ann".into(), reason: "gone".into() };
    let event = |number, happened| Record::Events(Arc::new(Event { run: 7, number, at: 1_000, happened: Some(happened) }));
    let paused = Paused { at: 1_400, reason: "task 1 was given up".into(), task: 1 };
    let reopened = Workflow { status: Some(Status::Paused(paused)), reopened: 2, ..Default::default() };
    let traceparent = TraceParent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let traced = Workflow { run: 7, traceparent, status: Some(Status::Running(Running {})), ..Default::default() };
    let thawed = Task { attempt: 2, thawed: 2, state: Some(TaskState::Ready(Ready { since: 1_000, started: 0 })), ..Default::default() };
    let answer: Answer = Ok(Reply::Started(Started { run: 7, created: true, time: 1_000 }));
    let session = Session {
        incarnation: "i1".into(),
        worker: "worker-1".into(),
        namespace: "default".into(),
        nodes: vec![SessionNode { node: "charge".into(), capacity: 10, limit: 3 }],
        build: "b1".into(),
        lease_time: 10_000,
        opened: 900,
    };
    let grant = JoinGrant {
        member: "c".into(),
        secret_hash: Bytes::from_static(&[7; 32]),
        expires: 9_000,
        uses: 2,
        used_by: vec![11, 12],
        created: 1_000,
        principal: "client:ann".into(),
    };
    let api_token = ApiToken {
        name: "deploy".into(),
        secret_hash: Bytes::from_static(&[7; 32]),
        grants: vec!["operator@billing".into(), "worker@billing=charge".into()],
        expires: 9_000,
        created: 1_000,
        principal: "client:ann".into(),
    };
    let act = Act {
        time: 1_000,
        principal: "client:ann".into(),
        from: "10.0.0.1".into(),
        method: "LimitService.set".into(),
        object: "a limit".into(),
        outcome: "ok".into(),
        ended: 1_100,
        member: "m1".into(),
    };
    let ranked = Task { attempt: 1, state: Some(TaskState::Ready(Ready { since: 1_000, started: 400 })), ..Default::default() };
    let lineage = vec![Lineage { cluster_id: "c1".into(), epoch: 1, from_index: 1 }];
    vec![
        ("workflow", TableId::Workflows, Record::Workflows(Arc::new(workflow))),
        ("task", TableId::Tasks, Record::Tasks(Arc::new(task))),
        (
            "scope",
            TableId::Scopes,
            Record::Scopes(Arc::new(Scope { parent: 1, open: 3, continuation: Some(new_task()), opened_by: 4, depth: 2 })),
        ),
        (
            "event",
            TableId::Events,
            Record::Events(Arc::new(Event { run: 7, number: 3, at: 1_000, happened: Some(Happened::Completed(completed)) })),
        ),
        ("event_redriven", TableId::Events, event(4, Happened::DeadLetterRedriven(redriven))),
        ("event_discarded", TableId::Events, event(5, Happened::DeadLetterDiscarded(discarded.clone()))),
        ("event_retried", TableId::Events, event(6, Happened::TaskRetried(discarded))),
        ("workflow_reopened", TableId::Workflows, Record::Workflows(Arc::new(reopened))),
        ("workflow_traced", TableId::Workflows, Record::Workflows(Arc::new(traced))),
        ("task_thawed", TableId::Tasks, Record::Tasks(Arc::new(thawed))),
        ("status_count", TableId::StatusCounts, Record::StatusCounts(Arc::new(Counter { value: 300 }))),
        (
            "request",
            TableId::Requests,
            Record::Requests(Arc::new(RequestRecord { payload_hash: 9, answer: Some(answer.into()), expires: 601_000 })),
        ),
        ("session", TableId::Sessions, Record::Sessions(Arc::new(session))),
        ("join_grant", TableId::JoinGrants, Record::JoinGrants(Arc::new(grant))),
        ("api_token", TableId::ApiTokens, Record::ApiTokens(Arc::new(api_token))),
        ("act", TableId::Acts, Record::Acts(Arc::new(act))),
        ("task_ranked", TableId::Tasks, Record::Tasks(Arc::new(ranked))),
        (
            "meta",
            TableId::Meta,
            Record::Meta(Arc::new(MetaRecord {
                time: 1_000,
                lineage,
                cluster_name: "prod".into(),
                machine_version: 1,
                ..Default::default()
            })),
        ),
        (
            "meta_raised",
            TableId::Meta,
            Record::Meta(Arc::new(MetaRecord {
                machine_version: 2,
                versions: vec![VersionFrom { version: 2, from_index: 300 }],
                ..Default::default()
            })),
        ),
    ]
}

#[test]
fn records_of_version_1_are_read_and_written_alike() {
    for (name, table, record) in records() {
        let bytes = kept(&format!("record_{name}"), &record.encode());
        assert_eq!(Record::decode(table, &bytes), Ok(record.clone()), "{name}");
        assert_eq!(hex(&record.encode()), hex(&bytes), "{name}");
    }
}

#[test]
fn keys_of_version_1_are_read_and_written_alike() {
    fn same<K: TableKey>(name: &str, key: K) {
        let bytes = kept(&format!("key_{name}"), &key.to_bytes());
        assert_eq!(K::from_bytes(&bytes), Some(key.clone()), "{name}");
        assert_eq!(hex(&key.to_bytes()), hex(&bytes), "{name}");
    }
    let (namespace, node) = (String::from("default"), String::from("charge"));
    let ready = |priority| ReadyKey {
        namespace: namespace.clone(),
        node: node.clone(),
        fairness: String::new(),
        priority: Descending(priority),
        rank: 1_000,
        run: 7,
        task: 3,
    };
    same("ready", ready(-5));
    same("timer", TimerKey { due: 1_000, kind: TimerKind::Sweep as u8, run: 7, task: 0 });
    same("label", LabelKey { namespace: namespace.clone(), label: "tier".into(), value: String::new(), run: 7 });
    same("task_list", TaskListKey { namespace: namespace.clone(), node: node.clone(), run: 7, task: 3 });
    same("dead_letter", DeadLetterKey { namespace: namespace.clone(), at: 1_000, run: 7, task: 3 });
    same("status_count", StatusCountKey { namespace: namespace.clone(), status: StatusKind::Failed as u8 });
    let attempt = |index, ordinal| AttemptKey::of(7, 3, EventPos { index, ordinal });
    same("attempt", attempt(20, 1));
    assert_eq!(attempt(20, 1).at(), EventPos { index: 20, ordinal: 1 });
    assert!(attempt(20, 1).to_bytes() < attempt(20, 0).to_bytes() && attempt(20, 0).to_bytes() < attempt(19, 5).to_bytes());
    // The bytes sort as the keys do: a high priority first.
    for (first, second) in [(5, 4), (1, 0), (0, -1), (i32::MAX, i32::MIN)] {
        assert!(ready(first).to_bytes() < ready(second).to_bytes(), "{first} before {second}");
    }
}

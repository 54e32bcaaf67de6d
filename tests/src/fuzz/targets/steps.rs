//! Requests and results as they come over the wire, checked and converted as the daemon does it, applied by the real machine to a state in
//! memory: whatever is sent, every command has an answer, a rejected one has changed nothing, and the state keeps its invariants.

use bytes::Bytes;
use graft_convert::{outcomes, workflows};
use graft_machine::command::{Command, ControlTask, ControlWorkflow, Due, Envelope, RedriveTask, SetLimit, TimerRef};
use graft_machine::ids::AttemptRef;
use graft_machine::memory::Memory;
use graft_machine::session::Limit;
use graft_machine::state::StateRead;
use graft_machine::tables::{Prefix, Tasks, Timers, Workflows};
use graft_machine::time::Stamp;
use graft_machine::{apply, invariants};
use graft_proto::v1;
use prost::Message;
use serde_json::Value;

use super::documents::merge_patch;
use super::messages::{a_result, a_start};
use crate::fuzz::choices::Choices;
use crate::fuzz::{Outcome, Target, Verdict, same};

/// Commands of one case.
const COMMANDS_MAX: usize = 12;
/// Ids of workflows: few, so that they meet.
const IDS: [&str; 3] = ["order-1", "order-2", "order-3"];

fn payload(value: &Value) -> Option<v1::Payload> {
    Some(v1::Payload { data: serde_json::to_vec(value).expect("JSON").into(), ..Default::default() })
}

/// A task to be made: as it should be, more or less.
fn new_task(choices: &mut Choices) -> v1::NewTask {
    let retry = v1::RetryPolicy {
        max_attempts: choices.number() as u32,
        initial_ms: choices.number(),
        max_ms: choices.number(),
        factor_permille: (choices.number() as u32).saturating_add(1_000),
        jitter_permille: choices.below(1_002) as u32,
    };
    let then = match choices.below(6) {
        0 => Some(v1::on_exhausted::Then::Pause(Default::default())),
        1 => Some(v1::on_exhausted::Then::Continue(Default::default())),
        2 => Some(v1::on_exhausted::Then::ErrorNode(choices.one(&["refund", ""]).to_owned())),
        _ => None,
    };
    v1::NewTask {
        node: choices.one(&["charge", "ship", "refund", ""]).to_owned(),
        config: if choices.below(2) == 0 { None } else { payload(&choices.json()) },
        priority: choices.number() as i32,
        delay_ms: choices.number(),
        not_before_ms: choices.number(),
        idempotency_key: choices.one(&["", "", "k1", "k2"]).to_owned(),
        retry: if choices.below(2) == 0 { None } else { Some(retry) },
        timeout_ms: choices.number(),
        on_exhausted: then.map(|then| v1::OnExhausted { then: Some(then) }),
    }
}

fn tasks(choices: &mut Choices) -> Vec<v1::NewTask> {
    (0..choices.below(4)).map(|_| new_task(choices)).collect()
}

/// A start: made of choices, or of the bytes themselves.
fn start(choices: &mut Choices) -> Option<v1::StartRequest> {
    if choices.below(4) == 0 {
        let base = a_start().encode_to_vec();
        return v1::StartRequest::decode([base.as_slice(), choices.bytes(200)].concat().as_slice()).ok();
    }
    Some(v1::StartRequest {
        workflow_id: choices.one(&IDS).to_owned(),
        state: if choices.below(4) == 0 { None } else { payload(&choices.object()) },
        nodes: tasks(choices),
        labels: (0..choices.below(3)).map(|_| (choices.text(), choices.text())).collect(),
        deadline_ms: choices.number(),
        retention_ms: choices.number(),
        on_conflict: choices.below(4) as i32,
        ..Default::default()
    })
}

fn operation(choices: &mut Choices) -> v1::Operation {
    let change = match choices.below(4) {
        0 => v1::operation::Change::Append(payload(&choices.json()).expect("JSON")),
        1 => v1::operation::Change::IncrementFloat(f64::from_bits(choices.number() << choices.below(60))),
        _ => v1::operation::Change::Increment(choices.number() as i64),
    };
    v1::Operation { pointer: choices.pointer(), change: Some(change) }
}

/// The result of an attempt that may be the current one of a task that may be there.
fn result(choices: &mut Choices, state: &Memory) -> Option<v1::Result> {
    if choices.below(6) == 0 {
        let base = a_result().encode_to_vec();
        return v1::Result::decode([base.as_slice(), choices.bytes(200)].concat().as_slice()).ok();
    }
    let open = state.scan::<Tasks>(Prefix::new().as_bytes(), None, 64);
    let at = match open.get(choices.below(open.len() + 1)) {
        Some((key, task)) => {
            v1::AttemptRef { run: key.run, task: key.task, attempt: task.attempt.wrapping_add(choices.one(&[0, 0, 0, 0, 1])) }
        }
        None => v1::AttemptRef { run: choices.number(), task: choices.number() as u32, attempt: choices.number() as u32 },
    };
    let outcome = match choices.below(8) {
        0 => v1::result::Outcome::Failed(v1::Failed {
            kind: choices.below(6) as i32,
            message: choices.text(),
            retry_after_ms: choices.number(),
            ..Default::default()
        }),
        1 => v1::result::Outcome::Blocked(v1::Blocked {
            judged_revision: choices.number(),
            wake_on: (0..choices.below(3)).map(|_| choices.pointer()).collect(),
            recheck_ms: choices.number(),
        }),
        2 => v1::result::Outcome::HandedBack(v1::HandedBack { reason: choices.text(), progress: choices.text() }),
        _ => v1::result::Outcome::Completed(v1::Completed {
            base_revision: choices.number(),
            patch: if choices.below(3) == 0 { None } else { payload(&choices.object()) },
            operations: (0..choices.below(4)).map(|_| operation(choices)).collect(),
            next: tasks(choices),
            fan_outs: (0..choices.below(3))
                .map(|_| v1::FanOut {
                    tasks: tasks(choices),
                    continuation: if choices.below(2) == 0 { None } else { Some(new_task(choices)) },
                })
                .collect(),
        }),
    };
    let lease = Some(v1::Lease { term: choices.number(), sequence: choices.number() });
    Some(v1::Result { at: Some(at), lease, execution_us: choices.number(), outcome: Some(outcome) })
}

fn control(choices: &mut Choices) -> ControlWorkflow {
    ControlWorkflow {
        namespace: "default".into(),
        id: choices.one(&IDS).to_owned(),
        run: choices.one(&[0, 0, 1, 2]),
        reason: choices.text(),
        grace: choices.number(),
        idle: choices.below(4) == 0,
    }
}

fn command(choices: &mut Choices, state: &Memory) -> Option<Command> {
    let of =
        |choices: &mut Choices| ("default".to_owned(), choices.one(&IDS).to_owned(), choices.one(&[0, 0, 1, 2]), choices.below(8) as u32);
    Some(match choices.below(16) {
        0..=2 => Command::Start(workflows::start(start(choices)?, 60_000, |_| "made".to_owned()).ok()?),
        3..=8 => outcomes::result(result(choices, state)?).ok()?.into_command("w1".into()),
        9 => Command::Pause(control(choices)),
        10 => Command::Resume(control(choices)),
        11 => choices.one(&[Command::Cancel as fn(_) -> _, Command::Terminate as fn(_) -> _])(control(choices)),
        12 => {
            // What is due, as the scheduler reports it: timers that stand, and one that does not.
            let timers = state.scan::<Timers>(Prefix::new().as_bytes(), None, 1 + choices.below(8)).into_iter();
            let timers = timers.map(|(key, _)| TimerRef { due: key.due, kind: key.kind.into(), run: key.run, task: key.task });
            Command::Due(Due { timers: timers.collect() })
        }
        13 => {
            let ((namespace, id, run, task), reason) = (of(choices), choices.text());
            let control = ControlTask { namespace, id, run, task, reason };
            if choices.below(2) == 0 { Command::Discard(control) } else { Command::RetryTask(control) }
        }
        14 => {
            let (namespace, id, run, task) = of(choices);
            let patch = graft_convert::payload::patch(payload(&choices.object())).ok()?;
            let config = if choices.below(2) == 0 { None } else { Some(graft_convert::payload::config(payload(&choices.json())).ok()?) };
            Command::Redrive(RedriveTask { namespace, id, run, task, config, state_patch: patch, reason: choices.text() })
        }
        _ => {
            let limit = Limit { max: choices.number() as u32, configured: false };
            let limit = if choices.below(3) == 0 { None } else { Some(limit) };
            Command::SetLimit(SetLimit { namespace: "default".into(), node: "charge".into(), limit, only_if_absent: choices.below(2) == 0 })
        }
    })
}

/// A patch without operations makes of a state what RFC 7396 says. (Operations have properties of their own in the machine's tests.)
fn check_patch(before: &Memory, after: &Memory, at: AttemptRef, patch: &Bytes) -> Result<(), String> {
    let key = graft_machine::tables::RunKey { run: at.run };
    let (Some(old), Some(new)) = (before.get::<Workflows>(&key), after.get::<Workflows>(&key)) else { return Ok(()) };
    if new.revision != old.revision + 1 {
        return Ok(());
    }
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|error| format!("a stored state is no JSON: {error}"));
    let patch = if patch.is_empty() { Value::Object(Default::default()) } else { read(patch)? };
    same("the state after a step", &merge_patch(read(&old.state)?, &patch), &read(&new.state)?)
}

fn case(bytes: &[u8]) -> Outcome {
    let choices = &mut Choices::new(bytes);
    let mut state = Memory::new();
    let (mut time, mut verdict) = (1_700_000_000_000, Verdict::Refused);
    for index in 1..=COMMANDS_MAX as u64 {
        if choices.used_up() {
            break;
        }
        let Some(command) = command(choices, &state) else { continue };
        time += choices.one(&[0, 1, 10, 60_000, 86_400_000]);
        let request_id = choices.one(&["", "", "", "r1", "r2"]).to_owned();
        let envelope = Envelope {
            principal: "client:x".into(),
            payload_hash: 7,
            not_after: if request_id.is_empty() { 0 } else { time + 1_000 },
            request_id,
            command: Some(command),
        };
        let before = state.clone();
        let applied = apply(&mut state, Stamp { time, index, ordinal: 0 }, &envelope);
        match (&applied.reply, &envelope.command) {
            (Err(rejection), _) => {
                if rejection.object.is_empty() && rejection.detail.is_empty() {
                    return Err(format!("a rejection without words: {rejection:?}"));
                }
                // Nothing but the machine's time.
                if state.len() > before.len() + 1 || !applied.events.is_empty() || !applied.effects.is_empty() {
                    return Err(format!("a rejected command has left something behind: {:?}", envelope.command));
                }
            }
            (Ok(_), Some(Command::Complete(complete))) if complete.operations.is_empty() => {
                verdict = Verdict::Taken;
                check_patch(&before, &state, complete.at, &complete.patch)?;
            }
            (Ok(_), _) => verdict = Verdict::Taken,
        }
        invariants::check(&state).map_err(|wrong| format!("after {:?}: {wrong:?}", envelope.command))?;
    }
    // What is written is read as the same.
    let written = state.encode();
    let again = Memory::decode(&written)?;
    if again != state && again.encode() != written {
        return Err("a state that was written is read as another one".into());
    }
    Ok(verdict)
}

pub(super) fn steps() -> Target {
    // A start with two nodes; results; control; time.
    let some: Vec<u8> = vec![0, 1, 0, 1, 9, 4, 2, 2, 0, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 3, 5, 1, 1, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let rising: Vec<u8> = (0..=255).collect();
    let mixed: Vec<u8> = (0..240_u32).map(|n| (n * 73 % 251) as u8).collect();
    Target { name: "steps", words: &[], longest: 768, seeds: vec![some, rising, mixed], run: Box::new(case) }
}

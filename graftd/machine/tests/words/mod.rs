//! The machine's answers, events, effects and records in words: one line each.

use std::fmt::Write as _;

use bytes::Bytes;
use graft_machine::Applied;
use graft_machine::access::{Act, ApiToken};
use graft_machine::command::{Change, FailureKind, Operation};
use graft_machine::effect::{Effect, Offer};
use graft_machine::event::{CreatedTask, Event, Happened, OpenedScope};
use graft_machine::ids::Lease;
use graft_machine::reply::{RejectionCode, Reply, Resolution};
use graft_machine::session::JoinGrant;
use graft_machine::tables::{TimerKey, TimerKind};
use graft_machine::task::{Exhausted, OnExhausted, Scope, Task, TaskState};
use graft_machine::workflow::{Status, Workflow};

pub fn applied(applied: &Applied) -> String {
    let mut out = match &applied.reply {
        Ok(Reply::Started(s)) if s.created => format!("started run {} at {}\n", s.run, s.time),
        Ok(Reply::Started(s)) => format!("found run {} at {}\n", s.run, s.time),
        Ok(Reply::Resolved(r)) => match (Resolution::try_from(r.resolution).expect("known"), &r.accepted) {
            (Resolution::Applied, None) => "applied\n".to_owned(),
            (Resolution::AlreadyResolved, Some(accepted)) => format!("already resolved under lease {}\n", lease(accepted)),
            (Resolution::Stale, None) => "stale\n".to_owned(),
            other => format!("an answer that makes no sense: {other:?}\n"),
        },
        Ok(Reply::Done(d)) => {
            let at = d.at.map_or("no event".to_owned(), |at| format!("last event {}.{}", at.index, at.ordinal));
            format!("done, run {}, {at}, at {}\n", d.run, d.time)
        }
        Err(rejection) => format!("rejected {:?}: {rejection}\n", RejectionCode::try_from(rejection.code).expect("known")),
    };
    for event in &applied.events {
        let _ = writeln!(out, "event {}:{} {}", event.run, event.number, happened(event));
    }
    for effect in &applied.effects {
        let _ = writeln!(out, "effect {}", self::effect(effect));
    }
    out
}

fn lease(lease: &Lease) -> String {
    format!("{}.{}", lease.term, lease.sequence)
}

fn happened(event: &Event) -> String {
    match event.happened.as_ref().expect("known") {
        Happened::Started(e) => format!("started state={} {} by {}", json(&e.state), created(&e.created), e.principal),
        Happened::Completed(e) => {
            let mut out = format!("completed task {} ({}) attempt {} lease {}", e.task, e.node, e.attempt, lease(&e.lease));
            let _ = write!(out, " revision {}->{}", e.base_revision, e.revision);
            if !e.patch.is_empty() {
                let _ = write!(out, " patch={}", json(&e.patch));
            }
            for operation in &e.operations {
                let _ = write!(out, " op=[{}]", self::operation(operation));
            }
            let _ = write!(out, " {}", created(&e.created));
            for OpenedScope { scope, parent, continuation } in &e.opened {
                let then = if continuation.is_empty() { "nothing" } else { continuation };
                let _ = write!(out, " opened scope {scope} in {parent} then {then}");
            }
            out
        }
        Happened::Failed(e) => {
            let kind = FailureKind::try_from(e.kind).expect("known");
            let again = if e.retry_at == 0 { "no retry".to_owned() } else { format!("retry at {}", e.retry_at) };
            let message = short(&e.message);
            let held = match kind {
                FailureKind::Lost if e.execution_us > 0 => format!(" after {} us", e.execution_us),
                _ => String::new(),
            };
            format!(
                "failed task {} ({}) attempt {} lease {} {kind:?}{held} {message:?}, {again}",
                e.task,
                e.node,
                e.attempt,
                lease(&e.lease)
            )
        }
        Happened::Blocked(e) => {
            format!("blocked task {} ({}) attempt {} at revision {} until {:?}", e.task, e.node, e.attempt, e.judged_revision, e.wake_on)
        }
        Happened::ScopeClosed(e) => format!("scope {} closed, {}", e.scope, created(e.continuation.as_slice())),
        Happened::DeadLettered(e) => {
            let error_task = e.error_task.as_ref().map(|task| format!(", {}", created(std::slice::from_ref(task)))).unwrap_or_default();
            let (node, error) = (&e.node, short(&e.error));
            format!("dead letter task {} ({node}) attempt {} {error:?} then {}{error_task}", e.task, e.attempt, policy(&e.then))
        }
        Happened::HandedBack(e) if e.reason.is_empty() => format!("handed back task {} ({}) attempt {}", e.task, e.node, e.attempt),
        Happened::HandedBack(e) => format!("handed back task {} ({}) attempt {}: {}", e.task, e.node, e.attempt, e.reason),
        Happened::Paused(e) => format!("paused by {} {:?}", e.principal, e.reason),
        Happened::Resumed(e) => format!("resumed by {} {:?}", e.principal, e.reason),
        Happened::Cancelling(e) => format!("cancelling by {} {:?}", e.principal, e.reason),
        Happened::WorkflowCompleted(_) => "workflow completed".to_owned(),
        Happened::WorkflowFailed(e) => format!("workflow failed by task {} {:?}", e.task, short(&e.reason)),
        Happened::WorkflowCancelled(e) => format!("workflow cancelled {:?}", e.reason),
        Happened::WorkflowTerminated(e) => format!("workflow terminated {:?}", e.reason),
        Happened::WorkflowTimedOut(e) => format!("workflow timed out {:?}", e.reason),
        Happened::LateResultIgnored(e) => format!("late result ignored task {} ({}) attempt {}", e.task, e.node, e.attempt),
        Happened::DeadLetterRedriven(e) => {
            let mut out = format!("redriven task {} ({}) attempt {} in scope {}", e.task, e.node, e.attempt, e.scope);
            let _ = write!(out, " by {} {:?} revision {}", e.principal, e.reason, e.revision);
            if let Some(config) = &e.config {
                let _ = write!(out, " config={}", json(config));
            }
            if !e.state_patch.is_empty() {
                let _ = write!(out, " patch={}", json(&e.state_patch));
            }
            out.push_str(if e.reopened { ", workflow reopened" } else { "" });
            out
        }
        Happened::DeadLetterDiscarded(e) => format!("discarded task {} ({}) by {} {:?}", e.task, e.node, e.principal, e.reason),
        Happened::TaskRetried(e) => format!("retried task {} ({}) by {} {:?}", e.task, e.node, e.principal, e.reason),
    }
}

fn policy(policy: &Option<OnExhausted>) -> String {
    match policy.as_ref().map(|policy| policy.then.as_ref().expect("known")) {
        None | Some(Exhausted::Fail(())) => "fail".to_owned(),
        Some(Exhausted::Pause(())) => "pause".to_owned(),
        Some(Exhausted::Continue(())) => "continue".to_owned(),
        Some(Exhausted::ErrorNode(node)) => format!("error node {node}"),
    }
}

fn created(tasks: &[CreatedTask]) -> String {
    let one = |task: &CreatedTask| {
        if task.skipped_for != 0 {
            return format!("{} skipped for {}", task.node, task.skipped_for);
        }
        let mut out = format!("{} {}@{}", task.task, task.node, task.scope);
        if task.not_before != 0 {
            let _ = write!(out, " at {}", task.not_before);
        }
        out
    };
    match tasks {
        [] => "created nothing".to_owned(),
        tasks if tasks.len() > 20 => format!("created {} tasks", tasks.len()),
        tasks => format!("created {}", tasks.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

fn operation(operation: &Operation) -> String {
    match operation.change.as_ref().expect("known") {
        Change::Append(value) => format!("{} append {}", operation.pointer, json(value)),
        Change::Increment(by) => format!("{} inc {by}", operation.pointer),
        Change::IncrementFloat(by) => format!("{} float {by}", operation.pointer),
    }
}

fn effect(effect: &Effect) -> String {
    match effect {
        Effect::Offer(offer) => format!("offer {}", self::offer(offer)),
        Effect::Withdraw { at, reason } => format!("withdraw {at} {reason:?}"),
        Effect::StopRun { run, reason } => format!("stop run {run} {reason:?}"),
        Effect::TimerSet(timer) => format!("timer {} at {} for {}/{}", kind(timer.kind), timer.due, timer.run, timer.task),
        Effect::LimitSet(key, limit) => format!("limit {:?}/{:?} {limit:?}", key.namespace, key.node),
        Effect::SessionOpened(session) => {
            let node = |n: &graft_machine::session::SessionNode| format!("{}={}:{}", n.node, n.capacity, n.limit);
            let nodes: Vec<_> = session.nodes.iter().map(node).collect();
            format!("session {} opened at {} serves {}", session.incarnation, session.opened, nodes.join(" "))
        }
        Effect::SessionClosed { incarnation } => format!("session {incarnation} closed"),
    }
}

pub fn offer(offer: &Offer) -> String {
    let key = &offer.key;
    let mut out = format!("{} to {}/{} priority {} since {}", offer.at(), key.namespace, key.node, key.priority.0, offer.since);
    if key.rank != offer.since {
        write!(out, " rank {}", key.rank).expect("text takes everything");
    }
    if offer.timeout != 0 {
        let _ = write!(out, " timeout {}", offer.timeout);
    }
    out
}

pub fn timer_key(key: &TimerKey) -> String {
    format!("{} at {} for {}/{}", kind(i32::from(key.kind)), key.due, key.run, key.task)
}

fn kind(kind: i32) -> String {
    format!("{:?}", TimerKind::try_from(kind).expect("known")).to_lowercase()
}

fn json(bytes: &Bytes) -> String {
    short(&String::from_utf8_lossy(bytes))
}

fn short(text: &str) -> String {
    if text.len() > 300 { format!("{} bytes", text.len()) } else { text.to_owned() }
}

pub fn workflow(w: &Workflow) -> String {
    let mut out = format!("run {} {} revision {} state={}\n", w.run, status(w.status()), w.revision, json(&w.state));
    let Workflow { open_tasks, blocked_tasks, dead_letters, events, .. } = w;
    let _ = write!(out, "  {open_tasks} open tasks, {blocked_tasks} blocked, {dead_letters} dead letters, {events} events");
    if w.sweep_due != 0 {
        let _ = write!(out, ", sweep at {} after task {}", w.sweep_due, w.sweep_cursor);
    }
    if let Some(traceparent) = &w.traceparent {
        let _ = write!(out, ", traced as {traceparent}");
    }
    out.push('\n');
    out
}

fn status(status: &Status) -> String {
    match status {
        Status::Running(_) => "running".to_owned(),
        Status::Paused(s) if s.task != 0 => format!("paused for task {} {:?}", s.task, s.reason),
        Status::Paused(s) => format!("paused {:?}", s.reason),
        Status::Cancelling(s) => format!("cancelling until {} {:?}", s.until, s.reason),
        Status::Completed(_) => "completed".to_owned(),
        Status::Failed(s) => format!("failed by task {} ({}) {:?}", s.task, s.node, short(&s.error)),
        Status::Cancelled(s) => format!("cancelled {:?}", s.reason),
        Status::Terminated(s) => format!("terminated {:?}", s.reason),
        Status::TimedOut(s) => format!("timed out {:?}", s.reason),
    }
}

pub fn task(id: u32, task: &Task) -> String {
    let state = match task.state() {
        TaskState::Ready(s) => format!("ready since {}", s.since),
        TaskState::Delayed(s) => format!("delayed until {}", s.until),
        TaskState::Blocked(s) => format!("blocked since revision {} wake {:?} recheck {}", s.since_revision, s.wake_on, s.recheck),
        TaskState::DeadLettered(s) => format!("dead letter {:?}", short(&s.error)),
    };
    let mut out = format!("  task {id} {}@{} attempt {} failures {} {state}", task.node, task.scope, task.attempt, task.failures);
    if !task.progress.is_empty() {
        let _ = write!(out, " progress {:?}", task.progress);
    }
    if task.config != "null" {
        let _ = write!(out, " config={}", json(&task.config));
    }
    out.push('\n');
    out
}

pub fn scope(id: u32, scope: &Scope) -> String {
    let then = scope.continuation.as_ref().map_or("nothing", |c| &c.node);
    format!("  scope {id} in {} holds {} then {then}\n", scope.parent, scope.open)
}

pub fn api_token(id: &str, token: &ApiToken) -> String {
    let ApiToken { name, grants, expires, created, principal, .. } = token;
    format!("token {id} of {name} for {}, made at {created} by {principal:?}, until {expires}\n", grants.join(" "))
}

pub fn act(number: u64, act: &Act) -> String {
    let Act { time, principal, from, method, object, outcome, ended, member } = act;
    format!("act {number} at {time} by {principal:?} from {from} at {member}: {method} {object}, ended at {ended}: {outcome}\n")
}

pub fn grant(id: &str, grant: &JoinGrant) -> String {
    let kind = if grant.secret_hash.is_empty() { "approval" } else { "token" };
    let whom = if grant.member.is_empty() { "anybody" } else { &grant.member };
    let JoinGrant { expires, uses, used_by, created, principal, .. } = grant;
    format!("{kind} {id} for {whom}, made at {created} by {principal:?}, until {expires}, {uses} uses, used by {used_by:?}\n")
}

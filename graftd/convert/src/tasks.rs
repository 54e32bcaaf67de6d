//! Tasks: as they are asked for, and as they stand.

use graft_machine::command::FanOut;
use graft_machine::event::{Event, Happened};
use graft_machine::limits::{ATTEMPTS_MAX, TASKS_PER_COMMAND_MAX};
use graft_machine::task::{Exhausted, NewTask, OnExhausted, RetryPolicy, Task, TaskState};
use graft_proto::v1;
use graft_proto::v1::on_exhausted::Then;

use crate::{events, names, payload};
use graft_proto::errors::{Fault, quoted};

/// A task as a start or an outcome asks for it.
pub fn new_task(task: v1::NewTask) -> Result<NewTask, Fault> {
    let node = names::node(task.node)?;
    let whole = format!("task of node {}", quoted(&node));
    let idempotency_key = match task.idempotency_key {
        key if key.is_empty() => key,
        key => names::id("idempotency key", key).map_err(|error| error.within(&whole))?,
    };
    Ok(NewTask {
        config: payload::config(task.config).map_err(|error| error.within(&whole))?,
        priority: task.priority,
        delay: task.delay_ms,
        not_before: task.not_before_ms,
        idempotency_key,
        retry: task.retry.map(retry_policy).transpose().map_err(|error| error.within(&whole))?,
        timeout: task.timeout_ms,
        on_exhausted: task.on_exhausted.map(on_exhausted).transpose().map_err(|error| error.within(&whole))?,
        node,
    })
}

/// Several tasks.
pub fn new_tasks(tasks: Vec<v1::NewTask>) -> Result<Vec<NewTask>, Fault> {
    tasks.into_iter().map(new_task).collect()
}

/// A fan-out.
pub fn fan_out(fan_out: v1::FanOut) -> Result<FanOut, Fault> {
    Ok(FanOut { tasks: new_tasks(fan_out.tasks)?, continuation: fan_out.continuation.map(new_task).transpose()? })
}

/// Refuses more tasks than one command may create.
pub fn check_count(count: usize) -> Result<(), Fault> {
    if count > TASKS_PER_COMMAND_MAX {
        let detail = format!("creates {count} tasks, at most {TASKS_PER_COMMAND_MAX} are allowed at once");
        return Err(Fault::too_large("the request", detail).remedy("create them in stages, from several tasks"));
    }
    Ok(())
}

fn retry_policy(policy: v1::RetryPolicy) -> Result<RetryPolicy, Fault> {
    let what = "the retry policy";
    if policy.max_attempts == 0 || policy.max_attempts > ATTEMPTS_MAX {
        return Err(Fault::invalid(what, format!("has max_attempts {}, allowed are 1 to {ATTEMPTS_MAX}", policy.max_attempts)));
    }
    if policy.factor_permille < 1_000 {
        return Err(Fault::invalid(what, format!("has factor_permille {}, at least 1000 (no growth) is needed", policy.factor_permille)));
    }
    if policy.jitter_permille > 1_000 {
        return Err(Fault::invalid(what, format!("has jitter_permille {}, at most 1000 is allowed", policy.jitter_permille)));
    }
    Ok(RetryPolicy {
        max_attempts: policy.max_attempts,
        initial: policy.initial_ms,
        max: policy.max_ms,
        factor_permille: policy.factor_permille,
        jitter_permille: policy.jitter_permille,
    })
}

fn on_exhausted(choice: v1::OnExhausted) -> Result<OnExhausted, Fault> {
    let then = match choice.then {
        None | Some(Then::Fail(_)) => Exhausted::Fail(()),
        Some(Then::Pause(_)) => Exhausted::Pause(()),
        Some(Then::Continue(_)) => Exhausted::Continue(()),
        Some(Then::ErrorNode(node)) => Exhausted::ErrorNode(names::node(node).map_err(|error| error.within("the error node"))?),
    };
    Ok(OnExhausted { then: Some(then) })
}

/// What follows a task's last failure, as the history tells it.
pub fn on_exhausted_told(choice: &OnExhausted) -> v1::OnExhausted {
    use v1::on_exhausted::{Continue, Fail, Pause};
    let then = choice.then.as_ref().map(|then| match then {
        Exhausted::Fail(()) => Then::Fail(Fail {}),
        Exhausted::Pause(()) => Then::Pause(Pause {}),
        Exhausted::Continue(()) => Then::Continue(Continue {}),
        Exhausted::ErrorNode(node) => Then::ErrorNode(node.clone()),
    });
    v1::OnExhausted { then }
}

/// A task as it stands.
pub fn summary(number: u32, task: &Task) -> v1::TaskSummary {
    let (state, until_ms) = match task.state() {
        TaskState::Ready(_) => ("ready", 0),
        TaskState::Delayed(delayed) => ("delayed", delayed.until),
        TaskState::Blocked(_) => ("blocked", 0),
        TaskState::DeadLettered(_) => ("dead-lettered", 0),
    };
    v1::TaskSummary {
        task: number,
        node: task.node.clone(),
        state: state.to_owned(),
        attempt: task.attempt,
        failures: task.failures,
        scope: task.scope,
        parent: task.parent,
        until_ms,
        last_error: task.last_error.clone(),
        progress: task.progress.clone(),
        config: payload::json(&task.config),
        priority: task.priority,
        max_attempts: task.retry.max_attempts,
    }
}

/// How failures of a task are retried, as it stands.
pub fn retry_told(policy: &RetryPolicy) -> v1::RetryPolicy {
    v1::RetryPolicy {
        max_attempts: policy.max_attempts,
        initial_ms: policy.initial,
        max_ms: policy.max,
        factor_permille: policy.factor_permille,
        jitter_permille: policy.jitter_permille,
    }
}

/// The states that a list asks for; none = all.
pub fn states(asked: &[i32]) -> Result<Vec<v1::TaskState>, Fault> {
    let known = |state: &i32| match v1::TaskState::try_from(*state) {
        Ok(state) if state != v1::TaskState::Unspecified => Ok(state),
        _ => Err(Fault::invalid("states", format!("has {state}, which this version does not know"))),
    };
    asked.iter().map(known).collect()
}

/// What an open task is waiting for.
pub fn state(task: &Task) -> v1::TaskState {
    match task.state() {
        TaskState::Ready(_) => v1::TaskState::Ready,
        TaskState::Delayed(_) => v1::TaskState::Delayed,
        TaskState::Blocked(_) => v1::TaskState::Blocked,
        TaskState::DeadLettered(_) => v1::TaskState::DeadLettered,
    }
}

/// An attempt that failed, out of its event; `None` if that is another's.
pub fn failed_attempt(event: &Event) -> Option<v1::FailedAttempt> {
    let Some(Happened::Failed(failed)) = &event.happened else { return None };
    Some(v1::FailedAttempt {
        attempt: failed.attempt,
        kind: events::failure_kind(failed.kind()).to_owned(),
        message: failed.message.clone(),
        time_ms: event.at,
        retry_at_ms: failed.retry_at,
        worker: failed.worker.clone(),
        execution_us: failed.execution_us,
    })
}

/// What is left of a task that has resolved, out of the event of its last attempt; `None` if that is none's.
pub fn resolved(event: &Event) -> Option<v1::TaskSummary> {
    let (task, node, attempt, last_error) = match event.happened.as_ref()? {
        Happened::Completed(it) => (it.task, &it.node, it.attempt, ""),
        Happened::Failed(it) => (it.task, &it.node, it.attempt, it.message.as_str()),
        Happened::DeadLettered(it) => (it.task, &it.node, it.attempt, it.error.as_str()),
        _ => return None,
    };
    let state = "resolved".to_owned();
    Some(v1::TaskSummary { task, node: node.clone(), attempt, last_error: last_error.to_owned(), state, ..Default::default() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use graft_machine::task::{DeadLettered, Delayed};

    use super::*;

    fn asked() -> v1::NewTask {
        v1::NewTask {
            node: "charge".into(),
            config: Some(v1::Payload { encoding: 1, data: Bytes::from_static(b"{\"a\":1}") }),
            priority: -3,
            delay_ms: 10,
            not_before_ms: 20,
            idempotency_key: "once".into(),
            retry: Some(v1::RetryPolicy { max_attempts: 2, initial_ms: 3, max_ms: 4, factor_permille: 1_500, jitter_permille: 6 }),
            timeout_ms: 30,
            on_exhausted: Some(v1::OnExhausted { then: Some(Then::ErrorNode("sorry".into())) }),
        }
    }

    #[test]
    fn every_field_of_a_task_arrives() {
        let made = new_task(asked()).expect("a good task");
        let expected = NewTask {
            node: "charge".into(),
            config: Bytes::from_static(b"{\"a\":1}"),
            priority: -3,
            delay: 10,
            not_before: 20,
            idempotency_key: "once".into(),
            retry: Some(RetryPolicy { max_attempts: 2, initial: 3, max: 4, factor_permille: 1_500, jitter_permille: 6 }),
            timeout: 30,
            on_exhausted: Some(OnExhausted { then: Some(Exhausted::ErrorNode("sorry".into())) }),
        };
        assert_eq!(made, expected);
    }

    #[test]
    fn each_bad_part_of_a_task_is_refused_and_named() {
        type Spoil = fn(&mut v1::NewTask);
        let cases: [(Spoil, &str); 7] = [
            (|t| t.node = String::new(), "node \"\" is empty"),
            (|t| t.config.as_mut().expect("set").data = Bytes::from_static(b"{"), "the config is no JSON"),
            (|t| t.idempotency_key = "a\nb".into(), "idempotency key"),
            (|t| t.retry.as_mut().expect("set").max_attempts = 0, "max_attempts 0"),
            (|t| t.retry.as_mut().expect("set").factor_permille = 999, "factor_permille 999"),
            (|t| t.retry.as_mut().expect("set").jitter_permille = 1_001, "jitter_permille 1001"),
            (|t| t.on_exhausted = Some(v1::OnExhausted { then: Some(Then::ErrorNode("no way".into())) }), "the error node"),
        ];
        for (spoil, needle) in cases {
            let mut task = asked();
            spoil(&mut task);
            let error = new_task(task).expect_err(needle);
            assert!(error.to_string().contains(needle), "{error}");
        }
    }

    #[test]
    fn what_follows_exhaustion_is_told_as_it_was_asked() {
        use v1::on_exhausted::{Continue, Fail, Pause};
        for then in [Then::Fail(Fail {}), Then::Pause(Pause {}), Then::Continue(Continue {}), Then::ErrorNode("e".into())] {
            let asked = v1::OnExhausted { then: Some(then) };
            assert_eq!(on_exhausted_told(&on_exhausted(asked.clone()).expect("good")), asked);
        }
    }

    #[test]
    fn the_number_of_tasks_is_bounded() {
        check_count(TASKS_PER_COMMAND_MAX).expect("at the bound");
        assert!(check_count(TASKS_PER_COMMAND_MAX + 1).expect_err("beyond it").detail.contains("10001"));
    }

    #[test]
    fn a_summary_names_the_state_and_its_time() {
        let mut task = Task { node: "n".into(), attempt: 2, ..Task::default() };
        task.state = Some(TaskState::Delayed(Delayed { until: 99 }));
        assert_eq!((summary(7, &task).state.as_str(), summary(7, &task).until_ms), ("delayed", 99));
        task.state = Some(TaskState::DeadLettered(DeadLettered::default()));
        assert_eq!(summary(7, &task).state, "dead-lettered");
        assert_eq!(summary(7, &task).config, None);
    }
}

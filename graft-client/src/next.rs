//! A task to be made: which node, with what config, and how it is scheduled.

use std::time::{Duration, SystemTime};

use graft_proto::v1::{NewTask, OnExhausted as WireExhausted, RetryPolicy, on_exhausted};
use serde::Serialize;

use crate::RawJson;

/// A task to be made, by a start or by the outcome of a node.
///
/// For a node whose type is at hand, `Ship::with(config)` (see [`Node::with`](crate::Node::with)) makes one whose config type is checked by the
/// compiler. [`Next::named`] names a node of another program.
///
/// A config that cannot be written as JSON is reported where the value is used: by the start, or as a permanent failure of the attempt.
#[derive(Clone, Debug)]
#[must_use = "a Next does nothing until it is given to a start or an outcome"]
pub struct Next {
    task: NewTask,
    broken: Option<String>,
}

impl Next {
    /// A task of the node `node`, with any config.
    pub fn named(node: impl Into<String>, config: impl Serialize) -> Self {
        let node = node.into();
        match RawJson::of(&config) {
            Ok(config) => Self::raw(node, config),
            Err(error) => {
                let broken = Some(format!("the config for node \"{node}\" cannot be written as JSON: {error}"));
                Self { task: NewTask { node, ..NewTask::default() }, broken }
            }
        }
    }

    /// A task of the node `node` whose config is JSON already.
    pub fn raw(node: impl Into<String>, config: RawJson) -> Self {
        let config = if config.as_bytes() == b"null" { RawJson::default() } else { config };
        Self { task: NewTask { node: node.into(), config: config.into_payload(), ..NewTask::default() }, broken: None }
    }

    /// Higher goes first; 0 is usual.
    pub fn priority(mut self, priority: i32) -> Self {
        self.task.priority = priority;
        self
    }

    /// Not before this long after its creation (whole milliseconds).
    pub fn delay(mut self, delay: Duration) -> Self {
        self.task.delay_ms = millis(delay);
        self
    }

    /// Not before this time; with a delay as well, the later of the two counts.
    pub fn not_before(mut self, time: SystemTime) -> Self {
        self.task.not_before_ms = unix_millis(time);
        self
    }

    /// Unique within the run: a second task with the same key is skipped. At most 256 bytes.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.task.idempotency_key = key.into();
        self
    }

    /// How failures are retried; otherwise 5 attempts, 1 s doubling to 60 s.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.task.retry = Some(retry.0);
        self
    }

    /// Longest execution of one attempt (whole milliseconds).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.task.timeout_ms = millis(timeout).max(1);
        self
    }

    /// What follows when the last attempt has failed; otherwise the workflow fails.
    pub fn on_exhausted(mut self, then: OnExhausted) -> Self {
        self.task.on_exhausted = Some(then.into_wire());
        self
    }

    /// Name of the node.
    pub fn node(&self) -> &str {
        &self.task.node
    }

    /// The task as it is sent; the error says which config cannot be written.
    pub(crate) fn into_wire(self) -> Result<NewTask, String> {
        match self.broken {
            None => Ok(self.task),
            Some(reason) => Err(reason),
        }
    }
}

/// How failed attempts are retried: exponential backoff with jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Retry(RetryPolicy);

impl Retry {
    /// The default: 5 attempts, 1 s doubling to 60 s, shortened by up to 20 %.
    pub fn exponential() -> Self {
        Self(RetryPolicy { max_attempts: 5, initial_ms: 1_000, max_ms: 60_000, factor_permille: 2_000, jitter_permille: 200 })
    }

    /// One attempt, no retry.
    pub fn none() -> Self {
        Self::exponential().attempts(1)
    }

    /// Always the same wait.
    pub fn fixed(wait: Duration) -> Self {
        Self(RetryPolicy { max_attempts: 5, initial_ms: millis(wait), max_ms: millis(wait), factor_permille: 1_000, jitter_permille: 0 })
    }

    /// Most tries, the first included; 1 to 10,000.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.0.max_attempts = attempts.max(1);
        self
    }

    /// Wait after the first failure.
    pub fn initial(mut self, wait: Duration) -> Self {
        self.0.initial_ms = millis(wait);
        self
    }

    /// Longest wait.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.0.max_ms = millis(wait);
        self
    }

    /// Growth of the wait from failure to failure; at least 1. Kept to a thousandth.
    pub fn factor(mut self, factor: f64) -> Self {
        self.0.factor_permille = permille(factor.clamp(1.0, 1_000.0));
        self
    }

    /// How far a wait may be shortened, from 0 (never) to 1 (to nothing). Kept to a thousandth.
    pub fn jitter(mut self, share: f64) -> Self {
        self.0.jitter_permille = permille(share.clamp(0.0, 1.0));
        self
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped by the callers to 0..=1,000,000")]
fn permille(value: f64) -> u32 {
    (value * 1_000.0).round() as u32
}

/// What follows a task's last failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// The workflow fails (the default).
    Fail,
    /// The workflow is paused for an operator.
    Pause,
    /// The workflow goes on without the task.
    Continue,
    /// A task of this node takes its place.
    ErrorNode(String),
}

impl OnExhausted {
    fn into_wire(self) -> WireExhausted {
        let then = match self {
            Self::Fail => on_exhausted::Then::Fail(on_exhausted::Fail {}),
            Self::Pause => on_exhausted::Then::Pause(on_exhausted::Pause {}),
            Self::Continue => on_exhausted::Then::Continue(on_exhausted::Continue {}),
            Self::ErrorNode(node) => on_exhausted::Then::ErrorNode(node),
        };
        WireExhausted { then: Some(then) }
    }
}

/// Whole milliseconds, at most what fits.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the Unix epoch; a time before it counts as 1.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(1, millis).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_that_cannot_be_written_is_reported_when_the_task_is_used() {
        let config = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = Next::named("ship", config).into_wire().unwrap_err();
        assert!(error.contains("node \"ship\"") && error.contains("JSON"), "{error}");
    }

    #[test]
    fn a_unit_config_is_absent_on_the_wire() {
        let task = Next::named("ship", ()).priority(5).delay(Duration::from_secs(2)).into_wire().unwrap();
        assert_eq!((task.config, task.priority, task.delay_ms), (None, 5, 2_000));
    }
}

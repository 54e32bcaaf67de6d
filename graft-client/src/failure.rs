//! How a node says that it could not do its work.

use std::fmt;
use std::time::Duration;

use graft_proto::v1::{Failed, FailureKind};

use crate::next::millis;

/// Longest message of a failure, in bytes; longer ones are cut and marked with `…`.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Why an attempt failed, and whether another one makes sense.
///
/// Every standard error turns into a retryable failure with `?`; say [`Failure::permanent`] where trying again is pointless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Retryable,
    RetryAfter(Duration),
    Permanent,
    Panic,
}

impl Failure {
    /// It may work the next time: the task's retry policy decides when.
    pub fn retryable(reason: impl fmt::Display) -> Self {
        Self::new(Kind::Retryable, reason)
    }

    /// It may work, but not before `wait` from now; still counts as an attempt.
    pub fn retry_after(wait: Duration, reason: impl fmt::Display) -> Self {
        Self::new(Kind::RetryAfter(wait), reason)
    }

    /// It will never work: no further attempt is made.
    pub fn permanent(reason: impl fmt::Display) -> Self {
        Self::new(Kind::Permanent, reason)
    }

    pub(crate) fn panic(reason: impl fmt::Display) -> Self {
        Self::new(Kind::Panic, reason)
    }

    fn new(kind: Kind, reason: impl fmt::Display) -> Self {
        Self { kind, message: cut(reason.to_string(), MESSAGE_BYTES_MAX) }
    }

    /// What it says.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether another attempt makes sense.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, Kind::Retryable | Kind::RetryAfter(_))
    }

    pub(crate) fn into_wire(self, progress: String) -> Failed {
        let (kind, retry_after_ms) = match self.kind {
            Kind::Retryable => (FailureKind::Retryable, 0),
            Kind::RetryAfter(wait) => (FailureKind::Retryable, millis(wait).max(1)),
            Kind::Permanent => (FailureKind::Permanent, 0),
            Kind::Panic => (FailureKind::Panic, 0),
        };
        Failed { kind: kind.into(), message: self.message, retry_after_ms, progress }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    /// Retryable, with the error and its causes.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message = format!("{message}: {inner}");
            cause = inner.source();
        }
        Self::retryable(message)
    }
}

/// The text, cut at a character boundary to at most `most` bytes and marked.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    const MARK: &str = "…";
    if text.len() > most {
        let end = (0..=most - MARK.len()).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_error_becomes_a_retryable_failure() {
        fn read() -> Result<u32, Failure> {
            Ok("x".parse::<u32>()?)
        }
        let failure = read().unwrap_err();
        assert!(failure.is_retryable());
        assert_eq!(failure.message(), "invalid digit found in string");
    }

    #[test]
    fn a_long_message_is_cut_at_a_character_and_marked() {
        let failure = Failure::permanent("ä".repeat(10_000));
        assert!(failure.message().len() <= MESSAGE_BYTES_MAX && failure.message().ends_with("ä…"));
    }

    #[test]
    fn a_wait_of_nothing_still_asks_for_a_retry_at_once() {
        assert_eq!(Failure::retry_after(Duration::ZERO, "busy").into_wire(String::new()).retry_after_ms, 1);
    }
}

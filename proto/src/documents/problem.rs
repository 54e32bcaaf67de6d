//! A refusal over HTTP: a problem document (RFC 9457).

use schemars::JsonSchema;
use serde::Serialize;

use super::{known, some};
use crate::errors::ErrorCode;
use crate::v1::ErrorDetail;

/// Where a member shows the page of a code; the code follows.
pub const PAGES: &str = "/api/v1/errors/";

/// A refusal: what, which object, why, what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problem {
    /// The page of its code, on the member that answered: `/api/v1/errors/GR0003`.
    pub r#type: String,
    /// What the code is called.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The object and the reason, as a sentence.
    pub detail: String,
    /// The path that was asked.
    pub instance: String,
    /// Of the catalogue of errors: `GR0001` and so on.
    pub code: String,
    /// The object concerned, as a person names it.
    pub object: Option<String>,
    /// What to do next.
    pub remedy: Option<String>,
    /// Whether the same request may work later.
    pub retryable: bool,
    /// Whether it may have taken effect all the same: ask again with the same `Idempotency-Key`.
    pub outcome_unknown: bool,
    /// Wait at least this long before trying again, in milliseconds; `null`: no advice.
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// From what a gRPC status says: the details for programs, and the message `object reason; remedy`.
    pub fn of(code: ErrorCode, detail: &ErrorDetail, message: &str, instance: &str) -> Self {
        let sentence = message.strip_suffix(&format!("; {}", detail.remedy)).unwrap_or(message);
        Self {
            r#type: format!("{PAGES}{code}"),
            title: code.title().to_owned(),
            status: code.http(),
            detail: sentence.to_owned(),
            instance: instance.to_owned(),
            code: code.name().to_owned(),
            object: some(&detail.object),
            remedy: some(&detail.remedy),
            retryable: detail.retryable,
            outcome_unknown: detail.outcome_unknown,
            retry_after_ms: known(detail.retry_after_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::Fault;

    #[test]
    fn a_problem_says_the_same_as_the_status_with_the_advice_apart() {
        let fault = Fault { retry_after_ms: 250, ..Fault::new(ErrorCode::Overloaded, "the cluster", "has too many commands waiting") };
        let problem = Problem::of(fault.code, &fault.detail(), &fault.to_string(), "/api/v1/x");
        assert_eq!((problem.r#type.as_str(), problem.status, problem.code.as_str()), ("/api/v1/errors/GR0011", 429, "GR0011"));
        assert_eq!(problem.detail, "the cluster has too many commands waiting");
        assert_eq!(problem.remedy.as_deref(), Some("try again later, and less at once"));
        assert_eq!((problem.retryable, problem.outcome_unknown, problem.retry_after_ms), (true, false, Some(250)));
    }
}

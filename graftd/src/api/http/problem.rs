//! Refusals over HTTP: problem documents (RFC 9457), made from what a gRPC client would be told.

use axum::body::Body;
use axum::response::Response;
use graft_proto::ERROR_DETAIL_METADATA;
use graft_proto::documents::Problem;
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1::ErrorDetail;
use http::{HeaderValue, StatusCode, header};
use prost::Message;
use tonic::{Code, Status};

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request is refused.
///
/// Boxed, since it is the rare answer of functions that mostly answer something smaller.
#[derive(Clone, Debug)]
pub(crate) struct Refusal(Box<Refused>);

#[derive(Clone, Debug)]
struct Refused {
    code: ErrorCode,
    detail: ErrorDetail,
    message: String,
    /// Where HTTP has a better word than the catalogue: a method that a path does not have, a content type.
    status: Option<StatusCode>,
    /// Methods that the path has.
    allow: Option<String>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, fault.detail(), fault.to_string())
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let bytes = status.metadata().get_bin(ERROR_DETAIL_METADATA).and_then(|value| value.to_bytes().ok());
        let detail = bytes.and_then(|bytes| ErrorDetail::decode(bytes).ok());
        match detail.and_then(|detail| Some((detail.code.parse().ok()?, detail))) {
            Some((code, detail)) => Self::new(code, detail, status.message().to_owned()),
            // What tonic itself says, such as of a client that has gone away.
            None if status.code() == Code::Cancelled => Fault::new(ErrorCode::TooSlow, "the request", "was given up").into(),
            None => Fault::new(ErrorCode::Internal, "the request", format!("failed: {}", status.message())).into(),
        }
    }
}

impl Refusal {
    fn new(code: ErrorCode, detail: ErrorDetail, message: String) -> Self {
        Self(Box::new(Refused { code, detail, message, status: None, allow: None }))
    }

    /// Under another HTTP status than the catalogue's.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = Some(status);
        self
    }

    /// With the methods that the path has.
    pub(crate) fn allowing(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// As a document.
    pub(crate) fn problem(&self, instance: &str) -> Problem {
        let mut problem = Problem::of(self.0.code, &self.0.detail, &self.0.message, instance);
        problem.status = self.0.status.map_or(problem.status, |status| status.as_u16());
        problem
    }

    /// As an answer to whoever asked for `instance`.
    pub(crate) fn response(&self, instance: &str) -> Response {
        let problem = self.problem(instance);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(ms) = problem.retry_after_ms {
            // The header knows whole seconds only: later is right, sooner is not.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
        }
        if let Some(allow) = self.0.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_the_problem_that_its_fault_would_be() {
        let fault = Fault { retry_after_ms: 250, ..Fault::new(ErrorCode::Overloaded, "the cluster", "has too many commands waiting") };
        let direct = Refusal::from(fault.clone()).problem("/x");
        assert_eq!(Refusal::from(Status::from(fault)).problem("/x"), direct);
        assert_eq!((direct.status, direct.instance.as_str()), (429, "/x"));
    }

    #[test]
    fn a_time_to_come_back_is_rounded_up_to_seconds() {
        let fault = Fault { retry_after_ms: 1_001, ..Fault::new(ErrorCode::Overloaded, "it", "is full") };
        let response = Refusal::from(fault).response("/");
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn a_bare_status_is_a_defect_and_says_what_it_said() {
        let problem = Refusal::from(Status::unknown("odd")).problem("/");
        assert_eq!((problem.code.as_str(), problem.status), ("GR0019", 500));
        assert!(problem.detail.contains("odd") && problem.outcome_unknown);
    }
}

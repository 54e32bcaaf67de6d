//! The only map from refusals to the wire.
//!
//! Each refusal has one row in [`TABLE`]: a stable code (`GR0001`, never reused), the gRPC code, whether the same request may work later,
//! whether it may have taken effect all the same, and what to do next. On the wire it is a gRPC status whose message reads
//! `object detail; remedy`, with the same facts as an `ErrorDetail` in the binary metadata `graft-error-bin`.
//!
//! "Outcome unknown" is `DEADLINE_EXCEEDED`, not `UNAVAILABLE`: generic gRPC retry policies repeat the latter blindly, and a request
//! without a request id must not be repeated so.

use std::fmt;

use graft_machine::reply::{Rejection, RejectionCode};
use graft_proto::ERROR_DETAIL_METADATA;
use graft_proto::v1::ErrorDetail;
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::consensus::ProposeError;

/// Longest piece of a user's text that an error repeats, in bytes: it has to fit into a header.
const QUOTE_BYTES_MAX: usize = 120;
/// Longest detail of an error, in bytes.
const DETAIL_BYTES_MAX: usize = 1_024;

/// Kinds of refusal; the order is that of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something in the request is malformed.
    Invalid,
    /// A document, list, name or message exceeds its bound.
    TooLarge,
    /// No such workflow, or no such run of it.
    WorkflowNotFound,
    /// The workflow id is taken.
    WorkflowExists,
    /// The workflow's status does not allow it.
    WrongStatus,
    /// The request id was used for another request.
    RequestConflict,
    /// The request's not-after has passed.
    RequestExpired,
    /// The request's not-after lies too far ahead.
    NotAfterTooFar,
    /// The caller belongs to another cluster.
    ClusterMismatch,
    /// No leader is known or can be reached.
    NoLeader,
    /// Too much is waiting.
    Overloaded,
    /// It may have happened, or may still happen.
    OutcomeUnknown,
    /// A cursor that this list did not hand out.
    BadCursor,
    /// No version of the worker protocol is spoken by both sides.
    ProtocolVersion,
    /// A service or method that this version does not have.
    UnknownMethod,
    /// The member is stopping.
    ShuttingDown,
    /// A worker broke the protocol.
    ProtocolBroken,
    /// Bytes that are no message of this protocol.
    Undecodable,
    /// A defect of Graft.
    Internal,
    /// The request did not arrive in time.
    TooSlow,
}

/// What is fixed about a kind of refusal.
#[derive(Debug)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// Its stable code.
    pub code: &'static str,
    /// Its gRPC code.
    pub grpc: Code,
    /// Whether the same request may work later.
    pub retryable: bool,
    /// Whether it may have taken effect.
    pub outcome_unknown: bool,
    /// What to do next, if nothing better is known.
    pub remedy: &'static str,
}

const fn row(kind: Kind, code: &'static str, grpc: Code, retryable: bool, outcome_unknown: bool, remedy: &'static str) -> Row {
    Row { kind, code, grpc, retryable, outcome_unknown, remedy }
}

/// Every refusal there is. Codes are for ever: a retired one stays here as a comment.
pub const TABLE: [Row; 20] = [
    row(Kind::Invalid, "GR0001", Code::InvalidArgument, false, false, "correct the request"),
    row(Kind::TooLarge, "GR0002", Code::InvalidArgument, false, false, "send less, and keep large data outside with a reference to it"),
    row(Kind::WorkflowNotFound, "GR0003", Code::NotFound, false, false, "check the id and the namespace with `graft workflow list`"),
    row(
        Kind::WorkflowExists,
        "GR0004",
        Code::AlreadyExists,
        false,
        false,
        "choose another id, or set on_conflict to use_existing or replace_finished",
    ),
    row(Kind::WrongStatus, "GR0005", Code::FailedPrecondition, false, false, "look at its status with `graft workflow get`"),
    row(Kind::RequestConflict, "GR0006", Code::FailedPrecondition, false, false, "use a new request id for a new request"),
    row(Kind::RequestExpired, "GR0007", Code::FailedPrecondition, false, false, "send it as a new request, with a new request id"),
    row(Kind::NotAfterTooFar, "GR0008", Code::InvalidArgument, false, false, "choose a nearer not-after, or leave it to the server with 0"),
    row(Kind::ClusterMismatch, "GR0009", Code::FailedPrecondition, false, false, "check the address: another cluster answers there"),
    row(Kind::NoLeader, "GR0010", Code::Unavailable, true, false, "try again; if it stays so, look at `graft cluster status`"),
    row(Kind::Overloaded, "GR0011", Code::ResourceExhausted, true, false, "try again later, and less at once"),
    row(
        Kind::OutcomeUnknown,
        "GR0012",
        Code::DeadlineExceeded,
        true,
        true,
        "send the same request with the same request id: it takes effect once",
    ),
    row(Kind::BadCursor, "GR0013", Code::InvalidArgument, false, false, "begin again at the first page, with an empty cursor"),
    row(
        Kind::ProtocolVersion,
        "GR0014",
        Code::FailedPrecondition,
        false,
        false,
        "bring the worker's SDK and the daemon to versions that overlap",
    ),
    row(Kind::UnknownMethod, "GR0015", Code::Unimplemented, false, false, "bring the client and the daemon to the same version"),
    row(Kind::ShuttingDown, "GR0016", Code::Unavailable, true, false, "connect to another member, or try again soon"),
    row(Kind::ProtocolBroken, "GR0017", Code::InvalidArgument, false, false, "report it to the author of the worker's SDK"),
    row(
        Kind::Undecodable,
        "GR0018",
        Code::InvalidArgument,
        false,
        false,
        "check that client and daemon speak the same version of graft.v1",
    ),
    row(Kind::Internal, "GR0019", Code::Internal, false, true, "this is a defect of Graft: please report it with the daemon's log"),
    row(Kind::TooSlow, "GR0020", Code::DeadlineExceeded, true, false, "send it again, and all of it at once"),
];

impl Kind {
    /// What is fixed about it.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// A refusal: what, which object, why, what next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// What kind.
    pub kind: Kind,
    /// The object, as a person names it.
    pub object: String,
    /// Why, as a fragment that reads after the object.
    pub detail: String,
    /// What to do next, if it is not the table's advice.
    pub remedy: Option<String>,
    /// Wait so long before the next try, in milliseconds; 0 = no advice.
    pub retry_after_ms: u64,
    /// `http://HOST:PORT` of the leader, if one is known and it helps.
    pub leader_address: String,
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// A refusal with the table's remedy.
    pub fn new(kind: Kind, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, object: object.into(), detail: detail.into(), remedy: None, retry_after_ms: 0, leader_address: String::new() }
    }

    /// Something malformed.
    pub fn invalid(object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, object, detail)
    }

    /// Something too large.
    pub fn too_large(object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, object, detail)
    }

    /// The member is stopping.
    pub fn shutting_down() -> Self {
        Self::new(Kind::ShuttingDown, "this member", "is shutting down")
    }

    /// With another remedy than the table's.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// As a part of something larger: `task 3: config is no JSON`.
    pub fn within(mut self, whole: &str) -> Self {
        self.object = format!("{whole}: {}", self.object);
        self
    }

    /// The details for programs.
    pub fn detail(&self) -> ErrorDetail {
        let row = self.kind.row();
        ErrorDetail {
            code: row.code.to_owned(),
            object: cut(&self.object, DETAIL_BYTES_MAX),
            remedy: self.remedy.clone().unwrap_or_else(|| row.remedy.to_owned()),
            outcome_unknown: row.outcome_unknown,
            retryable: row.retryable,
            retry_after_ms: self.retry_after_ms,
            leader_address: self.leader_address.clone(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = self.remedy.as_deref().unwrap_or(self.kind.row().remedy);
        write!(f, "{} {}; {remedy}", cut(&self.object, DETAIL_BYTES_MAX), cut(&self.detail, DETAIL_BYTES_MAX))
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(ERROR_DETAIL_METADATA, MetadataValue::from_bytes(&error.detail().encode_to_vec()));
        Status::with_metadata(error.kind.row().grpc, error.to_string(), metadata)
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let kind = match RejectionCode::try_from(rejection.code) {
            Ok(RejectionCode::Invalid) | Err(_) => Kind::Invalid,
            Ok(RejectionCode::TooLarge) => Kind::TooLarge,
            Ok(RejectionCode::WorkflowNotFound) => Kind::WorkflowNotFound,
            Ok(RejectionCode::WorkflowExists) => Kind::WorkflowExists,
            Ok(RejectionCode::WrongStatus) => Kind::WrongStatus,
            Ok(RejectionCode::RequestConflict) => Kind::RequestConflict,
            Ok(RejectionCode::RequestExpired) => Kind::RequestExpired,
            Ok(RejectionCode::NotAfterTooFar) => Kind::NotAfterTooFar,
            Ok(RejectionCode::ClusterMismatch) => Kind::ClusterMismatch,
        };
        Self::new(kind, rejection.object, rejection.detail)
    }
}

impl From<ProposeError> for ApiError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::Unavailable { reason } => Self::new(Kind::NoLeader, "the leader", format!("cannot be reached: {reason}")),
            ProposeError::NotLeader => Self::new(Kind::NoLeader, "this member", "does not lead any more"),
            ProposeError::Overloaded { retry_after_ms } => {
                Self { retry_after_ms, ..Self::new(Kind::Overloaded, "the cluster", "has too many commands waiting") }
            }
            ProposeError::Unknown { reason } => Self::new(Kind::OutcomeUnknown, "the request", format!("has an unknown outcome: {reason}")),
        }
    }
}

/// A user's text in an error: quoted, control characters escaped, and cut where it is long.
pub fn quoted(text: &str) -> String {
    format!("{:?}", cut(text, QUOTE_BYTES_MAX))
}

/// At most `max` bytes of the text, cut at a character boundary and marked with `…`.
pub fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_row_and_code() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, index, "{row:?} stands at its kind's place");
            assert_eq!(row.code, format!("GR{:04}", index + 1));
            assert!(!row.remedy.is_empty());
        }
    }

    #[test]
    fn a_status_carries_the_detail_and_reads_as_a_sentence() {
        let status: Status = ApiError::new(Kind::WorkflowNotFound, "workflow \"a\" in namespace \"default\"", "does not exist").into();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(
            status.message(),
            "workflow \"a\" in namespace \"default\" does not exist; check the id and the namespace with `graft workflow list`"
        );
        let bytes = status.metadata().get_bin(ERROR_DETAIL_METADATA).expect("the detail").to_bytes().expect("binary");
        let detail = ErrorDetail::decode(bytes).expect("an ErrorDetail");
        assert_eq!(detail.code, "GR0003");
        assert!(!detail.outcome_unknown && !detail.retryable);
    }

    #[test]
    fn an_unknown_outcome_says_so_and_how_to_repeat() {
        let detail = ApiError::from(ProposeError::Unknown { reason: "the leader changed".into() }).detail();
        assert!(detail.outcome_unknown && detail.retryable);
        assert!(detail.remedy.contains("same request id"));
    }

    #[test]
    fn overload_is_refused_with_a_time() {
        let error = ApiError::from(ProposeError::Overloaded { retry_after_ms: 250 });
        assert_eq!(error.kind.row().grpc, Code::ResourceExhausted);
        assert_eq!(error.detail().retry_after_ms, 250);
    }

    #[test]
    fn long_texts_are_cut_at_a_character_and_marked() {
        assert_eq!(cut("aäöü", 5), "a…");
        assert_eq!(cut("abc", 3), "abc");
        assert!(quoted(&"x".repeat(10_000)).len() < 200);
    }
}

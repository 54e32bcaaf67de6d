//! One refusal: which kind, which object, why, what to do next.

use std::fmt;

use prost::Message;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::ErrorCode;
use crate::ERROR_DETAIL_METADATA;
use crate::v1::ErrorDetail;

/// Longest piece of a user's text that an error repeats, in bytes: it has to fit into a header.
pub const QUOTE_BYTES_MAX: usize = 120;
/// Longest detail of an error, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1_024;

/// A refusal.
///
/// Over gRPC it is a status whose message reads `object detail; remedy`, with the same facts as an [`ErrorDetail`] in the binary metadata
/// `graft-error-bin`; over REST it is a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub code: ErrorCode,
    /// The object, as a person names it.
    pub object: String,
    /// Why, as a fragment that reads after the object.
    pub detail: String,
    /// What to do next, if it is not the catalogue's advice.
    pub remedy: Option<String>,
    /// Wait so long before the next try, in milliseconds; 0 = no advice.
    pub retry_after_ms: u64,
    /// `http://HOST:PORT` of the leader, if one is known and it helps.
    pub leader_address: String,
}

impl std::error::Error for Fault {}

impl Fault {
    /// A refusal with the catalogue's remedy.
    pub fn new(code: ErrorCode, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code, object: object.into(), detail: detail.into(), remedy: None, retry_after_ms: 0, leader_address: String::new() }
    }

    /// Something malformed.
    pub fn invalid(object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, object, detail)
    }

    /// Something too large.
    pub fn too_large(object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::TooLarge, object, detail)
    }

    /// The member is stopping.
    pub fn shutting_down() -> Self {
        Self::new(ErrorCode::ShuttingDown, "this member", "is shutting down")
    }

    /// With another remedy than the catalogue's.
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
        ErrorDetail {
            code: self.code.name().to_owned(),
            object: cut(&self.object, DETAIL_BYTES_MAX),
            remedy: self.advice().to_owned(),
            outcome_unknown: self.code.outcome_unknown(),
            retryable: self.code.retryable(),
            retry_after_ms: self.retry_after_ms,
            leader_address: self.leader_address.clone(),
        }
    }

    /// What to do next.
    pub fn advice(&self) -> &str {
        self.remedy.as_deref().unwrap_or(self.code.remedy())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; {}", cut(&self.object, DETAIL_BYTES_MAX), cut(&self.detail, DETAIL_BYTES_MAX), self.advice())
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(ERROR_DETAIL_METADATA, MetadataValue::from_bytes(&fault.detail().encode_to_vec()));
        Status::with_metadata(fault.code.grpc(), fault.to_string(), metadata)
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
    fn a_status_carries_the_detail_and_reads_as_a_sentence() {
        let object = "workflow \"a\" in namespace \"default\"";
        let status: Status = Fault::new(ErrorCode::WorkflowNotFound, object, "does not exist").into();
        assert_eq!(status.code(), tonic::Code::NotFound);
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
    fn long_texts_are_cut_at_a_character_and_marked() {
        assert_eq!(cut("aäöü", 5), "a…");
        assert_eq!(cut("abc", 3), "abc");
        assert!(quoted(&"x".repeat(10_000)).len() < 200);
    }
}

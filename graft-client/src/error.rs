//! What can go wrong for a caller, in one type.
//!
//! A [`ClientError`] says which operation failed, on which object, why, and what to do next; and it answers the two questions that a program
//! has: would the same request work later ([`ClientError::is_retryable`]), and can it have taken effect all the same
//! ([`ClientError::has_no_side_effects`])? Nobody has to read its text.
//!
//! Codes `GR0001` to `GR8999` come from the server; `GR9001` to `GR9099` are the SDK's own. All stand in one catalogue: [`ErrorCode`].

use std::fmt;
use std::time::Duration;

use graft_proto::errors::ErrorCode;
use graft_proto::v1::ErrorDetail;
use prost::Message;

use crate::channel::never_sent;
use crate::tls;

/// Why a call failed: the operation, the object, the reason, and what to do next.
#[derive(Clone)]
pub struct ClientError(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    /// What was tried, as it reads after "failed to".
    operation: String,
    detail: ErrorDetail,
    message: String,
    grpc: Option<tonic::Code>,
    /// The change that was asked for has happened; the error is about something else.
    took_effect: bool,
}

impl ClientError {
    /// An error that this crate makes. What the catalogue says of its code holds, as far as nobody who knows more says otherwise.
    pub(crate) fn new(code: ErrorCode, operation: impl Into<String>, object: impl Into<String>, message: impl Into<String>) -> Self {
        let detail = ErrorDetail {
            code: code.name().to_owned(),
            object: object.into(),
            remedy: code.remedy().to_owned(),
            retryable: code.retryable(),
            outcome_unknown: code.outcome_unknown(),
            ..ErrorDetail::default()
        };
        Self(Box::new(Facts { operation: operation.into(), detail, message: message.into(), grpc: None, took_effect: false }))
    }

    /// With other advice: for a program that can say what to do in its users' own words.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        self.remedied(remedy)
    }

    pub(crate) fn remedied(mut self, remedy: impl Into<String>) -> Self {
        self.0.detail.remedy = remedy.into();
        self
    }

    pub(crate) fn unknown_outcome(mut self, unknown: bool) -> Self {
        self.0.detail.outcome_unknown = unknown;
        self
    }

    /// With the code that the server would have given.
    pub(crate) fn with_grpc(mut self, code: tonic::Code) -> Self {
        self.0.grpc = Some(code);
        self
    }

    /// With what went wrong besides, which another try may mend.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.0.message = format!("{}; and {}: {}", self.0.message, other.object(), other.message());
        self.0.detail.retryable |= other.is_retryable();
        let (first, second) = (self.remedy().trim_end_matches('.'), other.remedy());
        if first != second.trim_end_matches('.') && !second.is_empty() {
            self.0.detail.remedy = if first.is_empty() { second.to_owned() } else { format!("{first}. {second}") };
        }
        self
    }

    /// The same failure, of another operation.
    pub(crate) fn of_operation(mut self, operation: &str) -> Self {
        operation.clone_into(&mut self.0.operation);
        self
    }

    pub(crate) fn after_it_took_effect(mut self) -> Self {
        self.0.took_effect = true;
        self
    }

    /// Reads a refusal of `server`. Without details, the gRPC status tells what it can.
    pub(crate) fn from_status(operation: &str, server: &str, status: &tonic::Status) -> Self {
        let detail = status
            .metadata()
            .get_bin(graft_proto::ERROR_DETAIL_METADATA)
            .and_then(|value| value.to_bytes().ok())
            .and_then(|bytes| ErrorDetail::decode(bytes).ok());
        let refused = if detail.is_none() { tls::refused(status) } else { None };
        if let Some(tls::Refusal { why, remedy }) = refused {
            let error = Self::new(ErrorCode::Tls, operation, format!("server {server}"), why).with_grpc(status.code());
            return remedy.into_iter().fold(error, Self::remedied);
        }
        let (detail, transport) = match detail {
            Some(detail) => (detail, false),
            None => bare(server, status),
        };
        let broken = std::error::Error::source(status).is_some();
        let message = if transport || broken { causes(status) } else { why(status.message(), &detail).to_owned() };
        Self(Box::new(Facts { operation: operation.to_owned(), detail, message, grpc: Some(status.code()), took_effect: false }))
    }

    /// Reads why one part of a request was refused: as a call of its own would have been told.
    pub(crate) fn from_refusal(operation: &str, detail: ErrorDetail, message: &str) -> Self {
        let message = why(message, &detail).to_owned();
        let grpc = detail.code.parse().ok().map(ErrorCode::grpc);
        Self(Box::new(Facts { operation: operation.to_owned(), detail, message, grpc, took_effect: false }))
    }

    /// Stable code: `GR` and four digits. A newer server may send one that this version does not know.
    pub fn code(&self) -> &str {
        &self.0.detail.code
    }

    /// The code with all that the catalogue says about it, `None` if this version does not know it.
    pub fn kind(&self) -> Option<ErrorCode> {
        self.code().parse().ok()
    }

    /// The object concerned, as a person names it: `workflow "a" in namespace "default"`. May be empty.
    pub fn object(&self) -> &str {
        &self.0.detail.object
    }

    /// Why.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next. May be empty.
    pub fn remedy(&self) -> &str {
        &self.0.detail.remedy
    }

    /// What was tried, as it reads after "failed to".
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// True if the same request may work later. The client has already repeated it for as long as it was told to.
    pub fn is_retryable(&self) -> bool {
        self.0.detail.retryable
    }

    /// Whether a stream that ended so is over: not if that is mended by itself, or by another token, with which it is opened again.
    pub(crate) fn ends_a_stream(&self) -> bool {
        !self.is_retryable() && self.kind() != Some(ErrorCode::Unauthenticated)
    }

    /// True if the request may have taken effect all the same: repeat it with the same request id, or look.
    pub fn outcome_unknown(&self) -> bool {
        self.0.detail.outcome_unknown
    }

    /// True if the request is known to have changed nothing.
    pub fn has_no_side_effects(&self) -> bool {
        !self.0.detail.outcome_unknown && !self.0.took_effect
    }

    /// The server's advice how long to wait before trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        (self.0.detail.retry_after_ms > 0).then(|| Duration::from_millis(self.0.detail.retry_after_ms))
    }

    /// The gRPC code, if a server (or the connection to it) gave one, or would have given it had the request been sent.
    pub fn grpc_code(&self) -> Option<tonic::Code> {
        self.0.grpc
    }

    /// True if the workflow (or whatever was asked for) does not exist.
    pub fn is_not_found(&self) -> bool {
        self.0.grpc == Some(tonic::Code::NotFound)
    }

    /// True if the id was taken.
    pub fn is_already_exists(&self) -> bool {
        self.0.grpc == Some(tonic::Code::AlreadyExists)
    }

    pub(crate) fn leader_address(&self) -> Option<&str> {
        Some(self.0.detail.leader_address.as_str()).filter(|address| !address.is_empty())
    }
}

/// Details for a status that brought none: from a broken connection, a proxy, or a server of another kind.
fn bare(server: &str, status: &tonic::Status) -> (ErrorDetail, bool) {
    use tonic::Code;
    let broken = std::error::Error::source(status).is_some();
    let (code, transport) = match status.code() {
        Code::Unavailable => (ErrorCode::Unreachable, true),
        Code::DeadlineExceeded => (ErrorCode::TimedOut, true),
        Code::Unknown | Code::Cancelled | Code::Internal if broken => (ErrorCode::Unreachable, true),
        _ => (ErrorCode::BareStatus, false),
    };
    let remedy = match status.code() {
        Code::Unimplemented => "Check that the address belongs to a graftd of a version that has this call.".to_owned(),
        _ if transport => {
            format!("Check that graftd runs and answers at {server} (and that it is its client address, not the one for peers).")
        }
        _ => String::new(),
    };
    let detail = ErrorDetail {
        code: code.name().to_owned(),
        object: format!("server {server}"),
        remedy,
        // Who speaks of trouble in general, in other words than graftd's, may do so after the fact.
        outcome_unknown: !never_sent(status)
            && (transport || matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal | Code::DataLoss)),
        retryable: transport || matches!(status.code(), Code::Aborted | Code::ResourceExhausted),
        ..ErrorDetail::default()
    };
    (detail, transport)
}

/// A member's message is a whole sentence for who reads nothing else: object, reason, `; ` and remedy. What the detail says already is left out.
fn why<'a>(message: &'a str, detail: &ErrorDetail) -> &'a str {
    let message = match detail.object.as_str() {
        "" => message,
        object => message.strip_prefix(object).map_or(message, str::trim_start),
    };
    match detail.remedy.as_str() {
        "" => message,
        remedy => message.strip_suffix(remedy).and_then(|message| message.strip_suffix("; ")).unwrap_or(message),
    }
}

/// The innermost cause is what a person wants to read: `connection refused`, not `transport error`.
fn causes(status: &tonic::Status) -> String {
    let mut text = if status.message().is_empty() { status.code().description().to_owned() } else { status.message().to_owned() };
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { operation, detail, message, .. } = &*self.0;
        write!(f, "failed to {operation}: ")?;
        if !detail.object.is_empty() && !operation.contains(&detail.object) && !message.contains(&detail.object) {
            write!(f, "{}: ", detail.object)?;
        }
        write!(f, "{}", if message.is_empty() { "no reason was given" } else { message })?;
        write!(f, " [{}]", if detail.code.is_empty() { ErrorCode::BareStatus.name() } else { &detail.code })?;
        if detail.outcome_unknown {
            write!(f, " (the request may have taken effect)")?;
        }
        let mut remedy = detail.remedy.chars();
        if let Some(first) = remedy.next() {
            write!(f, ". {}{}", first.to_uppercase(), remedy.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_with(detail: &ErrorDetail) -> tonic::Status {
        let mut status = tonic::Status::already_exists("exists already as run 7 (running)");
        let value = tonic::metadata::MetadataValue::from_bytes(&detail.encode_to_vec());
        status.metadata_mut().insert_bin(graft_proto::ERROR_DETAIL_METADATA, value);
        status
    }

    #[test]
    fn an_error_says_what_which_why_and_what_to_do() {
        let detail = ErrorDetail {
            code: "GR0004".into(),
            object: "workflow \"a\" in namespace \"default\"".into(),
            remedy: "Use another id.".into(),
            ..ErrorDetail::default()
        };
        let error = ClientError::from_status("start a workflow", "http://h:1", &status_with(&detail));
        assert_eq!(
            error.to_string(),
            "failed to start a workflow: workflow \"a\" in namespace \"default\": exists already as run 7 (running) [GR0004]. Use another id."
        );
        assert!(error.is_already_exists() && !error.is_retryable() && error.has_no_side_effects());
    }

    #[test]
    fn what_a_member_says_as_a_whole_sentence_is_said_once() {
        let detail = ErrorDetail {
            code: "GR0003".into(),
            object: "workflow \"a\"".into(),
            remedy: "check the id with `graft workflow list`".into(),
            ..ErrorDetail::default()
        };
        let mut status = tonic::Status::not_found("workflow \"a\" does not exist; check the id with `graft workflow list`");
        let value = tonic::metadata::MetadataValue::from_bytes(&detail.encode_to_vec());
        status.metadata_mut().insert_bin(graft_proto::ERROR_DETAIL_METADATA, value);
        let error = ClientError::from_status("get workflow \"a\"", "http://h:1", &status);
        assert_eq!(error.to_string(), "failed to get workflow \"a\": does not exist [GR0003]. Check the id with `graft workflow list`");
        assert_eq!((error.message(), error.object()), ("does not exist", "workflow \"a\""));
    }

    #[test]
    fn a_broken_connection_may_have_had_side_effects() {
        let error = ClientError::from_status("start a workflow", "http://h:1", &tonic::Status::unavailable("gone"));
        assert!(error.is_retryable() && error.outcome_unknown());
        assert_eq!(error.code(), ErrorCode::Unreachable.name());
        assert!(error.to_string().contains("http://h:1"));
    }

    #[test]
    fn a_bare_refusal_of_the_server_is_not_repeated() {
        let error = ClientError::from_status("start a workflow", "http://h:1", &tonic::Status::invalid_argument("no"));
        assert!(!error.is_retryable() && error.has_no_side_effects());
    }
}

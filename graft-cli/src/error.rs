//! What went wrong: words for people, an exit code for programs.
//!
//! The words say what failed, on which object, why, and what to do next. Where the server says what to do, its words are passed on.

use std::fmt;
use std::io;

use graft_client::proto::WorkflowStatus;
use graft_client::{ClientError, ErrorCode, status_name};
use tonic::Code;

use crate::cli::Format;
use crate::output::json::{ErrorJson, some};
use crate::output::{compact, say};

/// Exit codes, as the help lists them.
pub(crate) mod exit {
    /// Something else went wrong.
    pub(crate) const ERROR: u8 = 1;
    /// The command line, a file or a document that it names, makes no sense.
    pub(crate) const USAGE: u8 = 2;
    /// It does not exist.
    pub(crate) const NOT_FOUND: u8 = 3;
    /// It exists already, or is not in a state that allows this.
    pub(crate) const CONFLICT: u8 = 4;
    /// Who asks is not known, or may not.
    pub(crate) const AUTH: u8 = 5;
    /// No member answers, or none leads, or all are overloaded: try again.
    pub(crate) const UNAVAILABLE: u8 = 6;
    /// It took too long.
    pub(crate) const TIMEOUT: u8 = 7;
    /// The workflow failed.
    pub(crate) const WORKFLOW_FAILED: u8 = 10;
    /// The workflow was cancelled or terminated.
    pub(crate) const WORKFLOW_STOPPED: u8 = 11;
    /// The workflow's deadline passed.
    pub(crate) const WORKFLOW_TIMED_OUT: u8 = 12;
    /// Ctrl-C.
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command ends with another exit code than 0.
#[derive(Debug)]
pub(crate) enum CliError {
    /// A call failed.
    Call(ClientError),
    /// Nobody answers.
    Unreachable {
        /// Where it was tried.
        addr: String,
        /// What each address answered.
        reason: String,
    },
    /// What was asked makes no sense.
    Usage(String),
    /// A wait was over before the workflow had ended.
    StillRunning {
        /// The workflow.
        id: String,
        /// What it is doing.
        status: WorkflowStatus,
    },
    /// The workflow that was waited for did not complete.
    Ended {
        /// The workflow.
        id: String,
        /// How it ended.
        status: WorkflowStatus,
        /// Why.
        reason: String,
    },
    /// Something that is not on a server does not exist.
    NotFound(String),
    /// Something that is not on a server exists already, or does not allow this.
    Conflict(String),
    /// Addresses that were tried do not answer; which, and why, stands on stdout.
    NotAllAnswer {
        /// How many do not.
        silent: usize,
        /// Of how many.
        of: usize,
    },
    /// Ctrl-C.
    Interrupted,
    /// Whoever read stdout has gone: nobody is left to be told.
    ReaderGone,
    /// Something else, in words.
    Other(String),
}

/// What a command answers.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// Says it on stderr, as a document if programs read the answers, and answers with the exit code.
    pub(crate) fn report(&self, format: Format) -> u8 {
        match (self, format) {
            (Self::ReaderGone, _) => {}
            (Self::Interrupted, Format::Table | Format::Wide | Format::Name) => say(""),
            (error, Format::Table | Format::Wide | Format::Name) => say(&format!("error: {error}")),
            (error, Format::Json | Format::Jsonl | Format::Yaml) => match compact(&error.document()) {
                Ok(document) => say(&document),
                Err(_) => say(&format!("error: {error}")),
            },
        }
        self.exit_code()
    }

    /// What programs are told.
    fn document(&self) -> ErrorJson {
        let exit_code = self.exit_code();
        match self {
            Self::Call(error) => ErrorJson {
                code: some(error.code()),
                message: error.message().to_owned(),
                object: some(error.object()),
                operation: Some(error.operation().to_owned()),
                remedy: some(error.remedy()),
                retryable: error.is_retryable(),
                outcome_unknown: error.outcome_unknown(),
                exit_code,
            },
            error => ErrorJson {
                code: None,
                message: error.to_string(),
                object: None,
                operation: None,
                remedy: None,
                retryable: matches!(exit_code, exit::UNAVAILABLE | exit::TIMEOUT),
                outcome_unknown: false,
                exit_code,
            },
        }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) => code_of(error.grpc_code(), error.kind()),
            Self::Unreachable { .. } => exit::UNAVAILABLE,
            Self::Usage(_) => exit::USAGE,
            Self::StillRunning { .. } => exit::TIMEOUT,
            Self::Ended { status, .. } => match status {
                WorkflowStatus::Cancelled | WorkflowStatus::Terminated => exit::WORKFLOW_STOPPED,
                WorkflowStatus::TimedOut => exit::WORKFLOW_TIMED_OUT,
                _ => exit::WORKFLOW_FAILED,
            },
            Self::NotFound(_) => exit::NOT_FOUND,
            Self::Conflict(_) => exit::CONFLICT,
            Self::NotAllAnswer { .. } => exit::UNAVAILABLE,
            Self::Interrupted => exit::INTERRUPTED,
            Self::ReaderGone => 0,
            Self::Other(_) => exit::ERROR,
        }
    }
}

/// The exit code for a refusal: by the gRPC status, or, where no server was asked, by the client's own code.
fn code_of(grpc: Option<Code>, code: Option<ErrorCode>) -> u8 {
    match grpc {
        Some(Code::NotFound) => exit::NOT_FOUND,
        Some(Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted) => exit::CONFLICT,
        Some(Code::Unauthenticated | Code::PermissionDenied) => exit::AUTH,
        Some(Code::Unavailable | Code::ResourceExhausted) => exit::UNAVAILABLE,
        Some(Code::DeadlineExceeded) => exit::TIMEOUT,
        Some(Code::InvalidArgument | Code::OutOfRange) => exit::USAGE,
        _ => match code {
            Some(ErrorCode::Unreachable) => exit::UNAVAILABLE,
            Some(ErrorCode::TimedOut) => exit::TIMEOUT,
            Some(ErrorCode::BadEndpoint | ErrorCode::NotSerializable) => exit::USAGE,
            _ => exit::ERROR,
        },
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => write!(f, "{error}"),
            Self::Unreachable { addr, reason } => write!(
                f,
                "cannot reach graftd at {addr}: {reason}\n  Start one with `graft dev` or `graftd`, or name another address with --addr (or \
                 GRAFT_ADDR)."
            ),
            Self::Usage(message) | Self::NotFound(message) | Self::Conflict(message) | Self::Other(message) => f.write_str(message),
            Self::NotAllAnswer { silent, of } => write!(f, "{silent} of {of} addresses do not answer"),
            Self::StillRunning { id, status } => write!(
                f,
                "workflow \"{id}\" is still {} and the wait is over\n  Follow it with `graft workflow watch {id}`.",
                status_name(*status)
            ),
            Self::Ended { id, status, reason } => {
                write!(f, "workflow \"{id}\" ended as {}", status_name(*status))?;
                if !reason.is_empty() {
                    write!(f, ": {reason}")?;
                }
                write!(f, "\n  See what happened with `graft workflow history {id} --all`.")
            }
            Self::Interrupted => f.write_str("interrupted"),
            Self::ReaderGone => f.write_str("the reader of stdout has gone"),
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::Call(error)
    }
}

/// From writing to stdout: the only place where a command meets a bare IO error.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::Other(format!("failed to write to stdout: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_the_exit_code_that_the_help_lists() {
        let cases = [
            (Code::NotFound, 3),
            (Code::AlreadyExists, 4),
            (Code::FailedPrecondition, 4),
            (Code::Unauthenticated, 5),
            (Code::PermissionDenied, 5),
            (Code::Unavailable, 6),
            (Code::ResourceExhausted, 6),
            (Code::DeadlineExceeded, 7),
            (Code::InvalidArgument, 2),
            (Code::Internal, 1),
        ];
        for (grpc, exit) in cases {
            assert_eq!(code_of(Some(grpc), Some(ErrorCode::Invalid)), exit, "{grpc:?}");
        }
        for (code, exit) in [(ErrorCode::Unreachable, 6), (ErrorCode::TimedOut, 7), (ErrorCode::BadEndpoint, 2), (ErrorCode::BadAnswer, 1)]
        {
            assert_eq!(code_of(None, Some(code)), exit, "{code}");
        }
    }

    #[test]
    fn a_workflow_that_was_waited_for_tells_how_it_ended() {
        let ended = |status| CliError::Ended { id: "a".into(), status, reason: "no stock".into() };
        let cases = [
            (WorkflowStatus::Failed, 10),
            (WorkflowStatus::Cancelled, 11),
            (WorkflowStatus::Terminated, 11),
            (WorkflowStatus::TimedOut, 12),
        ];
        for (status, exit) in cases {
            assert_eq!(ended(status).exit_code(), exit);
        }
        let text = ended(WorkflowStatus::Failed).to_string();
        assert!(text.starts_with("workflow \"a\" ended as failed: no stock\n") && text.contains("graft workflow history a"), "{text}");
    }

    #[test]
    fn a_broken_pipe_is_no_error() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit_code(), 0);
        assert_eq!(CliError::from(io::Error::other("disk")).exit_code(), 1);
        assert_eq!(CliError::Interrupted.exit_code(), 130);
    }
}

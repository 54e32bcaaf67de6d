//! What went wrong: words for people, an exit code and a code of the catalogue for programs.
//!
//! The words say what failed, on which object, why, and what to do next. Where the server says what to do, its words are passed on. People are
//! pointed to `graft explain` where its page says more than the line: for what a server refused, and for a server that is not there.

use std::fmt;
use std::io;

use graft_client::proto::WorkflowStatus;
use graft_client::{ClientError, ErrorCode, status_name};
use tonic::Code;

use crate::cli::Format;
use crate::output::json::{ErrorJson, some};
use crate::output::{compact, note, say, shell_word};

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
    /// Whoever was asked did not agree, or nobody could be asked.
    NotConfirmed(String),
    /// Some of many were refused; which, and why, stands on stdout.
    Partly {
        /// What was done to the others, as it reads after "were not".
        done: &'static str,
        /// How many were refused.
        refused: usize,
        /// Of how many.
        of: usize,
    },
    /// Addresses that were tried do not answer; which, and why, stands on stdout.
    NotAllAnswer {
        /// How many do not.
        silent: usize,
        /// Of how many.
        of: usize,
    },
    /// An examination has found problems; which, stands on stdout.
    Unwell {
        /// How many.
        problems: usize,
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
        match self {
            Self::ReaderGone => {}
            error if format.is_for_programs() => match compact(&error.document()) {
                Ok(document) => say(&document),
                Err(_) => say(&format!("error: {error}")),
            },
            Self::Interrupted => say(""),
            error => {
                say(&format!("error: {error}"));
                if let Some(code) = error.explained() {
                    note(&format!("  More: graft explain {code}"));
                }
            }
        }
        self.exit_code()
    }

    /// Its code in the catalogue. A newer server may give one that this version does not know; an interruption is no error.
    fn code(&self) -> Option<&str> {
        let own = match self {
            Self::Call(error) if !error.code().is_empty() => return Some(error.code()),
            Self::Call(_) => ErrorCode::BareStatus,
            Self::Unreachable { .. } => ErrorCode::Unreachable,
            Self::Usage(_) => ErrorCode::Usage,
            Self::StillRunning { .. } => ErrorCode::StillRunning,
            Self::Ended { .. } => ErrorCode::NotCompleted,
            Self::NotFound(_) => ErrorCode::LocalNotFound,
            Self::Conflict(_) => ErrorCode::LocalConflict,
            Self::NotConfirmed(_) => ErrorCode::NotConfirmed,
            Self::Partly { .. } => ErrorCode::Partly,
            Self::NotAllAnswer { .. } => ErrorCode::NotAllAnswer,
            Self::Unwell { .. } => ErrorCode::Unwell,
            Self::Other(_) => ErrorCode::LocalFailure,
            Self::Interrupted | Self::ReaderGone => return None,
        };
        Some(own.name())
    }

    /// The code whose page says more than the error does.
    fn explained(&self) -> Option<ErrorCode> {
        match self {
            Self::Call(error) => error.kind(),
            Self::Unreachable { .. } => Some(ErrorCode::Unreachable),
            _ => None,
        }
    }

    /// What programs are told.
    fn document(&self) -> ErrorJson {
        let (exit_code, code) = (self.exit_code(), self.code().map(str::to_owned));
        if let Self::Call(error) = self {
            return ErrorJson {
                code,
                message: error.message().to_owned(),
                object: some(error.object()),
                operation: Some(error.operation().to_owned()),
                remedy: some(error.remedy()),
                retryable: error.is_retryable(),
                outcome_unknown: error.outcome_unknown(),
                exit_code,
            };
        }
        let object = match self {
            Self::Unreachable { addr, .. } => Some(format!("server {addr}")),
            Self::StillRunning { id, .. } | Self::Ended { id, .. } => Some(format!("workflow \"{id}\"")),
            _ => None,
        };
        // The first line says what is wrong, those below what to do.
        let words = self.to_string();
        let (message, advice) = words.split_once('\n').unwrap_or((&words, ""));
        let kind = code.as_deref().and_then(|code| code.parse::<ErrorCode>().ok());
        let remedy = some(advice.trim()).or_else(|| kind.map(|kind| kind.remedy().to_owned()));
        // Nothing was sent where nobody could be reached.
        let retryable = kind.is_some_and(ErrorCode::retryable);
        ErrorJson { code, message: message.to_owned(), object, operation: None, remedy, retryable, outcome_unknown: false, exit_code }
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) => {
                let grpc = error.grpc_code().or_else(|| error.kind().map(ErrorCode::grpc));
                grpc.map_or(exit::ERROR, exit_of)
            }
            Self::Ended { status, .. } => match status {
                WorkflowStatus::Cancelled | WorkflowStatus::Terminated => exit::WORKFLOW_STOPPED,
                WorkflowStatus::TimedOut => exit::WORKFLOW_TIMED_OUT,
                _ => exit::WORKFLOW_FAILED,
            },
            Self::Interrupted => exit::INTERRUPTED,
            Self::ReaderGone => 0,
            error => error.code().and_then(|code| code.parse().ok()).map_or(exit::ERROR, |code: ErrorCode| exit_of(code.grpc())),
        }
    }
}

/// The exit codes with which `graft` ends for a code of the catalogue: one, or, for the end of a workflow, the one of how it ended.
pub(crate) fn exits(code: ErrorCode) -> &'static [u8] {
    if code == ErrorCode::NotCompleted {
        return &[exit::WORKFLOW_FAILED, exit::WORKFLOW_STOPPED, exit::WORKFLOW_TIMED_OUT];
    }
    match exit_of(code.grpc()) {
        exit::USAGE => &[exit::USAGE],
        exit::NOT_FOUND => &[exit::NOT_FOUND],
        exit::CONFLICT => &[exit::CONFLICT],
        exit::AUTH => &[exit::AUTH],
        exit::UNAVAILABLE => &[exit::UNAVAILABLE],
        exit::TIMEOUT => &[exit::TIMEOUT],
        _ => &[exit::ERROR],
    }
}

/// The exit code for a refusal, by its gRPC status: what a server gave, or would have given.
fn exit_of(grpc: Code) -> u8 {
    match grpc {
        Code::NotFound => exit::NOT_FOUND,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => exit::CONFLICT,
        Code::Unauthenticated | Code::PermissionDenied => exit::AUTH,
        Code::Unavailable | Code::ResourceExhausted => exit::UNAVAILABLE,
        Code::DeadlineExceeded => exit::TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => exit::USAGE,
        _ => exit::ERROR,
    }
}

/// A mistake in the command line, for programs. What is wrong stands first; tips follow, then how it is used.
impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        let words = error.to_string();
        let mut told = words.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:")).filter(|line| !line.is_empty());
        let first = told.next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        let rest: Vec<&str> = told.collect();
        // A list (of arguments that are missing, say) belongs to what is wrong; a tip says what to do.
        let (tips, parts): (Vec<&str>, Vec<&str>) = rest.into_iter().partition(|line| line.starts_with("tip: "));
        let parts = parts.iter().fold(first.to_owned(), |all, part| format!("{all} {part}"));
        Self::Usage(tips.iter().fold(parts, |all, tip| format!("{all}\n  {}", tip.trim_start_matches("tip: "))))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => write!(f, "{error}"),
            Self::Unreachable { addr, reason } => write!(
                f,
                "cannot reach graftd at {addr}: {reason} [{}]\n  Start one with `graft dev` or `graftd`, or name another address with --addr (or \
                 GRAFT_ADDR).",
                ErrorCode::Unreachable
            ),
            Self::Usage(message)
            | Self::NotFound(message)
            | Self::Conflict(message)
            | Self::NotConfirmed(message)
            | Self::Other(message) => f.write_str(message),
            Self::Partly { done, refused, of } => {
                write!(f, "{refused} of {of} {} not {done}; the answers say why", if *refused == 1 { "was" } else { "were" })
            }
            Self::NotAllAnswer { silent, of } => write!(f, "{silent} of {of} addresses do not answer"),
            Self::Unwell { problems: 1 } => write!(f, "there is a problem"),
            Self::Unwell { problems } => write!(f, "there are {problems} problems"),
            Self::StillRunning { id, status } => write!(
                f,
                "workflow \"{id}\" is still {} and the wait is over\n  Follow it with `graft workflow watch {}`.",
                status_name(*status),
                shell_word(id)
            ),
            Self::Ended { id, status, reason } => {
                write!(f, "workflow \"{id}\" ended as {}", status_name(*status))?;
                if !reason.is_empty() {
                    write!(f, ": {reason}")?;
                }
                write!(f, "\n  See what happened with `graft workflow history {} --all`.", shell_word(id))
            }
            Self::Interrupted => f.write_str("interrupted"),
            Self::ReaderGone => f.write_str("the reader of stdout has gone"),
        }
    }
}

/// What to do next, in the words of the command line where others mean those of a program.
impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::Call(match error.kind() {
            Some(ErrorCode::WorkflowExists) => {
                error.with_remedy("choose another id, or say --on-conflict use-existing or --on-conflict replace-finished")
            }
            Some(ErrorCode::TimedOut) if !error.outcome_unknown() => error.with_remedy("say it again, or give it longer with --timeout"),
            _ => error,
        })
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
            assert_eq!(exit_of(grpc), exit, "{grpc:?}");
        }
        for (code, exit) in [(ErrorCode::Unreachable, 6), (ErrorCode::TimedOut, 7), (ErrorCode::BadEndpoint, 2), (ErrorCode::BadAnswer, 1)]
        {
            assert_eq!(exits(code), [exit], "{code}");
        }
    }

    fn every_error_of_its_own() -> Vec<(CliError, &'static str, u8)> {
        let (id, status) = ("a".to_owned(), WorkflowStatus::Running);
        vec![
            (CliError::Unreachable { addr: "http://a".into(), reason: "refused".into() }, "GR9001", 6),
            (CliError::Usage("no".into()), "GR9101", 2),
            (CliError::NotFound("no".into()), "GR9102", 3),
            (CliError::Conflict("no".into()), "GR9103", 4),
            (CliError::StillRunning { id: id.clone(), status }, "GR9104", 7),
            (CliError::Ended { id, status: WorkflowStatus::Failed, reason: String::new() }, "GR9005", 10),
            (CliError::NotAllAnswer { silent: 1, of: 2 }, "GR9105", 6),
            (CliError::Unwell { problems: 2 }, "GR9109", 1),
            (CliError::NotConfirmed("no".into()), "GR9106", 4),
            (CliError::Partly { done: "started", refused: 1, of: 2 }, "GR9108", 1),
            (CliError::Other("no".into()), "GR9107", 1),
        ]
    }

    #[test]
    fn every_error_has_a_code_of_the_catalogue_and_ends_as_its_page_says() {
        for (error, code, exit) in every_error_of_its_own() {
            assert_eq!((error.code(), error.exit_code()), (Some(code), exit), "{error}");
            let known: ErrorCode = code.parse().unwrap();
            assert!(exits(known).contains(&exit), "{error}");
            let document = error.document();
            assert_eq!(document.retryable, known.retryable(), "{error}");
            assert!(!document.message.contains('\n') && document.remedy.is_some_and(|remedy| !remedy.is_empty()), "{error}");
        }
        assert_eq!(CliError::Interrupted.code(), None);
    }

    #[test]
    fn the_lines_below_the_first_are_what_to_do() {
        let error = CliError::StillRunning { id: "a".into(), status: WorkflowStatus::Paused }.document();
        assert_eq!(error.message, "workflow \"a\" is still paused and the wait is over");
        assert_eq!(error.remedy.as_deref(), Some("Follow it with `graft workflow watch a`."));
        assert_eq!(error.object.as_deref(), Some("workflow \"a\""));
        assert_eq!(CliError::Usage("no".into()).document().remedy.as_deref(), Some("see the command's --help"));
    }

    #[test]
    fn a_mistake_in_the_command_line_is_a_message_and_tips() {
        use clap::CommandFactory;
        let told = |line: &str| {
            let error = crate::cli::Cli::command().try_get_matches_from(line.split(' ')).unwrap_err();
            let document = CliError::from(error).document();
            (document.message, document.remedy.unwrap_or_default())
        };
        let (message, remedy) = told("graft workflow strat");
        assert_eq!(message, "unrecognized subcommand 'strat'");
        assert!(remedy.contains("'start'"), "{remedy}");
        let (message, remedy) = told("graft workflow start a");
        assert_eq!(message, "the following required arguments were not provided: --node <NAME>");
        assert_eq!(remedy, "see the command's --help");
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

//! What the machine answers: a reply, or a rejection. Both are normal; both are the same on every member.

use std::fmt;

use prost::{Message, Oneof};

use crate::ids::{EventPos, Lease, Run};
use crate::time::Millis;

/// What `apply` answers.
pub type Answer = Result<Reply, Rejection>;

/// A command took effect (or had taken effect before).
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// For `Start`.
    Started(Started),
    /// For `Complete`, `Fail`, `Block` and `Lose`.
    Resolved(Resolved),
    /// For everything else.
    Done(Done),
}

/// An answer as it travels between members and is kept for repeated requests.
#[derive(Clone, PartialEq, Message)]
pub struct StoredAnswer {
    /// Which of them.
    #[prost(oneof = "AnswerKind", tags = "1, 2, 3, 4")]
    pub kind: Option<AnswerKind>,
}

/// See [`StoredAnswer`].
#[derive(Clone, PartialEq, Oneof)]
pub enum AnswerKind {
    /// `Reply::Started`
    #[prost(message, tag = "1")]
    Started(Started),
    /// `Reply::Resolved`
    #[prost(message, tag = "2")]
    Resolved(Resolved),
    /// `Reply::Done`
    #[prost(message, tag = "3")]
    Done(Done),
    /// A rejection
    #[prost(message, tag = "4")]
    Rejected(Rejection),
}

/// For `Start`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Started {
    /// The run.
    #[prost(uint64, tag = "1")]
    pub run: Run,
    /// Whether this command made it; false: `use_existing` found it.
    #[prost(bool, tag = "2")]
    pub created: bool,
    /// Machine's time of the answer.
    #[prost(uint64, tag = "3")]
    pub time: Millis,
}

/// What became of a worker's result. The numbers are on the wire; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Resolution {
    /// It took effect now.
    Applied = 0,
    /// It had taken effect before: this is a repeat.
    AlreadyResolved = 1,
    /// Its attempt is not the current one: it took no effect.
    Stale = 2,
}

/// For results of attempts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Resolved {
    /// What became of it.
    #[prost(enumeration = "Resolution", tag = "1")]
    pub resolution: i32,
    /// The lease whose result was accepted, with `AlreadyResolved`.
    #[prost(message, optional, tag = "2")]
    pub accepted: Option<Lease>,
}

/// For everything else.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Done {
    /// The run concerned; 0 where there is none.
    #[prost(uint64, tag = "1")]
    pub run: Run,
    /// Position of the (last) event that the command wrote, if any.
    #[prost(message, optional, tag = "2")]
    pub at: Option<EventPos>,
    /// Machine's time of the answer.
    #[prost(uint64, tag = "3")]
    pub time: Millis,
}

/// Why a command was refused. A rejected command has written nothing.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Rejection {
    /// What kind of refusal.
    #[prost(enumeration = "RejectionCode", tag = "1")]
    pub code: i32,
    /// The object that it is about, as a person names it: `workflow "a" in namespace "default"`.
    #[prost(string, tag = "2")]
    pub object: String,
    /// Why, as a fragment that reads after the object: `exists already as run 7 (running)`.
    #[prost(string, tag = "3")]
    pub detail: String,
}

/// Kinds of refusal. The numbers travel; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum RejectionCode {
    /// The command is malformed, or written by a version that knows more.
    Invalid = 0,
    /// A document, list or name exceeds its bound.
    TooLarge = 1,
    /// No such workflow (or no such run of it).
    WorkflowNotFound = 2,
    /// The workflow id is taken.
    WorkflowExists = 3,
    /// The workflow's status does not allow it.
    WrongStatus = 4,
    /// The request id was used for another request.
    RequestConflict = 5,
    /// The request's not-after has passed.
    RequestExpired = 6,
    /// The request's not-after lies too far ahead.
    NotAfterTooFar = 7,
    /// The cluster has another id.
    ClusterMismatch = 8,
    /// The workflow has no such task: it was never created, or it is resolved.
    TaskNotFound = 9,
    /// What the task is waiting for does not allow it.
    TaskState = 10,
    /// No such permission to join the cluster.
    GrantNotFound = 11,
    /// The permission to join does not allow this.
    GrantRefused = 12,
    /// No such API token.
    TokenNotFound = 13,
}

impl Rejection {
    /// Builds a rejection.
    pub fn new(code: RejectionCode, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code as i32, object: object.into(), detail: detail.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.detail)
    }
}

impl std::error::Error for Rejection {}

impl From<Answer> for StoredAnswer {
    fn from(answer: Answer) -> Self {
        let kind = match answer {
            Ok(Reply::Started(started)) => AnswerKind::Started(started),
            Ok(Reply::Resolved(resolved)) => AnswerKind::Resolved(resolved),
            Ok(Reply::Done(done)) => AnswerKind::Done(done),
            Err(rejection) => AnswerKind::Rejected(rejection),
        };
        Self { kind: Some(kind) }
    }
}

impl StoredAnswer {
    /// The answer; `None` if a newer version wrote a kind that this one does not know.
    pub fn into_answer(self) -> Option<Answer> {
        Some(match self.kind? {
            AnswerKind::Started(started) => Ok(Reply::Started(started)),
            AnswerKind::Resolved(resolved) => Ok(Reply::Resolved(resolved)),
            AnswerKind::Done(done) => Ok(Reply::Done(done)),
            AnswerKind::Rejected(rejection) => Err(rejection),
        })
    }
}

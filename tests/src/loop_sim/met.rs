//! What a run has met: a simulation that never meets something says nothing about it.

use graft_machine::Applied;
use graft_machine::command::{Command, FailureKind, LogEntry, OnConflict};
use graft_machine::event::Happened;
use graft_machine::reply::{RejectionCode, Reply, Resolution};

use super::world::World;

/// Everything that many seeds together must meet.
pub const EXPECTED: &[&str] = &[
    // Every command.
    "Start",
    "Complete",
    "Fail",
    "Block",
    "Lose",
    "Due",
    "Pause",
    "Resume",
    "Cancel",
    "Cancel idle",
    "Terminate",
    "OpenSession",
    "CloseSession",
    "SetLimit",
    "unset limit",
    "InitCluster",
    "RaiseMachineVersion",
    "ExpireRequests",
    "Redrive",
    "RetryTask",
    "Discard",
    "GrantJoin",
    "UseJoinGrant",
    "RevokeJoinGrant",
    "CreateApiToken",
    "RevokeApiToken",
    "BeginAct",
    "EndAct",
    // Every way to start, and every refusal.
    "start: fail",
    "start: use existing",
    "start: replace finished",
    "use existing found it",
    "refused: Invalid",
    "refused: TooLarge",
    "refused: WorkflowNotFound",
    "refused: WorkflowExists",
    "refused: WrongStatus",
    "refused: RequestConflict",
    "refused: RequestExpired",
    "refused: NotAfterTooFar",
    "refused: ClusterMismatch",
    "refused: TaskNotFound",
    "refused: TaskState",
    "refused: GrantNotFound",
    "refused: GrantRefused",
    "refused: TokenNotFound",
    // What becomes of results.
    "already resolved",
    "stale",
    "zombie woke",
    // Every event, and every kind of failure.
    "completed",
    "failed",
    "lost",
    "timed out",
    "panicked",
    "bad outcome",
    "permanent",
    "handed back",
    "blocked",
    "joined",
    "paused",
    "resumed",
    "cancelled",
    "terminated",
    "deadline passed",
    "workflow completed",
    "workflow failed",
    "late result",
    "dead letter",
    "redriven",
    "reopened",
    "discarded",
    "retried",
    "skipped for its key",
    // What happens to workers and members.
    "dispatched",
    "executed",
    "worker killed",
    "member killed",
    "power cut",
    "power cut of all",
    "cut one way",
    "clock jumped",
    "term",
    "term begun",
    "log purged",
    "snapshot sent",
    "snapshot installed",
    "member joined",
    "member promoted",
    "member removed",
    "disk lost",
    "read",
    "page of events",
    "deleted by retention",
];

fn command(command: &Command) -> &'static str {
    match command {
        Command::Start(_) => "Start",
        Command::Complete(_) => "Complete",
        Command::Fail(_) => "Fail",
        Command::Block(_) => "Block",
        Command::Lose(_) => "Lose",
        Command::Due(_) => "Due",
        Command::Pause(_) => "Pause",
        Command::Resume(_) => "Resume",
        Command::Cancel(cancel) if cancel.idle => "Cancel idle",
        Command::Cancel(_) => "Cancel",
        Command::Terminate(_) => "Terminate",
        Command::OpenSession(_) => "OpenSession",
        Command::CloseSession(_) => "CloseSession",
        Command::SetLimit(limit) if limit.limit.is_none() => "unset limit",
        Command::SetLimit(_) => "SetLimit",
        Command::InitCluster(_) => "InitCluster",
        Command::RaiseMachineVersion(_) => "RaiseMachineVersion",
        Command::ExpireRequests(_) => "ExpireRequests",
        Command::Redrive(_) => "Redrive",
        Command::RetryTask(_) => "RetryTask",
        Command::Discard(_) => "Discard",
        Command::GrantJoin(_) => "GrantJoin",
        Command::UseJoinGrant(_) => "UseJoinGrant",
        Command::RevokeJoinGrant(_) => "RevokeJoinGrant",
        Command::CreateApiToken(_) => "CreateApiToken",
        Command::RevokeApiToken(_) => "RevokeApiToken",
        Command::BeginAct(_) => "BeginAct",
        Command::EndAct(_) => "EndAct",
    }
}

fn refusal(code: i32) -> &'static str {
    match RejectionCode::try_from(code).expect("a known refusal") {
        RejectionCode::Invalid => "refused: Invalid",
        RejectionCode::TooLarge => "refused: TooLarge",
        RejectionCode::WorkflowNotFound => "refused: WorkflowNotFound",
        RejectionCode::WorkflowExists => "refused: WorkflowExists",
        RejectionCode::WrongStatus => "refused: WrongStatus",
        RejectionCode::RequestConflict => "refused: RequestConflict",
        RejectionCode::RequestExpired => "refused: RequestExpired",
        RejectionCode::NotAfterTooFar => "refused: NotAfterTooFar",
        RejectionCode::ClusterMismatch => "refused: ClusterMismatch",
        RejectionCode::TaskNotFound => "refused: TaskNotFound",
        RejectionCode::TaskState => "refused: TaskState",
        RejectionCode::GrantNotFound => "refused: GrantNotFound",
        RejectionCode::GrantRefused => "refused: GrantRefused",
        RejectionCode::TokenNotFound => "refused: TokenNotFound",
    }
}

fn failure(kind: i32) -> &'static str {
    match FailureKind::try_from(kind).expect("a known failure") {
        FailureKind::Retryable => "failed",
        FailureKind::Permanent => "permanent",
        FailureKind::Panic => "panicked",
        FailureKind::Timeout => "timed out",
        FailureKind::BadOutcome => "bad outcome",
        FailureKind::Lost => "lost",
    }
}

fn event(happened: &Happened) -> Option<&'static str> {
    Some(match happened {
        Happened::Started(_) => return None,
        Happened::Completed(_) => "completed",
        Happened::Failed(e) => failure(e.kind),
        Happened::Blocked(_) => "blocked",
        Happened::ScopeClosed(_) => "joined",
        Happened::DeadLettered(_) => "dead letter",
        Happened::HandedBack(_) => "handed back",
        Happened::Paused(_) => "paused",
        Happened::Resumed(_) => "resumed",
        Happened::Cancelling(_) => return None,
        Happened::WorkflowCompleted(_) => "workflow completed",
        Happened::WorkflowFailed(_) => "workflow failed",
        Happened::WorkflowCancelled(_) => "cancelled",
        Happened::WorkflowTerminated(_) => "terminated",
        Happened::WorkflowTimedOut(_) => "deadline passed",
        Happened::LateResultIgnored(_) => "late result",
        Happened::DeadLetterRedriven(e) if e.reopened => "reopened",
        Happened::DeadLetterRedriven(_) => "redriven",
        Happened::DeadLetterDiscarded(_) => "discarded",
        Happened::TaskRetried(_) => "retried",
    })
}

impl World {
    pub(super) fn met(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes what an entry did, the first time that it is applied.
    pub(super) fn meet(&mut self, entry: &LogEntry, all: &[Applied]) {
        for (envelope, applied) in entry.commands.iter().zip(all) {
            let Some(asked) = &envelope.command else { continue };
            match &applied.reply {
                Ok(reply) => {
                    self.met(command(asked));
                    self.meet_reply(asked, reply);
                }
                Err(rejection) => self.met(refusal(rejection.code)),
            }
            for happened in applied.events.iter().filter_map(|event| event.happened.as_ref()) {
                if let Some(what) = event(happened) {
                    self.met(what);
                }
                if let Happened::Completed(e) = happened
                    && e.created.iter().any(|created| created.skipped_for != 0)
                {
                    self.met("skipped for its key");
                }
            }
        }
    }

    fn meet_reply(&mut self, asked: &Command, reply: &Reply) {
        match (asked, reply) {
            (Command::Start(start), Reply::Started(started)) => {
                self.met(match OnConflict::try_from(start.on_conflict).expect("a known rule") {
                    OnConflict::Fail => "start: fail",
                    OnConflict::UseExisting => "start: use existing",
                    OnConflict::ReplaceFinished => "start: replace finished",
                });
                if !started.created {
                    self.met("use existing found it");
                }
            }
            (_, Reply::Resolved(resolved)) => match resolved.resolution() {
                Resolution::Applied => {}
                Resolution::AlreadyResolved => self.met("already resolved"),
                Resolution::Stale => self.met("stale"),
            },
            _ => {}
        }
    }
}

//! Tasks that were given up: finding them, giving them another chance, or giving them up for good. One by one, or all that a filter finds.

use std::time::SystemTime;

use graft_proto::errors::ErrorCode;
use graft_proto::v1::{
    self as proto, DeadLetter, DeadLetterRef, DiscardRequest, ListDeadLettersRequest, RedriveRequest, RequestMeta,
    ResolveDeadLettersResponse, discard_request, redrive_request,
};
use serde::Serialize;

use crate::RawJson;
use crate::channel::Kind;
use crate::client::{Client, cursor, fresh_meta};
use crate::error::ClientError;
use crate::handle::WorkflowHandle;
use crate::next::unix_millis;
use crate::tasks::TaskHandle;

/// Which dead letters. Each call narrows it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct DeadLetterFilter {
    wire: proto::DeadLetterFilter,
}

impl DeadLetterFilter {
    /// All of the namespace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only of this workflow.
    pub fn workflow(mut self, workflow_id: impl Into<String>) -> Self {
        self.wire.workflow_id = workflow_id.into();
        self
    }

    /// Only of this run; 0 is all runs.
    pub fn run(mut self, run: u64) -> Self {
        self.wire.run = run;
        self
    }

    /// Only of this node.
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.wire.node = node.into();
        self
    }

    /// Only those whose error holds this text.
    pub fn error_contains(mut self, text: impl Into<String>) -> Self {
        self.wire.error_contains = text.into();
        self
    }

    /// Only those that were given up at this time or later.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.wire.since_ms = unix_millis(time);
        self
    }

    /// Only those that were given up before this time.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.wire.until_ms = unix_millis(time).max(1);
        self
    }
}

/// A page of dead letters, the oldest first. It may be short, even empty, and still not be the last one: the cursor says.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetterPage {
    /// The dead letters.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins; `None`: this is the last one.
    pub next_cursor: Option<String>,
}

/// How dead letters get another chance. A text alone is the reason.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Redrive {
    config: Option<RawJson>,
    state_patch: Option<RawJson>,
    reason: String,
    dry_run: bool,
    limit: u32,
    request_id: String,
}

impl Redrive {
    /// As they were, without a reason.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another config.
    ///
    /// # Errors
    /// If the value has no JSON form.
    pub fn config<T: Serialize + ?Sized>(self, config: &T) -> Result<Self, ClientError> {
        Ok(self.config_json(written("its new config", config)?))
    }

    /// With another config, as JSON.
    pub fn config_json(mut self, config: impl Into<RawJson>) -> Self {
        self.config = Some(config.into());
        self
    }

    /// With a merge patch (RFC 7396) of the workflow's state, which is applied together with the redrive or not at all.
    ///
    /// # Errors
    /// If the value has no JSON form.
    pub fn state_patch<T: Serialize + ?Sized>(self, patch: &T) -> Result<Self, ClientError> {
        Ok(self.state_patch_json(written("the patch of the state", patch)?))
    }

    /// With a merge patch of the workflow's state, as JSON.
    pub fn state_patch_json(mut self, patch: impl Into<RawJson>) -> Self {
        self.state_patch = Some(patch.into());
        self
    }

    /// Why, for the history.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Change nothing, only say which it would be.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Most dead letters of one call of [`Client::redrive_all`]; 0 is 1,000, at most 10,000. [`Resolved::more`] says whether any are left.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Identifies the request, so that a repeat (of this call, or of this program) is answered with the first answer. Otherwise one is made.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    /// The request as it is sent.
    pub(crate) fn into_request(self, namespace: &str, which: redrive_request::Which) -> RedriveRequest {
        RedriveRequest {
            namespace: namespace.to_owned(),
            which: Some(which),
            dry_run: self.dry_run,
            config: self.config.and_then(RawJson::into_payload),
            state_patch: self.state_patch.and_then(RawJson::into_payload),
            reason: self.reason,
            limit: self.limit,
            meta: meta(self.request_id),
        }
    }
}

/// How dead letters are given up for good. A text alone is the reason.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Discard {
    reason: String,
    dry_run: bool,
    limit: u32,
    request_id: String,
}

impl Discard {
    /// Without a reason.
    pub fn new() -> Self {
        Self::default()
    }

    /// Why, for the history.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Change nothing, only say which it would be.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Most dead letters of one call of [`Client::discard_all`]; 0 is 1,000, at most 10,000. [`Resolved::more`] says whether any are left.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Identifies the request, so that a repeat (of this call, or of this program) is answered with the first answer. Otherwise one is made.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    fn into_request(self, namespace: &str, which: discard_request::Which) -> DiscardRequest {
        let Self { reason, dry_run, limit, request_id } = self;
        DiscardRequest { namespace: namespace.to_owned(), which: Some(which), dry_run, reason, limit, meta: meta(request_id) }
    }
}

macro_rules! a_text_is_the_reason {
    ($($options:ident),+) => {$(
        impl From<&str> for $options {
            fn from(reason: &str) -> Self {
                Self::new().reason(reason)
            }
        }

        impl From<String> for $options {
            fn from(reason: String) -> Self {
                Self::new().reason(reason)
            }
        }
    )+};
}
a_text_is_the_reason!(Redrive, Discard);

/// What became of dead letters.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Each that was found, in order.
    pub results: Vec<DeadLetterOutcome>,
    /// Whether the filter finds more than the limit allowed: call again for those.
    pub more: bool,
    /// Whether nothing was changed, because only a dry run was asked for.
    pub dry_run: bool,
}

/// What became of one dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetterOutcome {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// Number of the task.
    pub task: u32,
    /// Its node.
    pub node: String,
    /// Why it was refused; `None`: it was done (or, in a dry run, would be tried).
    pub refused: Option<ClientError>,
}

impl Client {
    /// A page of the namespace's dead letters, the oldest first. An empty cursor is the first page; `limit` 0 is 100, at most 1,000.
    ///
    /// # Errors
    /// If no member answers, or the cursor is none of this list.
    pub async fn dead_letters(&self, filter: DeadLetterFilter, limit: u32, from: &str) -> Result<DeadLetterPage, ClientError> {
        let request = ListDeadLettersRequest {
            namespace: self.namespace().to_owned(),
            filter: Some(filter.wire),
            limit,
            cursor: from.to_owned(),
            consistency: self.consistency(),
        };
        let call = |channel, request| {
            let mut service = self.dead_letter_service(channel);
            async move { service.list(request).await }
        };
        let operation = format!("list dead letters of namespace \"{}\"", self.namespace());
        let answer = self.call(&operation, Kind::Read, request, call).await?;
        Ok(DeadLetterPage { dead_letters: answer.dead_letters, next_cursor: cursor(answer.next_cursor) })
    }

    /// Gives all dead letters that the filter finds another chance, the oldest first. A refusal of one does not stop the others.
    ///
    /// # Errors
    /// If no member answers, or a config, a patch or a bound is none.
    pub async fn redrive_all(&self, filter: DeadLetterFilter, how: impl Into<Redrive>) -> Result<Resolved, ClientError> {
        let operation = format!("redrive dead letters of namespace \"{}\"", self.namespace());
        self.redrive(&operation, redrive_request::Which::Filter(filter.wire), how.into()).await
    }

    /// Gives all dead letters that the filter finds up for good, the oldest first. A refusal of one does not stop the others.
    ///
    /// # Errors
    /// If no member answers, or a bound is none.
    pub async fn discard_all(&self, filter: DeadLetterFilter, how: impl Into<Discard>) -> Result<Resolved, ClientError> {
        let operation = format!("discard dead letters of namespace \"{}\"", self.namespace());
        self.discard(&operation, discard_request::Which::Filter(filter.wire), how.into()).await
    }

    async fn redrive(&self, operation: &str, which: redrive_request::Which, how: Redrive) -> Result<Resolved, ClientError> {
        let call = |channel, request| {
            let mut service = self.dead_letter_service(channel);
            async move { service.redrive(request).await }
        };
        let kind = kind(how.dry_run);
        self.call(operation, kind, how.into_request(self.namespace(), which), call).await.map(|answer| resolved(operation, answer))
    }

    async fn discard(&self, operation: &str, which: discard_request::Which, how: Discard) -> Result<Resolved, ClientError> {
        let call = |channel, request| {
            let mut service = self.dead_letter_service(channel);
            async move { service.discard(request).await }
        };
        let kind = kind(how.dry_run);
        self.call(operation, kind, how.into_request(self.namespace(), which), call).await.map(|answer| resolved(operation, answer))
    }
}

impl TaskHandle {
    /// Gives the dead letter another chance, perhaps with another config or state; reopens a workflow that had ended for it. A text is the
    /// reason.
    ///
    /// # Errors
    /// If it does not exist or is no dead letter, if its workflow does not allow it, or no member answers.
    pub async fn redrive(&self, how: impl Into<Redrive>) -> Result<DeadLetterOutcome, ClientError> {
        let operation = self.doing("redrive");
        let answer = self.workflow.client.redrive(&operation, redrive_request::Which::One(self.named()), how.into()).await?;
        self.the_one(&operation, answer)
    }

    /// Gives the dead letter up for good, and lets its scope go on without it. A failed workflow stays failed. A text is the reason.
    ///
    /// # Errors
    /// If it does not exist or is no dead letter, or no member answers.
    pub async fn discard(&self, how: impl Into<Discard>) -> Result<DeadLetterOutcome, ClientError> {
        let operation = self.doing("discard");
        let answer = self.workflow.client.discard(&operation, discard_request::Which::One(self.named()), how.into()).await?;
        self.the_one(&operation, answer)
    }

    fn named(&self) -> DeadLetterRef {
        let WorkflowHandle { workflow_id, run, .. } = &self.workflow;
        DeadLetterRef { workflow_id: workflow_id.clone(), run: *run, task: self.task }
    }

    /// One that was asked for by its number and refused is a failure of the call.
    fn the_one(&self, operation: &str, answer: Resolved) -> Result<DeadLetterOutcome, ClientError> {
        match answer.results.into_iter().next() {
            Some(DeadLetterOutcome { refused: Some(error), .. }) => Err(error),
            Some(outcome) => Ok(outcome),
            None => {
                let object = format!("task {} of workflow \"{}\"", self.task, self.workflow.workflow_id);
                Err(ClientError::new(ErrorCode::BadAnswer, operation, object, "the server did not say what became of it"))
            }
        }
    }
}

fn resolved(operation: &str, answer: ResolveDeadLettersResponse) -> Resolved {
    let outcome = |result: proto::DeadLetterResult| DeadLetterOutcome {
        refused: result.refused.map(|detail| ClientError::from_refusal(operation, detail, &result.message)),
        workflow_id: result.workflow_id,
        run: result.run,
        task: result.task,
        node: result.node,
    };
    Resolved { results: answer.results.into_iter().map(outcome).collect(), more: answer.more, dry_run: answer.dry_run }
}

/// A dry run only reads: nothing about it can be in doubt.
fn kind(dry_run: bool) -> Kind {
    if dry_run { Kind::Read } else { Kind::Change }
}

fn meta(request_id: String) -> Option<RequestMeta> {
    if request_id.is_empty() { fresh_meta() } else { Some(RequestMeta { request_id, not_after_ms: 0 }) }
}

fn written<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<RawJson, ClientError> {
    RawJson::of(value).map_err(|error| {
        let message = format!("{what} cannot be written as JSON: {error}");
        ClientError::new(ErrorCode::NotSerializable, "redrive", "a dead letter", message)
    })
}

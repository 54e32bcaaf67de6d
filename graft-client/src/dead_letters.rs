//! Tasks that were given up: finding them, giving them another chance, or giving them up for good. One by one, several, or all that a filter
//! finds.
//!
//! What a filter finds is done a page at a time: a page is a request of its own, which is repeated with the same request id until it is
//! answered, and does nothing twice. All pages go on from one to the next through what had been given up when the first was asked for.

use std::time::SystemTime;

use graft_proto::errors::ErrorCode;
use graft_proto::v1::{
    self as proto, DeadLetter, DeadLetterRef, DeadLetterRefs, DiscardRequest, ListDeadLettersRequest, RedriveRequest, RequestMeta,
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

/// Dead letters that one request does something with.
const PAGE_MAX: usize = 500;
/// Dead letters that one call for all does something with, if nobody says.
const ALL_DEFAULT: u32 = 1_000;
/// Dead letters that one call for all may do something with; and its results, those that were refused among them.
const ALL_MAX: u32 = 10_000;

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

    /// Only of this run of it; 0 is the current one.
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
    cursor: String,
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

    /// Change nothing, only say of each whether it would be done now, or refused, and why.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Most dead letters that one call of [`Client::redrive_all`] does (or would do): 0 is 1,000, more than 10,000 is 10,000. Those that are refused
    /// do not count. [`Resolved::next_cursor`] says where to go on.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Goes on where another call with the same filter has stopped: its [`Resolved::next_cursor`].
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Identifies the request, so that a repeat (of this call, or of this program) is answered with the first answer. Otherwise one is made.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    /// The request as it is sent.
    pub(crate) fn into_request(
        self,
        client: &Client,
        operation: &str,
        which: redrive_request::Which,
    ) -> Result<RedriveRequest, ClientError> {
        // What is meant for several is encoded as being of none of them.
        let workflow_id = if let redrive_request::Which::One(one) = &which { one.workflow_id.clone() } else { String::new() };
        let mut request = RedriveRequest {
            namespace: client.namespace().to_owned(),
            which: Some(which),
            dry_run: self.dry_run,
            config: self.config.and_then(RawJson::into_payload),
            state_patch: self.state_patch.and_then(RawJson::into_payload),
            reason: self.reason,
            limit: 0,
            cursor: String::new(),
            meta: meta(self.request_id),
        };
        client.payloads(&workflow_id).encode_redrive(&mut request).map_err(|broken| broken.into_error(operation))?;
        Ok(request)
    }
}

/// How dead letters are given up for good. A text alone is the reason.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Discard {
    reason: String,
    dry_run: bool,
    limit: u32,
    cursor: String,
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

    /// Change nothing, only say of each whether it would be done now, or refused, and why.
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Most dead letters that one call of [`Client::discard_all`] does (or would do): 0 is 1,000, more than 10,000 is 10,000. Those that are refused
    /// do not count. [`Resolved::next_cursor`] says where to go on.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Goes on where another call with the same filter has stopped: its [`Resolved::next_cursor`].
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Identifies the request, so that a repeat (of this call, or of this program) is answered with the first answer. Otherwise one is made.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = id.into();
        self
    }

    fn into_request(self, namespace: &str, which: discard_request::Which) -> DiscardRequest {
        let Self { reason, dry_run, request_id, limit: _, cursor: _ } = self;
        let (limit, cursor) = (0, String::new());
        DiscardRequest { namespace: namespace.to_owned(), which: Some(which), dry_run, reason, limit, cursor, meta: meta(request_id) }
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
    /// Where to go on with what the filter finds beyond the limit; `None`: that was all.
    pub next_cursor: Option<String>,
    /// Why it stopped before the limit; what had been done by then is in the results. Where a page was under way, some of it may be done,
    /// too: go on at the cursor, and what is done is no dead letter any more.
    pub stopped: Option<ClientError>,
    /// Whether nothing was changed, because only a dry run was asked for.
    pub dry_run: bool,
}

impl Resolved {
    /// How many were done (or would be).
    pub fn done(&self) -> usize {
        self.results.iter().filter(|outcome| outcome.refused.is_none()).count()
    }

    /// How many were refused (or would be).
    pub fn refused(&self) -> usize {
        self.results.len() - self.done()
    }
}

/// Names a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeadLetterName {
    /// Id of the workflow.
    pub workflow_id: String,
    /// Number of the run; 0 is the current one.
    pub run: u64,
    /// Number of the task.
    pub task: u32,
}

impl From<&DeadLetter> for DeadLetterName {
    fn from(letter: &DeadLetter) -> Self {
        Self { workflow_id: letter.workflow_id.clone(), run: letter.run, task: letter.task }
    }
}

impl From<&DeadLetterOutcome> for DeadLetterName {
    fn from(outcome: &DeadLetterOutcome) -> Self {
        Self { workflow_id: outcome.workflow_id.clone(), run: outcome.run, task: outcome.task }
    }
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
    /// Why it was refused (or, in a dry run, would be); `None`: it was done (or would be).
    pub refused: Option<ClientError>,
}

impl Client {
    /// A page of the namespace's dead letters, the oldest first; those of a workflow by number. An empty cursor is the first page; `limit` 0 is 100, at most 1,000.
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

    /// Gives the dead letters that the filter finds another chance, up to a limit. A refusal of one does not stop the others.
    ///
    /// # Errors
    /// If no member answers, or a config, a patch or a cursor is none. If that happens later than with the first page, it is in
    /// [`Resolved::stopped`], with what was done before.
    pub async fn redrive_all(&self, filter: DeadLetterFilter, how: impl Into<Redrive>) -> Result<Resolved, ClientError> {
        let operation = &format!("redrive dead letters of namespace \"{}\"", self.namespace());
        let how = how.into();
        let (limit, cursor) = (how.limit, how.cursor.clone());
        let request = how.into_request(self, operation, redrive_request::Which::Filter(filter.wire))?;
        let page = async |limit, cursor| self.redrive(operation, RedriveRequest { limit, cursor, ..request.clone() }).await;
        all(operation, request.dry_run, limit, cursor, page).await
    }

    /// Gives the dead letters that the filter finds up for good, up to a limit. A refusal of one does not stop the others.
    ///
    /// # Errors
    /// As [`Self::redrive_all`].
    pub async fn discard_all(&self, filter: DeadLetterFilter, how: impl Into<Discard>) -> Result<Resolved, ClientError> {
        let operation = &format!("discard dead letters of namespace \"{}\"", self.namespace());
        let how = how.into();
        let (limit, cursor) = (how.limit, how.cursor.clone());
        let request = how.into_request(self.namespace(), discard_request::Which::Filter(filter.wire));
        let page = async |limit, cursor| self.discard(operation, DiscardRequest { limit, cursor, ..request.clone() }).await;
        all(operation, request.dry_run, limit, cursor, page).await
    }

    /// Gives these dead letters another chance, however many they are: those that a dry run has shown, say. A refusal of one does not stop the
    /// others.
    ///
    /// # Errors
    /// As [`Self::redrive_all`].
    pub async fn redrive_several(
        &self,
        letters: impl IntoIterator<Item = impl Into<DeadLetterName>>,
        how: impl Into<Redrive>,
    ) -> Result<Resolved, ClientError> {
        let operation = &format!("redrive dead letters of namespace \"{}\"", self.namespace());
        let how = how.into();
        let part = async |letters| {
            let request = how.clone().into_request(self, operation, redrive_request::Which::Several(letters))?;
            self.redrive(operation, request).await
        };
        several(how.dry_run, letters, part).await
    }

    /// Gives these dead letters up for good, however many they are: those that a dry run has shown, say. A refusal of one does not stop the
    /// others.
    ///
    /// # Errors
    /// As [`Self::redrive_all`].
    pub async fn discard_several(
        &self,
        letters: impl IntoIterator<Item = impl Into<DeadLetterName>>,
        how: impl Into<Discard>,
    ) -> Result<Resolved, ClientError> {
        let operation = &format!("discard dead letters of namespace \"{}\"", self.namespace());
        let how = how.into();
        let part = async |letters| {
            let request = how.clone().into_request(self.namespace(), discard_request::Which::Several(letters));
            self.discard(operation, request).await
        };
        several(how.dry_run, letters, part).await
    }

    async fn redrive(&self, operation: &str, request: RedriveRequest) -> Result<Resolved, ClientError> {
        let call = |channel, request| {
            let mut service = self.dead_letter_service(channel);
            async move { service.redrive(request).await }
        };
        self.call(operation, kind(request.dry_run), request, call).await.map(|answer| resolved(operation, answer))
    }

    async fn discard(&self, operation: &str, request: DiscardRequest) -> Result<Resolved, ClientError> {
        let call = |channel, request| {
            let mut service = self.dead_letter_service(channel);
            async move { service.discard(request).await }
        };
        self.call(operation, kind(request.dry_run), request, call).await.map(|answer| resolved(operation, answer))
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
        let client = &self.workflow.client;
        let request = how.into().into_request(client, &operation, redrive_request::Which::One(self.named()))?;
        let answer = client.redrive(&operation, request).await?;
        self.the_one(&operation, answer)
    }

    /// Gives the dead letter up for good, and lets its scope go on without it. A failed workflow stays failed. A text is the reason.
    ///
    /// # Errors
    /// If it does not exist or is no dead letter, or no member answers.
    pub async fn discard(&self, how: impl Into<Discard>) -> Result<DeadLetterOutcome, ClientError> {
        let operation = self.doing("discard");
        let client = &self.workflow.client;
        let request = how.into().into_request(client.namespace(), discard_request::Which::One(self.named()));
        let answer = client.discard(&operation, request).await?;
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
    let results = answer.results.into_iter().map(outcome).collect();
    Resolved { results, next_cursor: cursor(answer.next_cursor), stopped: None, dry_run: answer.dry_run }
}

/// Page after page of a filter, until so many are done.
async fn all(
    operation: &str,
    dry_run: bool,
    limit: u32,
    cursor: String,
    page: impl AsyncFn(u32, String) -> Result<Resolved, ClientError>,
) -> Result<Resolved, ClientError> {
    let limit = if limit == 0 { ALL_DEFAULT } else { limit.min(ALL_MAX) } as usize;
    let mut all = Resolved { results: Vec::new(), next_cursor: None, stopped: None, dry_run };
    let (mut next, mut first) = (cursor, true);
    loop {
        let left = limit - all.done();
        if left == 0 || all.results.len() >= ALL_MAX as usize {
            return Ok(Resolved { next_cursor: Some(next), ..all });
        }
        let room = left.min(ALL_MAX as usize - all.results.len()).min(PAGE_MAX);
        match page(room as u32, next.clone()).await {
            Ok(found) => {
                all.results.extend(found.results);
                match found.next_cursor {
                    Some(cursor) if cursor == next => {
                        let why = "the server's next page begins where this one did";
                        let stopped = ClientError::new(ErrorCode::BadAnswer, operation, "the page", why);
                        return Ok(Resolved { next_cursor: Some(next), stopped: Some(stopped), ..all });
                    }
                    Some(cursor) => next = cursor,
                    None => return Ok(all),
                }
            }
            Err(error) if first => return Err(error),
            Err(error) => return Ok(Resolved { next_cursor: Some(next), stopped: Some(error), ..all }),
        }
        first = false;
    }
}

/// Those that were named, so many at once as a request may name.
async fn several(
    dry_run: bool,
    letters: impl IntoIterator<Item = impl Into<DeadLetterName>>,
    part: impl AsyncFn(DeadLetterRefs) -> Result<Resolved, ClientError>,
) -> Result<Resolved, ClientError> {
    let mut all = Resolved { results: Vec::new(), next_cursor: None, stopped: None, dry_run };
    let named = |DeadLetterName { workflow_id, run, task }| DeadLetterRef { workflow_id, run, task };
    let letters: Vec<_> = letters.into_iter().map(|letter| named(letter.into())).collect();
    for (at, chunk) in letters.chunks(PAGE_MAX).enumerate() {
        match part(DeadLetterRefs { dead_letters: chunk.to_vec() }).await {
            Ok(found) => all.results.extend(found.results),
            Err(error) if at == 0 => return Err(error),
            Err(error) => return Ok(Resolved { stopped: Some(error), ..all }),
        }
    }
    Ok(all)
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

//! Dead letters: list, look, redrive, discard; one, or all that a filter finds.

use graft_proto::documents::{DeadLetterList, DeadLetterResults, RawJson, TaskDetail, Time};
use graft_proto::errors::Fault;
use graft_proto::v1;
use graft_proto::v1::dead_letter_service_server::DeadLetterService;
use graft_proto::v1::{discard_request, redrive_request};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::super::problem::Refusal;
use super::bodies::ms;
use super::call::{Call, Json, MaybeJson};
use super::route::{Method, Table};
use super::tasks::named;
use super::workflows::{Consistency, FreshRun, NoQuery, Run, fresh};
use crate::api::access::Guarded;
use crate::api::dead_letters::DeadLetters;

/// Adds the verbs.
pub(super) fn routes(table: &mut Table) {
    use Method::{Get, Post};
    table.about("dead letters");
    let list = "Dead letters of a namespace, the oldest first, or of one run by number; a page at a time.";
    table.verb(Get, "/namespaces/{namespace}/dead-letters", "list_dead_letters", list, self::list);
    let many = "Gives a page of the dead letters that a filter finds, or several by name, another chance. Reopens workflows that had ended for \
                them.";
    table.verb(Post, "/namespaces/{namespace}/dead-letters/redrive", "redrive_dead_letters", many, redrive_many);
    let many = "Gives a page of the dead letters that a filter finds, or several by name, up for good. Their scopes go on without them.";
    table.verb(Post, "/namespaces/{namespace}/dead-letters/discard", "discard_dead_letters", many, discard_many);
    let get = "One dead letter: its input, and every attempt's error.";
    table.verb(Get, "/namespaces/{namespace}/workflows/{workflow_id}/dead-letters/{task}", "get_dead_letter", get, self::get);
    let one = "Gives a dead letter another chance, with another config or state if that helps. Reopens a workflow that had ended for it.";
    let path = "/namespaces/{namespace}/workflows/{workflow_id}/dead-letters/{task}/redrive";
    table.verb(Post, path, "redrive_dead_letter", one, redrive);
    let one = "Gives a dead letter up for good, and lets its scope go on without it. A failed workflow stays failed.";
    let path = "/namespaces/{namespace}/workflows/{workflow_id}/dead-letters/{task}/discard";
    table.verb(Post, path, "discard_dead_letter", one, discard);
}

impl<Q, B> Call<Q, B> {
    fn of_dead_letters(&self) -> Guarded<DeadLetters> {
        self.guarded(|shared| DeadLetters { shared })
    }
}

/// Which dead letters.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Listed {
    /// Only of this workflow.
    workflow_id: String,
    /// Only of this run of it. Left out: the current one.
    run: Option<u64>,
    /// Only of this node.
    node: String,
    /// Only those whose error holds this text.
    error_contains: String,
    /// Only those that were given up at or after this time.
    since: Option<Time>,
    /// Only those that were given up before this time.
    until: Option<Time>,
    /// Most rows, at most 1000. Left out: 100.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: String,
    /// How fresh. Left out: linearizable.
    consistency: Option<Consistency>,
}

async fn list(call: Call<Listed>) -> Result<DeadLetterList, Refusal> {
    let query = &call.query;
    let filter = v1::DeadLetterFilter {
        workflow_id: query.workflow_id.clone(),
        run: query.run.unwrap_or_default(),
        node: query.node.clone(),
        error_contains: query.error_contains.clone(),
        since_ms: ms(query.since),
        until_ms: ms(query.until),
    };
    let request = v1::ListDeadLettersRequest {
        namespace: call.namespace(),
        filter: Some(filter),
        limit: query.limit.unwrap_or_default(),
        cursor: query.cursor.clone(),
        consistency: fresh(query.consistency),
    };
    Ok((&call.of_dead_letters().list(call.request(request)).await?.into_inner()).into())
}

async fn get(call: Call<FreshRun>) -> Result<TaskDetail, Refusal> {
    Ok((&call.of_dead_letters().get(call.request(named(&call)?)).await?.into_inner()).into())
}

/// Names one dead letter.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DeadLetterRef {
    /// Its workflow.
    workflow_id: String,
    /// Its run. Left out: the current one.
    #[serde(default)]
    run: u64,
    /// Its number.
    task: u32,
}

fn refs(letters: &[DeadLetterRef]) -> v1::DeadLetterRefs {
    let named = |letter: &DeadLetterRef| v1::DeadLetterRef { workflow_id: letter.workflow_id.clone(), run: letter.run, task: letter.task };
    v1::DeadLetterRefs { dead_letters: letters.iter().map(named).collect() }
}

/// Refuses what is no choice.
fn not_both() -> Refusal {
    let fault = Fault::invalid("the body", "has to have `filter` or `dead_letters`, and not both");
    fault.remedy("an empty filter finds all").into()
}

/// Which dead letters; what is left out is not asked about, and a filter that asks nothing finds all.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DeadLetterFilter {
    /// Only of this workflow.
    workflow_id: String,
    /// Only of this run of it. Left out: the current one.
    run: u64,
    /// Only of this node.
    node: String,
    /// Only those whose error holds this text.
    error_contains: String,
    /// Only those that were given up at or after this time.
    since: Option<Time>,
    /// Only those that were given up before this time.
    until: Option<Time>,
}

impl DeadLetterFilter {
    fn message(self) -> v1::DeadLetterFilter {
        v1::DeadLetterFilter {
            workflow_id: self.workflow_id,
            run: self.run,
            node: self.node,
            error_contains: self.error_contains,
            since_ms: ms(self.since),
            until_ms: ms(self.until),
        }
    }
}

/// How a dead letter is redriven.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Redrive {
    /// Change nothing, only say whether it would be done now, or refused, and why.
    dry_run: bool,
    /// Another config for it. Left out: as it was.
    #[serde(deserialize_with = "given")]
    config: Option<RawJson>,
    /// A merge patch (RFC 7396) of the workflow's state, applied with it.
    #[serde(deserialize_with = "given")]
    state_patch: Option<RawJson>,
    /// Why, for the history.
    reason: String,
}

/// How many dead letters are redriven.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedriveMany {
    /// Those that are found: a page of them.
    filter: Option<DeadLetterFilter>,
    /// These, at most 500, in place of a filter.
    dead_letters: Option<Vec<DeadLetterRef>>,
    /// Change nothing, only say of each whether it would be done now, or refused, and why.
    #[serde(default)]
    dry_run: bool,
    /// Another config for each. Left out: as it was.
    #[serde(default, deserialize_with = "given")]
    config: Option<RawJson>,
    /// A merge patch (RFC 7396) of each workflow's state, applied with it.
    #[serde(default, deserialize_with = "given")]
    state_patch: Option<RawJson>,
    /// Why, for the history.
    #[serde(default)]
    reason: String,
    /// Most dead letters of this page of a filter, those that are refused among them; at most 500. Left out: 500.
    #[serde(default)]
    limit: u32,
    /// `next_cursor` of the page before. All pages find what had been given up when the first was asked for.
    #[serde(default)]
    cursor: String,
}

/// How a dead letter is discarded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Discard {
    /// Change nothing, only say whether it would be done now, or refused, and why.
    dry_run: bool,
    /// Why, for the history.
    reason: String,
}

/// How many dead letters are discarded.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiscardMany {
    /// Those that are found: a page of them.
    filter: Option<DeadLetterFilter>,
    /// These, at most 500, in place of a filter.
    dead_letters: Option<Vec<DeadLetterRef>>,
    /// Change nothing, only say of each whether it would be done now, or refused, and why.
    #[serde(default)]
    dry_run: bool,
    /// Why, for the history.
    #[serde(default)]
    reason: String,
    /// Most dead letters of this page of a filter, those that are refused among them; at most 500. Left out: 500.
    #[serde(default)]
    limit: u32,
    /// `next_cursor` of the page before. All pages find what had been given up when the first was asked for.
    #[serde(default)]
    cursor: String,
}

/// A document that is given, also if it is `null`: that is a config like any other.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RawJson>, D::Error> {
    RawJson::deserialize(deserializer).map(Some)
}

fn payload(document: &Option<RawJson>) -> Option<v1::Payload> {
    document.clone().and_then(RawJson::into_payload)
}

fn one<B>(call: &Call<Run, B>) -> Result<v1::DeadLetterRef, Refusal> {
    Ok(v1::DeadLetterRef { workflow_id: call.workflow_id(), run: call.query.run.unwrap_or_default(), task: call.task()? })
}

async fn redrive(call: Call<Run, MaybeJson<Redrive>>) -> Result<DeadLetterResults, Refusal> {
    let MaybeJson(body) = &call.body;
    let request = v1::RedriveRequest {
        namespace: call.namespace(),
        which: Some(redrive_request::Which::One(one(&call)?)),
        dry_run: body.dry_run,
        config: payload(&body.config),
        state_patch: payload(&body.state_patch),
        reason: body.reason.clone(),
        limit: 0,
        cursor: String::new(),
        meta: call.meta()?,
    };
    Ok((&call.of_dead_letters().redrive(call.request(request)).await?.into_inner()).into())
}

async fn redrive_many(call: Call<NoQuery, Json<RedriveMany>>) -> Result<DeadLetterResults, Refusal> {
    let Json(body) = &call.body;
    let request = v1::RedriveRequest {
        namespace: call.namespace(),
        which: Some(match (&body.filter, &body.dead_letters) {
            (Some(filter), None) => redrive_request::Which::Filter(filter.clone().message()),
            (None, Some(letters)) => redrive_request::Which::Several(refs(letters)),
            _ => return Err(not_both()),
        }),
        dry_run: body.dry_run,
        config: payload(&body.config),
        state_patch: payload(&body.state_patch),
        reason: body.reason.clone(),
        limit: body.limit,
        cursor: body.cursor.clone(),
        meta: call.meta()?,
    };
    Ok((&call.of_dead_letters().redrive(call.request(request)).await?.into_inner()).into())
}

async fn discard(call: Call<Run, MaybeJson<Discard>>) -> Result<DeadLetterResults, Refusal> {
    let MaybeJson(body) = &call.body;
    let request = v1::DiscardRequest {
        namespace: call.namespace(),
        which: Some(discard_request::Which::One(one(&call)?)),
        dry_run: body.dry_run,
        reason: body.reason.clone(),
        limit: 0,
        cursor: String::new(),
        meta: call.meta()?,
    };
    Ok((&call.of_dead_letters().discard(call.request(request)).await?.into_inner()).into())
}

async fn discard_many(call: Call<NoQuery, Json<DiscardMany>>) -> Result<DeadLetterResults, Refusal> {
    let Json(body) = &call.body;
    let request = v1::DiscardRequest {
        namespace: call.namespace(),
        which: Some(match (&body.filter, &body.dead_letters) {
            (Some(filter), None) => discard_request::Which::Filter(filter.clone().message()),
            (None, Some(letters)) => discard_request::Which::Several(refs(letters)),
            _ => return Err(not_both()),
        }),
        dry_run: body.dry_run,
        reason: body.reason.clone(),
        limit: body.limit,
        cursor: body.cursor.clone(),
        meta: call.meta()?,
    };
    Ok((&call.of_dead_letters().discard(call.request(request)).await?.into_inner()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_of_null_is_another_config() {
        let body: Redrive = serde_json::from_str(r#"{"config": null}"#).expect("good");
        assert_eq!(payload(&body.config).expect("given").data, "null");
        let body: Redrive = serde_json::from_str("{}").expect("good");
        assert_eq!((payload(&body.config), payload(&body.state_patch)), (None, None));
    }
}

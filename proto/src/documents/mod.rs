//! The documents that REST answers with and `graft -o json` writes. Their shape is a promise: keys are added, never renamed or removed.
//!
//! Every document begins with `apiVersion` and `kind`, which say how to read the rest ([`Versioned`]); parts of a document have neither. A
//! kind is the name of its type here, and every one has a JSON Schema.
//!
//! Keys are `snake_case`. A point in time is RFC 3339 in UTC with milliseconds under a key that ends in `_at` (`at` by itself for an
//! event); a duration is a number under a key that ends in its unit. What is unknown or has not happened is `null`, so that a key is always
//! there. States and configs are written as they are. Statuses are the words that `graft workflow list --status` takes. Raft ids are random
//! numbers of 64 bits, which many readers of JSON would round: they are texts. All other numbers are counts, far below 2^53.
//!
//! - [`workflow`]: workflows, their lists, counts and what verbs answer; [`event`]: what happened to them.
//! - [`task`]: tasks and dead letters; [`limit`]: limits; [`cluster`]: members and workers.
//! - [`access`]: who a caller is, API tokens, administrative acts.
//! - [`problem`]: refusals over HTTP; [`time`]: points in time.

pub mod access;
pub mod cluster;
pub mod event;
pub mod limit;
pub mod problem;
pub mod task;
pub mod time;
pub mod workflow;

pub use access::{Act, ActList, ApiToken, ApiTokenList, NewApiToken, WhoAmI};
pub use cluster::{
    Bootstrap, ClusterStatus, Diagnosis, JoinGrant, JoinGrantList, JoinToken, LogLevel, MachineVersion, Member, MemberList, Worker,
    WorkerList, WorkerNode,
};
pub use event::{Event, WorkflowEvent, WorkflowHistory};
pub use limit::{Limit, LimitChange, LimitList};
pub use problem::Problem;
pub use task::{
    DeadLetter, DeadLetterList, DeadLetterResult, DeadLetterResults, FailedAttempt, Refused, RetriedTask, Task, TaskDetail, TaskList,
    TaskSummary,
};
pub use time::Time;
pub use workflow::{
    StartResult, StartedWorkflow, SteeredWorkflow, WaitedWorkflow, Workflow, WorkflowCounts, WorkflowExport, WorkflowList, WorkflowSummary,
};

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

pub use crate::json::RawJson;
use crate::v1::Payload;

/// Version of the documents. Another one would be a promise broken.
pub const API_VERSION: &str = "graft/v1";

/// A document that stands by itself.
pub trait Document: Serialize {
    /// What it is.
    const KIND: &'static str;
}

/// Names types as kinds of documents.
macro_rules! documents {
    ($($kind:ident),+ $(,)?) => {
        $(impl Document for $kind {
            const KIND: &'static str = stringify!($kind);
        })+
    };
}

documents! {
    Act, ActList, ApiToken, ApiTokenList, Bootstrap, ClusterStatus, DeadLetter, DeadLetterList, DeadLetterResult, DeadLetterResults, Diagnosis, Event, JoinGrant, JoinGrantList, JoinToken, Limit,
    LimitChange, LimitList, LogLevel, MachineVersion, Member, MemberList, NewApiToken, RetriedTask, StartResult, StartedWorkflow, SteeredWorkflow, Task, TaskDetail, TaskList, WaitedWorkflow, WhoAmI, Worker, WorkerList, Workflow,
    WorkflowCounts, WorkflowEvent, WorkflowExport, WorkflowHistory, WorkflowList, WorkflowSummary,
}

/// A document with what says how to read it.
#[derive(Debug, Serialize)]
pub struct Versioned<'a, D> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    document: &'a D,
}

impl<'a, D: Document> Versioned<'a, D> {
    /// This document.
    pub fn of(document: &'a D) -> Self {
        Self { api_version: API_VERSION, kind: D::KIND, document }
    }
}

impl<D: Document + JsonSchema> JsonSchema for Versioned<'_, D> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}Document", D::KIND).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = D::json_schema(generator);
        let head = [("apiVersion", API_VERSION, "How to read the rest."), ("kind", D::KIND, "What it is.")];
        for (key, value, description) in head {
            let schema = schema.ensure_object();
            let properties = schema.entry("properties").or_insert_with(|| serde_json::json!({}));
            properties[key] = serde_json::json!({ "type": "string", "const": value, "description": description });
            let required = schema.entry("required").or_insert_with(|| serde_json::json!([]));
            required.as_array_mut().expect("a list of names").push(key.into());
        }
        event::spread(&mut schema);
        schema
    }
}

impl JsonSchema for RawJson {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Any JSON, passed on as it was written." })
    }
}

/// A choice between words as one `enum`, whatever each word means: many generators of clients see a `oneOf` as types of their own.
pub fn words(schema: &mut Schema) {
    let object = schema.ensure_object();
    let Some(kinds) = object.get("oneOf").and_then(Value::as_array) else { return };
    let Some(words) = kinds.iter().map(|kind| kind.get("const").cloned()).collect::<Option<Vec<_>>>() else { return };
    let meaning = |kind: &Value| {
        let (word, text) = (kind["const"].as_str()?, kind.get("description")?.as_str()?);
        Some(format!("\n- `{word}`: {}", text.replace('\n', " ")))
    };
    let meanings: String = kinds.iter().filter_map(meaning).collect();
    let about = object.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{about}\n{meanings}");
    object.remove("oneOf");
    object.insert("type".to_owned(), "string".into());
    object.insert("enum".to_owned(), words.into());
    object.insert("description".to_owned(), description.into());
}

/// A number of 0 is `null`.
fn known(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

/// The same for smaller numbers.
fn known_small(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

/// An empty text is `null`.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A document of the wire; `null` if there is none, or if it is no JSON.
fn raw(payload: Option<&Payload>) -> RawJson {
    let raw = payload.map(|payload| RawJson::from_bytes(payload.data.clone())).unwrap_or_default();
    if raw.parse::<serde::de::IgnoredAny>().is_ok() { raw } else { RawJson::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::v1;

    #[test]
    fn a_document_begins_with_how_to_read_it() {
        let list = WorkflowList { workflows: Vec::new(), next_cursor: None };
        let text = serde_json::to_string(&Versioned::of(&list)).unwrap();
        assert_eq!(text, r#"{"apiVersion":"graft/v1","kind":"WorkflowList","workflows":[],"next_cursor":null}"#);
    }

    #[test]
    fn the_schema_of_a_document_has_every_key_as_required() {
        let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<Versioned<'_, WorkflowSummary>>().to_value();
        assert_eq!(schema["properties"]["kind"]["const"], json!("WorkflowSummary"));
        let summary = WorkflowSummary::from(&v1::WorkflowSummary::default());
        let Value::Object(written) = serde_json::to_value(Versioned::of(&summary)).unwrap() else { panic!("an object") };
        let mut keys: Vec<_> = written.keys().cloned().collect();
        let mut required: Vec<_> = schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
        keys.sort();
        required.sort();
        assert_eq!(keys, required);
    }

    #[test]
    fn a_choice_between_words_is_one_enum_that_says_what_each_means() {
        let settings = schemars::generate::SchemaSettings::draft2020_12();
        let schema = settings.into_generator().into_root_schema_for::<task::OnExhausted>().to_value();
        assert_eq!((&schema["type"], &schema["enum"]), (&json!("string"), &json!(["fail", "pause", "continue", "error_node"])));
        let description = schema["description"].as_str().unwrap();
        assert!(description.starts_with("What follows a task's last failure.\n") && description.contains("- `fail`: The workflow fails."));
    }

    #[test]
    fn what_is_no_json_is_null() {
        let payload = |data: &'static [u8]| v1::Payload { encoding: 1, data: data.into() };
        assert_eq!(raw(Some(&payload(b"{\"a\": 1.50}"))).as_bytes(), b"{\"a\": 1.50}");
        assert!(raw(Some(&payload(b"\xff"))).is_empty() && raw(None).is_empty());
    }
}

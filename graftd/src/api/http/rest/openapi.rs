//! The OpenAPI 3.1 document: written from the table of routes and the schemas of its types.

use graft_proto::documents::Problem;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Described;
use super::call::IDEMPOTENCY_KEY;
use super::route::{ROOT, Route, Table};
use super::watch::LAST_EVENT_ID;
use crate::api::requests::{CLIENT_METADATA, REPEAT_WINDOW_MS};

/// Where the document is.
pub(super) const PATH: &str = "/openapi.json";
/// What stands in paths between braces: its schema, and what it is.
const NAMES: &[(&str, &str, &str)] = &[
    ("namespace", "string", "The namespace; `default` is always there."),
    ("workflow_id", "string", "Id of the workflow."),
    ("task", "integer", "Number of the task within its run."),
    ("node", "string", "The node."),
    ("member", "string", "The member: its name, or its raft id where two have one name."),
    ("grant", "string", "Id of a join token, or name of the member that was approved."),
    ("token", "string", "Id of an API token."),
    ("code", "string", "Code of an error, such as `GR0003`."),
];

/// The document. It is the same for the whole life of a process.
pub(super) fn document(table: &mut Table, version: &str) -> Value {
    let problem = table.written.subschema_for::<Problem>().to_value();
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in &table.routes {
        let path = paths.entry(format!("{ROOT}{}", route.path)).or_insert_with(|| json!({}));
        path[route.method.name().to_lowercase()] = operation(route);
        if !tags.contains(&route.noun) {
            tags.push(route.noun);
        }
    }
    let mut schemas = table.read.take_definitions(true);
    for (name, schema) in table.written.take_definitions(true) {
        let before = schemas.insert(name.clone(), schema.clone());
        assert!(before.is_none_or(|before| before == schema), "{name} is read in one way and written in another");
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Graft",
            "summary": "Durable workflows, over HTTP.",
            "description": "The verbs of the gRPC services of graft.v1 as REST. Refusals are problem documents (RFC 9457) with the codes of \
                Graft's catalogue of errors. Ids in paths are percent-encoded.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
            "version": version,
        },
        "servers": [{ "url": "/", "description": "The member that this document comes from; any other one answers as well." }],
        // A token, or nothing: a certificate of the connection, or a member that asks nobody who it is.
        "security": [{ "token": [] }, {}],
        "tags": tags.into_iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "An API token, as `graft token create` makes it; the root token; or a token of the identity provider.",
            } },
            "responses": { "Problem": { "description": "It is refused.", "content": { "application/problem+json": { "schema": problem } } } },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for name in names(route.path) {
        let (_, kind, about) = NAMES.iter().find(|(known, ..)| *known == name).expect("every name of a path is described");
        parameters.push(json!({ "name": name, "in": "path", "required": true, "description": about, "schema": { "type": kind } }));
    }
    for parameter in &route.parameters {
        parameters.push(json!({
            "name": parameter.name, "in": "query", "required": false, "description": parameter.description, "schema": parameter.schema,
        }));
    }
    let header = |name: &str, about: &str| json!({ "name": name, "in": "header", "required": false, "description": about, "schema": { "type": "string" } });
    if route.takes_key() {
        let key = format!(
            "Chosen by the client, not empty, unique in its namespace: for {} minutes a repeat under the same key is answered with the first \
             answer, and another request under it is refused. After that it is a new request.",
            REPEAT_WINDOW_MS / 60_000
        );
        parameters.push(header(IDEMPOTENCY_KEY, &key));
    }
    if route.changes() {
        parameters.push(header(CLIENT_METADATA, "Who asks, for the history. Left out: `anonymous`."));
    }
    if route.answer.media == "text/event-stream" {
        parameters.push(header(LAST_EVENT_ID, "Id of the last event that was seen: the stream goes on behind it."));
    }
    let mut responses = Map::new();
    for (status, about) in route.answer.statuses {
        let mut response = json!({ "description": about });
        if *status != StatusCode::NO_CONTENT.as_u16() {
            response["content"] = json!({ route.answer.media: content(&route.answer) });
        }
        responses.insert(status.to_string(), response);
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut operation = json!({
        "operationId": route.operation,
        "tags": [route.noun],
        "summary": route.about,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = &route.body {
        let schema = if body.many { many(&body.schema.clone().to_value()) } else { body.schema.clone().to_value() };
        operation["requestBody"] = json!({ "required": body.required, "content": { body.media: { "schema": schema } } });
    }
    operation
}

fn content(answer: &Described) -> Value {
    let schema = answer.schema.clone().to_value();
    json!({ "schema": if answer.many { many(&schema) } else { schema } })
}

/// OpenAPI 3.1 has no word for a stream of documents: it is text, and this is what each of them is.
fn many(schema: &Value) -> Value {
    json!({ "type": "string", "description": "Documents, each as `x-graft-each` says.", "x-graft-each": schema })
}

/// The names between braces.
pub(super) fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

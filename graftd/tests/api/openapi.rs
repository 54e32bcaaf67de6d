//! The OpenAPI document: valid by the meta-schema of OpenAPI 3.1, and true of what the member answers.

use std::collections::BTreeSet;

use boon::{Compiler, Schemas};
use serde_json::{Value, json};

use crate::member::Member;

const META: &str = include_str!("../fixtures/openapi/oas-3.1-schema-2022-10-07.json");

/// What a schema says of a document: `None` if it is taken.
fn refused_by(schema: &Value, place: &str, document: &Value) -> Option<String> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("given.json", schema.clone()).expect("a resource");
    let compiled = compiler.compile(&format!("given.json{place}"), &mut schemas).unwrap_or_else(|error| panic!("no schema: {error:#}"));
    schemas.validate(document, compiled).err().map(|error| format!("{error:#}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_is_openapi_3_1() {
    let member = Member::start().await;
    let answer = member.fetch("/api/v1/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let document = answer.json();
    let meta: Value = serde_json::from_str(META).expect("JSON");
    assert_eq!(refused_by(&meta, "", &document), None);
    // That the meta-schema can refuse at all.
    let mut broken = document.clone();
    broken["paths"]["/api/v1/cluster"]["get"]["parameters"] = json!("none");
    assert!(refused_by(&meta, "", &broken).is_some());
    // Every schema is one (JSON Schema 2020-12), and every reference leads somewhere: compiling tells.
    for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
        refused_by(&document, &format!("#/components/schemas/{name}"), &json!(null));
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_the_document_describes() {
    let member = Member::start().await;
    let document = member.fetch("/api/v1/openapi.json").await.json();
    let all = "/api/v1/namespaces/default/workflows";
    let body = json!({
        "workflow_id": "a", "nodes": [{ "node": "n", "config": [1], "on_exhausted": { "error_node": "m" } }], "labels": { "k": "v" },
        "state": { "n": 1 }, "deadline_at": "2100-01-01T00:00:00Z",
    });
    assert_eq!(refused_by(&document, "#/components/schemas/StartWorkflow", &body), None);
    assert!(refused_by(&document, "#/components/schemas/StartWorkflow", &json!({ "node": "n" })).is_some());
    let mut answers = vec![member.send_json("POST", all, &body).await];
    answers.push(member.fetch(&format!("{all}/a")).await);
    answers.push(member.fetch(&format!("{all}/a/tasks/1")).await);
    answers.push(member.send_json("PUT", "/api/v1/limits/total", &json!({ "max": 9 })).await);
    for path in ["namespaces/default/tasks", "namespaces/default/dead-letters", "limits"] {
        answers.push(member.fetch(&format!("/api/v1/{path}")).await);
    }
    for verb in ["pause", "resume", "cancel"] {
        answers.push(member.send_json("POST", &format!("{all}/a/{verb}"), &json!({})).await);
    }
    for path in ["/a/wait", "/a/history", "/a/export", "", "?prefix=a", "/none"] {
        answers.push(member.fetch(&format!("{all}{path}")).await);
    }
    for path in ["namespaces/default/workflow-counts", "cluster", "cluster/members", "workers"] {
        answers.push(member.fetch(&format!("/api/v1/{path}")).await);
    }
    let token = json!({ "name": "ann", "grants": ["operator@sales"] });
    assert_eq!(refused_by(&document, "#/components/schemas/CreateApiToken", &token), None);
    answers.push(member.send_json("POST", "/api/v1/access/tokens", &token).await);
    for path in ["me", "tokens", "acts"] {
        answers.push(member.fetch(&format!("/api/v1/access/{path}")).await);
    }
    let mut kinds = BTreeSet::new();
    for answer in answers {
        let value = answer.json();
        let name = value["kind"].as_str().map_or("Problem".to_owned(), |kind| format!("{kind}Document"));
        assert_eq!(refused_by(&document, &format!("#/components/schemas/{name}"), &value), None, "{name}: {value:#}");
        kinds.insert(name);
    }
    assert_eq!(kinds.len(), 21, "{kinds:?}");
    member.stop().await;
}

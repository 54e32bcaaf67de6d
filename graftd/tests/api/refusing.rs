//! Every refusal of REST is a problem document, whatever is wrong; and a key makes a repeat safe, or is refused.

use serde_json::{Value, json};

use crate::member::Member;

const WORKFLOWS: &str = "/api/v1/namespaces/default/workflows";
const STARTS: &str = "/api/v1/namespaces/default/workflow-starts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_refused_is_a_problem_document() {
    let member = Member::start().await;
    for (method, path, status, code) in [
        ("GET", "/api/v1/namespaces/%ff/workflows", 400, "GR0001"),
        ("POST", "/api/v1/namespaces/default/workflows/%c3%28/pause", 400, "GR0001"),
        ("GET", "/api/v1", 404, "GR0015"),
        ("GET", "/api/v1/", 404, "GR0015"),
        ("POST", "/api/v1/", 404, "GR0015"),
        ("GET", "/api/v1//", 404, "GR0015"),
        ("GET", "/api/v1/cluster/", 404, "GR0015"),
        ("GET", "/api/v1/namespaces/default/workflows/", 404, "GR0015"),
        ("GET", "/api/v1/namespaces/%ff/nothing/at/all", 404, "GR0015"),
        ("POST", "/api/v1/openapi.json", 405, "GR0015"),
        ("OPTIONS", WORKFLOWS, 405, "GR0015"),
        ("PATCH", WORKFLOWS, 405, "GR0015"),
        ("BREW", WORKFLOWS, 405, "GR0015"),
        ("GET", "/api/v1/namespaces/default/workflows?prefix=%ff", 400, "GR0001"),
        ("GET", "/api/v1/namespaces/default/workflows?prefix=%zz", 400, "GR0001"),
        ("GET", "/api/v1/namespaces/default/workflows?prefix=%4", 400, "GR0001"),
        ("POST", WORKFLOWS, 415, "GR0001"),
    ] {
        let answer = member.http(method, path, &[], b"").await;
        let problem = answer.problem(status, code);
        assert_eq!(problem["instance"], json!(path.split('?').next()), "{method} {path}");
        assert!(problem["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{method} {path}");
        assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"), "{method} {path}");
        assert_eq!(answer.header("allow").is_empty(), status != 405, "{method} {path}");
    }
    // HEAD is a GET without its body.
    let head = member.http("HEAD", WORKFLOWS, &[], b"").await;
    assert_eq!((head.status, head.header("content-type"), head.body.as_str()), (200, "application/json", ""));
    let head = member.http("HEAD", "/api/v1/nothing", &[], b"").await;
    assert_eq!((head.status, head.header("content-type"), head.body.as_str()), (404, "application/problem+json", ""));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_starts_under_one_key_are_started_once_and_an_empty_key_is_refused() {
    let member = Member::start().await;
    let body = b"{\"nodes\":[{\"node\":\"n\"}]}\n{\"nodes\":[{\"node\":\"n\"}]}\n";
    let post = async |key: &str| {
        let headers = [("content-type", "application/x-ndjson"), ("idempotency-key", key)];
        member.http("POST", STARTS, &headers, body).await
    };
    let runs = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["started"]["run"].clone()).collect()
    };
    let first = post("k-1").await;
    assert_eq!(first.status, 200, "{}", first.body);
    let runs_of_first = runs(&first.body);
    assert!(runs_of_first.len() == 2 && runs_of_first[0] != runs_of_first[1] && runs_of_first[0].is_u64(), "{}", first.body);
    assert_eq!(runs(&post("k-1").await.body), runs_of_first, "the repeat is told the first answers");
    assert!(runs(&post("k-2").await.body).iter().all(|run| !runs_of_first.contains(run)), "another key is another request");
    let counts = member.fetch("/api/v1/namespaces/default/workflow-counts").await.json();
    assert_eq!(counts["total"], json!(4));

    let problem = post("").await.problem(400, "GR0001");
    assert_eq!(problem["detail"], json!("the header Idempotency-Key is empty"));
    let empty = [("content-type", "application/json"), ("idempotency-key", "")];
    member.http("POST", WORKFLOWS, &empty, b"{\"nodes\":[{\"node\":\"n\"}]}").await.problem(400, "GR0001");
    member.http("POST", &format!("{WORKFLOWS}/a/pause"), &[("idempotency-key", "")], b"").await.problem(400, "GR0001");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_change_nothing_and_strange_names_are_not_answered() {
    let member = Member::start().await;
    let started = member.send_json("POST", WORKFLOWS, &json!({ "workflow_id": "a", "nodes": [{ "node": "n" }] })).await;
    assert_eq!(started.status, 201, "{}", started.body);
    let terminate = format!("{WORKFLOWS}/a/terminate");
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("host", "evil.example"),
    ] {
        for (method, path) in
            [("POST", terminate.as_str()), ("DELETE", "/api/v1/limits/total"), ("POST", "/api/v1/nothing"), ("PUT", "/api/v1")]
        {
            let answer = member.http(method, path, &[header], b"").await;
            let problem = answer.problem(403, "GR0026");
            assert!(problem["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{problem}");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    // Neither is anything read under a strange name; what is no REST is answered under any.
    for path in [WORKFLOWS, "/api/v1/openapi.json", "/api/v1/events", "/api/v1", "/api/v1/"] {
        let problem = member.http("GET", path, &[("host", "evil.example:7420")], b"").await.problem(403, "GR0026");
        let remedy = problem["remedy"].as_str().expect("advice");
        assert!(remedy.contains(&format!("ask http://{}", member.address)) && remedy.contains("client.advertise"), "{remedy}");
    }
    for path in ["/livez", "/readyz", "/metrics", "/"] {
        assert_eq!(member.http("GET", path, &[("host", "evil.example")], b"").await.status, 200, "{path}");
    }
    assert_eq!(member.fetch(&format!("{WORKFLOWS}/a")).await.json()["status"], json!("running"), "nothing has happened");
    let own =
        [("host", &*member.address.to_string()), ("origin", &*format!("http://{}", member.address)), ("sec-fetch-site", "same-origin")];
    assert_eq!(member.http("POST", &terminate, &own, b"").await.json()["workflow"]["status"], json!("terminated"));
    member.stop().await;
}

//! Every refusal of REST is a problem document, whatever is wrong; and a key makes a repeat safe, or is refused.

use serde_json::{Value, json};

use crate::member::Member;

const WORKFLOWS: &str = "/api/v1/namespaces/default/workflows";
const STARTS: &str = "/api/v1/namespaces/default/workflow-starts";

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

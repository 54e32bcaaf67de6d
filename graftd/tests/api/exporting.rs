//! Exports: the whole of a workflow that has ended.

use futures::TryStreamExt;
use graft_proto::v1;
use serde_json::{Value, json};

use crate::member::{Member, get, refusal, start, within};

async fn document(client: &mut v1::workflow_service_client::WorkflowServiceClient<tonic::transport::Channel>, id: &str) -> String {
    let request = v1::ExportRequest { workflow_id: id.into(), ..v1::ExportRequest::default() };
    let pieces: Vec<_> = within(client.export(request).await.expect("it has ended").into_inner().try_collect()).await.expect("all of it");
    assert!(pieces.iter().all(|answer: &v1::ExportResponse| answer.piece.len() <= 256 << 10), "pieces are bounded");
    let bytes: Vec<u8> = pieces.iter().flat_map(|answer| answer.piece.iter().copied()).collect();
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_has_ended_is_exported_whole_and_one_that_runs_is_not() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    // Larger than a piece, so that the document comes in several.
    let large = format!("{{\"text\": \"{}\", \"f\": 1.50}}", "x".repeat(600 << 10));
    let state = crate::member::json(&large);
    client.start(v1::StartRequest { state, ..start("a", "n") }).await.expect("started");
    let asked = |id: &str| v1::ExportRequest { workflow_id: id.into(), ..v1::ExportRequest::default() };
    let (code, message) = refusal(client.export(asked("a")).await.map(|_| ()));
    assert_eq!(code, "GR0025");
    assert!(message.contains("has not ended: it is running"), "{message}");
    assert_eq!(refusal(client.export(asked("b")).await.map(|_| ())).0, "GR0003");

    for n in 0..300 {
        let control = v1::ControlRequest { workflow_id: "a".into(), reason: format!("{n}"), ..Default::default() };
        let answer = if n % 2 == 0 { client.pause(control).await } else { client.resume(control).await };
        answer.expect("steered");
    }
    let control = v1::ControlRequest { workflow_id: "a".into(), reason: "enough".into(), ..Default::default() };
    client.terminate(control).await.expect("ended");
    let text = document(&mut client, "a").await;
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["state"], serde_json::from_str::<Value>(&large).expect("JSON"));
    assert_eq!((&document["apiVersion"], &document["kind"]), (&json!("graft/v1"), &json!("WorkflowExport")));
    let summary = client.get(get("a")).await.expect("there").into_inner().workflow.expect("a summary");
    assert_eq!((&document["workflow"]["run"], &document["workflow"]["status"]), (&json!(summary.run), &json!("terminated")));
    let events = document["events"].as_array().expect("a list");
    let numbers: Vec<_> = events.iter().map(|event| event["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=302).collect::<Vec<_>>());
    assert_eq!(
        (&events[0]["type"], &events[301]["type"], &events[301]["reason"]),
        (&json!("started"), &json!("terminated"), &json!("enough"))
    );
    assert_eq!(document["dead_letters"], json!([]));
    member.stop().await;
}

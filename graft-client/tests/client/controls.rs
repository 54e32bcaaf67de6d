//! Pause, resume, cancel, terminate: a change that has happened is never reported as one that has not.

use std::time::Duration;

use graft_client::proto::{self, WorkflowStatus};
use graft_client::{Client, ErrorCode};
use tonic::Code;

use crate::scripted::{Script, detail, refusal, summary};

/// What the server answers when it cannot read the workflow any more.
fn unread(request: &proto::ControlRequest) -> proto::ControlResponse {
    assert_eq!(request.reason, "to look at it");
    proto::ControlResponse { workflow: None, run: 7 }
}

#[tokio::test]
async fn a_control_whose_answer_brings_no_workflow_reads_the_run_that_was_changed() {
    let get = |request: proto::GetRequest| {
        let workflow = Some(summary(request.run, WorkflowStatus::Paused));
        Ok(proto::GetResponse { workflow, ..Default::default() })
    };
    let (url, server) = Script::default().on_control(|request| unread(&request)).on_get(get).serve().await;
    let handle = Client::connect(url).unwrap().workflow("order-1");
    let paused = handle.pause("to look at it").await.unwrap();
    assert_eq!((paused.run, paused.status()), (7, WorkflowStatus::Paused));
    assert_eq!(server.seen().gets.iter().map(|get| get.run).collect::<Vec<_>>(), [7]);
}

#[tokio::test]
async fn a_control_that_took_effect_says_so_and_where_even_if_the_run_cannot_be_read() {
    let gone = |_| Err(refusal(Code::NotFound, &detail("GR0003")));
    let (url, server) = Script::default().on_control(|request| unread(&request)).on_get(gone).serve().await;
    let client = Client::builder(url).request_timeout(Duration::from_secs(5)).build().unwrap();
    let handle = client.workflow("order-1");
    let errors = [
        handle.pause("to look at it").await.unwrap_err(),
        handle.resume("to look at it").await.unwrap_err(),
        handle.cancel("to look at it").await.unwrap_err(),
        handle.terminate("to look at it").await.unwrap_err(),
    ];
    for (error, done) in errors.iter().zip(["pause", "resume", "cancel", "terminate"]) {
        assert_eq!(error.code(), ErrorCode::Unread.name());
        // A repeat would be another request: it must not look as if this one could be tried again.
        assert!(!error.has_no_side_effects() && !error.outcome_unknown() && !error.is_retryable() && !error.is_not_found(), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("failed to read run 7 of workflow \"order-1\" in namespace \"default\" after the {done}")),
            "{text}"
        );
        assert!(text.contains("took effect") && text.contains("the script says no"), "{text}");
    }
    assert_eq!(server.seen().controls.len(), 4);
}

//! Pause, resume, cancel, terminate.

use graft_proto::v1;
use graft_proto::v1::WorkflowStatus;

use crate::member::{Member, refusal, start, with_id};

fn control(id: &str, reason: &str) -> v1::ControlRequest {
    v1::ControlRequest { workflow_id: id.into(), reason: reason.into(), ..Default::default() }
}

fn told(answer: tonic::Response<v1::ControlResponse>) -> (WorkflowStatus, String) {
    let workflow = answer.into_inner().workflow.expect("the workflow after the change");
    (workflow.status(), workflow.reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_control_answers_with_the_workflow_after_it() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("a", "n")).await.expect("started");
    let paused = client.pause(control("a", "lunch")).await.expect("paused");
    assert_eq!(told(paused), (WorkflowStatus::Paused, "lunch".into()));
    assert_eq!(told(client.resume(control("a", "")).await.expect("resumed")).0, WorkflowStatus::Running);
    assert_eq!(told(client.terminate(control("a", "enough")).await.expect("ended")), (WorkflowStatus::Terminated, "enough".into()));
    assert_eq!(refusal(client.pause(control("a", "")).await).0, "GR0005");
    client.start(start("b", "n")).await.expect("started");
    let status = told(client.cancel(control("b", "changed my mind")).await.expect("cancelled")).0;
    assert!(matches!(status, WorkflowStatus::Cancelling | WorkflowStatus::Cancelled), "{status:?}");
    let ended = client.wait(v1::WaitRequest { workflow_id: "b".into(), ..Default::default() }).await.expect("it ends").into_inner();
    assert_eq!(ended.workflow.expect("a workflow").status(), WorkflowStatus::Cancelled);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_id_does_not_serve_two_verbs() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(start("a", "n")).await.expect("started");
    let request = v1::ControlRequest { meta: with_id("r"), ..control("a", "") };
    client.pause(request.clone()).await.expect("paused");
    client.pause(request.clone()).await.expect("a repeat of the pause is answered as the first");
    assert_eq!(refusal(client.resume(request).await).0, "GR0006");
    let other_run = v1::ControlRequest { run: 999, ..control("a", "") };
    let (code, message) = refusal(client.resume(other_run).await);
    assert_eq!(code, "GR0003");
    assert!(message.contains("999"), "{message}");
    member.stop().await;
}

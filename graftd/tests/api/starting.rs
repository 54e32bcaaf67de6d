//! Starting workflows: what is accepted, what is repeated, what is refused and how.

use graft_machine::limits::{CONFIG_BYTES_MAX, STATE_BYTES_MAX};
use graft_proto::v1;
use tonic::Code;

use crate::member::{Member, detail, get, json, refusal, start, task, with_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_was_started_can_be_read_at_once() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let request = v1::StartRequest { labels: [("team".to_owned(), "a".to_owned())].into(), ..start("order-1", "charge") };
    let started = client.start(request).await.expect("started").into_inner();
    assert_eq!((started.namespace.as_str(), started.workflow_id.as_str(), started.created), ("default", "order-1", true));
    assert_eq!(started.warnings, ["no worker serves node \"charge\" now: none is connected in namespace \"default\""]);
    let found = client.get(get("order-1")).await.expect("there").into_inner();
    let workflow = found.workflow.expect("a workflow");
    assert_eq!((workflow.run, workflow.status(), workflow.open_tasks), (started.run, v1::WorkflowStatus::Running, 1));
    assert_eq!(workflow.labels["team"], "a");
    assert_eq!(&found.state.expect("a state").data[..], b"{\"n\":1}");
    assert_eq!((found.tasks[0].node.as_str(), found.tasks[0].state.as_str(), found.tasks[0].attempt), ("charge", "ready", 1));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_the_first_answer_and_another_one_under_its_id_is_refused() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let labels = (0..8).map(|n| (format!("k{n}"), "v".to_owned())).collect::<std::collections::HashMap<_, _>>();
    let request = v1::StartRequest { labels: labels.clone(), meta: with_id("r-1"), ..start("", "a") };
    let first = client.start(request.clone()).await.expect("started").into_inner();
    for _ in 0..3 {
        let again = v1::StartRequest { labels: labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect(), ..request.clone() };
        let again = client.start(again).await.expect("the first answer").into_inner();
        assert_eq!((again.run, &again.workflow_id), (first.run, &first.workflow_id), "an id that was made is made again");
    }
    let other = v1::StartRequest { nodes: vec![task("b")], ..request };
    assert_eq!(refusal(client.start(other).await).0, "GR0006");
    let late = v1::RequestMeta { request_id: "r-2".into(), not_after_ms: 1 };
    assert_eq!(refusal(client.start(v1::StartRequest { meta: Some(late), ..start("late", "a") }).await).0, "GR0007");
    let far = v1::RequestMeta { request_id: "r-3".into(), not_after_ms: u64::MAX };
    assert_eq!(refusal(client.start(v1::StartRequest { meta: Some(far), ..start("far", "a") }).await).0, "GR0008");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_id_is_refused_or_used_or_replaced_as_asked() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let first = client.start(start("a", "n")).await.expect("started").into_inner();
    let status = client.start(start("a", "n")).await.expect_err("taken");
    assert_eq!(status.code(), Code::AlreadyExists);
    let told = detail(&status);
    assert_eq!(told.code, "GR0004");
    assert!(told.remedy.contains("use_existing") && status.message().contains(&format!("run {}", first.run)), "{status:?}");
    let under = |on_conflict: v1::OnConflict| v1::StartRequest { on_conflict: on_conflict as i32, ..start("a", "n") };
    let used = client.start(under(v1::OnConflict::UseExisting)).await.expect("used").into_inner();
    assert_eq!((used.run, used.created), (first.run, false));
    assert_eq!(refusal(client.start(under(v1::OnConflict::ReplaceFinished)).await).0, "GR0004");
    client.terminate(v1::ControlRequest { workflow_id: "a".into(), ..Default::default() }).await.expect("terminated");
    let replaced = client.start(under(v1::OnConflict::ReplaceFinished)).await.expect("replaced").into_inner();
    assert!(replaced.created && replaced.run > first.run);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_documents_and_names_are_refused_with_what_is_wrong_and_what_is_allowed() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let document = |bytes: usize| json(&format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)));
    let cases = [
        (v1::StartRequest { state: json("{oops"), ..start("a", "n") }, "GR0001", "the state is no JSON"),
        (v1::StartRequest { state: json("[]"), ..start("a", "n") }, "GR0001", "is an array, but has to be a JSON object"),
        (v1::StartRequest { state: document(STATE_BYTES_MAX + 1), ..start("a", "n") }, "GR0002", "1048577 bytes, at most 1048576"),
        (
            v1::StartRequest { nodes: vec![v1::NewTask { config: document(CONFIG_BYTES_MAX + 1), ..task("n") }], ..start("a", "n") },
            "GR0002",
            "task of node \"n\": the config has 1048577 bytes",
        ),
        (v1::StartRequest { nodes: vec![], ..start("a", "n") }, "GR0001", "without a node"),
        (start("a\u{7}", "n"), "GR0001", "workflow id"),
        (start("a", "n m"), "GR0001", "node \"n m\" holds ' '"),
        (v1::StartRequest { namespace: "x y".into(), ..start("a", "n") }, "GR0001", "namespace \"x y\""),
        (v1::StartRequest { deadline_ms: 1, ..start("a", "n") }, "GR0001", "deadline"),
    ];
    for (request, code, needle) in cases {
        let (found, message) = refusal(client.start(request).await);
        assert_eq!(found, code, "{message}");
        assert!(message.contains(needle), "{message}");
    }
    let at_the_bounds = v1::StartRequest {
        state: document(STATE_BYTES_MAX),
        nodes: vec![v1::NewTask { config: document(CONFIG_BYTES_MAX), ..task("n") }],
        ..start("large", "n")
    };
    client.start(at_the_bounds).await.expect("what is allowed is taken");
    let huge = v1::StartRequest { state: document(5 << 20), ..start("huge", "n") };
    let (code, message) = refusal(client.start(huge).await);
    assert_eq!(code, "GR0002", "{message}");
    assert!(message.contains("the message is larger than 4194304 bytes"), "{message}");
    member.stop().await;
}

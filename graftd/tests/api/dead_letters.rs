//! Tasks and dead letters: looking at them, trying them now, redriving and discarding them.

use graft_proto::v1;
use graft_proto::v1::dead_letter_service_client::DeadLetterServiceClient;
use graft_proto::v1::discard_request::Which as ToDiscard;
use graft_proto::v1::redrive_request::Which as ToRedrive;
use graft_proto::v1::result::Outcome;
use graft_proto::v1::task_service_client::TaskServiceClient;
use graft_proto::v1::{TaskState, WorkflowStatus};
use tonic::transport::Channel;

use crate::member::{Member, get, json, named, refusal, start, task, with_id, within};
use crate::worker::Worker;

async fn tasks(member: &Member) -> TaskServiceClient<Channel> {
    TaskServiceClient::new(member.channel().await)
}

async fn dead_letters(member: &Member) -> DeadLetterServiceClient<Channel> {
    DeadLetterServiceClient::new(member.channel().await)
}

fn of(id: &str, task: u32) -> v1::GetTaskRequest {
    v1::GetTaskRequest { workflow_id: id.into(), task, ..Default::default() }
}

fn reference(id: &str) -> v1::DeadLetterRef {
    v1::DeadLetterRef { workflow_id: id.into(), run: 0, task: 1 }
}

fn redrive(which: ToRedrive) -> v1::RedriveRequest {
    v1::RedriveRequest { which: Some(which), ..Default::default() }
}

fn failed(message: &str, kind: v1::FailureKind) -> Outcome {
    Outcome::Failed(v1::Failed { kind: kind as i32, message: message.into(), ..Default::default() })
}

/// Starts workflows of one node `charge` whose only task fails for good, in this order.
async fn doomed(member: &Member, worker: &mut Worker, ids: &[(&str, &str)]) {
    let mut client = member.workflows().await;
    for (id, error) in ids {
        client.start(start(id, "charge")).await.expect("started");
        let task = worker.task().await;
        worker.resolve(&task, failed(error, v1::FailureKind::Permanent)).await;
        worker.ack().await;
    }
}

async fn status(member: &Member, id: &str) -> WorkflowStatus {
    let found = member.workflows().await.get(get(id)).await.expect("there").into_inner();
    found.workflow.expect("a workflow").status()
}

async fn wait(member: &Member, id: &str) -> v1::WaitResponse {
    let wait = v1::WaitRequest { workflow_id: id.into(), ..Default::default() };
    within(member.workflows().await.wait(wait)).await.expect("it ends").into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_tells_its_input_and_every_attempt() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    let policy = v1::RetryPolicy { max_attempts: 3, initial_ms: 1, max_ms: 1, factor_permille: 1_000, jitter_permille: 0 };
    let mut asked = start("a", "charge");
    asked.nodes[0].retry = Some(policy);
    asked.nodes[0].config = json("{\"amount\":7}");
    member.workflows().await.start(asked).await.expect("started");
    for error in ["slow", "slower", "gone"] {
        let task = worker.task().await;
        worker.resolve(&task, failed(error, v1::FailureKind::Retryable)).await;
        worker.ack().await;
    }
    assert_eq!(wait(&member, "a").await.workflow.expect("a workflow").status(), WorkflowStatus::Failed);

    let found = dead_letters(&member).await.get(of("a", 1)).await.expect("a dead letter").into_inner();
    let words: Vec<_> = found.failed_attempts.iter().map(|it| (it.attempt, it.kind.as_str(), it.message.as_str())).collect();
    assert_eq!(words, [(1, "retryable", "slow"), (2, "retryable", "slower"), (3, "retryable", "gone")]);
    assert!(found.failed_attempts[0].retry_at_ms > 0 && found.failed_attempts[2].retry_at_ms == 0);
    assert_eq!(found.state, json("{\"n\":1}"));
    assert_eq!((found.retry, found.workflow_status), (Some(policy), WorkflowStatus::Failed as i32));
    let task = found.task.and_then(|task| task.task).expect("a task");
    assert_eq!((task.state.as_str(), task.config, task.failures), ("dead-lettered", json("{\"amount\":7}"), 3));
    assert!(matches!(found.resolution.and_then(|event| event.happened), Some(v1::event::Happened::TaskDeadLettered(_))));

    let (code, message) = refusal(dead_letters(&member).await.get(of("a", 9)).await);
    assert_eq!(code, "GR0021");
    assert!(message.contains("task 9") && message.contains("graft task list"), "{message}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_oldest_first_and_found_by_every_filter() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    doomed(&member, &mut worker, &[("a", "timeout"), ("b", "no card"), ("c", "timeout again")]).await;
    let list = async |filter: v1::DeadLetterFilter, limit: u32, cursor: String| {
        let request = v1::ListDeadLettersRequest { filter: Some(filter), limit, cursor, ..Default::default() };
        dead_letters(&member).await.list(request).await.expect("a page").into_inner()
    };
    let ids = |page: &v1::ListDeadLettersResponse| page.dead_letters.iter().map(|it| it.workflow_id.clone()).collect::<Vec<_>>();
    let all = list(v1::DeadLetterFilter::default(), 0, String::new()).await;
    assert_eq!(ids(&all), ["a", "b", "c"]);
    assert_eq!((all.dead_letters[1].error.as_str(), all.dead_letters[1].workflow_status()), ("no card", WorkflowStatus::Failed));
    let second = all.dead_letters[1].given_up_ms;

    let first = list(v1::DeadLetterFilter::default(), 2, String::new()).await;
    assert_eq!(ids(&first), ["a", "b"]);
    assert_eq!(ids(&list(v1::DeadLetterFilter::default(), 2, first.next_cursor).await), ["c"]);

    let timeouts = v1::DeadLetterFilter { error_contains: "timeout".into(), ..Default::default() };
    assert_eq!(ids(&list(timeouts.clone(), 0, String::new()).await), ["a", "c"]);
    let one = list(timeouts, 1, String::new()).await;
    assert_eq!(ids(&one), ["a"]);
    assert!(!one.next_cursor.is_empty());
    let of_b = v1::DeadLetterFilter { workflow_id: "b".into(), node: "charge".into(), ..Default::default() };
    assert_eq!(ids(&list(of_b, 0, String::new()).await), ["b"]);
    let since = list(v1::DeadLetterFilter { since_ms: second, ..Default::default() }, 0, String::new()).await;
    assert!(ids(&since).ends_with(&["b".to_owned(), "c".to_owned()]), "{since:?}");
    let until = list(v1::DeadLetterFilter { until_ms: second, ..Default::default() }, 0, String::new()).await;
    assert!(!ids(&until).contains(&"b".to_owned()), "{until:?}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_with_edits_reopens_the_workflow_and_is_done_once() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    doomed(&member, &mut worker, &[("a", "no card")]).await;
    let asked = v1::RedriveRequest {
        config: json("{\"card\":2}"),
        state_patch: json("{\"n\":null,\"m\":5}"),
        reason: "a new card".into(),
        meta: with_id("r-1"),
        ..redrive(ToRedrive::One(reference("a")))
    };
    for (bad, code) in [
        (v1::RedriveRequest { config: json("{"), ..asked.clone() }, "GR0001"),
        (v1::RedriveRequest { state_patch: json("[]"), ..asked.clone() }, "GR0001"),
        (redrive(ToRedrive::One(v1::DeadLetterRef { task: 2, ..reference("a") })), "GR0021"),
    ] {
        let bad = v1::RedriveRequest { dry_run: true, meta: None, ..bad };
        let (refused, message) = refusal(dead_letters(&member).await.redrive(bad.clone()).await);
        let (told, _) = refusal(dead_letters(&member).await.redrive(v1::RedriveRequest { dry_run: false, ..bad }).await);
        assert_eq!((refused.as_str(), told.as_str()), (code, code), "a dry run is refused as the redrive is: {message}");
    }
    let dry = v1::RedriveRequest { dry_run: true, meta: None, ..asked.clone() };
    let told = dead_letters(&member).await.redrive(dry).await.expect("tried").into_inner();
    assert!(told.dry_run && told.results.len() == 1 && told.results[0].refused.is_none());
    assert_eq!(status(&member, "a").await, WorkflowStatus::Failed, "a dry run changes nothing");

    let mut client = dead_letters(&member).await;
    let done = client.redrive(named(asked.clone(), "ann")).await.expect("redriven").into_inner();
    assert_eq!((done.results[0].node.as_str(), done.results[0].run), ("charge", 1));
    client.redrive(named(asked, "ann")).await.expect("a repeat is answered as the first was");
    let task = worker.task().await;
    let config = task.config.as_ref().map(|config| config.data.clone());
    assert_eq!((config.as_deref(), task.at.expect("an attempt").attempt), (Some(&b"{\"card\":2}"[..]), 2));
    worker.complete(&task, "{\"paid\":true}", vec![]).await;
    let ended = wait(&member, "a").await;
    assert_eq!(ended.workflow.expect("a workflow").status(), WorkflowStatus::Completed);
    assert_eq!(ended.state.expect("a state").data, &b"{\"m\":5,\"paid\":true}"[..]);

    let history = v1::HistoryRequest { workflow_id: "a".into(), ..Default::default() };
    let events = member.workflows().await.history(history).await.expect("a history").into_inner().events;
    let redriven: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.happened {
            Some(v1::event::Happened::DeadLetterRedriven(it)) => Some(it),
            _ => None,
        })
        .collect();
    assert_eq!(redriven.len(), 1);
    assert_eq!((redriven[0].principal.as_str(), redriven[0].reason.as_str(), redriven[0].reopened), ("client:ann", "a new card", true));
    let (code, message) = refusal(client.redrive(redrive(ToRedrive::One(reference("a")))).await);
    assert_eq!(code, "GR0021", "{message}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_redriven_or_discarded_by_filter_each_with_its_answer() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    doomed(&member, &mut worker, &[("a", "timeout"), ("b", "no card"), ("c", "timeout"), ("d", "timeout")]).await;
    // `d` cannot be redriven: a later run has taken its place.
    let again = v1::StartRequest { on_conflict: v1::OnConflict::ReplaceFinished as i32, ..start("d", "other") };
    member.workflows().await.start(again).await.expect("a new run");

    let filter = v1::DeadLetterFilter { error_contains: "timeout".into(), ..Default::default() };
    let mut client = dead_letters(&member).await;
    let dry = v1::RedriveRequest { dry_run: true, ..redrive(ToRedrive::Filter(filter.clone())) };
    let would = client.redrive(dry).await.expect("tried").into_inner();
    assert_eq!(ids(&would), ["a", "c", "d"]);
    let one = v1::RedriveRequest { dry_run: true, limit: 1, ..redrive(ToRedrive::Filter(filter.clone())) };
    assert!(!client.redrive(one).await.expect("tried").into_inner().next_cursor.is_empty());

    let done = client.redrive(redrive(ToRedrive::Filter(filter))).await.expect("redriven").into_inner();
    let codes = |told: &v1::ResolveDeadLettersResponse| {
        told.results.iter().map(|it| it.refused.as_ref().map(|it| it.code.clone())).collect::<Vec<_>>()
    };
    assert_eq!(codes(&done), [None, None, Some("GR0005".to_owned())]);
    assert_eq!((codes(&would), done.next_cursor.as_str()), (codes(&done), ""), "the dry run has said so");
    assert!(done.results[2].message.contains("started anew"), "{}", done.results[2].message);
    for _ in 0..2 {
        let task = worker.task().await;
        worker.complete(&task, "{}", vec![]).await;
    }
    for id in ["a", "c"] {
        assert_eq!(wait(&member, id).await.workflow.expect("a workflow").status(), WorkflowStatus::Completed);
    }

    let rest = v1::DiscardRequest { which: Some(ToDiscard::Filter(Default::default())), reason: "old".into(), ..Default::default() };
    let done = client.discard(named(rest, "ann")).await.expect("discarded").into_inner();
    assert_eq!(ids(&done), ["b", "d"]);
    assert!(done.results.iter().all(|it| it.refused.is_none()), "{done:?}");
    assert_eq!(status(&member, "b").await, WorkflowStatus::Failed, "what failed stays failed");
    let left = client.list(v1::ListDeadLettersRequest::default()).await.expect("a page").into_inner();
    assert!(left.dead_letters.is_empty());
    let (code, message) = refusal(client.discard(v1::DiscardRequest::default()).await);
    assert_eq!(code, "GR0001");
    assert!(message.contains("names no dead letter and no filter"), "{message}");
    member.stop().await;
}

fn ids(told: &v1::ResolveDeadLettersResponse) -> Vec<&str> {
    told.results.iter().map(|it| it.workflow_id.as_str()).collect()
}

async fn left(member: &Member) -> Vec<String> {
    let page = dead_letters(member).await.list(v1::ListDeadLettersRequest::default()).await.expect("a page").into_inner();
    page.dead_letters.into_iter().map(|it| it.workflow_id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_repeated_tells_what_it_has_done_and_does_no_more() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    let doom = ["a", "b", "c", "d", "e"].map(|id| (id, "no"));
    doomed(&member, &mut worker, &doom).await;
    let mut client = dead_letters(&member).await;
    let filter = || Some(ToDiscard::Filter(v1::DeadLetterFilter::default()));
    let page = v1::DiscardRequest { which: filter(), limit: 2, meta: with_id("d-1"), ..Default::default() };
    let first = client.discard(page.clone()).await.expect("discarded").into_inner();
    assert_eq!(ids(&first), ["a", "b"]);
    let again = client.discard(page.clone()).await.expect("told again").into_inner();
    assert_eq!((again, left(&member).await), (first.clone(), vec!["c".to_owned(), "d".into(), "e".into()]));
    let (code, message) = refusal(client.discard(v1::DiscardRequest { limit: 3, ..page.clone() }).await);
    assert_eq!(code, "GR0006", "{message}");

    // What is given up between two pages is the matter of neither.
    doomed(&member, &mut worker, &[("f", "no")]).await;
    let next = v1::DiscardRequest { cursor: first.next_cursor, limit: 500, ..page.clone() };
    let rest = client.discard(next.clone()).await.expect("discarded").into_inner();
    assert_eq!((ids(&rest), rest.next_cursor.as_str()), (vec!["c", "d", "e"], ""));
    assert_eq!(client.discard(next).await.expect("told again").into_inner(), rest);
    assert_eq!(left(&member).await, ["f"]);
    for (bad, why) in [
        (v1::DiscardRequest { limit: 501, ..page.clone() }, "at most 500"),
        (v1::DiscardRequest { cursor: "00".into(), ..page.clone() }, "cursor"),
        (v1::DiscardRequest { which: Some(ToDiscard::One(reference("f"))), ..page }, "without a filter"),
    ] {
        let (_, message) = refusal(client.discard(bad).await);
        assert!(message.contains(why), "{message}");
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_are_done_by_name_each_with_its_answer() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    doomed(&member, &mut worker, &[("a", "no"), ("b", "no"), ("c", "no")]).await;
    let mut client = dead_letters(&member).await;
    let several = |ids: &[&str]| v1::DeadLetterRefs { dead_letters: ids.iter().map(|id| reference(id)).collect() };
    let asked = |ids: &[&str]| v1::DiscardRequest { which: Some(ToDiscard::Several(several(ids))), ..Default::default() };
    let codes = |told: &v1::ResolveDeadLettersResponse| {
        told.results.iter().map(|it| it.refused.as_ref().map(|it| it.code.clone())).collect::<Vec<_>>()
    };
    let dry = v1::DiscardRequest { dry_run: true, ..asked(&["c", "nobody", "a"]) };
    let would = client.discard(dry).await.expect("tried").into_inner();
    assert_eq!((ids(&would), codes(&would)), (vec!["c", "nobody", "a"], vec![None, Some("GR0003".into()), None]));
    assert_eq!(left(&member).await, ["a", "b", "c"]);
    let request = v1::DiscardRequest { meta: with_id("d-2"), ..asked(&["c", "nobody", "a"]) };
    let done = client.discard(request.clone()).await.expect("discarded").into_inner();
    assert_eq!((codes(&done), done.results[0].node.as_str(), done.results[0].run), (codes(&would), "charge", 3));
    assert_eq!(client.discard(request).await.expect("told again").into_inner(), done);
    assert_eq!(left(&member).await, ["b"]);
    let (code, message) = refusal(client.discard(asked(&["b"; 501])).await);
    assert!(code == "GR0002" && message.contains("at most 500"), "{message}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_listed_by_workflow_node_and_state_and_one_that_waits_is_tried_now() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let later = v1::NewTask { delay_ms: 3_600_000, ..task("charge") };
    for id in ["a", "b"] {
        let nodes = vec![later.clone(), task("ship"), task("charge")];
        client.start(v1::StartRequest { nodes, ..start(id, "n") }).await.expect("started");
    }
    let mut client = tasks(&member).await;
    let list = async |request: v1::ListTasksRequest| {
        let page = tasks(&member).await.list(request).await.expect("a page").into_inner();
        let names: Vec<_> = page.tasks.iter().map(|it| (it.workflow_id.clone(), it.task.as_ref().map_or(0, |task| task.task))).collect();
        (names, page.next_cursor)
    };
    let name = |id: &str, task: u32| (id.to_owned(), task);
    let of_a = v1::ListTasksRequest { workflow_id: "a".into(), ..Default::default() };
    assert_eq!(list(of_a.clone()).await.0, [name("a", 1), name("a", 2), name("a", 3)]);
    let charging = v1::ListTasksRequest { node: "charge".into(), ..Default::default() };
    assert_eq!(list(charging.clone()).await.0, [name("a", 1), name("a", 3), name("b", 1), name("b", 3)]);
    let waiting = v1::ListTasksRequest { states: vec![TaskState::Delayed as i32], ..charging.clone() };
    assert_eq!(list(waiting).await.0, [name("a", 1), name("b", 1)]);
    for request in [charging, of_a] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let (page, next) = list(v1::ListTasksRequest { limit: 1, cursor, ..request.clone() }).await;
            found.extend(page);
            cursor = next;
            if cursor.is_empty() {
                break;
            }
        }
        assert_eq!(found, list(request).await.0, "pages of one leave no gap");
    }

    let (mut worker, _) = Worker::connect(&member, "charge").await;
    let retry = |task| v1::RetryTaskRequest { workflow_id: "a".into(), task, reason: "now".into(), ..Default::default() };
    let started: Vec<_> = [worker.task().await, worker.task().await].iter().map(|task| task.at.expect("an attempt").task).collect();
    assert_eq!(started, [3, 3], "the delayed ones wait");
    client.retry(retry(1)).await.expect("tried now");
    let task = worker.task().await;
    assert_eq!(task.at.expect("an attempt").task, 1);
    client.retry(retry(2)).await.expect("one that is ready stays so");
    assert_eq!(refusal(client.retry(retry(9)).await).0, "GR0021");
    worker.resolve(&task, failed("no", v1::FailureKind::Permanent)).await;
    worker.ack().await;
    let (code, message) = refusal(client.retry(retry(1)).await);
    assert_eq!(code, "GR0005", "the workflow has failed: {message}");
    let (code, _) = refusal(dead_letters(&member).await.get(of("b", 1)).await);
    assert_eq!(code, "GR0022", "a task that waits is no dead letter");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_has_resolved_is_told_from_the_history() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    member.workflows().await.start(start("a", "charge")).await.expect("started");
    let task = worker.task().await;
    worker.complete(&task, "{\"paid\":true}", vec![]).await;
    wait(&member, "a").await;
    let found = tasks(&member).await.get(of("a", 1)).await.expect("told").into_inner();
    let task = found.task.and_then(|task| task.task).expect("a task");
    assert_eq!((task.state.as_str(), task.node.as_str(), task.config), ("resolved", "charge", None));
    assert!(matches!(found.resolution.and_then(|event| event.happened), Some(v1::event::Happened::TaskCompleted(_))));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows_are_counted_by_status() {
    let member = Member::start().await;
    let (mut worker, _) = Worker::connect(&member, "charge").await;
    doomed(&member, &mut worker, &[("a", "timeout"), ("b", "no card")]).await;
    member.workflows().await.start(start("c", "ship")).await.expect("started");
    let counts = async || {
        let counts = member.workflows().await.count(v1::CountRequest::default()).await.expect("counted").into_inner().counts;
        assert_eq!(counts.len(), 8, "every status, also where there is none");
        let some = counts.iter().filter(|count| count.workflows > 0);
        some.map(|count| (count.status(), count.workflows)).collect::<Vec<_>>()
    };
    assert_eq!(counts().await, [(WorkflowStatus::Running, 1), (WorkflowStatus::Failed, 2)]);
    dead_letters(&member).await.redrive(redrive(ToRedrive::One(reference("a")))).await.expect("redriven");
    assert_eq!(counts().await, [(WorkflowStatus::Running, 2), (WorkflowStatus::Failed, 1)]);
    member.stop().await;
}

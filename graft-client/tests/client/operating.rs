//! Tasks, dead letters and limits: what is asked, under which request id it is repeated, and what the caller is told.

use std::time::{Duration, UNIX_EPOCH};

use graft_client::proto::{self, TaskState, discard_request, redrive_request};
use graft_client::{Client, ClientError, DeadLetterFilter, DeadLetterName, Discard, ErrorCode, LimitOf, RawJson, Redrive, TaskFilter};
use serde_json::json;

use crate::desk::{Asked, Desk, not_now};
use crate::scripted::{Act, BREAK};

fn request_id(meta: Option<&proto::RequestMeta>) -> String {
    meta.map(|meta| meta.request_id.clone()).unwrap_or_default()
}

#[tokio::test]
async fn every_change_is_repeated_with_the_request_id_that_it_began_with() {
    let acts = || [BREAK, not_now(), Act::Answer];
    let (url, desk) = Desk::serve((0..7).flat_map(|_| acts())).await;
    let client = Client::connect(url).unwrap();
    let task = client.workflow("order-1").task(3);
    task.retry("go").await.unwrap();
    task.redrive("again").await.unwrap();
    task.discard("enough").await.unwrap();
    client.redrive_all(DeadLetterFilter::new(), "again").await.unwrap();
    client.discard_all(DeadLetterFilter::new(), "enough").await.unwrap();
    client.set_limit("charge", 5).await.unwrap();
    client.unset_limit(LimitOf::Cluster).await.unwrap();
    let ids: Vec<String> = desk
        .asked()
        .iter()
        .map(|asked| match asked {
            Asked::Retry(request) => request_id(request.meta.as_ref()),
            Asked::Redrive(request) => request_id(request.meta.as_ref()),
            Asked::Discard(request) => request_id(request.meta.as_ref()),
            Asked::SetLimit(request) => request_id(request.meta.as_ref()),
            Asked::UnsetLimit(request) => request_id(request.meta.as_ref()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 21);
    let mut of_calls: Vec<&String> = ids.chunks(3).map(|tries| &tries[0]).collect();
    assert!(ids.chunks(3).all(|tries| tries.iter().all(|id| !id.is_empty() && *id == tries[0])), "{ids:?}");
    of_calls.sort();
    of_calls.dedup();
    assert_eq!(of_calls.len(), 7, "each call has one of its own");
}

#[tokio::test]
async fn a_redrive_carries_its_config_its_patch_and_its_reason() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap();
    let how = Redrive::new().config(&json!({ "amount": 5 })).unwrap().state_patch(&json!({ "paid": null })).unwrap();
    let how = how.reason("a smaller amount").request_id("r-1");
    let done = client.workflow("order-1").run(7).task(3).redrive(how).await.unwrap();
    assert_eq!((done.workflow_id.as_str(), done.run, done.task, done.node.as_str()), ("order-1", 7, 3, "charge"));
    let asked = desk.asked();
    let Asked::Redrive(request) = &asked[0] else { panic!("{asked:?}") };
    let data = |payload: &Option<proto::Payload>| payload.as_ref().unwrap().data.clone();
    assert_eq!((data(&request.config).as_ref(), data(&request.state_patch).as_ref()), (&br#"{"amount":5}"#[..], &br#"{"paid":null}"#[..]));
    assert_eq!((request.reason.as_str(), request_id(request.meta.as_ref()).as_str()), ("a smaller amount", "r-1"));
    let one = proto::DeadLetterRef { workflow_id: "order-1".into(), run: 7, task: 3 };
    assert_eq!(request.which, Some(redrive_request::Which::One(one)));
}

#[tokio::test]
async fn a_config_that_is_no_json_is_told_before_anything_is_sent() {
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = Redrive::new().config(&map).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotSerializable.name());
    assert!(error.to_string().contains("its new config cannot be written as JSON"), "{error}");
    assert!(Redrive::new().state_patch(&map).unwrap_err().to_string().contains("the patch of the state"));
}

#[tokio::test]
async fn what_a_filter_finds_is_told_one_by_one_with_the_refusals() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap();
    let filter = DeadLetterFilter::new()
        .workflow("order-1")
        .run(7)
        .node("charge")
        .error_contains("refused")
        .since(UNIX_EPOCH + Duration::from_millis(5))
        .until(UNIX_EPOCH + Duration::from_millis(9));
    let resolved = client.redrive_all(filter.clone(), Redrive::new().limit(2)).await.unwrap();
    assert!(resolved.next_cursor.is_none() && !resolved.dry_run && resolved.results[0].refused.is_none());
    assert_eq!((resolved.done(), resolved.refused()), (1, 1));
    let refused = resolved.results[1].refused.as_ref().unwrap();
    assert_eq!((refused.code(), refused.message(), refused.grpc_code()), ("GR0005", "has ended", Some(tonic::Code::FailedPrecondition)));
    client.discard_all(filter, Discard::new().dry_run(true)).await.unwrap();
    let wire = proto::DeadLetterFilter {
        workflow_id: "order-1".into(),
        run: 7,
        node: "charge".into(),
        error_contains: "refused".into(),
        since_ms: 5,
        until_ms: 9,
    };
    let asked = desk.asked();
    let [Asked::Redrive(redrive), Asked::Discard(discard)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((redrive.limit, &redrive.which), (2, &Some(redrive_request::Which::Filter(wire.clone()))));
    assert_eq!((discard.dry_run, &discard.which), (true, &Some(discard_request::Which::Filter(wire))));
}

#[tokio::test]
async fn all_that_a_filter_finds_is_done_page_after_page_up_to_the_limit_and_goes_on_from_there() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap();
    let many = DeadLetterFilter::new().node("many");
    // Each page does one and refuses one.
    let all = client.discard_all(many.clone(), Discard::new().request_id("d-1")).await.unwrap();
    assert_eq!((all.done(), all.refused(), all.next_cursor, all.stopped.is_none()), (3, 3, None, true));
    let two = client.redrive_all(many.clone(), Redrive::new().limit(2)).await.unwrap();
    assert_eq!((two.done(), two.next_cursor.as_deref()), (2, Some("p-3")), "what is refused does not count");
    let rest = client.redrive_all(many, Redrive::new().limit(2).cursor("p-3")).await.unwrap();
    assert_eq!((rest.done(), rest.next_cursor), (1, None));
    let looped = client.redrive_all(DeadLetterFilter::new().node("loop"), "again").await.unwrap();
    let stopped = looped.stopped.expect("no end");
    assert_eq!((stopped.code(), looped.results.len()), (ErrorCode::BadAnswer.name(), 4));

    let pages = desk.asked().clone().into_iter().map(|asked| match asked {
        Asked::Redrive(request) => (request_id(request.meta.as_ref()), request.cursor, request.limit),
        Asked::Discard(request) => (request_id(request.meta.as_ref()), request.cursor, request.limit),
        other => panic!("{other:?}"),
    });
    let pages: Vec<_> = pages.collect();
    let page = |cursor: &str, limit| ("d-1".to_owned(), cursor.to_owned(), limit);
    assert_eq!(pages[..3], [page("", 500), page("p-2", 500), page("p-3", 500)]);
    let asked: Vec<_> = pages[3..6].iter().map(|(_, cursor, limit)| (cursor.as_str(), *limit)).collect();
    assert_eq!(asked, [("", 2), ("p-2", 1), ("p-3", 2)]);
    assert_eq!(pages[3].0, pages[4].0, "one call is one request");
}

#[tokio::test]
async fn what_was_done_before_a_failure_is_told_with_it() {
    let (url, _desk) = Desk::serve([vec![Act::Answer], vec![BREAK; 100]].concat()).await;
    let client = Client::builder(url).request_timeout(Duration::from_millis(200)).build().unwrap();
    let told = client.discard_all(DeadLetterFilter::new().node("many"), "enough").await.unwrap();
    assert_eq!((told.results.len(), told.next_cursor.as_deref()), (2, Some("p-2")));
    assert!(told.stopped.expect("a failure").outcome_unknown());
}

#[tokio::test]
async fn several_are_named_in_requests_of_a_bounded_size() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap();
    let named = |task| DeadLetterName { workflow_id: "order-1".into(), run: 7, task };
    let told = client.redrive_several((1..=501).map(named), Redrive::new().reason("again")).await.unwrap();
    assert_eq!((told.results.len(), told.next_cursor), (4, None));
    client.discard_several(told.results.iter().take(1), "enough").await.unwrap();
    let asked = desk.asked();
    let [Asked::Redrive(first), Asked::Redrive(second), Asked::Discard(third)] = &asked[..] else { panic!("{asked:?}") };
    let named = |which: &Option<redrive_request::Which>| match which {
        Some(redrive_request::Which::Several(several)) => several.dead_letters.iter().map(|one| one.task).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((named(&first.which), named(&second.which)), ((1..=500).collect(), vec![501]));
    let one = proto::DeadLetterRef { workflow_id: "order-1".into(), run: 7, task: 3 };
    let several = proto::DeadLetterRefs { dead_letters: vec![one] };
    assert_eq!(third.which, Some(discard_request::Which::Several(several)));
}

#[tokio::test]
async fn one_dead_letter_that_is_refused_is_a_failure_of_the_call() {
    let (url, _desk) = Desk::serve([]).await;
    let task = Client::connect(url).unwrap().workflow("order-1").task(9);
    for error in [task.redrive("again").await.unwrap_err(), task.discard("enough").await.unwrap_err()] {
        assert_eq!(error.code(), "GR0005");
        assert!(error.has_no_side_effects() && error.to_string().contains("task 9 of workflow \"order-1\""), "{error}");
    }
}

#[tokio::test]
async fn a_dry_run_that_breaks_has_changed_nothing_and_a_redrive_that_breaks_may_have() {
    let (url, _desk) = Desk::serve(vec![BREAK; 100]).await;
    let client = Client::builder(url).request_timeout(Duration::from_millis(200)).build().unwrap();
    let failed = |how| async { client.redrive_all(DeadLetterFilter::new(), how).await.unwrap_err() };
    assert!(failed(Redrive::new().dry_run(true)).await.has_no_side_effects());
    assert!(failed(Redrive::new()).await.outcome_unknown());
}

#[tokio::test]
async fn tasks_are_found_by_workflow_node_and_state_and_one_is_told_with_its_attempts() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap().stale();
    let filter = TaskFilter::new().workflow("order-1").run(7).node("charge").state(TaskState::Blocked).limit(5).cursor("c");
    let page = client.tasks(filter).await.unwrap();
    assert_eq!((page.tasks[0].run, page.next_cursor), (7, None));
    let details = client.workflow("order-1").task(3).get().await.unwrap();
    assert_eq!((details.task.node.as_str(), details.failed_attempts[0].message.as_str(), details.run), ("charge", "no", 7));
    assert_eq!(details.state, RawJson::default());
    assert_eq!(client.workflow("order-1").task(3).get_dead_letter().await.unwrap().task.state, "dead-lettered");
    let error = client.workflow("order-1").task(4).get().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::BadAnswer.name());
    let asked = desk.asked();
    let stale = proto::Consistency::Stale.into();
    assert_eq!(
        asked[0],
        Asked::Tasks(proto::ListTasksRequest {
            namespace: "default".into(),
            workflow_id: "order-1".into(),
            run: 7,
            node: "charge".into(),
            states: vec![TaskState::Blocked.into()],
            limit: 5,
            cursor: "c".into(),
            consistency: stale,
        })
    );
    let question =
        proto::GetTaskRequest { namespace: "default".into(), workflow_id: "order-1".into(), run: 0, task: 3, consistency: stale };
    assert_eq!(asked[1..3], [Asked::Task(question.clone()), Asked::DeadLetter(question)]);
}

#[tokio::test]
async fn pages_of_dead_letters_follow_one_another() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap().in_namespace("billing");
    let page = client.dead_letters(DeadLetterFilter::new(), 1, "").await.unwrap();
    assert_eq!((page.dead_letters[0].task, page.next_cursor.as_deref()), (3, Some("next")));
    client.dead_letters(DeadLetterFilter::new(), 1, &page.next_cursor.unwrap()).await.unwrap();
    let asked = desk.asked();
    let cursors: Vec<_> = asked
        .iter()
        .map(
            |asked| {
                if let Asked::DeadLetters(list) = asked { (list.namespace.as_str(), list.cursor.as_str()) } else { panic!("{asked:?}") }
            },
        )
        .collect();
    assert_eq!(cursors, [("billing", ""), ("billing", "next")]);
}

#[tokio::test]
async fn limits_are_of_a_node_of_the_namespace_or_of_the_cluster_and_never_by_mistake_of_it() {
    let (url, desk) = Desk::serve([]).await;
    let client = Client::connect(url).unwrap().in_namespace("billing");
    let set = client.set_limit("charge", 5).await.unwrap();
    assert_eq!((set.before, set.now.unwrap().max), (None, 5));
    let unset = client.unset_limit(LimitOf::Cluster).await.unwrap();
    assert_eq!((unset.before.unwrap().max, unset.now), (5, None));
    for error in [client.set_limit("", 5).await.unwrap_err(), client.unset_limit(String::new()).await.unwrap_err()] {
        assert!(error.has_no_side_effects() && error.to_string().contains("LimitOf::Cluster"), "{error}");
    }
    let limits = client.limits().await.unwrap();
    assert!(limits.live && limits.limits[0].held == 2);
    client.all_limits().await.unwrap();
    let asked = desk.asked();
    let [Asked::SetLimit(set), Asked::UnsetLimit(unset), Asked::Limits(here), Asked::Limits(all)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((set.namespace.as_str(), set.node.as_str(), set.max), ("billing", "charge", 5));
    assert_eq!((unset.namespace.as_str(), unset.node.as_str()), ("", ""));
    assert_eq!((here.namespace.as_str(), all.namespace.as_str()), ("billing", ""));
}

#[tokio::test]
async fn an_error_of_an_operation_names_the_task_and_the_workflow() {
    let (url, _desk) = Desk::serve([Act::Bare(tonic::Code::PermissionDenied)]).await;
    let error: ClientError = Client::connect(url).unwrap().workflow("order-1").task(3).retry("go").await.unwrap_err();
    assert!(error.to_string().starts_with("failed to retry task 3 of workflow \"order-1\" in namespace \"default\": "), "{error}");
}

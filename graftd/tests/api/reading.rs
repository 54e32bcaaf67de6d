//! Reading: one workflow, lists, histories, the cluster.

use graft_proto::v1;
use tonic::Code;

use crate::member::{Member, detail, get, named, refusal, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_found_by_its_name() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let status = client.get(get("nobody")).await.expect_err("absent");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().starts_with("workflow \"nobody\" in namespace \"default\" does not exist"), "{}", status.message());
    assert_eq!(refusal(client.history(v1::HistoryRequest { workflow_id: "nobody".into(), ..Default::default() }).await).0, "GR0003");
    assert_eq!(refusal(client.wait(v1::WaitRequest { workflow_id: "nobody".into(), ..Default::default() }).await).0, "GR0003");
    assert_eq!(refusal(client.pause(v1::ControlRequest { workflow_id: "nobody".into(), ..Default::default() }).await).0, "GR0003");
    let watched = client.watch(v1::WatchRequest { workflow_id: "nobody".into(), ..Default::default() }).await;
    assert_eq!(refusal(watched.map(|_| ())).0, "GR0003");
    let stale = v1::GetRequest { consistency: v1::Consistency::Stale as i32, ..get("nobody") };
    assert_eq!(refusal(client.get(stale).await).0, "GR0003");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_and_foreign_cursors_are_refused() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    for n in 0..12 {
        client.start(start(&format!("{}-{n:02}", if n % 2 == 0 { "even" } else { "odd" }), "a")).await.expect("started");
    }
    client.pause(v1::ControlRequest { workflow_id: "odd-03".into(), ..Default::default() }).await.expect("paused");
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let request = v1::ListRequest { limit: 5, cursor, ..Default::default() };
        let page = client.list(request).await.expect("a page").into_inner();
        assert!(page.workflows.len() <= 5);
        ids.extend(page.workflows.into_iter().map(|row| row.workflow_id));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
        let foreign = v1::ListRequest { limit: 5, cursor: cursor.clone(), id_prefix: "odd".into(), ..Default::default() };
        assert_eq!(refusal(client.list(foreign).await).0, "GR0013");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 12);
    let paused = v1::ListRequest { statuses: vec![v1::WorkflowStatus::Paused as i32], ..Default::default() };
    let page = client.list(paused).await.expect("a page").into_inner();
    assert_eq!(page.workflows.iter().map(|row| row.workflow_id.as_str()).collect::<Vec<_>>(), ["odd-03"]);
    let even = v1::ListRequest { id_prefix: "even-".into(), ..Default::default() };
    assert_eq!(client.list(even).await.expect("a page").into_inner().workflows.len(), 6);
    assert_eq!(refusal(client.list(v1::ListRequest { cursor: "nonsense".into(), ..Default::default() }).await).0, "GR0013");
    let wide = refusal(client.list(v1::ListRequest { limit: 5_000, ..Default::default() }).await);
    assert!(wide.1.contains("at most 1000"), "{}", wide.1);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_comes_in_pages_and_names_who_asked() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    client.start(named(start("a", "n"), "billing")).await.expect("started");
    for n in 0..4 {
        let control = v1::ControlRequest { workflow_id: "a".into(), reason: format!("reason {n}"), ..Default::default() };
        let answer = if n % 2 == 0 { client.pause(control).await } else { client.resume(control).await };
        answer.expect("done");
    }
    let mut events = Vec::new();
    let (mut cursor, mut run) = (String::new(), 0);
    loop {
        // The first page tells the run; who names it from then on, as a careful client does, goes on in the same history.
        let request = v1::HistoryRequest { workflow_id: "a".into(), limit: 2, cursor, run, ..Default::default() };
        let page = client.history(request).await.expect("a page").into_inner();
        events.extend(page.events);
        (cursor, run) = (page.next_cursor, page.run);
        if !cursor.is_empty() {
            let other = v1::HistoryRequest { workflow_id: "a".into(), cursor: cursor.clone(), run: run + 1, ..Default::default() };
            assert_eq!(refusal(client.history(other).await).0, "GR0013");
        }
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(events.iter().map(|event| event.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(events.is_sorted_by_key(|event| event.time_ms));
    let Some(v1::event::Happened::Started(started)) = &events[0].happened else { panic!("not a start: {:?}", events[0]) };
    assert_eq!(started.principal, "client:billing");
    let Some(v1::event::Happened::Paused(paused)) = &events[1].happened else { panic!("not a pause: {:?}", events[1]) };
    assert_eq!((paused.principal.as_str(), paused.reason.as_str()), ("client:anonymous", "reason 0"));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_is_told_as_this_member_sees_it() {
    let member = Member::start().await;
    member.workflows().await.start(start("a", "n")).await.expect("started");
    let mut client = member.cluster().await;
    let status = client.status(v1::ClusterStatusRequest {}).await.expect("a status").into_inner();
    assert_eq!((status.cluster_id.as_str(), status.answered_by, status.leader), (crate::member::CLUSTER, 1, 1));
    assert_eq!((status.members.len(), status.members[0].role.as_str(), status.version.as_str()), (1, "leader", "1.2.3"));
    assert!(status.members[0].applied_index > 0 && status.not_ready_reason.is_empty());
    let stats = client.stats(v1::StatsRequest {}).await.expect("stats").into_inner();
    assert_eq!((stats.start_commands, stats.member), (1, 1));
    assert!(stats.entries >= 1 && stats.peak_memory_bytes > 0);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_leader_refuses_what_needs_one_and_answers_the_rest() {
    let member = Member::start_without_leader().await;
    let mut client = member.workflows().await;
    let refused = [client.start(start("a", "n")).await.map(|_| ()), client.get(get("a")).await.map(|_| ())];
    for status in refused.map(|answer| answer.expect_err("no leader")) {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let told = detail(&status);
        assert_eq!((told.code.as_str(), told.retryable, told.outcome_unknown), ("GR0010", true, false));
    }
    let stale = v1::ListRequest { consistency: v1::Consistency::Stale as i32, ..Default::default() };
    assert!(client.list(stale).await.expect("what is known here").into_inner().workflows.is_empty());
    let mut cluster = member.cluster().await;
    assert_eq!(cluster.status(v1::ClusterStatusRequest {}).await.expect("a status").into_inner().leader, 0);
    let workers = cluster.list_workers(v1::ListWorkersRequest::default()).await.expect("a list").into_inner();
    assert!(!workers.live && workers.workers.is_empty());
    member.stop().await;
}

/// What is there all the time is told once, in order, whatever comes and goes between two pages.
#[tokio::test(flavor = "multi_thread")]
async fn pages_stay_true_while_workflows_come_and_go() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    let labelled = |id: &str| v1::StartRequest { labels: [("team".to_owned(), "a".to_owned())].into(), ..start(id, "n") };
    let ids: Vec<String> = (0..12).map(|n| format!("stays-{n:02}")).collect();
    for id in &ids {
        client.start(labelled(id)).await.expect("a start");
    }
    let questions = [
        ("all", v1::ListRequest::default()),
        ("status", v1::ListRequest { statuses: vec![v1::WorkflowStatus::Running.into()], ..Default::default() }),
        ("prefix", v1::ListRequest { id_prefix: "stays".into(), ..Default::default() }),
        ("node", v1::ListRequest { node: "n".into(), ..Default::default() }),
        ("label", v1::ListRequest { labels: [("team".to_owned(), "a".to_owned())].into(), ..Default::default() }),
    ];
    for (what, question) in questions {
        let (mut told, mut cursor, mut round) = (Vec::new(), String::new(), 0);
        loop {
            let page = client.list(v1::ListRequest { limit: 2, cursor, ..question.clone() }).await.expect("a page").into_inner();
            told.extend(page.workflows.into_iter().map(|workflow| workflow.workflow_id).filter(|id| id.starts_with("stays")));
            cursor = page.next_cursor;
            if cursor.is_empty() {
                break;
            }
            // One comes at each end of every order, and one of those ends; not for ever, or the list would grow as fast as it is read.
            round += 1;
            if round > 8 {
                continue;
            }
            for id in [format!("a-{what}-{round}"), format!("z-{what}-{round}")] {
                client.start(labelled(&id)).await.expect("a start");
            }
            let request = v1::ControlRequest { workflow_id: format!("a-{what}-{round}"), ..Default::default() };
            client.terminate(request).await.expect("an end");
        }
        let mut sorted = told.clone();
        sorted.sort();
        assert_eq!(sorted, ids, "{what}: each once");
        assert!(told == ids || told.iter().eq(ids.iter().rev()), "{what}: in one order: {told:?}");
    }
    member.stop().await;
}

//! REST over real HTTP: each verb, its refusals, its streams, and the document that describes them.

use serde_json::{Value, json};

use crate::member::{Member, start};

const WORKFLOWS: &str = "/api/v1/namespaces/default/workflows";

fn node(name: &str) -> Value {
    json!({ "node": name })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_started_read_steered_and_exported() {
    let member = Member::start().await;
    let body = json!({ "workflow_id": "a/b c", "state": { "n": 1.50 }, "nodes": [node("n")], "labels": { "team": "sales" } });
    let started = member.send_json("POST", WORKFLOWS, &body).await;
    assert_eq!((started.status, started.header("content-type")), (201, "application/json"), "{}", started.body);
    let path = format!("{WORKFLOWS}/a%2Fb%20c");
    assert_eq!(started.header("location"), path);
    assert_eq!((started.header("x-content-type-options"), started.header("cache-control")), ("nosniff", "no-store"));
    let started = started.json();
    assert_eq!((&started["apiVersion"], &started["kind"]), (&json!("graft/v1"), &json!("StartedWorkflow")));
    assert_eq!((&started["workflow_id"], &started["created"]), (&json!("a/b c"), &json!(true)));
    let run = started["run"].clone();

    let got = member.fetch(&path).await.json();
    assert_eq!((&got["kind"], &got["status"], &got["run"]), (&json!("Workflow"), &json!("running"), &run));
    assert_eq!((&got["state"], &got["tasks"][0]["node"]), (&json!({ "n": 1.5 }), &json!("n")));
    assert_eq!(member.fetch(&format!("{path}?run={run}&consistency=stale")).await.json()["run"], run);
    member.fetch(&format!("{path}?run=99")).await.problem(404, "GR0003");

    let steer = async |verb: &str, body: &Value| member.send_json("POST", &format!("{path}/{verb}"), body).await;
    let paused = steer("pause", &json!({ "reason": "lunch" })).await.json();
    assert_eq!((&paused["kind"], &paused["workflow"]["status"]), (&json!("SteeredWorkflow"), &json!("paused")));
    assert_eq!(paused["workflow"]["reason"], json!("lunch"));
    // A body may be left out.
    let resumed = member.http("POST", &format!("{path}/resume"), &[("graft-client", "billing")], b"").await;
    assert_eq!(resumed.json()["workflow"]["status"], json!("running"));
    member.fetch(&format!("{path}/export")).await.problem(409, "GR0025");
    let waited = member.fetch(&format!("{path}/wait?timeout_ms=1")).await.json();
    assert_eq!((&waited["ended"], &waited["workflow"]["status"]), (&json!(false), &json!("running")));
    let cancelled = steer("cancel", &json!({ "grace_ms": 1 })).await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.body);
    let waited = member.fetch(&format!("{path}/wait")).await.json();
    assert_eq!((&waited["ended"], &waited["workflow"]["status"]), (&json!(true), &json!("cancelled")));

    let page = member.fetch(&format!("{path}/history?limit=3")).await.json();
    assert_eq!((&page["kind"], &page["workflow_id"], &page["run"]), (&json!("WorkflowHistory"), &json!("a/b c"), &run));
    assert_eq!((&page["events"][2]["type"], &page["events"][2]["principal"]), (&json!("resumed"), &json!("client:billing")));
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = member.fetch(&format!("{path}/history?cursor={cursor}")).await.json();
    assert_eq!((&rest["events"][0]["number"], &rest["next_cursor"]), (&json!(4), &json!(null)));

    let export = member.fetch(&format!("{path}/export")).await;
    assert_eq!(export.header("content-disposition"), "attachment; filename=\"a%2Fb%20c.json\"");
    let export = export.json();
    assert_eq!((&export["kind"], &export["workflow"]["run"]), (&json!("WorkflowExport"), &run));
    assert_eq!(export["events"][0], page["events"][0]);
    // It has ended.
    steer("terminate", &json!({})).await.problem(409, "GR0005");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows_are_listed_and_counted() {
    let member = Member::start().await;
    let mut client = member.workflows().await;
    for n in 0..5 {
        client.start(start(&format!("w-{n}"), "n")).await.expect("started");
    }
    member.send_json("POST", &format!("{WORKFLOWS}/w-0/terminate"), &json!({})).await;
    member.send_json("POST", &format!("{WORKFLOWS}/w-1/pause"), &json!({})).await;
    let page = member.fetch(&format!("{WORKFLOWS}?limit=2&prefix=w-")).await.json();
    assert_eq!((&page["kind"], &page["workflows"][1]["workflow_id"]), (&json!("WorkflowList"), &json!("w-1")));
    let cursor = page["next_cursor"].as_str().expect("more");
    let page = member.fetch(&format!("{WORKFLOWS}?limit=2&prefix=w-&cursor={cursor}")).await.json();
    assert_eq!(page["workflows"][0]["workflow_id"], json!("w-2"));
    let page = member.fetch(&format!("{WORKFLOWS}?status=paused&status=terminated")).await.json();
    assert_eq!(page["workflows"].as_array().expect("rows").len(), 2);
    let labelled = json!({ "workflow_id": "l", "nodes": [node("other")], "labels": { "team": "sales=2" } });
    assert_eq!(member.send_json("POST", WORKFLOWS, &labelled).await.status, 201);
    for filter in ["node=other", "label=team=sales%3D2", "label=team=sales=2&node=other", "prefix=l"] {
        let page = member.fetch(&format!("{WORKFLOWS}?{filter}")).await.json();
        let found: Vec<_> = page["workflows"].as_array().expect("rows").iter().map(|row| row["workflow_id"].clone()).collect();
        assert_eq!(found, [json!("l")], "{filter}");
    }
    let rows =
        async |filter: &str| member.fetch(&format!("{WORKFLOWS}?{filter}")).await.json()["workflows"].as_array().expect("rows").len();
    assert_eq!((rows("created_since=2026-01-01T00:00:00Z").await, rows("created_until=2026-01-01T00:00:00%2B01:00").await), (6, 0));
    member.send_json("POST", &format!("{WORKFLOWS}/l/terminate"), &json!({})).await;
    member.fetch(&format!("{WORKFLOWS}?cursor=nonsense")).await.problem(400, "GR0013");
    member.fetch(&format!("{WORKFLOWS}?limit=1001")).await.problem(413, "GR0002");
    let problem = member.fetch(&format!("{WORKFLOWS}?label=team")).await.problem(400, "GR0001");
    assert_eq!(problem["detail"], json!("the query parameter `label` is \"team\", but has to be key=value"));
    let counts = member.fetch("/api/v1/namespaces/default/workflow-counts").await.json();
    assert_eq!((&counts["kind"], &counts["total"]), (&json!("WorkflowCounts"), &json!(6)));
    assert_eq!((&counts["counts"]["running"], &counts["counts"]["paused"], &counts["counts"]["failed"]), (&json!(3), &json!(1), &json!(0)));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_under_a_key_takes_effect_once() {
    let member = Member::start().await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
    let body = json!({ "nodes": [node("n")] }).to_string();
    let first = member.http("POST", WORKFLOWS, &headers, body.as_bytes()).await.json();
    let again = member.http("POST", WORKFLOWS, &headers, body.as_bytes()).await.json();
    assert_eq!((&first["workflow_id"], &first["run"]), (&again["workflow_id"], &again["run"]));
    let other = json!({ "nodes": [node("m")] }).to_string();
    let problem = member.http("POST", WORKFLOWS, &headers, other.as_bytes()).await.problem(409, "GR0006");
    assert_eq!(problem["remedy"], json!("use a new request id for a new request"));
    assert_eq!(member.fetch("/api/v1/namespaces/default/workflow-counts").await.json()["total"], json!(1));
    // A control is repeated in the same way.
    let path = format!("{WORKFLOWS}/{}/pause", first["workflow_id"].as_str().expect("an id"));
    for _ in 0..2 {
        assert_eq!(member.http("POST", &path, &[("idempotency-key", "k-2")], b"").await.status, 200);
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workflows_are_started_by_lines_and_each_is_answered() {
    let member = Member::start().await;
    let mut lines = String::new();
    for n in 0..2_000 {
        lines += &json!({ "workflow_id": format!("m-{n}"), "nodes": [node("n")] }).to_string();
        lines.push('\n');
    }
    lines += "\n{\"workflow_id\": \"m-0\", \"nodes\": [{\"node\": \"n\"}]}\n{\"nodes\": [{\"nod\": \"n\"}]}\nnonsense\n";
    let path = "/api/v1/namespaces/default/workflow-starts";
    let answer = member.http("POST", path, &[("content-type", "application/x-ndjson")], lines.as_bytes()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"), "{}", answer.body);
    let answers: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 2_003);
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer["number"], json!(at + 1));
        assert_eq!(answer["started"].is_null(), at >= 2_000, "{answer}");
    }
    assert_eq!(answers[2_000]["refused"]["code"], json!("GR0004"));
    assert_eq!(answers[2_001]["refused"]["remedy"], json!("did you mean `node`?"));
    assert!(answers[2_002]["refused"]["message"].as_str().expect("words").starts_with("line 2003 is no JSON"), "{}", answers[2_002]);
    assert_eq!(member.fetch("/api/v1/namespaces/default/workflow-counts").await.json()["total"], json!(2_000));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_each_event_goes_on_where_it_was_and_ends() {
    let member = Member::start().await;
    member.send_json("POST", WORKFLOWS, &json!({ "workflow_id": "a", "nodes": [node("n")] })).await;
    let path = format!("{WORKFLOWS}/a/events");
    let mut watch = member.open_http("GET", &path, &[("accept", "text/event-stream")], b"").await;
    assert_eq!(watch.status, 200);
    assert!(watch.head.to_lowercase().contains("content-type: text/event-stream"), "{}", watch.head);
    let (first, kind, data) = watch.event().await.expect("the start");
    let event: Value = serde_json::from_str(&data).expect("JSON");
    assert_eq!((kind.as_str(), &event["kind"], &event["type"]), ("", &json!("Event"), &json!("started")));
    // What happens is told while it happens.
    member.send_json("POST", &format!("{WORKFLOWS}/a/pause"), &json!({})).await;
    let (second, _, data) = watch.event().await.expect("the pause");
    assert!(data.contains("\"type\":\"paused\""), "{data}");
    drop(watch);
    member.send_json("POST", &format!("{WORKFLOWS}/a/terminate"), &json!({})).await;
    // The run is replaced: who comes back goes on in the one that it was watching.
    let body = json!({ "workflow_id": "a", "nodes": [node("n")], "on_conflict": "replace_finished" });
    assert_eq!(member.send_json("POST", WORKFLOWS, &body).await.status, 201);
    let mut watch = member.open_http("GET", &path, &[("last-event-id", &second)], b"").await;
    let (last, _, data) = watch.event().await.expect("the end of the run");
    assert!(data.contains("\"type\":\"terminated\"") && data.contains("\"number\":3"), "{data}");
    let (_, kind, _) = watch.event().await.expect("the end of the stream");
    assert_eq!((kind.as_str(), watch.event().await), ("end", None));

    // A browser comes back all the same: nothing is left, and it is told not to.
    let run = first.split('-').next().expect("a run");
    for (query, headers) in [(String::new(), &[("last-event-id", &*last)][..]), (format!("?run={run}&from=4"), &[])] {
        let answer = member.http("GET", &format!("{path}{query}"), headers, b"").await;
        assert_eq!((answer.status, answer.body.as_str(), answer.header("content-type")), (204, "", ""), "{query}");
    }
    let mut watch = member.open_http("GET", &format!("{path}?run={run}&from=2"), &[], b"").await;
    assert_eq!(watch.event().await.expect("the pause").0, second);
    member.http("GET", &path, &[("last-event-id", "x")], b"").await.problem(400, "GR0001");
    member.fetch(&format!("{WORKFLOWS}/none/events")).await.problem(404, "GR0003");

    // A stream that a stop cuts off says so, and does not say that it is over.
    let mut watch = member.open_http("GET", &path, &[], b"").await;
    watch.event().await.expect("the start of the new run");
    member.begin_stop();
    let (_, kind, data) = watch.event().await.expect("a word");
    assert_eq!(kind, "problem");
    assert!(data.contains("GR0016"), "{data}");
    assert_eq!(watch.event().await, None);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_its_workers_and_the_pages_of_errors_are_told() {
    let member = Member::start().await;
    let cluster = member.fetch("/api/v1/cluster").await.json();
    assert_eq!((&cluster["kind"], &cluster["leader"], &cluster["ready"]), (&json!("ClusterStatus"), &json!("1"), &json!(true)));
    let members = member.fetch("/api/v1/cluster/members").await.json();
    assert_eq!((&members["kind"], &members["members"][0]["role"]), (&json!("MemberList"), &json!("leader")));
    let workers = member.fetch("/api/v1/workers?namespace=default").await.json();
    assert_eq!((&workers["kind"], &workers["live"], &workers["workers"]), (&json!("WorkerList"), &json!(true), &json!([])));
    let page = member.fetch("/api/v1/errors/GR0003").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/markdown; charset=utf-8"));
    assert!(page.body.starts_with("# GR0003: "), "{}", page.body);
    member.fetch("/api/v1/errors/GR8888").await.problem(404, "GR0001");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_set_listed_and_taken_away() {
    let member = Member::start().await;
    let node = "/api/v1/namespaces/default/limits/pick";
    let set = member.send_json("PUT", node, &json!({ "max": 3 })).await.json();
    assert_eq!((&set["kind"], &set["before"], &set["now"]["max"]), (&json!("LimitChange"), &json!(null), &json!(3)));
    let total = member.send_json("PUT", "/api/v1/limits/total", &json!({ "max": 9 })).await.json();
    assert_eq!((&total["now"]["max"], &total["now"]["node"]), (&json!(9), &json!(null)));
    let list = member.fetch("/api/v1/limits").await.json();
    assert_eq!((&list["kind"], &list["live"]), (&json!("LimitList"), &json!(true)));
    let limits: Vec<_> = list["limits"].as_array().expect("a list").iter().map(|limit| (&limit["node"], &limit["max"])).collect();
    assert_eq!(limits, [(&json!(null), &json!(9)), (&json!("pick"), &json!(3))]);
    let gone = member.http("DELETE", node, &[], b"").await.json();
    assert_eq!((&gone["before"]["max"], &gone["now"]), (&json!(3), &json!(null)));
    assert_eq!(member.http("DELETE", "/api/v1/limits/total", &[], b"").await.json()["before"]["max"], json!(9));
    assert_eq!(member.http("DELETE", node, &[], b"").await.json()["before"], json!(null));
    assert_eq!(member.fetch("/api/v1/limits?namespace=default").await.json()["limits"], json!([]));
    member.send_json("PUT", node, &json!({ "max": 0 })).await.problem(400, "GR0001");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_all_workflows_are_told_and_a_subscription_goes_on_where_it_was() {
    let member = Member::start().await;
    for id in ["a-1", "b-1", "a-2"] {
        member.send_json("POST", WORKFLOWS, &json!({ "workflow_id": id, "nodes": [node("n")] })).await;
        member.send_json("POST", &format!("{WORKFLOWS}/{id}/pause"), &json!({})).await;
    }
    let path = "/api/v1/events?after=earliest&prefix=a-&type=paused&namespace=default";
    let mut events = member.open_http("GET", path, &[], b"").await;
    assert!(events.head.to_lowercase().contains("content-type: text/event-stream"), "{}", events.head);
    let mut next = async || loop {
        let (id, kind, data) = events.event().await.expect("it does not end");
        if !data.is_empty() {
            assert_eq!(kind, "");
            return (id, serde_json::from_str::<Value>(&data).expect("JSON"));
        }
    };
    let (first, event) = next().await;
    assert_eq!((&event["kind"], &event["workflow_id"], &event["type"]), (&json!("WorkflowEvent"), &json!("a-1"), &json!("paused")));
    assert_eq!(event["position"], json!(first));
    assert_eq!(next().await.1["workflow_id"], json!("a-2"));
    member.send_json("POST", &format!("{WORKFLOWS}/a-1/resume"), &json!({})).await;
    member.send_json("POST", &format!("{WORKFLOWS}/a-1/pause"), &json!({ "reason": "again" })).await;
    assert_eq!(next().await.1["reason"], json!("again"));

    let mut events = member.open_http("GET", path, &[("last-event-id", &first)], b"").await;
    let told = loop {
        let (_, _, data) = events.event().await.expect("it does not end");
        if !data.is_empty() {
            break data;
        }
    };
    assert!(told.contains("\"workflow_id\":\"a-2\""), "{told}");
    member.fetch("/api/v1/events?after=nonsense").await.problem(400, "GR0024");
    member.fetch("/api/v1/events?type=pausd").await.problem(400, "GR0001");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_what_to_do() {
    let member = Member::start().await;
    let problem = member.fetch(&format!("{WORKFLOWS}/none")).await.problem(404, "GR0003");
    assert_eq!(problem["title"].as_str().map(str::is_empty), Some(false));
    assert_eq!(problem["detail"], json!("workflow \"none\" in namespace \"default\" does not exist"));
    assert_eq!((&problem["object"], &problem["retryable"]), (&json!("workflow \"none\" in namespace \"default\""), &json!(false)));
    assert_eq!(problem["instance"], json!(format!("{WORKFLOWS}/none")));

    let remedy = |problem: Value| problem["remedy"].as_str().expect("advice").to_owned();
    let problem = member.fetch("/api/v1/namespaces/default/workflow").await.problem(404, "GR0015");
    assert_eq!(remedy(problem), "did you mean /api/v1/namespaces/default/workflows?");
    member.fetch("/api/v1").await.problem(404, "GR0015");
    member.fetch("/api/v1/a/b/c/d/e/f/g").await.problem(404, "GR0015");
    let answer = member.http("DELETE", WORKFLOWS, &[], b"").await;
    answer.problem(405, "GR0015");
    let mut allowed: Vec<_> = answer.header("allow").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "POST"]);
    let problem = member.fetch(&format!("{WORKFLOWS}?stauts=running")).await.problem(400, "GR0001");
    assert_eq!(remedy(problem), "did you mean `status`?");
    let problem = member.fetch(&format!("{WORKFLOWS}?status=runing")).await.problem(400, "GR0001");
    assert_eq!(remedy(problem), "did you mean `running`?");
    let problem = member.send_json("POST", WORKFLOWS, &json!({ "node": [] })).await.problem(400, "GR0001");
    assert_eq!(remedy(problem), "did you mean `nodes`?");
    let problem = member.send_json("POST", &format!("{WORKFLOWS}/a/pause"), &json!({ "grace_ms": 1 })).await.problem(400, "GR0001");
    assert!(problem["detail"].as_str().expect("words").contains("unknown field `grace_ms`"), "{problem}");
    let problem = member.send_json("POST", WORKFLOWS, &json!({ "nodes": [] })).await.problem(400, "GR0001");
    assert_eq!(remedy(problem), "name at least one node to begin with");

    let problem = member.http("POST", WORKFLOWS, &[("content-type", "text/plain")], b"{}").await.problem(415, "GR0001");
    assert!(remedy(problem).contains("application/json"));
    member.http("POST", WORKFLOWS, &[], b"{}").await.problem(415, "GR0001");
    let json_type = [("content-type", "application/json")];
    member.http("POST", WORKFLOWS, &json_type, b"{\"nodes\":").await.problem(400, "GR0001");
    member.http("POST", WORKFLOWS, &json_type, b"").await.problem(400, "GR0001");
    let large = json!({ "nodes": [node("n")], "state": { "text": "x".repeat(5 << 20) } }).to_string();
    let problem = member.http("POST", WORKFLOWS, &json_type, large.as_bytes()).await.problem(413, "GR0002");
    assert_eq!(problem["detail"], json!("the body is larger than 4194304 bytes"));
    let large = json!({ "nodes": [node("n")], "state": { "text": "x".repeat(2 << 20) } }).to_string();
    member.http("POST", WORKFLOWS, &json_type, large.as_bytes()).await.problem(413, "GR0002");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_leader_says_so_and_answers_what_it_knows() {
    let member = Member::start_without_leader().await;
    let problem = member.fetch(WORKFLOWS).await.problem(503, "GR0010");
    assert_eq!((&problem["retryable"], &problem["outcome_unknown"]), (&json!(true), &json!(false)));
    assert_eq!(member.fetch(&format!("{WORKFLOWS}?consistency=stale")).await.json()["workflows"], json!([]));
    assert_eq!(member.fetch("/api/v1/cluster").await.json()["leader"], json!(null));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_join_is_granted_listed_and_revoked() {
    let member = Member::start().await;
    let made =
        member.send_json("POST", "/api/v1/cluster/join-tokens", &json!({ "member": "m2", "uses": 2, "ttl_ms": 60_000 })).await.json();
    let token = made["token"].as_str().expect("a token");
    let id = made["grant"]["id"].as_str().expect("an id").to_owned();
    assert!(token.starts_with(&format!("graft-join.{id}.")), "{made}");
    assert_eq!((&made["grant"]["type"], &made["grant"]["member"], &made["grant"]["uses"]), (&json!("token"), &json!("m2"), &json!(2)));
    let approved = member.send_json("PUT", "/api/v1/cluster/approvals/m3", &json!({})).await.json();
    assert_eq!((&approved["id"], &approved["type"]), (&json!("m3"), &json!("approval")));
    let listed = member.fetch("/api/v1/cluster/join-grants").await.json();
    assert_eq!(listed["grants"].as_array().expect("a list").len(), 2);
    assert!(!listed.to_string().contains(token.rsplit('.').next().expect("a secret")), "the secret is told once");
    let left = member.http("DELETE", &format!("/api/v1/cluster/join-grants/{id}"), &[], b"").await.json();
    assert_eq!((left["grants"].as_array().expect("a list").len(), &left["grants"][0]["id"]), (1, &json!("m3")));
    let gone = member.http("DELETE", &format!("/api/v1/cluster/join-grants/{id}"), &[], b"").await;
    assert_eq!((gone.status, &gone.json()["code"]), (404, &json!("GR0027")));
    for (path, body, word) in [
        ("/api/v1/cluster/join-tokens", json!({ "uses": 101 }), "at most 100"),
        ("/api/v1/cluster/join-tokens", json!({ "ttl_ms": 2_592_000_001_u64 }), "30 days"),
        ("/api/v1/cluster/join-tokens", json!({ "member": "a b" }), "is no name"),
        ("/api/v1/cluster/bootstrap", json!({ "members": [] }), "are not named"),
    ] {
        let refused = member.send_json("POST", path, &body).await;
        assert_eq!(refused.status, 400);
        assert!(refused.json()["detail"].as_str().expect("a reason").contains(word), "{}", refused.json());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_member_stays_and_orders_take_no_key() {
    let member = Member::start().await;
    let refused = member.http("DELETE", "/api/v1/cluster/members/m1", &[], b"").await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("GR0028")));
    assert!(refused.json()["detail"].as_str().expect("a reason").contains("last voter"));
    let refused = member.http("POST", "/api/v1/cluster/transfer-leader", &[], b"").await;
    assert!(refused.json()["detail"].as_str().expect("a reason").contains("no other voter answers"), "{}", refused.json());
    assert_eq!(member.http("POST", "/api/v1/cluster/members/nobody/promote", &[], b"").await.status, 404);
    let keyed = member.http("POST", "/api/v1/cluster/transfer-leader", &[("idempotency-key", "k")], b"").await;
    assert!(keyed.json()["detail"].as_str().expect("a reason").contains("is not for this verb"), "{}", keyed.json());
    let would = member.send_json("POST", "/api/v1/cluster/machine-version", &json!({ "dry_run": true })).await;
    assert_eq!((would.status, &would.json()["before"], &would.json()["machine_version"]), (200, &json!(2), &json!(2)));
    let back = member.send_json("POST", "/api/v1/cluster/machine-version", &json!({ "to": 1 })).await;
    assert_eq!((back.status, &back.json()["code"]), (409, &json!("GR0028")));
    assert!(back.json()["detail"].as_str().expect("a reason").contains("no way back"), "{}", back.json());
    for undo in [false, true] {
        let drained = member.send_json("POST", "/api/v1/cluster/members/m1/drain", &json!({ "undo": undo })).await;
        assert_eq!((drained.status, &drained.json()["name"]), (200, &json!("m1")));
    }
}

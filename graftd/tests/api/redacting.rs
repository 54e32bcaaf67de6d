//! Fields that few may see: what each method with payload shows to whom.

use std::sync::Arc;

use futures::TryStreamExt;
use graft_proto::v1;
use graft_proto::v1::access_service_client::AccessServiceClient;
use graft_proto::v1::dead_letter_service_client::DeadLetterServiceClient;
use graft_proto::v1::event_service_client::EventServiceClient;
use graft_proto::v1::redrive_request::Which;
use graft_proto::v1::result::Outcome;
use graft_proto::v1::task_service_client::TaskServiceClient;
use graftd::auth::redacted::Fields;
use graftd::auth::{Asked, root_hash};
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::member::{Member, json, start, task, within};
use crate::worker::Worker;

const ROOT: &str = "0123456789abcdef0123456789abcdef";
/// What is in every hidden place.
const SECRET: &str = "open-sesame";
const DOCUMENT: &str = r#"{"password":"open-sesame","card":{"number":"open-sesame","year":30},"open":"shown"}"#;

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("ascii");
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// A method, and its answer as it would be read.
type Answer = (&'static str, String);

/// Answers about the workflow `a` that any of its moments has.
async fn answers(member: &Member, token: &str) -> Vec<Answer> {
    let channel = member.channel().await;
    let mut workflows = member.workflows().await;
    let id = || "a".to_owned();
    let get = v1::GetRequest { workflow_id: id(), ..Default::default() };
    let wait = v1::WaitRequest { workflow_id: id(), timeout_ms: 1, ..Default::default() };
    let history = v1::HistoryRequest { workflow_id: id(), ..Default::default() };
    let watch = v1::WatchRequest { workflow_id: id(), ..Default::default() };
    let subscribe = v1::SubscribeRequest { namespace: "default".into(), after: "earliest".into(), ..Default::default() };
    let one = v1::GetTaskRequest { workflow_id: id(), task: 2, ..Default::default() };
    let mut told = vec![
        ("Workflow.Get", format!("{:?}", workflows.get(with(token, get)).await.expect("there"))),
        ("Workflow.History", format!("{:?}", workflows.history(with(token, history)).await.expect("there"))),
        ("Task.Get", format!("{:?}", TaskServiceClient::new(channel.clone()).get(with(token, one)).await.expect("there"))),
    ];
    let waited = workflows.wait(with(token, wait)).await.expect("there").into_inner();
    if waited.ended {
        told.push(("Workflow.Wait", format!("{waited:?}")));
    }
    let mut watched = workflows.watch(with(token, watch)).await.expect("there").into_inner();
    told.push(("Workflow.Watch", format!("{:?}", within(watched.message()).await.expect("it goes on").expect("events"))));
    let mut subscribed = EventServiceClient::new(channel).subscribe(with(token, subscribe)).await.expect("there").into_inner();
    let events = loop {
        let batch = within(subscribed.message()).await.expect("it goes on").expect("events");
        if !batch.events.is_empty() {
            break batch;
        }
    };
    told.push(("Event.Subscribe", format!("{events:?}")));
    let bearer = format!("Bearer {token}");
    let headers = if token.is_empty() { vec![] } else { vec![("authorization", bearer.as_str())] };
    told.push(("REST", member.http("GET", "/api/v1/namespaces/default/workflows/a", &headers, b"").await.body));
    told
}

async fn dead_letter(member: &Member, token: &str) -> Vec<Answer> {
    let one = v1::GetTaskRequest { workflow_id: "a".into(), task: 2, ..Default::default() };
    let found = DeadLetterServiceClient::new(member.channel().await).get(with(token, one)).await.expect("a dead letter");
    vec![("DeadLetter.Get", format!("{found:?}"))]
}

async fn open_tasks(member: &Member, token: &str) -> Vec<Answer> {
    let list = v1::ListTasksRequest { workflow_id: "a".into(), ..Default::default() };
    let found = TaskServiceClient::new(member.channel().await).list(with(token, list)).await.expect("a page");
    vec![("Task.List", format!("{found:?}"))]
}

async fn export(member: &Member, token: &str) -> Vec<Answer> {
    let asked = v1::ExportRequest { workflow_id: "a".into(), ..Default::default() };
    let pieces = member.workflows().await.export(with(token, asked)).await.expect("it has ended").into_inner();
    let pieces: Vec<v1::ExportResponse> = within(pieces.try_collect()).await.expect("all of it");
    vec![("Workflow.Export", pieces.iter().map(|piece| String::from_utf8_lossy(&piece.piece).into_owned()).collect())]
}

/// Each reader: its name, its token, and whether it sees everything.
async fn readers(member: &Member) -> Vec<(&'static str, String, bool)> {
    let mut access = AccessServiceClient::new(member.channel().await);
    let mut readers = vec![("root", ROOT.to_owned(), true)];
    for (name, grants, sees) in [
        ("viewer", vec!["viewer@default"], false),
        ("operator", vec!["operator@default"], false),
        ("admin elsewhere", vec!["viewer@default", "namespace-admin@b"], false),
        ("admin here", vec!["namespace-admin@default"], true),
        ("admin everywhere", vec!["namespace-admin"], true),
        ("cluster admin", vec!["cluster-admin"], true),
    ] {
        let grants = grants.into_iter().map(str::to_owned).collect();
        let asked = v1::CreateTokenRequest { name: "t".into(), grants, ttl_ms: 0 };
        readers.push((name, access.create_token(with(ROOT, asked)).await.expect("made").into_inner().secret, sees));
    }
    readers
}

/// Who shows the root token is let in either way.
fn asking(required: bool) -> Asked {
    Asked { required, root: Some(root_hash(ROOT).expect("long enough")), ..Asked::default() }
}

/// All readers see of these answers what they may; and so does somebody who has shown nothing, where nobody has to.
async fn each_sees_what_it_may(member: &Member, answers: impl AsyncFn(&Member, &str) -> Vec<Answer>) {
    member.auth.ask(asking(true));
    for (reader, token, sees) in readers(member).await {
        for (method, told) in answers(member, &token).await {
            assert_eq!(told.contains(SECRET), sees, "{method} to {reader}: {told}");
            assert_eq!(told.contains("[redacted]"), !sees, "{method} to {reader}: {told}");
        }
    }
    member.auth.ask(asking(false));
    for (method, told) in answers(member, "").await {
        assert!(!told.contains(SECRET) && told.contains("[redacted]") && told.contains("shown"), "{method} to anybody: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_with_payload_hides_fields_from_those_who_do_not_administer() {
    let member = Member::start().await;
    let fields = ["password", "/card/number", "pins"].map(str::to_owned);
    member.redacted.send_replace(Arc::new(Fields::of(&fields).expect("fields")));
    // What is begun is asked about again whenever other things are asked of callers.
    member.auth.ask(asking(false));
    let (mut worker, _) = Worker::connect_with(&member, "charge", |messages| with(ROOT, messages)).await;
    let whole = json(DOCUMENT);
    let charge = || v1::NewTask { config: whole.clone(), ..task("charge") };
    let asked = v1::StartRequest { state: whole.clone(), nodes: vec![charge()], ..start("a", "charge") };
    member.workflows().await.start(asked).await.expect("started");

    // Workers are handed everything.
    let first = worker.task().await;
    let data = |payload: &Option<v1::Payload>| {
        serde_json::from_slice::<serde_json::Value>(&payload.as_ref().expect("payload").data).expect("JSON")
    };
    assert_eq!((data(&first.state), data(&first.config)), (data(&whole), data(&whole)));
    let change = v1::operation::Change::Append(json(&format!("{SECRET:?}")).expect("JSON"));
    let completed = v1::Completed {
        base_revision: first.state_revision,
        patch: whole.clone(),
        operations: vec![v1::Operation { pointer: "/pins".into(), change: Some(change) }],
        next: vec![charge()],
        ..Default::default()
    };
    worker.resolve(&first, Outcome::Completed(completed)).await;
    worker.ack().await;
    each_sees_what_it_may(&member, answers).await;
    each_sees_what_it_may(&member, open_tasks).await;

    let second = worker.task().await;
    let failed = v1::Failed { kind: v1::FailureKind::Permanent as i32, message: "no".into(), ..Default::default() };
    worker.resolve(&second, Outcome::Failed(failed)).await;
    worker.ack().await;
    each_sees_what_it_may(&member, dead_letter).await;

    let one = v1::DeadLetterRef { workflow_id: "a".into(), run: 0, task: 2 };
    let redrive =
        v1::RedriveRequest { which: Some(Which::One(one)), config: whole.clone(), state_patch: whole.clone(), ..Default::default() };
    DeadLetterServiceClient::new(member.channel().await).redrive(redrive).await.expect("redriven");
    let again = worker.task().await;
    assert_eq!(data(&again.config), data(&whole));
    worker.complete(&again, "{}", vec![]).await;
    worker.ack().await;
    each_sees_what_it_may(&member, answers).await;
    each_sees_what_it_may(&member, export).await;
    member.stop().await;
}

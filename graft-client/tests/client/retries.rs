//! What is repeated, where, and what the caller is told when that does not help.

use std::time::Duration;

use graft_client::proto::ErrorDetail;
use graft_client::{Client, ClientError, ErrorCode};
use tonic::Code;

use crate::scripted::{Act, BREAK, Script, detail};

async fn start(client: &Client) -> Result<graft_client::Started, ClientError> {
    client.start("order-1").node_named("charge", ()).await
}

#[tokio::test]
async fn a_start_is_repeated_with_the_same_request_id_until_it_is_answered() {
    let later = ErrorDetail { retryable: true, ..detail("GR0100") };
    let (url, server) = Script::acts([BREAK, Act::Refuse(Code::ResourceExhausted, later)]).serve().await;
    let client = Client::builder(url).identity("till-3").build().unwrap();
    assert_eq!(start(&client).await.unwrap().run, 7);
    let seen = server.seen();
    let ids: Vec<&str> = seen.starts.iter().map(|start| start.meta.as_ref().unwrap().request_id.as_str()).collect();
    assert_eq!(ids.len(), 3);
    assert!(!ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(seen.principals.iter().all(|name| name == "till-3") && seen.principals.len() == 3);
}

#[tokio::test]
async fn a_start_without_an_id_that_the_caller_can_repeat_leaves_the_id_to_the_server() {
    let (url, server) = Script::default().serve().await;
    let client = Client::connect(url).unwrap();
    for _ in 0..2 {
        client.start("").node_named("charge", ()).request_id("r-1").await.unwrap();
    }
    client.start("").node_named("charge", ()).retention(Duration::from_secs(60)).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.starts[0], seen.starts[1], "a repeat asks for the same");
    assert_eq!(seen.starts[0].workflow_id, "");
    // Nobody but the client repeats this one: its id may be made before.
    assert_eq!(seen.starts[2].retention_ms, 60_000);
    assert!(!seen.starts[2].workflow_id.is_empty() && !seen.starts[2].meta.as_ref().unwrap().request_id.is_empty());
}

#[tokio::test]
async fn a_start_without_an_id_that_fails_is_not_said_to_be_of_a_workflow_without_a_name() {
    let (url, _server) = Script::acts([Act::Bare(Code::InvalidArgument)]).serve().await;
    let client = Client::connect(url).unwrap();
    let start = || client.start("").request_id("r-1");
    let refused = start().node_named("charge", ()).await.unwrap_err().to_string();
    let unwritable = start().node_named("charge", std::collections::BTreeMap::from([((1, 2), 3)])).await.unwrap_err().to_string();
    let large = start().state(&["x".repeat(1 << 20)]).unwrap().await.unwrap_err().to_string();
    for text in [refused, unwritable, large] {
        assert!(text.starts_with("failed to start a workflow") && !text.contains("\"\""), "{text}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_sent_and_the_large_part_is_named() {
    let (url, server) = Script::default().serve().await;
    let client = Client::connect(url).unwrap();
    let text = |bytes: usize| "x".repeat(bytes);
    let start = || client.start("order-1");
    let many = (0..5).fold(start(), |start, n| start.node_named(format!("n{n}"), text(1 << 19).as_str()));
    let many = (0..5).fold(many, |start, n| start.node_named(format!("m{n}"), text(1 << 19).as_str()));
    let errors = [
        (start().state(&[text(1 << 20)]).unwrap().await.unwrap_err(), "its state has 1048580 bytes, at most 1048576 are allowed"),
        (start().node_named("charge", text(5 << 20)).await.unwrap_err(), "the config for node \"charge\" has 5242882 bytes"),
        (many.await.unwrap_err(), "the request has 52"),
        (client.workflow("order-1").pause(text(5 << 20)).await.unwrap_err(), "the request has 52"),
    ];
    for (error, why) in errors {
        assert_eq!(error.code(), ErrorCode::RequestTooLarge.name());
        assert!(error.has_no_side_effects() && !error.is_retryable(), "{error}");
        let text = error.to_string();
        assert!(text.contains("workflow \"order-1\"") && text.contains(why) && text.contains("keep large data outside"), "{text}");
    }
    assert!(server.seen().starts.is_empty() && server.seen().controls.is_empty());
}

#[tokio::test]
async fn a_refusal_that_will_stand_is_not_repeated_and_says_what_to_do() {
    let taken = ErrorDetail { remedy: "Choose another id.".into(), ..detail("GR0004") };
    let (url, server) = Script::acts([Act::Refuse(Code::AlreadyExists, taken)]).serve().await;
    let error = start(&Client::connect(url).unwrap()).await.unwrap_err();
    assert_eq!(server.seen().starts.len(), 1);
    assert!(error.is_already_exists() && error.has_no_side_effects() && !error.is_retryable());
    assert_eq!((error.code(), error.remedy(), error.message()), ("GR0004", "Choose another id.", "the script says no"));
}

#[tokio::test]
async fn the_leader_that_a_member_names_is_asked_next() {
    let (leader_url, leader) = Script::default().serve().await;
    let hint = ErrorDetail { retryable: true, leader_address: leader_url, ..detail("GR0010") };
    let (url, follower) = Script::acts([Act::Refuse(Code::Unavailable, hint)]).serve().await;
    let client = Client::connect(url).unwrap();
    start(&client).await.unwrap();
    // From then on it is asked first.
    start(&client).await.unwrap();
    assert_eq!((follower.seen().starts.len(), leader.seen().starts.len()), (1, 2));
}

#[tokio::test]
async fn a_member_that_is_down_is_passed_over() {
    let (url, server) = Script::default().serve().await;
    let client = Client::connect(["http://127.0.0.1:1", url.as_str()]).unwrap();
    start(&client).await.unwrap();
    assert_eq!(server.seen().starts.len(), 1);
}

#[tokio::test]
async fn a_start_that_never_left_had_no_side_effects_and_one_that_broke_may_have() {
    let nobody = Client::builder("http://127.0.0.1:1").request_timeout(Duration::from_millis(300)).build().unwrap();
    let error = start(&nobody).await.unwrap_err();
    assert!(error.has_no_side_effects() && error.is_retryable(), "{error}");
    assert!(error.to_string().contains("http://127.0.0.1:1"), "{error}");

    let (url, _server) = Script::acts(vec![BREAK; 100]).serve().await;
    let breaking = Client::builder(url).request_timeout(Duration::from_millis(300)).build().unwrap();
    let error = start(&breaking).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    // A read has none, however it ends.
    assert!(breaking.workflow("order-1").get().await.unwrap_err().has_no_side_effects());
}

#[tokio::test]
async fn a_change_that_was_in_doubt_once_stays_so_unless_the_server_proves_that_it_never_happened() {
    let unknown = |code| ErrorDetail { outcome_unknown: true, ..detail(code) };
    let exists = Act::Refuse(Code::AlreadyExists, detail("GR0004"));
    let conflict = Act::Refuse(Code::FailedPrecondition, detail("GR0006"));
    let cases = [
        ("a refusal before anything else", vec![exists.clone()], false),
        ("another kind of server behind the proxy", vec![BREAK, Act::Bare(Code::Unimplemented)], true),
        // A refusal is not remembered under the request id: the first try may still be on its way to the log.
        ("the id is taken, perhaps by the first try of another", vec![BREAK, exists], true),
        ("the server itself does not know", vec![Act::Refuse(Code::Internal, unknown("GR0019"))], true),
        ("a proxy that failed in its own words", vec![Act::Bare(Code::Internal)], true),
        ("a proxy that lost the answer", vec![Act::Bare(Code::Unknown)], true),
        ("a refusal of a proxy", vec![Act::Bare(Code::PermissionDenied)], false),
        // Whatever comes later under this request id is refused: the request id belongs to another request.
        ("the request id belongs to another request", vec![BREAK, conflict], false),
    ];
    for (case, acts, outcome_unknown) in cases {
        let (url, _server) = Script::acts(acts).serve().await;
        let client = Client::connect(url).unwrap();
        let error = start(&client).await.unwrap_err();
        assert_eq!((error.outcome_unknown(), error.has_no_side_effects()), (outcome_unknown, !outcome_unknown), "{case}: {error}");
        assert!(!error.is_retryable(), "{case}: {error}");
    }
    let (url, _server) = Script::acts([Act::Bare(Code::Internal)]).serve().await;
    let error = Client::connect(url).unwrap().workflow("order-1").get().await.unwrap_err();
    assert!(error.has_no_side_effects(), "a read has none: {error}");
}

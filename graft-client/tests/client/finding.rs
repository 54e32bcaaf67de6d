//! Lists, counts and exports.

use std::time::{Duration, UNIX_EPOCH};

use futures::stream::{self, StreamExt};
use graft_client::proto::{self, WorkflowStatus};
use graft_client::{Client, ListFilter};
use tonic::Status;

use crate::scripted::{BREAK, Script};

#[tokio::test]
async fn a_list_says_everything_that_narrows_it() {
    let (url, server) = Script::default().serve().await;
    let client = Client::connect(url).unwrap();
    let filter = ListFilter::new()
        .status(WorkflowStatus::Failed)
        .id_prefix("order-")
        .node("charge")
        .label("customer", "ada")
        .label("till", "3")
        .created_since(UNIX_EPOCH + Duration::from_millis(5))
        .created_until(UNIX_EPOCH + Duration::from_millis(9))
        .limit(10)
        .cursor("c");
    let page = client.list(filter).await.unwrap();
    assert_eq!((page.workflows[0].run, page.next_cursor.as_deref()), (7, Some("next")));
    let labels = [("customer", "ada"), ("till", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let expected = proto::ListRequest {
        namespace: "default".into(),
        statuses: vec![WorkflowStatus::Failed.into()],
        id_prefix: "order-".into(),
        limit: 10,
        cursor: "c".into(),
        consistency: proto::Consistency::Linearizable.into(),
        node: "charge".into(),
        labels: labels.into(),
        created_since_ms: 5,
        created_until_ms: 9,
    };
    assert_eq!(server.seen().lists, [expected]);
}

#[tokio::test]
async fn counts_are_told_also_where_there_is_none() {
    let (url, _server) = Script::acts([BREAK]).serve().await;
    let counts = Client::connect(url).unwrap().counts().await.unwrap();
    assert_eq!(counts, [(WorkflowStatus::Running, 3), (WorkflowStatus::Failed, 0)]);
}

fn pieces(pieces: &[&'static str]) -> Vec<Result<proto::ExportResponse, Status>> {
    pieces.iter().map(|piece| Ok(proto::ExportResponse { piece: piece.as_bytes().into() })).collect()
}

#[tokio::test]
async fn an_export_is_all_its_pieces_and_ends() {
    let (url, _server) = Script::acts([BREAK]).on_export(|_| stream::iter(pieces(&["{\"a\"", ":1}"])).boxed()).serve().await;
    let document: Vec<_> = Client::connect(url).unwrap().workflow("order-1").export().map(Result::unwrap).collect().await;
    assert_eq!(document.concat(), b"{\"a\":1}");
}

#[tokio::test]
async fn an_export_that_breaks_ends_with_an_error_and_is_not_taken_for_whole() {
    let broken = |_| stream::iter(pieces(&["{\"a\""]).into_iter().chain([Err(Status::unavailable("broken"))])).boxed();
    let (url, _server) = Script::default().on_export(broken).serve().await;
    let got: Vec<_> = Client::connect(&url).unwrap().workflow("order-1").export().collect().await;
    let error = got[1].as_ref().unwrap_err();
    assert!(got.len() == 2 && error.is_retryable() && error.has_no_side_effects(), "{error}");
    assert!(error.to_string().starts_with("failed to export workflow \"order-1\"") && error.to_string().contains(&url), "{error}");
}

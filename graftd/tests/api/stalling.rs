//! Clients that ask for much and read nothing: what they hold is theirs alone, and nobody else is refused for it.

use std::time::Duration;

use futures::stream;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::api::STARTS_IN_FLIGHT_MAX;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::member::{Member, refusal, start, within};

const WORKFLOWS: &str = "/api/v1/namespaces/default/workflows";
/// Bodies of many lines that would fill the room for the bodies of all other requests.
const CALLS: usize = 8;
/// Largest body of lines.
const LINES_BYTES: usize = 32 << 20;
/// Calls of many starts that would take all places for starts, if those were for everybody.
const BULK_CALLS: usize = 17;
/// Single starts beside them.
const SINGLES: usize = 200;

/// A body of that many bytes, of lines that are refused each with an answer of its own.
fn lines(bytes: usize) -> Vec<u8> {
    let line = format!("{{\"x\":\"{}\"}}\n", "x".repeat(400));
    let mut body = line.repeat(bytes / line.len()).into_bytes();
    body.resize(bytes, b'\n');
    body
}

/// Sends a call and reads the first line of its answer, and nothing more.
async fn send_and_stop(member: &Member, body: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(member.address).await.expect("it accepts");
    let head = format!(
        "POST /api/v1/namespaces/default/workflow-starts HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut status = vec![0; b"HTTP/1.1 200".len()];
    // Who is refused may be answered before everything is sent.
    let _ = within(async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        stream.read_exact(&mut status).await
    })
    .await;
    (stream, String::from_utf8_lossy(&status).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_lines_and_read_no_answer_take_no_room_from_other_calls() {
    let member = Member::start().await;
    let body = lines(LINES_BYTES);
    let stuck = futures::future::join_all((0..CALLS).map(|_| send_and_stop(&member, &body))).await;
    assert!(stuck.iter().any(|(_, status)| status == "HTTP/1.1 200"), "some were taken");
    let started = member.send_json("POST", WORKFLOWS, &json!({ "workflow_id": "a", "nodes": [{ "node": "n" }] })).await;
    assert_eq!(started.status, 201, "{}", started.body);
    let mut health = HealthClient::new(member.channel().await);
    within(health.check(HealthCheckRequest { service: String::new() })).await.expect("health is answered");
    drop(stuck);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_starts_have_room_while_calls_of_many_starts_take_all_that_is_theirs() {
    // Without a leader starts wait, and hold their places.
    let member = Member::start_without_leader().await;
    let mut unread = Vec::new();
    for call in 0..BULK_CALLS {
        let starts = stream::iter((0..).map(move |n: u64| start(&format!("bulk-{call}-{n}"), "a")));
        let mut client = WorkflowServiceClient::new(member.channel().await);
        unread.push(within(client.start_many(starts)).await.expect("a stream"));
    }
    let waiting = async || {
        let (_, metrics) = member.get("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("graft_raft_proposals_pending ")).expect("a gauge");
        line.parse::<usize>().expect("a number")
    };
    while within(waiting()).await < STARTS_IN_FLIGHT_MAX / 4 {
        tokio::task::yield_now().await;
    }
    let client = member.workflows().await;
    let mut singles = Vec::new();
    for n in 0..SINGLES {
        let mut client = client.clone();
        singles.push(tokio::spawn(async move { client.start(start(&format!("single-{n}"), "a")).await }));
        // The others come in meanwhile.
        waiting().await;
    }
    for single in singles {
        let (code, message) = refusal(within(single).await.expect("no panic"));
        assert_eq!(code, "GR0010", "it waited for a leader, as the others do: {message}");
    }
    drop(unread);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_that_reads_nothing_for_long_loses_its_connection() {
    let member = Member::start_impatient(Duration::from_millis(200)).await;
    let (mut stream, status) = send_and_stop(&member, &lines(LINES_BYTES)).await;
    assert_eq!(status, "HTTP/1.1 200");
    // The member reads no more of it, so this ends with the connection.
    let refused = within(stream.write_all(&vec![0; LINES_BYTES])).await;
    refused.expect_err("it is closed");
    member.stop().await;
}

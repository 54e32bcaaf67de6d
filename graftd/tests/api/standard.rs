//! The standard gRPC services: health and reflection.

use futures::{StreamExt, stream};
use graftd::observability::readiness::Readiness;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::{v1, v1alpha};

use crate::member::{Member, within};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

fn ready(ready: bool) -> Readiness {
    Readiness { ready, reason: "by the test".into() }
}

async fn told(watch: &mut tonic::Streaming<HealthCheckResponse>) -> ServingStatus {
    within(watch.message()).await.expect("the watch goes on").expect("a status").status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_readiness_for_the_server_and_every_service() {
    let member = Member::start().await;
    let mut health = HealthClient::new(member.channel().await);
    let services = [
        "",
        "graft.v1.WorkflowService",
        "graft.v1.LimitService",
        "graft.v1.AccessService",
        "graft.v1.MembershipService",
        "graft.v1.EventService",
        "graft.v1.WorkerService",
    ];
    for service in services {
        let answer = health.check(of(service)).await.expect("a status").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    for service in ["graft.v1.NoService", "graft.peer.v1.PeerService", "grpc.health.v1.Health"] {
        assert_eq!(health.check(of(service)).await.expect_err("unknown").code(), Code::NotFound, "{service}");
    }
    let mut watches = Vec::new();
    for service in ["", "graft.v1.WorkflowService"] {
        watches.push(health.watch(of(service)).await.expect("a watch").into_inner());
    }
    for (now, expected) in [(true, ServingStatus::Serving), (false, ServingStatus::NotServing), (true, ServingStatus::Serving)] {
        member.readiness.send_replace(ready(now));
        for watch in &mut watches {
            // A change that was undone at once may be told as two.
            while told(watch).await != expected {}
        }
        let answer = health.check(of("graft.v1.WorkflowService")).await.expect("a status").into_inner();
        assert_eq!(answer.status(), expected);
    }
    // A server that stops says so, and its watches end: they do not hold it.
    member.begin_stop();
    for watch in &mut watches {
        while let Some(status) = within(watch.message()).await.expect("it ends cleanly") {
            assert_ne!(status.status(), ServingStatus::Unknown);
        }
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_tells_the_public_protocol_and_health_in_both_versions_and_nothing_of_the_members() {
    let member = Member::start().await;
    let mut client = ServerReflectionClient::new(member.channel().await);
    let ask = |question| v1::ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let questions = [MessageRequest::ListServices(String::new()), MessageRequest::FileContainingSymbol("graft.v1.EventService".into())];
    let mut answers = client.server_reflection_info(stream::iter(questions.map(ask))).await.expect("a stream").into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        within(answers.message()).await.expect("an answer").expect("one").message_response
    else {
        panic!("no list")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = ["Access", "Cluster", "DeadLetter", "Event", "Limit", "Membership", "Task", "Worker", "Workflow"]
        .map(|name| format!("graft.v1.{name}Service"));
    assert_eq!(names, [&expected[..], &["grpc.health.v1.Health".to_owned()]].concat());
    let Some(MessageResponse::FileDescriptorResponse(file)) =
        within(answers.message()).await.expect("an answer").expect("one").message_response
    else {
        panic!("no file")
    };
    let text = String::from_utf8_lossy(&file.file_descriptor_proto[0]).into_owned();
    assert!(text.contains("graft/v1/event.proto") && text.contains("SubscribeRequest"));
    let peers = ask(MessageRequest::FileContainingSymbol("graft.peer.v1.PeerService".into()));
    let mut answers = client.server_reflection_info(stream::iter([peers])).await.expect("a stream").into_inner();
    assert_eq!(within(answers.message()).await.expect_err("unknown").code(), Code::NotFound);

    // Tools that know only the older version.
    use v1alpha::server_reflection_client::ServerReflectionClient as Older;
    use v1alpha::server_reflection_request::MessageRequest as OlderRequest;
    use v1alpha::server_reflection_response::MessageResponse as OlderResponse;
    let list = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(OlderRequest::ListServices(String::new())) };
    // The stream is left open; it ends with the server.
    let open = stream::iter([list]).chain(stream::pending());
    let mut answers = Older::new(member.channel().await).server_reflection_info(open).await.expect("a stream").into_inner();
    let answer = within(answers.message()).await.expect("an answer").expect("one").message_response;
    let Some(OlderResponse::ListServicesResponse(list)) = answer else { panic!("no list") };
    assert_eq!(list.service.len(), 10);
    member.begin_stop();
    assert_eq!(within(answers.message()).await.expect("it ends cleanly"), None);
    member.stop().await;
}

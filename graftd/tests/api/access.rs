//! Who may ask for what: every method of the protos by every role, over gRPC; and REST, which asks in the same place.

use std::collections::BTreeMap;

use graft_proto::v1;
use graft_proto::v1::access_service_client::AccessServiceClient;
use graft_proto::v1::limit_service_client::LimitServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::auth::rules::Rules;
use graftd::auth::{Asked, Auth, AuthOptions, root_hash};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::member::{Member, detail, start, within};

const ROOT: &str = "0123456789abcdef0123456789abcdef";

async fn guarded() -> Member {
    let asked = Asked { required: true, root: Some(root_hash(ROOT).expect("long enough")), rules: Rules::default() };
    Member::start_with_auth(Auth::new(AuthOptions { asked, provider: None })).await
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("ascii");
    request.metadata_mut().insert("authorization", value);
    request
}

async fn make(access: &mut AccessServiceClient<Channel>, by: &str, name: &str, grants: &[&str]) -> Result<v1::CreateTokenResponse, Status> {
    let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
    let request = v1::CreateTokenRequest { name: name.to_owned(), grants, ttl_ms: 0 };
    Ok(access.create_token(with(by, request)).await?.into_inner())
}

/// What a method needs, in the words of the table below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing: health.
    Nothing,
    /// That it is known who asks.
    Known,
    /// A role in the namespace of the request.
    Viewer,
    Operator,
    NamespaceAdmin,
    /// To be an admin of any namespace.
    AnyAdmin,
    /// A role in all namespaces.
    ViewerOfAll,
    ClusterAdmin,
}

/// Each method, a request of namespace `a` to it, and what it needs.
fn table() -> Vec<(&'static str, Vec<u8>, Needs)> {
    let a = || "a".to_owned();
    let start = v1::StartRequest { namespace: a(), ..Default::default() }.encode_to_vec();
    let control = || v1::ControlRequest { namespace: a(), workflow_id: "w".into(), ..Default::default() }.encode_to_vec();
    let unset = v1::UnsetLimitRequest { namespace: a(), node: "n".into(), ..Default::default() }.encode_to_vec();
    // Refused for what it asks: a profile that is made would keep others from theirs.
    let too_long = v1::ProfileRequest { duration_ms: u64::MAX }.encode_to_vec();
    let namespace = || v1::CountRequest { namespace: a(), ..Default::default() }.encode_to_vec();
    vec![
        ("graft.v1.WorkflowService/Start", start, Needs::Operator),
        // Each start on the stream is asked about by itself.
        ("graft.v1.WorkflowService/StartMany", vec![], Needs::Known),
        ("graft.v1.WorkflowService/Get", v1::GetRequest { namespace: a(), ..Default::default() }.encode_to_vec(), Needs::Viewer),
        ("graft.v1.WorkflowService/List", namespace(), Needs::Viewer),
        ("graft.v1.WorkflowService/Count", namespace(), Needs::Viewer),
        ("graft.v1.WorkflowService/Watch", namespace(), Needs::Viewer),
        ("graft.v1.WorkflowService/Wait", namespace(), Needs::Viewer),
        ("graft.v1.WorkflowService/History", namespace(), Needs::Viewer),
        ("graft.v1.WorkflowService/Export", namespace(), Needs::Viewer),
        ("graft.v1.WorkflowService/Pause", control(), Needs::Operator),
        ("graft.v1.WorkflowService/Resume", control(), Needs::Operator),
        ("graft.v1.WorkflowService/Cancel", control(), Needs::Operator),
        ("graft.v1.WorkflowService/Terminate", control(), Needs::Operator),
        ("graft.v1.TaskService/List", namespace(), Needs::Viewer),
        ("graft.v1.TaskService/Get", namespace(), Needs::Viewer),
        ("graft.v1.TaskService/Retry", namespace(), Needs::Operator),
        ("graft.v1.DeadLetterService/List", namespace(), Needs::Viewer),
        ("graft.v1.DeadLetterService/Get", namespace(), Needs::Viewer),
        ("graft.v1.DeadLetterService/Redrive", namespace(), Needs::Operator),
        ("graft.v1.DeadLetterService/Discard", namespace(), Needs::Operator),
        ("graft.v1.LimitService/List", namespace(), Needs::Viewer),
        ("graft.v1.LimitService/Set", limit("a", "n"), Needs::NamespaceAdmin),
        ("graft.v1.LimitService/Set", limit("", ""), Needs::ClusterAdmin),
        ("graft.v1.LimitService/Unset", unset, Needs::NamespaceAdmin),
        ("graft.v1.EventService/Subscribe", namespace(), Needs::Viewer),
        ("graft.v1.EventService/Subscribe", vec![], Needs::ViewerOfAll),
        // What a worker serves is asked when it says so.
        ("graft.v1.WorkerService/Work", vec![], Needs::Known),
        ("graft.v1.ClusterService/Status", vec![], Needs::Known),
        ("graft.v1.ClusterService/ListWorkers", namespace(), Needs::Viewer),
        ("graft.v1.ClusterService/ListWorkers", vec![], Needs::ViewerOfAll),
        ("graft.v1.ClusterService/Stats", vec![], Needs::ViewerOfAll),
        ("graft.v1.ClusterService/Snapshot", vec![], Needs::ClusterAdmin),
        ("graft.v1.ClusterService/LogLevel", v1::LogLevelRequest { level: None }.encode_to_vec(), Needs::ViewerOfAll),
        ("graft.v1.ClusterService/LogLevel", v1::LogLevelRequest { level: Some(String::new()) }.encode_to_vec(), Needs::ClusterAdmin),
        ("graft.v1.ClusterService/Diagnose", vec![], Needs::ClusterAdmin),
        ("graft.v1.ClusterService/Profile", too_long, Needs::ClusterAdmin),
        ("graft.v1.MembershipService/Bootstrap", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/CreateJoinToken", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/ListJoinGrants", vec![], Needs::ViewerOfAll),
        ("graft.v1.MembershipService/RevokeJoinGrant", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/Approve", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/Promote", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/Remove", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/TransferLeader", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/Drain", vec![], Needs::ClusterAdmin),
        ("graft.v1.MembershipService/RaiseMachineVersion", vec![], Needs::ClusterAdmin),
        ("graft.v1.AccessService/WhoAmI", vec![], Needs::Known),
        // What may be handed out depends on what is asked for: see `nobody_hands_out_more_than_he_has`.
        ("graft.v1.AccessService/CreateToken", vec![], Needs::AnyAdmin),
        ("graft.v1.AccessService/ListTokens", vec![], Needs::Known),
        ("graft.v1.AccessService/RevokeToken", vec![], Needs::AnyAdmin),
        ("graft.v1.AccessService/ListActs", vec![], Needs::ClusterAdmin),
        ("grpc.health.v1.Health/Check", vec![], Needs::Nothing),
        ("grpc.health.v1.Health/Watch", vec![], Needs::Nothing),
        ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", vec![], Needs::Known),
        ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", vec![], Needs::Known),
    ]
}

fn limit(namespace: &str, node: &str) -> Vec<u8> {
    v1::SetLimitRequest { namespace: namespace.into(), node: node.into(), max: 1, meta: None }.encode_to_vec()
}

/// Every role, everywhere and in one namespace, with what of the table it meets.
fn roles() -> Vec<(&'static str, Vec<Needs>)> {
    use Needs::{AnyAdmin, ClusterAdmin, Known, NamespaceAdmin, Nothing, Operator, Viewer, ViewerOfAll};
    vec![
        ("viewer", vec![Nothing, Known, Viewer, ViewerOfAll]),
        ("viewer@a", vec![Nothing, Known, Viewer]),
        ("viewer@b", vec![Nothing, Known]),
        ("operator", vec![Nothing, Known, Viewer, Operator, ViewerOfAll]),
        ("operator@a", vec![Nothing, Known, Viewer, Operator]),
        ("operator@b", vec![Nothing, Known]),
        ("worker", vec![Nothing, Known]),
        ("worker@a=n", vec![Nothing, Known]),
        ("namespace-admin", vec![Nothing, Known, Viewer, Operator, NamespaceAdmin, AnyAdmin, ViewerOfAll]),
        ("namespace-admin@a", vec![Nothing, Known, Viewer, Operator, NamespaceAdmin, AnyAdmin]),
        ("namespace-admin@b", vec![Nothing, Known, AnyAdmin]),
        ("cluster-admin", vec![Nothing, Known, Viewer, Operator, NamespaceAdmin, AnyAdmin, ViewerOfAll, ClusterAdmin]),
    ]
}

/// The code with which a method answers at first, whatever it says then.
async fn ask(channel: &Channel, method: &str, message: &[u8], token: Option<&str>) -> (Code, String) {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).expect("small").to_be_bytes());
    framed.extend(message);
    let mut request =
        http::Request::post(format!("http://here/{method}")).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(tonic::body::Body::new(axum::body::Body::from(framed))).expect("a request");
    let mut channel = channel.clone();
    within(std::future::poll_fn(|cx| tower::Service::poll_ready(&mut channel, cx))).await.expect("it is there");
    let answer = within(tower::Service::call(&mut channel, request)).await.expect("an answer");
    // Refusals for want of a right come with the head; what lasts has begun.
    let said = Status::from_header_map(answer.headers()).unwrap_or_else(|| Status::ok(""));
    (said.code(), said.message().to_owned())
}

/// Each method with each role is refused for want of a right, or is not: whatever else the service says then.
#[tokio::test(flavor = "multi_thread")]
async fn every_method_asks_every_role() {
    let member = guarded().await;
    let channel = member.channel().await;
    let mut access = AccessServiceClient::new(channel.clone());
    let mut tokens = BTreeMap::new();
    for (grant, _) in roles() {
        let made = make(&mut access, ROOT, "t", &[grant]).await.unwrap_or_else(|status| panic!("{grant}: {status:?}"));
        tokens.insert(grant, made.secret);
    }
    let mut asked: Vec<&str> = Vec::new();
    for (method, message, needs) in table() {
        asked.push(method);
        let (code, said) = ask(&channel, method, &message, None).await;
        let nobody = if needs == Needs::Nothing { code != Code::Unauthenticated } else { code == Code::Unauthenticated };
        assert!(nobody, "{method} answers nobody with {code:?}: {said}");
        for (grant, meets) in roles() {
            let (code, said) = ask(&channel, method, &message, Some(&tokens[grant])).await;
            assert_ne!(code, Code::Unauthenticated, "{method} as {grant}: {said}");
            let refused = code == Code::PermissionDenied;
            assert_eq!(refused, !meets.contains(&needs), "{method} as {grant} answers {code:?}: {said}");
            assert!(!refused || said.contains("may not"), "{method} as {grant}: {said}");
        }
    }
    asked.dedup();
    assert_eq!(asked, graftd::api::METHODS, "every method is in the table");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_asks_in_the_same_place() {
    let member = guarded().await;
    let mut access = AccessServiceClient::new(member.channel().await);
    let viewer = make(&mut access, ROOT, "v", &["viewer@a"]).await.expect("made").secret;
    let ask = async |method: &str, path: &str, token: Option<&str>| {
        let shown = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        let request = format!("{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n{shown}connection: close\r\n\r\n");
        let answer = member.send(request.as_bytes()).await;
        let code: u16 = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no HTTP: {answer}"));
        (code, answer)
    };
    for (method, path, code) in [
        ("GET", "/api/v1/namespaces/a/workflows", 200),
        ("GET", "/api/v1/namespaces/b/workflows", 403),
        ("GET", "/api/v1/workers?namespace=a", 200),
        ("GET", "/api/v1/workers", 403),
        ("POST", "/api/v1/namespaces/a/workflows/w/pause", 403),
        ("DELETE", "/api/v1/namespaces/a/limits/n", 403),
        ("GET", "/api/v1/cluster", 200),
        ("GET", "/api/v1/cluster/snapshot", 403),
        ("DELETE", "/api/v1/cluster/members/m1", 403),
        ("GET", "/metrics", 200),
    ] {
        let (nobody, said) = ask(method, path, None).await;
        assert_eq!(nobody, 401, "{method} {path}: {said}");
        assert!(said.to_lowercase().contains("www-authenticate: bearer") && said.contains("GR0030"), "{said}");
        let (known, said) = ask(method, path, Some(&viewer)).await;
        assert_eq!(known, code, "{method} {path}: {said}");
        assert!(known != 403 || said.contains("GR0031"), "{said}");
    }
    // Every path of the document asks who it is.
    let (_, document) = ask("GET", "/api/v1/openapi.json", Some(ROOT)).await;
    let document: serde_json::Value = serde_json::from_str(&document[document.find("\r\n\r\n").expect("a body") + 4..]).expect("JSON");
    for (path, verbs) in document["paths"].as_object().expect("paths") {
        for verb in verbs.as_object().expect("verbs").keys() {
            let path = path.replace(['{', '}'], "");
            let (code, said) = ask(&verb.to_uppercase(), &path, None).await;
            assert_eq!(code, 401, "{verb} {path}: {said}");
        }
    }
    for path in ["/", "/livez", "/readyz", "/healthz"] {
        assert_eq!(ask("GET", path, None).await.0, 200, "{path} is for everybody");
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hands_out_more_than_he_has() {
    let member = guarded().await;
    let mut access = AccessServiceClient::new(member.channel().await);
    let admin = make(&mut access, ROOT, "admin-of-a", &["namespace-admin@a", "viewer@b"]).await.expect("made").secret;
    let made = make(&mut access, &admin, "deploy", &["operator@a", "worker@a=n"]).await.expect("it is an admin there");
    let token = made.token.expect("told");
    assert_eq!((token.name.as_str(), token.created_by.as_str()), ("deploy", "client:admin-of-a"));
    for grants in [&["viewer@b"][..], &["operator@a", "viewer"], &["cluster-admin"]] {
        let status = make(&mut access, &admin, "more", grants).await.expect_err("it is more");
        assert_eq!(detail(&status).code, "GR0031", "{grants:?}: {status:?}");
    }
    make(&mut access, &made.secret, "x", &["viewer@a"]).await.expect_err("an operator hands out nothing");
    let other = make(&mut access, ROOT, "other", &["viewer@b"]).await.expect("made");
    let listed = access.list_tokens(with(&admin, v1::ListTokensRequest::default())).await.expect("listed").into_inner().tokens;
    let names: Vec<&str> = listed.iter().map(|token| token.name.as_str()).collect();
    assert!(names.contains(&"deploy") && !names.contains(&"other"), "{names:?}");
    let revoke = |id: &str| v1::RevokeTokenRequest { id: id.to_owned(), meta: None };
    let other = other.token.expect("told").id;
    let status = access.revoke_token(with(&admin, revoke(&other))).await.expect_err("it is not its own");
    assert_eq!(detail(&status).code, "GR0032", "{status:?}");
    access.revoke_token(with(&admin, revoke(&token.id))).await.expect("it could have made it");
    // What anybody could write into the list of acts would push out the rest.
    let (viewer, acts) = (make(&mut access, ROOT, "v", &["viewer"]).await.expect("made").secret, v1::ListActsRequest::default());
    let noted = access.list_acts(with(ROOT, acts)).await.expect("it may").into_inner().acts.len();
    let status = access.revoke_token(with(&viewer, revoke(&token.id))).await.expect_err("it is no admin");
    assert_eq!(detail(&status).code, "GR0031", "{status:?}");
    assert_eq!(access.list_acts(with(ROOT, acts)).await.expect("it may").into_inner().acts.len(), noted);
    let status = access.revoke_token(with(ROOT, revoke(&token.id))).await.expect_err("it is gone");
    assert_eq!(detail(&status).code, "GR0032", "{status:?}");
    member.stop().await;
}

/// The pages of the list hold every token once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_page_by_page() {
    let member = guarded().await;
    let mut access = AccessServiceClient::new(member.channel().await);
    for number in 0..5 {
        make(&mut access, ROOT, &format!("t{number}"), &["viewer"]).await.expect("made");
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let request = v1::ListTokensRequest { limit: 2, cursor };
        let page = access.list_tokens(with(ROOT, request)).await.expect("a page").into_inner();
        found.extend(page.tokens.into_iter().map(|token| (token.id, token.name)));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    assert!(found.is_sorted(), "{found:?}");
    let mut names: Vec<String> = found.into_iter().map(|(_, name)| name).collect();
    names.sort();
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4"]);
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_lets_nobody_in_and_ends_what_it_began() {
    let member = guarded().await;
    let channel = member.channel().await;
    let (mut access, mut workflows) = (AccessServiceClient::new(channel.clone()), WorkflowServiceClient::new(channel));
    let made = make(&mut access, ROOT, "t", &["operator"]).await.expect("made");
    workflows.start(with(&made.secret, start("w", "n"))).await.expect("it may");
    let history = workflows.history(with(&made.secret, v1::HistoryRequest { workflow_id: "w".into(), ..Default::default() }));
    let events = history.await.expect("it may").into_inner().events;
    assert!(format!("{events:?}").contains("client:t"), "the history names the token's holder: {events:?}");
    let watch = v1::WatchRequest { workflow_id: "w".into(), ..Default::default() };
    let mut watched = workflows.watch(with(&made.secret, watch)).await.expect("it may").into_inner();
    within(watched.message()).await.expect("it is told").expect("of the start");
    let id = made.token.expect("told").id;
    access.revoke_token(with(ROOT, v1::RevokeTokenRequest { id, meta: None })).await.expect("revoked");
    let status = within(watched.message()).await.expect_err("the watch ends");
    assert_eq!((status.code(), detail(&status).code.as_str()), (Code::Unauthenticated, "GR0030"));
    let status = workflows.start(with(&made.secret, start("w2", "n"))).await.expect_err("nobody is let in");
    assert_eq!(detail(&status).code, "GR0030", "{status:?}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_told_to_wait() {
    let member = guarded().await;
    let mut access = AccessServiceClient::new(member.channel().await);
    let made = make(&mut access, ROOT, "t", &["viewer"]).await.expect("made");
    for guess in 0..graftd::auth::attempts::FAILURES_MAX {
        let status = access.who_am_i(with(&format!("graft-api.x.{guess}"), v1::WhoAmIRequest {})).await.expect_err("a guess");
        assert_eq!(detail(&status).code, "GR0030", "{status:?}");
    }
    // Who has a token that was made here is not shut out by whoever guesses at the same address.
    access.who_am_i(with(&made.secret, v1::WhoAmIRequest {})).await.expect("it was made here");
    let status = access.who_am_i(with("graft-api.x.y", v1::WhoAmIRequest {})).await.expect_err("too often");
    let told = detail(&status);
    assert_eq!((status.code(), told.code.as_str()), (Code::ResourceExhausted, "GR0033"));
    assert!((1..=graftd::auth::attempts::GIVEN_BACK.as_millis() as u64).contains(&told.retry_after_ms), "{told:?}");
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_admin_did_is_noted_with_how_it_ended() {
    let member = guarded().await;
    let channel = member.channel().await;
    let (mut access, mut limits) = (AccessServiceClient::new(channel.clone()), LimitServiceClient::new(channel));
    let made = make(&mut access, ROOT, "ann", &["namespace-admin@a"]).await.expect("made");
    let (token, id) = (made.secret, made.token.expect("told").id);
    let set = |namespace: &str| v1::SetLimitRequest { namespace: namespace.into(), node: "n".into(), max: 3, meta: None };
    limits.set(with(&token, set("a"))).await.expect("it may");
    limits.set(with(&token, set("b"))).await.expect_err("it may not, and has done nothing");
    let wrong = v1::SetLimitRequest { max: 0, ..set("a") };
    limits.set(with(&token, wrong)).await.expect_err("it may, and it makes no sense");
    let acts = access.list_acts(with(ROOT, v1::ListActsRequest::default())).await.expect("listed").into_inner();
    assert!(!acts.more);
    let told: Vec<_> = acts.acts.iter().map(|act| (act.number, act.principal.as_str(), act.method.as_str())).collect();
    assert_eq!(
        told,
        [(3, "client:ann", "LimitService.set"), (2, "client:ann", "LimitService.set"), (1, "client:root", "AccessService.create_token")]
    );
    let [failed, done, made] = &acts.acts[..] else { panic!("{acts:?}") };
    assert_eq!((done.outcome.as_str(), made.outcome.as_str()), ("ok", format!("ok: API token {id}").as_str()));
    assert_eq!((done.from.as_str(), made.from.as_str()), (format!("127.0.0.1, API token {id}").as_str(), "127.0.0.1"));
    assert!(failed.outcome.starts_with("InvalidArgument: max is 0"), "{failed:?}");
    assert!(done.object.contains("namespace: \"a\"") && done.object.contains("max: 3"), "{done:?}");
    assert!(done.member == "m1" && done.ended_ms >= done.time_ms && done.time_ms > 0, "{done:?}");
    assert!(!format!("{acts:?}").contains(&token), "no secret is noted");
    let page = v1::ListActsRequest { limit: 1, before: 3 };
    let page = access.list_acts(with(ROOT, page)).await.expect("listed").into_inner();
    assert_eq!((page.acts[0].number, page.more), (2, true));
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_serves_only_the_nodes_that_its_token_names() {
    use graft_proto::v1::worker_service_client::WorkerServiceClient;
    let member = guarded().await;
    let channel = member.channel().await;
    let mut access = AccessServiceClient::new(channel.clone());
    let token = make(&mut access, ROOT, "w", &["worker@a=charge,ship-*"]).await.expect("made").secret;
    for (namespace, node, may) in
        [("a", "charge", true), ("a", "ship-eu", true), ("a", "refund", false), ("b", "charge", false), ("", "charge", false)]
    {
        let mut hello = crate::worker::hello(node);
        hello.namespace = namespace.to_owned();
        let message = v1::FromWorker { message: Some(v1::from_worker::Message::Hello(hello)) };
        let stream = futures::stream::once(async move { message });
        let stream = futures::StreamExt::chain(stream, futures::stream::pending());
        let opened = within(WorkerServiceClient::new(channel.clone()).work(with(&token, stream))).await;
        match opened {
            Ok(_) => assert!(may, "{namespace}/{node}"),
            Err(status) => {
                assert!(!may, "{namespace}/{node}: {status:?}");
                assert_eq!(detail(&status).code, "GR0031", "{status:?}");
            }
        }
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_of_a_call_of_many_are_asked_about_one_by_one() {
    let member = guarded().await;
    let channel = member.channel().await;
    let (mut access, mut workflows) = (AccessServiceClient::new(channel.clone()), WorkflowServiceClient::new(channel));
    let token = make(&mut access, ROOT, "t", &["operator@a"]).await.expect("made").secret;
    let of = |namespace: &str| v1::StartRequest { namespace: namespace.into(), ..start("w", "n") };
    let starts = futures::stream::iter([of("a"), of("b")]);
    let mut answers = workflows.start_many(with(&token, starts)).await.expect("it is known").into_inner();
    let mut next = async || within(answers.message()).await.expect("answered").expect("one for each").result.expect("a result");
    assert!(matches!(next().await, v1::start_many_response::Result::Started(_)));
    match next().await {
        v1::start_many_response::Result::Refused(refusal) => assert_eq!(refusal.detail.expect("told").code, "GR0031"),
        other => panic!("{other:?}"),
    }
    member.stop().await;
}

//! A daemon in this process, over its port: REST with damaged paths, queries and bodies, and gRPC methods with damaged messages. A panic in
//! the daemon is a connection that ends without an answer; what is refused is refused as the protocol says, and never as a defect of Graft.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use graft_proto::v1;
use graftd::app::Daemon;
use graftd::config::Config;
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

use super::messages::{a_result, a_start};
use crate::fuzz::choices::Choices;
use crate::fuzz::{Outcome, Target, Verdict};

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(20);

struct Served {
    runtime: Runtime,
    daemon: Daemon,
    _dir: TempDir,
}

impl Served {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let daemon = runtime.block_on(async {
            let daemon = Daemon::start(Config::in_process(dir.path())).await.expect("a daemon");
            daemon.ready().await.expect("ready");
            daemon
        });
        Self { runtime, daemon, _dir: dir }
    }

    fn address(&self) -> String {
        self.daemon.client_address().to_string()
    }
}

/// A verb and a path with `{names}`, and the names that its query may have.
type Route = (String, String, Vec<String>);

/// Every route that there is, as the daemon describes them.
fn routes(address: &str) -> Vec<Route> {
    let (_, text) = crate::http::get(address, "/api/v1/openapi.json").expect("the daemon describes itself");
    let document: Value = serde_json::from_str(&text).expect("OpenAPI is JSON");
    let mut routes = Vec::new();
    for (path, verbs) in document["paths"].as_object().expect("paths") {
        // Some wait for what does not come, or for as long as one asks: those are for other tests.
        if path.ends_with("/wait") || path.ends_with("/cluster/profile") {
            continue;
        }
        let path = if path.starts_with("/api/") { path.clone() } else { format!("/api/v1{path}") };
        for (verb, described) in verbs.as_object().expect("verbs") {
            let parameters = described["parameters"].as_array().into_iter().flatten();
            let query = parameters.filter(|parameter| parameter["in"] == "query");
            let names = query.filter_map(|parameter| parameter["name"].as_str()).map(str::to_owned).collect();
            routes.push((verb.to_uppercase(), path.clone(), names));
        }
    }
    assert!(routes.len() > 20, "{} routes", routes.len());
    routes.push(("GET".into(), "/api/v1/{anything}".into(), vec!["x".into()]));
    routes
}

/// A text for a URL: now and then not as it should be.
fn escaped(choices: &mut Choices) -> String {
    let text = match choices.below(6) {
        0 => "order-1".to_owned(),
        1 => choices.number().to_string(),
        2 => choices
            .one(&["running", "completed", "a=b", "2026-01-01T00:00:00Z", "true", "ready", "-1", "%", "%zz", "%ff", "..", "*"])
            .to_owned(),
        _ => choices.text(),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~=%*".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn path_of((_, template, names): &Route, choices: &mut Choices) -> String {
    let mut path = String::new();
    for part in template.split_inclusive('/') {
        let name = part.trim_end_matches('/');
        match name {
            "{namespace}" if choices.below(8) > 0 => path += "default",
            _ if name.starts_with('{') => path += &escaped(choices),
            _ => path += name,
        }
        path += &part[name.len()..];
    }
    let pairs: Vec<String> = (0..choices.below(4))
        .map(|_| {
            let at = choices.below(names.len() + 1);
            format!("{}={}", names.get(at).map_or("unknown", String::as_str), escaped(choices))
        })
        .collect();
    if pairs.is_empty() { path } else { format!("{path}?{}", pairs.join("&")) }
}

/// Sends one request over a connection that is kept; the status, and whether the connection goes on.
fn exchange(stream: &mut BufReader<TcpStream>, head: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>, bool)> {
    stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
    let (mut status, mut length, mut chunked, mut keep) = (0, 0, false, true);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.trim_end().to_ascii_lowercase();
        if status == 0 {
            status = lower.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        }
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap_or(0);
        }
        chunked |= lower == "transfer-encoding: chunked";
        keep &= lower != "connection: close";
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, body, keep && !chunked))
}

pub(super) fn http() -> Target {
    let served = Served::new();
    let address = served.address();
    let connect = move || {
        let stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(BufReader::new(stream))
    };
    let routes = routes(&served.address());
    let count = routes.len();
    let mut connection: Option<BufReader<TcpStream>> = None;
    let run = move |bytes: &[u8]| -> Outcome {
        let _kept = &served;
        // The first half chooses the request, what follows is its body.
        let (choosing, body) = bytes.split_at(bytes.len().min(24));
        let choices = &mut Choices::new(choosing);
        let route = &routes[choices.below(routes.len())];
        let (verb, path) = (route.0.as_str(), path_of(route, choices));
        let body = if verb == "GET" { &[] } else { body };
        let kind = choices.one(&["application/json", "application/json", "application/json; charset=utf-8", "text/plain", ""]);
        let key = choices.one(&["", "", "Idempotency-Key: k1\r\n", "Idempotency-Key: \r\n", "Idempotency-Key: \"k\"\r\n"]);
        let head =
            format!("{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n{key}Content-Length: {}\r\n\r\n", body.len());
        for fresh in [false, true] {
            let mut stream = match connection.take().filter(|_| !fresh) {
                Some(stream) => stream,
                None => connect().map_err(|error| format!("nobody answers any more: {error}"))?,
            };
            match exchange(&mut stream, &head, body) {
                Ok((status, answer, keep)) => {
                    if keep {
                        connection = Some(stream);
                    }
                    let told = || format!("{status} to {head}{}: {}", String::from_utf8_lossy(body), String::from_utf8_lossy(&answer));
                    if status == 0 || status == 500 || status == 502 {
                        return Err(told());
                    }
                    let problem = serde_json::from_slice::<Value>(&answer).unwrap_or_default();
                    if status >= 400 && status != 431 && !problem["code"].is_string() && !answer.is_empty() {
                        return Err(format!("no problem document: {}", told()));
                    }
                    return Ok(if status < 400 { Verdict::Taken } else { Verdict::Refused });
                }
                // A connection that was kept may have ended meanwhile.
                Err(_) if !fresh => {}
                Err(error) => return Err(format!("no answer ({error}) to {head}")),
            }
        }
        unreachable!("the second round returns")
    };
    let body = r#"{"workflow_id":"order-1","state":{"a":1},"nodes":[{"node":"charge","config":null,"retry":{"max_attempts":3}}],"labels":{"a":"b"}}"#;
    let redrive = r#"{"filter":{"node":"charge"},"reason":"r","dry_run":true,"limit":3}"#;
    let mut seeds: Vec<Vec<u8>> = (0..count as u8).map(|at| [&[at, 1, 0, 0, 0, 0, 0, 0][..], &[0; 16], body.as_bytes()].concat()).collect();
    seeds.extend((0..count as u8).map(|at| [&[at][..], &[13; 23], redrive.as_bytes()].concat()));
    let words = &[
        "null",
        "\"",
        "{",
        "}",
        "\"run\":",
        "\"limit\":",
        "\"reason\":",
        "\"nodes\":[",
        "\"workflow_id\":",
        "99999999999999999999",
        "1e400",
        "\"delay\":\"1h\"",
        "\"deadline\":",
    ];
    Target { name: "http", words, longest: 1_024, seeds, run: Box::new(run) }
}

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(out, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, tonic::Status> {
        let mut out = vec![0; bytes::Buf::remaining(from)];
        bytes::Buf::copy_to_slice(from, &mut out);
        Ok(Some(out))
    }
}

/// Methods with one message each way.
const METHODS: [&str; 21] = [
    "/graft.v1.DeadLetterService/Get",
    "/graft.v1.DeadLetterService/Discard",
    "/graft.v1.LimitService/List",
    "/graft.v1.LimitService/Set",
    "/graft.v1.LimitService/Unset",
    "/graft.v1.ClusterService/ListWorkers",
    "/graft.v1.WorkflowService/Start",
    "/graft.v1.WorkflowService/Get",
    "/graft.v1.WorkflowService/List",
    "/graft.v1.WorkflowService/History",
    "/graft.v1.WorkflowService/Pause",
    "/graft.v1.WorkflowService/Resume",
    "/graft.v1.WorkflowService/Cancel",
    "/graft.v1.TaskService/List",
    "/graft.v1.TaskService/Get",
    "/graft.v1.TaskService/Retry",
    "/graft.v1.DeadLetterService/List",
    "/graft.v1.DeadLetterService/Redrive",
    "/graft.v1.ClusterService/Status",
    "/graft.v1.WorkflowService/Count",
    "/graft.v1.WorkflowService/Terminate",
];

pub(super) fn grpc() -> Target {
    let served = Served::new();
    let endpoint = Endpoint::from_shared(format!("http://{}", served.address())).expect("an address").timeout(ANSWER_MAX);
    let channel: Channel = served.runtime.block_on(endpoint.connect()).expect("it answers");
    let run = move |bytes: &[u8]| -> Outcome {
        let Some((method, message)) = bytes.split_first() else { return Ok(Verdict::Refused) };
        // All of it: a daemon that is left out would be dropped.
        let served = &served;
        let method = METHODS[usize::from(*method) % METHODS.len()];
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        let answered = served.runtime.block_on(async {
            grpc.ready().await.map_err(|error| tonic::Status::unknown(format!("nobody answers any more: {error}")))?;
            grpc.unary(tonic::Request::new(message.to_vec()), http::uri::PathAndQuery::from_static(method), Raw).await
        });
        match answered {
            Ok(_) => Ok(Verdict::Taken),
            Err(status)
                if matches!(
                    status.code(),
                    Code::Internal | Code::Unknown | Code::Unavailable | Code::DataLoss | Code::DeadlineExceeded | Code::Cancelled
                ) =>
            {
                Err(format!("{method}: {status:?}"))
            }
            Err(status) if status.message().is_empty() => Err(format!("{method}: a refusal without words: {status:?}")),
            Err(_) => Ok(Verdict::Refused),
        }
    };
    let start = a_start().encode_to_vec();
    let get = v1::GetRequest { workflow_id: "order-1".into(), ..Default::default() }.encode_to_vec();
    let list = v1::ListRequest { limit: 5, id_prefix: "o".into(), ..Default::default() }.encode_to_vec();
    let mut seeds: Vec<Vec<u8>> =
        (0..METHODS.len() as u8).map(|at| [&[at][..], if at % 7 == 2 { &list[..] } else { &get[..] }].concat()).collect();
    let at = METHODS.iter().position(|method| method.ends_with("/Start")).expect("it is there") as u8;
    seeds.push([&[at], start.as_slice()].concat());
    seeds.push([&[at], a_result().encode_to_vec().as_slice()].concat());
    Target { name: "grpc", words: &["order-1", "default", "\u{8}\u{1}", "charge"], longest: 2_048, seeds, run: Box::new(run) }
}

//! The collector: how a batch of spans is brought there, by either of the ways that OTLP knows, and whether it is worth another try.
//!
//! What is sent is the same message. By gRPC it is a call of the service; over HTTP it is posted to `/v1/traces` below the endpoint
//! (OpenTelemetry Protocol 1.5, "OTLP/gRPC" and "OTLP/HTTP"). Headers that the collector wants stand in a file, since some of them are secrets, and are
//! read with every batch: who changes a key changes the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tower::Service;

use crate::tls::outside::{OutsideCalls, causes};

/// Longest time for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Pause before a batch is sent again; twice as long the next time.
const PAUSE: Duration = Duration::from_millis(500);
/// Largest answer that is read, in bytes: it says how many spans were rejected, and why.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Largest file of headers, in bytes.
const HEADERS_BYTES_MAX: usize = 16 << 10;
/// Where spans are posted, below the endpoint.
const PATH: &str = "/v1/traces";
/// What they are posted as.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// By which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A call of gRPC.
    Grpc,
    /// A request of HTTP with the message as its body.
    Http,
}

/// Where spans go.
#[derive(Clone, Debug)]
pub struct Address {
    /// The connection.
    pub calls: OutsideCalls,
    /// By which way.
    pub way: Way,
    /// A file with headers for it.
    pub headers: Option<PathBuf>,
    /// As the operator knows it.
    pub endpoint: String,
}

/// Where spans go, and as whose.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) address: Address,
    pub(super) resource: Resource,
}

/// A batch that was not taken.
struct NotTaken {
    why: String,
    /// OTLP has it that the same is sent again.
    for_now: bool,
}

impl Collector {
    /// Sends a batch, so often at most. How many of its spans the collector did not want, where it took the others.
    pub(super) async fn export(&self, request: ExportTraceServiceRequest, tries: u32) -> Result<u64, String> {
        let mut pause = PAUSE;
        for left in (0..tries).rev() {
            let late = || NotTaken { why: format!("no answer within {ANSWER_MAX:?}"), for_now: true };
            match timeout(ANSWER_MAX, self.once(&request)).await.unwrap_or_else(|_| Err(late())) {
                Ok(answer) => return Ok(u64::try_from(answer.partial_success.unwrap_or_default().rejected_spans).unwrap_or(0)),
                Err(NotTaken { why, for_now }) if left == 0 || !for_now => return Err(why),
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err("it was not tried".to_owned())
    }

    async fn once(&self, request: &ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, NotTaken> {
        let headers = match &self.address.headers {
            None => HeaderMap::new(),
            // Whoever changes the file may be at it.
            Some(file) => headers(file).map_err(|why| NotTaken { why, for_now: true })?,
        };
        match self.address.way {
            Way::Grpc => self.call(request.clone(), headers).await,
            Way::Http => self.post(request, headers).await,
        }
    }

    async fn call(&self, request: ExportTraceServiceRequest, headers: HeaderMap) -> Result<ExportTraceServiceResponse, NotTaken> {
        let calls = self.address.calls.clone();
        let mut service = TraceServiceClient::with_origin(calls.clone(), calls.origin());
        let mut request = tonic::Request::new(request);
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let answer = service.export(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| NotTaken { why: told(&status), for_now: again_by_grpc(status.code()) })
    }

    async fn post(&self, request: &ExportTraceServiceRequest, headers: HeaderMap) -> Result<ExportTraceServiceResponse, NotTaken> {
        let for_now = |why: String| NotTaken { why, for_now: true };
        let mut post = Request::new(Body::new(Full::new(Bytes::from(request.encode_to_vec()))));
        *post.method_mut() = http::Method::POST;
        *post.uri_mut() = below(&self.address.calls.origin()).map_err(|why| NotTaken { why, for_now: false })?;
        *post.headers_mut() = headers;
        post.headers_mut().insert(header::CONTENT_TYPE, PROTOBUF);
        let answer = self.address.calls.clone().call(post).await.map_err(|error| for_now(causes(&error)))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(NotTaken { why: format!("answered {status}"), for_now: again_by_http(status) });
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| for_now(error.to_string()))?;
        // What follows a success is news about it: one that cannot be read takes none of the spans back.
        Ok(ExportTraceServiceResponse::decode(body.to_bytes()).unwrap_or_default())
    }
}

/// Where spans are posted.
fn below(origin: &Uri) -> Result<Uri, String> {
    let path = origin.path().trim_end_matches('/');
    let mut parts = origin.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{PATH}").parse().map_err(|error| format!("{origin}: {error}"))?);
    Uri::from_parts(parts).map_err(|error| format!("{origin}: {error}"))
}

/// The headers in a file: `name: value` in a line; blank lines, and those that begin with `#`, are passed over.
///
/// # Errors
/// If it cannot be read, is larger than `HEADERS_BYTES_MAX`, or a line is no header. No value is repeated.
pub fn headers(file: &Path) -> Result<HeaderMap, String> {
    let wrong = |why: String| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    if text.len() > HEADERS_BYTES_MAX {
        return Err(wrong(format!("has {} bytes, at most {HEADERS_BYTES_MAX}", text.len())));
    }
    let mut headers = HeaderMap::new();
    for (at, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(format!("line {at} is not of the form `name: value`")))?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong(format!("line {at} does not begin with the name of a header")))?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| wrong(format!("line {at} has a value that no header can have")))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn again_by_grpc(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, ResourceExhausted, Unavailable};
    matches!(code, Cancelled | DeadlineExceeded | ResourceExhausted | Aborted | OutOfRange | Unavailable | DataLoss)
}

fn again_by_http(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

fn told(status: &Status) -> String {
    let cause = std::error::Error::source(status).map(|cause| format!(": {}", causes(cause)));
    format!("{}: {}{}", status.code(), status.message(), cause.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_posted_below_the_endpoint() {
        for (endpoint, posted) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://c.example:443/", "https://c.example:443/v1/traces"),
            ("https://c.example:443/otlp", "https://c.example:443/otlp/v1/traces"),
        ] {
            assert_eq!(below(&endpoint.parse().unwrap()).unwrap().to_string(), posted, "{endpoint}");
        }
    }

    #[test]
    fn headers_are_lines_and_what_is_none_is_told_without_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headers");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            headers(&file)
        };
        let found = read("# of the observers\n\nauthorization: Bearer abc:def \nX-Scope: a\nx-scope: b\n").unwrap();
        assert_eq!(found["authorization"], "Bearer abc:def");
        assert!(found["authorization"].is_sensitive() && found.get_all("x-scope").iter().count() == 2, "{found:?}");
        for (text, why) in [("secret", "line 1"), ("\nsec ret: 1", "line 2"), ("name: sec\u{1}ret", "line 1")] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why) && error.contains("headers") && !error.contains("ret"), "{text:?}: {error}");
        }
        assert!(read(&"#".repeat(HEADERS_BYTES_MAX + 1)).unwrap_err().contains("at most"));
    }
}

//! Plain HTTP: health, metrics, and a word to whoever comes by.

pub mod health;
pub mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, Uri, header};

use super::Shared;

/// What is answered over HTTP, with what it is for.
const ENDPOINTS: [(&str, &str); 4] = [
    ("/livez", "whether the process is alive"),
    ("/readyz", "whether the member should get traffic; ?verbose lists the checks"),
    ("/healthz", "the same as JSON, with the member's place in the cluster"),
    ("/metrics", "metrics for Prometheus"),
];

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(front))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz))
        .route("/metrics", get(metrics::scrape))
        .fallback(not_found)
}

async fn front(State(shared): State<Arc<Shared>>) -> String {
    let info = &shared.api.info;
    let mut text =
        format!("graftd {}, member {}: durable workflows over gRPC (graft.v1) on this port.\n\n", info.version, info.member_name);
    for (path, what) in ENDPOINTS {
        text.push_str(&format!("{path:<10} {what}\n"));
    }
    text.push_str(&format!("\nTry: graft --addr http://{} cluster status\n", info.client_address));
    text
}

async fn not_found(uri: Uri) -> Response {
    let paths: Vec<_> = ENDPOINTS.iter().map(|(path, _)| *path).collect();
    let path = graft_proto::errors::quoted(uri.path());
    let detail =
        format!("there is nothing at {path}; HTTP endpoints are {}; everything else is gRPC (graft.v1) over HTTP/2", paths.join(", "));
    problem(StatusCode::NOT_FOUND, "no such endpoint", &detail)
}

/// A refusal over HTTP (RFC 9457).
pub(super) fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let body = serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

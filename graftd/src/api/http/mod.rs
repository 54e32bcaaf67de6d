//! Plain HTTP: health, metrics, REST below `/api/v1`, and a word to whoever comes by.

pub mod health;
pub mod metrics;
pub(crate) mod problem;
mod rest;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use graft_proto::errors::{ErrorCode, Fault};
use http::Uri;

use self::problem::Refusal;
pub(crate) use self::rest::Hosts;
use super::Shared;

/// What is answered over HTTP, with what it is for.
pub(super) const ENDPOINTS: [(&str, &str); 5] = [
    ("/api/v1", "workflows and more as REST; /api/v1/openapi.json describes it"),
    ("/livez", "whether the process is alive"),
    ("/readyz", "whether the member should get traffic; ?verbose lists the checks"),
    ("/healthz", "the same as JSON, with the member's place in the cluster"),
    ("/metrics", "metrics for Prometheus"),
];

pub(super) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    rest::routes(shared).route("/", get(front)).merge(probes()).fallback(not_found)
}

/// Health and metrics.
pub(super) fn probes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz))
        .route("/metrics", get(metrics::scrape))
}

async fn front(State(shared): State<Arc<Shared>>) -> String {
    let info = &shared.api.info;
    let mut text =
        format!("graftd {}, member {}: durable workflows over gRPC (graft.v1) on this port.\n\n", info.version, info.member_name);
    for (path, what) in ENDPOINTS {
        text.push_str(&format!("{path:<10} {what}\n"));
    }
    text.push_str(&format!("\nTry: graft --addr {} cluster status\n", info.urls().of(&info.client_address)));
    text
}

async fn not_found(uri: Uri) -> Response {
    let paths: Vec<_> = ENDPOINTS.iter().map(|(path, _)| *path).collect();
    let object = format!("path {}", graft_proto::errors::quoted(uri.path()));
    let detail = format!("is not there: HTTP has {}; everything else is gRPC (graft.v1) over HTTP/2", paths.join(", "));
    Refusal::from(Fault::new(ErrorCode::UnknownMethod, object, detail).remedy("see GET / for what is there")).response(uri.path())
}

//! The scrape: Prometheus text format 0.0.4. Its cost depends on the number of metrics, never on the number of workflows.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use graft_proto::errors::{ErrorCode, Fault};
use http::header;
use prometheus::TextEncoder;

use super::problem::Refusal;
use crate::api::Shared;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    match scraped(&shared) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(fault) => Refusal::from(fault).response("/metrics"),
    }
}

/// All metrics, as text.
pub(in crate::api) fn scraped(shared: &Shared) -> Result<String, Fault> {
    let text = TextEncoder::new().encode_to_string(&shared.api.metrics.registry.gather());
    text.map_err(|error| Fault::new(ErrorCode::Internal, "the metrics", format!("cannot be written: {error}")))
}

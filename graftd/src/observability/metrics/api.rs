//! Requests of clients and workers, over gRPC and HTTP.

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};

use super::make::{COARSE, counter, counters, gauge, histograms};

/// See the module.
#[derive(Debug)]
pub struct ApiMetrics {
    /// gRPC requests, by method and code.
    pub grpc_requests: IntCounterVec,
    /// Seconds until a gRPC request was answered (a stream: opened), by method.
    pub grpc_seconds: HistogramVec,
    /// HTTP requests, by route, method and code: not those of the listener for health and metrics alone.
    pub http_requests: IntCounterVec,
    /// Seconds until an HTTP request was answered (a stream: opened), by route.
    pub http_seconds: HistogramVec,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Callers that were not let in, by reason: `nothing_shown`, `bad_token`, `too_often`, `cannot_tell`.
    pub auth_failures: IntCounterVec,
    /// Live watch streams.
    pub watchers: IntGauge,
    /// Live subscriptions to all events.
    pub event_subscribers: IntGauge,
    /// Subscribers that were dropped because they did not take their events in time.
    pub event_subscribers_dropped: IntCounter,
}

impl ApiMetrics {
    pub(super) fn new(r: &Registry) -> Self {
        Self {
            grpc_requests: counters(r, "graft_grpc_requests_total", "gRPC requests", &["method", "code"], &[]),
            grpc_seconds: histograms(r, "graft_grpc_request_seconds", "Seconds until a gRPC request was answered", "method", &[], COARSE),
            http_requests: counters(r, "graft_http_requests_total", "HTTP requests", &["route", "method", "code"], &[]),
            http_seconds: histograms(r, "graft_http_request_seconds", "Seconds until an HTTP request was answered", "route", &[], COARSE),
            in_flight: gauge(r, "graft_api_requests_in_flight", "Requests that are being answered"),
            auth_failures: counters(
                r,
                "graft_auth_failures_total",
                "Callers that were not let in",
                &["reason"],
                &[&["nothing_shown"], &["bad_token"], &["too_often"], &["cannot_tell"]],
            ),
            watchers: gauge(r, "graft_watchers", "Live watch streams"),
            event_subscribers: gauge(r, "graft_event_subscribers", "Live subscriptions to all events"),
            event_subscribers_dropped: counter(
                r,
                "graft_event_subscribers_dropped_total",
                "Subscribers that did not take their events in time",
            ),
        }
    }
}

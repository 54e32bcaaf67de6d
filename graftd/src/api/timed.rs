//! Before everything else: how long requests take, and how many there are at a time. gRPC by its method, HTTP by the route that answers
//! (REST's without `/api/v1`); paths that nobody answers count as one. A stream is timed until it is opened. How long its caller waits goes along
//! with a request ([`Patience`]).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use prometheus::IntGauge;
use tokio::time::Instant;

use super::methods::METHODS;
use super::{Shared, http as plain, waits};
use crate::consensus::Patience;

/// The route of what is not there.
const NOWHERE: &str = "none";

/// The route that has answered, as REST's table has it: goes along with the answer.
#[derive(Clone, Copy)]
pub(super) struct RouteOf(pub(super) &'static str);

impl RouteOf {
    /// Marks an answer.
    pub(super) async fn of(self, answer: impl Future<Output = Response>) -> Response {
        let mut response = answer.await;
        response.extensions_mut().insert(self);
        response
    }
}

/// One more while it lives, whoever drops it.
struct InFlight<'a>(&'a IntGauge);

impl<'a> InFlight<'a> {
    fn begin(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Times a request.
pub(super) async fn watch(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let metrics = &shared.api.metrics.api;
    let _in_flight = InFlight::begin(&metrics.in_flight);
    let path = request.uri().path();
    let grpc = METHODS.into_iter().find(|method| path.strip_prefix('/') == Some(*method));
    let endpoint = plain::ENDPOINTS.iter().map(|(endpoint, _)| *endpoint).find(|endpoint| *endpoint == path);
    let verb = called(request.method());
    let began = Instant::now();
    let patience = waits::of(request.headers()).map_or(Patience::ENDLESS, Patience::of);
    let response = patience.around(next.run(request)).await;
    let took = began.elapsed().as_secs_f64();
    match grpc {
        Some(method) => metrics.grpc_seconds.with_label_values(&[method]).observe(took),
        None => {
            let route = response.extensions().get::<RouteOf>().map(|route| route.0).or(endpoint).unwrap_or(NOWHERE);
            metrics.http_seconds.with_label_values(&[route]).observe(took);
            metrics.http_requests.with_label_values(&[route, verb, response.status().as_str()]).inc();
        }
    }
    response
}

/// A method by its name, or `other`: a caller may say any word.
fn called(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

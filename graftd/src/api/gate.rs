//! What stands before the router. Whoever has shown a certificate is called by its name, whatever else the request says; and a start that this
//! leader has no time for is refused here, before anything of it is read or routed.
//!
//! A leader that is offered ten times what it can work off refuses nine of ten starts, so what a refusal costs is what is missing for the
//! rest. Here it costs the head of the request and the head of the answer, which is the same for all.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::Either;
use graft_machine::names::check_name;
use http::{HeaderMap, HeaderValue};
use prometheus::IntCounter;
use tonic::{Code, Status};
use tower::Service;

use super::Shared;
use super::methods::START;
use super::requests::CLIENT_METADATA;
use crate::tls::clients::CertName;
use graft_proto::errors::{Fault, grpc_name, quoted};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    router: Router,
    shared: Arc<Shared>,
    refusal: Arc<HeaderMap>,
    refused: IntCounter,
    /// The name in the certificate that the other side of the connection has shown.
    shown: Option<HeaderValue>,
}

impl Gate {
    /// The gate of a connection, whose other side has shown a certificate of this name.
    ///
    /// # Errors
    /// If no history could hold the name.
    pub(super) fn of(self, shown: Option<&CertName>) -> Result<Self, String> {
        let header = |name: &CertName| {
            check_name(name.as_str()).map_err(|error| format!("the name in its certificate, {}, {error}", quoted(name.as_str())))?;
            HeaderValue::from_str(name.as_str()).map_err(|error| error.to_string())
        };
        Ok(Self { shown: shown.map(header).transpose()?, ..self })
    }

    pub(super) fn new(router: Router, shared: Arc<Shared>) -> Self {
        let status = Status::from(Fault::from(shared.api.consensus.no_time_for_starts()));
        let refused = shared.api.metrics.grpc_requests.with_label_values(&[START, grpc_name(Code::ResourceExhausted)]);
        Self { router, refusal: Arc::new(status.into_http::<Body>().headers().clone()), refused, shared, shown: None }
    }

    fn refuses(&self, path: &str) -> bool {
        path.strip_prefix('/') == Some(START) && self.shared.api.consensus.admit_start().is_err()
    }

    fn refusal(&self) -> Response {
        self.refused.inc();
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = HeaderMap::clone(&self.refusal);
        response
    }
}

impl<B> Service<Request<B>> for Gate
where
    B: HttpBody<Data = bytes::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if self.refuses(request.uri().path()) {
            return Either::Left(ready(Ok(self.refusal())));
        }
        if let Some(shown) = &self.shown {
            request.headers_mut().insert(CLIENT_METADATA, shown.clone());
        }
        Either::Right(self.router.call(request))
    }
}

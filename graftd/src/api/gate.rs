//! What stands before the router. It finds out who asks, and refuses who has to show that and does not; and a start that this leader has no
//! time for is refused here, before anything of it is read or routed.
//!
//! Whoever is known is called by its name, whatever else the request says. What it may do is asked in front of the services
//! ([`super::access`]); health, and the page that greets, are for everybody.
//!
//! A leader that is offered ten times what it can work off refuses nine of ten starts, so what a refusal costs is what is missing for the
//! rest. Here it costs the head of the request and the head of the answer, which is the same for all.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::{BoxFuture, Either};
use graft_machine::names::check_name;
use http::{HeaderMap, HeaderValue, header};
use prometheus::IntCounter;
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::Service;

use super::Shared;
use super::http::problem::Refusal;
use super::methods::{self, START};
use super::requests::CLIENT_METADATA;
use super::standing::Standing;
use crate::auth::caller::Caller;
use crate::auth::{Refused, Shown, UNKNOWN};
use crate::tls::clients::CertName;
use graft_proto::errors::{ErrorCode, Fault, grpc_name, quoted};

/// Paths of HTTP that are for everybody.
const OPEN: [&str; 4] = ["/", "/livez", "/readyz", "/healthz"];
/// So is what lies below: `grpc.health.v1`.
const OPEN_BELOW: &str = "/grpc.health.v1.";
/// Longest time for a member to catch up, before it says that it does not know a token.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    router: Router,
    shared: Arc<Shared>,
    refusal: Arc<HeaderMap>,
    refused: IntCounter,
    /// Whether it is asked who asks.
    asks: bool,
    /// The name in the certificate that the other side of the connection has shown.
    shown: Option<CertName>,
    /// Where the connection comes from.
    from: IpAddr,
}

impl Gate {
    /// The gate of a connection from there, whose other side has shown a certificate of this name.
    ///
    /// # Errors
    /// If no history could hold the name.
    pub(super) fn of(self, shown: Option<CertName>, from: IpAddr) -> Result<Self, String> {
        if let Some(name) = &shown {
            check_name(name.as_str()).map_err(|error| format!("the name in its certificate, {}, {error}", quoted(name.as_str())))?;
        }
        Ok(Self { shown, from, ..self })
    }

    /// For clients and workers, and whoever else comes.
    pub(super) fn new(router: Router, shared: Arc<Shared>) -> Self {
        let status = Status::from(Fault::from(shared.api.consensus.no_time_for_starts()));
        let refused = shared.api.metrics.api.grpc_requests.with_label_values(&[START, grpc_name(Code::ResourceExhausted)]);
        let refusal = Arc::new(status.into_http::<Body>().headers().clone());
        Self { router, refusal, refused, shared, asks: true, shown: None, from: Ipv4Addr::UNSPECIFIED.into() }
    }

    /// For probes and scrapers, who are nobody.
    pub(super) fn for_probes(router: Router, shared: Arc<Shared>) -> Self {
        Self { asks: false, ..Self::new(router, shared) }
    }

    fn has_no_time(&self, path: &str) -> bool {
        path.strip_prefix('/') == Some(START) && self.shared.api.consensus.admit_start().is_err()
    }

    fn no_time(&self) -> Response {
        self.refused.inc();
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = HeaderMap::clone(&self.refusal);
        response
    }

    fn shown<'a>(&'a self, headers: &'a HeaderMap) -> Shown<'a> {
        let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        Shown { authorization, certificate: self.shown.as_ref().map(CertName::as_str), from: self.from }
    }

    /// Who asks; `None`: it does not matter.
    fn caller(&self, path: &str, headers: &HeaderMap) -> Result<Option<Caller>, Refused> {
        if !self.asks || OPEN.contains(&path) || path.starts_with(OPEN_BELOW) {
            return Ok(None);
        }
        self.shared.api.auth.identify(self.shown(headers), &*self.shared).map(Some)
    }

    /// The same, of one who shows a token that nobody has told this member of: another may have made it a moment ago.
    async fn caller_again(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refused> {
        let caught_up = matches!(timeout(CATCH_UP_MAX, self.shared.linearizable()).await, Ok(Ok(_)));
        match self.shared.api.auth.identify_again(self.shown(headers), &*self.shared) {
            Err(Refused::Unknown) if !caught_up => Err(Refused::Unsure),
            settled => settled.map(Some),
        }
    }

    fn refuse(&self, refused: Refused, path: &str, headers: &HeaderMap) -> Response {
        self.shared.api.metrics.api.auth_failures.with_label_values(&[refused.reason()]).inc();
        if let Some(left_out) = self.shared.refusals.now() {
            tracing::info!(from = %self.from, path = quoted(path), ?refused, left_out, "a caller was not let in");
        }
        refusal(fault_of(refused), path, headers)
    }

    /// Who asks is settled: on with its request, if it may.
    fn pass<B>(&mut self, mut request: Request<B>, caller: Result<Option<Caller>, Refused>) -> Passing
    where
        B: HttpBody<Data = bytes::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
    {
        let path = request.uri().path();
        match caller {
            Err(refused) => Either::Left(ready(Ok(self.refuse(refused, path, request.headers())))),
            Ok(_) if self.has_no_time(path) => Either::Left(ready(Ok(self.no_time()))),
            Ok(None) => Either::Right(Either::Left(self.router.call(request))),
            Ok(Some(caller)) => {
                if let Some(name) = caller.name.as_deref().and_then(|name| HeaderValue::from_str(name).ok()) {
                    request.headers_mut().insert(CLIENT_METADATA, name);
                }
                let is_grpc = methods::is_grpc(request.headers());
                request.extensions_mut().insert(caller.clone());
                let answering = self.router.call(request);
                let shared = self.shared.clone();
                Either::Right(Either::Right(Box::pin(async move {
                    Ok(answering.await?.map(|body| Standing::answer(body, caller, shared, is_grpc)))
                })))
            }
        }
    }
}

/// A request on its way: answered at once, or by the router, or with something before or after.
type Passing =
    Either<Ready<Result<Response, Infallible>>, Either<RouteFuture<Infallible>, BoxFuture<'static, Result<Response, Infallible>>>>;

fn fault_of(refused: Refused) -> Fault {
    match refused {
        Refused::Nothing => {
            Fault::new(ErrorCode::Unauthenticated, "the caller", "shows neither a token nor a certificate that is known here")
        }
        Refused::Unknown => Fault::new(ErrorCode::Unauthenticated, "the token", UNKNOWN),
        Refused::Unsure => Fault::new(
            ErrorCode::NoLeader,
            "the token",
            "is not known to this member, which cannot ask the others whether there is one just now",
        ),
        Refused::Bad(why) => Fault::new(ErrorCode::Unauthenticated, "the token", why),
        Refused::TooOften(wait) => {
            let detail = "has failed too often to show who it is";
            let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Fault { retry_after_ms, ..Fault::new(ErrorCode::TooManyFailures, "the address of the caller", detail) }
        }
    }
}

/// The refusal in the way that the request understands.
fn refusal(fault: Fault, path: &str, headers: &HeaderMap) -> Response {
    if methods::is_grpc(headers) {
        return Status::from(fault).into_http();
    }
    let unknown = fault.code == ErrorCode::Unauthenticated;
    let mut response = Refusal::from(fault).response(path);
    if unknown {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

impl<B> Service<Request<B>> for Gate
where
    B: HttpBody<Data = bytes::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Passing;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let caller = self.caller(request.uri().path(), request.headers());
        if caller != Err(Refused::Unknown) {
            return self.pass(request, caller);
        }
        let mut gate = self.clone();
        Either::Right(Either::Right(Box::pin(async move {
            let (head, body) = request.into_parts();
            let caller = gate.caller_again(&head.headers).await;
            gate.pass(Request::from_parts(head, body), caller).await
        })))
    }
}

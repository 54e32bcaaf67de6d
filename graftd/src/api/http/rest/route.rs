//! The table of routes: what a verb is called, what it takes, what it answers, and the function that answers it.
//!
//! A route is made from its function: query, body and answer are the function's own types, so that what the OpenAPI document says of them
//! is what is read and written.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Query, RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, any, on};
use graft_proto::errors::{ErrorCode, Fault, nearest, quoted};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::super::problem::Refusal;
use super::answer::{Answers, Described};
use super::call::{Brings, Call, Content, IDEMPOTENCY_KEY};
use super::query::{self, Parameter};
use crate::api::Shared;
use crate::api::timed::RouteOf;
use crate::auth::caller::Caller;

/// Below which all of REST is.
pub(super) const ROOT: &str = "/api/v1";
/// On every answer: it is no page, it is not to be guessed at, and it is true only now.
const HEADERS: [(HeaderName, HeaderValue); 2] =
    [(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// A verb of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// As HTTP spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send>>;
type Handler = Arc<dyn Fn(Arc<Shared>, Asked) -> Answering + Send + Sync>;

/// A request as it came.
struct Asked {
    path: Vec<(String, String)>,
    pairs: Vec<(String, String)>,
    instance: String,
    headers: HeaderMap,
    caller: Option<Caller>,
    body: Body,
}

/// One verb on one path.
pub(super) struct Route {
    pub(super) method: Method,
    /// Below [`ROOT`], with `{names}`.
    pub(super) path: &'static str,
    /// What it is called in programs.
    pub(super) operation: &'static str,
    /// What it is about.
    pub(super) noun: &'static str,
    /// What it does, in a sentence.
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Content>,
    pub(super) answer: Described,
    /// Whether it can be repeated safely under a key.
    keyed: bool,
    handler: Handler,
}

impl Route {
    /// Whether it changes something.
    pub(super) fn changes(&self) -> bool {
        self.method != Method::Get
    }

    /// Whether it changes something, and can be repeated safely under a key.
    pub(super) fn takes_key(&self) -> bool {
        self.changes() && self.keyed
    }
}

/// All routes, and the schemas that they share.
pub(super) struct Table {
    pub(super) routes: Vec<Route>,
    /// Of what is read.
    pub(super) read: SchemaGenerator,
    /// Of what is written.
    pub(super) written: SchemaGenerator,
    noun: &'static str,
    keyed: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        let settings = || SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = "/components/schemas".into());
        let (read, written) = (settings().for_deserialize(), settings().for_serialize());
        Self { routes: Vec::new(), read: read.into_generator(), written: written.into_generator(), noun: "", keyed: true }
    }

    /// What the routes that follow are about.
    pub(super) fn about(&mut self, noun: &'static str) {
        self.noun = noun;
        self.keyed = true;
    }

    /// The routes that follow take no key: what they change is not a command of the log, or must not be told twice.
    pub(super) fn without_keys(&mut self) {
        self.keyed = false;
    }

    /// Adds a verb, which this function answers.
    pub(super) fn verb<Q, B, A, F>(
        &mut self,
        method: Method,
        path: &'static str,
        operation: &'static str,
        about: &'static str,
        answer: fn(Call<Q, B>) -> F,
    ) where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        B: Brings + 'static,
        A: Answers + Send + 'static,
        F: Future<Output = Result<A, Refusal>> + Send + 'static,
    {
        let parameters = query::parameters::<Q>(&mut self.read);
        let known: Arc<[Parameter]> = parameters.clone().into();
        let keyed = self.keyed;
        let handler: Handler = Arc::new(move |shared, asked: Asked| {
            let known = known.clone();
            Box::pin(async move {
                if !keyed && asked.headers.contains_key(IDEMPOTENCY_KEY) {
                    let fault = Fault::invalid("the header Idempotency-Key", "is not for this verb: each time it is asked, it is done");
                    return Err(fault.remedy("leave it out, and look what became of a request before you repeat it").into());
                }
                let query = query::read(&known, &asked.pairs)?;
                let body = B::read(&shared, &asked.headers, asked.body).await?;
                let call = Call { shared: shared.clone(), path: asked.path, query, body, headers: asked.headers, caller: asked.caller };
                let answer = answer(call).await?;
                if !A::is_list() {
                    return Ok(answer.response(&asked.instance));
                }
                let place = shared.readers.place().await;
                Ok(shared.readers.run(place, move || answer.response(&asked.instance)).await?)
            })
        });
        let body = B::content(&mut self.read);
        let described = A::described(&mut self.written);
        self.routes.push(Route { method, path, operation, noun: self.noun, about, parameters, body, answer: described, keyed, handler });
    }

    /// The router of these routes. What they do not have is refused in the same way everywhere.
    pub(super) fn router(&self) -> Router<Arc<Shared>> {
        let mut router = Router::new();
        let paths: Arc<[String]> = self.paths().into();
        for path in paths.iter() {
            let of_path: Vec<&Route> = self.routes.iter().filter(|route| format!("{ROOT}{}", route.path) == *path).collect();
            let mut methods = MethodRouter::new();
            for route in &of_path {
                let (handler, label) = (route.handler.clone(), RouteOf(route.path));
                let serve = move |State(shared): State<Arc<Shared>>,
                                  path: Result<RawPathParams, RawPathParamsRejection>,
                                  request: Request| label.of(answered(handler.clone(), shared, path, request));
                methods = methods.merge(on(route.method.filter(), serve));
            }
            let allowed: Vec<&str> = of_path.iter().map(|route| route.method.name()).collect();
            router = router.route(path, methods.fallback(refusing(allowed.join(", "))));
        }
        let known = paths.clone();
        let missing = move |uri: Uri| {
            let known = known.clone();
            async move { finished(no_path(uri.path(), &known).response(uri.path())) }
        };
        // `{*rest}` matches no empty rest.
        let router = router.route(&format!("{ROOT}/{{*rest}}"), any(missing.clone()));
        router.route(&format!("{ROOT}/"), any(missing.clone())).route(ROOT, any(missing))
    }

    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.routes.iter().map(|route| format!("{ROOT}{}", route.path)).collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

/// Answers a request with the function of its route.
async fn answered(
    handler: Handler,
    shared: Arc<Shared>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let caller = parts.extensions.get::<Caller>().cloned();
    let instance = parts.uri.path().to_owned();
    let read = path
        .map_err(|error| Fault::invalid(format!("path {}", quoted(&instance)), format!("cannot be read: {}", error.body_text())))
        .map_err(|fault| fault.remedy("percent-encode each name in it, as UTF-8"))
        .and_then(|path| Ok((path, pairs(&parts.uri)?)));
    let answer = match read {
        Err(fault) => Err(fault.into()),
        Ok((path, pairs)) => {
            let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            handler(shared, Asked { path, pairs, instance: instance.clone(), headers: parts.headers, caller, body }).await
        }
    };
    finished(answer.unwrap_or_else(|refusal| refusal.response(&instance)))
}

/// What follows the `?`. Escapes that mean nothing are refused: what reads them would put something else in their place.
fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Fault> {
    let query = uri.query().unwrap_or_default();
    let wrong = |why: &str| {
        Fault::invalid("the query", format!("cannot be read: {why}")).remedy("write it as key=value&key=value, percent-encoded as UTF-8")
    };
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(wrong("a % is not followed by two digits")) };
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    std::str::from_utf8(&bytes).map_err(|_| wrong("its escapes are no UTF-8"))?;
    let Query(pairs) = Query::try_from_uri(uri).map_err(|_| wrong("it is no key=value&key=value"))?;
    Ok(pairs)
}

/// Adds what every answer has.
pub(super) fn finished(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// What answers the methods that a path does not have.
pub(super) fn refusing(allowed: String) -> impl Fn(http::Method, Uri) -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    move |method, uri| std::future::ready(finished(wrong_method(&method, uri.path(), allowed.clone()).response(uri.path())))
}

fn wrong_method(method: &http::Method, path: &str, allowed: String) -> Refusal {
    let detail = format!("is not there for {}: it has {allowed}", quoted(path));
    let fault = Fault::new(ErrorCode::UnknownMethod, format!("method {method}"), detail).remedy(format!("use {allowed}"));
    Refusal::from(fault).with_status(StatusCode::METHOD_NOT_ALLOWED).allowing(allowed)
}

fn no_path(path: &str, known: &[String]) -> Refusal {
    let fault = Fault::new(ErrorCode::UnknownMethod, format!("path {}", quoted(path)), "is not there");
    let fault = match like(path, known) {
        Some(nearest) => fault.remedy(format!("did you mean {nearest}?")),
        None => fault.remedy(format!("see {ROOT}/openapi.json for the paths that there are")),
    };
    fault.into()
}

/// The path that was probably meant: alike in as many parts as this one has.
fn like(path: &str, known: &[String]) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let filled = |known: &String| -> Option<String> {
        let wanted: Vec<&str> = known.split('/').collect();
        let same = wanted.len() == parts.len();
        // What stands in the place of a name is taken for the name.
        let filled = |(wanted, part): (&&str, &&str)| if wanted.starts_with('{') { *part } else { *wanted }.to_owned();
        same.then(|| wanted.iter().zip(&parts).map(filled).collect::<Vec<_>>().join("/"))
    };
    let filled: Vec<String> = known.iter().filter_map(filled).collect();
    nearest(path, filled.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_was_mistyped_is_recognised_with_its_names() {
        let known =
            ["/api/v1/namespaces/{namespace}/workflows", "/api/v1/namespaces/{namespace}/limits", "/api/v1/limits"].map(str::to_owned);
        let told = |path: &str| no_path(path, &known).problem(path).remedy.expect("advice");
        assert_eq!(told("/api/v1/namespaces/sales/workflow"), "did you mean /api/v1/namespaces/sales/workflows?");
        assert_eq!(told("/api/v1/limit"), "did you mean /api/v1/limits?");
        assert!(told("/api/v1/a/b/c/d/e").contains("openapi.json"));
    }
}

//! What a verb answers with: a document, many of them, or a page for people.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::sse::{Event as SseEvent, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures::{Stream, StreamExt};
use graft_proto::documents::{Document, Versioned, WorkflowExport};
use graft_proto::errors::{ErrorCode, Fault};
use http::{HeaderValue, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use tonic::Status;

use super::super::problem::Refusal;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const EVENT_STREAM: &str = "text/event-stream";
const OCTETS: &str = "application/octet-stream";
const MARKDOWN: &str = "text/markdown";
/// A stream of events that has been silent for so long says that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How an answer is described.
pub(super) struct Described {
    pub(super) media: &'static str,
    /// Of the whole; or of each, where there are many.
    pub(super) schema: Schema,
    pub(super) many: bool,
    /// Statuses of success, the usual one first, with what they mean.
    pub(super) statuses: &'static [(u16, &'static str)],
}

const OK: &[(u16, &str)] = &[(200, "As asked.")];

/// An answer.
pub(super) trait Answers {
    /// How the OpenAPI document describes it.
    fn described(generator: &mut SchemaGenerator) -> Described;

    /// Answers. `instance` is the path that was asked.
    fn response(self, instance: &str) -> Response;

    /// Whether it may have many rows, so that it is written where pages are read.
    fn is_list() -> bool {
        false
    }
}

impl<D: Document + JsonSchema + 'static> Answers for D {
    fn described(generator: &mut SchemaGenerator) -> Described {
        Described { media: JSON, schema: generator.subschema_for::<Versioned<'static, D>>(), many: false, statuses: OK }
    }

    fn response(self, instance: &str) -> Response {
        match serde_json::to_vec(&Versioned::of(&self)) {
            Ok(bytes) => ([(header::CONTENT_TYPE, JSON)], bytes).into_response(),
            Err(error) => unwritten(&error).response(instance),
        }
    }

    fn is_list() -> bool {
        D::KIND.ends_with("List")
    }
}

fn unwritten(error: &serde_json::Error) -> Refusal {
    Fault::new(ErrorCode::Internal, "the answer", format!("cannot be written: {error}")).into()
}

/// Something that was made, or was there already.
pub(super) struct Made<D> {
    /// The document.
    pub(super) document: D,
    /// Whether it is new.
    pub(super) new: bool,
    /// Where it is.
    pub(super) location: String,
}

impl<D: Document + JsonSchema + 'static> Answers for Made<D> {
    fn described(generator: &mut SchemaGenerator) -> Described {
        Described { statuses: &[(201, "It was started."), (200, "It was there already.")], ..D::described(generator) }
    }

    fn response(self, instance: &str) -> Response {
        let mut response = self.document.response(instance);
        if self.new && response.status() == StatusCode::OK {
            *response.status_mut() = StatusCode::CREATED;
        }
        if let Ok(location) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

type Documents<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// Documents, one a line, as they come. A line that is a problem (it has a `status`) is the last.
pub(super) struct LinesOf<D>(pub(super) Documents<Result<D, Status>>);

impl<D: Document + JsonSchema + 'static> Answers for LinesOf<D> {
    fn described(generator: &mut SchemaGenerator) -> Described {
        Described { media: NDJSON, schema: generator.subschema_for::<Versioned<'static, D>>(), many: true, statuses: OK }
    }

    fn response(self, instance: &str) -> Response {
        let instance = instance.to_owned();
        let lines = self.0.map(move |document| {
            let mut line = match document {
                Ok(document) => json(&Versioned::of(&document), &instance),
                Err(status) => json(&Refusal::from(status).problem(&instance), &instance),
            };
            line.push('\n');
            Ok::<_, Infallible>(line)
        });
        ([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(lines)).into_response()
    }
}

/// JSON in one line; a problem if it cannot be written.
fn json(value: &impl Serialize, instance: &str) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| serde_json::to_string(&unwritten(&error).problem(instance)).unwrap_or_default())
}

/// One event of a stream.
pub(super) enum Told<D> {
    /// A document, and the id under which to go on behind it.
    Document(D, String),
    /// Nothing to tell up to here: go on behind this id.
    Nothing(String),
    /// It is over, and why not to come back; with a word for programs.
    End(serde_json::Value),
}

/// Server-sent events. Documents have no event type of their own, so that `onmessage` gets them all; `end` says that nothing more will come,
/// `problem` why a stream broke off.
pub(super) struct Events<D>(pub(super) Documents<Result<Told<D>, Status>>);

impl<D: Document + JsonSchema + 'static> Answers for Events<D> {
    fn described(generator: &mut SchemaGenerator) -> Described {
        Described { media: EVENT_STREAM, schema: generator.subschema_for::<Versioned<'static, D>>(), many: true, statuses: OK }
    }

    fn response(self, instance: &str) -> Response {
        let instance = instance.to_owned();
        let events = self.0.map(move |told| {
            Ok::<_, Infallible>(match told {
                Ok(Told::Document(document, id)) => SseEvent::default().id(id).data(json(&Versioned::of(&document), &instance)),
                Ok(Told::Nothing(id)) => SseEvent::default().id(id),
                Ok(Told::End(why)) => SseEvent::default().event("end").data(why.to_string()),
                Err(status) => SseEvent::default().event("problem").data(json(&Refusal::from(status).problem(&instance), &instance)),
            })
        });
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
    }
}

/// Server-sent events that come to an end; `None` behind it. The standard has a browser come back to a stream that has ended, for ever, unless
/// it is answered so.
pub(super) struct Ending<D>(pub(super) Option<Events<D>>);

impl<D: Document + JsonSchema + 'static> Answers for Ending<D> {
    fn described(generator: &mut SchemaGenerator) -> Described {
        let statuses = &[(200, "As asked."), (204, "Nothing is left to tell, and nothing will be: do not come back.")];
        Described { statuses, ..Events::<D>::described(generator) }
    }

    fn response(self, instance: &str) -> Response {
        self.0.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |events| events.response(instance))
    }
}

/// A document that comes in pieces. If a piece cannot be had the connection is cut: half a document must not look like a whole one.
pub(super) struct Pieces {
    /// The pieces.
    pub(super) pieces: Documents<Result<Bytes, Status>>,
    /// What a browser saves it as.
    pub(super) name: String,
}

impl Answers for Pieces {
    fn described(generator: &mut SchemaGenerator) -> Described {
        Described { media: JSON, schema: generator.subschema_for::<Versioned<'static, WorkflowExport>>(), many: false, statuses: OK }
    }

    fn response(self, _: &str) -> Response {
        let mut response = ([(header::CONTENT_TYPE, JSON)], Body::from_stream(self.pieces)).into_response();
        if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{}\"", self.name)) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
        response
    }
}

/// Bytes in pieces, to be kept as a file.
pub(super) struct Download {
    /// The pieces.
    pub(super) pieces: Documents<Result<Bytes, Status>>,
    /// What a browser saves it as.
    pub(super) name: &'static str,
}

impl Answers for Download {
    fn described(_: &mut SchemaGenerator) -> Described {
        let schema = schemars::json_schema!({ "type": "string", "format": "binary" });
        Described { media: OCTETS, schema, many: false, statuses: OK }
    }

    fn response(self, _: &str) -> Response {
        let disposition = format!("attachment; filename=\"{}\"", self.name);
        ([(header::CONTENT_TYPE, OCTETS.to_owned()), (header::CONTENT_DISPOSITION, disposition)], Body::from_stream(self.pieces))
            .into_response()
    }
}

/// A page for people, in Markdown.
pub(super) struct Page(pub(super) &'static str);

impl Answers for Page {
    fn described(generator: &mut SchemaGenerator) -> Described {
        Described { media: MARKDOWN, schema: generator.subschema_for::<String>(), many: false, statuses: OK }
    }

    fn response(self, _: &str) -> Response {
        ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], self.0).into_response()
    }
}

//! One request, read: its path, its query, its body, and who asks.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use graft_proto::errors::{Fault, quoted};
use graft_proto::{MESSAGE_BYTES_MAX, v1};
use http::{HeaderMap, StatusCode, header};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

use super::super::problem::Refusal;
use super::suggest;
use crate::api::access::Guarded;
use crate::api::requests::{CLIENT_METADATA, TRACEPARENT};
use crate::api::{Shared, bodies};
use crate::auth::caller::Caller;

/// Names a request that changes something, so that it can be repeated safely.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Largest body with many documents, in bytes: it is read whole before the first of them is answered, because many clients of HTTP/1.1 do
/// not read while they write.
const LINES_BYTES_MAX: usize = 32 << 20;

/// A request to a verb with this query and this body.
pub(super) struct Call<Q, B = Nothing> {
    /// What answers it.
    pub(super) shared: Arc<Shared>,
    /// What the path names, in order.
    pub(super) path: Vec<(String, String)>,
    /// What follows the `?`.
    pub(super) query: Q,
    /// What it brings.
    pub(super) body: B,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// Who asks, as the gate has found.
    pub(super) caller: Option<Caller>,
}

impl<Q, B> Call<Q, B> {
    /// What the path has in the place of `{name}`.
    pub(super) fn named(&self, name: &str) -> String {
        self.path.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The namespace in the path.
    pub(super) fn namespace(&self) -> String {
        self.named("namespace")
    }

    /// The workflow in the path.
    pub(super) fn workflow_id(&self) -> String {
        self.named("workflow_id")
    }

    /// The number of the task in the path.
    pub(super) fn task(&self) -> Result<u32, Fault> {
        let text = self.named("task");
        text.parse().map_err(|_| Fault::invalid("the task in the path", format!("is {}, but has to be a number", quoted(&text))))
    }

    /// The message as a request of the same client.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for header in [CLIENT_METADATA, TRACEPARENT] {
            for value in self.headers.get_all(header) {
                if let Ok(value) = AsciiMetadataValue::try_from(value.as_bytes()) {
                    request.metadata_mut().append(header, value);
                }
            }
        }
        if let Some(caller) = &self.caller {
            request.extensions_mut().insert(caller.clone());
        }
        request
    }

    /// A service, behind the question whether the caller may ask it that.
    pub(super) fn guarded<S>(&self, service: impl FnOnce(Arc<Shared>) -> S) -> Guarded<S> {
        Guarded::new(self.shared.clone(), service(self.shared.clone()))
    }

    /// The request id that the client has chosen, if it has. An empty one is none of its choice: what made it went wrong, and what is
    /// taken for safe to repeat would not be.
    pub(super) fn meta(&self) -> Result<Option<v1::RequestMeta>, Fault> {
        let Some(key) = self.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let wrong =
            |detail: &str| Err(Fault::invalid("the header Idempotency-Key", detail).remedy("send a key of your own, or leave it out"));
        let Ok(key) = key.to_str() else { return wrong("has other characters than ASCII") };
        if key.is_empty() {
            return wrong("is empty");
        }
        Ok(Some(v1::RequestMeta { request_id: key.to_owned(), not_after_ms: 0 }))
    }
}

/// What a body is described as.
pub(super) struct Content {
    pub(super) media: &'static str,
    pub(super) schema: Schema,
    pub(super) required: bool,
    /// Whether it is many documents, of which the schema describes each.
    pub(super) many: bool,
}

/// What a request may bring.
pub(super) trait Brings: Sized + Send {
    /// How the OpenAPI document describes it; `None`: there is no body.
    fn content(generator: &mut SchemaGenerator) -> Option<Content>;

    /// Reads it.
    fn read(shared: &Arc<Shared>, headers: &HeaderMap, body: Body) -> impl Future<Output = Result<Self, Refusal>> + Send;
}

/// No body. What comes all the same is not read.
pub(super) struct Nothing;

impl Brings for Nothing {
    fn content(_: &mut SchemaGenerator) -> Option<Content> {
        None
    }

    async fn read(_: &Arc<Shared>, _: &HeaderMap, _: Body) -> Result<Self, Refusal> {
        Ok(Self)
    }
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// A JSON document.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned + JsonSchema + Send> Brings for Json<T> {
    fn content(generator: &mut SchemaGenerator) -> Option<Content> {
        Some(Content { media: JSON, schema: generator.subschema_for::<T>(), required: true, many: false })
    }

    async fn read(shared: &Arc<Shared>, headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        check_type(headers, JSON)?;
        let bytes = whole(shared, body).await?;
        Ok(Self(document("the body", &bytes)?))
    }
}

/// A JSON document of which every key may be left out, and so may the document.
pub(super) struct MaybeJson<T>(pub(super) T);

impl<T: DeserializeOwned + JsonSchema + Default + Send> Brings for MaybeJson<T> {
    fn content(generator: &mut SchemaGenerator) -> Option<Content> {
        Some(Content { media: JSON, schema: generator.subschema_for::<T>(), required: false, many: false })
    }

    async fn read(shared: &Arc<Shared>, headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        let bytes = whole(shared, body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_type(headers, JSON)?;
        Ok(Self(document("the body", &bytes)?))
    }
}

/// JSON documents, one a line: an iterator over the lines, as they are. One that cannot be read does not spoil the others.
pub(super) struct Lines<T> {
    /// What is left of the body, in the parts in which it came: each is freed when its lines have been taken.
    parts: VecDeque<Bytes>,
    /// Room for it, given back line by line.
    room: Option<OwnedSemaphorePermit>,
    what: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The document of a line, which is the `number`th.
    pub(super) fn read_line(number: usize, line: &[u8]) -> Result<T, Fault> {
        if line.len() > MESSAGE_BYTES_MAX {
            return Err(Fault::too_large(format!("line {number}"), format!("is larger than {MESSAGE_BYTES_MAX} bytes")));
        }
        document(&format!("line {number}"), line)
    }
}

impl<T> Lines<T> {
    /// The next line, with its end if it has one; `None`: there is none.
    fn line(&mut self) -> Option<Bytes> {
        let mut begun = Vec::new();
        let line = loop {
            let Some(part) = self.parts.front_mut() else { break Bytes::from(begun) };
            let end = part.iter().position(|byte| *byte == b'\n');
            let piece = part.split_to(end.map_or(part.len(), |end| end + 1));
            if part.is_empty() {
                self.parts.pop_front();
            }
            match end {
                // Most lines lie in one part.
                Some(_) if begun.is_empty() => break piece,
                _ => begun.extend_from_slice(&piece),
            }
            if end.is_some() {
                break Bytes::from(begun);
            }
        };
        drop(self.room.as_mut().and_then(|room| room.split(line.len())));
        (!line.is_empty()).then_some(line)
    }
}

impl<T> Iterator for Lines<T> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let line = self.line()?;
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

impl<T: DeserializeOwned + JsonSchema> Brings for Lines<T> {
    fn content(generator: &mut SchemaGenerator) -> Option<Content> {
        Some(Content { media: NDJSON, schema: generator.subschema_for::<T>(), required: true, many: true })
    }

    async fn read(shared: &Arc<Shared>, headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        check_type(headers, NDJSON)?;
        let (parts, room) = bodies::collect(body, &shared.lines, LINES_BYTES_MAX).await?;
        Ok(Self { parts: parts.into(), room, what: PhantomData })
    }
}

/// Refuses a body that says to be something else than what is read here.
fn check_type(headers: &HeaderMap, needed: &str) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
    let media = given.as_deref().and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if media.eq_ignore_ascii_case(needed) {
        return Ok(());
    }
    let detail = given.as_ref().map_or("is missing".to_owned(), |given| format!("is {}", quoted(given)));
    let fault = Fault::invalid("the content type", detail).remedy(format!("send {needed}, with `Content-Type: {needed}`"));
    Err(Refusal::from(fault).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

/// All of a message, within the bounds of all and its own.
async fn whole(shared: &Arc<Shared>, body: Body) -> Result<Bytes, Refusal> {
    let (mut parts, _room) = bodies::collect(body, &shared.bodies, MESSAGE_BYTES_MAX).await?;
    Ok(if parts.len() == 1 { parts.remove(0) } else { parts.concat().into() })
}

/// A document as a type. What is not known is refused, with the nearest key.
fn document<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let reason = match error.classify() {
            serde_json::error::Category::Data => "does not fit",
            _ => "is no JSON",
        };
        let fault = Fault::invalid(what, format!("{reason}: {text}"));
        match suggest::in_message(&text) {
            Some(nearest) => fault.remedy(format!("did you mean `{nearest}`?")),
            None => fault,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default)]
        state: u32,
    }

    #[test]
    fn a_document_that_does_not_fit_is_told_from_one_that_is_none() {
        assert_eq!(document::<Asked>("the body", b"{\"state\":1}").expect("good").state, 1);
        let told = |text: &str| document::<Asked>("the body", text.as_bytes()).expect_err("refused").to_string();
        assert!(told("{\"stat\":1}").contains("does not fit: unknown field `stat`"), "{}", told("{\"stat\":1}"));
        assert!(told("{\"stat\":1}").ends_with("did you mean `state`?"));
        assert!(told("{\"state\":").starts_with("the body is no JSON: EOF"), "{}", told("{\"state\":"));
        assert!(told("{\"state\":\"x\"}").starts_with("the body does not fit: invalid type"));
    }

    #[tokio::test]
    async fn lines_are_found_wherever_the_parts_of_a_body_end_and_give_their_room_back_one_by_one() {
        let text = "{\"state\":1}\n\n  \r\n{\"state\":2}\r\n{}";
        for size in 1..=text.len() {
            let parts: VecDeque<_> = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            let all = Arc::new(tokio::sync::Semaphore::new(text.len()));
            let room = all.clone().try_acquire_many_owned(text.len() as u32).ok();
            let mut lines = Lines::<Asked> { parts, room, what: PhantomData };
            let mut told = Vec::new();
            let mut free = 0;
            for line in lines.by_ref() {
                told.push(Lines::<Asked>::read_line(1, &line).expect("good").state);
                assert!(all.available_permits() > free, "size {size}");
                free = all.available_permits();
            }
            assert_eq!((told, all.available_permits()), (vec![1, 2, 0], text.len()), "size {size}");
        }
        let long = vec![b' '; MESSAGE_BYTES_MAX + 1];
        assert!(Lines::<Asked>::read_line(7, &long).expect_err("too large").to_string().starts_with("line 7 is larger than"));
    }

    #[test]
    fn a_content_type_may_have_parameters_and_has_to_be_there() {
        let headers = |kind: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, http::HeaderValue::from_static(kind))]);
        check_type(&headers("application/json"), JSON).expect("good");
        check_type(&headers("Application/JSON; charset=utf-8"), JSON).expect("good");
        for headers in [HeaderMap::new(), headers("text/plain"), headers("application/jsonx")] {
            let problem = check_type(&headers, JSON).expect_err("refused").problem("/");
            assert_eq!(problem.status, 415);
        }
    }
}

//! Watching a run: its events as server-sent events, as they become true.
//!
//! The id of an event is `RUN-NUMBER`: a browser that comes back with it goes on in the run that it was watching, behind the last event that
//! it has seen, even if another run has replaced that one. A browser comes back to a stream that has ended as well: when the run is over and
//! nothing is left behind what it has seen, it is answered with 204, at which it stops.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use graft_proto::documents::Event;
use graft_proto::errors::{Fault, quoted};
use graft_proto::v1;
use graft_proto::v1::workflow_service_server::WorkflowService;
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tonic::Status;

use super::super::problem::Refusal;
use super::answer::{Ending, Events, Told};
use super::call::Call;
use super::route::{Method, Table};
use crate::api::requests::Target;
use crate::api::workflows::Workflows;

/// How long the first event of a run that is over may take to be read, before the stream is begun without it.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// What a client that comes back has seen last.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// Adds the verb.
pub(super) fn routes(table: &mut Table) {
    let about = "The events of a run as they become true, as server-sent events: from the first, from a number, or behind the `Last-Event-ID` \
                 that the client has seen. An event of the type `end` follows the last one. Who comes back when the run has ended and nothing \
                 is left to tell is answered with 204, at which an `EventSource` stops; one that is closed at `end` need not come back.";
    table.verb(Method::Get, "/namespaces/{namespace}/workflows/{workflow_id}/events", "watch_workflow", about, watch);
}

/// What is watched.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Watch {
    /// Only this run. Left out: the current one.
    run: Option<u64>,
    /// First event wanted, by its number in the run. Left out: the first there is.
    from: Option<u64>,
}

async fn watch(call: Call<Watch>) -> Result<Ending<Event>, Refusal> {
    let (run, from_number) = match last_seen(&call.headers)? {
        Some((run, number)) => match (call.query.run, run) {
            (Some(asked), Some(seen)) if asked != seen => {
                let detail = format!("is of run {seen}, but run {asked} is asked for");
                return Err(Fault::invalid("the header Last-Event-ID", detail).remedy("leave one of them out").into());
            }
            (asked, seen) => (seen.or(asked).unwrap_or_default(), number + 1),
        },
        None => (call.query.run.unwrap_or_default(), call.query.from.unwrap_or_default()),
    };
    let request = v1::WatchRequest { namespace: call.namespace(), workflow_id: call.workflow_id(), run, from_number };
    let service = call.guarded(|shared| Workflows { shared });
    let mut answers = service.watch(call.request(request)).await?.into_inner().peekable();
    let workflow = Target::new(call.namespace(), call.workflow_id(), run)?.find(&call.shared.latest())?;
    if workflow.kind().is_final() {
        // What there is of a run that is over is there at once; a redrive that came in between has it go on.
        let first = tokio::time::timeout(LOOK_MAX, Pin::new(&mut answers).peek()).await;
        if matches!(first, Ok(None)) {
            return Ok(Ending(None));
        }
    }
    Ok(Ending(Some(Events(Box::pin(told(answers))))))
}

/// Run and number of the event that was seen last: `RUN-NUMBER`, or a number of the run that is asked for.
fn last_seen(headers: &HeaderMap) -> Result<Option<(Option<u64>, u64)>, Fault> {
    let Some(id) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = String::from_utf8_lossy(id.as_bytes());
    let seen = match text.split_once('-') {
        Some((run, number)) => run.parse().ok().zip(number.parse().ok()).map(|(run, number)| (Some(run), number)),
        None => text.parse().ok().map(|number| (None, number)),
    };
    let seen = seen.filter(|(_, number): &(_, u64)| *number < u64::MAX);
    let wrong = || Fault::invalid("the header Last-Event-ID", format!("is {}, but has to be RUN-NUMBER", quoted(&text)));
    seen.map(Some).ok_or_else(|| wrong().remedy("send the id of an event of this stream, or none"))
}

/// The events one by one, and an end.
fn told(
    answers: impl Stream<Item = Result<v1::WatchResponse, Status>> + Send + 'static,
) -> impl Stream<Item = Result<Told<Event>, Status>> + Send {
    let each = answers.map(Some).chain(stream::iter([None])).scan(Progress::Going, |progress, answer| {
        let told: Vec<Result<Told<Event>, Status>> = match answer {
            Some(Ok(answer)) => {
                let event = |event: v1::Event| {
                    let id = format!("{}-{}", answer.run, event.number);
                    Ok(Told::Document(event.into(), id))
                };
                answer.events.into_iter().map(event).collect()
            }
            Some(Err(status)) => {
                *progress = Progress::BrokenOff;
                vec![Err(status)]
            }
            // A stream that broke off has not come to its end.
            None => match progress {
                Progress::Going => vec![Ok(Told::End(json!({ "reason": "the run has ended" })))],
                Progress::BrokenOff => Vec::new(),
            },
        };
        futures::future::ready(Some(stream::iter(told)))
    });
    each.flatten()
}

enum Progress {
    Going,
    BrokenOff,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(id: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(LAST_EVENT_ID), http::HeaderValue::from_str(id).expect("a header"))])
    }

    #[test]
    fn what_was_seen_last_is_a_run_and_a_number_or_a_number() {
        assert_eq!(last_seen(&HeaderMap::new()), Ok(None));
        assert_eq!(last_seen(&header("7-12")), Ok(Some((Some(7), 12))));
        assert_eq!(last_seen(&header("12")), Ok(Some((None, 12))));
        for wrong in ["", "x", "7-", "-7", "7-x", "18446744073709551615"] {
            assert!(last_seen(&header(wrong)).expect_err(wrong).to_string().contains("has to be RUN-NUMBER"));
        }
    }

    #[tokio::test]
    async fn a_stream_that_broke_off_says_why_and_does_not_end() {
        let answer = v1::WatchResponse { events: vec![v1::Event { number: 3, ..v1::Event::default() }], run: 7 };
        let ended: Vec<_> = told(stream::iter([Ok(answer.clone())])).collect().await;
        assert!(matches!(&ended[..], [Ok(Told::Document(_, id)), Ok(Told::End(_))] if id == "7-3"));
        let broken: Vec<_> = told(stream::iter([Ok(answer), Err(Status::unavailable("gone"))])).collect().await;
        assert!(matches!(&broken[..], [Ok(Told::Document(..)), Err(_)]));
    }
}

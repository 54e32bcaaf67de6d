//! The events of all workflows, as server-sent events in the order of the log. The id of an event is its position: a browser that comes back
//! with it goes on behind it, at whichever member it reaches.

use futures::{Stream, StreamExt, stream};
use graft_proto::documents::WorkflowEvent;
use graft_proto::errors::Fault;
use graft_proto::v1;
use graft_proto::v1::event_service_server::EventService;
use schemars::JsonSchema;
use serde::Deserialize;
use tonic::Status;

use super::super::problem::Refusal;
use super::answer::{Events, Told};
use super::call::Call;
use super::route::{Method, Table};
use super::watch::LAST_EVENT_ID;
use crate::api::events;

/// Adds the verb.
pub(super) fn routes(table: &mut Table) {
    table.about("events");
    let about = "The events of all workflows (or of those that are asked for) as server-sent events in the order of the log, without end: from \
                 now on, behind a position, or behind the `Last-Event-ID` that the client has seen. Events of \
                 workflows that have been deleted are not there any more. A client that takes nothing for 30 s is let go.";
    table.verb(Method::Get, "/events", "subscribe_to_events", about, subscribe);
}

/// Which events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Filter {
    /// Only of this namespace. Left out: of all.
    namespace: String,
    /// Only of workflows whose id starts so.
    prefix: String,
    /// Only of this type, such as `task_failed`; give it again for more. Left out: of all.
    r#type: Vec<String>,
    /// After this position, as an event's `position` or id gave it; `earliest`: all that is kept. Left out: what becomes true from now on.
    after: String,
}

async fn subscribe(call: Call<Filter>) -> Result<Events<WorkflowEvent>, Refusal> {
    let seen = match call.headers.get(LAST_EVENT_ID) {
        Some(id) => Some(id.to_str().map_err(|_| Fault::invalid("the header Last-Event-ID", "has other characters than ASCII"))?),
        None => None,
    };
    let request = v1::SubscribeRequest {
        namespace: call.query.namespace.clone(),
        workflow_id_prefix: call.query.prefix.clone(),
        types: call.query.r#type.clone(),
        // Who comes back has seen more than the address says.
        after: seen.filter(|seen| !seen.is_empty()).unwrap_or(&call.query.after).to_owned(),
    };
    let service = call.guarded(events::Events::new);
    Ok(Events(Box::pin(told(service.subscribe(call.request(request)).await?.into_inner()))))
}

/// The events one by one, and how far the log has been looked through.
fn told(
    answers: impl Stream<Item = Result<v1::SubscribeResponse, Status>> + Send,
) -> impl Stream<Item = Result<Told<WorkflowEvent>, Status>> + Send {
    let each = answers.map(|answer| {
        let told: Vec<_> = match answer {
            Ok(v1::SubscribeResponse { events, position }) => {
                let event = |event: v1::WorkflowEvent| {
                    let id = event.event.as_ref().map(|event| event.position.clone()).unwrap_or_default();
                    Ok(Told::Document(event.into(), id))
                };
                events.into_iter().map(event).chain([Ok(Told::Nothing(position))]).collect()
            }
            Err(status) => vec![Err(status)],
        };
        stream::iter(told)
    });
    each.flatten()
}

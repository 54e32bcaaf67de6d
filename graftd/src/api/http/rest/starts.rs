//! Many starts in one call: one JSON document a line in, one a line out.
//!
//! The body is read whole before the first start is answered, within a bound: many clients of HTTP/1.1 do not read while they write, and
//! would wait for ever for a server that does not read on before they do.

use futures::{StreamExt, stream};
use graft_proto::documents::StartResult;

use super::super::problem::Refusal;
use super::answer::LinesOf;
use super::bodies::StartWorkflow;
use super::call::{Call, Lines};
use super::route::{Method, Table};
use super::workflows::NoQuery;
use crate::api::requests::principal;
use crate::api::start_many;

/// Adds the verb.
pub(super) fn routes(table: &mut Table) {
    let about = "Starts many workflows: one a line. Each is a request of its own, with an answer of its own, in the order of the lines; one \
                 that is refused does not stop the others.";
    table.verb(Method::Post, "/namespaces/{namespace}/workflow-starts", "start_workflows", about, start);
}

async fn start(call: Call<NoQuery, Lines<StartWorkflow>>) -> Result<LinesOf<StartResult>, Refusal> {
    let principal = principal(call.request(()).metadata());
    let (namespace, shared) = (call.namespace(), call.shared);
    let Lines { lines, room, .. } = call.body;
    let starts = lines.enumerate().map(move |(at, line)| {
        let start = Lines::<StartWorkflow>::read_line(at + 1, &line);
        Ok(start.and_then(|start| start.message(namespace.clone(), None)))
    });
    let answers = start_many::start_many(shared, principal, stream::iter(starts));
    // The room is given back when the last answer has been taken.
    let answers = answers.map(move |answer| {
        let _held = &room;
        answer.map(|answer| (&answer).into())
    });
    Ok(LinesOf(Box::pin(answers)))
}

//! Many starts in one call: one JSON document a line in, one a line out.
//!
//! The body is read whole before the first start is answered, within a bound: many clients of HTTP/1.1 do not read while they write, and
//! would wait for ever for a server that does not read on before they do. What is read waits in a room of its own, a line no longer than
//! until it is started; whoever reads no answers is let go ([`start_many`]).

use futures::{StreamExt, stream};
use graft_proto::documents::StartResult;
use graft_proto::v1;

use super::super::problem::Refusal;
use super::answer::LinesOf;
use super::bodies::StartWorkflow;
use super::call::{Call, Lines};
use super::route::{Method, Table};
use super::workflows::NoQuery;
use crate::api::access::Asker;
use crate::api::requests::{Starter, part_of};
use crate::api::start_many;

/// Adds the verb.
pub(super) fn routes(table: &mut Table) {
    let about = "Starts many workflows: one a line. Each is a request of its own, with an answer of its own, in the order of the lines; one \
                 that is refused does not stop the others. Under an `Idempotency-Key` each line has a key of its own, made from that key and \
                 the number of the line: send the same lines again to learn what was not answered. A client that takes no answers for \
                 30 s is let go.";
    table.verb(Method::Post, "/namespaces/{namespace}/workflow-starts", "start_workflows", about, start);
}

async fn start(call: Call<NoQuery, Lines<StartWorkflow>>) -> Result<LinesOf<StartResult>, Refusal> {
    let request = call.request(());
    let (starter, asker) = (Starter::of(request.metadata()), Asker::of(&request));
    let key = call.meta()?;
    let (namespace, shared) = (call.namespace(), call.shared);
    let starts = call.body.enumerate().map(move |(at, line)| {
        let start = Lines::<StartWorkflow>::read_line(at + 1, &line);
        Ok(start.and_then(|start| start.message(namespace.clone(), key.as_ref().map(|key| of_line(key, at)))))
    });
    let answers = start_many::start_many(shared, starter, asker, stream::iter(starts));
    Ok(LinesOf(Box::pin(answers.map(|answer| answer.map(|answer| (&answer).into())))))
}

/// The identity of the start at this place: the same when the whole is sent again under its key.
fn of_line(key: &v1::RequestMeta, at: usize) -> v1::RequestMeta {
    v1::RequestMeta { request_id: part_of(&key.request_id, &format!("start {at}")), ..key.clone() }
}

//! Payload for readers: what leaves a service is shown without the fields that are not for its caller (`auth.redacted_fields`).
//!
//! Who administers the namespace sees everything, if it has shown who it is; where nobody has to, nobody is known to, and the fields are hidden from
//! everybody. Workers are handed their tasks whole: they are not answered here. The table of methods ([`super::access`]) says which answers carry payload; what
//! stands in them is hidden by [`Bears`], for gRPC and REST alike, and in each answer of a stream, so that another configuration, or another right, counts at once.
//!
//! What a node said when it failed, reasons, labels and ids are words and no payload: they are shown to whoever may see the workflow. A value of a hidden field
//! can be written by whoever may write: only reading is narrowed.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use graft_convert::names::NAMESPACE_DEFAULT;
use graft_machine::access::{Place, Right};
use graft_proto::v1;
use graft_proto::v1::event::Happened;
use graft_proto::v1::operation::Change;
use tokio::sync::watch;
use tonic::Status;

use crate::auth::Auth;
use crate::auth::caller::Caller;
use crate::auth::redacted::{ANY, Fields, steps};

use super::Shared;

/// What is hidden from a caller.
#[derive(Clone)]
pub(super) struct Hidden {
    fields: watch::Receiver<Arc<Fields>>,
    auth: Arc<Auth>,
    caller: Option<Caller>,
    /// The one that was asked about; an answer that names another goes by that.
    namespace: String,
}

impl Hidden {
    /// From this caller, who asks about this namespace (empty = the default one).
    pub(super) fn from(shared: &Shared, caller: Option<Caller>, namespace: &str) -> Self {
        let namespace = if namespace.is_empty() { NAMESPACE_DEFAULT } else { namespace }.to_owned();
        Self { fields: shared.api.info.redacted.clone(), auth: shared.api.auth.clone(), caller, namespace }
    }

    /// The fields that the caller may not see there, if there are any.
    fn here(&self, namespace: &str) -> Option<Arc<Fields>> {
        let fields = self.fields.borrow().clone();
        if fields.is_empty() {
            return None;
        }
        let sees = |caller: &Caller| self.auth.is_required() && caller.may(Right::Administer, Place::Namespace(namespace));
        (!self.caller.as_ref().is_some_and(sees)).then_some(fields)
    }

    /// The answer as the caller sees it.
    pub(super) fn show<A: Bears>(&self, mut answer: A) -> A {
        answer.narrow(self);
        answer
    }
}

/// An answer that bears payload.
pub(super) trait Bears {
    /// Hides what is not for this caller.
    fn narrow(&mut self, hidden: &Hidden);
}

/// Payload that belongs to a workflow of the namespace that was asked about.
trait Payloads {
    fn hide(&mut self, fields: &Fields);
}

impl<A: Payloads> Bears for A {
    fn narrow(&mut self, hidden: &Hidden) {
        if let Some(fields) = hidden.here(&hidden.namespace) {
            Payloads::hide(self, &fields);
        }
    }
}

impl Bears for v1::SubscribeResponse {
    fn narrow(&mut self, hidden: &Hidden) {
        for v1::WorkflowEvent { namespace, event, .. } in &mut self.events {
            if let (Some(fields), Some(event)) = (hidden.here(namespace), event) {
                event.hide(&fields);
            }
        }
    }
}

impl<A: Bears + Send + 'static> Bears for Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>> {
    fn narrow(&mut self, hidden: &Hidden) {
        let (answers, hidden) = (std::mem::replace(self, Box::pin(futures::stream::empty())), hidden.clone());
        *self = Box::pin(answers.map(move |answer| answer.map(|answer| hidden.show(answer))));
    }
}

impl Payloads for v1::Payload {
    fn hide(&mut self, fields: &Fields) {
        redact(fields, self, &[]);
    }
}

impl Payloads for v1::GetResponse {
    fn hide(&mut self, fields: &Fields) {
        self.state.iter_mut().for_each(|payload| payload.hide(fields));
        self.tasks.iter_mut().for_each(|task| task.hide(fields));
    }
}

impl Payloads for v1::WaitResponse {
    fn hide(&mut self, fields: &Fields) {
        self.state.iter_mut().for_each(|payload| payload.hide(fields));
    }
}

impl Payloads for v1::HistoryResponse {
    fn hide(&mut self, fields: &Fields) {
        self.events.iter_mut().for_each(|event| event.hide(fields));
    }
}

impl Payloads for v1::WatchResponse {
    fn hide(&mut self, fields: &Fields) {
        self.events.iter_mut().for_each(|event| event.hide(fields));
    }
}

impl Payloads for v1::ListTasksResponse {
    fn hide(&mut self, fields: &Fields) {
        self.tasks.iter_mut().filter_map(|task| task.task.as_mut()).for_each(|task| task.hide(fields));
    }
}

impl Payloads for v1::GetTaskResponse {
    fn hide(&mut self, fields: &Fields) {
        self.state.iter_mut().for_each(|payload| payload.hide(fields));
        self.task.iter_mut().filter_map(|task| task.task.as_mut()).for_each(|task| task.hide(fields));
        self.resolution.iter_mut().for_each(|event| event.hide(fields));
    }
}

impl Payloads for v1::TaskSummary {
    fn hide(&mut self, fields: &Fields) {
        self.config.iter_mut().for_each(|payload| payload.hide(fields));
    }
}

impl Payloads for v1::Event {
    fn hide(&mut self, fields: &Fields) {
        match &mut self.happened {
            Some(Happened::Started(started)) => started.state.iter_mut().for_each(|payload| payload.hide(fields)),
            Some(Happened::TaskCompleted(completed)) => {
                completed.patch.iter_mut().for_each(|payload| payload.hide(fields));
                completed.operations.iter_mut().for_each(|operation| operation.hide(fields));
            }
            Some(Happened::DeadLetterRedriven(redriven)) => {
                redriven.config.iter_mut().for_each(|payload| payload.hide(fields));
                redriven.state_patch.iter_mut().for_each(|payload| payload.hide(fields));
            }
            _ => {}
        }
    }
}

impl Payloads for v1::Operation {
    fn hide(&mut self, fields: &Fields) {
        let mut path = steps(&self.pointer);
        match &mut self.change {
            Some(Change::Append(value)) => {
                path.push(ANY.to_owned());
                redact(fields, value, &path);
            }
            // That something was added is told, and not what.
            Some(Change::Increment(_) | Change::IncrementFloat(_)) if fields.hide(&path) => self.change = None,
            _ => {}
        }
    }
}

fn redact(fields: &Fields, document: &mut v1::Payload, path: &[String]) {
    if !document.data.is_empty() {
        document.data = fields.redact(&document.data, path).into();
    }
}

#[cfg(test)]
impl Hidden {
    /// Nothing, from nobody.
    pub(super) fn nothing() -> Self {
        Self { fields: watch::channel(Arc::default()).1, auth: Arc::default(), caller: None, namespace: String::new() }
    }
}

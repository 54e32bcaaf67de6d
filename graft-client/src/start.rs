//! Starting a workflow.

use std::future::IntoFuture;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use graft_proto::v1::{self as proto, RequestMeta, StartRequest};
use serde::Serialize;

use crate::client::Client;
use graft_proto::errors::ErrorCode;

use crate::RawJson;
use crate::error::ClientError;
use crate::limits;
use crate::next::{Next, millis, unix_millis};

/// What a start does when the id is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Refuse (the default).
    #[default]
    Fail,
    /// Answer with the run that is there.
    UseExisting,
    /// Start a new run if the one that is there has ended; refuse otherwise.
    ReplaceFinished,
}

/// A workflow to be started: its first state, its first tasks, and how it is kept.
///
/// Made by [`Client::start`] it is sent when it is awaited; made by [`StartWorkflow::new`] it is given to [`Client::start`] later.
#[derive(Clone, Debug)]
#[must_use = "nothing is started before this is awaited"]
pub struct StartWorkflow<C = ()> {
    client: C,
    request: StartRequest,
    broken: Option<String>,
}

impl StartWorkflow {
    /// A workflow with this id, at most 256 bytes. An empty id: one is made, the same one again for the same [`request_id`](Self::request_id).
    pub fn new(workflow_id: impl Into<String>) -> Self {
        let request = StartRequest { workflow_id: workflow_id.into(), ..StartRequest::default() };
        Self { client: (), request, broken: None }
    }

    pub(crate) fn on(self, client: Client) -> StartWorkflow<Client> {
        StartWorkflow { client, request: self.request, broken: self.broken }
    }
}

impl From<&str> for StartWorkflow {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for StartWorkflow {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl<C> StartWorkflow<C> {
    /// Its first state: a value whose JSON form is an object of at most 1 MiB. Otherwise it begins with `{}`.
    ///
    /// # Errors
    /// If the value has no JSON form.
    pub fn state<T: Serialize + ?Sized>(self, state: &T) -> Result<Self, ClientError> {
        match RawJson::of(state) {
            Ok(state) => Ok(self.state_json(state)),
            Err(error) => {
                let object = named(&self.request.workflow_id);
                let message = format!("its state cannot be written as JSON: {error}");
                Err(ClientError::new(ErrorCode::NotSerializable, "start a workflow", object, message))
            }
        }
    }

    /// Its first state, as JSON.
    pub fn state_json(mut self, state: impl Into<RawJson>) -> Self {
        self.request.state = state.into().into_payload();
        self
    }

    /// One of its first tasks; at least one is needed, several run in parallel.
    pub fn node(mut self, next: impl Into<Next>) -> Self {
        match next.into().into_wire() {
            Ok(task) => self.request.nodes.push(task),
            Err(reason) => self.broken = Some(reason),
        }
        self
    }

    /// One of its first tasks, by the name of its node.
    pub fn node_named(self, node: impl Into<String>, config: impl Serialize) -> Self {
        self.node(Next::named(node, config))
    }

    /// A label, to find it by. At most 32.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.labels.insert(key.into(), value.into());
        self
    }

    /// Ends as timed out at this time.
    pub fn deadline(mut self, time: SystemTime) -> Self {
        self.request.deadline_ms = unix_millis(time);
        self
    }

    /// Kept for so long once it has ended; otherwise the server's setting counts.
    pub fn retention(mut self, time: Duration) -> Self {
        self.request.retention_ms = millis(time).max(1);
        self
    }

    /// What happens when the id is taken.
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        let wire = match on_conflict {
            OnConflict::Fail => proto::OnConflict::Fail,
            OnConflict::UseExisting => proto::OnConflict::UseExisting,
            OnConflict::ReplaceFinished => proto::OnConflict::ReplaceFinished,
        };
        self.request.on_conflict = wire.into();
        self
    }

    /// Identifies the request, so that a repeat (of this call, or of this program) is answered with the first answer. Otherwise one is made.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request.meta.get_or_insert_with(RequestMeta::default).request_id = id.into();
        self
    }

    /// The request must not take effect after this time; otherwise nine minutes from when the server sees it.
    pub fn not_after(mut self, time: SystemTime) -> Self {
        self.request.meta.get_or_insert_with(RequestMeta::default).not_after_ms = unix_millis(time);
        self
    }

    /// Starts it from within this span (a `traceparent` of W3C Trace Context, like `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`): its own
    /// spans then belong below it, and its nodes are handed it to go on from. One that is malformed is not taken, which [`Started::warnings`] tells.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.request.traceparent = traceparent.into();
        self
    }

    /// The request as this client sends it.
    pub(crate) fn into_request(self, client: &Client) -> Result<StartRequest, ClientError> {
        let Self { mut request, broken, .. } = self;
        let object = named(&request.workflow_id);
        if let Some(reason) = broken {
            return Err(ClientError::new(ErrorCode::NotSerializable, "start a workflow", object, reason));
        }
        client.namespace().clone_into(&mut request.namespace);
        let workflow_id = request.workflow_id.clone();
        client.payloads(&workflow_id).encode_start(&mut request).map_err(|broken| broken.into_error("start a workflow"))?;
        limits::check("its state", request.state.as_ref(), limits::STATE_BYTES_MAX)
            .and_then(|()| limits::check_configs(&request.nodes))
            .map_err(|reason| limits::too_large("start a workflow", &object, reason))?;
        let meta = request.meta.get_or_insert_with(RequestMeta::default);
        if meta.request_id.is_empty() {
            meta.request_id = uuid::Uuid::new_v4().to_string();
            // Nobody can repeat this request but this call, so the id may as well be made here, where an error can name it. Under a request
            // id of the caller it stays empty: the server derives it from that one, and a later repeat of it asks for the same workflow.
            if request.workflow_id.is_empty() {
                request.workflow_id = uuid::Uuid::new_v4().to_string();
            }
        }
        Ok(request)
    }
}

/// A workflow to be, as a person names it. Its id may still be the server's to make.
pub(crate) fn named(workflow_id: &str) -> String {
    if workflow_id.is_empty() { "a workflow".to_owned() } else { format!("workflow \"{workflow_id}\"") }
}

impl IntoFuture for StartWorkflow<Client> {
    type Output = Result<Started, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let client = self.client.clone();
            client.send_start(self).await
        })
    }
}

/// A workflow that was accepted: it is durable and will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub workflow_id: String,
    /// Number of the run.
    pub run: u64,
    /// False if [`OnConflict::UseExisting`] found it.
    pub created: bool,
    /// What is odd but accepted: a node that no worker serves, with the nearest name that one serves; a traceparent that is malformed.
    pub warnings: Vec<String>,
    /// The server's time of the answer, in milliseconds since the Unix epoch.
    pub time_ms: u64,
}

impl From<proto::StartResponse> for Started {
    fn from(answer: proto::StartResponse) -> Self {
        let proto::StartResponse { namespace, workflow_id, run, created, warnings, time_ms } = answer;
        Self { namespace, workflow_id, run, created, warnings, time_ms }
    }
}

//! Everything that becomes true in the cluster, as one stream.

use std::time::Duration;

use futures::Stream;
use futures::stream::try_unfold;
use graft_proto::errors::ErrorCode;
use graft_proto::v1::{SubscribeRequest, SubscribeResponse, WorkflowEvent};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::channel::{Kind, Place};
use crate::client::Client;
use crate::error::ClientError;

/// How often a stream that ends too early is begun again, without an answer in between, before it is given up.
const TRIES_MAX: u32 = 20;
/// A stream that stood for longer than this was a success, even without an answer.
const STOOD: Duration = Duration::from_secs(10);
/// The position before everything that is kept.
const EARLIEST: &str = "earliest";

/// Which events a stream tells. Each call narrows it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EventFilter {
    all_namespaces: bool,
    request: SubscribeRequest,
}

impl EventFilter {
    /// All that become true in the client's namespace from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of all namespaces.
    pub fn all_namespaces(mut self) -> Self {
        self.all_namespaces = true;
        self
    }

    /// Only of workflows whose id starts so.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.request.workflow_id_prefix = prefix.into();
        self
    }

    /// Only of this type, or another one that is named: `started`, `task_failed` and so on, as the fields of `Event.happened` are called.
    pub fn event_type(mut self, name: impl Into<String>) -> Self {
        self.request.types.push(name.into());
        self
    }

    /// From the earliest that is kept.
    pub fn from_earliest(mut self) -> Self {
        self.request.after = EARLIEST.to_owned();
        self
    }

    /// After this position: [`EventBatch::position`] of a stream before, or `position` of an event. Empty: from now on.
    pub fn after(mut self, position: impl Into<String>) -> Self {
        self.request.after = position.into();
        self
    }
}

/// Some events, in the order of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct EventBatch {
    /// The events, each with its workflow. None: nothing that was asked for, up to the position.
    pub events: Vec<WorkflowEvent>,
    /// Everything up to here has been told. Whoever keeps it, once what it stands for is dealt with, can go on from it at any time.
    pub position: String,
}

impl Client {
    /// The events of all workflows (or of those that are asked for), in the order of the log, without end: of what is kept none is missing,
    /// and none is told twice. When the stream breaks it goes on from the last position at whichever member answers. Events are kept as long
    /// as their workflow: those of one that was deleted (its retention was over) before they were read are passed over without a word, so a
    /// subscriber that stays away for longer than workflows are retained misses some.
    ///
    /// # Errors
    /// The stream's last item is an error if the filter or the position is none, or no member answers for long.
    pub fn events(&self, filter: EventFilter) -> impl Stream<Item = Result<EventBatch, ClientError>> + Send + Unpin + 'static {
        let namespace = if filter.all_namespaces { String::new() } else { self.namespace().to_owned() };
        let subscription = Subscription {
            client: self.clone(),
            request: SubscribeRequest { namespace, ..filter.request },
            stream: None,
            opened_at: Instant::now(),
            empty_tries: 0,
            backoff: Backoff::seeded(Duration::from_millis(50), Duration::from_secs(2)),
        };
        Box::pin(try_unfold(subscription, |mut subscription| async move {
            let batch = subscription.next().await?;
            Ok(Some((batch, subscription)))
        }))
    }
}

/// A stream that begins again where it stopped: `request.after` is the last position.
struct Subscription {
    client: Client,
    request: SubscribeRequest,
    /// With its place on its connection.
    stream: Option<(tonic::Streaming<SubscribeResponse>, Option<Place>)>,
    opened_at: Instant,
    empty_tries: u32,
    backoff: Backoff,
}

impl Subscription {
    const OPERATION: &str = "follow events";

    async fn next(&mut self) -> Result<EventBatch, ClientError> {
        loop {
            let Some((stream, place)) = &mut self.stream else {
                self.stream = Some(self.open().await?);
                self.opened_at = Instant::now();
                continue;
            };
            match stream.message().await {
                Ok(Some(SubscribeResponse { mut events, position })) => {
                    for WorkflowEvent { namespace, workflow_id, event, .. } in &mut events {
                        let decoded =
                            event.as_mut().map_or(Ok(()), |event| self.client.payloads_in(namespace, workflow_id).decode_event(event));
                        decoded.map_err(|broken| broken.into_error(Self::OPERATION))?;
                    }
                    self.request.after.clone_from(&position);
                    self.empty_tries = 0;
                    self.backoff.reset();
                    return Ok(EventBatch { events, position });
                }
                Ok(None) => self.again(None).await?,
                Err(status) => {
                    let server = place.as_ref().map_or("", |place| &place.server);
                    // It only reads: nothing about it is in doubt.
                    let error = ClientError::from_status(Self::OPERATION, server, &status).unknown_outcome(false);
                    self.again(Some(error)).await?;
                }
            }
        }
    }

    async fn open(&self) -> Result<(tonic::Streaming<SubscribeResponse>, Option<Place>), ClientError> {
        let call = |channel, request| {
            let mut service = self.client.event_service(channel);
            async move { service.subscribe(request).await }
        };
        self.client.call_in_place(Self::OPERATION, Kind::Lasting(Duration::ZERO), self.request.clone(), call).await
    }

    async fn again(&mut self, error: Option<ClientError>) -> Result<(), ClientError> {
        let stood = self.stream.take().is_some();
        if stood && self.opened_at.elapsed() > STOOD {
            self.empty_tries = 0;
            self.backoff.reset();
        }
        self.empty_tries += 1;
        let hopeless = error.as_ref().is_some_and(ClientError::ends_a_stream);
        if hopeless || self.empty_tries > TRIES_MAX {
            return Err(error.unwrap_or_else(|| {
                ClientError::new(ErrorCode::Unreachable, Self::OPERATION, "", "the server ended the stream again and again")
                    .unknown_outcome(false) // it changes nothing
            }));
        }
        tokio::time::sleep(self.backoff.wait()).await;
        Ok(())
    }
}

//! A handle on one workflow: look at it, wait for it, watch it, steer it.

use std::time::Duration;

use futures::Stream;
use futures::stream::try_unfold;
use graft_proto::v1::{
    ControlRequest, ControlResponse, Event, GetRequest, HistoryRequest, TaskSummary, WaitRequest, WatchRequest, WatchResponse,
    WorkflowStatus, WorkflowSummary, event::Happened,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::channel::{Kind, Place, after};
use crate::client::{Client, cursor, fresh_meta};
use graft_proto::errors::ErrorCode;

use crate::RawJson;
use crate::error::ClientError;
use crate::next::millis;

/// What reading a history is called in errors.
const HISTORY: &str = "read the history of";
/// How long one `Wait` call stays at the server before it is asked again.
const WAIT_STEP: Duration = Duration::from_secs(20);
/// How often a watch that ends too early is begun again, without an event in between, before it is given up.
const WATCH_TRIES_MAX: u32 = 20;
/// A stream that stood for longer than this was a success, even without an event: a quiet workflow is none that cannot be watched.
const WATCH_STOOD: Duration = Duration::from_secs(10);

/// A handle on one workflow, or on one run of it. Cheap to clone; nothing is sent before a method is called.
#[derive(Clone, Debug)]
pub struct WorkflowHandle {
    pub(crate) client: Client,
    pub(crate) workflow_id: String,
    pub(crate) run: u64,
}

/// A workflow with its state, as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its status, counters and times.
    pub summary: WorkflowSummary,
    /// Its state.
    pub state: RawJson,
    /// Its first 100 open tasks and dead letters; empty where a wait returned it.
    pub tasks: Vec<TaskSummary>,
}

impl Workflow {
    /// What it is doing.
    pub fn status(&self) -> WorkflowStatus {
        self.summary.status()
    }

    /// Whether it has ended, in whatever way.
    pub fn has_ended(&self) -> bool {
        is_final(self.status())
    }

    /// Its state as a type.
    ///
    /// # Errors
    /// If the state does not fit.
    pub fn state_as<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.state.parse().map_err(|error| {
            let object = format!("workflow \"{}\"", self.summary.workflow_id);
            let message = format!("its state does not fit {}: {error}", crate::type_name::type_name::<T>());
            ClientError::new(ErrorCode::NotDeserializable, "read a state", object, message)
        })
    }
}

/// Whether a workflow with this status has ended.
pub fn is_final(status: WorkflowStatus) -> bool {
    match status {
        WorkflowStatus::Unspecified | WorkflowStatus::Running | WorkflowStatus::Paused | WorkflowStatus::Cancelling => false,
        WorkflowStatus::Completed
        | WorkflowStatus::Failed
        | WorkflowStatus::Cancelled
        | WorkflowStatus::Terminated
        | WorkflowStatus::TimedOut => true,
    }
}

/// A page of a run's history, the oldest event first.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins; `None`: this is the last one.
    pub next_cursor: Option<String>,
    /// The run.
    pub run: u64,
}

impl WorkflowHandle {
    pub(crate) fn new(client: Client, workflow_id: String) -> Self {
        Self { client, workflow_id, run: 0 }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.workflow_id
    }

    /// The same workflow, but only this run of it; 0 is the current one.
    pub fn run(mut self, run: u64) -> Self {
        self.run = run;
        self
    }

    pub(crate) fn doing(&self, verb: &str) -> String {
        format!("{verb} workflow \"{}\" in namespace \"{}\"", self.workflow_id, self.client.namespace())
    }

    /// The workflow as it is now.
    ///
    /// # Errors
    /// If it does not exist, or no member answers.
    pub async fn get(&self) -> Result<Workflow, ClientError> {
        let (namespace, workflow_id) = (self.client.namespace().to_owned(), self.workflow_id.clone());
        let request = GetRequest { namespace, workflow_id, run: self.run, consistency: self.client.consistency() };
        let call = |mut service: Service, request| async move { service.get(request).await };
        let operation = self.doing("get");
        let mut answer = self.client.workflows_call(&operation, Kind::Read, request, call).await?;
        let payloads = self.client.payloads(&self.workflow_id);
        let decoded = answer.tasks.iter_mut().try_for_each(|task| payloads.decode_task(task)).and_then(|()| payloads.state(answer.state));
        let state = decoded.map_err(|broken| broken.into_error(&operation))?;
        Ok(Workflow { summary: self.present(answer.workflow)?, state, tasks: answer.tasks })
    }

    /// Waits until it has ended, however long that takes, through changes of leader. It stays with the run that was current at the first
    /// answer, even if another one takes its place meanwhile.
    ///
    /// # Errors
    /// If it does not exist, or no member answers for the client's request timeout.
    pub async fn wait(&self) -> Result<Workflow, ClientError> {
        let mut pinned = self.clone();
        loop {
            if let Some(workflow) = pinned.wait_step(WAIT_STEP).await? {
                return Ok(workflow);
            }
        }
    }

    /// Waits until it has ended, at most for `timeout`; `None` if it has not.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub async fn wait_for(&self, timeout: Duration) -> Result<Option<Workflow>, ClientError> {
        let until = after(timeout);
        let mut pinned = self.clone();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(workflow) = pinned.wait_step(left.clamp(Duration::from_millis(1), WAIT_STEP)).await? {
                return Ok(Some(workflow));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    /// One `Wait` call. If it is over first, the handle stays with the run that was waited for.
    async fn wait_step(&mut self, step: Duration) -> Result<Option<Workflow>, ClientError> {
        let (namespace, workflow_id) = (self.client.namespace().to_owned(), self.workflow_id.clone());
        let request = WaitRequest { namespace, workflow_id, run: self.run, timeout_ms: millis(step).max(1) };
        let call = |mut service: Service, request| async move { service.wait(request).await };
        let operation = self.doing("wait for");
        let answer = self.client.workflows_call(&operation, Kind::Lasting(step), request, call).await?;
        let summary = self.present(answer.workflow)?;
        if !answer.ended {
            self.run = summary.run;
            return Ok(None);
        }
        let state = self.client.payloads(&self.workflow_id).state(answer.state).map_err(|broken| broken.into_error(&operation))?;
        Ok(Some(Workflow { summary, state, tasks: Vec::new() }))
    }

    /// Waits until it has completed and reads its state as `T`.
    ///
    /// # Errors
    /// If it ended otherwise (the error says how and why), if its state does not fit `T`, or as [`wait`](Self::wait).
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        let workflow = self.wait().await?;
        if workflow.status() == WorkflowStatus::Completed {
            return workflow.state_as();
        }
        let status = status_name(workflow.status());
        let reason = &workflow.summary.reason;
        let message = if reason.is_empty() { format!("it ended as {status}") } else { format!("it ended as {status}: {reason}") };
        let object = format!("workflow \"{}\" in namespace \"{}\"", self.workflow_id, self.client.namespace());
        Err(ClientError::new(ErrorCode::NotCompleted, self.doing("get the result of"), object, message)
            .remedied(format!("Look at its history: graft workflow history {}", self.workflow_id)))
    }

    /// The events of the run as they become true, from the first, without a gap; ends after the run has ended. Survives the loss of members.
    ///
    /// # Errors
    /// The stream's last item is an error if the workflow does not exist, or no member answers for long.
    pub fn watch(&self) -> impl Stream<Item = Result<Event, ClientError>> + Send + Unpin + 'static {
        self.watch_from(0)
    }

    /// As [`watch`](Self::watch), from the event with this number.
    pub fn watch_from(&self, number: u64) -> impl Stream<Item = Result<Event, ClientError>> + Send + Unpin + 'static {
        let watch = Watch {
            handle: self.clone(),
            from: number,
            stream: None,
            place: None,
            opened_at: Instant::now(),
            pending: Vec::new().into_iter(),
            ended: false,
            empty_tries: 0,
            backoff: Backoff::seeded(Duration::from_millis(50), Duration::from_secs(2)),
        };
        Box::pin(try_unfold(watch, |mut watch| async move { Ok(watch.next().await?.map(|event| (event, watch))) }))
    }

    /// A page of the history, the oldest event first. An empty cursor is the first page; `limit` 0 is 100, at most 1,000.
    ///
    /// # Errors
    /// If the workflow does not exist, or no member answers.
    pub async fn history(&self, limit: u32, from: &str) -> Result<HistoryPage, ClientError> {
        let (namespace, workflow_id, from) = (self.client.namespace().to_owned(), self.workflow_id.clone(), from.to_owned());
        let request = HistoryRequest { namespace, workflow_id, run: self.run, limit, cursor: from, consistency: self.client.consistency() };
        let call = |mut service: Service, request| async move { service.history(request).await };
        let mut answer = self.client.workflows_call(&self.doing(HISTORY), Kind::Read, request, call).await?;
        self.decode_events(&mut answer.events, HISTORY)?;
        Ok(HistoryPage { events: answer.events, next_cursor: cursor(answer.next_cursor), run: answer.run })
    }

    /// Stops offering its tasks; running attempts may finish.
    ///
    /// # Errors
    /// If it does not exist, its status does not allow it, or no member answers.
    pub async fn pause(&self, reason: impl Into<String>) -> Result<WorkflowSummary, ClientError> {
        let call = |mut service: Service, request| async move { service.pause(request).await };
        let request = self.control(reason, Duration::ZERO);
        let answer = self.client.workflows_call(&self.doing("pause"), Kind::Change, request, call).await?;
        self.changed("pause", answer).await
    }

    /// Offers its tasks again.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn resume(&self, reason: impl Into<String>) -> Result<WorkflowSummary, ClientError> {
        let call = |mut service: Service, request| async move { service.resume(request).await };
        let request = self.control(reason, Duration::ZERO);
        let answer = self.client.workflows_call(&self.doing("resume"), Kind::Change, request, call).await?;
        self.changed("resume", answer).await
    }

    /// Tells running attempts, starts nothing more, and ends it when they have ended, at the latest after 30 s.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn cancel(&self, reason: impl Into<String>) -> Result<WorkflowSummary, ClientError> {
        self.cancel_within(reason, Duration::ZERO).await
    }

    /// As [`cancel`](Self::cancel), with another grace for running attempts; zero is 30 s.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn cancel_within(&self, reason: impl Into<String>, grace: Duration) -> Result<WorkflowSummary, ClientError> {
        let call = |mut service: Service, request| async move { service.cancel(request).await };
        let request = self.control(reason, grace);
        let answer = self.client.workflows_call(&self.doing("cancel"), Kind::Change, request, call).await?;
        self.changed("cancel", answer).await
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn terminate(&self, reason: impl Into<String>) -> Result<WorkflowSummary, ClientError> {
        let call = |mut service: Service, request| async move { service.terminate(request).await };
        let request = self.control(reason, Duration::ZERO);
        let answer = self.client.workflows_call(&self.doing("terminate"), Kind::Change, request, call).await?;
        self.changed("terminate", answer).await
    }

    fn control(&self, reason: impl Into<String>, grace: Duration) -> ControlRequest {
        ControlRequest {
            namespace: self.client.namespace().to_owned(),
            workflow_id: self.workflow_id.clone(),
            run: self.run,
            reason: reason.into(),
            grace_ms: millis(grace),
            meta: fresh_meta(),
        }
    }

    /// The workflow after a change. An answer without it is no failure: the change has happened, so the run is read by its number.
    async fn changed(&self, verb: &str, answer: ControlResponse) -> Result<WorkflowSummary, ClientError> {
        if let Some(summary) = answer.workflow {
            return Ok(summary);
        }
        let run = if answer.run == 0 { self.run } else { answer.run };
        self.clone().run(run).get().await.map(|workflow| workflow.summary).map_err(|error| {
            let object = format!("run {run} of workflow \"{}\" in namespace \"{}\"", self.workflow_id, self.client.namespace());
            let message = format!("the {verb} took effect, but what became of it could not be read: {}", error.message());
            ClientError::new(ErrorCode::Unread, format!("read {object} after the {verb}"), object, message)
                .remedied(format!("Do not repeat it: look at the run with graft workflow get {} --run {run}.", self.workflow_id))
                .after_it_took_effect()
        })
    }

    fn decode_events(&self, events: &mut [Event], verb: &str) -> Result<(), ClientError> {
        let payloads = self.client.payloads(&self.workflow_id);
        events.iter_mut().try_for_each(|event| payloads.decode_event(event)).map_err(|broken| broken.into_error(&self.doing(verb)))
    }

    fn present(&self, summary: Option<WorkflowSummary>) -> Result<WorkflowSummary, ClientError> {
        summary.ok_or_else(|| {
            let object = format!("workflow \"{}\"", self.workflow_id);
            ClientError::new(ErrorCode::BadAnswer, "read an answer", object, "the server sent no workflow")
                .remedied("Check that server and client are of versions that go together.")
        })
    }
}

pub(crate) type Service = graft_proto::v1::workflow_service_client::WorkflowServiceClient<crate::client::Identity>;

/// The word for a status, as people read it.
pub fn status_name(status: WorkflowStatus) -> &'static str {
    match status {
        WorkflowStatus::Unspecified => "unknown",
        WorkflowStatus::Running => "running",
        WorkflowStatus::Paused => "paused",
        WorkflowStatus::Cancelling => "cancelling",
        WorkflowStatus::Completed => "completed",
        WorkflowStatus::Failed => "failed",
        WorkflowStatus::Cancelled => "cancelled",
        WorkflowStatus::Terminated => "terminated",
        WorkflowStatus::TimedOut => "timed-out",
    }
}

/// Whether this event is the last of its run.
fn ends_the_run(event: &Event) -> bool {
    use Happened::{Cancelled, Completed, Failed, Terminated, TimedOut};
    matches!(event.happened, Some(Completed(_) | Failed(_) | Cancelled(_) | Terminated(_) | TimedOut(_)))
}

/// A watch that begins again where it stopped, in the run that its first events were of.
struct Watch {
    handle: WorkflowHandle,
    from: u64,
    stream: Option<tonic::Streaming<WatchResponse>>,
    /// The stream's own, on its connection.
    place: Option<Place>,
    opened_at: Instant,
    pending: std::vec::IntoIter<Event>,
    ended: bool,
    empty_tries: u32,
    backoff: Backoff,
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(mut event) = self.pending.next() {
                if event.number < self.from {
                    continue; // a repeat
                }
                self.handle.decode_events(std::slice::from_mut(&mut event), "watch")?;
                self.from = event.number + 1;
                self.ended |= ends_the_run(&event);
                self.empty_tries = 0;
                self.backoff.reset();
                return Ok(Some(event));
            }
            if let Some(stream) = &mut self.stream {
                match stream.message().await {
                    Ok(Some(batch)) => {
                        // What is watched is this run: opened again without its number, the watch could go over to one that has replaced it.
                        self.handle.run = batch.run.max(self.handle.run);
                        self.pending = batch.events.into_iter();
                    }
                    Ok(None) if self.ended || self.run_has_ended().await? => return Ok(None),
                    Ok(None) => self.again(None).await?,
                    Err(status) => {
                        let server = self.place.as_ref().map_or("", |place| &place.server);
                        // It only reads: nothing about it is in doubt.
                        let error = ClientError::from_status(&self.handle.doing("watch"), server, &status).unknown_outcome(false);
                        self.again(Some(error)).await?;
                    }
                }
            } else if self.ended {
                return Ok(None);
            } else {
                let (stream, place) = self.open().await?;
                (self.stream, self.place) = (Some(stream), place);
                self.opened_at = Instant::now();
            }
        }
    }

    async fn open(&self) -> Result<(tonic::Streaming<WatchResponse>, Option<Place>), ClientError> {
        let WorkflowHandle { client, workflow_id, run } = &self.handle;
        let (namespace, workflow_id) = (client.namespace().to_owned(), workflow_id.clone());
        let request = WatchRequest { namespace, workflow_id, run: *run, from_number: self.from };
        let call = |mut service: Service, request| async move { service.watch(request).await };
        client.workflows_call_in_place(&self.handle.doing("watch"), Kind::Lasting(Duration::ZERO), request, call).await
    }

    /// A stream that closes without the last event is in order if the watch began behind it.
    async fn run_has_ended(&self) -> Result<bool, ClientError> {
        Ok(self.handle.get().await?.has_ended())
    }

    async fn again(&mut self, error: Option<ClientError>) -> Result<(), ClientError> {
        let stood = self.stream.take().is_some();
        self.place = None;
        if stood && self.opened_at.elapsed() > WATCH_STOOD {
            self.empty_tries = 0;
            self.backoff.reset();
        }
        self.empty_tries += 1;
        let hopeless = error.as_ref().is_some_and(ClientError::ends_a_stream);
        if hopeless || self.empty_tries > WATCH_TRIES_MAX {
            return Err(error.unwrap_or_else(|| {
                ClientError::new(ErrorCode::Unreachable, self.handle.doing("watch"), "", "the server ended the stream again and again")
                    .unknown_outcome(false) // a watch changes nothing
            }));
        }
        tokio::time::sleep(self.backoff.wait()).await;
        Ok(())
    }
}

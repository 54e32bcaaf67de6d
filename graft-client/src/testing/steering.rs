//! What a client does to workflows: start, pause, resume, cancel, terminate; retry, redrive and discard tasks.
//!
//! Nothing of it takes time or executes a node: drive the engine afterwards.

use std::time::Duration;

use graft_convert::{payload, workflows};
use graft_machine::command::{Command, ControlTask, ControlWorkflow, RedriveTask};
use graft_machine::limits::RETENTION_DEFAULT;
use graft_machine::reply::Reply;
use graft_proto::errors::Fault;
use graft_proto::v1;
use prost::Message;

use super::engine::TestEngine;
use super::machine::Request;
use crate::dead_letters::Redrive;
use crate::error::ClientError;
use crate::next::millis;
use crate::start::{StartWorkflow, Started, named};

impl TestEngine {
    /// Starts a workflow, as [`Client::start`](crate::Client::start) does.
    ///
    /// # Errors
    /// If a server would refuse it.
    pub fn start(&mut self, start: impl Into<StartWorkflow>) -> Result<Started, ClientError> {
        let request = start.into().into_request(&self.client)?;
        let operation = format!("start {} in namespace \"{}\"", named(&request.workflow_id), request.namespace);
        self.started(request).map_err(|fault| error(&operation, fault))
    }

    fn started(&mut self, mut request: v1::StartRequest) -> Result<Started, Fault> {
        let v1::RequestMeta { request_id, not_after_ms } = request.meta.take().unwrap_or_default();
        // The order of labels on the wire is nobody's; a repeat is told by the rest.
        let labels = std::mem::take(&mut request.labels);
        let payload_hash = hash(&request);
        request.labels = labels;
        let command = workflows::start(request, RETENTION_DEFAULT, |_| format!("made-for-{request_id}"))?;
        let (namespace, workflow_id) = (command.namespace.clone(), command.id.clone());
        let request = Request { request_id, payload_hash, not_after: not_after_ms };
        let reply = self.ask(request, Command::Start(command))?;
        let Reply::Started(started) = reply else { unreachable!("a start was answered with {reply:?}") };
        let (run, created, time_ms) = (started.run, started.created, started.time);
        Ok(Started { namespace, workflow_id, run, created, warnings: Vec::new(), time_ms })
    }

    /// Stops offering its tasks; what runs may finish.
    ///
    /// # Errors
    /// If it does not exist, or its status does not allow it.
    pub fn pause(&mut self, workflow_id: &str, reason: &str) -> Result<(), ClientError> {
        self.control("pause", workflow_id, reason, Duration::ZERO, Command::Pause)
    }

    /// Offers its tasks again.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&mut self, workflow_id: &str, reason: &str) -> Result<(), ClientError> {
        self.control("resume", workflow_id, reason, Duration::ZERO, Command::Resume)
    }

    /// Tells what runs, starts nothing more, and ends the workflow when that has ended, at the latest after 30 s.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn cancel(&mut self, workflow_id: &str, reason: &str) -> Result<(), ClientError> {
        self.cancel_within(workflow_id, reason, Duration::ZERO)
    }

    /// As [`cancel`](Self::cancel), with another grace for what runs; zero is 30 s.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn cancel_within(&mut self, workflow_id: &str, reason: &str, grace: Duration) -> Result<(), ClientError> {
        self.control("cancel", workflow_id, reason, grace, Command::Cancel)
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn terminate(&mut self, workflow_id: &str, reason: &str) -> Result<(), ClientError> {
        self.control("terminate", workflow_id, reason, Duration::ZERO, Command::Terminate)
    }

    /// Makes a task ready that waits for a time or a change of the state.
    ///
    /// # Errors
    /// If there is no such task, or it does not wait.
    pub fn retry_task(&mut self, workflow_id: &str, task: u32, reason: &str) -> Result<(), ClientError> {
        self.control_task("retry", workflow_id, task, reason, Command::RetryTask)
    }

    /// Tries a dead letter again, with a fresh budget of attempts; its workflow goes on. `how` is a reason, or a [`Redrive`] with another config
    /// or a patch of the state.
    ///
    /// # Errors
    /// If there is no such dead letter, its workflow was cancelled, terminated or timed out, or the patch cannot be applied.
    pub fn redrive(&mut self, workflow_id: &str, task: u32, how: impl Into<Redrive>) -> Result<(), ClientError> {
        let operation = format!("redrive task {task} of {} in namespace \"{}\"", named(workflow_id), self.client.namespace());
        let one = v1::DeadLetterRef { workflow_id: workflow_id.to_owned(), run: 0, task };
        let request = how.into().into_request(&self.client, &operation, v1::redrive_request::Which::One(one))?;
        self.redriven(workflow_id, task, request).map_err(|fault| error(&operation, fault))
    }

    fn redriven(&mut self, id: &str, task: u32, mut request: v1::RedriveRequest) -> Result<(), Fault> {
        let v1::RequestMeta { request_id, not_after_ms } = request.meta.take().unwrap_or_default();
        let told = Request { request_id, payload_hash: hash(&request), not_after: not_after_ms };
        let v1::RedriveRequest { namespace, config, state_patch, reason, dry_run, .. } = request;
        let config = config.map(|config| payload::config(Some(config))).transpose()?;
        let state_patch = payload::patch(state_patch)?;
        if dry_run {
            return Err(Fault::invalid("a dry run", "is for many dead letters; a test redrives one, or looks at it"));
        }
        let command = RedriveTask { namespace, id: id.to_owned(), run: 0, task, config, state_patch, reason };
        self.ask(told, Command::Redrive(command)).map(drop)
    }

    /// Gives a dead letter up for good.
    ///
    /// # Errors
    /// If there is no such dead letter.
    pub fn discard(&mut self, workflow_id: &str, task: u32, reason: &str) -> Result<(), ClientError> {
        self.control_task("discard", workflow_id, task, reason, Command::Discard)
    }

    fn control(
        &mut self,
        verb: &str,
        id: &str,
        reason: &str,
        grace: Duration,
        command: fn(ControlWorkflow) -> Command,
    ) -> Result<(), ClientError> {
        let operation = format!("{verb} {} in namespace \"{}\"", named(id), self.client.namespace());
        let (namespace, id, reason) = (self.client.namespace().to_owned(), id.to_owned(), reason.to_owned());
        let command = command(ControlWorkflow { namespace, id, reason, grace: millis(grace), run: 0, idle: false });
        self.ask(Request::default(), command).map(drop).map_err(|fault| error(&operation, fault))
    }

    fn control_task(
        &mut self,
        verb: &str,
        id: &str,
        task: u32,
        reason: &str,
        command: fn(ControlTask) -> Command,
    ) -> Result<(), ClientError> {
        let operation = format!("{verb} task {task} of {} in namespace \"{}\"", named(id), self.client.namespace());
        let (namespace, id, reason) = (self.client.namespace().to_owned(), id.to_owned(), reason.to_owned());
        let command = command(ControlTask { namespace, id, run: 0, task, reason });
        self.ask(Request::default(), command).map(drop).map_err(|fault| error(&operation, fault))
    }

    fn ask(&mut self, request: Request, command: Command) -> Result<Reply, Fault> {
        let reply = self.machine.ask(self.clock.now(), request, command);
        self.act();
        reply
    }
}

/// FNV-1a of the request as it is sent: equal requests, equal hashes, in every process.
fn hash(request: &impl Message) -> u64 {
    request.encode_to_vec().iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// As a client reads the refusal of a server.
fn error(operation: &str, fault: Fault) -> ClientError {
    ClientError::from_status(operation, "the test's engine", &fault.into())
}

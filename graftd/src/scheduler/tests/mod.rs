//! The core against a real machine in memory: a world of one member whose clock stands until it is moved.

mod claims;
mod dispatch;
mod figures;
mod holding;
mod results;
mod takeover;

use bytes::Bytes;
use graft_machine::apply;
use graft_machine::command::{Command, CompleteTask, ControlWorkflow, Envelope, SetLimit, StartWorkflow};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::memory::Memory;
use graft_machine::reply::{Answer, Reply, Resolution};
use graft_machine::session::Limit;
use graft_machine::task::NewTask;
use graft_machine::time::Stamp;
use graft_machine::view;
use graft_machine::workflow::StatusKind;

use super::core::Core;
use super::message::{Found, Input, Output, Read, StreamId, Token};
use super::recovery::Recovered;
use super::*;
use crate::consensus::ProposeError;

/// The machine's time when the core's is 0.
const EPOCH: u64 = 1_000_000;
/// Attempt lease of the tests.
const LEASE: u64 = 10_000;

struct World {
    state: Memory,
    index: u64,
    now: u64,
    term: u64,
    options: SchedulerOptions,
    core: Core,
    leader_lease: Option<u64>,
    sent: Vec<(StreamId, ToWorker)>,
    closed: Vec<(StreamId, String)>,
    /// Every command that the core proposed.
    proposed: Vec<Command>,
    /// While set, proposals wait here unanswered.
    hold: bool,
    waiting: Vec<(Token, Vec<Envelope>)>,
    pages: usize,
    /// Outputs of any kind so far.
    outputs: usize,
}

impl World {
    fn new() -> Self {
        Self::with(SchedulerOptions { lease_ms: LEASE, ..SchedulerOptions::default() })
    }

    fn with(options: SchedulerOptions) -> Self {
        let mut world = Self {
            state: Memory::new(),
            index: 0,
            now: 1,
            term: 0,
            core: Core::new(0, options.clone(), 0),
            options,
            leader_lease: Some(u64::MAX),
            sent: Vec::new(),
            closed: Vec::new(),
            proposed: Vec::new(),
            hold: false,
            waiting: Vec::new(),
            pages: 0,
            outputs: 0,
        };
        world.next_term();
        world
    }

    /// Another leader takes over: a new core, from the state as it is.
    fn next_term(&mut self) {
        self.term += 1;
        self.waiting.clear();
        self.core = Core::new(self.term, self.options.clone(), self.now);
        let recovered = Recovered::read(&self.state, &self.options);
        self.input(Input::Recovered(recovered));
    }

    fn input(&mut self, input: Input) {
        self.core.handle(self.now, Input::LeaderLease(self.leader_lease));
        self.core.handle(self.now, input);
        self.act();
    }

    fn act(&mut self) {
        while let Some(output) = self.core.poll_output() {
            self.outputs += 1;
            match output {
                Output::Send(stream, message) => self.sent.push((stream, message)),
                Output::CloseStream(stream, reason) => self.closed.push((stream, reason)),
                Output::Propose(token, commands) => {
                    self.proposed.extend(commands.iter().filter_map(|envelope| envelope.command.clone()));
                    if self.hold {
                        self.waiting.push((token, commands));
                    } else {
                        self.commit(token, commands);
                    }
                }
                Output::Read(read) => {
                    self.pages += usize::from(matches!(read, Read::ReadyPage { .. }));
                    let found: Found = reads::read(&self.state, read);
                    self.core.handle(self.now, Input::Found(found));
                }
            }
        }
    }

    fn commit(&mut self, token: Token, commands: Vec<Envelope>) {
        let answers = commands.iter().map(|command| self.apply(command)).collect();
        self.core.handle(self.now, Input::Answered(token, Ok(answers)));
    }

    /// What was proposed while `hold` was set is committed, or its outcome stays unknown.
    fn answer_held(&mut self, outcome: Result<(), ProposeError>) {
        self.hold = false;
        for (token, commands) in std::mem::take(&mut self.waiting) {
            match &outcome {
                Ok(()) => self.commit(token, commands),
                Err(error) => self.core.handle(self.now, Input::Answered(token, Err(error.clone()))),
            }
        }
        self.act();
    }

    fn apply(&mut self, envelope: &Envelope) -> Answer {
        self.index += 1;
        let time = EPOCH + self.now;
        let applied = apply(&mut self.state, Stamp { time, index: self.index, ordinal: 0 }, envelope);
        self.core.handle(self.now, Input::Effects { time, effects: applied.effects });
        applied.reply
    }

    /// A client or an operator asks for something.
    fn ask(&mut self, command: Command) -> Answer {
        let answer = self.apply(&Envelope::internal("client:test", command));
        self.act();
        answer
    }

    fn start(&mut self, id: &str, nodes: &[NewTask]) -> u64 {
        let command = StartWorkflow { namespace: "default".to_owned(), id: id.to_owned(), nodes: nodes.to_vec(), ..Default::default() };
        match self.ask(Command::Start(command)) {
            Ok(Reply::Started(started)) => started.run,
            other => panic!("{other:?}"),
        }
    }

    fn control(&mut self, command: fn(ControlWorkflow) -> Command, id: &str) {
        let control = ControlWorkflow { namespace: "default".to_owned(), id: id.to_owned(), ..Default::default() };
        self.ask(command(control)).expect("the workflow allows it");
    }

    fn limit(&mut self, node: &str, max: u32) {
        let namespace = if node.is_empty() { "" } else { "default" }.to_owned();
        let limit = SetLimit { namespace, node: node.to_owned(), limit: (max > 0).then_some(Limit::of(max)), only_if_absent: false };
        self.ask(Command::SetLimit(limit)).expect("a limit");
    }

    fn status(&self, run: u64) -> StatusKind {
        view::workflow(&self.state, run).expect("the workflow is there").kind()
    }

    /// Time passes: nothing else happens but what is due.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now + 1).min(until);
            self.input(Input::Tick);
            if self.now == until {
                break;
            }
        }
        self.now = until;
        self.input(Input::Tick);
    }

    /// The stream of a worker process, not yet heard of what it holds.
    fn attach(&mut self, stream: StreamId, name: &str, nodes: &[(&str, u32, u32)]) {
        self.attach_in("default", stream, name, nodes);
    }

    /// The same, of a namespace.
    fn attach_in(&mut self, namespace: &str, stream: StreamId, name: &str, nodes: &[(&str, u32, u32)]) {
        let nodes = nodes.iter().map(|(node, capacity, limit)| ((*node).to_owned(), *capacity, *limit)).collect();
        let (worker, namespace) = (name.to_owned(), namespace.to_owned());
        let hello = SessionHello { incarnation: name.to_owned(), worker, namespace, nodes, build: String::new() };
        self.input(Input::Connected(stream, hello));
    }

    /// A worker process that holds nothing and takes nothing yet.
    fn connect(&mut self, stream: StreamId, name: &str, nodes: &[(&str, u32, u32)]) {
        self.attach(stream, name, nodes);
        self.inventory(stream, vec![]);
    }

    /// A worker process of node `a` that takes as much as it can.
    fn worker(&mut self, stream: StreamId, name: &str, capacity: u32) {
        self.connect(stream, name, &[("a", capacity, 0)]);
        self.credit(stream, "a", u64::from(capacity), 1);
    }

    fn inventory(&mut self, stream: StreamId, held: Vec<Held>) {
        let term = self.term;
        self.says(stream, FromWorker::Inventory { term, held });
    }

    fn credit(&mut self, stream: StreamId, node: &str, window: u64, sequence: u64) {
        self.says(stream, FromWorker::Credit { node: node.to_owned(), window, sequence });
    }

    fn heartbeat(&mut self, stream: StreamId) {
        let sent_ms = self.now;
        self.says(stream, FromWorker::Heartbeat { sent_ms, progress: vec![] });
    }

    fn says(&mut self, stream: StreamId, message: FromWorker) {
        self.input(Input::Worker(stream, message));
    }

    /// The assignments that were sent since the last call.
    fn tasks(&mut self) -> Vec<(StreamId, Assignment)> {
        let mut tasks = Vec::new();
        for (stream, message) in &mut self.sent {
            if let ToWorker::Tasks(batch) = message {
                tasks.extend(std::mem::take(batch).into_iter().map(|task| (*stream, task)));
            }
        }
        tasks
    }

    /// The only assignment that was sent since the last call.
    fn task(&mut self) -> Assignment {
        let mut tasks = self.tasks();
        assert_eq!(tasks.len(), 1, "{tasks:?}");
        tasks.remove(0).1
    }

    fn acks(&mut self) -> Vec<(AttemptRef, Lease, Resolution)> {
        let mut acks = Vec::new();
        for (_, message) in &mut self.sent {
            if let ToWorker::Acks(batch) = message {
                acks.append(batch);
            }
        }
        acks
    }

    /// The notices to stop that were sent so far, and forgets them.
    fn cancels(&mut self) -> Vec<(StreamId, AttemptRef, StopReason)> {
        let mut cancels = Vec::new();
        self.sent.retain(|(stream, message)| match message {
            ToWorker::Cancel { at, reason, .. } => {
                cancels.push((*stream, *at, *reason));
                false
            }
            _ => true,
        });
        cancels
    }

    fn complete(&mut self, stream: StreamId, task: &Assignment, next: &[NewTask]) {
        self.says(stream, FromWorker::Results(vec![completed(task, next)]));
    }
}

fn completed(task: &Assignment, next: &[NewTask]) -> TaskResult {
    let (at, lease, base_revision) = (task.at, task.lease, task.revision);
    TaskResult::Completed(CompleteTask { at, lease, base_revision, next: next.to_vec(), ..Default::default() })
}

fn node(name: &str) -> NewTask {
    NewTask { node: name.to_owned(), ..Default::default() }
}

fn a() -> NewTask {
    node("a")
}

fn many(count: usize) -> Vec<NewTask> {
    let config = |i: usize| Bytes::from(i.to_string());
    (0..count).map(|i| NewTask { config: config(i), ..a() }).collect()
}

fn held(task: &Assignment) -> Held {
    Held { at: task.at, lease: task.lease, node: task.node.clone(), progress: String::new() }
}

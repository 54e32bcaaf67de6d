//! Clients: they ask any member, repeat what was not answered under the same request id, and read.

use std::sync::{Arc, Mutex, PoisonError};

use graft_machine::command::{Command, ControlWorkflow, Envelope, OnConflict, SetLimit, StartWorkflow};
use graft_machine::reply::Answer;
use graft_machine::session::Limit;
use graft_machine::tables::LimitKey;
use graft_machine::view;
use graftd::consensus::ProposeError;

use super::world::World;
use crate::invariants::{Answered, Read, Verdict};
use crate::loop_sim::{operator, script};

/// Without an answer for so long, a client asks another member, in milliseconds.
const PATIENCE_MS: u64 = 1_500;
/// After a refusal it tries again so much later, in milliseconds.
const RETRY_MS: u64 = 100;
/// What a request says, hashed.
const REQUEST_HASH: u64 = 7;
/// Where everything is.
pub const NAMESPACE: &str = "default";

/// What a client waits for.
pub struct Request {
    pub envelope: Envelope,
    pub send_at: u64,
}

/// What came back from a member.
pub enum Heard {
    Answer(String, Result<Answer, ProposeError>),
    /// What had been acknowledged when it was asked for, and the index that it shows.
    Read(u64, u64),
}

/// Where answers from inside the members' runtimes are put.
#[derive(Clone, Default)]
pub struct Heards(Arc<Mutex<Vec<Heard>>>);

impl Heards {
    pub fn put(&self, heard: Heard) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    }

    fn take(&self) -> Vec<Heard> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl World {
    /// Asks for something under a request id of its own.
    pub(super) fn ask(&mut self, command: Command) {
        self.ask_until(command, 0);
    }

    fn ask_until(&mut self, command: Command, not_after: u64) {
        self.last_request += 1;
        let request_id = format!("request-{}", self.last_request);
        let envelope =
            Envelope { request_id: request_id.clone(), payload_hash: REQUEST_HASH, not_after, ..Envelope::internal("client:sim", command) };
        self.requests.insert(request_id, Request { envelope, send_at: 0 });
    }

    pub(super) fn set_limits(&mut self) {
        let total = self.rng.between(4, 16) as u32;
        let LimitKey { namespace, node } = LimitKey::total();
        let all = [(NAMESPACE.to_owned(), "leaf".to_owned(), 3), (namespace, node, total)];
        for (namespace, node, max) in all {
            self.ask(Command::SetLimit(SetLimit { namespace, node, limit: Some(Limit::of(max)), only_if_absent: false }));
        }
    }

    pub(super) fn clients(&mut self) {
        let now = self.now;
        if self.chaos && now >= self.next_request_at {
            self.next_request_at = now + self.rng.between(20, self.plan.request_every);
            self.new_request();
            self.new_read();
        }
        let due: Vec<String> = self.requests.iter().filter(|(_, request)| request.send_at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            let m = self.rng.below(self.members.len() as u64) as usize;
            let Some(request) = self.requests.get_mut(&id) else { continue };
            request.send_at = now + PATIENCE_MS;
            let Some(floors) = self.members[m].floors() else {
                request.send_at = now + RETRY_MS;
                continue;
            };
            let (envelope, heards) = (request.envelope.clone(), self.heards.clone());
            let work = async move {
                let answer = floors.consensus.propose(envelope).await;
                heards.put(Heard::Answer(id, answer));
            };
            if let Some(process) = &self.members[m].process {
                process.spawn(work);
            }
        }
    }

    /// What clients have heard since they were last looked at. Members are followed before: what is answered was applied.
    pub(super) fn heard(&mut self) -> Verdict {
        for heard in self.heards.take() {
            match heard {
                Heard::Read(acknowledged, shown) => {
                    self.met("read");
                    self.oracle.invariants.read(Read { acknowledged, shown })?;
                }
                Heard::Answer(id, Ok(answer)) => {
                    let Some((index, term)) = self.oracle.request(&id) else {
                        return Err(format!("D1: {id} was answered, and stands in no entry that anybody has applied: {answer:?}"));
                    };
                    self.met("answered");
                    self.acknowledged = self.acknowledged.max(index);
                    self.oracle.invariants.answered(&Answered { request: &id, namespace: NAMESPACE, answer: &answer, index, term })?;
                    self.progress += 1;
                    self.requests.remove(&id);
                }
                Heard::Answer(id, Err(error)) => {
                    let what = match error {
                        ProposeError::Unknown { .. } => "unknown outcome",
                        _ => "refused for now",
                    };
                    self.met(what);
                    let retry_at = self.now + RETRY_MS;
                    if let Some(request) = self.requests.get_mut(&id) {
                        request.send_at = retry_at;
                    }
                }
            }
        }
        Ok(())
    }

    fn new_read(&mut self) {
        let m = self.rng.below(self.members.len() as u64) as usize;
        let Some(floors) = self.members[m].floors() else { return };
        let (heards, acknowledged) = (self.heards.clone(), self.acknowledged);
        let work = async move {
            if floors.consensus.read_barrier().await.is_ok() {
                heards.put(Heard::Read(acknowledged, floors.consensus.view().mark().index));
            }
        };
        if let Some(process) = &self.members[m].process {
            process.spawn(work);
        }
    }

    fn new_request(&mut self) {
        // As somebody knows it who has just asked.
        let time = self.members.iter().map(|member| view::meta(&member.shadow).time).max().unwrap_or(0);
        if self.workflows == 0 || self.rng.chance(700) {
            return self.start_workflow(time);
        }
        if self.rng.chance(300) {
            let m = self.rng.below(self.members.len() as u64) as usize;
            let does = operator::does(&self.members[m].shadow, NAMESPACE, &mut self.rng);
            return does.into_iter().for_each(|command| self.ask(command));
        }
        let id = format!("workflow-{}", 1 + self.rng.below(self.workflows as u64));
        let control = ControlWorkflow { namespace: NAMESPACE.to_owned(), id, grace: 500, ..Default::default() };
        let command = match self.rng.below(10) {
            0..4 => Command::Pause(control),
            4..8 => Command::Resume(control),
            8 => Command::Cancel(control),
            _ => Command::Terminate(control),
        };
        self.ask(command);
    }

    fn start_workflow(&mut self, time: u64) {
        let again = self.workflows > 0 && self.rng.chance(150);
        if !again {
            self.workflows += 1;
        }
        let number = if again { 1 + self.rng.below(self.workflows as u64) } else { self.workflows as u64 };
        let start = StartWorkflow {
            on_conflict: [OnConflict::Fail, OnConflict::UseExisting, OnConflict::ReplaceFinished][self.rng.below(3) as usize] as i32,
            ..script::workflow(&format!("workflow-{number}"), time, &mut self.rng)
        };
        let not_after = if time > 0 && self.rng.chance(200) { time + self.rng.between(100, 5_000) } else { 0 };
        self.ask_until(Command::Start(start), not_after);
    }
}

//! Credit meets ready tasks.
//!
//! Nodes take turns; within a node the order of the queue rules; among the sessions that take one, the one that executed the step before
//! is preferred, and otherwise they take turns. What is matched is read in one go, and sent if it is still to be run.

use std::collections::BTreeMap;

use graft_machine::ids::AttemptRef;

use super::core::Core;
use super::leases::{DeadlineKind, Held, Phase};
use super::message::{Output, Read, StreamId};
use super::options::TASK_MESSAGE_BYTES;
use super::queues::{QueueId, Waiting};
use super::reads::Loaded;
use super::sessions::SessionId;
use super::{Assignment, ToWorker};

impl Core {
    /// Matches what can be matched now, up to the bound of a turn.
    pub(super) fn match_tasks(&mut self) {
        if self.stopped || self.runnable.is_empty() || !self.leads() {
            return;
        }
        let mut attempts = Vec::new();
        while attempts.len() < self.options.loads_per_turn.max(1) && self.limits.total_has_room() {
            let Some(queue) = self.next_queue() else { break };
            self.last_queue = queue;
            let Some((place, waiting)) = self.queues.pop(queue) else {
                self.runnable.remove(&queue);
                continue;
            };
            let at = AttemptRef { run: place.run, task: place.task, attempt: waiting.attempt };
            let session = self.choose(queue, &waiting);
            let lease = self.leases.mint();
            self.leases.insert(at, Held::new(session, lease, queue, Phase::Loading { place, waiting, void: false }, waiting.timeout));
            self.limits.take(queue);
            self.sessions.took(session, queue, at, true);
            self.refresh_taker(session, queue);
            self.refresh(queue);
            attempts.push(at);
        }
        if !attempts.is_empty() {
            self.output(Output::Read(Read::Tasks(attempts)));
        }
    }

    fn next_queue(&self) -> Option<QueueId> {
        self.runnable.range(self.last_queue + 1..).next().or_else(|| self.runnable.first()).copied()
    }

    fn choose(&mut self, queue: QueueId, waiting: &Waiting) -> SessionId {
        let queue = self.queues.get_mut(queue);
        if let Some(preferred) = waiting.prefer.filter(|session| queue.takers.contains(session)) {
            return preferred;
        }
        let next = queue.takers.range(queue.last_taker + 1..).next().or_else(|| queue.takers.first()).copied();
        queue.last_taker = next.expect("a queue that can be served has a taker");
        queue.last_taker
    }

    /// What was matched has been read: what is to be run is sent, the rest forgotten.
    pub(super) fn loaded(&mut self, tasks: Vec<(AttemptRef, Option<Loaded>)>) {
        let mut outgoing: BTreeMap<StreamId, (usize, Vec<Assignment>)> = BTreeMap::new();
        let time = self.machine_time(self.now);
        for (at, loaded) in tasks {
            let Some(held) = self.leases.get_mut(at) else { continue };
            let Phase::Loading { place, waiting, void } = held.phase else { continue };
            let (session, queue, lease, timeout_ms) = (held.session, held.queue, held.lease, held.timeout);
            let stream = self.sessions.stream(session);
            let (Some(loaded), Some(stream), false) = (&loaded, stream, void) else {
                self.sessions.not_sent(session, queue);
                self.release(at);
                if loaded.is_some() && !void {
                    self.offer(queue, place, waiting);
                }
                continue;
            };
            held.phase = Phase::Running;
            held.sent = Some(self.now);
            if timeout_ms > 0 {
                self.leases.set_deadline(at, self.now.saturating_add(timeout_ms), DeadlineKind::Timeout);
            }
            self.tally.dispatched.push((queue, time.saturating_sub(waiting.since)));
            let assignment = Assignment {
                at,
                lease,
                node: self.queues.get(queue).node.clone(),
                workflow_id: loaded.workflow_id.clone(),
                revision: loaded.revision,
                state: loaded.state.clone(),
                config: loaded.config.clone(),
                echo: self.sessions.echo(session),
                timeout_ms,
                execution_key: loaded.execution_key.clone(),
                failures: loaded.failures,
                max_attempts: loaded.max_attempts,
                progress: loaded.progress.clone(),
                labels: loaded.labels.clone(),
                traceparent: self.options.traces.handed(&loaded.trace, at),
            };
            let (bytes, batch) = outgoing.entry(stream).or_default();
            *bytes += assignment.state.len() + assignment.config.len();
            batch.push(assignment);
            if *bytes >= TASK_MESSAGE_BYTES {
                *bytes = 0;
                let full = std::mem::take(batch);
                self.output(Output::Send(stream, ToWorker::Tasks(full)));
            }
        }
        for (stream, (_, batch)) in outgoing {
            if !batch.is_empty() {
                self.output(Output::Send(stream, ToWorker::Tasks(batch)));
            }
        }
    }
}

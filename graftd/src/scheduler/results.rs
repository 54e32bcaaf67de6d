//! Results of workers, and what became of proposed commands.
//!
//! The machine's fence decides about a result; the scheduler answers on its own only where it knows better: when the same attempt has a
//! higher lease by now. A result of a lease that is not known here (a repeat after a reconnection, an attempt of an earlier term) is
//! compared with the state ([`super::claims`]) and then proposed like any other; while it is being decided its attempt is not handed out.
//!
//! A worker hears nothing about a result whose outcome is unknown. Its stream is closed, so that it comes again, says what it holds, and
//! repeats it.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::command::{Command, FailTask, FailureKind, LostReason};
use graft_machine::ids::{AttemptRef, Lease};
use graft_machine::reply::{Answer, Reply, Resolution};

use super::claims::Claim;
use super::core::{Core, Own, Pending};
use super::leases::Phase;
use super::message::{Output, Read};
use super::options::ACKS_PER_MESSAGE;
use super::queues::{Place, QueueId, Waiting};
use super::sessions::SessionId;
use super::{TaskResult, ToWorker};
use crate::consensus::ProposeError;

/// A result, being decided, of an attempt that nobody holds here.
#[derive(Debug)]
pub(super) struct Foreign {
    /// The lease of the first of them.
    pub(super) lease: Lease,
    /// How many proposals of it are under way.
    under_way: u32,
    /// The attempt was waiting for a worker: if nothing comes of the result, it does so again.
    pub(super) offer: Option<(QueueId, Place, Waiting)>,
}

/// What is known here of the attempt of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The session holds it, under that lease.
    Held,
    /// The same, and an earlier copy of the result is being decided: the answer to that will do.
    UnderWay,
    /// Somebody else has it by now.
    Late,
    /// Nothing.
    Not,
}

impl Core {
    /// A worker reports results.
    pub(super) fn results(&mut self, session: SessionId, results: Vec<TaskResult>) {
        let (mut late, mut claims) = (Vec::new(), Vec::new());
        for result in results {
            match self.known(session, &result) {
                Known::Held => self.decide(session, result, false),
                Known::UnderWay => {}
                Known::Late => late.push(result.of()),
                Known::Not => claims.push(Claim::Result(session, result)),
            }
        }
        self.too_late(session, late);
        self.question(claims);
    }

    /// A result whose attempt is of what the session serves. `false`: it comes too late.
    pub(super) fn result_checked(&mut self, session: SessionId, result: TaskResult) -> bool {
        match self.known(session, &result) {
            Known::Late => return false,
            Known::UnderWay => {}
            Known::Held => self.decide(session, result, false),
            Known::Not => {
                let (at, lease) = result.of();
                let foreign = self.leases.get(at).is_none();
                if foreign {
                    self.begin_foreign(at, lease);
                }
                self.decide(session, result, foreign);
            }
        }
        true
    }

    /// What is known here of the attempt that a result is of.
    fn known(&mut self, session: SessionId, result: &TaskResult) -> Known {
        let (at, lease) = result.of();
        match self.leases.get_mut(at) {
            Some(held) if held.session == session && held.lease == lease => match held.phase {
                Phase::Running => {
                    held.phase = Phase::Resolving;
                    Known::Held
                }
                Phase::Resolving => Known::UnderWay,
                Phase::Losing | Phase::Loading { .. } => Known::Held,
            },
            // Of this term, the newest lease of an attempt is the one that is known here.
            Some(held) if held.lease > lease || lease.term >= self.term => Known::Late,
            // Nobody has given it out yet.
            None if lease.term > self.term => Known::Late,
            Some(_) | None => Known::Not,
        }
    }

    /// Lets the machine decide.
    fn decide(&mut self, session: SessionId, mut result: TaskResult, foreign: bool) {
        let (at, lease) = result.of();
        if let TaskResult::HandedBack { progress, .. } = &mut result
            && progress.is_empty()
            && let Some(held) = self.leases.get(at).filter(|held| held.lease == lease)
        {
            progress.clone_from(&held.progress);
        }
        let worker = self.sessions.incarnation(session).to_owned();
        let command = result.into_command(worker.clone());
        self.propose_result(format!("worker:{worker}"), command, Pending::Result { session, at, lease, foreign });
    }

    /// Answers results that change nothing any more.
    pub(super) fn too_late(&mut self, session: SessionId, late: Vec<(AttemptRef, Lease)>) {
        self.tally.results[Resolution::Stale as usize] += late.len() as u64;
        self.acknowledge(session, late.into_iter().map(|(at, lease)| (at, lease, Resolution::Stale)).collect());
    }

    fn begin_foreign(&mut self, at: AttemptRef, lease: Lease) {
        let offer = self.queues.forget_attempt(at);
        if let Some((queue, _, _)) = offer {
            self.refresh(queue);
        }
        let foreign = self.foreign.entry(at).or_insert(Foreign { lease, under_way: 0, offer: None });
        foreign.under_way += 1;
        foreign.offer = offer.or(foreign.offer);
    }

    fn end_foreign(&mut self, at: AttemptRef) {
        let Some(foreign) = self.foreign.get_mut(&at) else { return };
        foreign.under_way = foreign.under_way.saturating_sub(1);
        if foreign.under_way > 0 {
            return;
        }
        let offer = self.foreign.remove(&at).and_then(|foreign| foreign.offer);
        if let Some((queue, place, waiting)) = offer {
            // It still waits: had it been resolved, the machine would have withdrawn it, or will. Whoever loads it finds out.
            self.offer(queue, place, waiting);
        }
        if self.cancelling.contains(&at.run) {
            self.idle_runs.insert(at.run);
        }
    }

    /// What became of a batch of commands.
    pub(super) fn answered(&mut self, pending: Vec<Pending>, answers: Result<Vec<Answer>, ProposeError>) {
        let answers = match answers {
            Ok(answers) if answers.len() == pending.len() => answers,
            Ok(_) | Err(_) => return self.unanswered(pending),
        };
        let mut acks: BTreeMap<SessionId, Vec<(AttemptRef, Lease, Resolution)>> = BTreeMap::new();
        for (pending, answer) in pending.into_iter().zip(answers) {
            match pending {
                Pending::Result { session, at, lease, foreign } => {
                    if let Some(resolution) = self.result_answered(session, at, lease, foreign, answer) {
                        acks.entry(session).or_default().push((at, lease, resolution));
                    }
                }
                Pending::Own(own) => self.own_answered(own, answer),
            }
        }
        for (session, acks) in acks {
            self.acknowledge(session, acks);
        }
    }

    fn result_answered(&mut self, session: SessionId, at: AttemptRef, lease: Lease, foreign: bool, answer: Answer) -> Option<Resolution> {
        let resolution = match answer {
            Ok(Reply::Resolved(resolved)) => resolved.resolution(),
            Ok(_) => Resolution::Stale,
            Err(rejection) => {
                // The machine refuses what it was sent: that fails the attempt for good, or the worker would repeat it for ever.
                let worker = self.sessions.incarnation(session).to_owned();
                let message = format!("the result cannot be applied: {rejection}");
                let kind = FailureKind::BadOutcome as i32;
                let fail = FailTask { at, lease, kind, message, worker: worker.clone(), ..Default::default() };
                self.propose_result(format!("worker:{worker}"), Command::Fail(fail), Pending::Result { session, at, lease, foreign });
                return None;
            }
        };
        self.tally.results[resolution as usize] += 1;
        if self.leases.get(at).is_some_and(|held| held.lease == lease) {
            self.release(at);
        }
        if foreign {
            if resolution == Resolution::Applied
                && let Some(foreign) = self.foreign.get_mut(&at)
            {
                foreign.offer = None;
            }
            self.end_foreign(at);
        }
        Some(resolution)
    }

    fn own_answered(&mut self, own: Own, answer: Answer) {
        match own {
            Own::Lose(at, lease, reason) => {
                self.tally.lost[reason as usize] += 1;
                if self.leases.get(at).is_some_and(|held| held.lease == lease) {
                    self.release(at);
                }
            }
            Own::Open(session) => match answer {
                Ok(_) => self.opened(session),
                Err(rejection) => self.refused(session, format!("the session was refused: {rejection}")),
            },
            Own::Close(session) => self.closed(session),
            Own::Due(timers) => {
                if let Ok(Reply::Done(done)) = answer {
                    self.set_machine_time(done.time);
                }
                self.output(Output::Read(Read::Timers(timers)));
            }
            Own::Idle(run) => {
                self.cancelling.remove(&run);
            }
            Own::Limit(_) => {}
        }
    }

    /// Nothing is known of a batch (or it is known that nothing happened).
    fn unanswered(&mut self, pending: Vec<Pending>) {
        let mut senders = BTreeSet::new();
        for pending in pending {
            match pending {
                Pending::Result { session, at, lease, foreign } => {
                    senders.insert(session);
                    if self.leases.get(at).is_some_and(|held| held.lease == lease && held.phase == Phase::Resolving) {
                        if let Some(held) = self.leases.get_mut(at) {
                            held.phase = Phase::Running;
                        }
                        if self.sessions.is_closing(session) {
                            self.lose(at, LostReason::SessionLost);
                        }
                    }
                    if foreign {
                        self.end_foreign(at);
                    }
                }
                Pending::Own(own) => self.try_later(own),
            }
        }
        for session in senders {
            if let Some(stream) = self.sessions.stream(session) {
                self.broken(stream);
                self.close_stream(stream, "the outcome of results is unknown: connect again and repeat them");
            }
        }
    }

    fn acknowledge(&mut self, session: SessionId, acks: Vec<(AttemptRef, Lease, Resolution)>) {
        for chunk in acks.chunks(ACKS_PER_MESSAGE) {
            self.send(session, ToWorker::Acks(chunk.to_vec()));
        }
    }
}

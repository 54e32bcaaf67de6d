//! The core: every decision of the scheduler, in one synchronous value.
//!
//! It has no clock, no randomness and no waiting. The shell (the driver; in the simulation, a loop) hands it inputs with the time, as many
//! as are there, then takes outputs until there are none: only then work is matched with workers and commands are gathered, so that a turn
//! costs one proposal and one read, however much happened. A core lives for one term and is dropped with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use graft_machine::command::{CloseSession, Command, ControlWorkflow, Due, Envelope, LoseTask, LostReason, SetLimit, TimerRef};
use graft_machine::effect::{Effect, Withdrawn};
use graft_machine::ids::{AttemptRef, Lease, Run};
use graft_machine::session::Session;
use graft_machine::tables::LimitKey;

use super::claims::Claim;
use super::figures::Tally;
use super::leases::{DeadlineKind, Leases, Phase};
use super::limits::Limits;
use super::message::{Found, Input, Output, Read, StreamId, Token};
use super::options::{COMMANDS_PER_PROPOSAL, LEADER_LEASE_POLL_MS, RETRY_MS, SchedulerOptions};
use super::queues::{Place, QueueId, Queues, Waiting};
use super::results::Foreign;
use super::sessions::{SessionId, Sessions};
use super::timers::Timers;
use super::{LiveCount, LiveLimits, LiveSessions, StopReason, ToWorker};

/// Who the scheduler's own commands say that they are from.
const PRINCIPAL: &str = "scheduler";

/// Why a command was proposed: what its answer means.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    /// A worker's result.
    Result {
        /// Who sent it.
        session: SessionId,
        /// The attempt.
        at: AttemptRef,
        /// The lease it was sent under.
        lease: Lease,
        /// Nobody held the attempt here when it came.
        foreign: bool,
    },
    /// Something of the scheduler's own, which is proposed again until it is answered.
    Own(Own),
}

/// A command of the scheduler's own.
#[derive(Clone, Debug)]
pub(super) enum Own {
    /// An attempt is lost.
    Lose(AttemptRef, Lease, LostReason),
    /// A session is to be replicated.
    Open(SessionId),
    /// A session is to be dropped.
    Close(SessionId),
    /// Timers are due.
    Due(Vec<TimerRef>),
    /// Nobody holds an attempt of a run that is being cancelled.
    Idle(Run),
    /// A limit of the configuration.
    Limit(SetLimit),
}

/// The scheduler of one term. See the module.
#[derive(Debug)]
pub struct Core {
    pub(super) term: u64,
    pub(super) options: SchedulerOptions,
    pub(super) now: u64,
    /// The machine's time is the core's time plus this.
    time_offset: i64,
    /// The machine's time when the term began: what was ready by then may be held by a session that is still silent.
    pub(super) term_began: u64,
    pub(super) leader_lease: Option<u64>,
    pub(super) stopped: bool,
    pub(super) queues: Queues,
    pub(super) leases: Leases,
    pub(super) limits: Limits,
    pub(super) sessions: Sessions,
    pub(super) timers: Timers,
    /// Results of attempts that nobody holds here, being decided.
    pub(super) foreign: BTreeMap<AttemptRef, Foreign>,
    /// What workers have said and the state is asked about, one entry for each [`Read::Scopes`].
    pub(super) questioned: VecDeque<Vec<Claim>>,
    /// Queues that have a task, a taker, and room in the node's limit.
    pub(super) runnable: BTreeSet<QueueId>,
    pub(super) last_queue: QueueId,
    /// Runs that are being cancelled.
    pub(super) cancelling: BTreeSet<Run>,
    /// Of these, which may have become idle.
    pub(super) idle_runs: BTreeSet<Run>,
    outputs: VecDeque<Output>,
    gathered: Vec<(Envelope, Pending)>,
    proposed: BTreeMap<Token, Vec<Pending>>,
    next_token: Token,
    retries: BTreeMap<u64, Vec<Own>>,
    pub(super) tally: Tally,
}

impl Core {
    /// The scheduler of a term; the first input must be [`Input::Recovered`].
    pub fn new(term: u64, options: SchedulerOptions, now: u64) -> Self {
        Self {
            term,
            now,
            time_offset: 0,
            term_began: 0,
            leader_lease: None,
            stopped: false,
            queues: Queues::new(options.ready_window),
            leases: Leases::new(term),
            limits: Limits::default(),
            sessions: Sessions::default(),
            timers: Timers::new(options.timers_window),
            foreign: BTreeMap::new(),
            questioned: VecDeque::new(),
            runnable: BTreeSet::new(),
            last_queue: 0,
            cancelling: BTreeSet::new(),
            idle_runs: BTreeSet::new(),
            outputs: VecDeque::new(),
            gathered: Vec::new(),
            proposed: BTreeMap::new(),
            next_token: 0,
            retries: BTreeMap::new(),
            tally: Tally::default(),
            options,
        }
    }

    /// Takes an input in. `now` is the shell's monotonic time in milliseconds; it never goes back.
    pub fn handle(&mut self, now: u64, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Recovered(recovered) => self.recover(now, recovered),
            Input::Connected(stream, hello) => self.connected(stream, hello),
            Input::Worker(stream, message) => self.worker_says(stream, message),
            Input::Broken(stream) => self.broken(stream),
            Input::Effects { time, effects } => self.effects(time, effects),
            Input::Answered(token, answers) => {
                if let Some(pending) = self.proposed.remove(&token) {
                    self.answered(pending, answers);
                }
            }
            Input::Found(found) => self.found(found),
            Input::LeaderLease(until) => self.leader_lease = until,
            Input::StopDispatch => self.stopped = true,
            Input::Tick => {}
        }
        self.pass_time();
    }

    /// The next thing to be done; `None`: nothing until the next input or [`Self::poll_timeout`].
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        self.ask_for_pages();
        self.ask_about_idle_runs();
        self.match_tasks();
        self.renew_pending();
        self.gather_due();
        if self.outputs.is_empty() && !self.gathered.is_empty() {
            let rest = self.gathered.split_off(self.gathered.len().min(COMMANDS_PER_PROPOSAL));
            let (commands, pending) = std::mem::replace(&mut self.gathered, rest).into_iter().unzip();
            self.next_token += 1;
            self.proposed.insert(self.next_token, pending);
            return Some(Output::Propose(self.next_token, commands));
        }
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is needed at the latest, in the shell's monotonic milliseconds.
    pub fn poll_timeout(&self) -> Option<u64> {
        let due = self.timers.next().map(|due| due.saturating_add_signed(-self.time_offset));
        let retry = self.retries.first_key_value().map(|(at, _)| *at);
        let expiry = [self.leases.next_deadline(), self.sessions.next_expiry()].into_iter().flatten().min();
        if self.leads() {
            return [due, retry, expiry].into_iter().flatten().min();
        }
        // Without the leader lease nothing expires and nothing is handed out: it is looked at again instead.
        let waits = !self.runnable.is_empty() && !self.stopped || self.sessions.renewals_wait() || expiry.is_some_and(|at| at <= self.now);
        let poll = waits.then_some(self.now + LEADER_LEASE_POLL_MS);
        let expiry = expiry.filter(|at| *at > self.now);
        [due, poll, retry, expiry].into_iter().flatten().min()
    }

    /// The term that the core belongs to.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The machine's time, as far as it can be known between two entries.
    pub fn machine_time(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.time_offset)
    }

    /// Sessions that are connected, with attempts held per node.
    pub fn live(&self) -> LiveSessions {
        self.sessions.live(&self.queues)
    }

    /// Ready tasks that wait for a worker, of those in memory.
    pub fn backlog(&self) -> usize {
        self.queues.len()
    }

    /// What counts against the limits, for every node of which something is held or waits.
    pub fn live_limits(&self) -> LiveLimits {
        let mut live = LiveLimits { total: LiveCount { held: self.limits.total_held(), waiting: 0 }, nodes: BTreeMap::new() };
        for (queue, namespace, node, waiting) in self.queues.waiting() {
            live.total.waiting += waiting;
            let count = LiveCount { held: self.limits.held(queue), waiting };
            if count != LiveCount::default() {
                live.nodes.insert((namespace.to_owned(), node.to_owned()), count);
            }
        }
        live
    }

    /// Every attempt that is held: attempt, lease, incarnation of the holder.
    pub fn held(&self) -> Vec<(AttemptRef, Lease, &str)> {
        self.leases.iter().map(|(at, held)| (*at, held.lease, self.sessions.incarnation(held.session))).collect()
    }

    /// How many attempts are held.
    pub fn held_count(&self) -> usize {
        self.leases.len()
    }

    /// How many sessions are connected.
    pub fn connected_count(&self) -> usize {
        self.sessions.connected()
    }

    /// Ready tasks in memory.
    pub fn queued(&self) -> usize {
        self.queues.len()
    }

    /// Whether the leader lease holds: leases may be minted and renewed.
    pub(super) fn leads(&self) -> bool {
        self.leader_lease.is_some_and(|until| self.now < until)
    }

    pub(super) fn note_machine_time(&mut self, now: u64, time: u64) {
        let estimate = self.machine_time(now);
        if time > estimate || self.time_offset == 0 {
            self.time_offset = time as i64 - now as i64;
        }
    }

    /// The machine has answered with its time: what was thought of it before does not matter.
    pub(super) fn set_machine_time(&mut self, time: u64) {
        self.time_offset = time as i64 - self.now as i64;
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn send(&mut self, session: SessionId, message: ToWorker) {
        if let Some(stream) = self.sessions.stream(session) {
            self.output(Output::Send(stream, message));
        }
    }

    pub(super) fn tell_to_stop(&mut self, session: SessionId, at: AttemptRef, lease: Lease, reason: StopReason) {
        if let Some(held) = self.leases.get_mut(at).filter(|held| held.session == session && held.lease == lease) {
            held.told = Some(reason);
        }
        self.send(session, ToWorker::Cancel { at, lease, reason });
    }

    pub(super) fn close_stream(&mut self, stream: StreamId, reason: impl Into<String>) {
        self.output(Output::CloseStream(stream, reason.into()));
    }

    pub(super) fn propose_result(&mut self, principal: String, command: Command, pending: Pending) {
        self.gathered.push((Envelope::internal(principal, command), pending));
    }

    pub(super) fn propose_own(&mut self, command: Command, own: Own) {
        self.gathered.push((Envelope::internal(PRINCIPAL, command), Pending::Own(own)));
    }

    /// A command of the scheduler's own was not answered: it is asked again, if it is still of use.
    pub(super) fn try_later(&mut self, own: Own) {
        self.retries.entry(self.now + RETRY_MS).or_default().push(own);
    }

    fn effects(&mut self, time: u64, effects: Vec<Effect>) {
        self.note_machine_time(self.now, time);
        // Successors go back to the stream that the step came from: it has the workflow at hand.
        let mut came_from: BTreeMap<Run, SessionId> = BTreeMap::new();
        for effect in &effects {
            if let Effect::Withdraw { at, .. } = effect
                && let Some(held) = self.leases.get(*at)
            {
                came_from.insert(at.run, held.session);
            }
        }
        for effect in effects {
            match effect {
                Effect::Offer(offer) => {
                    let queue = self.queues.id(&offer.key.namespace, &offer.key.node);
                    let prefer = came_from.get(&offer.key.run).copied();
                    self.offer(queue, Place::of(&offer.key), Waiting { prefer, ..Waiting::of(&offer) });
                }
                Effect::Withdraw { at, reason } => self.withdraw(at, reason),
                Effect::StopRun { run, reason } => self.stop_run(run, reason),
                Effect::TimerSet(timer) => self.timers.set(timer),
                Effect::LimitSet(key, limit) => self.set_limit(&key, limit),
                // Sessions are opened and closed by this core alone: it knows.
                Effect::SessionOpened(Session { .. }) | Effect::SessionClosed { .. } => {}
            }
        }
    }

    fn found(&mut self, found: Found) {
        match found {
            Found::Tasks(tasks) => self.loaded(tasks),
            Found::Standings(standings) => self.judged(standings),
            Found::Scopes(scopes) => self.claims_judged(scopes),
            Found::Cancelling(runs) => {
                for (run, name) in runs {
                    self.end_cancelled(run, name);
                }
            }
            Found::ReadyPage { namespace, node, rows, complete } => self.ready_page(&namespace, &node, rows, complete),
            Found::TimerPage { rows, complete } => self.timer_page(rows, complete),
            Found::Timers(standing) => {
                for timer in standing {
                    self.timers.set(timer);
                }
                self.timers.answered();
            }
        }
    }

    /// A ready task: puts it in its place, unless this attempt (or a newer one) is held already.
    pub(super) fn offer(&mut self, queue: QueueId, place: Place, waiting: Waiting) {
        let at = AttemptRef { run: place.run, task: place.task, attempt: waiting.attempt };
        if let Some(foreign) = self.foreign.get_mut(&at) {
            foreign.offer = Some((queue, place, waiting));
            return;
        }
        if self.leases.holds_or_newer(at) {
            return;
        }
        let withhold = self.limits.is_silent(queue) && waiting.since <= self.term_began;
        self.queues.insert(queue, place, waiting, withhold);
        self.refresh(queue);
    }

    /// An attempt is over.
    fn withdraw(&mut self, at: AttemptRef, reason: Withdrawn) {
        if let Some((queue, _, _)) = self.queues.forget_attempt(at) {
            self.refresh(queue);
        }
        if let Some(foreign) = self.foreign.get_mut(&at) {
            foreign.offer = None;
        }
        let Some(held) = self.leases.get(at) else { return };
        let (session, lease, phase) = (held.session, held.lease, held.phase);
        match stop_reason(reason) {
            Some(reason) => self.stop_attempt(at, reason),
            None => {
                if phase == Phase::Running {
                    // It was not its own result that resolved it.
                    self.tell_to_stop(session, at, lease, StopReason::LeaseLost);
                }
                self.release(at);
            }
        }
    }

    /// Offers of the run are void, and its running attempts are told to stop (unless it was only paused).
    fn stop_run(&mut self, run: Run, reason: Withdrawn) {
        for queue in self.queues.forget_run(run) {
            self.refresh(queue);
        }
        for foreign in self.foreign.range_mut(first_of(run)..=last_of(run)).map(|(_, foreign)| foreign) {
            foreign.offer = None;
        }
        match reason {
            Withdrawn::Cancelled => {
                self.cancelling.insert(run);
                self.idle_runs.insert(run);
            }
            Withdrawn::Ended => {
                self.cancelling.remove(&run);
            }
            Withdrawn::Paused | Withdrawn::Resolved => {}
        }
        let held: Vec<AttemptRef> = self.leases.of_run(run).map(|(at, _)| at).collect();
        for at in held {
            if let Some(Phase::Loading { void, .. }) = self.leases.get_mut(at).map(|held| &mut held.phase) {
                *void = true;
            } else if let Some(reason) = stop_reason(reason) {
                self.stop_attempt(at, reason);
            }
        }
    }

    /// Tells a worker to stop an attempt. One whose outcome does not matter any more is let go a lease time after its worker was first told so.
    pub(super) fn stop_attempt(&mut self, at: AttemptRef, reason: StopReason) {
        let Some(held) = self.leases.get(at) else { return };
        let (session, lease, known) = (held.session, held.lease, held.told == Some(reason));
        self.tell_to_stop(session, at, lease, reason);
        if reason == StopReason::WorkflowEnded && !known {
            self.leases.set_deadline(at, self.now + self.options.lease_ms, DeadlineKind::Stop);
        }
    }

    /// An attempt is held no more: its place in the limits and at its worker is free.
    pub(super) fn release(&mut self, at: AttemptRef) {
        let Some(held) = self.leases.remove(at) else { return };
        self.limits.give_back(held.queue);
        if self.cancelling.contains(&at.run) {
            self.idle_runs.insert(at.run);
        }
        self.sessions.released(held.session, held.queue, at);
        self.refresh_taker(held.session, held.queue);
        self.refresh(held.queue);
        self.bury(held.session);
    }

    /// Proposes the loss of an attempt.
    pub(super) fn lose(&mut self, at: AttemptRef, reason: LostReason) {
        let Some(held) = self.leases.get_mut(at) else { return };
        held.phase = Phase::Losing;
        let (lease, progress, session) = (held.lease, held.progress.clone(), held.session);
        let held_us = held.sent.map_or(0, |sent| self.now.saturating_sub(sent).saturating_mul(1_000));
        let worker = self.sessions.incarnation(session).to_owned();
        let command = LoseTask { at, lease, reason: reason as i32, progress, worker, detail: String::new(), held_us };
        self.propose_own(Command::Lose(command), Own::Lose(at, lease, reason));
    }

    pub(super) fn set_limit(&mut self, key: &LimitKey, limit: Option<u32>) {
        match Limits::node_of(key) {
            None => self.limits.set_total(limit),
            Some((namespace, node)) => {
                let queue = self.queues.id(namespace, node);
                self.limits.set_node(queue, limit);
                self.refresh(queue);
            }
        }
    }

    /// Whether a queue can be served now.
    pub(super) fn refresh(&mut self, queue: QueueId) {
        let q = self.queues.get(queue);
        if q.has_ready() && !q.takers.is_empty() && self.limits.node_has_room(queue) {
            self.runnable.insert(queue);
        } else {
            self.runnable.remove(&queue);
        }
    }

    fn ask_for_pages(&mut self) {
        for (namespace, node, after) in self.queues.wanted_pages() {
            self.output(Output::Read(Read::ReadyPage { namespace, node, after }));
        }
        if let Some(after) = self.timers.wants_page() {
            self.output(Output::Read(Read::TimerPage(after)));
        }
    }

    /// While a session is silent it may hold anything: then nobody can be said to be idle.
    fn ask_about_idle_runs(&mut self) {
        if self.idle_runs.is_empty() || self.sessions.some_silent() {
            return;
        }
        let runs: Vec<Run> = std::mem::take(&mut self.idle_runs)
            .into_iter()
            .filter(|run| self.cancelling.contains(run) && self.leases.of_run(*run).next().is_none() && !self.has_foreign(*run))
            .collect();
        if !runs.is_empty() {
            self.output(Output::Read(Read::Cancelling(runs)));
        }
    }

    fn has_foreign(&self, run: Run) -> bool {
        self.foreign.range(first_of(run)..=last_of(run)).next().is_some()
    }

    fn end_cancelled(&mut self, run: Run, name: Option<(String, String)>) {
        match name {
            None => {
                self.cancelling.remove(&run);
            }
            Some((namespace, id)) => {
                let command = ControlWorkflow { namespace, id, run, idle: true, ..Default::default() };
                self.propose_own(Command::Cancel(command), Own::Idle(run));
            }
        }
    }

    fn gather_due(&mut self) {
        let time = self.machine_time(self.now);
        while let Some(timers) = self.timers.take_due(time) {
            self.propose_own(Command::Due(Due { timers: timers.clone() }), Own::Due(timers));
        }
    }

    /// What is over by now. A member that may have been deposed decides nothing about attempts: it has heard nobody, and would tell workers to
    /// stop what they run for the next leader.
    fn pass_time(&mut self) {
        self.renew_pending();
        if self.leads() {
            self.expire();
        }
        while let Some(entry) = self.retries.first_entry().filter(|entry| *entry.key() <= self.now) {
            for own in entry.remove() {
                self.try_again(own);
            }
        }
    }

    fn expire(&mut self) {
        while let Some((at, kind)) = self.leases.pop_deadline(self.now) {
            self.deadline_passed(at, kind);
        }
        self.expire_sessions();
    }

    fn deadline_passed(&mut self, at: AttemptRef, kind: DeadlineKind) {
        let Some(held) = self.leases.get(at) else { return };
        let (session, lease, phase) = (held.session, held.lease, held.phase);
        match (phase, kind) {
            (Phase::Running, DeadlineKind::Timeout) => {
                self.tell_to_stop(session, at, lease, StopReason::TimedOut);
                self.lose(at, LostReason::TimedOut);
            }
            (Phase::Running, DeadlineKind::Stop) => self.lose(at, LostReason::HandedBack),
            // What is being decided is not overtaken; if nothing comes of it, the deadline is looked at again.
            (Phase::Resolving | Phase::Loading { .. }, kind) => self.leases.set_deadline(at, self.now + RETRY_MS, kind),
            (Phase::Losing, _) => {}
        }
    }

    fn try_again(&mut self, own: Own) {
        match own {
            Own::Lose(at, lease, reason) => {
                if self.leases.get(at).is_some_and(|held| held.lease == lease) {
                    self.lose(at, reason);
                }
            }
            Own::Open(session) => self.propose_open(session),
            Own::Close(session) => self.propose_close(session),
            Own::Due(timers) => self.propose_own(Command::Due(Due { timers: timers.clone() }), Own::Due(timers)),
            Own::Idle(run) => {
                self.idle_runs.insert(run);
            }
            Own::Limit(limit) => self.propose_own(Command::SetLimit(limit.clone()), Own::Limit(limit)),
        }
    }

    pub(super) fn propose_close(&mut self, session: SessionId) {
        let incarnation = self.sessions.incarnation(session).to_owned();
        let reason = self.sessions.closing_reason(session);
        self.propose_own(Command::CloseSession(CloseSession { incarnation, reason }), Own::Close(session));
    }
}

/// Why attempts are to stop; `None`: they need not.
fn stop_reason(reason: Withdrawn) -> Option<StopReason> {
    match reason {
        Withdrawn::Resolved | Withdrawn::Paused => None,
        Withdrawn::Cancelled => Some(StopReason::WorkflowCancelled),
        Withdrawn::Ended => Some(StopReason::WorkflowEnded),
    }
}

fn first_of(run: Run) -> AttemptRef {
    AttemptRef { run, task: 0, attempt: 0 }
}

fn last_of(run: Run) -> AttemptRef {
    AttemptRef { run, task: u32::MAX, attempt: u32::MAX }
}

//! What a new term starts from: sessions, limits, and the heads of the ready queues and of the timers, out of a view of the state.

use graft_machine::command::{Command, SetLimit, TimerRef};
use graft_machine::session::{Limit, Session};
use graft_machine::state::StateRead;
use graft_machine::tables::{LimitKey, Limits, Meta, MetaKey, Prefix, SessionKey, Sessions, TimerKind};

use super::core::{Core, Own};
use super::options::SchedulerOptions;
use super::queues::{Place, Waiting};
use super::reads;

/// Records that one step of the recovery reads.
const RECOVERY_PAGE: usize = 1_024;

/// The first ready tasks of a node.
#[derive(Clone, Debug)]
pub struct QueueHead {
    /// Namespace.
    pub namespace: String,
    /// Node.
    pub node: String,
    /// The tasks, in their order.
    pub rows: Vec<(Place, Waiting)>,
    /// Whether nothing comes after them.
    pub complete: bool,
}

/// What a new term starts from.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The machine's time of the view.
    pub time: u64,
    /// All sessions.
    pub sessions: Vec<Session>,
    /// All limits.
    pub limits: Vec<(LimitKey, Limit)>,
    /// The head of each queue.
    pub queues: Vec<QueueHead>,
    /// The next timers.
    pub timers: Vec<TimerRef>,
    /// Whether these are all.
    pub all_timers: bool,
}

impl Recovered {
    /// Reads it from a view.
    pub fn read<S: StateRead>(view: &S, options: &SchedulerOptions) -> Self {
        let all = Prefix::new();
        let mut sessions: Vec<Session> = Vec::new();
        loop {
            let after = sessions.last().map(|session| SessionKey { incarnation: session.incarnation.clone() });
            let page = view.scan::<Sessions>(all.as_bytes(), after.as_ref(), RECOVERY_PAGE);
            let done = page.len() < RECOVERY_PAGE;
            sessions.extend(page.into_iter().map(|(_, session)| (*session).clone()));
            if done {
                break;
            }
        }
        let mut limits: Vec<(LimitKey, Limit)> = Vec::new();
        loop {
            let page = view.scan::<Limits>(all.as_bytes(), limits.last().map(|(key, _)| key), RECOVERY_PAGE);
            let done = page.len() < RECOVERY_PAGE;
            limits.extend(page.into_iter().map(|(key, limit)| (key, *limit)));
            if done {
                break;
            }
        }
        let mut queues: Vec<QueueHead> = Vec::new();
        while let Some((namespace, node)) = reads::next_queue(view, queues.last().map(|last| (&*last.namespace, &*last.node))) {
            let (rows, complete) = reads::ready_page(view, &namespace, &node, None, options.ready_window);
            queues.push(QueueHead { namespace, node, rows, complete });
        }
        let (timers, all_timers) = reads::timer_page(view, None, options.timers_window);
        let time = view.get::<Meta>(&MetaKey {}).map_or(0, |meta| meta.time);
        Self { time, sessions, limits, queues, timers, all_timers }
    }
}

impl Core {
    /// Takes over: every session that is replicated is silent until it has said what it holds.
    pub(super) fn recover(&mut self, now: u64, recovered: Recovered) {
        let Recovered { time, sessions, limits, queues, timers, all_timers } = recovered;
        self.note_machine_time(now, time);
        self.term_began = time;
        for session in sessions {
            self.inherit_session(now, session);
        }
        self.seed_limits(&limits);
        for (key, limit) in limits {
            self.set_limit(&key, limit.in_force());
        }
        for QueueHead { namespace, node, rows, complete } in queues {
            self.ready_page(&namespace, &node, rows, complete);
        }
        self.timer_page(timers, all_timers);
    }

    /// Proposes the limits of the configuration that have had no say yet.
    fn seed_limits(&mut self, present: &[(LimitKey, Limit)]) {
        let seed = self.options.seed_limits.clone();
        let total = seed.total.map(|max| (LimitKey::total(), max));
        let nodes = seed.nodes.into_iter().map(|(namespace, node, max)| (LimitKey { namespace, node }, max));
        for (LimitKey { namespace, node }, max) in total.into_iter().chain(nodes) {
            if !present.iter().any(|(key, limit)| limit.configured && key.namespace == namespace && key.node == node) {
                let command = SetLimit { namespace, node, limit: Some(Limit::of(max)), only_if_absent: true };
                self.propose_own(Command::SetLimit(command.clone()), Own::Limit(command));
            }
        }
    }

    /// A page of a queue's part of the ready table.
    pub(super) fn ready_page(&mut self, namespace: &str, node: &str, rows: Vec<(Place, Waiting)>, complete: bool) {
        let queue = self.queues.id(namespace, node);
        self.queues.page_read(queue, rows.last().map(|(place, _)| *place), complete);
        for (place, waiting) in rows {
            self.offer(queue, place, waiting);
        }
    }

    /// A page of the timer table.
    pub(super) fn timer_page(&mut self, rows: Vec<TimerRef>, complete: bool) {
        for timer in &rows {
            self.note_grace(*timer);
        }
        self.timers.page(rows, complete);
    }

    /// Where the grace of a cancelled workflow runs, the workflow is being cancelled: once nobody holds an attempt of it, it can end.
    fn note_grace(&mut self, timer: TimerRef) {
        if timer.kind == TimerKind::CancelGrace as i32 {
            self.cancelling.insert(timer.run);
            self.idle_runs.insert(timer.run);
        }
    }
}

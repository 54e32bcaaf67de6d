//! The brake: a leader that cannot keep up takes on no more than it works off.
//!
//! A member is late when as many commands of clients as an entry can hold still wait after one was made, though several may be under way at
//! once; or when its own runtime is: a timer that should fire every [`TICK`] fires [`LATE`] after its time. Where that lasts, results of
//! workers wait as well, and each start that is accepted makes it worse: more would be begun and less be ended. From then on a start costs
//! credit, and there is one credit for every workflow that ends; without credit it is refused, which costs little. A few more are taken
//! whatever ends, so that nobody waits for ever: more and more of them while nothing is late and no task waits for a worker, and half as many
//! as soon as it does. While tasks wait, they are executed in the order in which they became ready: what is begun beyond what ends only puts
//! off the end of everything. The brake is let go once nothing has been late for a while and nobody had to be refused, or nothing of the
//! scheduler's is left that could suffer.
//!
//! Where no worker is at work nothing pulls it: who fills a cluster with work, whose workers come later, may make it as late as they like. And
//! a backlog of tasks never does: to keep what workers cannot execute yet is what Graft is for.
//!
//! Event loops have long been watched by how late their timers are. That delay must last before something is done about it, and not only be
//! high, is the rule of CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012); to add little by little and to halve is how TCP finds its
//! rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::Shared;

/// How often the runtime is looked at.
const TICK: Duration = Duration::from_millis(20);
/// The same while no worker is at work, when nothing pulls it: an idle daemon is not woken fifty times a second.
const TICK_AT_REST: Duration = Duration::from_millis(200);
/// A tick that comes so much after its time is late.
const LATE: Duration = Duration::from_millis(20);
/// So many late ticks in a row pull the brake.
const LATE_PULLS: u32 = 4;
/// After so many ticks in time and without a backlog one start more is taken with every tick, whatever ends.
const EASES_AFTER: u32 = 8;
/// Ready tasks that may wait for a worker before that counts as a backlog: some are always just becoming ready.
const BACKLOG: usize = 64;
/// After so many ticks in time and without a refusal, or without a command of the scheduler, the brake is let go.
const RELEASED_AFTER: u32 = 100;
/// Starts that are taken after the brake is pulled, whatever ends; also the most that is ever saved up.
const CREDIT_MAX: i64 = 1_024;
/// Starts that are taken with every tick, whatever ends: at least, and at most.
const MORE_MIN: i64 = 1;
const MORE_MAX: i64 = 256;

/// Credit while the brake is not pulled.
const RELEASED: i64 = i64::MAX;

/// What others count for the brake, and what it tells them.
#[derive(Debug)]
pub(super) struct Brake {
    own: AtomicU64,
    refused: AtomicU64,
    /// Ready tasks that wait for a worker.
    backlog: AtomicUsize,
    /// Commands of clients that wait for an entry.
    waiting: AtomicUsize,
    credit: AtomicI64,
}

impl Default for Brake {
    fn default() -> Self {
        Self { own: 0.into(), refused: 0.into(), backlog: 0.into(), waiting: 0.into(), credit: RELEASED.into() }
    }
}

impl Brake {
    /// So many commands of the leader's own scheduler go into the log.
    pub(super) fn count_own(&self, commands: usize) {
        self.own.fetch_add(commands as u64, Ordering::Relaxed);
    }

    /// So many ready tasks wait for a worker.
    pub(super) fn backlog(&self, tasks: usize) {
        self.backlog.store(tasks, Ordering::Relaxed);
    }

    /// So many commands of clients still wait after an entry was made.
    pub(super) fn waiting(&self, commands: usize) {
        self.waiting.store(commands, Ordering::Relaxed);
    }

    /// Whether a start may be taken now; it is counted as taken, or as refused.
    pub(super) fn takes_start(&self) -> bool {
        let spend = |credit: i64| (0 < credit && credit < RELEASED).then(|| credit - 1);
        let taken = match self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => true,
            Err(credit) => credit == RELEASED,
        };
        self.refused.fetch_add(u64::from(!taken), Ordering::Relaxed);
        taken
    }

    /// Whether a start is refused now, without a look at it; if so, it is counted.
    pub(super) fn refuses_starts(&self) -> bool {
        let refuses = self.credit.load(Ordering::Relaxed) <= 0;
        self.refused.fetch_add(u64::from(refuses), Ordering::Relaxed);
        refuses
    }

    /// Whether it is pulled.
    fn is_pulled(&self) -> bool {
        self.credit.load(Ordering::Relaxed) != RELEASED
    }

    fn set(&self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Pull => self.credit.store(CREDIT_MAX, Ordering::Relaxed),
            Change::Release => self.credit.store(RELEASED, Ordering::Relaxed),
            // Only this task stores `RELEASED`, so nothing is added to it.
            Change::Add(more) => {
                let add = |credit: i64| Some(credit.saturating_add(more).min(CREDIT_MAX));
                self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
            }
        }
    }

    /// Watches the queue of entries that hold so many commands, and the runtime that runs this.
    pub(super) async fn run(self: Arc<Self>, entry_commands: usize, shared: Arc<Shared>, stop: CancellationToken) {
        let mut watch = Watch::default();
        let mut before = self.counts(&shared);
        loop {
            let due = Instant::now() + if watch.is_at_rest() { TICK_AT_REST } else { TICK };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = stop.cancelled() => return,
            }
            let (runtime, waiting) = (due.elapsed(), self.waiting.load(Ordering::Relaxed));
            let now = self.counts(&shared);
            let change = watch.tick(waiting >= entry_commands || runtime >= LATE, &now.since(&before));
            match change {
                Change::Pull => {
                    let runtime_ms = runtime.as_millis() as u64;
                    tracing::warn!(runtime_ms, waiting, "this leader cannot keep up: no more starts are taken than workflows end");
                }
                Change::Release => tracing::info!("this leader keeps up again: all starts are taken"),
                Change::Nothing | Change::Add(_) => {}
            }
            self.set(change);
            shared.metrics.raft.starts_braked.set(i64::from(self.is_pulled()));
            before = now;
        }
    }

    fn counts(&self, shared: &Shared) -> Counts {
        Counts {
            own: self.own.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            ended: shared.ended.load(Ordering::Relaxed),
            backlog: self.backlog.load(Ordering::Relaxed),
        }
    }
}

/// Commands of the scheduler, starts that were refused, and ends of workflows: since the member began, or within one tick. And tasks that wait
/// now.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    own: u64,
    refused: u64,
    ended: u64,
    backlog: usize,
}

impl Counts {
    fn since(&self, before: &Self) -> Self {
        Self { own: self.own - before.own, refused: self.refused - before.refused, ended: self.ended - before.ended, ..*self }
    }
}

/// What a tick does to the brake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Pull,
    Add(i64),
    Release,
}

/// Decides: see the module.
#[derive(Debug)]
struct Watch {
    pulled: bool,
    late_in_a_row: u32,
    /// Ticks in time in a row without a backlog.
    easy: u32,
    /// Ticks in time in a row without a refusal.
    quiet: u32,
    without_own: u32,
    more: i64,
}

impl Default for Watch {
    fn default() -> Self {
        Self { pulled: false, late_in_a_row: 0, easy: 0, quiet: 0, without_own: RELEASED_AFTER, more: MORE_MIN }
    }
}

impl Watch {
    /// Whether nothing could pull it now.
    fn is_at_rest(&self) -> bool {
        !self.pulled && !self.is_at_work()
    }

    /// Whether a worker has been at work lately.
    fn is_at_work(&self) -> bool {
        self.without_own < RELEASED_AFTER
    }

    fn tick(&mut self, late: bool, counts: &Counts) -> Change {
        self.late_in_a_row = if late { self.late_in_a_row + 1 } else { 0 };
        self.quiet = if !late && counts.refused == 0 { self.quiet + 1 } else { 0 };
        self.without_own = if counts.own == 0 { self.without_own.saturating_add(1) } else { 0 };
        let at_work = self.is_at_work();
        if !self.pulled {
            self.pulled = self.late_in_a_row >= LATE_PULLS && at_work;
            return if self.pulled { Change::Pull } else { Change::Nothing };
        }
        if self.quiet >= RELEASED_AFTER || !at_work {
            *self = Self { without_own: self.without_own, ..Self::default() };
            return Change::Release;
        }
        let holds = late || counts.backlog > BACKLOG;
        self.easy = if holds { 0 } else { self.easy + 1 };
        self.more = match self.easy {
            0 => (self.more / 2).max(MORE_MIN),
            ticks if ticks.is_multiple_of(EASES_AFTER) => (self.more + 1).min(MORE_MAX),
            _ => self.more,
        };
        Change::Add(i64::try_from(counts.ended).unwrap_or(i64::MAX).saturating_add(self.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_WORK: Counts = Counts { own: 10, refused: 0, ended: 3, backlog: BACKLOG };
    const REFUSING: Counts = Counts { refused: 20, ..AT_WORK };
    const NO_WORKER: Counts = Counts { own: 0, refused: 20, ended: 0, backlog: 5_000 };

    fn ticks(watch: &mut Watch, count: u32, late: bool, counts: &Counts) -> Vec<Change> {
        (0..count).map(|_| watch.tick(late, counts)).collect()
    }

    /// A brake that has been pulled.
    fn pulled() -> Watch {
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, LATE_PULLS, true, &AT_WORK).last(), Some(&Change::Pull));
        watch
    }

    #[test]
    fn it_is_pulled_when_the_runtime_stays_late_and_not_when_it_was_late_once() {
        let mut watch = Watch::default();
        for _ in 0..10 {
            assert!(ticks(&mut watch, LATE_PULLS - 1, true, &AT_WORK).iter().all(|change| *change == Change::Nothing));
            assert_eq!(watch.tick(false, &AT_WORK), Change::Nothing);
        }
        pulled();
    }

    #[test]
    fn it_is_at_rest_while_no_worker_is_at_work_and_it_is_not_pulled() {
        let mut watch = Watch::default();
        assert!(watch.is_at_rest(), "at first");
        watch.tick(false, &AT_WORK);
        assert!(!watch.is_at_rest());
        ticks(&mut watch, RELEASED_AFTER - 1, false, &NO_WORKER);
        assert!(!watch.is_at_rest());
        watch.tick(true, &NO_WORKER);
        assert!(watch.is_at_rest());
        assert!(!pulled().is_at_rest());
    }

    #[test]
    fn starts_alone_never_pull_it() {
        let starts = Counts::default();
        assert!(ticks(&mut Watch::default(), 1_000, true, &starts).iter().all(|change| *change == Change::Nothing));
    }

    #[test]
    fn what_ends_makes_room_and_a_little_more_is_taken_the_longer_it_goes_well() {
        let mut watch = pulled();
        assert_eq!(watch.tick(true, &REFUSING), Change::Add(3 + MORE_MIN));
        let in_time = ticks(&mut watch, 4 * EASES_AFTER, false, &REFUSING);
        assert_eq!((in_time[0], in_time.last()), (Change::Add(3 + MORE_MIN), Some(&Change::Add(3 + MORE_MIN + 4))));
        assert_eq!(watch.tick(true, &REFUSING), Change::Add(3 + (MORE_MIN + 4) / 2));
        let behind = Counts { backlog: BACKLOG + 1, ..REFUSING };
        assert_eq!(watch.tick(false, &behind), Change::Add(3 + MORE_MIN), "tasks wait for workers");
        let far = ticks(&mut watch, 1_000 * EASES_AFTER, false, &REFUSING);
        assert_eq!(far.last(), Some(&Change::Add(3 + MORE_MAX)));
    }

    #[test]
    fn it_is_let_go_when_nobody_has_to_be_refused_or_nothing_is_left_to_lose() {
        let mut watch = pulled();
        assert!(!ticks(&mut watch, 2 * RELEASED_AFTER, false, &REFUSING).contains(&Change::Release), "it is still asked for too much");
        let quiet = ticks(&mut watch, RELEASED_AFTER, false, &AT_WORK);
        assert_eq!(quiet.last(), Some(&Change::Release));
        assert!(!quiet[..quiet.len() - 1].contains(&Change::Release));
        assert_eq!(ticks(&mut pulled(), RELEASED_AFTER, true, &NO_WORKER).last(), Some(&Change::Release));
    }

    #[test]
    fn a_start_costs_credit_while_it_is_pulled() {
        let brake = Brake::default();
        let taken = |tries: i64| (0..tries).filter(|_| brake.takes_start()).count() as i64;
        assert_eq!((taken(5_000), brake.is_pulled(), brake.refuses_starts()), (5_000, false, false));
        brake.set(Change::Pull);
        assert!(!brake.refuses_starts());
        assert_eq!((taken(5_000), brake.is_pulled(), brake.refuses_starts()), (CREDIT_MAX, true, true));
        assert_eq!(brake.refused.load(Ordering::Relaxed), 5_000 - CREDIT_MAX as u64 + 1);
        brake.set(Change::Add(7));
        assert_eq!(taken(5_000), 7);
        brake.set(Change::Add(1_000_000));
        assert_eq!(taken(5_000), CREDIT_MAX, "what is saved up has a bound");
        brake.set(Change::Release);
        assert_eq!(taken(5_000), 5_000);
    }
}

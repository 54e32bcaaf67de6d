//! The brake: a leader that cannot keep up takes on no more than it works off.
//!
//! A member is late when its own runtime is: a timer that should fire every [`TICK`] fires [`LATE`] after its time, again and again. Everything
//! waits then, results of workers among it, and each start that is accepted makes more of them: more would be begun and less be ended. From
//! then on a start costs credit, and there is one credit for every workflow that ends, and a little more so that nobody waits for ever; without
//! credit it is refused, which costs next to nothing. The brake is let go once the runtime has been in time for a while, or nothing of the
//! scheduler's is left that could suffer.
//!
//! Starts alone never pull it: who fills a cluster with work, whose workers come later, may make it as late as they like. And a backlog of tasks
//! never does: to keep what workers cannot execute yet is what Graft is for.
//!
//! Event loops have long been watched by how late their timers are. That delay must last before something is done about it, and not only be
//! high, is the rule of CoDel (Nichols and Jacobson, "Controlling Queue Delay", 2012).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::Shared;

/// How often the runtime is looked at.
const TICK: Duration = Duration::from_millis(20);
/// A tick that comes so much after its time is late.
const LATE: Duration = Duration::from_millis(20);
/// So many late ticks in a row pull the brake.
const LATE_PULLS: u32 = 4;
/// After so many ticks in time the credit grows faster.
const IN_TIME_EASES: u32 = 8;
/// After so many ticks in time, or without a command of the scheduler, the brake is let go.
const RELEASED_AFTER: u32 = 100;
/// Starts that are taken after the brake is pulled, whatever ends; also the most that is ever saved up.
const CREDIT_MAX: i64 = 1_024;
/// Starts that are taken with every tick, whatever ends.
const CREDIT_LATE: i64 = 1;
/// The same while the runtime is in time.
const CREDIT_IN_TIME: i64 = 8;
/// The scheduler has something to lose if at least one of so many commands is its own.
const OWN_ONE_OF: u64 = 8;
/// The part that one tick has in the shares of commands: one of so many.
const SHARE_OF_TICK: u64 = 32;

/// Credit while the brake is not pulled.
const RELEASED: i64 = i64::MAX;

/// What others count for the brake, and what it tells them.
#[derive(Debug)]
pub(super) struct Brake {
    own: AtomicU64,
    asked: AtomicU64,
    credit: AtomicI64,
}

impl Default for Brake {
    fn default() -> Self {
        Self { own: AtomicU64::new(0), asked: AtomicU64::new(0), credit: AtomicI64::new(RELEASED) }
    }
}

impl Brake {
    /// So many commands go into the log: of the leader's own scheduler, or what clients asked for.
    pub(super) fn count(&self, commands: usize, own: bool) {
        let counter = if own { &self.own } else { &self.asked };
        counter.fetch_add(commands as u64, Ordering::Relaxed);
    }

    /// Whether a start may be taken now; it is counted as taken.
    pub(super) fn takes_start(&self) -> bool {
        let spent = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| match credit {
            RELEASED => None,
            credit if credit > 0 => Some(credit - 1),
            _ => None,
        });
        spent.is_ok() || spent == Err(RELEASED)
    }

    /// Whether it is pulled.
    pub(super) fn is_pulled(&self) -> bool {
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

    /// Watches the runtime that runs this.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>, stop: CancellationToken) {
        let mut watch = Watch::default();
        let mut before = self.counts(&shared);
        loop {
            let due = Instant::now() + TICK;
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = stop.cancelled() => return,
            }
            let late = due.elapsed();
            let now = self.counts(&shared);
            let change = watch.tick(late, &now.since(&before));
            match change {
                Change::Pull => {
                    tracing::warn!(
                        late_ms = late.as_millis() as u64,
                        "this leader cannot keep up: no more starts are taken than workflows end"
                    )
                }
                Change::Release => tracing::info!("this leader keeps up again: all starts are taken"),
                Change::Nothing | Change::Add(_) => {}
            }
            self.set(change);
            shared.metrics.starts_braked.set(i64::from(self.is_pulled()));
            before = now;
        }
    }

    fn counts(&self, shared: &Shared) -> Counts {
        Counts {
            own: self.own.load(Ordering::Relaxed),
            asked: self.asked.load(Ordering::Relaxed),
            ended: shared.ended.load(Ordering::Relaxed),
        }
    }
}

/// Commands and ends of workflows: since the member began, or within one tick.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    own: u64,
    asked: u64,
    ended: u64,
}

impl Counts {
    fn since(&self, before: &Self) -> Self {
        Self { own: self.own - before.own, asked: self.asked - before.asked, ended: self.ended - before.ended }
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
#[derive(Debug, Default)]
struct Watch {
    pulled: bool,
    late_in_a_row: u32,
    in_time_in_a_row: u32,
    without_own: u32,
    /// Commands in a tick, smoothed, times [`SHARE_OF_TICK`].
    own: u64,
    asked: u64,
}

impl Watch {
    fn tick(&mut self, late: Duration, counts: &Counts) -> Change {
        (self.late_in_a_row, self.in_time_in_a_row) = match late >= LATE {
            true => (self.late_in_a_row + 1, 0),
            false => (0, self.in_time_in_a_row + 1),
        };
        self.without_own = if counts.own == 0 { self.without_own + 1 } else { 0 };
        self.own = self.own - self.own / SHARE_OF_TICK + counts.own;
        self.asked = self.asked - self.asked / SHARE_OF_TICK + counts.asked;
        if !self.pulled {
            self.pulled = self.late_in_a_row >= LATE_PULLS && self.own > 0 && self.own * OWN_ONE_OF >= self.own + self.asked;
            return if self.pulled { Change::Pull } else { Change::Nothing };
        }
        if self.in_time_in_a_row >= RELEASED_AFTER || self.without_own >= RELEASED_AFTER {
            self.pulled = false;
            return Change::Release;
        }
        let more = if self.in_time_in_a_row >= IN_TIME_EASES { CREDIT_IN_TIME } else { CREDIT_LATE };
        Change::Add(i64::try_from(counts.ended).unwrap_or(i64::MAX).saturating_add(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Counts = Counts { own: 10, asked: 20, ended: 3 };

    fn ticks(watch: &mut Watch, count: u32, late: Duration, counts: &Counts) -> Vec<Change> {
        (0..count).map(|_| watch.tick(late, counts)).collect()
    }

    /// A brake that has been pulled.
    fn pulled() -> Watch {
        let mut watch = Watch::default();
        assert_eq!(ticks(&mut watch, LATE_PULLS, LATE, &BOTH).last(), Some(&Change::Pull));
        watch
    }

    #[test]
    fn it_is_pulled_when_the_runtime_stays_late_and_not_when_it_was_late_once() {
        let mut watch = Watch::default();
        for _ in 0..10 {
            assert!(ticks(&mut watch, LATE_PULLS - 1, Duration::from_secs(9), &BOTH).iter().all(|change| *change == Change::Nothing));
            assert_eq!(watch.tick(LATE - Duration::from_millis(1), &BOTH), Change::Nothing);
        }
        pulled();
    }

    #[test]
    fn starts_alone_never_pull_it() {
        let mut watch = Watch::default();
        let starts = Counts { asked: 500, ..Counts::default() };
        assert!(ticks(&mut watch, 1_000, LATE, &starts).iter().all(|change| *change == Change::Nothing));
        let hardly_any = Counts { own: 50, asked: 500, ended: 10 };
        assert!(ticks(&mut watch, 1_000, LATE, &hardly_any).iter().all(|change| *change == Change::Nothing));
    }

    #[test]
    fn what_ends_makes_room_and_a_little_is_always_taken() {
        let mut watch = pulled();
        assert_eq!(watch.tick(LATE, &BOTH), Change::Add(3 + CREDIT_LATE));
        let in_time = ticks(&mut watch, IN_TIME_EASES, Duration::ZERO, &BOTH);
        assert_eq!((in_time[0], in_time.last()), (Change::Add(3 + CREDIT_LATE), Some(&Change::Add(3 + CREDIT_IN_TIME))));
    }

    #[test]
    fn it_is_let_go_when_the_runtime_is_in_time_again_or_nothing_is_left_to_lose() {
        let in_time = ticks(&mut pulled(), RELEASED_AFTER, Duration::ZERO, &BOTH);
        assert_eq!(in_time.last(), Some(&Change::Release));
        assert!(!in_time[..in_time.len() - 1].contains(&Change::Release));
        let starts = Counts { asked: 500, ..Counts::default() };
        assert_eq!(ticks(&mut pulled(), RELEASED_AFTER, LATE, &starts).last(), Some(&Change::Release));
    }

    #[test]
    fn a_start_costs_credit_while_it_is_pulled() {
        let brake = Brake::default();
        let taken = |tries: i64| (0..tries).filter(|_| brake.takes_start()).count() as i64;
        assert_eq!((taken(5_000), brake.is_pulled()), (5_000, false));
        brake.set(Change::Pull);
        assert_eq!((taken(5_000), brake.is_pulled()), (CREDIT_MAX, true));
        brake.set(Change::Add(7));
        assert_eq!(taken(5_000), 7);
        brake.set(Change::Add(1_000_000));
        assert_eq!(taken(5_000), CREDIT_MAX, "what is saved up has a bound");
        brake.set(Change::Release);
        assert_eq!(taken(5_000), 5_000);
    }
}

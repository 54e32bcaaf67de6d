//! What the leases in the ledger tell, looked at from outside: who may execute what, and when, is the leader's to say, and each of its leases bears the
//! term and a number that rises within it. So two leases have an order, whatever the clocks of workers were doing.
//!
//! | invariant | seen here as |
//! |---|---|
//! | S5, fencing | no result took effect of an attempt when a later one of its task had been handed out |
//! | S6, one lease | no attempt was handed out twice within a term |
//! | S10, pause | no lease of a paused workflow is younger than one of a workflow that was started after the pause was acknowledged |
//! | S11, cancel | the same of a cancelled one |
//! | S12, limits | never more attempts of [`NARROW`](super::program::NARROW) at once than [`NARROW_AT_ONCE`], of those that took effect |
//!
//! Only what took effect is counted for S12: a worker that was stopped, or cut off, executes what is not its own any more, and cannot know it. Whose
//! result was accepted held its attempt from before it began until after it had ended.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::Row;
use super::oracle::{Outcome, Start};

/// How many attempts of the narrow node run at once, in the whole cluster.
pub const NARROW_AT_ONCE: u32 = 2;

/// An order to a workflow after which it is handed no task, that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The run.
    pub run: u64,
    /// When it was acknowledged.
    pub acknowledged_ms: u64,
    /// When the opposite was asked for, if it was.
    pub until_ms: Option<u64>,
}

/// A lease: term, and number in it.
type Lease = (u64, u64);

/// When the leases of a term were minted at the earliest, as far as starts tell: a run has no lease before somebody asked for it.
#[derive(Debug, Default)]
struct Order {
    /// By term: when its run was asked for, and the oldest lease of all runs that were asked for then or later. Rising.
    terms: BTreeMap<u64, Vec<(u64, Lease)>>,
}

impl Order {
    fn of(starts: &[Start], rows: &[Row]) -> Self {
        let asked: BTreeMap<u64, u64> = starts
            .iter()
            .filter_map(|start| match start.outcome {
                Outcome::Acknowledged { run } => Some((run, start.asked_ms)),
                Outcome::Refused | Outcome::Unknown => None,
            })
            .collect();
        let mut terms: BTreeMap<u64, Vec<(u64, Lease)>> = BTreeMap::new();
        for row in rows {
            if let Some(asked) = asked.get(&row.run) {
                terms.entry(row.lease.0).or_default().push((*asked, row.lease));
            }
        }
        for leases in terms.values_mut() {
            leases.sort_unstable();
            // From the end: what is younger was asked for later still.
            let mut oldest = (u64::MAX, u64::MAX);
            for (_, lease) in leases.iter_mut().rev() {
                oldest = oldest.min(*lease);
                *lease = oldest;
            }
        }
        Self { terms }
    }

    /// A lease that is older than this one and was minted after that moment all the same: so both were. Of an earlier term it counts as well, since
    /// whoever leads in a later one knows all that had been committed when it was minted.
    fn proves_after(&self, moment_ms: u64, lease: Lease) -> Option<Lease> {
        self.terms.range(..=lease.0).find_map(|(_, leases)| {
            let at = leases.partition_point(|(asked, _)| *asked <= moment_ms);
            leases.get(at).map(|(_, oldest)| *oldest).filter(|oldest| *oldest < lease)
        })
    }
}

/// What is wrong, in sentences. `effective`: the numbers of the executions whose results took effect.
pub fn wrong(starts: &[Start], rows: &[Row], halts: &[Halt], effective: &BTreeSet<u64>) -> Vec<String> {
    let mut wrong = renewed(rows);
    wrong.extend(overtaken(rows, effective));
    wrong.extend(in_spite(&Order::of(starts, rows), rows, halts));
    wrong.extend(crowded(rows, effective));
    wrong
}

/// S6.
fn renewed(rows: &[Row]) -> Vec<String> {
    let mut leases: BTreeMap<(u64, u32, u32, u64), u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for Row { run, task, attempt, lease: (term, sequence), .. } in rows {
        let first = *leases.entry((*run, *task, *attempt, *term)).or_insert(*sequence);
        if first != *sequence {
            wrong.push(format!("run {run}, task {task}, attempt {attempt} was leased twice in term {term}: {first}, {sequence}"));
        }
    }
    wrong
}

/// S5.
fn overtaken(rows: &[Row], effective: &BTreeSet<u64>) -> Vec<String> {
    let mut newest: BTreeMap<(u64, u32), u32> = BTreeMap::new();
    for row in rows {
        let attempt = newest.entry((row.run, row.task)).or_default();
        *attempt = row.attempt.max(*attempt);
    }
    let took_effect = rows.iter().filter(|row| effective.contains(&row.execution));
    took_effect
        .filter_map(|Row { run, task, attempt, .. }| {
            let newest = newest[&(*run, *task)];
            (newest > *attempt)
                .then(|| format!("run {run}, task {task}: attempt {attempt} took effect, and attempt {newest} had been handed out"))
        })
        .collect()
}

/// S10 and S11.
fn in_spite(order: &Order, rows: &[Row], halts: &[Halt]) -> Vec<String> {
    let mut of_run: BTreeMap<u64, Vec<&Halt>> = BTreeMap::new();
    halts.iter().for_each(|halt| of_run.entry(halt.run).or_default().push(halt));
    let mut wrong = Vec::new();
    for row in rows {
        for halt in of_run.get(&row.run).into_iter().flatten() {
            // What began after the opposite was asked for may have been minted after it.
            if halt.until_ms.is_some_and(|until| row.began_ms >= until) {
                continue;
            }
            if let Some(older) = order.proves_after(halt.acknowledged_ms, row.lease) {
                wrong.push(format!(
                    "{row:?} was handed out in spite of {halt:?}: lease {older:?} is older, and of a run that was started later"
                ));
            }
        }
    }
    wrong
}

/// S12.
fn crowded(rows: &[Row], effective: &BTreeSet<u64>) -> Vec<String> {
    // At the same millisecond an end comes before a beginning.
    let mut moments: Vec<(u64, bool, u64)> = Vec::new();
    for row in rows.iter().filter(|row| effective.contains(&row.execution)) {
        if let Some(ended) = row.ended_ms.filter(|ended| *ended > row.began_ms) {
            moments.extend([(row.began_ms, true, row.execution), (ended, false, row.execution)]);
        }
    }
    moments.sort_unstable();
    let (mut at_once, mut wrong) = (BTreeSet::new(), Vec::new());
    for (at, begins, execution) in moments {
        if !begins {
            at_once.remove(&execution);
            continue;
        }
        at_once.insert(execution);
        if at_once.len() > NARROW_AT_ONCE as usize {
            wrong.push(format!("at {at} ms the executions {at_once:?} ran at once, of a node that {NARROW_AT_ONCE} may run of"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(run: u64, asked_ms: u64) -> Start {
        Start { number: run, outcome: Outcome::Acknowledged { run }, asked_ms, answered_ms: asked_ms + 1 }
    }

    fn row(run: u64, task: u32, attempt: u32, lease: Lease) -> Row {
        let execution = run * 1_000 + u64::from(task) * 100 + u64::from(attempt) * 10 + lease.1;
        Row { run, task, attempt, lease, step: task, execution, key: execution, began_ms: 0, ended_ms: None }
    }

    fn all(rows: &[Row]) -> BTreeSet<u64> {
        rows.iter().map(|row| row.execution).collect()
    }

    #[test]
    fn an_attempt_that_is_leased_twice_in_a_term_is_found_and_one_that_goes_on_in_the_next_is_not() {
        let rows = [row(1, 1, 1, (1, 1)), row(1, 1, 1, (2, 1)), row(1, 1, 2, (2, 2))];
        assert!(renewed(&rows).is_empty());
        let wrong = renewed(&[row(1, 1, 1, (1, 1)), row(1, 1, 1, (1, 2))]);
        assert!(wrong.len() == 1 && wrong[0].contains("twice in term 1"), "{wrong:?}");
    }

    #[test]
    fn a_result_of_an_attempt_that_had_been_overtaken_is_found() {
        let rows = [row(1, 1, 1, (1, 1)), row(1, 1, 2, (1, 2))];
        assert!(overtaken(&rows, &BTreeSet::from([rows[1].execution])).is_empty());
        let wrong = overtaken(&rows, &BTreeSet::from([rows[0].execution]));
        assert!(wrong.len() == 1 && wrong[0].contains("attempt 2 had been handed out"), "{wrong:?}");
    }

    #[test]
    fn a_lease_that_was_minted_after_a_pause_is_known_by_another_that_is_older_and_of_a_later_start() {
        let starts = [start(1, 0), start(2, 200), start(3, 50)];
        let halt = Halt { run: 1, acknowledged_ms: 100, until_ms: Some(300) };
        let found = |rows: &[Row], halt| in_spite(&Order::of(&starts, rows), rows, &[halt]).len();
        let before = [row(1, 1, 1, (1, 5)), row(2, 1, 1, (1, 6)), row(3, 1, 1, (1, 4))];
        assert_eq!(found(&before, halt), 0, "it is older than all that was started later");
        let after = [row(1, 1, 1, (1, 7)), before[1], before[2]];
        assert_eq!(found(&after, halt), 1);
        assert_eq!(found(&[row(1, 1, 1, (2, 1)), before[1]], halt), 1, "in a later term as well");
        assert_eq!(found(&[row(1, 1, 1, (1, 9)), row(2, 1, 1, (2, 1))], halt), 0, "of a later term nothing follows for an earlier one");
        let resumed = [Row { began_ms: 300, ..after[0] }, before[1], before[2]];
        assert_eq!(found(&resumed, halt), 0, "it had been resumed by then");
        assert_eq!(found(&resumed, Halt { until_ms: None, ..halt }), 1, "what is cancelled is so for good");
    }

    #[test]
    fn more_at_once_than_may_be_are_found_and_those_without_effect_are_not_counted() {
        let timed = |run, began_ms, ended_ms| Row { began_ms, ended_ms: Some(ended_ms), ..row(run, 1, 1, (1, run)) };
        let rows = [timed(1, 0, 10), timed(2, 5, 20), timed(3, 10, 30)];
        assert!(crowded(&rows, &all(&rows)).is_empty(), "one ends where the next begins");
        let rows = [timed(1, 0, 11), timed(2, 5, 20), timed(3, 10, 30)];
        assert_eq!(crowded(&rows, &all(&rows)).len(), 1);
        assert!(crowded(&rows, &all(&rows[1..])).is_empty(), "of a worker that had lost it");
        assert!(wrong(&[], &rows, &[], &all(&rows))[0].contains("ran at once"));
    }
}

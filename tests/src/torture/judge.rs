//! The verdict: what was acknowledged against what is there, what is there against what was executed.
//!
//! Everything that it looks at is plain data ([`Evidence`]), so that its tests can put falsified evidence before it.
//!
//! - **lost**: a start or a patch was acknowledged, and the workflow, its run, a step or the patch is not there.
//! - **duplicated**: a step took effect twice, an attempt was executed twice under one lease, or one request made two runs.
//! - **stuck**: a workflow has not ended, so long after everything was healed.
//! - **violations**: all else that must not be: a refused start that took effect, a mark without an execution, a history that is not
//!   linearizable, a join that fired too early, a lease that should not have been ([`leases`]), a member that ended without a reason.

use std::collections::{BTreeMap, BTreeSet};

use super::arena::Exit;
use super::leases::{self, Halt};
use super::ledger::{Executions, Row};
use super::load::helping_value;
use super::oracle::{Outcome, Start, workflow_id};
use super::program::{Marks, Program, Wrong};

/// A workflow as it was found in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its run.
    pub run: u64,
    /// Its status, in a word.
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// Why it is where it is, as far as the cluster says.
    pub waits_for: String,
    /// Its state.
    pub marks: Marks,
}

/// Everything that is known. See the module.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The seed: what each workflow had to do follows from it.
    pub seed: u64,
    /// What was asked and answered.
    pub starts: Vec<Start>,
    /// Patches that were acknowledged: number of the workflow, value.
    pub patches: Vec<(u64, u64)>,
    /// Pauses and cancellations that were acknowledged.
    pub halts: Vec<Halt>,
    /// What became of requests to cancel, by the number of the workflow.
    pub cancels: BTreeMap<u64, Outcome>,
    /// Answers that did not go together.
    pub contradictions: Vec<String>,
    /// What was found, by number; what is missing was not found.
    pub found: BTreeMap<u64, Found>,
    /// The ledger.
    pub rows: Vec<Row>,
    /// Histories that are not linearizable, and why.
    pub not_linearizable: Vec<String>,
    /// Processes that ended by themselves.
    pub exits: Vec<Exit>,
    /// What is wrong with the members' states.
    pub replicas_wrong: Vec<String>,
    /// Members that were not ready in the end, and why.
    pub not_ready: Vec<String>,
}

/// What is wrong, in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Starts that were acknowledged.
    pub acknowledged: u64,
    /// Workflows that have completed.
    pub completed: u64,
    /// Workflows that were cancelled.
    pub cancelled: u64,
    /// Starts whose outcome nobody knew, and how many of them took effect.
    pub unknown: (u64, u64),
    /// Starts that were refused.
    pub refused: u64,
    /// Executions.
    pub executions: u64,
    /// Executions whose results did not take effect: at least once is what is promised.
    pub extra_executions: u64,
    /// See the module.
    pub lost: Vec<String>,
    /// See the module.
    pub duplicated: Vec<String>,
    /// See the module.
    pub stuck: Vec<String>,
    /// See the module.
    pub violations: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.duplicated.is_empty() && self.stuck.is_empty() && self.violations.is_empty()
    }
}

/// Judges.
pub fn judge(evidence: &Evidence) -> Verdict {
    let executions = Executions::of(&evidence.rows);
    let mut verdict = Verdict {
        executions: executions.count(),
        duplicated: executions.wrong.iter().chain(&evidence.contradictions).cloned().collect(),
        stuck: evidence.not_ready.clone(),
        ..Verdict::default()
    };
    let mut effective = BTreeSet::new();
    for start in &evidence.starts {
        let found = evidence.found.get(&start.number);
        match start.outcome {
            Outcome::Acknowledged { run } => {
                verdict.acknowledged += 1;
                match found {
                    None => verdict.lost.push(format!("{} was acknowledged as run {run}, and is not there", named(start))),
                    Some(found) if found.run != run => {
                        verdict.duplicated.push(format!("{} was acknowledged as run {run}, and is run {}", named(start), found.run));
                    }
                    Some(_) => {}
                }
            }
            Outcome::Refused => {
                verdict.refused += 1;
                if found.is_some() {
                    verdict.violations.push(format!("{} was refused for certain, and is there", named(start)));
                }
            }
            Outcome::Unknown => verdict.unknown = (verdict.unknown.0 + 1, verdict.unknown.1 + u64::from(found.is_some())),
        }
        if let Some(found) = found {
            effective.extend(found.marks.done.iter().map(|mark| mark.1));
            one(evidence, start.number, found, &executions, &mut verdict);
        }
    }
    for (number, value) in &evidence.patches {
        match evidence.found.get(number).map(|found| found.marks.redriven) {
            Some(Some(found)) if found == *value => {}
            found => verdict.lost.push(format!("{}: the patch to {value} was acknowledged, and found is {found:?}", workflow_id(*number))),
        }
    }
    verdict.extra_executions = verdict.executions.saturating_sub(effective.len() as u64);
    verdict.violations.extend(leases::wrong(&evidence.starts, &evidence.rows, &evidence.halts, &effective));
    verdict.violations.extend(evidence.replicas_wrong.iter().cloned());
    verdict.violations.extend(evidence.not_linearizable.iter().map(|why| format!("not linearizable: {why}")));
    for exit in evidence.exits.iter().filter(|exit| !exit.excused) {
        verdict.violations.push(format!("{} ended by itself, code {:?}:\n{}", exit.member, exit.code, exit.last_words));
    }
    verdict
}

fn named(start: &Start) -> String {
    format!("{} (asked at {} ms, answered at {} ms)", workflow_id(start.number), start.asked_ms, start.answered_ms)
}

/// A workflow that is there: whether or not its start was acknowledged, it must be whole.
fn one(evidence: &Evidence, number: u64, found: &Found, executions: &Executions, verdict: &mut Verdict) {
    let (id, program) = (workflow_id(number), Program::of(evidence.seed, number));
    let cancel = evidence.cancels.get(&number);
    if !found.ended {
        verdict.stuck.push(format!("{id} is {}: {}", found.status, found.waits_for));
        return;
    }
    let was_cancelled = found.status == "cancelled" && cancel.is_some_and(|outcome| *outcome != Outcome::Refused);
    if was_cancelled {
        verdict.cancelled += 1;
    } else if found.status == "completed" {
        verdict.completed += 1;
        if matches!(cancel, Some(Outcome::Acknowledged { .. })) {
            verdict.lost.push(format!("{id} completed, and its cancellation was acknowledged"));
        }
    } else {
        verdict.lost.push(format!("{id} ended as {}: {}", found.status, found.waits_for));
    }
    for wrong in program.check(&found.marks) {
        match wrong {
            // What had not been done when it was cancelled is not.
            Wrong::Missing(_) if was_cancelled => {}
            Wrong::Missing(why) => verdict.lost.push(format!("{id}: {why}")),
            Wrong::Twice(why) => verdict.duplicated.push(format!("{id}: {why}")),
            Wrong::Otherwise(why) => verdict.violations.push(format!("{id}: {why}")),
        }
    }
    for mark in &found.marks.done {
        match executions.get(mark.1) {
            Some(row) if row.run == found.run && row.step == mark.0 => {}
            Some(row) => verdict.violations.push(format!("{id}: step {} shows execution {} of {row:?}", mark.0, mark.1)),
            None => verdict.violations.push(format!("{id}: step {} shows execution {}, which nobody did", mark.0, mark.1)),
        }
    }
    let expected = program.needs_help().then(|| helping_value(number));
    if found.marks.redriven != expected {
        verdict.violations.push(format!("{id}: redriven is {:?}, and must be {expected:?}", found.marks.redriven));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::program::Mark;

    const SEED: u64 = 9;
    /// A workflow of several steps that nobody has to help.
    const NUMBER: u64 = 4;

    /// A workflow that was acknowledged and has done what it must, with its executions.
    fn clean() -> Evidence {
        let program = Program::of(SEED, NUMBER);
        assert!(program.steps() > 1 && !program.needs_help(), "{program:?}");
        let mut order = Vec::new();
        fn visit(program: &Program, order: &mut Vec<u32>) {
            order.push(program.step);
            program.fan.iter().chain(&program.next).chain(program.join.as_deref()).for_each(|next| visit(next, order));
        }
        visit(&program, &mut order);
        let rows: Vec<Row> = order
            .iter()
            .map(|step| Row {
                run: 5,
                task: *step,
                attempt: 1,
                lease: (1, u64::from(*step)),
                step: *step,
                execution: u64::from(*step) + 100,
                key: u64::from(*step),
                began_ms: 0,
                ended_ms: None,
            })
            .collect();
        let done: Vec<Mark> = rows.iter().map(|row| Mark(row.step, row.execution)).collect();
        let marks = Marks { count: done.len() as u64, done, redriven: None };
        let found = Found { run: 5, status: "completed".into(), ended: true, waits_for: String::new(), marks };
        Evidence {
            seed: SEED,
            starts: vec![Start { number: NUMBER, outcome: Outcome::Acknowledged { run: 5 }, asked_ms: 1, answered_ms: 2 }],
            found: BTreeMap::from([(NUMBER, found)]),
            rows,
            ..Evidence::default()
        }
    }

    fn found(evidence: &mut Evidence) -> &mut Found {
        evidence.found.get_mut(&NUMBER).expect("it is there")
    }

    #[test]
    fn what_is_as_it_must_be_is_clean() {
        let verdict = judge(&clean());
        assert!(verdict.is_clean(), "{verdict:?}");
        assert_eq!((verdict.acknowledged, verdict.completed, verdict.extra_executions), (1, 1, 0));
    }

    #[test]
    fn an_acknowledged_start_that_is_not_there_is_lost() {
        let mut evidence = clean();
        evidence.found.clear();
        let verdict = judge(&evidence);
        assert!(verdict.lost.len() == 1 && verdict.lost[0].contains("is not there"), "{verdict:?}");
    }

    #[test]
    fn a_start_that_is_known_to_be_refused_must_not_be_there_and_an_unknown_one_may_or_may_not() {
        let mut evidence = clean();
        evidence.starts[0].outcome = Outcome::Refused;
        assert!(judge(&evidence).violations[0].contains("refused for certain"));
        evidence.starts[0].outcome = Outcome::Unknown;
        let there = judge(&evidence);
        assert!(there.is_clean() && there.unknown == (1, 1), "{there:?}");
        evidence.found.clear();
        let away = judge(&evidence);
        assert!(away.is_clean() && away.unknown == (1, 0), "{away:?}");
    }

    #[test]
    fn a_missing_step_is_lost_and_an_effect_that_came_twice_is_duplicated() {
        let mut evidence = clean();
        let marks = &mut found(&mut evidence).marks;
        let last = marks.done.pop().unwrap();
        marks.count -= 1;
        assert!(judge(&evidence).lost[0].contains("left no mark"));
        let marks = &mut found(&mut evidence).marks;
        marks.done.extend([last, last]);
        marks.count += 2;
        assert!(judge(&evidence).duplicated[0].contains("left 2 marks"));
    }

    #[test]
    fn a_lease_that_was_executed_twice_is_duplicated_and_one_of_another_term_is_extra() {
        let mut evidence = clean();
        let row = evidence.rows[0];
        evidence.rows.push(Row { lease: (2, 900), execution: 900, ..row });
        let verdict = judge(&evidence);
        assert!(verdict.is_clean() && verdict.extra_executions == 1, "{verdict:?}");
        evidence.rows.push(Row { execution: 901, ..row });
        assert!(judge(&evidence).duplicated[0].contains("executed twice under lease"));
    }

    #[test]
    fn a_result_that_nobody_executed_is_a_violation() {
        let mut evidence = clean();
        evidence.rows.remove(0);
        assert!(judge(&evidence).violations[0].contains("which nobody did"));
    }

    #[test]
    fn a_workflow_that_has_not_ended_is_stuck_and_one_that_failed_is_lost() {
        let mut evidence = clean();
        found(&mut evidence).ended = false;
        found(&mut evidence).status = "running".into();
        found(&mut evidence).waits_for = "task 1 (act) is ready".into();
        let verdict = judge(&evidence);
        assert_eq!(verdict.stuck, [format!("{} is running: task 1 (act) is ready", workflow_id(NUMBER))]);
        found(&mut evidence).ended = true;
        found(&mut evidence).status = "failed".into();
        assert!(judge(&evidence).lost[0].contains("ended as failed"));
    }

    #[test]
    fn what_was_cancelled_need_not_be_whole_and_what_was_not_must_not_be_cancelled() {
        let mut evidence = clean();
        found(&mut evidence).status = "cancelled".into();
        let marks = &mut found(&mut evidence).marks;
        let last = marks.done.pop().unwrap();
        marks.count -= 1;
        assert!(judge(&evidence).lost[0].contains("ended as cancelled"), "nobody had asked for it");
        evidence.cancels.insert(NUMBER, Outcome::Refused);
        assert!(judge(&evidence).lost[0].contains("ended as cancelled"), "it was refused");
        evidence.cancels.insert(NUMBER, Outcome::Unknown);
        let verdict = judge(&evidence);
        assert!(verdict.is_clean() && (verdict.cancelled, verdict.completed) == (1, 0), "{verdict:?}");
        let marks = &mut found(&mut evidence).marks;
        marks.done.push(last);
        marks.count += 1;
        found(&mut evidence).status = "completed".into();
        assert!(judge(&evidence).is_clean(), "it may have completed before");
        evidence.cancels.insert(NUMBER, Outcome::Acknowledged { run: 5 });
        assert!(judge(&evidence).lost[0].contains("its cancellation was acknowledged"));
    }

    #[test]
    fn what_the_leases_tell_is_a_violation() {
        let mut evidence = clean();
        let row = evidence.rows[0];
        evidence.rows.push(Row { attempt: row.attempt + 1, lease: (2, 900), execution: 900, ..row });
        assert!(judge(&evidence).violations[0].contains("attempt 2 had been handed out"));
    }

    #[test]
    fn a_run_that_is_another_one_and_answers_that_differ_are_duplicated() {
        let mut evidence = clean();
        evidence.starts[0].outcome = Outcome::Acknowledged { run: 4 };
        evidence.contradictions.push("start 4: first answered with run 4, then with run 5".into());
        assert_eq!(judge(&evidence).duplicated.len(), 2);
    }

    #[test]
    fn a_patch_that_was_acknowledged_and_is_not_there_is_lost() {
        let mut evidence = clean();
        evidence.patches.push((NUMBER, 3));
        assert!(judge(&evidence).lost[0].contains("the patch to 3 was acknowledged"));
        found(&mut evidence).marks.redriven = Some(3);
        assert!(judge(&evidence).violations[0].contains("redriven is Some(3), and must be None"));
    }

    #[test]
    fn a_stale_history_a_member_that_ended_and_one_that_is_not_ready_count_too() {
        let mut evidence = clean();
        evidence.not_linearizable.push("register-1: a stale read".into());
        let exit = |excused| Exit { member: "m1".into(), code: Some(134), excused, last_words: "a broken invariant".into() };
        evidence.exits = vec![exit(true), exit(false)];
        evidence.not_ready.push("m2 is not ready".into());
        let verdict = judge(&evidence);
        assert_eq!((verdict.violations.len(), verdict.stuck.len()), (2, 1));
        assert!(!verdict.is_clean());
    }
}

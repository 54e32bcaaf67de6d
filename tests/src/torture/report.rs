//! What a run comes to, as JSON for programs and as a few lines for people.

use std::collections::BTreeMap;

use serde::Serialize;

use super::replicas::Replicas;

/// Most sentences of each sort that are printed.
const SENTENCES_MAX: usize = 20;

/// Histories of registers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Linearizability {
    /// Histories that were judged.
    pub histories: u64,
    /// Operations in them.
    pub operations: u64,
    /// Of those, with an unknown outcome.
    pub unknown: u64,
    /// Histories that were too large to be judged.
    pub undecided: u64,
    /// Histories without an order.
    pub violations: u64,
}

/// The report. Its keys are for programs, and stay.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Starts that were acknowledged.
    pub acknowledged: u64,
    /// Workflows that completed.
    pub completed: u64,
    /// What was acknowledged and is not there.
    pub lost: u64,
    /// What happened twice.
    pub duplicated: u64,
    /// What had not ended a minute after everything was healed.
    pub stuck: u64,
    /// All else that must not be.
    pub violations: u64,
    /// The longest time without an acknowledgement while a quorum and a worker were there.
    pub longest_stall_ms: u64,
    /// The same, for the faults that stood when it ended.
    pub longest_stall_ms_by_fault: BTreeMap<String, u64>,
    /// The longest time without an acknowledgement while there was no quorum, or no worker.
    pub longest_outage_ms: u64,
    /// How often each fault was done.
    pub faults: BTreeMap<String, u64>,
    /// How often a fault was due and was not done: nobody was left whom it may break, or it did not come about.
    pub faults_not_done: BTreeMap<String, u64>,
    /// Rounds of faults.
    pub rounds: u64,
    /// The seed.
    pub seed: u64,
    /// Members.
    pub members: usize,
    /// Minutes with faults.
    pub minutes: f64,
    /// Starts whose outcome stayed unknown.
    pub starts_unknown: u64,
    /// Of those, starts that took effect.
    pub starts_unknown_in_effect: u64,
    /// Starts that were refused.
    pub starts_refused: u64,
    /// Starts that were asked again with their request id, and answered as before.
    pub repeats_answered_alike: u64,
    /// Patches of states that were acknowledged.
    pub patches_acknowledged: u64,
    /// Pauses that were acknowledged.
    pub pauses_acknowledged: u64,
    /// Cancellations that were acknowledged.
    pub cancels_acknowledged: u64,
    /// Workflows that were cancelled.
    pub cancelled: u64,
    /// Executions of the node that few attempts may run of at once.
    pub narrow_executions: u64,
    /// Starts that were left out because too many were under way.
    pub held_back: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Steps that took effect.
    pub steps: u64,
    /// Executions, as the ledger has them.
    pub executions: u64,
    /// Of those, without an effect: failed on purpose, or executed at least once more.
    pub extra_executions: u64,
    /// Registers.
    pub linearizability: Linearizability,
    /// The states of the members, compared.
    pub replicas: Replicas,
    /// Kinds of faults that this machine cannot do, and why: they were left out of `all`.
    pub faults_impossible: BTreeMap<String, String>,
    /// Changes of the leader that were seen between the faults.
    pub leader_changes: u64,
    /// Members and workers that ended by themselves, with a reason.
    pub exits_excused: u64,
    /// Members and workers that ended by themselves, without one.
    pub exits_unexplained: u64,
    /// How long everything took to end after the faults, in milliseconds.
    pub settled_ms: u64,
    /// What is wrong, in sentences; some of them, if there are many.
    pub wrong: Vec<String>,
    /// Members that needed long to be ready between two rounds.
    pub slow: Vec<String>,
    /// Where logs and data are, if they were kept.
    pub kept_in: Option<String>,
    /// The command that repeats it.
    pub command: String,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicated + self.stuck + self.violations == 0
    }

    /// Sentences for people, of each sort at most so many.
    pub fn sentences(sorts: &[(&str, &[String])]) -> Vec<String> {
        let some = |(sort, all): &(&str, &[String])| {
            let more = all.len().saturating_sub(SENTENCES_MAX);
            let more = (more > 0).then(|| format!("{sort}: {more} more"));
            all.iter().take(SENTENCES_MAX).map(|why| format!("{sort}: {why}")).chain(more).collect::<Vec<_>>()
        };
        sorts.iter().flat_map(some).collect()
    }

    /// As text.
    pub fn text(&self) -> String {
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let mut text = format!(
            "{} starts acknowledged, {} completed, {} steps; lost {}, duplicated {}, stuck {}, other violations {}\n\
             longest stall {} ms; {} histories with {} operations, {} not linearizable, {} too large to be judged; {} leader changes\n\
             faults: {} in {} rounds; seed {}, {} members\n",
            self.acknowledged,
            self.completed,
            self.steps,
            self.lost,
            self.duplicated,
            self.stuck,
            self.violations,
            self.longest_stall_ms,
            self.linearizability.histories,
            self.linearizability.operations,
            self.linearizability.violations,
            self.linearizability.undecided,
            self.leader_changes,
            faults.join(", "),
            self.rounds,
            self.seed,
            self.members,
        );
        for (kind, why) in &self.faults_impossible {
            text += &format!("left out: {kind}: {why}\n");
        }
        for wrong in &self.wrong {
            text += &format!("WRONG {wrong}\n");
        }
        if !self.is_clean() {
            text += &format!("logs and data: {}\nrun it again: {}\n", self.kept_in.as_deref().unwrap_or("not kept"), self.command);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_programs_read_are_there() {
        let report = Report { faults: BTreeMap::from([("kill".to_owned(), 3)]), seed: 7, ..Report::default() };
        let json = serde_json::to_value(&report).unwrap();
        for key in ["acknowledged", "completed", "lost", "duplicated", "stuck", "longest_stall_ms", "seed"] {
            assert!(json[key].is_u64(), "{key}: {json}");
        }
        assert_eq!(json["faults"]["kill"], 3);
        assert!(report.is_clean() && !Report { stuck: 1, ..report }.is_clean());
    }

    #[test]
    fn what_is_wrong_is_told_but_not_a_thousand_times() {
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let told = Report::sentences(&[("lost", &many), ("stuck", &many[..1])]);
        assert_eq!((told.len(), told[20].as_str(), told[21].as_str()), (22, "lost: 80 more", "stuck: 0"));
    }
}

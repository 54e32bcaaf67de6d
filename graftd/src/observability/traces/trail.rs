//! What came before what, as far as links need it: which attempt created a task, which one of it ended last, and what a join has joined.
//!
//! A trail is made of a run's facts, in their order, and nothing else: it can be forgotten at any moment and made again of the history. It remembers
//! a bounded number of tasks; what is beyond the bound has no links, and nothing else is wrong with it.

use std::collections::{BTreeMap, HashMap};

use graft_machine::ids::{OUTERMOST, Run, ScopeId, TaskId};
use graft_machine::time::Millis;

use super::facts::{Attempt, Born, Outcome, What};

/// Most links of one span; the rest is counted.
pub const LINKS_MAX: usize = 128;
/// Most tasks and scopes that are remembered of one run.
const REMEMBERED_MAX: usize = 10_000;
/// Most runs that have a trail. One that was forgotten is made again of the history.
const TRAILS_MAX: usize = 10_000;
/// Most tasks and scopes of all trails together.
const ALL_REMEMBERED_MAX: usize = 200_000;

/// An attempt of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Its task.
    pub task: TaskId,
    /// Its number.
    pub attempt: u32,
}

/// Why a span is linked to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are earlier attempts of the same task.
    Retry,
    /// They created its task.
    Follows,
    /// They were joined by what created its task.
    Join,
}

/// The attempts that one is linked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The first [`LINKS_MAX`] of them.
    pub to: Vec<At>,
    /// How many more there are.
    pub more: u32,
}

impl Links {
    fn one(at: At) -> Self {
        Self { to: vec![at], more: 0 }
    }

    fn add(&mut self, other: &Self) {
        let room = LINKS_MAX - self.to.len();
        self.to.extend(other.to.iter().take(room));
        self.more += other.more + other.to.len().saturating_sub(room) as u32;
    }
}

/// A task that may be attempted (again).
#[derive(Clone, Debug)]
struct Origin {
    scope: ScopeId,
    relation: Relation,
    links: Links,
    /// The attempt of it that ended last; 0: none has.
    last: u32,
}

/// A scope that is open.
#[derive(Clone, Debug)]
struct Opened {
    around: ScopeId,
    by: At,
    /// Attempts after which nothing follows in it.
    ends: Links,
}

/// What came before what in one run.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    tasks: HashMap<TaskId, Origin>,
    scopes: HashMap<ScopeId, Opened>,
    /// When it was reopened last; `None`: never.
    reopened: Option<Millis>,
    /// Number of the last event that it has taken in.
    last: u64,
}

impl Trail {
    /// Whether the event of that number comes next: it has missed none before.
    pub fn leads_to(&self, number: u64) -> bool {
        self.last + 1 == number
    }

    /// What an attempt of a task is linked to, and why.
    pub fn links(&self, task: TaskId) -> (Relation, Links) {
        match self.tasks.get(&task) {
            None => (Relation::Follows, Links::default()),
            Some(origin) if origin.last != 0 => (Relation::Retry, Links::one(At { task, attempt: origin.last })),
            Some(origin) => (origin.relation, origin.links.clone()),
        }
    }

    /// When the present life of the workflow began, if it was reopened.
    pub fn reopened(&self) -> Option<Millis> {
        self.reopened
    }

    /// How much is remembered.
    fn len(&self) -> usize {
        self.tasks.len() + self.scopes.len()
    }

    /// Takes in what became true, with the event of that number.
    pub fn saw(&mut self, number: u64, at: Millis, what: &What) {
        self.last = number;
        match what {
            What::Started(tasks) => tasks.iter().for_each(|task| self.born(*task, Relation::Follows, Links::default())),
            What::Ended(attempt) => self.ended(attempt),
            What::GivenUp { task, attempt, passed_over, instead } => {
                let last = At { task: *task, attempt: *attempt };
                if let Some(instead) = instead {
                    self.born(*instead, Relation::Follows, Links::one(last));
                } else if *passed_over {
                    self.nothing_follows(last);
                }
            }
            What::Joined { scope, then } => self.joined(*scope, *then),
            What::Redriven { again, reopened } => {
                match self.tasks.get_mut(&again.task) {
                    Some(origin) => origin.scope = again.scope,
                    None => self.born(*again, Relation::Follows, Links::default()),
                }
                if *reopened {
                    self.reopened = Some(at);
                }
            }
            What::Discarded(task) => drop(self.tasks.remove(task)),
            What::WorkflowEnded(_) | What::Aside => {}
        }
    }

    fn born(&mut self, Born { task, scope }: Born, relation: Relation, links: Links) {
        if self.len() < REMEMBERED_MAX {
            self.tasks.insert(task, Origin { scope, relation, links, last: 0 });
        }
    }

    fn ended(&mut self, attempt: &Attempt) {
        let Attempt { task, number, outcome, created, opened, .. } = attempt;
        let at = At { task: *task, attempt: *number };
        if *outcome != Outcome::Completed {
            if let Some(origin) = self.tasks.get_mut(task) {
                origin.last = *number;
            }
            return;
        }
        for (scope, around) in opened {
            if self.len() < REMEMBERED_MAX {
                self.scopes.insert(*scope, Opened { around: *around, by: at, ends: Links::default() });
            }
        }
        created.iter().for_each(|task| self.born(*task, Relation::Follows, Links::one(at)));
        if created.is_empty() && opened.is_empty() {
            self.nothing_follows(at);
        }
        self.tasks.remove(task);
    }

    fn nothing_follows(&mut self, at: At) {
        let scope = self.tasks.get(&at.task).map_or(OUTERMOST, |origin| origin.scope);
        if let Some(scope) = self.scopes.get_mut(&scope) {
            scope.ends.add(&Links::one(at));
        }
    }

    /// What a join starts is linked to what it has joined, or to whoever opened it, if there was nothing in it. Without anything to start, what it has
    /// joined is the scope's around it.
    fn joined(&mut self, scope: ScopeId, then: Option<Born>) {
        let Some(Opened { around, by, ends }) = self.scopes.remove(&scope) else {
            then.into_iter().for_each(|task| self.born(task, Relation::Join, Links::default()));
            return;
        };
        let joined = if ends.to.is_empty() { Links::one(by) } else { ends };
        match then {
            Some(task) => self.born(task, Relation::Join, joined),
            None => {
                if let Some(around) = self.scopes.get_mut(&around) {
                    around.ends.add(&joined);
                }
            }
        }
    }
}

/// The trails of the runs that moved last.
#[derive(Debug, Default)]
pub struct Trails {
    of: HashMap<Run, (u64, Trail)>,
    /// The runs by when they moved.
    order: BTreeMap<u64, Run>,
    moved: u64,
    remembered: usize,
}

impl Trails {
    /// The trail of a run, which is to be put back; an empty one if it was forgotten.
    pub fn take(&mut self, run: Run) -> Trail {
        let Some((moved, trail)) = self.of.remove(&run) else { return Trail::default() };
        self.order.remove(&moved);
        self.remembered -= trail.len();
        trail
    }

    /// Puts the trail of a run back; those that have not moved for longest are forgotten where there are too many.
    pub fn put(&mut self, run: Run, trail: Trail) {
        self.moved += 1;
        self.remembered += trail.len();
        self.order.insert(self.moved, run);
        self.of.insert(run, (self.moved, trail));
        while self.of.len() > TRAILS_MAX || self.remembered > ALL_REMEMBERED_MAX {
            let Some((_, oldest)) = self.order.first_key_value() else { return };
            self.take(*oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: &[(TaskId, ScopeId)] = &[];

    fn born(tasks: &[(TaskId, ScopeId)]) -> Vec<Born> {
        tasks.iter().map(|(task, scope)| Born { task: *task, scope: *scope }).collect()
    }

    fn completed(task: TaskId, created: &[(TaskId, ScopeId)], opened: &[(ScopeId, ScopeId)]) -> What {
        What::Ended(Attempt { task, number: 1, created: born(created), opened: opened.to_vec(), ..Attempt::default() })
    }

    fn ended(task: TaskId, number: u32, outcome: Outcome) -> What {
        What::Ended(Attempt { task, number, outcome, ..Attempt::default() })
    }

    fn trail(facts: &[What]) -> Trail {
        let mut trail = Trail::default();
        for (at, what) in facts.iter().enumerate() {
            trail.saw(at as u64 + 1, at as Millis, what);
        }
        trail
    }

    fn linked(trail: &Trail, task: TaskId) -> (Relation, Vec<(TaskId, u32)>) {
        let (relation, links) = trail.links(task);
        (relation, links.to.iter().map(|at| (at.task, at.attempt)).collect())
    }

    #[test]
    fn a_task_follows_the_attempt_that_created_it_and_a_retry_the_attempt_before() {
        let mut trail = trail(&[What::Started(born(&[(1, 0)])), completed(1, &[(2, 0)], &[])]);
        assert_eq!(linked(&trail, 2), (Relation::Follows, vec![(1, 1)]));
        for (number, outcome) in [(1, Outcome::Failed(graft_machine::command::FailureKind::Lost)), (2, Outcome::Blocked)] {
            trail.saw(9, 9, &ended(2, number, outcome));
            assert_eq!(linked(&trail, 2), (Relation::Retry, vec![(2, number)]));
        }
    }

    #[test]
    fn a_trail_knows_when_it_has_missed_something() {
        let trail = trail(&[What::Started(born(&[(1, 0)])), completed(1, &[(2, 0)], &[])]);
        assert!(trail.leads_to(3) && !trail.leads_to(4) && Trail::default().leads_to(1));
    }

    #[test]
    fn what_a_join_starts_is_linked_to_what_ended_in_it() {
        // 1 opens scope 1 with 2 and 3; 2 goes on with 4, 3 opens scope 2 with 5, which joins nothing.
        let trail = trail(&[
            What::Started(born(&[(1, 0)])),
            completed(1, &[(2, 1), (3, 1)], &[(1, 0)]),
            completed(2, &[(4, 1)], &[]),
            completed(3, &[(5, 2)], &[(2, 1)]),
            completed(4, NOTHING, &[]),
            completed(5, NOTHING, &[]),
            What::Joined { scope: 2, then: None },
            What::Joined { scope: 1, then: Some(Born { task: 6, scope: 0 }) },
        ]);
        assert_eq!(linked(&trail, 6), (Relation::Join, vec![(4, 1), (5, 1)]));
        assert_eq!(trail.len(), 1, "of all that is over nothing is remembered");
    }

    #[test]
    fn a_join_of_nothing_is_linked_to_who_opened_it() {
        let trail = trail(&[
            What::Started(born(&[(1, 0)])),
            completed(1, NOTHING, &[(1, 0)]),
            What::Joined { scope: 1, then: Some(Born { task: 2, scope: 0 }) },
        ]);
        assert_eq!(linked(&trail, 2), (Relation::Join, vec![(1, 1)]));
    }

    #[test]
    fn what_was_given_up_is_joined_or_replaced_or_tried_again() {
        let gives_up = |passed_over, instead: Option<(TaskId, ScopeId)>| What::GivenUp {
            task: 2,
            attempt: 3,
            passed_over,
            instead: instead.map(|(task, scope)| Born { task, scope }),
        };
        let begun = [What::Started(born(&[(1, 0)])), completed(1, &[(2, 1)], &[(1, 0)]), ended(2, 3, Outcome::Blocked)];
        let mut passed_over = trail(&begun);
        passed_over.saw(9, 1, &gives_up(true, None));
        passed_over.saw(9, 1, &What::Joined { scope: 1, then: Some(Born { task: 3, scope: 0 }) });
        assert_eq!(linked(&passed_over, 3), (Relation::Join, vec![(2, 3)]));
        let mut replaced = trail(&begun);
        replaced.saw(9, 1, &gives_up(false, Some((3, 1))));
        assert_eq!(linked(&replaced, 3), (Relation::Follows, vec![(2, 3)]));
        let mut again = trail(&begun);
        again.saw(9, 1, &gives_up(false, None));
        again.saw(9, 7, &What::Redriven { again: Born { task: 2, scope: 4 }, reopened: true });
        assert_eq!((linked(&again, 2), again.reopened()), ((Relation::Retry, vec![(2, 3)]), Some(7)));
    }

    #[test]
    fn links_have_a_bound_and_what_is_beyond_it_is_counted() {
        let many: Vec<(TaskId, ScopeId)> = (2..202).map(|task| (task, 1)).collect();
        let mut trail = trail(&[What::Started(born(&[(1, 0)])), completed(1, &many, &[(1, 0)])]);
        many.iter().for_each(|(task, _)| trail.saw(9, 1, &completed(*task, NOTHING, &[])));
        trail.saw(9, 1, &What::Joined { scope: 1, then: Some(Born { task: 300, scope: 0 }) });
        let (_, links) = trail.links(300);
        assert_eq!((links.to.len(), links.more), (LINKS_MAX, 200 - LINKS_MAX as u32));
    }

    #[test]
    fn a_wide_run_and_many_runs_are_remembered_within_bounds() {
        let mut trails = Trails::default();
        let wide: Vec<(TaskId, ScopeId)> = (1..20_000).map(|task| (task, 0)).collect();
        for run in 1..=30 {
            let mut trail = trails.take(run);
            trail.saw(9, 1, &What::Started(born(&wide)));
            assert_eq!(trail.len(), REMEMBERED_MAX);
            trails.put(run, trail);
        }
        assert!(trails.remembered <= ALL_REMEMBERED_MAX && trails.of.len() == trails.order.len());
        assert!(trails.of.contains_key(&30) && !trails.of.contains_key(&1), "the one that has not moved for longest is gone");
        for run in 100..100 + TRAILS_MAX as u64 + 5 {
            let trail = trails.take(run);
            trails.put(run, trail);
        }
        assert_eq!(trails.of.len(), TRAILS_MAX);
    }
}

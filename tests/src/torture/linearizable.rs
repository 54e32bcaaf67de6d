//! Whether the operations on a register can have happened one after the other, each between its question and its answer.
//!
//! The search of Wing and Gong, with Lowe's memory: take any operation that nothing else must precede, see whether the register allows it,
//! go on; and never look twice at the same set of operations with the same value. An operation with an unknown outcome may be taken at any
//! time after it was asked, or never. Of those, writes of values that nobody has read change nothing and are left out at once: taken away
//! from an order that is possible, what is left is possible.

use std::collections::HashSet;

use super::history::{Does, Operation};

/// Steps of the search before it is given up: more than any history of a few hundred operations by a few clients needs.
const STEPS_MAX: u64 = 20_000_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none. The longest beginning that has one, and what comes next and does not fit.
    Not(String),
    /// The search was given up.
    Undecided,
}

/// A set of operations, by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Taken(Vec<u64>);

impl Taken {
    fn none(of: usize) -> Self {
        Self(vec![0; of.div_ceil(64)])
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }
}

/// Judges a history. The register begins with `first`.
pub fn check(operations: &[Operation], first: Option<u64>) -> Verdict {
    let read: HashSet<u64> =
        operations.iter().filter_map(|operation| if let Does::Read(value) = operation.does { value } else { None }).collect();
    let counts = |operation: &&Operation| match (operation.does, operation.answered) {
        (_, Some(_)) => true,
        (Does::Write(value), None) => read.contains(&value),
        // A read without an answer has told nothing.
        (Does::Read(_), None) => false,
    };
    let mut all: Vec<Operation> = operations.iter().filter(counts).copied().collect();
    all.sort_by_key(|operation| operation.asked);
    Search { all: &all, taken: Taken::none(all.len()), seen: HashSet::new(), steps: 0, furthest: (0, Taken::none(all.len()), first) }
        .run(first)
}

struct Search<'a> {
    all: &'a [Operation],
    taken: Taken,
    seen: HashSet<(Taken, Option<u64>)>,
    steps: u64,
    furthest: (usize, Taken, Option<u64>),
}

impl Search<'_> {
    fn run(mut self, first: Option<u64>) -> Verdict {
        let certain = self.all.iter().filter(|operation| operation.answered.is_some()).count();
        // Depth first: what was taken, the value before it, and where the search goes on when it is put back.
        let (mut path, mut value, mut from, mut done): (Vec<(usize, Option<u64>)>, _, _, _) = (Vec::new(), first, 0, 0);
        loop {
            if done == certain {
                return Verdict::Linearizable;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Verdict::Undecided;
            }
            match self.next(from, value) {
                Some((at, after)) => {
                    self.taken.flip(at);
                    if self.seen.insert((self.taken.clone(), after)) {
                        path.push((at, value));
                        done += usize::from(self.all[at].answered.is_some());
                        if done > self.furthest.0 {
                            self.furthest = (done, self.taken.clone(), after);
                        }
                        (value, from) = (after, 0);
                    } else {
                        self.taken.flip(at);
                        from = at + 1;
                    }
                }
                None => match path.pop() {
                    Some((at, before)) => {
                        self.taken.flip(at);
                        done -= usize::from(self.all[at].answered.is_some());
                        (value, from) = (before, at + 1);
                    }
                    None => return Verdict::Not(self.why()),
                },
            }
        }
    }

    /// When the first answer comes of those that are not taken: nothing that is asked later can be next.
    fn until(&self, taken: &Taken) -> u64 {
        let open = self.all.iter().enumerate().filter(|(at, _)| !taken.has(*at));
        open.filter_map(|(_, operation)| operation.answered).min().unwrap_or(u64::MAX)
    }

    /// The next operation from `from` on that can be taken, and the value after it.
    fn next(&self, from: usize, value: Option<u64>) -> Option<(usize, Option<u64>)> {
        let until = self.until(&self.taken);
        let open = (from..self.all.len()).take_while(|at| self.all[*at].asked <= until).filter(|at| !self.taken.has(*at));
        open.filter_map(|at| match self.all[at].does {
            Does::Write(written) => Some((at, Some(written))),
            Does::Read(read) => (read == value).then_some((at, value)),
        })
        .next()
    }

    fn why(&self) -> String {
        let (done, taken, value) = &self.furthest;
        let until = self.until(taken);
        let next: Vec<String> = (0..self.all.len())
            .filter(|at| !taken.has(*at) && self.all[*at].asked <= until)
            .map(|at| format!("{:?}", self.all[at]))
            .take(8)
            .collect();
        format!("after {done} operations the value is {value:?}, and none of these can be next: {}", next.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `asked..answered` of one client, in order; an answer of 0 is none.
    fn history(rows: &[(u64, u64, Does)]) -> Vec<Operation> {
        rows.iter()
            .map(|(asked, answered, does)| Operation {
                client: 0,
                does: *does,
                asked: *asked,
                answered: (*answered != 0).then_some(*answered),
            })
            .collect()
    }

    fn refused(rows: &[(u64, u64, Does)]) {
        assert!(matches!(check(&history(rows), None), Verdict::Not(_)), "{rows:?}");
    }

    fn allowed(rows: &[(u64, u64, Does)]) {
        assert_eq!(check(&history(rows), None), Verdict::Linearizable, "{rows:?}");
    }

    use Does::{Read, Write};

    #[test]
    fn what_happens_one_after_the_other_is_allowed() {
        allowed(&[(1, 2, Read(None)), (3, 4, Write(1)), (5, 6, Read(Some(1))), (7, 8, Write(2)), (9, 10, Read(Some(2)))]);
    }

    #[test]
    fn a_stale_read_is_refused() {
        refused(&[(1, 2, Write(1)), (3, 4, Write(2)), (5, 6, Read(Some(1)))]);
        refused(&[(1, 2, Write(1)), (3, 4, Read(None))]);
    }

    #[test]
    fn a_read_of_what_was_never_written_is_refused() {
        refused(&[(1, 2, Write(1)), (3, 4, Read(Some(7)))]);
    }

    #[test]
    fn reads_beside_a_write_may_see_it_or_not_but_not_go_back() {
        allowed(&[(1, 2, Write(1)), (3, 20, Write(2)), (4, 5, Read(Some(1))), (6, 7, Read(Some(2)))]);
        refused(&[(1, 2, Write(1)), (3, 20, Write(2)), (4, 5, Read(Some(2))), (6, 7, Read(Some(1)))]);
    }

    #[test]
    fn a_write_without_an_answer_may_take_effect_late_or_never_but_once() {
        let unknown = [(1, 2, Write(1)), (3, 0, Write(2))];
        allowed(&unknown);
        allowed(&[&unknown[..], &[(4, 5, Read(Some(1))), (6, 7, Read(Some(2)))]].concat());
        allowed(&[&unknown[..], &[(4, 5, Read(Some(1))), (6, 7, Read(Some(1)))]].concat());
        refused(&[&unknown[..], &[(4, 5, Read(Some(2))), (6, 7, Read(Some(1)))]].concat());
        // Not before it was asked.
        refused(&[(1, 2, Read(Some(2))), (3, 0, Write(2))]);
        // A lost acknowledged write, with an unknown one beside it.
        refused(&[(1, 2, Write(1)), (3, 0, Write(2)), (4, 5, Write(3)), (6, 7, Read(Some(2))), (8, 9, Read(Some(3)))]);
    }

    #[test]
    fn the_same_value_may_be_written_again() {
        allowed(&[(1, 2, Write(0)), (3, 4, Write(1)), (5, 6, Write(0)), (7, 8, Read(Some(0)))]);
        refused(&[(1, 2, Write(0)), (3, 4, Write(1)), (5, 6, Write(0)), (7, 8, Read(Some(1)))]);
    }

    #[test]
    fn hundreds_of_operations_by_several_clients_are_judged_at_once() {
        // Five clients whose operations overlap; each takes effect in the middle of its time.
        let mut rng = crate::loop_sim::rng::Rng::new(11);
        let mut effects: Vec<(u64, u64, u64, bool)> = (0..400)
            .map(|n| {
                let asked = n * 10 + rng.below(40);
                (asked + 30, asked, asked + 60, rng.chance(500))
            })
            .collect();
        effects.sort_unstable();
        let (mut value, mut rows) = (None, Vec::new());
        for (n, (_, asked, answered, writes)) in effects.into_iter().enumerate() {
            if writes {
                value = Some(n as u64);
                let answered = if rng.chance(30) { 0 } else { answered };
                rows.push((asked + 1, answered, Write(n as u64)));
            } else {
                rows.push((asked + 1, answered, Read(value)));
            }
        }
        allowed(&rows);
        // One read in the middle sees what was written long before.
        let at = rows.iter().position(|row| row.0 > 2_000 && matches!(row.2, Read(_))).unwrap();
        let old = rows.iter().find_map(|row| if let Write(value) = row.2 { Some(value) } else { None });
        rows[at].2 = Read(old);
        refused(&rows);
    }
}

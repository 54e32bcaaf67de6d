//! D3: on every member, purged ≤ flushed ≤ applied ≤ committed ≤ last; the term never falls, and neither do the marks on disk; what is in
//! memory falls with a restart only.

use std::collections::BTreeMap;

use super::{Invariant, Marks, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    last: BTreeMap<u64, Marks>,
}

impl Invariant for Check {
    fn marks(&mut self, marks: Marks) -> Verdict {
        let Marks { member, start, term, purged, flushed, applied, committed, last } = marks;
        let ordered = purged <= flushed && flushed <= applied && applied <= committed && committed <= last;
        must!(ordered, "the marks of member {member} are out of order: {marks:?}");
        if let Some(before) = self.last.insert(member, marks) {
            let durable = before.term <= term && before.flushed <= flushed;
            must!(durable, "what member {member} had on disk goes back: {before:?}, then {marks:?}");
            let volatile = before.applied <= applied && before.committed <= committed && before.purged <= purged;
            must!(before.start < start || volatile, "member {member} goes back: {before:?}, then {marks:?}");
        }
        Ok(())
    }
}

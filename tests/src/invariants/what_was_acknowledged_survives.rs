//! D1: what was answered is in the log of every leader that comes after, whatever power cuts took from a minority, or from all.

use std::collections::BTreeMap;

use super::{Answered, Invariant, Leads, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    /// Index and term of entries from which an answer came.
    acknowledged: BTreeMap<u64, u64>,
}

impl Invariant for Check {
    fn answered(&mut self, answered: &Answered<'_>) -> Verdict {
        if answered.index > 0 {
            self.acknowledged.insert(answered.index, answered.term);
        }
        Ok(())
    }

    fn leads(&mut self, leads: &Leads<'_>) -> Verdict {
        let Leads { member, term, last, purged, term_at } = leads;
        if let Some((index, of)) = self.acknowledged.last_key_value() {
            must!(of > term || index <= last, "member {member} leads term {term} with {last} entries; entry {index} was acknowledged");
        }
        for (index, of) in self.acknowledged.range(purged + 1..).filter(|(_, of)| *of < term) {
            let found = term_at(*index);
            must!(found == Some(*of), "member {member} leads term {term}: its entry {index} is of term {found:?}; acknowledged was {of}");
        }
        Ok(())
    }
}

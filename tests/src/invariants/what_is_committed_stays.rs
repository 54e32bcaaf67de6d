//! Raft: what is committed is never another entry, on no member: same index, same term, same bytes.

use graft_machine::command::LogEntry;

use super::{Invariant, Replica, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    committed: Vec<(u64, LogEntry)>,
}

impl Invariant for Check {
    fn replica(&mut self, replica: &Replica<'_>) -> Verdict {
        let Replica { member, index, term, entry, .. } = replica;
        match self.committed.get(*index as usize - 1) {
            None => self.committed.push((*term, (*entry).clone())),
            Some((first_term, first)) => {
                must!(first_term == term && first == *entry, "member {member} has another entry {index}: of term {term}, not {first_term}");
            }
        }
        Ok(())
    }
}

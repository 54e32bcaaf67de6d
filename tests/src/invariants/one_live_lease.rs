//! S6: within a term an attempt is leased once; and nobody begins what another worker executes whose lease still runs. The attempt's number
//! rises only through the log.

use std::collections::BTreeMap;

use graft_machine::ids::{AttemptRef, Lease};

use super::{Began, Invariant, Minted, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    newest: BTreeMap<AttemptRef, Lease>,
}

impl Invariant for Check {
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        let before = self.newest.insert(minted.at, minted.lease);
        must!(before.is_none_or(|before| before.term < minted.term), "{} was leased twice in term {}", minted.at, minted.term);
        Ok(())
    }

    fn began(&mut self, began: &Began<'_>) -> Verdict {
        let Began { at, worker, elsewhere, .. } = began;
        match elsewhere {
            Some(other) => Err(format!("{at} is begun by {worker} while {other} holds it")),
            None => Ok(()),
        }
    }
}

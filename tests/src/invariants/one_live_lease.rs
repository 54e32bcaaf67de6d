//! S6: within a term an attempt is leased once; and nobody begins what another worker executes whose lease still runs. The attempt's number
//! rises only through the log.

use std::collections::BTreeMap;

use graft_machine::ids::{AttemptRef, Lease};

use super::{Began, Invariant, Minted, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    /// The newest lease of an attempt, and whose it is.
    newest: BTreeMap<AttemptRef, (Lease, String)>,
}

impl Invariant for Check {
    fn minted(&mut self, minted: &Minted<'_>) -> Verdict {
        let Minted { at, lease, term, worker, .. } = minted;
        if let Some((before, holder)) = self.newest.insert(*at, (*lease, (*worker).to_owned())) {
            must!(before.term < *term, "{at} was leased twice in term {term}: {before:?} to {holder}, then {lease:?} to {worker}");
        }
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

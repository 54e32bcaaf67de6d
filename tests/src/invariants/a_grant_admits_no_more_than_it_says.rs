//! D5: a permission to join admits the members that it is for, with its secret, until it expires, and no more of them than it says, however
//! many ask at the same time.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::Applied;
use graft_machine::command::{Command, Envelope, GrantJoin};
use graft_machine::memory::Memory;
use graft_machine::view;

use super::effects::Effects;
use super::{Invariant, Place, Verdict, must};

/// See the module.
#[derive(Debug, Default)]
pub struct Check {
    grants: BTreeMap<String, (GrantJoin, BTreeSet<u64>)>,
    effects: Effects,
}

impl Invariant for Check {
    fn command(&mut self, place: Place, envelope: &Envelope, applied: &Applied) -> Verdict {
        if !self.effects.has(envelope, applied) {
            return Ok(());
        }
        match &envelope.command {
            Some(Command::GrantJoin(grant)) => drop(self.grants.insert(grant.id.clone(), (grant.clone(), BTreeSet::new()))),
            Some(Command::RevokeJoinGrant(revoke)) => drop(self.grants.remove(&revoke.id)),
            Some(Command::UseJoinGrant(asked)) => {
                let found = self.grants.get_mut(&asked.id);
                let (grant, used) = found.ok_or_else(|| format!("{} was used, and nobody had made it", asked.id))?;
                let known = !used.insert(asked.raft_id);
                let fits = grant.secret_hash == asked.secret_hash && (grant.member.is_empty() || grant.member == asked.member);
                must!(fits, "{asked:?} was let in by {grant:?}");
                must!(known || place.time < grant.expires, "{} was used at {}; it expired at {}", grant.id, place.time, grant.expires);
                must!(used.len() <= grant.uses as usize, "{} is for {} members, and let in {used:?}", grant.id, grant.uses);
            }
            _ => {}
        }
        Ok(())
    }

    fn state(&mut self, _: Place, state: &Memory) -> Verdict {
        for (id, grant) in view::join_grants(state) {
            let used: BTreeSet<u64> = grant.used_by.iter().copied().collect();
            let said = self.grants.get(&id).map(|(_, used)| used);
            must!(said == Some(&used), "{id} says that {used:?} used it; the log says {said:?}");
        }
        Ok(())
    }
}

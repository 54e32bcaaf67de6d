//! Reads that miss nothing, and subscriptions.
//!
//! A read waits, as ReadIndex does, until a quorum has confirmed the leader after the read came, and until everything that was committed then
//! is applied. A subscriber goes on where it was, at whatever member it finds.

use graft_machine::ids::EventPos;
use graft_machine::state::StateRead;
use graft_machine::tables::{EventKey, Events, Prefix};

use super::network::Packet;
use super::world::{Verdict, World};
use crate::invariants::{Page, Read};

/// Events in one page.
const PAGE: usize = 64;
/// How often a client reads, and a subscriber goes on, in thousandths for each step.
const READ_CHANCE: u64 = 20;

impl World {
    /// Clients that read, and subscribers that go on.
    pub(super) fn readers(&mut self) -> Verdict {
        if self.rng.chance(READ_CHANCE) {
            let m = self.rng.below(self.members.len() as u64) as usize;
            self.datagram(Packet::Read(m, self.acknowledged));
        }
        if self.rng.chance(READ_CHANCE) {
            let m = self.rng.below(self.members.len() as u64) as usize;
            if self.members[m].runs(self.now) {
                self.subscribe(m)?;
            }
        }
        Ok(())
    }

    pub(super) fn read_arrives(&mut self, m: usize, acknowledged: u64) {
        let now = self.now;
        let member = &mut self.members[m];
        let commit = member.commit;
        if let (Some(lead), Some(_)) = (&mut member.lead, &member.core) {
            lead.reads.push((now, commit, acknowledged));
        }
    }

    pub(super) fn answer_reads(&mut self, m: usize) -> Verdict {
        let confirmed = self.quorum_heard(m).unwrap_or(0);
        let member = &mut self.members[m];
        let applied = member.applied();
        let Some(lead) = &mut member.lead else { return Ok(()) };
        let ready = |(came, index, _): &(u64, usize, u64)| confirmed > *came && applied >= *index;
        let (answered, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut lead.reads).into_iter().partition(ready);
        lead.reads = waiting;
        for (_, _, acknowledged) in answered {
            self.met("read");
            self.invariants.read(Read { acknowledged, shown: applied as u64 })?;
        }
        Ok(())
    }

    fn subscribe(&mut self, m: usize) -> Verdict {
        let member = &self.members[m];
        let applied = member.applied() as u64;
        let after = self.subscribed;
        if after.map_or(0, |after| after.index) >= applied {
            return Ok(());
        }
        let key = after.map(|at| EventKey { index: at.index, ordinal: at.ordinal });
        let rows = member.state.reader().scan::<Events>(Prefix::new().as_bytes(), key.as_ref(), PAGE);
        let full = rows.len() == PAGE;
        let last = rows.last().map_or(0, |(key, _)| key.index);
        // The events of the last entry may go on in the next page.
        let through = if full { last - 1 } else { applied };
        let events: Vec<_> = rows
            .into_iter()
            .filter(|(key, _)| key.index <= through)
            .map(|(key, event)| (EventPos { index: key.index, ordinal: key.ordinal }, (*event).clone()))
            .collect();
        if full && events.is_empty() {
            return Ok(());
        }
        self.met("page of events");
        self.invariants.page(&Page { subscriber: 1, after, events: &events, through })?;
        self.subscribed = Some(EventPos { index: through, ordinal: u32::MAX });
        Ok(())
    }
}

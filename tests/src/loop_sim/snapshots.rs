//! Flushes, purges and snapshots: the states that members keep on disk, and send to each other.

use super::network::Packet;
use super::state::{self, Image};
use super::world::{Verdict, World};
use crate::invariants::SnapshotSeen;
use graft_machine::view;

impl World {
    /// A member flushes its state.
    pub(super) fn flush(&mut self, m: usize) -> Verdict {
        if self.on_disk(m, |world| world.members[m].state.flush()).is_none() {
            return Ok(());
        }
        let flushed = self.members[m].state.flushed();
        if self.rng.chance(300) { self.look_at_state(m, flushed.index, flushed.term) } else { Ok(()) }
    }

    /// A member purges its log, as far as its state says to be on disk.
    pub(super) fn purge(&mut self, m: usize) {
        let to = self.members[m].state.flushed().index.saturating_sub(self.plan.log_kept);
        if self.members[m].log.len() > 2 * self.plan.log_kept && to > self.members[m].log.base() {
            self.met("log purged");
            let _ = self.on_disk(m, |world| world.members[m].log.purge(to));
        }
    }

    fn look_at_state(&mut self, m: usize, index: usize, term: u64) -> Verdict {
        let hash = state::hash(&self.members[m].state.copy());
        self.invariants.snapshot(SnapshotSeen { index: index as u64, term, hash })
    }

    pub(super) fn snapshot_arrives(&mut self, from: usize, to: usize, term: u64, image: &Image, sent_at: u64) -> Verdict {
        if !self.hear_leader(from, to, term) {
            return Ok(());
        }
        let mark = image.mark();
        if mark.index > self.members[to].commit {
            self.members[to].state.install(image)?;
            let (index, of) = (mark.index, mark.term);
            if self.on_disk(to, |world| world.members[to].log.installed(index, of)).is_none() {
                return Ok(());
            }
            let member = &mut self.members[to];
            member.log.goes_on_from(index, mark.config.clone());
            member.commit = index;
            let time = view::meta(&member.state.reader()).time;
            member.clocks.tick(self.now);
            member.stamps.heard(time);
            self.met("snapshot installed");
            self.look_at_state(to, index, of)?;
        }
        let matched = Some(mark.index);
        let reply = Packet::Appended { from: to, to: from, term, matched, commit: self.members[to].commit, sent_at };
        self.members[to].after_sync.push(reply);
        Ok(())
    }
}

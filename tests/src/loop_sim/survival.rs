//! What a cluster survives, and what none does: a member goes for good only where those who are left can still agree.
//!
//! There can be more than one membership at a time: a leader that is cut off goes on with the one that it knows, and the others have agreed on
//! another meanwhile; what a change says is in effect where it is appended, and may yet be lost. Members know their own logs, and operators
//! what one leader tells them. Fate knows them all: where it takes a disk that a membership needs, which is in effect or may come into effect,
//! nobody leads any more, and that is nobody's mistake.

use std::rc::Rc;

use super::member::Config;
use super::network::Packet;
use super::world::World;

impl World {
    /// The newest membership that anybody knows to be committed, and every one that stands after what is known to be committed: in a log, or
    /// on its way to one.
    fn memberships(&self) -> Vec<Rc<Config>> {
        // Who has just joined knows of none.
        let formed = self.members.iter().filter(|member| !member.log.config().1.voters.is_empty());
        let Some(furthest) = formed.max_by_key(|member| member.commit) else { return vec![] };
        let committed = furthest.commit;
        let mut found = vec![furthest.log.config_at(committed)];
        for member in self.members.iter().filter(|member| !member.gone) {
            found.extend(member.log.configs_after(committed));
        }
        for packet in self.network.values().chain(self.stopped_mail.iter().map(|(_, packet)| packet)) {
            if let Packet::Append { prev: (_, prev), records, .. } = packet {
                let after = records.iter().zip(prev + 1..).filter(|(_, at)| *at > committed);
                found.extend(after.filter_map(|(record, _)| record.config.clone()));
            }
        }
        found
    }

    /// Whether there is a quorum without a member, and without those that are gone already: of every membership, and of what is asked for now.
    pub(super) fn is_survived(&self, lost: usize, next: &Config) -> bool {
        let stays = |voter: &&usize| **voter != lost && !self.members[**voter].gone;
        let quorum = |config: &Config| config.is_quorum(config.voters.iter().filter(stays).count());
        quorum(next) && self.memberships().iter().all(|config| quorum(config))
    }

    /// Whether a member belongs to the cluster, or may yet.
    pub(super) fn may_belong(&self, m: usize) -> bool {
        self.memberships().iter().any(|config| config.members().any(|member| member == m))
    }
}

#[cfg(test)]
mod tests {
    use graft_machine::command::{ENTRY_FORMAT, LogEntry, MACHINE_VERSION};

    use super::*;
    use crate::loop_sim::log::Record;
    use crate::loop_sim::plan::{Disks, Plan};

    fn of(voters: &[usize]) -> Config {
        Config { voters: voters.iter().copied().collect(), ..Default::default() }
    }

    fn record(term: u64, voters: Option<&[usize]>) -> Record {
        let entry = LogEntry { format: ENTRY_FORMAT, machine_version: MACHINE_VERSION, time: 0, commands: vec![] };
        Record { term, entry: Rc::new(entry), config: voters.map(|voters| Rc::new(of(voters))) }
    }

    /// Three members that have committed three entries.
    fn three() -> World {
        let fits = |seed: &u64| Plan::of(*seed).members == 3 && Plan::of(*seed).disks == Disks::Model;
        let mut world = World::new((1..).find(fits).expect("there is one"));
        for member in &mut world.members {
            member.log.goes_on_from(0, Rc::new(of(&[0, 1, 2])));
            (0..3).for_each(|_| member.log.push(record(1, None)));
            member.commit = 3;
        }
        world
    }

    /// Member 1 leads still, as it thinks, and has been asked to remove member 2; the others have removed member 1.
    fn parted() -> World {
        let mut world = three();
        world.members[1].log.push(record(2, Some(&[0, 1])));
        world.members[0].log.push(record(3, Some(&[0, 2])));
        world.members[2].log.push(record(3, Some(&[0, 2])));
        world
    }

    #[test]
    fn one_of_three_can_go_and_no_other_after_it() {
        let mut world = three();
        assert!(world.is_survived(2, &of(&[0, 1])));
        world.members[2].gone = true;
        assert!(!world.is_survived(1, &of(&[0])), "the three may still be the membership");
        assert!(!world.is_survived(1, &of(&[0, 1])), "what is asked for has to survive it, too");
    }

    #[test]
    fn nobody_goes_whom_the_others_have_agreed_to_need() {
        let mut world = parted();
        assert!(!world.is_survived(2, &of(&[0, 1])), "members 0 and 2 have agreed on themselves");
        assert!(world.may_belong(1), "as far as anybody knows, member 1 may still win");
        world.members[0].commit = 4;
        assert!(!world.is_survived(2, &of(&[0, 1])), "now it is certain");
        assert!(world.is_survived(1, &of(&[0, 2])), "nothing that member 1 has appended can be committed any more");
        assert!(!world.may_belong(1));
    }

    #[test]
    fn a_change_on_its_way_counts_before_it_arrives() {
        let mut world = three();
        // Member 0 has sent this, and lost it with the power.
        let records = vec![record(2, Some(&[0, 1]))];
        world.network.insert((0, 0), Packet::Append { from: 0, to: 1, term: 2, prev: (1, 3), records, commit: 3, sent_at: 0 });
        assert!(!world.is_survived(1, &of(&[0, 2])));
        assert!(world.is_survived(2, &of(&[0, 1])));
    }
}

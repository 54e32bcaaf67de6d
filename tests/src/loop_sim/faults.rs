//! What goes wrong, and who joins and leaves.

use super::member::Member;
use super::network::Party;
use super::raft::raft_id;
use super::world::{Verdict, World};
use super::{LEASE_MS, SLOTS_MAX, WORKERS};
use crate::invariants::Opened;

impl World {
    /// A member's process ends: alone, or with the power.
    pub(super) fn crash(&mut self, m: usize, until: u64, power: bool) {
        if !self.members[m].up {
            return;
        }
        self.members[m].crash(until, power, &mut self.rng);
        self.break_links(|link| link.member == m);
        self.stopped_mail.retain(|(party, _)| *party != Party::Member(m));
    }

    /// A member's process starts.
    pub(super) fn restart(&mut self, m: usize) -> Verdict {
        let now = self.now;
        let outcome = self.members[m].restart(now, &mut self.rng);
        let outcome = outcome.as_ref().copied().map_err(String::as_str);
        self.invariants.opened(&Opened { member: raft_id(m), fresh: false, outcome })
    }

    /// A new member, with an empty disk.
    pub(super) fn join(&mut self) -> Result<usize, String> {
        let slot = self.members.len();
        let member = Member::new(slot, self.now, self.plan.disks, &mut self.rng);
        self.members.push(member);
        self.invariants.opened(&Opened { member: raft_id(slot), fresh: true, outcome: Ok(()) })?;
        Ok(slot)
    }

    pub(super) fn faults(&mut self) -> Verdict {
        if self.rng.chance(self.plan.member_fault) {
            self.member_fault();
        }
        if self.rng.chance(self.plan.worker_fault) {
            self.worker_fault();
        }
        if self.rng.chance(self.plan.clock) {
            let m = self.rng.below(self.members.len() as u64) as usize;
            self.members[m].clocks.jump(&mut self.rng);
            self.met("clock jumped");
        }
        if self.rng.chance(self.plan.membership) {
            self.change_membership()?;
        }
        let now = self.now;
        self.cut.retain(|(_, _, until)| *until > now);
        self.one_way.retain(|(_, _, until)| *until > now);
        Ok(())
    }

    fn member_fault(&mut self) {
        let now = self.now;
        // The leader twice as often as chance would have it: that is where it hurts.
        let any = self.rng.below(self.members.len() as u64) as usize;
        let m = self.leader().filter(|_| self.rng.chance(500)).unwrap_or(any);
        // Now and then longer than leases last: a leader that was deposed comes back to sessions that have expired for it.
        let until = now + if self.rng.chance(200) { self.rng.between(2_500, 3 * LEASE_MS) } else { self.rng.between(100, 2_500) };
        match self.rng.below(8) {
            0 | 1 if self.members[m].up => {
                let power = self.rng.chance(self.plan.power);
                self.met(if power { "power cut" } else { "member killed" });
                if power && self.cut_in_a_write(m) {
                    return;
                }
                self.crash(m, until, power);
            }
            2 => self.members[m].frozen_until = until,
            3 => {
                let other = (m + 1) % self.members.len();
                self.cut.push((Party::Member(m), Party::Member(other), until));
            }
            4 => {
                let other = self.rng.below(self.members.len() as u64) as usize;
                self.one_way.push((Party::Member(m), Party::Member(other), until));
                self.met("cut one way");
            }
            5 => self.members[m].slow_until = until,
            6 if self.rng.chance(300) => {
                // All of them at once: what was acknowledged was synced.
                self.met("power cut of all");
                for m in 0..self.members.len() {
                    let until = now + self.rng.between(100, 1_000);
                    self.crash(m, until, true);
                }
            }
            _ => {
                for other in (0..self.members.len()).filter(|other| *other != m) {
                    self.cut.push((Party::Member(m), Party::Member(other), until));
                }
            }
        }
    }

    /// The power goes in the middle of a write, where there is a disk to write to.
    fn cut_in_a_write(&mut self, m: usize) -> bool {
        let operations = self.rng.below(40);
        if self.rng.chance(500) { self.members[m].log.cut_after(operations) } else { self.members[m].state.cut_after(operations) }
    }

    fn worker_fault(&mut self) {
        let now = self.now;
        let w = self.rng.below(WORKERS as u64) as usize;
        let until = now + self.rng.between(100, 4_000);
        match self.rng.below(6) {
            0 if self.workers[w].up => {
                self.met("worker killed");
                self.workers[w].up = false;
                self.workers[w].restart_at = until;
                self.break_links(|link| link.worker == w);
                self.stopped_mail.retain(|(party, _)| *party != Party::Worker(w));
            }
            1 | 2 => self.workers[w].frozen_until = until,
            3 => self.workers[w].draining = true,
            _ => {
                let m = self.rng.below(self.members.len() as u64) as usize;
                self.cut.push((Party::Worker(w), Party::Member(m), until));
                self.break_links(|link| link.worker == w && link.member == m);
            }
        }
    }

    /// One step of an operator who makes the cluster larger or smaller, or replaces a member.
    fn change_membership(&mut self) -> Verdict {
        let Some(leader) = self.leader() else { return Ok(()) };
        let (_, config) = self.members[leader].log.config();
        let mut next = (*config).clone();
        if self.remove_gone(leader) {
            return Ok(());
        }
        if let Some(learner) = config.learners.first().copied() {
            if self.is_caught_up(leader, learner) {
                next.learners.remove(&learner);
                next.voters.insert(learner);
                if self.reconfigure(leader, next) {
                    self.met("member promoted");
                }
            }
            return Ok(());
        }
        let present = config.voters.iter().filter(|voter| self.members[**voter].up).count();
        // What is taken away leaves a quorum that is there.
        let spare = config.voters.len() > 1 && present > config.voters.len().div_ceil(2);
        match self.rng.below(4) {
            0 | 1 if config.voters.len() < 5 && self.members.len() < SLOTS_MAX => {
                let may = self.members[leader].log.config().0 <= self.members[leader].commit;
                if may {
                    let slot = self.join()?;
                    next.learners.insert(slot);
                    if self.reconfigure(leader, next) {
                        self.met("member joined");
                    } else {
                        self.members[slot].gone = true;
                        self.members[slot].up = false;
                    }
                }
            }
            2 if spare => {
                let at = self.rng.below(config.voters.len() as u64) as usize;
                if let Some(voter) = config.voters.iter().nth(at).copied() {
                    next.voters.remove(&voter);
                    if self.reconfigure(leader, next) {
                        self.met("member removed");
                        self.removed.insert(voter);
                    }
                }
            }
            3 if spare && present > config.voters.len() / 2 + 1 => {
                // A disk is lost with its member; the operator removes it, and lets another join later. The leader may be one that is cut off:
                // what the others have agreed on meanwhile has to survive that, too.
                let lost = config.voters.iter().copied().rfind(|voter| *voter != leader && self.members[*voter].up);
                if let Some(lost) = lost {
                    next.voters.remove(&lost);
                    if self.is_survived(lost, &next) && self.reconfigure(leader, next) {
                        self.met("disk lost");
                        self.crash(lost, u64::MAX, true);
                        self.members[lost].gone = true;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes a member away that will never come back; whether there was one.
    pub(super) fn remove_gone(&mut self, leader: usize) -> bool {
        let (_, config) = self.members[leader].log.config();
        let Some(gone) = config.members().find(|member| self.members[*member].gone) else { return false };
        let mut next = (*config).clone();
        next.voters.remove(&gone);
        next.learners.remove(&gone);
        self.reconfigure(leader, next);
        true
    }

    pub(super) fn is_caught_up(&self, leader: usize, learner: usize) -> bool {
        let member = &self.members[leader];
        let matched = member.lead.as_ref().and_then(|lead| lead.matched.get(&learner).copied()).unwrap_or(0);
        matched + 20 >= member.log.end()
    }

    /// Members that are removed, and needed by no membership any more, end.
    pub(super) fn retire(&mut self) {
        let Some(leader) = self.leader() else { return };
        let removed: Vec<usize> = self.removed.iter().copied().filter(|m| !self.members[*m].gone && *m != leader).collect();
        for m in removed {
            // Some time later: until then it may ask for votes as it likes.
            if !self.may_belong(m) && self.rng.chance(10) {
                self.crash(m, u64::MAX, false);
                self.members[m].gone = true;
            }
        }
    }
}

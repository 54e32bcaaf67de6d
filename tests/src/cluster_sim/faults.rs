//! What goes wrong with members, their disks, their clocks and their network.

use std::sync::atomic::Ordering;

use graftd::consensus::Order;

use super::member::{Member, raft_id};
use super::plan::Planted;
use super::world::World;
use super::{FAULT_MS_MAX, LEASE_MS};
use crate::invariants::{Opened, Verdict};

impl World {
    pub(super) fn faults(&mut self) -> Verdict {
        let chance = |world: &mut Self, often: u64| world.rng.below(10_000) < often;
        if chance(self, self.plan.member_fault) {
            self.member_fault()?;
        }
        if chance(self, self.plan.worker_fault) {
            self.worker_fault();
        }
        if chance(self, self.plan.clock) {
            let m = self.rng.below(self.members.len() as u64) as usize;
            self.members[m].clocks.jump(&mut self.rng);
            self.met("clock jumped");
        }
        Ok(())
    }

    fn member_fault(&mut self) -> Verdict {
        let now = self.now;
        let any = self.rng.below(self.members.len() as u64) as usize;
        // The leader more often than chance would have it: that is where it hurts.
        let m = self.leader().filter(|_| self.rng.chance(500)).unwrap_or(any);
        let long = self.rng.chance(200);
        let until = now + if long { self.rng.between(2_500, FAULT_MS_MAX) } else { self.rng.between(100, 2_500) };
        let others: Vec<usize> = (0..self.members.len()).filter(|other| *other != m).collect();
        match self.rng.below(12) {
            0..3 => {
                let power = self.rng.chance(self.plan.power);
                if power && self.rng.chance(500) {
                    // In the middle of a write.
                    let operations = self.rng.below(60);
                    self.members[m].disk.faults().cut_after(operations);
                    self.met("power cut in a write");
                    return Ok(());
                }
                self.stop(m, power, until);
            }
            3 => {
                self.met("power cut of all");
                for m in 0..self.members.len() {
                    let until = now + self.rng.between(100, 1_000);
                    self.stop(m, true, until);
                }
            }
            4 if self.members[m].process.is_some() => {
                self.met("stopped and let go on");
                self.members[m].frozen_until = until;
            }
            5 => {
                self.met("cut off");
                for other in others {
                    self.net.cut(m, other, until);
                    self.net.cut(other, m, until);
                }
            }
            6 => {
                self.met("cut one way");
                let out = self.rng.chance(500);
                for other in others {
                    let (from, to) = if out { (m, other) } else { (other, m) };
                    self.net.cut(from, to, until);
                }
            }
            7 if others.len() > 1 => {
                self.met("bridge");
                let (a, b) = (others[0], others[1]);
                self.net.cut(a, b, until);
                self.net.cut(b, a, until);
            }
            8 => {
                self.met("slow disk");
                let slow = self.rng.between(20, 400);
                self.members[m].slow.store(slow, Ordering::Relaxed);
                self.members[m].slow_until = until;
            }
            9 => {
                self.met("a sync fails");
                let syncs = self.rng.below(20);
                self.members[m].disk.faults().fail_sync_after(syncs);
                self.members[m].disk_faulty_until = until;
            }
            10 => {
                self.met("disk full");
                let bytes = self.rng.below(100_000);
                self.members[m].disk.faults().room(Some(bytes));
                self.members[m].disk_faulty_until = until;
            }
            _ => self.transfer(),
        }
        Ok(())
    }

    fn transfer(&mut self) {
        let Some(floors) = self.leader().and_then(|leader| self.members[leader].floors()) else { return };
        self.met("leadership handed over");
        let work = async move { drop(floors.consensus.order(Order::TransferLeader(None), "the simulation").await) };
        if let Some(process) = self.leader().and_then(|leader| self.members[leader].process.as_ref()) {
            process.spawn(work);
        }
    }

    /// A member's process ends.
    pub(super) fn stop(&mut self, m: usize, power: bool, restart_at: u64) {
        if self.members[m].process.is_none() {
            return;
        }
        self.met(if power { "power cut" } else { "member killed" });
        self.members[m].stop(power, &self.net, &mut self.rng);
        self.members[m].restart_at = restart_at;
        self.break_links(|link| link.member == m);
        if self.planted == Some(Planted::MembersThatForget) && self.chaos {
            self.members[m].disk = Default::default();
        }
    }

    /// Processes that are over, by themselves or by the power, end; whoever should run is started.
    pub(super) fn processes(&mut self) -> Verdict {
        for m in 0..self.members.len() {
            let now = self.now;
            let restart_at = now + self.rng.between(50, 1_000);
            let member = &mut self.members[m];
            if member.slow_until <= now {
                member.slow.store(0, Ordering::Relaxed);
            }
            if member.disk_faulty_until > 0 && member.disk_faulty_until <= now {
                member.disk_faulty_until = 0;
                member.disk.faults().mend();
            }
            let Some(process) = &member.process else {
                if member.restart_at <= now {
                    self.start(m);
                }
                continue;
            };
            let faulty = member.disk.faults().met();
            let gone = member.disk.faults().is_cut();
            if let Some(why) = process.over() {
                // A disk that was not touched gives no reason to end, nor one not to open.
                if !faulty {
                    let verb = if process.floors().is_some() { "cannot go on" } else { "does not open" };
                    return Err(format!("D6 a_member_opens_after_any_crash: member {} {verb}: {why}", raft_id(m)));
                }
                self.met("ended by its disk");
                // What a sync that failed has left, a look through the page cache does not tell.
                self.stop(m, true, restart_at);
            } else if gone {
                self.stop(m, true, restart_at);
            } else if member.disk.faults().broke() {
                // It has to end by itself, soon. (A full disk may have refused a snapshot only, which is no reason to end.)
                let since = *member.faulty_since.get_or_insert(now);
                if now - since > 2 * LEASE_MS && member.frozen_until <= now {
                    return Err(format!("D6: the disk of member {} has failed {} ms ago, and it goes on", raft_id(m), now - since));
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, m: usize) {
        let (now, planted) = (self.now, self.planted);
        let member = &mut self.members[m];
        if planted == Some(Planted::LogsThatLie) {
            member.disk.faults().lie();
        }
        member.faulty_since = None;
        member.known = false;
        member.start(now, &self.net, &self.plan, &mut self.rng);
    }

    /// A member has opened its stores.
    pub(super) fn opened(&mut self, m: usize) -> Verdict {
        let Some(floors) = self.members[m].floors() else { return Ok(()) };
        if std::mem::replace(&mut self.members[m].known, true) {
            return Ok(());
        }
        let fresh = self.members[m].starts == 1;
        self.oracle.invariants.opened(&Opened { member: raft_id(m), fresh, outcome: Ok(()) })?;
        let at = floors.state.flushed().index.min(floors.state.applied().index);
        self.oracle.opened(&mut self.members[m], &floors, at)
    }

    /// Everybody who might be, is well.
    pub(super) fn mend_members(&mut self) {
        self.net.mend();
        for m in 0..self.members.len() {
            let now = self.now;
            let member: &mut Member = &mut self.members[m];
            member.clocks.mend();
            (member.slow_until, member.disk_faulty_until) = (now, now);
            member.restart_at = member.restart_at.min(now + 500);
            member.frozen_until = member.frozen_until.min(now + 1);
        }
    }
}

//! The worker processes, as the world drives them.

use super::network::{Link, Packet, Party};
use super::world::{Verdict, World};
use crate::invariants::Began;

impl World {
    pub(super) fn worker(&mut self, w: usize) -> Verdict {
        let now = self.now;
        if !self.workers[w].up {
            if self.workers[w].restart_at <= now {
                self.workers[w].begin();
            }
            return Ok(());
        }
        if self.workers[w].frozen_until > now {
            return Ok(());
        }
        for m in 0..self.members.len() {
            let worker = &self.workers[w];
            let reachable = self.members[m].up && !self.is_cut(Party::Worker(w), Party::Member(m));
            if !worker.links.contains_key(&m) && worker.retry_at.get(&m).is_none_or(|at| *at <= now) && reachable {
                self.last_stream += 1;
                let stream = self.last_stream;
                let hello = worker.hello();
                let incarnation = worker.incarnation.clone();
                self.links.insert(stream, Link { worker: w, incarnation, member: m, alive: true, last_up: now, last_down: now });
                self.workers[w].links.insert(m, stream);
                self.up_stream(stream, Packet::Hello(stream, hello));
            }
        }
        // Code that was stopped in the middle of its last line goes on there, and not at a look at its lease.
        let woke = std::mem::take(&mut self.workers[w].frozen_until) > 0;
        let rude = woke && self.rng.chance(400);
        let leaves = self.workers[w].tick(now, rude, &mut self.rng);
        if rude {
            self.met("zombie woke");
        }
        for (stream, message) in std::mem::take(&mut self.workers[w].outbox) {
            self.up_stream(stream, Packet::ToMember(stream, message));
        }
        if leaves {
            // It goes once its goodbye is on its way; the connections are closed behind it.
            let gone = self.now + 500;
            self.workers[w].restart_at = gone;
            self.workers[w].up = false;
        }
        self.executions(w)
    }

    /// What a worker has begun since it was last looked at.
    pub(super) fn executions(&mut self, w: usize) -> Verdict {
        for (at, lease) in std::mem::take(&mut self.workers[w].began) {
            let other = self.workers.iter().enumerate().find(|(o, other)| {
                let held = |running| other.holds_until(running) > other.clock(self.now);
                *o != w && other.up && other.running.get(&at).is_some_and(held)
            });
            let elsewhere = other.map(|(_, other)| other.incarnation.clone());
            let worker = self.workers[w].incarnation.clone();
            self.met("executed");
            self.progress += 1;
            self.invariants.began(&Began { at, lease, worker: &worker, elsewhere: elsewhere.as_deref() })?;
        }
        Ok(())
    }
}

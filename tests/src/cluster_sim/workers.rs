//! The scripted workers of simulation A on the real scheduler: a stream to each member, with its own delay.

use std::sync::{Arc, Mutex, PoisonError};

use graft_machine::ids::AttemptRef;
use graftd::scheduler::{FromWorker, ToWorker};
use tokio::sync::mpsc;

use super::oracle::Dispatch;
use super::world::World;
use super::{LEASE_MS, WORKERS};
use crate::invariants::{Began, Verdict};

/// Messages that a member may have under way to a worker.
const OUTBOUND: usize = 64;

/// A worker's stream to a member.
pub struct Link {
    pub worker: usize,
    pub incarnation: String,
    pub member: usize,
    pub alive: bool,
    to_member: mpsc::UnboundedSender<FromWorker>,
    last_up: u64,
    last_down: u64,
}

/// On its way between a worker and a member.
pub enum Mail {
    ToMember(FromWorker),
    ToWorker(ToWorker),
    Broken,
}

/// What members' runtimes have sent to workers; none: they have closed the stream.
#[derive(Clone, Default)]
pub struct Sent(Arc<Mutex<Vec<OfStream>>>);

/// On which stream, and what.
type OfStream = (u64, Option<ToWorker>);

impl Sent {
    fn put(&self, stream: u64, message: Option<ToWorker>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((stream, message));
    }

    fn take(&self) -> Vec<OfStream> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl World {
    /// Opens a stream: a task in the member's runtime passes everything on.
    fn connect(&mut self, w: usize, m: usize) {
        let Some(floors) = self.members[m].floors() else { return };
        self.last_stream += 1;
        let (stream, sent) = (self.last_stream, self.sent.clone());
        let (to_member, mut from_worker) = mpsc::unbounded_channel::<FromWorker>();
        let hello = self.workers[w].hello();
        let passing_on = async move {
            let (outbound, mut from_member) = mpsc::channel(OUTBOUND);
            let link = floors.scheduler.connect(hello, outbound).await;
            loop {
                tokio::select! {
                    biased;
                    message = from_member.recv() => match message {
                        Some(message) => sent.put(stream, Some(message)),
                        None => return sent.put(stream, None),
                    },
                    message = from_worker.recv() => match message {
                        Some(message) => if link.send(message).await.is_err() {
                            return sent.put(stream, None);
                        },
                        // Broken: the scheduler hears of it.
                        None => return,
                    },
                }
            }
        };
        if let Some(process) = &self.members[m].process {
            process.spawn(passing_on);
        }
        let incarnation = self.workers[w].incarnation.clone();
        let link = Link { worker: w, incarnation, member: m, alive: true, to_member, last_up: 0, last_down: 0 };
        self.links.insert(stream, link);
        self.workers[w].links.insert(m, stream);
    }

    fn mail(&mut self, stream: u64, up: bool, mail: Mail) {
        let at = self.now + 1 + self.rng.below(self.plan.delay);
        let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) else { return };
        let last = if up { &mut link.last_up } else { &mut link.last_down };
        *last = at.max(*last);
        let at = *last;
        self.mails += 1;
        self.mailbox.insert((at, self.mails), (stream, mail));
    }

    /// A stream breaks: what is on its way is lost. The member hears of it at once, the worker a little later.
    pub(super) fn break_link(&mut self, stream: u64) {
        let at = self.now + self.rng.between(1, 200);
        let Some(link) = self.links.get_mut(&stream).filter(|link| link.alive) else { return };
        link.alive = false;
        link.to_member = mpsc::unbounded_channel().0;
        self.mails += 1;
        self.mailbox.insert((at, self.mails), (stream, Mail::Broken));
    }

    pub(super) fn break_links(&mut self, matches: impl Fn(&Link) -> bool) {
        let streams: Vec<u64> = self.links.iter().filter(|(_, link)| link.alive && matches(link)).map(|(id, _)| *id).collect();
        streams.into_iter().for_each(|stream| self.break_link(stream));
    }

    /// What members have sent since they were last looked at; the assignments among it, for each member.
    pub(super) fn collect(&mut self) -> Vec<Vec<Dispatch>> {
        let mut dispatched: Vec<Vec<Dispatch>> = self.members.iter().map(|_| Vec::new()).collect();
        for (stream, message) in self.sent.take() {
            let Some(message) = message else {
                self.break_link(stream);
                continue;
            };
            if let (ToWorker::Tasks(tasks), Some(link)) = (&message, self.links.get(&stream)) {
                let held = self.truly_held();
                for task in tasks {
                    *self.counts.entry("dispatched").or_default() += 1;
                    let (worker, task) = (link.incarnation.clone(), task.clone());
                    dispatched[link.member].push(Dispatch { worker, task, held: held.clone() });
                }
            }
            self.mail(stream, false, Mail::ToWorker(message));
        }
        dispatched
    }

    /// Attempts whose leases still run at a worker.
    fn truly_held(&self) -> Vec<AttemptRef> {
        let up = self.workers.iter().filter(|worker| worker.up);
        up.flat_map(|worker| {
            worker.running.iter().filter(|(_, running)| worker.holds_until(running) > worker.clock(self.now)).map(|(at, _)| *at)
        })
        .collect()
    }

    /// Hands over what has arrived.
    pub(super) fn deliver(&mut self) -> Verdict {
        let thawed = std::mem::take(&mut self.stopped_mail);
        for (stream, mail) in thawed {
            self.arrive(stream, mail)?;
        }
        while let Some(entry) = self.mailbox.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (stream, mail) = entry.remove();
            self.arrive(stream, mail)?;
        }
        Ok(())
    }

    fn arrive(&mut self, stream: u64, mail: Mail) -> Verdict {
        let Some(link) = self.links.get(&stream) else { return Ok(()) };
        let w = link.worker;
        let same = self.workers[w].up && self.workers[w].incarnation == link.incarnation;
        match mail {
            Mail::ToMember(message) => {
                if link.alive {
                    let _ = link.to_member.send(message);
                }
            }
            mail if same && self.workers[w].frozen_until > self.now => self.stopped_mail.push((stream, mail)),
            Mail::ToWorker(message) => {
                if link.alive && same {
                    self.witnessed |= matches!(message, ToWorker::Tasks(_));
                    self.workers[w].hear(self.now, stream, message, &mut self.rng);
                    self.executions(w)?;
                }
            }
            Mail::Broken => {
                self.links.remove(&stream);
                if same {
                    let retry_at = self.now + self.rng.between(20, 300);
                    self.workers[w].link_broken(stream, retry_at);
                }
            }
        }
        Ok(())
    }

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
            let due = worker.retry_at.get(&m).is_none_or(|at| *at <= now);
            if !worker.links.contains_key(&m) && due {
                self.connect(w, m);
            }
        }
        let woke = std::mem::take(&mut self.workers[w].frozen_until) > 0;
        let rude = woke && self.rng.chance(400);
        if rude {
            self.met("zombie woke");
        }
        let leaves = self.workers[w].tick(now, rude, &mut self.rng);
        for (stream, message) in std::mem::take(&mut self.workers[w].outbox) {
            self.mail(stream, true, Mail::ToMember(message));
        }
        if leaves {
            self.workers[w].restart_at = now + 500;
            self.workers[w].up = false;
        }
        self.executions(w)
    }

    fn executions(&mut self, w: usize) -> Verdict {
        for (at, lease) in std::mem::take(&mut self.workers[w].began) {
            let other = self.workers.iter().enumerate().find(|(o, other)| {
                let held = |running| other.holds_until(running) > other.clock(self.now);
                *o != w && other.up && other.running.get(&at).is_some_and(held)
            });
            let elsewhere = other.map(|(_, other)| other.incarnation.clone());
            let worker = self.workers[w].incarnation.clone();
            self.met("executed");
            self.progress += 1;
            self.oracle.invariants.began(&Began { at, lease, worker: &worker, elsewhere: elsewhere.as_deref() })?;
        }
        Ok(())
    }

    pub(super) fn worker_fault(&mut self) {
        let now = self.now;
        let w = self.rng.below(WORKERS as u64) as usize;
        let until = now + self.rng.between(100, 2 * LEASE_MS);
        match self.rng.below(6) {
            0 | 1 if self.workers[w].up => {
                self.met("worker killed");
                self.workers[w].up = false;
                self.workers[w].restart_at = until;
                self.break_links(|link| link.worker == w);
            }
            2 | 3 => self.workers[w].frozen_until = until,
            4 => self.workers[w].draining = true,
            _ => {
                let m = self.rng.below(self.members.len() as u64) as usize;
                self.break_links(|link| link.worker == w && link.member == m);
            }
        }
    }
}

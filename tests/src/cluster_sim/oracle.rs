//! Who knows better: plays the log that members have applied to the machine alone, and everything that happens to the invariants.
//!
//! Each member has a *shadow*: the entries of its own log, applied in memory. Shadow and state must be the same at the same index; the shadows
//! of all members must come of the same entries. The first to apply an entry tells the invariants of its commands and events.

use std::collections::{BTreeMap, BTreeSet};

use graft_machine::command::LogEntry;
use graft_machine::ids::AttemptRef;
use graft_machine::memory::Memory;
use graft_machine::tables::LimitKey;
use graft_machine::task::TaskState;
use graft_machine::workflow::StatusKind;
use graft_machine::{Applied, apply_entry, view};
use graftd::consensus::codec::Wire;
use graftd::consensus::types::Entry;
use graftd::scheduler::Assignment;
use graftd::storage::LogStore;
use openraft::EntryPayload;
use prost::Message;

use super::member::{Floors, Member, raft_id};
use crate::invariants::{HeldNow, Invariants, Minted, Replica, Verdict};
use crate::loop_sim::state::{copy_of, hash};

/// Entries between two hashes of a whole state.
const HASH_EVERY: u64 = 100;
/// Entries between two copies from which shadows are rebuilt.
const COPY_EVERY: u64 = 50;

/// An assignment that a leader has sent, and who is truly held elsewhere then.
pub struct Dispatch {
    pub worker: String,
    pub task: Assignment,
    pub held: Vec<AttemptRef>,
}

/// An assignment, in the light of the state in which it was given.
struct Seen {
    dispatch: Dispatch,
    light: Option<Light>,
}

struct Light {
    right: bool,
    status: Option<StatusKind>,
    ready: Option<u32>,
    node: (String, String),
    held: Vec<HeldNow>,
    limits: Vec<(LimitKey, u32)>,
    declared: Vec<u32>,
}

/// See the module.
#[derive(Default)]
pub struct Oracle {
    pub invariants: Invariants,
    /// Term and content of every entry that was applied anywhere, from the first.
    history: Vec<(u64, LogEntry)>,
    copies: BTreeMap<u64, Memory>,
    /// Index and term at which a request was first applied.
    requests: BTreeMap<String, (u64, u64)>,
    /// Everything that was applied first, for whoever counts what was met.
    pub news: Vec<(LogEntry, Vec<Applied>)>,
}

impl Oracle {
    /// How far anybody has come.
    pub fn applied(&self) -> u64 {
        self.history.len() as u64
    }

    /// Where a request was first applied.
    pub fn request(&self, id: &str) -> Option<(u64, u64)> {
        self.requests.get(id).copied()
    }

    /// What a state must be at an index that somebody has come to.
    fn rebuilt(&self, to: u64) -> Memory {
        let (from, mut state) = self.copies.range(..=to).next_back().map_or_else(|| (0, Memory::new()), |(at, copy)| (*at, copy.clone()));
        for index in from + 1..=to {
            play(&mut state, index, &self.history[index as usize - 1].1);
        }
        state
    }

    /// A member has opened its stores: its state must be one that was, and has to be what it was.
    pub fn opened(&mut self, member: &mut Member, floors: &Floors, at: u64) -> Verdict {
        if at > self.applied() {
            return Err(format!("D3: member {} opens with the state of entry {at}, and nobody has applied it", raft_id(member.slot)));
        }
        (member.shadow, member.shadow_at) = (self.rebuilt(at), at);
        self.compare(member, floors)
    }

    /// Whether a member's state is what its log makes of it, if both are at the same index.
    pub fn compare(&mut self, member: &Member, floors: &Floors) -> Verdict {
        let view = floors.state.view();
        if view.mark().index != member.shadow_at {
            return Ok(());
        }
        let (is, should) = (copy_of(&view), &member.shadow);
        match hash(&is) == hash(should) {
            true => Ok(()),
            false => Err(format!(
                "S2 same_log_same_bytes: the state of member {} after entry {} is not what its log makes of it",
                raft_id(member.slot),
                member.shadow_at
            )),
        }
    }

    /// Follows a member to what it has applied. What it has dispatched meanwhile must have been right at some moment on the way.
    pub fn follow(&mut self, member: &mut Member, floors: &Floors, dispatched: Vec<Dispatch>) -> Verdict {
        let to = floors.state.applied().index;
        let mut seen: Vec<Seen> = dispatched.into_iter().map(|dispatch| Seen { dispatch, light: None }).collect();
        Self::look(&mut seen, &member.shadow);
        while member.shadow_at < to {
            let index = member.shadow_at + 1;
            let Some((term, entry)) = read(&floors.log, index)? else {
                // Installed, and not applied one by one.
                if to > self.applied() {
                    return Err(format!("D3: member {} has applied entry {to}, and has lost entry {index}", raft_id(member.slot)));
                }
                (member.shadow, member.shadow_at) = (self.rebuilt(to), to);
                self.compare(member, floors)?;
                Self::look(&mut seen, &member.shadow);
                break;
            };
            let applied = play(&mut member.shadow, index, &entry);
            member.shadow_at = index;
            let whole = index.is_multiple_of(HASH_EVERY).then(|| hash(&member.shadow));
            let replica = Replica { member: raft_id(member.slot), index, term, entry: &entry, applied: &applied, hash: whole };
            if self.invariants.applied(&replica)? {
                for envelope in entry.commands.iter().filter(|envelope| !envelope.request_id.is_empty()) {
                    self.requests.entry(envelope.request_id.clone()).or_insert((index, term));
                }
                self.history.push((term, entry.clone()));
                if index.is_multiple_of(COPY_EVERY) {
                    self.copies.insert(index, member.shadow.clone());
                }
                if whole.is_some() {
                    self.invariants.state(&member.shadow)?;
                }
                self.news.push((entry, applied));
            }
            Self::look(&mut seen, &member.shadow);
        }
        self.tell(seen)
    }

    /// Looks at assignments in the light of a state that the leader had on its way.
    fn look(dispatched: &mut [Seen], state: &Memory) {
        for seen in dispatched {
            let task = &seen.dispatch.task;
            let workflow = view::workflow(state, task.at.run);
            let ready = view::task(state, task.at.task_ref()).filter(|task| matches!(task.state(), TaskState::Ready(_)));
            let right = ready.as_ref().is_some_and(|ready| ready.attempt == task.at.attempt)
                && workflow.as_ref().is_some_and(|workflow| workflow.kind() == StatusKind::Running);
            // The last state in which it was right: what was lost or cancelled just before it counts no more then.
            if !right && seen.light.as_ref().is_some_and(|light| light.right) {
                continue;
            }
            let named = |at: AttemptRef| {
                let workflow = view::workflow(state, at.run).filter(|workflow| !workflow.kind().is_final())?;
                let task = view::task(state, at.task_ref())?;
                let current = task.attempt == at.attempt && matches!(task.state(), TaskState::Ready(_));
                current.then(|| (workflow.namespace.clone(), task.node.clone()))
            };
            let held: BTreeSet<AttemptRef> = seen.dispatch.held.iter().copied().chain([task.at]).collect();
            let held = held.into_iter().map(|at| HeldNow { at, node: named(at) }).collect();
            let node = (workflow.as_ref().map(|workflow| workflow.namespace.clone()).unwrap_or_default(), task.node.clone());
            let in_force = view::limits(state, None, 100).into_iter().filter_map(|(key, limit)| Some((key, limit.in_force()?)));
            let limits = in_force.collect();
            let sessions = view::sessions(state, None, 100);
            let of_node = sessions.iter().filter(|session| session.namespace == node.0).flat_map(|session| &session.nodes);
            let declared = of_node.filter(|declared| declared.node == node.1 && declared.limit > 0).map(|d| d.limit).collect();
            let (status, ready) = (workflow.map(|workflow| workflow.kind()), ready.map(|task| task.attempt));
            seen.light = Some(Light { right, status, ready, node, held, limits, declared });
        }
    }

    fn tell(&mut self, dispatched: Vec<Seen>) -> Verdict {
        for Seen { dispatch: Dispatch { worker, task, .. }, light } in dispatched {
            let Some(Light { status, ready, node, held, limits, declared, .. }) = light else { continue };
            let (term, at, lease) = (task.lease.term, task.at, task.lease);
            let (worker, held, limits, declared) = (&*worker, &*held, &*limits, &*declared);
            self.invariants.minted(&Minted { term, at, lease, worker, status, ready, node, held, limits, declared })?;
        }
        Ok(())
    }
}

/// Applies an entry; of openraft's own come no commands.
fn play(state: &mut Memory, index: u64, entry: &LogEntry) -> Vec<Applied> {
    if entry.commands.is_empty() { Vec::new() } else { apply_entry(state, index, entry) }
}

/// An entry of a member's log, if it is there.
fn read(log: &LogStore, index: u64) -> Result<Option<(u64, LogEntry)>, String> {
    let stored = log.read(index, index + 1, usize::MAX).map_err(|error| error.to_string())?;
    let Some(stored) = stored.into_iter().find(|stored| stored.index == index) else { return Ok(None) };
    let entry = Entry::decode(stored.bytes).map_err(|error| format!("entry {index} cannot be read: {error}"))?;
    let term = entry.log_id.leader_id.term;
    match entry.payload {
        EntryPayload::Normal(bytes) => {
            let decoded = LogEntry::decode(bytes.0).map_err(|error| format!("entry {index} cannot be read: {error}"))?;
            Ok(Some((term, decoded)))
        }
        EntryPayload::Blank | EntryPayload::Membership(_) => Ok(Some((term, LogEntry::default()))),
    }
}

/// Term of an entry of a member's log.
pub fn term_at(log: &LogStore, index: u64) -> Option<u64> {
    read(log, index).ok().flatten().map(|(term, _)| term)
}

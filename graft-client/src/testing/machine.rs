//! The state machine of the server, in memory: commands in, effects out, a log of one command each.

use graft_convert::rejections;
use graft_machine::command::{Command, Due, Envelope, InitCluster, MACHINE_VERSION, TimerRef};
use graft_machine::effect::Effect;
use graft_machine::limits::{DUE_PER_COMMAND_MAX, PAGE_MAX};
use graft_machine::memory::Memory;
use graft_machine::reply::{Rejection, Reply};
use graft_machine::tables::{TimerKey, TimerKind};
use graft_machine::time::Stamp;
use graft_machine::{apply, view};
use graft_proto::errors::Fault;

/// Who steers, as histories have it.
const PRINCIPAL: &str = "client:test";

/// The state, and how many commands made it.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) state: Memory,
    index: u64,
    effects: Vec<Effect>,
}

impl Machine {
    pub(super) fn new(now: u64) -> Self {
        let mut machine = Self::default();
        let (cluster_id, cluster_name) = ("test".to_owned(), "test".to_owned());
        let init = InitCluster { cluster_id, cluster_name, epoch: 1, machine_version: MACHINE_VERSION };
        machine.apply(now, "operator", Command::InitCluster(init)).unwrap_or_else(|rejection| unreachable!("{rejection}"));
        machine
    }

    /// Applies a command of somebody; its effects wait to be [taken](Self::take_effects).
    pub(super) fn apply(&mut self, now: u64, principal: &str, command: Command) -> Result<Reply, Rejection> {
        self.apply_envelope(now, &Envelope::internal(principal, command))
    }

    fn apply_envelope(&mut self, now: u64, envelope: &Envelope) -> Result<Reply, Rejection> {
        self.index += 1;
        let applied = apply(&mut self.state, Stamp { time: now, index: self.index, ordinal: 0 }, envelope);
        self.effects.extend(applied.effects);
        applied.reply
    }

    /// Applies what a client asks for, with its request id if it has one.
    pub(super) fn ask(&mut self, now: u64, request: Request, command: Command) -> Result<Reply, Fault> {
        let Request { request_id, payload_hash, not_after } = request;
        let envelope = Envelope { principal: PRINCIPAL.to_owned(), request_id, payload_hash, not_after, command: Some(command) };
        self.apply_envelope(now, &envelope).map_err(rejections::fault)
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Fires what is due, a bounded number at once. Whether there was anything.
    pub(super) fn fire_due(&mut self, now: u64) -> bool {
        let due = view::timers_due(&self.state, now, None, DUE_PER_COMMAND_MAX);
        if due.is_empty() {
            return false;
        }
        let named = |key: &TimerKey| TimerRef { due: key.due, kind: i32::from(key.kind), run: key.run, task: key.task };
        let timers = due.iter().map(named).collect();
        self.apply(now, "scheduler", Command::Due(Due { timers })).unwrap_or_else(|rejection| unreachable!("{rejection}"));
        true
    }

    /// When the next timer is due; with `forgetting` also those that only delete what has ended long ago.
    pub(super) fn next_due(&self, forgetting: bool) -> Option<u64> {
        let mut after: Option<TimerKey> = None;
        loop {
            let page = view::timers(&self.state, after.as_ref(), PAGE_MAX);
            if let Some(key) = page.iter().find(|key| forgetting || key.kind != TimerKind::Retention as u8) {
                return Some(key.due);
            }
            after = Some(page.last()?.clone());
        }
    }
}

/// What tells a repeat of a request from a new one.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) request_id: String,
    pub(super) payload_hash: u64,
    pub(super) not_after: u64,
}

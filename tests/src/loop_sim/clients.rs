//! Clients: they start workflows, control them, set limits, ask for nonsense, and repeat what was not answered until it is.

use graft_machine::command::{Command, ControlWorkflow, Envelope, InitCluster, OnConflict, SetLimit};
use graft_machine::limits::NOT_AFTER_AHEAD_MAX;
use graft_machine::session::Limit;
use graft_machine::tables::LimitKey;
use graft_machine::view;

use super::member::Asker;
use super::network::Packet;
use super::world::World;
use super::{NAMESPACES, operator, script};

/// What a request says, hashed; and what another one under the same id says.
const REQUEST_HASH: u64 = 7;
const TWIN_HASH: u64 = 8;

/// What a client waits for.
pub struct Request {
    pub envelope: Envelope,
    pub send_at: u64,
    /// When it was first asked.
    pub asked: u64,
}

impl World {
    /// The limits that the world begins with.
    pub(super) fn set_limits(&mut self) {
        self.set_limit("default", "leaf", 3);
        self.set_limit("other", "step", 2);
        let total = self.rng.between(4, 16) as u32;
        let LimitKey { namespace, node } = LimitKey::total();
        self.set_limit(&namespace, &node, total);
    }

    fn set_limit(&mut self, namespace: &str, node: &str, max: u32) {
        let (namespace, node) = (namespace.to_owned(), node.to_owned());
        self.ask(Command::SetLimit(SetLimit { namespace, node, limit: Some(Limit::of(max)), only_if_absent: false }));
    }

    /// Asks for something under a request id of its own.
    pub(super) fn ask(&mut self, command: Command) {
        self.ask_until(command, 0);
    }

    fn ask_until(&mut self, command: Command, not_after: u64) {
        self.last_request += 1;
        let request_id = format!("request-{}", self.last_request);
        let envelope =
            Envelope { request_id: request_id.clone(), payload_hash: REQUEST_HASH, not_after, ..Envelope::internal("client:sim", command) };
        self.requests.insert(request_id, Request { envelope, send_at: 0, asked: self.now });
    }

    /// The machine's time, as somebody knows it.
    pub(super) fn machine_time(&self) -> u64 {
        let times = self.members.iter().filter(|member| member.up).map(|member| view::meta(&member.state.reader()).time);
        times.max().unwrap_or(0)
    }

    pub(super) fn clients(&mut self) {
        if self.chaos && self.now >= self.next_request_at {
            self.next_request_at = self.now + self.rng.between(50, self.plan.request_every);
            self.new_request();
        }
        let now = self.now;
        let due: Vec<String> = self.requests.iter().filter(|(_, request)| request.send_at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            let any = self.rng.below(self.members.len() as u64) as usize;
            // Half of them have heard who leads: members of the model do not forward.
            let m = self.leader().filter(|_| self.rng.chance(500)).unwrap_or(any);
            let Some(request) = self.requests.get_mut(&id) else { continue };
            request.send_at = now + 150;
            let envelope = request.envelope.clone();
            if self.chaos && matches!(envelope.command, Some(Command::Start(_))) && self.rng.chance(20) {
                // A client that uses a request id twice, in one namespace.
                let mut start = script::workflow(&format!("twin-of-{id}"), 0, &mut self.rng);
                if let Some(Command::Start(first)) = &envelope.command {
                    start.namespace.clone_from(&first.namespace);
                }
                let twin = Envelope { payload_hash: TWIN_HASH, command: Some(Command::Start(start)), ..envelope.clone() };
                self.datagram(Packet::Request(m, twin));
            }
            self.datagram(Packet::Request(m, envelope));
        }
    }

    pub(super) fn request_arrives(&mut self, m: usize, envelope: Envelope) {
        if self.members[m].lead.is_some() && self.members[m].core.is_some() {
            let namespace = envelope.command.as_ref().map(namespace_of).unwrap_or_default();
            let asker = Asker::Client(envelope.request_id.clone(), namespace);
            self.propose(m, vec![envelope], Some(asker));
        }
    }

    fn a_namespace(&mut self) -> &'static str {
        NAMESPACES[usize::from(self.rng.chance(150))]
    }

    fn new_request(&mut self) {
        let time = self.machine_time();
        if self.rng.chance(self.plan.nonsense) {
            let mut nonsense = script::nonsense(time, &mut self.rng);
            if self.rng.chance(60) {
                let init = InitCluster { cluster_id: "another".to_owned(), cluster_name: "sim".to_owned(), epoch: 1, machine_version: 0 };
                nonsense = Command::InitCluster(init);
            }
            let not_after = match self.rng.below(6) {
                0 => time + 2 * NOT_AFTER_AHEAD_MAX,
                1 => 1,
                _ => 0,
            };
            return self.ask_until(nonsense, not_after);
        }
        if self.rng.chance(100) {
            let joining = script::joining(time, &mut self.rng);
            return self.ask(joining);
        }
        if self.rng.chance(60) {
            let administering = script::administering(time, &mut self.rng);
            return self.ask(administering);
        }
        if self.workflows == 0 || self.rng.chance(650) {
            return self.start(time);
        }
        if self.rng.chance(500) {
            let m = self.rng.below(self.members.len() as u64) as usize;
            let namespace = self.a_namespace();
            if self.members[m].up {
                let does = operator::does(&self.members[m].state.reader(), namespace, &mut self.rng);
                does.into_iter().for_each(|command| self.ask(command));
            }
            return;
        }
        if self.rng.chance(150) {
            let node = script::NODES[self.rng.below(4) as usize].to_owned();
            let limit = (!self.rng.chance(400)).then(|| Limit::of(self.rng.between(1, 5) as u32));
            let only_if_absent = self.rng.chance(200);
            return self.ask(Command::SetLimit(SetLimit { namespace: "default".to_owned(), node, limit, only_if_absent }));
        }
        let id = format!("workflow-{}", 1 + self.rng.below(self.workflows as u64));
        let namespace = self.a_namespace().to_owned();
        let control = ControlWorkflow { namespace, id, grace: [0, 3_000, 500][self.rng.below(3) as usize], ..Default::default() };
        let command = match self.rng.below(10) {
            0..4 => Command::Pause(control),
            4..8 => Command::Resume(control),
            8 => Command::Cancel(control),
            _ => Command::Terminate(control),
        };
        self.ask(command);
    }

    fn start(&mut self, time: u64) {
        let again = self.workflows > 0 && self.rng.chance(150);
        if !again {
            self.workflows += 1;
        }
        let number = if again { 1 + self.rng.below(self.workflows as u64) } else { self.workflows as u64 };
        let mut start = script::workflow(&format!("workflow-{number}"), time, &mut self.rng);
        start.namespace = self.a_namespace().to_owned();
        start.on_conflict = [OnConflict::Fail, OnConflict::UseExisting, OnConflict::ReplaceFinished][self.rng.below(3) as usize] as i32;
        let not_after = if self.rng.chance(200) { time + self.rng.between(100, 5_000) } else { 0 };
        self.ask_until(Command::Start(start), not_after);
    }
}

fn namespace_of(command: &Command) -> String {
    match command {
        Command::Start(start) => start.namespace.clone(),
        _ => String::new(),
    }
}

//! This member's part in the formation of its cluster: the rules, with a memory and a disk. The peer server hands greetings and promises
//! to it; [`super::rounds`] asks it what to do next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use graft_machine::command::MACHINE_VERSION;
use graft_proto::peer::v1::{FormedRequest, PeerHello, PromiseRequest, PromiseResponse};
use tokio::sync::Notify;

use super::data_dir::{DataDir, DataDirError};
use super::formation_rules::{Decision, Facts, Me, Standing, Unsuitable, consider, decide, nominate, on_formed};
use super::protocol::{PROTOCOL, speaks_with};
use super::records::{Candidate, FORMAT, Marker, Proposal};
use crate::built::VERSION;
use crate::observability::metrics::Metrics;

/// Shared in an `Arc`. Everything in it is decided under one lock, and what was decided is on disk before anybody hears of it.
#[derive(Debug)]
pub struct Formation {
    me: Me,
    data_dir: Arc<DataDir>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    /// From the last round of greetings, by address.
    seen: BTreeMap<String, PeerHello>,
    /// Learnt after that round, so that it is never older than what was seen.
    facts: Facts,
    /// Raft ids that have greeted: what there is to say of each is said once.
    greeted: BTreeSet<u64>,
    /// The first members, as an operator has named them. Kept in memory: what came of it is a proposal, on disk.
    nominated: BTreeSet<String>,
}

/// Raft ids that are remembered as having greeted.
const GREETED_MAX: usize = 1_024;

impl Formation {
    /// Takes up what the data directory says.
    pub fn new(me: Me, data_dir: Arc<DataDir>, promise: Option<Proposal>, marker: Option<Marker>, metrics: Arc<Metrics>) -> Self {
        let standing = match marker {
            Some(marker) => Standing::Member(marker),
            None => Standing::Fresh { promise },
        };
        let state = Mutex::new(State {
            standing,
            seen: BTreeMap::new(),
            facts: Facts::default(),
            greeted: BTreeSet::new(),
            nominated: BTreeSet::new(),
        });
        Self { me, data_dir, metrics, state, settled: Notify::new() }
    }

    /// Answers a greeting. One of another cluster is answered too, so that the other side can say what is wrong; it counts for nothing here.
    pub fn greet(&self, from: PeerHello) -> PeerHello {
        let new = {
            let mut state = self.lock();
            if state.greeted.len() >= GREETED_MAX {
                state.greeted.clear();
            }
            state.greeted.insert(from.raft_id)
        };
        if from.cluster_name != self.me.cluster_name {
            self.metrics.cluster.rejected_peers.with_label_values(&["cluster_name"]).inc();
            if new {
                tracing::warn!(member = %from.member_name, cluster = %from.cluster_name, "ignoring the greetings of a member of another cluster");
            }
        } else if let Err(why) = speaks_with(from.protocol) {
            self.metrics.cluster.rejected_peers.with_label_values(&["protocol"]).inc();
            if new {
                tracing::warn!(member = %from.member_name, version = %from.version, "ignoring the greetings of a member: {why}");
            }
        } else if new && from.version != VERSION {
            tracing::info!(member = %from.member_name, theirs = %from.version, ours = VERSION, "a member of another version is there");
        }
        self.hello()
    }

    /// An operator names the first members: they are proposed with the next round of greetings. With `dry_run` only what would be proposed
    /// is told.
    pub fn nominate(&self, names: BTreeSet<String>, dry_run: bool) -> Result<Vec<Candidate>, Unsuitable> {
        let mut state = self.lock();
        let named = nominate(&self.me, &state.standing, &state.facts, &state.seen, &names)?;
        if !dry_run {
            state.nominated = names;
        }
        Ok(named)
    }

    /// Answers a proposal: a promise is on disk before it is answered. Blocking (one small fsync).
    pub fn promise(&self, request: PromiseRequest) -> PromiseResponse {
        let mut state = self.lock();
        let promised = consider(&self.me, &state.standing, &state.facts, &state.seen, &request).and_then(|proposal| {
            self.hold(&mut state, &proposal).map_err(|e| format!("`{}` cannot write its promise: {e}", self.me.candidate.name))
        });
        match promised {
            Ok(()) => PromiseResponse { promised: true, reason: String::new() },
            Err(reason) => PromiseResponse { promised: false, reason },
        }
    }

    /// The initiator has formed the cluster. Blocking (one small fsync), if this member is part of it.
    pub fn formed(&self, request: FormedRequest) {
        let mut state = self.lock();
        if let Some((cluster_id, epoch)) = on_formed(&self.me, &state.standing, &state.facts, &request)
            && let Err(e) = self.write_marker(&mut state, cluster_id, epoch)
        {
            // Nothing is lost: the next round of greetings brings the same news.
            tracing::error!("failed to write the cluster marker: {e}");
        }
    }

    /// The marker, once there is one.
    pub fn marker(&self) -> Option<Marker> {
        match &self.lock().standing {
            Standing::Member(marker) => Some(marker.clone()),
            Standing::Fresh { .. } => None,
        }
    }

    /// Waits until there is a marker.
    pub async fn settled(&self) -> Marker {
        loop {
            let news = self.settled.notified();
            if let Some(marker) = self.marker() {
                return marker;
            }
            news.await;
        }
    }

    /// Name of the cluster, from the configuration.
    pub fn cluster_name(&self) -> &str {
        &self.me.cluster_name
    }

    /// Whether it could be started under this name, if one is given, and as of a cluster of that name.
    pub fn may_be(&self, name: Option<&str>, cluster_name: &str) -> Result<(), DataDirError> {
        self.data_dir.is_for(&self.me.candidate.name, self.marker().as_ref(), name, cluster_name)
    }

    /// What this member says of itself.
    pub fn hello(&self) -> PeerHello {
        let (cluster_id, epoch, fresh) = match &self.lock().standing {
            Standing::Member(marker) => (marker.cluster_id.clone(), marker.epoch, false),
            Standing::Fresh { .. } => (String::new(), 0, true),
        };
        let me = &self.me.candidate;
        let (bootstrap, expect) = self.me.bootstrap.told();
        PeerHello {
            cluster_name: self.me.cluster_name.clone(),
            cluster_id,
            epoch,
            member_name: me.name.clone(),
            raft_id: me.raft_id,
            fresh,
            expect,
            bootstrap: bootstrap.to_owned(),
            protocol: Some(PROTOCOL),
            version: VERSION.to_owned(),
            peer_address: me.peer_address.clone(),
            client_address: me.client_address.clone(),
            machine_version: MACHINE_VERSION,
        }
    }

    /// Takes in a round of greetings and says what follows. A new proposal is on disk when it is returned (as `Ask`).
    pub(super) fn next(&self, seen: BTreeMap<String, PeerHello>, facts: Facts) -> io::Result<Decision> {
        let mut state = self.lock();
        state.seen = seen;
        state.facts = Facts { nominated: state.nominated.clone(), ..facts };
        match decide(&self.me, &state.standing, &state.facts, &state.seen) {
            Decision::Propose(members) => {
                let proposal = Proposal::mint(&self.me.cluster_name, members);
                self.hold(&mut state, &proposal)?;
                Ok(Decision::Ask(proposal))
            }
            decision => Ok(decision),
        }
    }

    /// Whether the proposal is still the one that is held, so that consensus may be initialised with it.
    pub(super) fn holds(&self, proposal: &Proposal) -> bool {
        matches!(&self.lock().standing, Standing::Fresh { promise: Some(held) } if held == proposal)
    }

    /// Writes the marker, if there is none yet. Blocking (one small fsync).
    pub fn settle(&self, cluster_id: &str, epoch: u64) -> io::Result<()> {
        self.write_marker(&mut self.lock(), cluster_id.to_owned(), epoch)
    }

    /// Where the others among these members answered in the last round; who did not is left out.
    pub(super) fn addresses_of(&self, proposal: &Proposal) -> Vec<String> {
        let state = self.lock();
        let address_of = |raft_id: u64| state.seen.iter().find(|(_, hello)| hello.raft_id == raft_id).map(|(address, _)| address.clone());
        let others = proposal.members.iter().map(|member| member.raft_id).filter(|raft_id| *raft_id != self.me.candidate.raft_id);
        others.filter_map(address_of).collect()
    }

    fn write_marker(&self, state: &mut State, cluster_id: String, epoch: u64) -> io::Result<()> {
        if matches!(state.standing, Standing::Member(_)) {
            return Ok(());
        }
        let (cluster_name, member) = (self.me.cluster_name.clone(), self.me.candidate.name.clone());
        let marker = Marker { format: FORMAT, cluster_id, cluster_name, epoch, member, raft_id: self.me.candidate.raft_id };
        self.data_dir.write_marker(&marker)?;
        state.standing = Standing::Member(marker);
        self.settled.notify_waiters();
        Ok(())
    }

    fn hold(&self, state: &mut State, proposal: &Proposal) -> io::Result<()> {
        if !matches!(&state.standing, Standing::Fresh { promise: Some(held) } if held == proposal) {
            self.data_dir.write_promise(proposal)?;
            state.standing = Standing::Fresh { promise: Some(proposal.clone()) };
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::formation_rules::Bootstrap;
    use super::*;

    #[test]
    fn greetings_of_another_cluster_are_counted_and_change_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (data_dir, contents) = DataDir::open(dir.path(), Some("a"), "a", "graft").expect("a fresh directory");
        let candidate =
            Candidate { name: "a".into(), raft_id: contents.identity.raft_id, peer_address: "a:1".into(), client_address: "a:2".into() };
        let me = Me { candidate, cluster_name: "graft".into(), bootstrap: Bootstrap::Expect(3) };
        let metrics = Arc::new(Metrics::new());
        let formation = Formation::new(me, Arc::new(data_dir), None, None, metrics.clone());
        let stranger = PeerHello { cluster_name: "other".into(), member_name: "b".into(), raft_id: 2, ..PeerHello::default() };
        let older = PeerHello { cluster_name: "graft".into(), raft_id: 3, ..PeerHello::default() };
        formation.greet(older);
        assert_eq!(metrics.cluster.rejected_peers.with_label_values(&["protocol"]).get(), 1);
        for _ in 0..2 {
            let answer = formation.greet(stranger.clone());
            assert_eq!((answer.cluster_name.as_str(), answer.fresh, answer.version.as_str()), ("graft", true, VERSION));
        }
        assert_eq!(metrics.cluster.rejected_peers.with_label_values(&["cluster_name"]).get(), 2);
        assert!(formation.marker().is_none());
    }
}

//! What a member keeps about itself and its cluster, beside log and state: three small JSON files, so that an operator can read them.

use std::collections::BTreeSet;

use graft_proto::peer::v1::{PromiseRequest, ProposedMember};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// Epoch of a cluster that was never recovered by force.
pub const FIRST_EPOCH: u64 = 1;
/// Format of the three files.
pub const FORMAT: u32 = 1;

/// File `identity`: who this member is, from the moment its data directory was formatted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// [`FORMAT`].
    pub format: u32,
    /// Random, never 0. It names this data directory rather than this host.
    pub raft_id: u64,
    /// The member's name.
    pub member: String,
}

impl Identity {
    /// A new one, with a fresh raft id.
    pub fn mint(member: &str) -> Self {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        Self { format: FORMAT, raft_id: (high ^ low).max(1), member: member.to_owned() }
    }
}

/// File `cluster.json`, the marker: this member is part of a formed cluster, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// [`FORMAT`].
    pub format: u32,
    /// UUID of the cluster.
    pub cluster_id: String,
    /// Its name.
    pub cluster_name: String,
    /// Raised by a forced recovery; 1 at first.
    pub epoch: u64,
    /// Name of the member.
    pub member: String,
    /// Its raft id; must be that of `identity`.
    pub raft_id: u64,
}

/// File `promise.json`: the one set of first members to which this member has promised itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// [`FORMAT`].
    pub format: u32,
    /// Id that the cluster is to have.
    pub cluster_id: String,
    /// Its name.
    pub cluster_name: String,
    /// The members, sorted by name; the first one is the initiator.
    pub members: Vec<Candidate>,
}

/// One member of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate {
    /// Name.
    pub name: String,
    /// Raft id.
    pub raft_id: u64,
    /// Where it answers members; empty = nowhere (a single member).
    pub peer_address: String,
    /// Where it answers clients.
    pub client_address: String,
}

impl Proposal {
    /// Of these members, in any order, under a new cluster id.
    pub fn mint(cluster_name: &str, mut members: Vec<Candidate>) -> Self {
        members.sort();
        let cluster_id = uuid::Uuid::new_v4().to_string();
        Self { format: FORMAT, cluster_id, cluster_name: cluster_name.to_owned(), members }
    }

    /// What was sent; `None` if it names nobody.
    pub fn of_request(request: &PromiseRequest) -> Option<Self> {
        let from = request.from.as_ref()?;
        let members: Vec<Candidate> = request.members.iter().map(Candidate::of_proposed).collect();
        (!members.is_empty()).then(|| Self {
            format: FORMAT,
            cluster_id: request.cluster_id.clone(),
            cluster_name: from.cluster_name.clone(),
            members,
        })
    }

    /// Who forms the cluster: the member with the lowest name.
    pub fn initiator(&self) -> &Candidate {
        &self.members[0]
    }

    /// Tells this proposal from any other: hex.
    pub fn hash(&self) -> String {
        let bytes = serde_json::to_vec(self).expect("a proposal is plain data");
        format!("{:032x}", xxh3_128(&bytes))
    }

    /// Whether this raft id is part of it.
    pub fn names(&self, raft_id: u64) -> bool {
        self.members.iter().any(|member| member.raft_id == raft_id)
    }

    /// The raft ids of its members.
    pub fn raft_ids(&self) -> BTreeSet<u64> {
        self.members.iter().map(|member| member.raft_id).collect()
    }

    /// The members as they are sent.
    pub fn proposed(&self) -> Vec<ProposedMember> {
        let proposed = |member: &Candidate| ProposedMember {
            name: member.name.clone(),
            raft_id: member.raft_id,
            peer_address: member.peer_address.clone(),
            client_address: member.client_address.clone(),
        };
        self.members.iter().map(proposed).collect()
    }
}

impl Candidate {
    fn of_proposed(member: &ProposedMember) -> Self {
        Self {
            name: member.name.clone(),
            raft_id: member.raft_id,
            peer_address: member.peer_address.clone(),
            client_address: member.client_address.clone(),
        }
    }
}

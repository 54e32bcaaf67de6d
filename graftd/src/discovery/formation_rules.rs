//! The rules of formation: what a member does about what it sees. Pure: no clock, no disk, no network.
//!
//! Why two clusters cannot come of one set of members, whatever crashes:
//!
//! - Consensus is initialised only with a set to which **every** member of it has promised itself, on disk.
//! - A member holds one promise. It gives it up for another one only (a) to the same initiator with the same raft id, who has replaced its
//!   own proposal on its own disk and so will never initialise the old one, or (b) when the initiator's *name* is back, fresh, under
//!   another raft id: the one it had promised to has lost its disk and can no longer count promises.
//! - In case (b) the lost initiator may have initialised before. Then either nobody else took part (nothing was ever acknowledged to
//!   anybody), or somebody did: that one's raft store is no longer empty, it refuses every promise, and without it no new set is complete.
//! - With a marker, or with a raft store that is not empty, a member proposes and promises nothing.

use std::collections::{BTreeMap, BTreeSet};

use graft_proto::peer::v1::{FormedRequest, PeerHello, PromiseRequest};

use super::records::{Candidate, Marker, Proposal};

/// What a member knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Name, raft id and addresses.
    pub candidate: Candidate,
    /// Name of the cluster, from the configuration.
    pub cluster_name: String,
    /// How many members form it.
    pub expect: u32,
}

/// How far this member has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has never been part of a cluster, as far as it knows.
    Fresh {
        /// The proposal that it has promised itself to.
        promise: Option<Proposal>,
    },
    /// It has a marker.
    Member(Marker),
}

/// What its raft store says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is no longer empty.
    pub initialized: bool,
    /// The raft ids of the membership that it holds.
    pub members: BTreeSet<u64>,
    /// Whether this member leads.
    pub leads: bool,
    /// The cluster's id and epoch, if they have been replicated here.
    pub lineage: Option<(String, u64)>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Wait {
        /// For what, for logs and readiness.
        why: String,
        /// Whether it cannot get better without somebody's help.
        needs_help: bool,
    },
    /// Propose these members, under a new cluster id.
    Propose(Vec<Candidate>),
    /// Ask for promises to this proposal, which is on disk.
    Ask(Proposal),
    /// Consensus has been initialised with this proposal, and this member leads: commit the cluster's id and tell the others.
    Finish(Proposal),
    /// This member is part of that cluster: write the marker.
    Settle {
        /// The cluster's id.
        cluster_id: String,
        /// Its epoch.
        epoch: u64,
    },
    /// Something is so wrong that going on could only make it worse.
    Stop {
        /// What.
        why: String,
    },
}

/// What a fresh member does. `seen` are the answers of one round of greetings, by address.
pub fn decide(me: &Me, standing: &Standing, facts: &Facts, seen: &BTreeMap<String, PeerHello>) -> Decision {
    let promise = match standing {
        Standing::Fresh { promise } => promise.as_ref(),
        Standing::Member(marker) => return Decision::Settle { cluster_id: marker.cluster_id.clone(), epoch: marker.epoch },
    };
    let ours: BTreeMap<&String, &PeerHello> = seen.iter().filter(|(_, hello)| is_other_of_ours(me, hello)).collect();
    let mut clusters: BTreeMap<&str, u64> = BTreeMap::new();
    for hello in ours.values().filter(|hello| !hello.cluster_id.is_empty()) {
        clusters.insert(&hello.cluster_id, hello.epoch);
    }
    if let Some((cluster_id, epoch)) = &facts.lineage {
        clusters.insert(cluster_id, *epoch);
    }
    if clusters.len() > 1 {
        let ids: Vec<&str> = clusters.keys().copied().collect();
        let why = format!("the candidates belong to different clusters of the name `{}`: {}", me.cluster_name, ids.join(" and "));
        return Decision::Stop { why };
    }
    if let Some((cluster_id, epoch)) = &facts.lineage {
        return Decision::Settle { cluster_id: cluster_id.clone(), epoch: *epoch };
    }
    let formed = clusters.into_iter().next();
    if let (Some((cluster_id, epoch)), Some(promise)) = (formed, promise)
        && promise.cluster_id == cluster_id
        && promise.names(me.candidate.raft_id)
    {
        // The set was formed, this member is in it, and only the news of it was lost. But a marker over an empty log would say that data
        // was lost, so the log comes first: the leader sends it.
        if facts.initialized {
            return Decision::Settle { cluster_id: cluster_id.to_owned(), epoch };
        }
        return wait("the cluster is formed, and this member is part of it; its log has still to arrive from the leader");
    }
    if facts.initialized {
        return match promise {
            // Whoever leads: the initiator may be gone by now.
            Some(held) if facts.leads && held.raft_ids() == facts.members => Decision::Finish(held.clone()),
            _ => wait("the cluster is forming: its leader has still to commit its id"),
        };
    }
    if let Some((cluster_id, _)) = formed {
        return needs_help(format!(
            "this member is not part of cluster `{}` ({cluster_id}), which is formed already; joining comes with a later version",
            me.cluster_name
        ));
    }
    form(me, promise, &ours)
}

/// Nobody is a member yet.
fn form(me: &Me, promise: Option<&Proposal>, ours: &BTreeMap<&String, &PeerHello>) -> Decision {
    for (address, hello) in ours {
        if hello.expect != me.expect {
            return needs_help(format!(
                "cluster.expect differs: `{}` at {address} expects {} members, this one {}; no cluster is formed before they agree",
                hello.member_name, hello.expect, me.expect
            ));
        }
    }
    let fresh = fresh_members(me, ours.values().copied());
    let names: BTreeSet<&str> = fresh.iter().map(|member| member.name.as_str()).collect();
    if names.len() < fresh.len() {
        return needs_help("two members have the same name; give each its own (node.name)".to_owned());
    }
    let there = fresh.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    let expect = me.expect as usize;
    if fresh.len() < expect {
        return wait(format!("waiting for members: {} of {expect} are there ({there})", fresh.len()));
    }
    if fresh.len() > expect {
        let why =
            format!("{} members are there ({there}) and {expect} are expected: nobody can say which; correct cluster.peers", fresh.len());
        return needs_help(why);
    }
    let initiator = &fresh[0];
    match promise {
        Some(other) if other.initiator().raft_id != me.candidate.raft_id && !is_released(other, &fresh) => {
            let to = other.initiator();
            if to.raft_id == initiator.raft_id {
                return wait(format!("promised to the proposal of `{}`, which is collecting promises", to.name));
            }
            let what_is_wrong = match fresh.iter().any(|member| member.raft_id == to.raft_id) {
                true => "which proposed another set than is there now",
                false => "which is not among the members that are there",
            };
            needs_help(format!(
                "promised to the proposal of `{}` (raft id {}), {what_is_wrong} ({there}); if that stays so: stop this member, \
                 delete its data directory (it holds no data yet) and start it again",
                to.name, to.raft_id
            ))
        }
        _ if initiator.raft_id != me.candidate.raft_id => {
            match promise {
                // Its own proposal, of which others hold promises, stands against one that it will not promise itself to.
                Some(own) if own.initiator().raft_id == me.candidate.raft_id => needs_help(format!(
                    "this member has proposed another set than is there now ({there}), and `{}` would propose this one; \
                     stop this member, delete its data directory (it holds no data yet) and start it again",
                    initiator.name
                )),
                _ => wait(format!("all {expect} members are there; `{}` proposes the cluster", initiator.name)),
            }
        }
        Some(own) if own.members == fresh => Decision::Ask(own.clone()),
        _ => Decision::Propose(fresh),
    }
}

/// Whether this member may promise itself to what is asked of it; the error is the reason why not.
pub fn consider(
    me: &Me,
    standing: &Standing,
    facts: &Facts,
    seen: &BTreeMap<String, PeerHello>,
    request: &PromiseRequest,
) -> Result<Proposal, String> {
    let promise = match standing {
        Standing::Fresh { promise } => promise.as_ref(),
        Standing::Member(marker) => return Err(format!("`{}` is a member of cluster {} already", me.candidate.name, marker.cluster_id)),
    };
    let proposal = Proposal::of_request(request).ok_or("the proposal names nobody")?;
    let from = request.from.as_ref().ok_or("the proposal does not say who makes it")?;
    if proposal.cluster_name != me.cluster_name {
        return Err(format!("this is cluster `{}`, not `{}`", me.cluster_name, proposal.cluster_name));
    }
    if proposal.hash() != request.hash {
        return Err("the proposal does not match its hash".into());
    }
    if proposal.initiator().raft_id != from.raft_id || !proposal.members.is_sorted() {
        return Err("the proposal is not made by the member with the lowest name".into());
    }
    if promise == Some(&proposal) {
        return Ok(proposal);
    }
    if facts.initialized {
        return Err(format!("the raft store of `{}` is no longer empty: it takes part in a cluster", me.candidate.name));
    }
    let fresh = fresh_members(me, seen.values().filter(|hello| is_other_of_ours(me, hello)));
    if proposal.members.len() != me.expect as usize || proposal.members != fresh {
        let there = fresh.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(format!("`{}` sees other members: {there} ({} expected)", me.candidate.name, me.expect));
    }
    match promise {
        None => Ok(proposal),
        Some(held) if held.initiator().raft_id == from.raft_id || is_released(held, &fresh) => Ok(proposal),
        Some(held) => Err(format!("`{}` has promised itself to the proposal of `{}`", me.candidate.name, held.initiator().name)),
    }
}

/// The marker that follows from the news that the cluster is formed, if this member is part of it.
pub fn on_formed(me: &Me, standing: &Standing, facts: &Facts, request: &FormedRequest) -> Option<(String, u64)> {
    match standing {
        // As in `decide`: no marker over an empty log. A greeting brings the news again.
        _ if !facts.initialized => None,
        Standing::Fresh { promise: Some(promise) }
            if promise.hash() == request.hash && promise.cluster_id == request.cluster_id && promise.names(me.candidate.raft_id) =>
        {
            Some((request.cluster_id.clone(), 1))
        }
        _ => None,
    }
}

/// The initiator's name is back under another raft id: its disk is gone, and with it the proposal.
fn is_released(promise: &Proposal, fresh: &[Candidate]) -> bool {
    let initiator = promise.initiator();
    fresh.iter().any(|member| member.name == initiator.name && member.raft_id != initiator.raft_id)
}

fn is_other_of_ours(me: &Me, hello: &PeerHello) -> bool {
    hello.cluster_name == me.cluster_name && hello.raft_id != me.candidate.raft_id
}

/// This member and the fresh ones among the others, each once, sorted by name.
fn fresh_members<'a>(me: &Me, others: impl Iterator<Item = &'a PeerHello>) -> Vec<Candidate> {
    let mut fresh = BTreeMap::from([(me.candidate.raft_id, me.candidate.clone())]);
    for hello in others.filter(|hello| hello.fresh) {
        let candidate = Candidate {
            name: hello.member_name.clone(),
            raft_id: hello.raft_id,
            peer_address: hello.peer_address.clone(),
            client_address: hello.client_address.clone(),
        };
        fresh.insert(hello.raft_id, candidate);
    }
    let mut fresh: Vec<Candidate> = fresh.into_values().collect();
    fresh.sort();
    fresh
}

fn wait(why: impl Into<String>) -> Decision {
    Decision::Wait { why: why.into(), needs_help: false }
}

fn needs_help(why: String) -> Decision {
    Decision::Wait { why, needs_help: true }
}

#[cfg(test)]
#[path = "formation_rules_tests.rs"]
mod tests;

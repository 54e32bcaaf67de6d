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
//!
//! Which set that is, is either counted (`expect`: exactly so many are there) or said by an operator to the member that proposes it
//! (`manual`). Who is fresh and meets a cluster of its name that is formed already asks to join it, and never forms another one.

use std::collections::{BTreeMap, BTreeSet};

use graft_proto::peer::v1::{FormedRequest, PeerHello, PromiseRequest};

use super::records::{Candidate, FIRST_EPOCH, Marker, Proposal};

/// What a member knows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Name, raft id and addresses.
    pub candidate: Candidate,
    /// Name of the cluster, from the configuration.
    pub cluster_name: String,
    /// What makes a set of first members.
    pub bootstrap: Bootstrap,
}

/// What makes a set of first members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// Exactly so many are there.
    Expect(u32),
    /// An operator names them.
    Manual,
}

impl Bootstrap {
    /// As greetings tell it: the mode, and how many are expected.
    pub fn told(self) -> (&'static str, u32) {
        match self {
            Self::Expect(members) => ("expect", members),
            Self::Manual => ("manual", 0),
        }
    }
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

/// What it knows beside the greetings: from its raft store, and from an operator.
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
    /// Why no cluster may be formed, whoever is there: something outside says so.
    pub forbidden: Option<String>,
    /// The first members' names, if an operator has said them to this member.
    pub nominated: BTreeSet<String>,
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
    /// Ask those members of the cluster, by address, to take this one in.
    Join(Vec<String>),
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
        let epoch = clusters.entry(&hello.cluster_id).or_default();
        *epoch = hello.epoch.max(*epoch);
    }
    if let Some((cluster_id, epoch)) = &facts.lineage {
        // A later epoch is told before it has arrived in the log.
        let latest = clusters.entry(cluster_id).or_default();
        *latest = (*epoch).max(*latest);
    }
    if clusters.len() > 1 {
        let ids: Vec<&str> = clusters.keys().copied().collect();
        let why = format!("the candidates belong to different clusters of the name `{}`: {}", me.cluster_name, ids.join(" and "));
        return Decision::Stop { why };
    }
    if let (Some((cluster_id, _)), Some(epoch)) = (&facts.lineage, clusters.values().next()) {
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
            _ if formed.is_some() => wait("the cluster has taken this member in; its log is still arriving from the leader"),
            _ => wait("the cluster is forming: its leader has still to commit its id"),
        };
    }
    if let Some((cluster_id, epoch)) = formed {
        // Of a cluster that was recovered by force, those that went on.
        let members = ours.iter().filter(|(_, hello)| hello.cluster_id == cluster_id && hello.epoch == epoch);
        return Decision::Join(members.map(|(address, _)| (*address).clone()).collect());
    }
    form(me, promise, facts, &ours)
}

/// The members that are to form the cluster, sorted by name, if they are all there.
fn first_members(me: &Me, promise: Option<&Proposal>, facts: &Facts, fresh: Vec<Candidate>) -> Result<Vec<Candidate>, Decision> {
    let there = names_of(&fresh);
    match me.bootstrap {
        Bootstrap::Expect(expect) if fresh.len() < expect as usize => {
            Err(wait(format!("waiting for members: {} of {expect} are there ({there})", fresh.len())))
        }
        Bootstrap::Expect(expect) if fresh.len() > expect as usize => Err(needs_help(format!(
            "{} members are there ({there}) and {expect} are expected: nobody can say which; correct cluster.peers",
            fresh.len()
        ))),
        Bootstrap::Expect(_) => Ok(fresh),
        Bootstrap::Manual => {
            // What was proposed before a restart is still what an operator said.
            let said: BTreeSet<&str> = match promise {
                _ if !facts.nominated.is_empty() => facts.nominated.iter().map(String::as_str).collect(),
                Some(held) => held.members.iter().map(|member| member.name.as_str()).collect(),
                None => {
                    let why = format!(
                        "waiting for an operator to name the first members; there are {there}; say `graft cluster bootstrap --members {}` \
                         to one of them",
                        there.replace(", ", ",")
                    );
                    return Err(needs_help(why));
                }
            };
            let missing: Vec<&str> = said.iter().copied().filter(|name| fresh.iter().all(|member| member.name != *name)).collect();
            if !missing.is_empty() {
                return Err(wait(format!(
                    "waiting for the members that an operator has named: {} is not there ({there})",
                    missing.join(", ")
                )));
            }
            Ok(fresh.into_iter().filter(|member| said.contains(member.name.as_str())).collect())
        }
    }
}

/// The members that an operator names, if they may form a cluster and this one is to propose it; otherwise why not.
pub fn nominate(
    me: &Me,
    standing: &Standing,
    facts: &Facts,
    seen: &BTreeMap<String, PeerHello>,
    names: &BTreeSet<String>,
) -> Result<Vec<Candidate>, Unsuitable> {
    let no = |why: String| Err(Unsuitable::No(why));
    match standing {
        Standing::Member(marker) => return no(format!("`{}` is a member of cluster {} already", me.candidate.name, marker.cluster_id)),
        Standing::Fresh { .. } if facts.initialized => return no("the cluster is forming already".to_owned()),
        Standing::Fresh { .. } => {}
    }
    if let Bootstrap::Expect(expect) = me.bootstrap {
        return no(format!("its members are counted here (cluster.expect = {expect}): it forms by itself when they are there"));
    }
    let ours = || seen.values().filter(|hello| is_other_of_ours(me, hello));
    if let Some(member) = ours().find(|hello| !hello.cluster_id.is_empty()) {
        return no(format!("`{}` is a member of cluster {} already: who is fresh joins that one", member.member_name, member.cluster_id));
    }
    let fresh = fresh_members(me, ours());
    let there = names_of(&fresh);
    if names.len().is_multiple_of(2) {
        return no(format!(
            "{} members were named: name an odd number, since an even one survives no more losses than one less",
            names.len()
        ));
    }
    if !names.contains(&me.candidate.name) {
        return no(format!("`{}` is asked, and not among the members that were named", me.candidate.name));
    }
    let mut named = Vec::new();
    for name in names {
        let mut of_name = fresh.iter().filter(|member| member.name == *name);
        match (of_name.next(), of_name.next()) {
            (Some(one), None) => named.push(one.clone()),
            (Some(_), Some(_)) => return no(format!("two members are called `{name}`; give each its own name (node.name)")),
            (None, _) => return no(format!("no fresh member `{name}` is there; there are {there}")),
        }
    }
    match named.first() {
        Some(first) if first.raft_id != me.candidate.raft_id => Err(Unsuitable::AskInstead(first.clone())),
        _ => Ok(named),
    }
}

/// Why this member does not propose the members that an operator names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsuitable {
    /// Another one of them does.
    AskInstead(Candidate),
    /// Nobody may.
    No(String),
}

fn names_of(members: &[Candidate]) -> String {
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Nobody is a member yet.
fn form(me: &Me, promise: Option<&Proposal>, facts: &Facts, ours: &BTreeMap<&String, &PeerHello>) -> Decision {
    if let Some(why) = &facts.forbidden {
        return needs_help(why.clone());
    }
    for (address, hello) in ours {
        let ((mode, expect), mine) = ((hello.bootstrap.as_str(), hello.expect), me.bootstrap.told());
        if mode != mine.0 {
            return needs_help(format!(
                "cluster.bootstrap differs: `{}` at {address} says {mode}, this one {}; no cluster is formed before they agree",
                hello.member_name, mine.0
            ));
        }
        if expect != mine.1 {
            return needs_help(format!(
                "cluster.expect differs: `{}` at {address} expects {expect} members, this one {}; no cluster is formed before they agree",
                hello.member_name, mine.1
            ));
        }
    }
    let fresh = fresh_members(me, ours.values().copied());
    let names: BTreeSet<&str> = fresh.iter().map(|member| member.name.as_str()).collect();
    if names.len() < fresh.len() {
        return needs_help("two members have the same name; give each its own (node.name)".to_owned());
    }
    let there = names_of(&fresh);
    let fresh = match first_members(me, promise, facts, fresh) {
        Ok(members) => members,
        Err(decision) => return decision,
    };
    let expect = fresh.len();
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
    let there = names_of(&fresh);
    match me.bootstrap {
        Bootstrap::Expect(expect) if proposal.members.len() != expect as usize || proposal.members != fresh => {
            return Err(format!("`{}` sees other members: {there} ({expect} expected)", me.candidate.name));
        }
        // An operator has named them to the one that proposes; whom else this one sees is not asked.
        Bootstrap::Manual if !proposal.names(me.candidate.raft_id) || !proposal.members.iter().all(|member| fresh.contains(member)) => {
            return Err(format!("`{}` sees other members: {there}", me.candidate.name));
        }
        Bootstrap::Expect(_) | Bootstrap::Manual => {}
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
            Some((request.cluster_id.clone(), FIRST_EPOCH))
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

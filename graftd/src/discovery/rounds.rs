//! The rounds of formation: greet everybody, decide, ask for promises. The shell around the rules; what consensus has to do comes out as a
//! [`Step`].

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use graft_proto::peer::v1::{FormedRequest, JoinRequest, JoinResponse, PeerHello, PromiseRequest};

use super::formation::Formation;
use super::formation_rules::{Decision, Facts};
use super::protocol::speaks_with;
use super::records::Proposal;
use super::sources::{CandidateLink, Candidates};

/// How long a candidate may take to accept a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a candidate may take to answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two rounds. Forming once takes a few of them; it never gives up.
pub const ROUND: Duration = Duration::from_millis(250);

/// Runs rounds.
#[derive(Debug)]
pub struct Rounds {
    formation: Arc<Formation>,
    candidates: Arc<Candidates>,
    /// Shown to the cluster that this member asks to join; empty = none.
    token: String,
}

/// Why a request failed: the cause that nothing stands behind, since those above it only say that there is one.
fn innermost(status: &tonic::Status) -> String {
    let mut error: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut told = status.message().to_owned();
    while let Some(cause) = error {
        told = cause.to_string();
        error = cause.source();
    }
    told
}

/// What came of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do before the next round.
    Wait {
        /// What for.
        why: String,
        /// Whether it cannot get better without somebody's help.
        needs_help: bool,
    },
    /// Every member has promised: initialise consensus with exactly this set, then as for `Finish`.
    Initialize(Proposal),
    /// A cluster has taken this member in, under this id: it hears the leader from now on, and is settled when the log has arrived.
    Joined {
        /// The cluster's id.
        cluster_id: String,
        /// Its epoch.
        epoch: u64,
    },
    /// Consensus has been initialised with this set: commit the cluster's id, then [`Rounds::announce`] it.
    Finish(Proposal),
    /// The marker is on disk.
    Settled,
    /// Going on would make it worse.
    Stop {
        /// Why.
        why: String,
    },
}

impl Rounds {
    /// With the candidates that there are at each round; this member itself may be among them.
    pub fn new(formation: Arc<Formation>, candidates: Arc<Candidates>, token: String) -> Self {
        Self { formation, candidates, token }
    }

    /// One round. `facts` is asked after the greetings, so that what it says is not older than what they said.
    pub async fn next<F: Future<Output = Facts>>(&self, facts: impl FnOnce() -> F) -> io::Result<Step> {
        let seen = self.greet().await;
        let facts = facts().await;
        let (mut answering, mut silent) = (BTreeMap::new(), Vec::new());
        for (address, hello) in seen {
            match hello {
                Ok(hello) => drop(answering.insert(address, hello)),
                Err(why) => silent.push((address, why)),
            }
        }
        let silent: Vec<String> = silent.into_iter().map(|(address, why)| format!("{address} ({why})")).collect();
        let silent = (!silent.is_empty()).then(|| format!("no answer from {}", silent.join(", ")));
        Ok(match self.formation.next(answering, facts)? {
            Decision::Wait { why, needs_help } => {
                let why: Vec<String> = [why].into_iter().chain(silent).chain(self.candidates.failures()).collect();
                Step::Wait { why: why.join("; "), needs_help }
            }
            Decision::Ask(proposal) => self.collect(proposal).await,
            Decision::Finish(proposal) => Step::Finish(proposal),
            Decision::Join(addresses) => self.join(&addresses).await,
            Decision::Settle { cluster_id, epoch } => {
                self.formation.settle(&cluster_id, epoch)?;
                Step::Settled
            }
            Decision::Stop { why } => Step::Stop { why },
            Decision::Propose(_) => unreachable!("a proposal comes out as `Ask`, once it is on disk"),
        })
    }

    /// What each candidate says of itself, if it is who it says it is; otherwise why it counts as silent.
    async fn greet(&self) -> Vec<(String, Result<PeerHello, String>)> {
        let hello = self.formation.hello();
        let answers = self.candidates.links().into_iter().map(|link| {
            let (mut client, hello) = (link.client.clone(), hello.clone());
            async move {
                let answer = match client.greet(hello).await.map(tonic::Response::into_inner) {
                    Ok(answer) if link.dialed.is_called(&answer.cluster_name, &answer.member_name) => match speaks_with(answer.protocol) {
                        Ok(()) => Ok(answer),
                        Err(why) => Err(format!("{}: {why}", answer.member_name)),
                    },
                    Ok(answer) => {
                        Err(format!("calls itself {} of cluster {}, and its certificate does not", answer.member_name, answer.cluster_name))
                    }
                    Err(status) => Err(innermost(&status)),
                };
                (link.address, answer)
            }
        });
        join_all(answers).await
    }

    /// Asks these members, one after the other, to take this one in. Each of them passes it on to the leader, so one answer is enough.
    async fn join(&self, addresses: &[String]) -> Step {
        let request = JoinRequest { header: None, from: Some(self.formation.hello()), token: self.token.clone() };
        let mut silent = Vec::new();
        for mut link in self.candidates.links().into_iter().filter(|link| addresses.contains(&link.address)) {
            match link.client.join(request.clone()).await.map(tonic::Response::into_inner) {
                Ok(JoinResponse { cluster_id, epoch, .. }) if !cluster_id.is_empty() => return Step::Joined { cluster_id, epoch },
                Ok(JoinResponse { reason, needs_help, .. }) => {
                    return Step::Wait { why: format!("the cluster does not take this member in yet: {reason}"), needs_help };
                }
                Err(status) => silent.push(format!("{} ({})", link.address, innermost(&status))),
            }
        }
        Step::Wait { why: format!("asked to be taken into the cluster, without an answer: {}", silent.join(", ")), needs_help: false }
    }

    /// Asks everybody for a promise: all, or nothing.
    async fn collect(&self, proposal: Proposal) -> Step {
        let request = PromiseRequest {
            from: Some(self.formation.hello()),
            cluster_id: proposal.cluster_id.clone(),
            members: proposal.proposed(),
            hash: proposal.hash(),
        };
        let others = self.others(&proposal);
        if others.len() + 1 != proposal.members.len() {
            return Step::Wait { why: "a proposed member has just stopped answering".to_owned(), needs_help: false };
        }
        let asked = others.into_iter().map(|link| {
            let (mut client, request, address) = (link.client.clone(), request.clone(), link.address.clone());
            async move {
                match client.promise(request).await.map(tonic::Response::into_inner) {
                    Ok(answer) if answer.promised => None,
                    Ok(answer) => Some(answer.reason),
                    Err(status) => Some(format!("{address}: {}", status.message())),
                }
            }
        });
        let refusals: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
        if !refusals.is_empty() {
            return Step::Wait { why: format!("not everybody has promised yet: {}", refusals.join("; ")), needs_help: false };
        }
        if !self.formation.holds(&proposal) {
            return Step::Wait { why: "the proposal was replaced while promises were collected".to_owned(), needs_help: false };
        }
        Step::Initialize(proposal)
    }

    /// Tells the others that the cluster is formed. Who misses it learns it from a greeting, or from the log.
    pub async fn announce(&self, proposal: &Proposal) {
        let request = FormedRequest { cluster_id: proposal.cluster_id.clone(), hash: proposal.hash() };
        let told = self.others(proposal).into_iter().map(|link| {
            let (mut client, request) = (link.client.clone(), request.clone());
            async move { client.formed(request).await.is_ok() }
        });
        join_all(told).await;
    }
    fn others(&self, proposal: &Proposal) -> Vec<CandidateLink> {
        let addresses = self.formation.addresses_of(proposal);
        self.candidates.links().into_iter().filter(|link| addresses.contains(&link.address)).collect()
    }
}

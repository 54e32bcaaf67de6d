//! Members go and come while the load goes on: one is taken out and joins again with an empty disk; one loses its disk and takes its own place; one
//! that never was there joins and is taken out again.
//!
//! Who loses a disk must be the only one: two lost disks of three may be all that knew something, and nobody promises anything then. So it
//! begins only while nobody else is broken, and it is not over before all vote again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use graft_client::Client;

use super::Begun;
use crate::torture::arena::{Arena, REMOVED};
use crate::torture::plan::{Kind, Turn, Victim};

/// Longest wait for the members to be what they must be.
const CHANGED_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A member that was taken out learns of it, and ends.
const AFTERWARDS: Duration = Duration::from_secs(30);

/// Begins it.
pub async fn begin(arena: &mut Arena, turn: &Turn) -> Option<Begun> {
    if arena.broken() > 0 {
        return None;
    }
    let size = arena.size();
    match turn.dice % 3 {
        0 => {
            let at = victim(arena, turn);
            // Whoever is taken out by another one's word: the leader may be the one that goes.
            let asked = (at + 1) % size;
            let name = arena.fighters[at].member.name.clone();
            arena.excuse(at, &[REMOVED], None);
            arena.fighters[at].broken.insert(Kind::Membership);
            if arena.operator(asked).remove_member(name, false).await.is_err_and(|error| error.has_no_side_effects()) {
                arena.fighters[at].broken.remove(&Kind::Membership);
                return None;
            }
            Some(again(at))
        }
        1 => {
            let at = victim(arena, turn);
            arena.excuse(at, &[REMOVED], None);
            arena.fighters[at].broken.insert(Kind::Membership);
            arena.kill_member(at);
            arena.empty_disk(at);
            arena.start_member(at);
            Some(again(at))
        }
        _ => {
            let spare = arena.spare()?;
            arena.excuse(spare, &[REMOVED], None);
            arena.empty_disk(spare);
            arena.start_member(spare);
            Some(Begun {
                times: 1,
                heal: Box::new(move |arena| {
                    Box::pin(async move {
                        settled(arena, Some(spare)).await;
                        let name = arena.fighters[spare].member.name.clone();
                        let (until, client) = (Instant::now() + CHANGED_WITHIN, arena.anybody());
                        let is_there =
                            |seen: Option<Seen>| seen.is_none_or(|seen| seen.voters.contains(&name) || seen.learners.contains(&name));
                        while Instant::now() < until && is_there(seen_by(&client).await) {
                            let _ = client.remove_member(&name, false).await;
                            arena.pass(LOOK_EVERY).await;
                        }
                        settled(arena, None).await;
                        arena.retire(spare);
                    })
                }),
            })
        }
    }
}

fn victim(arena: &mut Arena, turn: &Turn) -> usize {
    match turn.victim {
        Victim::Leader => arena.leader().unwrap_or(0) % arena.size(),
        Victim::Member(at) | Victim::Worker(at) => at % arena.size(),
    }
}

/// The one that is out, or has an empty disk, is in again when it is healed.
fn again(at: usize) -> Begun {
    Begun {
        times: 1,
        heal: Box::new(move |arena| {
            Box::pin(async move {
                settled(arena, None).await;
                arena.fighters[at].broken.remove(&Kind::Membership);
                arena.excuse(at, &[REMOVED], Some(AFTERWARDS));
            })
        }),
    }
}

/// Names of the members that vote, and of those that do not.
struct Seen {
    voters: BTreeSet<String>,
    learners: BTreeSet<String>,
    members: usize,
}

async fn seen_by(client: &Client) -> Option<Seen> {
    let status = client.cluster_status().await.ok()?;
    let members = status.members.len();
    let (learners, voters): (Vec<_>, Vec<_>) = status.members.into_iter().partition(|member| member.role == "learner");
    let names = |members: Vec<graft_client::proto::Member>| members.into_iter().map(|member| member.name).collect();
    Some(Seen { voters: names(voters), learners: names(learners), members })
}

/// Waits until all members vote, each under a name of its own, and nobody else is there but this one, which may or may not vote: an even number of
/// voters is no better than the odd one below it, and the leader leaves it at that. Who was taken out meanwhile comes again with an empty disk.
async fn settled(arena: &mut Arena, with: Option<usize>) {
    let size = arena.size();
    let name = |at: usize| arena.fighters[at].member.name.clone();
    let (names, extra): (BTreeSet<String>, Option<String>) = ((0..size).map(name).collect(), with.map(name));
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < CHANGED_WITHIN {
        arena.tend();
        for at in 0..size {
            if arena.fighters[at].removed && !arena.fighters[at].member.runs() {
                arena.empty_disk(at);
                arena.start_member(at);
            }
        }
        // Every member has to say so, not only the quickest.
        let mut all = true;
        for at in 0..size {
            let Some(Seen { mut voters, mut learners, members }) = seen_by(&arena.operator(at)).await else {
                all = false;
                continue;
            };
            let said =
                format!("{} says that {voters:?} vote, {learners:?} do not, {members} members in all", arena.fighters[at].member.name);
            let there = extra.as_ref().is_none_or(|extra| voters.remove(extra) | learners.remove(extra));
            let right = there && voters == names && learners.is_empty() && members == size + usize::from(extra.is_some());
            if !right {
                (all, last) = (false, said);
            }
        }
        if all {
            return;
        }
        arena.pass(LOOK_EVERY).await;
    }
    arena.complaints.push(format!("after {} s {names:?} do not vote all: {last}", CHANGED_WITHIN.as_secs()));
}

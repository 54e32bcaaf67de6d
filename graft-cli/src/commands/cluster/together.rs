//! What all members say of the cluster, put together: each knows itself best, and who leads knows how the others follow.

use std::time::Duration;

use graft_client::proto::ClusterStatusResponse;

use super::each::each;
use crate::cli::Global;
use crate::commands::Session;
use crate::error::CliResult;

/// How long the others have to answer; what is known without them is shown then.
const OTHERS_MAX: Duration = Duration::from_secs(1);

/// Asks one member, and then each for itself.
pub(super) async fn status(session: &Session, global: &Global) -> CliResult<ClusterStatusResponse> {
    let seen = session.client.cluster_status().await?;
    let patience = global.timeout.min(OTHERS_MAX);
    let asked = each(&session.client, &seen, patience, async |member| member.cluster_status().await).await;
    Ok(put_together(seen, asked.into_iter().filter_map(|asked| asked.answer.ok())))
}

fn put_together(mut seen: ClusterStatusResponse, said: impl Iterator<Item = ClusterStatusResponse>) -> ClusterStatusResponse {
    let (cluster, term) = ((seen.cluster_id.clone(), seen.epoch), seen.term);
    for said in said.filter(|said| (&said.cluster_id, said.epoch) == (&cluster.0, cluster.1)) {
        let leads = said.leader == said.answered_by && said.term >= term;
        for theirs in &said.members {
            let Some(member) = seen.members.iter_mut().find(|member| member.raft_id == theirs.raft_id) else { continue };
            if theirs.raft_id == said.answered_by {
                member.last_index = theirs.last_index;
                member.applied_index = theirs.applied_index;
                member.flushed_index = theirs.flushed_index;
                member.machine_version_max = theirs.machine_version_max;
                member.not_ready_reason = theirs.not_ready_reason.clone();
            }
            if leads {
                member.silent_ms = theirs.silent_ms;
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use graft_client::proto::Member;

    use super::*;

    /// What a member says: of itself what it knows, of the others what a leader knows if it leads.
    fn said(by: u64, leader: u64) -> ClusterStatusResponse {
        let member = |raft_id| {
            let own = |number| if raft_id == by { number } else { 0 };
            Member {
                raft_id,
                last_index: own(100 + by),
                applied_index: own(90 + by),
                flushed_index: own(80 + by),
                machine_version_max: own(3) as u32,
                silent_ms: (raft_id == by || leader == by).then_some(raft_id),
                not_ready_reason: (raft_id == by).then(|| if by == 3 { "drained" } else { "" }.to_owned()),
                ..Member::default()
            }
        };
        let members = (1..=3).map(member).collect();
        ClusterStatusResponse { cluster_id: "c".into(), epoch: 1, term: 7, answered_by: by, leader, members, ..Default::default() }
    }

    fn row(member: &Member) -> (u64, u64, u64, u32, Option<u64>, Option<&str>) {
        let Member { last_index, applied_index, flushed_index, machine_version_max, silent_ms, not_ready_reason, .. } = member;
        (*last_index, *applied_index, *flushed_index, *machine_version_max, *silent_ms, not_ready_reason.as_deref())
    }

    #[test]
    fn each_tells_of_itself_and_the_leader_whom_it_hears() {
        let seen = put_together(said(2, 1), [said(1, 1), said(2, 1), said(3, 1)].into_iter());
        assert_eq!((seen.answered_by, seen.leader), (2, 1));
        let rows: Vec<_> = seen.members.iter().map(row).collect();
        assert_eq!(
            rows,
            [(101, 91, 81, 3, Some(1), Some("")), (102, 92, 82, 3, Some(2), Some("")), (103, 93, 83, 3, Some(3), Some("drained")),]
        );
    }

    #[test]
    fn of_who_does_not_answer_stands_there_what_is_known_without_it() {
        let alone = put_together(said(2, 1), [said(2, 1)].into_iter());
        assert_eq!(alone, said(2, 1));
    }

    #[test]
    fn what_another_cluster_says_or_one_who_led_before_is_left_out() {
        let foreign = ClusterStatusResponse { cluster_id: "other".into(), ..said(3, 3) };
        let former = ClusterStatusResponse { term: 6, ..said(1, 1) };
        let seen = put_together(said(2, 3), [foreign, former].into_iter());
        assert_eq!(row(&seen.members[2]), row(&said(2, 3).members[2]));
        assert_eq!((seen.members[0].last_index, seen.members[1].silent_ms, seen.members[2].silent_ms), (101, Some(2), None));
    }
}

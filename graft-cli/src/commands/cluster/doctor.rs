//! `graft cluster doctor`: asks every member, and says what is wrong.
//!
//! The examination is pure ([`examine`]): what one member says of the cluster, and what each member says of itself.

use std::collections::{BTreeMap, BTreeSet};

use graft_client::proto::{ClusterStatusResponse, Member};
use schemars::JsonSchema;
use serde::Serialize;

use super::each::each;
use crate::cli::Global;
use crate::commands::Session;
use crate::error::{CliError, CliResult};
use crate::output::json::Document;
use crate::output::style::Line;
use crate::output::table::{column, table};
use crate::output::{Answer, View, compact, note};

/// A member that the leader has not heard for so long does not follow.
const SILENT_MS: u64 = 5_000;
/// Entries behind the leader from which a member counts as slow.
const LAG: u64 = 10_000;

/// What members say of themselves, or why they do not.
type Answers = BTreeMap<u64, Result<ClusterStatusResponse, String>>;

/// Asks, examines, and shows the findings.
pub(super) async fn run(session: &Session, global: &Global) -> CliResult {
    let seen = session.client.cluster_status().await?;
    let asked = each(&session.client, &seen, global.timeout, async |member| member.cluster_status().await).await;
    let findings = findings(&seen, &asked.into_iter().map(|asked| (asked.member.raft_id, asked.answer)).collect());
    session.output.show(&findings)?;
    let problems = findings.0.iter().filter(|finding| finding.severity == Severity::Problem).count();
    if problems > 0 {
        return Err(CliError::Unwell { problems });
    }
    if session.output.is_for_people() && findings.0.is_empty() {
        let members = match seen.members.len() {
            1 => "the one member answers".to_owned(),
            many => format!("all {many} members answer"),
        };
        note(&format!("All is well: {members}, and the log is where it should be."));
    }
    Ok(())
}

/// What is wrong, by what one member says of the cluster, and what each member says of itself, by raft id.
pub(in crate::commands) fn findings(seen: &ClusterStatusResponse, answers: &Answers) -> Findings {
    Findings(examine(seen, answers))
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// It costs availability or data, or will soon.
    Problem,
    /// It works, and is weaker than it should be.
    Warning,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(crate) struct FindingJson {
    severity: Severity,
    /// Name of the member; `null`: the cluster.
    member: Option<String>,
    /// What is wrong.
    finding: String,
    /// What to do.
    remedy: String,
}

impl Document for FindingJson {
    const KIND: &'static str = "Finding";
}

/// What a doctor has found.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct FindingsJson {
    /// Problems first.
    findings: Vec<FindingJson>,
}

impl Document for FindingsJson {
    const KIND: &'static str = "Findings";
}

/// `seen` is what one member says of the cluster, `answers` what each member says, by raft id.
fn examine(seen: &ClusterStatusResponse, answers: &Answers) -> Vec<FindingJson> {
    let mut findings = Vec::new();
    let mut find = |severity, member: Option<&Member>, finding: String, remedy: &str| {
        let member = member.map(|member| member.name.clone());
        findings.push(FindingJson { severity, member, finding, remedy: remedy.to_owned() });
    };
    if seen.cluster_id.is_empty() {
        let why = seen.not_ready_reason.clone();
        find(Severity::Problem, None, format!("the cluster is not formed: {why}"), "see the log of each member");
        return findings;
    }
    // Who leads knows most; otherwise whoever was asked.
    let leader = answers.get(&seen.leader).and_then(|answer| answer.as_ref().ok());
    let best = leader.unwrap_or(seen);
    if best.leader == 0 {
        find(Severity::Problem, None, "no leader is known: nothing can be written".into(), "bring enough members back to make a majority");
    }
    let voters: Vec<&Member> = best.members.iter().filter(|member| member.role != "learner").collect();
    let is_itself = |member: &Member, said: &ClusterStatusResponse| {
        (said.cluster_id.as_str(), said.epoch, said.answered_by) == (best.cluster_id.as_str(), best.epoch, member.raft_id)
    };
    let answering = |member: &&&Member| matches!(answers.get(&member.raft_id), Some(Ok(said)) if is_itself(member, said));
    let live = voters.iter().filter(answering).count();
    // A member that has just begun, or is not told of yet, has said no address: it was not asked, and may be well.
    let unasked = voters.iter().filter(|voter| !answers.contains_key(&voter.raft_id)).count();
    let is_majority = |count: usize| 2 * count > voters.len();
    if !is_majority(live + unasked) {
        let finding = format!("{live} of {} voters answer, which is no majority", voters.len());
        // A leader knows whom it hears. Of one that cannot be asked a follower knows no more than that it is there.
        let heard = |voter: &&&Member| voter.raft_id == best.leader || voter.silent_ms.is_some_and(|silent| silent <= SILENT_MS);
        let (known, remedy) = match leader {
            Some(_) if is_majority(voters.iter().filter(heard).count()) => (
                "; the leader hears one: the others cannot be asked from here",
                "see what each address says: client.advertise, names in certificates, firewalls",
            ),
            None if ![0, best.answered_by].contains(&best.leader) => (
                "; there may be one, since a leader is heard",
                "see what each address says (client.advertise, names in certificates, firewalls), and ask from elsewhere, before anything is recovered",
            ),
            _ => ("", "bring more members back; if they are lost for good: graftd recover --help"),
        };
        find(Severity::Problem, None, format!("{finding}{known}"), remedy);
    } else if live + unasked < voters.len() && !is_majority(live + unasked - 1) {
        let finding = format!("{live} of {} voters answer: with one more gone, nothing can be written", voters.len());
        find(Severity::Problem, None, finding, "bring the silent members back, or replace them");
    }
    if voters.len().is_multiple_of(2) {
        let finding = format!("{} voters survive no more losses than {}", voters.len(), voters.len() - 1);
        find(Severity::Warning, None, finding, "add a member, or remove one");
    }
    let versions: BTreeSet<&str> = answers.values().filter_map(|answer| Some(answer.as_ref().ok()?.version.as_str())).collect();
    if versions.len() > 1 {
        let finding = format!("members run different versions: {}", versions.into_iter().collect::<Vec<_>>().join(", "));
        find(Severity::Warning, None, finding, "finish the upgrade");
    }
    let newest = answers.values().filter_map(|answer| Some(answer.as_ref().ok()?.machine_version_max)).max().unwrap_or(0);
    if best.machine_version > 0 && newest > best.machine_version {
        let finding = format!("machine version {} is in force, and members can follow {newest}", best.machine_version);
        find(Severity::Warning, None, finding, "when all members run the graftd that is to stay: graft cluster upgrade");
    }
    for member in &best.members {
        match answers.get(&member.raft_id) {
            None if !member.client_address.is_empty() => {
                find(Severity::Warning, Some(member), "it was not asked: it has come just now".into(), "ask again");
            }
            None => find(
                Severity::Warning,
                Some(member),
                "it says no address for clients".into(),
                "wait if it has just begun; otherwise set client.advertise",
            ),
            Some(Err(why)) => {
                let finding = format!("it gives no status at {}: {why}", member.client_address);
                find(
                    Severity::Problem,
                    Some(member),
                    finding,
                    "see whether it runs, whether client.advertise can be reached from here, and whether you may ask it",
                );
            }
            Some(Ok(said)) if said.cluster_id.is_empty() => {
                let finding = format!("a member that is not part of the cluster yet answers at its address: {}", said.not_ready_reason);
                find(Severity::Problem, Some(member), finding, "wait if it has just begun; otherwise see its log");
            }
            Some(Ok(said)) if said.cluster_id != best.cluster_id => {
                let finding = format!("cluster {} answers at its address, and not {}", said.cluster_id, best.cluster_id);
                let remedy = "one of the two was left behind (by a restore, or a wrong address): see with `graft cluster status --addr` which one is in \
                              use, before any member is stopped";
                find(Severity::Problem, Some(member), finding, remedy);
            }
            Some(Ok(said)) if said.epoch != best.epoch => {
                let finding = format!("it is in epoch {}, and who was asked for it in epoch {}", said.epoch, best.epoch);
                find(Severity::Problem, Some(member), finding, "the lower epoch was left behind by `graftd recover`: its data are old");
            }
            Some(Ok(said)) if said.answered_by != member.raft_id => {
                let finding = format!("raft id {} answers at its address, and not {}", said.answered_by, member.raft_id);
                find(Severity::Problem, Some(member), finding, "correct client.advertise");
            }
            Some(Ok(said)) if !said.not_ready_reason.is_empty() => {
                let remedy = match said.not_ready_reason.starts_with("drained") {
                    true => "graft cluster drain --undo, when it is to take part again",
                    false => "wait if it has just begun; otherwise see its log",
                };
                find(Severity::Problem, Some(member), format!("it is not ready: {}", said.not_ready_reason), remedy);
            }
            Some(Ok(_)) => {}
        }
        if let Some(Ok(said)) = answers.get(&member.raft_id)
            && member.raft_id == best.leader
            && !said.starts_refused_reason.is_empty()
        {
            let finding = format!("it leads, and starts no workflow: {}", said.starts_refused_reason);
            find(Severity::Problem, Some(member), finding, "make room on its disk, or lower storage.disk_reserve");
        }
        if let Some(silent) = member.silent_ms.filter(|silent| *silent > SILENT_MS) {
            let finding = format!("the leader has not heard it for {} s", silent / 1_000);
            find(Severity::Problem, Some(member), finding, "see whether its peer address can be reached from the leader");
        }
        let last = best.members.iter().find(|member| member.raft_id == best.leader).map_or(0, |leader| leader.last_index);
        let lag = last.saturating_sub(member.last_index);
        if leader.is_some() && lag > LAG {
            find(Severity::Warning, Some(member), format!("it lacks {lag} log entries"), "see whether its disk or network is slow");
        }
        if let Some(other) = best.members.iter().find(|other| other.name == member.name && other.raft_id < member.raft_id) {
            let finding = format!("two members have this name (raft ids {} and {})", other.raft_id, member.raft_id);
            find(Severity::Warning, Some(member), finding, "one takes the place of the other; if that does not end, remove the old one");
        }
    }
    findings.sort();
    findings
}

/// What was found.
pub(in crate::commands) struct Findings(Vec<FindingJson>);

impl Answer for Findings {
    type Document = FindingsJson;

    fn document(&self) -> FindingsJson {
        FindingsJson { findings: self.0.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.0.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().filter_map(|finding| finding.member.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |finding: &FindingJson| {
            let severity = match finding.severity {
                Severity::Problem => "problem",
                Severity::Warning => "warning",
            };
            let member = finding.member.clone().unwrap_or_else(|| "(cluster)".to_owned());
            vec![severity.to_owned(), member, finding.finding.clone(), finding.remedy.clone()]
        };
        if self.0.is_empty() {
            return Vec::new();
        }
        table(view, &[column("SEVERITY"), column("MEMBER"), column("FINDING"), column("WHAT TO DO")], self.0.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "c1";

    fn member(raft_id: u64, role: &str) -> Member {
        let name = format!("graft-{raft_id}");
        Member {
            raft_id,
            name,
            role: role.into(),
            client_address: format!("h{raft_id}:1"),
            last_index: 50_000,
            silent_ms: Some(10),
            ..Member::default()
        }
    }

    fn said(by: u64, members: &[Member]) -> ClusterStatusResponse {
        let (cluster_id, version) = (ID.to_owned(), "1.0.0".to_owned());
        ClusterStatusResponse {
            cluster_id,
            epoch: 1,
            answered_by: by,
            leader: 1,
            members: members.to_vec(),
            version,
            ..ClusterStatusResponse::default()
        }
    }

    /// What is found when everybody answers, but for those.
    fn found(members: &[Member], but: &[(u64, Result<ClusterStatusResponse, String>)]) -> Vec<String> {
        let mut answers: BTreeMap<_, _> = members.iter().map(|one| (one.raft_id, Ok(said(one.raft_id, members)))).collect();
        answers.extend(but.iter().cloned());
        let line = |finding: FindingJson| format!("{:?} {}: {}", finding.severity, finding.member.unwrap_or_default(), finding.finding);
        examine(&said(2, members), &answers).into_iter().map(line).collect()
    }

    fn three() -> Vec<Member> {
        vec![member(1, "leader"), member(2, "voter"), member(3, "voter")]
    }

    #[test]
    fn a_healthy_cluster_has_nothing() {
        assert_eq!(found(&three(), &[]), Vec::<String>::new());
        assert_eq!(found(&[member(1, "leader")], &[]), Vec::<String>::new());
    }

    #[test]
    fn who_is_missing_is_told_with_what_that_means() {
        let silent = |raft_id| (raft_id, Err("connection refused".to_owned()));
        let one = found(&three(), &[silent(3)]);
        assert_eq!(one[0], "Problem : 2 of 3 voters answer: with one more gone, nothing can be written");
        assert_eq!(one[1], "Problem graft-3: it gives no status at h3:1: connection refused");
        // Of five, two answer. What the leader hears is known, if it is one of them; a follower that hears a leader knows no more than that.
        let asked = |leader: u64, heard: &[u64]| {
            let mut members: Vec<Member> = (1..=5).map(|id| member(id, "voter")).collect();
            members.iter_mut().filter(|one| !heard.contains(&one.raft_id)).for_each(|one| one.silent_ms = Some(61_000));
            let of = |id| ClusterStatusResponse { leader, ..said(id, &members) };
            let mut answers: Answers = (1..=5).map(|id| (id, Err("connection refused".to_owned()))).collect();
            answers.extend([1, 2].map(|id| (id, Ok(of(id)))));
            let findings = examine(&of(2), &answers).into_iter().filter(|finding| finding.finding.contains("no majority"));
            findings.map(|finding| (finding.finding, finding.remedy.contains("graftd recover"))).collect::<Vec<_>>()
        };
        let lost = "2 of 5 voters answer, which is no majority";
        assert_eq!(asked(0, &[]), [(lost.to_owned(), true)]);
        assert_eq!(asked(1, &[2]), [(lost.to_owned(), true)]);
        assert_eq!(asked(1, &[2, 3]), [(format!("{lost}; the leader hears one: the others cannot be asked from here"), false)]);
        assert_eq!(asked(5, &[]), [(format!("{lost}; there may be one, since a leader is heard"), false)]);
        let unasked = |silent: &[u64]| {
            let mut answers: Answers = three().iter().map(|one| (one.raft_id, Ok(said(one.raft_id, &three())))).collect();
            answers.remove(&3);
            answers.extend(silent.iter().map(|id| (*id, Err("connection refused".to_owned()))));
            examine(&said(2, &three()), &answers).into_iter().map(|finding| finding.finding).collect::<Vec<_>>()
        };
        assert_eq!(unasked(&[]), ["it was not asked: it has come just now"]);
        assert_eq!(unasked(&[1])[0], "1 of 3 voters answer: with one more gone, nothing can be written");
        let five: Vec<Member> = (1..=5).map(|id| member(id, "voter")).collect();
        assert_eq!(found(&five, &[silent(5)]).len(), 1, "five survive another loss");
    }

    #[test]
    fn what_is_weaker_than_it_should_be_is_a_warning() {
        let mut four = three();
        four.push(member(4, "voter"));
        assert_eq!(found(&four, &[]), ["Warning : 4 voters survive no more losses than 3"]);
        let mut newer = said(3, &three());
        newer.version = "1.1.0".into();
        assert_eq!(found(&three(), &[(3, Ok(newer))]), ["Warning : members run different versions: 1.0.0, 1.1.0"]);
        let mut raisable = said(1, &three());
        (raisable.machine_version, raisable.machine_version_max) = (1, 2);
        assert_eq!(found(&three(), &[(1, Ok(raisable))]), ["Warning : machine version 1 is in force, and members can follow 2"]);
        let mut slow = three();
        slow[2].last_index = 30_000;
        assert_eq!(found(&slow, &[]), ["Warning graft-3: it lacks 20000 log entries"]);
        let mut replaced = three();
        replaced.push(Member { name: "graft-3".into(), ..member(4, "learner") });
        assert_eq!(found(&replaced, &[]), ["Warning graft-3: two members have this name (raft ids 3 and 4)"]);
    }

    #[test]
    fn a_member_that_is_not_well_or_not_itself_is_a_problem() {
        let fewer = "Problem : 2 of 3 voters answer: with one more gone, nothing can be written";
        let mut other = said(3, &three());
        other.cluster_id = "c2".into();
        assert_eq!(found(&three(), &[(3, Ok(other))]), [fewer, "Problem graft-3: cluster c2 answers at its address, and not c1"]);
        let mut empty = said(3, &[]);
        (empty.cluster_id, empty.not_ready_reason) = (String::new(), "it asks to join".into());
        let finding = "Problem graft-3: a member that is not part of the cluster yet answers at its address: it asks to join";
        assert_eq!(found(&three(), &[(3, Ok(empty))]), [fewer, finding]);
        let behind = ClusterStatusResponse { epoch: 0, ..said(3, &three()) };
        assert_eq!(found(&three(), &[(3, Ok(behind))]), [fewer, "Problem graft-3: it is in epoch 0, and who was asked for it in epoch 1"]);
        let full = ClusterStatusResponse { starts_refused_reason: "1 MiB free".into(), ..said(1, &three()) };
        assert_eq!(found(&three(), &[(1, Ok(full.clone()))]), ["Problem graft-1: it leads, and starts no workflow: 1 MiB free"]);
        let full_beside = ClusterStatusResponse { answered_by: 3, ..full };
        assert_eq!(found(&three(), &[(3, Ok(full_beside))]), Vec::<String>::new(), "nobody asks a follower to start");
        assert_eq!(found(&three(), &[(3, Ok(said(2, &three())))]), [fewer, "Problem graft-3: raft id 2 answers at its address, and not 3"]);
        let mut waiting = said(3, &three());
        waiting.not_ready_reason = "drained by an operator".into();
        assert_eq!(found(&three(), &[(3, Ok(waiting))]), ["Problem graft-3: it is not ready: drained by an operator"]);
        let mut unheard = three();
        unheard[2].silent_ms = Some(61_000);
        assert_eq!(found(&unheard, &[]), ["Problem graft-3: the leader has not heard it for 61 s"]);
        let mut leaderless = said(2, &three());
        leaderless.leader = 0;
        let answers = BTreeMap::from([1, 2, 3].map(|id| (id, Ok(ClusterStatusResponse { answered_by: id, ..leaderless.clone() }))));
        assert_eq!(examine(&leaderless, &answers)[0].finding, "no leader is known: nothing can be written");
        let forming = ClusterStatusResponse { not_ready_reason: "waiting for members".into(), ..ClusterStatusResponse::default() };
        assert_eq!(examine(&forming, &BTreeMap::new())[0].finding, "the cluster is not formed: waiting for members");
    }
}

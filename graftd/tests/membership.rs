//! Members that come, go, move and take over, in daemons of this process.

mod daemons;

use std::fs;

use daemons::{Daemons, failed, operator, ready, until, voters_and_learners, waits_because};
use graft_proto::v1;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::Daemon;
use tonic::Code;

/// Keys of members that are in a hurry, as far as tests are.
const QUICK: &str = "promote_after = \"200ms\"\nreplace_after = \"1500ms\"\njoin = \"open\"";
/// Of a member that only joins.
const JOINS: &str = "bootstrap = \"manual\"";

async fn start_workflow(daemon: &Daemon, id: &str) {
    let mut client = WorkflowServiceClient::connect(format!("http://{}", daemon.client_address())).await.unwrap();
    let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
    client.start(v1::StartRequest { nodes, workflow_id: id.into(), ..Default::default() }).await.unwrap();
}

async fn knows_workflow(daemon: &Daemon, id: &str) -> bool {
    let mut client = WorkflowServiceClient::connect(format!("http://{}", daemon.client_address())).await.unwrap();
    client.get(v1::GetRequest { workflow_id: id.into(), ..Default::default() }).await.is_ok()
}

/// One member alone, and others that join it.
async fn grown(daemons: &Daemons, members: usize) -> Vec<Daemon> {
    let mut all = vec![daemons.start(0, "expect = 1").await];
    ready(&all[0]).await;
    for i in 1..members {
        all.push(daemons.start(i, JOINS).await);
    }
    let wanted = members;
    until(&all[0], "all vote", |now| voters_and_learners(now).0.len() == wanted && now.members.iter().all(|member| member.last_index > 0))
        .await;
    for daemon in &all {
        ready(daemon).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_member_becomes_three_and_three_become_one() {
    let mut daemons = Daemons::new(3);
    daemons.cluster = QUICK.into();
    let first = daemons.start(0, "expect = 1").await;
    ready(&first).await;
    start_workflow(&first, "before").await;
    // A second one stays a learner: of two voters both would be needed.
    let second = daemons.start(1, JOINS).await;
    ready(&second).await;
    assert_eq!(second.cluster_id().await, first.cluster_id().await);
    assert!(knows_workflow(&second, "before").await, "any member answers");
    let status = until(&first, "the second is there", |now| now.members.len() == 2).await;
    assert_eq!(voters_and_learners(&status), (vec!["graft-0"], vec!["graft-1"]));
    let third = daemons.start(2, JOINS).await;
    ready(&third).await;
    until(&first, "all vote", |now| voters_and_learners(now).0.len() == 3).await;

    // The first one is asked to go while it leads: it hands over, and ends when it has heard that it is one no more.
    let leader = until(&first, "it leads", |now| now.leader > 0).await.leader;
    let leads = |daemon: &v1::ClusterStatusResponse| daemon.answered_by == leader;
    assert!(leads(&daemons::status(&first).await), "the first one has led from the beginning");
    let would = operator(&second).await.remove(v1::RemoveRequest { member: "graft-0".into(), dry_run: true }).await.unwrap();
    assert_eq!(would.into_inner().member.unwrap().name, "graft-0");
    assert_eq!(daemons::status(&second).await.members.len(), 3, "nothing was changed");
    operator(&second).await.remove(v1::RemoveRequest { member: "graft-0".into(), dry_run: false }).await.unwrap();
    let failure = failed(&first).await;
    assert_eq!(failure.exit_code, 76, "{failure}");
    assert!(failure.reason.contains("is part of cluster `graft` no more"), "{failure}");
    first.shutdown().await;
    let status = until(&second, "two are left", |now| now.members.len() == 2 && now.leader > 0).await;
    assert_eq!(voters_and_learners(&status).0, vec!["graft-1", "graft-2"]);
    // With its data it can never come back.
    let stale = daemons.start(0, JOINS).await;
    assert_eq!(failed(&stale).await.exit_code, 76);
    stale.shutdown().await;

    start_workflow(&second, "between").await;
    operator(&second).await.remove(v1::RemoveRequest { member: "graft-2".into(), dry_run: false }).await.unwrap();
    assert_eq!(failed(&third).await.exit_code, 76);
    third.shutdown().await;
    until(&second, "one is left, and leads", |now| now.members.len() == 1 && now.leader == now.answered_by).await;
    let refused = operator(&second).await.remove(v1::RemoveRequest { member: "graft-1".into(), dry_run: false }).await.unwrap_err();
    assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("last voter"), "{refused}");
    start_workflow(&second, "after").await;
    for id in ["before", "between", "after"] {
        assert!(knows_workflow(&second, id).await, "{id}");
    }
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_with_a_new_disk_takes_the_place_of_its_lost_self() {
    let mut daemons = Daemons::with_tls(4);
    daemons.cluster = QUICK.into();
    let mut all = grown(&daemons, 3).await;
    let old = daemons::status(&all[2]).await.answered_by;
    // As long as the old one is there, there is no second one of its name.
    let back = daemons.start_as(3, "graft-2", JOINS).await;
    waits_because(&back, "two cannot have one name").await;
    all.pop().unwrap().shutdown().await;
    ready(&back).await;
    let status = until(&all[0], "the new one votes", |now| {
        voters_and_learners(now).0.len() == 3 && now.members.iter().all(|member| member.raft_id != old)
    })
    .await;
    assert_eq!(voters_and_learners(&status).0, ["graft-0", "graft-1", "graft-2"]);
    start_workflow(&back, "after").await;
    // What is left of the old one is told so when it comes back.
    let stale = daemons.start(2, JOINS).await;
    assert_eq!(failed(&stale).await.exit_code, 76);
    for daemon in all.into_iter().chain([back]) {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_member_is_found_at_its_new_address() {
    let mut daemons = Daemons::new(4);
    daemons.cluster = QUICK.into();
    let mut all = grown(&daemons, 3).await;
    let leader = daemons::status(&all[0]).await.leader;
    let ids: Vec<u64> = futures::future::join_all(all.iter().map(daemons::status)).await.iter().map(|status| status.answered_by).collect();
    // First one that follows, then the one that leads.
    for moves in [ids.iter().position(|id| *id != leader).unwrap(), ids.iter().position(|id| *id == leader).unwrap()] {
        let daemon = all.remove(moves);
        // Whatever the others still have open towards it: when it has ended, its files are free.
        daemon.shutdown().await;
        daemons.peers.swap(moves, 3);
        let port = daemons.peers[moves];
        all.insert(moves, daemons.start(moves, JOINS).await);
        let moved = format!("127.0.0.1:{port}");
        let other = &all[(moves + 1) % 3];
        until(other, "it is known where it is", |now| {
            now.members.iter().any(|member| member.raft_id == ids[moves] && member.peer_address == moved)
        })
        .await;
        ready(&all[moves]).await;
    }
    start_workflow(&all[0], "after").await;
    for daemon in all {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leadership_goes_where_it_is_sent_and_not_to_a_drained_member() {
    let mut daemons = Daemons::new(3);
    daemons.cluster = QUICK.into();
    let all = grown(&daemons, 3).await;
    let leads = async |name: &str| until(&all[0], name, |now| now.members.iter().any(|m| m.raft_id == now.leader && m.name == name)).await;
    for to in ["graft-1", "graft-2", "graft-0"] {
        let answer = operator(&all[1]).await.transfer_leader(v1::TransferLeaderRequest { to: to.into() }).await.unwrap();
        assert_eq!(answer.into_inner().leader.unwrap().name, to);
        leads(to).await;
    }
    let refused = operator(&all[1]).await.transfer_leader(v1::TransferLeaderRequest { to: "graft-0".into() }).await.unwrap_err();
    assert!(refused.message().contains("it leads already"), "{refused}");
    let unknown = operator(&all[1]).await.transfer_leader(v1::TransferLeaderRequest { to: "nobody".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    // Said to one member, for another one that leads.
    operator(&all[2]).await.drain(v1::DrainRequest { member: "graft-0".into(), undo: false }).await.unwrap();
    waits_because(&all[0], "drained by an operator").await;
    until(&all[1], "another one leads", |now| now.leader > 0 && now.members.iter().any(|m| m.raft_id == now.leader && m.name != "graft-0"))
        .await;
    // Sent to it all the same, by a leader that has only just begun, leadership does not go there.
    let sent = operator(&all[1]).await.transfer_leader(v1::TransferLeaderRequest { to: "graft-0".into() }).await.unwrap_err();
    assert!(sent.message().contains("it is drained"), "{sent}");
    // With another one drained the third one leads; the two never hand over to each other.
    let leads_now = async |name: &'static str| {
        until(&all[2], name, |now| now.members.iter().any(|m| m.raft_id == now.leader && m.name == name)).await;
    };
    operator(&all[2]).await.transfer_leader(v1::TransferLeaderRequest { to: "graft-1".into() }).await.ok();
    operator(&all[2]).await.drain(v1::DrainRequest { member: "graft-1".into(), undo: false }).await.unwrap();
    leads_now("graft-2").await;
    for member in ["graft-0", "graft-1"] {
        operator(&all[2]).await.drain(v1::DrainRequest { member: member.into(), undo: true }).await.unwrap();
    }
    ready(&all[0]).await;
    for daemon in all {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_operator_names_the_first_members_where_that_is_configured() {
    let daemons = Daemons::new(4);
    let mut all = Vec::new();
    for i in 0..4 {
        all.push(daemons.start(i, JOINS).await);
    }
    for daemon in &all {
        waits_because(daemon, "waiting for an operator to name the first members; there are graft-0, graft-1, graft-2, graft-3").await;
    }
    let names = |names: &[&str], dry_run| v1::BootstrapRequest { members: names.iter().map(|name| (*name).to_owned()).collect(), dry_run };
    let even = operator(&all[0]).await.bootstrap(names(&["graft-0", "graft-1"], false)).await.unwrap_err();
    assert!(even.message().contains("name an odd number"), "{even}");
    // Said to the last one, which is not the one that proposes.
    let three = ["graft-2", "graft-1", "graft-0"];
    let would = operator(&all[2]).await.bootstrap(names(&three, true)).await.unwrap().into_inner();
    assert_eq!((would.members.len(), would.proposed_by.as_str()), (3, "graft-0"));
    waits_because(&all[0], "waiting for an operator").await;
    operator(&all[2]).await.bootstrap(names(&three, false)).await.unwrap();
    for daemon in &all[..3] {
        ready(daemon).await;
    }
    let again = operator(&all[0]).await.bootstrap(names(&three, false)).await.unwrap_err();
    assert!(again.message().contains("is a member of cluster") && again.code() == Code::FailedPrecondition, "{again}");
    // The fourth one was not named. It asks to join, and nobody expects it.
    waits_because(&all[3], "`graft-3` is not expected here").await;
    for daemon in all {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_joins_is_expected_or_shows_a_token_where_the_policy_is_restricted() {
    let mut daemons = Daemons::new(5);
    daemons.cluster = "join = \"restricted\"\nexpected_members = [\"graft-1*\"]".into();
    let first = daemons.start(0, "expect = 1").await;
    ready(&first).await;
    let expected = daemons.start(1, JOINS).await;
    ready(&expected).await;

    let mut operator = operator(&first).await;
    let new = v1::CreateJoinTokenRequest { member: "graft-2".into(), ..Default::default() };
    let made = operator.create_join_token(new).await.unwrap().into_inner();
    let grant = made.grant.unwrap();
    assert_eq!((grant.kind.as_str(), grant.member.as_str(), grant.uses), ("token", "graft-2", 1));
    let with_token = |i: usize, token: &str| {
        let file = daemons.dir.path().join(format!("token-{i}"));
        fs::write(&file, token).unwrap();
        format!("{JOINS}\njoin_token_file = {file:?}")
    };
    // It is for one member, and for one alone.
    let third = daemons.start(3, &with_token(3, &made.token)).await;
    waits_because(&third, "is for member \"graft-2\", and not for \"graft-3\"").await;
    let second = daemons.start(2, &with_token(2, &made.token)).await;
    ready(&second).await;
    let grants = operator.list_join_grants(v1::ListJoinGrantsRequest {}).await.unwrap().into_inner().grants;
    assert_eq!(grants[0].used_by.len(), 1);
    third.shutdown().await;
    // Revoked, a token is of no use, and who has used it stays.
    let any = operator.create_join_token(v1::CreateJoinTokenRequest { uses: 2, ..Default::default() }).await.unwrap().into_inner();
    let id = any.grant.unwrap().id;
    operator.revoke_join_grant(v1::RevokeJoinGrantRequest { id, meta: None }).await.unwrap();
    let third = daemons.start(3, &with_token(3, &any.token)).await;
    waits_because(&third, "does not exist, or was revoked").await;
    let refused = operator.revoke_join_grant(v1::RevokeJoinGrantRequest { id: "nothing".into(), meta: None }).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    for daemon in [first, expected, second, third] {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_rules_about_members_change_when_the_configuration_is_read_again() {
    let mut daemons = Daemons::new(2);
    daemons.cluster = "join = \"restricted\"".into();
    let first = daemons.start(0, "expect = 1").await;
    ready(&first).await;
    let second = daemons.start(1, JOINS).await;
    waits_because(&second, "is not expected here").await;
    let changes = first.reload(Ok(daemons.config(0, "expect = 1\nexpected_members = [\"graft-1\"]").into())).unwrap();
    assert_eq!(changes.iter().map(|change| (change.key.as_str(), change.live)).collect::<Vec<_>>(), [("cluster.expected_members", true)]);
    ready(&second).await;
    for daemon in [first, second] {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_joins_was_approved_by_the_name_in_its_certificate_where_the_policy_is_strict() {
    let mut daemons = Daemons::with_tls(2);
    daemons.cluster = "join = \"strict\"".into();
    let first = daemons.start(0, "expect = 1").await;
    ready(&first).await;
    let second = daemons.start(1, JOINS).await;
    waits_because(&second, "join grant \"graft-1\" does not exist").await;
    let approved = operator(&first).await.approve(v1::ApproveRequest { member: "graft-1".into(), ..Default::default() }).await.unwrap();
    assert_eq!(approved.into_inner().grant.unwrap().kind, "approval");
    ready(&second).await;
    for daemon in [first, second] {
        daemon.shutdown().await;
    }
    // In the clear nobody can show who it is.
    let mut open = Daemons::new(2);
    open.cluster = "join = \"strict\"".into();
    let first = open.start(0, "expect = 1").await;
    ready(&first).await;
    let second = open.start(1, JOINS).await;
    waits_because(&second, "members without TLS nobody can show who it is").await;
    for daemon in [first, second] {
        daemon.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn learners_become_voters_when_the_keys_allow_and_when_an_operator_says() {
    let mut daemons = Daemons::new(4);
    daemons.cluster = "promote_after = \"1s\"\nmax_voters = 3\njoin = \"open\"".into();
    let all = grown(&daemons, 3).await;
    let fourth = daemons.start(3, JOINS).await;
    ready(&fourth).await;
    let refused = operator(&all[0]).await.promote(v1::PromoteRequest { member: "graft-3".into() }).await.unwrap_err();
    assert!(refused.message().contains("as many as cluster.max_voters allows"), "{refused}");
    // It takes the place that becomes free; on an operator's word, at once.
    operator(&all[0]).await.remove(v1::RemoveRequest { member: "graft-2".into(), dry_run: false }).await.unwrap();
    let promoted = operator(&all[0]).await.promote(v1::PromoteRequest { member: "graft-3".into() }).await;
    let status = until(&all[0], "the fourth votes", |now| voters_and_learners(now).0.contains(&"graft-3")).await;
    assert_eq!(voters_and_learners(&status).0, ["graft-0", "graft-1", "graft-3"]);
    assert!(promoted.as_ref().map_or_else(|error| error.message().contains("voter already"), |_| true), "{promoted:?}");
    assert_eq!(failed(&all[2]).await.exit_code, 76);
    for daemon in all.into_iter().take(2).chain([fourth]) {
        daemon.shutdown().await;
    }
}
